"""The rewind view's slider, moved by a script: how long each move takes until it is shown, in ms."""

SEEK = """async () => {
  const rewind = document.querySelector("#rewind"), slider = document.querySelector("#rewind-slider");
  const took = [];
  for (const part of [0.9, 0.1, 0.5, 0, 1, 0.3, 0.7]) {
    delete rewind.dataset.shown;
    const begin = performance.now();
    slider.value = String(part * slider.max);
    slider.dispatchEvent(new Event("input"));
    while (rewind.dataset.shown === undefined) await new Promise((next) => setTimeout(next));
    took.push(performance.now() - begin);
  }
  return took;
}"""

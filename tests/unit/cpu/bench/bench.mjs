// Runs guest programs on the interpreter and prints their best speed over 20 million instructions.
// Arguments: host.wasm, then programs.
import fs from "node:fs";

const [wasm, ...programs] = process.argv.slice(2);
const module = new WebAssembly.Module(fs.readFileSync(wasm));
for (const path of programs) {
  let text = "";
  const write = (at, size) => (text += Buffer.from(host.memory.buffer, at, size));
  const host = new WebAssembly.Instance(module, { env: { write } }).exports;
  const image = fs.readFileSync(path);
  const buffer = host.host_buffer(image.length);
  new Uint8Array(host.memory.buffer, buffer, image.length).set(image);
  if (host.host_load(buffer, 0)) throw new Error("cannot load " + path);
  let best = 0;
  for (let reason = 0; !reason; ) {
    const before = host.host_retired();
    const start = performance.now();
    reason = host.host_run(20e6);
    const retired = host.host_retired() - before;
    if (retired > 19e6) best = Math.max(best, retired / (performance.now() - start) / 1e3);
  }
  const name = path.split("/").pop().padEnd(10);
  console.log(name, (host.host_retired() / 1e6).toFixed(0).padStart(5), "M", best.toFixed(0).padStart(5), "MIPS", text.trim());
}

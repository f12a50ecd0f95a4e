"""What maintainer scripts say to update-alternatives is read from them, loops over words included."""

from __future__ import annotations

from ebbtide.image.alternatives import read_calls

LOOP = """#!/bin/sh
place=/usr/lib/vm
pages="$place/man"
priority=2111
tools='run build'
if [ "$old" ]; then
    priority=$(expr $priority - 1)
fi
while read -r line; do
    echo $line
done
for i in $tools; do
    more="--slave /usr/share/man/$i.gz $i.gz ${pages}/$i.gz"
    update-alternatives \\
        --install \\
        /usr/bin/$i $i $place/bin/$i $priority \\
        $more $others
done
update-alternatives --install /usr/bin/last last $place/last $priority
update-alternatives --install /usr/bin/none none $nowhere/none $priority
"""


def test_a_loop_over_words_is_as_many_calls() -> None:
    calls = {call.name: call for call in read_calls(LOOP)}
    assert [*calls] == ["run", "build", "last"]
    assert calls["run"].link == "/usr/bin/run"
    assert calls["build"].path == "/usr/lib/vm/bin/build"
    assert calls["build"].priority == calls["last"].priority == 2111
    assert calls["run"].slaves == {"run.gz": ("/usr/share/man/run.gz", "/usr/lib/vm/man/run.gz")}
    assert not calls["last"].slaves


def test_loops_in_loops() -> None:
    call = "update-alternatives --install /$a/$b $b /$a/$b$c 1"
    script = f"for a in x y; do\nfor b in 1 2; do\n{call}\ndone\n{call}\ndone"
    assert read_calls(script) == []  # nobody says what $c is
    script = script.replace("$c", "")
    assert [call.path for call in read_calls(script)] == ["/x/1", "/x/2", "/y/1", "/y/2"]

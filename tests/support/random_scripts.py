"""Random shell scripts, by seed: EBB_SEEDS=1000 asks for so many, from EBB_SEED on."""

from __future__ import annotations

import os
import random

FIRST = int(os.environ.get("EBB_SEED", "1"))
SEEDS = range(FIRST, FIRST + int(os.environ.get("EBB_SEEDS", "3")))


def statement(chance: random.Random, depth: int = 0) -> str:
    """Return a random statement for sh; `$r` is a line of input."""
    n, m = chance.randrange(1, 9), chance.randrange(1, 400)
    simple = (
        f"echo $((RANDOM % {m} + {n}))",
        f"seq {m} | sort -r | head -{n} | cksum",
        f"head -c {m * 97} /dev/urandom | sha256sum",
        f"sleep 0.0{n}",
        "read r && echo got $r",
        f"trap 'echo usr' USR1; kill -USR1 $$; echo {n}",
        f"(sleep 0.{m}; echo late {n}) & p=$!; kill $p; wait $p; echo $?",
        f"timeout 0.0{n} sleep 5; echo $?",
        f"i=0; while [ $i -lt {m} ]; do i=$((i+1)); done; echo $i",
        f"mkdir -p d{n} && echo {m} >> d{n}/f && cat d{n}/f | wc -l; ls d{n}",
        f"mkfifo p{n}.$$ && (echo {m} > p{n}.$$ & cat p{n}.$$); rm -f p{n}.$$",
        f"dd if=/dev/zero of=z{n} bs={m} count={n} 2>/dev/null; cksum z{n}; rm z{n}",
        "date +%N; cat /proc/uptime",
        "cat /proc/self/stat | cut -d' ' -f1-4; ls /proc | wc -l",
        f"/tmp/guest {chance.randrange(1 << 30)}",
        f"/tmp/guest {chance.randrange(1 << 30)} & /tmp/guest {m}; wait",
        "busybox wget -q -O - http://127.0.0.1:8080/hosts | cksum",
        f"for i in 1 2 3; do busybox wget -q -O - http://127.0.0.1:8080/big | head -c {m}9 | wc -c; done",
    )
    if depth < 2 and chance.random() < 0.4:
        inner = "; ".join(statement(chance, depth + 1) for _ in range(chance.randrange(1, 4)))
        forms = (
            f"({inner}) &",
            f"({inner}) | cat",
            f"for k in 1 2; do {inner}; done",
            f"{{ {inner}; }}",
        )
        form = chance.choice(forms)
        return form + " wait" if form.endswith("&") else form
    return chance.choice(simple)

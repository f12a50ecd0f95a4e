"""What is measured: our own programs by repetitions, Debian's by command line, with their inputs.

Rule: every workload prints what it found, which must be the same on every host. A program of the
group "compute" works for ten times as long as it needs to start, which is a row of its own: some
0.1 s on this machine's own Linux. Longer ones would not fit all hosts and runs into ten minutes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

# Group, then name and repetitions of the programs in this folder.
PROGRAMS = {
    "integer": {
        "sieve": 6, "sha256": 4, "memcpy": 4, "qsort": 4, "quick": 4, "fib": 8, "malloc": 3,
        "dhrystone": 2, "coremark": 30,
    },
    "float": {"matmul": 12, "nbody": 60, "spectral": 60},
    "dispersed": {"ring2000": 5},
    "system": {"getpid": 20, "pipe": 20, "futex": 10, "fork": 10, "exec": 10},
}  # fmt: skip
HARTS = ("threads", "processes")  # on one hart, then on two
# What a person waits for at a prompt: 0.2 s and 0.4 s at most.
CLI = {"ebb-help": ["--help"], "ebb-run-true": ["run", "--", "true"]}
# What is measured together is asked for together: by its rows' names, of pages also by the group.
TOGETHER = {
    "record": (
        "record-cpu", "record-replay-cpu", "record-clock-entry", "record-gdb-first",
        "record-gdb-again", "record-reverse-stepi-p95", "record-snapshot-200-pages", "record-restore-64M",
    ),
    "record-page": (
        "record-page-wall", "record-page-seek", "record-page-chain", "record-page-snapshot-64M",
        "record-page-restore-64M",
    ),
    "pages": tuple(
        f"{name}-{image}"
        for image in ("base", "debian")
        for name in (
            "prompt-cold", "prompt-warm", "prompt-20mbit", "sdk-run-true", "tab-memory",
            "idle-steps", "echo-busy",
        )
    ),
}  # fmt: skip
MEANS = ("integer", "float", "compute", "start")  # groups that get a row of their own

AT = "/tmp"  # where programs and inputs lie in every root


@dataclass(frozen=True)
class Command:
    """A program of Debian's: its package, how to run it, what to do before and to see after."""

    group: str
    package: str
    argv: tuple[str, ...]
    setup: str = ""  # for bash, once
    check: str = ""  # for bash, after each run; prints what is compared, else the run itself does


GIT = f"""cd {AT} && rm -rf repo && git init -q repo && cd repo && mkdir d{{0..9}} &&
for i in {{0..299}}; do echo $i > d$((i % 10))/$i; done && echo new > d0/new &&
find . -name '?*[0-9]' -type f -exec touch -d @1000000000 {{}} + && git add d*/*[0-9]"""
SQL = """
CREATE TABLE t (id INTEGER PRIMARY KEY, k INTEGER, name TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 36000)
INSERT INTO t SELECT i, i * 7919 % 10007, 'row ' || i FROM n;
CREATE INDEX by_k ON t (k);
SELECT count(*), sum(a.k), max(b.name) FROM t a JOIN t b ON b.k = a.id WHERE a.name LIKE '%7%';
"""
COMMANDS = {
    "python3-start": Command("start", "python3.13", ("python3", "-c", "print(1)")),
    "bash-start": Command("start", "bash", ("bash", "-c", "true")),
    "git-status": Command("start", "git", ("git", "-C", f"{AT}/repo", "status", "--short"), setup=GIT),
    "gcc-hello": Command(
        "start", "gcc-14", ("gcc", "-o", f"{AT}/hello", f"{AT}/hello.c"), check=f"{AT}/hello"
    ),
    "pystone": Command("compute", "python3.13", ("python3", f"{AT}/pystone.py")),
    "python-json": Command("compute", "python3.13", ("python3", f"{AT}/json_work.py")),
    "python-regex": Command("compute", "python3.13", ("python3", f"{AT}/regex_work.py")),
    "lua": Command("compute", "lua5.4", ("lua5.4", f"{AT}/work.lua")),
    "bash-loop": Command("compute", "bash", ("bash", f"{AT}/loop.sh")),
    "sqlite": Command("compute", "sqlite3", ("sqlite3", ":memory:", SQL)),
    "sort": Command(
        "compute", "coreutils", ("sort", "--parallel=1", "-o", f"{AT}/sorted", f"{AT}/rows"),
        check=f"sha256sum < {AT}/sorted",
    ),
    "gzip": Command("compute", "gzip", ("gzip", "-kfn", f"{AT}/text"), check=f"sha256sum < {AT}/text.gz"),
    "sha256sum": Command("compute", "coreutils", ("sha256sum", f"{AT}/bytes")),
    "gcc2000": Command(
        "dispersed", "gcc-14", ("gcc", "-O2", "-o", f"{AT}/lines", f"{AT}/lines.c"),
        check=f"{AT}/lines",
    ),
}  # fmt: skip

PYSTONE = """
class Record:
    def __init__(self, next, kind, number, text):
        self.next, self.kind, self.number, self.text = next, kind, number, text

    def copy(self):
        return Record(self.next, self.kind, self.number, self.text)


def compare(a, b):
    at = 0
    while at < len(a) - 1 and a[at] != b[at + 1]:
        at += 1
    return "first" if at > 3 else b


def step(n, array, grid, record):
    record.number = n % 17
    other = record.copy()
    other.next, record.next = record.next, other
    at = n % 40 + 5
    array[at], array[at + 1], array[at + 5] = n, array[at], at
    for index in range(at, at + 2):
        grid[at][index] = at
    grid[at][at - 1] += 1
    grid[at + 2][at] = array[at]
    text = compare("some program, 1", "some program, 2")
    if text == "first" and other.kind < 3:
        other.kind = (other.kind * 5 + n) % 3
    while other.number > 1:
        other.number //= 2
    return array[at + 1] + other.kind + len(text)


array, grid = [0] * 51, [[0] * 51 for _ in range(51)]
record, total = Record(None, 1, 40, "text"), 0
for n in range(40000):
    total = (total * 31 + step(n, array, grid, record)) % 1000003
    record.next = None
print(total)
"""
JSON = """
import json, zlib
data = {f"key {n}": {"list": [n, n / 8, None, n % 2 == 0], "text": "a \\u00e9 \\n" * 3} for n in range(300)}
for _ in range(60):
    text = json.dumps(data, sort_keys=True, indent=1)
    data = json.loads(text)
print(zlib.crc32(text.encode()))
"""
REGEX = f"""
import re, zlib
text = open("{AT}/text").read()
for pattern in (r"[a-z]+ing\\b", r"(\\w)\\1", r"(?:ab|ba)[^ ]*x", r"\\b\\w{{3,5}} \\d+\\b"):
    print(len(re.findall(pattern, text)))
print(zlib.crc32(re.sub(r"(\\w+) (\\w+)", r"\\2 \\1", text).encode()))
"""
LUA = """
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
local words, sum = {}, 0
for i = 1, 60000 do words[i] = string.format("%05d", i * 7919 % 60013) end
table.sort(words)
for i, word in ipairs(words) do sum = (sum * 31 + i * tonumber(word:sub(2, 4))) % 1000003 end
local x = 0.0
for i = 1, 1000000 do x = x * 0.5 + i % 7 end
print(fib(25), sum, x)
"""
LOOP = """
total=0
for ((i = 0; i < 25000; i++)); do
    word="item $((i % 100))"
    case $word in *7) total=$((total + ${#word})) ;; *) total=$((total ^ i)) ;; esac
done
echo $total
"""
HELLO = '#include <stdio.h>\nint main(void) { puts("hello"); }\n'

FUNCTION = """
static const int t{n}[] = {{
{table}
}};
struct s{n} {{ int a[{size}]; unsigned b; struct s{n} *next; }};
unsigned f{n}(unsigned x) {{
    struct s{n} s = {{.b = x * {odd}u}}, *p = &s;
    for (int i = 0; i < {size}; i++) {{
        s.a[i] = (int)(x >> i % 13) + i * {n};
        if (s.a[i] % {small} == 1)
            s.b ^= (unsigned)s.a[i] << i % 7;
    }}
    switch (x % 5) {{
    case 0: p->b += (unsigned)t{n}[x % 135]; break;
    case 1: p->b *= {odd}u; break;
    case 2: s.next = p; s.next->b--; break;
    default: p->b = p->b / {small}u + x;
    }}
    while (p->b > {odd}u * 9)
        p->b = p->b / 3 + (p->b & 7);
    return p->b + (unsigned)s.a[x % {size}];
}}"""


def lines() -> str:
    """Two thousand lines of C: functions that differ in their numbers, with tables, and a main."""
    rng = random.Random(2000)
    parts = ["#include <stdio.h>"]
    for n in range(30):
        numbers = [f"    {rng.randrange(10**6)}, {rng.randrange(10**6)}, {n}," for _ in range(45)]
        size, small, odd = rng.randrange(5, 40), rng.randrange(3, 17), rng.randrange(101, 9999, 2)
        values = {"n": n, "size": size, "odd": odd, "small": small, "table": "\n".join(numbers)}
        parts.append(FUNCTION.format(**values))
    calls = "\n".join(f"    x = x * 31 + f{n}(x);" for n in range(30))
    parts.append(f'int main(void) {{\n    unsigned x = 1;\n{calls}\n    printf("%u\\n", x);\n}}\n')
    return "\n".join(parts)


def inputs() -> dict[str, bytes]:
    """Files that the commands read, by path; the same in every run."""
    rng = random.Random(1)
    syllables = [a + b for a in "bcdfglmnprstvx" for b in ("a", "e", "ing", "o", "ud")]
    words = ["".join(rng.choices(syllables, k=rng.randrange(1, 4))) for _ in range(3000)]
    rows = [" ".join(rng.choices(words, k=6)) + f" {rng.randrange(10**6)}\n" for _ in range(60000)]
    texts = {
        "rows": "".join(rows), "text": "".join(rows[:12000]), "pystone.py": PYSTONE, "json_work.py": JSON, "regex_work.py": REGEX,
        "work.lua": LUA, "loop.sh": LOOP, "hello.c": HELLO, "lines.c": lines(),
    }  # fmt: skip
    files = {f"{AT}/{name}": text.encode() for name, text in texts.items()}
    return files | {f"{AT}/bytes": rng.randbytes(12 << 20)}

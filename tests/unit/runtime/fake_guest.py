"""A Placement whose agent calls are answered by Python functions: for tests of everything above the
agent.

Pipes are byte queues with waiting reads, as in the guest; a program is a coroutine given its three
ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ebbtide import linux
from ebbtide.abi import Abi
from ebbtide.events import CallEnded
from ebbtide.fake_port import fake_abi_text


class Pipe:
    """A pipe with a capacity; b"" and closed is its end."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.writer_open = True
        self.reader_open = True
        self.nonblocking = False
        self.changed = asyncio.Condition()

    async def read(self, size: int) -> bytes:
        async with self.changed:
            if self.nonblocking and not self.data and self.writer_open:
                raise BlockingIOError
            await self.changed.wait_for(lambda: self.data or not self.writer_open)
            data = bytes(self.data[:size])
            del self.data[:size]
            self.changed.notify_all()
            return data

    async def write(self, data: bytes) -> int:
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.data) < 65536 or not self.reader_open)
            if not self.reader_open:
                raise BrokenPipeError
            taken = data[: 65536 - len(self.data)]
            self.data += taken
            self.changed.notify_all()
            return len(taken)

    async def close(self, *, reader: bool) -> None:
        async with self.changed:
            if reader:
                self.reader_open = False
            else:
                self.writer_open = False
            self.changed.notify_all()


Program = Callable[[list[str], "Pipe", "Pipe", "Pipe"], Awaitable[int]]


class FakeGuest:
    """Programs by name, no files; the parts of Linux that the owner role uses."""

    def __init__(self, programs: dict[str, Program]) -> None:
        self.abi = Abi(
            fake_abi_text() + "\nnr.wait4 500\nnr.getpid 501\nnr.statx 502\nerrno.ESRCH 399"
        )
        self.programs = programs
        self.listener = None
        self.closed = False
        self.signals: list[tuple[int, int]] = []
        self.spawned: list[dict[str, object]] = []
        self._names = {number: name for name, number in self.abi.nr.items()}
        self._fds: dict[int, tuple[Pipe, bool]] = {}
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._processes: dict[int, asyncio.Task[int]] = {}

    async def start(self, options, listener) -> None:
        self.listener = listener

    async def hint(self, command: str) -> str | None:
        return "debian" if command == "python3" else None

    async def digest(self) -> bytes:
        return bytes(32)

    async def close(self) -> None:
        self.closed = True
        for task in [*self._calls.values(), *self._processes.values()]:
            task.cancel()

    def post(self, event: bytes) -> None:
        kind = self.abi.event_name(event)
        if kind == "CANCEL":
            task = self._calls.get(self.abi.structs["event_cancel"].integer(event, "id"))
            if task:
                task.cancel()
            return
        layout = self.abi.structs["event_call"]
        fields = {n: layout.integer(event, n) for n in ("id", "nr", "out_off", "out_len", "flags")}
        words = layout.raw(event, "args")
        args = [int.from_bytes(words[i : i + 8], "little") for i in range(0, 48, 8)]
        window = bytearray(self.abi.const["CALL_WINDOW"])
        data = event[layout.size :]
        window[: len(data)] = data
        self._calls[fields["id"]] = asyncio.ensure_future(self._call(fields, args, window))

    async def _call(self, fields, args, window) -> None:
        name = self._names[fields["nr"]]
        try:
            result = await getattr(self, f"do_{name}")(args, window)
        except asyncio.CancelledError:
            result = -self.abi.errno["EINTR"]
        except BrokenPipeError:
            result = -self.abi.errno["EPIPE"]
        except BlockingIOError:
            result = -self.abi.errno["EAGAIN"]
        except FileNotFoundError:
            result = -self.abi.errno["ENOENT"]
        except ProcessLookupError:
            result = -self.abi.errno["ESRCH"]
        del self._calls[fields["id"]]
        length = fields["out_len"] if result >= 0 else 0
        if fields["flags"] & self.abi.const["CALL_OUT_RESULT"]:
            length = min(length, max(result, 0))
        data = bytes(window[fields["out_off"] : fields["out_off"] + length])
        if not self.closed:
            self.listener.ended(CallEnded(fields["id"], result, data))

    async def do_getpid(self, args, window) -> int:
        return 1

    async def do_SPAWN(self, args, window) -> int:
        layout = self.abi.structs["spawn"]
        block = bytes(window[: args[1]])

        def strings(name: str, count: str) -> list[str]:
            at = layout.integer(block, name)
            return block[at:].decode().split("\0")[: layout.integer(block, count)]

        argv = strings("argv_off", "argc")
        if argv[0] not in self.programs:
            raise FileNotFoundError
        self.spawned.append({"argv": argv, "env": strings("envp_off", "envc")})
        asked = layout.raw(block, "fds")
        pipes = [Pipe(), Pipe(), Pipe()]
        pid = 100 + len(self._processes)
        out = b""
        for at, pipe in enumerate(pipes):
            wanted = int.from_bytes(asked[4 * at : 4 * at + 4], "little", signed=True)
            fd = -1
            if wanted == self.abi.const["SPAWN_FD_PIPE"]:
                fd = max(self._fds, default=9) + 1
                self._fds[fd] = (pipe, at != 0)
            elif at == 0:
                await pipe.close(reader=False)
            out += fd.to_bytes(4, "little", signed=True)
        window[args[2] : args[2] + 12] = out
        self._processes[pid] = asyncio.ensure_future(self._process(argv, pipes))
        return pid

    async def _process(self, argv, pipes) -> int:
        status = 0
        try:
            status = (await self.programs[argv[0]](argv, *pipes)) << 8
        except asyncio.CancelledError:
            status = 15
        except BrokenPipeError:
            status = 13
        await pipes[0].close(reader=True)
        await pipes[1].close(reader=False)
        await pipes[2].close(reader=False)
        return status

    async def do_wait4(self, args, window) -> int:
        status = await asyncio.shield(self._processes[args[0]])
        window[args[1] : args[1] + 4] = status.to_bytes(4, "little")
        return args[0]

    async def do_kill(self, args, window) -> int:
        assert args[0] >> 63, "a process alone is never meant"
        return await self.do_KILL_TREE([(1 << 64) - args[0], args[1]], window)

    async def do_KILL_TREE(self, args, window) -> int:
        self.signals.append((args[0], args[1]))
        if self._processes[args[0]].done():
            raise ProcessLookupError
        self._processes[args[0]].cancel()
        return 0

    async def do_read(self, args, window) -> int:
        data = await self._fds[args[0]][0].read(args[2])
        window[args[1] : args[1] + len(data)] = data
        return len(data)

    async def do_fcntl(self, args, window) -> int:
        if args[1] == linux.F_SETFL:
            self._fds[args[0]][0].nonblocking = bool(args[2] & linux.O_NONBLOCK)
        return 0

    async def do_write(self, args, window) -> int:
        return await self._fds[args[0]][0].write(bytes(window[args[1] : args[1] + args[2]]))

    async def do_close(self, args, window) -> int:
        pipe, reader = self._fds.pop(args[0])
        await pipe.close(reader=reader)
        return 0

    async def do_statx(self, args, window) -> int:
        raise FileNotFoundError

    @property
    def open_fds(self) -> int:
        return len(self._fds)

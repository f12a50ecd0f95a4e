"""The blocking twin, for scripts and notebooks: the same names without `await`.

    with ebbtide.blocking.Machine.boot() as m:
        print(m.run("uname", "-a").stdout)

An event loop in a thread of its own serves the machine, so that the guest runs on between calls;
Ctrl-C interrupts a call, not the machine.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import fields
from typing import Any, Self, TypeVar

from . import machine as asynchronous
from .agent import Living, refuse_forked
from .errors import MachineClosed
from .meant import refuse_unknown
from .placement import Options
from .process import INSTEAD, CompletedProcess

T = TypeVar("T")


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="ebb-loop", daemon=True)
        self._thread.start()

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and wait for it; an interrupt cancels it."""
        try:
            refuse_forked()
            if self.loop.is_closed():
                raise MachineClosed("the machine is closed")
        except BaseException:
            work.close()
            raise
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def close(self) -> None:
        """End the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Blocking(Living):
    """Any object of the asynchronous API, its coroutine methods waiting instead."""

    def __init__(self, inner: Any, loop: _Loop) -> None:
        self._inner = inner
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if inspect.iscoroutinefunction(value):

            def call(*args: Any, **options: Any) -> Any:
                return self._wrap(self._loop.wait(value(*args, **options)))

            call.__name__ = name
            call.__doc__ = value.__doc__
            return call
        return self._wrap(value)

    def __iter__(self) -> Any:
        chunks = self._inner.__aiter__()
        while True:
            try:
                yield self._loop.wait(chunks.__anext__())
            except StopAsyncIteration:
                return

    def __dir__(self) -> list[str]:
        return dir(self._inner)

    def _wrap(self, value: Any) -> Any:
        package = __name__.rpartition(".")[0]
        kind = type(value)
        has_calls = any(
            inspect.iscoroutinefunction(member)
            for name, member in inspect.getmembers(kind)
            if not name.startswith("_")
        )
        if kind.__module__.startswith(package) and has_calls:
            return Blocking(value, self._loop)
        return value


class Machine(Blocking):
    """A machine whose methods wait; made by `Machine.boot`."""

    @classmethod
    def boot(cls, image: str | None = "base", **options: Any) -> Self:
        """Boot a machine; options as for `ebbtide.Machine.boot`."""
        loop = _Loop()
        try:
            return cls(loop.wait(asynchronous.Machine.boot(image, **options)), loop)
        except BaseException:
            loop.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the machine and give back its memory and threads."""
        if not self._loop.loop.is_closed():
            self._loop.wait(self._inner.close())
            self._loop.close()


def run(
    args: Sequence[str],
    *,
    input: bytes | str | None = None,
    timeout: float | None = None,
    check: bool = False,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    user: str | int | None = None,
    text: bool = True,
    max_output: int | str | None = None,
    **options: Any,
) -> CompletedProcess:
    """Boot a machine, run one program in it, and return how it ended, as `Machine.run` does.

    Further options are those of `Machine.boot`.
    """
    if isinstance(args, (str, bytes)):
        raise TypeError(
            f"run() takes a list of words, as in run({args.split()!r}); "
            f"for a shell's syntax: run(['sh', '-c', {args!r}])"
        )
    own = inspect.signature(run).parameters
    known = {*own, *(field.name for field in fields(Options)), "on_log", "placement"}
    instead = INSTEAD | {
        "stdin": "input is what the program reads",
        "encoding": "it is UTF-8; text=False gives bytes",
    }
    refuse_unknown("run", options, known - {"args", "options"}, instead)
    with Machine.boot(**options) as machine:
        return machine.run(  # type: ignore[no-any-return]
            *args,
            stdin=input,
            timeout=timeout,
            env=env,
            cwd=cwd,
            user=user,
            encoding="utf-8" if text else "bytes",
            max_output=max_output,
            check=check,
        )

"""Just enough of the WebAssembly format to check and finish kernel.wasm after the linker."""

from __future__ import annotations

from dataclasses import dataclass, field

from ebbtide import leb128

IMPORT, GLOBAL, EXPORT = 2, 6, 7
PAGES_MAX = 65536


@dataclass
class Module:
    """What of a module concerns us."""

    imports: list[tuple[str, str, int]] = field(default_factory=list)
    exports: dict[str, tuple[int, int]] = field(default_factory=dict)  # name -> kind, index
    globals: list[int] = field(default_factory=list)  # values of i32.const initialisers
    memory_pages: tuple[int, int] = (0, 0)
    memory_max_at: int = 0  # where the imported memory's maximum stands, and how long it is
    memory_max_len: int = 0


class Reader(leb128.Reader):
    def name(self) -> str:
        size = self.unsigned()
        self.at += size
        return self.data[self.at - size : self.at].decode()


def parse(data: bytes) -> Module:
    if data[:8] != b"\0asm\x01\0\0\0":
        raise ValueError("not a WebAssembly module")
    module = Module()
    read = Reader(data, 8)
    while read.at < len(data):
        section = read.byte()
        end = read.unsigned() + read.at
        if section == IMPORT:
            _imports(read, module)
        elif section == GLOBAL:
            _globals(read, module)
        elif section == EXPORT:
            for _ in range(read.unsigned()):
                name = read.name()
                module.exports[name] = (read.byte(), read.unsigned())
        read.at = end
    return module


def _imports(read: Reader, module: Module) -> None:
    for _ in range(read.unsigned()):
        space, name, kind = read.name(), read.name(), read.byte()
        module.imports.append((space, name, kind))
        if kind == 0:  # function: type index
            read.unsigned()
        elif kind == 3:  # global: type, mutability
            read.at += 2
        else:  # table: element type first; then limits, as for memory
            if kind == 1:
                read.byte()
            flags, minimum, at = read.byte(), read.unsigned(), read.at
            maximum = read.unsigned() if flags & 1 else 0
            if kind == 2:
                module.memory_pages = (minimum, maximum)
                module.memory_max_at, module.memory_max_len = at, read.at - at


def _globals(read: Reader, module: Module) -> None:
    for _ in range(read.unsigned()):
        read.at += 2
        if read.byte() != 0x41:  # not i32.const: none of ours
            return
        module.globals.append(read.signed() & 0xFFFFFFFF)
        read.byte()


def with_memory_max(data: bytes, module: Module, pages: int) -> bytes:
    """Set the maximum of the imported memory, which must keep its length."""
    out = leb128.written(pages)
    if len(out) != module.memory_max_len:
        raise ValueError("the memory maximum has another length")
    at = module.memory_max_at
    return data[:at] + out + data[at + len(out) :]

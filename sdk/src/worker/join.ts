/**
 * Several modules of compiled code as one, so that an engine which keeps machine code by module has one to keep. All
 * have the same types, imports and functions of their own; only calls of a function by itself or a neighbour know its
 * number, and where these are each module says (kernel/jit/module.c). The records of all lie in the section "ebb.kept".
 *
 * V8 writes machine code down whenever another million bytes of a module have been optimised; what comes behind the last
 * million it writes only if all was over in half a second. So the last functions are no regions, but FILLERS of such
 * a length that optimising them, too, has V8 write all that was before.
 */

import type { Module } from "../code_store.js";

/** Functions that each module imports, before its own. */
const IMPORTED = 4;
const MAGIC = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];
const HINTS = "metadata.code.branch_hint";
const SELF = "ebb.self";
const KEPT = "ebb.kept";
/** How many there are, and of how many multiplications each, for which x86-64 and ARM need 32 bytes at least: V8 has done with them in 50 ms. */
export const FILLERS = 32;
const FILLING = 1000;

enum Section { custom = 0, type = 1, import = 2, function = 3, element = 9, code = 10 }

/** What is made of one module: its regions' bodies, and by region the rest of its hints. */
interface Parts {
  readonly record: Uint8Array;
  /** Types, imports and the functions that are no regions: what must be the same for all. */
  readonly common: readonly Uint8Array[];
  readonly bodies: readonly Uint8Array[];
  readonly hints: ReadonlyMap<number, Uint8Array>;
  readonly self: readonly (readonly [region: number, offset: number, callee: number])[];
}

class Reader {
  at = 0;
  constructor(readonly bytes: Uint8Array) {}

  get more(): boolean {
    return this.at < this.bytes.length;
  }

  number(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.bytes[this.at++] ?? 0;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  }

  take(length: number): Uint8Array {
    return this.bytes.subarray(this.at, (this.at += length));
  }
}

class Writer {
  private readonly parts: Uint8Array[] = [];
  length = 0;

  put(bytes: Uint8Array | readonly number[]): this {
    const part = bytes instanceof Uint8Array ? bytes : Uint8Array.from(bytes);
    this.parts.push(part);
    this.length += part.length;
    return this;
  }

  number(value: number): this {
    const bytes: number[] = [];
    for (; value >= 0x80; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
    return this.put([...bytes, value]);
  }

  section(id: Section, body: Writer): this {
    return this.put([id]).number(body.length).put(body.bytes());
  }

  custom(name: string, body: Writer): this {
    const text = new TextEncoder().encode(name);
    return this.section(Section.custom, new Writer().number(text.length).put(text).put(body.bytes()));
  }

  bytes(): Uint8Array<ArrayBuffer> {
    const all = new Uint8Array(this.length);
    let at = 0;
    for (const part of this.parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}

/** (local v128) (block (br_if 0 (i32.eqz (local.get 0))) multiply the local by itself, and put a part of it into 1) (local.get 1) */
function filler(): Uint8Array {
  const body = new Writer().put([1, 1, 0x7b, 0x02, 0x40, 0x20, 0, 0x45, 0x0d, 0, 0x20, 4]);
  for (let count = 0; count < FILLING; count++) body.put([0x20, 4, 0xfd, 0xd5, 1]);
  return body.put([0xfd, 0x1d, 0, 0xa7, 0x21, 1, 0x0b, 0x20, 1, 0x0b]).bytes();
}

/** The records of a joined module, one behind the other. */
export function recordsOf(module: Uint8Array): Uint8Array[] {
  const reader = new Reader(module);
  const records: Uint8Array[] = [];
  reader.take(MAGIC.length);
  while (reader.more) {
    const [id] = reader.take(1);
    const section = new Reader(reader.take(reader.number()));
    if (id !== Section.custom || new TextDecoder().decode(section.take(section.number())) !== KEPT) continue;
    while (section.more) {
      const { buffer, byteOffset } = section.bytes;
      records.push(section.take(new DataView(buffer, byteOffset + section.at).getUint32(0, true)));
    }
  }
  return records;
}

/** How many regions a record is of. */
export const regionsOf = (record: Uint8Array): number => new DataView(record.buffer, record.byteOffset).getUint32(4, true);

/** Null: it cannot be joined. */
function take({ record, module }: Module): Parts | null {
  const reader = new Reader(module);
  reader.take(MAGIC.length);
  const count = regionsOf(record);
  const common: Uint8Array[] = [];
  const hints = new Map<number, Uint8Array>();
  let self: [number, number, number][] | null = null;
  let bodies: Uint8Array[] = [];
  while (reader.more) {
    const [id] = reader.take(1);
    const section = new Reader(reader.take(reader.number()));
    if (id === Section.type || id === Section.import) common.push(section.bytes);
    if (id === Section.code) {
      bodies = Array.from({ length: section.number() }, () => section.take(section.number()));
    }
    if (id !== Section.custom) continue;
    const name = new TextDecoder().decode(section.take(section.number()));
    if (name === SELF) self = Array.from({ length: section.number() }, () => [section.number(), section.number(), section.number()]);
    if (name !== HINTS) continue;
    for (let left = section.number(); left > 0; left--) {
      const which = section.number();
      const start = section.at;
      for (let hint = section.number(); hint > 0; hint--) {
        section.number();
        section.take(section.number());
      }
      hints.set(which, section.bytes.subarray(start, section.at));
    }
  }
  const own = bodies.length - count;
  if (self === null || own < 0) return null;
  const first = IMPORTED + own;
  return {
    record,
    common: [...common, ...bodies.slice(0, own)],
    bodies: bodies.slice(own),
    hints: new Map([...hints].map(([which, bytes]) => [which - first, bytes])),
    self,
  };
}

const same = (a: Uint8Array, b: Uint8Array | undefined): boolean => a.length === b?.length && a.every((byte, at) => byte === b[at]);

/** Those that can be joined, as one module; null: none can. */
export function join(modules: readonly Module[]): Uint8Array<ArrayBuffer> | null {
  const all = modules.map(take).filter((parts) => parts !== null);
  const [first] = all;
  if (first === undefined) return null;
  const alike = all.filter(({ common }) => common.length === first.common.length && common.every((bytes, at) => same(bytes, first.common[at])));
  const [types, imports, ...own] = first.common;
  if (types === undefined || imports === undefined) return null;
  const base = IMPORTED + own.length;
  const functions = new Writer();
  const elements = new Writer();
  const hints = new Writer();
  const bodies = new Writer();
  const records = new Writer();
  let count = 0;
  let hinted = 0;
  for (const body of own) bodies.number(body.length).put(body);
  for (const parts of alike) {
    const begin = count;
    const changed = parts.bodies.map((body) => body.slice());
    for (const [region, offset, callee] of parts.self) {
      let value = base + begin + callee;
      for (let at = 0; at < 5; at++, value >>>= 7) (changed[region] ?? new Uint8Array(0))[offset + at] = (value & 0x7f) | (at < 4 ? 0x80 : 0);
    }
    for (const [region, body] of changed.entries()) {
      elements.number(base + count++);
      bodies.number(body.length).put(body);
      const bytes = parts.hints.get(region);
      if (bytes === undefined) continue;
      hints.number(base + begin + region).put(bytes);
      hinted++;
    }
    records.put(parts.record);
  }
  const fill = filler();
  for (let last = 0; last < FILLERS; last++) {
    elements.number(base + count++);
    bodies.number(fill.length).put(fill);
  }
  functions.number(own.length + count).put(new Uint8Array(own.length + count)); // all of type 0
  return new Writer()
    .put(MAGIC)
    .section(Section.type, new Writer().put(types))
    .section(Section.import, new Writer().put(imports))
    .section(Section.function, functions)
    .section(Section.element, new Writer().number(1).put([0, 0x23, 0, 0x0b]).number(count).put(elements.bytes())) // from global 0 on
    .custom(HINTS, new Writer().number(hinted).put(hints.bytes()))
    .section(Section.code, new Writer().number(own.length + count).put(bodies.bytes()))
    .custom(KEPT, records)
    .bytes();
}

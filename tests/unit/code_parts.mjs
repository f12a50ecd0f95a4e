// What tests/unit/test_code_parts.py runs in node: compiled modules that are none, and a cache that keeps bytes.
import { addresses, maker, stored } from "../../sdk/src/worker/parts.ts";
import { recordsOf } from "../../sdk/src/worker/join.ts";
import { openCodeStore, readPacks, rushes } from "../../sdk/src/code_store.ts";

const MB = 1 << 20;

class FakeCache {
  entries = new Map();
  url = (key) => new URL(key.url ?? key, "http://page/").href;
  keys = async () => [...this.entries.keys()].map((url) => ({ url }));
  match = async (key) => (this.entries.has(this.url(key)) ? new Response(this.entries.get(this.url(key))) : undefined);
  delete = async (key) => this.entries.delete(this.url(key));
  async put(key, response) {
    const bytes = await response.arrayBuffer();
    this.entries.delete(this.url(key));
    this.entries.set(this.url(key), bytes);
  }
}

const opened = new Map();
globalThis.caches = {
  keys: async () => [...opened.keys()],
  open: async (name) => opened.get(name) ?? opened.set(name, new FakeCache()).get(name),
};
globalThis.fetch = async () => new Response("a kernel");

const number = (value) => (value < 128 ? [value] : [(value & 127) | 128, ...number(value >>> 7)]);
const text = (value) => [value.length, ...new TextEncoder().encode(value)];
const joinable = (size) => {
  const body = Buffer.alloc(size);
  const bodies = Buffer.concat([Buffer.from([3, 1, 0, 1, 0, ...number(size)]), body]); // two own functions, one region
  const sections = [[1, [0]], [2, [0]], [0, [...text("ebb.self"), 0]], [10, bodies]];
  const parts = sections.map(([id, bytes]) => Buffer.concat([Buffer.from([id, ...number(bytes.length)]), Buffer.from(bytes)]));
  return new Uint8Array(Buffer.concat([Buffer.from([0, 97, 115, 109, 1, 0, 0, 0]), ...parts]));
};
/** A module of one region, with a letter in its record. */
const module = (letter, size, length = 16) => {
  const record = new Uint8Array(length).fill(letter.charCodeAt(0), 12);
  new DataView(record.buffer).setUint32(0, length, true);
  new DataView(record.buffer).setUint32(4, 1, true);
  return { record, module: joinable(size) };
};
const letter = (record) => String.fromCharCode(record[12]);
const until = async (condition) => {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve));
};

/** A visit to a page with a store of modules. */
async function visit(modules, recalled = []) {
  const store = await openCodeStore(new URL("http://page/kernel.wasm"));
  for (const which of recalled) store.recalled(which);
  for (const { record, module } of modules) store.add(record.buffer, module.buffer);
  await store.flush();
  return store;
}
let visits = 0;
/** Its maker, and what it asks V8 to optimise: V8 has done with the parts for which `ready` says so, or never. */
async function making({ name }, ready = () => true) {
  const joined = await caches.open("joined");
  const asked = [];
  const done = new Map();
  const optimise = async (url) => {
    const letters = (await contents(url)).join("");
    asked.push(letters);
    if (ready(letters) === "ends") return new Promise(() => undefined);
    return () => new Promise((resolve) => (ready(letters) ? resolve() : done.set(letters, resolve)));
  };
  const go = maker(await caches.open(name), joined, "http://page/kept-code/", `visit${++visits}`, optimise);
  return { asked, done, go };
}
const contents = async (url) => recordsOf(await stored(await caches.open("joined"), url)).map(letter);
/** Letters of parts, in their order; those in brackets are not optimised. */
async function parts() {
  const found = [];
  for (const { url, optimised } of await addresses(await caches.open("joined"))) {
    const letters = (await contents(url)).join("");
    found.push(optimised ? letters : `(${letters})`);
  }
  return found;
}
/** All are optimised, and nothing that was replaced is there any more. */
const are = (wanted) => until(async () => (await parts()).join() === wanted.join());

/**
 * What a page asks with, checked where it leaves the page: a value of another type is a TypeError, one out of range a
 * RangeError. What only the machine knows (the names of signals and errnos, kinds of chaos) it refuses in the same way.
 */

type Check = (name: string, value: unknown) => void;

/** By the parameter's name, of every request that has one, and of `boot`. */
const CHECKS: Readonly<Record<string, Check>> = {
  argv: checkTexts,
  env: checkEnv,
  cwd: orNull(checkText),
  user: orNull(checkText),
  image: checkText,
  path: checkText,
  to: checkText,
  target: checkText,
  paths: checkTexts,
  files: checkFiles,
  mode: orNull(whole(0, 0o7777)),
  timeoutMs: orNull(checkTime),
  maxOutput: orNull(whole(0, Number.MAX_SAFE_INTEGER)),
  port: whole(1, 65535),
  rows: whole(0, 65535),
  cols: whole(0, 65535),
  pty: orNull(checkSize),
  policy: orNull(checkPolicy),
  signal: checkSignal,
  tick: whole(0, Number.MAX_SAFE_INTEGER),
  seed: orNull(whole(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)),
};

/** How the page writes a parameter, where that is not its name here. */
const WRITTEN: Readonly<Record<string, string>> = { timeoutMs: "timeout", argv: "an argument" };

/** Throw for the first wrong one. */
export function checkArguments(params: object): void {
  for (const [name, value] of Object.entries(params)) CHECKS[name]?.(WRITTEN[name] ?? name, value);
}

/** For what is one of some words. */
export function checkOneOf(name: string, value: unknown, known: readonly string[]): void {
  if (typeof value !== "string") throw new TypeError(`${name} must be a string; got ${shown(value)}`);
  if (!known.includes(value)) throw new RangeError(`${name} must be one of ${known.join(", ")}; got ${shown(value)}`);
}

/** Whether an encoding asks for text, and not for bytes. */
export function wantsText(encoding: unknown): boolean {
  if (encoding === "bytes") return false;
  if (encoding === "utf8" || encoding === "utf-8") return true;
  throw new TypeError(`encoding must be "utf8", "utf-8" or "bytes"; got ${shown(encoding)}`);
}

/** A file that somebody gives; it may be another frame's. */
export function checkBlob(value: unknown): asserts value is Blob {
  if (typeof (value as Partial<Blob> | null | undefined)?.arrayBuffer === "function") return;
  throw new TypeError(`a file must be a Blob, such as a File; got ${shown(value)}`);
}

/** An AbortSignal may be another frame's. */
export function checkAbortSignal(value: unknown): void {
  if (value === undefined || value === null || Object.prototype.toString.call(value) === "[object AbortSignal]") return;
  throw new TypeError(`signal must be an AbortSignal; got ${shown(value)}`);
}

/** A command's words: `run(["ls", "-l"])` and `run("ls", "-l")` are the usual mistakes. */
export function wordsOf(command: unknown, args: unknown): string[] {
  if (typeof command !== "string") throw new TypeError(`a command is a string, and its arguments follow in an array, as in run("ls", ["-l"]); got ${shown(command)}`);
  if (!Array.isArray(args)) throw new TypeError(`a command's arguments are an array, as in run("ls", ["-l"]); got ${shown(args)}`);
  return [command, ...(args as string[])];
}

/** A value, as a message shows it. */
export function shown(value: unknown): string {
  if (value === null || value === undefined || typeof value === "number" || typeof value === "bigint") return String(value);
  if (typeof value === "function" || typeof value === "symbol") return `a ${typeof value}`;
  try {
    const text = JSON.stringify(value);
    return text.length > 80 ? `${text.slice(0, 79)}…` : text;
  } catch {
    return `a value of type ${typeof value}`;
  }
}

function orNull(check: Check): Check {
  return (name, value) => {
    if (value !== null) check(name, value);
  };
}

function checkText(name: string, value: unknown): void {
  if (typeof value !== "string") throw new TypeError(`${name} must be a string; got ${shown(value)}`);
  if (value.includes("\0")) throw new RangeError(`${name} must not hold a NUL; got ${shown(value)}`);
}

function checkTexts(name: string, value: unknown): void {
  if (!Array.isArray(value)) throw new TypeError(`${name} must be an array of strings; got ${shown(value)}`);
  for (const one of value) checkText(name, one);
}

function checkFiles(_: string, value: unknown): void {
  for (const { path } of value as readonly { path: unknown }[]) checkText("path", path);
}

function checkPolicy(name: string, value: unknown): void {
  if (typeof value !== "object" || value === null) throw new TypeError(`${name} must be { clone, exec }; got ${shown(value)}`);
  for (const [kind, rule] of Object.entries(value)) {
    if (typeof rule === "string" || (typeof rule === "object" && rule !== null)) continue;
    throw new TypeError(`${name}: ${kind} must be an errno's name or { error, after, times }; got ${shown(rule)}`);
  }
}

function checkEnv(name: string, value: unknown): void {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(`${name} must be an object of strings; got ${shown(value)}`);
  }
  for (const [key, text] of Object.entries(value)) {
    checkText(`${name}: ${shown(key)}`, text);
    if (key === "" || /[=\0]/.test(key)) throw new RangeError(`${name}: no variable can be named ${shown(key)}`);
  }
}

function checkNumber(name: string, value: unknown): asserts value is number {
  if (typeof value !== "number") throw new TypeError(`${name} must be a number; got ${shown(value)}`);
}

function whole(least: number, most: number): Check {
  return (name, value) => {
    checkNumber(name, value);
    if (Number.isInteger(value) && value >= least && value <= most) return;
    const range = most === Number.MAX_SAFE_INTEGER ? (least === 0 ? ", not negative" : "") : ` from ${least} to ${most}`;
    throw new RangeError(`${name} must be a whole number${range}; got ${value}`);
  };
}

function checkTime(name: string, value: unknown): void {
  checkNumber(name, value);
  if (!(value >= 0 && value < Infinity)) throw new RangeError(`${name} must be a number of milliseconds, not negative; got ${value}`);
}

function checkSize(name: string, value: unknown): void {
  if (typeof value !== "object" || value === null) throw new TypeError(`${name} must be { rows, cols }; got ${shown(value)}`);
  const { rows, cols } = value as { rows?: unknown; cols?: unknown };
  whole(0, 65535)(`${name}: rows`, rows);
  whole(0, 65535)(`${name}: cols`, cols);
}

function checkSignal(name: string, value: unknown): void {
  if (typeof value !== "string") whole(0, 64)(name, value);
}

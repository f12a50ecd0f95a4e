/**
 * Ebb's SDK: a Linux machine in the page.
 *
 *     import { boot } from "ebbtide";
 *     const sdk = await boot({ image: "base" });
 *     const { stdout } = await sdk.run("ls", ["-l", "/"]);
 */

export { boot, type BootOptions } from "./boot.js";
export {
  BrowserError,
  EbbError,
  ERROR_CODES,
  LinuxError,
  PanicError,
  RunError,
  type ErrorCode,
  type ErrorMeaning,
} from "./errors.js";
export { KEPT_MOST } from "./limits.js";
export type { Files, Stat, TextEncoding } from "./fs.js";
export type { CommandOptions, RunOptions, RunResult, Sdk, SpawnOptions } from "./machine.js";
export type { Counters, ExitStatus, FileKind, JitMode, Limits, Log, Policy, PolicyRule, Progress, RunInfo, Size, Stage, Stats, TraceRow, Verdict, VerifyLevels } from "./messages.js";
export type { Connection } from "./net.js";
export type { Process } from "./process.js";
export type { Branch, ProfileOptions, Recording, Rewind, RunEvent, Runs, TraceLayer, TraceOptions, VerifyOptions, When } from "./runs.js";
export type { SnapshotInfo, Snapshots } from "./snapshots.js";
export type { Input } from "./streams.js";
export { openScreen, preloadTerminal } from "./terminal.js";
export type { AttachOptions, Attachment, Found, Screen, ScreenOptions, TerminalKey, TerminalSettings } from "./terminal.js";

// The border between the kernel and the runtime: exports, statuses, events, outbox records, report.
//
// Nothing here is copied by hand into Python: k_abi() prints every constant and offset as text
// ("status.READY 1"), and the runtime reads that text at start. A change that alters a meaning bumps
// ABI_VERSION in the same commit. All fields are little-endian; 64-bit fields are 8-aligned.
#pragma once
#include "types.h"

#define ABI_VERSION 1
#define MACHINE_BASE 0x08000000u // first byte of the machine region; below it everything is private
#define HART_MAX 6 // a hart's caches take some 15 MiB of the private region
#define CALL_WINDOW 0x80000u // bytes of memory that one agent call can read and write (512 KiB)

// ---- Statuses of k_step (docs/architecture.md) -------------------------------------------------
#define STATUS_TABLE(X)                                                                            \
    X(READY, 1)        /* budget spent, mail waiting or a freeze asked for */                      \
    X(FUTEX_WAIT, 2)       /* idle; the last task to block waits for a futex */                     \
    X(PIPE_WAIT, 3)        /* idle; … a pipe */                                                     \
    X(EPOLL_WAIT, 4)       /* idle; … poll, select, epoll */                                        \
    X(SOCKET_WAIT, 5)      /* idle; … a socket */                                                   \
    X(TTY_WAIT, 6)         /* idle; … a terminal */                                                 \
    X(CHILD_WAIT, 7)       /* idle; … a child */                                                    \
    X(VFORK_WAIT, 8)       /* idle; … its vfork child */                                            \
    X(SLEEP, 9)            /* idle; … time, or there is no task */                                  \
    X(FS_WAIT, 10)      /* idle; … file data from the host */                                       \
    X(CLONE_SPAWN, 11)  /* a clone passed all checks; owner answers with ADMIT; detail: its number */ \
    X(EXECVE_SPAWN, 12) /* the same for an exec: report.detail = its number among all execs asked */ \
    X(JIT_READY, 13)    /* a module waits to be compiled: report.detail = its struct jit_module */ \
    X(EXITED, 14)       /* one that the host started ended: report.pid, .detail = wait status */   \
    X(PANIC, 15)        /* our bug: report.detail = address of the message */
enum {
#define X(name, value) STATUS_##name = value,
    STATUS_TABLE(X)
#undef X
};

// ---- Events: the only way in -------------------------------------------------------------------
#define EVENT_TABLE(X)                                                                             \
    X(BOOT, 1)     /* struct event_boot, then `index_len` bytes of the root image's index */       \
    X(CLOCK, 2)    /* struct event_clock */                                                        \
    X(CALL, 3)     /* struct event_call, then `data_len` bytes: a host operation */                \
    X(CANCEL, 4)   /* struct event_cancel: a waiting CALL ends with -EINTR */                      \
    X(ADMIT, 5)    /* struct event_admit: answer to CLONE_SPAWN / EXECVE_SPAWN */                  \
    X(LIMITS, 6)   /* struct event_limits */                                                       \
    X(BLOCK_IN, 7) /* struct event_block, then the chunk's bytes: answer to OUT_BLOCK */           \
    X(HOSTFS, 8)   /* struct event_hostfs, then data: answer to OUT_HOSTFS */                      \
    X(RESEED, 9)   /* 32 bytes of entropy */                                                       \
    X(CHAOS, 10)   /* struct event_chaos: what is to go wrong from now on */

enum {
#define X(name, value) EVENT_##name = value,
    EVENT_TABLE(X)
#undef X
};

struct event {
    u32 kind; // EVENT_*
    u32 len;  // bytes, this header included
};

struct event_boot {
    struct event event;
    u64 ram_bytes;   // size of the machine region
    u64 realtime_ns; // CLOCK_REALTIME at tick 0
    u32 cpus;        // what nproc shows
    u32 harts;       // harts that will step (1 when recorded)
    u32 index_len;   // bytes of the image index after this struct
    u32 flags;       // BOOT_*
    u8 seed[32];     // for the random generator
    char hostname[64];
};
enum { BOOT_STRACE = 1, BOOT_ORDERED = 2 /* several harts, and a replay is to be the same */ };

// virtual_now = base_ns + ((tick - tick_at_delivery) * mul >> 24); base never goes back.
struct event_clock {
    struct event event;
    u64 base_ns;    // CLOCK_MONOTONIC now
    u32 mul;        // ns per tick, 8.24 fixed point
    u32 pad;
    u64 suspend_ns; // REALTIME and BOOTTIME jump ahead by this
};

// Runs system call `nr` in an agent task. Argument i is a scalar, or, if bit i of `window_args` is set, an
// offset into the agent's window, into which the data was copied at offset 0. When the call ends,
// OUT_CALL carries the result and window[out_off, out_off + n), n = out_len or, with CALL_OUT_RESULT,
// min(out_len, result), and nothing if the call failed.
struct event_call {
    struct event event;
    u32 id; // chosen by the runtime, returned by OUT_CALL
    u32 nr;
    u32 flags; // CALL_*
    u32 window_args;
    u32 out_off;
    u32 out_len;
    u64 args[6];
    u32 data_len;
    u32 pad;
};
enum { CALL_OUT_RESULT = 1 };

// Calls that only agents may make, numbered above Linux's.
#define AGENT_CALL_TABLE(X)                                                                        \
    X(SPAWN, 1000)     /* (struct spawn in window, its length, out fds offset) -> pid */           \
    X(KILL_TREE, 1002) /* (pid, signal): a process, its group and descendants */

// In the window at args[0]; strings follow, NUL-terminated, at the given offsets from the struct.
struct spawn {
    u32 flags; // SPAWN_*
    u32 uid, gid;
    u32 argc, argv_off; // argc strings
    u32 envc, envp_off; // envc strings
    u32 cwd_off;
    u16 rows, cols;
    i32 fds[3]; // agent descriptors that become 0, 1, 2; -1: /dev/null; -2: a new pipe; unused with PTY
};
// The host's ends are stored at args[2]: i32[3] (stdin writer, stdout reader, stderr reader or -1); with
// SPAWN_PTY the master stands in [0]. argv[0] without a slash is looked up in the PATH of envp.
enum { SPAWN_PTY = 1, SPAWN_STDERR_TO_STDOUT = 2, SPAWN_NEW_SESSION = 4 };
enum { SPAWN_FD_NULL = -1, SPAWN_FD_PIPE = -2 };

struct event_cancel {
    struct event event;
    u32 id;
    u32 pad;
};

struct event_admit {
    struct event event;
    u32 tid;
    u32 seq;   // report.call_seq of the status answered
    i32 error; // 0 or -errno
    u32 pad;
};

struct event_limits {
    struct event event;
    u32 tasks; // guest tasks at most (EAGAIN above); 0 leaves it
    u32 files; // RLIMIT_NOFILE of new processes; 0 leaves it
    u32 admit; // ADMIT_*: which statuses are raised
    u32 disk;  // pages at most that files hold beyond the image's (ENOSPC above); 0 leaves it
};
enum { ADMIT_CLONE = 1, ADMIT_EXEC = 2 };

struct event_block {
    struct event event;
    u32 chunk; // index into the image's chunk table
    i32 error; // 0 or -EIO
    u32 data_len;
    u32 pad;
};

struct event_hostfs {
    struct event event;
    u32 id; // of the OUT_HOSTFS answered
    i32 error;
    u32 data_len;
    u32 pad;
    u64 value;
};

// Of the rate of a kind, 2^32 would be always. All zero: no more chaos.
#define CHAOS_TABLE(X)                                                                             \
    X(ERRNO, 0) /* system calls end with an error that their manual page lists (chaos.tbl) */      \
    X(SHORT, 1) /* fewer bytes are read or written than could be */                                \
    X(CLOCK, 2) /* CLOCK_REALTIME jumps; time jumps ahead, or runs at another rate */              \
    X(SCHED, 3) /* a task's turn ends at any instruction, and any other is next */
enum {
#define X(name, value) CHAOS_##name = value,
    CHAOS_TABLE(X)
#undef X
    CHAOS_KINDS
};
struct event_chaos {
    struct event event;
    u64 seed;
    u32 rate[CHAOS_KINDS];
};

// ---- Outbox: the only way out ------------------------------------------------------------------
#define OUT_TABLE(X)                                                                               \
    X(CALL, 1)   /* struct out_call, then data: an agent call has ended */                         \
    X(BLOCK, 2)  /* struct out_block: a chunk of the image is needed */                            \
    X(HOSTFS, 3) /* struct out_hostfs, then data */                                                \
    X(LOG, 4)    /* struct out_log, then text */                                                   \
    X(NOTICE, 5) /* struct out_notice: a process met a limit */                                    \
    X(TAP, 6)    /* struct out_tap, then data: what k_tap asked to see; only a replay does */

enum {
#define X(name, value) OUT_##name = value,
    OUT_TABLE(X)
#undef X
};

struct out {
    u32 kind; // OUT_*
    u32 len;  // bytes, this header included
};

struct out_call {
    struct out out;
    u32 id;
    u32 data_len;
    i64 result;
};

struct out_block {
    struct out out;
    u32 chunk;
    u32 size;
    u8 hash[32]; // SHA-256 of the chunk's bytes: its name in the store
};

struct out_hostfs {
    struct out out;
    u32 id;
    u32 mount; // index of the host mount
    u32 op;    // HOSTFS_*
    u32 data_len;
    u64 args[4];
};

// What a host mount is asked (fs/hostfs.c). The data begins with args[3] bytes of path, relative to the mount
// without a leading slash ("" is its root); what follows is named here. Answers: error 0 or -errno.
#define HOSTFS_TABLE(X)                                                                            \
    X(GETATTR, 1)  /* -> struct hostfs_attr; never follows a symbolic link */                      \
    X(READDIR, 2)  /* -> entries without "." and "..": u64 ino, u8 DT_*, u8 length, name */        \
    X(READ, 3)     /* args: offset, length -> the bytes; fewer at the end of the file only */      \
    X(WRITE, 4)    /* args: offset (~0: append); the bytes -> value: offset behind them */         \
    X(TRUNCATE, 5) /* args: size */                                                                \
    X(CREATE, 6)   /* args: mode, a new regular file (EEXIST) -> struct hostfs_attr */             \
    X(MKDIR, 7)    /* args: mode -> struct hostfs_attr */                                          \
    X(SYMLINK, 8)  /* the target -> struct hostfs_attr */                                          \
    X(READLINK, 9) /* -> the target */                                                             \
    X(LINK, 10)    /* a second path, of the existing file */                                       \
    X(UNLINK, 11)  /* a file */                                                                    \
    X(RMDIR, 12)                                                                                   \
    X(RENAME, 13)  /* args: RENAME_*; the new path */                                              \
    X(SETATTR, 14) /* struct hostfs_attr: mode, uid, gid and times count */
enum {
#define X(name, value) HOSTFS_##name = value,
    HOSTFS_TABLE(X)
#undef X
};
struct hostfs_attr {
    u32 mode, nlink, uid, gid;
    u64 ino, size;
    u64 atime_ns, mtime_ns, ctime_ns;
};

struct out_log {
    struct out out;
    u32 level; // LOG_*
    u32 pad;
};
enum { LOG_INFO = 1, LOG_WARN = 2, LOG_STRACE = 3 };

struct out_notice {
    struct out out;
    u32 what; // NOTICE_*
    u32 pid;
    u32 ppid;   // its session
    u32 status; // LIMIT_*
};
enum { NOTICE_LIMIT = 4 };
enum { LIMIT_MEMORY = 1, LIMIT_PIDS = 2, LIMIT_DISK = 3 }; // which a process has met

// What a replay sees of programs. Of a socket, its number is an address: another one may get it when it is gone.
#define TAP_TABLE(X)                                                                               \
    X(CALL, 1)      /* a system call begins: number; data: its text */                             \
    X(RETURN, 2)    /* it has ended: number, result; data: its text */                             \
    X(CLONE, 3)     /* by the new task: pid and tid of the caller, flags */                        \
    X(EXEC, 4)      /* parent's pid, count of arguments; data: path and arguments, each with a NUL */ \
    X(EXIT, 5)      /* a task ends: wait status, 1 if its process ends with it, ticks of the task */ \
    X(SENT, 6)      /* a signal, by its target: number, si_code, sender's pid, 1 if for this task alone */ \
    X(DELIVERED, 7) /* number, si_code, address of the handler (0: default action), si_addr */     \
    X(CONNECT, 8)   /* client's socket, server's, client's descriptor, family, their ports; data: inet: their     \
                       addresses, 16 bytes each; unix: the server's path */                        \
    X(ACCEPT, 9)    /* the server's socket */                                                      \
    X(SEND, 10)     /* socket, receiving one, descriptor; data: the bytes */                       \
    X(RECEIVE, 11)  /* socket, sending one or 0, descriptor, bytes taken */                        \
    X(END, 12)      /* socket, its peer, TAP_END_*, descriptor */                                  \
    X(OPEN, 13)     /* directory's descriptor, flags, mode, 0 or -errno; data: the path */         \
    X(SAMPLE, 14)   /* pc, address space, version of its mappings, system call or -1; data: x0 to x31, stack */ \
    X(BLOCKED, 15)  /* the same, of a task that begins to wait in a system call */                 \
    X(RESUMED, 16)  /* it runs again */                                                            \
    X(MAPS, 17)     /* address space, version; data: a line for each executable mapping */         \
    X(CHAOS, 18)    /* something was injected: CHAOS_*, system call, and the error, the bytes moved, the ns by    \
                       which a clock jumped, or how many waiting tasks were passed over (0: it was preempted) */
enum {
#define X(name, value) TAP_##name = value,
    TAP_TABLE(X)
#undef X
};
enum { TAP_END_FIN = 1, TAP_END_RESET = 2, TAP_END_CLOSE = 3 };
#define TAP_ARGS 6
struct out_tap {
    struct out out;
    u32 what; // TAP_*
    u32 data_len;
    u64 tick;
    u64 now_ns;  // CLOCK_MONOTONIC
    u64 real_ns; // CLOCK_REALTIME
    u32 pid, tid; // whose doing
    i64 args[TAP_ARGS];
};

// ---- Per-hart report, filled before k_step returns ---------------------------------------------
struct report {
    u32 status;
    u32 tid, pid; // task the status is about
    u32 nr;       // its system call
    u64 pc;
    u64 tick;        // machine tick after the step
    u64 now_ns;      // virtual CLOCK_MONOTONIC after the step
    u64 deadline_ns; // earliest timer, virtual; ~0 when there is none
    u64 retired;     // instructions retired by this hart since attach
    u64 steps;
    u32 seen;     // doorbell value for k_park
    u32 call_seq; // for ADMIT
    u32 outbox;   // bytes waiting in the outbox
    u32 detail;
    u64 moment;   // where that is in the run: the tick, but for several harts that are recorded or replayed
    u64 order;    // order_log.head at that moment
};

// Private counters that tests read (struct host), and pages: is the machine at rest? Never part of a decision.
struct counters {
    u32 harts_inside;     // harts inside k_step now
    u32 harts_inside_max; // and at most
    u32 guest_inside;     // harts executing guest code now
    u32 guest_inside_max; // and at most
    u32 outbox_records;
};

// ---- Compiled code (docs/jit.md) ---------------------------------------------------------------
// A module that waits to be compiled and installed in this hart's instance. It imports env.memory, env.table (the
// kernel's), env.slot (an immutable i32 global, the value below) and functions of kernel.wasm by their
// export names; its element segment fills the table's slots [slot, slot + count).
struct jit_module {
    u32 id;
    u32 bytes, len; // in private memory, there until k_jit_done
    u32 slot, count;
    u32 record, record_len; // beside it; 0: this one is not worth keeping for other runs
    u32 listing, listing_len; // what it was made from, as text, if that is wanted
    u32 ready; // the host writes `id` here when it can be installed, from wherever: the step under way ends
    u32 kept; // not 0: there are no bytes, but one of those that k_jit_keep has named is wanted; the first is 1
};

// What a hart's compiler has done; private.
struct jit_counters {
    u64 instructions; // retired in compiled code
    u64 entries;      // of compiled code from outside it
    u64 compile_ns;   // host time for compiling and installing; the port's to write
    u32 regions, modules;
    u32 region_instructions; // translated
    u32 module_bytes;
    u32 refused;   // modules that the host did not take
    u32 evictions; // times that all compiled code was dropped
    u32 stale;     // entries of regions found to belong to other bytes than are mapped now
    u32 queued;
    u32 kept_regions, kept_modules; // taken from other runs
    u32 epochs;  // times that all regions were looked at again
    u32 flushes; // times that all decoded code was dropped
};
// What the engine has, for k_jit_start; JIT_COLD_CALLS: what lives across a call behind an unlikely branch is moved for it there, and
// stays in registers elsewhere.
enum { JIT_TAIL_CALLS = 1, JIT_RELAXED_MADD = 2, JIT_COLD_CALLS = 8 };
enum { JIT_LISTING = 4 };                         // besides: that listings are wanted

// ---- A debugger's view (debug.h); private --------------------------------------------------------
#define DEBUG_TABLE(X)                                                                             \
    X(BREAK, 0)  /* the instruction at va is next */                                               \
    X(WRITE, 1)  /* the bytes at va have changed */                                                \
    X(READ, 2)   /* they were read */                                                              \
    X(ACCESS, 3) /* either, or the same was written */                                             \
    X(FATAL, 4)  /* a signal ends the process; va: wait status */                                  \
    X(EXIT, 5)   /* it ends by itself; va: wait status */                                          \
    X(EXEC, 6)   /* it becomes another program */
enum {
#define X(name, value) DEBUG_##name = value,
    DEBUG_TABLE(X)
#undef X
};

struct debug_note {
    u64 tick;  // just before
    u64 after; // and just after
    u64 va;
    u64 pc;
    u32 kind; // DEBUG_*
    u32 pid, tid;
    u32 pad;
};
struct debug_notes {
    u32 count; // all there were; the last of them stand in note[], as a ring
    u32 pad;
    struct debug_note note[];
};

struct debug_task {
    u32 pid, tid, ppid;
    u32 state;   // enum task_state
    u32 current; // it is next
    u32 nr;      // the system call it is in; ~0: none
    u64 instret; // instructions it has retired
    char name[16];
};
struct debug_tasks {
    u32 count;
    u32 pad;
    struct debug_task task[];
};

struct debug_registers {
    u64 x[32];
    u64 pc;
    u64 f[32];
    u64 instret;
    u32 fcsr;
    u32 pad;
};

// What a core file says of a thread beside its registers, and of its process. Times are in ns; a leader's
// are those of all threads.
struct debug_status {
    u32 pgid, sid, uid, gid;
    i32 nice;
    u32 pad;
    u64 pending, blocked; // bit n - 1: signal n, of this thread alone
    u64 utime, stime, child_utime, child_stime;
};

struct debug_map {
    u64 start, end;
    u64 offset; // in the file
    u32 prot, flags; // PROT_*, VMA_*
    u32 main;   // of the program itself
    u32 name_len;
    u8 name[];  // path of the file, or [stack]
};

// ---- The order of kernel passes (order.h); private -------------------------------------------------
struct order_log {
    u32 head;  // [atomic] bytes written so far, modulo 2^32
    u32 tail;  // [atomic] bytes taken by the runtime
    u32 size;  // of the ring
    u32 data;  // its address
    u32 feed;  // a replay: the address of what is to be followed
    u32 len;   // its length
    u32 at;    // what has been done
    u32 event; // not 0: the next event is to be delivered
    u32 place; // a replay: the address of what it has beside the pages, which can be kept and put back
    u32 place_len;
    u64 delivered;        // head behind the record of the last event
    u64 delivered_moment; // when that was
    u64 until_ns;         // a replay: not 0: a step ends when it is so late; an argument, not kept
};

// ---- Exports: i32 only (law 23) ----------------------------------------------------------------
// k_abi()                     -> address of NUL-terminated text, "group.NAME value" per line
// k_attach(ram_pages, harts)  -> builds the private region over any machine region (fresh or restored); once a memory
// k_hart(hart)                -> address of its struct report; makes its stack and caches on first use
// k_stack(hart)               -> top of its stack: set __stack_pointer to it before any other call
// k_step(hart, budget_lo, budget_hi) -> status
// k_deliver(hart, event)      -> 0; event as taken from the inbox, or any private memory
// k_park(hart, seen, timeout_ns_lo, timeout_ns_hi) -> 0 woken, 1 doorbell had moved, 2 timed out
// k_ring(hart)                -> adds 1 to its doorbell and wakes it
// k_mail_alloc(len) k_mail_post(event) k_mail_take(hart) k_mail_free(event): the inbox
// k_out_take() k_out_free(record): the outbox, oldest first; 0 when empty
// k_out_wait(seen, timeout_ns_lo, hi) k_out_bell(): waiting for it; its doorbell's address
// k_fail()                    -> tells all harts that one ended in a trap: their steps answer PANIC or trap too
// k_freeze(on)                -> harts return READY and stay out; answers how many are still inside
// k_digest(out32)             -> SHA-256 over all machine pages, 32 bytes at out32
// k_span(which)               -> extent of used machine memory, in pages (0: heap end, 1: first frame, 2: end)
// k_jit_pace(hart, ticks)     -> for each guest instruction that is compiled, so many are to have run at least;
//     what k_jit_rest compiles is not counted
// k_jit_start(hart, slot, count, threshold, features) -> the hart compiles what was entered `threshold` times; its code may
//     use the table's slots [slot, slot + count). Without it a hart only interprets
// k_jit_keep(hart, address, len, early, slot) -> what is kept from other runs: the records of modules, one behind the other, in
//     private memory that stays; after k_jit_start, and again when there are more. They are as they came from the
//     kernel. Modules are numbered in the order in which they are named; they are asked for after `early` entries,
//     or, with a slot, are there already, one behind the other from it on, which is outside of k_jit_start's
// k_jit_done(hart, id, ok)    -> the module of JIT_READY is installed, or was refused
// k_jit_rest(hart)            -> while it is parked: the address of a module, as JIT_READY has it, of what is warm; 0: none
// k_order(mode, size)         -> address of struct order_log; 1: it is written, with a ring of so many bytes; 2: k_step follows it;
//     3: the machine at hand, where a replay has stopped, or at rest, is one of one hart from now on
// k_tap(mask)                 -> bit n asks for records of TAP_ n; no machine page changes by it
// k_sample(hart)              -> sends TAP_SAMPLE of what it runs, between two steps; 0 if it runs nothing
// k_chaos()                   -> address of u64[CHAOS_KINDS]: what was injected so far; 0: there is no chaos
// k_jit_counters(hart)        -> address of its struct jit_counters
// k_debug_clear() k_debug_add(pid, kind, va_lo, va_hi, len) k_debug_note(kinds, stops, here) k_debug_until(tid, instret_lo, hi):
//     what to look for; the first answers the address of struct debug_notes. A step that ends for it answers
//     READY, with report.detail 1
// k_debug_tasks(pid) k_debug_registers(tid) k_debug_status(tid) k_debug_map(pid, va_lo, va_hi) -> address of the struct, or 0
// k_debug_read(pid, va_lo, va_hi, to, len) k_debug_auxv(pid, to) -> bytes copied to private memory

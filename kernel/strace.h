// What the files of strace share: a line under way, and how an argument of a kind is put on it.
#pragma once
#include "kernel.h"

#define STRACE_MAX 1000u // bytes of a line

enum {
#define SYS(nr, name, args, waits, support, file) NR_##name = nr,
#include "syscalls.tbl"
#undef SYS
};

struct trace {
    struct task *task;
    struct text *text;
    const u64 *args;
    i64 result;
    bool ended; // the call is over: `result` holds
    bool good;  // and without an error: what it fills in is there
};

// Puts argument `i`, and those after it that belong together with it.
void trace_arg(struct trace *trace, const char *kind, u32 len, u32 i);
// After the result, where strace says more than a number: " (flags O_RDWR)".
void trace_after(struct trace *trace, u32 nr);
// Copies guest memory without changing the run: what is not present is not brought in. Bytes got.
u32 trace_look(struct trace *trace, u64 va, void *out, u32 len);

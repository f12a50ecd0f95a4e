// Handlers: `i64 sys_<name>(task, call)`, declared from the table. A handler reads top to bottom: fetch
// arguments, check, call the noun, return a value, -errno or E_WAIT (after wait_on).
#pragma once
#include "../kernel.h"
#include "../fs/path.h"

#define SYS(nr, name, args, waits, support, file) i64 sys_##name(struct task *task, struct call *call);
#include "../syscalls.tbl"
#undef SYS

// For traces: word `word` of the set `which` (0 to 2) that a pselect6 was given; at its end, the sets are what was found.
u64 select_asked(const struct call *call, u32 which, u32 word);

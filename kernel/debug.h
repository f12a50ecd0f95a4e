// What a debugger may ask of a stopped machine, and what makes a step end for it.
//
// All of it is private: no machine page differs for what is watched, noted or read. One hart only. A page that
// is watched has no entry in a TLB, so each access of the guest passes by here; breakpoints are ops of their
// own, kept out of compiled code.
#pragma once
#include "abi.h"

struct task;
struct process;

struct debug {
    bool active;   // any of the following
    bool stopped;  // the step ends
    bool stops;    // at the first note
    u32 kinds;     // bits of DEBUG_*: events to note
    u32 breaks;    // how many of `stop` are breakpoints
    u32 watches;   // and watchpoints
    u32 count;
    u64 from;      // breakpoints count from this tick on
    u32 until_tid; // a step ends when this task has retired so many instructions
    u64 until_instret;
    bool until_seen; // it has been there: it may begin later
    // The instruction noted last, which may have to begin again.
    u32 last_tid;
    u64 last_instret, last_pc;
    struct debug_stop *stop;
    // What the exports answer with.
    struct debug_notes *notes;
    struct debug_tasks *tasks;
    struct debug_registers *registers;
    struct debug_status *status;
    struct debug_map *map;
};

bool debug_check(void); // at the top of a step's loop: is it to end?
u64 debug_fuel(const struct task *task); // ticks it may run before debug_check
void debug_pass(u64 before); // a kernel pass is over, which began at this tick
// A watchpoint is in the frame at this address.
bool debug_watches(maddr frame, bool writes);
void debug_exec(struct process *process); // it is another program now
void debug_exit(struct process *process, u32 status); // the process begins to end
// What guest code runs into is declared in cpu/cpu.h.

// Chaos: what a machine may do to programs and rarely does, drawn by a generator of its own that an event seeds. It is
// machine state, so a replay needs nothing but that event. kernel->chaos is NULL when there is none: all
// that is asked then.
#pragma once
#include "abi.h"

struct file;
struct task;
struct uio;

struct chaos {
    u64 done[CHAOS_KINDS]; // first: what k_chaos shows
    u64 state[CHAOS_KINDS];
    u32 rate[CHAOS_KINDS]; // of 2^32
    u32 mul;               // of the last CLOCK event
    i32 drift;             // of 2^16: how much faster time runs than it says
    bool brief;            // the last turn that began is a short one
};

// struct call.chaos
enum { CHAOS_SEEN = 1, CHAOS_LIMITED = 2, CHAOS_ERROR = 4, CHAOS_CUT = 8 };

i64 chaos_set(const struct event_chaos *event); // 0 or -ENOMEM
// The others may be called only while there is chaos.
i64 chaos_begin(struct task *task);             // a call has begun: 0, or the error it ends with
i64 chaos_end(struct task *task, i64 result);   // it ends: with what
// Bytes are about to be moved in one call, `least` at least.
void chaos_limit(struct task *task, struct uio *uio, u64 least);
void chaos_limit_file(struct task *task, struct file *file, struct uio *uio, bool writes);
struct task *chaos_pick(void); // of a run queue that is not empty
u64 chaos_quantum(u64 most);
void chaos_preempts(struct task *task); // its turn is over, and others wait
u32 chaos_mul(u32 mul); // of a CLOCK event: what it is to be

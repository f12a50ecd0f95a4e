// Futex queues: futex(2). Grant waits: a waker takes the waiter off its queue and stores the answer.
#pragma once
#include "task.h"

struct futex_key { // private: (address space, address); shared: (object, offset)
    u64 space;
    u64 offset;
};
i64 futex_wait(struct task *task, struct call *call, uptr word, u32 expected, u32 bitset, bool shared);
i64 futex_wake(struct task *task, uptr word, u32 count, u32 bitset, bool shared);
i64 futex_requeue(struct task *task, uptr from, u32 wake, u32 move, uptr to, const u32 *expected, bool shared);
i64 futex_wake_op(struct task *task, uptr word, u32 count, uptr word2, u32 count2, u32 op, bool shared);

void futex_wake_word(struct task *task, u64 va, u32 count); // for clear_child_tid
void futex_robust_exit(struct task *task);                  // robust list of a task that leaves its address space

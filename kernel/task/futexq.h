// Futex queues: futex(2). Grant waits: a waker takes the waiter off its queue and stores the answer.
#pragma once
#include "../lib/list.h"
#include "task.h"

// What a futex word means to the kernel where it does mean something: robust and priority-inheriting locks.
#define FUTEX_TID_MASK 0x3fffffffu
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_WAITERS 0x80000000u

struct futex_key { // private: (address space, address); shared: (object, offset)
    u64 space;
    u64 offset;
};
struct futex_wait { // owned by the waiting task
    struct list link;
    struct task *task;
    struct futex_key key;
    u32 bitset;
    bool locks;         // it wants to own the word: futexpi.c
    struct task *owner; // who owns it meanwhile; who leaves hands the word on
};
i64 futex_wait(struct task *task, struct call *call, uptr word, u32 expected, u32 bitset, bool shared);
i64 futex_wake(struct task *task, uptr word, u32 count, u32 bitset, bool shared);
i64 futex_requeue(struct task *task, uptr from, u32 wake, u32 move, uptr to, const u32 *expected, bool shared);
i64 futex_wake_op(struct task *task, uptr word, u32 count, uptr word2, u32 count2, u32 op, bool shared);

// futexpi.c: a word that holds its owner's tid. There are no priorities to inherit; the word's protocol is kept.
i64 futex_lock_pi(struct task *task, struct call *call, uptr word, bool shared, bool try);
i64 futex_unlock_pi(struct task *task, uptr word, bool shared);
void futex_pi_exit(struct task *task); // hands on what it owns and others wait for

// For futexpi.c.
#define FUTEX_BUCKETS 256u
struct futexes {
    struct list bucket[FUTEX_BUCKETS];
    u32 locking; // waiters that want to own a word
};
struct list *futex_bucket(struct futex_key key); // NULL: no memory
struct futex_key futex_key_of(struct task *task, u64 va, bool shared);
struct futex_wait *futex_first(struct list *bucket, struct futex_key key); // the oldest waiter
must_check i64 futex_enqueue(struct task *task, struct futex_wait wait);
void futex_dequeue(struct task *task);
bool futex_word_there(struct task *task, u64 va, u32 **out); // without waiting

void futex_wake_word(struct task *task, u64 va, u32 count); // for clear_child_tid
void futex_robust_exit(struct task *task);                  // robust list of a task that leaves its address space

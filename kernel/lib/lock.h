// The lock: 0 at rest (law 3 of the memory laws: no owner, no ticket, no count survives in the word).
// 1 held, 2 held with waiters. Never held across a return from k_step.
#pragma once
#include "atomic.h"

struct lock {
    u32 word;
};

void lock_slow(struct lock *lock);

static inline bool lock_try(struct lock *lock) {
    return atomic_cas(&lock->word, 0, 1);
}
static inline void lock_take(struct lock *lock) {
    if (!lock_try(lock))
        lock_slow(lock);
}
static inline void lock_drop(struct lock *lock) {
    if (atomic_swap(&lock->word, 0) == 2)
        atomic_notify(&lock->word, 1);
}

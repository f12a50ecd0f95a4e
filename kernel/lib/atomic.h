// Atomic words. Every use says why its ordering is enough; all here are sequentially consistent, the only
// kind WebAssembly has.
#pragma once
#include "../types.h"

static inline u32 atomic_load(const u32 *p) {
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}
static inline void atomic_store(u32 *p, u32 v) {
    __atomic_store_n(p, v, __ATOMIC_SEQ_CST);
}
static inline u32 atomic_add(u32 *p, u32 v) { // returns the old value
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);
}
static inline u32 atomic_or(u32 *p, u32 v) {
    return __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST);
}
static inline u32 atomic_and(u32 *p, u32 v) {
    return __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST);
}
static inline u32 atomic_swap(u32 *p, u32 v) {
    return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST);
}
static inline bool atomic_cas(u32 *p, u32 expected, u32 desired) {
    return __atomic_compare_exchange_n(p, &expected, desired, false, __ATOMIC_SEQ_CST,
                                       __ATOMIC_SEQ_CST);
}

// Sleep while *p == seen, at most timeout_ns (negative: for ever). 0 woken, 1 *p differed, 2 timed out.
i32 atomic_wait(u32 *p, u32 seen, i64 timeout_ns);
void atomic_notify(u32 *p, u32 count);

// Times as system call arguments.
#pragma once
#include "../linux.h"

static inline bool timespec_valid(const struct timespec *ts) {
    return ts->sec >= 0 && ts->nsec >= 0 && ts->nsec < (i64)NSEC;
}
// Saturates: no deadline lies beyond some 292 years.
static inline u64 timespec_ns(const struct timespec *ts) {
    return ts->sec >= 9000000000ll ? 9000000000ull * NSEC : (u64)ts->sec * NSEC + (u64)ts->nsec;
}
static inline struct timespec ns_timespec(u64 ns) {
    return (struct timespec){(i64)(ns / NSEC), (i64)(ns % NSEC)};
}
static inline u64 time_after(u64 from, u64 ns) {
    return from + ns;
}

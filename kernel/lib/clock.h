// Virtual time: a pure function of ticks, changed only by CLOCK events.
#pragma once
#include "../types.h"

struct clock {
    u64 base_ns;
    u64 tick0;
    u64 realtime_offset_ns; // REALTIME = MONOTONIC + this
    u64 boottime_offset_ns;
    u32 mul; // ns per tick, 8.24 fixed point
    u32 pad;
};

static inline u64 clock_ns(const struct clock *clock, u64 tick) {
    return clock->base_ns + (u64)(((unsigned __int128)(tick - clock->tick0) * clock->mul) >> 24);
}

// How many ticks take so long, 18 minutes at most.
static inline u64 clock_span(const struct clock *clock, u64 ns) {
    return (ns << 24) / clock->mul;
}

// First tick at which clock_ns() >= ns.
static inline u64 clock_tick(const struct clock *clock, u64 ns) {
    if (ns <= clock->base_ns)
        return clock->tick0;
    // ((ns - base) << 24) / mul, rounded up, in 64 bits: this stands on the way of every system call.
    u64 whole = (ns - clock->base_ns) / clock->mul, rest = (ns - clock->base_ns) % clock->mul;
    if (whole >> 39)
        return ~0ull;
    u64 ticks = (whole << 24) + ((rest << 24) + clock->mul - 1) / clock->mul;
    return ticks >> 63 ? ~0ull : clock->tick0 + ticks;
}

// How many tasks run, can run or wait for what only a kill ends, decayed over 1, 5 and 15 minutes,
// as Linux computes it: a sample every five seconds, in fixed point.
//
// Nothing wakes for a sample. Who changes the count first accounts for the periods that have
// passed, all of which had the old one. Tasks of process 1 are the host's and do not count.
#include "load.h"
#include "../kernel.h"

#define ONE (1u << LOAD_SHIFT)
#define PERIOD_NS (5 * NSEC + NSEC / 100) // not quite 5 s: off the beat of what runs every second

static const u32 decays[3] = {1884, 2014, 2037}; // ONE / e^(5 s / 1, 5, 15 min)

static u64 power(u64 base, u64 n) {
    u64 result = ONE;
    for (; n; n >>= 1) {
        if (n & 1)
            result = (result * base + ONE / 2) >> LOAD_SHIFT;
        base = (base * base + ONE / 2) >> LOAD_SHIFT;
    }
    return result;
}

void load_account(void) {
    u64 now = now_ns();
    if (now < kernel->load_next_ns)
        return;
    u64 periods = (now - kernel->load_next_ns) / PERIOD_NS + 1;
    kernel->load_next_ns += periods * PERIOD_NS;
    u64 active = (u64)kernel->load_count << LOAD_SHIFT;
    for (u32 i = 0; i < lengthof(decays); i++) {
        u64 decay = power(decays[i], periods), load = kernel->load_avg[i];
        u64 sum = load * decay + active * (ONE - decay);
        kernel->load_avg[i] = (sum + (active >= load ? ONE - 1 : 0)) >> LOAD_SHIFT;
    }
}

void load_set(struct task *task, bool active) {
    if (task->loads == active || task->agent)
        return;
    load_account();
    task->loads = active;
    kernel->load_count += active ? 1 : -1u;
}

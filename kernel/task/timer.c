#include "timer.h"
#include "../kernel.h"

static bool before(const struct timer *a, const struct timer *b) {
    return a->when_ns != b->when_ns ? a->when_ns < b->when_ns : a->seq < b->seq;
}

static void place(struct timer *timer, u32 i) {
    kernel->timers[i] = timer;
    timer->slot = i + 1;
}

static void sift_up(struct timer *timer, u32 i) {
    for (; i; i = (i - 1) / 2) {
        struct timer *parent = kernel->timers[(i - 1) / 2];
        if (!before(timer, parent))
            break;
        place(parent, i);
    }
    place(timer, i);
}

static void sift_down(struct timer *timer, u32 i) {
    for (;;) {
        u32 child = 2 * i + 1;
        if (child >= kernel->timer_count)
            break;
        if (child + 1 < kernel->timer_count &&
            before(kernel->timers[child + 1], kernel->timers[child]))
            child++;
        if (!before(kernel->timers[child], timer))
            break;
        place(kernel->timers[child], i);
        i = child;
    }
    place(timer, i);
}

i64 timer_arm(struct timer *timer, u64 when_ns, timer_fn fn, void *owner) {
    timer_cancel(timer);
    if (kernel->timer_count == kernel->timer_cap) {
        u32 cap = max(64u, kernel->timer_cap * 2);
        struct timer **timers = krealloc(kernel->timers, cap * sizeof *timers);
        if (!timers)
            return -ENOMEM;
        kernel->timers = timers;
        kernel->timer_cap = cap;
    }
    timer->when_ns = when_ns;
    timer->seq = ++kernel->timer_seq;
    timer->fn = fn;
    timer->owner = owner;
    sift_up(timer, kernel->timer_count++);
    return 0;
}

void timer_cancel(struct timer *timer) {
    if (!timer->slot)
        return;
    u32 i = timer->slot - 1;
    timer->slot = 0;
    struct timer *last = kernel->timers[--kernel->timer_count];
    if (last == timer)
        return;
    if (i && before(last, kernel->timers[(i - 1) / 2]))
        sift_up(last, i);
    else
        sift_down(last, i);
}

u64 timer_next_ns(void) {
    return kernel->timer_count ? kernel->timers[0]->when_ns : ~0ull;
}

void timer_run(u64 now) {
    while (kernel->timer_count && kernel->timers[0]->when_ns <= now) {
        struct timer *timer = kernel->timers[0];
        timer_cancel(timer);
        pass_cost(1);
        timer->fn(timer);
    }
}

void realtime_jump(u64 ns) {
    kernel->clock.realtime_offset_ns += ns;
    kernel->boot_realtime_ns += ns;
    timer_shift_realtime(ns);
}

void timer_shift_realtime(u64 ns) {
    bool back = (i64)ns < 0;
    // Keys change for some, so the heap is built again.
    for (u32 i = 0; i < kernel->timer_count; i++) {
        struct timer *timer = kernel->timers[i];
        if (timer->realtime)
            timer->when_ns = back || timer->when_ns > ns ? timer->when_ns - ns : 0;
    }
    for (u32 i = kernel->timer_count / 2; i--;)
        sift_down(kernel->timers[i], i);
}

u64 now_ns(void) {
    return clock_ns(&kernel->clock, kernel->tick);
}

u64 now_real_ns(void) {
    return now_ns() + kernel->clock.realtime_offset_ns;
}

u64 now_boot_ns(void) {
    return now_ns() + kernel->clock.boottime_offset_ns;
}

// The one timer queue: a heap ordered by virtual time, then by order of arming.
#pragma once
#include "../types.h"

struct timer;
typedef void (*timer_fn)(struct timer *timer);

struct timer {
    u64 when_ns; // CLOCK_MONOTONIC
    u64 seq;
    timer_fn fn; // runs in a kernel pass, lock held; may arm the timer again
    void *owner;
    u32 slot; // index in the heap + 1; 0: not armed
    u32 realtime; // 1: armed for a REALTIME instant (moves with it)
};
must_check i64 timer_arm(struct timer *timer, u64 when_ns, timer_fn fn, void *owner); // -ENOMEM
void timer_cancel(struct timer *timer);
u64 timer_next_ns(void); // ~0 when none
void timer_run(u64 now_ns); // fires what is due
void realtime_jump(u64 ns);        // somebody sets CLOCK_REALTIME: so much ahead, or -ns back
void timer_shift_realtime(u64 ns); // REALTIME has jumped

u64 now_ns(void);      // CLOCK_MONOTONIC of this kernel pass
u64 now_real_ns(void); // CLOCK_REALTIME
u64 now_boot_ns(void); // CLOCK_BOOTTIME

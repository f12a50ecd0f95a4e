// The only way in: an event changes the machine between two steps of the hart that delivers it.
#include "boot.h"
#include "chaos.h"
#include "fs/hostask.h"
#include "kernel.h"

static void clock_set(const struct event_clock *event) {
    struct clock *clock = &kernel->clock;
    u64 now = clock_ns(clock, kernel->tick);
    clock->base_ns = max(now, event->base_ns); // never back
    clock->tick0 = kernel->tick;
    clock->mul = max(kernel->chaos ? chaos_mul(event->mul) : event->mul, 1u);
    if (event->suspend_ns) {
        clock->realtime_offset_ns += event->suspend_ns;
        clock->boottime_offset_ns += event->suspend_ns;
        timer_shift_realtime(event->suspend_ns);
    }
}

static void limits_set(const struct event_limits *event) {
    if (event->tasks)
        kernel->task_max = event->tasks;
    if (event->files)
        kernel->files_max = event->files;
    if (event->disk)
        kernel->disk_max = event->disk;
    kernel->admit = event->admit;
}

// 0, or -errno for an event that cannot be taken (a BOOT that does not fit).
static i64 deliver(const struct event *event) {
    switch (event->kind) {
    case EVENT_BOOT:
        return machine_boot((const struct event_boot *)event);
    case EVENT_CLOCK:
        clock_set((const struct event_clock *)event);
        return 0;
    case EVENT_CALL:
        agent_call((const struct event_call *)event);
        return 0;
    case EVENT_CANCEL:
        agent_cancel(((const struct event_cancel *)event)->id);
        return 0;
    case EVENT_ADMIT: {
        const struct event_admit *admit = (const struct event_admit *)event;
        admission_answer(admit->tid, admit->seq, admit->error);
        return 0;
    }
    case EVENT_LIMITS:
        limits_set((const struct event_limits *)event);
        return 0;
    case EVENT_BLOCK_IN: {
        const struct event_block *block = (const struct event_block *)event;
        image_block_in(block->chunk, block->error, (const u8 *)(block + 1), block->data_len);
        return 0;
    }
    case EVENT_HOSTFS: {
        const struct event_hostfs *answer = (const struct event_hostfs *)event;
        host_answered(answer, (const u8 *)(answer + 1));
        return 0;
    }
    case EVENT_RESEED:
        random_mix(&kernel->random, (const u8 *)(event + 1));
        return 0;
    case EVENT_CHAOS:
        return chaos_set((const struct event_chaos *)event);
    }
    return -EINVAL;
}

__attribute__((export_name("k_deliver"))) u32 k_deliver(u32 hart, u32 address) {
    struct hart *h = host.hart[hart];
    if (host.order.replay)
        h->id = host.order.place.hart;
    kernel_lock(h);
    const struct event *event = MPTR(const struct event, address);
    bool booted = kernel->magic == KERNEL_MAGIC;
    kernel->for_host = true;
    i64 r = booted == (event->kind == EVENT_BOOT) ? -EINVAL : deliver(event);
    kernel->for_host = false;
    order_delivered(h);
    host.pass_ticks = 0; // delivery costs no ticks: it happens between steps
    kernel_unlock(h);
    return (u32)r;
}

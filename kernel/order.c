// The order of sections: how it is written while several harts run, and followed by the one that replays them.
#include "order.h"
#include "jit/jit.h"
#include "kernel.h"
#include "park.h"

// A record: the hart and these bits; then, if FORCED, the ticks of its guest code, and, if EARLY, the passes, as varints.
enum {
    HART_MASK = 7,
    FORCED = 8,   // its guest code ended from outside
    EARLY = 16,   // the section ended for a reason of the host's
    ENDED = 32,   // no section: its guest code ended here, and its section comes later
    DELIVER = 64, // no section: the next event of the tape
};
#define MARGIN 0x1000u // a section and those it pauses fit in

// ---- Recording ---------------------------------------------------------------------------------
static void put(u8 byte) {
    struct order_log *log = host.order.log;
    host.order.data[host.order.head++ % log->size] = byte;
}

static void put_number(u64 n) {
    for (; n >= 0x80; n >>= 7)
        put((u8)(n | 0x80));
    put((u8)n);
}

// Records are read while others are written, but only whole.
static void put_end(void) {
    atomic_store(&host.order.log->head, host.order.head);
}

bool order_full(void) {
    struct order_log *log = host.order.log;
    return host.order.head - atomic_load(&log->tail) > log->size - MARGIN;
}

void order_end(struct hart *hart, bool idle) {
    struct order_place *place = &host.order.place;
    bool something = place->guest || place->passes > idle;
    if (host.order.on && something) {
        put((u8)(hart->id | (place->forced ? FORCED : 0) | (place->early ? EARLY : 0)));
        if (place->forced)
            put_number(place->used);
        if (place->early)
            put_number(place->passes);
        put_end();
    }
    place->forced = place->early = place->guest = false;
    place->passes = 0;
}

void order_left(struct hart *hart, u64 used, enum cpu_exit exit) {
    struct segment *segment = &host.order.place.segment[hart->id];
    segment->used = used;
    segment->forced = exit == CPU_ATTN;
}

// In the order of the log this is where the guest code ran.
static void ended(struct segment *segment) {
    host.order.place.moment += segment->used;
    segment->ended = true;
}

void order_begin(struct hart *hart) {
    struct order_place *place = &host.order.place;
    struct segment *segment = &place->segment[hart->id];
    place->guest = true;
    place->forced = segment->forced && !segment->ended;
    place->used = segment->used;
    if (!segment->ended)
        ended(segment);
    segment->open = segment->ended = false;
}

void order_delivered(struct hart *hart) {
    if (host.order.on) {
        put((u8)(hart->id | DELIVER));
        host.order.log->delivered = host.order.head; // who has read `head` and not this knows of all before
        host.order.log->delivered_moment = moment();
        put_end();
    }
}

static void pause(u32 id) {
    struct segment *segment = &host.order.place.segment[id];
    if (host.order.replay && !segment->ended)
        panic("the replay differs: a hart was stopped here");
    if (segment->ended)
        return; // it waits for the kernel lock
    struct hart *hart = host.hart[id];
    while (atomic_load(&hart->in_guest)) {
        atomic_or(&hart->attn, ATTN_RESCHED);
        atomic_wait(&hart->in_guest, 1, 20000);
        if (atomic_load(&host.panicked))
            return;
    }
    ended(segment);
    if (!host.order.on)
        return;
    put((u8)(id | ENDED | (segment->forced ? FORCED : 0)));
    if (segment->forced)
        put_number(segment->used);
    put_end();
}

void order_stop(const struct mm *mm) {
    if (!host.running)
        return;
    for (u32 i = 0; i < HART_MAX; i++) {
        struct segment *segment = &host.order.place.segment[i];
        if (segment->open && i != host.running->id && (!mm || segment->task->mm == mm))
            pause(i);
    }
}

void order_stop_page(const struct page *page, bool writes) {
    if (writes ? page->refs > 1 : page->flags & PAGE_SHARED)
        order_stop(NULL);
}

// ---- Replaying ---------------------------------------------------------------------------------
void order_open(struct hart *hart, struct task *task, u64 fuel, bool local_calls) {
    host.order.place.segment[hart->id] = (struct segment){
        .open = true,
        .local_calls = local_calls,
        .task = task,
        .fuel = fuel,
        .tick = kernel->tick,
        .clock = kernel->clock,
    };
}

u64 order_tick(void) {
    u64 tick = kernel->tick;
    for (u32 i = 0; i < HART_MAX; i++) {
        struct segment *segment = &host.order.place.segment[i];
        if (segment->open)
            tick = max(tick, segment->tick + segment->used);
    }
    return tick;
}

// The next record says whose turn it is.
struct task *order_task(void) {
    struct order_place *place = &host.order.place;
    struct order_log *log = host.order.log;
    u32 id = place->hart;
    if (host.order.replay && !place->inside && log->at < log->len)
        id = MPTR(u8, log->feed)[log->at] & HART_MASK;
    return place->segment[id].open ? place->segment[id].task : kernel->current[id];
}

// Is this the moment that the step was to reach, or what it was to look for?
static bool reached(void) {
    u64 until = host.order.log->until_ns;
    return (unlikely(host.debug.active) && debug_check()) ||
           host.order.place.moment >= host.order.end ||
           (unlikely(until) && clock_ns(&kernel->clock, order_tick()) >= until);
}

bool order_stops(void) {
    struct order_place *place = &host.order.place;
    if (place->early && place->passes == place->stop_after)
        return true;
    return host.order.paused = reached();
}

// Of a segment that may run so many ticks: how many before somebody wants to look at it.
static u64 fuel_now(const struct segment *segment, u64 fuel) {
    struct order *order = &host.order;
    fuel = min(fuel, order->end - order->place.moment);
    if (unlikely(host.debug.active))
        fuel = min(fuel, debug_fuel(segment->task));
    if (unlikely(order->log->until_ns)) {
        u64 until = clock_tick(&kernel->clock, order->log->until_ns);
        u64 tick = segment->tick + segment->used;
        fuel = min(fuel, until > tick ? until - tick : ~0ull);
    }
    return fuel;
}

// Goes on with a segment, to `fuel` if that is its end, else to its own.
static void segment_run(struct hart *hart, struct segment *segment, bool forced, u64 fuel) {
    struct order_place *place = &host.order.place;
    struct task *task = segment->task;
    u64 end = forced ? fuel : segment->fuel, retired = 0;
    if (end > segment->fuel)
        panic("the replay differs: a hart went on");
    tlb_select(hart, task->mm);
    hart->task = task;
    hart->tick = segment->tick + segment->used;
    hart->clock = segment->clock;
    hart->local_calls = segment->local_calls && !(host.taps >> TAP_RETURN & 1);
    hart->calls_inside = false; // a pass is a section of its own
    hart->code_changed = false;
    u64 begin = hart->tick;
    host.order.shift = place->moment - begin;
    segment->exit = cpu_run(hart, &task->cpu, fuel_now(segment, end - segment->used), &retired);
    host.order.shift = 0;
    u64 ticks = retired + (hart->tick - begin);
    hart->task = NULL;
    segment->used += ticks;
    place->moment += ticks;
    segment->retired += retired;
    segment->fault = hart->fault;
    if (segment->exit == CPU_ECALL && segment->local_calls && segment->fuel - segment->used >= 2 &&
        syscall_local(task)) { // for a tap, or before a place to stop at: it was none of its own
        segment->used += 2;
        place->moment += 2;
        segment->retired++;
        return;
    }
    if (segment->exit == CPU_ATTN || segment->exit == CPU_STOPPED) {
        atomic_and(&hart->attn, 0);
        segment->exit = CPU_FUEL;
    }
    if (segment->exit == CPU_FUEL && segment->used != end)
        return;
    if (forced && (segment->exit != CPU_FUEL || segment->used != end))
        panic("the replay differs: a hart left its program by itself");
    segment->ended = true;
}

static u64 take_number(u32 *at) {
    u64 n = 0;
    for (u32 shift = 0; *at < host.order.log->len; shift += 7) {
        u8 byte = MPTR(u8, host.order.log->feed)[(*at)++];
        n |= (u64)(byte & 0x7f) << shift;
        if (byte < 0x80)
            break;
    }
    return n;
}

// Does what the record at `log->at` says, or a part of it.
static void record_follow(struct hart *hart) {
    struct order_place *place = &host.order.place;
    struct order_log *log = host.order.log;
    u32 at = log->at;
    u8 record = MPTR(u8, log->feed)[at++];
    hart->id = place->hart = record & HART_MASK;
    if (record & DELIVER) {
        log->at = at;
        log->event = 1;
        return;
    }
    struct segment *segment = &place->segment[hart->id];
    bool forced = record & FORCED;
    u64 used = forced ? take_number(&at) : 0;
    place->early = record & EARLY;
    place->stop_after = place->early ? (u32)take_number(&at) : 0;
    if ((forced || record & ENDED) && !segment->open)
        panic("the replay differs: a hart ran no program");
    if (segment->open && !segment->ended) {
        segment_run(hart, segment, forced, used);
        return;
    }
    if (record & ENDED) {
        log->at = at;
        return;
    }
    place->passes = 0;
    place->inside = true;
    place->at = at;
    struct segment ran = *segment;
    segment->open = segment->ended = false;
    if (ran.open)
        step_segment(hart, &ran);
}

// Follow the log until it ends, an event is to be delivered (log->event), a moment or what is
// looked for is reached, or there is something to do.
u32 order_follow(struct hart *hart, u64 budget) {
    struct order *order = &host.order;
    struct order_place *place = &order->place;
    struct order_log *log = order->log;
    order->end = place->moment + budget;
    hart->id = place->hart;
    log->event = 0;
    hart->report.detail = 0;
    while (!log->event) {
        if ((hart->report.detail = jit_raise(hart->cpu->jit)))
            return STATUS_JIT_READY;
        if (reached() || outbox_full() || atomic_load(&host.freeze) ||
            (hart->cpu->jit && jit_arrived(hart->cpu->jit)))
            break;
        if (place->inside) {
            order->paused = false;
            step_section(hart);
            place->inside = order->paused;
            log->at = place->inside ? log->at : place->at;
        } else if (log->at < log->len) {
            record_follow(hart);
        } else {
            break;
        }
    }
    hart->report.detail = host.debug.active && host.debug.stopped;
    return STATUS_READY;
}

// With a machine that was there before.
static void goes_on(bool recorded) {
    host.order.place.moment = kernel->tick;
    if (!recorded)
        return;
    kernel->flags |= BOOT_ORDERED;
    struct process *process;
    list_each(process, &kernel->processes, all) {
        struct task *task;
        list_each(task, &process->tasks, sibling)
            if (task->mm)
                mm_sharing(task->mm);
    }
}

static void settle(void) {
    kernel_lock(host.hart[0]);
    step_settle(host.hart[0]);
    host.order.on = host.order.replay = false;
    kernel_unlock(host.hart[0]);
}

// 1: write the log; 2: follow one: the address of struct order_log. Its ring has `size` bytes. 3: the machine goes on
// without.
__attribute__((export_name("k_order"))) u32 k_order(u32 mode, u32 size) {
    struct order *order = &host.order;
    if (mode == 3) {
        settle();
        return 0;
    }
    order->log = palloc(sizeof *order->log);
    assert(order->log);
    if (mode == 1) {
        order->data = palloc(size);
        assert(order->data);
        order->log->size = size;
        order->log->data = MADDR(order->data);
    }
    order->log->place = MADDR(&order->place);
    order->log->place_len = sizeof order->place;
    if (kernel->magic == KERNEL_MAGIC)
        goes_on(mode == 1);
    order->on = mode == 1;
    order->replay = mode == 2;
    return MADDR(order->log);
}

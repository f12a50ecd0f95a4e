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
    struct order *order = &host.order;
    bool something = order->guest || order->passes > idle;
    if (order->on && something) {
        put((u8)(hart->id | (order->forced ? FORCED : 0) | (order->early ? EARLY : 0)));
        if (order->forced)
            put_number(order->used);
        if (order->early)
            put_number(order->passes);
        put_end();
    }
    order->forced = order->early = order->guest = false;
    order->passes = 0;
}

void order_left(struct hart *hart, u64 used, enum cpu_exit exit) {
    struct segment *segment = &host.order.segment[hart->id];
    segment->used = used;
    segment->forced = exit == CPU_ATTN;
}

void order_begin(struct hart *hart) {
    struct segment *segment = &host.order.segment[hart->id];
    host.order.guest = true;
    host.order.forced = segment->forced && !segment->ended;
    host.order.used = segment->used;
    segment->open = segment->ended = false;
}

void order_delivered(struct hart *hart) {
    if (host.order.on) {
        put((u8)(hart->id | DELIVER));
        put_end();
    }
}

static void pause(u32 id) {
    struct segment *segment = &host.order.segment[id];
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
    segment->ended = true;
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
        struct segment *segment = &host.order.segment[i];
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
    host.order.segment[hart->id] = (struct segment){
        .open = true,
        .local_calls = local_calls,
        .task = task,
        .fuel = fuel,
        .tick = kernel->tick,
        .clock = kernel->clock,
    };
}

bool order_stops(void) {
    return host.order.early && host.order.passes == host.order.stop_after;
}

// Goes on with a segment, to `fuel` if that is its end, else to its own. False: something else
// comes first.
static bool segment_run(struct hart *hart, struct segment *segment, bool forced, u64 fuel) {
    struct task *task = segment->task;
    u64 end = forced ? fuel : segment->fuel, retired = 0;
    if (end > segment->fuel)
        panic("the replay differs: a hart went on");
    tlb_select(hart, task->mm);
    hart->task = task;
    hart->tick = segment->tick + segment->used;
    hart->clock = segment->clock;
    hart->local_calls = segment->local_calls && !(host.taps >> TAP_RETURN & 1);
    hart->code_changed = false;
    u64 begin = hart->tick;
    segment->exit = cpu_run(hart, &task->cpu, end - segment->used, &retired);
    segment->used += retired + (hart->tick - begin);
    segment->retired += retired;
    segment->fault = hart->fault;
    if (segment->exit == CPU_ECALL && segment->local_calls && !hart->local_calls &&
        segment->fuel - segment->used >= 2 && syscall_local(task)) { // for a tap: it was none of its own
        segment->used += 2;
        segment->retired++;
        return false;
    }
    hart->task = NULL;
    if (segment->exit == CPU_ATTN) {
        atomic_and(&hart->attn, 0);
        if (segment->used != end)
            return false;
        segment->exit = CPU_FUEL;
    }
    if (forced && (segment->exit != CPU_FUEL || segment->used != end))
        panic("the replay differs: a hart left its program by itself");
    return segment->ended = true;
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

// Follow the log until it ends, an event is to be delivered (log->event), or there is something to
// do.
u32 order_follow(struct hart *hart, u64 budget) {
    struct order *order = &host.order;
    struct order_log *log = order->log;
    u64 end = kernel->tick + budget;
    log->event = 0;
    while (log->at < log->len) {
        if ((hart->report.detail = jit_raise(hart->cpu->jit)))
            return STATUS_JIT_READY;
        if (kernel->tick >= end || outbox_full() || atomic_load(&host.freeze))
            break;
        u32 at = log->at;
        u8 record = MPTR(u8, log->feed)[at++];
        hart->id = record & HART_MASK;
        if (record & DELIVER) {
            log->at = at;
            log->event = 1;
            break;
        }
        struct segment *segment = &order->segment[hart->id];
        bool forced = record & FORCED;
        u64 used = forced ? take_number(&at) : 0;
        order->early = record & EARLY;
        order->stop_after = order->early ? (u32)take_number(&at) : 0;
        if ((forced || record & ENDED) && !segment->open)
            panic("the replay differs: a hart ran no program");
        if (segment->open && !segment->ended && !segment_run(hart, segment, forced, used))
            continue;
        log->at = at;
        if (record & ENDED)
            continue;
        order->passes = 0;
        struct segment ran = *segment;
        segment->open = segment->ended = false;
        step_section(hart, ran.open ? &ran : NULL);
    }
    hart->report.detail = 0;
    return STATUS_READY;
}

// 1: write the log; 2: follow one. The address of struct order_log; before BOOT. Its ring has
// `size` bytes.
__attribute__((export_name("k_order"))) u32 k_order(u32 mode, u32 size) {
    struct order *order = &host.order;
    order->log = palloc(sizeof *order->log);
    assert(order->log);
    if (mode == 1) {
        order->data = palloc(size);
        assert(order->data);
        order->log->size = size;
        order->log->data = MADDR(order->data);
    }
    order->on = mode == 1;
    order->replay = mode == 2;
    return MADDR(order->log);
}

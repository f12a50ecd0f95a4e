// The order of kernel passes, for a machine that is recorded with several harts: docs/parallel-recording.md.
//
// A section is what a hart does under the kernel lock between two runs of guest code. Guest code of different harts
// shares no memory that any of them writes, so the order of sections is all there is to know: it is written to a ring,
// a byte for most, and a replay does the same sections, with one hart that plays all of them.
#pragma once
#include "cpu/cpu.h"

struct page;
struct task;

// Guest code between two sections of a hart.
struct segment {
    bool open;  // by the order: its hart's next section has not begun
    bool ended; // where it ended stands in the log, and a replay has run it
    bool local_calls;
    bool forced;  // it ended for no reason of its own, after `used` ticks
    enum cpu_exit exit;
    struct task *task;
    u64 fuel, used;
    u64 tick, retired; // at its beginning; in it so far
    struct clock clock;
    struct fault fault;
};

struct order {
    bool on;     // the log is written
    bool replay; // the log is followed
    // The section under way.
    bool forced; // what ran before it was
    bool guest;  // something ran before it
    bool early;  // it ends at the top of step()'s loop, after so many passes, for a reason of the host's
    u64 used;
    u32 passes;
    u32 stop_after; // in a replay: passes, if it ends early
    struct order_log *log;
    u8 *data;
    u32 head; // of what is written
    struct segment segment[HART_MAX];
};

// While recording, under the kernel lock.
void order_end(struct hart *hart, bool idle); // of the section; idle: it found nothing to do
void order_left(struct hart *hart, u64 used, enum cpu_exit exit); // no lock: guest code has been left
void order_begin(struct hart *hart);          // of the section after that
void order_delivered(struct hart *hart);
bool order_full(void); // only if `on`

// This pass looks at, or changes, what guest code on other harts may see: it stops first, at a
// point that is known.
// Called through order_pause and order_page in kernel.h.
void order_stop(const struct mm *mm);                 // whoever runs there; NULL: everybody
void order_stop_page(const struct page *page, bool writes); // a page of a file

// While replaying.
void order_open(struct hart *hart, struct task *task, u64 fuel, bool local_calls);
bool order_stops(void);
u32 order_follow(struct hart *hart, u64 budget);
u32 step_section(struct hart *hart, const struct segment *segment); // step.c

// The order of kernel passes, for a machine that is recorded with several harts: docs/parallel-recording.md.
//
// A section is what a hart does under the kernel lock between two runs of guest code. Guest code of different harts
// shares no memory that any of them writes, so the order of sections is all there is to know: it is written to a ring,
// a byte for most, and a replay does the same sections, with one hart that plays all of them.
//
// A moment is a place in what that one hart does: ticks of guest code and of passes, in the order of the log. Ticks
// of the machine do not tell places apart, for harts count them side by side.
#pragma once
#include "cpu/cpu.h"

struct page;
struct task;

// Guest code between two sections of a hart.
struct segment {
    bool open;  // by the order: its hart's next section has not begun
    bool ended; // where it ended stands in the log, or a replay has run it
    bool local_calls;
    bool forced;  // it ended for no reason of its own, after `used` ticks
    enum cpu_exit exit;
    struct task *task;
    u64 fuel, used;
    u64 tick, retired; // at its beginning; in it so far
    struct clock clock;
    struct fault fault;
};

// Where a run is, beside its pages: a replay can be set to it.
struct order_place {
    u64 moment;
    u32 hart;    // whose record came last
    bool inside; // its section is not over
    u32 at;      // then: behind its record
    // The section under way.
    bool forced; // what ran before it was
    bool guest;  // something ran before it
    bool early;  // it ends at the top of step()'s loop, after so many passes, for a reason of the host's
    u64 used;
    u32 passes;
    u32 stop_after; // in a replay: passes, if it ends early
    struct segment segment[HART_MAX];
};

struct order {
    bool on;     // the log is written
    bool replay; // the log is followed
    bool paused; // in a section
    u64 end;     // of the step, a moment
    u64 shift;   // from the hart's ticks to moments, while its guest code runs
    struct order_log *log;
    u8 *data;
    u32 head; // of what is written
    struct order_place place;
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
bool order_stops(void); // at the top of step()'s loop
u32 order_follow(struct hart *hart, u64 budget);
u64 order_tick(void);           // the furthest that any hart got
struct task *order_task(void);  // whose turn it is
void step_segment(struct hart *hart, const struct segment *segment); // step.c: what has run is over
void step_section(struct hart *hart);                                // and what comes after it
void step_settle(struct hart *hart);

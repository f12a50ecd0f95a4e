// A hart: what one worker needs to run guest code. Private memory, rebuilt by k_attach, so nothing
// here may decide the guest's future.
//
// Translation caches: a pool of TLBs, one per recently used address space, each with separate read and
// write halves. The hot test is one 64-bit compare:
//     entry->tag == (va & (~PAGE_MASK | (size - 1)))      host address = (u32)va + entry->delta
// which covers range, page, alignment (a misaligned access misses), presence and permission. An empty
// entry's tag is ~0. There is no execute half: fetches go through tlb_fetch, once per decoded page.
#pragma once
#include "../abi.h"
#include "../lib/clock.h"

// So many that a hot page seldom meets another one in its entry: a stack that does misses at every turn.
#define TLB_ENTRIES 4096u
#define TLB_POOL 8u

struct tlb_entry {
    u64 tag;
    u32 delta;
    u32 pad;
};

struct tlb {
    struct tlb_entry r[TLB_ENTRIES];
    struct tlb_entry w[TLB_ENTRIES];
    u64 mm_id;  // name of the address space (never reused), 0: free
    u64 mm_gen; // its generation when these entries were last known good
    u64 used;  // for replacement
    u32 lost;  // how often entries were taken away, but by others that took their place
    u64 blank; // by sixty-fourths of both halves: nothing is in there
};

enum access { ACCESS_READ, ACCESS_WRITE, ACCESS_FETCH };

// Why an access failed; read after a translate call returned 0 or cpu_run returned CPU_FAULT.
struct fault {
    u64 va;
    u32 access; // enum access
};

struct cpu_cache; // decoded code; belongs to cpu/
struct mm;
struct task;

// Reasons to leave guest code, OR-ed into hart->attn by anyone, atomically.
enum { ATTN_MAIL = 1, ATTN_FREEZE = 2, ATTN_SHOOTDOWN = 4, ATTN_RESCHED = 8, ATTN_PANIC = 16 };

// Where a hart is: who is told of mail is chosen by it. STEPS: or will be at once, which looks for mail.
enum { HART_AWAY, HART_STEPS, HART_PARKED };

struct hart {
    u32 id;
    u32 where;          // [atomic] HART_*
    u32 attn;           // [atomic] tested at least every 4,096 ticks
    struct tlb *tlb;    // the current address space's; set before cpu_run
    struct mm *mm;      // address space being run
    struct task *task;  // task being run (0 between tasks)
    u64 step_end;       // tick at which the step's budget ends
    u64 fuel, cut;      // how long its guest code may run, and how long until step() wants to look again
    u64 timer_ns, timer_tick; // that is what timer_clock says of it
    struct clock timer_clock;
    u64 entered;        // machine tick at which its guest code began, or went on behind a call
    bool local_calls;   // its calls that concern nobody else are answered without leaving cpu_run
    bool calls_inside;  // so are all others, if nothing but the task itself is to go on then
    struct fault fault; // set by tlb_miss / tlb_fetch
    bool code_changed;  // a store hit decoded code: leave the block after it retires
    u64 tick;           // machine tick at entry of cpu_run; rdtime adds what has retired since
    struct clock clock; // the machine's, as of then
    struct cpu_cache *cpu;
    u64 tlb_clock;      // orders tlb->used

    struct report report;
    u32 doorbell;       // [atomic] k_park waits on it
    u32 in_guest;       // [atomic] 1 while inside cpu_run, and has or does not wait for the kernel lock: shootdowns wait for such harts only
    u32 shootdown_seen; // [atomic] last shootdown generation acknowledged
    u32 stack_top;
    struct tlb pool[TLB_POOL];
};

// Compiled code of one hart: guest code that runs often, as WebAssembly functions in its instance's table.
//
// A region is what one function holds: the blocks reachable from one entry. region.c finds them, codegen.c
// writes the function, module.c puts functions into a module, jit.c decides what is compiled and what may
// run. All of this is private: what was compiled, and when, can be seen by nothing in the machine.
#pragma once
#include "../cpu/block.h"
#include "../lib/atomic.h"

// A compiled function. Guest registers are in the context before and after. Returns the fuel left, with
// context->pc the next instruction; context->reason: the interpreter must execute that one. `depth` is how
// many calls may still be nested.
typedef i32 region_fn(struct jit_context *context, i32 fuel, i32 depth, u64 pc);

#define JIT_REGIONS 16384u
#define JIT_MODULE_BYTES 0x100000u
#define JIT_LISTING_BYTES 0x80000u
#define JIT_QUEUE 256u
#define JIT_WARM 1024u
#define JIT_JUMPS 65536u // a power of two; with a quarter of it one in six regions of a large program had to share its entry
#define JIT_AWAY 128u
#define JIT_PAGES 24u  // that one region's code may lie in, if it dispatches; else
#define JIT_PAGES_PLAIN 8u
#define RENEWALS 4u // of one region
#define JIT_TARGETS 200u // of its dispatch

// Where an indirect jump leads: to the region at this pc, in this epoch. Empty again when it ends.
struct jit_jump {
    u64 pc; // JUMP_NONE is no pc: it is odd
    u32 slot;
    u32 pad;
};

enum { JUMP_NONE = 1 };

// What was filled in last of an address space that does not run, to be put back.
struct jit_away {
    u32 count;
    struct jit_jump jump[JIT_AWAY];
};

struct region_page {
    i32 delta; // in pages, from the entry's
    maddr frame;
    u32 generation;
};

// Where the dispatch of a region leads, from its entry: there first of all.
struct region_targets {
    u32 count;
    i32 off[JIT_TARGETS];
};

// What a region is; the wanted ones also what it is to be.
enum {
    KIND_CAREFUL = 1,     // right while fcsr.NX is clear, too
    KIND_LOOP = 2,        // holds nothing else
    KIND_DISPATCHES = 4,  // jumps through registers stay inside
    KIND_CROSSING = 8,    // as in translation
    KIND_MOVING = 16,     // the same
    KIND_CLOSED = 32,     // made when it was known how it is left for its own entry
    KIND_FULL = 64,       // dispatches, and holds not all that this leads to
    KIND_WANTED = KIND_CAREFUL | KIND_CROSSING | KIND_MOVING | KIND_CLOSED,
};

struct region {
    maddr frame; // of its entry, and where in it
    u32 offset, generation;
    u32 next; // in its hash chain: index
    u32 slot;
    u64 pc; // where it was seen last
    u32 mm; // and in which address space, if in a file that cannot be written there; else ~0
    u8 state; // REGION_*
    u8 page_count;
    u8 kind; // KIND_*
    u8 crossed, moved, left_at; // of one that is neither crossing nor moving: how often it was left for that, since when
    u16 circles;  // of one that is not closed: how often it was left for its own entry
    u8 misses;    // of one that is not careful: entries with NX clear
    u8 asked;     // how often its entry was reached `threshold` times
    bool warm;    // is in jit->warm
    u8 renewals; // how often it was made anew, with more targets
    u8 absent;    // entries for which a page was not there
    i16 credit;   // what entering it has saved, in instructions that would have been interpreted
    u16 kept; // of whose modules the host has kept: number + 1
    u16 whole; // region whose dispatch leads here: may be itself, or not be there yet
    u16 instead; // of that region, once it is ready
    u16 before; // region that it was instead of
    struct region_targets *targets; // of its dispatch; NULL: it has none
    struct region_page page[JIT_PAGES_PLAIN];
    struct region_page *more; // JIT_PAGES - JIT_PAGES_PLAIN, if there are so many
};
enum { REGION_NONE, REGION_QUEUED, REGION_WAITING, REGION_READY, REGION_REFUSED };

struct jit {
    struct hart *hart;
    struct cpu_cache *cache;
    u32 threshold, features; // after so many times an entry is asked about
    u32 hot; // and after so many of these it is queued
    u32 stray_max; // until a region is made anew
    u32 pace;  // ticks for each instruction that is compiled, or more; see k_jit_pace
    u64 ticks; // about how many there have been
    u32 rested; // instructions compiled while nothing ran: these cost nobody anything
    u32 slot_first, slot_end, slot_next; // of the table
    struct region *region; // [0] is none
    u32 region_count;
    u32 *valid; // by region: the epoch in which it was found to be what is mapped, with its entry at region.pc
    struct jit_jump *jump;
    u16 jump_used[2048]; // the first that were filled in this epoch
    u32 jump_count;    // how many were
    struct jit_away away[TLB_POOL];
    u16 hash[8192]; // of regions
    u16 queue[JIT_QUEUE];
    u32 queue_count, queue_age;
    // Regions from which later runs profit; they are queued when the compiler has nothing to do.
    u16 warm[JIT_WARM];
    u32 warm_count, warm_age;
    bool pending; // `module` waits for the host
    bool raised;  // which has been told
    bool rests;   // it is made while nothing runs
    u16 pending_region[JIT_QUEUE]; // its regions, in order of slots
    u8 *bytes;                     // where modules are written
    struct jit_module module;
    struct kept *kept; // NULL: nothing is kept from other runs
    struct jit_module load; // of these, is asked of the host
    bool loading, load_raised;
    u32 early; // entries before kept code is asked for
    u32 loaded_regions; // of kept code, those that the engine had to compile
    u32 module_id; // of the next
    u8 *record; // of `module`
    char *listing; // listing.c; NULL: nobody wants it
    u32 listing_len;
    struct jit_counters counters;
    struct translation *translation; // scratch
};

// It was made anew, so whoever jumps there knows the other.
static inline bool region_is_anew(const struct region *region) { return region->crossed || region->moved || region->circles; }
static inline u32 region_targets(const struct region *region) { return region->targets ? region->targets->count : 0; }

// Its dispatch leads there, too, if there is room.
void region_leads(struct region *region, i32 off);

// Page `i` of the region, which may be written if it is the next: NULL if there is no memory for it.
struct region_page *region_page(struct region *region, u32 i);

// jit.c
bool jit_can_pay(const struct jit *jit); // for one more region or module: else what is hottest comes by again first
bool jit_attention(struct jit *jit); // between two slices: translate. True: something waits for the host
// This entry has been reached often enough. `early`: how often that was said when it was not, because there
// may be kept code for it. Answers how often it is to be reached until this is said again; 0: it is seen to.
u32 jit_hot(struct jit *jit, u64 pc, u32 early);
void jit_forget(struct jit *jit); // no jump's target is known any more, in any address space
// From one address space to another, as cpu_cache has them: what was known of that `stands`, or not.
void jit_select(struct jit *jit, u32 from, u32 to, bool stands);
// The slot of region `index`, to run it with its entry mapped at pc. 0: it is not what is mapped now.
u32 jit_slot(struct jit *jit, u32 index, u64 pc);
// More fuel for compiled code whose slice is nearly spent; none if the hart must look around.
i32 jit_refill(struct hart *hart, i32 fuel);
// The region that begins there, made if need be, or one to be instead of it. NULL: there are too many.
struct region *jit_region(struct jit *jit, const struct code_page *page, u32 offset);
struct region *jit_region_instead(struct jit *jit, const struct code_page *page, u32 index);
// It can run from now on, and whoever jumped to the one that it is instead of comes here.
void jit_ready(struct jit *jit, struct region *region);
// Is its entry's page there, as it was? From then on pages are looked for where its address space had them, if nothing runs,
// until cache->resting is 0 again.
bool jit_is_here(struct jit *jit, const struct region *region);
void jit_keeps(struct jit *jit); // from now on what is warm is compiled, too: what runs later profits
u32 jit_find(struct jit *jit, maddr frame, u32 offset, u32 generation); // 0: no such region

// Entered by cpu_run, the region ran so many compiled instructions until all returned.
void jit_entered(struct jit *jit, u32 index, u64 instructions);

// It was left for its own entry: a loop goes round by a way that it does not hold.
void jit_circles(struct jit *jit, u32 index, u64 pc);

static inline void jit_retired(struct jit *jit, i64 ticks) { // in compiled code
    jit->counters.instructions += (u64)ticks;
}

// The same as jit_slot for what has been run there before in this epoch; 0: ask jit_slot.
static inline u32 jit_slot_known(struct jit *jit, u32 index, u64 pc) {
    const struct region *region = &jit->region[index];
    const struct jit_jump *jump = &jit->jump[(pc >> 1) % JIT_JUMPS];
    if (jump->pc != pc || jump->slot != region->slot || region->state != REGION_READY || (!(region->kind & KIND_CAREFUL) && !jit->cache->context->nx_near))
        return 0;
    jit->counters.entries++;
    return region->slot;
}

static inline u32 jit_modules(const struct jit *jit) { // that there are
    return jit->counters.modules + jit->counters.kept_modules;
}

static inline u32 jit_state(const struct jit *jit, u32 index) { return jit->region[index].state; }

// step.c: a module waits and the host was not told yet; answers the address for report.detail.
maddr jit_raise(struct jit *jit);
// The host has what it was asked for, and installs it between two steps.
static inline bool jit_arrived(const struct jit *jit) {
    return (jit->pending && jit->raised && atomic_load(&jit->module.ready) == jit->module.id) ||
           (jit->loading && jit->load_raised && atomic_load(&jit->load.ready) == jit->load.id);
}

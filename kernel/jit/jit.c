// What is compiled, and what may run.
//
// An entry that was reached often is queued; between two slices what is queued is translated into
// one module; JIT_READY hands it to the host, and k_jit_done makes its regions known to the
// interpreter. A region runs only if every page it was translated from is mapped now where it was
// then, with the same bytes.
#include "kept.h"
#include "translate.h"
#include "../kernel.h"
#include "../lib/heap.h"

#define NX_MISSES_MAX 32
#define MISTAKEN_MAX 250u // ways out of a region because what is hardly ever so is
#define MISTAKEN_TIME 30 // within 2 to the power of so many ticks
#define CIRCLES_MAX 10000u // of a loop by a way that was not known when it was compiled
#define STRAYS 1000u // times the threshold
#define ABSENT_MAX 64u // entries of a region one of whose pages this process has not touched
#define QUEUE_ENOUGH 32u // for a module; fewer wait for more: an engine takes long to begin with one
#define QUEUE_PATIENCE 256u // for so many slices at most, and no more than a low threshold asks for
#define QUEUE_MODULE 4u // more of them for each module that there is: the next must be worth one more to load
#define BUSY_ASKED 3u // so much hotter must be what is compiled while the compiler is at work
#define HOT 4u // so much hotter is what this run profits from than what later ones do
#define WARM_PATIENCE 2048u // slices without anything hot
#define WARM_QUEUED 24u // so many at once: what is hot must not wait for long
#define WARM_PACE 1000000u // while something runs, ticks for each instruction compiled: a compiled one takes 1 ns, an engine 40 us or more; a twentieth of a processor, then
#define ENTERED_COST 40 // to enter compiled code and come back takes as long as so many instructions that are not interpreted save
#define CREDIT_MAX 8192
#define CREDIT_MIN (-1024)
#define EARLY_FIRST 8u // an entry for which there may be kept code asks again after twice as many

static struct jit *jit_of(u32 id) {
    return host.hart[id]->cpu ? host.hart[id]->cpu->jit : NULL;
}

// ---- Regions -----------------------------------------------------------------------------------
static u32 bucket(const struct jit *jit, maddr frame, u32 offset) {
    return ((frame >> PAGE_SHIFT) * 61 + offset / 2) % lengthof(jit->hash);
}

u32 jit_find(struct jit *jit, maddr frame, u32 offset, u32 generation) {
    u32 i = jit->hash[bucket(jit, frame, offset)];
    while (i && (jit->region[i].frame != frame || jit->region[i].offset != offset ||
                 jit->region[i].generation != generation))
        i = jit->region[i].next;
    return i;
}

static struct region *region_make(struct jit *jit, const struct code_page *page, u32 offset) {
    if (jit->region_count == JIT_REGIONS)
        return NULL;
    struct region *region = &jit->region[jit->region_count++];
    *region = (struct region){.frame = page->frame, .offset = offset, .generation = page->generation};
    return region;
}

// From now on it is found: before any other that begins there.
static void enter(struct jit *jit, struct region *region) {
    u16 *head = &jit->hash[bucket(jit, region->frame, region->offset)];
    region->next = *head;
    *head = (u16)(region - jit->region);
}

struct region *jit_region(struct jit *jit, const struct code_page *page, u32 offset) {
    u32 i = jit_find(jit, page->frame, offset, page->generation);
    struct region *region = i ? &jit->region[i] : region_make(jit, page, offset);
    if (!i && region)
        enter(jit, region);
    return region;
}

struct region *jit_region_instead(struct jit *jit, const struct code_page *page, u32 index) {
    struct region *region = region_make(jit, page, jit->region[index].offset);
    if (region)
        region->instead = region->before = (u16)index;
    return region;
}

struct region_page *region_page(struct region *region, u32 i) {
    if (i < JIT_PAGES_PLAIN)
        return &region->page[i];
    if (!region->more)
        region->more = palloc((JIT_PAGES - JIT_PAGES_PLAIN) * sizeof *region->more);
    return region->more ? &region->more[i - JIT_PAGES_PLAIN] : NULL;
}

void region_leads(struct region *region, i32 off) {
    struct region_targets *targets = region->targets;
    if (!targets && (targets = region->targets = palloc(sizeof *targets)))
        targets->count = 0;
    for (u32 i = 0; targets && i < targets->count; i++)
        if (targets->off[i] == off)
            return;
    if (targets && targets->count < JIT_TARGETS)
        targets->off[targets->count++] = off;
}

void jit_ready(struct jit *jit, struct region *region) {
    region->state = REGION_READY;
    if (region->instead || region_is_anew(region))
        jit_forget(jit);
    if (region->instead)
        enter(jit, region);
    region->instead = 0;
    code_compiled(jit->cache, region->frame, region->offset, region->generation, (u32)(region - jit->region));
}

static void evict_all(struct jit *jit) {
    for (u32 i = 1; i < jit->region_count; i++) {
        pfree(jit->region[i].more);
        pfree(jit->region[i].targets);
    }
    jit->region_count = 1;
    jit->slot_next = jit->slot_first;
    jit->queue_count = jit->warm_count = 0;
    jit->counters.evictions++;
    __builtin_memset(jit->hash, 0, sizeof jit->hash);
    __builtin_memset(jit->valid, 0, JIT_REGIONS * sizeof *jit->valid);
    kept_dropped(jit);
    cpu_cache_flush(jit->cache);
    cpu_cache_new_epoch(jit->cache);
}

// ---- Making code -------------------------------------------------------------------------------
// Of a region that was not looked at yet: so many instructions.
#define REGION_TYPICAL 100u

bool jit_can_pay(const struct jit *jit) {
    u64 asked = jit->counters.region_instructions - jit->rested +
                (u64)(jit->queue_count + jit->loaded_regions) * REGION_TYPICAL;
    return asked * jit->pace <= jit->ticks;
}

// It was reached often, just now.
static void hot_at(struct jit *jit, struct region *region, u64 pc) {
    region->pc = pc;
    region->mm = tlb_is_text(jit->hart, pc) ? (u32)jit->hart->tlb->mm_id : ~0u;
}

static void queue_add(struct jit *jit, struct region *region) {
    region->state = REGION_QUEUED;
    jit->queue[jit->queue_count++] = (u16)(region - jit->region);
    jit->counters.queued++;
}

// Later runs profit from this one.
static void warm_add(struct jit *jit, struct region *region) {
    if (jit->hot == 1)
        return;
    if (!region->warm && jit->warm_count < JIT_WARM && region->mm != ~0u) {
        region->warm = true;
        jit->warm[jit->warm_count++] = (u16)(region - jit->region);
    }
    if (jit->region_count > JIT_REGIONS / 2) { // the rest is for what is hot
        jit->threshold *= jit->hot;
        jit->hot = 1;
    }
}

bool jit_is_here(struct jit *jit, const struct region *region) {
    jit->cache->resting = jit->rests ? region->mm : 0;
    const struct code_page *page = code_page_known(jit->hart, jit->cache, region->pc);
    return page && page->frame == region->frame && page->generation == region->generation;
}

// Queue some of what is warm, the hottest first. What this process has not mapped waits for one that has.
static void warm_take(struct jit *jit) {
    for (u32 least = jit->hot; --least && jit->queue_count < WARM_QUEUED;)
        for (u32 i = 0; i < jit->warm_count && jit->queue_count < WARM_QUEUED; i++) {
            struct region *region = &jit->region[jit->warm[i]];
            if (region->asked >= least && region->state == REGION_NONE && jit_is_here(jit, region))
                queue_add(jit, region);
        }
    jit->cache->resting = 0;
    u32 left = 0;
    for (u32 i = 0; i < jit->warm_count; i++) {
        struct region *region = &jit->region[jit->warm[i]];
        region->warm = region->state == REGION_NONE && code_generation(region->frame) == region->generation;
        if (region->warm)
            jit->warm[left++] = jit->warm[i];
    }
    jit->warm_count = left;
    jit->warm_age = 0;
}

u32 jit_hot(struct jit *jit, u64 pc, u32 early) {
    struct code_page *page = code_page_known(jit->hart, jit->cache, pc);
    struct region *region = page ? jit_region(jit, page, pc & PAGE_MASK) : NULL;
    if (!region)
        return jit->threshold;
    if (region->state == REGION_READY) { // once more: it may be entered for longer now
        region->credit = CREDIT_MIN / 2;
        code_compiled(jit->cache, region->frame, region->offset, region->generation,
                      (u32)(region - jit->region));
    }
    if (region->state != REGION_NONE)
        return 0;
    enum kept_answer kept = kept_take(jit, region, pc, 0);
    if (kept == KEPT_TAKEN) {
        if (region->state == REGION_READY)
            jit_ready(jit, region);
        return 0;
    }
    if (early) // its pages come one by one, as they are executed
        return kept == KEPT_LATER ? min(EARLY_FIRST << min(early, 20u), jit->threshold) : jit->threshold;
    if (jit->queue_count == JIT_QUEUE || !jit_can_pay(jit)) // what is hottest comes by again first
        return jit->threshold;
    hot_at(jit, region, pc);
    bool busy = !jit->pace && (jit->pending || jit->queue_count >= QUEUE_ENOUGH);
    u32 least = jit->hot * (busy ? BUSY_ASKED : 1);
    if (!region->slot && (++region->asked % jit->hot || region->asked < least)) { // and is not made anew
        warm_add(jit, region);
        return jit->threshold;
    }
    queue_add(jit, region);
    return 0;
}

static bool is_full(const struct jit *jit, u32 slots) {
    return jit->slot_end - jit->slot_next < slots || jit->region_count > JIT_REGIONS - 256;
}

// Ask the host for what is kept. True: it is to be told.
static bool load(struct jit *jit) {
    if (!jit->loading && kept_waits(jit)) {
        if (is_full(jit, JIT_QUEUE) && !jit->pending)
            evict_all(jit);
        jit->loading = kept_next(jit, &jit->load, jit->slot_next, jit->slot_end - jit->slot_next);
        jit->load_raised = false;
        jit->slot_next += jit->loading ? jit->load.count : 0;
    }
    return jit->loading && !jit->load_raised;
}

static u32 patience(const struct jit *jit) {
    return min(QUEUE_PATIENCE, jit->threshold * jit->hot / 8) + QUEUE_MODULE * jit_modules(jit);
}

// ---- Dispatches --------------------------------------------------------------------------------
static struct region *region_at(struct jit *jit, u64 pc) {
    const struct code_page *page = code_page_known(jit->hart, jit->cache, pc);
    u32 index = page ? jit_find(jit, page->frame, pc & PAGE_MASK, page->generation) : 0;
    return index ? &jit->region[index] : NULL;
}

// From where the region begins to where `whole` does, which lies in its pages. False: it does not.
static bool place_of(struct region *region, const struct region *whole, u64 *pc) {
    for (u32 i = 0; i < region->page_count; i++) {
        const struct region_page *page = region_page(region, i);
        if (page->frame != whole->frame || page->generation != whole->generation)
            continue;
        *pc = (((*pc >> PAGE_SHIFT) + (u64)(i64)page->delta) << PAGE_SHIFT) | whole->offset;
        return true;
    }
    return false;
}

// The region at pc; if nobody came there by its own entry, what is kept for that is taken.
static struct region *taken_at(struct jit *jit, u64 pc) {
    struct region *region = region_at(jit, pc);
    if (region && region->state == REGION_NONE)
        kept_take(jit, region, pc, 0);
    return region;
}

// The region whose dispatch leads to pc, the last that was made for it, or NULL; pc is its own, then.
static struct region *whole_at(struct jit *jit, u64 *pc) {
    struct region *region = region_at(jit, *pc);
    bool leads = region && region->whole && place_of(region, &jit->region[region->whole], pc);
    return leads ? taken_at(jit, *pc) : NULL;
}

// Could it be made with more targets than it has?
static bool can_lead(const struct region *region) {
    return region->state == REGION_READY && region->renewals < RENEWALS && !(region->kept && region->kind & KIND_FULL);
}

// What `other`, which begins `off` bytes behind the region, leads to, and that itself.
static void leads_as(struct region *region, const struct region *other, i64 off) {
    if (off > (i64)REACH || off < -(i64)REACH)
        return;
    region_leads(region, (i32)off);
    for (u32 i = 0; i < region_targets(other); i++) {
        i64 at = off + other->targets->off[i];
        if (at <= (i64)REACH && at >= -(i64)REACH)
            region_leads(region, (i32)at);
    }
}

// Instead of the region at pc, one that is kept and whose dispatch leads to more places, if there is one. NULL: there is none.
static struct region *take_instead(struct jit *jit, u64 pc, struct region *old) {
    const struct code_page *page = code_page_known(jit->hart, jit->cache, pc);
    struct region *region = page && old->state == REGION_READY ? jit_region_instead(jit, page, (u32)(old - jit->region)) : NULL;
    if (!region)
        return NULL;
    region->kind = old->kind & KIND_WANTED;
    u32 leads = region_targets(&jit->region[old->whole]);
    if (kept_take(jit, region, pc, max(leads, 1u)) != KEPT_TAKEN) {
        pfree(region->more);
        jit->region_count--;
        return NULL;
    }
    if (region->state == REGION_READY)
        jit_ready(jit, region);
    return region;
}

// The same, and with it the others that it leads to.
static bool take_larger(struct jit *jit, u64 pc, struct region *old) {
    struct region *region = take_instead(jit, pc, old);
    const struct region *whole = region ? &jit->region[region->whole] : NULL;
    u64 at = pc;
    if (!whole || !place_of(region, whole, &at))
        return region;
    for (u32 i = 0; i < region_targets(whole); i++) {
        u64 to = at + (u64)(i64)whole->targets->off[i];
        struct region *other = region_at(jit, to);
        if (other)
            take_instead(jit, to, other);
    }
    return true;
}

// Regions are left by jumps through registers often: the one that was left last is made anew, with what such jumps lead to; or, if that
// is where another dispatch leads, a larger one, that with this region. The old ones run until the new one is ready.
static void renew(struct jit *jit) {
    struct jit_context *context = jit->cache->context;
    context->strays = 0;
    u64 pc = context->strayed, other_pc = context->strayed_to;
    struct region *old = taken_at(jit, pc), *other = whole_at(jit, &other_pc);
    if (old && take_larger(jit, pc, old))
        return;
    if (other && (!can_lead(other) || other->kind & KIND_FULL))
        other = NULL;
    if (old && other && region_targets(other) > region_targets(old)) {
        struct region *larger = other;
        u64 at = other_pc;
        other = old, other_pc = pc;
        old = larger, pc = at;
    }
    const struct code_page *page = old && can_lead(old) ? code_page_known(jit->hart, jit->cache, pc) : NULL;
    struct region *region = page ? jit_region_instead(jit, page, (u32)(old - jit->region)) : NULL;
    if (!region)
        return;
    if (!(old->kind & KIND_FULL)) { // else it is made of what leads on now
        leads_as(region, old, 0);
        if (other && other != old)
            leads_as(region, other, (i64)(other_pc - pc));
    }
    region->renewals = old->renewals + 1;
    region->kind = old->kind & KIND_WANTED;
    old->renewals = RENEWALS;
    jit->stray_max *= 2;
    hot_at(jit, region, pc);
    queue_add(jit, region);
}

// ---- Looking after it --------------------------------------------------------------------------

// Are regions left so often that one is to be made anew? Only between two slices: who looks for pages may wait for another hart, and
// what compiled code knows of the TLB is then untrue.
static bool renew_due(const struct jit *jit) {
    return jit->cache->context->strays >= jit->stray_max && jit->queue_count < JIT_QUEUE && jit_can_pay(jit);
}

// Is what is queued to be translated now?
static bool queue_due(struct jit *jit) {
    if (jit->pending)
        return false;
    if (!jit->queue_count) {
        bool idle = !jit->pace && jit->warm_count && ++jit->warm_age >= WARM_PATIENCE;
        if (idle && jit->counters.region_instructions * (u64)WARM_PACE <= jit->ticks)
            warm_take(jit);
        return jit->queue_count;
    }
    jit->warm_age = 0;
    return jit->queue_count >= QUEUE_ENOUGH || ++jit->queue_age >= patience(jit);
}

bool jit_attention(struct jit *jit) {
    jit->ticks += SLICE;
    if (jit_arrived(jit) || load(jit))
        return true;
    if (jit->pending)
        return !jit->raised;
    if (renew_due(jit))
        renew(jit);
    if (!queue_due(jit))
        return false;
    if (is_full(jit, JIT_QUEUE)) {
        if (!jit->loading)
            evict_all(jit);
        return false;
    }
    jit->pending = translate_module(jit);
    jit->queue_age = jit->queue_count ? patience(jit) : 0; // what was left over has waited
    jit->raised = false;
    return jit->pending;
}

maddr jit_raise(struct jit *jit) {
    if (jit && jit->loading && !jit->load_raised) {
        jit->load_raised = true;
        return MADDR(&jit->load);
    }
    if (!jit || !jit->pending || jit->raised)
        return 0;
    jit->raised = true;
    return MADDR(&jit->module);
}

// No other hart is inside a step, and none can begin one while this one has the kernel lock.
static bool others_rest(const struct hart *hart) {
    bool rest = !atomic_load(&host.panicked);
    for (u32 i = 0; i < HART_MAX && rest; i++)
        rest = i == hart->id || !host.hart[i] || host.idle >> i & 1;
    return rest;
}

// What is queued is translated for later runs, though the processes that made it hot may be gone.
__attribute__((export_name("k_jit_rest"))) u32 k_jit_rest(u32 id) {
    struct jit *jit = jit_of(id);
    if (!jit || jit->pending || jit->loading || jit->hot == 1 || !(jit->queue_count || jit->warm_count))
        return 0;
    kernel_lock(jit->hart);
    jit->rests = others_rest(jit->hart) && !is_full(jit, JIT_QUEUE);
    if (jit->rests && !jit->queue_count)
        warm_take(jit);
    u32 before = jit->counters.region_instructions;
    jit->pending = jit->raised = jit->rests && jit->queue_count && translate_module(jit);
    jit->rested += jit->counters.region_instructions - before;
    jit->rests = false;
    kernel_unlock(jit->hart);
    return jit->pending ? MADDR(&jit->module) : 0;
}

// ---- Running it --------------------------------------------------------------------------------
static bool page_stands(struct jit *jit, u64 va, const struct region_page *page) {
    return code_generation(page->frame) == page->generation &&
           code_frame(jit->hart, jit->cache, va) == page->frame;
}

// `kind`: what it is to be then. False: it is not the time for it.
static bool make_anew(struct jit *jit, struct region *region, u64 pc, u8 kind) {
    if (jit->queue_count == JIT_QUEUE || !jit_can_pay(jit) || !code_page_known(jit->hart, jit->cache, pc))
        return false;
    region->kind |= kind;
    region->kept = 0;
    region->state = REGION_NONE;
    jit_hot(jit, pc, 0);
    return true;
}

// Compile anew with the pages that are there: a process that never touches the others would always interpret it.
static void misses_page(struct jit *jit, struct region *region, u64 pc) {
    if (region->absent < ABSENT_MAX)
        region->absent++;
    else if (make_anew(jit, region, pc, 0))
        region->absent = 0;
}

// Whether its pages are decoded here does not matter: their generations say that they are as they were.
static bool stands(struct jit *jit, u32 index, u64 pc) {
    struct region *region = &jit->region[index];
    u32 epoch = jit->cache->here->epoch, fetch = fetch_generation(jit->hart);
    if (jit->valid[index] == epoch && region->pc == pc)
        return true;
    for (u32 i = 0; i < region->page_count; i++) {
        const struct region_page *page = region_page(region, i);
        u64 va = pc + ((u64)(i64)page->delta << PAGE_SHIFT);
        if (page_stands(jit, va, page))
            continue;
        if (!code_frame(jit->hart, jit->cache, va))
            misses_page(jit, region, pc);
        return false;
    }
    if (fetch_generation(jit->hart) != fetch) // who looks may have waited for another hart
        return false;
    if (jit->valid[index] ==
        epoch) // now at another address: whoever knows the old one must look again
        cpu_cache_new_epoch(jit->cache);
    region->pc = pc;
    jit->valid[index] = jit->cache->here->epoch;
    return true;
}

// A region with floating point that was compiled when fcsr.NX was set, as it soon is in most
// programs: where it is clear often, it is compiled anew for both.
static bool misses_nx(struct jit *jit, struct region *region, u64 pc) {
    if (region->kind & KIND_CAREFUL || jit->cache->context->nx_near)
        return false;
    if (region->misses < NX_MISSES_MAX)
        region->misses++;
    else
        make_anew(jit, region, pc, KIND_CAREFUL);
    return true;
}

// What returns at once again and again, as between two system calls, is interpreted for a while: only compiled code jumps to it.
void jit_entered(struct jit *jit, u32 index, u64 instructions) {
    struct region *region = &jit->region[index];
    i32 credit = region->credit + (i32)min(instructions, (u64)CREDIT_MAX) - ENTERED_COST;
    region->credit = (i16)min(credit, CREDIT_MAX);
    if (credit > CREDIT_MIN || region->state != REGION_READY)
        return;
    region->credit = 0;
    code_interpreted(jit->cache, region->frame, region->offset, region->generation);
}

// What ran when it was compiled, in another process maybe, went another way.
void jit_circles(struct jit *jit, u32 index, u64 pc) {
    struct region *region = &jit->region[index];
    if (region->kind & (KIND_CLOSED | KIND_DISPATCHES) || region->state != REGION_READY)
        return;
    if (region->circles < CIRCLES_MAX)
        region->circles++;
    else
        make_anew(jit, region, pc, KIND_CLOSED);
}

static void jumps_empty(struct jit *jit) {
    if (jit->jump_count > lengthof(jit->jump_used)) {
        for (u32 i = 0; i < JIT_JUMPS; i++)
            jit->jump[i].pc = JUMP_NONE;
    } else {
        for (u32 i = 0; i < jit->jump_count; i++)
            jit->jump[jit->jump_used[i]].pc = JUMP_NONE;
    }
    jit->jump_count = 0;
}

void jit_forget(struct jit *jit) {
    jumps_empty(jit);
    for (u32 i = 0; i < TLB_POOL; i++)
        jit->away[i].count = 0;
}

static void jump_set(struct jit *jit, u64 pc, u32 slot) {
    u32 at = (pc >> 1) % JIT_JUMPS;
    if (jit->jump[at].pc == pc && jit->jump[at].slot == slot)
        return;
    if (jit->jump[at].pc == JUMP_NONE) {
        if (jit->jump_count < lengthof(jit->jump_used))
            jit->jump_used[jit->jump_count] = (u16)at;
        jit->jump_count++;
    }
    jit->jump[at] = (struct jit_jump){pc, slot, 0};
}

void jit_select(struct jit *jit, u32 from, u32 to, bool stands) {
    u32 used = min(jit->jump_count, (u32)lengthof(jit->jump_used));
    struct jit_away *away = &jit->away[from];
    away->count = min(used, JIT_AWAY);
    for (u32 i = 0; i < away->count; i++)
        away->jump[i] = jit->jump[jit->jump_used[used - away->count + i]];
    jumps_empty(jit);
    away = &jit->away[to];
    for (u32 i = 0; stands && i < away->count; i++)
        jump_set(jit, away->jump[i].pc, away->jump[i].slot);
}

u32 jit_slot(struct jit *jit, u32 index, u64 pc) {
    if (jit_state(jit, index) != REGION_READY) // it is being made anew
        return 0;
    if (!stands(jit, index, pc)) {
        jit->counters.stale++;
        return 0;
    }
    if (misses_nx(jit, &jit->region[index], pc))
        return 0;
    jump_set(jit, pc, jit->region[index].slot); // whoever comes by here will come again
    jit->counters.entries++;
    return jit->region[index].slot;
}

// ---- What compiled code calls ------------------------------------------------------------------
static struct hart *hart_of(const struct jit_context *context) {
    return host.hart[(u32)((const u64 *)context - register_file) / CONTEXT_WORDS];
}

i32 jit_refill(struct hart *hart, i32 fuel) {
    struct jit *jit = hart->cpu->jit;
    jit->ticks += SLICE;
    if (atomic_load(&hart->attn) || (renew_due(jit) && !jit->pending) || queue_due(jit) ||
        (kept_waits(jit) && !jit->loading) || jit_arrived(jit))
        return fuel;
    i32 slice = (i32)min(*hart->cpu->left, (u64)SLICE);
    *hart->cpu->left -= (u64)slice;
    return fuel + slice;
}

__attribute__((export_name("j_refill"))) i32 j_refill(struct jit_context *context, i32 fuel) {
    return jit_refill(hart_of(context), fuel);
}

__attribute__((export_name("j_ecall"))) i32 j_ecall(struct jit_context *context, i32 fuel) {
    return ecall_for(hart_of(context)->cpu, context->pc, fuel);
}

// A call of what has no compiled code, or one that has come back elsewhere.
__attribute__((export_name("j_call"))) i32 j_call(struct jit_context *context, i32 fuel, i32 depth,
                                                  u64 pc) {
    return interpret_for(hart_of(context)->cpu, fuel, pc, context->expect[depth], depth - 1, false);
}

// A region that had too little fuel to begin can with another slice.
static bool begins_again(struct hart *hart, struct jit_context *context, i32 *fuel, u64 pc) {
    const struct jit_jump *jump = &hart->cpu->jit->jump[(pc >> 1) % JIT_JUMPS];
    i32 more = jump->pc == pc ? jit_refill(hart, *fuel) : *fuel;
    if (more == *fuel)
        return false;
    *fuel = more;
    context->reason = REASON_NONE;
    context->pc = pc;
    context->slot = jump->slot;
    return true;
}

// The region whose entry is mapped at pc was left because several accesses cross pages, or miss the TLB; or because behind a call the
// stack is elsewhere, or what the TLB had may be gone. If that is often so it is compiled anew.
static void mistaken(struct jit *jit, u64 pc, bool moved) {
    struct region *region = region_at(jit, pc);
    u8 kind = moved ? KIND_MOVING : KIND_CROSSING;
    if (!region || region->kind & kind || region->state != REGION_READY)
        return;
    u8 now = (u8)(jit->ticks >> MISTAKEN_TIME), *times = moved ? &region->moved : &region->crossed;
    if (region->left_at != now)
        region->crossed = region->moved = 0;
    region->left_at = now;
    if (*times < MISTAKEN_MAX)
        ++*times;
    else
        make_anew(jit, region, pc, kind);
}

// The function under way goes on where there is no compiled code.
__attribute__((export_name("j_continue"))) i32 j_continue(struct jit_context *context, i32 fuel,
                                                          i32 depth, u64 pc) {
    struct hart *hart = hart_of(context);
    if (pc & 1) // WHERE_MISTAKEN
        mistaken(hart->cpu->jit, context->left, context->reason == REASON_NONE);
    pc &= ~1ull;
    if (context->reason == REASON_FUEL && begins_again(hart, context, &fuel, pc))
        return fuel;
    return interpret_for(hart->cpu, fuel, pc, context->expect[depth + 1], 0, true);
}

// ---- The host ----------------------------------------------------------------------------------
static struct jit_jump first_jump[JIT_JUMPS]; // of the first hart, whose code knows where it is

__attribute__((export_name("k_jit_start"))) u32 k_jit_start(u32 id, u32 slot, u32 count,
                                                            u32 threshold, u32 features) {
    struct hart *hart = host.hart[id];
    if (!hart->cpu || hart->cpu->jit || count < 2 * JIT_QUEUE)
        return (u32)-EINVAL;
    struct jit *jit = palloc(sizeof *jit);
    if (!jit)
        return (u32)-ENOMEM;
    *jit = (struct jit){
        .hart = hart, .cache = hart->cpu, .threshold = max(threshold, 1u), .hot = 1, .features = features & ~(u32)JIT_LISTING};
    jit->slot_first = jit->slot_next = slot;
    jit->slot_end = slot + count;
    jit->region_count = jit->module_id = 1;
    jit->record = palloc(RECORD_BYTES);
    jit->region = palloc(JIT_REGIONS * sizeof *jit->region);
    jit->valid = palloc(JIT_REGIONS * sizeof *jit->valid);
    jit->jump = id ? palloc(JIT_JUMPS * sizeof *jit->jump) : first_jump;
    jit->translation = palloc(translation_size());
    jit->bytes = palloc(JIT_MODULE_BYTES);
    jit->listing = features & JIT_LISTING ? palloc(JIT_LISTING_BYTES) : NULL;
    if (!jit->region || !jit->valid || !jit->jump || !jit->translation || !jit->bytes || !jit->record)
        return (u32)-ENOMEM;
    hart->cpu->context->jump = MADDR(jit->jump);
    hart->cpu->context->led = MADDR(hart->cpu->led);
    jit->stray_max = jit->threshold * STRAYS;
    jit->jump_count = JIT_JUMPS; // so that all are emptied
    hart->cpu->jit = jit;
    cpu_cache_flush(hart->cpu);
    cpu_cache_new_epoch(hart->cpu);
    return 0;
}

void jit_keeps(struct jit *jit) {
    if (jit->hot == 1) {
        jit->hot = HOT;
        jit->threshold = max(jit->threshold / jit->hot, 1u);
    }
}

__attribute__((export_name("k_jit_pace"))) void k_jit_pace(u32 id, u32 ticks) {
    if (jit_of(id)) {
        jit_of(id)->pace = ticks;
        jit_keeps(jit_of(id)); // who starts a program again profits, too
    }
}

__attribute__((export_name("k_jit_done"))) u32 k_jit_done(u32 id, u32 number, u32 ok) {
    struct jit *jit = jit_of(id);
    if (jit && jit->loading && jit->load.id == number) {
        jit->loading = false;
        kept_arrived(jit, jit->load.kept, ok);
        return 0;
    }
    if (!jit || !jit->pending || jit->module.id != number)
        return (u32)-EINVAL;
    jit->pending = false;
    if (!ok)
        jit->counters.refused++;
    else
        jit->counters.modules++;
    for (u32 i = 0; i < jit->module.count; i++) {
        u32 index = jit->pending_region[i];
        struct region *region = &jit->region[index];
        region->slot = jit->module.slot + i;
        region->state = ok ? REGION_READY : REGION_REFUSED;
        if (!ok)
            continue;
        jit_ready(jit, region);
    }
    return 0;
}

__attribute__((export_name("k_jit_counters"))) u32 k_jit_counters(u32 id) {
    struct jit *jit = jit_of(id);
    return jit ? MADDR(&jit->counters) : 0;
}

// A module of regions: types, imports, an element segment that puts the functions where the kernel
// calls them, and their bodies.
#include "codegen.h"
#include "kept.h"
#include "../lib/heap.h"

u32 translation_size(void) {
    return sizeof(struct translation);
}

static const struct {
    const char *name;
    u32 type;
} function_import[] = {{"j_refill", 1}, {"j_ecall", 1}, {"j_call", 0}, {"j_continue", 0}};

static void section_import(struct code *code) {
    put(code, 2);
    u8 *length = length_begin(code);
    put_u(code, 3 + lengthof(function_import));
    put_name(code, "env");
    put_name(code, "memory");
    put(code, 2);
    put(code, 3); // shared, with a maximum
    put_u(code, 0);
    put_u(code, 65536);
    put_name(code, "env");
    put_name(code, "table");
    put(code, 1);
    put(code, 0x70);
    put(code, 0);
    put_u(code, 0);
    put_name(code, "env");
    put_name(code, "slot");
    put(code, 3);
    put(code, T_I32);
    put(code, 0);
    for (u32 i = 0; i < lengthof(function_import); i++) {
        put_name(code, "env");
        put_name(code, function_import[i].name);
        put(code, 0);
        put_u(code, function_import[i].type);
    }
    length_end(code, length);
}

static void section_type(struct code *code) {
    static const u8 types[] = {
        2,                                             // of them
        0x60, 4, T_I32, T_I32, T_I32, T_I64, 1, T_I32, // 0: a region
        0x60, 2, T_I32, T_I32, 1,     T_I32,           // 1: j_refill, j_ecall
    };
    put(code, 1);
    u8 *length = length_begin(code);
    for (u32 i = 0; i < sizeof types; i++)
        put(code, types[i]);
    length_end(code, length);
}

enum { OWN = FUNCTIONS - lengthof(function_import) };

// Sections whose size depends on how many members there are; the bodies are written already.
static void sections_head(struct code *code, u32 members) {
    static const u8 magic[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    for (u32 i = 0; i < sizeof magic; i++)
        put(code, magic[i]);
    section_type(code);
    section_import(code);
    put(code, 3);
    u8 *length = length_begin(code);
    put_u(code, OWN + members); // all of one type
    for (u32 i = 0; i < OWN + members; i++)
        put_u(code, 0);
    length_end(code, length);
    put(code, 9);
    length = length_begin(code);
    put_u(code, 1);
    put_u(code, 0);
    put(code, W_GLOBAL_GET);
    put_u(code, 0);
    put(code, W_END);
    put_u(code, members);
    for (u32 i = 0; i < members; i++)
        put_u(code, FUNCTIONS + i);
    length_end(code, length);
}

// More make whoever waits for the first of them wait for long.
#define MODULE_INSNS 1200u // of a module; of one among many more, for each costs its loading
#define MODULE_INSNS_MOST 4800u
#define HEAD_ROOM (2048u + HINTS * 5 + SELF_CALLS * 8) // sections before the code

// The custom section metadata.code.branch_hint (proposal "branch hinting"), which engines may know.
static void section_hints(struct code *code, const struct translation *t) {
    u32 functions = 0;
    for (u32 i = 0; i < t->hint_count; i++)
        functions += !i || t->hint[i].member != t->hint[i - 1].member;
    put(code, 0);
    u8 *length = length_begin(code);
    put_name(code, "metadata.code.branch_hint");
    put_u(code, functions);
    for (u32 i = 0; i < t->hint_count;) {
        u32 end = i;
        while (end < t->hint_count && t->hint[end].member == t->hint[i].member)
            end++;
        put_u(code, FUNCTIONS + t->hint[i].member);
        put_u(code, end - i);
        for (; i < end; i++) {
            put_u(code, t->hint[i].offset);
            put_u(code, 1);
            put(code, t->hint[i].likely);
        }
    }
    length_end(code, length);
}

// What a host must know that puts the functions of several modules into one. Without it, none can.
static void section_self_calls(struct code *code, const struct translation *t) {
    if (t->self_call_count > SELF_CALLS)
        return;
    put(code, 0);
    u8 *length = length_begin(code);
    put_name(code, "ebb.self");
    put_u(code, t->self_call_count);
    for (u32 i = 0; i < t->self_call_count; i++) {
        put_u(code, t->self_call[i].member);
        put_u(code, t->self_call[i].offset);
        put_u(code, t->self_call[i].callee);
    }
    length_end(code, length);
}

// Entries inside this region wait: where control comes from is the better place to begin, and each with all that follows
// would be the same code many times.
static void covers(struct translation *t, u32 index) {
    struct jit *jit = t->jit;
    for (u32 i = 0; i < t->block_count; i++) {
        const struct jit_insn *first = &t->row[t->block[i].first];
        if (!t->block[i].reached || t->block[i].term == TERM_DISPATCH || first->context || !first->off)
            continue;
        u64 va = t->pc + (u64)(i64)first->off;
        const struct code_page *page = code_page_known(jit->hart, jit->cache, va);
        if (!page)
            continue;
        u32 other = jit_find(jit, page->frame, va & PAGE_MASK, page->generation);
        if (other && other != index)
            jit->region[other].asked = (u8)(jit->hot - 1); // once more
        if (other && other != index && jit->region[other].state == REGION_QUEUED)
            jit->region[other].state = REGION_NONE;
        code_covered(jit->cache, page->frame, va & PAGE_MASK, page->generation);
    }
}

// What the region was made from; its entry lies `delta` pages from the translation's. False: no memory.
static bool pages_set(struct region *region, const struct translation *t, i32 delta) {
    for (u32 i = 0; i < t->page_count; i++) {
        struct region_page *page = region_page(region, i);
        if (!page)
            return false;
        *page = t->page[i];
        page->delta -= delta;
    }
    region->page_count = (u8)t->page_count;
    return true;
}

static bool member_write(struct translation *t, u32 index) {
    struct jit *jit = t->jit;
    struct region *region = &jit->region[index];
    struct code before = t->code;
    t->pc = region->pc;
    t->instead = region->instead;
    t->target_most = region_targets(&jit->region[t->instead]);
    t->moving = region->kind & KIND_MOVING;
    if (!region_find(t, region->targets) || (t->instead && !dispatches(t)))
        return false;
    t->crossing = region->kind & KIND_CROSSING || dispatches(t);
    t->careful = region->kind & KIND_CAREFUL || !jit->cache->run.nx_near || dispatches(t);
    u8 *length = length_begin(&t->code);
    u32 hints = t->hint_count, self_calls = t->self_call_count, listed = jit->listing_len;
    t->body = t->code.at;
    listing_region(t, 0);
    if (!region_write(t) || !pages_set(region, t, 0)) {
        t->hint_count = hints;
        t->self_call_count = self_calls;
        jit->listing_len = listed;
        t->code = before;
        return false;
    }
    length_end(&t->code, length);
    region->kind &= KIND_MOVING | KIND_CLOSED;
    region->kind |= (t->careful || !t->floats ? KIND_CAREFUL : 0) | (t->crossing ? KIND_CROSSING : 0) | (t->loop ? KIND_LOOP : 0) |
                    (dispatches(t) ? KIND_DISPATCHES : 0) | (dispatches(t) && t->full ? KIND_FULL : 0);
    region->whole = dispatches(t) ? (u16)index : 0;
    pfree(region->targets);
    region->targets = NULL;
    for (u32 i = 0; dispatches(t) && i < t->target_count; i++)
        region_leads(region, t->target[i]);
    jit->counters.region_instructions += t->row_count;
    kept_add(jit, t, region);
    covers(t, index);
    return true;
}

// An engine that competes with harts gets little at a time.
static u32 module_insns(const struct jit *jit) {
    u32 more = jit->pace ? 0 : jit_modules(jit) * 16;
    return min(MODULE_INSNS + more, MODULE_INSNS_MOST);
}

// The targets of the region that was written last are entries, too: each is a function that goes there.
static void targets_write(struct translation *t, u32 index, u32 member) {
    struct jit *jit = t->jit;
    const struct region *whole = &jit->region[index];
    for (u32 i = 1; dispatches(t) && i < t->target_count && t->member_count < JIT_QUEUE; i++) {
        if (t->code.end - t->code.at < 64)
            break;
        i32 off = t->target[i];
        u64 va = t->pc + (u64)(i64)off;
        const struct code_page *page = code_page_known(jit->hart, jit->cache, va);
        struct region *region = page ? jit_region(jit, page, va & PAGE_MASK) : NULL;
        if (region && region->state == REGION_READY)
            region = jit_region_instead(jit, page, (u32)(region - jit->region));
        if (!region || region->state == REGION_WAITING)
            continue;
        i32 delta = (i32)((i64)(va >> PAGE_SHIFT) - (i64)(t->pc >> PAGE_SHIFT));
        if (!pages_set(region, t, delta))
            break;
        u8 *length = length_begin(&t->code);
        t->body = t->code.at;
        listing_region(t, off);
        inside_write(t, member, off);
        length_end(&t->code, length);
        region->pc = va;
        region->kept = 0;
        region->renewals = RENEWALS;
        region->kind = whole->kind;
        region->whole = (u16)index;
        region->state = REGION_WAITING;
        kept_add_inside(jit, region, off);
        jit->pending_region[t->member_count++] = (u16)(region - jit->region);
    }
}

bool translate_module(struct jit *jit) {
    struct translation *t = jit->translation;
    t->jit = jit;
    u8 *bytes = jit->bytes;
    t->code = (struct code){bytes + HEAD_ROOM, bytes + HEAD_ROOM, bytes + JIT_MODULE_BYTES, false};
    t->member_count = t->hint_count = t->self_call_count = jit->listing_len = 0;
    u8 *length = length_begin(&t->code);
    go_on_write(t);
    length_end(&t->code, length);
    length = length_begin(&t->code);
    leave_write(t);
    length_end(&t->code, length);
    kept_begin(jit);
    u32 left = 0, insns = 0, enough = module_insns(jit);
    i32 room = (i32)(JIT_MODULE_BYTES / 2); // for one region
    for (u32 i = 0; i < jit->queue_count; i++) {
        u32 index = jit->queue[i];
        struct region *region = &jit->region[index];
        if (region->state != REGION_QUEUED) // part of another one since
            continue;
        if (t->code.end - t->code.at < room || insns > enough || t->member_count == JIT_QUEUE) {
            jit->queue[left++] = (u16)index; // the next module's
            continue;
        }
        if (!jit_is_here(jit, region)) {
            region->state = REGION_NONE; // of another process, or gone
            if (!region->instead)
                code_compiled(jit->cache, region->frame, region->offset, region->generation, 0);
            continue;
        }
        if (!member_write(t, index)) {
            region->state = REGION_REFUSED;
            continue;
        }
        insns += t->row_count;
        region->state = REGION_WAITING;
        jit->pending_region[t->member_count++] = (u16)index;
        targets_write(t, index, t->member_count - 1);
    }
    jit->cache->resting = 0;
    jit->queue_count = left;
    if (!t->member_count)
        return false;
    // The code section's head stands right before the bodies, everything else before that.
    u8 *bodies = bytes + HEAD_ROOM;
    u32 bodies_length = (u32)(t->code.at - bodies);
    struct code head = {bytes, bytes, bytes + HEAD_ROOM, false};
    sections_head(&head, t->member_count);
    section_hints(&head, t);
    section_self_calls(&head, t);
    assert(!head.full);
    put(&head, 10);
    u8 counted[5];
    struct code count = {counted, counted, counted + 5, false};
    put_u(&count, OWN + t->member_count);
    put_u(&head, bodies_length + (u32)(count.at - counted));
    put_u(&head, OWN + t->member_count);
    u32 head_length = (u32)(head.at - bytes);
    __builtin_memmove(bodies - head_length, bytes, head_length);
    jit->module = (struct jit_module){.id = jit->module_id++,
                                      .bytes = MADDR(bodies - head_length),
                                      .len = head_length + bodies_length,
                                      .slot = jit->slot_next,
                                      .count = t->member_count,
                                      .listing = MADDR(jit->listing),
                                      .listing_len = jit->listing_len};
    kept_end(jit);
    jit->slot_next += t->member_count;
    jit->counters.regions += t->member_count;
    jit->counters.module_bytes += jit->module.len;
    return true;
}

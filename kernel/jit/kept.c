// What is kept of a translation beside its module, and how it is found again.
//
// A translation is made from guest bytes and from nothing else: not from where they are mapped, nor by whom. So
// its record holds these bytes, and it is used wherever exactly they are met again, in any file and any process; what
// such a module does is what translating them here would give. Records lie in private memory that all harts share.
#include "kept.h"
#include "../kernel.h"
#include "../lib/heap.h"
#include "../mem/tlb.h"
#include "translate.h"

// A module's record: this, then one kept_region for each of its regions, in order.
struct kept_module {
    u32 len, count;
    u32 features; // it uses, and whether it is for several harts: KEPT_SMP
};
// Then its spans, then the bytes of all of them, filled up to a multiple of 4.
struct kept_region {
    u32 len;
    u32 key;
    u16 offset; // of the entry in its page
    u8 kind; // of the region
    u16 spans; // 0: an entry of the region whose record is the last before that has some
    i32 off;   // and its distance from that one's own
};
enum { KEPT_SMP = 1u << 31, SPANS = 4096, HEADS = 4096, MODULES_MAX = 8192 };

struct load {
    u32 slot;
    u16 count;
    u8 state; // LOAD_*
    bool there; // in slots of its own, for good: nobody asks for it
};
enum { LOAD_NONE, LOAD_WANTED, LOAD_DONE, LOAD_REFUSED };

struct found {
    const struct kept_region *record, *whole; // with its bytes
    u32 next; // with the same head: of fewer places, or named before
    u16 module, member;
    u16 leads; // to so many places, by its dispatch
};

struct kept {
    struct found *found; // [0] is none
    u32 found_count;
    struct load *load;
    u32 load_count;
    u16 *wanted; // loads, first come, first served
    u32 wanted_first, wanted_end;
    u32 head[HEADS];
};

// ---- Finding -----------------------------------------------------------------------------------
static u32 key_of(maddr frame, u32 offset) {
    u64 word = 0;
    __builtin_memcpy(&word, MPTR(const u8, frame + offset), min(8u, PAGE_SIZE - offset));
    return (u32)(((word ^ offset) * 0x9e3779b97f4a7c15ull) >> 32);
}

bool kept_likely(const struct jit *jit, maddr frame, u32 offset) {
    const struct kept *kept = jit->kept;
    if (!kept)
        return false;
    u32 key = key_of(frame, offset);
    u32 i = kept->head[key % HEADS];
    while (i && (kept->found[i].record->key != key || kept->found[i].record->offset != offset))
        i = kept->found[i].next;
    return i;
}

static struct region_page *region_page_of(struct jit *jit, struct region *region, u64 pc, i32 delta) {
    for (u32 i = 0; i < region->page_count; i++)
        if (region_page(region, i)->delta == delta)
            return region_page(region, i);
    const struct code_page *code =
        region->page_count == JIT_PAGES
            ? NULL
            : code_page_there(jit->hart, jit->cache, pc + ((u64)(i64)delta << PAGE_SHIFT));
    struct region_page *page = code ? region_page(region, region->page_count) : NULL;
    if (!page)
        return NULL;
    region->page_count++;
    *page = (struct region_page){delta, code->frame, code->generation};
    return page;
}

// Are the record's bytes those that are mapped? The entry's own page, which is here, is asked first.
static enum kept_answer matches(struct jit *jit, const struct found *found, struct region *region, u64 pc) {
    const struct kept_region *record = found->whole;
    const struct kept_span *spans = (const struct kept_span *)(record + 1);
    region->page_count = 0;
    for (u32 others = 0; others < 2; others++) {
        const u8 *bytes = (const u8 *)(spans + record->spans);
        for (u32 i = 0; i < record->spans; i++) {
            i32 at = (i32)region->offset + spans[i].off - found->record->off; // from the start of the entry's page
            for (u32 left = spans[i].len; left;) {
                u32 in = (u32)at & PAGE_MASK, part = min(left, PAGE_SIZE - in);
                i32 delta = at >> PAGE_SHIFT;
                if ((delta != 0) == others) {
                    struct region_page *page = region_page_of(jit, region, pc, delta);
                    if (!page)
                        return KEPT_LATER;
                    if (__builtin_memcmp(MPTR(const u8, page->frame + in), bytes, part))
                        return KEPT_NONE;
                }
                at += (i32)part;
                bytes += part;
                left -= part;
            }
        }
    }
    return region->page_count ? KEPT_TAKEN : KEPT_NONE;
}

// The region that holds the dispatch which leads to this one at pc. It need not be taken itself.
static u16 whole_of(struct jit *jit, const struct found *found, struct region *region, u64 pc) {
    u64 at = pc - (u64)(i64)found->record->off;
    const struct code_page *page = code_page_there(jit->hart, jit->cache, at);
    struct region *whole = !found->record->off ? region : page ? jit_region(jit, page, at & PAGE_MASK) : NULL;
    if (!whole || whole->targets)
        return whole ? (u16)(whole - jit->region) : 0;
    const struct found *first = found - found->member, *end = first + jit->kept->load[found->module].count;
    for (const struct found *f = first; f < end; f++)
        if (f->whole == found->whole)
            region_leads(whole, f->record->off);
    return (u16)(whole - jit->region);
}

enum kept_answer kept_take(struct jit *jit, struct region *region, u64 pc, u32 beyond) {
    struct kept *kept = jit->kept;
    if (!kept)
        return KEPT_NONE;
    enum kept_answer answer = KEPT_NONE;
    u32 key = key_of(region->frame, region->offset);
    for (u32 i = kept->head[key % HEADS]; i; i = kept->found[i].next) {
        const struct found *found = &kept->found[i];
        struct load *load = &kept->load[found->module];
        if (beyond && found->leads <= beyond)
            break;
        if (found->record->key != key || found->record->offset != region->offset ||
            load->state == LOAD_REFUSED || region->kind & KIND_WANTED & ~found->record->kind)
            continue;
        if (load->state == LOAD_NONE && !load->there && !jit_can_pay(jit)) {
            answer = KEPT_LATER;
            continue;
        }
        enum kept_answer this = matches(jit, found, region, pc);
        if (this == KEPT_LATER)
            answer = this;
        if (this == KEPT_LATER && found->record->kind & KIND_DISPATCHES)
            break; // others lead to fewer places
        if (this != KEPT_TAKEN)
            continue;
        region->kind = found->record->kind;
        pfree(region->targets); // of another one, that was not taken
        region->targets = NULL;
        region->whole = region->kind & KIND_DISPATCHES ? whole_of(jit, found, region, pc) : 0;
        region->pc = pc;
        region->kept = found->module + 1;
        if (load->state == LOAD_NONE && load->there) {
            load->state = LOAD_DONE;
            jit->counters.kept_modules++;
        }
        region->slot = found->member; // and from where its module's slots begin, when that is there
        region->slot += load->state == LOAD_DONE ? load->slot : 0;
        region->state = load->state == LOAD_DONE ? REGION_READY : REGION_WAITING;
        if (load->state == LOAD_NONE) {
            load->state = LOAD_WANTED;
            kept->wanted[kept->wanted_end++] = found->module;
        }
        jit->counters.kept_regions++;
        jit->loaded_regions += !load->there;
        return this;
    }
    region->page_count = 0;
    return answer;
}

const struct kept_span *kept_spans(const struct jit *jit, const struct region *region, u32 *count) {
    u32 i = region->kept ? jit->kept->head[key_of(region->frame, region->offset) % HEADS] : 0;
    while (i && (jit->kept->found[i].module + 1 != region->kept || !jit->kept->found[i].record->spans ||
                 jit->kept->found[i].record->offset != region->offset))
        i = jit->kept->found[i].next;
    const struct kept_region *record = i ? jit->kept->found[i].record : NULL;
    *count = record ? record->spans : 0;
    return record ? (const struct kept_span *)(record + 1) : NULL;
}

// ---- Loading -----------------------------------------------------------------------------------
bool kept_waits(const struct jit *jit) {
    return jit->kept && jit->kept->wanted_first != jit->kept->wanted_end;
}

bool kept_next(struct jit *jit, struct jit_module *module, u32 slot, u32 room) {
    struct kept *kept = jit->kept;
    if (!kept_waits(jit))
        return false;
    u32 number = kept->wanted[kept->wanted_first];
    struct load *load = &kept->load[number];
    if (load->count > room)
        return false;
    kept->wanted_first++;
    load->slot = slot;
    *module = (struct jit_module){
        .id = jit->module_id++, .slot = slot, .count = load->count, .kept = number + 1};
    return true;
}

void kept_arrived(struct jit *jit, u32 number, bool ok) {
    struct load *load = &jit->kept->load[number - 1];
    load->state = ok ? LOAD_DONE : LOAD_REFUSED;
    jit->counters.kept_modules += ok;
    for (u32 i = 1; i < jit->region_count; i++) {
        struct region *region = &jit->region[i];
        if (region->state != REGION_WAITING || region->kept != number)
            continue;
        region->slot += load->slot; // was its number in the module
        region->state = REGION_NONE;
        if (ok)
            jit_ready(jit, region);
        else if (!region->instead)
            code_compiled(jit->cache, region->frame, region->offset, region->generation, 0);
    }
}

void kept_dropped(struct jit *jit) {
    struct kept *kept = jit->kept;
    if (!kept)
        return;
    kept->wanted_first = kept->wanted_end = 0;
    for (u32 i = 0; i < kept->load_count; i++)
        if (kept->load[i].state != LOAD_REFUSED)
            kept->load[i].state = LOAD_NONE;
}

// ---- Records -----------------------------------------------------------------------------------
static u32 features_of(const struct jit *jit) {
    return jit->features | (jit->cache->smp ? KEPT_SMP : 0);
}

void kept_begin(struct jit *jit) {
    struct kept_module *head = (struct kept_module *)jit->record;
    *head = (struct kept_module){sizeof *head, 0, features_of(jit)};
}

void kept_end(struct jit *jit) {
    const struct kept_module *head = (const struct kept_module *)jit->record;
    jit->module.record = head->len ? MADDR(head) : 0;
    jit->module.record_len = head->len;
}

static void parcel_mark(struct parcels *pages, const struct translation *t, u32 entry, i32 off) {
    i32 at = (i32)entry + off;
    for (u32 i = 0; i < t->page_count; i++)
        if (pages[i].delta == at >> PAGE_SHIFT) {
            u32 parcel = ((u32)at & PAGE_MASK) / 2;
            pages[i].bit[parcel / 8] |= (u8)(1 << parcel % 8);
        }
}

// Write the spans that the marks make behind `record`, then their bytes. The length of both; 0: too many.
static u32 spans_write(const struct parcels *pages, const struct translation *t, struct kept_region *record,
                       const u8 *end) {
    struct kept_span *spans = (struct kept_span *)(record + 1);
    u32 count = 0, bytes = 0;
    for (u32 i = 0; i < t->page_count; i++)
        for (u32 parcel = 0; parcel < PARCELS; parcel++) {
            if (!(pages[i].bit[parcel / 8] >> parcel % 8 & 1))
                continue;
            i32 off = (pages[i].delta * (i32)PAGE_SIZE) + (i32)parcel * 2 - (i32)record->offset;
            bytes += 2;
            if (count && spans[count - 1].off + (i32)spans[count - 1].len == off) {
                spans[count - 1].len += 2;
                continue;
            }
            if (count == SPANS || (u8 *)(spans + count + 1) > end)
                return 0;
            spans[count++] = (struct kept_span){off, 2};
        }
    u8 *to = (u8 *)(spans + count);
    record->spans = (u16)count;
    if (!count || to + bytes + 4 > end)
        return 0;
    for (u32 i = 0; i < t->page_count; i++)
        for (u32 parcel = 0; parcel < PARCELS; parcel++)
            if (pages[i].bit[parcel / 8] >> parcel % 8 & 1) {
                __builtin_memcpy(to, MPTR(const u8, t->page[i].frame + parcel * 2), 2);
                to += 2;
            }
    __builtin_memset(to, 0, 4);
    return count * (u32)sizeof *spans + align_up(bytes, 4u);
}

void kept_add_inside(struct jit *jit, const struct region *region, i32 off) {
    struct kept_module *head = (struct kept_module *)jit->record;
    struct kept_region *record = (struct kept_region *)(jit->record + head->len);
    if (!head->len || head->len + sizeof *record > RECORD_BYTES) {
        head->len = 0;
        return;
    }
    *record = (struct kept_region){.len = sizeof *record,
                                   .key = key_of(region->frame, region->offset),
                                   .offset = (u16)region->offset,
                                   .kind = region->kind,
                                   .off = off};
    head->len += record->len;
    head->count++;
}

void kept_add(struct jit *jit, const struct translation *t, const struct region *region) {
    struct kept_module *head = (struct kept_module *)jit->record;
    struct parcels pages[JIT_PAGES];
    if (!head->len)
        return;
    for (u32 i = 0; i < t->page_count; i++)
        pages[i] = (struct parcels){.delta = t->page[i].delta};
    for (u32 i = 0; i < t->row_count; i++) {
        parcel_mark(pages, t, region->offset, t->row[i].off);
        if (t->row[i].insn.len == 4)
            parcel_mark(pages, t, region->offset, t->row[i].off + 2);
    }
    struct kept_region *record = (struct kept_region *)(jit->record + head->len);
    const u8 *end = jit->record + RECORD_BYTES;
    u32 length = 0;
    if ((u8 *)(record + 1) <= end) {
        *record = (struct kept_region){.key = key_of(region->frame, region->offset),
                                       .offset = (u16)region->offset,
                                       .kind = region->kind};
        length = spans_write(pages, t, record, end);
    }
    if (!length || !(jit->rests || tlb_is_text(jit->hart, region->pc))) { // this module is not kept
        head->len = 0;
        return;
    }
    record->len = sizeof *record + length;
    head->len += record->len;
    head->count++;
}

// ---- The host ----------------------------------------------------------------------------------
// The host has checked that nothing in the records was changed; that they lie within their bounds is checked here.
static bool region_is_whole(const struct kept_region *record, u32 room) {
    if (room < sizeof *record || record->len < sizeof *record || record->len > room || record->len % 4)
        return false;
    const struct kept_span *spans = (const struct kept_span *)(record + 1);
    u64 length = sizeof *record + record->spans * sizeof *spans;
    for (u32 i = 0; length <= record->len && i < record->spans; i++) {
        if (spans[i].off > (i32)REACH || spans[i].off < -(i32)REACH)
            return false;
        length += spans[i].len;
    }
    return length <= record->len && record->offset < PAGE_SIZE && record->off <= (i32)REACH &&
           record->off >= -(i32)REACH && (!record->off || !record->spans);
}

// The regions of the module at `head`; -1: it is not one that can be used.
static i32 module_regions(const struct jit *jit, const struct kept_module *head) {
    u32 at = sizeof *head, count = 0;
    while (at < head->len) {
        const struct kept_region *record = (const struct kept_region *)((const u8 *)head + at);
        if (!region_is_whole(record, head->len - at) || (!count && !record->spans))
            return -1;
        at += record->len;
        count++;
    }
    return count == head->count && count <= JIT_QUEUE && head->features == features_of(jit) ? (i32)count : -1;
}

static const struct kept_module *module_at(const u8 *bytes, u32 at, u32 len) {
    const struct kept_module *head = (const struct kept_module *)(bytes + at);
    return at + sizeof *head <= len && head->len >= sizeof *head && head->len <= len - at && head->len % 4 == 0
               ? head
               : NULL;
}

static void module_enter(struct kept *kept, const struct kept_module *head, u16 number) {
    struct found *first = &kept->found[kept->found_count];
    u32 at = sizeof *head, whole = 0;
    for (u32 member = 0; member < head->count; member++) {
        const struct kept_region *record = (const struct kept_region *)((const u8 *)head + at);
        whole = record->spans ? member : whole;
        first[member] = (struct found){.record = record, .module = number, .member = (u16)member};
        first[member].whole = first[whole].record;
        first[whole].leads += record->kind & KIND_DISPATCHES ? 1 : 0;
        at += record->len;
    }
    for (u32 member = 0; member < head->count; member++) {
        struct found *found = &first[member];
        whole = found->record->spans ? member : whole;
        found->leads = first[whole].leads;
        u32 *next = &kept->head[found->record->key % HEADS];
        while (kept->found[*next].leads > found->leads)
            next = &kept->found[*next].next;
        found->next = *next;
        *next = kept->found_count++;
    }
}

// Room for more, in place of what there is. False: none.
static bool grow(void **array, u32 size, u32 count, u32 more) {
    void *old = *array, *new = palloc((count + more) * size);
    if (!new)
        return false;
    if (old)
        __builtin_memcpy(new, old, count * size);
    pfree(old);
    *array = new;
    return true;
}

static bool kept_grow(struct kept *kept, u32 regions, u32 modules) {
    return kept->load_count + modules <= MODULES_MAX &&
           grow((void **)&kept->found, sizeof *kept->found, kept->found_count, regions) &&
           grow((void **)&kept->load, sizeof *kept->load, kept->load_count, modules) &&
           grow((void **)&kept->wanted, sizeof *kept->wanted, kept->load_count, modules);
}

__attribute__((export_name("k_jit_keep"))) u32 k_jit_keep(u32 id, u32 address, u32 len,
                                                          u32 early, u32 slot) {
    struct jit *jit = host.hart[id]->cpu ? host.hart[id]->cpu->jit : NULL;
    if (!jit)
        return (u32)-EINVAL;
    bool first = !jit->kept;
    if (first && !(jit->kept = palloc(sizeof *jit->kept)))
        return (u32)-ENOMEM;
    struct kept *kept = jit->kept;
    kept->found_count = max(kept->found_count, 1u);
    const u8 *bytes = MPTR(const u8, address);
    const struct kept_module *head;
    u32 modules = 0, regions = 0;
    for (u32 at = 0; (head = module_at(bytes, at, len)) && modules < MODULES_MAX; at += head->len) {
        i32 count = module_regions(jit, head);
        regions += count > 0 ? (u32)count : 0;
        modules++;
    }
    if (!kept_grow(kept, regions + 1, modules))
        return (u32)-ENOMEM;
    for (u32 at = 0, i = 0; i < modules; i++) {
        head = module_at(bytes, at, len);
        i32 count = module_regions(jit, head);
        if (count > 0)
            module_enter(kept, head, (u16)kept->load_count);
        kept->load[kept->load_count++] = (struct load){slot, (u16)max(count, 0), LOAD_NONE, slot != 0};
        slot += slot ? head->count : 0;
        at += head->len;
    }
    jit->early = max(early, 1u);
    if (first) { // entries were made without it
        jit_keeps(jit);
        cpu_cache_flush(jit->cache);
        cpu_cache_new_epoch(jit->cache);
    }
    return 0;
}

// The translator without an engine: random and hostile code goes in, modules come out. The sanitizers see that
// it stays within its tables; `test_jit FILE SEED COUNT` writes the modules for a test that validates them; `test_jit FILE
// code HEX [OFFSET PAGE [FROM TO]]` the module of the one region that begins at an offset in code at a page's address, for
// whoever reads it, and prints what listing.c makes of it; the call through a register at FROM has led to TO. All in hexadecimal.
#include "../../../kernel/jit/kept.h"
#include "../../../kernel/jit/translate.h"
#include "../../../kernel/kernel.h"
#include "../../../kernel/mem/mm.h"

typedef struct file_ FILE;
FILE *fopen(const char *, const char *);
size_t fwrite(const void *, size_t, size_t, FILE *);
int fclose(FILE *), printf(const char *, ...), atoi(const char *);
void *mmap(void *, size_t, int, int, int, long);
noreturn_fn void exit(int);

#define RAM (64u << 20)
#define HEAP 0x01000000u
__asm__(".globl __heap_base\n.set __heap_base, 0x01000000");
i32 atomic_wait(u32 *p, u32 seen, i64 timeout_ns) {
    (void)p, (void)seen, (void)timeout_ns;
    return 2;
}
void atomic_notify(u32 *p, u32 count) { (void)p, (void)count; }

u32 k_attach(u32, u32), k_hart(u32), k_jit_start(u32, u32, u32, u32, u32), k_jit_done(u32, u32, u32);
u32 k_jit_keep(u32, u32, u32, u32, u32);

static void check(bool good, const char *what) {
    if (!good) {
        printf("%s\n", what);
        exit(1);
    }
}

static u64 state = 1;
static u64 below(u64 n) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state * 0x2545f4914f6cdd1dull >> 20) % n;
}

// ---- Code --------------------------------------------------------------------------------------
#define PAGES 12u
static u8 code[PAGES * PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));
static u16 ids[512];
static u32 id_count;

// Instructions by the rows of the table, with random operands; branches are likely to be near.
static u32 word_of(const struct insn_row *row) {
    u32 word = row->match | ((u32)below(1ull << 32) & ~row->mask);
    if (row->flags & BRANCH && below(8)) // imm[12|10:5] and imm[11]: within 64 bytes
        word = (word & 0x01fff07fu) | (below(2) ? 0xfe000080u : 0) | ((u32)below(16) << 8 & 0xf00u);
    if (row->match == 0x6f && below(4)) // jal: within the pages
        word = (word & 0xfffu) | ((u32)below(1024) << 21) | (below(2) ? 0x800ff000u | 0x100000u : 0);
    return word;
}

static void fill(u32 kind) {
    for (u32 at = 0; at < sizeof code;) {
        if (kind == 0 || !below(200)) { // anything
            u16 half = (u16)below(1 << 16);
            __builtin_memcpy(code + at, &half, 2);
            at += 2;
            continue;
        }
        const struct insn_row *row = &insn_row[ids[below(id_count)]];
        u32 word = word_of(row), len = insn_length(word);
        if (at + len > sizeof code)
            len = 2;
        if (kind == 2 && !below(3)) { // auipc at its ends, then a call through it
            word = 0x97u | ((below(2) ? 0x7ffff000u : 0x80000000u) ^ (u32)below(2) << 12);
            len = 4;
            if (at + 8 <= sizeof code) {
                u32 call = 0x000080e7u | (u32)below(4096) << 20;
                __builtin_memcpy(code + at + 4, &call, 4);
            }
            __builtin_memcpy(code + at, &word, at + 4 <= sizeof code ? 4 : 2);
            at += 8;
            continue;
        }
        __builtin_memcpy(code + at, &word, len);
        at += len;
    }
}

// ---- One machine, as far as the translator looks at it -----------------------------------------
static struct cpu_cache *cache;

static u32 *op_of(const struct code_page *page, u32 parcel) {
    return &page->map[parcel / PART]->op[parcel % PART];
}

static void map_pages(u64 va, u32 frames, bool sparse) {
    cpu_cache_flush(cache);
    cpu_cache_new_epoch(cache);
    for (u32 i = 0; i < PAGES; i++) {
        struct code_page *page = &cache->pages[cache->page_count++];
        *page = (struct code_page){.frame = frames + i * PAGE_SIZE, .generation = 1};
        for (u32 k = 0; k < PARCELS / PART; k++)
            page->map[k] = &cache->parts[cache->part_count++];
        for (u32 k = 0; k < PARCELS; k++)
            *op_of(page, k) = !sparse || below(16) ? 16 : 0;
        u64 at = va + (u64)i * PAGE_SIZE;
        for (u32 k = 0; k < PAGE_SIZE && sparse; k += 2)
            *called_slot(cache, at + k) = (at + k) << 32 | (u32)(va + (below(sizeof code) & ~1ull));
        cache->here->way[(at >> PAGE_SHIFT) % CODE_WAYS] =
            (struct code_way){(at & ~(u64)PAGE_MASK) | cache->run.epoch, page->map, page, 0, 0};
    }
}

// ---- What is kept of a module ------------------------------------------------------------------
static u64 made, bytes, kept_regions;
static u32 record[RECORD_BYTES / 4];
enum { SLOT = 1000 }; // of a module that is taken back, its first

static void forget_regions(struct jit *jit) {
    jit->region_count = 1;
    jit->warm_count = 0;
    __builtin_memset(jit->hash, 0, sizeof jit->hash);
}

// How many of these entries find kept code.
static u32 taken(struct jit *jit, const u64 *entry, u32 count) {
    u32 before = jit->counters.kept_regions;
    forget_regions(jit);
    for (u32 i = 0; i < count; i++)
        jit_hot(jit, entry[i], 1);
    jit->queue_count = 0;
    return jit->counters.kept_regions - before;
}

// What was just translated is known again by its bytes, and by no others; damaged records do no harm.
static void keep_and_take(struct jit *jit, u64 va, bool sparse) {
    u32 len = jit->module.record_len, count = jit->module.count;
    if (len)
        __builtin_memcpy(record, MPTR(void, jit->module.record), len);
    if (!len || record[0] != len) // another one was begun, of which nothing came
        return;
    u64 entry[JIT_QUEUE];
    for (u32 i = 0; i < count; i++)
        entry[i] = jit->region[jit->pending_region[i]].pc;
    check(!k_jit_keep(0, MADDR(record), len, 1, 0), "a record is taken back");
    map_pages(va, MADDR(code), false); // nothing decoded is known any more
    check(taken(jit, entry, count) == count, "the same code finds what is kept");
    kept_regions += count;
    struct jit_module module;
    check(kept_next(jit, &module, SLOT, JIT_QUEUE) && module.kept == 1 && module.count == count, "its module is asked for");
    taken(jit, entry, count / 2); // some are met before that, some while it is on its way, some when it is there
    for (u32 i = count / 2; i < count; i++)
        jit_hot(jit, entry[i], 1);
    kept_arrived(jit, 1, true);
    for (u32 i = 1; i < jit->region_count; i++)
        check(jit->region[i].state == REGION_READY && jit->region[i].slot - SLOT < count, "its regions are ready");
    check(taken(jit, entry, count) == count && jit->region[1].slot - SLOT < count, "and later ones");
    struct region *region = &jit->region[1];
    for (u32 i = 0; i < 100000 && region->state == REGION_READY && !region->whole; i++)
        jit_circles(jit, 1, entry[0]);
    check(region->whole || (region->state == REGION_QUEUED && region->kind & KIND_CLOSED && !region->kept),
          "one whose loop goes round outside it is made anew");
    jit->queue_count = 0;
    u32 first = (u32)(entry[0] & PAGE_MASK);
    u8 *byte = MPTR(u8, jit->region[1].frame + first);
    *byte ^= 2;
    check(taken(jit, entry, 1) == 0, "other code does not");
    *byte ^= 2;
    jit->kept = NULL; // the same in slots of its own: nobody is asked, and dropping all code leaves it there
    check(!k_jit_keep(0, MADDR(record), len, 1, 2 * SLOT), "a record is taken back with its code");
    for (u32 i = 0; i < 2; i++, kept_dropped(jit)) {
        map_pages(va, MADDR(code), false);
        check(taken(jit, entry, count) == count && !kept_waits(jit), "the same code finds what is there");
        for (u32 at = 1; at < jit->region_count; at++)
            check(jit->region[at].state == REGION_READY && jit->region[at].slot - 2 * SLOT < count, "which is ready");
    }
    for (u32 i = 0; i < 4; i++) {
        jit->kept = NULL;
        record[below(i & 1 ? 10 : len / 4)] ^= 1u << below(32);
        check(!k_jit_keep(0, MADDR(record), len - (u32)below(3) * 4, 1, 0), "any records are taken");
        map_pages(va, MADDR(code), false);
        taken(jit, entry, count);
    }
    jit->kept = NULL;
    map_pages(va, MADDR(code), sparse);
}

static void module_check(FILE *out) {
    struct jit *jit = cache->jit;
    const struct jit_module *module = &jit->module;
    check(module->count > 0 && module->count <= JIT_QUEUE, "members of a module");
    check(module->bytes >= MADDR(jit->bytes) && module->len <= JIT_MODULE_BYTES &&
              module->bytes + module->len <= MADDR(jit->bytes) + JIT_MODULE_BYTES,
          "a module lies in its room");
    made++;
    bytes += module->len;
    if (out) {
        fwrite(&module->len, 4, 1, out);
        fwrite(MPTR(void, module->bytes), 1, module->len, out);
    }
    check(jit_raise(jit) == MADDR(module) && !jit_arrived(jit), "the host is told of it");
    jit->module.ready = module->id;
    check(jit_arrived(jit) && jit_attention(jit), "when the host has it, the step ends");
    check(!k_jit_done(0, module->id, 1) && !jit_arrived(jit), "the module is taken");
}

// This region is left by jumps through registers often, the last time for `to`.
static bool renew(u64 entry, u64 to) {
    cache->context->strays = ~0u;
    cache->context->strayed = entry;
    cache->context->strayed_to = to;
    cache->jit->queue_age = 1u << 30; // it need not wait, however many modules there are
    return jit_attention(cache->jit);
}

static u32 dispatching, joined;

// Records of a dispatch, and of one that leads to more.
static struct {
    u32 bytes[RECORD_BYTES / 4], len, count;
} smaller, larger;
static u32 larger_count;
static u64 led_from; // entry of both; 0: there are none

static void save(const struct jit *jit, const struct region *region, u32 *to, u32 *len, u32 *count) {
    *len = jit->module.record_len;
    *count = region->targets->count;
    __builtin_memcpy(to, MPTR(void, jit->module.record), *len);
}

// The smaller one runs when the other one is heard of: when it is left often, that takes its place.
static void larger_comes_late(struct jit *jit, u64 va, u64 pc, u32 leads) {
    jit->kept = NULL;
    check(!k_jit_keep(0, MADDR(smaller.bytes), smaller.len, 1, 0), "one is taken back");
    map_pages(va, MADDR(code), false);
    struct jit_module module;
    check(taken(jit, &pc, 1) == 1 && kept_next(jit, &module, SLOT, JIT_QUEUE), "and asked for");
    kept_arrived(jit, 1, true);
    check(!k_jit_keep(0, MADDR(larger.bytes), larger.len, 1, 0), "another one is there now");
    if (region_targets(&jit->region[1]) == leads)
        return;
    renew(pc, pc);
    check(kept_next(jit, &module, SLOT, JIT_QUEUE) && module.kept == 2, "which is asked for, too");
    kept_arrived(jit, 2, true);
    const struct region *now = &jit->region[jit_find(jit, jit->region[1].frame, jit->region[1].offset, 1)];
    check(now != &jit->region[1] && now->state == REGION_READY && region_targets(now) == leads, "it takes the other's place");
}

// Both are kept: the one whose record leads to more is taken, whichever is named last.
static bool larger_taken(struct jit *jit, u64 va, bool sparse) {
    u64 pc = led_from;
    u32 leads = 0;
    led_from = 0;
    if (!pc || !smaller.len || !larger.len || larger.count <= smaller.count)
        return false;
    for (u32 last = 0; last < 2; last++) {
        jit->kept = NULL;
        for (u32 i = 0; i < 2; i++) {
            u32 *record = i == last ? larger.bytes : smaller.bytes, len = i == last ? larger.len : smaller.len;
            check(!k_jit_keep(0, MADDR(record), len, 1, 0), "both are taken back");
        }
        map_pages(va, MADDR(code), false);
        check(taken(jit, &pc, 1) == 1 && jit->region[1].targets, "one of them is taken");
        check(!last || jit->region[1].targets->count == leads, "the same, whatever the order");
        leads = jit->region[1].targets->count;
    }
    larger_comes_late(jit, va, pc, leads);
    jit->queue_count = 0;
    forget_regions(jit);
    jit->kept = NULL;
    map_pages(va, MADDR(code), sparse);
    larger_count++;
    return true;
}

// The one at `from`, which leads to few places or none, is left for a place where the larger dispatch of `whole` leads: that is made anew
// with it. Is it?
static bool join(FILE *out, u64 from, u32 whole) {
    struct jit *jit = cache->jit;
    const struct region *old = &jit->region[whole];
    i32 place = old->targets->off[below(old->targets->count)];
    u64 pc = old->pc;
    if (old->kind & KIND_FULL || !renew(from, pc + (u64)(i64)place))
        return false;
    module_check(out);
    u32 now = jit_find(jit, old->frame, old->offset, 1);
    if (now == whole || jit->region[now].whole != now) // that cannot be, but this dispatches now, and leads there
        return false;
    const struct region_targets *targets = jit->region[now].targets;
    save(jit, &jit->region[now], larger.bytes, &larger.len, &larger.count);
    led_from = jit->region[now].pc;
    check(targets && !targets->off[0], "it leads to its own entry first");
    for (u32 i = 0; i < old->targets->count && !(jit->region[now].kind & KIND_FULL); i++) {
        u32 at = 0;
        while (at < targets->count && targets->off[at] != old->targets->off[i])
            at++;
        check(at < targets->count, "and to where the old one did");
    }
    return true;
}

static void renew_some(FILE *out, u64 va) {
    struct jit *jit = cache->jit;
    for (u32 i = 1, count = jit->region_count; i < count && i < 4; i++) {
        u64 pc = jit->region[i].pc;
        for (u32 k = 0; k < below(2 * JIT_TARGETS); k++) {
            u64 to = va + below(sizeof code / 2) * 2;
            *led_slot(cache, pc, to) = pc << 32 | (u32)to;
        }
        if (!renew(pc, va + below(sizeof code / 2) * 2))
            continue;
        module_check(out);
        u32 now = jit_find(jit, jit->region[i].frame, jit->region[i].offset, 1);
        if (now == i) // it has nothing that jumps through a register, or not where it could go on
            continue;
        check(jit->region[now].whole && jit->region[now].state == REGION_READY, "what takes its place dispatches");
        dispatching++;
        if (jit->region[now].whole == now)
            save(jit, &jit->region[now], smaller.bytes, &smaller.len, &smaller.count);
        u32 other = 1 + (u32)below(count - 1);
        if (jit->region[other].state == REGION_READY && !jit->region[other].whole && jit->region[now].whole == now)
            joined += join(out, jit->region[other].pc, now);
        if (led_from) // `smaller` is of the same
            break;
    }
}

static void translate_some(FILE *out, u64 va, u32 entries, bool sparse) {
    struct jit *jit = cache->jit;
    jit->hot = 1; // more since something was kept
    for (u32 i = 0; i < entries; i++)
        jit_hot(jit, va + below(sizeof code / 2) * 2, 0);
    if (!jit->queue_count)
        return;
    jit->pending = translate_module(jit);
    jit->raised = false;
    if (!jit->pending)
        return;
    module_check(out);
    renew_some(out, va);
    if (!out && !larger_taken(jit, va, sparse))
        keep_and_take(jit, va, sparse);
}

static u32 digit(char c) { return (u32)(c <= '9' ? c - '0' : c - 'a' + 10); }

static u64 number(const char *hex) {
    u64 value = 0;
    while (*hex)
        value = value << 4 | digit(*hex++);
    return value;
}

// Translate the code given in hexadecimal digits, and what is not given was never executed. `led`: where a jump through a
// register is, and where it has led; if that is more than one place, the region is made anew with them.
static void translate_given(FILE *out, const char *hex, u32 offset, u64 va, char **led) {
    u32 size = 0;
    for (; hex[0] && hex[1] && size < sizeof code - 4; hex += 2)
        code[size++] = (u8)(digit(hex[0]) << 4 | digit(hex[1]));
    map_pages(va, MADDR(code), false);
    for (u32 k = size / 2; k < PAGES * PARCELS; k++)
        *op_of(&cache->pages[k / PARCELS], k % PARCELS) = 0;
    u64 from = va + (led[0] ? number(led[0]) : 0);
    bool dispatch = led[0] && led[1] && led[2];
    if (led[0] && led[1] && !dispatch)
        *called_slot(cache, from) = from << 32 | (u32)(va + number(led[1]));
    for (u32 i = 1; dispatch && led[i]; i++)
        *led_slot(cache, from, va + number(led[i])) = from << 32 | (u32)(va + number(led[i]));
    jit_hot(cache->jit, va + offset, 0);
    cache->jit->pending = translate_module(cache->jit);
    check(cache->jit->pending, "a module is made");
    if (dispatch)
        check(!k_jit_done(0, cache->jit->module.id, 1) && renew(va + offset, va + offset), "and another one");
    printf("%.*s", (int)cache->jit->listing_len, cache->jit->listing);
    fwrite(&cache->jit->module.len, 4, 1, out);
    fwrite(MPTR(void, cache->jit->module.bytes), 1, cache->jit->module.len, out);
    fclose(out);
}

int main(int argc, char **argv) {
    FILE *out = argc > 1 ? fopen(argv[1], "wb") : NULL;
    u64 seed = argc > 2 ? (u64)atoi(argv[2]) : 1;
    u32 count = argc > 3 ? (u32)atoi(argv[3]) : 40;
    void *low = mmap((void *)(uintptr_t)HEAP, MACHINE_BASE - HEAP + RAM, 3, 0x2 | 0x20 | 0x10 | 0x4000, -1, 0);
    check((intptr_t)low == HEAP, "memory");
    k_attach(RAM >> PAGE_SHIFT, HART_MAX); // one of many has small caches: this test gives no memory back
    k_hart(0);
    for (u32 i = 0; i < INSN_BASE_END; i++)
        if (insn_row[i].mask)
            ids[id_count++] = (u16)i;
    static struct memobject file;
    static struct vma text = {.end = ~0ull, .prot = 4, .object = &file}, *all = &text;
    static struct mm nothing = {.vmas = &all, .vma_count = 1}; // what is not in our pages is not mapped
    static struct tlb tlb;
    host.hart[0]->mm = &nothing;
    host.hart[0]->tlb = &tlb;
    cache = host.hart[0]->cpu;
    check(!k_jit_start(0, 100, 4096, 1, JIT_TAIL_CALLS | JIT_RELAXED_MADD | JIT_LISTING), "compiled code starts");
    if (argc > 3 && !strcmp(argv[2], "code")) {
        char *none[] = {NULL};
        translate_given(out, argv[3], argc > 5 ? (u32)number(argv[4]) : 0, argc > 5 ? number(argv[5]) : 0x10000,
                        argc > 6 ? argv + 6 : none);
        return 0;
    }
    for (u32 i = 0; i < count; i++) {
        state = (seed * 1000003 + i) * 0x9e3779b97f4a7c15ull | 1;
        for (u32 k = 0; k < 8; k++)
            below(2);
        fill(i % 4 == 3 ? 1 : i % 4);
        cpu_smp(host.hart[0], i % 5 == 4);
        cache->jit->features = (i % 3 ? JIT_TAIL_CALLS | JIT_RELAXED_MADD : 0) | (i & 2 ? JIT_COLD_CALLS : 0);
        u64 va = below(2) ? 0x10000 : (1ull << 47) - sizeof code;
        map_pages(va, MADDR(code), i & 1);
        for (u32 round = 0; round < 4; round++)
            translate_some(out, va, 1 + (u32)below(JIT_QUEUE), i & 1);
        cache->jit->queue_count = 0;
        cache->jit->slot_next = cache->jit->slot_first;
        // The next program's regions must be others: they are told apart by generation, which is 1 here.
        forget_regions(cache->jit);
    }
    if (out)
        fclose(out);
    check(made > count, "modules were made");
    check(dispatching > count / 4, "regions that dispatch were made");
    check(joined > count / 8, "and joined with others");
    check(out || larger_count > count / 8, "one that is kept was preferred");
    check(out || kept_regions > count, "regions were kept");
    printf("%u of %u joined; %llu modules, %llu bytes, %llu regions kept\n", joined, dispatching, (unsigned long long)made, (unsigned long long)bytes,
           (unsigned long long)kept_regions);
    return 0;
}

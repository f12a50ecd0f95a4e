// Decoded code: making runs, finding them, dropping them.
#include "block.h"
#include "../jit/kept.h"
#include "../lib/heap.h"

_Alignas(64) u64 register_file[HART_MAX * CONTEXT_WORDS];

// How much decoded code there may be: of an only hart 29 MiB, of many a part of 37, so that there is room for what each
// compiles. Of a C compiler's pages a seventh is decoded: 200 to 280 ops each, in 6 of their 16 parts. What it
// runs in a while are 600,000 ops or more; half of that is decoded a hundred times over.
static const struct {
    u32 harts, ops, parts;
} sizes[] = {{1, 0x100000, 0x6000}, {2, 0xa0000, 0x4000}, {4, 0x50000, 0x2000}, {HART_MAX, 0x28000, 0x1000}};

enum { RUN_PARTS = RUN_MAX * 4 / (2 * PART) + 1 }; // that one run can lie in

void cpu_cache_init(struct hart *hart, u32 harts) {
    struct cpu_cache *cache = palloc(sizeof(*cache));
    assert(cache);
    u32 i = 0;
    while (i + 1 < lengthof(sizes) && harts > sizes[i].harts)
        i++;
    cache->page_max = CODE_PAGES;
    cache->op_max = sizes[i].ops;
    cache->part_max = sizes[i].parts;
    cache->pages = palloc(cache->page_max * sizeof(struct code_page));
    assert(cache->pages);
    while (!(cache->ops = palloc(cache->op_max * sizeof(struct op)))) {
        cache->op_max /= 2;
        assert(cache->op_max > 6 * RUN_MAX);
    }
    while (!(cache->parts = palloc(cache->part_max * sizeof(struct code_part)))) {
        cache->part_max /= 2;
        assert(cache->part_max > 2 * RUN_PARTS);
    }
    cache->registers = hart->id * CONTEXT_WORDS * 8;
    cache->context = (struct jit_context *)&REGISTER(cache->registers);
    cache->here = cache->space;
    insn_index_init(&cache->index);
    cpu_cache_flush(cache);
    hart->cpu = cache;
}

void cpu_smp(struct hart *hart, bool smp) { hart->cpu->smp = smp; }

void cpu_debug(struct hart *hart, bool breaks, bool watches) {
    hart->cpu->breaks = breaks;
    hart->cpu->watches = watches;
    cpu_cache_flush(hart->cpu);
    cpu_cache_new_epoch(hart->cpu);
}

static void ways_clear(struct cpu_cache *cache) {
    for (u32 i = 0; i < TLB_POOL; i++)
        if (cache->space[i].epoch) // else it was never filled
            __builtin_memset(cache->space[i].way, 0, sizeof(cache->space[i].way));
}

void cpu_cache_flush(struct cpu_cache *cache) {
    cache->op_count = 1; // offset 0 means none
    cache->page_count = 0;
    cache->part_count = 1;
    cache->flushes++;
    if (cache->jit)
        cache->jit->counters.flushes++;
    __builtin_memset(cache->hash, 0, sizeof(cache->hash));
    ways_clear(cache);
}

// ---- Epochs ------------------------------------------------------------------------------------
// Tags have room for so much of an epoch's number.
static u32 tag_of(u32 epoch) { return (epoch - 1) % PAGE_MASK + 1; }

static void epoch_begin(struct cpu_cache *cache) {
    cache->here->epoch = ++cache->epochs;
    cache->run.epoch = tag_of(cache->epochs);
    if (cache->run.epoch == 1) { // once more
        ways_clear(cache);
        cache->forgotten = cache->epochs - 1;
    }
    if (cache->jit)
        cache->jit->counters.epochs++;
}

void cpu_cache_new_epoch(struct cpu_cache *cache) {
    cache->forgotten = cache->epochs;
    if (cache->jit)
        jit_forget(cache->jit);
    epoch_begin(cache);
}

bool cpu_cache_look(struct hart *hart, struct cpu_cache *cache) {
    struct code_space *space = &cache->space[hart->tlb - hart->pool];
    u32 fetch = fetch_generation(hart), drops = code_drops();
    bool stands = space->epoch > cache->forgotten && space->mm_id == hart->tlb->mm_id &&
                  space->fetch_generation == fetch && space->drops == drops;
    if (stands && space == cache->here)
        return false;
    if (cache->jit)
        jit_select(cache->jit, (u32)(cache->here - cache->space), (u32)(space - cache->space), stands);
    cache->here = space;
    if (stands) {
        cache->run.epoch = tag_of(space->epoch);
        return true;
    }
    space->mm_id = hart->tlb->mm_id;
    space->fetch_generation = fetch;
    space->drops = drops;
    epoch_begin(cache);
    return true;
}

// There is room for one more part.
static void code_op_set(struct cpu_cache *cache, struct code_page *page, u32 off, u32 offset) {
    struct code_part **part = &page->map[off / (2 * PART)];
    if (*part == cache->parts) {
        *part = &cache->parts[cache->part_count++];
        **part = (struct code_part){};
    }
    (*part)->op[off / 2 % PART] = offset;
}

static struct code_page *page_of_frame(struct cpu_cache *cache, maddr frame) {
    u16 *head = &cache->hash[(frame >> PAGE_SHIFT) % CODE_HASH];
    u32 generation = code_generation(frame);
    struct code_page *page;
    for (u32 i = *head; i; i = page->next) {
        page = &cache->pages[i - 1];
        if (page->frame != frame)
            continue;
        if (page->generation != generation) {
            page->generation = generation;
            for (u32 k = 0; k < lengthof(page->map); k++)
                if (page->map[k] != cache->parts)
                    *page->map[k] = (struct code_part){};
        }
        return page;
    }
    if (cache->page_count == cache->page_max)
        cpu_cache_flush(cache);
    page = &cache->pages[cache->page_count++];
    page->frame = frame;
    page->generation = generation;
    page->next = *head;
    for (u32 k = 0; k < lengthof(page->map); k++)
        page->map[k] = cache->parts;
    *head = (u16)cache->page_count;
    return page;
}

// Where a page stands in a table of all address spaces' pages.
static u32 spread(u64 va, u32 space) { return (u32)(va >> PAGE_SHIFT) + space * 0x9e3779b1u; }

static struct code_note *note_slot(struct cpu_cache *cache, u64 va, u32 mm) {
    return &cache->note[spread(va, mm) % CODE_NOTES];
}

static void note(struct hart *hart, struct cpu_cache *cache, u64 va, maddr frame) {
    u32 mm = (u32)hart->tlb->mm_id;
    *note_slot(cache, va, mm) = (struct code_note){va & ~PAGE_MASK, mm, frame};
}

static maddr noted(struct cpu_cache *cache, u64 va) {
    const struct code_note *note = note_slot(cache, va, cache->resting);
    return note->mm == cache->resting && note->va == (va & ~PAGE_MASK) ? note->frame : 0;
}

struct code_page *code_page_at(struct hart *hart, struct cpu_cache *cache, u64 pc) {
    struct code_way *way = &cache->here->way[(pc >> PAGE_SHIFT) % CODE_WAYS];
    u64 tag = (pc & ~PAGE_MASK) | cache->run.epoch;
    if (way->tag == tag)
        return way->page;
    bool stands = way->tag && ((way->tag ^ tag) & ~PAGE_MASK) == 0 &&
                  way->mm_id == hart->tlb->mm_id &&
                  way->fetch_generation == fetch_generation(hart) &&
                  way->page->generation == code_generation(way->page->frame);
    maddr frame = stands ? way->page->frame : tlb_fetch(hart, pc);
    if (!frame)
        return 0;
    struct code_page *page = page_of_frame(cache, frame);
    *way = (struct code_way){tag, page->map, page, hart->tlb->mm_id, fetch_generation(hart)};
    note(hart, cache, pc, frame);
    return page;
}

struct code_page *code_page_known(struct hart *hart, struct cpu_cache *cache, u64 va) {
    const struct code_way *way = &cache->here->way[(va >> PAGE_SHIFT) % CODE_WAYS];
    if (!cache->resting && way->tag == ((va & ~PAGE_MASK) | cache->run.epoch))
        return way->page;
    maddr frame = cache->resting ? noted(cache, va) : tlb_peek(hart, va);
    if (!frame)
        return 0;
    struct code_page *page;
    for (u32 i = cache->hash[(frame >> PAGE_SHIFT) % CODE_HASH]; i; i = page->next) {
        page = &cache->pages[i - 1];
        if (page->frame == frame && page->generation == code_generation(frame))
            return page;
    }
    return 0;
}

maddr code_frame(struct hart *hart, struct cpu_cache *cache, u64 va) {
    u32 fetch = fetch_generation(hart); // first: it may change while tlb_peek waits
    struct code_seen *seen = &cache->seen[spread(va, fetch) % CODE_SEEN];
    va &= ~PAGE_MASK;
    if (!seen->frame || seen->va != va || seen->fetch_generation != fetch) {
        *seen = (struct code_seen){va, fetch, tlb_peek(hart, va)};
        if (seen->frame)
            note(hart, cache, va, seen->frame);
    }
    return seen->frame;
}

struct code_page *code_page_there(struct hart *hart, struct cpu_cache *cache, u64 va) {
    struct code_page *page = code_page_known(hart, cache, va);
    if (page || cache->page_count == cache->page_max) // whoever asks holds ops that must stay
        return page;
    maddr frame = tlb_hold(hart, va);
    return frame ? page_of_frame(cache, frame) : NULL;
}

static u16 reg(const struct cpu_cache *cache, u32 index) {
    return (u16)(cache->registers + index * 8);
}

// What the interpreter runs for one instruction. Branches come out unresolved.
static struct op op_make(const struct cpu_cache *cache, const struct insn *insn, u32 off) {
    struct op op = {
        .code = insn->id,
        .a = reg(cache, insn->rd ? insn->rd : REG_SINK),
        .b = reg(cache, insn->rs1),
        .c = reg(cache, insn->rs2),
        .off = (u16)off,
        .imm = insn->imm,
    };
    switch (insn_row[insn->id].format) {
    case FORMAT_FMA:
        op.imm = (i32)(reg(cache, insn->rs3) | (u32)insn->rm << 16 |
                       (insn->id == FNMSUB_S || insn->id == FNMSUB_D ? FMA_MINUS_PRODUCT
                        : insn->id == FMSUB_S || insn->id == FMSUB_D ? FMA_MINUS_ADDEND
                        : insn->id == FNMADD_S || insn->id == FNMADD_D
                            ? FMA_MINUS_PRODUCT | FMA_MINUS_ADDEND
                            : 0));
        if (insn->rm != 7 && insn->rm != 0)
            op.code |= OP_SLOW;
        break;
    case FORMAT_FFF:
    case FORMAT_FF:
    case FORMAT_XFF:
    case FORMAT_XF:
    case FORMAT_FX:
        op.imm = insn->rm;
        // The fast paths know the dynamic mode and round-to-nearest, for conversions to integers
        // also round-to-zero; they test that fcsr asks for nearest.
        if (insn->flags & RM && insn->rm != 7 && insn->rm != 0 &&
            !(insn->rm == 1 && insn_row[insn->id].format == FORMAT_XF))
            op.code |= OP_SLOW;
        break;
    case FORMAT_CSR:
    case FORMAT_CSRI:
        op.c = insn->rs1;
        break;
    case FORMAT_J:
    case FORMAT_JALR:
        op.c = (u16)(off + insn->len);
        break;
    default:
        break;
    }
    if (insn->flags & BRANCH || insn->id == JAL || insn->id == ILLEGAL)
        op.code |= OP_SLOW;
    switch (insn->id) {
    case LUI:
        op.code = OP_LI;
        break;
    case AUIPC:
        op.imm += (i32)off;
        break;
    case ADDI:
        if (!insn->rd)
            op.code = OP_NOP;
        else if (!insn->rs1)
            op.code = OP_LI;
        else if (!insn->imm)
            op.code = OP_MV;
        break;
    case ADD:
        if (!insn->rs1) {
            op.code = OP_MV;
            op.b = op.c;
        }
        break;
    default:
        break;
    }
    return op;
}

static u32 op_offset(const struct cpu_cache *cache, const struct op *op) {
    return (u32)((const char *)op - (const char *)cache->ops);
}

static struct op *op_at(const struct cpu_cache *cache, u32 offset) {
    return (struct op *)((char *)cache->ops + offset);
}

static bool is_near(const struct op *op) { return (u32)((i32)op->off + op->imm) < PAGE_SIZE; }

static u16 far_code(u32 id) {
    return id == JAL ? JAL : (u16)(OP_BEQ_FAR + (id - BEQ));
}

static bool commutes(u32 code) {
    return code == ADD || code == ADDW || code == OR || code == XOR || code == AND || code == MUL ||
           code == BEQ || code == BNE;
}

// Let `op` run its successor as well, if the two are in one of the tables.
static void pair(struct op *op) {
    struct op *next = op + 1;
    if (next->c == op->a && next->b != op->a && commutes(next->code)) {
        next->c = next->b;
        next->b = op->a;
    }
    u32 codes = (u32)op->code << 16 | next->code;
    if (next->b == op->a) {
        switch (codes) {
#define X(first, second)                                                                           \
    case (u32)(first) << 16 | (second): op->code = OP_CHAIN_##first##_##second; return;
            CHAIN_TABLE(X)
#undef X
        default: break;
        }
    }
    switch (codes) {
#define X(first, second)                                                                           \
    case (u32)(first) << 16 | (second): op->code = OP_##first##_##second; return;
        PAIR_TABLE(X)
#undef X
    default: break;
    }
}

u32 op_code(const struct op *op) {
    static const u16 first_of[] = {
#define X(first, second) first,
        PAIR_TABLE(X) CHAIN_TABLE(X)
#undef X
    };
    u32 code = op->code & ~(u32)OP_SLOW;
    return code > OP_LAST_EXTRA ? first_of[code - OP_LAST_EXTRA - 1] : code;
}

// Link a near branch whose target is decoded. Both ends' n are final by now.
static void link_near(struct op *op, struct op *target) {
    u32 id = op->code & ~OP_SLOW;
    op->imm = (i32)((char *)target - (char *)op);
    if (id == JAL) {
        op->code = OP_JUMP_NEAR;
        return;
    }
    op->code = (u16)id;
    op->a = (u16)(op->n - 1 - target->n);
    u16 before = op[-1].code;
    pair(op - 1); // never across runs: what ends one begins no pair
    if (op[-1].code == before)
        pair(op);
}

// ---- Entries -----------------------------------------------------------------------------------
// An entry is two ops apart from their run: OP_ENTRY or OP_COMPILED, then the way to the code itself.

// A loop or what follows a call is worth compiling by itself only if its function is not called again soon:
// then that is the better place to begin.
enum { PATIENCE = 4 };

static bool is_return(const struct code_page *page, u32 off) {
    const u16 *parcel = MPTR(const u16, page->frame + off);
    if (off >= 2 && (parcel[-1] & 0xf07f) == 0x9002) // c.jalr
        return true;
    u32 low = off >= 4 ? parcel[-2] & 0xfff : 0;
    return low == 0x0ef || low == 0x0e7; // jal ra, jalr ra
}

// Room for two ops was made.
static struct op *entry_make(struct cpu_cache *cache, struct code_page *page, u32 off, bool loop) {
    struct op *target = op_at(cache, code_op(page->map, off));
    struct jit *jit = cache->jit;
    if (!jit || target->b == OP_ENTRY_MARK || unlikely(cache->breaks))
        return target;
    struct op *op = &cache->ops[cache->op_count];
    u32 index = jit_find(jit, page->frame, off, page->generation);
    u32 state = jit_state(jit, index);
    cache->op_count += 2;
    op[0] = (struct op){.n = target->n, .off = (u16)off, .b = OP_ENTRY_MARK};
    op[1] = (struct op){.code = OP_GOTO, .n = target->n, .off = (u16)off, .b = OP_ENTRY_MARK};
    op[1].imm = (i32)((char *)target - (char *)&op[1]);
    if (state == REGION_READY) {
        op[0].code = OP_COMPILED | OP_SLOW;
        op[0].imm = (i32)index;
    } else {
        // c: how many thresholds it is worth; a: whether, and how often, kept code was asked for
        op[0].code = OP_ENTRY;
        op[0].c = loop || is_return(page, off) ? PATIENCE : 1;
        op[0].a = kept_likely(jit, page->frame, off);
        op[0].imm = op[0].a ? (i32)min(jit->early, jit->threshold) : (i32)(jit->threshold * op[0].c);
    }
    code_op_set(cache, page, off, op_offset(cache, op));
    return op;
}

struct op *code_entry(struct hart *hart, struct cpu_cache *cache, u64 pc, bool loop) {
    struct op *op = code_at(hart, cache, pc);
    if (!op || !cache->jit)
        return op;
    return entry_make(cache, code_page_at(hart, cache, pc), pc & PAGE_MASK, loop);
}

struct op *code_target(struct hart *hart, struct cpu_cache *cache, u64 pc) {
    struct code_page *page = code_page_at(hart, cache, pc);
    u32 off = pc & PAGE_MASK;
    bool fresh = page && off && !code_op(page->map, off) && !is_return(page, off);
    return fresh ? code_entry(hart, cache, pc, false) : code_at(hart, cache, pc);
}

void code_await(struct hart *hart, struct cpu_cache *cache, u64 pc) {
    struct code_page *page = code_page_known(hart, cache, pc);
    u32 off = pc & PAGE_MASK;
    if (page && code_op(page->map, off) && cache->op_count + 2 <= cache->op_max)
        entry_make(cache, page, off, true)->code |= OP_SLOW; // who waits is asked for there
}

static struct op *entry_known(struct cpu_cache *cache, maddr frame, u32 off, u32 generation) {
    struct code_page *page;
    for (u32 i = cache->hash[(frame >> PAGE_SHIFT) % CODE_HASH]; i; i = page->next) {
        page = &cache->pages[i - 1];
        if (page->frame != frame || page->generation != generation || !code_op(page->map, off))
            continue;
        struct op *op = op_at(cache, code_op(page->map, off));
        return op->b == OP_ENTRY_MARK ? op : NULL;
    }
    return NULL;
}

void code_compiled(struct cpu_cache *cache, maddr frame, u32 off, u32 generation, u32 index) {
    struct op *op = entry_known(cache, frame, off, generation);
    if (op) {
        op->code = (index ? OP_COMPILED : OP_ENTRY) | OP_SLOW;
        op->imm = index ? (i32)index : (i32)cache->jit->threshold;
    }
}

void code_interpreted(struct cpu_cache *cache, maddr frame, u32 off, u32 generation) {
    struct op *op = entry_known(cache, frame, off, generation);
    if (op) {
        op->code = OP_ENTRY;
        op->imm = (i32)(cache->jit->threshold * cache->jit->hot);
    }
}

void code_covered(struct cpu_cache *cache, maddr frame, u32 off, u32 generation) {
    struct op *op = entry_known(cache, frame, off, generation);
    if (op && op_code(op) == OP_ENTRY && !op->a)
        op->imm = (i32)(cache->jit->threshold * cache->jit->hot * PATIENCE);
}

static struct op *decode_run(struct cpu_cache *cache, struct code_page *page, u32 off) {
    const u16 *parcel = MPTR(const u16, page->frame);
    struct op *first = &cache->ops[cache->op_count], *op = first;
    u32 tail = 0; // what retires after the last op made here
    for (u32 count = 0;; count++, op++) {
        u32 known = off < PAGE_SIZE ? code_op(page->map, off) : 0;
        if (known) {
            struct op *target = op_at(cache, known);
            tail = target->n;
            *op = (struct op){.code = OP_GOTO, .off = (u16)off, .imm = (i32)((char *)target - (char *)op)};
            break;
        }
        if (off >= PAGE_SIZE || count == RUN_MAX) {
            *op = (struct op){.code = OP_NEXT, .off = (u16)off};
            break;
        }
        u32 word = parcel[off / 2];
        code_op_set(cache, page, off, op_offset(cache, op));
        if (unlikely(cache->breaks) && debug_breaks_at(off)) {
            *op = (struct op){.code = OP_BREAK | OP_SLOW, .off = (u16)off, .n = 1};
            break;
        }
        if (insn_length(word) == 4) {
            if (off + 4 > PAGE_SIZE) {
                *op = (struct op){.code = OP_STRADDLE | OP_SLOW, .off = (u16)off, .n = 1};
                break;
            }
            word |= (u32)parcel[off / 2 + 1] << 16;
        }
        struct insn insn = insn_decode(&cache->index, word);
        *op = op_make(cache, &insn, off);
        op->n = 1;
        off += insn.len;
        if (insn.flags & END)
            break;
    }
    cache->op_count += (u32)(op - first) + 1;
    for (struct op *o = op; o >= first; o--) {
        tail += o->n;
        o->n = (u16)tail;
    }
    for (struct op *o = first; o <= op; o++) {
        u32 id = o->code & ~OP_SLOW;
        if (!(o->code & OP_SLOW) || !(id == JAL || (id >= BEQ && id <= BGEU)))
            continue;
        if (!is_near(o))
            o->code = far_code(id);
        else if (code_op(page->map, (u32)o->off + (u32)o->imm))
            link_near(o, o->imm < 0 || id == JAL
                             ? entry_make(cache, page, (u32)o->off + (u32)o->imm, id != JAL)
                             : op_at(cache, code_op(page->map, (u32)o->off + (u32)o->imm)));
    }
    // A branch still to be linked is kept as somebody's second.
    for (struct op *o = first; o < op; o++) {
        u16 code = o->code;
        pair(o);
        if (o->code != code || (o[1].code >= (BEQ | OP_SLOW) && o[1].code <= (BGEU | OP_SLOW)))
            o++;
    }
    return first;
}

struct op *code_at(struct hart *hart, struct cpu_cache *cache, u64 pc) {
    if (cache->op_count + 3 * RUN_MAX + 4 > cache->op_max ||
        cache->part_count + RUN_PARTS > cache->part_max) // a run and an entry for each branch in it
        cpu_cache_flush(cache);
    struct code_page *page = code_page_at(hart, cache, pc);
    if (!page)
        return 0;
    u32 off = pc & PAGE_MASK;
    u32 known = code_op(page->map, off);
    return known ? op_at(cache, known) : decode_run(cache, page, off);
}

struct op *code_scratch(struct cpu_cache *cache, u32 word, u32 off) {
    struct insn insn = insn_decode(&cache->index, word);
    struct op *op = cache->scratch;
    op[0] = op_make(cache, &insn, off);
    op[0].n = 1;
    if (insn.flags & BRANCH || insn.id == JAL)
        op[0].code = far_code(insn.id);
    op[1] = (struct op){.code = OP_STOP | OP_SLOW, .off = (u16)(off + insn.len)};
    return op;
}

void code_resolve(struct hart *hart, struct cpu_cache *cache, struct op *op, u64 base) {
    u32 flushes = cache->flushes;
    u64 pc = base + op->off + (u64)(i64)op->imm;
    bool entry = op->imm < 0 || (op->code & ~OP_SLOW) == JAL;
    struct op *target = entry ? code_entry(hart, cache, pc, (op->code & ~OP_SLOW) != JAL) : code_at(hart, cache, pc);
    if (target && flushes == cache->flushes)
        link_near(op, target);
}

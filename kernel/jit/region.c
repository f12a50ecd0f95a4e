// Finding a region: the blocks that are reachable from its entry, without what has never been
// decoded, and the facts that code generation needs of them. The graph made here is reducible:
// edges that would make it otherwise leave the region instead.
#include "kept.h"
#include "translate.h"
#include "../mem/tlb.h"

// ---- Instructions ------------------------------------------------------------------------------
static u16 *slot_of(struct translation *t, struct place at) {
    u32 h = ((u32)(at.off >> 1) + at.context * 0x5bd1u) * 0x9e3779b1u >> 18;
    while (t->at[h] &&
           (t->insn[t->at[h] - 1].off != at.off || t->insn[t->at[h] - 1].context != at.context))
        h = (h + 1) % lengthof(t->at);
    return &t->at[h];
}

static struct jit_insn *insn_at(struct translation *t, struct place at) {
    u16 i = *slot_of(t, at);
    return i ? &t->insn[i - 1] : NULL;
}

// The page that holds va, entered among the region's pages.
static struct code_page *page_use(struct translation *t, u64 va) {
    struct code_page *page = code_page_known(t->jit->hart, t->jit->cache, va);
    if (!page)
        return NULL;
    i32 delta = (i32)((i64)((va >> PAGE_SHIFT) - (t->pc >> PAGE_SHIFT)));
    for (u32 i = 0; i < t->page_count; i++)
        if (t->page[i].delta == delta)
            return page;
    if (t->page_count >= (dispatches(t) ? JIT_PAGES : JIT_PAGES_PLAIN))
        return NULL;
    t->page[t->page_count++] = (struct region_page){delta, page->frame, page->generation};
    return page;
}

// The bit for `off`; NULL: no room for its page.
static u8 *seen_at(struct translation *t, i32 off, u8 *bit) {
    i32 at = (i32)(t->pc & PAGE_MASK) + off;
    u32 i = 0, parcel = ((u32)at & PAGE_MASK) / 2;
    while (i < t->seen_count && t->seen[i].delta != at >> PAGE_SHIFT)
        i++;
    if (i == lengthof(t->seen))
        return NULL;
    if (i == t->seen_count)
        t->seen[t->seen_count++] = (struct parcels){.delta = at >> PAGE_SHIFT};
    *bit = (u8)(1 << parcel % 8);
    return &t->seen[i].bit[parcel / 8];
}

// What the region at `off` was made from counts as seen, if it was kept. False: it was not.
static bool see(struct translation *t, const struct region *region, i32 off) {
    u32 count;
    const struct kept_span *span = kept_spans(t->jit, region, &count);
    for (u32 i = 0; i < count; i++)
        for (u32 k = 0; k < span[i].len; k += 2) {
            u8 bit, *seen = seen_at(t, off + span[i].off + (i32)k, &bit);
            if (seen)
                *seen |= bit;
        }
    return count;
}

// Has a region that was kept been made from what is there? Then it was never decoded here, but would have been.
static bool is_seen(struct translation *t, const struct code_page *page, i32 off) {
    u8 bit, *seen = seen_at(t, off, &bit);
    if (!t->instead || !seen || *seen & bit)
        return t->instead && seen;
    u32 in = (u32)(t->pc + (u64)(i64)off) & PAGE_MASK;
    return see(t, &t->jit->region[jit_find(t->jit, page->frame, in, page->generation)], off);
}

// Decode the instruction at `off`; false if it was never executed or near such, or cannot be seen.
static bool fetch(struct translation *t, i32 off, struct insn *insn) {
    u64 va = t->pc + (u64)(i64)off;
    struct code_page *page = page_use(t, va);
    u32 in = va & PAGE_MASK;
    if (!page || (!code_op(page->map, in) && !is_seen(t, page, off)))
        return false;
    u32 word = *MPTR(const u16, page->frame + in);
    if (insn_length(word) == 4) {
        if (in + 2 == PAGE_SIZE) {
            page = page_use(t, va + 2);
            if (!page)
                return false;
            in = -2u;
        }
        word |= (u32)*MPTR(const u16, page->frame + in + 2) << 16;
    }
    *insn = insn_decode(&t->jit->cache->index, word);
    return true;
}

bool codegen_knows(const struct translation *t, const struct insn *insn); // codegen.c

static bool is_jump(const struct insn *insn) {
    return insn->id == JAL || insn->id == JALR;
}
static bool is_link(u32 rd) {
    return rd == 1 || rd == 5;
}

static bool is_call(const struct insn *insn) {
    return is_jump(insn) && is_link(insn->rd);
}

// Where a jump leads if that is known: by its own immediate, or by the auipc right before it.
static bool target_of(const struct jit_insn *at, const struct jit_insn *before, i32 *target) {
    if (at->insn.id == JAL) {
        *target = at->off + at->insn.imm;
        return true;
    }
    if (at->insn.id != JALR || !before || before->insn.id != AUIPC || !at->insn.rs1 ||
        before->insn.rd != at->insn.rs1)
        return false;
    i64 to = (i64)before->off + before->insn.imm + at->insn.imm;
    *target = (i32)to;
    return to == *target && !(to & 1);
}

// Where a jump through a register led when it was interpreted last, if that can be in the region.
static bool guess_of(const struct translation *t, const struct jit_insn *at, i32 *target) {
    u64 pc = t->pc + (u64)(i64)at->off;
    u64 seen = *called_slot(t->jit->cache, pc);
    *target = (i32)((u32)seen - (u32)t->pc);
    return at->insn.id == JALR && seen >> 32 == (u32)pc && *target <= (i32)REACH && *target >= -(i32)REACH;
}

// ---- Inlining ----------------------------------------------------------------------------------
// A call of a small function becomes a jump into a copy of it: its blocks in a context of their
// own, whose return is a compare of the return address with the one this call has left.
enum { INLINE_INSNS = 40, INLINE_DEPTH = 3, INLINE_TOTAL = 600 };

// Is what begins there small, as far as it was ever decoded?
static bool is_small(struct translation *t, i32 target) {
    i32 todo[INLINE_INSNS], seen[INLINE_INSNS];
    u32 todo_count = 1, seen_count = 0;
    todo[0] = target;
    while (todo_count) {
        i32 off = todo[--todo_count];
        for (;;) {
            bool again = false;
            for (u32 i = 0; i < seen_count && !again; i++)
                again = seen[i] == off;
            struct insn insn;
            if (again || !fetch(t, off, &insn))
                break;
            if (seen_count == INLINE_INSNS || !codegen_knows(t, &insn))
                return false;
            seen[seen_count++] = off;
            bool jump = insn.id == JAL && !is_call(&insn);
            if ((insn.flags & BRANCH || jump) && todo_count < INLINE_INSNS)
                todo[todo_count++] = off + insn.imm;
            if (is_jump(&insn) && !is_call(&insn))
                break;
            off += insn.len;
        }
    }
    return seen_count > 0;
}

// The context of a copy for this call, or 0.
static u8 inlined(struct translation *t, const struct jit_insn *call, i32 target) {
    const struct context *from = &t->context[call->context];
    if (from->depth == INLINE_DEPTH || t->insn_count > INLINE_TOTAL ||
        t->context_count == CONTEXTS || target > REACH || target < -REACH || !is_small(t, target))
        return 0;
    t->context[t->context_count] =
        (struct context){call->context, from->depth + 1, call->insn.rd, call->off + call->insn.len};
    return (u8)t->context_count++;
}

// A jump to another page that has a region already, and not just a loop's: going on there saves writing it once more.
static bool is_elsewhere(struct translation *t, i32 from, i32 target) {
    u64 va = t->pc + (u64)(i64)target, here = t->pc + (u64)(i64)from;
    if (t->instead || (va ^ here) < PAGE_SIZE)
        return false;
    const struct code_page *page = code_page_known(t->jit->hart, t->jit->cache, va);
    u32 index = page ? jit_find(t->jit, page->frame, va & PAGE_MASK, page->generation) : 0;
    const struct region *region = &t->jit->region[index];
    return index && target && !(region->kind & KIND_LOOP) &&
           (region->state == REGION_READY || region->state == REGION_WAITING);
}

static void todo_add(struct translation *t, struct place at) {
    if (t->todo_count < lengthof(t->todo))
        t->todo[t->todo_count++] = at;
}

// Where the dispatch of another region leads, a larger one than this, is left to that one.
static bool is_dispatched(const struct translation *t, i32 target) {
    u64 va = t->pc + (u64)(i64)target;
    const struct code_page *page = code_page_known(t->jit->hart, t->jit->cache, va);
    u32 index = page ? jit_find(t->jit, page->frame, va & PAGE_MASK, page->generation) : 0;
    const struct region *region = &t->jit->region[index];
    return region->whole && region->whole != t->instead &&
           region_targets(&t->jit->region[region->whole]) > t->target_most &&
           (region->state == REGION_READY || region->state == REGION_WAITING);
}

static void target_add(struct translation *t, i32 off) {
    for (u32 i = 0; i < t->target_count; i++)
        if (t->target[i] == off)
            return;
    if (t->target_count == JIT_TARGETS || is_dispatched(t, off))
        return;
    t->target[t->target_count++] = off;
    todo_add(t, (struct place){off, 0});
}

// Where the jump through a register there has led, or what has left the region that dispatches and begins there.
static void targets_add(struct translation *t, i32 from) {
    const u64 *led = t->jit->cache->led;
    u32 pc = (u32)t->pc + (u32)from;
    for (u32 i = 0; i < LED; i++) {
        i32 off = (i32)((u32)led[i] - (u32)t->pc);
        if (led[i] >> 32 == pc && off <= (i32)REACH && off >= -(i32)REACH)
            target_add(t, off);
    }
}

// Walk from `at` until control leaves, and remember what else is to be walked.
static void walk(struct translation *t, struct place at) {
    const struct jit_insn *before = NULL;
    for (bool leader = true;; leader = false) {
        struct jit_insn *known = insn_at(t, at);
        if (known) {
            known->leader = true;
            return;
        }
        struct insn insn;
        u32 limit = dispatches(t) ? REGION_INSNS : PLAIN_INSNS;
        if (t->insn_count >= limit || at.off > REACH || at.off < -REACH || !fetch(t, at.off, &insn) ||
            !codegen_knows(t, &insn))
            return;
        struct jit_insn *here = &t->insn[t->insn_count];
        *here =
            (struct jit_insn){.insn = insn, .off = at.off, .context = at.context, .leader = leader};
        *slot_of(t, at) = (u16)++t->insn_count;
        struct place next = {at.off + insn.len, at.context};
        i32 target;
        bool static_target = target_of(here, before, &target);
        if (is_call(&insn)) {
            here->guessed = !static_target && guess_of(t, here, &target);
            if ((static_target || (here->guessed && t->guesses < 4)) && (here->callee = inlined(t, here, target))) {
                here->target = target;
                t->guesses += here->guessed;
                todo_add(t, (struct place){target, here->callee});
            }
            here->calls_entry = static_target && !target && !here->callee;
            todo_add(t, next);
            return;
        }
        if (insn.id == ECALL) {
            todo_add(t, next);
            return;
        }
        if (insn.id == JALR && static_target && !at.context) {
            here->known = true;
            here->target = target;
            if (!is_elsewhere(t, at.off, target))
                todo_add(t, (struct place){target, 0});
        }
        if (insn.flags & BRANCH ||
            (insn.id == JAL && (at.context || !is_elsewhere(t, at.off, at.off + insn.imm))))
            todo_add(t, (struct place){at.off + insn.imm, at.context});
        if (insn.flags & BRANCH)
            todo_add(t, next);
        if (insn.id == JALR && !static_target && !insn.rd && !is_link(insn.rs1) && !at.context &&
            t->instead)
            targets_add(t, here->off);
        if (insn.flags & BRANCH || is_jump(&insn))
            return;
        before = here;
        at = next;
    }
}

// ---- Blocks ------------------------------------------------------------------------------------
static u64 bit(u32 reg) {
    return reg ? 1ull << reg : 0;
}

// Registers read and written, as bits; x0 never counts.
void insn_registers(const struct insn *insn, u64 *reads, u64 *writes) {
    *reads = *writes = 0;
    for (const char *c = insn_format_text[insn_row[insn->id].format]; *c; c++) {
        switch (*c) {
        case 'd':
            *writes |= bit(insn->rd);
            break;
        case 's':
            *reads |= bit(insn->rs1);
            break;
        case 't':
            *reads |= bit(insn->rs2);
            break;
        case 'r':
            *reads |= bit(insn->rs3);
            break;
        default:
            break;
        }
    }
}

static u16 block_of(const struct translation *t, struct place at) {
    for (u32 i = 0; i < t->block_count; i++) {
        const struct jit_insn *first = &t->row[t->block[i].first];
        if (!t->block[i].apart && first->off == at.off && first->context == at.context)
            return (u16)i;
    }
    return NO_BLOCK;
}

bool float_assumes(
    const struct insn *insn); // float.c: this one is right only in some states of fcsr

// The call `here` by itself: into its copy, or as any other call.
static u16 call_make(struct translation *t, const struct jit_insn *here, enum term term, struct place to) {
    struct block *block = &t->block[t->block_count];
    *block = (struct block){
        .first = (u16)t->row_count, .count = 1, .succ = {NO_BLOCK, NO_BLOCK}, .term = term, .apart = true};
    block->exit[0] = to;
    insn_registers(&here->insn, &block->use, &block->def);
    t->row[t->row_count++] = *here;
    return (u16)t->block_count++;
}

// The block that begins at `at`; its instructions are copied to t->row, where they stand in order.
static void block_make(struct translation *t, struct place at) {
    struct block *block = &t->block[t->block_count++];
    *block = (struct block){.first = (u16)t->row_count, .succ = {NO_BLOCK, NO_BLOCK}};
    block->term = TERM_STOP;
    for (;;) {
        struct jit_insn *here = insn_at(t, at);
        block->exit[0] = at;
        if (!here)
            return;
        if (block->count && (here->leader || block->count == BLOCK_INSNS)) {
            here->leader = true;
            block->term = TERM_NEXT;
            return;
        }
        const struct insn *insn = &here->insn;
        if (here->guessed && here->callee && block->count && t->block_count + 2 < REGION_BLOCKS) {
            block->term = TERM_GUESS;
            block->exit[1] = at;
            block->succ[0] = call_make(t, here, TERM_NEXT, (struct place){here->target, here->callee});
            block->succ[1] =
                call_make(t, here, TERM_CALL, (struct place){at.off + insn->len, at.context});
            return;
        }
        t->row[t->row_count++] = *here;
        block->count++;
        u64 reads, writes;
        insn_registers(insn, &reads, &writes);
        block->use |= reads & ~block->def;
        block->def |= writes;
        block->leaves |= codegen_leaves(insn);
        t->floats |= float_assumes(insn);
        i32 by = insn->flags & BRANCH || insn->id == JAL ? insn->imm : 0;
        struct place next = {at.off + insn->len, at.context}, target = {at.off + by, at.context};
        const struct context *context = &t->context[at.context];
        if (insn->id == ECALL) {
            block->term = TERM_CALL;
            block->exit[0] = next;
            return;
        }
        if (insn->flags & BRANCH) {
            block->term = TERM_BRANCH;
            block->exit[0] = target;
            block->exit[1] = next;
            return;
        }
        if (is_call(insn)) {
            // A jalr that can be jumped to may have another register than its auipc left.
            bool copy = here->callee && !here->guessed && !(insn->id == JALR && block->count == 1);
            block->term = copy ? TERM_NEXT : TERM_CALL;
            if (insn->id == JALR && block->count == 1)
                t->row[t->row_count - 1].calls_entry = false;
            block->exit[0] = copy ? (struct place){here->target, here->callee} : next;
            return;
        }
        if (insn->id == JAL) {
            block->term = TERM_NEXT;
            block->exit[0] = target;
            return;
        }
        if (here->known && block->count > 1) { // nobody jumps between it and its auipc
            block->term = TERM_NEXT;
            block->exit[0] = (struct place){here->target, 0};
            return;
        }
        if (insn->id == JALR) {
            // The last call of a copy: it returns to where the copy does.
            bool back = !insn->rd && insn->rs1 == context->link;
            block->term = !at.context ? TERM_INDIRECT : back ? TERM_RETURN : TERM_CALL;
            if (at.context)
                block->exit[0] = (struct place){context->back, context->parent};
            return;
        }
        at = next;
    }
}

static void postorder(struct translation *t, u16 index, u32 *left) {
    struct block *block = &t->block[index];
    block->reached = true;
    for (u32 i = succ_count(t, block); i-- > 0;) {
        u16 to = succ_at(t, block, i);
        if (to != NO_BLOCK && !t->block[to].reached)
            postorder(t, to, left);
    }
    t->order[--*left] = index;
}

// The block that comes first.
static u16 root(const struct translation *t) { return dispatches(t) ? (u16)(t->block_count - 1) : 0; }

static void order_make(struct translation *t) {
    u32 left = REGION_BLOCKS;
    for (u32 i = 0; i < t->block_count; i++)
        t->block[i].reached = false;
    postorder(t, root(t), &left);
    t->order_count = REGION_BLOCKS - left;
    for (u32 i = 0; i < t->order_count; i++) {
        t->order[i] = t->order[left + i];
        t->block[t->order[i]].order = (u16)i;
    }
}

// Immediate dominators (Cooper, Harvey, Kennedy): iterate over reverse postorder.
static u16 common(const struct translation *t, u16 a, u16 b) {
    while (a != b) {
        while (t->block[a].order > t->block[b].order)
            a = t->block[a].idom;
        while (t->block[b].order > t->block[a].order)
            b = t->block[b].idom;
    }
    return a;
}

static void dominators(struct translation *t) {
    for (u32 i = 0; i < t->block_count; i++)
        t->block[i].idom = NO_BLOCK;
    t->block[t->order[0]].idom = t->order[0];
    for (bool changed = true; changed;) {
        changed = false;
        for (u32 i = 0; i < t->order_count; i++) {
            u16 from = t->order[i];
            if (t->block[from].idom == NO_BLOCK)
                continue;
            for (u32 k = 0; k < succ_count(t, &t->block[from]); k++) {
                u16 to = succ_at(t, &t->block[from], k);
                if (to == NO_BLOCK || to == t->order[0])
                    continue;
                u16 old = t->block[to].idom;
                u16 new = old == NO_BLOCK ? from : common(t, old, from);
                if (new != old) {
                    t->block[to].idom = new;
                    changed = true;
                }
            }
        }
    }
}

static bool dominates(const struct translation *t, u16 a, u16 b) {
    while (t->block[b].order > t->block[a].order)
        b = t->block[b].idom;
    return a == b;
}

static bool back(const struct translation *t, u16 from, u16 to) {
    return t->block[to].order <= t->block[from].order;
}

// Cut what makes the graph irreducible: backward edges to blocks that do not dominate. They leave, or take the way through the
// dispatch.
static bool cut(struct translation *t) {
    bool any = false;
    for (u32 i = 0; i < t->order_count; i++)
        for (u32 k = 0; k < 2; k++) {
            u16 from = t->order[i], *to = &t->block[from].succ[k];
            if (*to != NO_BLOCK && back(t, from, *to) && !dominates(t, *to, from)) {
                struct block *block = &t->block[*to];
                const struct jit_insn *row = &t->row[block->first];
                if (dispatches(t) && !block->target && !block->apart && !row->context && t->target_count < JIT_TARGETS) {
                    block->target = true;
                    t->target[t->target_count] = row->off;
                    t->target_block[t->target_count++] = *to;
                }
                *to = NO_BLOCK;
                any = true;
            }
        }
    return any;
}

// ---- Facts -------------------------------------------------------------------------------------
static void edges(struct translation *t) {
    for (u32 i = 0; i < t->order_count; i++) {
        u16 from = t->order[i];
        struct block *block = &t->block[from];
        for (u32 k = 0; k < 2; k++) {
            if (block->succ[k] == NO_BLOCK)
                continue;
            struct block *to = &t->block[block->succ[k]];
            if (back(t, from, block->succ[k]))
                to->header = true;
            else
                to->preds++;
        }
    }
    for (u32 i = 0; i < t->order_count; i++)
        t->block[t->order[i]].merge = t->block[t->order[i]].preds > 1;
    for (u32 i = 0; dispatches(t) && i < t->target_count; i++)
        t->block[t->target_block[i]].merge = true;
    t->block[t->order[0]].header |= dispatches(t);
}

static void needs(struct translation *t) {
    for (u32 i = t->order_count; i-- > 0;) {
        struct block *block = &t->block[t->order[i]];
        u32 most = 0;
        for (u32 k = 0; k < succ_count(t, block); k++) {
            u16 to = succ_at(t, block, k);
            if (to != NO_BLOCK && !t->block[to].header && block->term != TERM_CALL)
                most = max(most, (u32)t->block[to].need);
        }
        block->need = (u16)(block->count + most);
    }
}

u32 owes_after(const struct block *block) {
    return block->tight || block->term == TERM_CALL ? 0 : block->owes + block->count;
}

// A block begins with what is owed on the first way to it; the other ways pay the difference. At loops' heads, behind calls, and where
// the dispatch leads, everything is paid.
static void debts(struct translation *t) {
    bool found[REGION_BLOCKS] = {false};
    for (u32 i = 0; i < t->order_count; i++) {
        struct block *block = &t->block[t->order[i]];
        if (block->header || block->target || block->owes + block->count > OWES_MOST)
            block->owes = 0;
        for (u32 k = 0; k < 2; k++) {
            u16 to = block->succ[k];
            if (to == NO_BLOCK || found[to] || t->block[to].order <= block->order)
                continue;
            found[to] = true;
            t->block[to].owes = (u16)owes_after(block);
        }
    }
}

static u32 bases(const struct translation *t) {
    u32 set = 0;
    for (u32 i = 0; i < t->row_count; i++)
        if (t->row[i].insn.flags & (LOAD | STORE))
            set |= 1u << t->row[i].insn.rs1;
    return set & (1u << REG_SP | 1u << REG_FP);
}

// Blocks through which one can go round again without a call in between.
static void rounds(struct translation *t) {
    for (u32 h = 0; h < t->order_count; h++) {
        u16 head = t->order[h];
        if (!t->block[head].header)
            continue;
        bool ahead[REGION_BLOCKS] = {false}, behind[REGION_BLOCKS] = {false};
        ahead[head] = true;
        for (u32 i = h; i < t->order_count; i++) {
            const struct block *from = &t->block[t->order[i]];
            for (u32 k = 0; k < 2 && ahead[t->order[i]] && from->term != TERM_CALL; k++)
                if (from->succ[k] != NO_BLOCK)
                    ahead[from->succ[k]] = true;
        }
        for (u32 i = t->order_count; i-- > h;) {
            const struct block *from = &t->block[t->order[i]];
            for (u32 k = 0; k < 2 && from->term != TERM_CALL; k++)
                if (from->succ[k] != NO_BLOCK && (from->succ[k] == head || behind[from->succ[k]]))
                    behind[t->order[i]] = true;
            t->block[t->order[i]].round |= ahead[t->order[i]] && behind[t->order[i]];
        }
    }
}

// Registers that instructions read before the next call.
static void wanted(struct translation *t) {
    for (bool changed = true; changed;) {
        changed = false;
        for (u32 i = t->order_count; i-- > 0;) {
            struct block *block = &t->block[t->order[i]];
            u64 after = block->kept;
            for (u32 k = 0; k < 2; k++)
                if (block->term != TERM_CALL && block->succ[k] != NO_BLOCK)
                    after |= t->block[block->succ[k]].wanted;
            u64 wanted = block->use | (after & ~block->def);
            changed |= wanted != block->wanted;
            block->wanted = wanted;
        }
    }
}

// Registers that instructions write before any way out, whichever way is taken.
static void killed(struct translation *t) {
    for (u32 i = 0; i < t->order_count; i++)
        t->block[t->order[i]].killed = ~0ull;
    for (bool changed = true; changed;) {
        changed = false;
        for (u32 i = t->order_count; i-- > 0;) {
            struct block *block = &t->block[t->order[i]];
            u32 ways = block->term == TERM_BRANCH || block->term == TERM_GUESS ? 2 : 1;
            bool ends = block->term == TERM_CALL || block->term == TERM_INDIRECT || block->term == TERM_STOP;
            u64 after = ends ? 0 : ~0ull;
            for (u32 k = 0; k < ways && !ends; k++)
                after &= block->succ[k] == NO_BLOCK ? 0 : t->block[block->succ[k]].killed;
            u64 killed = block->def | after;
            changed |= killed != block->killed;
            block->killed = killed;
        }
    }
}

u64 written_between(const struct translation *t, u16 from, u32 k) {
    const struct block *block = &t->block[from];
    bool none = block->term == TERM_CALL || block->succ[k] == NO_BLOCK;
    return none ? 0 : block->dirty_out & t->block[block->succ[k]].written;
}

// Which registers differ from the context, forwards: on some way, and which do not on some way.
static void dirty(struct translation *t) {
    for (u32 i = 0; i < t->order_count; i++)
        t->block[t->order[i]].dirty = t->block[t->order[i]].same = 0;
    t->block[t->order[0]].same = ~0ull;
    for (bool changed = true; changed;) {
        changed = false;
        for (u32 i = 0; i < t->order_count; i++) {
            struct block *block = &t->block[t->order[i]];
            bool call = block->term == TERM_CALL;
            block->dirty_out = block->dirty | block->def;
            for (u32 k = 0; k < 2; k++) {
                if (block->succ[k] == NO_BLOCK)
                    continue;
                struct block *to = &t->block[block->succ[k]];
                u64 dirty = to->dirty | (call ? 0 : block->dirty_out & ~to->written);
                u64 same = to->same | (call ? ~0ull : block->same & ~block->def) | to->written;
                changed |= dirty != to->dirty || same != to->same;
                to->dirty = dirty;
                to->same = same;
            }
        }
    }
}

// Where ways meet on some of which a register is as in the context, and nobody reads it: it is written back before, so that the others
// need not load it; anywhere, if that is what will be written back in the end. Not where it might be done again and again.
static bool write_sooner(struct translation *t) {
    bool any = false;
    for (u32 i = 0; i < t->order_count; i++) {
        struct block *block = &t->block[t->order[i]];
        u64 good = ~block->killed;
        if (block->merge || block->header)
            good |= block->same;
        u64 more = block->dirty & ~block->wanted & good;
        if (more && !block->round) {
            block->written |= more;
            any = true;
        }
    }
    return any;
}

// Which registers differ from the context, forwards; which are wanted in locals, backwards. A block
// that may leave writes back all that is dirty, so those are wanted too.
static void registers(struct translation *t) {
    t->registers = 0;
    for (u32 i = 0; i < t->order_count; i++) {
        struct block *block = &t->block[t->order[i]];
        bool back = block->term == TERM_CALL && block->succ[0] != NO_BLOCK;
        u32 link = t->row[block->first + block->count - 1].insn.rd;
        block->kept = back && link == REG_RA && !t->moving ? t->bases : 0; // the other link is for code that moves the stack
        t->registers |= block->use | block->def;
    }
    t->crowded = __builtin_popcount((u32)t->registers) > HOST_REGISTERS;
    rounds(t);
    wanted(t);
    killed(t);
    do
        dirty(t);
    while (write_sooner(t));
    registers_live(t);
    for (u32 i = 0; i < t->order_count; i++)
        t->registers |= t->block[t->order[i]].live;
}

void registers_live(struct translation *t) {
    for (u32 i = 0; i < t->order_count; i++)
        t->block[t->order[i]].live = 0;
    for (bool changed = true; changed;) {
        changed = false;
        for (u32 i = t->order_count; i-- > 0;) {
            struct block *block = &t->block[t->order[i]];
            u64 after = 0;
            bool ends = block->term == TERM_CALL || block->term == TERM_INDIRECT ||
                        block->term == TERM_STOP || block->term == TERM_DISPATCH;
            bool returns = block->term == TERM_RETURN;
            for (u32 k = 0; k < 2; k++) {
                bool edge = k == 0 ? !ends : block->term == TERM_BRANCH || block->term == TERM_GUESS;
                if (edge && block->succ[k] == NO_BLOCK)
                    ends = true;
                else if (edge)
                    after |= t->block[block->succ[k]].live | written_between(t, t->order[i], k);
            }
            if (ends || returns)
                after |= block->dirty_out;
            u64 live = block->use | ((after | block->kept) & ~block->def);
            if (block->leaves || block->header)
                live |= block->dirty;
            changed |= live != block->live;
            block->live = live;
        }
    }
}

// An entry that is a loop's head is for a loop that goes on for long: what follows the loop is not
// compiled with it.
static void keep_loop(struct translation *t) {
    bool within[REGION_BLOCKS] = {false}, any = false;
    t->loop = false;
    for (bool changed = !dispatches(t); changed;) {
        changed = false;
        for (u32 i = 0; i < t->block_count; i++)
            for (u32 k = 0; k < 2 && !within[i]; k++) {
                u16 to = t->block[i].succ[k];
                if (to != NO_BLOCK && (to == 0 || within[to]))
                    within[i] = changed = any = true;
            }
    }
    t->loop = any;
    for (u32 i = 0; any && i < t->block_count; i++)
        for (u32 k = 0; k < 2; k++)
            if (t->block[i].succ[k] != NO_BLOCK && !within[t->block[i].succ[k]])
                t->block[i].succ[k] = NO_BLOCK;
}

// The block that all jumps through registers, and whoever enters the region, come to.
static void dispatch_make(struct translation *t) {
    u32 count = 0;
    for (u32 i = 0; i < t->target_count && dispatches(t); i++) {
        u16 block = block_of(t, (struct place){t->target[i], 0});
        if (block == NO_BLOCK)
            continue;
        t->target[count] = t->target[i];
        t->target_block[count++] = block;
    }
    t->target_count = count;
    if (!dispatches(t))
        return;
    for (u32 i = 0; i < count; i++)
        t->block[t->target_block[i]].target = true;
    t->block[t->block_count++] = (struct block){
        .first = (u16)t->row_count, .succ = {NO_BLOCK, NO_BLOCK}, .term = TERM_DISPATCH, .apart = true};
}

bool region_find(struct translation *t, const struct region_targets *known) {
    t->todo_count = t->target_count = 1;
    t->todo[0] = (struct place){0, 0};
    t->target[0] = 0;
    t->insn_count = t->row_count = t->block_count = t->page_count = t->seen_count = 0;
    for (u32 i = t->instead; i; i = t->jit->region[i].before)
        see(t, &t->jit->region[i], 0);
    for (u32 i = 1; known && i < known->count; i++)
        target_add(t, known->off[i]);
    if (t->instead)
        targets_add(t, 0);
    t->context_count = 1;
    t->guesses = 0;
    t->context[0] = (struct context){0};
    t->floats = false;
    __builtin_memset(t->at, 0, sizeof t->at);
    while (t->todo_count) {
        struct place at = t->todo[0]; // what is near comes first
        t->todo_count--;
        for (u32 i = 0; i < t->todo_count; i++)
            t->todo[i] = t->todo[i + 1];
        walk(t, at);
    }
    if (!t->insn_count)
        return false;
    // In the order in which they were found, so the entry's is the first. One that grows too long
    // adds another.
    u32 limit = dispatches(t) ? REGION_BLOCKS - 1 : PLAIN_BLOCKS;
    for (u32 i = 0; i < t->insn_count && t->block_count < limit; i++)
        if (t->insn[i].leader)
            block_make(t, (struct place){t->insn[i].off, t->insn[i].context});
    for (u32 i = 0; i < t->block_count; i++) {
        struct block *block = &t->block[i];
        if (block->term != TERM_STOP && block->term != TERM_INDIRECT && block->term != TERM_GUESS)
            block->succ[0] = block_of(t, block->exit[0]);
        if (block->term == TERM_BRANCH)
            block->succ[1] = block_of(t, block->exit[1]);
    }
    t->full = t->insn_count >= (dispatches(t) ? REGION_INSNS : PLAIN_INSNS) || t->block_count >= limit || t->target_count == JIT_TARGETS;
    dispatch_make(t);
    keep_loop(t);
    do {
        order_make(t);
        dominators(t);
    } while (cut(t));
    edges(t);
    needs(t);
    debts(t);
    t->bases = bases(t);
    registers(t);
    return true;
}

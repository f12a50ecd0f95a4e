// Finding a region: the blocks that are reachable from its entry, without what has never been decoded, and
// the facts that code generation needs of them. The graph made here is reducible: edges that would make
// it otherwise leave the region instead.
#include "translate.h"
#include "../mem/tlb.h"

// ---- Instructions ------------------------------------------------------------------------------
static u16 *slot_of(struct translation *t, i32 off) {
    u32 h = (u32)(off >> 1) * 0x9e3779b1u >> 20;
    while (t->at[h] && t->insn[t->at[h] - 1].off != off)
        h = (h + 1) % lengthof(t->at);
    return &t->at[h];
}

static struct jit_insn *insn_at(struct translation *t, i32 off) {
    u16 i = *slot_of(t, off);
    return i ? &t->insn[i - 1] : NULL;
}

// The page that holds va, entered among the region's pages.
static struct code_page *page_use(struct translation *t, u64 va) {
    struct code_page *page = code_page_known(t->jit->cache, va);
    if (!page)
        return NULL;
    i32 delta = (i32)((i64)((va >> PAGE_SHIFT) - (t->pc >> PAGE_SHIFT)));
    for (u32 i = 0; i < t->page_count; i++)
        if (t->page[i].delta == delta)
            return page;
    if (t->page_count == JIT_PAGES)
        return NULL;
    t->page[t->page_count++] = (struct region_page){delta, page->frame, page->generation};
    return page;
}

// Decode the instruction at `off`; false if it was never executed or near such, or cannot be seen.
static bool fetch(struct translation *t, i32 off, struct insn *insn) {
    u64 va = t->pc + (u64)(i64)off;
    struct code_page *page = page_use(t, va);
    u32 in = va & PAGE_MASK;
    if (!page || !page->map[in / 2])
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

static bool is_jump(const struct insn *insn) { return insn->id == JAL || insn->id == JALR; }
static bool is_link(u32 rd) { return rd == 1 || rd == 5; }

// Walk from `off` until control leaves, and remember what else is to be walked.
static void walk(struct translation *t, i32 off, i32 *todo, u32 *todo_count, u32 todo_max) {
    for (bool leader = true;; leader = false) {
        struct jit_insn *known = insn_at(t, off);
        if (known) {
            known->leader = true;
            return;
        }
        struct insn insn;
        if (t->insn_count == REGION_INSNS || !fetch(t, off, &insn) || !codegen_knows(t, &insn))
            return;
        t->insn[t->insn_count] = (struct jit_insn){insn, off, leader};
        *slot_of(t, off) = (u16)++t->insn_count;
        i32 next = off + insn.len, target = off + insn.imm;
        bool branch = insn.flags & BRANCH, call = is_jump(&insn) && is_link(insn.rd);
        if (branch || (insn.id == JAL && !call))
            if (*todo_count < todo_max)
                todo[(*todo_count)++] = target;
        if (branch || call)
            if (*todo_count < todo_max)
                todo[(*todo_count)++] = next;
        if (branch || is_jump(&insn))
            return;
        off = next;
    }
}

// ---- Blocks ------------------------------------------------------------------------------------
static u64 bit(u32 reg) { return reg ? 1ull << reg : 0; }

// Registers read and written, as bits; x0 never counts.
void insn_registers(const struct insn *insn, u64 *reads, u64 *writes) {
    *reads = *writes = 0;
    for (const char *c = insn_format_text[insn_row[insn->id].format]; *c; c++) {
        switch (*c) {
        case 'd': *writes |= bit(insn->rd); break;
        case 's': *reads |= bit(insn->rs1); break;
        case 't': *reads |= bit(insn->rs2); break;
        case 'r': *reads |= bit(insn->rs3); break;
        default: break;
        }
    }
}

static u16 block_of(const struct translation *t, i32 off) {
    for (u32 i = 0; i < t->block_count; i++)
        if (t->row[t->block[i].first].off == off)
            return (u16)i;
    return NO_BLOCK;
}

bool codegen_leaves(const struct insn *insn); // codegen.c: this one may leave the region

// The block that begins at `off`; its instructions are copied to t->row, where they stand in order.
static void block_make(struct translation *t, i32 off) {
    struct block *block = &t->block[t->block_count++];
    *block = (struct block){.first = (u16)t->row_count, .succ = {NO_BLOCK, NO_BLOCK}};
    block->term = TERM_STOP;
    for (;;) {
        struct jit_insn *at = insn_at(t, off);
        if (!at) {
            block->exit[0] = off;
            break;
        }
        if (block->count && (at->leader || block->count == BLOCK_INSNS)) {
            at->leader = true;
            block->term = TERM_NEXT;
            block->exit[0] = off;
            break;
        }
        t->row[t->row_count++] = *at;
        block->count++;
        u64 reads, writes;
        insn_registers(&at->insn, &reads, &writes);
        block->use |= reads & ~block->def;
        block->def |= writes;
        block->leaves |= codegen_leaves(&at->insn);
        t->floats |= at->insn.flags & FP && at->insn.flags & RM;
        i32 next = off + at->insn.len, target = off + at->insn.imm;
        if (at->insn.flags & BRANCH) {
            block->term = TERM_BRANCH;
            block->exit[0] = target;
            block->exit[1] = next;
            break;
        }
        if (is_jump(&at->insn)) {
            bool call = is_link(at->insn.rd);
            block->term = call ? TERM_CALL : at->insn.id == JAL ? TERM_NEXT : TERM_INDIRECT;
            block->exit[0] = call ? next : target;
            break;
        }
        off = next;
    }
}

static void postorder(struct translation *t, u16 index, u32 *left) {
    struct block *block = &t->block[index];
    block->reached = true;
    for (u32 i = 2; i-- > 0;)
        if (block->succ[i] != NO_BLOCK && !t->block[block->succ[i]].reached)
            postorder(t, block->succ[i], left);
    t->order[--*left] = index;
}

static void order_make(struct translation *t) {
    u32 left = REGION_BLOCKS;
    for (u32 i = 0; i < t->block_count; i++)
        t->block[i].reached = false;
    postorder(t, 0, &left);
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
    t->block[0].idom = 0;
    for (bool changed = true; changed;) {
        changed = false;
        for (u32 i = 0; i < t->order_count; i++) {
            u16 from = t->order[i];
            if (t->block[from].idom == NO_BLOCK)
                continue;
            for (u32 k = 0; k < 2; k++) {
                u16 to = t->block[from].succ[k];
                if (to == NO_BLOCK || to == 0)
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

// Cut what makes the graph irreducible: backward edges to blocks that do not dominate.
static bool cut(struct translation *t) {
    bool any = false;
    for (u32 i = 0; i < t->order_count; i++)
        for (u32 k = 0; k < 2; k++) {
            u16 from = t->order[i], *to = &t->block[from].succ[k];
            if (*to != NO_BLOCK && back(t, from, *to) && !dominates(t, *to, from)) {
                *to = NO_BLOCK;
                any = true;
            }
        }
    return any;
}

// ---- Facts -------------------------------------------------------------------------------------
static void edges(struct translation *t) {
    t->block[0].check = true;
    for (u32 i = 0; i < t->order_count; i++) {
        u16 from = t->order[i];
        struct block *block = &t->block[from];
        for (u32 k = 0; k < 2; k++) {
            if (block->succ[k] == NO_BLOCK)
                continue;
            struct block *to = &t->block[block->succ[k]];
            if (back(t, from, block->succ[k])) {
                to->header = to->check = true;
            } else {
                to->preds++;
                if (block->term == TERM_CALL)
                    to->check = true;
            }
        }
    }
    for (u32 i = 0; i < t->order_count; i++)
        t->block[t->order[i]].merge = t->block[t->order[i]].preds > 1;
}

static void needs(struct translation *t) {
    for (u32 i = t->order_count; i-- > 0;) {
        struct block *block = &t->block[t->order[i]];
        u32 most = 0;
        for (u32 k = 0; k < 2; k++)
            if (block->succ[k] != NO_BLOCK && !t->block[block->succ[k]].check)
                most = max(most, (u32)t->block[block->succ[k]].need);
        block->need = (u16)(block->count + most);
    }
}

// Which registers differ from the context, forwards; which are wanted in locals, backwards. A block that may
// leave writes back all that is or gets dirty in it, so those are wanted too.
static void registers(struct translation *t) {
    for (bool changed = true; changed;) {
        changed = false;
        for (u32 i = 0; i < t->order_count; i++) {
            struct block *block = &t->block[t->order[i]];
            u64 out = block->term == TERM_CALL ? 0 : block->dirty | block->def;
            block->dirty_out = block->dirty | block->def;
            for (u32 k = 0; k < 2; k++) {
                if (block->succ[k] == NO_BLOCK)
                    continue;
                struct block *to = &t->block[block->succ[k]];
                changed |= (to->dirty | out) != to->dirty;
                to->dirty |= out;
            }
        }
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (u32 i = t->order_count; i-- > 0;) {
            struct block *block = &t->block[t->order[i]];
            u64 after = 0;
            bool ends = block->term == TERM_CALL || block->term == TERM_INDIRECT || block->term == TERM_STOP;
            for (u32 k = 0; k < 2; k++) {
                bool edge = k == 0 ? !ends : block->term == TERM_BRANCH;
                if (edge && block->succ[k] == NO_BLOCK)
                    ends = true;
                else if (edge)
                    after |= t->block[block->succ[k]].live;
            }
            if (ends)
                after |= block->dirty_out;
            u64 live = block->use | (after & ~block->def);
            if (block->leaves || block->check)
                live |= block->dirty | block->def;
            changed |= live != block->live;
            block->live = live;
        }
    }
    t->registers = 0;
    for (u32 i = 0; i < t->order_count; i++) {
        struct block *block = &t->block[t->order[i]];
        t->registers |= block->live | block->def | block->use;
    }
}

bool region_find(struct translation *t) {
    i32 todo[256];
    u32 todo_count = 1;
    todo[0] = 0;
    t->insn_count = t->row_count = t->block_count = t->page_count = 0;
    t->floats = false;
    __builtin_memset(t->at, 0, sizeof t->at);
    while (todo_count)
        walk(t, todo[--todo_count], todo, &todo_count, lengthof(todo));
    if (!t->insn_count)
        return false;
    // In the order in which they were found, so the entry's is the first. One that grows too long adds another.
    for (u32 i = 0; i < t->insn_count && t->block_count < REGION_BLOCKS; i++)
        if (t->insn[i].leader)
            block_make(t, t->insn[i].off);
    for (u32 i = 0; i < t->block_count; i++) {
        struct block *block = &t->block[i];
        if (block->term == TERM_NEXT || block->term == TERM_BRANCH || block->term == TERM_CALL)
            block->succ[0] = block_of(t, block->exit[0]);
        if (block->term == TERM_BRANCH)
            block->succ[1] = block_of(t, block->exit[1]);
    }
    do {
        order_make(t);
        dominators(t);
    } while (cut(t));
    edges(t);
    needs(t);
    registers(t);
    return true;
}

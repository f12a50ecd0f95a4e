// Loads, stores and atomics: guest addresses through the TLB, checked once for neighbours.
//
// A lone access compares once, which covers page, right and where it ends; a mismatch leaves the region. Accesses whose
// addresses differ by constants form a group: its check, that all lie in one page with the strongest right that any
// needs, leaves the host address in a local, for its block and for all blocks behind it in the tree of dominators. Nothing
// that a region does can make a check untrue, but calls. Where the address is known when the block begins, and the block
// is in a loop or has several of the group, it is checked there: in loops against the page that was found last, which
// needs no look at the TLB. A group can fail only because it crosses pages: then another version of the block has each
// access checked by itself. Stack frames, and what lies between two multiples of 16, hardly ever do: so there is no such version
// for them, until their region has been left for that reason often and is made anew.
#include "codegen.h"

enum { NO_GROUP = 0xffff, GROUP_SPAN = 512, OBJECT = 16 };
// Roots of values (see below): what instructions have left in registers, what was in them when a block began, pages that
// addresses made of constants lie in.
enum { ROOT_BLOCKS = REGION_ROWS + 1, ROOT_FIXED = ROOT_BLOCKS + REGION_BLOCKS * REG_F };
static_assert(ROOT_FIXED + FIXED <= 0x10000);

static bool is_fixed(u32 root) { return root >= ROOT_FIXED; }

// ---- Groups ------------------------------------------------------------------------------------
static u32 size_of(u32 id) {
    switch (id) {
    case LB: case LBU: case SB: return 1;
    case LH: case LHU: case SH: return 2;
    case LW: case LWU: case SW: case FLW: case FSW: return 4;
    default: return 8;
    }
}

static bool dominates(const struct translation *t, u16 a, u16 b) {
    while (t->block[b].order > t->block[a].order)
        b = t->block[b].idom;
    return a == b;
}

enum { STRIDE = 256 }; // at most, of an address that is likely to stay in its page

// Does this block end with a call behind which nothing is known of the TLB?
static bool call_forgets(const struct block *block) { return block->term == TERM_CALL && !block->kept; }

// The blocks of the loop whose head this is, and whether they call. Heads of inner loops come later.
static void loop_find(struct translation *t, u16 head) {
    bool within[REGION_BLOCKS] = {false};
    bool calls = false, forgets = false;
    within[head] = true;
    for (bool changed = true; changed;) {
        changed = false;
        for (u32 i = t->order_count; i-- > t->block[head].order;) {
            u16 index = t->order[i];
            const struct block *block = &t->block[index];
            bool inside = within[index];
            for (u32 k = 0; k < 2 && !inside; k++)
                inside = block->succ[k] != NO_BLOCK && within[block->succ[k]] && dominates(t, head, index);
            changed |= inside != within[index];
            within[index] = inside;
        }
    }
    for (u32 i = 0; i < t->order_count; i++) {
        struct block *block = &t->block[t->order[i]];
        calls |= within[t->order[i]] && block->term == TERM_CALL;
        forgets |= within[t->order[i]] && call_forgets(block);
    }
    struct block *block = &t->block[head];
    block->tight = block->term == TERM_BRANCH && (block->succ[0] == head) != (block->succ[1] == head);
    u32 wild = calls ? ~0u : 0;
    for (u32 i = 0; i < t->order_count && !wild; i++) {
        const struct block *block = &t->block[t->order[i]];
        for (u32 k = 0; k < block->count && within[t->order[i]]; k++) {
            const struct insn *insn = &t->row[block->first + k].insn;
            u64 reads, set;
            insn_registers(insn, &reads, &set);
            bool far = insn->id == ADDI && insn->rs1 && (insn->imm > STRIDE || insn->imm < -STRIDE);
            if (far || (insn->id == ADD && insn->rs1))
                wild |= (u32)set;
        }
    }
    for (u32 i = 0; i < t->order_count; i++)
        if (within[t->order[i]]) {
            t->block[t->order[i]].in_loop = wild != ~0u;
            t->block[t->order[i]].steady = ~wild;
        }
    t->block[head].loop_forgets = forgets;
}

static bool has_group(const u64 *set, u32 number) { return set[number / 64] >> number % 64 & 1; }
static void add_group(u64 *set, u32 number) { set[number / 64] |= 1ull << number % 64; }

static bool is_stack(const struct translation *t, const struct group *group) {
    return t->row[group->first].insn.rs1 == REG_SP;
}

// Would it be taken to lie in one page? Most objects begin at multiples of 16; what loops go through may not.
static bool is_together(const struct translation *t, const struct group *group, i32 low, i32 high) {
    return !t->crossing && (is_stack(t, group) || (!t->block[group->home].in_loop &&
                                                   (low & -OBJECT) == ((high - 1) & -OBJECT)));
}

// May the check at its home ask for more, on behalf of a block behind it? Not for a right that may never be needed there,
// but on the stack.
static bool may_grow(const struct translation *t, const struct group *group, i32 low, i32 high, bool write) {
    if (group->strides || (write && !group->write && !is_stack(t, group)))
        return false;
    return is_fixed(group->root) || group->base || is_together(t, group, low, high);
}

// The group that instruction `row`, an access in this block, joins.
static u16 group_join(struct translation *t, u16 index, u32 row, u32 root, i32 off) {
    const struct insn *insn = &t->row[row].insn;
    i32 end = off + (i32)size_of(insn->id);
    bool write = insn->flags & STORE;
    u64 *known = t->known[index];
    for (u32 i = 0; i < t->group_count; i++) {
        struct group *group = &t->groups[i];
        bool home = group->home == index;
        if (group->root != root || !(home || has_group(known, i)))
            continue;
        i32 low = min(group->low, off), high = max(group->high, end);
        bool grows = low < group->low || high > group->high || (write && !group->write);
        if ((high - low > GROUP_SPAN && !is_fixed(root)) || (!home && grows && !may_grow(t, group, low, high, write)))
            continue;
        group->low = low;
        group->high = high;
        group->write |= write;
        group->crosses |= high - low > group->size && !is_fixed(root) && !is_together(t, group, low, high);
        group->shared = true;
        return (u16)i;
    }
    if (t->group_count == GROUPS)
        return NO_GROUP;
    struct group *group = &t->groups[t->group_count];
    *group = (struct group){.root = (u16)root, .home = index, .low = off, .high = end, .first = (u16)row};
    group->low_imm = (i16)insn->imm;
    group->size = (u8)(end - off);
    group->write = write;
    return (u16)t->group_count++;
}

// ---- Values ------------------------------------------------------------------------------------
// What x registers hold: a root, which is what an instruction or the beginning of a block has left in one, or a page that an
// address made of constants lies in, and a constant.

static struct value value_of_row(u32 row) { return (struct value){(u16)(row + 1), 0}; }
static struct value value_of_block(u16 index, u32 reg) {
    return (struct value){(u16)(ROOT_BLOCKS + index * REG_F + reg), 0};
}

// An address made of constants, of instruction `row`.
static struct value value_of_fixed(struct translation *t, u32 row, i64 address, bool near) {
    struct fixed fixed = {address >> PAGE_SHIFT, near};
    u32 i = 0;
    while (i < t->fixed_count && (t->fixed[i].page != fixed.page || t->fixed[i].near != fixed.near))
        i++;
    if (i == FIXED)
        return value_of_row(row);
    if (i == t->fixed_count)
        t->fixed[t->fixed_count++] = fixed;
    return (struct value){(u16)(ROOT_FIXED + i), (i16)(address & PAGE_MASK)};
}

// The value plus `by`: of an address made of constants, perhaps in another page.
static struct value value_add(struct translation *t, u32 row, struct value value, i64 by) {
    if (is_fixed(value.root)) {
        struct fixed fixed = t->fixed[value.root - ROOT_FIXED];
        return value_of_fixed(t, row, fixed.page * (i64)PAGE_SIZE + value.off + by, fixed.near);
    }
    i64 off = value.off + by;
    return off == (i16)off ? (struct value){value.root, (i16)off} : value_of_row(row);
}

// Behind instruction `row`.
static void value_step(struct translation *t, u32 row, struct value *value) {
    const struct insn *insn = &t->row[row].insn;
    u64 reads, writes;
    insn_registers(insn, &reads, &writes);
    u32 rd = (u32)__builtin_ctzll(writes | 1ull << 63);
    if (!rd || rd >= REG_F)
        return;
    u32 from = insn->id == ADDI ? insn->rs1 : insn->id == ADD && !insn->rs1 ? insn->rs2 : 0;
    i64 here = (i64)(t->pc & PAGE_MASK) + t->row[row].off; // from the entry's page
    if (insn->id == JAL || insn->id == JALR)
        value[rd] = value_of_fixed(t, row, here + insn->len, true);
    else if (insn->id == LUI)
        value[rd] = value_of_fixed(t, row, insn->imm, false);
    else if (insn->id == AUIPC)
        value[rd] = value_of_fixed(t, row, here + insn->imm, true);
    else
        value[rd] = from ? value_add(t, row, value[from], insn->id == ADDI ? insn->imm : 0) : value_of_row(row);
}

static bool is_same(struct value a, struct value b) { return a.root == b.root && a.off == b.off; }

// What the block leaves reaches the block `to`.
static void value_push(struct translation *t, const struct value *value, u32 stand, u16 to, bool first) {
    u32 unknown = ~stand | t->block[to].unknown;
    for (u32 reg = 1; reg < REG_F; reg++) {
        struct value *into = &t->value[to][reg];
        if (unknown >> reg & 1 || (!first && !is_same(*into, value[reg])))
            *into = value_of_block(to, reg);
        else
            *into = value[reg];
    }
}

// At each block's start. What a loop's head finds from outside is taken to stand until a way back says otherwise.
static bool values_pass(struct translation *t) {
    bool reached[REGION_BLOCKS] = {false}, good = true;
    for (u32 i = 0; i < t->order_count; i++) {
        u16 index = t->order[i];
        reached[index] = !i || t->block[index].target;
        for (u32 reg = 1; reg < REG_F && reached[index]; reg++)
            t->value[index][reg] = value_of_block(index, reg);
    }
    for (u32 i = 0; i < t->order_count; i++) {
        u16 index = t->order[i];
        const struct block *block = &t->block[index];
        struct value value[REG_F];
        __builtin_memcpy(value, t->value[index], sizeof value);
        for (u32 row = block->first; row < (u32)block->first + block->count; row++)
            value_step(t, row, value);
        u32 stand = block->term == TERM_CALL ? block->kept : ~0u;
        for (u32 k = 0; k < 2; k++) {
            u16 to = block->succ[k];
            if (to == NO_BLOCK)
                continue;
            if (t->block[to].order > i) {
                value_push(t, value, stand, to, !reached[to]);
                reached[to] = true;
                continue;
            }
            u32 unknown = t->block[to].unknown;
            for (u32 reg = 1; reg < REG_F; reg++)
                if (!(stand >> reg & 1) || !is_same(value[reg], t->value[to][reg]))
                    t->block[to].unknown |= 1u << reg;
            good &= t->block[to].unknown == unknown;
        }
    }
    return good;
}

static void values_find(struct translation *t) {
    for (u32 i = 0; i < t->order_count; i++)
        t->block[t->order[i]].unknown = t->block[t->order[i]].target ? ~0u : 0;
    while (!values_pass(t))
        ;
}

// Is the register's value, behind the block, the address `off` bytes from the entry, whichever way led there?
bool memory_is_at(struct translation *t, u16 index, u32 reg, i32 off) {
    const struct block *block = &t->block[index];
    struct value value[REG_F];
    __builtin_memcpy(value, t->value[index], sizeof value);
    for (u32 row = block->first; row < (u32)block->first + block->count; row++)
        value_step(t, row, value);
    if (!is_fixed(value[reg].root))
        return false;
    struct fixed fixed = t->fixed[value[reg].root - ROOT_FIXED];
    return fixed.near && fixed.page * (i64)PAGE_SIZE + value[reg].off == (i64)(t->pc & PAGE_MASK) + off;
}

// A register that has this root when the block begins, and a local that holds it; 0: none.
static u32 holder(const struct translation *t, u16 index, u32 root) {
    u32 reg = 1; // a copy that nobody reads has no local
    while (reg < REG_F && (t->value[index][reg].root != root || !(t->block[index].live >> reg & 1)))
        reg++;
    return reg < REG_F ? reg : 0;
}

// In a tight loop: does the register move by a constant? Adds it to `step`.
static bool moves(const struct value *before, const struct value *after, u32 reg, i32 *step) {
    *step += after[reg].off - before[reg].off;
    return reg && after[reg].root == before[reg].root;
}

// By how much the register moves each time that the block, a tight loop, goes round; false: not by a constant.
bool memory_moves(struct translation *t, u16 index, u32 reg, i32 *step) {
    const struct block *block = &t->block[index];
    struct value value[REG_F];
    __builtin_memcpy(value, t->value[index], sizeof value);
    for (u32 row = block->first; row < (u32)block->first + block->count; row++)
        value_step(t, row, value);
    *step = 0;
    return !reg || moves(t->value[index], value, reg, step);
}

static bool sets_stride(struct group *group, u32 base, i32 base_off, i32 step) {
    group->strides = step <= STRIDE && step >= -STRIDE && base_off == (i16)base_off;
    if (group->strides) {
        group->base = (u8)base;
        group->base_off = (i16)base_off;
        group->step = (i16)step;
    }
    return group->strides;
}

// In a tight loop, whose registers hold `after` behind it: an address that is a sum, made in the loop, of two that move by
// constants.
static void find_index(struct translation *t, u16 index, const struct value *after, struct group *group) {
    const struct block *block = &t->block[index];
    const struct value *before = t->value[index];
    u32 row = group->root - 1u;
    if (row < block->first || row >= (u32)block->first + block->count || t->row[row].insn.id != ADD ||
        !t->row[row].insn.rs2)
        return;
    struct value value[REG_F];
    __builtin_memcpy(value, before, sizeof value);
    for (u32 i = block->first; i < row; i++)
        value_step(t, i, value);
    struct value a = value[t->row[row].insn.rs1], b = value[t->row[row].insn.rs2];
    u32 base = holder(t, index, a.root), other = holder(t, index, b.root);
    i32 step = 0;
    if (moves(before, after, base, &step) && moves(before, after, other, &step) &&
        sets_stride(group, base, before[base].off - a.off + before[other].off - b.off, step))
        group->index = (u8)other;
}

static void block_find(struct translation *t, u16 index) {
    const struct block *block = &t->block[index];
    const struct value *before = t->value[index];
    struct value value[REG_F];
    __builtin_memcpy(value, before, sizeof value);
    u32 own = t->group_count;
    for (u32 row = block->first; row < (u32)block->first + block->count; row++) {
        const struct insn *insn = &t->row[row].insn;
        t->group[row] = NO_GROUP;
        if (insn->flags & (LOAD | STORE) && insn->rs1) {
            struct value at = value_add(t, row, value[insn->rs1], insn->imm);
            t->group_off[row] = at.off;
            bool past_page = is_fixed(at.root) && (u32)at.off + size_of(insn->id) > PAGE_SIZE;
            if (at.root != value_of_row(row).root && !past_page)
                t->group[row] = group_join(t, index, row, at.root, at.off);
        }
        value_step(t, row, value);
    }
    for (u32 i = own; i < t->group_count; i++) {
        struct group *group = &t->groups[i];
        u32 reg = holder(t, index, group->root);
        i32 step = 0;
        if (block->tight && !reg)
            find_index(t, index, value, group);
        else if (block->tight && moves(before, value, reg, &step))
            sets_stride(group, reg, before[reg].off, step);
        if (!block->tight && reg && (block->in_loop || group->crosses)) {
            group->base = (u8)reg;
            group->base_off = before[reg].off;
        }
        u32 base = block->tight ? (group->strides || group->crosses ? 0 : reg) : group->base;
        if (base && block->steady >> base & 1 && t->last_count < LAST_PAGES)
            group->last = (u8)++t->last_count;
        if (!group->strides)
            add_group(t->known[index], i);
    }
    for (u32 row = block->first; row < (u32)block->first + block->count; row++)
        if (t->group[row] != NO_GROUP) {
            struct group *group = &t->groups[t->group[row]];
            group->low_imm = (i16)min((i32)group->low_imm, t->row[row].insn.imm);
        }
}

// The groups that have been checked on every way to the block, with no call since that makes one forget.
static void known_find(struct translation *t, u16 index) {
    u64 *known = t->known[index];
    bool first = true;
    __builtin_memset(known, 0, sizeof t->known[index]);
    for (u32 i = 0; i < t->block[index].order && !t->block[index].loop_forgets && !t->block[index].target; i++) {
        const struct block *from = &t->block[t->order[i]];
        if (from->succ[0] != index && from->succ[1] != index)
            continue;
        for (u32 k = 0; k < lengthof(t->known[0]); k++)
            known[k] = call_forgets(from) ? 0 : (first ? ~0ull : known[k]) & t->known[t->order[i]][k];
        first = false;
    }
}

void memory_find(struct translation *t) {
    t->group_count = t->last_count = t->fixed_count = 0;
    for (u32 i = 0; i < t->order_count; i++) {
        struct block *block = &t->block[t->order[i]];
        block->in_loop = block->tight = block->loop_forgets = false;
        block->steady = 0;
    }
    for (u32 i = 0; i < t->order_count; i++)
        if (t->block[t->order[i]].header)
            loop_find(t, t->order[i]);
    values_find(t);
    for (u32 i = 0; i < t->order_count; i++) {
        known_find(t, t->order[i]);
        block_find(t, t->order[i]);
    }
    u32 locals = 0;
    for (u32 i = 0; i < t->group_count; i++) {
        struct group *group = &t->groups[i];
        if (group->shared || group->base || group->last)
            group->local = (u16)++locals;
    }
    t->group_locals = locals;
}

// ---- Translation -------------------------------------------------------------------------------
static u32 half_of(bool write) { return write ? offsetof(struct tlb, w) : offsetof(struct tlb, r); }

// On the stack: can `span` bytes from TEMP_A, aligned or not, not be had through the TLB's half? What the address differs from the
// tag by is its offset in the page, or is too large. TEMP_ENTRY is the entry.
static void probe(struct translation *t, u32 span, bool write) {
    get(t, temp(t, TEMP_A));
    op(t, W_I32_WRAP_I64);
    const32(t, 8); // page number times the size of an entry
    op(t, W_I32_SHR_U);
    const32(t, (TLB_ENTRIES - 1) * sizeof(struct tlb_entry));
    op(t, W_I32_AND);
    get_tlb(t);
    op(t, W_I32_ADD);
    tee(t, temp32(t, TEMP_ENTRY));
    mem(t, W_I64_LOAD, 3, half_of(write) + offsetof(struct tlb_entry, tag));
    get(t, temp(t, TEMP_A));
    op(t, W_I64_XOR);
    const64(t, (i64)PAGE_SIZE - span);
    op(t, W_I64_GT_U);
}

static void get_delta(struct translation *t, bool write) {
    get(t, temp32(t, TEMP_ENTRY));
    mem(t, W_I32_LOAD, 2, half_of(write) + offsetof(struct tlb_entry, delta));
}

static void host_address(struct translation *t, bool write) {
    get(t, temp(t, TEMP_A));
    op(t, W_I32_WRAP_I64);
    get_delta(t, write);
    op(t, W_I32_ADD);
}

static void address(struct translation *t, u32 rs1, i64 imm) {
    get_x(t, rs1);
    if (imm) {
        const64(t, imm);
        op(t, W_I64_ADD);
    }
    set(t, temp(t, TEMP_A));
}

static void translate_alone(struct translation *t, const struct block *block, u32 k, i32 imm, u32 size,
                            bool write) {
    const struct insn *insn = &t->row[block->first + k].insn;
    where(t, block, k);
    address(t, insn->rs1, imm);
    probe(t, size, write);
    if (insn->flags & AMO) {
        get(t, temp(t, TEMP_A));
        op(t, W_I32_WRAP_I64);
        const32(t, (i32)size - 1);
        op(t, W_I32_AND);
        op(t, W_I32_OR);
    }
    leave_if(t);
    host_address(t, write);
}

static u32 span_of(const struct group *group) { return (u32)(group->high - group->low); }

// Where the check of a group leaves from. It says so if that may be because the group crosses pages.
static void where_checked(struct translation *t, const struct block *block, u32 k, const struct group *group) {
    where(t, block, k);
    if (span_of(group) > group->size)
        t->where |= WHERE_MISTAKEN;
}

static u32 group_local(const struct translation *t, const struct group *group) {
    return t->temp_i32 + TEMPS_I32 + group->local - 1;
}

// ---- At the start of a block -------------------------------------------------------------------
// The page that was found last: an address is good if less than `limit` above it; none is if that is 0.
static u32 last_page(const struct translation *t, u32 last) { return t->temp + TEMPS + 2 * (last - 1); }
static u32 last_limit(const struct translation *t, u32 last) { return last_page(t, last) + 1; }
static u32 last_delta(const struct translation *t, u32 last) {
    return t->temp_i32 + TEMPS_I32 + t->group_locals + last - 1;
}

void memory_forget(struct translation *t) {
    for (u32 i = 0; i < t->group_count; i++) {
        const struct group *group = &t->groups[i];
        if (!group->last)
            continue;
        const64(t, 0);
        set(t, last_limit(t, group->last));
    }
}

static void fail_if(struct translation *t, const struct group *group) {
    if (group->crosses) {
        hint(t, false);
        branch_if(t, LABEL_SLOW);
    } else {
        leave_if(t);
    }
}

// TEMP_A is the group's lowest address.
static void check_last(struct translation *t, const struct group *group) {
    u32 span = span_of(group);
    get(t, temp(t, TEMP_A));
    get(t, last_page(t, group->last));
    op(t, W_I64_SUB);
    get(t, last_limit(t, group->last));
    op(t, W_I64_GE_U);
    hint(t, false);
    nest(t, W_IF, T_NONE);
    probe(t, span, group->write);
    fail_if(t, group);
    get(t, temp(t, TEMP_A));
    const64(t, ~(i64)PAGE_MASK);
    op(t, W_I64_AND);
    set(t, last_page(t, group->last));
    const64(t, (i64)PAGE_SIZE - span + 1);
    set(t, last_limit(t, group->last));
    get_delta(t, group->write);
    set(t, last_delta(t, group->last));
    unnest(t);
    get(t, temp(t, TEMP_A));
    op(t, W_I32_WRAP_I64);
    get(t, last_delta(t, group->last));
    op(t, W_I32_ADD);
    set(t, group_local(t, group));
}

static void check(struct translation *t, const struct block *block, const struct group *group) {
    if (!group->crosses)
        where_checked(t, block, 0, group);
    address(t, group->base, (i64)group->low - group->base_off);
    if (!group->last) {
        probe(t, span_of(group), group->write);
        fail_if(t, group);
        host_address(t, group->write);
        set(t, group_local(t, group));
        return;
    }
    check_last(t, group);
}

// No group that may cross pages is known to be good.
void memory_clear(struct translation *t, const struct block *block) {
    for (u32 i = 0; i < t->group_count; i++) {
        const struct group *group = &t->groups[i];
        if (block != &t->block[group->home] || !group->crosses || group->strides)
            continue;
        const32(t, 0);
        set(t, group_local(t, group));
    }
}

bool memory_begin(struct translation *t, const struct block *block) {
    memory_clear(t, block);
    u64 used[lengthof(t->known[0])] = {0};
    bool slow = false;
    for (u32 k = 0; k < block->count; k++) {
        u32 number = t->group[block->first + k];
        if (number == NO_GROUP || has_group(used, number))
            continue;
        add_group(used, number);
        const struct group *group = &t->groups[number];
        bool home = block == &t->block[group->home];
        slow |= group->crosses && (group->base || !home);
    }
    if (slow)
        nest_as(t, W_BLOCK, T_NONE, LABEL_SLOW);
    // What cannot cross pages first: it leaves the region, and the slow version counts on it.
    for (u32 crossing = 0; crossing < 2; crossing++)
        for (u32 i = 0; i < t->group_count; i++) {
            const struct group *group = &t->groups[i];
            if (!has_group(used, i) || group->crosses != crossing)
                continue;
            if (block == &t->block[group->home]) {
                if (group->base)
                    check(t, block, group);
            } else if (group->crosses) {
                get(t, group_local(t, group));
                op(t, W_I32_EQZ);
                fail_if(t, group);
            }
        }
    return slow;
}

// ---- Tight loops -------------------------------------------------------------------------------
// TEMP_COUNT is how many times the loop may go round; less if what a group accesses leaves its page before. The group's
// local is what to add to an address of the page, for the lowest immediate. Nothing is done yet.
static void stride_check(struct translation *t, const struct group *group) {
    i32 span = group->high - group->low, step = group->step;
    address(t, group->base, (i64)group->low - group->base_off);
    if (group->index) {
        get(t, temp(t, TEMP_A));
        get_x(t, group->index);
        op(t, W_I64_ADD);
        set(t, temp(t, TEMP_A));
    }
    probe(t, 1, group->write);
    leave_if(t);
    const32(t, (i32)PAGE_SIZE - span);
    get(t, temp(t, TEMP_A));
    op(t, W_I32_WRAP_I64);
    const32(t, PAGE_MASK);
    op(t, W_I32_AND);
    if (step < 0)
        tee(t, temp32(t, TEMP_HOST));
    op(t, W_I32_SUB);
    if (step > 0)
        tee(t, temp32(t, TEMP_HOST));
    const32(t, 0);
    op(t, W_I32_LT_S);
    hint(t, false);
    branch_if(t, LABEL_SLOW);
    get_delta(t, group->write);
    const32(t, group->low_imm);
    op(t, W_I32_ADD);
    set(t, group_local(t, group));
    if (!step)
        return;
    get(t, temp32(t, TEMP_HOST));
    const32(t, step < 0 ? -step : step);
    op(t, W_I32_DIV_U);
    const32(t, 1);
    op(t, W_I32_ADD);
    tee(t, temp32(t, TEMP_HOST));
    get(t, temp32(t, TEMP_COUNT));
    get(t, temp32(t, TEMP_HOST));
    get(t, temp32(t, TEMP_COUNT));
    op(t, W_I32_LT_U);
    op(t, W_SELECT);
    set(t, temp32(t, TEMP_COUNT));
}

void memory_strides(struct translation *t, const struct block *block) {
    u64 used[lengthof(t->known[0])] = {0};
    for (u32 k = 0; k < block->count; k++) {
        u32 number = t->group[block->first + k];
        if (number == NO_GROUP || has_group(used, number))
            continue;
        add_group(used, number);
        const struct group *group = &t->groups[number];
        if (block == &t->block[group->home]) {
            if (group->strides)
                stride_check(t, group);
        } else if (group->crosses) {
            get(t, group_local(t, group));
            op(t, W_I32_EQZ);
            hint(t, false);
            branch_if(t, LABEL_SLOW);
        }
    }
}

// ---- Accesses ----------------------------------------------------------------------------------
// Has what the instruction accesses been checked before?
static bool is_checked(const struct translation *t, const struct block *block, u32 row) {
    if (t->group[row] == NO_GROUP)
        return false;
    const struct group *group = &t->groups[t->group[row]];
    bool home = block == &t->block[group->home];
    if (group->crosses || group->strides)
        return !t->slow && (group->base || !home);
    return group->base || !home || row != group->first;
}

bool memory_leaves(const struct translation *t, const struct block *block, u32 k) {
    u32 row = block->first + k, flags = t->row[row].insn.flags;
    return flags & AMO || (flags & (LOAD | STORE) && !is_checked(t, block, row));
}

// Which blocks leave after all, now that it is known what has been checked before; and what their checks read.
void memory_settle(struct translation *t) {
    for (u32 i = 0; i < t->order_count; i++) {
        u16 index = t->order[i];
        struct block *block = &t->block[index];
        block->leaves = false;
        for (u32 k = 0; k < block->count; k++) {
            const struct insn *insn = &t->row[block->first + k].insn;
            u32 number = t->group[block->first + k];
            if (!(insn->flags & (LOAD | STORE)) || number == NO_GROUP) {
                block->leaves |= codegen_leaves(insn);
                continue;
            }
            const struct group *group = &t->groups[number];
            bool home = group->home == index;
            block->leaves |= memory_leaves(t, block, k) || group->crosses || group->strides || (home && group->base);
            if (home)
                block->use |= (1ull << group->base | 1ull << group->index) & ~1ull;
        }
    }
    registers_live(t);
}

u32 translate(struct translation *t, const struct block *block, u32 k, const struct insn *insn, u32 size,
              bool write) {
    u32 row = block->first + k;
    if (t->group[row] == NO_GROUP) {
        translate_alone(t, block, k, insn->imm, size, write);
        return 0;
    }
    const struct group *group = &t->groups[t->group[row]];
    u32 offset = (u32)(t->group_off[row] - group->low);
    if (is_checked(t, block, row) && group->strides) {
        get_x(t, insn->rs1);
        op(t, W_I32_WRAP_I64);
        get(t, group_local(t, group));
        op(t, W_I32_ADD);
        return (u32)(insn->imm - group->low_imm);
    }
    if (is_checked(t, block, row)) {
        get(t, group_local(t, group));
        return offset;
    }
    if (group->last && !group->base) {
        where_checked(t, block, k, group);
        address(t, insn->rs1, (i64)insn->imm - offset);
        check_last(t, group);
        get(t, group_local(t, group));
        return offset;
    }
    if (!group->crosses && !group->strides) {
        where_checked(t, block, k, group);
        address(t, insn->rs1, (i64)insn->imm - offset);
        probe(t, span_of(group), group->write);
        leave_if(t);
        host_address(t, group->write);
        if (group->local)
            tee(t, group_local(t, group));
        return offset;
    }
    if (t->slow) {
        translate_alone(t, block, k, insn->imm, size, write);
        return 0;
    }
    if (row != group->first) {
        get(t, group_local(t, group));
        hint(t, true);
        nest(t, W_IF, T_I32);
        get(t, group_local(t, group));
    } else {
        address(t, insn->rs1, (i64)insn->imm - offset);
        probe(t, span_of(group), group->write);
        op(t, W_I32_EQZ);
        hint(t, true);
        nest(t, W_IF, T_I32);
        host_address(t, group->write);
        tee(t, group_local(t, group));
    }
    op(t, W_ELSE);
    translate_alone(t, block, k, insn->imm, size, write);
    const32(t, (i32)offset);
    op(t, W_I32_SUB);
    unnest(t);
    return offset;
}

void load(struct translation *t, const struct block *block, u32 k, u32 size, u32 byte) {
    const struct insn *insn = &t->row[block->first + k].insn;
    mem(t, byte, 0, translate(t, block, k, insn, size, false));
    set_x(t, insn->rd);
}

void store(struct translation *t, const struct block *block, u32 k, u32 size, u32 byte) {
    const struct insn *insn = &t->row[block->first + k].insn;
    u32 offset = translate(t, block, k, insn, size, true);
    get_x(t, insn->rs2);
    mem(t, byte, 0, offset);
}

// In a tight loop: has this been checked for as many rounds as it goes?
bool memory_strides_at(const struct translation *t, const struct block *block, u32 k) {
    u32 number = t->group[block->first + k];
    return number != NO_GROUP && t->groups[number].strides;
}

static i32 wide_offset(const struct translation *t, u32 row, i32 off) {
    return t->row[row].insn.imm - t->groups[t->group[row]].low_imm - (t->group_off[row] - off);
}

bool memory_reaches(const struct translation *t, const struct block *block, u32 k, i32 off) {
    return wide_offset(t, block->first + k, off) >= 0;
}

void store_wide(struct translation *t, const struct block *block, u32 k) {
    const struct wide *wide = &t->wide[k];
    translate(t, block, k, &t->row[block->first + k].insn, 1, true);
    get_x(t, wide->reg);
    mem(t, wide->bytes == 8 ? W_I64_STORE : wide->bytes == 4 ? W_I64_STORE32 : W_I64_STORE16, 0,
        (u32)wide_offset(t, block->first + k, wide->off));
}

// ---- Atomics -----------------------------------------------------------------------------------
// One hart: plain loads and stores. Several: wasm's atomics, all sequentially consistent. Each row of the table
// is for W, then D.
struct atomic {
    u8 id, plain, atomic; // operator on the old value and rs2; behind W_ATOMIC (0: not known there)
};
static const struct atomic atomic_table[] = {
    {AMOSWAP_W, 0, WA_SWAP32},         {AMOSWAP_D, 0, WA_SWAP},
    {AMOADD_W, W_I64_ADD, WA_ADD32},   {AMOADD_D, W_I64_ADD, WA_ADD},
    {AMOXOR_W, W_I64_XOR, WA_XOR32},   {AMOXOR_D, W_I64_XOR, WA_XOR},
    {AMOAND_W, W_I64_AND, WA_AND32},   {AMOAND_D, W_I64_AND, WA_AND},
    {AMOOR_W, W_I64_OR, WA_OR32},      {AMOOR_D, W_I64_OR, WA_OR},
    {AMOMIN_W, W_I64_LT_S, 0},         {AMOMIN_D, W_I64_LT_S, 0},
    {AMOMAX_W, W_I64_GT_S, 0},         {AMOMAX_D, W_I64_GT_S, 0},
    {AMOMINU_W, W_I64_LT_U, 0},        {AMOMINU_D, W_I64_LT_U, 0},
    {AMOMAXU_W, W_I64_GT_U, 0},        {AMOMAXU_D, W_I64_GT_U, 0},
};

static const struct atomic *atomic_of(u32 id) {
    for (u32 i = 0; i < lengthof(atomic_table); i++)
        if (atomic_table[i].id == id)
            return &atomic_table[i];
    return NULL;
}

bool atomic_knows(const struct translation *t, const struct insn *insn) {
    if (insn->id == LR_W || insn->id == LR_D || insn->id == SC_W || insn->id == SC_D)
        return true;
    const struct atomic *row = atomic_of(insn->id);
    return row && (!t->jit->cache->smp || row->atomic);
}

static void mem_atomic(struct translation *t, u32 byte, u32 size) {
    op(t, W_ATOMIC);
    mem(t, byte, size == 4 ? 2 : 3, 0);
}

static void load_reserved(struct translation *t, const struct block *block, u32 k, u32 size) {
    const struct insn *insn = &t->row[block->first + k].insn;
    translate_alone(t, block, k, 0, size, false);
    if (t->jit->cache->smp)
        mem_atomic(t, size == 4 ? WA_LOAD32 : WA_LOAD, size);
    else
        mem(t, size == 4 ? W_I64_LOAD32_U : W_I64_LOAD, 0, 0);
    set(t, temp(t, TEMP_B));
    get(t, L_CONTEXT);
    mem(t, W_I32_LOAD, 2, CONTEXT(cpu));
    tee(t, temp32(t, TEMP_HOST));
    get(t, temp(t, TEMP_A));
    mem(t, W_I64_STORE, 3, offsetof(struct cpu, lr_va));
    get(t, temp32(t, TEMP_HOST));
    get(t, temp(t, TEMP_B));
    mem(t, W_I64_STORE, 3, offsetof(struct cpu, lr_value));
    get(t, temp32(t, TEMP_HOST));
    const32(t, (i32)size);
    mem(t, W_I32_STORE, 2, offsetof(struct cpu, lr_size));
    get(t, temp(t, TEMP_B));
    if (size == 4)
        op(t, W_I64_EXTEND32_S);
    set_x(t, insn->rd);
}

// On the stack: did the store happen? The reservation stands; TEMP_HOST is the cpu.
static void store_reserved(struct translation *t, const struct block *block, u32 k, u32 size) {
    const struct insn *insn = &t->row[block->first + k].insn;
    translate_alone(t, block, k, 0, size, true);
    set(t, temp32(t, TEMP_ENTRY));
    get(t, temp32(t, TEMP_HOST));
    const32(t, 0);
    mem(t, W_I32_STORE, 2, offsetof(struct cpu, lr_size));
    get(t, temp32(t, TEMP_ENTRY));
    if (t->jit->cache->smp) {
        get(t, temp32(t, TEMP_HOST));
        mem(t, W_I64_LOAD, 3, offsetof(struct cpu, lr_value));
        get_x(t, insn->rs2);
        if (size == 4) {
            const64(t, 0xffffffff);
            op(t, W_I64_AND);
        }
        mem_atomic(t, size == 4 ? WA_CAS32 : WA_CAS, size);
        get(t, temp32(t, TEMP_HOST));
        mem(t, W_I64_LOAD, 3, offsetof(struct cpu, lr_value));
        op(t, W_I64_EQ);
        return;
    }
    mem(t, size == 4 ? W_I64_LOAD32_U : W_I64_LOAD, 0, 0);
    get(t, temp32(t, TEMP_HOST));
    mem(t, W_I64_LOAD, 3, offsetof(struct cpu, lr_value));
    op(t, W_I64_EQ);
    nest(t, W_IF, T_I32);
    get(t, temp32(t, TEMP_ENTRY));
    get_x(t, insn->rs2);
    mem(t, size == 4 ? W_I64_STORE32 : W_I64_STORE, 0, 0);
    const32(t, 1);
    op(t, W_ELSE);
    const32(t, 0);
    unnest(t);
}

static void store_conditional(struct translation *t, const struct block *block, u32 k, u32 size) {
    const struct insn *insn = &t->row[block->first + k].insn;
    where(t, block, k);
    get_x(t, insn->rs1); // misaligned is an error, whatever is reserved
    op(t, W_I32_WRAP_I64);
    const32(t, (i32)size - 1);
    op(t, W_I32_AND);
    leave_if(t);
    get(t, L_CONTEXT);
    mem(t, W_I32_LOAD, 2, CONTEXT(cpu));
    tee(t, temp32(t, TEMP_HOST));
    mem(t, W_I32_LOAD, 2, offsetof(struct cpu, lr_size));
    const32(t, (i32)size);
    op(t, W_I32_EQ);
    get(t, temp32(t, TEMP_HOST));
    mem(t, W_I64_LOAD, 3, offsetof(struct cpu, lr_va));
    get_x(t, insn->rs1);
    op(t, W_I64_EQ);
    op(t, W_I32_AND);
    nest(t, W_IF, T_I32);
    store_reserved(t, block, k, size);
    op(t, W_ELSE);
    get(t, temp32(t, TEMP_HOST));
    const32(t, 0);
    mem(t, W_I32_STORE, 2, offsetof(struct cpu, lr_size));
    const32(t, 0);
    unnest(t);
    op(t, W_I32_EQZ);
    op(t, W_I64_EXTEND_I32_U);
    set_x(t, insn->rd);
}

void atomic_instruction(struct translation *t, const struct block *block, u32 k) {
    const struct insn *insn = &t->row[block->first + k].insn;
    u32 size = insn->id < LR_D ? 4 : 8;
    switch (insn->id) {
    case LR_W: case LR_D: load_reserved(t, block, k, size); return;
    case SC_W: case SC_D: store_conditional(t, block, k, size); return;
    default: break;
    }
    const struct atomic *row = atomic_of(insn->id);
    translate_alone(t, block, k, 0, size, true);
    if (t->jit->cache->smp) {
        get_x(t, insn->rs2);
        if (size == 4) {
            const64(t, 0xffffffff);
            op(t, W_I64_AND);
        }
        mem_atomic(t, row->atomic, size);
        if (size == 4)
            op(t, W_I64_EXTEND32_S);
        set_x(t, insn->rd);
        return;
    }
    tee(t, temp32(t, TEMP_HOST));
    mem(t, size == 4 ? W_I64_LOAD32_S : W_I64_LOAD, 0, 0);
    set(t, temp(t, TEMP_B));
    get_x(t, insn->rs2);
    if (size == 4)
        op(t, W_I64_EXTEND32_S);
    set(t, temp(t, TEMP_A));
    get(t, temp32(t, TEMP_HOST));
    bool picks = insn->id >= AMOMIN_W && (insn->id <= AMOMAXU_W || insn->id >= AMOMIN_D);
    if (row->plain && !picks)
        get(t, temp(t, TEMP_B));
    get(t, temp(t, TEMP_A));
    if (picks) {
        // select(rs2, old, rs2 < old) takes the smaller of the two; and so on.
        get(t, temp(t, TEMP_B));
        get(t, temp(t, TEMP_A));
        get(t, temp(t, TEMP_B));
        op(t, row->plain);
        op(t, W_SELECT);
    } else if (row->plain) {
        op(t, row->plain);
    }
    mem(t, size == 4 ? W_I64_STORE32 : W_I64_STORE, 0, 0);
    get(t, temp(t, TEMP_B));
    set_x(t, insn->rd);
}

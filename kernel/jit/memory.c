// Loads, stores and atomics: guest addresses through the TLB, checked once for neighbours.
//
// Accesses of one block whose addresses differ by constants form a group. The first of them checks that all
// lie in one page, aligned, with the right that all need, and keeps the host address; if that fails, each
// checks for itself, which is what a lone access does: one compare covers page, right and alignment, and
// a mismatch leaves the region.
#include "codegen.h"

enum { NO_GROUP = 0xff, GROUP_SPAN = 512 };

// ---- Groups ------------------------------------------------------------------------------------
static u32 size_of(u32 id) {
    switch (id) {
    case LB: case LBU: case SB: return 1;
    case LH: case LHU: case SH: return 2;
    case LW: case LWU: case SW: case FLW: case FSW: return 4;
    default: return 8;
    }
}

// May an access of this size at this offset be aligned if those of the group are?
static bool residues_agree(const struct group *group, i32 off, u32 log) {
    for (u32 i = 0; i < 4; i++) {
        u32 both = (1u << min(i, log)) - 1;
        if (group->residue[i] >= 0 && (((u32)group->residue[i] ^ (u32)off) & both))
            return false;
    }
    return true;
}

static u8 group_join(struct translation *t, u32 root, i32 off, u32 size, bool write) {
    u32 log = (u32)__builtin_ctz(size);
    for (u32 i = 0; i < t->group_count; i++) {
        struct group *group = &t->groups[i];
        i32 low = min(group->low, off), high = max(group->high, off + (i32)size);
        if (group->root != root || high - low > GROUP_SPAN || !residues_agree(group, off, log))
            continue;
        group->low = low;
        group->high = high;
        group->residue[log] = (i8)((u32)off & (size - 1));
        group->write |= write;
        group->count++;
        return (u8)i;
    }
    if (t->group_count == GROUPS)
        return NO_GROUP;
    struct group *group = &t->groups[t->group_count];
    *group = (struct group){.root = root, .low = off, .high = off + (i32)size, .residue = {-1, -1, -1, -1}};
    group->residue[log] = (i8)((u32)off & (size - 1));
    group->write = write;
    group->count = 1;
    return (u8)t->group_count++;
}

void memory_begin(struct translation *t, const struct block *block) {
    struct {
        u32 root;
        i32 off;
    } value[REG_F];
    u32 roots = REG_F;
    for (u32 i = 0; i < REG_F; i++) {
        value[i].root = i;
        value[i].off = 0;
    }
    t->group_count = 0;
    for (u32 k = 0; k < block->count; k++) {
        const struct insn *insn = &t->row[block->first + k].insn;
        t->group[k] = NO_GROUP;
        if (insn->flags & (LOAD | STORE) && insn->rs1) {
            i32 off = value[insn->rs1].off + insn->imm;
            t->group_off[k] = (i16)off;
            if (off == (i16)off)
                t->group[k] = group_join(t, value[insn->rs1].root, off, size_of(insn->id), insn->flags & STORE);
        }
        u64 reads, writes;
        insn_registers(insn, &reads, &writes);
        u32 rd = (u32)__builtin_ctzll(writes | 1ull << 63);
        if (!rd || rd >= REG_F)
            continue;
        i32 off = insn->id == ADDI ? value[insn->rs1].off + insn->imm : 0;
        if (insn->id == ADDI && insn->rs1 && off == (i16)off) {
            value[rd].root = value[insn->rs1].root;
            value[rd].off = off;
        } else {
            value[rd].root = roots++;
            value[rd].off = 0;
        }
    }
}

// ---- Translation -------------------------------------------------------------------------------
// On the stack: does the TLB's half hold the page of TEMP_A, aligned? TEMP_ENTRY is the entry.
static void probe(struct translation *t, u32 size, bool write, u32 compare) {
    get(t, temp(t, TEMP_A));
    op(t, W_I32_WRAP_I64);
    const32(t, 8); // page number times the size of an entry
    op(t, W_I32_SHR_U);
    const32(t, (TLB_ENTRIES - 1) * sizeof(struct tlb_entry));
    op(t, W_I32_AND);
    get(t, temp32(t, TEMP_TLB));
    op(t, W_I32_ADD);
    tee(t, temp32(t, TEMP_ENTRY));
    u32 half = write ? offsetof(struct tlb, w) : offsetof(struct tlb, r);
    mem(t, W_I64_LOAD, 3, half + offsetof(struct tlb_entry, tag));
    get(t, temp(t, TEMP_A));
    const64(t, (i64)~(PAGE_MASK & ~(size - 1ull)));
    op(t, W_I64_AND);
    op(t, compare);
}

static void host_address(struct translation *t, bool write) {
    u32 half = write ? offsetof(struct tlb, w) : offsetof(struct tlb, r);
    get(t, temp(t, TEMP_A));
    op(t, W_I32_WRAP_I64);
    get(t, temp32(t, TEMP_ENTRY));
    mem(t, W_I32_LOAD, 2, half + offsetof(struct tlb_entry, delta));
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
    where(t, block, k);
    address(t, t->row[block->first + k].insn.rs1, imm);
    probe(t, size, write, W_I64_NE);
    leave_if(t);
    host_address(t, write);
}

u32 translate(struct translation *t, const struct block *block, u32 k, const struct insn *insn, u32 size,
              bool write) {
    u32 number = t->group[k];
    struct group *group = number == NO_GROUP ? NULL : &t->groups[number];
    if (!group || group->count < 2) {
        translate_alone(t, block, k, insn->imm, size, write);
        return 0;
    }
    u32 align = group->residue[3] >= 0 ? 8 : group->residue[2] >= 0 ? 4 : group->residue[1] >= 0 ? 2 : 1;
    u32 residue = (u32)group->residue[__builtin_ctz(align)];
    i32 low = group->low - (i32)(((u32)group->low - residue) & (align - 1));
    u32 offset = (u32)(t->group_off[k] - low);
    bool first = !group->begun;
    group->begun = true;
    if (!first) {
        get(t, temp32(t, TEMP_GROUP + number));
        hint(t, true);
        nest(t, W_IF, T_I32);
        get(t, temp32(t, TEMP_GROUP + number));
    } else {
        address(t, insn->rs1, (i64)insn->imm - offset);
        probe(t, align, group->write, W_I64_EQ);
        get(t, temp(t, TEMP_A));
        op(t, W_I32_WRAP_I64);
        const32(t, PAGE_MASK);
        op(t, W_I32_AND);
        const32(t, (i32)PAGE_SIZE - (group->high - low));
        op(t, W_I32_LE_U);
        op(t, W_I32_AND);
        hint(t, true);
        nest(t, W_IF, T_I32);
        host_address(t, group->write);
        tee(t, temp32(t, TEMP_GROUP + number));
    }
    op(t, W_ELSE);
    if (first) {
        const32(t, 0);
        set(t, temp32(t, TEMP_GROUP + number));
    }
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

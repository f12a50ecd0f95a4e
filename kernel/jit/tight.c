// What a round of a tight loop need not do. Such a loop has only two ways out, behind its last instruction, and its
// accesses have been checked. So stores of neighbouring parts of one register become one store, and what nothing in the
// loop reads is computed on the way out.
#include "codegen.h"

enum { STORES = 64 };

// A store of the part of `reg`, which has been written `times` times so far, that begins at bit `shift`.
struct part {
    u8 reg, shift;
    u16 times;
};
struct part_store {
    u8 k, size;
    u16 group;
    i16 off;
    struct part part;
};

static u32 store_size(const struct insn *insn) {
    return insn->id == SB ? 1 : insn->id == SH ? 2 : insn->id == SW ? 4 : 0;
}

// Stores of parts, in order.
static u32 find_stores(const struct translation *t, const struct block *block, struct part_store *stores) {
    struct part part[REG_F] = {0}; // what a register is; reg 0: not a part of another
    u16 times[REG_F] = {0};
    u32 count = 0;
    for (u32 k = 0; k < block->count; k++) {
        const struct insn *insn = &t->row[block->first + k].insn;
        u32 size = store_size(insn), group = t->group[block->first + k];
        if (size && count < STORES && insn->rs2 && memory_strides_at(t, block, k)) {
            struct part of = part[insn->rs2];
            bool stands = of.reg && of.times == times[of.reg];
            if (!stands)
                of = (struct part){insn->rs2, 0, times[insn->rs2]};
            stores[count++] = (struct part_store){(u8)k, (u8)size, (u16)group, t->group_off[block->first + k], of};
        }
        u64 reads, writes;
        insn_registers(insn, &reads, &writes);
        u32 rd = (u32)__builtin_ctzll(writes | 1ull << 63);
        if (rd >= REG_F)
            continue;
        times[rd]++;
        bool shifts = insn->id == SRLI && insn->rs1 && insn->rs1 != rd;
        part[rd] = shifts ? (struct part){insn->rs1, (u8)insn->imm, times[insn->rs1]} : (struct part){0};
    }
    return count;
}

// The store among them of this part of what `first` stores, or NULL.
static const struct part_store *find_part(const struct part_store *stores, u32 count, const struct part_store *first,
                                          u32 byte) {
    for (u32 i = 0; i < count; i++) {
        const struct part_store *s = &stores[i];
        if (s->group == first->group && s->size == first->size && s->off == first->off + (i32)byte &&
            s->part.reg == first->part.reg && s->part.times == first->part.times &&
            s->part.shift == first->part.shift + 8 * byte)
            return s;
    }
    return NULL;
}

// Make the stores of `bytes` bytes from `first` on one, at the last of them, if they all are there and nothing else
// accesses memory between them.
static bool unite(struct translation *t, const struct block *block, const struct part_store *stores, u32 count,
                  const struct part_store *first, u32 bytes) {
    bool member[BLOCK_INSNS] = {false};
    u32 from = first->k, to = first->k;
    for (u32 byte = 0; byte < bytes; byte += first->size) {
        const struct part_store *s = find_part(stores, count, first, byte);
        if (!s || t->role[s->k] != ROLE_PLAIN)
            return false;
        member[s->k] = true;
        from = min(from, (u32)s->k);
        to = max(to, (u32)s->k);
    }
    for (u32 k = from; k <= to; k++)
        if (!member[k] && t->row[block->first + k].insn.flags & (LOAD | STORE | AMO))
            return false;
    if (!memory_reaches(t, block, to, first->off))
        return false;
    for (u32 k = from; k < to; k++)
        if (member[k])
            t->role[k] = ROLE_NOTHING;
    t->role[to] = ROLE_WIDE;
    t->wide[to] = (struct wide){first->part.reg, (u8)bytes, first->off};
    return true;
}

// What is only read by what is not done in each round, and depends on nothing that changes behind it.
static void defer(struct translation *t, const struct block *block) {
    u64 wanted = 0, written = 0; // behind the instruction, by what is done in each round; by all
    for (u32 k = block->count; k-- > 0;) {
        const struct insn *insn = &t->row[block->first + k].insn;
        u64 reads, writes;
        insn_registers(insn, &reads, &writes);
        if (t->role[k] == ROLE_WIDE)
            reads = 1ull << insn->rs1 | 1ull << t->wide[k].reg;
        if (t->role[k] == ROLE_NOTHING)
            continue;
        bool pure = !(insn->flags & (LOAD | STORE | AMO | BRANCH | FP | CSR)) && integer_knows(insn);
        if (pure && writes && !(writes & (wanted | written | block->use | reads)) && !(reads & written))
            t->role[k] = ROLE_LATER;
        else
            wanted = (wanted & ~writes) | reads;
        written |= writes;
    }
}

void tight_plan(struct translation *t, const struct block *block) {
    struct part_store stores[STORES];
    u32 count = find_stores(t, block, stores);
    for (u32 k = 0; k < block->count; k++)
        t->role[k] = ROLE_PLAIN;
    for (u32 bytes = 8; bytes > 1; bytes /= 2)
        for (u32 i = 0; i < count; i++)
            if (stores[i].size < bytes && !stores[i].part.shift && t->role[stores[i].k] == ROLE_PLAIN)
                unite(t, block, stores, count, &stores[i], bytes);
    defer(t, block);
}

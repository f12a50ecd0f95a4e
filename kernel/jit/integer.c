// Integer arithmetic. Words, the results of instructions whose names end in w and what else is known to be a
// sign-extended 32-bit value, are computed as i32: of a chain of them engines then drop all extensions but the last.
#include "codegen.h"

// ---- Words -------------------------------------------------------------------------------------
static bool is_word(u32 word, u32 reg) { return !reg || word >> reg & 1; }

// Is the instruction's result a word, if the registers in `word` hold words?
static bool makes_word(const struct insn *insn, u32 word) {
    switch (insn->id) {
    case ADDW: case SUBW: case MULW: case ADDIW: case SLLIW: case SRLIW: case SRAIW: case SLLW: case SRLW: case SRAW:
    case DIVW: case DIVUW: case REMW: case REMUW: case SLT: case SLTU: case SLTI: case SLTIU:
    case LUI: case LB: case LH: case LW: case LBU: case LHU:
        return true;
    case ADDI: return !insn->rs1 || (!insn->imm && is_word(word, insn->rs1));
    case ANDI: return insn->imm >= 0 || is_word(word, insn->rs1);
    case ORI: case XORI: return is_word(word, insn->rs1);
    case SRAI: return insn->imm >= 32 || is_word(word, insn->rs1);
    case SRLI: return insn->imm > 32;
    case AND: case OR: case XOR: return is_word(word, insn->rs1) && is_word(word, insn->rs2);
    default: return false;
    }
}

// The registers that hold words behind the instruction.
u32 words_after(const struct insn *insn, u32 word) {
    u64 reads, writes;
    insn_registers(insn, &reads, &writes);
    u32 written = (u32)writes; // f registers stand above
    return makes_word(insn, word) ? word | written : word & ~written;
}

// At each block's start, whichever way led there: forwards, beginning with the best that could be.
void words_find(struct translation *t) {
    for (u32 i = 0; i < t->order_count; i++)
        t->block[t->order[i]].word = i && !t->block[t->order[i]].target ? ~0u : 0;
    for (bool changed = true; changed;) {
        changed = false;
        for (u32 i = 0; i < t->order_count; i++) {
            const struct block *block = &t->block[t->order[i]];
            u32 word = block->word;
            for (u32 k = 0; k < block->count; k++)
                word = words_after(&t->row[block->first + k].insn, word);
            if (block->term == TERM_CALL)
                word = 0;
            for (u32 k = 0; k < 2; k++) {
                if (block->succ[k] == NO_BLOCK)
                    continue;
                struct block *to = &t->block[block->succ[k]];
                changed |= (to->word & word) != to->word;
                to->word &= word;
            }
        }
    }
}

static void get_word(struct translation *t, u32 reg) {
    if (reg) {
        get(t, t->local[reg]);
        op(t, W_I32_WRAP_I64);
    } else {
        const32(t, 0);
    }
}

static void set_word(struct translation *t, u32 reg) {
    op(t, W_I64_EXTEND_I32_S);
    set_x(t, reg);
}

// ---- Products and quotients --------------------------------------------------------------------
static void low_half(struct translation *t, u32 reg) {
    get_x(t, reg);
    const64(t, 0xffffffff);
    op(t, W_I64_AND);
}
static void high_half(struct translation *t, u32 reg) {
    get_x(t, reg);
    const64(t, 32);
    op(t, W_I64_SHR_U);
}
static void shift_down(struct translation *t) {
    const64(t, 32);
    op(t, W_I64_SHR_U);
}

// The high half of the unsigned product, by four products of halves.
static void multiply_high(struct translation *t, u32 a, u32 b) {
    high_half(t, a);
    low_half(t, b);
    op(t, W_I64_MUL);
    low_half(t, a);
    low_half(t, b);
    op(t, W_I64_MUL);
    shift_down(t);
    op(t, W_I64_ADD);
    set(t, temp(t, TEMP_A));
    low_half(t, a);
    high_half(t, b);
    op(t, W_I64_MUL);
    get(t, temp(t, TEMP_A));
    const64(t, 0xffffffff);
    op(t, W_I64_AND);
    op(t, W_I64_ADD);
    shift_down(t);
    high_half(t, a);
    high_half(t, b);
    op(t, W_I64_MUL);
    op(t, W_I64_ADD);
    get(t, temp(t, TEMP_A));
    shift_down(t);
    op(t, W_I64_ADD);
}

// Minus `b` if `a` is negative.
static void less_if_negative(struct translation *t, u32 a, u32 b) {
    get_x(t, a);
    const64(t, 63);
    op(t, W_I64_SHR_S);
    get_x(t, b);
    op(t, W_I64_AND);
    op(t, W_I64_SUB);
}

// Division never traps: by zero it gives ~0 (the remainder: the dividend); the one overflow, of a signed quotient,
// wraps.
static void divide(struct translation *t, const struct insn *insn, bool word) {
    static const u8 whole_bytes[] = {W_I64_DIV_S, W_I64_DIV_U, W_I64_REM_S, W_I64_REM_U};
    static const u8 word_bytes[] = {W_I32_DIV_S, W_I32_DIV_U, W_I32_REM_S, W_I32_REM_U};
    u32 which = insn->id == DIV || insn->id == DIVW     ? 0
                : insn->id == DIVU || insn->id == DIVUW ? 1
                : insn->id == REM || insn->id == REMW   ? 2
                                                        : 3;
    void (*get_operand)(struct translation *t, u32 reg) = word ? get_word : get_x;
    u32 divisor = word ? temp32(t, TEMP_ENTRY) : temp(t, TEMP_A), type = word ? T_I32 : T_I64;
    get_operand(t, insn->rs2);
    tee(t, divisor);
    op(t, word ? W_I32_EQZ : W_I64_EQZ);
    hint(t, false);
    op_u(t, W_IF, type);
    if (which >= 2)
        get_operand(t, insn->rs1);
    else if (word)
        const32(t, -1);
    else
        const64(t, -1);
    op(t, W_ELSE);
    if (!which) {
        get(t, divisor);
        if (word)
            const32(t, -1);
        else
            const64(t, -1);
        op(t, word ? W_I32_EQ : W_I64_EQ);
        hint(t, false);
        op_u(t, W_IF, type);
        if (word)
            const32(t, 0);
        else
            const64(t, 0);
        get_operand(t, insn->rs1);
        op(t, word ? W_I32_SUB : W_I64_SUB);
        op(t, W_ELSE);
    }
    get_operand(t, insn->rs1);
    get(t, divisor);
    op(t, word ? word_bytes[which] : whole_bytes[which]);
    if (!which)
        op(t, W_END);
    op(t, W_END);
    if (word)
        set_word(t, insn->rd);
    else
        set_x(t, insn->rd);
}

// ---- Simple instructions -----------------------------------------------------------------------
// One operator of rs1 and rs2 or the immediate: `whole` on i64, `word` on i32. WHOLE: i64.
// WORD: i32, taking the low halves. BITS: i32, too, if the result is a word, which it is if both operands are. BOOLEAN: a
// comparison, which is the same on words.
enum kind { WHOLE, WORD, BITS, BOOLEAN };
struct simple {
    u8 id, whole, word, kind;
    bool immediate;
};
static const struct simple simple_table[] = {
    {ADD, W_I64_ADD, 0, WHOLE, false},
    {SUB, W_I64_SUB, 0, WHOLE, false},
    {SLL, W_I64_SHL, 0, WHOLE, false},
    {SRL, W_I64_SHR_U, 0, WHOLE, false},
    {SRA, W_I64_SHR_S, 0, WHOLE, false},
    {MUL, W_I64_MUL, 0, WHOLE, false},
    {ADDI, W_I64_ADD, 0, WHOLE, true},
    {SLLI, W_I64_SHL, 0, WHOLE, true},
    {SRLI, W_I64_SHR_U, 0, WHOLE, true},
    {SRAI, W_I64_SHR_S, 0, WHOLE, true},
    {XOR, W_I64_XOR, W_I32_XOR, BITS, false},
    {OR, W_I64_OR, W_I32_OR, BITS, false},
    {AND, W_I64_AND, W_I32_AND, BITS, false},
    {XORI, W_I64_XOR, W_I32_XOR, BITS, true},
    {ORI, W_I64_OR, W_I32_OR, BITS, true},
    {ANDI, W_I64_AND, W_I32_AND, BITS, true},
    {SLT, W_I64_LT_S, W_I32_LT_S, BOOLEAN, false},
    {SLTU, W_I64_LT_U, W_I32_LT_U, BOOLEAN, false},
    {SLTI, W_I64_LT_S, W_I32_LT_S, BOOLEAN, true},
    {SLTIU, W_I64_LT_U, W_I32_LT_U, BOOLEAN, true},
    {ADDW, 0, W_I32_ADD, WORD, false},
    {SUBW, 0, W_I32_SUB, WORD, false},
    {MULW, 0, W_I32_MUL, WORD, false},
    {ADDIW, 0, W_I32_ADD, WORD, true},
    {SLLIW, 0, W_I32_SHL, WORD, true},
    {SRLIW, 0, W_I32_SHR_U, WORD, true},
    {SRAIW, 0, W_I32_SHR_S, WORD, true},
    {SLLW, 0, W_I32_SHL, WORD, false}, // wasm takes the count modulo 32, too
    {SRLW, 0, W_I32_SHR_U, WORD, false},
    {SRAW, 0, W_I32_SHR_S, WORD, false},
};

static const struct simple *simple_of(u32 id) {
    for (u32 i = 0; i < lengthof(simple_table); i++)
        if (simple_table[i].id == id)
            return &simple_table[i];
    return NULL;
}

static void move(struct translation *t, const struct insn *insn, u32 from) {
    get_x(t, from);
    set_x(t, insn->rd);
}

static void simple(struct translation *t, const struct insn *insn, const struct simple *s) {
    bool words = is_word(t->word, insn->rs1) && (s->immediate || is_word(t->word, insn->rs2));
    bool adds = insn->id == ADDI || insn->id == ADDIW;
    if (adds && !insn->rs1) {
        const64(t, insn->imm);
        set_x(t, insn->rd);
        return;
    }
    if (adds && !insn->imm && (insn->id == ADDI || words)) {
        move(t, insn, insn->rs1);
        return;
    }
    if (insn->id == ADD && (!insn->rs1 || !insn->rs2)) {
        move(t, insn, insn->rs1 | insn->rs2);
        return;
    }
    bool as_word = s->kind == WORD || (s->kind == BITS && makes_word(insn, t->word)) || (s->kind == BOOLEAN && words);
    if (as_word) {
        get_word(t, insn->rs1);
        if (!s->immediate)
            get_word(t, insn->rs2);
        else if (insn->imm || !adds)
            const32(t, insn->imm);
        if (!s->immediate || insn->imm || !adds)
            op(t, s->word);
    } else {
        get_x(t, insn->rs1);
        if (s->immediate)
            const64(t, insn->imm);
        else
            get_x(t, insn->rs2);
        op(t, s->whole);
    }
    if (s->kind == BOOLEAN)
        op(t, W_I64_EXTEND_I32_U);
    else if (as_word)
        op(t, W_I64_EXTEND_I32_S);
    set_x(t, insn->rd);
}

// Up and down again: a field of the register, which RV64GC takes two instructions for.
static bool shift_pair(struct translation *t, const struct jit_insn *at) {
    const struct insn *up = &at[0].insn, *down = &at[1].insn;
    if (up->id != SLLI || (down->id != SRLI && down->id != SRAI) || down->rs1 != up->rd || down->rd != up->rd ||
        !up->rd || down->imm > up->imm)
        return false;
    bool is_signed = down->id == SRAI;
    u32 bits = 64 - (u32)up->imm;
    if (bits > 32 || (is_signed && bits != 8 && bits != 16 && bits != 32))
        return false;
    get_x(t, up->rs1);
    if (is_signed) {
        op(t, bits == 8 ? W_I64_EXTEND8_S : bits == 16 ? W_I64_EXTEND16_S : W_I64_EXTEND32_S);
    } else if (bits == 32) {
        op(t, W_I32_WRAP_I64);
        op(t, W_I64_EXTEND_I32_U);
    } else {
        const64(t, (1ll << bits) - 1);
        op(t, W_I64_AND);
    }
    if (down->imm < up->imm) {
        const64(t, up->imm - down->imm);
        op(t, W_I64_SHL);
    }
    set_x(t, up->rd);
    return true;
}

// ---- All of them -------------------------------------------------------------------------------
bool integer_knows(const struct insn *insn) {
    switch (insn->id) {
    case LUI: case AUIPC: case MULH: case MULHU: case MULHSU:
    case DIV: case DIVU: case REM: case REMU: case DIVW: case DIVUW: case REMW: case REMUW:
        return true;
    default: return simple_of(insn->id);
    }
}

u32 integer_instruction(struct translation *t, const struct block *block, u32 k) {
    const struct jit_insn *at = &t->row[block->first + k];
    const struct insn *insn = &at->insn;
    if (k + 1 < block->count && shift_pair(t, at))
        return 2;
    switch (insn->id) {
    case LUI:
        const64(t, insn->imm);
        set_x(t, insn->rd);
        break;
    case AUIPC:
        get_pc(t, (i64)at->off + insn->imm); // at the ends of auipc's range the sum needs 33 bits
        set_x(t, insn->rd);
        break;
    case MULHU:
        multiply_high(t, insn->rs1, insn->rs2);
        set_x(t, insn->rd);
        break;
    case MULHSU:
    case MULH:
        multiply_high(t, insn->rs1, insn->rs2);
        less_if_negative(t, insn->rs1, insn->rs2);
        if (insn->id == MULH)
            less_if_negative(t, insn->rs2, insn->rs1);
        set_x(t, insn->rd);
        break;
    case DIV: case DIVU: case REM: case REMU: divide(t, insn, false); break;
    case DIVW: case DIVUW: case REMW: case REMUW: divide(t, insn, true); break;
    default: simple(t, insn, simple_of(insn->id)); break;
    }
    return 1;
}

// On the stack: is the branch taken?
void integer_condition(struct translation *t, const struct insn *insn) {
    static const u8 whole[] = {W_I64_EQ, W_I64_NE, W_I64_LT_S, W_I64_GE_S, W_I64_LT_U, W_I64_GE_U};
    static const u8 word[] = {W_I32_EQ, W_I32_NE, W_I32_LT_S, W_I32_GE_S, W_I32_LT_U, W_I32_GE_U};
    bool words = is_word(t->word, insn->rs1) && is_word(t->word, insn->rs2);
    void (*get_operand)(struct translation *t, u32 reg) = words ? get_word : get_x;
    get_operand(t, insn->rs1);
    get_operand(t, insn->rs2);
    op(t, (words ? word : whole)[insn->id - BEQ]);
}

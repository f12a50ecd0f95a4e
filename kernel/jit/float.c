// Floating point in a region: wasm's operators, each followed by tests that its result is the guest's and
// that no flag is missing in fcsr; whatever fails them is the interpreter's.
//
// A region with floating point runs while the rounding mode is to nearest. It may assume besides that
// fcsr.NX is set; a `careful` one looks, and while NX is clear leaves what is not exact. These two change in the interpreter
// only, which runs before a region is entered and in calls that it makes: it tests then. Singles stand in f64 locals as in registers, NaN-boxed.
#include "floats.h"

// ---- What is known -----------------------------------------------------------------------------
// Reading fcsr or a part of it; and writing, which is done here if it changes neither the mode nor NX: a comparison or conversion that
// must not raise anything stands between the two.
static bool csr_reads(const struct insn *insn) {
    return insn->id != CSRRW && insn->id != CSRRWI && !insn->rs1;
}
static bool csr_knows(const struct insn *insn) {
    return insn->imm >= CSR_FFLAGS && insn->imm <= CSR_FCSR;
}

bool float_knows(const struct insn *insn) {
    if (insn->flags & CSR)
        return csr_knows(insn);
    if (insn->flags & RM && insn->rm != 7 && insn->rm != 0 &&
        !(insn->rm == 1 && insn_row[insn->id].format == FORMAT_XF))
        return false;
    return insn->id != FCLASS_S && insn->id != FCLASS_D;
}

bool float_assumes(const struct insn *insn) {
    return insn->flags & FP && insn->flags & RM && insn->id != FCVT_D_W && insn->id != FCVT_D_WU &&
           insn->id != FCVT_D_S;
}

bool float_leaves(const struct insn *insn) {
    if (insn->flags & CSR)
        return !csr_reads(insn);
    switch (insn->id) {
    case FSGNJ_D: case FSGNJN_D: case FSGNJX_D:
    case FMV_X_D: case FMV_D_X: case FMV_X_W: case FMV_W_X:
    case FCVT_D_W: case FCVT_D_WU:
        return false;
    default:
        return true;
    }
}

void float_begin(struct translation *t, bool returned) {
    get(t, L_CONTEXT);
    mem(t, W_I32_LOAD, 2, careful(t) ? CONTEXT(nearest) : CONTEXT(nx_near));
    op(t, W_I32_EQZ);
    op_u(t, W_IF, T_NONE);
    if (!returned) {
        get(t, L_CONTEXT);
        get(t, dispatches(t) ? temp(t, TEMP_A) : L_PC);
        mem(t, W_I64_STORE, 3, CONTEXT(pc));
    }
    get(t, L_CONTEXT);
    const32(t, 1);
    mem(t, W_I32_STORE, 2, CONTEXT(reason));
    get(t, L_FUEL);
    op(t, W_RETURN);
    op(t, W_END);
}

// What follows, up to if_end, is done while NX is clear.
void if_clear_begin(struct translation *t) {
    get(t, temp32(t, TEMP_NX));
    op(t, W_I32_EQZ);
    if_begin(t);
}

// ---- Doubles -----------------------------------------------------------------------------------

// The f64 on the stack is the register's; what was known of that is known no more.
void set_f(struct translation *t, u32 reg, enum fact fact) {
    set(t, local_of(t, reg));
    t->not_nan = (t->not_nan & ~known(reg)) | (fact == NUMBER ? known(reg) : 0);
    t->boxed = (t->boxed & ~known(reg)) | (fact == BOXED ? known(reg) : 0);
}

// F_R is the result.
static void finish(struct translation *t, const struct insn *insn) {
    get(t, double_temp(t, F_R));
    set_f(t, insn->rd, NUMBER);
}

static void add(struct translation *t, const struct insn *insn, bool minus) {
    u32 a = local_of(t, insn->rs1), b = local_of(t, insn->rs2), r = double_temp(t, F_R);
    binary(t, a, b, minus ? W_F64_SUB : W_F64_ADD);
    set(t, r);
    not_finite(t, r);
    leave_if(t);
    if (careful(t)) {
        if_clear_begin(t);
        u32 other = double_temp(t, F_C);
        get(t, b);
        if (minus)
            op(t, W_F64_NEG);
        set(t, other);
        sum_error(t, a, other, r, double_temp(t, F_REST));
        leave_if_not_zero(t, double_temp(t, F_REST));
        if_end(t);
    }
    finish(t, insn);
}

// A zero product is exact if a factor is zero; the factors scaled up multiply to zero only then. (Those that overflow
// leave, too.)
static void leave_unless_zero_factor(struct translation *t, u32 a, u32 b) {
    for (u32 i = 0; i < 2; i++) {
        get(t, i ? b : a);
        put_double(t, 0x1p600);
        op(t, W_F64_MUL);
    }
    op(t, W_F64_MUL);
    put_double(t, 0);
    op(t, W_F64_NE);
    leave_if(t);
}

static void multiply(struct translation *t, const struct insn *insn) {
    u32 a = local_of(t, insn->rs1), b = local_of(t, insn->rs2), r = double_temp(t, F_R);
    binary(t, a, b, W_F64_MUL);
    set(t, r);
    not_plain(t, r);
    if_begin(t);
    leave_unless_zero_factor(t, a, b);
    if_end(t);
    if (careful(t)) {
        if_clear_begin(t);
        not_zero(t, r);
        if_begin(t);
        if (has_madd(t)) {
            leave_if_tiny(t, r);
            madd(t, a, false, b, r, true);
            set(t, double_temp(t, F_LOW));
        } else {
            not_near(t, a, 300);
            not_near(t, b, 300);
            op(t, W_I32_OR);
            leave_if(t);
            two_product(t, a, b);
        }
        leave_if_not_zero(t, double_temp(t, F_LOW));
        if_end(t);
        if_end(t);
    }
    finish(t, insn);
}

// Of a quotient or a root: other * r is `a` exactly.
static void leave_if_rest(struct translation *t, u32 a, u32 other) {
    u32 r = double_temp(t, F_R);
    if_clear_begin(t);
    not_zero(t, r);
    if_begin(t);
    if (has_madd(t)) {
        leave_if_tiny(t, a);
        madd(t, r, true, other, a, false);
        put_double(t, 0);
        op(t, W_F64_NE);
    } else {
        const32(t, 1);
    }
    leave_if(t);
    if_end(t);
    if_end(t);
}

static void divide(struct translation *t, const struct insn *insn) {
    u32 a = local_of(t, insn->rs1), b = local_of(t, insn->rs2), r = double_temp(t, F_R);
    binary(t, a, b, W_F64_DIV);
    set(t, r);
    not_plain(t, r);
    if_begin(t);
    leave_if_not_zero(t, r);
    leave_if_not_zero(t, a);
    if_end(t);
    if (careful(t))
        leave_if_rest(t, a, b);
    finish(t, insn);
}

static void square_root(struct translation *t, const struct insn *insn) {
    u32 a = local_of(t, insn->rs1), r = double_temp(t, F_R);
    get(t, a);
    op(t, W_F64_SQRT);
    set(t, r);
    not_finite(t, r);
    leave_if(t);
    if (careful(t))
        leave_if_rest(t, a, r);
    finish(t, insn);
}

u32 fused_signs(u32 id) {
    switch (id) {
    case FMSUB_S: case FMSUB_D: return MINUS_ADDEND;
    case FNMSUB_S: case FNMSUB_D: return MINUS_PRODUCT;
    case FNMADD_S: case FNMADD_D: return MINUS_PRODUCT | MINUS_ADDEND;
    default: return 0;
    }
}

static void copy(struct translation *t, u32 from, bool minus, u32 to) {
    get(t, from);
    if (minus)
        op(t, W_F64_NEG);
    set(t, to);
}

// F_A * b + F_C without the engine's help. Not exact: F_LOW or F_REST is not zero.
static void fused_by_parts(struct translation *t, u32 b) {
    u32 a = double_temp(t, F_A), c = double_temp(t, F_C);
    u32 low = double_temp(t, F_LOW), rest = double_temp(t, F_REST), high = double_temp(t, F_HIGH);
    u32 sum = double_temp(t, F_SUM), sum_low = double_temp(t, F_SUM_LOW);
    not_near(t, a, 300);
    not_near(t, b, 300);
    op(t, W_I32_OR);
    not_near(t, c, 900);
    not_zero(t, c);
    op(t, W_I32_AND);
    op(t, W_I32_OR);
    if_begin(t);
    {
        leave_unless_zero_factor(t, a, b);
        binary(t, a, b, W_F64_MUL);
        get(t, c);
        op(t, W_F64_ADD);
        set(t, double_temp(t, F_R));
        put_double(t, 0);
        tee(t, low);
        set(t, rest);
    }
    op(t, W_ELSE);
    {
        two_product(t, a, b);
        two_sum(t, c, low, sum, sum_low);
        two_sum(t, double_temp(t, F_PRODUCT), sum, high, rest);
        // The halves of the factors are not needed any more.
        u32 odd = double_temp(t, F_A_HIGH);
        sum_to_odd(t, sum_low, rest, odd, double_temp(t, F_B_HIGH));
        binary(t, high, odd, W_F64_ADD);
        set(t, double_temp(t, F_R));
    }
    if_end(t);
}

static void fused(struct translation *t, const struct insn *insn) {
    u32 signs = fused_signs(insn->id);
    u32 b = local_of(t, insn->rs2), a = double_temp(t, F_A), c = double_temp(t, F_C);
    u32 r = double_temp(t, F_R), product = double_temp(t, F_PRODUCT), rest = double_temp(t, F_REST);
    copy(t, local_of(t, insn->rs1), signs & MINUS_PRODUCT, a);
    copy(t, local_of(t, insn->rs3), signs & MINUS_ADDEND, c);
    if (has_madd(t)) {
        madd(t, a, false, b, c, false);
        set(t, r);
    } else {
        fused_by_parts(t, b);
    }
    not_plain(t, r);
    if_begin(t);
    leave_if_not_zero(t, r);
    leave_unless_zero_factor(t, a, b);
    if_end(t);
    if (careful(t)) {
        if_clear_begin(t);
        if (has_madd(t)) {
            binary(t, a, b, W_F64_MUL);
            set(t, product);
            magnitude(t, product);
            const32(t, (1023 - 900) << 21);
            op(t, W_I32_LT_U);
            if_begin(t);
            leave_unless_zero_factor(t, a, b);
            if_end(t);
            // Exact if what the addend lacks to the result is the product, and the other way round: the difference
            // from the larger of the two is exact.
            binary(t, r, product, W_F64_SUB);
            get(t, c);
            op(t, W_F64_NE);
            leave_if(t);
            binary(t, c, r, W_F64_SUB);
            set(t, rest);
            madd(t, a, false, b, rest, false);
            put_double(t, 0);
            op(t, W_F64_NE);
            leave_if(t);
        } else {
            leave_if_not_zero(t, double_temp(t, F_LOW));
            leave_if_not_zero(t, rest);
        }
        if_end(t);
    }
    finish(t, insn);
}

void compare_bytes(u32 id, u32 *single, u32 *whole) {
    bool equal = id == FEQ_S || id == FEQ_D, less = id == FLT_S || id == FLT_D;
    *single = equal ? W_F32_EQ : less ? W_F32_LT : W_F32_LE;
    *whole = equal ? W_F64_EQ : less ? W_F64_LT : W_F64_LE;
}

static void leave_if_nan(struct translation *t, u32 reg) {
    if (t->not_nan & known(reg))
        return;
    leave_if_different(t, local_of(t, reg), local_of(t, reg));
    t->not_nan |= known(reg);
}

static void compare(struct translation *t, const struct insn *insn) {
    u32 single, whole;
    compare_bytes(insn->id, &single, &whole);
    leave_if_nan(t, insn->rs1);
    leave_if_nan(t, insn->rs2);
    binary(t, local_of(t, insn->rs1), local_of(t, insn->rs2), whole);
    op(t, W_I64_EXTEND_I32_U);
    set_x(t, insn->rd);
}

static void pick(struct translation *t, const struct insn *insn) {
    leave_if_nan(t, insn->rs1);
    leave_if_nan(t, insn->rs2);
    binary(t, local_of(t, insn->rs1), local_of(t, insn->rs2), insn->id == FMIN_D ? W_F64_MIN : W_F64_MAX);
    set_f(t, insn->rd, NUMBER);
}

static void sign(struct translation *t, const struct insn *insn) {
    u32 a = local_of(t, insn->rs1), b = local_of(t, insn->rs2);
    get(t, a);
    if (insn->id == FSGNJX_D && a == b) {
        op(t, W_F64_ABS);
    } else if (insn->id == FSGNJX_D) {
        op(t, W_I64_REINTERPRET_F64);
        get(t, b);
        op(t, W_I64_REINTERPRET_F64);
        const64(t, INT64_MIN);
        op(t, W_I64_AND);
        op(t, W_I64_XOR);
        op(t, W_F64_REINTERPRET_I64);
    } else if (a == b) {
        if (insn->id == FSGNJN_D)
            op(t, W_F64_NEG);
    } else {
        get(t, b);
        if (insn->id == FSGNJN_D)
            op(t, W_F64_NEG);
        op(t, W_F64_COPYSIGN);
    }
    set_f(t, insn->rd, t->not_nan & known(insn->rs1) ? NUMBER : ANYTHING);
}

// ---- Conversions -------------------------------------------------------------------------------
// To nearest or towards zero: numbers strictly between these have a result, others below the least, and what is no number the most.
static const struct bounds {
    double low, high;
    i64 least, most;
} bounds_table[] = {
    {-0x1p31 - 1, 0x1p31, INT32_MIN, INT32_MAX}, {-1, 0x1p32, 0, -1},
    {-0x1.0000000000001p63, 0x1p63, INT64_MIN, INT64_MAX}, {-1, 0x1p64, 0, -1},
};

static void to_integer(struct translation *t, const struct insn *insn, bool single, u32 kind) {
    u32 a = double_temp(t, F_A), r = double_temp(t, F_R);
    if (single) {
        unbox(t, insn->rs1, S_A);
        promoted(t, S_A);
    } else {
        get(t, local_of(t, insn->rs1));
    }
    tee(t, a);
    if (insn->rm != 1)
        op(t, W_F64_NEAREST);
    set(t, r);
    get(t, r);
    put_double(t, bounds_table[kind].low);
    op(t, W_F64_GT);
    get(t, r);
    put_double(t, bounds_table[kind].high);
    op(t, W_F64_LT);
    op(t, W_I32_AND);
    hint(t, true);
    if_begin(t);
    if (careful(t)) {
        if_clear_begin(t);
        get(t, r);
        op(t, W_F64_TRUNC);
        get(t, a);
        op(t, W_F64_NE);
        leave_if(t);
        if_end(t);
    }
    static const u8 wasm[] = {W_I32_TRUNC_F64_S, W_I32_TRUNC_F64_U, W_I64_TRUNC_F64_S, W_I64_TRUNC_F64_U};
    get(t, r);
    op(t, wasm[kind]);
    if (kind < 2)
        op(t, W_I64_EXTEND_I32_S);
    set(t, temp(t, TEMP_A));
    op(t, W_ELSE);
    const64(t, bounds_table[kind].least);
    const64(t, bounds_table[kind].most);
    get(t, r);
    put_double(t, bounds_table[kind].low);
    op(t, W_F64_LE);
    op(t, W_SELECT);
    set(t, temp(t, TEMP_A));
    get(t, L_CONTEXT);
    get(t, L_CONTEXT);
    mem(t, W_I64_LOAD32_U, 2, CONTEXT(fcsr));
    const64(t, FLAG_NV);
    op(t, W_I64_OR);
    mem(t, W_I64_STORE32, 2, CONTEXT(fcsr));
    if_end(t);
    get(t, temp(t, TEMP_A));
    set_x(t, insn->rd);
}

static void from_integer(struct translation *t, const struct insn *insn, bool single, u32 kind) {
    if (careful(t) && (single || kind > 1)) {
        i64 exact = single ? 1ll << 24 : 1ll << 53; // all integers up to this are
        if_clear_begin(t);
        get_x(t, insn->rs1);
        if (kind == 0)
            op(t, W_I64_EXTEND32_S);
        if (kind == 1) {
            op(t, W_I32_WRAP_I64);
            op(t, W_I64_EXTEND_I32_U);
        }
        if (kind == 0 || kind == 2) {
            const64(t, exact);
            op(t, W_I64_ADD);
            exact *= 2;
        }
        const64(t, exact);
        op(t, W_I64_GT_U);
        leave_if(t);
        if_end(t);
    }
    static const u8 singles[] = {W_F32_CONVERT_I32_S, W_F32_CONVERT_I32_U, W_F32_CONVERT_I64_S, W_F32_CONVERT_I64_U};
    static const u8 doubles[] = {W_F64_CONVERT_I32_S, W_F64_CONVERT_I32_U, W_F64_CONVERT_I64_S, W_F64_CONVERT_I64_U};
    get_x(t, insn->rs1);
    if (kind < 2)
        op(t, W_I32_WRAP_I64);
    op(t, single ? singles[kind] : doubles[kind]);
    if (single) {
        set(t, single_temp(t, S_R));
        finish_single(t, insn);
    } else {
        set(t, double_temp(t, F_R));
        finish(t, insn);
    }
}

static void narrow(struct translation *t, const struct insn *insn) {
    u32 a = local_of(t, insn->rs1), r = single_temp(t, S_R);
    get(t, a);
    op(t, W_F32_DEMOTE_F64);
    set(t, r);
    not_plain_single(t, r);
    if_begin(t);
    leave_if_not_zero(t, a);
    if_end(t);
    if (careful(t)) {
        if_clear_begin(t);
        promoted(t, S_R);
        get(t, a);
        op(t, W_F64_NE);
        leave_if(t);
        if_end(t);
    }
    finish_single(t, insn);
}

static void widen(struct translation *t, const struct insn *insn) {
    unbox(t, insn->rs1, S_A);
    leave_if_nan_single(t, S_A);
    promoted(t, S_A);
    set(t, double_temp(t, F_R));
    finish(t, insn);
}

static void csr(struct translation *t, const struct insn *insn) {
    u32 shift = insn->imm == CSR_FRM ? 5 : 0, was = temp(t, TEMP_A), will = temp(t, TEMP_B);
    i64 mask = insn->imm == CSR_FFLAGS ? 31 : insn->imm == CSR_FRM ? 7 << 5 : 255;
    get(t, L_CONTEXT);
    mem(t, W_I64_LOAD32_U, 2, CONTEXT(fcsr));
    set(t, was);
    if (!csr_reads(insn)) {
        bool replaces = insn->id == CSRRW || insn->id == CSRRWI;
        get(t, was);
        if (replaces) {
            const64(t, ~mask);
            op(t, W_I64_AND);
        }
        if (insn->id >= CSRRWI)
            const64(t, (i64)insn->rs1 << shift);
        else
            get_x(t, insn->rs1);
        if (shift && insn->id < CSRRWI) {
            const64(t, shift);
            op(t, W_I64_SHL);
        }
        const64(t, mask);
        op(t, W_I64_AND);
        if (insn->id == CSRRC || insn->id == CSRRCI) {
            const64(t, -1);
            op(t, W_I64_XOR);
            op(t, W_I64_AND);
        } else {
            op(t, W_I64_OR);
        }
        tee(t, will);
        get(t, was);
        op(t, W_I64_XOR);
        const64(t, FCSR_ASSUMED);
        op(t, W_I64_AND);
        const64(t, 0);
        op(t, W_I64_NE);
        leave_if(t);
        get(t, L_CONTEXT);
        get(t, will);
        mem(t, W_I64_STORE32, 2, CONTEXT(fcsr));
    }
    get(t, was);
    const64(t, mask);
    op(t, W_I64_AND);
    if (shift) {
        const64(t, shift);
        op(t, W_I64_SHR_U);
    }
    set_x(t, insn->rd);
}

// ---- All of them -------------------------------------------------------------------------------
static void move(struct translation *t, const struct block *block, u32 k, const struct insn *insn) {
    u32 offset;
    switch (insn->id) {
    case FLD:
        mem(t, W_F64_LOAD, 0, translate(t, block, k, insn, 8, false));
        set_f(t, insn->rd, ANYTHING);
        break;
    case FLW:
        mem(t, W_I64_LOAD32_U, 0, translate(t, block, k, insn, 4, false));
        box(t, insn->rd);
        break;
    case FSD:
        offset = translate(t, block, k, insn, 8, true);
        get(t, local_of(t, insn->rs2));
        mem(t, W_F64_STORE, 0, offset);
        break;
    case FSW:
        offset = translate(t, block, k, insn, 4, true);
        get(t, local_of(t, insn->rs2));
        op(t, W_I64_REINTERPRET_F64);
        mem(t, W_I64_STORE32, 0, offset);
        break;
    case FMV_X_D:
    case FMV_X_W:
        get(t, local_of(t, insn->rs1));
        op(t, W_I64_REINTERPRET_F64);
        if (insn->id == FMV_X_W)
            op(t, W_I64_EXTEND32_S);
        set_x(t, insn->rd);
        break;
    case FMV_D_X:
        get_x(t, insn->rs1);
        op(t, W_F64_REINTERPRET_I64);
        set_f(t, insn->rd, ANYTHING);
        break;
    case FMV_W_X:
        get_x(t, insn->rs1);
        box(t, insn->rd);
        break;
    default: break;
    }
}

void float_instruction(struct translation *t, const struct block *block, u32 k) {
    const struct insn *insn = &t->row[block->first + k].insn;
    if (float_leaves(insn) && !(insn->flags & (LOAD | STORE)))
        where(t, block, k);
    if (insn->flags & CSR) {
        csr(t, insn);
        return;
    }
    switch (insn->id) {
    case FADD_D: add(t, insn, false); break;
    case FSUB_D: add(t, insn, true); break;
    case FMUL_D: multiply(t, insn); break;
    case FDIV_D: divide(t, insn); break;
    case FSQRT_D: square_root(t, insn); break;
    case FMADD_D: case FMSUB_D: case FNMSUB_D: case FNMADD_D: fused(t, insn); break;
    case FEQ_D: case FLT_D: case FLE_D: compare(t, insn); break;
    case FMIN_D: case FMAX_D: pick(t, insn); break;
    case FSGNJ_D: case FSGNJN_D: case FSGNJX_D: sign(t, insn); break;
    case FADD_S: add_single(t, insn, false); break;
    case FSUB_S: add_single(t, insn, true); break;
    case FMUL_S: multiply_single(t, insn); break;
    case FDIV_S: divide_single(t, insn); break;
    case FSQRT_S: square_root_single(t, insn); break;
    case FMADD_S: case FMSUB_S: case FNMSUB_S: case FNMADD_S: fused_single(t, insn); break;
    case FEQ_S: case FLT_S: case FLE_S: compare_single(t, insn); break;
    case FMIN_S: case FMAX_S: pick_single(t, insn); break;
    case FSGNJ_S: case FSGNJN_S: case FSGNJX_S: sign_single(t, insn); break;
    case FCVT_W_D: to_integer(t, insn, false, 0); break;
    case FCVT_WU_D: to_integer(t, insn, false, 1); break;
    case FCVT_L_D: to_integer(t, insn, false, 2); break;
    case FCVT_LU_D: to_integer(t, insn, false, 3); break;
    case FCVT_W_S: to_integer(t, insn, true, 0); break;
    case FCVT_WU_S: to_integer(t, insn, true, 1); break;
    case FCVT_L_S: to_integer(t, insn, true, 2); break;
    case FCVT_LU_S: to_integer(t, insn, true, 3); break;
    case FCVT_D_W: from_integer(t, insn, false, 0); break;
    case FCVT_D_WU: from_integer(t, insn, false, 1); break;
    case FCVT_D_L: from_integer(t, insn, false, 2); break;
    case FCVT_D_LU: from_integer(t, insn, false, 3); break;
    case FCVT_S_W: from_integer(t, insn, true, 0); break;
    case FCVT_S_WU: from_integer(t, insn, true, 1); break;
    case FCVT_S_L: from_integer(t, insn, true, 2); break;
    case FCVT_S_LU: from_integer(t, insn, true, 3); break;
    case FCVT_S_D: narrow(t, insn); break;
    case FCVT_D_S: widen(t, insn); break;
    default: move(t, block, k, insn); break;
    }
}

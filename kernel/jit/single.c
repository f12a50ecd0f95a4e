// Singles: operators of f32, and tests of their results in doubles, in which sums and products of two are exact.
#include "floats.h"

static void leave_unless_boxed(struct translation *t, u32 reg) {
    if (t->boxed & known(reg))
        return;
    get(t, local_of(t, reg));
    op(t, W_I64_REINTERPRET_F64);
    const64(t, BOX_BITS);
    op(t, W_I64_LT_U);
    leave_if(t);
    t->boxed |= known(reg);
}

static void get_single(struct translation *t, u32 reg) {
    get(t, local_of(t, reg));
    op(t, W_I64_REINTERPRET_F64);
    op(t, W_I32_WRAP_I64);
    op(t, W_F32_REINTERPRET_I32);
}

void unbox(struct translation *t, u32 reg, u32 which) {
    leave_unless_boxed(t, reg);
    get_single(t, reg);
    set(t, single_temp(t, which));
}

// The i64 on the stack has the single's bits below and anything above.
void box(struct translation *t, u32 reg) {
    const64(t, BOX_BITS);
    op(t, W_I64_OR);
    op(t, W_F64_REINTERPRET_I64);
    set_f(t, reg, BOXED);
}

void finish_single(struct translation *t, const struct insn *insn) {
    get(t, single_temp(t, S_R));
    op(t, W_I32_REINTERPRET_F32);
    op(t, W_I64_EXTEND_I32_U);
    box(t, insn->rd);
}

void promoted(struct translation *t, u32 which) {
    get(t, single_temp(t, which));
    op(t, W_F64_PROMOTE_F32);
}

// While NX is clear: x * y is z, all exact as doubles.
static void leave_unless_product(struct translation *t, u32 x, u32 y, u32 z) {
    if (!careful(t))
        return;
    if_clear_begin(t);
    promoted(t, x);
    promoted(t, y);
    op(t, W_F64_MUL);
    promoted(t, z);
    op(t, W_F64_NE);
    leave_if(t);
    if_end(t);
}

void add_single(struct translation *t, const struct insn *insn, bool minus) {
    u32 a = single_temp(t, S_A), b = single_temp(t, S_B), r = single_temp(t, S_R), back = single_temp(t, S_BACK);
    unbox(t, insn->rs1, S_A);
    unbox(t, insn->rs2, S_B);
    if (minus) {
        get(t, b);
        op(t, W_F32_NEG);
        set(t, b);
    }
    binary(t, a, b, W_F32_ADD);
    set(t, r);
    not_finite_single(t, r);
    leave_if(t);
    if (careful(t)) {
        if_clear_begin(t);
        binary(t, r, a, W_F32_SUB);
        set(t, back);
        get(t, a);
        binary(t, r, back, W_F32_SUB);
        op(t, W_F32_SUB);
        binary(t, b, back, W_F32_SUB);
        op(t, W_F32_ADD);
        put_single_zero(t);
        op(t, W_F32_NE);
        leave_if(t);
        if_end(t);
    }
    finish_single(t, insn);
}

void multiply_single(struct translation *t, const struct insn *insn) {
    u32 a = single_temp(t, S_A), b = single_temp(t, S_B), r = single_temp(t, S_R);
    unbox(t, insn->rs1, S_A);
    unbox(t, insn->rs2, S_B);
    binary(t, a, b, W_F32_MUL);
    set(t, r);
    not_plain_single(t, r);
    if_begin(t);
    promoted(t, S_A);
    promoted(t, S_B);
    op(t, W_F64_MUL);
    put_double(t, 0);
    op(t, W_F64_NE);
    leave_if(t);
    if_end(t);
    leave_unless_product(t, S_A, S_B, S_R);
    finish_single(t, insn);
}

void divide_single(struct translation *t, const struct insn *insn) {
    u32 a = single_temp(t, S_A), r = single_temp(t, S_R);
    unbox(t, insn->rs1, S_A);
    unbox(t, insn->rs2, S_B);
    binary(t, a, single_temp(t, S_B), W_F32_DIV);
    set(t, r);
    not_plain_single(t, r);
    if_begin(t);
    not_zero_single(t, r);
    leave_if(t);
    not_zero_single(t, a);
    leave_if(t);
    if_end(t);
    leave_unless_product(t, S_R, S_B, S_A);
    finish_single(t, insn);
}

void square_root_single(struct translation *t, const struct insn *insn) {
    unbox(t, insn->rs1, S_A);
    get(t, single_temp(t, S_A));
    op(t, W_F32_SQRT);
    set(t, single_temp(t, S_R));
    not_finite_single(t, single_temp(t, S_R));
    leave_if(t);
    leave_unless_product(t, S_R, S_R, S_A);
    finish_single(t, insn);
}

// The product of two singles is exact as a double.
void fused_single(struct translation *t, const struct insn *insn) {
    u32 signs = fused_signs(insn->id);
    u32 product = double_temp(t, F_PRODUCT), c = double_temp(t, F_C), sum = double_temp(t, F_SUM);
    u32 rest = double_temp(t, F_REST), r = single_temp(t, S_R);
    unbox(t, insn->rs1, S_A);
    unbox(t, insn->rs2, S_B);
    unbox(t, insn->rs3, S_C);
    promoted(t, S_A);
    if (signs & MINUS_PRODUCT)
        op(t, W_F64_NEG);
    promoted(t, S_B);
    op(t, W_F64_MUL);
    set(t, product);
    promoted(t, S_C);
    if (signs & MINUS_ADDEND)
        op(t, W_F64_NEG);
    set(t, c);
    sum_to_odd(t, product, c, sum, rest);
    get(t, sum);
    op(t, W_F32_DEMOTE_F64);
    set(t, r);
    not_plain_single(t, r);
    if_begin(t);
    not_zero_single(t, r);
    not_zero(t, product);
    op(t, W_I32_OR);
    leave_if(t);
    if_end(t);
    if (careful(t)) {
        if_clear_begin(t);
        leave_if_not_zero(t, rest);
        promoted(t, S_R);
        get(t, sum);
        op(t, W_F64_NE);
        leave_if(t);
        if_end(t);
    }
    finish_single(t, insn);
}

void leave_if_nan_single(struct translation *t, u32 which) {
    binary(t, single_temp(t, which), single_temp(t, which), W_F32_NE);
    leave_if(t);
}

void compare_single(struct translation *t, const struct insn *insn) {
    u32 single, whole;
    compare_bytes(insn->id, &single, &whole);
    unbox(t, insn->rs1, S_A);
    unbox(t, insn->rs2, S_B);
    leave_if_nan_single(t, S_A);
    leave_if_nan_single(t, S_B);
    binary(t, single_temp(t, S_A), single_temp(t, S_B), single);
    op(t, W_I64_EXTEND_I32_U);
    set_x(t, insn->rd);
}

void pick_single(struct translation *t, const struct insn *insn) {
    unbox(t, insn->rs1, S_A);
    unbox(t, insn->rs2, S_B);
    leave_if_nan_single(t, S_A);
    leave_if_nan_single(t, S_B);
    binary(t, single_temp(t, S_A), single_temp(t, S_B), insn->id == FMIN_S ? W_F32_MIN : W_F32_MAX);
    set(t, single_temp(t, S_R));
    finish_single(t, insn);
}

void sign_single(struct translation *t, const struct insn *insn) {
    unbox(t, insn->rs1, S_A);
    unbox(t, insn->rs2, S_B);
    if (insn->id == FSGNJX_S) {
        get(t, single_temp(t, S_A));
        op(t, W_I32_REINTERPRET_F32);
        get(t, single_temp(t, S_B));
        op(t, W_I32_REINTERPRET_F32);
        const32(t, INT32_MIN);
        op(t, W_I32_AND);
        op(t, W_I32_XOR);
        op(t, W_I64_EXTEND_I32_U);
        box(t, insn->rd);
        return;
    }
    get(t, single_temp(t, S_A));
    get(t, single_temp(t, S_B));
    if (insn->id == FSGNJN_S)
        op(t, W_F32_NEG);
    op(t, W_F32_COPYSIGN);
    set(t, single_temp(t, S_R));
    finish_single(t, insn);
}

// What is asked of results of floating point: tests of their bits, and the errors that rounding made, exactly.
#include "floats.h"

// ---- Tests of bits -----------------------------------------------------------------------------
// Exponent and what follows, without the sign: the exponent stands above 21 bits (of a single: 24). Doubled by
// an addition, which engines make one with the next.
static void doubled(struct translation *t) {
    tee(t, temp32(t, TEMP_ENTRY));
    get(t, temp32(t, TEMP_ENTRY));
    op(t, W_I32_ADD);
}

void magnitude(struct translation *t, u32 local) {
    get(t, local);
    op(t, W_I64_REINTERPRET_F64);
    const64(t, 32);
    op(t, W_I64_SHR_U);
    op(t, W_I32_WRAP_I64);
    doubled(t);
}

static void magnitude_single(struct translation *t, u32 local) {
    get(t, local);
    op(t, W_I32_REINTERPRET_F32);
    doubled(t);
}

// Is the magnitude on the stack outside [low, high)?
static void outside(struct translation *t, u32 low, u32 high) {
    if (low) {
        const32(t, -(i32)low);
        op(t, W_I32_ADD);
    }
    const32(t, (i32)(high - low));
    op(t, W_I32_GE_U);
}

// Sums are exact where they are small, and so can only have raised anything but NX if they are not finite.
// Other results must not be small, either.
void not_finite(struct translation *t, u32 local) {
    magnitude(t, local);
    outside(t, 0, 0x7ffu << 21);
}
void not_plain(struct translation *t, u32 local) {
    magnitude(t, local);
    outside(t, 2u << 21, 0x7ffu << 21);
}
void not_finite_single(struct translation *t, u32 local) {
    magnitude_single(t, local);
    outside(t, 0, 0xffu << 24);
}
void not_plain_single(struct translation *t, u32 local) {
    magnitude_single(t, local);
    outside(t, 2u << 24, 0xffu << 24);
}

// Exponent not within `range` of zero's.
void not_near(struct translation *t, u32 local, u32 range) {
    magnitude(t, local);
    outside(t, (1023 - range) << 21, (1023 + range) << 21);
}

void not_zero(struct translation *t, u32 local) {
    get(t, local);
    put_double(t, 0);
    op(t, W_F64_NE);
}
void not_zero_single(struct translation *t, u32 local) {
    get(t, local);
    put_single_zero(t);
    op(t, W_F32_NE);
}

// So small that an error term may have been lost.
void leave_if_tiny(struct translation *t, u32 local) {
    magnitude(t, local);
    const32(t, (1023 - 900) << 21);
    op(t, W_I32_LT_U);
    leave_if(t);
}

void leave_if_not_zero(struct translation *t, u32 local) {
    not_zero(t, local);
    leave_if(t);
}

void leave_if_different(struct translation *t, u32 a, u32 b) {
    binary(t, a, b, W_F64_NE);
    leave_if(t);
}

// ---- Exact arithmetic --------------------------------------------------------------------------
// As in interp.c, from local to local.

// sum = x + y, whose error is `error`; `sum` may have been computed before.
void sum_error(struct translation *t, u32 x, u32 y, u32 sum, u32 error) {
    u32 back = double_temp(t, F_BACK);
    binary(t, sum, x, W_F64_SUB);
    set(t, back);
    get(t, x);
    binary(t, sum, back, W_F64_SUB);
    op(t, W_F64_SUB);
    binary(t, y, back, W_F64_SUB);
    op(t, W_F64_ADD);
    set(t, error);
}

void two_sum(struct translation *t, u32 x, u32 y, u32 sum, u32 error) {
    binary(t, x, y, W_F64_ADD);
    set(t, sum);
    sum_error(t, x, y, sum, error);
}

static void split(struct translation *t, u32 x, u32 high) {
    get(t, x);
    put_double(t, 134217729.0);
    op(t, W_F64_MUL);
    tee(t, high);
    binary(t, high, x, W_F64_SUB);
    op(t, W_F64_SUB);
    set(t, high);
}

// F_PRODUCT = a * b, whose error is F_LOW.
void two_product(struct translation *t, u32 a, u32 b) {
    u32 a_high = double_temp(t, F_A_HIGH), b_high = double_temp(t, F_B_HIGH);
    split(t, a, a_high);
    split(t, b, b_high);
    binary(t, a, b, W_F64_MUL);
    set(t, double_temp(t, F_PRODUCT));
    binary(t, a_high, b_high, W_F64_MUL);
    get(t, double_temp(t, F_PRODUCT));
    op(t, W_F64_SUB);
    get(t, a_high);
    binary(t, b, b_high, W_F64_SUB);
    op(t, W_F64_MUL);
    op(t, W_F64_ADD);
    binary(t, a, a_high, W_F64_SUB);
    get(t, b_high);
    op(t, W_F64_MUL);
    op(t, W_F64_ADD);
    binary(t, a, a_high, W_F64_SUB);
    binary(t, b, b_high, W_F64_SUB);
    op(t, W_F64_MUL);
    op(t, W_F64_ADD);
    set(t, double_temp(t, F_LOW));
}

// x + y rounded to odd into `sum`; F_REST is the error before that.
void sum_to_odd(struct translation *t, u32 x, u32 y, u32 sum, u32 error) {
    two_sum(t, x, y, sum, error);
    not_zero(t, error);
    if_begin(t);
    // The last bit is set; that of an even sum by a step towards the exact one.
    get(t, sum);
    op(t, W_I64_REINTERPRET_F64);
    tee(t, temp(t, TEMP_A));
    const64(t, 1);
    const64(t, -1);
    get(t, error);
    put_double(t, 0);
    op(t, W_F64_GT);
    get(t, sum);
    put_double(t, 0);
    op(t, W_F64_GT);
    op(t, W_I32_EQ);
    op(t, W_SELECT);
    get(t, temp(t, TEMP_A));
    const64(t, 1);
    op(t, W_I64_AND);
    op(t, W_I64_EQZ);
    op(t, W_I64_EXTEND_I32_U);
    op(t, W_I64_MUL);
    op(t, W_I64_ADD);
    op(t, W_F64_REINTERPRET_I64);
    set(t, sum);
    if_end(t);
}

static void simd(struct translation *t, u32 number) { op_u(t, W_SIMD, number); }

static void get_splat(struct translation *t, u32 local, bool minus) {
    get(t, local);
    if (minus)
        op(t, W_F64_NEG);
    simd(t, W_F64X2_SPLAT);
}

// a * b + c, where the engine is known to round that once.
void madd(struct translation *t, u32 a, bool minus_a, u32 b, u32 c, bool minus_c) {
    get_splat(t, a, minus_a);
    get_splat(t, b, false);
    get_splat(t, c, minus_c);
    simd(t, W_F64X2_RELAXED_MADD);
    simd(t, W_F64X2_EXTRACT_LANE);
    put(&t->code, 0);
}

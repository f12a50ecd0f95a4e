// What the files of floating point share: their temporaries, what one asks of another (float.c has the rules).
#pragma once
#include "codegen.h"
#include "../cpu/float.h"

enum { F_R, F_A, F_C, F_A_HIGH, F_B_HIGH, F_PRODUCT, F_LOW, F_SUM, F_SUM_LOW, F_HIGH, F_REST, F_BACK };
enum { S_R, S_A, S_B, S_C, S_BACK };
static_assert(F_BACK < TEMPS_F64 && S_BACK < TEMPS_F32);

#define FCSR_ASSUMED 0xe1 // what regions assume of fcsr, or look at once: rounding mode and NX
#define BOX_BITS (-0x100000000ll)

static inline u32 double_temp(const struct translation *t, u32 which) { return t->temp_f64 + which; }
static inline u32 single_temp(const struct translation *t, u32 which) { return t->temp_f32 + which; }

static inline void put_double(struct translation *t, double value) {
    u64 bits = __builtin_bit_cast(u64, value);
    op(t, W_F64_CONST);
    for (u32 i = 0; i < 64; i += 8)
        put(&t->code, (u32)(bits >> i) & 0xff);
}
static inline void put_single_zero(struct translation *t) {
    op(t, W_F32_CONST);
    for (u32 i = 0; i < 4; i++)
        put(&t->code, 0);
}

static inline void binary(struct translation *t, u32 a, u32 b, u32 byte) {
    get(t, a);
    get(t, b);
    op(t, byte);
}

static inline bool careful(const struct translation *t) { return t->careful; }
static inline bool has_madd(const struct translation *t) { return t->jit->features & JIT_RELAXED_MADD; }

static inline u32 local_of(const struct translation *t, u32 reg) { return t->local[reg]; }
static inline u64 known(u32 reg) { return 1ull << reg; }

enum fact { ANYTHING, NUMBER, BOXED };
enum { MINUS_PRODUCT = 1, MINUS_ADDEND = 2 };

// ---- float.c -------------------------------------------------------------------------------------
void if_clear_begin(struct translation *t);
void set_f(struct translation *t, u32 reg, enum fact fact);
u32 fused_signs(u32 id);
void compare_bytes(u32 id, u32 *single, u32 *whole);

// ---- exact.c: tests leave an i32 on the stack -----------------------------------------------------
void magnitude(struct translation *t, u32 local);
void not_finite(struct translation *t, u32 local);
void not_plain(struct translation *t, u32 local);
void not_finite_single(struct translation *t, u32 local);
void not_plain_single(struct translation *t, u32 local);
void not_near(struct translation *t, u32 local, u32 range);
void not_zero(struct translation *t, u32 local);
void not_zero_single(struct translation *t, u32 local);
void leave_if_tiny(struct translation *t, u32 local);
void leave_if_not_zero(struct translation *t, u32 local);
void leave_if_different(struct translation *t, u32 a, u32 b);
void sum_error(struct translation *t, u32 x, u32 y, u32 sum, u32 error);
void two_sum(struct translation *t, u32 x, u32 y, u32 sum, u32 error);
void two_product(struct translation *t, u32 a, u32 b);
void sum_to_odd(struct translation *t, u32 x, u32 y, u32 sum, u32 error);
void madd(struct translation *t, u32 a, bool minus_a, u32 b, u32 c, bool minus_c);

// ---- single.c ------------------------------------------------------------------------------------
void unbox(struct translation *t, u32 reg, u32 which);
void box(struct translation *t, u32 reg);
void finish_single(struct translation *t, const struct insn *insn);
void promoted(struct translation *t, u32 which);
void add_single(struct translation *t, const struct insn *insn, bool minus);
void multiply_single(struct translation *t, const struct insn *insn);
void divide_single(struct translation *t, const struct insn *insn);
void square_root_single(struct translation *t, const struct insn *insn);
void fused_single(struct translation *t, const struct insn *insn);
void leave_if_nan_single(struct translation *t, u32 which);
void compare_single(struct translation *t, const struct insn *insn);
void pick_single(struct translation *t, const struct insn *insn);
void sign_single(struct translation *t, const struct insn *insn);

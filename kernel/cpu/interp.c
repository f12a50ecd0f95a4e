// The interpreter's loop: what runs often, and nothing else. It calls no function and is inlined into
// none, so that the compiler of the host keeps its state in registers; whatever is rare, slow or may
// fail leaves to run.c with the op not begun.
#include "block.h"
#include "muldiv.h"

#pragma STDC FP_CONTRACT OFF

typedef float f32 __attribute__((may_alias));
typedef double f64 __attribute__((may_alias));

// Each access is any alignment and type that the guest likes.
typedef u8 g8 __attribute__((may_alias));
typedef i8 gi8 __attribute__((may_alias));
typedef u16 g16 __attribute__((may_alias));
typedef i16 gi16 __attribute__((may_alias));
typedef u32 g32 __attribute__((may_alias));
typedef i32 gi32 __attribute__((may_alias));
typedef u64 g64 __attribute__((may_alias));

#define A REGISTER(ip->a)
#define B REGISTER(ip->b)
#define C REGISTER(ip->c)
#define IMM ((u64)(i64)ip->imm)
#define FD(offset) (*(f64 *)((char *)register_file + (offset)))
#define FS(offset) (*(f32 *)((char *)register_file + (offset)))
#define BOXED(value) ((value) >> 32 == 0xffffffff)
#define BOX(value) (0xffffffff00000000 | (u32)(value))

#define SEXT(value) ((u64)(i64)(i32)(value))

// An op's body is BODY_<code>(value of operand b). It runs at `ip`, leaves its result in `value` too, and
// falls out of its end or leaves by goto, continue (ip is set) or break (pc is set).
#define LOAD_BODY(b, type, size, cast, wrap)                                                       \
    {                                                                                              \
        u64 va = (b) + IMM;                                                                        \
        const struct tlb_entry *e = tlb_slot((struct tlb_entry *)tlb->r, va);                      \
        if (unlikely(e->tag != (va & ~(PAGE_MASK & ~(size - 1ull)))))                              \
            goto slow;                                                                             \
        A = value = wrap((u64)(cast) * MPTR(const type, (u32)va + e->delta));                      \
    }

#define STORE_BODY(b, type, size)                                                                  \
    {                                                                                              \
        u64 va = (b) + IMM;                                                                        \
        const struct tlb_entry *e = tlb_slot((struct tlb_entry *)tlb->w, va);                      \
        if (unlikely(e->tag != (va & ~(PAGE_MASK & ~(size - 1ull)))))                              \
            goto slow;                                                                             \
        *MPTR(type, (u32)va + e->delta) = (type)C;                                                 \
    }

#define NEAR_BODY(condition)                                                                       \
    if (condition) {                                                                               \
        fuel += (i16)ip->a;                                                                        \
        ip = (struct op *)((char *)ip + ip->imm);                                                  \
        if (unlikely(fuel < 0))                                                                    \
            goto short_fuel;                                                                       \
        continue;                                                                                  \
    }

#define FAR_BODY(condition)                                                                        \
    if (condition) {                                                                               \
        fuel += ip->n - 1;                                                                         \
        pc = base + ip->off + IMM;                                                                 \
        break;                                                                                     \
    }

#define BODY_OP_NOP(b)
#define BODY_OP_LI(b) A = value = IMM;
#define BODY_OP_MV(b) A = value = (b);
#define BODY_AUIPC(b) A = value = base + IMM;
#define BODY_ADDI(b) A = value = (b) + IMM;
#define BODY_SLTI(b) A = value = (i64)(b) < (i64)IMM;
#define BODY_SLTIU(b) A = value = (b) < IMM;
#define BODY_XORI(b) A = value = (b) ^ IMM;
#define BODY_ORI(b) A = value = (b) | IMM;
#define BODY_ANDI(b) A = value = (b) & IMM;
#define BODY_SLLI(b) A = value = (b) << (IMM & 63);
#define BODY_SRLI(b) A = value = (b) >> (IMM & 63);
#define BODY_SRAI(b) A = value = (u64)((i64)(b) >> (IMM & 63));
#define BODY_ADD(b) A = value = (b) + C;
#define BODY_SUB(b) A = value = (b) - C;
#define BODY_SLL(b) A = value = (b) << (C & 63);
#define BODY_SLT(b) A = value = (i64)(b) < (i64)C;
#define BODY_SLTU(b) A = value = (b) < C;
#define BODY_XOR(b) A = value = (b) ^ C;
#define BODY_SRL(b) A = value = (b) >> (C & 63);
#define BODY_SRA(b) A = value = (u64)((i64)(b) >> (C & 63));
#define BODY_OR(b) A = value = (b) | C;
#define BODY_AND(b) A = value = (b) & C;
#define BODY_ADDIW(b) A = value = SEXT((u32)(b) + (u32)IMM);
#define BODY_SLLIW(b) A = value = SEXT((u32)(b) << (IMM & 31));
#define BODY_SRLIW(b) A = value = SEXT((u32)(b) >> (IMM & 31));
#define BODY_SRAIW(b) A = value = SEXT((i32)(b) >> (IMM & 31));
#define BODY_ADDW(b) A = value = SEXT((u32)(b) + (u32)C);
#define BODY_SUBW(b) A = value = SEXT((u32)(b) - (u32)C);
#define BODY_SLLW(b) A = value = SEXT((u32)(b) << (C & 31));
#define BODY_SRLW(b) A = value = SEXT((u32)(b) >> (C & 31));
#define BODY_SRAW(b) A = value = SEXT((i32)(b) >> (C & 31));
#define BODY_MUL(b) A = value = (b) * C;
#define BODY_MULH(b) A = value = mul_high_signed((b), C);
#define BODY_MULHU(b) A = value = mul_high((b), C);
#define BODY_MULW(b) A = value = SEXT((u32)(b) * (u32)C);
#define BODY_DIV(b) A = value = div_signed((b), C);
#define BODY_DIVU(b) A = value = div_unsigned((b), C);
#define BODY_REM(b) A = value = rem_signed((b), C);
#define BODY_REMU(b) A = value = rem_unsigned((b), C);
#define BODY_DIVW(b) A = value = div_signed_32((b), C);
#define BODY_DIVUW(b) A = value = div_unsigned_32((b), C);
#define BODY_REMW(b) A = value = rem_signed_32((b), C);
#define BODY_REMUW(b) A = value = rem_unsigned_32((b), C);
#define BODY_LB(b) LOAD_BODY(b, gi8, 1, i64, )
#define BODY_LH(b) LOAD_BODY(b, gi16, 2, i64, )
#define BODY_LW(b) LOAD_BODY(b, gi32, 4, i64, )
#define BODY_LD(b) LOAD_BODY(b, g64, 8, u64, )
#define BODY_LBU(b) LOAD_BODY(b, g8, 1, u64, )
#define BODY_LHU(b) LOAD_BODY(b, g16, 2, u64, )
#define BODY_LWU(b) LOAD_BODY(b, g32, 4, u64, )
#define BODY_FLW(b) LOAD_BODY(b, g32, 4, u64, BOX)
#define BODY_FLD(b) LOAD_BODY(b, g64, 8, u64, )
#define BODY_SB(b) STORE_BODY(b, g8, 1)
#define BODY_SH(b) STORE_BODY(b, g16, 2)
#define BODY_SW(b) STORE_BODY(b, g32, 4)
#define BODY_SD(b) STORE_BODY(b, g64, 8)
#define BODY_FSW(b) STORE_BODY(b, g32, 4)
#define BODY_FSD(b) STORE_BODY(b, g64, 8)
#define BODY_BEQ(b) NEAR_BODY((b) == C)
#define BODY_BNE(b) NEAR_BODY((b) != C)
#define BODY_BLT(b) NEAR_BODY((i64)(b) < (i64)C)
#define BODY_BGE(b) NEAR_BODY((i64)(b) >= (i64)C)
#define BODY_BLTU(b) NEAR_BODY((b) < C)
#define BODY_BGEU(b) NEAR_BODY((b) >= C)
#define BODY_OP_BEQ_FAR(b) FAR_BODY((b) == C)
#define BODY_OP_BNE_FAR(b) FAR_BODY((b) != C)
#define BODY_OP_BLT_FAR(b) FAR_BODY((i64)(b) < (i64)C)
#define BODY_OP_BGE_FAR(b) FAR_BODY((i64)(b) >= (i64)C)
#define BODY_OP_BLTU_FAR(b) FAR_BODY((b) < C)
#define BODY_OP_BGEU_FAR(b) FAR_BODY((b) >= C)
#define BODY_JAL(b)                                                                                   \
    A = base + ip->c;                                                                              \
    pc = base + ip->off + IMM;                                                                     \
    break;
#define BODY_JALR(b)                                                                                  \
    pc = ((b) + IMM) & ~1ull;                                                                      \
    A = base + ip->c;                                                                              \
    *called_slot((struct cpu_cache *)run, base + ip->off) = (base + ip->off) << 32 | (u32)pc;      \
    break;

#define BODY_TABLE(X)                                                                              \
    X(OP_NOP) X(OP_LI) X(OP_MV) X(AUIPC) X(ADDI) X(SLTI) X(SLTIU) X(XORI) X(ORI) X(ANDI) X(SLLI)   \
    X(SRLI) X(SRAI) X(ADD) X(SUB) X(SLL) X(SLT) X(SLTU) X(XOR) X(SRL) X(SRA) X(OR) X(AND)          \
    X(ADDIW) X(SLLIW) X(SRLIW) X(SRAIW) X(ADDW) X(SUBW) X(SLLW) X(SRLW) X(SRAW)                    \
    X(MUL) X(MULH) X(MULHU) X(MULW) X(DIV) X(DIVU) X(REM) X(REMU) X(DIVW) X(DIVUW)       \
    X(REMW) X(REMUW)                                                                               \
    X(LB) X(LH) X(LW) X(LD) X(LBU) X(LHU) X(LWU) X(FLW) X(FLD)                                     \
    X(SB) X(SH) X(SW) X(SD) X(FSW) X(FSD)                                                          \
    X(BEQ) X(BNE) X(BLT) X(BGE) X(BLTU) X(BGEU) X(OP_BEQ_FAR) X(OP_BNE_FAR) X(OP_BLT_FAR)          \
    X(OP_BGE_FAR) X(OP_BLTU_FAR) X(OP_BGEU_FAR) X(JAL) X(JALR)

// Float results that cannot have raised anything but NX: finite and greater than the smallest normal.
#define PLAIN_D(bits) (((bits) & ~0ull >> 1) - 0x0010000000000001 < 0x7fdfffffffffffff)
#define PLAIN_S(bits) (((bits) & ~0u >> 1) - 0x00800001 < 0x7effffff)

// `zero`: a zero result is exact. `exact`: this result is, which matters while NX is clear.
#define FLOAT_D(id, expression, zero, exact)                                                       \
    case id: {                                                                                     \
        f64 a = FD(ip->b), b = FD(ip->c), r = expression, error;                                   \
        u64 bits = __builtin_bit_cast(u64, r);                                                     \
        if (unlikely(!(PLAIN_D(bits) || (r == 0 && (zero)))))                                      \
            goto slow;                                                                             \
        if (unlikely(!run->nx_near && !(run->nearest && (exact))))                                 \
            goto slow;                                                                             \
        (void)b;                                                                                   \
        (void)error;                                                                               \
        A = bits;                                                                                  \
        ip++;                                                                                      \
        continue;                                                                                  \
    }

#define FLOAT_S(id, expression, zero)                                                              \
    case id: {                                                                                     \
        f32 a = FS(ip->b), b = FS(ip->c), r = expression;                                          \
        u32 bits = __builtin_bit_cast(u32, r);                                                     \
        if (unlikely(!run->nx_near || !(PLAIN_S(bits) || (r == 0 && (zero))) || !BOXED(B) ||       \
                     !BOXED(C)))                                                                   \
            goto slow;                                                                             \
        A = BOX(bits);                                                                             \
        ip++;                                                                                      \
        continue;                                                                                  \
    }

#define DO(id, statement)                                                                          \
    case id:                                                                                       \
        statement;                                                                                 \
        ip++;                                                                                      \
        continue;

#define COMPARE_D(id, op)                                                                          \
    case id: {                                                                                     \
        f64 a = FD(ip->b), b = FD(ip->c);                                                          \
        if (unlikely(a != a || b != b))                                                            \
            goto slow;                                                                             \
        A = a op b;                                                                                \
        ip++;                                                                                      \
        continue;                                                                                  \
    }

#define COMPARE_S(id, op)                                                                          \
    case id: {                                                                                     \
        f32 a = FS(ip->b), b = FS(ip->c);                                                          \
        if (unlikely(a != a || b != b || !BOXED(B) || !BOXED(C)))                                  \
            goto slow;                                                                             \
        A = a op b;                                                                                \
        ip++;                                                                                      \
        continue;                                                                                  \
    }

// min and max of different numbers; -0, +0 and NaN are elsewhere.
#define PICK_D(id, op)                                                                             \
    case id: {                                                                                     \
        f64 a = FD(ip->b), b = FD(ip->c);                                                          \
        if (unlikely(!(a < b || a > b)))                                                           \
            goto slow;                                                                             \
        A = a op b ? B : C;                                                                        \
        ip++;                                                                                      \
        continue;                                                                                  \
    }

#define SIGN_D(id, expression)                                                                     \
    case id: {                                                                                     \
        u64 a = B, b = C, top = 1ull << 63;                                                        \
        A = (a & ~top) | ((expression) & top);                                                     \
        ip++;                                                                                      \
        continue;                                                                                  \
    }

#define SIGN_S(id, expression)                                                                     \
    case id: {                                                                                     \
        u64 a = B, b = C, top = 1ull << 31;                                                        \
        if (unlikely(!BOXED(a) || !BOXED(b)))                                                      \
            goto slow;                                                                             \
        A = (a & ~top) | ((expression) & top);                                                     \
        ip++;                                                                                      \
        continue;                                                                                  \
    }

// To an integer, towards zero; exact or NX is set already.
#define TO_INTEGER(id, from, valid, low, high, type, wrap)                                         \
    case id: {                                                                                     \
        from a = *(from *)((char *)register_file + ip->b);                                         \
        if (unlikely(ip->imm != 1 || !(a > (low) && a < (high)) || !(valid)))                      \
            goto slow;                                                                             \
        type r = (type)a;                                                                          \
        if (unlikely(!run->nx_near && (from)r != a))                                               \
            goto slow;                                                                             \
        A = wrap(r);                                                                               \
        ip++;                                                                                      \
        continue;                                                                                  \
    }

#define FROM_INTEGER_D(id, type, exact)                                                            \
    case id:                                                                                       \
        if (unlikely(!(exact) && !run->nx_near))                                                   \
            goto slow;                                                                             \
        FD(ip->a) = (f64)(type)B;                                                                  \
        ip++;                                                                                      \
        continue;

#define FROM_INTEGER_S(id, type)                                                                   \
    case id: {                                                                                     \
        if (unlikely(!run->nx_near))                                                               \
            goto slow;                                                                             \
        f32 r = (f32)(type)B;                                                                      \
        A = BOX(__builtin_bit_cast(u32, r));                                                       \
        ip++;                                                                                      \
        continue;                                                                                  \
    }

// ---- Fused multiply and add ---------------------------------------------------------------------
// x + y exactly, as a rounded sum and its error.
always_inline_fn f64 two_sum(f64 x, f64 y, f64 *error) {
    f64 sum = x + y, back = sum - x;
    *error = (x - (sum - back)) + (y - back);
    return sum;
}

// x + y rounded to odd: an inexact sum gets an odd last bit, so that rounding it again, to fewer
// bits, gives what rounding once would have given.
always_inline_fn f64 sum_to_odd(f64 x, f64 y) {
    f64 error, sum = two_sum(x, y, &error);
    u64 bits = __builtin_bit_cast(u64, sum);
    if (error != 0 && !(bits & 1))
        bits += (error > 0) == (sum > 0) ? 1 : ~0ull;
    return __builtin_bit_cast(f64, bits);
}

// a * b exactly, as a rounded product and its error (halves of 26 bits each).
always_inline_fn f64 two_product(f64 a, f64 b, f64 *error) {
    f64 a_high = a * 134217729.0, b_high = b * 134217729.0;
    a_high -= a_high - a;
    b_high -= b_high - b;
    f64 a_low = a - a_high, b_low = b - b_high, product = a * b;
    *error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low;
    return product;
}

// a * b + c rounded once, after Boldo and Melquiond: right while nothing over- or underflows on the way. `exact`: the
// result certainly is (not: whenever it is).
always_inline_fn f64 fused_d(f64 a, f64 b, f64 c, bool *exact) {
    f64 low, sum_low, rest, product = two_product(a, b, &low);
    f64 sum = two_sum(c, low, &sum_low), high = two_sum(product, sum, &rest);
    *exact = low == 0 && rest == 0;
    return high + sum_to_odd(sum_low, rest);
}

// Exponent within `range` of zero's.
#define NEAR_ONE(value, range)                                                                     \
    ((__builtin_bit_cast(u64, value) >> 52 & 0x7ff) - (1023 - range) < 2 * range)

noinline_fn enum leave interp(struct run *run, const struct tlb *tlb, const struct code_way *way,
                              char *ops) {
    struct op *ip = run->ip;
    i32 fuel = run->fuel;
    u64 base = run->base;
    u64 pc;
    for (;;) {
        switch (ip->code) {
#define X(code)                                                                                    \
    case code: {                                                                                   \
        u64 value;                                                                                 \
        BODY_##code(B);                                                                            \
        (void)value;                                                                               \
    }                                                                                              \
        ip++;                                                                                      \
        continue;
            BODY_TABLE(X)
#undef X
#define X(first, second)                                                                           \
    case OP_##first##_##second: {                                                                  \
        u64 value;                                                                                 \
        BODY_##first(B);                                                                           \
        ip++;                                                                                      \
        BODY_##second(B);                                                                          \
        (void)value;                                                                               \
    }                                                                                              \
        ip++;                                                                                      \
        continue;
            PAIR_TABLE(X)
#undef X
#define X(first, second)                                                                           \
    case OP_CHAIN_##first##_##second: {                                                            \
        u64 value;                                                                                 \
        BODY_##first(B);                                                                           \
        ip++;                                                                                      \
        BODY_##second(value);                                                                      \
        (void)value;                                                                               \
    }                                                                                              \
        ip++;                                                                                      \
        continue;
            CHAIN_TABLE(X)
#undef X

            FLOAT_D(FADD_D, a + b, true, (two_sum(a, b, &error), error == 0))
            FLOAT_D(FSUB_D, a - b, true, (two_sum(a, -b, &error), error == 0))
            FLOAT_D(FMUL_D, a * b, a == 0 || b == 0,
                    r == 0 || (NEAR_ONE(a, 300) && NEAR_ONE(b, 300) &&
                               (two_product(a, b, &error), error == 0)))
            FLOAT_D(FDIV_D, a / b, a == 0, false)
            FLOAT_D(FSQRT_D, __builtin_elementwise_sqrt(a), false, false)
            FLOAT_S(FADD_S, a + b, true)
            FLOAT_S(FSUB_S, a - b, true)
            FLOAT_S(FMUL_S, a * b, a == 0 || b == 0)
            FLOAT_S(FDIV_S, a / b, a == 0)
            COMPARE_D(FEQ_D, ==)
            COMPARE_D(FLT_D, <)
            COMPARE_D(FLE_D, <=)
            COMPARE_S(FEQ_S, ==)
            COMPARE_S(FLT_S, <)
            COMPARE_S(FLE_S, <=)
            PICK_D(FMIN_D, <)
            PICK_D(FMAX_D, >)
            SIGN_D(FSGNJ_D, b)
            SIGN_D(FSGNJN_D, ~b)
            SIGN_D(FSGNJX_D, a ^ b)
            SIGN_S(FSGNJ_S, b)
            SIGN_S(FSGNJN_S, ~b)
            SIGN_S(FSGNJX_S, a ^ b)
            DO(FMV_X_D, A = B)
            DO(FMV_D_X, A = B)
            DO(FMV_X_W, A = SEXT(B))
            DO(FMV_W_X, A = BOX(B))
            TO_INTEGER(FCVT_W_D, f64, true, -2147483649.0, 2147483648.0, i32, SEXT)
            TO_INTEGER(FCVT_L_D, f64, true, -0x1p63, 0x1p63, i64, (u64))
            TO_INTEGER(FCVT_W_S, f32, BOXED(B), -2147483648.0f, 2147483648.0f, i32, SEXT)
            FROM_INTEGER_D(FCVT_D_W, i32, true)
            FROM_INTEGER_D(FCVT_D_WU, u32, true)
            FROM_INTEGER_D(FCVT_D_L, i64, B + (1ull << 53) <= 1ull << 54)
            FROM_INTEGER_D(FCVT_D_LU, u64, B <= 1ull << 53)
            FROM_INTEGER_S(FCVT_S_W, i32)
            FROM_INTEGER_S(FCVT_S_L, i64)
        case FMADD_D:
        case FMSUB_D:
        case FNMSUB_D:
        case FNMADD_D: {
            f64 a = FD(ip->b), b = FD(ip->c), c = FD((u16)ip->imm);
            bool exact;
            if (unlikely(!(NEAR_ONE(a, 300) || a == 0) || !(NEAR_ONE(b, 300) || b == 0) ||
                         !(NEAR_ONE(c, 900) || c == 0)))
                goto slow;
            if (ip->imm & FMA_MINUS_PRODUCT)
                a = -a;
            if (ip->imm & FMA_MINUS_ADDEND)
                c = -c;
            f64 r = fused_d(a, b, c, &exact);
            u64 bits = __builtin_bit_cast(u64, r);
            if (unlikely(!PLAIN_D(bits) || (!run->nx_near && !(run->nearest && exact))))
                goto slow;
            A = bits;
            ip++;
            continue;
        }
        case FMADD_S:
        case FMSUB_S:
        case FNMSUB_S:
        case FNMADD_S: {
            u64 c_bits = REGISTER((u16)ip->imm);
            if (unlikely(!run->nx_near || !BOXED(B) || !BOXED(C) || !BOXED(c_bits)))
                goto slow;
            f64 a = FS(ip->b), b = FS(ip->c), c = FS((u16)ip->imm);
            if (ip->imm & FMA_MINUS_PRODUCT)
                a = -a;
            if (ip->imm & FMA_MINUS_ADDEND)
                c = -c;
            f32 r = (f32)sum_to_odd(a * b, c); // the product of two singles is exact
            u32 bits = __builtin_bit_cast(u32, r);
            if (unlikely(!PLAIN_S(bits)))
                goto slow;
            A = BOX(bits);
            ip++;
            continue;
        }
        case FCVT_D_S: {
            f32 a = FS(ip->b);
            if (unlikely(a != a || !BOXED(B)))
                goto slow;
            FD(ip->a) = (f64)a;
            ip++;
            continue;
        }
        case FCVT_S_D: {
            f32 r = (f32)FD(ip->b);
            u32 bits = __builtin_bit_cast(u32, r);
            if (unlikely(!run->nx_near || !PLAIN_S(bits)))
                goto slow;
            A = BOX(bits);
            ip++;
            continue;
        }

        case OP_GOTO:
            ip = (struct op *)((char *)ip + ip->imm);
            continue;
        case OP_JUMP_NEAR:
            A = base + ip->c;
            ip = (struct op *)((char *)ip + ip->imm);
            fuel -= ip->n;
            if (unlikely(fuel < 0)) {
                goto short_fuel;
            }
            continue;
        case OP_ENTRY:
            if (unlikely(ip->imm <= 1))
                goto slow;
            ip->imm--;
            ip = (struct op *)((char *)(ip + 1) + ip[1].imm);
            continue;
        case OP_NEXT:
            pc = base + ip->off;
            break;
        default:
        slow:
            run->ip = ip;
            run->fuel = fuel;
            run->base = base;
            return LEAVE_SLOW;
        }
        const struct code_way *w = &way[(pc >> PAGE_SHIFT) % CODE_WAYS];
        base = pc & ~PAGE_MASK;
        u32 offset;
        if (unlikely(w->tag != (base | run->epoch) ||
                     !(offset = code_op(w->map, (u32)(pc & PAGE_MASK))))) {
            run->pc = pc;
            run->fuel = fuel;
            return LEAVE_LOOKUP;
        }
        ip = (struct op *)(ops + offset);
        fuel -= ip->n;
        if (unlikely(fuel < 0)) {
        short_fuel:
            run->ip = ip;
            run->base = base;
            run->fuel = fuel + ip->n;
            return LEAVE_FUEL;
        }
    }
}

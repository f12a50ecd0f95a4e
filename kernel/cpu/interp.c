// The interpreter's loop: what runs often, and nothing else. It calls no function, so that the compiler
// of the host keeps its state in registers; whatever is rare, slow or may fail leaves to run.c with
// the op not begun.
#include "block.h"
#include "muldiv.h"

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

#define DO(id, ...)                                                                                \
    case id:                                                                                       \
        __VA_ARGS__;                                                                               \
        ip++;                                                                                      \
        continue;

#define LOAD(id, type, size, cast, wrap)                                                           \
    case id: {                                                                                     \
        u64 va = B + IMM;                                                                          \
        const struct tlb_entry *e = tlb_slot((struct tlb_entry *)tlb->r, va);                      \
        if (unlikely(e->tag != (va & (~PAGE_MASK | (size - 1)))))                                  \
            goto slow;                                                                             \
        A = wrap((u64)(cast) * MPTR(const type, (u32)va + e->delta));                              \
        ip++;                                                                                      \
        continue;                                                                                  \
    }

#define STORE(id, type, size)                                                                      \
    case id: {                                                                                     \
        u64 va = B + IMM;                                                                          \
        const struct tlb_entry *e = tlb_slot((struct tlb_entry *)tlb->w, va);                      \
        if (unlikely(e->tag != (va & (~PAGE_MASK | (size - 1)))))                                  \
            goto slow;                                                                             \
        *MPTR(type, (u32)va + e->delta) = (type)C;                                                 \
        ip++;                                                                                      \
        continue;                                                                                  \
    }

#define BRANCH(id, far, condition)                                                                 \
    case id:                                                                                       \
        if (!(condition)) {                                                                        \
            ip++;                                                                                  \
            continue;                                                                              \
        }                                                                                          \
        fuel += (i16)ip->a;                                                                        \
        ip = (struct op *)((char *)ip + ip->imm);                                                  \
        if (unlikely(fuel < 0))                                                                    \
            goto short_fuel;                                                                       \
        continue;                                                                                  \
    case far:                                                                                      \
        if (!(condition)) {                                                                        \
            ip++;                                                                                  \
            continue;                                                                              \
        }                                                                                          \
        fuel += ip->n - 1;                                                                         \
        pc = base + ip->off + IMM;                                                                 \
        break;

// Float results that cannot have raised anything but NX: finite and greater than the smallest normal.
#define PLAIN_D(bits) (((bits) & ~0ull >> 1) - 0x0010000000000001 < 0x7fdfffffffffffff)
#define PLAIN_S(bits) (((bits) & ~0u >> 1) - 0x00800001 < 0x7effffff)

#define FLOAT_D(id, expression, zero)                                                              \
    case id: {                                                                                     \
        f64 a = FD(ip->b), b = FD(ip->c), r = expression;                                          \
        u64 bits = __builtin_bit_cast(u64, r);                                                     \
        if (unlikely(!run->nx_near || !(PLAIN_D(bits) || (r == 0 && (zero)))))                     \
            goto slow;                                                                             \
        (void)b;                                                                                   \
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

enum leave interp(struct run *run, const struct tlb *tlb, const struct code_way *way, char *ops) {
    struct op *ip = run->ip;
    i32 fuel = run->fuel;
    u64 base = run->base;
    u64 pc;
    for (;;) {
        switch (ip->code) {
            DO(OP_NOP, )
            DO(OP_LI, A = IMM)
            DO(OP_MV, A = B)
            DO(AUIPC, A = base + IMM)
            DO(ADDI, A = B + IMM)
            DO(SLTI, A = (i64)B < (i64)IMM)
            DO(SLTIU, A = B < IMM)
            DO(XORI, A = B ^ IMM)
            DO(ORI, A = B | IMM)
            DO(ANDI, A = B & IMM)
            DO(SLLI, A = B << (IMM & 63))
            DO(SRLI, A = B >> (IMM & 63))
            DO(SRAI, A = (u64)((i64)B >> (IMM & 63)))
            DO(ADD, A = B + C)
            DO(SUB, A = B - C)
            DO(SLL, A = B << (C & 63))
            DO(SLT, A = (i64)B < (i64)C)
            DO(SLTU, A = B < C)
            DO(XOR, A = B ^ C)
            DO(SRL, A = B >> (C & 63))
            DO(SRA, A = (u64)((i64)B >> (C & 63)))
            DO(OR, A = B | C)
            DO(AND, A = B & C)
            DO(ADDIW, A = SEXT((u32)B + (u32)IMM))
            DO(SLLIW, A = SEXT((u32)B << (IMM & 31)))
            DO(SRLIW, A = SEXT((u32)B >> (IMM & 31)))
            DO(SRAIW, A = SEXT((i32)B >> (IMM & 31)))
            DO(ADDW, A = SEXT((u32)B + (u32)C))
            DO(SUBW, A = SEXT((u32)B - (u32)C))
            DO(SLLW, A = SEXT((u32)B << (C & 31)))
            DO(SRLW, A = SEXT((u32)B >> (C & 31)))
            DO(SRAW, A = SEXT((i32)B >> (C & 31)))
            DO(MUL, A = B * C)
            DO(MULH, A = mul_high_signed(B, C))
            DO(MULHU, A = mul_high(B, C))
            DO(MULHSU, A = mul_high_mixed(B, C))
            DO(MULW, A = SEXT((u32)B * (u32)C))
            DO(DIV, A = div_signed(B, C))
            DO(DIVU, A = div_unsigned(B, C))
            DO(REM, A = rem_signed(B, C))
            DO(REMU, A = rem_unsigned(B, C))
            DO(DIVW, A = div_signed_32(B, C))
            DO(DIVUW, A = div_unsigned_32(B, C))
            DO(REMW, A = rem_signed_32(B, C))
            DO(REMUW, A = rem_unsigned_32(B, C))

            LOAD(LB, gi8, 1, i64, )
            LOAD(LH, gi16, 2, i64, )
            LOAD(LW, gi32, 4, i64, )
            LOAD(LD, g64, 8, u64, )
            LOAD(LBU, g8, 1, u64, )
            LOAD(LHU, g16, 2, u64, )
            LOAD(LWU, g32, 4, u64, )
            LOAD(FLW, g32, 4, u64, BOX)
            LOAD(FLD, g64, 8, u64, )
            STORE(SB, g8, 1)
            STORE(SH, g16, 2)
            STORE(SW, g32, 4)
            STORE(SD, g64, 8)
            STORE(FSW, g32, 4)
            STORE(FSD, g64, 8)

            FLOAT_D(FADD_D, a + b, true)
            FLOAT_D(FSUB_D, a - b, true)
            FLOAT_D(FMUL_D, a * b, a == 0 || b == 0)
            FLOAT_D(FDIV_D, a / b, a == 0)
            FLOAT_D(FSQRT_D, __builtin_elementwise_sqrt(a), false)
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
            TO_INTEGER(FCVT_WU_D, f64, true, -1.0, 4294967296.0, u32, SEXT)
            TO_INTEGER(FCVT_L_D, f64, true, -9223372036854775808.0, 9223372036854775808.0, i64, (u64))
            TO_INTEGER(FCVT_W_S, f32, BOXED(B), -2147483648.0f, 2147483648.0f, i32, SEXT)
            TO_INTEGER(FCVT_L_S, f32, BOXED(B), -9223372036854775808.0f, 9223372036854775808.0f, i64,
                       (u64))
            FROM_INTEGER_D(FCVT_D_W, i32, true)
            FROM_INTEGER_D(FCVT_D_WU, u32, true)
            FROM_INTEGER_D(FCVT_D_L, i64, false)
            FROM_INTEGER_D(FCVT_D_LU, u64, false)
            FROM_INTEGER_S(FCVT_S_W, i32)
            FROM_INTEGER_S(FCVT_S_WU, u32)
            FROM_INTEGER_S(FCVT_S_L, i64)
            FROM_INTEGER_S(FCVT_S_LU, u64)
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

            BRANCH(BEQ, OP_BEQ_FAR, B == C)
            BRANCH(BNE, OP_BNE_FAR, B != C)
            BRANCH(BLT, OP_BLT_FAR, (i64)B < (i64)C)
            BRANCH(BGE, OP_BGE_FAR, (i64)B >= (i64)C)
            BRANCH(BLTU, OP_BLTU_FAR, B < C)
            BRANCH(BGEU, OP_BGEU_FAR, B >= C)
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
        case OP_NEXT:
            pc = base + ip->off;
            break;
        case JAL:
            A = base + ip->c;
            pc = base + ip->off + IMM;
            break;
        case JALR:
            pc = (B + IMM) & ~1ull;
            A = base + ip->c;
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
                     !(offset = w->map[(u32)(pc & PAGE_MASK) / 2]))) {
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

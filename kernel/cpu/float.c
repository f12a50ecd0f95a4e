// Floating point in integers. A number is unpacked to sign, exponent and a 64-bit significand, worked
// on, and rounded once, by round_pack. Underflow is detected after rounding; every NaN result is
// the canonical one.
#include "float.h"
#include "insn.h"
#include "muldiv.h"

struct format {
    u32 fraction; // stored bits of the significand
    i32 bias;
    u64 nan; // canonical
};
static const struct format format_s = {23, 127, 0x7fc00000};
static const struct format format_d = {52, 1023, 0x7ff8000000000000};

enum kind { ZERO, FINITE, INFINITE, QUIET, SIGNALING };

// FINITE: sig * 2^(exp - 63), bit 63 of sig set.
struct number {
    enum kind kind;
    bool sign;
    i32 exp;
    u64 sig;
};

static u32 format_width(const struct format *f) { return f == &format_s ? 32 : 64; }

static struct number unpack(const struct format *f, u64 bits) {
    u32 width = format_width(f);
    u64 fraction = bits & ((1ull << f->fraction) - 1);
    u32 exp_max = 2 * (u32)f->bias + 1;
    u32 exp = (u32)(bits >> f->fraction) & exp_max;
    struct number n = {.sign = bits >> (width - 1) & 1};
    if (exp == exp_max) {
        n.kind = !fraction ? INFINITE : fraction >> (f->fraction - 1) ? QUIET : SIGNALING;
    } else if (exp || fraction) {
        n.kind = FINITE;
        n.sig = (exp ? 1ull << f->fraction | fraction : fraction) << (63 - f->fraction);
        u32 shift = (u32)__builtin_clzll(n.sig);
        n.sig <<= shift;
        n.exp = (exp ? (i32)exp : 1) - f->bias - (i32)shift;
    }
    return n;
}

static u64 pack(const struct format *f, bool sign, u64 magnitude) {
    return magnitude | (u64)sign << (format_width(f) - 1);
}

static u64 pack_infinite(const struct format *f, bool sign) {
    return pack(f, sign, (2 * (u64)f->bias + 1) << f->fraction);
}

static bool rounds_up(u32 rounding, bool sign, bool odd, u64 rest, u64 half, bool sticky) {
    switch (rounding) {
    case ROUND_NE: return rest > half || (rest == half && (sticky || odd));
    case ROUND_DN: return sign && (rest || sticky);
    case ROUND_UP: return !sign && (rest || sticky);
    case ROUND_MM: return rest >= half;
    default: return false;
    }
}

static u64 overflow(const struct format *f, struct float_env *env, bool sign) {
    env->flags |= FLAG_OF | FLAG_NX;
    u64 infinite = pack_infinite(f, sign);
    bool to_infinite = env->rounding == ROUND_NE || env->rounding == ROUND_MM ||
                       env->rounding == (sign ? ROUND_DN : ROUND_UP);
    return to_infinite ? infinite : infinite - 1;
}

// Round sig * 2^(exp - 63), plus something in (0, 1) of its last bit if `sticky`. Bit 63 is set.
static u64 round_pack(const struct format *f, struct float_env *env, bool sign, i32 exp, u64 sig,
                      bool sticky) {
    u32 drop = 63 - f->fraction;
    u64 half = 1ull << (drop - 1), mask = 2 * half - 1;
    i32 exp_min = 1 - f->bias;
    bool tiny = false;
    if (exp < exp_min) {
        // Tiny unless rounding with an unbounded exponent reaches the smallest normal number.
        bool carries = sig >> drop == (2ull << f->fraction) - 1 &&
                       rounds_up(env->rounding, sign, true, sig & mask, half, sticky);
        tiny = exp < exp_min - 1 || !carries;
        u32 shift = (u32)(exp_min - exp);
        sticky |= shift > 63 || (sig & ((1ull << shift) - 1)) != 0;
        sig = shift > 63 ? 0 : sig >> shift;
        exp = exp_min;
    }
    u64 rest = sig & mask;
    bool inexact = rest || sticky;
    u64 kept = sig >> drop;
    kept += rounds_up(env->rounding, sign, kept & 1, rest, half, sticky);
    if (kept >> f->fraction == 2) {
        kept >>= 1;
        exp++;
    }
    if (exp > f->bias)
        return overflow(f, env, sign);
    if (inexact)
        env->flags |= tiny ? FLAG_NX | FLAG_UF : FLAG_NX;
    // The leading bit of a normal number adds 1 to the exponent field.
    return pack(f, sign, ((u64)(exp - exp_min) << f->fraction) + kept);
}

static u64 invalid(const struct format *f, struct float_env *env) {
    env->flags |= FLAG_NV;
    return f->nan;
}

static bool is_nan(struct number n) { return n.kind >= QUIET; }

static u64 nan_result(const struct format *f, struct float_env *env, struct number a,
                      struct number b) {
    return a.kind == SIGNALING || b.kind == SIGNALING ? invalid(f, env) : f->nan;
}

// 128 bits; shifts by a variable are spelled out, the compiler would call its library for them.
typedef unsigned __int128 u128;

static u128 wide(u64 high, u64 low) { return (u128)high << 64 | low; }

static u128 shift_right_sticky(u128 value, u32 shift, bool *sticky) {
    u64 high = (u64)(value >> 64), low = (u64)value;
    if (shift > 127) {
        *sticky |= value != 0;
        return 0;
    }
    if (shift > 63) {
        *sticky |= low != 0;
        low = high;
        high = 0;
        shift -= 64;
    }
    if (shift) {
        *sticky |= low << (64 - shift) != 0;
        low = low >> shift | high << (64 - shift);
        high >>= shift;
    }
    return wide(high, low);
}

// x + y for x, y at 2^(exp - 126), bit 126 set in each.
static u64 add_wide(const struct format *f, struct float_env *env, bool x_sign, i32 x_exp, u128 x,
                    bool y_sign, i32 y_exp, u128 y) {
    if (y_exp > x_exp || (y_exp == x_exp && y > x)) {
        u128 t = x;
        x = y, y = t;
        i32 e = x_exp;
        x_exp = y_exp, y_exp = e;
        bool s = x_sign;
        x_sign = y_sign, y_sign = s;
    }
    bool sticky = false;
    y = shift_right_sticky(y, (u32)(x_exp - y_exp), &sticky);
    u128 sum = x_sign == y_sign ? x + y : x - y - sticky;
    if (!sum && !sticky)
        return pack(f, env->rounding == ROUND_DN, 0);
    u64 high = (u64)(sum >> 64), low = (u64)sum;
    u32 shift = high ? (u32)__builtin_clzll(high) : 64 + (u32)__builtin_clzll(low);
    if (shift > 63)
        high = low << (shift - 64), low = 0;
    else if (shift)
        high = high << shift | low >> (64 - shift), low <<= shift;
    return round_pack(f, env, x_sign, x_exp + 1 - (i32)shift, high, sticky || low != 0);
}

static u64 add(const struct format *f, struct float_env *env, struct number a, struct number b) {
    if (is_nan(a) || is_nan(b))
        return nan_result(f, env, a, b);
    if (a.kind == INFINITE || b.kind == INFINITE) {
        if (a.kind == b.kind && a.sign != b.sign)
            return invalid(f, env);
        return pack_infinite(f, a.kind == INFINITE ? a.sign : b.sign);
    }
    if (a.kind == ZERO && b.kind == ZERO)
        return pack(f, a.sign == b.sign ? a.sign : env->rounding == ROUND_DN, 0);
    if (a.kind == ZERO)
        return round_pack(f, env, b.sign, b.exp, b.sig, false);
    if (b.kind == ZERO)
        return round_pack(f, env, a.sign, a.exp, a.sig, false);
    return add_wide(f, env, a.sign, a.exp, (u128)a.sig << 63, b.sign, b.exp, (u128)b.sig << 63);
}

static struct number negated(struct number n) {
    n.sign = !n.sign;
    return n;
}

static u64 multiply(const struct format *f, struct float_env *env, struct number a,
                    struct number b) {
    bool sign = a.sign != b.sign;
    if (is_nan(a) || is_nan(b))
        return nan_result(f, env, a, b);
    if (a.kind == INFINITE || b.kind == INFINITE)
        return a.kind == ZERO || b.kind == ZERO ? invalid(f, env) : pack_infinite(f, sign);
    if (a.kind == ZERO || b.kind == ZERO)
        return pack(f, sign, 0);
    u64 high = mul_high(a.sig, b.sig), low = a.sig * b.sig;
    i32 exp = a.exp + b.exp + 1;
    if (!(high >> 63)) {
        high = high << 1 | low >> 63;
        low <<= 1;
        exp--;
    }
    return round_pack(f, env, sign, exp, high, low != 0);
}

static u64 fused(const struct format *f, struct float_env *env, struct number a, struct number b,
                 struct number c) {
    bool sign = a.sign != b.sign;
    bool invalid_product = (a.kind == INFINITE && b.kind == ZERO) ||
                           (a.kind == ZERO && b.kind == INFINITE);
    if (invalid_product || a.kind == SIGNALING || b.kind == SIGNALING || c.kind == SIGNALING)
        return invalid(f, env);
    if (is_nan(a) || is_nan(b) || is_nan(c))
        return f->nan;
    if (a.kind == INFINITE || b.kind == INFINITE)
        return c.kind == INFINITE && c.sign != sign ? invalid(f, env) : pack_infinite(f, sign);
    if (c.kind == INFINITE)
        return pack_infinite(f, c.sign);
    if (a.kind == ZERO || b.kind == ZERO) {
        if (c.kind == ZERO)
            return pack(f, sign == c.sign ? sign : env->rounding == ROUND_DN, 0);
        return round_pack(f, env, c.sign, c.exp, c.sig, false);
    }
    u128 product = wide(mul_high(a.sig, b.sig), a.sig * b.sig);
    i32 exp = a.exp + b.exp + 1;
    if (!(product >> 127)) {
        product <<= 1;
        exp--;
    }
    if (c.kind == ZERO)
        return round_pack(f, env, sign, exp, (u64)(product >> 64), (u64)product != 0);
    return add_wide(f, env, sign, exp, product >> 1, c.sign, c.exp, (u128)c.sig << 63);
}

static u64 divide(const struct format *f, struct float_env *env, struct number a, struct number b) {
    bool sign = a.sign != b.sign;
    if (is_nan(a) || is_nan(b))
        return nan_result(f, env, a, b);
    if (a.kind == INFINITE)
        return b.kind == INFINITE ? invalid(f, env) : pack_infinite(f, sign);
    if (b.kind == INFINITE)
        return pack(f, sign, 0);
    if (b.kind == ZERO) {
        if (a.kind == ZERO)
            return invalid(f, env);
        env->flags |= FLAG_DZ;
        return pack_infinite(f, sign);
    }
    if (a.kind == ZERO)
        return pack(f, sign, 0);
    // Long division, 11 quotient bits at a time: significands have 53 bits.
    u64 rest = a.sig >> 11, divisor = b.sig >> 11;
    u64 quotient = rest / divisor;
    rest %= divisor;
    for (u32 i = 0; i < 5; i++) {
        rest <<= 11;
        quotient = quotient << 11 | rest / divisor;
        rest %= divisor;
    }
    u32 shift = (u32)__builtin_clzll(quotient); // 8 or 9
    return round_pack(f, env, sign, a.exp - b.exp + 8 - (i32)shift, quotient << shift, rest != 0);
}

static u64 square_root(const struct format *f, struct float_env *env, struct number a) {
    if (is_nan(a))
        return nan_result(f, env, a, a);
    if (a.kind == ZERO)
        return pack(f, a.sign, 0);
    if (a.sign)
        return invalid(f, env);
    if (a.kind == INFINITE)
        return pack_infinite(f, false);
    // Digit by digit; the radicand is in [1, 4) with two bits before the point.
    u64 radicand = a.exp & 1 ? a.sig : a.sig >> 1;
    u64 root = 0, rest = 0;
    for (u32 i = 0; i < 56; i++) {
        rest = rest << 2 | radicand >> 62;
        radicand <<= 2;
        u64 trial = root << 2 | 1;
        root <<= 1;
        if (rest >= trial) {
            rest -= trial;
            root |= 1;
        }
    }
    return round_pack(f, env, false, a.exp >> 1, root << 8, rest != 0);
}

static u64 pick(const struct format *f, struct float_env *env, u64 a_bits, u64 b_bits,
                bool want_max) {
    struct number a = unpack(f, a_bits), b = unpack(f, b_bits);
    if (a.kind == SIGNALING || b.kind == SIGNALING)
        env->flags |= FLAG_NV;
    if (is_nan(a))
        return is_nan(b) ? f->nan : b_bits;
    if (is_nan(b))
        return a_bits;
    bool a_less = a.sign != b.sign ? a.sign : a.sign ? a_bits > b_bits : a_bits < b_bits;
    return a_less != want_max ? a_bits : b_bits;
}

static bool less(const struct format *f, struct float_env *env, u64 a_bits, u64 b_bits,
                 bool or_equal) {
    struct number a = unpack(f, a_bits), b = unpack(f, b_bits);
    if (is_nan(a) || is_nan(b)) {
        env->flags |= FLAG_NV;
        return false;
    }
    if (a.kind == ZERO && b.kind == ZERO)
        return or_equal;
    if (a.sign != b.sign)
        return a.sign;
    return (or_equal && a_bits == b_bits) || (a.sign ? a_bits > b_bits : a_bits < b_bits);
}

static bool equal(const struct format *f, struct float_env *env, u64 a_bits, u64 b_bits) {
    struct number a = unpack(f, a_bits), b = unpack(f, b_bits);
    if (a.kind == SIGNALING || b.kind == SIGNALING)
        env->flags |= FLAG_NV;
    if (is_nan(a) || is_nan(b))
        return false;
    return a_bits == b_bits || (a.kind == ZERO && b.kind == ZERO);
}

static u64 classify(const struct format *f, u64 bits) {
    struct number n = unpack(f, bits);
    switch (n.kind) {
    case QUIET: return 1 << 9;
    case SIGNALING: return 1 << 8;
    case INFINITE: return n.sign ? 1 << 0 : 1 << 7;
    case ZERO: return n.sign ? 1 << 3 : 1 << 4;
    default:;
        bool subnormal = n.exp < 1 - f->bias;
        return n.sign ? subnormal ? 1 << 2 : 1 << 1 : subnormal ? 1 << 5 : 1 << 6;
    }
}

// To an integer of `width` bits. Words come back sign-extended, unsigned ones too.
static u64 to_integer(struct float_env *env, struct number n, u32 width, bool is_signed) {
    u64 most = ~0ull >> (64 - width + is_signed);
    u64 least = is_signed ? ~most : 0; // as a 64-bit value
    bool negative = n.sign && !is_nan(n);
    u64 extreme = negative ? least : most;
    if (width == 32)
        extreme = (u64)(i64)(i32)extreme;
    if (n.kind == ZERO)
        return 0;
    if (n.kind != FINITE || n.exp > 63) {
        env->flags |= FLAG_NV;
        return extreme;
    }
    u64 whole = n.exp < 0 ? 0 : n.sig >> (63 - n.exp);
    u64 rest = n.exp == 63 ? 0 : n.exp >= -1 ? n.sig << (n.exp + 1) : 1;
    bool up = rounds_up(env->rounding, negative, whole & 1, rest, 1ull << 63, false);
    bool carry = up && whole == ~0ull;
    whole += up;
    u64 limit = negative ? (is_signed ? most + 1 : 0) : most;
    if (carry || whole > limit) {
        env->flags |= FLAG_NV;
        return extreme;
    }
    if (rest)
        env->flags |= FLAG_NX;
    if (negative)
        whole = 0 - whole;
    return width == 32 ? (u64)(i64)(i32)whole : whole;
}

static u64 from_integer(const struct format *f, struct float_env *env, u64 value, bool negative) {
    if (!value)
        return 0;
    if (negative)
        value = 0 - value;
    u32 shift = (u32)__builtin_clzll(value);
    return round_pack(f, env, negative, 63 - (i32)shift, value << shift, false);
}

static u64 convert(const struct format *to, struct float_env *env, struct number n) {
    switch (n.kind) {
    case ZERO: return pack(to, n.sign, 0);
    case INFINITE: return pack_infinite(to, n.sign);
    case FINITE: return round_pack(to, env, n.sign, n.exp, n.sig, false);
    default: return nan_result(to, env, n, n);
    }
}

static u64 box(u64 value) { return 0xffffffff00000000 | (u32)value; }

static u64 unbox(u64 value) { return value >> 32 == 0xffffffff ? (u32)value : format_s.nan; }

// One case per row and width.
#define FLOATS(id, expression)                                                                     \
    case id##_S: f = &format_s; return box(expression);                                            \
    case id##_D: f = &format_d; return expression;
#define INTEGERS(id, expression)                                                                   \
    case id##_S: f = &format_s; return expression;                                                 \
    case id##_D: f = &format_d; return expression;
#define NUMBER(bits) unpack(f, bits)

u64 float_execute(struct float_env *env, u32 id, u64 a, u64 b, u64 c) {
    const struct format *f;
    u64 raw = a;
    bool reads_single = (id >= FMADD_S && id <= FCLASS_S) || id == FCVT_D_S;
    if (reads_single && id != FMV_X_W && id != FMV_W_X &&
        !(id >= FCVT_S_W && id <= FCVT_S_LU)) {
        a = unbox(a);
        b = unbox(b);
        c = unbox(c);
    }
    u64 top = reads_single ? 1ull << 31 : 1ull << 63;
    switch (id) {
        FLOATS(FADD, add(f, env, NUMBER(a), NUMBER(b)))
        FLOATS(FSUB, add(f, env, NUMBER(a), NUMBER(b ^ (is_nan(NUMBER(b)) ? 0 : top))))
        FLOATS(FMUL, multiply(f, env, NUMBER(a), NUMBER(b)))
        FLOATS(FDIV, divide(f, env, NUMBER(a), NUMBER(b)))
        FLOATS(FSQRT, square_root(f, env, NUMBER(a)))
        FLOATS(FMADD, fused(f, env, NUMBER(a), NUMBER(b), NUMBER(c)))
        FLOATS(FMSUB, fused(f, env, NUMBER(a), NUMBER(b), negated(NUMBER(c))))
        FLOATS(FNMSUB, fused(f, env, negated(NUMBER(a)), NUMBER(b), NUMBER(c)))
        FLOATS(FNMADD, fused(f, env, negated(NUMBER(a)), NUMBER(b), negated(NUMBER(c))))
        FLOATS(FMIN, pick(f, env, a, b, false))
        FLOATS(FMAX, pick(f, env, a, b, true))
        FLOATS(FSGNJ, (a & ~top) | (b & top))
        FLOATS(FSGNJN, (a & ~top) | (~b & top))
        FLOATS(FSGNJX, a ^ (b & top))
        INTEGERS(FEQ, equal(f, env, a, b))
        INTEGERS(FLT, less(f, env, a, b, false))
        INTEGERS(FLE, less(f, env, a, b, true))
        INTEGERS(FCLASS, classify(f, a))
        INTEGERS(FCVT_W, to_integer(env, NUMBER(a), 32, true))
        INTEGERS(FCVT_WU, to_integer(env, NUMBER(a), 32, false))
        INTEGERS(FCVT_L, to_integer(env, NUMBER(a), 64, true))
        INTEGERS(FCVT_LU, to_integer(env, NUMBER(a), 64, false))
    case FCVT_S_W: return box(from_integer(&format_s, env, (u64)(i64)(i32)raw, (i32)raw < 0));
    case FCVT_S_WU: return box(from_integer(&format_s, env, (u32)raw, false));
    case FCVT_S_L: return box(from_integer(&format_s, env, raw, (i64)raw < 0));
    case FCVT_S_LU: return box(from_integer(&format_s, env, raw, false));
    case FCVT_D_W: return from_integer(&format_d, env, (u64)(i64)(i32)raw, (i32)raw < 0);
    case FCVT_D_WU: return from_integer(&format_d, env, (u32)raw, false);
    case FCVT_D_L: return from_integer(&format_d, env, raw, (i64)raw < 0);
    case FCVT_D_LU: return from_integer(&format_d, env, raw, false);
    case FCVT_S_D: return box(convert(&format_s, env, unpack(&format_d, a)));
    case FCVT_D_S: return convert(&format_d, env, unpack(&format_s, a));
    case FMV_X_W: return (u64)(i64)(i32)raw;
    case FMV_W_X: return box(raw);
    case FMV_X_D:
    case FMV_D_X: return raw;
    default: panic("not a float row");
    }
}

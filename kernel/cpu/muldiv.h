// The arithmetic that C leaves open or lacks: high halves of products, division as RISC-V wants it.
#pragma once
#include "../types.h"

// By halves: a 128-bit product would be a call into the compiler's library. The empty asm keeps the
// compiler from seeing through this.
always_inline_fn u64 mul_high(u64 a, u64 b) {
    u64 al = (u32)a, ah = a >> 32, bl = (u32)b, bh = b >> 32;
    u64 low = al * bl;
    __asm__("" : "+r"(low));
    u64 mid = ah * bl + (low >> 32);
    u64 mid2 = al * bh + (u32)mid;
    return ah * bh + (mid >> 32) + (mid2 >> 32);
}

always_inline_fn u64 mul_high_mixed(u64 a, u64 b) { return mul_high(a, b) - ((i64)a < 0 ? b : 0); }

always_inline_fn u64 mul_high_signed(u64 a, u64 b) {
    return mul_high_mixed(a, b) - ((i64)b < 0 ? a : 0);
}

always_inline_fn u64 div_signed(u64 a, u64 b) {
    if (b == ~0ull) // the one overflow, and -1 in general
        return 0 - a;
    return b ? (u64)((i64)a / (i64)b) : ~0ull;
}

always_inline_fn u64 rem_signed(u64 a, u64 b) {
    if (b == ~0ull)
        return 0;
    return b ? (u64)((i64)a % (i64)b) : a;
}

always_inline_fn u64 div_unsigned(u64 a, u64 b) { return b ? a / b : ~0ull; }

always_inline_fn u64 rem_unsigned(u64 a, u64 b) { return b ? a % b : a; }

always_inline_fn u64 div_signed_32(u64 a, u64 b) {
    if ((u32)b == ~0u)
        return (u64)(i64)(i32)(0 - (u32)a);
    return (u32)b ? (u64)(i64)((i32)a / (i32)b) : ~0ull;
}

always_inline_fn u64 rem_signed_32(u64 a, u64 b) {
    if ((u32)b == ~0u)
        return 0;
    return (u64)(i64)((u32)b ? (i32)a % (i32)b : (i32)a);
}

always_inline_fn u64 div_unsigned_32(u64 a, u64 b) {
    return (u32)b ? (u64)(i64)(i32)((u32)a / (u32)b) : ~0ull;
}

always_inline_fn u64 rem_unsigned_32(u64 a, u64 b) {
    return (u64)(i64)(i32)((u32)b ? (u32)a % (u32)b : (u32)a);
}

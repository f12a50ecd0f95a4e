// Writing WebAssembly's binary format (core specification, chapter 5).
#pragma once
#include "../types.h"

// Bytes being written. When there is no room left `full` is set and nothing more is written.
struct code {
    u8 *start, *at, *end;
    bool full;
};

enum wasm_type { T_I32 = 0x7f, T_I64 = 0x7e, T_F32 = 0x7d, T_F64 = 0x7c, T_V128 = 0x7b, T_NONE = 0x40 };

enum wasm_op {
    W_UNREACHABLE = 0x00, W_BLOCK = 0x02, W_LOOP = 0x03, W_IF = 0x04, W_ELSE = 0x05, W_END = 0x0b,
    W_BR = 0x0c, W_BR_IF = 0x0d, W_BR_TABLE = 0x0e, W_RETURN = 0x0f, W_CALL = 0x10, W_CALL_INDIRECT = 0x11,
    W_RETURN_CALL = 0x12, W_RETURN_CALL_INDIRECT = 0x13, W_DROP = 0x1a, W_SELECT = 0x1b,
    W_LOCAL_GET = 0x20, W_LOCAL_SET = 0x21, W_LOCAL_TEE = 0x22, W_GLOBAL_GET = 0x23,
    W_I32_LOAD = 0x28, W_I64_LOAD = 0x29, W_F32_LOAD = 0x2a, W_F64_LOAD = 0x2b,
    W_I64_LOAD8_S = 0x30, W_I64_LOAD8_U, W_I64_LOAD16_S, W_I64_LOAD16_U, W_I64_LOAD32_S, W_I64_LOAD32_U,
    W_I32_STORE = 0x36, W_I64_STORE = 0x37, W_F32_STORE = 0x38, W_F64_STORE = 0x39,
    W_I32_STORE8 = 0x3a, W_I32_STORE16, W_I64_STORE8, W_I64_STORE16, W_I64_STORE32,
    W_I32_CONST = 0x41, W_I64_CONST = 0x42, W_F32_CONST = 0x43, W_F64_CONST = 0x44,
    W_I32_EQZ = 0x45, W_I32_EQ, W_I32_NE, W_I32_LT_S, W_I32_LT_U, W_I32_GT_S, W_I32_GT_U, W_I32_LE_S,
    W_I32_LE_U, W_I32_GE_S, W_I32_GE_U,
    W_I64_EQZ = 0x50, W_I64_EQ, W_I64_NE, W_I64_LT_S, W_I64_LT_U, W_I64_GT_S, W_I64_GT_U, W_I64_LE_S,
    W_I64_LE_U, W_I64_GE_S, W_I64_GE_U,
    W_F32_EQ = 0x5b, W_F32_NE, W_F32_LT, W_F32_GT, W_F32_LE, W_F32_GE,
    W_F64_EQ = 0x61, W_F64_NE, W_F64_LT, W_F64_GT, W_F64_LE, W_F64_GE,
    W_I32_ADD = 0x6a, W_I32_SUB, W_I32_MUL, W_I32_DIV_S, W_I32_DIV_U, W_I32_REM_S, W_I32_REM_U,
    W_I32_AND, W_I32_OR, W_I32_XOR, W_I32_SHL, W_I32_SHR_S, W_I32_SHR_U, W_I32_ROTL, W_I32_ROTR,
    W_I64_CLZ = 0x79, W_I64_CTZ, W_I64_POPCNT,
    W_I64_ADD = 0x7c, W_I64_SUB, W_I64_MUL, W_I64_DIV_S, W_I64_DIV_U, W_I64_REM_S, W_I64_REM_U,
    W_I64_AND, W_I64_OR, W_I64_XOR, W_I64_SHL, W_I64_SHR_S, W_I64_SHR_U, W_I64_ROTL, W_I64_ROTR,
    W_F32_ABS = 0x8b, W_F32_NEG, W_F32_NEAREST = 0x90, W_F32_SQRT, W_F32_ADD, W_F32_SUB, W_F32_MUL, W_F32_DIV,
    W_F32_MIN, W_F32_MAX, W_F32_COPYSIGN,
    W_F64_ABS = 0x99, W_F64_NEG, W_F64_TRUNC = 0x9d, W_F64_NEAREST, W_F64_SQRT, W_F64_ADD, W_F64_SUB, W_F64_MUL, W_F64_DIV,
    W_F64_MIN, W_F64_MAX, W_F64_COPYSIGN,
    W_I32_WRAP_I64 = 0xa7, W_I32_TRUNC_F32_S, W_I32_TRUNC_F32_U, W_I32_TRUNC_F64_S, W_I32_TRUNC_F64_U,
    W_I64_EXTEND_I32_S = 0xac, W_I64_EXTEND_I32_U,
    W_I64_TRUNC_F32_S = 0xae, W_I64_TRUNC_F32_U, W_I64_TRUNC_F64_S, W_I64_TRUNC_F64_U,
    W_F32_CONVERT_I32_S = 0xb2, W_F32_CONVERT_I32_U, W_F32_CONVERT_I64_S, W_F32_CONVERT_I64_U,
    W_F32_DEMOTE_F64,
    W_F64_CONVERT_I32_S = 0xb7, W_F64_CONVERT_I32_U, W_F64_CONVERT_I64_S, W_F64_CONVERT_I64_U,
    W_F64_PROMOTE_F32,
    W_I32_REINTERPRET_F32 = 0xbc, W_I64_REINTERPRET_F64, W_F32_REINTERPRET_I32,
    W_F64_REINTERPRET_I64 = 0xbf, W_I64_EXTEND8_S = 0xc2, W_I64_EXTEND16_S, W_I64_EXTEND32_S,
    W_SIMD = 0xfd, W_ATOMIC = 0xfe,
    // Behind W_ATOMIC; 64 bits, and the lower 32 of 64 zero-extended.
    WA_FENCE = 0x03, WA_LOAD = 0x11, WA_LOAD32 = 0x16,
    WA_ADD = 0x1f, WA_ADD32 = 0x24, WA_AND = 0x2d, WA_AND32 = 0x32, WA_OR = 0x34, WA_OR32 = 0x39,
    WA_XOR = 0x3b, WA_XOR32 = 0x40, WA_SWAP = 0x42, WA_SWAP32 = 0x47, WA_CAS = 0x49, WA_CAS32 = 0x4e,
};

// Behind W_SIMD.
enum wasm_simd { W_F64X2_SPLAT = 0x14, W_F64X2_EXTRACT_LANE = 0x21, W_F64X2_RELAXED_MADD = 0x107 };

static inline void put(struct code *code, u32 byte) {
    if (code->at < code->end)
        *code->at++ = (u8)byte;
    else
        code->full = true;
}

static inline void put_u(struct code *code, u32 value) {
    for (; value >= 0x80; value >>= 7)
        put(code, 0x80 | (value & 0x7f));
    put(code, value);
}

static inline void put_s(struct code *code, i64 value) {
    for (; value < -64 || value > 63; value >>= 7)
        put(code, 0x80 | (value & 0x7f));
    put(code, (u32)value & 0x7f);
}

static inline void put_name(struct code *code, const char *name) {
    u32 length = (u32)__builtin_strlen(name);
    put_u(code, length);
    for (u32 i = 0; i < length; i++)
        put(code, (u8)name[i]);
}

// A length that is known later: five bytes are kept for it.
static inline u8 *length_begin(struct code *code) {
    u8 *at = code->at;
    for (u32 i = 0; i < 5; i++)
        put(code, 0x80);
    return at;
}

static inline void number_at(u8 *at, u32 value) {
    for (u32 i = 0; i < 5; i++, value >>= 7)
        at[i] = (u8)((value & 0x7f) | (i < 4 ? 0x80 : 0));
}

static inline void length_end(struct code *code, u8 *at) {
    if (!code->full)
        number_at(at, (u32)(code->at - at) - 5);
}

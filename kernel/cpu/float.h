// IEEE 754 arithmetic as RISC-V wants it, in integers: exact results and flags in every rounding mode.
#pragma once
#include "../types.h"

enum { FLAG_NX = 1, FLAG_UF = 2, FLAG_OF = 4, FLAG_DZ = 8, FLAG_NV = 16 };
enum { ROUND_NE, ROUND_TZ, ROUND_DN, ROUND_UP, ROUND_MM };

struct float_env {
    u32 rounding; // ROUND_*
    u32 flags;    // FLAG_*, OR-ed in
};

// Result register of the float row `id` (insn.tbl, loads and stores excepted) for raw operand registers.
u64 float_execute(struct float_env *env, u32 id, u64 a, u64 b, u64 c);

// Atomic memory operations on a host address that is aligned and writable.
#pragma once
#include "../types.h"

u64 amo_load(maddr address, u32 size, bool smp);

// Stores `value` if memory still holds `expected`.
bool amo_swap_if(maddr address, u32 size, u64 expected, u64 value, bool smp);

// The row `id` (AMOSWAP_W to AMOMAXU_D): combines memory and `value`, returns the old value, words
// sign-extended.
u64 amo_execute(u32 id, maddr address, u64 value, bool smp);

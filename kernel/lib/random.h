// The guest's random numbers: ChaCha20 (RFC 8439) keyed by the seed in BOOT, so that a run repeats.
#pragma once
#include "../types.h"

struct random {
    u32 key[8];
    u64 counter;
};
void random_seed(struct random *r, const u8 seed[32]);
void random_mix(struct random *r, const u8 seed[32]); // RESEED
void random_bytes(struct random *r, void *out, size_t n);

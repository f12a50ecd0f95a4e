#include "random.h"
#include "string.h"

static u32 rotl(u32 x, u32 n) {
    return x << n | x >> (32 - n);
}

static void quarter(u32 s[16], int a, int b, int c, int d) {
    s[a] += s[b], s[d] = rotl(s[d] ^ s[a], 16);
    s[c] += s[d], s[b] = rotl(s[b] ^ s[c], 12);
    s[a] += s[b], s[d] = rotl(s[d] ^ s[a], 8);
    s[c] += s[d], s[b] = rotl(s[b] ^ s[c], 7);
}

static void block(struct random *r, u32 out[16]) {
    u32 in[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
    memcpy(in + 4, r->key, sizeof r->key);
    in[12] = (u32)r->counter;
    in[13] = (u32)(r->counter >> 32);
    r->counter++;
    memcpy(out, in, sizeof in);
    for (int i = 0; i < 10; i++) {
        quarter(out, 0, 4, 8, 12), quarter(out, 1, 5, 9, 13);
        quarter(out, 2, 6, 10, 14), quarter(out, 3, 7, 11, 15);
        quarter(out, 0, 5, 10, 15), quarter(out, 1, 6, 11, 12);
        quarter(out, 2, 7, 8, 13), quarter(out, 3, 4, 9, 14);
    }
    for (int i = 0; i < 16; i++)
        out[i] += in[i];
}

void random_seed(struct random *r, const u8 seed[32]) {
    memcpy(r->key, seed, 32);
    r->counter = 0;
}

void random_mix(struct random *r, const u8 seed[32]) {
    u32 fresh[16];
    block(r, fresh);
    for (int i = 0; i < 8; i++) {
        u32 s;
        memcpy(&s, seed + 4 * i, 4);
        r->key[i] = fresh[i] ^ s;
    }
}

void random_bytes(struct random *r, void *out, size_t n) {
    for (u8 *p = out; n;) {
        u32 words[16];
        block(r, words);
        size_t take = min(n, sizeof words);
        memcpy(p, words, take);
        p += take, n -= take;
    }
}

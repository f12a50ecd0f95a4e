// 2,000 small blocks in a ring, each jumping to the next, which lies far away: dispersed code.
#include "bench.h"
// The block called `name` works on its own number and goes on at `next`. Sections go by the last
// digit, so neighbours in the ring are two hundred blocks apart in memory.
#define BLOCK(name, next, digit)                                                                   \
    uint64_t b##next(uint64_t x, uint32_t *m, unsigned left);                                      \
    __attribute__((noinline, section(".text.ring" #digit))) uint64_t b##name(uint64_t x, uint32_t *m, unsigned left) { \
        if (!left)                                                                                 \
            return x;                                                                              \
        x = (x ^ name) * 0x9e3779b97f4a7c15u;                                                      \
        if (x >> 63)                                                                               \
            m[x >> 56 & 63] += (uint32_t)x;                                                        \
        x += m[name & 63] ^ x >> 29;                                                               \
        __attribute__((musttail)) return b##next(x, m, left - 1);                                  \
    }
// Digits are put to the ends of two numbers, a block's and its successor's.
#define TEN(p, q)                                                                                  \
    BLOCK(p##0, p##1, 0) BLOCK(p##1, p##2, 1) BLOCK(p##2, p##3, 2) BLOCK(p##3, p##4, 3)             \
    BLOCK(p##4, p##5, 4) BLOCK(p##5, p##6, 5) BLOCK(p##6, p##7, 6) BLOCK(p##7, p##8, 7)             \
    BLOCK(p##8, p##9, 8) BLOCK(p##9, q##0, 9)
#define HUNDRED(p, q)                                                                              \
    TEN(p##0, p##1) TEN(p##1, p##2) TEN(p##2, p##3) TEN(p##3, p##4) TEN(p##4, p##5)                 \
    TEN(p##5, p##6) TEN(p##6, p##7) TEN(p##7, p##8) TEN(p##8, p##9) TEN(p##9, q##0)
#define THOUSAND(p, q)                                                                             \
    HUNDRED(p##0, p##1) HUNDRED(p##1, p##2) HUNDRED(p##2, p##3) HUNDRED(p##3, p##4)                 \
    HUNDRED(p##4, p##5) HUNDRED(p##5, p##6) HUNDRED(p##6, p##7) HUNDRED(p##7, p##8)                 \
    HUNDRED(p##8, p##9) HUNDRED(p##9, q##0)
THOUSAND(1, 2)
THOUSAND(2, 1)
uint64_t work(void) {
    static uint32_t memory[64];
    return b1000(random_next(), memory, 2000 * 800);
}

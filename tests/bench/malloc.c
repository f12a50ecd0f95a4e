// Allocation churn of mixed sizes.
#include "bench.h"
#define N 4096
static void *slot[N];
uint64_t work(void) {
    uint64_t sum = 0;
    for (int i = 0; i < 200000; i++) {
        uint32_t r = random_next();
        unsigned n = r % N, size = 16 + (r >> 12) % 500;
        free(slot[n]);
        slot[n] = malloc(size);
        *(uint32_t *)slot[n] = r;
        sum += *(uint32_t *)slot[n] + size;
    }
    return sum;
}

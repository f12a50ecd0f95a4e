// Sieve of Eratosthenes: byte stores with a stride.
#include "bench.h"
#define N 2000000
static unsigned char composite[N];
uint64_t work(void) {
    memset(composite, 0, sizeof composite);
    uint64_t count = 0;
    for (unsigned i = 2; i < N; i++) {
        if (composite[i])
            continue;
        count++;
        for (uint64_t j = (uint64_t)i * i; j < N; j += i)
            composite[j] = 1;
    }
    return count;
}

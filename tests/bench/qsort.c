// The C library's qsort with a comparison function: indirect calls.
#include "bench.h"
#define N 100000
static uint32_t v[N];
static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}
uint64_t work(void) {
    for (int i = 0; i < N; i++)
        v[i] = random_next();
    qsort(v, N, sizeof *v, compare);
    return v[N / 2];
}

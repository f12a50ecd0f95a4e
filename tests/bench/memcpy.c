// Copies of 1 MiB by the C library.
#include "bench.h"
static char from[1 << 20], to[1 << 20];
uint64_t work(void) {
    for (int i = 0; i < 32; i++) {
        from[i * 31] = (char)i;
        memcpy(to, from, sizeof to);
        __asm__ volatile("" ::: "memory");
    }
    return (uint64_t)to[31 * 31];
}

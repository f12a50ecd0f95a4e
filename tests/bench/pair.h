// What two harts share out: one half of the work, for thread or process `me`.
#pragma once
#include "bench.h"
static uint64_t half(uint64_t me) {
    uint64_t x = me + 1;
    for (int i = 0; i < 20000000; i++)
        x = x * 6364136223846793005u + (x >> 33 | 1);
    return x;
}

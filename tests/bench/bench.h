// What every benchmark program shares: main(repetitions) and a checksum on standard output, so that the same
// source can be compared natively, under qemu and here.
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t random_state = 12345;
static inline uint32_t random_next(void) { // xorshift32
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}

uint64_t work(void); // one repetition; its checksum

int main(int argc, char **argv) {
    uint64_t (*volatile repeat)(void) = work; // or what is the same each time would be done once
    uint64_t sum = 0;
    for (int n = argc > 1 ? atoi(argv[1]) : 1; n > 0; n--)
        sum = sum * 31 + repeat();
    printf("%016llx\n", (unsigned long long)sum);
    return 0;
}

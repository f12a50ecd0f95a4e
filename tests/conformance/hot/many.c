// More functions become hot in one instant than are compiled in one go.
#include <stdint.h>
#include <stdio.h>

#define ONE(n) \
    __attribute__((noinline)) static uint32_t f##n(uint32_t x) { return (x ^ x >> n % 7) * (n * 2u + 1); }
#define TEN(n) \
    ONE(n##0) ONE(n##1) ONE(n##2) ONE(n##3) ONE(n##4) ONE(n##5) ONE(n##6) ONE(n##7) ONE(n##8) ONE(n##9)
#define NAMES(n) \
    f##n##0, f##n##1, f##n##2, f##n##3, f##n##4, f##n##5, f##n##6, f##n##7, f##n##8, f##n##9,
#define ALL(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16)
ALL(TEN)
static uint32_t (*volatile functions[])(uint32_t) = {ALL(NAMES)};

int main(void) {
    uint32_t x = 1;
    for (unsigned round = 0; round < 60; round++)
        for (unsigned i = 0; i < sizeof functions / sizeof *functions; i++)
            x = functions[i](x) + round;
    printf("%u\n", x);
}

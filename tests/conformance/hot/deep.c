// Recursion whose every level has an instruction that compiled code leaves to the interpreter, before and after it goes
// deeper; through a pointer, too, and left by longjmp.
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __riscv
#define RARE() __asm__ volatile("fence.i" ::: "memory")
#else
#define RARE() __asm__ volatile("" ::: "memory")
#endif

static jmp_buf out;
static unsigned escapes;

static uint64_t deep(unsigned n, unsigned escape);
static uint64_t (*volatile next)(unsigned, unsigned) = deep;

__attribute__((noinline)) static uint64_t deep(unsigned n, unsigned escape) {
    RARE();
    if (!n) {
        if (escape)
            longjmp(out, 1);
        return 1;
    }
    uint64_t below = n % 3 ? deep(n - 1, escape) : next(n - 1, escape);
    if (n % 2)
        RARE();
    return below * 31 + n;
}

int main(void) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < 40; i++) {
        sum = sum * 7 + deep(10 + i * 40, 0);
        if (!setjmp(out))
            deep(i * 9, 1);
        else
            escapes++;
    }
    printf("%016llx %u\n", (unsigned long long)sum, escapes);
    return 0;
}

// Recursion: calls and returns.
#include "bench.h"
static uint64_t __attribute__((noinline)) fib(unsigned n) {
    return n < 2 ? n : fib(n - 1) + fib(n - 2);
}
uint64_t work(void) {
    static volatile unsigned n = 30; // unknown to the compiler, or it would do the work once
    return fib(n);
}

// A hot jump through a register leads to many places, to others from some time on, to some that fault, are replaced or taken
// away, and to the middle of loops: an interpreter as compilers write them, and one in pages of its own.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

static uint64_t memory[64];

// Each step jumps by itself, as GCC makes it of a table of labels.
__attribute__((noinline)) static uint64_t run(const uint8_t *code, uint64_t a, uint64_t *slots) {
    static const void *const label[] = {&&add, &&twice, &&put, &&get, &&less, &&loop, &&inside, &&divide, &&call, &&end};
    uint64_t b = 1, n = 0;
    double x = 1;
#define NEXT goto *label[*code++]
    NEXT;
add: a += b; NEXT;
twice: a = a * 2 + *code++; NEXT;
put: slots[a % 64] += b; b += a & 7; NEXT;
get: b ^= slots[*code++ % 64]; NEXT;
less: code += a < b ? 1 : 0; NEXT;
loop: n = a & 15;
again:
    b += n * 3;
inside: a ^= b >> 3; // of the loop
    if (n-- > 1 && n < 16)
        goto again;
    NEXT;
divide: x = x / 3 + (double)(a & 1023); a += (uint64_t)x; NEXT;
call: a = (uint64_t)snprintf((char *)slots, 0, "%llu", (unsigned long long)a) + a; NEXT;
end: return a + b;
}

static uint64_t state = 88172645463325252ull;
static uint64_t below(uint64_t n) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state * 0x2545f4914f6cdd1dull >> 33) % n;
}

// kinds: how many of the steps are used
static void write_code(uint8_t *code, unsigned count, unsigned kinds) {
    for (unsigned i = 0; i + 1 < count; i++)
        code[i] = (uint8_t)(below(kinds));
    code[count - 3] = code[count - 2] = code[count - 1] = 9;
}

// 1: lbu a3, 0(a0); addi a0, a0, 1; slli a3, a3, 4; add a3, a3, a1; jr a3
__asm__(".globl next_begin, next_end\n"
        "next_begin:\n .option push\n .option norvc\n"
        "  lbu a3, 0(a0)\n  addi a0, a0, 1\n  slli a3, a3, 6\n  add a3, a3, a1\n  jr a3\n .option pop\n"
        "next_end:\n");
extern const uint8_t next_begin[], next_end[];

static volatile uint64_t faults;
static void on_fault(int signal, siginfo_t *info, void *context) {
    ucontext_t *ucontext = context;
    (void)signal, (void)info;
    faults++;
    ucontext->uc_mcontext.__gregs[0] = ucontext->uc_mcontext.__gregs[1]; // back to the caller
}

// Step `number` of the interpreter at `base`, 64 bytes each: a2 = a2 + by, then the next. by 0: it ends.
static void put(uint8_t *base, unsigned number, unsigned by) {
    uint8_t *at = base + number * 64;
    uint32_t words[] = {0x00060613u | by << 20, 0x00060513u, 0x00008067u}; // addi a2, a2, by; mv a0, a2; ret
    memcpy(at, words, sizeof words);
    if (by)
        memcpy(at + 4, next_begin, (size_t)(next_end - next_begin));
    __builtin___clear_cache((char *)at, (char *)at + 64);
}

static uint64_t call(uint8_t *base, const uint8_t *code) {
    register const uint8_t *a0 __asm__("a0") = code;
    register uint8_t *a1 __asm__("a1") = base;
    register uint64_t a2 __asm__("a2") = 0;
    __asm__ volatile("jalr ra, 0(a1)" : "+r"(a0), "+r"(a2) : "r"(a1) : "ra", "a3", "memory");
    return (uint64_t)a0;
}

int main(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    static uint8_t code[3000];
    uint64_t sum = 0;
    for (unsigned round = 0; round < 60; round++) {
        write_code(code, sizeof code, round < 20 ? 5 : round < 40 ? 7 : 9); // more of them later
        sum = sum * 31 + run(code, round, memory);
    }
    printf("%llx\n", (unsigned long long)sum);
    int all = PROT_READ | PROT_WRITE | PROT_EXEC;
    uint8_t *base = mmap(NULL, 3 * 4096, all, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < 160; i++)
        put(base, i, i % 5 == 4 ? 0 : i % 7 + 1);
    sum = 0;
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i + 1 < sizeof code; i++)
            do
                code[i] = (uint8_t)below(round < 10 ? 20 : 160);
            while (code[i] % 5 == 4);
        code[sizeof code - 1] = 4;
        sum = sum * 31 + call(base, code);
        if (round % 4 == 3) { // replaced, protected, taken away
            put(base, 2, round);
            sum = sum * 31 + call(base, code);
            mprotect(base + 4096, 4096, PROT_READ | PROT_WRITE);
            faults = 0;
            call(base, code);
            sum = sum * 31 + faults;
            mprotect(base + 4096, 4096, all);
            if (round % 8 == 7) {
                munmap(base + 8192, 4096);
                call(base, code);
                mmap(base + 8192, 4096, all, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
                for (unsigned i = 128; i < 160; i++)
                    put(base, i, i % 5 == 4 ? 0 : i % 3 + 1);
            }
            sum = sum * 31 + faults;
        }
    }
    printf("%llx\n", (unsigned long long)sum);
    return 0;
}

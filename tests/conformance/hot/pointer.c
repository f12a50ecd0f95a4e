// A hot call through a register goes where the register points now: to another function, to code that was replaced, protected or
// taken away since, however often it led to a small function before.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

// Calls `function` `times` times; the sum of what it answers. Copied to the page before those of the functions.
__asm__(".globl loop_begin, loop_end\n"
        "loop_begin:\n"
        "  addi sp, sp, -32\n  sd ra, 0(sp)\n  sd s1, 8(sp)\n  sd s2, 16(sp)\n  sd s3, 24(sp)\n"
        "  mv s1, a0\n  mv s2, a1\n  li s3, 0\n"
        "1: mv a0, s3\n  jalr s1\n  mv s3, a0\n  addi s2, s2, -1\n  bnez s2, 1b\n"
        "  mv a0, s3\n  ld ra, 0(sp)\n  ld s1, 8(sp)\n  ld s2, 16(sp)\n  ld s3, 24(sp)\n  addi sp, sp, 32\n  ret\n"
        "loop_end:\n");
extern const uint8_t loop_begin[], loop_end[];

static volatile uint64_t fault_at, faults;
static void on_fault(int signal, siginfo_t *info, void *context) {
    uint64_t *pc = (uint64_t *)&((ucontext_t *)context)->uc_mcontext.__gregs[0];
    (void)signal;
    fault_at = (uint64_t)info->si_addr;
    faults++;
    *pc = pc[1]; // back to the caller
}

// addi a0, a0, by; ret
static void put(uint8_t *at, uint32_t by) {
    uint32_t words[] = {0x00050513u | by << 20, 0x00008067u};
    memcpy(at, words, sizeof words);
    __builtin___clear_cache((char *)at, (char *)at + sizeof words);
}

int main(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    int all = PROT_READ | PROT_WRITE | PROT_EXEC;
    uint8_t *page = mmap(NULL, 3 * 4096, all, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, loop_begin, (size_t)(loop_end - loop_begin));
    __builtin___clear_cache((char *)page, (char *)page + 4096);
    uint64_t (*loop)(void *, uint64_t) = (void *)page;
    uint8_t *one = page + 4096, *other = page + 8192;
    put(one, 1);
    put(other, 7);
    unsigned wrong = loop(one, 40000) != 40000;
    for (unsigned round = 0; round < 12; round++) {
        wrong += loop(other, 100) != 700; // elsewhere
        wrong += loop(one, 3000) != 3000;
        put(one, 2); // replaced
        wrong += loop(one, 300) != 600;
        put(one, 1);
        mprotect(one, 4096, PROT_READ | PROT_WRITE); // protected
        faults = 0;
        wrong += loop(one, 20) != 0 || faults != 20 || fault_at != (uint64_t)one;
        mprotect(one, 4096, all);
        wrong += loop(one, 3000) != 3000;
        munmap(one, 4096); // taken away
        faults = 0;
        wrong += loop(one, 20) != 0 || faults != 20 || fault_at != (uint64_t)one;
        mmap(one, 4096, all, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        put(one, 3);
        wrong += loop(one, 300) != 900;
        put(one, 1);
    }
    printf("%u wrong\n", wrong);
    return wrong != 0;
}

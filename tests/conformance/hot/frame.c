// What a hot loop reads on its stack behind a call is what is there then: the function may have written to it, to a page that a
// child shares, may have taken the page's rights away, or may return with another stack.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

// loop(function, times, stack): on that stack, calls the function with its address and wants what it reads there to be one more
// behind the call; then with sp 16 lower; how often it was not so. Each function is too long to be copied into the loop.
#define LONG ".rept 60\n  addi t3, t3, 1\n .endr\n"
__asm__(".globl loop, add_one, add_one_and_move, forbid\n"
        "loop:\n"
        "  addi sp, sp, -64\n  sd ra, 0(sp)\n  sd s0, 8(sp)\n  sd s1, 16(sp)\n"
        "  sd s2, 24(sp)\n  sd s3, 32(sp)\n  sd s4, 40(sp)\n  sd s5, 48(sp)\n"
        "  mv s1, a0\n  mv s2, a1\n  mv s3, sp\n  li s4, 0\n  mv s0, a2\n  mv sp, a2\n"
        "1: ld s5, 0(sp)\n  ld t1, 8(s0)\n  mv a0, sp\n  jalr s1\n"
        "  ld t0, 0(s0)\n  ld t2, 0(sp)\n  sub t0, t0, s5\n  addi t0, t0, -1\n  snez t0, t0\n  add s4, s4, t0\n"
        "  sub t2, t2, s5\n  addi t2, t2, -1\n  snez t2, t2\n  add s4, s4, t2\n"
        "  mv sp, s0\n  addi s2, s2, -1\n  bnez s2, 1b\n"
        "  mv a0, s4\n  mv sp, s3\n"
        "  ld ra, 0(sp)\n  ld s0, 8(sp)\n  ld s1, 16(sp)\n  ld s2, 24(sp)\n"
        "  ld s3, 32(sp)\n  ld s4, 40(sp)\n  ld s5, 48(sp)\n  addi sp, sp, 64\n  ret\n"
        "add_one:\n" LONG "  ld t0, 0(a0)\n  addi t0, t0, 1\n  sd t0, 0(a0)\n  ret\n"
        "add_one_and_move:\n" LONG
        "  ld t0, 0(a0)\n  addi t0, t0, 1\n  sd t0, 0(a0)\n  sd t0, -16(a0)\n  addi sp, sp, -16\n  ret\n"
        "forbid:\n" LONG "  ld t0, 0(a0)\n  addi t0, t0, 1\n  sd t0, 0(a0)\n"
        "  li t0, -4096\n  and a0, a0, t0\n  li a1, 4096\n  li a2, 0\n  li a7, 226\n  ecall\n  ret\n");
uint64_t loop(void (*)(void), uint64_t, uint8_t *);
void add_one(void), add_one_and_move(void), forbid(void);

static uint8_t *page;
static volatile unsigned faults;
static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    faults += (uint64_t)info->si_addr >> 12 == (uint64_t)page >> 12;
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
}

int main(void) {
    static uint8_t other_stack[32768];
    stack_t stack = {.ss_sp = other_stack, .ss_size = sizeof other_stack};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &action, NULL);
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t wrong = loop(add_one, 30000, page + 2048);
    for (unsigned round = 0; round < 8; round++) {
        int ends[2];
        if (pipe(ends))
            return 2;
        pid_t child = fork(); // now the page is shared
        if (!child) {
            char byte;
            close(ends[1]);
            _exit(read(ends[0], &byte, 1) != 0);
        }
        (void)*(volatile uint8_t *)page; // to read needs no copy yet
        wrong += loop(add_one, 200, page + 2048);
        close(ends[0]);
        close(ends[1]);
        waitpid(child, NULL, 0);
        wrong += loop(add_one_and_move, 2000, page + 2048);
        faults = 0;
        wrong += loop(forbid, 50, page + 2048) + (faults != 50);
    }
    printf("%d wrong\n", (int)wrong);
    return wrong != 0;
}

// A jump to a function's address with a high bit changed faults there, however hot the function is and whatever
// changed in the address space since it ran.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

static volatile uint64_t fault_at;
static volatile unsigned faults, entered;

static void on_fault(int signal, siginfo_t *info, void *context) {
    uint64_t *pc = (uint64_t *)&((ucontext_t *)context)->uc_mcontext.__gregs[0];
    (void)signal;
    fault_at = (uint64_t)info->si_addr;
    faults++;
    *pc = pc[1]; // back to the caller
}

__attribute__((noinline, aligned(64))) static void target(void) {
    for (int i = 0; i < 3; i++)
        entered++;
}
__attribute__((noinline, aligned(64))) static void other(void) { __asm__ volatile(""); }

__attribute__((noinline)) static void call(void (*volatile *function)(void), unsigned times) {
    for (unsigned i = 0; i < times; i++)
        (*function)();
}

int main(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    uint8_t *page = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void (*volatile good)(void) = target, (*volatile plain)(void) = other;
    unsigned wrong = 0;
    for (unsigned round = 0; round < 24; round++) {
        call(&plain, 4000);
        call(&good, 4000);
        mprotect(page, 4096, round & 1 ? PROT_READ | PROT_EXEC : PROT_READ);
        for (unsigned high = 1; high < 16; high++) {
            uint64_t at = (uint64_t)target ^ (uint64_t)high << 47;
            void (*volatile bad)(void) = (void (*)(void))at;
            unsigned before = entered;
            faults = 0;
            call(&bad, 1);
            wrong += faults != 1 || entered != before || fault_at != at;
        }
    }
    printf("%u wrong, entered %u\n", wrong, entered);
    return wrong != 0;
}

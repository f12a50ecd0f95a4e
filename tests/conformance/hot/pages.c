// A hot block whose accesses cross pages has each checked by itself: what may be read there may not be written.
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

// both(a, b): adds one to *a and moves b[0] to b[8] and b[16]. Too long to be copied into its caller.
__asm__(".globl both\n"
        "both:\n .rept 60\n  addi t3, t3, 1\n .endr\n"
        "  ld t0, 0(a0)\n  addi t0, t0, 1\n  sd t0, 0(a0)\n"
        "  ld t1, 0(a1)\n  sd t1, 8(a1)\n  sd t1, 16(a1)\n  ret\n");
void both(uint8_t *a, uint8_t *b);
static void often(uint8_t *a, uint8_t *b, unsigned times) {
    while (times--)
        both(a, b);
}

static uint8_t *pages;
static volatile unsigned faults;
static void on_fault(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)context;
    faults += info->si_addr == pages;
    mprotect(pages, 4096, PROT_READ | PROT_WRITE);
}

int main(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    pages = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *whole = pages + 2 * 4096, *across = pages + 3 * 4096 - 16;
    often(pages, whole, 30000);
    often(pages, across, 30000);
    for (unsigned round = 1; round <= 4; round++) {
        mprotect(pages, 4096, PROT_READ);
        uint64_t before = *(volatile uint64_t *)pages;
        often(pages, across, 100);
        if (faults != round || *(volatile uint64_t *)pages != before + 100)
            return 1;
    }
    printf("%u faults\n", faults);
    return 0;
}

// System calls in a hot loop, whose number is known only when it is made: each answer is the call's own, and all other
// registers are as they were.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

// ask(numbers, answers, times, rounds): makes that many calls, so many times; how many registers were changed, or answers wrong.
// All are sums of what came before, so that one that is lost shows.
#define CHECK(reg, off) "  ld t0, " #off "(sp)\n  xor t0, t0, " #reg "\n  snez t0, t0\n  add s8, s8, t0\n"
__asm__(".globl ask\n"
        "ask:\n"
        "  addi sp, sp, -192\n  sd ra, 0(sp)\n  sd s0, 8(sp)\n  sd s1, 16(sp)\n  sd s2, 24(sp)\n  sd s3, 32(sp)\n"
        "  sd s4, 40(sp)\n  sd s5, 48(sp)\n  sd s6, 56(sp)\n  sd s7, 64(sp)\n  sd s8, 72(sp)\n  sd s9, 80(sp)\n"
        "  mv s0, a0\n  mv s1, a1\n  mv s2, a2\n  mv s3, a3\n  li s8, 0\n  li a2, 1\n"
        "1: li s4, 0\n"
        "2: slli s5, s4, 3\n  add s6, s0, s5\n  add s7, s1, s5\n  ld a7, 0(s6)\n  ld s9, 0(s7)\n"
        "  add a1, a1, s3\n  add a2, a2, a1\n  add a3, a3, a2\n  add a4, a4, a3\n  add a5, a5, a4\n  add a6, a6, a5\n"
        "  add t1, t1, a6\n  add t2, t2, t1\n  add t3, t3, t2\n  add t4, t4, t3\n  add t5, t5, t4\n  add t6, t6, t5\n"
        "  sd a1, 96(sp)\n  sd a2, 104(sp)\n  sd a3, 112(sp)\n  sd a4, 120(sp)\n  sd a5, 128(sp)\n  sd a6, 136(sp)\n"
        "  sd t1, 144(sp)\n  sd t2, 152(sp)\n  sd t3, 160(sp)\n  sd t4, 168(sp)\n  sd t5, 176(sp)\n  sd t6, 184(sp)\n"
        "  mv a0, s4\n  ecall\n"
        "  xor t0, a0, s9\n  snez t0, t0\n  add s8, s8, t0\n" // the answer
        CHECK(a1, 96) CHECK(a2, 104) CHECK(a3, 112) CHECK(a4, 120) CHECK(a5, 128) CHECK(a6, 136)
        CHECK(t1, 144) CHECK(t2, 152) CHECK(t3, 160) CHECK(t4, 168) CHECK(t5, 176) CHECK(t6, 184)
        "  addi s4, s4, 1\n  bne s4, s2, 2b\n"
        "  addi s3, s3, -1\n  bnez s3, 1b\n"
        "  mv a0, s8\n"
        "  ld ra, 0(sp)\n  ld s0, 8(sp)\n  ld s1, 16(sp)\n  ld s2, 24(sp)\n  ld s3, 32(sp)\n"
        "  ld s4, 40(sp)\n  ld s5, 48(sp)\n  ld s6, 56(sp)\n  ld s7, 64(sp)\n  ld s8, 72(sp)\n  ld s9, 80(sp)\n"
        "  addi sp, sp, 192\n  ret\n");
uint64_t ask(const long *numbers, const long *answers, uint64_t times, uint64_t rounds);

static volatile sig_atomic_t alarms;
static void on_alarm(int signal) {
    (void)signal;
    alarms++;
}

int main(void) {
    static const long numbers[] = {SYS_getpid, SYS_gettid, SYS_getppid, SYS_getuid, SYS_geteuid,
                                   SYS_getgid, 1000,       SYS_getegid, SYS_lseek,  SYS_getpid};
    enum { COUNT = sizeof numbers / sizeof *numbers };
    long answers[COUNT] = {getpid(),  gettid(), getppid(), getuid(), geteuid(),
                           getgid(), -38,      getegid(), -9,        getpid()};
    uint64_t wrong = ask(numbers, answers, 2, 20000); // only such as concern nobody else
    wrong += ask(numbers, answers, COUNT - 2, 3000);
    wrong += ask(numbers, answers, COUNT, 3000); // descriptor 8 is none
    signal(SIGVTALRM, on_alarm);
    struct itimerval often = {{0, 1000}, {0, 1000}};
    setitimer(ITIMER_VIRTUAL, &often, NULL);
    while (alarms < 3)
        wrong += ask(numbers, answers, 3, 100);
    printf("%llu changed\n", (unsigned long long)wrong);
    return wrong != 0;
}

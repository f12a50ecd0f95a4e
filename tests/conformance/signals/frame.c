// The frame of a handler: registers come back, the context can be changed, alternate stacks, masks.
// linux: native
#include "../check.h"
#include <fenv.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <ucontext.h>

static volatile int count;
static char *stack;
#define STACK_SIZE 65536

static void clobbers(int number) {
    volatile double x = 3.0;
    fesetround(FE_UPWARD);
    for (int i = 0; i < 100; i++)
        x = sqrt(x) * 1.7;
    count++;
}

static int on_stack(void *p) {
    return (char *)p >= stack && (char *)p < stack + STACK_SIZE;
}

static void runs_there(int number) {
    int local;
    stack_t now;
    CHECK(on_stack(&local) && syscall(SYS_sigaltstack, NULL, &now) == 0 && now.ss_flags == SS_ONSTACK && now.ss_size == STACK_SIZE);
    FAILS(syscall(SYS_sigaltstack, &now, NULL), EPERM);
    if (count++ == 0)
        raise(SIGUSR2); // stays on it
}

static void runs_here(int number) {
    int local;
    CHECK(!on_stack(&local));
    count++;
}

static void sets_mask(int number, siginfo_t *info, void *arg) {
    ucontext_t *context = arg;
    CHECK(!sigismember(&context->uc_sigmask, SIGUSR1)); // as it was before
    sigaddset(&context->uc_sigmask, SIGHUP);
    CHECK((uintptr_t)context % 16 == 0);
    count++;
}

static sigjmp_buf jump;
static void jumps(int number) {
    siglongjmp(jump, 5);
}

static volatile int disarmed;
static void disarms(int number) {
    int local;
    stack_t now;
    CHECK(on_stack(&local) && syscall(SYS_sigaltstack, NULL, &now) == 0);
    disarmed = now.ss_flags & SS_DISABLE ? 1 : 0;
}

static void set(int number, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    CHECK(sigaction(number, &action, NULL) == 0);
    count = 0;
}

// Many values live in registers across a handler.
static __attribute__((noinline)) void keeps_registers(void) {
    long a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8;
    double p = 1.5, q = 2.5, r = 3.5, s = 4.5;
    for (int i = 0; i < 50; i++) {
        kill(getpid(), SIGUSR1);
        a += b, b += c, c += d, d += e, e += f, f += g, g += h, h += i;
        p += q, q += r, r += s, s += 1;
    }
    CHECK(count == 50 && fegetround() == FE_TONEAREST);
    long a2 = 1, b2 = 2, c2 = 3, d2 = 4, e2 = 5, f2 = 6, g2 = 7, h2 = 8;
    double p2 = 1.5, q2 = 2.5, r2 = 3.5, s2 = 4.5;
    for (int i = 0; i < 50; i++) {
        a2 += b2, b2 += c2, c2 += d2, d2 += e2, e2 += f2, f2 += g2, g2 += h2, h2 += i;
        p2 += q2, q2 += r2, r2 += s2, s2 += 1;
    }
    CHECK(a == a2 && b == b2 && h == h2 && p == p2 && q == q2 && s == s2);
}

int main(void) {
    set(SIGUSR1, clobbers, 0);
    keeps_registers();

    stack = malloc(STACK_SIZE);
    stack_t alternate = {.ss_sp = stack, .ss_size = STACK_SIZE}, old;
    CHECK(syscall(SYS_sigaltstack, &alternate, &old) == 0 && (old.ss_flags & SS_DISABLE));
    set(SIGUSR1, runs_there, SA_ONSTACK);
    set(SIGUSR2, runs_there, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK(count == 2);
    set(SIGUSR1, runs_here, 0);
    raise(SIGUSR1);
    CHECK(count == 1);
    alternate.ss_size = 100;
    FAILS(syscall(SYS_sigaltstack, &alternate, NULL), ENOMEM);
    alternate.ss_flags = 77;
    FAILS(syscall(SYS_sigaltstack, &alternate, NULL), EINVAL);
    alternate = (stack_t){.ss_sp = stack, .ss_size = STACK_SIZE, .ss_flags = (int)(1u << 31)};
    CHECK(syscall(SYS_sigaltstack, &alternate, NULL) == 0);
    set(SIGUSR1, disarms, SA_ONSTACK);
    raise(SIGUSR1);
    CHECK(disarmed == 1 && syscall(SYS_sigaltstack, NULL, &old) == 0 && old.ss_sp == stack); // armed again by the return
    alternate.ss_flags = SS_DISABLE;
    CHECK(syscall(SYS_sigaltstack, &alternate, NULL) == 0 && syscall(SYS_sigaltstack, NULL, &old) == 0 && (old.ss_flags & SS_DISABLE));

    struct sigaction action = {.sa_sigaction = sets_mask, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    count = 0;
    raise(SIGUSR1);
    sigset_t mask;
    CHECK(count == 1 && sigprocmask(SIG_BLOCK, NULL, &mask) == 0 && sigismember(&mask, SIGHUP));
    CHECK(!sigismember(&mask, SIGUSR1));

    set(SIGUSR1, jumps, 0);
    int value = sigsetjmp(jump, 1);
    if (!value) {
        raise(SIGUSR1);
        CHECK(0);
    }
    CHECK(value == 5 && sigprocmask(SIG_BLOCK, NULL, &mask) == 0 && !sigismember(&mask, SIGUSR1));
    return done();
}

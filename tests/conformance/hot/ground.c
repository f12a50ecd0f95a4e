// System calls in hot loops that change what the code behind them stands on: memory and its rights, code, registers, who
// runs, when a timer ends.
#include "../check.h"
#include <fcntl.h>
#include <linux/futex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

#define PAGE 4096
enum { MANY = 3000, SOME = 60 };

// Stands in the loop itself: no function of the library's between the loop and the call.
static inline long call(long nr, long a, long b, long c, long d, long e) {
    register long a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c, a3 __asm__("a3") = d,
                  a4 __asm__("a4") = e, a5 __asm__("a5") = 0, a7 __asm__("a7") = nr;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7) : "memory");
    return a0;
}
#define CALL(name, a, b, c, d, e) call(SYS_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))

static sigjmp_buf back;
static volatile int faults;
static void on_fault(int signal) {
    (void)signal;
    faults++;
    siglongjmp(back, 1);
}

static void rights(volatile uint64_t *page) {
    signal(SIGSEGV, on_fault);
    for (volatile int round = 0; round < SOME; round++) {
        if (!sigsetjmp(back, 1)) {
            for (int i = 0; i < MANY / SOME; i++) {
                page[1] = (uint64_t)i;
                CHECK(!CALL(mprotect, page, PAGE, PROT_READ, 0, 0));
                CHECK(page[1] == (uint64_t)i);
                if (i == MANY / SOME - 1)
                    page[1] = 0; // which it may not
                CHECK(!CALL(mprotect, page, PAGE, PROT_READ | PROT_WRITE, 0, 0));
            }
        }
        CHECK(faults == round + 1 && page[1] == MANY / SOME - 1);
        CHECK(!mprotect((void *)page, PAGE, PROT_READ | PROT_WRITE));
    }
    signal(SIGSEGV, SIG_DFL);
}

static void maps(volatile uint64_t *page) {
    for (int i = 1; i < MANY; i++) {
        page[3] = (uint64_t)i;
        CHECK(CALL(mmap, page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1) == (long)page);
        CHECK(page[3] == 0);
    }
}

static void files(int file, volatile uint64_t *page) {
    struct stat status;
    uint64_t sum = 0;
    for (uint64_t i = 0; i < MANY; i++) {
        CHECK(CALL(pwrite64, file, &i, 8, 16, 0) == 8);
        page[5] = 0;
        CHECK(CALL(pread64, file, page + 5, 8, 16, 0) == 8);
        CHECK(page[5] == i);
        CHECK(CALL(lseek, file, i, SEEK_SET, 0, 0) == (long)i && CALL(lseek, file, 0, SEEK_CUR, 0, 0) == (long)i);
        CHECK(!CALL(fstat, file, &status, 0, 0, 0) && status.st_size == 24);
        CHECK(CALL(fstat, file, NULL, 0, 0, 0) == -EFAULT && CALL(lseek, -1, 0, 0, 0, 0) == -EBADF);
        sum += page[5];
    }
    CHECK(sum == (uint64_t)MANY * (MANY - 1) / 2);
}

// A read(2) puts another instruction where the next call leads.
static void code(int file, uint32_t *page) {
    uint32_t ret = 0x8067;
    CHECK(CALL(pwrite64, file, &ret, 4, 4, 0) == 4);
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t li = 0x513 | (i & 0x7ff) << 20; // li a0, i
        if (i % 16 == 0) {
            CHECK(CALL(pwrite64, file, &li, 4, 0, 0) == 4);
            CHECK(CALL(pread64, file, page, 8, 0, 0) == 8);
            __asm__ volatile("fence.i" ::: "memory");
        }
        CHECK(((uint32_t(*)(void))page)() == (i / 16 * 16 & 0x7ff));
    }
}

static void pipes(void) {
    int one[2], other[2];
    char byte = 0;
    CHECK(!pipe2(one, O_NONBLOCK) && !pipe(other));
    for (int i = 0; i < MANY; i++) {
        CHECK(CALL(read, one[0], &byte, 1, 0, 0) == -EAGAIN);
        CHECK(CALL(write, one[1], &i, 1, 0, 0) == 1 && CALL(read, one[0], &byte, 1, 0, 0) == 1 && byte == (char)i);
    }
    int there[2];
    CHECK(!pipe(there));
    pid_t child = fork();
    if (!child) {
        for (int i = 0; i < MANY; i++) // each waits for the other
            if (CALL(read, there[0], &byte, 1, 0, 0) != 1 || CALL(write, other[1], &byte, 1, 0, 0) != 1)
                _exit(1);
        _exit(0);
    }
    for (int i = 0; i < MANY; i++) {
        CHECK(CALL(write, there[1], &i, 1, 0, 0) == 1);
        CHECK(CALL(read, other[0], &byte, 1, 0, 0) == 1 && byte == (char)i);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && !status);
}

static volatile long heard;
static void on_signal(int signal) {
    (void)signal;
    heard++;
}

static void signals(void) {
    long pid = getpid();
    uint64_t set = 1 << (SIGUSR1 - 1);
    signal(SIGUSR1, on_signal);
    for (long i = 0; i < MANY; i++) {
        CHECK(!CALL(kill, pid, SIGUSR1, 0, 0, 0) && heard == 2 * i + 1);
        CHECK(!CALL(rt_sigprocmask, SIG_BLOCK, &set, NULL, 8, 0));
        CHECK(!CALL(kill, pid, SIGUSR1, 0, 0, 0) && heard == 2 * i + 1);
        CHECK(!CALL(rt_sigprocmask, SIG_UNBLOCK, &set, NULL, 8, 0) && heard == 2 * i + 2);
    }
}

// The handler adds one to s11 of what it interrupts, and to fs0's bits; the loop adds one to s10 and 1.0 to fs1.
__asm__(".globl changed\n"
        "changed:\n"
        "  addi sp, sp, -48\n  sd s10, 0(sp)\n  sd s11, 8(sp)\n  fsd fs0, 16(sp)\n  fsd fs1, 24(sp)\n"
        "  mv t3, a0\n  mv t4, a1\n  li s10, 0\n  li s11, 0\n  fmv.d.x fs0, zero\n  fmv.d.x fs1, zero\n"
        "  li t0, 1\n  fcvt.d.l ft1, t0\n"
        "1: mv a0, t4\n  li a1, 12\n  li a7, 129\n  ecall\n" // kill(pid, SIGUSR2)
        "  bnez a0, 2f\n  addi s10, s10, 1\n  bne s10, s11, 2f\n"
        "  fadd.d fs1, fs1, ft1\n  fmv.x.d t0, fs0\n  bne t0, s11, 2f\n  fcvt.l.d t0, fs1\n  bne t0, s10, 2f\n"
        "  bne s10, t3, 1b\n"
        "2: mv a0, s10\n"
        "  ld s10, 0(sp)\n  ld s11, 8(sp)\n  fld fs0, 16(sp)\n  fld fs1, 24(sp)\n  addi sp, sp, 48\n  ret\n");
long changed(long times, long pid);
static void on_change(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    mcontext_t *machine = &((ucontext_t *)context)->uc_mcontext;
    machine->__gregs[27]++;
    machine->__fpregs.__d.__f[8]++;
}

static void registers(void) {
    struct sigaction action = {.sa_sigaction = on_change, .sa_flags = SA_SIGINFO};
    CHECK(!sigaction(SIGUSR2, &action, NULL));
    CHECK(changed(MANY, getpid()) == MANY);
}

static void timers(void) {
    signal(SIGVTALRM, on_signal);
    struct itimerval soon = {.it_value.tv_usec = 50}, off = {};
    struct timespec now, before = {};
    heard = 0;
    for (long i = 0; i < SOME; i++) {
        CHECK(!CALL(setitimer, ITIMER_VIRTUAL, &soon, NULL, 0, 0));
        while (heard == i)
            CHECK(!CALL(clock_gettime, CLOCK_MONOTONIC, &now, 0, 0, 0));
        CHECK(!CALL(setitimer, ITIMER_VIRTUAL, &off, NULL, 0, 0) && heard == i + 1);
        CHECK(now.tv_sec > before.tv_sec || (now.tv_sec == before.tv_sec && now.tv_nsec >= before.tv_nsec));
        before = now;
    }
}

static void others(void) {
    static int word;
    struct timespec soon = {.tv_nsec = 1};
    for (int i = 0; i < MANY; i++) {
        CHECK(CALL(futex, &word, FUTEX_WAKE_PRIVATE, 1, 0, 0) == 0);
        CHECK(CALL(futex, &word, FUTEX_WAIT_PRIVATE, 1, 0, 0) == -EAGAIN);
        CHECK(!CALL(sched_yield, 0, 0, 0, 0, 0));
        if (i % 64 == 0)
            CHECK(!CALL(nanosleep, &soon, NULL, 0, 0, 0));
    }
    for (int i = 0; i < SOME; i++) {
        int status;
        long child = CALL(clone, SIGCHLD, 0, 0, 0, 0);
        if (!child)
            CALL(exit_group, i, 0, 0, 0, 0);
        CHECK(CALL(wait4, child, &status, 0, 0, 0) == child && status == i << 8);
    }
}

int main(void) {
    char name[] = "/tmp/ground-XXXXXX";
    int file = mkstemp(name);
    CHECK(file >= 0 && !unlink(name));
    uint64_t *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint32_t *text = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED && text != MAP_FAILED);
    rights(page);
    maps(page);
    files(file, page);
    code(file, text);
    pipes();
    signals();
    registers();
    timers();
    others();
    return done();
}

// clock_gettime(2) and what else tells the time; processor time; getrusage(2), times(2).
#include "../check.h"
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>

static long long now(clockid_t clock) {
    struct timespec t;
    CHECK(clock_gettime(clock, &t) == 0 && t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

static volatile unsigned long spun;
static void spin(void) {
    for (unsigned i = 0; i < 3000000; i++)
        spun += i;
}

// A kernel that counts ticks may have met none of them in user mode yet.
static void spin_until_it_shows(void) {
    struct rusage self;
    do {
        spin();
        CHECK(getrusage(RUSAGE_SELF, &self) == 0);
    } while (!self.ru_utime.tv_sec && !self.ru_utime.tv_usec);
}

int main(void) {
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE,
                                       CLOCK_BOOTTIME, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
    for (unsigned i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        struct timespec r;
        long long a = now(clocks[i]), b = now(clocks[i]);
        CHECK(b >= a && clock_getres(clocks[i], &r) == 0 && r.tv_sec == 0 && r.tv_nsec > 0);
    }
    struct timespec t;
    FAILS(clock_gettime(55, &t), EINVAL);
    FAILS(clock_getres(55, &t), EINVAL);
    struct timeval tv;
    long long before = now(CLOCK_REALTIME);
    CHECK(gettimeofday(&tv, NULL) == 0);
    long long micro = tv.tv_sec * 1000000ll + tv.tv_usec;
    CHECK(micro >= before / 1000 - 1 && micro <= now(CLOCK_REALTIME) / 1000 + 1);
    CHECK(llabs(time(NULL) - before / 1000000000) <= 1 && before > 1500000000ll * 1000000000);

    long long cpu = now(CLOCK_PROCESS_CPUTIME_ID), mono = now(CLOCK_MONOTONIC);
    spin_until_it_shows();
    CHECK(now(CLOCK_PROCESS_CPUTIME_ID) > cpu && now(CLOCK_THREAD_CPUTIME_ID) > 0 && now(CLOCK_MONOTONIC) > mono);
    clockid_t own;
    CHECK(clock_getcpuclockid(0, &own) == 0 && now(own) > cpu);

    struct rusage self, children;
    CHECK(getrusage(RUSAGE_SELF, &self) == 0 && getrusage(RUSAGE_CHILDREN, &children) == 0);
    CHECK(self.ru_utime.tv_sec * 1000000 + self.ru_utime.tv_usec > 0 && children.ru_utime.tv_sec == 0 && children.ru_utime.tv_usec == 0);
    FAILS(getrusage(5, &self), EINVAL);
    pid_t pid = fork();
    if (!pid) {
        spin_until_it_shows();
        _exit(0);
    }
    struct rusage waited;
    CHECK(wait4(pid, NULL, 0, &waited) == pid && getrusage(RUSAGE_CHILDREN, &children) == 0);
    CHECK(children.ru_utime.tv_sec * 1000000 + children.ru_utime.tv_usec > 0);
    struct tms tms;
    CHECK(times(&tms) > 0 && times(NULL) > 0 && sysconf(_SC_CLK_TCK) == 100);
    struct timex tx = {.modes = 0};
    CHECK(adjtimex(&tx) >= 0 && tx.tick >= 9000 && tx.tick <= 11000);
    return done();
}

// nanosleep(2), clock_nanosleep(2): durations, absolute times, interruption and what is left.
#include "../check.h"
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

static volatile int signals;
static void on_signal(int signo) {
    signals++;
}

static long long now(clockid_t clock) {
    struct timespec t;
    CHECK(clock_gettime(clock, &t) == 0);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}
static struct timespec from(long long ns) {
    return (struct timespec){ns / 1000000000, ns % 1000000000};
}
// Again and again: the first may come before there is anything to interrupt.
static void alarm_every(long us) {
    struct itimerval v = {{0, us}, {0, us}};
    CHECK(setitimer(ITIMER_REAL, &v, NULL) == 0);
}

int main(void) {
    struct timespec t = {0, 5000000}, left = {7, 7};
    long long before = now(CLOCK_MONOTONIC);
    CHECK(nanosleep(&t, &left) == 0 && now(CLOCK_MONOTONIC) - before >= 5000000 && left.tv_sec == 7);
    t.tv_nsec = 0;
    CHECK(nanosleep(&t, NULL) == 0);
    t.tv_nsec = 1000000000;
    FAILS(nanosleep(&t, NULL), EINVAL);
    t = (struct timespec){-1, 0};
    FAILS(nanosleep(&t, NULL), EINVAL);

    static const clockid_t clocks[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME};
    for (int i = 0; i < 3; i++) {
        long long until = now(clocks[i]) + 5000000;
        t = from(until);
        CHECK(clock_nanosleep(clocks[i], TIMER_ABSTIME, &t, NULL) == 0 && now(clocks[i]) >= until);
        CHECK(clock_nanosleep(clocks[i], TIMER_ABSTIME, &t, NULL) == 0); // past
        t = from(2000000);
        before = now(CLOCK_MONOTONIC);
        CHECK(clock_nanosleep(clocks[i], 0, &t, NULL) == 0 && now(CLOCK_MONOTONIC) - before >= 2000000);
    }
    CHECK(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &t, NULL) == EINVAL);
    CHECK(clock_nanosleep(99, 0, &t, NULL) == EINVAL);

    // A handler interrupts, even with SA_RESTART; what is left is told.
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGALRM, &sa, NULL) == 0);
    alarm_every(3000);
    t = (struct timespec){1000, 0};
    FAILS(nanosleep(&t, &left), EINTR);
    CHECK(signals >= 1 && left.tv_sec >= 900 && left.tv_sec < 1000);
    // A signal without a handler does not: the sleep goes on to its end.
    signal(SIGALRM, SIG_IGN);
    t = (struct timespec){0, 4000000};
    before = now(CLOCK_MONOTONIC);
    CHECK(nanosleep(&t, NULL) == 0 && now(CLOCK_MONOTONIC) - before >= 4000000);
    alarm_every(0);
    // Nor does being stopped and continued.
    int status;
    pid_t pid = fork();
    if (!pid) {
        t = (struct timespec){0, 20000000};
        before = now(CLOCK_MONOTONIC);
        CHECK(nanosleep(&t, NULL) == 0 && now(CLOCK_MONOTONIC) - before >= 20000000);
        _exit(9);
    }
    t = (struct timespec){0, 2000000};
    nanosleep(&t, NULL);
    CHECK(kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    CHECK(kill(pid, SIGCONT) == 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 9);
    return done();
}

// setitimer(2) on its three clocks; timer_create(2) with signals, values, intervals and overruns.
#include "../check.h"
#include <signal.h>
#include <sys/time.h>
#include <time.h>

static volatile int counts[65], last_value, last_code;

static void on_signal(int signo) {
    counts[signo]++;
}
static void on_info(int signo, siginfo_t *info, void *context) {
    counts[signo]++;
    last_code = info->si_code;
    last_value = info->si_value.sival_int;
}

static volatile unsigned long spun;

static void real(void) {
    struct itimerval v = {{0, 2000}, {0, 3000}}, got;
    sigset_t alrm, none;
    sigemptyset(&none), sigemptyset(&alrm), sigaddset(&alrm, SIGALRM);
    sigprocmask(SIG_BLOCK, &alrm, NULL);
    signal(SIGALRM, on_signal);
    CHECK(setitimer(ITIMER_REAL, &v, NULL) == 0);
    CHECK(getitimer(ITIMER_REAL, &got) == 0 && got.it_interval.tv_usec == 2000 && got.it_value.tv_usec <= 3000);
    for (int i = 1; i <= 4; i++) {
        CHECK(sigsuspend(&none) == -1);
        CHECK(counts[SIGALRM] == i);
    }
    struct itimerval off = {{0, 0}, {0, 0}};
    CHECK(setitimer(ITIMER_REAL, &off, &got) == 0 && got.it_interval.tv_usec == 2000);
    CHECK(getitimer(ITIMER_REAL, &got) == 0 && !got.it_value.tv_sec && !got.it_value.tv_usec);
    CHECK(alarm(100) == 0 && alarm(0) == 100);
    FAILS(setitimer(7, &v, NULL), EINVAL);
    v.it_value.tv_usec = 1000000;
    FAILS(setitimer(ITIMER_REAL, &v, NULL), EINVAL);
    sigprocmask(SIG_UNBLOCK, &alrm, NULL);
}

static void processor_time(void) {
    static const struct {
        int which, signo;
    } kinds[] = {{ITIMER_VIRTUAL, SIGVTALRM}, {ITIMER_PROF, SIGPROF}};
    for (int k = 0; k < 2; k++) {
        struct itimerval v = {{0, 5000}, {0, 5000}}, off = {{0, 0}, {0, 0}};
        signal(kinds[k].signo, on_signal);
        CHECK(setitimer(kinds[k].which, &v, NULL) == 0);
        while (counts[kinds[k].signo] < 3)
            spun++;
        CHECK(setitimer(kinds[k].which, &off, NULL) == 0);
    }
}

static void posix(void) {
    struct sigaction sa = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO};
    sigset_t usr, none, other_only;
    sigemptyset(&none), sigemptyset(&usr), sigaddset(&usr, SIGUSR1), sigaddset(&usr, SIGUSR2);
    sigprocmask(SIG_BLOCK, &usr, NULL);
    CHECK(sigaction(SIGUSR1, &sa, NULL) == 0 && sigaction(SIGUSR2, &sa, NULL) == 0);
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value = {.sival_int = 1234}};
    timer_t id;
    CHECK(timer_create(CLOCK_MONOTONIC, &e, &id) == 0);
    struct itimerspec s = {{0, 0}, {100, 0}}, got;
    CHECK(timer_gettime(id, &got) == 0 && !got.it_value.tv_nsec);
    CHECK(timer_settime(id, 0, &s, NULL) == 0 && timer_gettime(id, &got) == 0 && got.it_value.tv_sec >= 90);
    s = (struct itimerspec){{0, 0}, {0, 2000000}};
    CHECK(timer_settime(id, 0, &s, NULL) == 0 && sigsuspend(&none) == -1 && counts[SIGUSR1] == 1 && last_code == SI_TIMER && last_value == 1234);
    CHECK(timer_getoverrun(id) == 0);

    // One signal however often it expires meanwhile; the rest is the overrun.
    struct timespec nap = {0, 10500000};
    s = (struct itimerspec){{0, 1000000}, {0, 1000000}};
    CHECK(timer_settime(id, 0, &s, NULL) == 0 && nanosleep(&nap, NULL) == 0);
    CHECK(sigsuspend(&none) == -1 && counts[SIGUSR1] == 2 && timer_getoverrun(id) >= 8);
    struct itimerspec off = {{0, 0}, {0, 0}};
    CHECK(timer_settime(id, 0, &off, &got) == 0 && got.it_interval.tv_nsec == 1000000);

    // Absolute. A last SIGUSR1 may be pending or not: Linux takes it back from a timer that is off, but not at once.
    sigfillset(&other_only), sigdelset(&other_only, SIGUSR2);
    struct timespec t;
    CHECK(clock_gettime(CLOCK_REALTIME, &t) == 0);
    timer_t other;
    e.sigev_value.sival_int = 5, e.sigev_signo = SIGUSR2;
    CHECK(timer_create(CLOCK_REALTIME, &e, &other) == 0 && other != id);
    t.tv_nsec += 2000000;
    if (t.tv_nsec >= 1000000000)
        t.tv_sec++, t.tv_nsec -= 1000000000;
    s = (struct itimerspec){{0, 0}, t};
    CHECK(timer_settime(other, TIMER_ABSTIME, &s, NULL) == 0 && sigsuspend(&other_only) == -1 && last_value == 5);
    s.it_value.tv_nsec = -1;
    FAILS(timer_settime(other, 0, &s, NULL), EINVAL);
    CHECK(timer_delete(other) == 0 && timer_delete(id) == 0);
    e.sigev_signo = 99;
    FAILS(timer_create(CLOCK_REALTIME, &e, &id), EINVAL);
    e.sigev_notify = SIGEV_NONE;
    CHECK(timer_create(CLOCK_REALTIME, &e, &id) == 0 && timer_delete(id) == 0);
}

int main(void) {
    real();
    processor_time();
    posix();
    return done();
}

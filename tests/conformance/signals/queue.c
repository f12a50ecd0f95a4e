// Real-time signals: queued each, in order, with their value; rt_sigqueueinfo and its limits.
// linux: native
#include "../check.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static volatile int values[64], numbers[64], count;

static void handler(int number, siginfo_t *info, void *context) {
    CHECK(info->si_code == SI_QUEUE && info->si_pid == getpid());
    values[count] = info->si_value.sival_int;
    numbers[count++] = number;
}

int main(void) {
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigset_t all, none;
    sigfillset(&all), sigemptyset(&none);
    sigfillset(&action.sa_mask); // one after the other
    int first = SIGRTMIN, second = SIGRTMIN + 1;
    CHECK(sigaction(first, &action, NULL) == 0 && sigaction(second, &action, NULL) == 0);
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && sigprocmask(SIG_SETMASK, &all, NULL) == 0);
    for (int i = 0; i < 5; i++) {
        CHECK(sigqueue(getpid(), second, (union sigval){.sival_int = 100 + i}) == 0);
        CHECK(sigqueue(getpid(), first, (union sigval){.sival_int = i}) == 0);
        CHECK(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 50 + i}) == 0);
    }
    CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
    CHECK(count == 11 && numbers[0] == SIGUSR1 && values[0] == 50); // a standard signal is kept once
    for (int i = 0; i < 5; i++)
        CHECK(numbers[1 + i] == first && values[1 + i] == i && numbers[6 + i] == second && values[6 + i] == 100 + i);

    siginfo_t info = {.si_code = SI_USER}, got;
    FAILS(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &info), EPERM); // only the kernel says so of others
    FAILS(sigqueue(getpid(), 65, (union sigval){0}), EINVAL);
    FAILS(sigqueue(1 << 20, 0, (union sigval){0}), ESRCH);

    struct rlimit limit = {3, 3};
    CHECK(setrlimit(RLIMIT_SIGPENDING, &limit) == 0 && sigprocmask(SIG_SETMASK, &all, NULL) == 0);
    int queued = 0;
    while (queued < 10 && sigqueue(getpid(), first, (union sigval){.sival_int = queued}) == 0)
        queued++;
    CHECK(queued <= 3 && errno == EAGAIN);
    CHECK(kill(getpid(), SIGUSR2) == 0); // kill never fails for that
    sigset_t one;
    sigemptyset(&one), sigaddset(&one, SIGUSR2);
    CHECK(sigwaitinfo(&one, &got) == SIGUSR2);
    return done();
}

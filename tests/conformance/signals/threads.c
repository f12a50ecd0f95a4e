// Signals and threads: who takes a signal of the process, tgkill, masks of their own.
#include "../check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static volatile pid_t taken_by;
static int ready[2], go[2];

static void handler(int number) {
    taken_by = syscall(SYS_gettid);
}

static void *waits(void *arg) {
    char byte;
    sigset_t mask;
    sigemptyset(&mask), sigaddset(&mask, SIGUSR1);
    CHECK(pthread_sigmask(arg ? SIG_UNBLOCK : SIG_BLOCK, &mask, NULL) == 0);
    pid_t tid = syscall(SYS_gettid);
    CHECK(write(ready[1], &tid, sizeof tid) == sizeof tid);
    ssize_t n = read(go[0], &byte, 1); // restarts
    CHECK(n == 1);
    return NULL;
}

static void *sigwaits(void *arg) {
    sigset_t mask;
    int number;
    sigemptyset(&mask), sigaddset(&mask, SIGUSR2);
    CHECK(sigwait(&mask, &number) == 0 && number == SIGUSR2);
    return arg;
}

static void *faults(void *arg) {
    *(volatile char *)8 = 1;
    return NULL;
}

int main(void) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigset_t mask;
    pthread_t a, b;
    pid_t tid_a, tid_b;
    CHECK(pipe(ready) == 0 && pipe(go) == 0 && sigaction(SIGUSR1, &action, NULL) == 0);
    sigemptyset(&mask), sigaddset(&mask, SIGUSR1), sigaddset(&mask, SIGUSR2);
    CHECK(pthread_sigmask(SIG_BLOCK, &mask, NULL) == 0);
    CHECK(pthread_create(&a, NULL, waits, NULL) == 0 && read(ready[0], &tid_a, sizeof tid_a) == sizeof tid_a);
    CHECK(pthread_create(&b, NULL, waits, &b) == 0 && read(ready[0], &tid_b, sizeof tid_b) == sizeof tid_b);

    CHECK(kill(getpid(), SIGUSR1) == 0); // only b accepts it
    while (!taken_by)
        sched_yield();
    CHECK(taken_by == tid_b);
    // To a thread that blocks it: pending there alone.
    taken_by = 0;
    CHECK(syscall(SYS_tgkill, getpid(), tid_a, SIGUSR1) == 0 && sigpending(&mask) == 0 && !sigismember(&mask, SIGUSR1));
    CHECK(syscall(SYS_tgkill, getpid(), tid_b, SIGUSR1) == 0);
    while (!taken_by)
        sched_yield();
    CHECK(taken_by == tid_b);
    FAILS(syscall(SYS_tgkill, getpid() + 1, tid_b, SIGUSR1), ESRCH);
    FAILS(syscall(SYS_tgkill, getpid(), -1, SIGUSR1), EINVAL);
    // Blocked by all: it waits until one of them takes it.
    taken_by = 0;
    CHECK(write(go[1], "xx", 2) == 2 && pthread_join(a, NULL) == 0 && pthread_join(b, NULL) == 0);
    CHECK(kill(getpid(), SIGUSR1) == 0 && taken_by == 0);
    sigemptyset(&mask), sigaddset(&mask, SIGUSR1);
    CHECK(pthread_sigmask(SIG_UNBLOCK, &mask, NULL) == 0 && taken_by == getpid());

    CHECK(pthread_create(&a, NULL, sigwaits, NULL) == 0 && kill(getpid(), SIGUSR2) == 0);
    CHECK(pthread_join(a, NULL) == 0);

    int status;
    pid_t pid = fork();
    if (!pid) {
        pthread_create(&a, NULL, faults, NULL);
        for (;;)
            pause(); // the whole process dies
    }
    CHECK(waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGSEGV);
    return done();
}

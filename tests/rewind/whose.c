// Ends by a signal with groups, masks, times and a nice value that are not what they were at first, and says
// what they are. For test_core.py.
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile unsigned long sum;

static void work(long n) {
    for (long i = 0; i < n; i++)
        sum += i;
}

static void *other(void *arg) {
    work(3000000); // counts for the leader, too
    return arg;
}

static long us(struct timeval t) {
    return t.tv_sec * 1000000 + t.tv_usec;
}

int main(void) {
    if (fork()) {
        wait(NULL);
        return 0;
    }
    setsid();
    if (!fork()) {
        work(2000000);
        return 0;
    }
    wait(NULL);
    pid_t child = fork();
    if (child) { // the session's leader: its child has a group of its own
        setpgid(child, child);
        waitpid(child, NULL, 0);
        return 0;
    }
    while (getpgrp() != getpid())
        ;
    if (!fork()) {
        work(1000000);
        return 0;
    }
    wait(NULL);
    setpriority(PRIO_PROCESS, 0, 7);
    if (setresgid(43, 43, 43) || setresuid(42, 42, 42))
        return 1;
    sigset_t held;
    sigemptyset(&held);
    sigaddset(&held, SIGUSR1);
    sigaddset(&held, 40);
    sigprocmask(SIG_BLOCK, &held, NULL);
    syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
    kill(getpid(), 40); // the process's, not this thread's
    pthread_t thread;
    pthread_create(&thread, NULL, other, NULL);
    pthread_join(thread, NULL);
    struct rusage own, children;
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &children);
    printf("%d %d %d %d %d %d\n", getpid(), getppid(), getpgrp(), getsid(0), getuid(), getgid());
    printf("%ld %ld %ld %ld\n", us(own.ru_utime), us(own.ru_stime), us(children.ru_utime),
           us(children.ru_stime));
    fflush(stdout);
    syscall(SYS_tgkill, getpid(), gettid(), SIGQUIT);
    return 1;
}

// Calls that wait for signals, and calls that signals end: sigsuspend, sigtimedwait, EINTR and SA_RESTART.
#include "../check.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

static volatile int count;
static int answers[2]; // the handler writes here: what is being read ends by itself

static void handler(int number) {
    count++;
}
static void feeds(int number) {
    count++;
    CHECK(write(answers[1], "x", 1) == 1);
}

static void set(int number, void (*act)(int), int flags) {
    struct sigaction action = {.sa_handler = act, .sa_flags = flags};
    CHECK(sigaction(number, &action, NULL) == 0);
    count = 0;
}

static sigset_t only(int number) {
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, number);
    return mask;
}

// Signals us so often, or (0 times) until calm() ends it: nobody sees when we have begun to wait, so where the signal
// must find us waiting once is not enough.
static pid_t pesters(int number, int times) {
    pid_t pid = fork(), parent = getppid();
    if (pid)
        return pid;
    parent = getppid();
    for (int i = 0; i < times || !times; i++) {
        nanosleep(&(struct timespec){0, 5000000}, NULL);
        kill(parent, number);
    }
    _exit(0);
}

static void reap(pid_t pid) {
    int status;
    while (waitpid(pid, &status, 0) == -1)
        CHECK(errno == EINTR);
}

static void calm(pid_t pid) {
    kill(pid, SIGKILL);
    reap(pid);
}

static void suspend(void) {
    sigset_t mask = only(SIGUSR1), empty, now;
    sigemptyset(&empty);
    set(SIGUSR1, handler, 0);
    CHECK(sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
    raise(SIGUSR1);
    CHECK(count == 0);
    FAILS(sigsuspend(&empty), EINTR);
    CHECK(count == 1 && sigprocmask(SIG_BLOCK, NULL, &now) == 0 && sigismember(&now, SIGUSR1));
    pid_t pid = pesters(SIGUSR1, 1);
    FAILS(sigsuspend(&empty), EINTR); // while it waits
    CHECK(count == 2);
    reap(pid);
    CHECK(sigprocmask(SIG_UNBLOCK, &mask, NULL) == 0);
}

static void timed_wait(void) {
    sigset_t mask = only(SIGUSR2);
    siginfo_t info;
    struct timespec soon = {0, 2000000}, never = {100, 0}, zero = {0, 0};
    CHECK(sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
    FAILS(sigtimedwait(&mask, &info, &soon), EAGAIN);
    FAILS(sigtimedwait(&mask, &info, &zero), EAGAIN);
    raise(SIGUSR2);
    CHECK(sigtimedwait(&mask, &info, &zero) == SIGUSR2 && info.si_signo == SIGUSR2 && info.si_pid == getpid());
    pid_t pid = pesters(SIGUSR2, 1);
    CHECK(sigtimedwait(&mask, &info, &never) == SIGUSR2 && info.si_pid == pid);
    reap(pid);
    // SIGCHLD is ignored by default, but not while it is blocked.
    mask = only(SIGCHLD);
    CHECK(sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
    pid = fork();
    if (!pid)
        _exit(6);
    CHECK(sigwaitinfo(&mask, &info) == SIGCHLD && info.si_pid == pid && info.si_code == CLD_EXITED && info.si_status == 6);
    reap(pid);
    // A signal with a handler that is not waited for ends it.
    set(SIGUSR1, handler, SA_RESTART);
    mask = only(SIGHUP);
    pid = pesters(SIGUSR1, 0);
    FAILS(syscall(SYS_rt_sigtimedwait, &mask, &info, &never, 8), EINTR);
    CHECK(count >= 1);
    calm(pid);
    sigset_t none;
    sigemptyset(&none);
    CHECK(sigprocmask(SIG_SETMASK, &none, NULL) == 0);
}

static void restarts(void) {
    char byte;
    int silent[2];
    CHECK(pipe(answers) == 0 && pipe(silent) == 0);
    set(SIGUSR1, handler, 0);
    pid_t pid = pesters(SIGUSR1, 0);
    FAILS(read(silent[0], &byte, 1), EINTR);
    CHECK(count >= 1);
    calm(pid);
    set(SIGUSR1, feeds, SA_RESTART);
    pid = pesters(SIGUSR1, 1);
    CHECK(read(answers[0], &byte, 1) == 1 && byte == 'x' && count == 1);
    reap(pid);
    // poll never restarts after a handler, whatever its flags.
    struct pollfd poll_fd = {.fd = silent[0], .events = POLLIN};
    set(SIGUSR1, handler, SA_RESTART);
    pid = pesters(SIGUSR1, 0);
    FAILS(poll(&poll_fd, 1, 100000), EINTR);
    struct timespec rest, hour = {3600, 0};
    FAILS(nanosleep(&hour, &rest), EINTR);
    CHECK(rest.tv_sec <= 3600 && rest.tv_sec >= 3500);
    calm(pid);
    // A signal without handler interrupts nothing.
    pid = pesters(SIGCONT, 3);
    CHECK(poll(&poll_fd, 1, 40) == 0);
    reap(pid);
    // wait4 restarts.
    set(SIGUSR1, handler, SA_RESTART);
    pid = pesters(SIGUSR1, 3);
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    for (int i = 0; i < 2; i++)
        close(answers[i]), close(silent[i]);
}

static void unmasks_while_polling(void) {
    sigset_t mask = only(SIGUSR1), empty;
    sigemptyset(&empty);
    set(SIGUSR1, handler, 0);
    CHECK(sigprocmask(SIG_BLOCK, &mask, NULL) == 0);
    raise(SIGUSR1);
    FAILS(ppoll(NULL, 0, NULL, &empty), EINTR);
    CHECK(count == 1);
    CHECK(ppoll(NULL, 0, &(struct timespec){0, 1000}, &empty) == 0);
    sigset_t now;
    CHECK(sigprocmask(SIG_UNBLOCK, &mask, &now) == 0 && sigismember(&now, SIGUSR1));
}

static void stopped_calls_go_on(void) {
    int fds[2], status;
    char byte;
    CHECK(pipe(fds) == 0);
    pid_t pid = fork();
    if (!pid) {
        CHECK(read(fds[0], &byte, 1) == 1 && byte == 'y'); // across stop and continue
        _exit(0);
    }
    CHECK(kill(pid, SIGSTOP) == 0 && waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    CHECK(write(fds[1], "y", 1) == 1);
    CHECK(waitpid(pid, &status, WNOHANG) == 0 && kill(pid, SIGCONT) == 0);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    close(fds[0]), close(fds[1]);
}

int main(void) {
    suspend();
    timed_wait();
    restarts();
    unmasks_while_polling();
    stopped_calls_go_on();
    return done();
}

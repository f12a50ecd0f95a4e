// signalfd(2): blocked signals, read as records.
#include "../check.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

int main(void) {
    sigset_t set;
    struct signalfd_siginfo s[4];
    int status;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1), sigaddset(&set, SIGCHLD);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    CHECK(fd >= 0);
    FAILS(read(fd, s, sizeof *s), EAGAIN);
    FAILS(read(fd, s, sizeof *s - 1), EINVAL);
    struct pollfd p = {fd, POLLIN, 0};
    CHECK(poll(&p, 1, 0) == 0);
    CHECK(kill(getpid(), SIGUSR1) == 0 && kill(getpid(), SIGUSR1) == 0);
    CHECK(poll(&p, 1, 0) == 1 && read(fd, s, sizeof s) == sizeof *s); // not queued twice
    CHECK(s->ssi_signo == SIGUSR1 && s->ssi_code == SI_USER && (pid_t)s->ssi_pid == getpid() && s->ssi_uid == getuid());

    int ep = epoll_create1(0);
    struct epoll_event e = {EPOLLIN, {0}};
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
    pid_t pid = fork();
    if (!pid)
        _exit(3);
    CHECK(epoll_wait(ep, &e, 1, 10000) == 1);
    CHECK(read(fd, s, sizeof s) == sizeof *s && s->ssi_signo == SIGCHLD && (pid_t)s->ssi_pid == pid);
    CHECK(s->ssi_code == CLD_EXITED && s->ssi_status == 3);
    CHECK(waitpid(pid, &status, 0) == pid);

    sigset_t other; // another mask on the same descriptor
    sigemptyset(&other), sigaddset(&other, SIGUSR2);
    CHECK(sigprocmask(SIG_BLOCK, &other, NULL) == 0 && signalfd(fd, &other, 0) == fd);
    CHECK(kill(getpid(), SIGUSR1) == 0);
    FAILS(read(fd, s, sizeof s), EAGAIN);
    union sigval v = {.sival_int = 77};
    CHECK(sigqueue(getpid(), SIGUSR2, v) == 0 && read(fd, s, sizeof s) == sizeof *s);
    CHECK(s->ssi_signo == SIGUSR2 && s->ssi_code == SI_QUEUE && s->ssi_int == 77);

    CHECK(fcntl(fd, F_SETFL, 0) == 0); // and waiting for one
    pid = fork();
    if (!pid) {
        usleep(1000);
        kill(getppid(), SIGUSR2);
        _exit(0);
    }
    CHECK(read(fd, s, sizeof *s) == sizeof *s && s->ssi_signo == SIGUSR2 && (pid_t)s->ssi_pid == pid);
    CHECK(waitpid(pid, &status, 0) == pid);
    return done();
}

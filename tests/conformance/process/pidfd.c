// Processes as descriptors: pidfd_open(2), CLONE_PIDFD, poll, waitid(P_PIDFD), pidfd_send_signal(2).
// linux: native
#include "../check.h"
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static pid_t sleeper(int *pidfd) {
    int fd = -1;
    struct clone_args args = {.flags = CLONE_PIDFD, .pidfd = (uintptr_t)&fd, .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &args, sizeof args);
    if (!pid)
        for (;;)
            pause();
    CHECK(pid > 0 && fd >= 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC));
    *pidfd = fd;
    return pid;
}

int main(void) {
    int fd;
    siginfo_t info;
    pid_t pid = sleeper(&fd);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    CHECK(poll(&ready, 1, 0) == 0);
    CHECK(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0);
    FAILS(syscall(SYS_pidfd_send_signal, fd, 65, NULL, 0), EINVAL);
    FAILS(syscall(SYS_pidfd_send_signal, 1, SIGTERM, NULL, 0), EBADF);
    CHECK(waitid(P_PIDFD, fd, &info, WEXITED | WNOHANG) == 0);
    CHECK(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0) == 0);
    CHECK(poll(&ready, 1, -1) == 1 && ready.revents == POLLIN);
    CHECK(waitid(P_PIDFD, fd, &info, WEXITED) == 0 && info.si_pid == pid && info.si_status == SIGTERM);
    FAILS(waitid(P_PIDFD, fd, &info, WEXITED), ECHILD);
    FAILS(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0), ESRCH);
    CHECK(close(fd) == 0);

    pid = sleeper(&fd);
    close(fd);
    fd = syscall(SYS_pidfd_open, pid, O_NONBLOCK);
    CHECK(fd >= 0);
    FAILS(waitid(P_PIDFD, fd, &info, WEXITED), EAGAIN);
    CHECK(kill(pid, SIGKILL) == 0);
    ready.fd = fd;
    CHECK(poll(&ready, 1, -1) == 1);
    CHECK(waitid(P_PIDFD, fd, &info, WEXITED) == 0 && info.si_code == CLD_KILLED);
    FAILS(syscall(SYS_pidfd_open, pid, 0), ESRCH);
    FAILS(syscall(SYS_pidfd_open, -1, 0), EINVAL);
    FAILS(waitid(P_PIDFD, 1, &info, WEXITED), EBADF);
    return done();
}

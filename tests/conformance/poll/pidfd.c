// pidfd_open(2): a process as a descriptor, readable when it has ended.
#define _GNU_SOURCE
#include "../check.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

int main(void) {
    int status, hold[2];
    char c;
    CHECK(pipe(hold) == 0);
    pid_t pid = fork();
    if (!pid) {
        close(hold[1]);
        CHECK(read(hold[0], &c, 1) == 0);
        _exit(0);
    }
    close(hold[0]);
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    struct pollfd p = {fd, POLLIN, 0};
    CHECK(poll(&p, 1, 0) == 0);
    CHECK(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0) == 0);
    close(hold[1]);
    CHECK(poll(&p, 1, 10000) == 1 && p.revents & POLLIN);
    FAILS(read(fd, &c, 1), EINVAL);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(poll(&p, 1, 0) == 1 && p.revents & POLLIN);
    FAILS((int)syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
    FAILS((int)syscall(SYS_pidfd_open, pid, 0), ESRCH);
    FAILS((int)syscall(SYS_pidfd_open, -1, 0), EINVAL);
    pid = fork();
    if (!pid)
        for (;;)
            pause();
    fd = (int)syscall(SYS_pidfd_open, pid, 0);
    CHECK(fd >= 0 && syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0) == 0);
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    return done();
}

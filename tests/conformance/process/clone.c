// clone(2), clone3: what is shared, thread ids, and which combinations are refused.
// linux: native
#include "../check.h"
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

int clone(int (*)(void *), void *, int, void *, ...);

static volatile int shared;
static char stack[65536] __attribute__((aligned(16)));
static pid_t parent_tid, child_tid;

static int changes(void *arg) {
    shared = 7;
    close(60);
    umask(077);
    signal(SIGUSR1, SIG_IGN);
    _exit(0);
}

static int run(int flags) { // bits: memory, descriptors, umask, handlers were shared
    int status, result = 0;
    struct sigaction action;
    shared = 0;
    dup2(1, 60);
    umask(022);
    signal(SIGUSR1, SIG_DFL);
    pid_t pid = clone(changes, stack + sizeof stack, flags | SIGCHLD, NULL);
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    result |= shared == 7;
    result |= (fcntl(60, F_GETFD) == -1) << 1;
    result |= (umask(022) == 077) << 2;
    sigaction(SIGUSR1, NULL, &action);
    return result | (action.sa_handler == SIG_IGN) << 3;
}

static int tids(void *arg) {
    CHECK(child_tid == syscall(SYS_gettid));
    _exit(0);
}

static long raw(unsigned long flags) {
    struct clone_args args = {.flags = flags, .exit_signal = flags & CLONE_THREAD ? 0 : SIGCHLD};
    long r = syscall(SYS_clone3, &args, sizeof args);
    if (r == 0)
        _exit(0);
    return r;
}

int main(void) {
    int status;
    CHECK(run(0) == 0);
    CHECK(run(CLONE_VM) == 1);
    CHECK(run(CLONE_FILES) == 2);
    CHECK(run(CLONE_FS) == 4);
    CHECK(run(CLONE_VM | CLONE_SIGHAND) == 9);
    CHECK(run(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND) == 15);

    pid_t pid = clone(tids, stack + sizeof stack,
                      CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, NULL, &parent_tid, NULL, &child_tid);
    CHECK(pid > 0 && parent_tid == pid && child_tid == 0);
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);

    // A child without exit signal is waited for with __WCLONE or __WALL only.
    pid = clone(changes, stack + sizeof stack, 0, NULL);
    FAILS(waitpid(pid, &status, 0), ECHILD);
    CHECK(waitpid(pid, &status, __WALL) == pid);

    FAILS(raw(CLONE_THREAD), EINVAL);
    FAILS(raw(CLONE_SIGHAND), EINVAL);
    FAILS(raw(CLONE_THREAD | CLONE_SIGHAND), EINVAL);
    FAILS(raw(CLONE_NEWNS | CLONE_FS), EINVAL);
    FAILS(raw(0xff), EINVAL);
    FAILS(syscall(SYS_clone3, NULL, 8), EINVAL);
    FAILS(syscall(SYS_clone3, (void *)8, sizeof(struct clone_args)), EFAULT);
    long r = raw(0);
    CHECK(r > 0 && waitpid(r, &status, 0) == r && status == 0);
    return done();
}

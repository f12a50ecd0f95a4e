// vfork(2) and clone with CLONE_VFORK: the parent waits for exec, exit or death of the child, and a failed exec is
// the child's errno.
// linux: native
#include "../check.h"
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

static volatile int shared;
static char stack[65536] __attribute__((aligned(16)));

static int sets_and_exits(void *arg) {
    shared = 5;
    _exit(3);
}

static int fails_then_exits(void *arg) {
    char *argv[] = {"x", NULL};
    execve("/no/such/file", argv, argv + 1);
    shared = errno;
    _exit(4);
}

static int dies(void *arg) {
    shared = 6;
    kill(getpid(), SIGKILL);
    for (;;)
        ;
}

static int run(int (*child)(void *), int flags) {
    int status;
    pid_t pid = clone(child, stack + sizeof stack, flags | SIGCHLD, NULL);
    CHECK(pid > 0);
    int seen = shared; // already written when the parent goes on
    CHECK(waitpid(pid, &status, 0) == pid);
    shared = 0;
    return seen << 16 | (WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

static int fds[2];

static int waits_for_byte(void *arg) {
    char byte;
    shared = 7;
    _exit(read(fds[0], &byte, 1) == 1 ? 0 : 1);
}

static void note(int number) {
    shared += 100;
}

// While it waits, the parent can be killed, and only that; its child lives on.
static void parent_is_killed(void) {
    int status, ended[2];
    char byte;
    CHECK(pipe(fds) == 0 && pipe(ended) == 0);
    pid_t pid = fork();
    if (!pid) {
        clone(waits_for_byte, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
        _exit(9);
    }
    close(ended[1]); // its other copies: the parent's and the child's
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGKILL);
    CHECK(write(fds[1], "x", 1) == 1);
    CHECK(read(ended[0], &byte, 1) == 0); // after the child has ended as well
    close(fds[0]), close(fds[1]), close(ended[0]);
}

// A handler runs after the release.
static int signals_parent(void *arg) {
    kill(getppid(), SIGUSR1);
    sched_yield();
    shared += 1;
    _exit(0);
}

extern char **environ;

int main(int argc, char **argv) {
    int status;
    if (argc > 1)
        return 11;
    CHECK(run(sets_and_exits, CLONE_VM | CLONE_VFORK) == (5 << 16 | 3));
    CHECK(run(fails_then_exits, CLONE_VM | CLONE_VFORK) == (ENOENT << 16 | 4));
    CHECK(run(dies, CLONE_VM | CLONE_VFORK) == (6 << 16 | (128 + SIGKILL)));
    CHECK(run(sets_and_exits, CLONE_VFORK) == 3); // without CLONE_VM: a copy
    parent_is_killed();
    signal(SIGUSR1, note);
    CHECK(run(signals_parent, CLONE_VM | CLONE_VFORK) == 101 << 16);

    char self[256] = "";
    if (readlink("/proc/self/exe", self, sizeof self - 1) <= 0)
        CHECK(realpath(argv[0], self));
    char *args[] = {"again", "x", NULL};
    pid_t pid;
    CHECK(posix_spawn(&pid, self, NULL, NULL, args, environ) == 0);
    CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 11);
    CHECK(posix_spawn(&pid, "/no/such/file", NULL, NULL, args, environ) == ENOENT);
    FAILS(waitpid(-1, &status, 0), ECHILD);
    pid = vfork();
    if (!pid) {
        shared = 9;
        _exit(1);
    }
    CHECK(shared == 9 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 1);
    return done();
}

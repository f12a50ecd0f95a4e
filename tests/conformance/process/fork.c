// fork(2), _exit(2), wait4(2): memory is copied, descriptors are shared, statuses and ids are right.
#include "../check.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static int value = 1;

static void copies_memory(void) {
    int *heap = malloc(sizeof *heap), status;
    *heap = 5;
    pid_t parent = getpid(), pid = fork();
    CHECK(pid >= 0);
    if (!pid) {
        CHECK(getppid() == parent && getpid() != parent && value == 1 && *heap == 5);
        value = 2, *heap = 6;
        _exit(42);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42 && value == 1 && *heap == 5);
    free(heap);
}

static void shares_offsets(void) {
    int fds[2], status;
    CHECK(pipe(fds) == 0);
    pid_t pid = fork();
    if (!pid) {
        close(fds[0]);
        CHECK(write(fds[1], "hello", 5) == 5);
        _exit(0);
    }
    close(fds[1]);
    char text[8] = "";
    CHECK(read(fds[0], text, 8) == 5 && !strcmp(text, "hello"));
    CHECK(read(fds[0], text, 8) == 0); // the child's end is closed by its exit
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    close(fds[0]);
}

static void dies_by_signal(void) {
    int status;
    pid_t pid = fork();
    if (!pid) {
        raise(SIGTERM);
        _exit(1);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    pid = fork();
    if (!pid)
        for (;;)
            pause();
    CHECK(kill(pid, 0) == 0 && kill(pid, SIGKILL) == 0);
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    FAILS(kill(pid, 0), ESRCH);
}

static void many(void) {
    unsigned long seen = 0;
    for (int i = 0; i < 20; i++)
        if (!fork())
            _exit(i);
    for (int i = 0, status; i < 20; i++) {
        CHECK(wait(&status) > 0 && WIFEXITED(status));
        seen |= 1ul << WEXITSTATUS(status);
    }
    CHECK(seen == (1ul << 20) - 1);
    FAILS(wait(NULL), ECHILD);
}

static void deep(int depth) {
    int status;
    if (!depth)
        _exit(9);
    pid_t pid = fork();
    if (!pid)
        deep(depth - 1);
    CHECK(waitpid(pid, &status, 0) == pid);
    _exit(WEXITSTATUS(status));
}

int main(void) {
    struct rusage usage;
    int status;
    copies_memory();
    shares_offsets();
    dies_by_signal();
    many();
    pid_t pid = fork();
    if (!pid)
        deep(10);
    CHECK(wait4(pid, &status, 0, &usage) == pid && WEXITSTATUS(status) == 9);
    CHECK(usage.ru_maxrss > 0);
    return done();
}

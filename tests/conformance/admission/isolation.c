// What a child shares with its parent and what not: descriptors, offsets, close-on-exec, pipes; and when a vfork
// parent goes on.
// linux: native
#include "watched.h"
#include <poll.h>

static char self[256];
static int file, private, to_child[2], to_parent[2];
static char stack[65536] __attribute__((aligned(16)));

static void put(int fd, char byte) {
    CHECK(write(fd, &byte, 1) == 1);
}

static char get(int fd) {
    char byte = 0;
    return read(fd, &byte, 1) == 1 ? byte : 0;
}

static long offset(int fd) {
    return lseek(fd, 0, SEEK_CUR);
}

// ---- As the program that a child became: 10 the file, 11 close-on-exec, 12 and 13 the pipes' ends ----
static int program(void) {
    CHECK(fcntl(10, F_GETFD) == 0 && offset(10) == 3); // one description: the child's seek before exec is seen
    FAILS(fcntl(11, F_GETFD), EBADF);
    CHECK(lseek(10, 5, SEEK_SET) == 5);
    put(13, 'p');
    CHECK(get(12) == 'g'); // written by the parent, which so goes on while this program still runs
    return 6;
}

static int becomes_program(void *arg) {
    char *argv[] = {self, "program", NULL};
    CHECK(dup2(file, 10) == 10 && dup3(private, 11, O_CLOEXEC) == 11);
    CHECK(dup2(to_child[0], 12) == 12 && dup2(to_parent[1], 13) == 13);
    for (int fd = 3; fd < 10; fd++)
        close(fd);
    CHECK(lseek(10, 3, SEEK_SET) == 3);
    for (int i = 0; i < 100; i++) // time enough for a parent that does not wait
        sched_yield();
    put(13, 'c');
    execv(self, argv);
    put(13, 'r'); // refused: the parent waits on, for the exit
    _exit(errno);
}

static void runs_program(const char *what, int flags) {
    int status;
    CHECK(lseek(file, 0, SEEK_SET) == 0);
    pid_t pid = clone(becomes_program, stack + sizeof stack, flags | SIGCHLD, NULL);
    if (pid < 0) {
        dprintf(1, "%s: %s\n", what, error_name(errno));
        return;
    }
    if (flags & CLONE_VFORK) {
        put(to_parent[1], 'v'); // the parent goes on: after the child's 'c' at least
        CHECK(get(to_parent[0]) == 'c');
    }
    put(to_child[1], 'g');
    char seen[4] = {0};
    for (int i = 0; i < 2; i++)
        seen[i] = get(to_parent[0]);
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    if (strchr(seen, 'r')) {
        // Before the parent's own byte if it waited for the exit. The child's 'g' is still there.
        CHECK(!(flags & CLONE_VFORK) || seen[0] == 'r');
        CHECK(get(to_child[0]) == 'g' && offset(file) == 3);
        dprintf(1, "%s: its exec: %s\n", what, error_name(WEXITSTATUS(status)));
    } else {
        CHECK(WEXITSTATUS(status) == 6 && offset(file) == 5 && strchr(seen, 'p'));
        dprintf(1, "%s: ok\n", what);
    }
    FAILS(fcntl(10, F_GETFD), EBADF); // the child's descriptors were its own
    CHECK(fcntl(file, F_GETFD) == 0 && fcntl(private, F_GETFD) == FD_CLOEXEC);
}

static int uses_descriptors(void *arg) {
    CHECK(close(private) == 0 && dup2(file, 10) == 10 && lseek(file, 7, SEEK_SET) == 7);
    _exit(0);
}

static void shares(const char *what, int flags) {
    int status;
    CHECK(lseek(file, 0, SEEK_SET) == 0);
    pid_t pid = clone(uses_descriptors, stack + sizeof stack, flags | SIGCHLD, NULL);
    if (pid < 0) {
        CHECK(fcntl(private, F_GETFD) == FD_CLOEXEC && offset(file) == 0);
        dprintf(1, "%s: %s\n", what, error_name(errno));
        return;
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0 && offset(file) == 7); // offsets are never isolated
    if (flags & CLONE_FILES) {
        FAILS(fcntl(private, F_GETFD), EBADF);
        CHECK(fcntl(10, F_GETFD) == 0 && dup3(file, private, O_CLOEXEC) == private && close(10) == 0);
    } else {
        CHECK(fcntl(private, F_GETFD) == FD_CLOEXEC);
        FAILS(fcntl(10, F_GETFD), EBADF);
    }
    dprintf(1, "%s: ok\n", what);
}

// A pipe is at its end when the last writer in any process has gone.
static void pipe_ends(void) {
    int fds[2], status;
    CHECK(pipe(fds) == 0);
    pid_t pid = fork();
    if (!pid) {
        close(fds[0]);
        put(fds[1], 'x');
        put(to_parent[1], 'y');
        CHECK(get(to_child[0]) == 'z');
        _exit(0);
    }
    int error = pid < 0 ? errno : 0;
    close(fds[1]);
    if (pid > 0) {
        struct pollfd poller = {.fd = fds[0], .events = POLLIN};
        CHECK(get(fds[0]) == 'x' && get(to_parent[0]) == 'y' && poll(&poller, 1, 0) == 0);
        put(to_child[1], 'z');
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
    CHECK(get(fds[0]) == 0); // refused: nobody else holds the writing end
    close(fds[0]);
    dprintf(1, "the end of a pipe: %s\n", error_name(error));
}

int main(int argc, char **argv) {
    if (argc > 1)
        return program();
    char name[] = "/tmp/isolationXXXXXX";
    CHECK(strlen(argv[0]) < sizeof self && strchr(argv[0], '/'));
    strcpy(self, argv[0]);
    for (int fd = 3; fd < 64; fd++) // what a test's runner left open
        close(fd);
    file = mkstemp(name);
    private = open(name, O_RDONLY | O_CLOEXEC);
    CHECK(file >= 0 && private >= 0 && unlink(name) == 0 && write(file, "0123456789", 10) == 10);
    CHECK(pipe(to_child) == 0 && pipe(to_parent) == 0);
    shares("separate descriptors", 0);
    shares("separate descriptors, one memory", CLONE_VM | CLONE_VFORK);
    shares("one table of descriptors", CLONE_FILES);
    pipe_ends();
    runs_program("fork and exec", 0);
    runs_program("vfork and exec", CLONE_VM | CLONE_VFORK);
    return done();
}

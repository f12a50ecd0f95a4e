// Record locks of processes and open files, and flock(2): ranges, conflicts, waiting, deadlock, release.
#include "files.h"
#include <sys/file.h>

static int lock(int fd, int cmd, int type, long start, long len) {
    struct flock l = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    return fcntl(fd, cmd, &l);
}
static struct flock test(int fd, int type, long start, long len) {
    struct flock l = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    CHECK(fcntl(fd, F_GETLK, &l) == 0);
    return l;
}

static int to_child[2], to_parent[2];
static void say(int fd) {
    CHECK(write(fd, "!", 1) == 1);
}
static void hear(int fd) {
    char c;
    CHECK(read(fd, &c, 1) == 1);
}

static void child_work(void) {
    int fd = open("f", O_RDWR);
    hear(to_child[0]);
    struct flock l = test(fd, F_RDLCK, 0, 0);
    CHECK(l.l_type == F_WRLCK && l.l_start == 10 && l.l_len == 5 && l.l_pid == getppid());
    CHECK(test(fd, F_WRLCK, 0, 10).l_type == F_UNLCK);
    FAILS(lock(fd, F_SETLK, F_WRLCK, 12, 1), EAGAIN);
    CHECK(lock(fd, F_SETLK, F_WRLCK, 15, 5) == 0 && lock(fd, F_SETLK, F_RDLCK, 30, 10) == 0);
    say(to_parent[1]);
    CHECK(lock(fd, F_SETLKW, F_WRLCK, 10, 1) == 0); // until the parent lets go
    say(to_parent[1]);
    hear(to_child[0]);
    // Parent waits for 15, or is about to; waiting for its 50 would never end, and who comes last is told.
    int r = lock(fd, F_SETLKW, F_WRLCK, 50, 1);
    CHECK(r == 0 || errno == EDEADLK);
    exit(r ? 0 : 7); // gives up everything
}

int main(void) {
    enter();
    touch("f", "");
    CHECK(pipe(to_child) == 0 && pipe(to_parent) == 0);
    int fd = open("f", O_RDWR), ro = open("f", O_RDONLY);
    FAILS(lock(ro, F_SETLK, F_WRLCK, 0, 1), EBADF);
    FAILS(lock(fd, F_SETLK, F_WRLCK, -1, 1), EINVAL);
    pid_t child = fork();
    if (!child)
        child_work();
    CHECK(lock(fd, F_SETLK, F_WRLCK, 0, 30) == 0 && lock(fd, F_SETLK, F_UNLCK, 0, 10) == 0);
    CHECK(lock(fd, F_SETLK, F_UNLCK, 15, 15) == 0 && lock(fd, F_SETLK, F_WRLCK, 50, 1) == 0);
    say(to_child[1]);
    hear(to_parent[0]);
    FAILS(lock(fd, F_SETLK, F_RDLCK, 19, 1), EAGAIN);
    CHECK(lock(fd, F_SETLK, F_RDLCK, 20, 15) == 0 && test(fd, F_WRLCK, 35, 1).l_type == F_RDLCK);
    CHECK(lock(fd, F_SETLK, F_UNLCK, 10, 5) == 0);
    hear(to_parent[0]);
    say(to_child[1]);
    int status, r = lock(fd, F_SETLKW, F_WRLCK, 15, 1); // the child's exit frees it
    CHECK(r == 0 || (errno == EDEADLK && lock(fd, F_SETLK, F_UNLCK, 50, 1) == 0));
    CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == (r ? 7 : 0));
    // Closing any descriptor of the file drops the process's record locks.
    close(ro);
    child = fork();
    if (!child)
        exit(lock(open("f", O_RDWR), F_SETLK, F_WRLCK, 0, 0) == 0 ? 0 : 1);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    // Locks of open files conflict within a process; flock(2) is a world of its own.
    int a = open("f", O_RDWR), b = open("f", O_RDWR);
    CHECK(lock(a, F_OFD_SETLK, F_WRLCK, 0, 0) == 0);
    FAILS(lock(b, F_OFD_SETLK, F_RDLCK, 5, 1), EAGAIN);
    FAILS(lock(b, F_SETLK, F_WRLCK, 5, 1), EAGAIN);
    CHECK(flock(b, LOCK_EX) == 0);
    FAILS(flock(a, LOCK_SH | LOCK_NB), EWOULDBLOCK);
    CHECK(flock(b, LOCK_SH) == 0 && flock(a, LOCK_SH | LOCK_NB) == 0);
    FAILS(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    FAILS(flock(a, 0), EINVAL);
    CHECK(flock(a, LOCK_UN) == 0 && close(a) == 0 && lock(b, F_OFD_SETLK, F_WRLCK, 0, 0) == 0);
    // A lock waits until the description that holds it is closed, by the last of those who share it.
    a = open("f", O_RDWR);
    CHECK(flock(b, LOCK_EX) == 0);
    child = fork();
    if (!child) {
        hear(to_child[0]);
        _exit(0);
    }
    close(b);
    FAILS(flock(a, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    say(to_child[1]);
    CHECK(flock(a, LOCK_EX) == 0 && waitpid(child, &status, 0) == child);
    return leave();
}

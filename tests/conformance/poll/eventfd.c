// eventfd(2): counting, semaphores, blocking at both ends, readiness.
#include "../check.h"
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

static uint64_t value;

static int get(int fd) {
    return read(fd, &value, 8) == 8;
}
static int put(int fd, uint64_t v) {
    return write(fd, &v, 8) == 8;
}
static short ready(int fd) {
    struct pollfd p = {fd, POLLIN | POLLOUT, 0};
    CHECK(poll(&p, 1, 0) >= 0);
    return p.revents;
}

int main(void) {
    int status, fd = eventfd(3, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
    CHECK(ready(fd) == (POLLIN | POLLOUT) && get(fd) && value == 3 && ready(fd) == POLLOUT);
    FAILS(read(fd, &value, 8), EAGAIN);
    FAILS(read(fd, &value, 7), EINVAL);
    FAILS(write(fd, &value, 4), EINVAL);
    CHECK(put(fd, 2) && put(fd, 5) && get(fd) && value == 7);
    CHECK(put(fd, UINT64_MAX - 1) && ready(fd) == POLLIN);
    value = 1;
    FAILS(write(fd, &value, 8), EAGAIN);
    value = UINT64_MAX;
    FAILS(write(fd, &value, 8), EINVAL);
    CHECK(get(fd) && value == UINT64_MAX - 1);
    close(fd);

    fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    CHECK(get(fd) && value == 1 && get(fd) && value == 1);
    FAILS(read(fd, &value, 8), EAGAIN);
    close(fd);
    FAILS(eventfd(0, 0x1000000), EINVAL);

    int a = eventfd(0, 0), b = eventfd(0, 0);
    CHECK(put(b, UINT64_MAX - 1));
    pid_t pid = fork();
    if (!pid) {
        CHECK(put(a, 42)); // wakes the reader
        CHECK(get(b) && value == UINT64_MAX - 1); // wakes the writer
        CHECK(get(b) && value == 9);
        _exit(0);
    }
    CHECK(get(a) && value == 42);
    CHECK(put(b, 9));
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    return done();
}

// dup, dup3, fcntl, close_range, close-on-exec, RLIMIT_NOFILE.
#include "files.h"
#include <sys/resource.h>

int main(void) {
    enter();
    touch("f", "0123456789");
    int fd = open("f", O_RDWR);
    CHECK(fd == 3 && dup(fd) == 4 && dup2(fd, 9) == 9 && dup2(fd, fd) == fd);
    char b[4];
    CHECK(read(4, b, 4) == 4 && lseek(9, 0, SEEK_CUR) == 4); // one offset
    FAILS(dup3(fd, fd, 0), EINVAL);
    FAILS(dup2(50, 51), EBADF);
    FAILS(dup2(fd, -1), EBADF);
    CHECK(dup3(fd, 10, O_CLOEXEC) == 10 && fcntl(10, F_GETFD) == FD_CLOEXEC && fcntl(9, F_GETFD) == 0);
    CHECK(fcntl(9, F_SETFD, FD_CLOEXEC) == 0 && fcntl(9, F_GETFD) == FD_CLOEXEC);
    CHECK(fcntl(fd, F_DUPFD, 20) == 20 && fcntl(fd, F_DUPFD_CLOEXEC, 20) == 21 && fcntl(21, F_GETFD) == 1);
    FAILS(fcntl(fd, F_DUPFD, -1), EINVAL);
    FAILS(fcntl(fd, 9999), EINVAL);
    CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
    CHECK(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK) == 0 && fcntl(4, F_GETFL) & O_APPEND);
    CHECK((fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_RDWR | O_NONBLOCK));
    CHECK(pwrite(fd, "x", 1, 0) == 1 && lseek(fd, 0, SEEK_END) == 11); // Linux appends even at an offset
    CHECK(close(4) == 0 && open("f", O_RDONLY) == 4); // the lowest free one
    CHECK(syscall(436, 9, 30, 0) == 0 && fcntl(20, F_GETFD) == -1 && fcntl(4, F_GETFD) == 0);
    CHECK(syscall(436, 3, 4, 4) == 0 && fcntl(3, F_GETFD) == FD_CLOEXEC);
    FAILS(syscall(436, 5, 3, 0), EINVAL);
    FAILS(close(99), EBADF);
    FAILS(fcntl(99, F_GETFD), EBADF);
    struct rlimit old, few = {8, 64};
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    few.rlim_max = old.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    int n = 0;
    while ((fd = open("f", O_RDONLY)) >= 0)
        n++;
    CHECK(errno == EMFILE && n == 3); // 5, 6, 7
    FAILS(dup(3), EMFILE);
    FAILS(dup2(3, 8), EBADF);
    FAILS(fcntl(3, F_DUPFD, 8), EINVAL);
    CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
    // A child has its own table but the same open files.
    pid_t child = fork();
    if (!child) {
        lseek(3, 7, SEEK_SET);
        close(3);
        _exit(0);
    }
    CHECK(waitpid(child, NULL, 0) == child && lseek(3, 0, SEEK_CUR) == 7);
    return leave();
}

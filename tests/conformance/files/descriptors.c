// dup, dup3, fcntl, close_range, close-on-exec, RLIMIT_NOFILE.
#include "check.h"
#include <sys/resource.h>

int main(void) {
    enter();
    touch("f", "0123456789");
    int fd = open("f", O_RDWR);
    CHECK(fd == 3 && dup(fd) == 4 && dup2(fd, 9) == 9 && dup2(fd, fd) == fd);
    char b[4];
    CHECK(read(4, b, 4) == 4 && lseek(9, 0, SEEK_CUR) == 4); // one offset
    FAILS(EINVAL, dup3(fd, fd, 0));
    FAILS(EBADF, dup2(50, 51));
    FAILS(EBADF, dup2(fd, -1));
    CHECK(dup3(fd, 10, O_CLOEXEC) == 10 && fcntl(10, F_GETFD) == FD_CLOEXEC && fcntl(9, F_GETFD) == 0);
    CHECK(fcntl(9, F_SETFD, FD_CLOEXEC) == 0 && fcntl(9, F_GETFD) == FD_CLOEXEC);
    CHECK(fcntl(fd, F_DUPFD, 20) == 20 && fcntl(fd, F_DUPFD_CLOEXEC, 20) == 21 && fcntl(21, F_GETFD) == 1);
    FAILS(EINVAL, fcntl(fd, F_DUPFD, -1));
    FAILS(EINVAL, fcntl(fd, 9999));
    CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR);
    CHECK(fcntl(fd, F_SETFL, O_APPEND | O_NONBLOCK) == 0 && fcntl(4, F_GETFL) & O_APPEND);
    CHECK((fcntl(fd, F_GETFL) & (O_ACCMODE | O_NONBLOCK)) == (O_RDWR | O_NONBLOCK));
    CHECK(pwrite(fd, "x", 1, 0) == 1 && lseek(fd, 0, SEEK_END) == 11); // Linux appends even at an offset
    CHECK(close(4) == 0 && open("f", O_RDONLY) == 4); // the lowest free one
    CHECK(syscall(436, 9, 30, 0) == 0 && fcntl(20, F_GETFD) == -1 && fcntl(4, F_GETFD) == 0);
    CHECK(syscall(436, 3, 4, 4) == 0 && fcntl(3, F_GETFD) == FD_CLOEXEC);
    FAILS(EINVAL, syscall(436, 5, 3, 0));
    FAILS(EBADF, close(99));
    FAILS(EBADF, fcntl(99, F_GETFD));
    struct rlimit old, few = {8, 64};
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0);
    few.rlim_max = old.rlim_max;
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    int n = 0;
    while ((fd = open("f", O_RDONLY)) >= 0)
        n++;
    CHECK(errno == EMFILE && n == 3); // 5, 6, 7
    FAILS(EMFILE, dup(3));
    FAILS(EBADF, dup2(3, 8));
    FAILS(EINVAL, fcntl(3, F_DUPFD, 8));
    CHECK(setrlimit(RLIMIT_NOFILE, &old) == 0);
    // A child has its own table but the same open files.
    pid_t child = fork();
    if (!child) {
        lseek(3, 7, SEEK_SET);
        close(3);
        _exit(0);
    }
    CHECK(waitpid(child, NULL, 0) == child && lseek(3, 0, SEEK_CUR) == 7);
    return done();
}

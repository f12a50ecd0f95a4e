// fifo(7): opens wait for each other, unless told not to; then a FIFO is a pipe.
#include "../check.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>

static short ready(int fd) {
    struct pollfd p = {fd, POLLIN, 0};
    CHECK(poll(&p, 1, 0) >= 0);
    return p.revents;
}

int main(void) {
    char name[40], buf[10];
    int status;
    struct stat st;
    snprintf(name, sizeof name, "fifo-%d", getpid());
    CHECK(mkfifo(name, 0600) == 0);
    FAILS(mkfifo(name, 0600), EEXIST);
    CHECK(stat(name, &st) == 0 && S_ISFIFO(st.st_mode));
    FAILS(open(name, O_WRONLY | O_NONBLOCK), ENXIO);

    int r = open(name, O_RDONLY | O_NONBLOCK);
    CHECK(r >= 0 && ready(r) == 0); // no writer yet: not hung up
    CHECK(read(r, buf, 1) == 0);
    int w = open(name, O_WRONLY | O_NONBLOCK);
    CHECK(w >= 0);
    FAILS(read(r, buf, 1), EAGAIN);
    CHECK(write(w, "abc", 3) == 3 && ready(r) == POLLIN && close(w) == 0);
    CHECK((ready(r) & POLLHUP) && read(r, buf, 10) == 3 && read(r, buf, 10) == 0);
    CHECK(close(r) == 0);

    int both = open(name, O_RDWR); // waits for nobody
    CHECK(both >= 0 && write(both, "xy", 2) == 2 && read(both, buf, 10) == 2 && close(both) == 0);

    for (int child_writes = 0; child_writes < 2; child_writes++) {
        pid_t pid = fork();
        if (!pid) {
            int fd = open(name, child_writes ? O_WRONLY : O_RDONLY);
            CHECK(fd >= 0);
            if (child_writes)
                CHECK(write(fd, "hello", 5) == 5);
            else
                CHECK(read(fd, buf, 5) == 5 && !memcmp(buf, "hello", 5) && read(fd, buf, 5) == 0);
            _exit(0);
        }
        int fd = open(name, child_writes ? O_RDONLY : O_WRONLY);
        CHECK(fd >= 0);
        if (child_writes)
            CHECK(read(fd, buf, 5) == 5 && !memcmp(buf, "hello", 5));
        else
            CHECK(write(fd, "hello", 5) == 5);
        close(fd);
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
    CHECK(unlink(name) == 0);
    return done();
}

// pipe(7): order, end of file, atomic writes, capacity, SIGPIPE, readiness, and much data between processes.
#include "../check.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/wait.h>

static int ends[2];
static volatile int signals;

static void on_signal(int signo) {
    signals += signo == SIGPIPE;
}

static short ready(int fd) {
    struct pollfd p = {fd, POLLIN | POLLOUT, 0};
    CHECK(poll(&p, 1, 0) >= 0);
    return p.revents;
}

static void small(void) {
    char buf[100];
    CHECK(pipe(ends) == 0);
    CHECK(ready(ends[0]) == 0 && ready(ends[1]) == POLLOUT);
    CHECK(write(ends[1], "abc", 3) == 3 && write(ends[1], "def", 3) == 3);
    CHECK(ready(ends[0]) == POLLIN);
    int n;
    CHECK(ioctl(ends[0], FIONREAD, &n) == 0 && n == 6);
    CHECK(read(ends[0], buf, 2) == 2 && read(ends[0], buf + 2, sizeof buf - 2) == 4 && !memcmp(buf, "abcdef", 6));
    CHECK(write(ends[1], "", 0) == 0 && ready(ends[0]) == 0 && read(ends[0], buf, 0) == 0);
    FAILS(lseek(ends[0], 0, SEEK_SET), ESPIPE);
    FAILS(read(ends[1], buf, 1), EBADF);
    FAILS(write(ends[0], buf, 1), EBADF);
    struct iovec in[2] = {{"1234", 4}, {"567", 3}}, out[2] = {{buf, 5}, {buf + 50, 5}};
    CHECK(writev(ends[1], in, 2) == 7 && readv(ends[0], out, 2) == 7 && !memcmp(buf, "12345", 5) && !memcmp(buf + 50, "67", 2));
    FAILS(write(ends[1], (void *)8, 4), EFAULT);
    CHECK(write(ends[1], "x", 1) == 1);
    FAILS(read(ends[0], (void *)8, 4), EFAULT);
    CHECK(read(ends[0], buf, 9) == 1 && buf[0] == 'x');
    CHECK(close(ends[1]) == 0 && ready(ends[0]) == POLLHUP && read(ends[0], buf, 9) == 0);
    close(ends[0]);
}

static void full(void) {
    static char big[70000];
    CHECK(pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
    CHECK(fcntl(ends[0], F_GETFL) == O_NONBLOCK || (fcntl(ends[0], F_GETFL) & O_NONBLOCK));
    CHECK(fcntl(ends[1], F_GETFD) == FD_CLOEXEC);
    FAILS(read(ends[0], big, 1), EAGAIN);
    CHECK(fcntl(ends[0], F_GETPIPE_SZ) == 65536);
    CHECK(write(ends[1], big, 65536 - 4096 + 1) == 65536 - 4096 + 1);
    FAILS(write(ends[1], big, 4096), EAGAIN); // never split
    CHECK(write(ends[1], big, 4095) == 4095);
    FAILS(write(ends[1], big, 1), EAGAIN);
    CHECK((ready(ends[1]) & POLLOUT) == 0);
    CHECK(read(ends[0], big, 65536) == 65536 && ready(ends[1]) == POLLOUT);
    CHECK(write(ends[1], big, 70000) == 65536); // longer than PIPE_BUF: as much as fits
    CHECK(read(ends[0], big, 70000) == 65536);
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, 5000) == 8192 && fcntl(ends[0], F_GETPIPE_SZ) == 8192);
    CHECK(write(ends[1], big, 70000) == 8192);
    FAILS(fcntl(ends[1], F_SETPIPE_SZ, 4096), EBUSY);
    CHECK(fcntl(ends[1], F_SETPIPE_SZ, 131072) == 131072 && ready(ends[1]) == POLLOUT);
    CHECK(write(ends[1], big, 70000) == 70000);
    close(ends[0]);
    close(ends[1]);
}

static void broken(void) {
    CHECK(pipe(ends) == 0);
    signal(SIGPIPE, on_signal);
    close(ends[0]);
    CHECK(ready(ends[1]) == (POLLOUT | POLLERR));
    FAILS(write(ends[1], "x", 1), EPIPE);
    CHECK(signals == 1);
    signal(SIGPIPE, SIG_IGN);
    FAILS(write(ends[1], "x", 1), EPIPE);
    close(ends[1]);
}

// A megabyte and more in odd pieces, with both sides waiting for each other.
static void much(void) {
    enum { TOTAL = 1500000 };
    static unsigned char buf[100000];
    int status;
    CHECK(pipe(ends) == 0);
    pid_t pid = fork();
    if (!pid) {
        close(ends[0]);
        unsigned at = 0;
        for (unsigned size = 1; at < TOTAL; size = (size * 3 + 7) % sizeof buf) {
            unsigned n = size < TOTAL - at ? size : TOTAL - at;
            for (unsigned i = 0; i < n; i++)
                buf[i] = (unsigned char)((at + i) * 2654435761u >> 24);
            CHECK(write(ends[1], buf, n) == (int)n); // a blocking write is whole
            at += n;
        }
        _exit(7);
    }
    close(ends[1]);
    unsigned at = 0;
    for (;;) {
        ssize_t n = read(ends[0], buf, 1 + at % 9001);
        CHECK(n >= 0);
        if (!n)
            break;
        for (ssize_t i = 0; i < n; i++)
            CHECK(buf[i] == (unsigned char)((at + i) * 2654435761u >> 24));
        at += n;
    }
    CHECK(at == TOTAL && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
    close(ends[0]);
}

// Several writers of records: none is torn. Several readers: none is lost.
static void many(void) {
    enum { WRITERS = 4, RECORDS = 200 };
    struct record {
        int who, number, pad[200];
    } r;
    int counts[2];
    CHECK(pipe(ends) == 0 && pipe(counts) == 0);
    for (int w = 0; w < WRITERS; w++)
        if (!fork()) {
            for (int i = 0; i < RECORDS; i++) {
                struct record mine = {w, i, {w + i}};
                mine.pad[199] = w * i;
                CHECK(write(ends[1], &mine, sizeof mine) == sizeof mine);
            }
            _exit(0);
        }
    for (int reader = 0; reader < 3; reader++)
        if (!fork()) {
            close(ends[1]);
            int sum = 0;
            ssize_t n;
            while ((n = read(ends[0], &r, sizeof r)) > 0) {
                CHECK(n == sizeof r && r.pad[0] == r.who + r.number && r.pad[199] == r.who * r.number);
                sum++;
            }
            CHECK(n == 0 && write(counts[1], &sum, sizeof sum) == sizeof sum);
            _exit(0);
        }
    close(ends[0]);
    close(ends[1]);
    int total = 0, sum, status;
    for (int i = 0; i < 3; i++) {
        CHECK(read(counts[0], &sum, sizeof sum) == sizeof sum);
        total += sum;
    }
    for (int i = 0; i < WRITERS + 3; i++)
        CHECK(wait(&status) > 0 && status == 0);
    CHECK(total == WRITERS * RECORDS);
}

// A pipe opened again by its name in /proc waits for nobody.
static void again(void) {
    char name[40], buf[10];
    CHECK(pipe(ends) == 0 && write(ends[1], "abc", 3) == 3);
    snprintf(name, sizeof name, "/proc/self/fd/%d", ends[0]);
    close(ends[1]);
    int fd = open(name, O_RDONLY);
    CHECK(fd >= 0 && read(fd, buf, 2) == 2 && read(ends[0], buf, 10) == 1 && read(fd, buf, 10) == 0);
    int w = open(name, O_WRONLY);
    CHECK(w >= 0 && write(w, "d", 1) == 1 && read(fd, buf, 10) == 1);
    close(w), close(fd), close(ends[0]);
}

int main(void) {
    small();
    again();
    full();
    broken();
    much();
    many();
    return done();
}

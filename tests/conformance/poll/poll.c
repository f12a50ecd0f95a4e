// poll(2), ppoll(2), select(2), pselect(2).
#include "../check.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <time.h>

static volatile int signals;

static void on_signal(int signo) {
    signals++;
}

static long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void answers(void) {
    int a[2], b[2];
    CHECK(pipe(a) == 0 && pipe(b) == 0);
    struct pollfd p[5] = {{a[0], POLLIN, 0}, {b[1], POLLOUT, 0}, {-1, POLLIN, 9}, {500, POLLIN, 0}, {b[0], POLLIN, 0}};
    CHECK(poll(p, 5, -1) == 2);
    CHECK(p[0].revents == 0 && p[1].revents == POLLOUT && p[2].revents == 0 && p[3].revents == POLLNVAL && p[4].revents == 0);
    CHECK(write(a[1], "x", 1) == 1 && close(b[1]) == 0);
    p[1].fd = -1, p[3].fd = -1;
    CHECK(poll(p, 5, -1) == 2 && p[0].revents == POLLIN && p[4].revents == POLLHUP);
    p[0].events = 0;
    CHECK(poll(p, 1, 0) == 0); // ready, but not asked
    CHECK(poll(NULL, 0, 0) == 0);
    FAILS(poll((void *)8, 1, 0), EFAULT);
    // The same file twice, for different events.
    struct pollfd q[2] = {{a[0], POLLPRI, 0}, {a[0], POLLIN, 0}};
    CHECK(poll(q, 2, -1) == 1 && q[1].revents == POLLIN);
    close(a[0]), close(a[1]), close(b[0]);
    int file = open("/", O_RDONLY);
    struct pollfd f = {file, POLLIN | POLLOUT, 0};
    CHECK(poll(&f, 1, -1) == 1 && f.revents == (POLLIN | POLLOUT));
    close(file);
}

static void times_out(void) {
    int a[2];
    CHECK(pipe(a) == 0);
    struct pollfd p = {a[0], POLLIN, 0};
    long before = now_ms();
    CHECK(poll(&p, 1, 20) == 0);
    CHECK(now_ms() - before >= 19);
    struct timespec t = {0, 15000000};
    before = now_ms();
    CHECK(ppoll(&p, 1, &t, NULL) == 0 && now_ms() - before >= 14);
    t.tv_nsec = 1000000000;
    FAILS(ppoll(&p, 1, &t, NULL), EINVAL);
    struct timeval tv = {0, 15000};
    before = now_ms();
    CHECK(select(0, NULL, NULL, NULL, &tv) == 0 && now_ms() - before >= 14);
    close(a[0]), close(a[1]);
}

static void waits(void) {
    enum { COUNT = 300 };
    static int fds[COUNT][2];
    static struct pollfd p[COUNT];
    struct rlimit limit = {1024, 4096};
    setrlimit(RLIMIT_NOFILE, &limit);
    for (int i = 0; i < COUNT; i++) {
        CHECK(pipe(fds[i]) == 0);
        p[i] = (struct pollfd){fds[i][0], POLLIN, 0};
    }
    pid_t pid = fork();
    if (!pid) {
        struct timespec t = {0, 2000000};
        nanosleep(&t, NULL);
        CHECK(write(fds[COUNT - 7][1], "x", 1) == 1);
        _exit(0);
    }
    CHECK(poll(p, COUNT, 10000) == 1 && p[COUNT - 7].revents == POLLIN);
    CHECK(waitpid(pid, NULL, 0) == pid);
    for (int i = 0; i < COUNT; i++)
        close(fds[i][0]), close(fds[i][1]);
}

static void selects(void) {
    int a[2], b[2];
    fd_set in, out, ex;
    CHECK(pipe(a) == 0 && pipe(b) == 0 && write(a[1], "x", 1) == 1);
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_ZERO(&ex);
    FD_SET(a[0], &in);
    FD_SET(b[0], &in);
    FD_SET(b[1], &out);
    FD_SET(a[0], &ex);
    CHECK(select(b[1] + 1, &in, &out, &ex, NULL) == 2);
    CHECK(FD_ISSET(a[0], &in) && !FD_ISSET(b[0], &in) && FD_ISSET(b[1], &out) && !FD_ISSET(a[0], &ex));
    close(b[1]);
    FD_ZERO(&in);
    FD_SET(b[0], &in);
    CHECK(select(b[0] + 1, &in, NULL, NULL, NULL) == 1 && FD_ISSET(b[0], &in)); // end of file
    close(b[0]);
    FD_ZERO(&in);
    FD_SET(b[0], &in);
    FAILS(select(b[0] + 1, &in, NULL, NULL, NULL), EBADF);
    FAILS(select(-1, NULL, NULL, NULL, NULL), EINVAL);
    close(a[0]), close(a[1]);
}

// The mask is changed for the wait only, and a pending signal ends it at once.
static void masks(void) {
    sigset_t usr, none, now;
    int a[2];
    CHECK(pipe(a) == 0);
    struct pollfd p = {a[0], POLLIN, 0};
    sigemptyset(&none), sigemptyset(&usr), sigaddset(&usr, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &usr, NULL) == 0);
    signal(SIGUSR1, on_signal);
    CHECK(raise(SIGUSR1) == 0 && signals == 0);
    FAILS(ppoll(&p, 1, NULL, &none), EINTR);
    CHECK(signals == 1 && sigprocmask(SIG_SETMASK, NULL, &now) == 0 && sigismember(&now, SIGUSR1));
    CHECK(raise(SIGUSR1) == 0 && signals == 1);
    FAILS(pselect(0, NULL, NULL, NULL, NULL, &none), EINTR);
    CHECK(signals == 2 && sigprocmask(SIG_SETMASK, NULL, &now) == 0 && sigismember(&now, SIGUSR1));
    // Ready files win over a pending signal.
    CHECK(raise(SIGUSR1) == 0 && write(a[1], "x", 1) == 1);
    int n = ppoll(&p, 1, NULL, &none);
    CHECK(n == 1 && p.revents == POLLIN);
    close(a[0]), close(a[1]);
}

int main(void) {
    answers();
    times_out();
    waits();
    selects();
    masks();
    return done();
}

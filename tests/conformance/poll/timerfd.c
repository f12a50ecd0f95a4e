// timerfd_create(2): expirations are counted, read and polled for.
#include "../check.h"
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <time.h>

static struct itimerspec spec(long value_ms, long interval_ms) {
    return (struct itimerspec){{interval_ms / 1000, interval_ms % 1000 * 1000000}, {value_ms / 1000, value_ms % 1000 * 1000000}};
}

static void on_clock(int clock) {
    uint64_t n;
    struct itimerspec now, s = spec(100000, 0);
    int fd = timerfd_create(clock, TFD_NONBLOCK | TFD_CLOEXEC);
    CHECK(fd >= 0);
    FAILS(read(fd, &n, 8), EAGAIN);
    CHECK(timerfd_settime(fd, 0, &s, NULL) == 0);
    CHECK(timerfd_gettime(fd, &now) == 0 && now.it_value.tv_sec >= 90 && now.it_value.tv_sec <= 100);
    struct pollfd p = {fd, POLLIN, 0};
    CHECK(poll(&p, 1, 0) == 0);
    s = spec(10, 0);
    CHECK(timerfd_settime(fd, 0, &s, NULL) == 0 && poll(&p, 1, 10000) == 1 && p.revents == POLLIN);
    FAILS(read(fd, &n, 4), EINVAL);
    CHECK(read(fd, &n, 8) == 8 && n == 1);
    FAILS(read(fd, &n, 8), EAGAIN);
    CHECK(timerfd_gettime(fd, &now) == 0 && !now.it_value.tv_sec && !now.it_value.tv_nsec);

    // Absolute, in the past: at once. An interval goes on.
    struct timespec t;
    CHECK(clock_gettime(clock, &t) == 0);
    s.it_value = t, s.it_interval = (struct timespec){0, 2000000};
    CHECK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &s, NULL) == 0 && fcntl(fd, F_SETFL, 0) == 0);
    CHECK(read(fd, &n, 8) == 8 && n >= 1 && read(fd, &n, 8) == 8 && n >= 1);
    struct itimerspec old, off = spec(0, 0);
    CHECK(timerfd_settime(fd, 0, &off, &old) == 0 && old.it_interval.tv_nsec == 2000000);
    p.revents = 0;
    CHECK(poll(&p, 1, 5) == 0);
    close(fd);
}

int main(void) {
    struct itimerspec s = spec(1, 0);
    on_clock(CLOCK_MONOTONIC);
    on_clock(CLOCK_REALTIME);
    FAILS(timerfd_create(77, 0), EINVAL);
    FAILS(timerfd_settime(900, 0, &s, NULL), EBADF);
    FAILS(timerfd_settime(1, 0, &s, NULL), EINVAL);
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    s.it_value.tv_nsec = 1000000000;
    FAILS(timerfd_settime(fd, 0, &s, NULL), EINVAL);
    s = spec(1, 1); // expirations add up while nobody reads
    uint64_t n;
    struct timespec nap = {0, 10000000};
    CHECK(timerfd_settime(fd, 0, &s, NULL) == 0 && nanosleep(&nap, NULL) == 0 && read(fd, &n, 8) == 8 && n >= 9);
    return done();
}

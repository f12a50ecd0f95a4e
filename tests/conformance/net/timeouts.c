// Time limits of sockets, and signals during calls that have one.
#include "net.h"

static volatile sig_atomic_t alarms;
static int feed = -1;
static void on_alarm(int number) {
    alarms++;
    if (feed >= 0)
        (void)!write(feed, "x", 1);
    feed = -1;
}

static void limit(int fd, int name, int ms) {
    struct timeval t = {ms / 1000, ms % 1000 * 1000};
    CHECK(setsockopt(fd, SOL_SOCKET, name, &t, sizeof t) == 0);
}
static long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
// Again and again: the first may come before there is anything to interrupt.
static void alarm_every(int ms) {
    struct itimerval t = {{ms / 1000, ms % 1000 * 1000}, {ms / 1000, ms % 1000 * 1000}};
    CHECK(setitimer(ITIMER_REAL, &t, NULL) == 0);
}

int main(void) {
    int fd[2], port;
    char c;
    static char block[100000];
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    pair(SOCK_STREAM, fd);
    limit(fd[0], SO_RCVTIMEO, 30);
    long start = now_ms();
    FAILS(read(fd[0], &c, 1), EAGAIN);
    FAILS(recv(fd[0], &c, 1, 0), EAGAIN);
    CHECK(now_ms() - start >= 58);
    CHECK(write(fd[1], "ab", 2) == 2);
    char four[4];
    CHECK(recv(fd[0], four, 4, MSG_WAITALL) == 2); // what came in time
    limit(fd[1], SO_SNDTIMEO, 30);
    ssize_t n = write(fd[1], block, sizeof block), total = 0;
    for (; n > 0; n = write(fd[1], block, sizeof block))
        total += n;
    CHECK(n == -1 && errno == EAGAIN && total > 100000);
    close(fd[0]), close(fd[1]);
    // With a time limit, a handler ends the call in spite of SA_RESTART; without, it goes on.
    pair(SOCK_STREAM, fd);
    limit(fd[0], SO_RCVTIMEO, 1000000);
    alarm_every(5);
    FAILS(recv(fd[0], &c, 1, 0), EINTR);
    CHECK(alarms >= 1);
    limit(fd[0], SO_RCVTIMEO, 0);
    alarm_every(0);
    alarms = 0;
    feed = fd[1];
    alarm_every(5);
    CHECK(recv(fd[0], &c, 1, 0) == 1 && alarms >= 1);
    action.sa_flags = 0;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    FAILS(recv(fd[0], &c, 1, 0), EINTR);
    alarm_every(0);
    CHECK(write(fd[1], "ab", 2) == 2);
    alarm_every(5);
    CHECK(recv(fd[0], four, 4, MSG_WAITALL) == 2); // interrupted with something in hand
    close(fd[0]), close(fd[1]);
    int server = listener(&port, 2);
    alarm_every(0);
    limit(server, SO_RCVTIMEO, 10);
    FAILS(accept(server, NULL, NULL), EAGAIN);
    limit(server, SO_RCVTIMEO, 0);
    alarm_every(5);
    FAILS(accept(server, NULL, NULL), EINTR);
    alarm_every(0);
    // An interrupted wait loses nothing.
    close(tcp_to(port));
    CHECK(accept(server, NULL, NULL) >= 0);
    return done();
}

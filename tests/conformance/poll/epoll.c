// epoll(7): level, edge and one-shot triggers, changes, nesting, and files that close.
#include "../check.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>

static int ep;

static void add(int fd, unsigned events, unsigned long data) {
    struct epoll_event e = {events, {.u64 = data}};
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
}
static void modify(int fd, unsigned events, unsigned long data) {
    struct epoll_event e = {events, {.u64 = data}};
    CHECK(epoll_ctl(ep, EPOLL_CTL_MOD, fd, &e) == 0);
}
// The one event there is (its data), 0 for none, -1 for several.
static long only(unsigned *events) {
    struct epoll_event e[8];
    int n = epoll_wait(ep, e, 8, 0);
    CHECK(n >= 0);
    if (events)
        *events = n ? e[0].events : 0;
    return n == 0 ? 0 : n == 1 ? (long)e[0].data.u64 : -1;
}

static void errors(void) {
    int p[2];
    struct epoll_event e = {EPOLLIN, {0}};
    CHECK(pipe(p) == 0);
    FAILS(epoll_create1(0x123), EINVAL);
    FAILS(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], &e), ENOENT);
    FAILS(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e), ENOENT);
    add(p[0], EPOLLIN, 1);
    FAILS(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e), EEXIST);
    FAILS(epoll_ctl(ep, EPOLL_CTL_ADD, 900, &e), EBADF);
    FAILS(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &e), EINVAL);
    FAILS(epoll_ctl(p[0], EPOLL_CTL_ADD, p[1], &e), EINVAL);
    FAILS(epoll_wait(ep, &e, 0, 0), EINVAL);
    FAILS(epoll_wait(p[0], &e, 1, 0), EINVAL);
    int dir = open("/", O_RDONLY);
    FAILS(epoll_ctl(ep, EPOLL_CTL_ADD, dir, &e), EPERM);
    close(dir);
    CHECK(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL) == 0);
    close(p[0]), close(p[1]);
}

static void triggers(void) {
    int p[2];
    char c;
    unsigned events;
    CHECK(pipe(p) == 0);
    add(p[0], EPOLLIN, 7);
    CHECK(only(NULL) == 0 && write(p[1], "ab", 2) == 2);
    CHECK(only(&events) == 7 && events == EPOLLIN && only(NULL) == 7); // level
    modify(p[0], EPOLLIN | EPOLLET, 8);
    CHECK(only(NULL) == 8 && only(NULL) == 0); // edge: once
    CHECK(write(p[1], "c", 1) == 1 && only(NULL) == 8 && only(NULL) == 0);
    CHECK(read(p[0], &c, 1) == 1 && only(NULL) == 0);
    modify(p[0], EPOLLIN | EPOLLONESHOT, 9);
    CHECK(only(NULL) == 9 && only(NULL) == 0 && write(p[1], "d", 1) == 1 && only(NULL) == 0);
    modify(p[0], EPOLLIN | EPOLLONESHOT, 10);
    CHECK(only(NULL) == 10 && only(NULL) == 0);
    modify(p[0], EPOLLIN, 11);
    add(p[1], EPOLLOUT, 12);
    CHECK(only(NULL) == -1);
    modify(p[1], 0, 12); // errors are told without being asked for
    CHECK(only(NULL) == 11);
    close(p[1]);
    CHECK(only(&events) == 11 && events == (EPOLLIN | EPOLLHUP));
    close(p[0]); // the last reference: the item goes
    CHECK(only(NULL) == 0);
}

// Another descriptor keeps the file, and so the item, alive.
static void duplicates(void) {
    int p[2];
    CHECK(pipe(p) == 0);
    add(p[0], EPOLLIN, 1);
    int copy = dup(p[0]);
    add(copy, EPOLLIN, 2); // another descriptor is another item
    CHECK(write(p[1], "x", 1) == 1 && only(NULL) == -1);
    close(p[0]);
    CHECK(only(NULL) == -1);
    close(copy);
    CHECK(only(NULL) == 0);
    close(p[1]);
}

static void nested(void) {
    int p[2], outer = epoll_create1(EPOLL_CLOEXEC), inner = ep;
    CHECK(pipe(p) == 0 && outer >= 0);
    add(p[0], EPOLLIN, 5);
    ep = outer;
    add(inner, EPOLLIN, 6);
    CHECK(only(NULL) == 0);
    struct pollfd pf = {outer, POLLIN, 0};
    CHECK(poll(&pf, 1, 0) == 0 && write(p[1], "x", 1) == 1 && poll(&pf, 1, 0) == 1 && pf.revents == POLLIN);
    CHECK(only(NULL) == 6);
    struct epoll_event e = {EPOLLIN, {0}};
    FAILS(epoll_ctl(inner, EPOLL_CTL_ADD, outer, &e), ELOOP);
    ep = inner;
    CHECK(only(NULL) == 5);
    close(p[0]), close(p[1]);
    ep = outer;
    CHECK(only(NULL) == 0);
    close(outer);
    ep = inner;
    int chain[8];
    chain[0] = ep;
    int made = 1, refused = 0;
    for (; made < 8 && !refused; made++) {
        chain[made] = epoll_create1(0);
        refused = epoll_ctl(chain[made], EPOLL_CTL_ADD, chain[made - 1], &e) != 0;
        CHECK(!refused || errno == ELOOP);
    }
    CHECK(refused && made == 6); // five on top of each other
    while (--made)
        close(chain[made]);
}

static void waits(void) {
    int p[2];
    struct epoll_event e;
    struct timespec before, after;
    CHECK(pipe(p) == 0);
    add(p[0], EPOLLIN | EPOLLET, 3);
    clock_gettime(CLOCK_MONOTONIC, &before);
    CHECK(epoll_wait(ep, &e, 1, 15) == 0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    CHECK((after.tv_sec - before.tv_sec) * 1000000000l + after.tv_nsec - before.tv_nsec >= 14000000);
    pid_t pid = fork();
    if (!pid) {
        struct timespec t = {0, 1000000};
        for (int i = 0; i < 20; i++) {
            CHECK(write(p[1], "x", 1) == 1);
            nanosleep(&t, NULL);
        }
        _exit(0);
    }
    close(p[1]);
    int bytes = 0, hung_up = 0;
    char buf[64];
    while (!hung_up) {
        CHECK(epoll_wait(ep, &e, 1, 10000) == 1 && e.data.u64 == 3);
        hung_up = !!(e.events & EPOLLHUP);
        if (e.events & EPOLLIN)
            bytes += (int)read(p[0], buf, sizeof buf);
    }
    CHECK(bytes == 20 && waitpid(pid, NULL, 0) == pid);
    close(p[0]);
}

// Items that are ready beyond what the caller asked for come in turn.
static void fair(void) {
    int p[5][2];
    unsigned seen = 0;
    for (int i = 0; i < 5; i++) {
        CHECK(pipe(p[i]) == 0 && write(p[i][1], "x", 1) == 1);
        add(p[i][0], EPOLLIN, 1ul << i);
    }
    for (int i = 0; i < 5; i++) {
        struct epoll_event e;
        CHECK(epoll_wait(ep, &e, 1, 0) == 1);
        seen |= e.data.u32;
    }
    CHECK(seen == 31);
    for (int i = 0; i < 5; i++)
        close(p[i][0]), close(p[i][1]);
}

int main(void) {
    ep = epoll_create1(0);
    CHECK(ep >= 0);
    errors();
    triggers();
    duplicates();
    nested();
    waits();
    fair();
    return done();
}

// poll and epoll on sockets: which events, and when they come again at the edge.
#include "net.h"

static int ep;
static unsigned next(void) { // events of the only socket, or 0
    struct epoll_event e;
    int n = epoll_wait(ep, &e, 1, 0);
    CHECK(n >= 0);
    return n ? e.events : 0;
}
static void watch(int fd, unsigned wanted) {
    struct epoll_event e = {.events = wanted};
    if (ep)
        close(ep);
    CHECK((ep = epoll_create1(0)) >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0);
}

static void edges(int fd[2]) {
    char buffer[8];
    watch(fd[0], EPOLLIN | EPOLLRDHUP | EPOLLET);
    CHECK(next() == 0);
    say(fd[1], "a");
    CHECK(next() == EPOLLIN && next() == 0);
    say(fd[1], "b"); // each arrival is an edge
    CHECK(next() == EPOLLIN && next() == 0);
    CHECK(read(fd[0], buffer, 1) == 1 && next() == 0);
    CHECK(read(fd[0], buffer, 1) == 1 && next() == 0);
    CHECK(shutdown(fd[1], SHUT_WR) == 0 && next() == (EPOLLIN | EPOLLRDHUP) && next() == 0);
    close(fd[1]);
    CHECK(read(fd[0], buffer, 1) == 0);
    watch(fd[0], EPOLLIN | EPOLLRDHUP);
    CHECK((next() & (EPOLLIN | EPOLLRDHUP)) == (EPOLLIN | EPOLLRDHUP) && next());
    close(fd[0]);
    CHECK(next() == 0);
}

static void writable(void) {
    int fd[2];
    static char block[8192];
    pair(SOCK_STREAM, fd);
    nonblocking(fd[0]), nonblocking(fd[1]);
    watch(fd[0], EPOLLOUT | EPOLLET);
    CHECK(next() == EPOLLOUT && next() == 0);
    while (send(fd[0], block, sizeof block, 0) > 0)
        ;
    CHECK(errno == EAGAIN && next() == 0);
    while (recv(fd[1], block, sizeof block, 0) > 0)
        ;
    CHECK(next() == EPOLLOUT && next() == 0);
    close(fd[1]);
    CHECK(next() == (EPOLLOUT | EPOLLHUP));
    close(fd[0]);
}

static void waits(void) {
    int fd[2], status;
    pair(SOCK_STREAM, fd);
    for (int kind = 0; kind < 3; kind++) {
        pid_t child = fork();
        if (!child) {
            struct pollfd p = {fd[0], kind == 2 ? POLLRDHUP : POLLIN};
            struct epoll_event e = {.events = EPOLLIN};
            int e2 = epoll_create1(0);
            CHECK(epoll_ctl(e2, EPOLL_CTL_ADD, fd[0], &e) == 0);
            if (kind == 1)
                CHECK(epoll_wait(e2, &e, 1, 5000) == 1 && e.events == EPOLLIN);
            else
                CHECK(poll(&p, 1, 5000) == 1 && p.revents == p.events);
            _exit(0);
        }
        pause_ms(3);
        if (kind == 2)
            CHECK(shutdown(fd[1], SHUT_WR) == 0);
        else
            say(fd[1], "x");
        reap(child);
        char c;
        CHECK(kind == 2 || read(fd[0], &c, 1) == 1);
    }
    close(fd[0]), close(fd[1]);
    (void)status;
}

static void listening(void) {
    int port, server = listener(&port, 5), client[2];
    watch(server, EPOLLIN | EPOLLET);
    CHECK(next() == 0);
    client[0] = tcp_to(port);
    CHECK(next() == EPOLLIN && next() == 0);
    client[1] = tcp_to(port);
    CHECK(next() == EPOLLIN && next() == 0);
    CHECK(accept(server, NULL, NULL) >= 0 && accept(server, NULL, NULL) >= 0 && events(server) == 0);
    close(server), close(client[0]), close(client[1]);
}

int main(void) {
    int fd[2];
    pair(SOCK_STREAM, fd);
    edges(fd);
    tcp_pair(fd);
    edges(fd);
    writable();
    waits();
    listening();
    return done();
}

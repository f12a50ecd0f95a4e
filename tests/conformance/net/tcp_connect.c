// Connecting without waiting, refusal, second attempts, listeners that go away.
#include "net.h"

static int unused_port(void) {
    int port, fd = listener(&port, 1);
    close(fd);
    return port;
}

static void refused(void) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), port = unused_port(), one;
    struct sockaddr_in in = in4("127.0.0.1", port);
    FAILS(connect(fd, A(in), sizeof in), ECONNREFUSED);
    CHECK(error_of(fd) == 0);
    close(fd);
    fd = nonblocking(socket(AF_INET, SOCK_STREAM, 0));
    FAILS(connect(fd, A(in), sizeof in), EINPROGRESS);
    struct pollfd p = {fd, POLLOUT};
    CHECK(poll(&p, 1, 1000) == 1 && p.revents == (POLLOUT | POLLERR | POLLHUP));
    CHECK(error_of(fd) == ECONNREFUSED && error_of(fd) == 0);
    close(fd);
    fd = nonblocking(socket(AF_INET, SOCK_STREAM, 0));
    FAILS(connect(fd, A(in), sizeof in), EINPROGRESS);
    CHECK(poll(&p, 1, 1000) == 1);
    FAILS(connect(fd, A(in), sizeof in), ECONNREFUSED);
    // The same socket may try again.
    int server = socket(AF_INET, SOCK_STREAM, 0);
    option(server, SOL_SOCKET, SO_REUSEADDR, 1);
    in.sin_port = 0;
    CHECK(bind(server, A(in), sizeof in) == 0 && listen(server, 1) == 0);
    in.sin_port = htons(port_of(server));
    FAILS(connect(fd, A(in), sizeof in), EINPROGRESS);
    CHECK(poll(&p, 1, 1000) == 1 && p.revents == POLLOUT);
    close(fd), close(server);
    (void)one;
}

static void in_progress(void) {
    int port, server = listener(&port, 5), fd = nonblocking(socket(AF_INET, SOCK_STREAM, 0));
    struct sockaddr_in in = in4("127.0.0.1", port);
    int ep = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLOUT | EPOLLIN | EPOLLET};
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0 && epoll_wait(ep, &e, 1, 0) == 1 &&
          e.events == (EPOLLOUT | EPOLLHUP));
    FAILS(connect(fd, A(in), sizeof in), EINPROGRESS);
    CHECK(epoll_wait(ep, &e, 1, 1000) == 1 && e.events == EPOLLOUT);
    CHECK(error_of(fd) == 0);
    CHECK(connect(fd, A(in), sizeof in) == 0);
    FAILS(connect(fd, A(in), sizeof in), EISCONN);
    FAILS(listen(fd, 1), EINVAL);
    int peer = accept(server, NULL, NULL);
    FAILS(accept(nonblocking(server), NULL, NULL), EAGAIN);
    CHECK(peer >= 0 && epoll_wait(ep, &e, 1, 0) == 0);
    say(peer, "x");
    CHECK(epoll_wait(ep, &e, 1, 1000) == 1 && e.events == (EPOLLIN | EPOLLOUT));
    close(fd), close(peer), close(server), close(ep);
}

static void listener_stops(void) {
    int port, server = listener(&port, 5);
    pid_t child = fork();
    if (!child) {
        FAILS(accept(server, NULL, NULL), EINVAL);
        _exit(0);
    }
    pause_ms(5);
    CHECK(shutdown(server, SHUT_RD) == 0);
    reap(child);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in in = in4("127.0.0.1", port);
    FAILS(connect(fd, A(in), sizeof in), ECONNREFUSED);
    close(fd), close(server);
}

static void addresses(void) {
    int port;
    int server = socket(AF_INET, SOCK_STREAM, 0), fd;
    struct sockaddr_in in = in4("0.0.0.0", 0);
    CHECK(bind(server, A(in), sizeof in) == 0 && listen(server, 5) == 0);
    port = port_of(server);
    const char *to[] = {"127.0.0.1", "127.1.2.3", "0.0.0.0"};
    for (int i = 0; i < 3; i++) {
        struct sockaddr_in got;
        socklen_t len = sizeof got;
        in = in4(to[i], port);
        fd = socket(AF_INET, SOCK_STREAM, 0);
        CHECK(connect(fd, A(in), sizeof in) == 0);
        int peer = accept(server, A(got), &len);
        CHECK(got.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
        CHECK(getsockname(peer, A(got), &len) == 0);
        CHECK(got.sin_addr.s_addr == (i == 2 ? htonl(INADDR_LOOPBACK) : in.sin_addr.s_addr));
        close(peer), close(fd);
    }
    fd = socket(AF_INET, SOCK_STREAM, 0);
    in.sin_family = AF_UNIX;
    FAILS(connect(fd, A(in), sizeof in), EAFNOSUPPORT);
    in.sin_family = AF_INET;
    FAILS(connect(fd, A(in), 8), EINVAL);
    // A second life after AF_UNSPEC.
    in = in4("127.0.0.1", port);
    CHECK(connect(fd, A(in), sizeof in) == 0);
    int peer = accept(server, NULL, NULL);
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    CHECK(connect(fd, &none, sizeof none) == 0);
    char c;
    FAILS(read(peer, &c, 1), ECONNRESET);
    CHECK(connect(fd, A(in), sizeof in) == 0);
    close(peer), close(fd), close(server);
}

static void many_servers(void) {
    int port, server = listener(&port, 8);
    pid_t child[3];
    for (int i = 0; i < 3; i++) {
        child[i] = fork();
        if (child[i])
            continue;
        int fd = accept(server, NULL, NULL);
        char c;
        CHECK(fd >= 0 && read(fd, &c, 1) == 1);
        say(fd, "done");
        _exit(0);
    }
    for (int i = 0; i < 3; i++) {
        int fd = tcp_to(port);
        say(fd, "x");
        expect(fd, "done");
        close(fd);
    }
    for (int i = 0; i < 3; i++)
        reap(child[i]);
    close(server);
}

int main(void) {
    refused();
    in_progress();
    listener_stops();
    addresses();
    many_servers();
    return done();
}

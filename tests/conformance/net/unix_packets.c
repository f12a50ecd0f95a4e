// AF_UNIX datagrams and sequenced packets: boundaries, names, full queues, ends.
#include "net.h"

static char name[2][32];

static void boundaries(int type) {
    int fd[2];
    char buffer[16];
    pair(type, fd);
    CHECK(send(fd[0], "first", 5, 0) == 5 && send(fd[0], "second", 6, 0) == 6);
    CHECK(recv(fd[1], buffer, 16, MSG_PEEK) == 5);
    CHECK(recv(fd[1], buffer, 16, 0) == 5 && !memcmp(buffer, "first", 5));
    CHECK(recv(fd[1], buffer, 3, MSG_TRUNC | MSG_PEEK) == 6);
    struct iovec iov = {buffer, 3};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    CHECK(recvmsg(fd[1], &m, 0) == 3 && m.msg_flags & MSG_TRUNC && !memcmp(buffer, "sec", 3));
    FAILS(recv(fd[1], buffer, 16, MSG_DONTWAIT), EAGAIN);
    CHECK(send(fd[0], "abcdef", 6, 0) == 6 && read(fd[1], buffer, 2) == 2);
    FAILS(recv(fd[1], buffer, 16, MSG_DONTWAIT), EAGAIN);
    static char big[300000];
    FAILS(send(fd[0], big, sizeof big, 0), EMSGSIZE);
    CHECK(send(fd[0], big, 100000, 0) == 100000 && recv(fd[1], big, sizeof big, 0) == 100000);
    close(fd[0]), close(fd[1]);
}

static void names(void) {
    struct sockaddr_un un[2], from;
    char buffer[16];
    int fd[3];
    socklen_t len[2], n = sizeof from;
    for (int i = 0; i < 2; i++) {
        fd[i] = socket(AF_UNIX, SOCK_DGRAM, 0);
        len[i] = un_name(&un[i], name[i]);
        CHECK(bind(fd[i], A(un[i]), len[i]) == 0);
    }
    fd[2] = socket(AF_UNIX, SOCK_DGRAM, 0);
    FAILS(send(fd[0], "x", 1, 0), ENOTCONN);
    CHECK(sendto(fd[0], "to b", 4, 0, A(un[1]), len[1]) == 4);
    CHECK(recvfrom(fd[1], buffer, 16, 0, A(from), &n) == 4 && n == len[0] && !memcmp(&from, &un[0], n));
    CHECK(sendto(fd[2], "?", 1, 0, A(un[1]), len[1]) == 1);
    n = sizeof from;
    CHECK(recvfrom(fd[1], buffer, 16, 0, A(from), &n) == 1 && n == 0); // it has no name
    CHECK(connect(fd[0], A(un[1]), len[1]) == 0 && send(fd[0], "", 0, 0) == 0);
    CHECK(recv(fd[1], buffer, 16, 0) == 0);
    // Who is connected hears only its peer.
    CHECK(connect(fd[1], A(un[0]), len[0]) == 0);
    FAILS(sendto(fd[2], "x", 1, 0, A(un[1]), len[1]), EPERM);
    FAILS(connect(fd[2], A(un[1]), len[1]), EPERM);
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    CHECK(connect(fd[1], &none, sizeof none) == 0 && sendto(fd[2], "x", 1, 0, A(un[1]), len[1]) == 1);
    close(fd[1]);
    FAILS(send(fd[0], "x", 1, 0), ECONNREFUSED);
    FAILS(send(fd[0], "x", 1, 0), ENOTCONN);
    FAILS(sendto(fd[0], "x", 1, 0, A(un[1]), len[1]), ECONNREFUSED);
    FAILS(listen(fd[0], 1), EOPNOTSUPP);
    FAILS(accept(fd[0], NULL, NULL), EOPNOTSUPP);
    close(fd[0]), close(fd[2]);
}

static void full_queue(void) {
    struct sockaddr_un un;
    char c;
    int in = socket(AF_UNIX, SOCK_DGRAM, 0), out = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0), sent = 0;
    socklen_t len = un_name(&un, name[0]);
    CHECK(bind(in, A(un), len) == 0 && connect(out, A(un), len) == 0);
    while (send(out, "x", 1, 0) == 1)
        CHECK(++sent < 1000);
    CHECK(errno == EAGAIN && sent >= 10);
    CHECK(events(out) == 0);
    int ep = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLOUT | EPOLLET, .data.fd = out};
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, out, &event) == 0 && epoll_wait(ep, &event, 1, 0) == 0);
    CHECK(recv(in, &c, 1, 0) == 1);
    CHECK(epoll_wait(ep, &event, 1, 0) == 1 && event.events == EPOLLOUT);
    CHECK(events(out) == POLLOUT && send(out, "x", 1, 0) == 1);
    pid_t child = fork();
    if (!child) {
        CHECK(fcntl(out, F_SETFL, 0) == 0 && send(out, "waited", 6, 0) == 6);
        _exit(0);
    }
    pause_ms(2);
    char buffer[8];
    for (int i = 0; i < sent; i++)
        CHECK(recv(in, buffer, 8, 0) == 1);
    CHECK(recv(in, buffer, 8, 0) == 6);
    reap(child);
    close(in), close(out), close(ep);
}

static void sequenced(void) {
    struct sockaddr_un un;
    char buffer[8];
    int server = socket(AF_UNIX, SOCK_SEQPACKET, 0), client = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    socklen_t len = un_name(&un, name[0]);
    FAILS(recv(client, buffer, 8, 0), ENOTCONN);
    FAILS(send(client, "x", 1, MSG_NOSIGNAL), ENOTCONN);
    CHECK(bind(server, A(un), len) == 0 && listen(server, 2) == 0 && connect(client, A(un), len) == 0);
    int peer = accept(server, NULL, NULL);
    CHECK(send(client, "one", 3, 0) == 3 && send(client, "two", 3, 0) == 3 && close(client) == 0);
    CHECK(recv(peer, buffer, 8, 0) == 3 && recv(peer, buffer, 8, 0) == 3 && recv(peer, buffer, 8, 0) == 0);
    FAILS(send(peer, "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK(events(peer) & POLLHUP);
    close(peer), close(server);
}

int main(void) {
    for (int i = 0; i < 2; i++)
        sprintf(name[i], "@packets-%d-%d", getpid(), i);
    boundaries(SOCK_DGRAM);
    boundaries(SOCK_SEQPACKET);
    names();
    full_queue();
    sequenced();
    return done();
}

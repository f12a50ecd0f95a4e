// TCP on the loopback interface: names, bytes, half-close, resets.
#include "net.h"

static volatile sig_atomic_t pipes;
static void on_pipe(int number) {
    pipes++;
}

static void names(void) {
    int port, server = listener(&port, 5), client = tcp_to(port), unread;
    struct sockaddr_in in;
    socklen_t len = sizeof in;
    CHECK(port >= 1024 && events(server) == POLLIN);
    int peer = accept4(server, A(in), &len, SOCK_NONBLOCK);
    CHECK(peer >= 0 && len == sizeof in && in.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    CHECK(ntohs(in.sin_port) == port_of(client) && port_of(peer) == port);
    CHECK(fcntl(peer, F_GETFL) & O_NONBLOCK);
    len = sizeof in;
    CHECK(getpeername(client, A(in), &len) == 0 && ntohs(in.sin_port) == port);
    FAILS(accept4(server, NULL, NULL, 1), EINVAL);
    CHECK(option_of(server, SOL_SOCKET, SO_ACCEPTCONN) == 1 && option_of(client, SOL_SOCKET, SO_ACCEPTCONN) == 0);
    char buffer[16];
    FAILS(read(peer, buffer, 1), EAGAIN);
    say(client, "question");
    CHECK(ioctl(peer, FIONREAD, &unread) == 0 && unread == 8);
    CHECK(recv(peer, buffer, 4, MSG_PEEK) == 4 && recv(peer, buffer, 16, 0) == 8);
    say(client, "discarded!");
    CHECK(recv(peer, NULL, 9, MSG_TRUNC) == 9 && recv(peer, buffer, 16, 0) == 1 && buffer[0] == '!');
    say(peer, "answer");
    len = sizeof in;
    memset(&in, 0, sizeof in);
    CHECK(recvfrom(client, buffer, 16, 0, A(in), &len) == 6 && len == 0);
    FAILS(read(server, buffer, 1), ENOTCONN);
    in = in4("127.0.0.1", port);
    FAILS(connect(client, A(in), sizeof in), EISCONN);
    close(server), close(client), close(peer);
}

static void unconnected(void) {
    char c;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in in;
    socklen_t len = sizeof in;
    FAILS(recv(fd, &c, 1, 0), ENOTCONN);
    FAILS(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
    FAILS(getpeername(fd, A(in), &len), ENOTCONN);
    FAILS(shutdown(fd, SHUT_WR), ENOTCONN);
    FAILS(accept(fd, NULL, NULL), EINVAL);
    CHECK(getsockname(fd, A(in), &len) == 0 && in.sin_port == 0 && in.sin_addr.s_addr == 0);
    close(fd);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(events(fd) == (POLLOUT | POLLHUP));
    close(fd);
    FAILS(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
    FAILS(socket(AF_INET, SOCK_SEQPACKET, 0), ESOCKTNOSUPPORT);
    int two[2];
    FAILS(socketpair(AF_INET, SOCK_STREAM, 0, two), EOPNOTSUPP);
}

static void half_close(void) {
    int fd[2];
    char buffer[16];
    tcp_pair(fd);
    CHECK(events(fd[0]) == POLLOUT);
    say(fd[0], "last");
    CHECK(shutdown(fd[0], SHUT_WR) == 0);
    FAILS(send(fd[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK(events(fd[1]) == (POLLIN | POLLOUT | POLLRDHUP));
    expect(fd[1], "last");
    CHECK(read(fd[1], buffer, 1) == 0);
    say(fd[1], "reply");
    expect(fd[0], "reply");
    CHECK(events(fd[0]) == POLLOUT);
    close(fd[1]);
    CHECK(events(fd[0]) == (POLLIN | POLLOUT | POLLHUP | POLLRDHUP) && read(fd[0], buffer, 1) == 0);
    CHECK(error_of(fd[0]) == 0);
    close(fd[0]);
}

static void broken(void) {
    int fd[2];
    char buffer[16];
    tcp_pair(fd);
    close(fd[1]);
    pause_ms(2);
    CHECK(events(fd[0]) == (POLLIN | POLLOUT | POLLRDHUP) && read(fd[0], buffer, 1) == 0);
    CHECK(write(fd[0], "x", 1) == 1); // on its way; answered by a reset
    pause_ms(2);
    CHECK(events(fd[0]) & POLLHUP && events(fd[0]) & POLLERR);
    pipes = 0;
    FAILS(write(fd[0], "x", 1), EPIPE);
    CHECK(pipes == 1 && read(fd[0], buffer, 1) == 0);
    close(fd[0]);
}

static void reset(int linger) {
    int fd[2];
    tcp_pair(fd);
    if (linger) {
        struct linger l = {1, 0};
        CHECK(setsockopt(fd[1], SOL_SOCKET, SO_LINGER, &l, sizeof l) == 0);
    } else {
        say(fd[0], "unread");
    }
    say(fd[1], "abc");
    pause_ms(2);
    close(fd[1]);
    pause_ms(2);
    CHECK((events(fd[0]) & (POLLERR | POLLHUP | POLLIN)) == (POLLERR | POLLHUP | POLLIN));
    struct sockaddr_in in;
    socklen_t len = sizeof in;
    FAILS(getpeername(fd[0], A(in), &len), ENOTCONN);
    FAILS(send(fd[0], "x", 1, MSG_NOSIGNAL), ECONNRESET);
    FAILS(send(fd[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK(error_of(fd[0]) == 0);
    close(fd[0]);
}

static void never_accepted(void) {
    char c;
    int port, server = listener(&port, 5), client = tcp_to(port);
    say(client, "hello");
    close(server);
    pause_ms(2);
    FAILS(read(client, &c, 1), ECONNRESET);
    CHECK(read(client, &c, 1) == 0);
    close(client);
}

static void much(void) {
    static char block[65536];
    int fd[2];
    long got = 0, n, total = 0;
    tcp_pair(fd);
    pid_t child = fork();
    if (!child) {
        static char big[6000000];
        close(fd[1]);
        for (unsigned i = 0; i < sizeof big; i++)
            big[i] = i * 7 + i / 251;
        CHECK(write(fd[0], big, sizeof big) == sizeof big);
        _exit(0);
    }
    close(fd[0]);
    while ((n = read(fd[1], block, 5000)) > 0)
        for (int i = 0; i < n; i++, got++)
            CHECK(block[i] == (char)(got * 7 + got / 251));
    CHECK(got == 6000000);
    reap(child);
    close(fd[1]);
    tcp_pair(fd);
    nonblocking(fd[0]);
    while ((n = send(fd[0], block, sizeof block, 0)) > 0)
        total += n;
    CHECK(errno == EAGAIN && total >= 65536 && !(events(fd[0]) & POLLOUT));
    nonblocking(fd[1]);
    got = 0;
    while (got < total) {
        struct pollfd p = {fd[1], POLLIN};
        CHECK(poll(&p, 1, 1000) == 1 && (n = read(fd[1], block, sizeof block)) > 0);
        got += n;
    }
    struct pollfd p = {fd[0], POLLOUT};
    CHECK(poll(&p, 1, 1000) == 1 && p.revents == POLLOUT);
    close(fd[0]), close(fd[1]);
}

int main(void) {
    signal(SIGPIPE, on_pipe);
    names();
    unconnected();
    half_close();
    broken();
    reset(0);
    reset(1);
    never_accepted();
    much();
    return done();
}

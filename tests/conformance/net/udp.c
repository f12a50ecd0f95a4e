// UDP on the loopback interface: addresses, boundaries, refusal, a full receiver.
#include "net.h"

static int udp_at(int *port) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in in = in4("127.0.0.1", 0);
    CHECK(bind(fd, A(in), sizeof in) == 0);
    *port = port_of(fd);
    return fd;
}

static void datagrams(void) {
    int port, fd = udp_at(&port), out = socket(AF_INET, SOCK_DGRAM, 0), unread;
    struct sockaddr_in to = in4("127.0.0.1", port), from;
    socklen_t len = sizeof from;
    char buffer[32];
    static char big[70000];
    FAILS(send(out, "x", 1, 0), EDESTADDRREQ);
    CHECK(events(fd) == POLLOUT);
    CHECK(sendto(out, "one", 3, 0, A(to), sizeof to) == 3 && sendto(out, "three", 5, 0, A(to), sizeof to) == 5);
    CHECK(port_of(out) != 0);
    CHECK(events(fd) == (POLLIN | POLLOUT) && ioctl(fd, FIONREAD, &unread) == 0 && unread == 3);
    CHECK(recvfrom(fd, buffer, 32, MSG_PEEK, A(from), &len) == 3);
    CHECK(len == sizeof from && from.sin_family == AF_INET && ntohs(from.sin_port) == port_of(out));
    CHECK(recv(fd, buffer, 32, 0) == 3 && recv(fd, buffer, 2, MSG_TRUNC) == 5);
    FAILS(recv(fd, buffer, 1, MSG_DONTWAIT), EAGAIN);
    CHECK(sendto(fd, "back", 4, 0, A(from), sizeof from) == 4 && recv(out, buffer, 32, 0) == 4);
    CHECK(sendto(out, "", 0, 0, A(to), sizeof to) == 0 && recv(fd, buffer, 32, 0) == 0);
    FAILS(sendto(out, big, 65508, 0, A(to), sizeof to), EMSGSIZE);
    CHECK(sendto(out, big, 65507, 0, A(to), sizeof to) == 65507 && recv(fd, big, sizeof big, 0) == 65507);
    to.sin_port = 0;
    FAILS(sendto(out, "x", 1, 0, A(to), sizeof to), EINVAL);
    FAILS(sendto(out, "x", 1, 0, A(to), 4), EINVAL);
    FAILS(listen(fd, 1), EOPNOTSUPP);
    close(fd), close(out);
}

static void connected(void) {
    int port[3], fd[3];
    char buffer[8];
    struct sockaddr_in to[3];
    for (int i = 0; i < 3; i++) {
        fd[i] = udp_at(&port[i]);
        to[i] = in4("127.0.0.1", port[i]);
    }
    CHECK(connect(fd[0], A(to[1]), sizeof to[1]) == 0);
    CHECK(send(fd[0], "a", 1, 0) == 1 && recv(fd[1], buffer, 8, 0) == 1);
    CHECK(sendto(fd[2], "stranger", 8, 0, A(to[0]), sizeof to[0]) == 8);
    FAILS(recv(fd[0], buffer, 8, MSG_DONTWAIT), EAGAIN);
    CHECK(sendto(fd[1], "friend", 6, 0, A(to[0]), sizeof to[0]) == 6 && recv(fd[0], buffer, 8, 0) == 6);
    CHECK(sendto(fd[0], "b", 1, 0, A(to[2]), sizeof to[2]) == 1 && recv(fd[2], buffer, 8, 0) == 1);
    // Nobody there: the next call hears of it.
    close(fd[1]);
    CHECK(send(fd[0], "c", 1, 0) == 1);
    pause_ms(2);
    CHECK(events(fd[0]) & POLLERR);
    FAILS(recv(fd[0], buffer, 8, 0), ECONNREFUSED);
    CHECK(send(fd[0], "c", 1, 0) == 1);
    pause_ms(2);
    FAILS(send(fd[0], "c", 1, 0), ECONNREFUSED);
    CHECK(sendto(fd[2], "d", 1, 0, A(to[1]), sizeof to[1]) == 1); // not connected: never hears
    pause_ms(2);
    CHECK(error_of(fd[2]) == 0);
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    CHECK(connect(fd[0], &none, sizeof none) == 0);
    CHECK(port_of(fd[0]) == 0); // the kernel had chosen it
    FAILS(send(fd[0], "x", 1, 0), EDESTADDRREQ);
    CHECK(port_of(fd[0]) != 0); // and chose again
    FAILS(shutdown(fd[2], SHUT_RD), ENOTCONN);
    close(fd[0]), close(fd[2]);
}

static void full(void) {
    int port, fd = udp_at(&port), out = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = in4("127.0.0.1", port);
    static char block[1000];
    int got = 0;
    option(fd, SOL_SOCKET, SO_RCVBUF, 10000);
    for (int i = 0; i < 200; i++) // the rest is dropped
        CHECK(sendto(out, block, sizeof block, 0, A(to), sizeof to) == sizeof block);
    while (recv(fd, block, sizeof block, MSG_DONTWAIT) == sizeof block)
        got++;
    CHECK(got >= 5 && got < 100);
    close(fd), close(out);
}

static void where_to(void) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0), out = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in any = in4("0.0.0.0", 0), to;
    CHECK(bind(fd, A(any), sizeof any) == 0);
    option(fd, IPPROTO_IP, IP_PKTINFO, 1);
    to = in4("127.0.0.5", port_of(fd));
    CHECK(sendto(out, "x", 1, 0, A(to), sizeof to) == 1);
    char buffer[4], control[128];
    struct iovec iov = {buffer, 4};
    struct sockaddr_in from;
    struct msghdr m = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1,
                       .msg_control = control, .msg_controllen = sizeof control};
    CHECK(recvmsg(fd, &m, 0) == 1 && m.msg_namelen == sizeof from && m.msg_flags == 0);
    CHECK(from.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    CHECK(c && c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO);
    struct in_pktinfo info;
    memcpy(&info, CMSG_DATA(c), sizeof info);
    CHECK(info.ipi_ifindex == 1 && info.ipi_addr.s_addr == to.sin_addr.s_addr);
    close(fd), close(out);
    // A specific address is preferred to any, a connected socket to both.
    int wild = socket(AF_INET, SOCK_DGRAM, 0), exact = socket(AF_INET, SOCK_DGRAM, 0);
    option(wild, SOL_SOCKET, SO_REUSEADDR, 1), option(exact, SOL_SOCKET, SO_REUSEADDR, 1);
    CHECK(bind(wild, A(any), sizeof any) == 0);
    to = in4("127.0.0.1", port_of(wild));
    CHECK(bind(exact, A(to), sizeof to) == 0);
    out = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(sendto(out, "x", 1, 0, A(to), sizeof to) == 1 && recv(exact, buffer, 4, 0) == 1);
    to = in4("127.0.0.2", port_of(wild));
    CHECK(sendto(out, "x", 1, 0, A(to), sizeof to) == 1 && recv(wild, buffer, 4, 0) == 1);
    close(wild), close(exact), close(out);
}

static void six(void) {
    int fd = socket(AF_INET6, SOCK_DGRAM, 0), out = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in6 any = in6("::", 0), from;
    socklen_t len = sizeof from;
    char buffer[8];
    CHECK(bind(fd, A(any), sizeof any) == 0);
    struct sockaddr_in to = in4("127.0.0.1", port_of(fd));
    CHECK(sendto(out, "four", 4, 0, A(to), sizeof to) == 4);
    CHECK(recvfrom(fd, buffer, 8, 0, A(from), &len) == 4 && len == sizeof from && IN6_IS_ADDR_V4MAPPED(&from.sin6_addr));
    CHECK(sendto(fd, "back", 4, 0, A(from), sizeof from) == 4 && recv(out, buffer, 8, 0) == 4);
    close(out);
    out = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 one = in6("::1", port_of(fd));
    CHECK(sendto(out, "six", 3, 0, A(one), sizeof one) == 3);
    CHECK(recvfrom(fd, buffer, 8, 0, A(from), &len) == 3 && !memcmp(&from.sin6_addr, &in6addr_loopback, 16));
    close(out), close(fd);
}

int main(void) {
    datagrams();
    connected();
    full();
    where_to();
    six();
    return done();
}

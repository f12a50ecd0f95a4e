// setsockopt and getsockopt: what is stored, what is checked, what is answered.
// linux: native
#include "net.h"

int main(void) {
    int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), un[2];
    pair(SOCK_STREAM, un);
    CHECK(option_of(tcp, SOL_SOCKET, SO_TYPE) == SOCK_STREAM && option_of(udp, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM);
    CHECK(option_of(tcp, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_TCP && option_of(un[0], SOL_SOCKET, SO_PROTOCOL) == 0);
    CHECK(option_of(udp, SOL_SOCKET, SO_DOMAIN) == AF_INET6 && option_of(un[0], SOL_SOCKET, SO_DOMAIN) == AF_UNIX);
    static const struct { int level, name, value, answer; } stored[] = {
        {SOL_SOCKET, SO_REUSEADDR, 5, 1}, {SOL_SOCKET, SO_KEEPALIVE, 1, 1}, {SOL_SOCKET, SO_REUSEPORT, 1, 1},
        {SOL_SOCKET, SO_OOBINLINE, 1, 1}, {SOL_SOCKET, SO_BROADCAST, 1, 1}, {SOL_SOCKET, SO_PRIORITY, 3, 3},
        {SOL_SOCKET, SO_RCVLOWAT, 7, 7}, {IPPROTO_TCP, TCP_NODELAY, 1, 1}, {IPPROTO_TCP, TCP_KEEPIDLE, 30, 30},
        {IPPROTO_TCP, TCP_KEEPINTVL, 5, 5}, {IPPROTO_TCP, TCP_KEEPCNT, 3, 3}, {IPPROTO_TCP, TCP_CORK, 1, 1},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, 1000, 1000}, {IPPROTO_IP, IP_TTL, 9, 9}, {IPPROTO_IP, IP_TOS, 16, 16},
    };
    for (unsigned i = 0; i < sizeof stored / sizeof *stored; i++) {
        option(tcp, stored[i].level, stored[i].name, stored[i].value);
        CHECK(option_of(tcp, stored[i].level, stored[i].name) == stored[i].answer);
    }
    CHECK(option_of(udp, SOL_SOCKET, SO_REUSEADDR) == 0 && option_of(udp, SOL_SOCKET, SO_SNDLOWAT) == 1);
    int v = 1;
    FAILS(setsockopt(tcp, SOL_SOCKET, SO_REUSEADDR, &v, 2), EINVAL);
    FAILS(setsockopt(tcp, SOL_SOCKET, SO_TYPE, &v, sizeof v), ENOPROTOOPT);
    FAILS(setsockopt(tcp, SOL_SOCKET, 9999, &v, sizeof v), ENOPROTOOPT);
    FAILS(setsockopt(udp, IPPROTO_TCP, TCP_NODELAY, &v, sizeof v), ENOPROTOOPT);
    FAILS(setsockopt(un[0], IPPROTO_TCP, TCP_NODELAY, &v, sizeof v), EOPNOTSUPP);
    v = 0;
    FAILS(setsockopt(tcp, IPPROTO_TCP, TCP_KEEPIDLE, &v, sizeof v), EINVAL);
    v = 300;
    FAILS(setsockopt(tcp, IPPROTO_IP, IP_TTL, &v, sizeof v), EINVAL);
    socklen_t len = 1;
    unsigned char byte = 77;
    CHECK(getsockopt(tcp, IPPROTO_IP, IP_TTL, &byte, &len) == 0 && len == 1 && byte == 9);
    len = 2; // a short buffer takes what fits
    unsigned short two = 0;
    CHECK(getsockopt(tcp, SOL_SOCKET, SO_RCVLOWAT, &two, &len) == 0 && len == 2 && two == 7);
    len = -1;
    FAILS(getsockopt(tcp, SOL_SOCKET, SO_TYPE, &v, &len), EINVAL);
    // Buffers: twice what was asked, within bounds.
    int before = option_of(un[0], SOL_SOCKET, SO_SNDBUF);
    CHECK(before >= 100000);
    option(un[0], SOL_SOCKET, SO_SNDBUF, 20000);
    CHECK(option_of(un[0], SOL_SOCKET, SO_SNDBUF) == 40000);
    option(un[0], SOL_SOCKET, SO_RCVBUF, 30000);
    CHECK(option_of(un[0], SOL_SOCKET, SO_RCVBUF) == 60000);
    option(un[0], SOL_SOCKET, SO_SNDBUF, 1);
    CHECK(option_of(un[0], SOL_SOCKET, SO_SNDBUF) == 4608);
    option(un[0], SOL_SOCKET, SO_RCVBUF, 1);
    CHECK(option_of(un[0], SOL_SOCKET, SO_RCVBUF) == 2304);
    struct linger l = {1, 5}, got;
    len = sizeof got;
    CHECK(setsockopt(tcp, SOL_SOCKET, SO_LINGER, &l, sizeof l) == 0);
    CHECK(getsockopt(tcp, SOL_SOCKET, SO_LINGER, &got, &len) == 0 && got.l_onoff == 1 && got.l_linger == 5);
    struct timeval t = {1, 500000}, back = {7, 7};
    len = sizeof back;
    CHECK(getsockopt(tcp, SOL_SOCKET, SO_RCVTIMEO, &back, &len) == 0 && back.tv_sec == 0 && back.tv_usec == 0);
    CHECK(setsockopt(tcp, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) == 0);
    len = sizeof back; // not every user mode fills it in
    CHECK(getsockopt(tcp, SOL_SOCKET, SO_RCVTIMEO, &back, &len) == 0 && back.tv_sec == 1 && back.tv_usec == 500000);
    t.tv_usec = 1000000;
    FAILS(setsockopt(tcp, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t), EDOM);
    char name[16] = "cubic";
    len = sizeof name;
    CHECK(getsockopt(tcp, IPPROTO_TCP, TCP_CONGESTION, name, &len) == 0 && name[0]);
    struct tcp_info info;
    int fd[2];
    tcp_pair(fd);
    len = sizeof info;
    CHECK(getsockopt(fd[0], IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state == TCP_ESTABLISHED);
    close(fd[1]);
    pause_ms(2);
    len = sizeof info;
    CHECK(getsockopt(fd[0], IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_state == TCP_CLOSE_WAIT);
    return done();
}

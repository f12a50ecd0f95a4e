// Who may bind what: ports, addresses, SO_REUSEADDR, SO_REUSEPORT, IPV6_V6ONLY.
#include "net.h"

static int bound(int type, const char *address, int port, int reuse, int *error) {
    int fd = socket(AF_INET, type, 0);
    struct sockaddr_in in = in4(address, port);
    if (reuse)
        option(fd, SOL_SOCKET, reuse, 1);
    *error = 0;
    if (bind(fd, A(in), sizeof in)) {
        *error = errno;
        close(fd);
        return -1;
    }
    return fd;
}

static void conflicts(int type) {
    int error, a = bound(type, "127.0.0.1", 0, 0, &error), port = port_of(a), b, c;
    CHECK(a >= 0 && port >= 1024);
    CHECK(bound(type, "127.0.0.1", port, 0, &error) < 0 && error == EADDRINUSE);
    CHECK(bound(type, "0.0.0.0", port, 0, &error) < 0 && error == EADDRINUSE);
    CHECK(bound(type, "127.0.0.1", port, SO_REUSEADDR, &error) < 0 && error == EADDRINUSE); // both must
    CHECK((b = bound(type, "127.0.0.2", port, 0, &error)) >= 0);
    close(b);
    close(a);
    a = bound(type, "0.0.0.0", port, SO_REUSEADDR, &error);
    CHECK(a >= 0 && (b = bound(type, "127.0.0.1", port, SO_REUSEADDR, &error)) >= 0);
    if (type == SOCK_STREAM) {
        CHECK(listen(a, 1) == 0);
        FAILS(listen(b, 1), EADDRINUSE);
        CHECK(bound(type, "127.0.0.1", port, SO_REUSEADDR, &error) < 0 && error == EADDRINUSE);
    }
    close(a), close(b);
    a = bound(type, "127.0.0.1", 0, SO_REUSEPORT, &error);
    port = port_of(a);
    CHECK((b = bound(type, "127.0.0.1", port, SO_REUSEPORT, &error)) >= 0);
    CHECK((c = bound(type, "127.0.0.1", port, SO_REUSEADDR, &error)) < 0 && error == EADDRINUSE);
    if (type == SOCK_STREAM)
        CHECK(listen(a, 1) == 0 && listen(b, 1) == 0);
    close(a), close(b);
    CHECK(bound(type, "192.0.2.1", 0, 0, &error) < 0 && error == EADDRNOTAVAIL);
    int fd = socket(AF_INET, type, 0);
    struct sockaddr_in in = in4("127.0.0.1", 0);
    FAILS(bind(fd, A(in), 10), EINVAL);
    in.sin_family = AF_INET6;
    FAILS(bind(fd, A(in), sizeof in), EAFNOSUPPORT);
    in.sin_family = AF_INET;
    CHECK(bind(fd, A(in), sizeof in) == 0);
    FAILS(bind(fd, A(in), sizeof in), EINVAL);
    close(fd);
}

// A server may come back to its port while connections of its former life remain.
static void comes_back(void) {
    int error, server = bound(SOCK_STREAM, "127.0.0.1", 0, SO_REUSEADDR, &error), port = port_of(server);
    CHECK(listen(server, 2) == 0);
    int client = tcp_to(port), peer = accept(server, NULL, NULL);
    close(server);
    CHECK(bound(SOCK_STREAM, "127.0.0.1", port, 0, &error) < 0 && error == EADDRINUSE);
    CHECK((server = bound(SOCK_STREAM, "127.0.0.1", port, SO_REUSEADDR, &error)) >= 0 && listen(server, 2) == 0);
    say(client, "still");
    expect(peer, "still");
    int fresh = tcp_to(port);
    close(fresh), close(server), close(client), close(peer);
}

static void six(void) {
    int server = socket(AF_INET6, SOCK_STREAM, 0), error;
    struct sockaddr_in6 in = in6("::", 0), got;
    socklen_t len = sizeof got;
    CHECK(option_of(server, IPPROTO_IPV6, IPV6_V6ONLY) == 0);
    CHECK(bind(server, A(in), sizeof in) == 0 && listen(server, 5) == 0);
    int port = port_of(server);
    CHECK(bound(SOCK_STREAM, "127.0.0.1", port, 0, &error) < 0 && error == EADDRINUSE);
    int client = tcp_to(port), peer = accept(server, A(got), &len); // IPv4, seen as mapped
    CHECK(peer >= 0 && len == sizeof got && got.sin6_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&got.sin6_addr));
    say(client, "4");
    expect(peer, "4");
    close(client), close(peer);
    client = socket(AF_INET6, SOCK_STREAM, 0);
    in = in6("::1", port);
    CHECK(connect(client, A(in), sizeof in) == 0);
    len = sizeof got;
    peer = accept(server, A(got), &len);
    CHECK(!memcmp(&got.sin6_addr, &in6addr_loopback, 16) && ntohs(got.sin6_port) == port_of(client));
    say(peer, "6");
    expect(client, "6");
    close(client), close(peer);
    client = socket(AF_INET6, SOCK_STREAM, 0);
    in = in6("::ffff:127.0.0.1", port);
    CHECK(connect(client, A(in), sizeof in) == 0);
    close(client);
    client = socket(AF_INET6, SOCK_STREAM, 0);
    option(client, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    FAILS(connect(client, A(in), sizeof in), ENETUNREACH);
    close(client), close(server);
    // Alone with its family, both may have the port.
    server = socket(AF_INET6, SOCK_STREAM, 0);
    option(server, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    in = in6("::", 0);
    CHECK(bind(server, A(in), sizeof in) == 0 && listen(server, 5) == 0);
    FAILS(setsockopt(server, IPPROTO_IPV6, IPV6_V6ONLY, &port, sizeof port), EINVAL);
    port = port_of(server);
    int four = bound(SOCK_STREAM, "0.0.0.0", port, 0, &error);
    CHECK(four >= 0);
    close(four);
    client = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = in4("127.0.0.1", port);
    FAILS(connect(client, A(to), sizeof to), ECONNREFUSED);
    close(client), close(server);
}

int main(void) {
    conflicts(SOCK_STREAM);
    conflicts(SOCK_DGRAM);
    comes_back();
    six();
    return done();
}

// Shared by the programs about sockets.
#pragma once
#include "../check.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

static inline int nonblocking(int fd) {
    CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
    return fd;
}

// What poll says at once, asked for everything.
static inline int events(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP};
    CHECK(poll(&p, 1, 0) >= 0);
    return p.revents;
}

static inline int error_of(int fd) {
    int error = -1;
    socklen_t len = sizeof error;
    CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && len == sizeof error);
    return error;
}

static inline int option_of(int fd, int level, int name) {
    int value = -1;
    socklen_t len = sizeof value;
    CHECK(getsockopt(fd, level, name, &value, &len) == 0);
    return value;
}
static inline void option(int fd, int level, int name, int value) {
    CHECK(setsockopt(fd, level, name, &value, sizeof value) == 0);
}

static inline void pair(int type, int fd[2]) {
    CHECK(socketpair(AF_UNIX, type, 0, fd) == 0);
}

static inline void expect(int fd, const char *text) {
    char buffer[256] = {0};
    ssize_t n = recv(fd, buffer, strlen(text), MSG_WAITALL);
    CHECK(n == (ssize_t)strlen(text) && !memcmp(buffer, text, strlen(text)));
}
static inline void say(int fd, const char *text) {
    CHECK(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

static inline socklen_t un_name(struct sockaddr_un *un, const char *name) { // "@x": abstract
    memset(un, 0, sizeof *un);
    un->sun_family = AF_UNIX;
    strcpy(un->sun_path, name);
    socklen_t len = offsetof(struct sockaddr_un, sun_path) + strlen(name);
    if (name[0] == '@')
        un->sun_path[0] = 0;
    else
        len++;
    return len;
}

static inline struct sockaddr_in in4(const char *address, int port) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    CHECK(inet_pton(AF_INET, address, &in.sin_addr) == 1);
    return in;
}
static inline struct sockaddr_in6 in6(const char *address, int port) {
    struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    CHECK(inet_pton(AF_INET6, address, &in.sin6_addr) == 1);
    return in;
}
#define A(x) ((struct sockaddr *)&(x))

static inline int port_of(int fd) {
    struct sockaddr_storage s;
    socklen_t len = sizeof s;
    CHECK(getsockname(fd, A(s), &len) == 0);
    return ntohs(((struct sockaddr_in *)&s)->sin_port);
}

// A listener on 127.0.0.1 at a port of the kernel's choice.
static inline int listener(int *port, int backlog) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in in = in4("127.0.0.1", 0);
    CHECK(fd >= 0 && bind(fd, A(in), sizeof in) == 0 && listen(fd, backlog) == 0);
    *port = port_of(fd);
    return fd;
}
static inline int tcp_to(int port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in in = in4("127.0.0.1", port);
    CHECK(fd >= 0 && connect(fd, A(in), sizeof in) == 0);
    return fd;
}
// Both ends of one TCP connection.
static inline void tcp_pair(int fd[2]) {
    int port, server = listener(&port, 5);
    fd[0] = tcp_to(port);
    fd[1] = accept(server, NULL, NULL);
    CHECK(fd[1] >= 0 && close(server) == 0);
}

static inline void reap(pid_t pid) {
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
static inline void pause_ms(int ms) { // lets another process get into its wait; nothing depends on it
    nanosleep(&(struct timespec){0, ms * 1000000}, NULL);
}

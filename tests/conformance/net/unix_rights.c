// Descriptors sent through AF_UNIX sockets.
#include "net.h"

static ssize_t send_fds(int to, const char *text, const int *fds, int n) {
    char control[CMSG_SPACE(300 * sizeof(int))] = {0};
    struct iovec iov = {(void *)text, strlen(text)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
                       .msg_controllen = CMSG_SPACE(n * sizeof(int))};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    c->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(c), fds, n * sizeof(int));
    return sendmsg(to, &m, 0);
}

// Bytes received; the number of descriptors in *n (in: how many there is room for).
static ssize_t receive_fds(int from, char *text, size_t size, int *fds, int *n, int flags, int *out_flags) {
    char control[CMSG_SPACE(300 * sizeof(int))];
    struct iovec iov = {text, size};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
                       .msg_controllen = *n ? CMSG_LEN(*n * sizeof(int)) : 0};
    ssize_t r = recvmsg(from, &m, flags);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *n = 0;
    if (c) {
        CHECK(c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS);
        *n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), *n * sizeof(int));
    }
    if (out_flags)
        *out_flags = m.msg_flags;
    return r;
}

static void passing(int type) {
    int fd[2], p[2], got[4], n = 4, flags;
    char buffer[16];
    pair(type, fd);
    CHECK(pipe(p) == 0 && send_fds(fd[0], "fd", p, 2) == 2);
    close(p[0]), close(p[1]);
    CHECK(receive_fds(fd[1], buffer, 16, got, &n, MSG_CMSG_CLOEXEC, &flags) == 2 && n == 2);
    CHECK(!(flags & (MSG_CTRUNC | MSG_TRUNC)) && fcntl(got[0], F_GETFD) == FD_CLOEXEC);
    CHECK(write(got[1], "x", 1) == 1 && read(got[0], buffer, 1) == 1);
    // The open file is shared, offset and all.
    char path[] = "/tmp/rights-XXXXXX";
    int file = mkstemp(path);
    CHECK(write(file, "abcdef", 6) == 6 && lseek(file, 2, SEEK_SET) == 2 && unlink(path) == 0);
    CHECK(send_fds(fd[0], "f", &file, 1) == 1);
    n = 1;
    CHECK(receive_fds(fd[1], buffer, 16, got + 2, &n, 0, NULL) == 1 && n == 1 && fcntl(got[2], F_GETFD) == 0);
    CHECK(read(got[2], buffer, 2) == 2 && !memcmp(buffer, "cd", 2) && lseek(file, 0, SEEK_CUR) == 4);
    int bad = 9999;
    FAILS(send_fds(fd[0], "x", &bad, 1), EBADF);
    int many[254];
    for (int i = 0; i < 254; i++)
        many[i] = 1;
    FAILS(send_fds(fd[0], "x", many, 254), EINVAL);
    // Too little room: what does not fit is closed.
    CHECK(pipe(p) == 0 && send_fds(fd[0], "w", p + 1, 1) == 1 && close(p[1]) == 0);
    n = 0;
    CHECK(receive_fds(fd[1], buffer, 16, got + 3, &n, 0, &flags) == 1 && n == 0 && flags & MSG_CTRUNC);
    CHECK(read(p[0], buffer, 1) == 0);
    close(p[0]);
    CHECK(pipe(p) == 0 && send_fds(fd[0], "w", p, 2) == 1);
    close(p[0]), close(p[1]);
    n = 1;
    CHECK(receive_fds(fd[1], buffer, 16, got + 3, &n, 0, NULL) == 1 && n == 1);
    for (int i = 0; i < 4; i++)
        close(got[i]);
    // Peeking gives descriptors too, and leaves them.
    CHECK(pipe(p) == 0 && send_fds(fd[0], "w", p + 1, 1) == 1 && close(p[1]) == 0);
    n = 1;
    CHECK(receive_fds(fd[1], buffer, 16, got, &n, MSG_PEEK, NULL) == 1 && n == 1);
    n = 1;
    CHECK(receive_fds(fd[1], buffer, 16, got + 1, &n, 0, NULL) == 1 && n == 1 && got[0] != got[1]);
    close(got[0]);
    CHECK(write(got[1], "x", 1) == 1 && read(p[0], buffer, 1) == 1);
    close(got[1]);
    CHECK(read(p[0], buffer, 1) == 0);
    // Never received: closed with the socket.
    CHECK(pipe(p) == 0 && send_fds(fd[0], "w", p + 1, 1) == 1);
    close(p[1]), close(fd[0]), close(fd[1]), close(file);
    CHECK(read(p[0], buffer, 1) == 0);
    close(p[0]);
}

static void stream_boundaries(void) {
    int fd[2], got[4], n, zero = 1;
    char buffer[16];
    pair(SOCK_STREAM, fd);
    CHECK(write(fd[0], "ab", 2) == 2 && send_fds(fd[0], "cd", &zero, 1) == 2 && write(fd[0], "ef", 2) == 2);
    n = 4; // bytes before go along; bytes after a descriptor wait for the next read
    CHECK(receive_fds(fd[1], buffer, 16, got, &n, 0, NULL) == 4 && n == 1 && !memcmp(buffer, "abcd", 4));
    close(got[0]);
    n = 4;
    CHECK(receive_fds(fd[1], buffer, 16, got, &n, 0, NULL) == 2 && n == 0);
    CHECK(send_fds(fd[0], "12", &zero, 1) == 2 && send_fds(fd[0], "34", &zero, 1) == 2);
    n = 4;
    CHECK(receive_fds(fd[1], buffer, 1, got, &n, 0, NULL) == 1 && n == 1);
    close(got[0]);
    n = 4; // the rest of the first message has none; the second brings its own
    CHECK(receive_fds(fd[1], buffer, 16, got, &n, 0, NULL) == 3 && n == 1);
    close(got[0]);
    // read(2) drops them.
    int p[2];
    CHECK(pipe(p) == 0 && send_fds(fd[0], "w", p + 1, 1) == 1 && close(p[1]) == 0);
    CHECK(read(fd[1], buffer, 16) == 1 && read(p[0], buffer, 1) == 0);
    close(fd[0]), close(fd[1]), close(p[0]);
}

// Sockets that only their own messages know are cleared away: the pipe's last writer goes with them.
static void cycles(void) {
    int fd[2], p[2], both[2];
    char c;
    CHECK(pipe(p) == 0);
    pair(SOCK_STREAM, fd);
    both[0] = fd[1], both[1] = p[1];
    CHECK(send_fds(fd[0], "x", both, 2) == 1); // fd[1] lies in its own queue
    close(fd[0]), close(fd[1]), close(p[1]);
    // Linux clears these away when a socket is closed, though not at once.
    for (int i = 0; i < 200; i++) {
        close(socket(AF_UNIX, SOCK_DGRAM, 0));
        struct pollfd hup = {.fd = p[0], .events = POLLIN};
        if (poll(&hup, 1, 5) > 0)
            break;
    }
    CHECK(fcntl(p[0], F_SETFL, O_NONBLOCK) == 0 && read(p[0], &c, 1) == 0);
    close(p[0]);
    // What is in flight but can still be received is not touched.
    int outer[2], n = 1, got;
    CHECK(pipe(p) == 0);
    pair(SOCK_DGRAM, fd);
    pair(SOCK_DGRAM, outer);
    CHECK(send_fds(fd[0], "w", p + 1, 1) == 1 && send_fds(outer[0], "s", fd + 1, 1) == 1);
    close(fd[0]), close(fd[1]), close(p[1]);
    close(socket(AF_UNIX, SOCK_DGRAM, 0));
    CHECK(receive_fds(outer[1], &c, 1, &got, &n, 0, NULL) == 1 && n == 1);
    int inner = got;
    n = 1;
    CHECK(receive_fds(inner, &c, 1, &got, &n, 0, NULL) == 1 && n == 1 && c == 'w');
    CHECK(write(got, "y", 1) == 1 && read(p[0], &c, 1) == 1 && c == 'y');
}

int main(void) {
    passing(SOCK_STREAM);
    passing(SOCK_DGRAM);
    passing(SOCK_SEQPACKET);
    stream_boundaries();
    cycles();
    return done();
}

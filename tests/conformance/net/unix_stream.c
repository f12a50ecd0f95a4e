// Streams between two sockets of a pair: bytes, ends, limits.
// linux: native
#include "net.h"

static volatile sig_atomic_t pipes;
static void on_pipe(int number) {
    pipes++;
}

static void bytes(void) {
    int fd[2], unread;
    char buffer[64] = {0};
    pair(SOCK_STREAM, fd);
    CHECK(write(fd[0], "hello ", 6) == 6 && write(fd[0], "world", 5) == 5);
    CHECK(ioctl(fd[1], FIONREAD, &unread) == 0 && unread == 11);
    CHECK(recv(fd[1], buffer, 8, MSG_PEEK) == 8 && !memcmp(buffer, "hello wo", 8));
    CHECK(recv(fd[1], buffer, 64, MSG_PEEK) == 11);
    CHECK(read(fd[1], buffer, 4) == 4 && !memcmp(buffer, "hell", 4));
    CHECK(read(fd[1], buffer, 64) == 7 && !memcmp(buffer, "o world", 7));
    FAILS(recv(fd[1], buffer, 1, MSG_DONTWAIT), EAGAIN);
    CHECK(write(fd[0], "", 0) == 0 && read(fd[1], buffer, 0) == 0);
    struct iovec out[3] = {{"ab", 2}, {"", 0}, {"cde", 3}}, in[2] = {{buffer, 1}, {buffer + 10, 20}};
    CHECK(writev(fd[0], out, 3) == 5 && readv(fd[1], in, 2) == 5);
    CHECK(buffer[0] == 'a' && !memcmp(buffer + 10, "bcde", 4));
    struct sockaddr_un un;
    socklen_t len = sizeof un;
    CHECK(getpeername(fd[0], A(un), &len) == 0 && len == 2 && un.sun_family == AF_UNIX);
    FAILS(lseek(fd[0], 0, SEEK_SET), ESPIPE);
    struct stat st;
    CHECK(fstat(fd[0], &st) == 0 && S_ISSOCK(st.st_mode));
    close(fd[0]), close(fd[1]);
}

static void wait_all(void) {
    int fd[2];
    char buffer[10];
    pair(SOCK_STREAM, fd);
    pid_t child = fork();
    if (!child) {
        for (int i = 0; i < 10; i++) {
            pause_ms(1);
            CHECK(write(fd[0], "x", 1) == 1);
        }
        _exit(0);
    }
    CHECK(recv(fd[1], buffer, 10, MSG_WAITALL) == 10);
    reap(child);
    CHECK(write(fd[0], "abc", 3) == 3);
    close(fd[0]);
    CHECK(recv(fd[1], buffer, 10, MSG_WAITALL) == 3);
    close(fd[1]);
}

static void ends(void) {
    int fd[2];
    char buffer[8];
    pair(SOCK_STREAM, fd);
    CHECK(write(fd[0], "abc", 3) == 3 && close(fd[0]) == 0);
    CHECK(events(fd[1]) == (POLLIN | POLLOUT | POLLHUP | POLLRDHUP));
    CHECK(read(fd[1], buffer, 8) == 3 && read(fd[1], buffer, 8) == 0);
    FAILS(write(fd[1], "x", 1), EPIPE);
    CHECK(pipes == 1);
    FAILS(send(fd[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK(pipes == 1);
    close(fd[1]);
    // Unread bytes at close: a reset on the other side, told once.
    pair(SOCK_STREAM, fd);
    CHECK(write(fd[0], "abc", 3) == 3 && write(fd[1], "de", 2) == 2 && close(fd[1]) == 0);
    CHECK(events(fd[0]) & POLLERR && events(fd[0]) & POLLHUP);
    CHECK(read(fd[0], buffer, 8) == 2);
    FAILS(read(fd[0], buffer, 8), ECONNRESET);
    CHECK(read(fd[0], buffer, 8) == 0 && error_of(fd[0]) == 0);
    close(fd[0]);
}

static void halves(void) {
    int fd[2];
    char buffer[8];
    pair(SOCK_STREAM, fd);
    CHECK(write(fd[0], "ab", 2) == 2 && shutdown(fd[0], SHUT_WR) == 0);
    FAILS(send(fd[0], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK(read(fd[1], buffer, 8) == 2 && read(fd[1], buffer, 8) == 0);
    CHECK(events(fd[1]) == (POLLIN | POLLOUT | POLLRDHUP));
    CHECK(write(fd[1], "back", 4) == 4 && read(fd[0], buffer, 8) == 4);
    CHECK(shutdown(fd[0], SHUT_RD) == 0 && read(fd[0], buffer, 8) == 0);
    FAILS(send(fd[1], "x", 1, MSG_NOSIGNAL), EPIPE);
    CHECK(events(fd[0]) & POLLHUP);
    FAILS(shutdown(fd[0], 3), EINVAL);
    close(fd[0]), close(fd[1]);
}

static void back_pressure(void) {
    static char block[4096];
    int fd[2];
    long total = 0, got = 0;
    ssize_t n;
    pair(SOCK_STREAM, fd);
    nonblocking(fd[0]);
    while ((n = write(fd[0], block, sizeof block)) > 0)
        total += n;
    CHECK(n == -1 && errno == EAGAIN && total >= 100000 && total < 1000000);
    CHECK(!(events(fd[0]) & POLLOUT) && events(fd[1]) == (POLLIN | POLLOUT));
    nonblocking(fd[1]);
    while ((n = read(fd[1], block, sizeof block)) > 0)
        got += n;
    CHECK(got == total && events(fd[0]) == POLLOUT);
    close(fd[0]), close(fd[1]);
    // A blocked writer goes on as the reader takes.
    pair(SOCK_STREAM, fd);
    pid_t child = fork();
    if (!child) {
        static char big[1000000];
        close(fd[1]);
        for (unsigned i = 0; i < sizeof big; i++)
            big[i] = i * 7 + i / 251;
        CHECK(write(fd[0], big, sizeof big) == sizeof big);
        _exit(0);
    }
    close(fd[0]);
    got = 0;
    while ((n = read(fd[1], block, 3000)) > 0)
        for (int i = 0; i < n; i++, got++)
            CHECK(block[i] == (char)(got * 7 + got / 251));
    CHECK(got == 1000000);
    reap(child);
    close(fd[1]);
}

static void unconnected(void) {
    char c;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    FAILS(read(fd, &c, 1), EINVAL);
    FAILS(send(fd, "x", 1, MSG_NOSIGNAL), ENOTCONN);
    FAILS(accept(fd, NULL, NULL), EINVAL);
    FAILS(listen(fd, 1), EINVAL);
    struct sockaddr_un un;
    socklen_t len = sizeof un;
    FAILS(getpeername(fd, A(un), &len), ENOTCONN);
    CHECK(events(fd) == (POLLOUT | POLLHUP));
    close(fd);
    FAILS(socket(AF_UNIX, 77, 0), EINVAL);
    FAILS(socket(AF_UNIX, SOCK_STREAM, 5), EPROTONOSUPPORT);
    FAILS(socket(99, SOCK_STREAM, 0), EAFNOSUPPORT);
    FAILS(send(0x7fff, "x", 1, 0), EBADF);
    int p[2];
    CHECK(pipe(p) == 0);
    FAILS(listen(p[0], 1), ENOTSOCK);
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    CHECK(fcntl(s, F_GETFL) == (O_RDWR | O_NONBLOCK) && fcntl(s, F_GETFD) == FD_CLOEXEC);
}

int main(void) {
    signal(SIGPIPE, on_pipe);
    bytes();
    wait_all();
    ends();
    halves();
    back_pressure();
    unconnected();
    return done();
}

// Where AF_UNIX sockets are bound and how they are reached.
#include "net.h"

static char path[64], other[64];

static void by_path(void) {
    struct sockaddr_un un, got;
    struct stat st;
    char c;
    int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t len = un_name(&un, path);
    umask(022);
    CHECK(bind(server, A(un), len) == 0);
    CHECK(stat(path, &st) == 0 && S_ISSOCK(st.st_mode) && (st.st_mode & 0777) == 0755);
    FAILS(open(path, O_RDWR), ENXIO);
    FAILS(bind(server, A(un), len), EADDRINUSE);
    un_name(&got, other);
    FAILS(bind(server, A(got), len + strlen(other) - strlen(path)), EINVAL);
    FAILS(stat(other, &st), ENOENT);
    FAILS(bind(client, A(un), len), EADDRINUSE);
    FAILS(connect(client, A(un), len), ECONNREFUSED);
    CHECK(listen(server, 5) == 0 && events(server) == 0);
    int wrong = socket(AF_UNIX, SOCK_DGRAM, 0);
    FAILS(connect(wrong, A(un), len), EPROTOTYPE);
    CHECK(connect(client, A(un), len) == 0);
    FAILS(connect(client, A(un), len), EISCONN);
    CHECK(events(server) == POLLIN);
    CHECK(write(client, "early", 5) == 5); // before it is accepted
    socklen_t n = sizeof got;
    int peer = accept4(server, A(got), &n, SOCK_CLOEXEC);
    CHECK(peer >= 0 && n == 2 && got.sun_family == AF_UNIX && fcntl(peer, F_GETFD) == FD_CLOEXEC);
    expect(peer, "early");
    n = sizeof got;
    CHECK(getpeername(client, A(got), &n) == 0 && n == len && !strcmp(got.sun_path, path));
    n = sizeof got;
    CHECK(getsockname(peer, A(got), &n) == 0 && n == len && !strcmp(got.sun_path, path));
    n = 5; // cut short, with the whole length told
    memset(&got, 'x', sizeof got);
    CHECK(getsockname(peer, A(got), &n) == 0 && n == len && got.sun_path[2] == path[2] && got.sun_path[3] == 'x');
    FAILS(accept(client, NULL, NULL), EINVAL);
    // The name is gone: the connection stays, new ones fail.
    CHECK(unlink(path) == 0 && write(client, "x", 1) == 1 && read(peer, &c, 1) == 1);
    int late = socket(AF_UNIX, SOCK_STREAM, 0);
    FAILS(connect(late, A(un), len), ENOENT);
    close(server), close(peer), close(client), close(late), close(wrong);
    // A name nobody listens behind any more.
    server = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(server, A(un), len) == 0 && listen(server, 1) == 0 && close(server) == 0);
    client = socket(AF_UNIX, SOCK_STREAM, 0);
    FAILS(connect(client, A(un), len), ECONNREFUSED);
    CHECK(unlink(path) == 0);
    int file = open(path, O_CREAT | O_WRONLY, 0600);
    FAILS(connect(client, A(un), len), ECONNREFUSED);
    FAILS(bind(client, A(un), len), EADDRINUSE);
    close(file);
    CHECK(unlink(path) == 0);
    len = un_name(&un, "/nonexistent/directory/x");
    FAILS(bind(client, A(un), len), ENOENT);
    FAILS(bind(client, A(un), 200), EINVAL);
    un.sun_family = AF_INET;
    FAILS(bind(client, A(un), len), EINVAL);
    close(client);
}

static void renamed(void) {
    struct sockaddr_un un;
    int server = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t len = un_name(&un, path);
    CHECK(bind(server, A(un), len) == 0 && listen(server, 1) == 0 && rename(path, other) == 0);
    len = un_name(&un, other);
    CHECK(connect(client, A(un), len) == 0);
    CHECK(unlink(other) == 0);
    close(server), close(client);
}

static void abstract(void) {
    struct sockaddr_un un, got;
    int a = socket(AF_UNIX, SOCK_STREAM, 0), b = socket(AF_UNIX, SOCK_STREAM, 0);
    char name[32];
    sprintf(name, "@conformance-%d", getpid());
    socklen_t len = un_name(&un, name), n = sizeof got;
    CHECK(bind(a, A(un), len) == 0);
    FAILS(bind(b, A(un), len), EADDRINUSE);
    CHECK(getsockname(a, A(got), &n) == 0 && n == len && !memcmp(&got, &un, len));
    FAILS(connect(b, A(un), len - 1), ECONNREFUSED); // the length is part of the name
    CHECK(listen(a, 1) == 0 && connect(b, A(un), len) == 0);
    int peer = accept(a, NULL, NULL);
    CHECK(close(a) == 0);
    a = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(a, A(un), len) == 0); // free again though a connection remains
    close(a), close(b), close(peer);
    a = socket(AF_UNIX, SOCK_DGRAM, 0);
    un.sun_family = AF_UNIX;
    n = sizeof got;
    CHECK(bind(a, A(un), sizeof(sa_family_t)) == 0 && getsockname(a, A(got), &n) == 0);
    CHECK(n == sizeof(sa_family_t) + 6 && got.sun_path[0] == 0);
    close(a);
}

static void backlog(void) {
    struct sockaddr_un un;
    socklen_t len = un_name(&un, path);
    int server = socket(AF_UNIX, SOCK_STREAM, 0), c[4];
    CHECK(bind(server, A(un), len) == 0 && listen(server, 1) == 0);
    for (int i = 0; i < 4; i++)
        c[i] = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(connect(c[0], A(un), len) == 0 && connect(c[1], A(un), len) == 0);
    nonblocking(c[2]);
    FAILS(connect(c[2], A(un), len), EAGAIN);
    pid_t child = fork();
    if (!child) { // waits for room
        CHECK(connect(c[3], A(un), len) == 0);
        say(c[3], "there");
        _exit(0);
    }
    pause_ms(2);
    for (int i = 0; i < 2; i++)
        close(accept(server, NULL, NULL));
    int last = accept(server, NULL, NULL);
    expect(last, "there");
    reap(child);
    char b;
    CHECK(read(c[0], &b, 1) == 0);
    // Who was never accepted is reset.
    CHECK(connect(c[2], A(un), len) == 0 && close(server) == 0);
    FAILS(read(c[2], &b, 1), ECONNRESET);
    CHECK(read(c[2], &b, 1) == 0);
    CHECK(unlink(path) == 0);
    for (int i = 0; i < 4; i++)
        close(c[i]);
    close(last);
}

static void shared_accept(void) {
    struct sockaddr_un un;
    socklen_t len = un_name(&un, path);
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    pid_t child[3];
    CHECK(bind(server, A(un), len) == 0 && listen(server, 8) == 0);
    for (int i = 0; i < 3; i++) {
        child[i] = fork();
        if (child[i])
            continue;
        int fd = accept(server, NULL, NULL);
        CHECK(fd >= 0);
        say(fd, "mine");
        _exit(0);
    }
    pause_ms(2);
    for (int i = 0; i < 3; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK(connect(fd, A(un), len) == 0);
        expect(fd, "mine");
        close(fd);
    }
    for (int i = 0; i < 3; i++)
        reap(child[i]);
    CHECK(unlink(path) == 0);
}

int main(void) {
    sprintf(path, "/tmp/names-%d", getpid());
    sprintf(other, "/tmp/names-%d-other", getpid());
    by_path();
    renamed();
    abstract();
    backlog();
    shared_accept();
    return done();
}

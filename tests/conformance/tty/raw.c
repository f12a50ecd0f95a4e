// termios(3), non-canonical mode: VMIN and VTIME, switches between the modes, flow control, window size, big pastes.
#include "pty.h"

static long now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void raw(int min, int time) {
    struct termios t = settings();
    cfmakeraw(&t);
    t.c_cc[VMIN] = (cc_t)min;
    t.c_cc[VTIME] = (cc_t)time;
    CHECK(tcsetattr(slave, TCSANOW, &t) == 0);
}

static void min_and_time(void) {
    char buf[10];
    raw(1, 0);
    type("a\r\003");
    SCREEN("");
    CHECK(read(slave, buf, 10) == 3 && !memcmp(buf, "a\r\003", 3));
    raw(0, 0);
    CHECK(read(slave, buf, 10) == 0);
    type("xy");
    CHECK(read(slave, buf, 1) == 1 && read(slave, buf, 10) == 1);
    raw(0, 1);
    long before = now_ms();
    CHECK(read(slave, buf, 10) == 0 && now_ms() - before >= 90);
    type("z");
    CHECK(read(slave, buf, 10) == 1);
    raw(3, 0);
    struct pollfd p = {slave, POLLIN, 0};
    type("12");
    CHECK(poll(&p, 1, 0) == 0); // fewer than VMIN
    pid_t pid = fork();
    if (!pid) {
        type("345");
        _exit(0);
    }
    CHECK(read(slave, buf, 10) >= 3);
    CHECK(waitpid(pid, NULL, 0) == pid);
    CHECK(fcntl(slave, F_SETFL, O_NONBLOCK) == 0);
    while (read(slave, buf, 10) > 0)
        ;
    CHECK(errno == EAGAIN && fcntl(slave, F_SETFL, 0) == 0);
    raw(3, 1); // the time runs between bytes
    type("1");
    before = now_ms();
    CHECK(read(slave, buf, 10) == 1 && now_ms() - before >= 90);
    raw(2, 1);
    type("123");
    CHECK(read(slave, buf, 10) == 3);
}

static void switches(void) {
    char buf[10];
    raw(1, 0);
    type("typed ahead");
    flags(ICANON, 0, 0, 0, 0, 0); // what is there becomes a line
    LINE("typed ahead");
    type("no end");
    LINE("(nothing)");
    flags(0, ICANON, 0, 0, 0, 0);
    LINE("no end");
    type("lost");
    struct termios t = settings();
    CHECK(tcsetattr(slave, TCSAFLUSH, &t) == 0);
    LINE("(nothing)");
    type("lost");
    CHECK(tcflush(slave, TCIFLUSH) == 0);
    LINE("(nothing)");
    CHECK(fcntl(slave, F_SETFL, O_NONBLOCK) == 0);
    FAILS(read(slave, buf, 1), EAGAIN);
    CHECK(fcntl(slave, F_SETFL, 0) == 0);
}

static void flow(void) {
    flags(ICANON, ECHO, IXON, 0, 0, 0);
    struct pollfd p = {slave, POLLOUT, 0};
    CHECK(poll(&p, 1, 0) == 1);
    type("\023"); // stop
    CHECK(fcntl(slave, F_SETFL, O_NONBLOCK) == 0);
    FAILS(write(slave, "x", 1), EAGAIN);
    type("\021");
    CHECK(write(slave, "x", 1) == 1);
    SCREEN("x");
    CHECK(tcflow(slave, TCOOFF) == 0);
    FAILS(write(slave, "x", 1), EAGAIN);
    CHECK(tcflow(slave, TCOON) == 0 && write(slave, "y", 1) == 1 && fcntl(slave, F_SETFL, 0) == 0);
    SCREEN("y");
}

static void packets(void) {
    int on = 1;
    char buf[10];
    CHECK(ioctl(master, TIOCPKT, &on) == 0);
    CHECK(write(slave, "hey", 3) == 3);
    CHECK(read(master, buf, 10) == 4 && !memcmp(buf, "\0hey", 4));
    CHECK(tcflush(slave, TCIFLUSH) == 0);
    struct pollfd p = {master, POLLIN | POLLPRI, 0};
    CHECK(poll(&p, 1, 0) == 1 && p.revents & POLLPRI);
    CHECK(read(master, buf, 10) == 1 && buf[0] & TIOCPKT_FLUSHREAD);
    on = 0;
    CHECK(ioctl(master, TIOCPKT, &on) == 0);
}

static void sizes(void) {
    struct winsize w = {24, 80, 0, 0}, got;
    CHECK(ioctl(master, TIOCSWINSZ, &w) == 0 && ioctl(slave, TIOCGWINSZ, &got) == 0);
    CHECK(got.ws_row == 24 && got.ws_col == 80);
    w.ws_col = 132;
    CHECK(ioctl(slave, TIOCSWINSZ, &w) == 0 && ioctl(master, TIOCGWINSZ, &got) == 0 && got.ws_col == 132);
}

// 100,000 bytes typed at once: each arrives, however slow the reader.
static void paste(void) {
    enum { TOTAL = 100000 };
    static char text[TOTAL], got[TOTAL];
    int status;
    raw(1, 0);
    for (int i = 0; i < TOTAL; i++)
        text[i] = (char)('a' + i % 23);
    pid_t pid = fork();
    if (!pid) {
        CHECK(write(master, text, TOTAL) == TOTAL);
        _exit(0);
    }
    int n = 0;
    while (n < TOTAL) {
        ssize_t r = read(slave, got + n, 777 < TOTAL - n ? 777 : TOTAL - n);
        CHECK(r > 0);
        n += (int)r;
    }
    CHECK(!memcmp(text, got, TOTAL) && waitpid(pid, &status, 0) == pid && status == 0);
    // And the other way: a program's output waits for the master.
    pid = fork();
    if (!pid) {
        CHECK(write(slave, text, TOTAL) == TOTAL);
        _exit(0);
    }
    for (n = 0; n < TOTAL;) {
        ssize_t r = read(master, got + n, 999 < TOTAL - n ? 999 : TOTAL - n);
        CHECK(r > 0);
        n += (int)r;
    }
    CHECK(!memcmp(text, got, TOTAL) && waitpid(pid, &status, 0) == pid && status == 0);
}

static void ends(void) {
    char buf[10];
    struct pollfd p = {master, POLLIN, 0};
    CHECK(write(slave, "bye", 3) == 3);
    close(slave);
    CHECK(read(master, buf, 10) == 3); // output first
    FAILS(read(master, buf, 10), EIO);
    CHECK(poll(&p, 1, 0) == 1 && p.revents & POLLHUP);
    close(master);
    pty_open();
    close(master);
    FAILS(write(slave, "x", 1), EIO);
    p.fd = slave;
    CHECK(poll(&p, 1, 0) == 1 && p.revents & POLLHUP);
    struct termios t;
    FAILS(tcgetattr(slave, &t), EIO);
    CHECK(read(slave, buf, 10) == 0);
    close(slave);
}

int main(void) {
    pty_open();
    min_and_time();
    switches();
    flow();
    packets();
    sizes();
    paste();
    ends();
    return done();
}

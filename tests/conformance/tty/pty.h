// A pseudo-terminal for tests: master and slave in one program.
#pragma once
#include "../check.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>

static int master, slave;

static void pty_open(void) {
    int unlock = 0, number;
    char name[40];
    master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
    CHECK(master >= 0 && ioctl(master, TIOCSPTLCK, &unlock) == 0 && ioctl(master, TIOCGPTN, &number) == 0);
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    slave = open(name, O_RDWR | O_NOCTTY);
    CHECK(slave >= 0);
}

static void pty_close(void) {
    close(slave);
    close(master);
}

// Linux hands what is typed to the line discipline later, by a kernel thread: give it a moment.
static void type(const char *text) {
    size_t n = strlen(text);
    struct timespec moment = {0, 4000000};
    CHECK(write(master, text, n) == (ssize_t)n);
    nanosleep(&moment, NULL);
}

// What the master has, as a string: `wanted` bytes, if they come, and whatever else there is.
static const char *screen(size_t wanted) {
    static char text[8192];
    size_t n = 0;
    struct pollfd p = {master, POLLIN, 0};
    while (n < sizeof text - 1 && poll(&p, 1, n < wanted ? 2000 : 10) == 1 && p.revents & POLLIN) {
        ssize_t got = read(master, text + n, sizeof text - 1 - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    text[n] = 0;
    return text;
}

static void screen_is(int line, const char *wanted) {
    const char *shown = screen(strlen(wanted));
    if (strcmp(shown, wanted)) {
        printf("line %d: on the screen:", line);
        for (; *shown; shown++)
            printf(*shown >= 32 && *shown < 127 ? "%c" : "\\x%02x", (unsigned char)*shown);
        printf("\n");
        exit(1);
    }
}
#define SCREEN(wanted) screen_is(__LINE__, wanted)

// One read of the slave, as a string.
static const char *line(int patience_ms) {
    static char text[5000];
    struct pollfd p = {slave, POLLIN, 0};
    if (poll(&p, 1, patience_ms) != 1)
        return "(nothing)";
    ssize_t n = read(slave, text, sizeof text - 1);
    CHECK(n >= 0);
    text[n] = 0;
    return text;
}
#define LINE(wanted) CHECK(!strcmp(line(!strcmp(wanted, "(nothing)") ? 10 : 2000), wanted))

static struct termios settings(void) {
    struct termios t;
    CHECK(tcgetattr(slave, &t) == 0);
    return t;
}

static void flags(tcflag_t lset, tcflag_t lclear, tcflag_t iset, tcflag_t iclear, tcflag_t oset, tcflag_t oclear) {
    struct termios t = settings();
    t.c_lflag = (t.c_lflag | lset) & ~lclear;
    t.c_iflag = (t.c_iflag | iset) & ~iclear;
    t.c_oflag = (t.c_oflag | oset) & ~oclear;
    CHECK(tcsetattr(slave, TCSANOW, &t) == 0);
}

static void control(int which, int value) {
    struct termios t = settings();
    t.c_cc[which] = (cc_t)value;
    CHECK(tcsetattr(slave, TCSANOW, &t) == 0);
}

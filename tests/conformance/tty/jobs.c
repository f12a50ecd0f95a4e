// Sessions, the foreground group, the signals a terminal sends, and hanging up. credentials(7), setpgid(2), termios(3).
#include "pty.h"

static volatile sig_atomic_t got[65];

static void on_signal(int signo) {
    got[signo]++;
}

static void report_child(int status) {
    CHECK(WIFEXITED(status));
    if (WEXITSTATUS(status))
        exit(WEXITSTATUS(status));
}

// Waits until the child says so (a byte through a pipe).
static int up[2], down[2];
static void pass(int to) {
    CHECK(write(to, "x", 1) == 1);
}
static void await(int from) {
    char c;
    CHECK(read(from, &c, 1) == 1);
}
#define tell() pass(up[1])
#define told() await(up[0])
#define TELL_CHILD() pass(down[1])
#define AWAIT_PARENT() await(down[0])

static void leader_begins(void) {
    CHECK(setsid() == getpid());
    CHECK(ioctl(slave, TIOCSCTTY, 0) == 0);
}

static void controlling(void) {
    char name[40];
    int number, status;
    CHECK(ioctl(master, TIOCGPTN, &number) == 0);
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    pid_t pid = fork();
    if (!pid) {
        pid_t value;
        FAILS(tcgetpgrp(slave), ENOTTY);
        CHECK(setsid() == getpid());
        FAILS(open("/dev/tty", O_RDWR), ENXIO);
        int fd = open(name, O_RDWR); // a leader without a terminal gets this one
        CHECK(fd >= 0 && tcgetpgrp(fd) == getpid());
        int tty = open("/dev/tty", O_RDWR);
        CHECK(tty >= 0 && tcgetpgrp(tty) == getpid());
        CHECK(ioctl(master, TIOCGPGRP, &value) == 0 && value == getpid());
        FAILS(tcsetpgrp(fd, 99999), ESRCH);
        FAILS(tcsetpgrp(fd, 1), EPERM);
        pid_t child = fork();
        if (!child) {
            CHECK(setpgid(0, 0) == 0);
            _exit(0);
        }
        setpgid(child, child);
        CHECK(tcsetpgrp(fd, child) == 0 && tcgetpgrp(fd) == child);
        signal(SIGTTOU, SIG_IGN);
        CHECK(tcsetpgrp(fd, getpid()) == 0);
        CHECK(waitpid(child, NULL, 0) == child);
        signal(SIGHUP, SIG_IGN);
        CHECK(ioctl(fd, TIOCNOTTY) == 0);
        FAILS(open("/dev/tty", O_RDWR), ENXIO);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    report_child(status);
}

static void keys(void) {
    int status;
    pid_t pid = fork();
    if (!pid) {
        leader_begins();
        signal(SIGINT, on_signal), signal(SIGQUIT, on_signal), signal(SIGWINCH, on_signal), signal(SIGTSTP, on_signal);
        sigset_t all, none;
        sigfillset(&all), sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &all, NULL);
        tell();
        while (!got[SIGINT] || !got[SIGQUIT] || !got[SIGWINCH] || !got[SIGTSTP])
            sigsuspend(&none);
        _exit(0);
    }
    told();
    type("lost");
    SCREEN("lost");
    type("\003"); // flushes what was typed
    SCREEN("^C");
    LINE("(nothing)");
    type("\034");
    SCREEN("^\\");
    type("\032");
    SCREEN("^Z");
    struct winsize w = {50, 100, 0, 0};
    CHECK(ioctl(master, TIOCSWINSZ, &w) == 0);
    CHECK(waitpid(pid, &status, 0) == pid);
    report_child(status);
}

// A group in the background stops when it reads, and when it writes to a terminal with TOSTOP.
static void background(void) {
    int status, job_has_read[2], go[2];
    CHECK(pipe(job_has_read) == 0 && pipe(go) == 0);
    pid_t pid = fork();
    if (!pid) {
        leader_begins();
        pid_t job = fork();
        if (!job) {
            CHECK(setpgid(0, 0) == 0);
            char c;
            CHECK(write(slave, "w", 1) == 1); // allowed without TOSTOP
            CHECK(read(slave, &c, 1) == 1 && c == 'k'); // stops; goes on in the foreground
            pass(job_has_read[1]);
            await(go[0]);
            CHECK(write(slave, "v", 1) == 1); // stops with TOSTOP
            signal(SIGTTIN, SIG_IGN);
            FAILS(read(slave, &c, 1), EIO);
            signal(SIGTTOU, SIG_IGN);
            CHECK(write(slave, "u", 1) == 1); // ignored: allowed
            signal(SIGTTOU, SIG_DFL);
            struct termios t = settings();
            CHECK(tcsetattr(slave, TCSANOW, &t) == 0); // stops
            _exit(5);
        }
        setpgid(job, job);
        CHECK(waitpid(job, &status, WUNTRACED) == job && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTIN);
        flags(TOSTOP, 0, 0, 0, 0, 0);
        CHECK(tcsetpgrp(slave, job) == 0);
        CHECK(kill(-job, SIGCONT) == 0);
        tell();
        AWAIT_PARENT(); // the job has read and waits
        signal(SIGTTOU, SIG_IGN);
        CHECK(tcsetpgrp(slave, getpid()) == 0);
        pass(go[1]);
        CHECK(waitpid(job, &status, WUNTRACED) == job && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
        flags(0, TOSTOP, 0, 0, 0, 0);
        CHECK(kill(-job, SIGCONT) == 0);
        CHECK(waitpid(job, &status, WUNTRACED) == job && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTTOU);
        CHECK(tcsetpgrp(slave, job) == 0 && kill(-job, SIGCONT) == 0);
        CHECK(waitpid(job, &status, 0) == job && WIFEXITED(status) && WEXITSTATUS(status) == 5);
        _exit(0);
    }
    told();
    type("k\n");
    await(job_has_read[0]);
    TELL_CHILD();
    CHECK(waitpid(pid, &status, 0) == pid);
    report_child(status);
    screen(0);
}

static void orphans(void) {
    int status;
    pid_t pid = fork();
    if (!pid) {
        leader_begins();
        pid_t job = fork();
        if (!job) { // its group has no parent outside that could continue it: no stop, an error
            CHECK(setpgid(0, 0) == 0);
            pid_t inner = fork();
            if (!inner) {
                char c;
                while (getppid() == getpgrp())
                    usleep(1000);
                CHECK(getpgrp() != getpid());
                FAILS(read(slave, &c, 1), EIO);
                tell();
                _exit(0);
            }
            _exit(0);
        }
        setpgid(job, job);
        CHECK(waitpid(job, &status, 0) == job && status == 0);
        told();
        signal(SIGHUP, SIG_IGN);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    report_child(status);
}

// The leader's end: the foreground group gets SIGHUP, the session has no terminal any more.
static void leader_ends(void) {
    int status;
    pid_t pid = fork();
    if (!pid) {
        leader_begins();
        pid_t job = fork();
        if (!job) {
            CHECK(setpgid(0, 0) == 0);
            signal(SIGHUP, on_signal);
            sigset_t hup, none;
            sigemptyset(&none), sigemptyset(&hup), sigaddset(&hup, SIGHUP);
            sigprocmask(SIG_BLOCK, &hup, NULL);
            tell();
            while (!got[SIGHUP])
                sigsuspend(&none);
            CHECK(write(slave, "x", 1) == 1); // the terminal itself goes on
            FAILS(tcgetpgrp(slave), ENOTTY);
            tell();
            _exit(0);
        }
        setpgid(job, job);
        signal(SIGTTOU, SIG_IGN);
        CHECK(tcsetpgrp(slave, job) == 0);
        told();
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    report_child(status);
    told();
}

// The master's end: SIGHUP and SIGCONT for the leader.
static void master_ends(void) {
    int status;
    pid_t pid = fork();
    if (!pid) {
        close(master);
        leader_begins();
        signal(SIGHUP, on_signal);
        signal(SIGCONT, on_signal);
        sigset_t both, none;
        sigemptyset(&none), sigemptyset(&both), sigaddset(&both, SIGHUP), sigaddset(&both, SIGCONT);
        sigprocmask(SIG_BLOCK, &both, NULL);
        tell();
        while (!got[SIGHUP] || !got[SIGCONT])
            sigsuspend(&none);
        char c;
        CHECK(read(slave, &c, 1) == 0);
        FAILS(open("/dev/tty", O_RDWR), ENXIO);
        _exit(0);
    }
    close(slave);
    told();
    close(master);
    CHECK(waitpid(pid, &status, 0) == pid);
    report_child(status);
}

int main(void) {
    CHECK(pipe(up) == 0 && pipe(down) == 0);
    void (*const parts[])(void) = {controlling, keys, background, orphans, leader_ends};
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        pty_open();
        parts[i]();
        pty_close();
    }
    pty_open();
    master_ends();
    return done();
}

// Orphans and their new parents, process groups and sessions.
// linux: native
#include "../check.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static void subreaper(void) {
    int fds[2], told[2], status;
    pid_t child, grandchild;
    CHECK(pipe(fds) == 0 && pipe(told) == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    child = fork();
    if (!child) {
        pid_t pid = fork();
        if (!pid) {
            char byte;
            close(fds[1]);
            CHECK(read(fds[0], &byte, 1) == 0); // until everybody else has closed
            _exit(getppid() & 0x7f);
        }
        _exit(write(told[1], &pid, sizeof pid) != sizeof pid);
    }
    CHECK(read(told[0], &grandchild, sizeof grandchild) == sizeof grandchild);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    close(fds[1]);
    CHECK(waitpid(-1, &status, 0) == grandchild && WEXITSTATUS(status) == (getpid() & 0x7f));
    close(fds[0]), close(told[0]), close(told[1]);
}

static void sessions(void) {
    int status;
    pid_t pid = fork();
    if (!pid) {
        CHECK(getsid(0) == getsid(getppid()) && getpgrp() == getpgid(getppid()));
        CHECK(setsid() == getpid() && getsid(0) == getpid() && getpgrp() == getpid());
        FAILS(setsid(), EPERM);
        FAILS(setpgid(0, 0), EPERM); // a session leader stays
        pid_t child = fork();
        if (!child) {
            CHECK(setpgid(0, 0) == 0 && getpgrp() == getpid());
            FAILS(setsid(), EPERM); // a group leader
            FAILS(setpgid(0, 1 << 20), EPERM);
            CHECK(setpgid(0, getppid()) == 0 && getpgrp() == getppid());
            _exit(0);
        }
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        FAILS(setpgid(1, 1), ESRCH);
        FAILS(setpgid(0, -1), EINVAL);
        FAILS(getpgid(1 << 20), ESRCH);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static volatile sig_atomic_t hung_up, continued;

static void on_hup(int number) {
    hung_up = 1;
}
static void on_cont(int number) {
    continued = 1;
}

// When its parent ends, a stopped group that is orphaned by that gets SIGHUP and SIGCONT.
static void orphaned_group(void) {
    int fds[2], status;
    char byte = 0;
    CHECK(pipe(fds) == 0);
    pid_t child = fork();
    if (!child) {
        setsid(); // no heir may be in its session
        pid_t pid = fork();
        if (!pid) {
            close(fds[0]);
            signal(SIGHUP, on_hup);
            signal(SIGCONT, on_cont);
            setpgid(0, 0);
            raise(SIGSTOP);
            byte = hung_up && continued ? 'y' : 'n';
            CHECK(write(fds[1], &byte, 1) == 1);
            _exit(0);
        }
        CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
        _exit(0);
    }
    close(fds[1]);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(read(fds[0], &byte, 1) == 1 && byte == 'y');
    close(fds[0]);
}

static void death_signal(void) {
    int fds[2], status;
    char byte;
    CHECK(pipe(fds) == 0);
    pid_t child = fork();
    if (!child) {
        pid_t pid = fork();
        if (!pid) {
            CHECK(prctl(PR_SET_PDEATHSIG, SIGUSR1) == 0 && write(fds[1], "x", 1) == 1);
            for (;;)
                pause();
        }
        CHECK(read(fds[0], &byte, 1) == 1);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(wait(&status) > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
    close(fds[0]), close(fds[1]);
}

int main(void) {
    subreaper();
    sessions();
    death_signal();
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 0) == 0);
    orphaned_group();
    return done();
}

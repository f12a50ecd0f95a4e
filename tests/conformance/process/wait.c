// wait4(2) and waitid(2): which children, which events, and what stays.
// linux: native
#include "../check.h"
#include <signal.h>
#include <sys/wait.h>

static pid_t sleeper(void) {
    pid_t pid = fork();
    if (!pid)
        for (;;)
            pause();
    return pid;
}

static void stops_and_continues(void) {
    int status;
    siginfo_t info;
    pid_t pid = sleeper();
    CHECK(setpgid(pid, pid) == 0); // SIGTSTP does not stop an orphaned group, which ours may be
    CHECK(waitpid(pid, &status, WNOHANG | WUNTRACED | WCONTINUED) == 0);
    CHECK(kill(pid, SIGSTOP) == 0);
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    CHECK(waitpid(pid, &status, WUNTRACED | WNOHANG) == 0); // told once
    CHECK(kill(pid, SIGCONT) == 0);
    CHECK(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status) && status == 0xffff);
    CHECK(waitpid(pid, &status, WCONTINUED | WNOHANG) == 0);
    CHECK(kill(pid, SIGTSTP) == 0);
    memset(&info, 0, sizeof info);
    CHECK(waitid(P_PID, pid, &info, WSTOPPED | WNOWAIT) == 0);
    CHECK(info.si_signo == SIGCHLD && info.si_code == CLD_STOPPED && info.si_pid == pid && info.si_status == SIGTSTP);
    CHECK(waitid(P_PID, pid, &info, WSTOPPED) == 0 && info.si_code == CLD_STOPPED);
    CHECK(kill(pid, SIGKILL) == 0); // a stopped process dies without SIGCONT
    CHECK(waitid(P_PID, pid, &info, WEXITED | WNOWAIT) == 0);
    CHECK(info.si_code == CLD_KILLED && info.si_status == SIGKILL && info.si_pid == pid);
    CHECK(waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGKILL);
}

static void groups(void) {
    int status;
    pid_t a = sleeper(), b = sleeper();
    CHECK(setpgid(a, a) == 0 && setpgid(b, a) == 0 && getpgid(b) == a);
    FAILS(waitpid(0, &status, WNOHANG), ECHILD); // nobody is in our own group
    CHECK(waitpid(-a, &status, WNOHANG) == 0);
    CHECK(kill(-a, SIGUSR1) == 0);
    CHECK(waitpid(-a, &status, 0) > 0 && WTERMSIG(status) == SIGUSR1);
    siginfo_t info;
    CHECK(waitid(P_PGID, a, &info, WEXITED) == 0 && info.si_status == SIGUSR1);
    FAILS(waitpid(-a, &status, 0), ECHILD);
    FAILS(kill(-a, 0), ESRCH);
}

static void errors(void) {
    siginfo_t info;
    FAILS(waitpid(-1, NULL, 0), ECHILD);
    FAILS(waitpid(getpid(), NULL, 0), ECHILD);
    FAILS(waitpid(-1, NULL, 0x100), EINVAL);
    FAILS(waitid(P_ALL, 0, &info, WNOHANG), EINVAL);
    FAILS(waitid(7, 0, &info, WEXITED), EINVAL);
    pid_t pid = sleeper();
    info.si_pid = 77;
    CHECK(waitid(P_ALL, 0, &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0);
    kill(pid, SIGKILL);
    CHECK(waitid(P_ALL, 0, NULL, WEXITED) == 0);
}

static void exit_code(void) {
    siginfo_t info;
    pid_t pid = fork();
    if (!pid)
        _exit(0x1234);
    CHECK(waitid(P_PID, pid, &info, WEXITED) == 0);
    CHECK(info.si_code == CLD_EXITED && info.si_status == 0x34);
}

static void ignored_children_leave_nothing(void) {
    struct sigaction action = {.sa_handler = SIG_IGN};
    sigaction(SIGCHLD, &action, NULL);
    pid_t pid = fork();
    if (!pid)
        _exit(3);
    FAILS(waitpid(pid, NULL, 0), ECHILD); // after it has ended
    action = (struct sigaction){.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
    sigaction(SIGCHLD, &action, NULL);
    pid = fork();
    if (!pid)
        _exit(3);
    FAILS(waitpid(pid, NULL, 0), ECHILD);
}

int main(void) {
    stops_and_continues();
    groups();
    errors();
    exit_code();
    ignored_children_leave_nothing();
    return done();
}

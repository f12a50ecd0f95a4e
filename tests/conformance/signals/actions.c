// sigaction(2), sigprocmask(2), sigpending(2), raise(3): masks, flags, order, what is ignored.
// linux: native
#include "../check.h"
#include <signal.h>
#include <sys/wait.h>

static volatile char order[64];
static volatile int length;
static volatile int depth, deepest;

static void note(int number) {
    order[length++] = 'a' + number;
}

static void nests(int number) {
    if (++depth > deepest)
        deepest = depth;
    if (length++ < 3)
        raise(number);
    depth--;
}

static void with_info(int number, siginfo_t *info, void *context) {
    CHECK(number == SIGUSR1 && info->si_signo == SIGUSR1 && info->si_pid == getpid() && info->si_uid == getuid());
    CHECK(info->si_code == SI_USER && context);
    length++;
}

static void set(int number, void (*handler)(int), int flags, int mask) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    if (mask)
        sigaddset(&action.sa_mask, mask);
    CHECK(sigaction(number, &action, NULL) == 0);
    length = depth = deepest = 0;
    for (int i = 0; i < 64; i++)
        order[i] = 0;
}

static void block(int how, int a, int b) {
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, a), sigaddset(&mask, b);
    CHECK(sigprocmask(how, &mask, NULL) == 0);
}

static int child(void (*act)(void)) {
    int status;
    pid_t pid = fork();
    if (!pid) {
        act();
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    return status;
}

static void aborts(void) {
    abort();
}
static void ignores(void) {
    raise(SIGCHLD), raise(SIGURG), raise(SIGWINCH), raise(SIGCONT);
    signal(SIGTERM, SIG_IGN);
    raise(SIGTERM);
}
static void quits(void) {
    raise(SIGQUIT);
}
static void alarms(void) {
    raise(SIGRTMIN + 3);
}

int main(void) {
    struct sigaction old;
    sigset_t pending;
    set(SIGUSR1, nests, SA_NODEFER, 0);
    raise(SIGUSR1);
    CHECK(length == 4 && deepest == 4);
    set(SIGUSR1, nests, 0, 0); // blocked while it runs: one after the other
    raise(SIGUSR1);
    CHECK(length == 4 && deepest == 1);
    set(SIGUSR1, note, SA_RESETHAND, 0);
    raise(SIGUSR1);
    CHECK(length == 1 && sigaction(SIGUSR1, NULL, &old) == 0 && old.sa_handler == SIG_DFL);

    struct sigaction action = {.sa_sigaction = with_info, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    length = 0;
    kill(getpid(), SIGUSR1);
    CHECK(length == 1);

    // Two that were blocked: the frames are pushed in ascending order, so the last one runs first.
    set(SIGUSR1, note, 0, 0);
    set(SIGUSR2, note, 0, 0);
    block(SIG_BLOCK, SIGUSR1, SIGUSR2);
    kill(getpid(), SIGUSR2), kill(getpid(), SIGUSR1), kill(getpid(), SIGUSR1);
    CHECK(length == 0 && sigpending(&pending) == 0);
    CHECK(sigismember(&pending, SIGUSR1) && sigismember(&pending, SIGUSR2) && !sigismember(&pending, SIGHUP));
    block(SIG_UNBLOCK, SIGUSR1, SIGUSR2);
    CHECK(length == 2 && order[0] == 'a' + SIGUSR2 && order[1] == 'a' + SIGUSR1);
    // With the mask of the first keeping out the second, they run in order.
    set(SIGUSR1, note, 0, SIGUSR2);
    block(SIG_BLOCK, SIGUSR1, SIGUSR2);
    kill(getpid(), SIGUSR2), kill(getpid(), SIGUSR1);
    block(SIG_UNBLOCK, SIGUSR1, SIGUSR2);
    CHECK(length == 2 && order[0] == 'a' + SIGUSR1 && order[1] == 'a' + SIGUSR2);
    // Ignoring forgets what is pending.
    block(SIG_BLOCK, SIGUSR1, SIGUSR2);
    raise(SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    CHECK(sigpending(&pending) == 0 && !sigismember(&pending, SIGUSR1));

    FAILS(sigaction(SIGKILL, &action, NULL), EINVAL);
    FAILS(sigaction(SIGSTOP, &action, NULL), EINVAL);
    FAILS(sigaction(65, &action, NULL), EINVAL);
    FAILS(kill(getpid(), 65), EINVAL);
    FAILS(kill(1 << 20, 0), ESRCH);
    CHECK(kill(getpid(), 0) == 0 && kill(0, 0) == 0);
    sigfillset(&pending);
    CHECK(sigprocmask(SIG_SETMASK, &pending, NULL) == 0 && sigprocmask(SIG_SETMASK, NULL, &pending) == 0);
    CHECK(!sigismember(&pending, SIGKILL) && !sigismember(&pending, SIGSTOP) && sigismember(&pending, SIGHUP));
    sigemptyset(&pending);
    CHECK(sigprocmask(SIG_SETMASK, &pending, NULL) == 0);

    CHECK(WTERMSIG(child(aborts)) == SIGABRT);
    CHECK(WTERMSIG(child(quits)) == SIGQUIT);
    CHECK(WTERMSIG(child(alarms)) == SIGRTMIN + 3);
    CHECK(child(ignores) == 0);
    return done();
}

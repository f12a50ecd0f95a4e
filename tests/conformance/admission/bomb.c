// args: 20
// Makes so many children that wait, ends them; where a limit does not let it, it ends those it has made, and fails.
// With no argument: forks for ever, each child too, and says once that it has met a limit.
#include "watched.h"

// fork(3) may block all signals meanwhile; then one for the whole group would miss the child.
static pid_t fork_plainly(void) {
    return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static void forever(void) {
    bool first = true, said = false;
    for (;;) {
        pid_t pid = fork_plainly();
        if (pid == 0)
            first = false;
        if (pid < 0 && first && !said) {
            verdict("fork", -errno);
            said = true;
        }
        if (pid < 0)
            sched_yield();
    }
}

int main(int argc, char **argv) {
    if (argc < 2)
        forever();
    int status, made = 0, count = atoi(argv[1]);
    pid_t child[count];
    while (made < count && (child[made] = fork()) > 0)
        made++;
    if (made < count && !child[made])
        for (;;)
            pause();
    int error = errno;
    for (int i = 0; i < made; i++)
        CHECK(kill(child[i], SIGKILL) == 0 && waitpid(child[i], &status, 0) == child[i] && WTERMSIG(status) == SIGKILL);
    errno = error;
    CHECK(made == count);
    return done();
}

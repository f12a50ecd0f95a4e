// args: now
// A fork whose answer may be long in coming, with a handler for a signal that may come meanwhile.
#include "watched.h"

static volatile int handled;

static void handler(int number) {
    handled++;
}

static void exits(void) {
    syscall(SYS_exit_group, 0);
}

int main(int argc, char **argv) {
    const long args[6] = CLONE_ARGS(SIGCHLD, 0, 0, 0, 0); // not fork(3), which blocks signals
    signal(SIGUSR1, handler);
    if (argc > 1)
        raise(SIGUSR1);
    dprintf(1, "begun\n");
    watched_child = exits;
    long pid = watched_call(SYS_clone, args);
    CHECK(handled == 1); // after the call, before the program goes on
    CHECK(child_ends(pid) == (pid < 0 ? -1 : 0));
    verdict("fork", pid);
    return done();
}

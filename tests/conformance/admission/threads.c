// Clones and an exec while other threads run: only the caller waits for the answer, and a refusal stops nobody.
// linux: native
#include "watched.h"
#include <linux/futex.h>
#include <pthread.h>

static volatile long turns;
static volatile bool end;
static int word, woken;

static void *counts(void *arg) {
    while (!end)
        turns++;
    return NULL;
}

static void *waits(void *arg) {
    while (!__atomic_load_n(&word, __ATOMIC_SEQ_CST))
        syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    woken = 1;
    return NULL;
}

static void exits(void) {
    syscall(SYS_exit_group, 5);
}

static void try(const char *what, long flags) {
    const long args[6] = CLONE_ARGS(flags | SIGCHLD, 0, 0, 0, 0);
    watched_child = exits;
    long pid = watched_call(SYS_clone, args);
    CHECK(registers_kept());
    CHECK(child_ends(pid) == (pid < 0 ? -1 : 5));
    verdict(what, pid);
    for (long before = turns; turns == before;) // the others go on
        sched_yield();
}

int main(int argc, char **argv) {
    pthread_t counter, waiter, third;
    if (argc > 1) {
        dprintf(1, "exec: ok\n");
        return done(); // its other threads are gone
    }
    CHECK(pthread_create(&counter, NULL, counts, NULL) == 0 && pthread_create(&waiter, NULL, waits, NULL) == 0);
    try("fork", 0);
    try("vfork", CLONE_VM | CLONE_VFORK);
    long error = pthread_create(&third, NULL, waits, NULL);
    verdict("thread", -error);
    char *args[] = {argv[0], "program", NULL};
    dprintf(1, "then\n");
    execve(argv[0], args, environ);
    error = errno;
    verdict("exec", -error);
    __atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0);
    CHECK(pthread_join(waiter, NULL) == 0 && woken);
    end = true;
    CHECK(pthread_join(counter, NULL) == 0);
    dprintf(1, "the threads went on\n");
    return done();
}

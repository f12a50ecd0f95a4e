// futex(2) across processes, beside a clone that may be refused: who waits goes on waiting, who wakes wakes it.
#include "watched.h"
#include <linux/futex.h>
#include <time.h>

static struct {
    int word, ready, woken;
} *shared;

static long futex(int *word, int op, int value, const struct timespec *timeout) {
    return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

static void waits(void) {
    shared->ready = 1;
    while (!__atomic_load_n(&shared->word, __ATOMIC_SEQ_CST))
        CHECK(futex(&shared->word, FUTEX_WAIT, 0, NULL) == 0 || errno == EAGAIN || errno == EINTR);
    shared->woken++;
    _exit(7);
}

// Forks and says so; the child's number, or -errno.
static long starts(const char *what, void (*child)(void)) {
    pid_t pid = fork();
    if (!pid)
        child();
    long r = pid < 0 ? -errno : pid;
    verdict(what, r);
    return r;
}

static void wakes(void) {
    __atomic_store_n(&shared->word, 1, __ATOMIC_SEQ_CST);
    futex(&shared->word, FUTEX_WAKE, 9, NULL);
    _exit(8);
}

int main(void) {
    int status;
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    struct timespec soon = {0, 1000000};
    FAILS(futex(&shared->word, FUTEX_WAIT, 1, NULL), EAGAIN);
    FAILS(futex(&shared->word, FUTEX_WAIT, 0, &soon), ETIMEDOUT);
    CHECK(futex(&shared->word, FUTEX_WAKE, 1, NULL) == 0);

    long waiter = starts("the one that waits", waits);
    while (waiter > 0 && !((volatile int *)&shared->ready)[0])
        sched_yield();
    long waker = starts("the one that wakes", wakes);
    if (waker > 0) {
        CHECK(waitpid(waker, &status, 0) == waker && WEXITSTATUS(status) == 8);
    } else if (waiter > 0) { // then this one does it
        CHECK(waitpid(waiter, &status, WNOHANG) == 0 && !shared->woken);
        __atomic_store_n(&shared->word, 1, __ATOMIC_SEQ_CST);
        CHECK(futex(&shared->word, FUTEX_WAKE, 9, NULL) <= 1);
    }
    if (waiter > 0)
        CHECK(waitpid(waiter, &status, 0) == waiter && WEXITSTATUS(status) == 7 && shared->woken == 1);
    else
        CHECK(!shared->woken && !shared->ready);
    FAILS(waitpid(-1, &status, WNOHANG), ECHILD);
    return done();
}

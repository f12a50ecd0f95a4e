// Robust mutexes, plain and priority-inheriting: a lock whose owner has died is handed on, and the next owner is told.
// linux: native
#include "../check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static pthread_mutex_t *mutex;

static void make(int shared, int protocol) {
    pthread_mutexattr_t attributes;
    CHECK(pthread_mutexattr_init(&attributes) == 0);
    CHECK(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
    CHECK(pthread_mutexattr_setpshared(&attributes, shared) == 0);
    CHECK(pthread_mutexattr_setprotocol(&attributes, protocol) == 0);
    CHECK(pthread_mutex_init(mutex, &attributes) == 0);
}

static void *locks_and_ends(void *arg) {
    CHECK(pthread_mutex_lock(mutex) == 0);
    return NULL;
}

static void hands_on(int protocol) {
    pthread_t thread;
    make(PTHREAD_PROCESS_PRIVATE, protocol);
    CHECK(pthread_create(&thread, NULL, locks_and_ends, NULL) == 0 && pthread_join(thread, NULL) == 0);
    CHECK(pthread_mutex_lock(mutex) == EOWNERDEAD);
    CHECK(pthread_mutex_consistent(mutex) == 0 && pthread_mutex_unlock(mutex) == 0);
    CHECK(pthread_mutex_lock(mutex) == 0 && pthread_mutex_unlock(mutex) == 0);

    make(PTHREAD_PROCESS_SHARED, protocol);
    int fds[2], status;
    char byte;
    CHECK(pipe(fds) == 0);
    for (int round = 0; round < 3; round++) {
        pid_t pid = fork();
        if (!pid) {
            CHECK(pthread_mutex_lock(mutex) == 0 && write(fds[1], "x", 1) == 1);
            for (;;)
                pause();
        }
        CHECK(read(fds[0], &byte, 1) == 1);
        pid_t waiter = fork();
        if (!waiter) { // waits for the lock while its owner is killed
            CHECK(write(fds[1], "y", 1) == 1);
            CHECK(pthread_mutex_lock(mutex) == EOWNERDEAD && pthread_mutex_consistent(mutex) == 0);
            CHECK(pthread_mutex_unlock(mutex) == 0);
            _exit(0);
        }
        CHECK(read(fds[0], &byte, 1) == 1 && kill(pid, SIGKILL) == 0);
        CHECK(waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGKILL);
        CHECK(waitpid(waiter, &status, 0) == waiter && status == 0);
    }
}

int main(void) {
    mutex = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(mutex != MAP_FAILED);
    hands_on(PTHREAD_PRIO_NONE);
    hands_on(PTHREAD_PRIO_INHERIT);
    void *head;
    size_t size;
    CHECK(syscall(SYS_get_robust_list, 0, &head, &size) == 0 && size == 24);
    FAILS(syscall(SYS_set_robust_list, head, 8), EINVAL);
    FAILS(syscall(SYS_get_robust_list, 1 << 20, &head, &size), ESRCH);
    return done();
}

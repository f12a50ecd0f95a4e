// Processes of several threads: exit_group, a leader that ends first, exec from another thread.
// linux: native
#include "../check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char self[256];
static pid_t leader;

static void *waits(void *arg) {
    for (;;)
        pause();
}

static void *exits_all(void *arg) {
    exit(5);
}

static void *ends_last(void *arg) {
    CHECK(getpid() == leader && syscall(SYS_gettid) != leader);
    _exit(6);
}

static void *execs(void *arg) {
    char number[16];
    snprintf(number, sizeof number, "%d", leader);
    execl(self, "again", number, NULL);
    _exit(99);
}

static int run(void *(*thread)(void *), int leader_ends) {
    int status;
    pid_t pid = fork();
    if (!pid) {
        pthread_t threads[4];
        leader = getpid();
        for (int i = 0; i < 3; i++)
            CHECK(pthread_create(&threads[i], NULL, waits, NULL) == 0);
        CHECK(pthread_create(&threads[3], NULL, thread, NULL) == 0);
        if (leader_ends)
            syscall(SYS_exit, 77);
        waits(NULL);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void *adds(void *arg) {
    for (int i = 0; i < 1000; i++)
        __atomic_add_fetch((int *)arg, 1, __ATOMIC_SEQ_CST);
    return arg;
}

int main(int argc, char **argv) {
    if (argc > 1) { // after exec: alone, with the leader's number
        CHECK(getpid() == atoi(argv[1]) && syscall(SYS_gettid) == getpid());
        return 8;
    }
    if (readlink("/proc/self/exe", self, sizeof self - 1) <= 0)
        CHECK(realpath(argv[0], self));
    int count = 0;
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        CHECK(pthread_create(&threads[i], NULL, adds, &count) == 0);
    for (int i = 0; i < 8; i++) {
        void *result;
        CHECK(pthread_join(threads[i], &result) == 0 && result == &count);
    }
    CHECK(count == 8000);
    CHECK(run(exits_all, 0) == 5);
    CHECK(run(ends_last, 1) == 6);
    CHECK(run(execs, 0) == 8);
    CHECK(run(execs, 1) == 8);

    // A zombie leader is not a dead process: it can be signalled, and its threads die with it.
    int status;
    pid_t pid = fork();
    if (!pid) {
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, waits, NULL) == 0);
        syscall(SYS_exit, 0);
    }
    CHECK(waitpid(pid, &status, WNOHANG) == 0 && kill(pid, SIGTERM) == 0);
    CHECK(waitpid(pid, &status, 0) == pid && WTERMSIG(status) == SIGTERM);
    return done();
}

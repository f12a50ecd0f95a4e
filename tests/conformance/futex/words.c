// futex(2), the calls themselves: values, timeouts, bitsets, requeueing, operations, errors.
#include "../check.h"
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

static uint32_t word, other;
static volatile int waiting, woken;

static long futex(uint32_t *p, int op, uint32_t value, const struct timespec *limit, uint32_t *p2, uint32_t value3) {
    return syscall(SYS_futex, p, op, value, limit, p2, value3);
}

static void *waits(void *arg) {
    uint32_t bits = (uint32_t)(uintptr_t)arg;
    __atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
    long r = bits ? futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, bits) : futex(&word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
    __atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
    return (void *)r;
}

// Threads that are queued for sure: a requeue of none tells how many it would have found.
static void start(pthread_t *threads, int count, uintptr_t bits) {
    waiting = woken = 0;
    for (int i = 0; i < count; i++)
        CHECK(pthread_create(&threads[i], NULL, waits, (void *)(bits ? bits << i : 0)) == 0);
    while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) < count)
        sched_yield();
    // They are between the count and their sleep: moving all of them there and back counts the sleepers.
    while (futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)100, &other, 0) +
               futex(&other, FUTEX_CMP_REQUEUE_PRIVATE, 0, (void *)100, &word, 0) < 2 * count)
        sched_yield();
}

static void join(pthread_t *threads, int count) {
    for (int i = 0; i < count; i++) {
        void *result;
        CHECK(pthread_join(threads[i], &result) == 0 && result == 0);
    }
}

int main(void) {
    pthread_t threads[4];
    struct timespec soon = {0, 3000000}, bad = {0, 1000000000}, now, past = {1, 0};
    FAILS(futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0), EAGAIN);
    FAILS(futex(&word, FUTEX_WAIT, 0, &soon, NULL, 0), ETIMEDOUT);
    FAILS(futex(&word, FUTEX_WAIT, 0, &bad, NULL, 0), EINVAL);
    FAILS(futex((uint32_t *)((char *)&word + 1), FUTEX_WAIT, 0, &soon, NULL, 0), EINVAL);
    FAILS(futex(NULL, FUTEX_WAIT, 0, &soon, NULL, 0), EFAULT);
    FAILS(futex(&word, 77, 0, NULL, NULL, 0), ENOSYS);
    FAILS(futex(&word, FUTEX_WAIT_BITSET, 0, &past, NULL, 1), ETIMEDOUT); // absolute
    FAILS(futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0), EINVAL);
    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_nsec += 2000000, now.tv_sec += now.tv_nsec / 1000000000, now.tv_nsec %= 1000000000;
    FAILS(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &now, NULL, 1), ETIMEDOUT);
    CHECK(futex(&word, FUTEX_WAKE, 10, NULL, NULL, 0) == 0);

    start(threads, 3, 0);
    CHECK(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0) == 1);
    CHECK(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0) == 2);
    join(threads, 3);

    start(threads, 4, 1); // bits 1, 2, 4, 8
    CHECK(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 6) == 2);
    CHECK(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 0x10) == 0);
    CHECK(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0) == 2);
    join(threads, 4);

    start(threads, 4, 0);
    FAILS(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2, &other, 5), EAGAIN);
    CHECK(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2, &other, 0) == 3); // 1 woken, 2 moved
    CHECK(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0) == 1);
    CHECK(futex(&other, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0) == 2);
    join(threads, 4);

    start(threads, 2, 0);
    other = 5;
    CHECK(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &other, FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 5)) == 1);
    CHECK(other == 8);
    CHECK(futex(&other, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &word, FUTEX_OP(FUTEX_OP_OR, 0, FUTEX_OP_CMP_EQ, 0)) == 1);
    join(threads, 2);
    CHECK(futex(&word, FUTEX_WAKE_OP, 1, (void *)1, &other, FUTEX_OP(FUTEX_OP_ANDN | FUTEX_OP_OPARG_SHIFT, 3, FUTEX_OP_CMP_LT, -1)) == 0);
    CHECK(other == 0);

    // Between processes: the object and offset count, not the address.
    uint32_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    void *elsewhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED && elsewhere != MAP_FAILED);
    pid_t pid = fork();
    if (!pid) {
        uint32_t *moved = mremap(shared, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere);
        CHECK(moved != MAP_FAILED);
        __atomic_store_n(moved, 1, __ATOMIC_SEQ_CST);
        while (futex(moved, FUTEX_WAKE, 1, NULL, NULL, 0) == 0)
            sched_yield();
        _exit(0);
    }
    long r;
    do
        r = futex(shared, FUTEX_WAIT, 0, NULL, NULL, 0);
    while (r != 0 && errno == EAGAIN && (futex(shared, FUTEX_WAIT, 1, NULL, NULL, 0) != 0));
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    return done();
}

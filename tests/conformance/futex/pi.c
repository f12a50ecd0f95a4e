// FUTEX_LOCK_PI, FUTEX_UNLOCK_PI, FUTEX_TRYLOCK_PI: the word holds its owner's tid and is handed on, whoever leaves.
#include "../check.h"
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

static volatile uint32_t word, other;
static const struct timespec past = {1, 0};

static long futex(volatile uint32_t *p, int op, const struct timespec *limit) {
    return syscall(SYS_futex, p, op, 0, limit, NULL, 0);
}
static uint32_t self(void) {
    return (uint32_t)syscall(SYS_gettid);
}
static pthread_t begin(void *(*work)(void *)) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, work, NULL) == 0);
    return thread;
}
static void until_waited_for(volatile uint32_t *p) {
    while (!(*p & FUTEX_WAITERS))
        sched_yield();
}

static void alone(void) {
    FAILS(futex(&word, FUTEX_UNLOCK_PI, NULL), EPERM);
    CHECK(futex(&word, FUTEX_LOCK_PI, NULL) == 0 && word == self());
    FAILS(futex(&word, FUTEX_LOCK_PI, NULL), EDEADLK);
    FAILS(futex(&word, FUTEX_TRYLOCK_PI, NULL), EDEADLK);
    CHECK(futex(&word, FUTEX_UNLOCK_PI, NULL) == 0 && word == 0);
    CHECK(futex(&word, FUTEX_TRYLOCK_PI_PRIVATE, NULL) == 0 && word == self());
    CHECK(futex(&word, FUTEX_UNLOCK_PI_PRIVATE, NULL) == 0 && word == 0);
    word = FUTEX_OWNER_DIED; // nobody's: taken, and what it says stays
    CHECK(futex(&word, FUTEX_LOCK_PI, NULL) == 0 && word == (self() | FUTEX_OWNER_DIED));
    CHECK(futex(&word, FUTEX_UNLOCK_PI, NULL) == 0 && word == 0);
    word = 0x3ffffff0; // nobody has this number
    FAILS(futex(&word, FUTEX_LOCK_PI, NULL), ESRCH);
    word = 0;
    FAILS(futex((volatile uint32_t *)((char *)&word + 2), FUTEX_LOCK_PI, NULL), EINVAL);
    FAILS(futex((volatile uint32_t *)16, FUTEX_LOCK_PI, NULL), EFAULT);
}

static volatile int stage;
static void *holds(void *arg) {
    CHECK(futex(&word, FUTEX_LOCK_PI, NULL) == 0);
    stage = 1;
    while (stage == 1)
        sched_yield();
    until_waited_for(&word);
    CHECK(futex(&word, FUTEX_UNLOCK_PI, NULL) == 0 && (word & FUTEX_TID_MASK) != self());
    return NULL;
}
static void handed_over(void) {
    stage = 0;
    pthread_t thread = begin(holds);
    while (!stage)
        sched_yield();
    FAILS(futex(&word, FUTEX_TRYLOCK_PI, NULL), EAGAIN);
    FAILS(futex(&word, FUTEX_LOCK_PI, &past), ETIMEDOUT);
    FAILS(futex(&word, FUTEX_UNLOCK_PI, NULL), EPERM);
    word &= ~FUTEX_WAITERS;
    stage = 2;
    CHECK(futex(&word, FUTEX_LOCK_PI, NULL) == 0 && (word & FUTEX_TID_MASK) == self());
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(futex(&word, FUTEX_UNLOCK_PI, NULL) == 0 && word == 0);
}

static long counter;
static void *counts(void *arg) {
    uint32_t me = self();
    for (int i = 0; i < 2000; i++) {
        uint32_t seen = 0;
        if (!__atomic_compare_exchange_n(&word, &seen, me, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            CHECK(futex(&word, FUTEX_LOCK_PI_PRIVATE, NULL) == 0);
        CHECK((word & FUTEX_TID_MASK) == me);
        counter++;
        if (i % 16 == 0)
            sched_yield(); // with the lock
        seen = me;
        if (!__atomic_compare_exchange_n(&word, &seen, 0, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
            CHECK(futex(&word, FUTEX_UNLOCK_PI_PRIVATE, NULL) == 0);
    }
    return NULL;
}
static void many(void) {
    pthread_t thread[4];
    for (int i = 0; i < 4; i++)
        thread[i] = begin(counts);
    for (int i = 0; i < 4; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
    CHECK(counter == 8000 && word == 0);
}

static void *crosses(void *arg) {
    CHECK(futex(&other, FUTEX_LOCK_PI, NULL) == 0);
    stage = 1;
    long r = futex(&word, FUTEX_LOCK_PI, NULL);
    CHECK(r == 0 || errno == EDEADLK);
    if (r == 0)
        CHECK(futex(&word, FUTEX_UNLOCK_PI, NULL) == 0);
    CHECK(futex(&other, FUTEX_UNLOCK_PI, NULL) == 0);
    return (void *)(r ? 1l : 0l);
}
static void deadlock(void) { // of two that wait for each other, who comes last is told
    void *told;
    stage = 0;
    CHECK(futex(&word, FUTEX_LOCK_PI, NULL) == 0);
    pthread_t thread = begin(crosses);
    while (!stage)
        sched_yield();
    until_waited_for(&word);
    long r = futex(&other, FUTEX_LOCK_PI, NULL);
    CHECK(r == 0 || errno == EDEADLK);
    CHECK(futex(&word, FUTEX_UNLOCK_PI, NULL) == 0);
    if (r == 0)
        CHECK(futex(&other, FUTEX_UNLOCK_PI, NULL) == 0);
    CHECK(pthread_join(thread, &told) == 0 && (r != 0) + (told != NULL) == 1);
}

static volatile int signals;
static void handler(int number) {
    signals++;
}
static void *waits(void *arg) {
    CHECK(futex(&word, FUTEX_LOCK_PI, NULL) == 0 && signals > 0); // a handler does not end it
    CHECK(futex(&word, FUTEX_UNLOCK_PI, NULL) == 0);
    return NULL;
}
static void not_interrupted(void) {
    struct sigaction action = {.sa_handler = handler};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0 && futex(&word, FUTEX_LOCK_PI, NULL) == 0);
    pthread_t thread = begin(waits);
    until_waited_for(&word);
    while (signals < 3)
        CHECK(pthread_kill(thread, SIGUSR1) == 0 && sched_yield() == 0);
    CHECK(futex(&word, FUTEX_UNLOCK_PI, NULL) == 0 && pthread_join(thread, NULL) == 0 && word == 0);
}

static void *dies(void *arg) {
    CHECK(futex(&word, FUTEX_LOCK_PI, NULL) == 0);
    stage = 1;
    until_waited_for(&word);
    return NULL;
}
static void owner_died(void) {
    stage = 0;
    pthread_t thread = begin(dies);
    while (!stage)
        sched_yield();
    CHECK(futex(&word, FUTEX_LOCK_PI, NULL) == 0);
    CHECK((word & FUTEX_TID_MASK) == self() && (word & FUTEX_OWNER_DIED));
    CHECK(futex(&word, FUTEX_UNLOCK_PI, NULL) == 0 && pthread_join(thread, NULL) == 0);
}

// What the C library makes of it; with a robust list it is robust.c's.
static void *locks(void *mutex) {
    for (int i = 0; i < 2000; i++) {
        CHECK(pthread_mutex_lock(mutex) == 0);
        counter++;
        CHECK(pthread_mutex_unlock(mutex) == 0);
    }
    return NULL;
}
static void mutexes(void) {
    pthread_mutexattr_t attributes;
    pthread_mutex_t mutex;
    pthread_t thread[3];
    CHECK(pthread_mutexattr_init(&attributes) == 0);
    CHECK(pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT) == 0);
    CHECK(pthread_mutex_init(&mutex, &attributes) == 0);
    counter = 0;
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&thread[i], NULL, locks, &mutex) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_join(thread[i], NULL) == 0);
    CHECK(counter == 6000 && pthread_mutex_trylock(&mutex) == 0 && pthread_mutex_unlock(&mutex) == 0);
}

int main(void) {
    alone();
    handed_over();
    many();
    deadlock();
    not_interrupted();
    owner_died();
    mutexes();
    return done();
}

// What libraries make of futexes: mutexes, condition variables, semaphores, barriers, once, cancellation.
#include "../check.h"
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#define THREADS 8
#define ROUNDS 500

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static sem_t items;
static int total, turn, made, arrived;

static void make(void) {
    made++;
}

static void *adds(void *arg) {
    pthread_once(&once, make);
    for (int i = 0; i < ROUNDS; i++) {
        pthread_mutex_lock(&lock);
        total++;
        pthread_mutex_unlock(&lock);
    }
    pthread_barrier_wait(&barrier);
    CHECK(total == THREADS * ROUNDS);
    return NULL;
}

static void *takes_turns(void *arg) {
    int own = (int)(long)arg;
    for (int i = 0; i < 50; i++) {
        pthread_mutex_lock(&lock);
        while (turn % THREADS != own)
            pthread_cond_wait(&changed, &lock);
        turn++;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

static void *consumes(void *arg) {
    for (int i = 0; i < 100; i++)
        CHECK(sem_wait(&items) == 0);
    __atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void *blocks(void *arg) {
    for (;;)
        sem_wait(&items);
}

static void all(void *(*work)(void *)) {
    pthread_t threads[THREADS];
    for (long i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    if (work == consumes)
        for (int i = 0; i < THREADS * 100; i++)
            CHECK(sem_post(&items) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

int main(void) {
    CHECK(pthread_barrier_init(&barrier, NULL, THREADS) == 0 && sem_init(&items, 0, 0) == 0);
    all(adds);
    CHECK(made == 1);
    all(takes_turns);
    CHECK(turn == THREADS * 50);
    all(consumes);
    CHECK(arrived == THREADS);

    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 3000000, until.tv_sec += until.tv_nsec / 1000000000, until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lock);
    CHECK(pthread_cond_timedwait(&changed, &lock, &until) == ETIMEDOUT);
    CHECK(sem_timedwait(&items, &until) == -1 && errno == ETIMEDOUT);

    pthread_t thread;
    void *result;
    CHECK(pthread_create(&thread, NULL, blocks, NULL) == 0 && pthread_cancel(thread) == 0);
    CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
    return done();
}

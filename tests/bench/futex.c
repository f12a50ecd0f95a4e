// Two threads hand a turn to each other through a condition variable, 5,000 times.
// flags: -pthread
#include "bench.h"
#include <pthread.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int turn;
static uint64_t rounds;
static void *play(void *me) {
    int mine = (int)(intptr_t)me;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < 5000; i++) {
        while (turn != mine)
            pthread_cond_wait(&changed, &lock);
        turn = !mine;
        rounds++;
        pthread_cond_signal(&changed);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}
uint64_t work(void) {
    pthread_t other;
    rounds = 0;
    turn = 0;
    pthread_create(&other, NULL, play, (void *)1);
    play((void *)0);
    pthread_join(other, NULL);
    return rounds;
}

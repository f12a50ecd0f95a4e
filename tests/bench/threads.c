// Two threads, each with one half of the work: what a second hart is good for.
// flags: -pthread
#include "pair.h"
#include <pthread.h>
static void *run(void *result) {
    *(uint64_t *)result = half(*(uint64_t *)result);
    return NULL;
}
uint64_t work(void) {
    uint64_t mine = 0, theirs = 1;
    pthread_t other;
    pthread_create(&other, NULL, run, &theirs);
    run(&mine);
    pthread_join(other, NULL);
    return mine ^ theirs;
}

// Two processes, each with one half of the work: what a second hart is good for.
#include "pair.h"
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
uint64_t work(void) {
    uint64_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t child = fork();
    if (!child) {
        shared[0] = half(1);
        _exit(0);
    }
    uint64_t mine = half(0);
    waitpid(child, NULL, 0);
    mine ^= shared[0];
    munmap(shared, 4096);
    return mine;
}

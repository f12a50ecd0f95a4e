// The cheapest system call, 100,000 times.
#include "bench.h"
#include <sys/syscall.h>
#include <unistd.h>
uint64_t work(void) {
    uint64_t same = 0;
    long first = syscall(SYS_getpid);
    for (int i = 0; i < 100000; i++)
        same += syscall(SYS_getpid) == first;
    return same;
}

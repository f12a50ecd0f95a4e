// fork and wait, 200 times.
#include "bench.h"
#include <sys/wait.h>
#include <unistd.h>
uint64_t work(void) {
    uint64_t good = 0;
    for (int i = 0; i < 200; i++) {
        int status = 1;
        pid_t child = fork();
        if (!child)
            _exit(7);
        good += waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7;
    }
    return good;
}

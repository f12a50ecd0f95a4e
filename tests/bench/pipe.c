// One byte to a child and back, 5,000 times.
#include "bench.h"
#include <sys/wait.h>
#include <unistd.h>
uint64_t work(void) {
    int there[2], back[2];
    char c = 1;
    uint64_t rounds = 0;
    if (pipe(there) || pipe(back))
        return 0;
    pid_t child = fork();
    if (!child) {
        close(there[1]);
        while (read(there[0], &c, 1) == 1 && write(back[1], &c, 1) == 1)
            ;
        _exit(0);
    }
    close(there[0]);
    for (int i = 0; i < 5000; i++)
        rounds += write(there[1], &c, 1) == 1 && read(back[0], &c, 1) == 1;
    close(there[1]);
    close(back[0]);
    close(back[1]);
    waitpid(child, NULL, 0);
    return rounds;
}

// Numbers that no system call has: ENOSYS, and nothing happens to anybody.
#include "../check.h"
#include <signal.h>
#include <sys/wait.h>

int main(void) {
    pid_t child = fork();
    if (!child)
        for (;;)
            pause();
    char buffer[256] = {0};
    static const long numbers[] = {512, 999, 1000, 1001, 1002, 1003, 4095, 32768, 65535, 65536};
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        FAILS(syscall(numbers[i], buffer, sizeof buffer, buffer), ENOSYS);
        FAILS(syscall(numbers[i], child, SIGKILL, 0), ENOSYS);
    }
    int status;
    CHECK(waitpid(child, &status, WNOHANG) == 0);
    kill(child, SIGTERM);
    CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    return done();
}

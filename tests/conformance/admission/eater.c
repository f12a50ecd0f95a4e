// args: 8
// Takes so many MiB of memory, first by a file in memory (writing says ENOMEM when there is no more), then by stores
// (which end the largest process). Its parent, a small process, lives and says what became of it.
#include "watched.h"

static int eat(long megabytes) {
    const size_t piece = 1 << 20;
    static char bytes[1 << 20];
    int fd = memfd_create("eaten", 0);
    CHECK(fd >= 0);
    for (long n = 0; n < megabytes; n++)
        if (write(fd, bytes, piece) < 0) {
            verdict("write", -errno);
            break;
        }
    for (long n = 0; n < megabytes; n++) {
        volatile char *memory = mmap(NULL, piece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(memory != MAP_FAILED);
        for (size_t i = 0; i < piece; i += 4096)
            memory[i] = 1;
    }
    return 0;
}

int main(int argc, char **argv) {
    int status;
    pid_t pid = fork();
    if (!pid)
        _exit(eat(atol(argv[1])));
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    dprintf(1, "it ended by signal %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    return done();
}

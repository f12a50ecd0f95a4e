// args: 8
// Takes so many MiB of memory, first by a file in memory (when there is no more, a write says ENOSPC and a fork
// ENOMEM), then by stores (which end the largest process). Its parent, a small process, lives and says what happened.
#include "watched.h"

static int eat(long megabytes) {
    const size_t piece = 1 << 20;
    static char bytes[1 << 20];
    int fd = memfd_create("eaten", 0);
    CHECK(fd >= 0);
    long written = 0, forked = 0; // said later: saying takes memory
    for (long n = 0; n < megabytes && written >= 0; n++)
        written = write(fd, bytes, piece);
    if (written < 0) {
        written = -errno;
        forked = fork();
        if (forked == 0)
            _exit(0);
        forked = -errno;
    }
    close(fd);
    if (written < 0)
        verdict("write", written), verdict("fork", forked);
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

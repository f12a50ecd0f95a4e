// args: 8
// Takes so many MiB of memory, first by reads into fresh pages (which say ENOMEM when there is no more), then by stores
// (which end the largest process). Its parent, a small process, lives and says what became of it.
#include "watched.h"

static int eat(long megabytes) {
    const size_t piece = 1 << 20;
    int zero = open("/dev/zero", O_RDONLY);
    long n = 0;
    for (; zero >= 0 && n < megabytes; n++) {
        char *memory = mmap(NULL, piece, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED || read(zero, memory, piece) < 0) {
            verdict("read", -errno);
            break;
        }
    }
    for (; n < megabytes; n++) {
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

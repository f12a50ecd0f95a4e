// mmap(2) of files: shared and private, seen by read and write, beyond the end, after truncation.
#include "files.h"
#include <setjmp.h>

static sigjmp_buf jump;
static int got;
static void on_signal(int n) {
    got = n;
    siglongjmp(jump, 1);
}
static int touch_dies(volatile char *p) {
    got = 0;
    if (!sigsetjmp(jump, 1))
        (void)*p;
    return got;
}

int main(void) {
    enter();
    signal(SIGBUS, on_signal);
    signal(SIGSEGV, on_signal);
    int fd = open("m", O_CREAT | O_RDWR, 0644);
    CHECK(ftruncate(fd, 10000) == 0 && pwrite(fd, "file", 4, 4096) == 4);
    char *shared = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *private = mmap(NULL, 16384, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(shared != MAP_FAILED && private != MAP_FAILED && !memcmp(shared + 4096, "file", 4));
    memcpy(shared, "shared", 6);
    char b[8];
    CHECK(pread(fd, b, 6, 0) == 6 && !memcmp(b, "shared", 6) && !memcmp(private, "shared", 6));
    memcpy(private, "mine", 4);
    CHECK(pread(fd, b, 6, 0) == 6 && !memcmp(b, "shared", 6) && !memcmp(shared, "shared", 6));
    CHECK(pwrite(fd, "written", 7, 100) == 7 && !memcmp(shared + 100, "written", 7));
    CHECK(touch_dies(shared + 12288) == SIGBUS && touch_dies(shared + 12287) == 0);
    shared[10001] = 'x'; // behind the end, in the last page: not part of the file
    CHECK(pread(fd, b, 1, 10001) == 0);
    CHECK(ftruncate(fd, 4096) == 0 && touch_dies(shared + 4096) == SIGBUS && touch_dies(shared) == 0);
    CHECK(ftruncate(fd, 8192) == 0 && touch_dies(shared + 4096) == 0 && shared[4096] == 0);
    pid_t child = fork();
    if (!child) {
        shared[5000] = 'c';
        private[10] = 'c';
        _exit(0);
    }
    CHECK(waitpid(child, NULL, 0) == child && shared[5000] == 'c' && private[10] != 'c');
    CHECK(close(fd) == 0 && unlink("m") == 0 && shared[5000] == 'c');
    CHECK(munmap(shared, 16384) == 0 && munmap(private, 16384) == 0);
    fd = open("ro", O_CREAT | O_RDWR, 0644);
    int ro = open("ro", O_RDONLY), wo = open("ro", O_WRONLY);
    FAILS((long)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ro, 0), EACCES);
    FAILS((long)mmap(NULL, 4096, PROT_READ, MAP_SHARED, wo, 0), EACCES);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, ro, 0) != MAP_FAILED);
    return leave();
}

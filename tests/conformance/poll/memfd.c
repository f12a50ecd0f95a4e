// memfd_create(2) and its seals.
#define _GNU_SOURCE
#include "../check.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034
#define F_SEAL_SEAL 1
#define F_SEAL_SHRINK 2
#define F_SEAL_GROW 4
#define F_SEAL_WRITE 8
#endif

int main(void) {
    char buf[16];
    struct stat st;
    int fd = memfd_create("name", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0);
    CHECK(write(fd, "hello", 5) == 5 && pread(fd, buf, 16, 1) == 4 && !memcmp(buf, "ello", 4));
    CHECK(ftruncate(fd, 8192) == 0 && fcntl(fd, F_GET_SEALS) == 0);
    char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(map != MAP_FAILED && !memcmp(map, "hello", 5));
    map[5] = '!';
    CHECK(pread(fd, buf, 6, 0) == 6 && buf[5] == '!');
    FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), EBUSY); // mapped for writing
    CHECK(munmap(map, 8192) == 0);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0 && fcntl(fd, F_GET_SEALS) == F_SEAL_SHRINK);
    FAILS(ftruncate(fd, 10), EPERM);
    CHECK(ftruncate(fd, 9000) == 0);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW) == 0);
    FAILS(ftruncate(fd, 10000), EPERM);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SEAL) == 0);
    FAILS(pwrite(fd, "x", 1, 0), EPERM);
    FAILS(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), EPERM);
    CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED && errno == EPERM);
    map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    CHECK(map != MAP_FAILED && map[5] == '!');
    char link[40], target[40];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, target, sizeof target - 1);
    CHECK(n > 0);
    target[n] = 0;
    CHECK(!strcmp(target, "/memfd:name (deleted)"));
    close(fd);
    fd = memfd_create("", 0);
    CHECK(fd >= 0 && fcntl(fd, F_GET_SEALS) == F_SEAL_SEAL);
    FAILS(memfd_create("x", 0x8000), EINVAL);
    return done();
}

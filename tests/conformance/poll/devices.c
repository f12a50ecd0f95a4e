// The devices that everyone has: null, zero, full, random, tty; and their links.
#include "../check.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>

static char buf[300000], zeros[300000];

int main(void) {
    struct stat st;
    int fd = open("/dev/null", O_RDWR);
    CHECK(fd >= 0 && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3));
    CHECK(write(fd, buf, sizeof buf) == sizeof buf && write(fd, "x", 1) == 1 && read(fd, buf, 9) == 0);
    struct iovec v[2] = {{buf, 5}, {buf, 6}};
    CHECK(writev(fd, v, 2) == 11 && lseek(fd, 100, SEEK_SET) == 0);
    close(fd);
    fd = open("/dev/zero", O_RDWR);
    memset(buf, 1, sizeof buf);
    CHECK(fd >= 0 && read(fd, buf, sizeof buf) == sizeof buf && !memcmp(buf, zeros, sizeof buf) && write(fd, buf, 7) == 7);
    char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    CHECK(map != MAP_FAILED && map[5000] == 0);
    map[5000] = 1;
    close(fd);
    fd = open("/dev/full", O_RDWR);
    FAILS(write(fd, "x", 1), ENOSPC);
    CHECK(read(fd, buf, 9) == 9);
    close(fd);
    fd = open("/dev/urandom", O_RDONLY);
    CHECK(fd >= 0 && read(fd, buf, 1000) == 1000 && memcmp(buf, zeros, 1000));
    close(fd);
    fd = open("/dev/random", O_RDONLY);
    CHECK(fd >= 0 && read(fd, buf, 16) > 0);
    close(fd);
    CHECK(stat("/dev/tty", &st) == 0 && st.st_rdev == makedev(5, 0) && stat("/dev/ptmx", &st) == 0 && st.st_rdev == makedev(5, 2));
    FAILS(open("/dev/no-such-device", O_RDONLY), ENOENT);
    ssize_t n = readlink("/dev/fd", buf, sizeof buf);
    CHECK(n == 13 && !memcmp(buf, "/proc/self/fd", 13));
    return done();
}

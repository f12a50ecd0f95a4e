// read(2), write(2) and their family on regular files: offsets, holes, append, vectors, limits, seeking.
#include "files.h"
#include <sys/resource.h>
#include <sys/uio.h>

static char big[3 << 20], back[3 << 20];

static void basics(void) {
    int fd = open("f", O_CREAT | O_RDWR, 0644);
    char b[64];
    CHECK(write(fd, "hello world", 11) == 11 && lseek(fd, 0, SEEK_CUR) == 11);
    CHECK(read(fd, b, 64) == 0);
    CHECK(pread(fd, b, 5, 6) == 5 && !memcmp(b, "world", 5) && lseek(fd, 0, SEEK_CUR) == 11);
    CHECK(pwrite(fd, "HELLO", 5, 0) == 5 && lseek(fd, 0, SEEK_SET) == 0);
    CHECK(read(fd, b, 11) == 11 && !memcmp(b, "HELLO world", 11));
    FAILS(lseek(fd, -1, SEEK_SET), EINVAL);
    FAILS(lseek(fd, 0, 99), EINVAL);
    FAILS(pread(fd, b, 1, -1), EINVAL);
    FAILS(read(99, b, 1), EBADF);
    FAILS(write(fd, (void *)8, 4), EFAULT);
    CHECK(lseek(fd, 20000, SEEK_SET) == 20000 && write(fd, "end", 3) == 3);
    CHECK(pread(fd, b, 64, 10000) == 64);
    for (int i = 0; i < 64; i++)
        CHECK(b[i] == 0);
    int ro = open("f", O_RDONLY), wo = open("f", O_WRONLY), ap = open("f", O_WRONLY | O_APPEND);
    FAILS(write(ro, "x", 1), EBADF);
    FAILS(read(wo, b, 1), EBADF);
    CHECK(write(ap, "!", 1) == 1 && lseek(ap, 0, SEEK_CUR) == 20004);
    CHECK(pread(ro, b, 4, 20000) == 4 && !memcmp(b, "end!", 4));
    int dir = open(".", O_RDONLY);
    FAILS(read(dir, b, 1), EISDIR);
    close(ro), close(wo), close(ap), close(dir), close(fd);
}

static void vectors(void) {
    int fd = open("v", O_CREAT | O_RDWR, 0644);
    char a[4], b[8];
    struct iovec out[3] = {{"ab", 2}, {"", 0}, {"cdefg", 5}}, in[2] = {{a, 4}, {b, 8}};
    CHECK(writev(fd, out, 3) == 7 && preadv(fd, in, 2, 0) == 7);
    CHECK(!memcmp(a, "abcd", 4) && !memcmp(b, "efg", 3));
    CHECK(pwritev(fd, out, 3, 100) == 7 && lseek(fd, 0, SEEK_END) == 107);
    FAILS(writev(fd, out, -1), EINVAL);
    FAILS(readv(fd, in, 2000), EINVAL);
    CHECK(lseek(fd, 0, SEEK_SET) == 0 && readv(fd, in, 0) == 0);
    struct iovec bad[2] = {{"ok", 2}, {(void *)8, 4}};
    CHECK(writev(fd, bad, 2) == 2);
    close(fd);
}

static void large(void) {
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 7 + i / 251);
    int fd = open("big", O_CREAT | O_RDWR, 0644);
    CHECK(pwrite(fd, big, sizeof big, 5) == sizeof big);
    CHECK(pread(fd, back, sizeof back, 5) == sizeof back && !memcmp(big, back, sizeof big));
    CHECK(lseek(fd, 4, SEEK_SET) == 4 && read(fd, back, sizeof back) == sizeof back && back[0] == 0 && back[1] == big[0]);
    CHECK(read(fd, back, sizeof back) == 1 && read(fd, back, 1) == 0);
    struct stat st;
    CHECK(fstat(fd, &st) == 0 && st.st_size == sizeof big + 5 && st.st_blocks * 512 >= (long)sizeof big);
    close(fd);
}

static int too_large;
static void on_xfsz(int n) {
    too_large += n == SIGXFSZ;
}

static void limits(void) {
    signal(SIGXFSZ, on_xfsz);
    struct rlimit old, small = {1000, RLIM_INFINITY};
    CHECK(getrlimit(RLIMIT_FSIZE, &old) == 0 && setrlimit(RLIMIT_FSIZE, &small) == 0);
    int fd = open("limited", O_CREAT | O_RDWR, 0644);
    CHECK(pwrite(fd, big, 600, 600) == 400 && too_large == 0);
    FAILS(pwrite(fd, big, 1, 1000), EFBIG);
    CHECK(too_large == 1);
    FAILS(ftruncate(fd, 2000), EFBIG);
    CHECK(too_large == 2 && setrlimit(RLIMIT_FSIZE, &old) == 0);
    close(fd);
}

static void holes(void) {
    int fd = open("holes", O_CREAT | O_RDWR, 0644);
    CHECK(pwrite(fd, "x", 1, 8192) == 1 && ftruncate(fd, 20480) == 0);
    CHECK(lseek(fd, 0, SEEK_DATA) == 8192 && lseek(fd, 0, SEEK_HOLE) == 0);
    CHECK(lseek(fd, 8192, SEEK_HOLE) == 12288 && lseek(fd, 8200, SEEK_DATA) == 8200);
    FAILS(lseek(fd, 12288, SEEK_DATA), ENXIO);
    FAILS(lseek(fd, 20480, SEEK_HOLE), ENXIO);
    close(fd);
}

static void truncation(void) {
    int fd = open("t", O_CREAT | O_RDWR, 0644);
    char b[16];
    CHECK(write(fd, "0123456789", 10) == 10 && ftruncate(fd, 4) == 0 && ftruncate(fd, 8) == 0);
    CHECK(pread(fd, b, 16, 0) == 8 && !memcmp(b, "0123\0\0\0\0", 8));
    CHECK(truncate("t", 2) == 0 && pread(fd, b, 16, 0) == 2);
    FAILS(ftruncate(fd, -1), EINVAL);
    FAILS(truncate(".", 0), EISDIR);
    FAILS(truncate("none", 0), ENOENT);
    int ro = open("t", O_RDONLY);
    FAILS(ftruncate(ro, 0), EINVAL);
    close(ro);
    CHECK(pwrite(fd, big, 65536, 0) == 65536);
    CHECK(fallocate(fd, 3, 1000, 40000) == 0); // punch a hole
    CHECK(pread(fd, back, 65536, 0) == 65536 && !memcmp(big, back, 1000) && !memcmp(big + 41000, back + 41000, 24536));
    for (int i = 1000; i < 41000; i++)
        CHECK(back[i] == 0);
    struct stat st;
    CHECK(fallocate(fd, 1, 65536, 4096) == 0 && fstat(fd, &st) == 0 && st.st_size == 65536);
    CHECK(fallocate(fd, 0, 65536, 4096) == 0 && fstat(fd, &st) == 0 && st.st_size == 69632);
    FAILS(fallocate(fd, 0, 0, 0), EINVAL);
    FAILS(posix_fallocate(fd, -1, 10) ? (errno = EINVAL, -1) : 0, EINVAL);
    close(fd);
}

int main(void) {
    enter();
    basics();
    vectors();
    large();
    limits();
    holes();
    truncation();
    return leave();
}

// open(2) and openat2(2): flags, errors, what the final component may be.
#include "files.h"

struct how {
    uint64_t flags, mode, resolve;
};
static long openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
    struct how how = {flags, mode, resolve};
    return syscall(437, dir, path, &how, sizeof how);
}

static void creating(void) {
    int fd = open("a", O_CREAT | O_EXCL | O_RDWR, 0666);
    CHECK(fd == 3);
    struct stat st;
    CHECK(fstat(fd, &st) == 0 && st.st_mode == (S_IFREG | 0644) && st.st_nlink == 1 && st.st_size == 0);
    FAILS(open("a", O_CREAT | O_EXCL | O_RDWR, 0666), EEXIST);
    FAILS(open("missing", O_RDONLY), ENOENT);
    FAILS(open("missing/a", O_CREAT | O_RDWR, 0666), ENOENT);
    FAILS(open("a/b", O_CREAT | O_RDWR, 0666), ENOTDIR);
    FAILS(open("a/", O_RDONLY), ENOTDIR);
    FAILS(open("new/", O_CREAT | O_RDWR, 0666), EISDIR);
    FAILS(open("a", O_RDONLY | O_DIRECTORY), ENOTDIR);
    FAILS(open(".", O_RDWR), EISDIR);
    FAILS(open(".", O_CREAT | O_RDONLY, 0666), EISDIR);
    FAILS(open("", O_RDONLY), ENOENT);
    FAILS(open((char *)8, O_RDONLY), EFAULT);
    char name[300];
    memset(name, 'n', sizeof name);
    name[256] = 0;
    FAILS(open(name, O_CREAT | O_RDWR, 0666), ENAMETOOLONG);
    name[255] = 0;
    int other = open(name, O_CREAT | O_RDWR, 0600);
    CHECK(other == 4 && close(other) == 0);
    // A file made read-only is still open for writing here.
    other = open("ro", O_CREAT | O_RDWR, 0400);
    CHECK(other == 4 && write(other, "x", 1) == 1 && close(other) == 0);
    CHECK(write(fd, "hello", 5) == 5 && close(fd) == 0);
    fd = open("a", O_RDWR | O_TRUNC);
    CHECK(fstat(fd, &st) == 0 && st.st_size == 0 && close(fd) == 0);
}

static void links(void) {
    touch("file", "text");
    CHECK(symlink("file", "l1") == 0 && symlink("l1", "l2") == 0 && symlink("loop", "loop") == 0);
    CHECK(symlink("nowhere", "dangling") == 0 && mkdir("dir", 0755) == 0 && symlink("dir", "dl") == 0);
    int fd = open("l2", O_RDONLY);
    char text[8];
    CHECK(read(fd, text, 8) == 4 && close(fd) == 0);
    FAILS(open("loop", O_RDONLY), ELOOP);
    FAILS(open("l1", O_RDONLY | O_NOFOLLOW), ELOOP);
    FAILS(open("l1", O_RDONLY | O_NOFOLLOW | O_DIRECTORY), ENOTDIR);
    FAILS(open("dangling", O_CREAT | O_EXCL | O_RDWR, 0666), EEXIST);
    fd = open("dangling", O_CREAT | O_RDWR, 0666); // makes what the link names
    CHECK(fd == 3 && close(fd) == 0 && access("nowhere", F_OK) == 0);
    fd = open("l1", O_PATH | O_NOFOLLOW);
    struct stat st;
    CHECK(fd == 3 && fstat(fd, &st) == 0 && S_ISLNK(st.st_mode));
    FAILS(read(fd, text, 1), EBADF);
    CHECK(readlinkat(fd, "", text, 8) == 4 && !memcmp(text, "file", 4) && close(fd) == 0);
    fd = open("dl/", O_RDONLY | O_DIRECTORY);
    CHECK(fd == 3 && close(fd) == 0);
    char name[16];
    CHECK(symlink("file", "s0") == 0);
    for (int i = 1; i <= 40; i++) {
        char to[16];
        sprintf(to, "s%d", i - 1);
        sprintf(name, "s%d", i);
        CHECK(symlink(to, name) == 0);
    }
    fd = open("s39", O_RDONLY); // 40 links
    CHECK(fd == 3 && close(fd) == 0);
    FAILS(open("s40", O_RDONLY), ELOOP);
}

static void unnamed(void) {
    int fd = open(".", O_TMPFILE | O_RDWR, 0600);
    CHECK(fd == 3 && write(fd, "secret", 6) == 6);
    struct stat st;
    CHECK(fstat(fd, &st) == 0 && st.st_nlink == 0);
    CHECK(linkat(fd, "", AT_FDCWD, "named", AT_EMPTY_PATH) == 0);
    CHECK(fstat(fd, &st) == 0 && st.st_nlink == 1 && stat("named", &st) == 0 && st.st_size == 6);
    CHECK(close(fd) == 0);
    FAILS(open(".", O_TMPFILE | O_RDONLY, 0600), EINVAL);
}

static void resolving(void) {
    CHECK(mkdir("box", 0755) == 0 && mkdir("box/in", 0755) == 0 && symlink("/tmp", "box/abs") == 0);
    CHECK(symlink("../..", "box/in/up") == 0);
    int box = open("box", O_RDONLY | O_DIRECTORY);
    if (openat2(box, "in", O_PATH, 0, 0) < 0 && errno == ENOSYS) { // an emulator without it
        CHECK(close(box) == 0);
        return;
    }
    CHECK(close(4) == 0);
    int fd = openat2(box, "in", O_RDONLY, 0, 8); // BENEATH
    CHECK(fd == 4 && close(fd) == 0);
    FAILS(openat2(box, "../file", O_RDONLY, 0, 8), EXDEV);
    FAILS(openat2(box, "in/up", O_RDONLY, 0, 8), EXDEV);
    FAILS(openat2(box, "/tmp", O_RDONLY, 0, 8), EXDEV);
    FAILS(openat2(box, "abs", O_RDONLY, 0, 8), EXDEV);
    FAILS(openat2(box, "abs", O_RDONLY, 0, 4), ELOOP); // NO_SYMLINKS
    FAILS(openat2(box, "abs", O_RDONLY, 0, 16), ENOENT); // IN_ROOT: box/tmp
    fd = openat2(box, "../../in", O_RDONLY, 0, 16);
    CHECK(fd == 4 && close(fd) == 0);
    FAILS(openat2(box, "in", O_RDONLY, 0600, 0), EINVAL);
    FAILS(openat2(box, "in", O_RDONLY, 0, 1ull << 40), EINVAL);
    CHECK(close(box) == 0);
}

int main(void) {
    enter();
    creating();
    links();
    unnamed();
    resolving();
    return leave();
}

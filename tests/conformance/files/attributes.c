// chmod, chown, utimensat, access, statx, umask and extended attributes, as root and as another user.
#include "files.h"
#include <sys/statfs.h>
#include <sys/xattr.h>

static struct stat of(const char *path) {
    struct stat st;
    CHECK(lstat(path, &st) == 0);
    return st;
}

static void modes(void) {
    touch("m", "x");
    CHECK(chmod("m", 04755) == 0 && of("m").st_mode == (S_IFREG | 04755));
    int fd = open("m", O_RDWR);
    CHECK(fchmod(fd, 0600) == 0 && of("m").st_mode == (S_IFREG | 0600) && close(fd) == 0);
    CHECK(symlink("m", "ml") == 0 && chmod("ml", 0640) == 0 && of("m").st_mode == (S_IFREG | 0640));
    if (syscall(452, AT_FDCWD, "m", 0640, 0) == 0) // fchmodat2: newer than some kernels this is checked on
        FAILS(syscall(452, AT_FDCWD, "ml", 0600, AT_SYMLINK_NOFOLLOW), EOPNOTSUPP);
    FAILS(chmod("none", 0600), ENOENT);
    CHECK(umask(077) == 022);
    CHECK(mkdir("private", 0777) == 0 && of("private").st_mode == (S_IFDIR | 0700) && umask(022) == 077);
}

static void times(void) {
    touch("t", "x");
    struct timespec ts[2] = {{1000, 5}, {2000, 999999999}};
    CHECK(utimensat(AT_FDCWD, "t", ts, 0) == 0);
    struct stat st = of("t");
    CHECK(st.st_atim.tv_sec == 1000 && st.st_atim.tv_nsec == 5 && st.st_mtim.tv_nsec == 999999999);
    struct timespec omit[2] = {{0, UTIME_OMIT}, {3000, 0}};
    CHECK(utimensat(AT_FDCWD, "t", omit, 0) == 0 && of("t").st_atim.tv_sec == 1000 && of("t").st_mtim.tv_sec == 3000);
    struct timespec bad[2] = {{0, 1000000000}, {0, 0}};
    FAILS(utimensat(AT_FDCWD, "t", bad, 0), EINVAL);
    int fd = open("t", O_RDWR);
    CHECK(futimens(fd, ts) == 0 && of("t").st_mtim.tv_sec == 2000);
    CHECK(write(fd, "y", 1) == 1 && of("t").st_mtim.tv_sec > 1000000 && close(fd) == 0);
    struct statx sx;
    CHECK(statx(AT_FDCWD, "t", 0, STATX_ALL, &sx) == 0 && sx.stx_size == 1 && sx.stx_atime.tv_sec == 1000);
    CHECK(sx.stx_mask & STATX_BTIME && sx.stx_btime.tv_sec > 1000000 && sx.stx_ino == of("t").st_ino);
    FAILS(statx(AT_FDCWD, "t", AT_REMOVEDIR, STATX_ALL, &sx), EINVAL);
}

static void extended(void) {
    touch("x", "");
    char value[32];
    CHECK(setxattr("x", "user.one", "first", 5, 0) == 0 && getxattr("x", "user.one", value, 32) == 5);
    CHECK(!memcmp(value, "first", 5) && getxattr("x", "user.one", NULL, 0) == 5);
    FAILS(getxattr("x", "user.one", value, 2), ERANGE);
    FAILS(setxattr("x", "user.one", "y", 1, XATTR_CREATE), EEXIST);
    FAILS(setxattr("x", "user.two", "y", 1, XATTR_REPLACE), ENODATA);
    FAILS(getxattr("x", "user.two", value, 32), ENODATA);
    CHECK(setxattr("x", "user.two", "", 0, 0) == 0 && listxattr("x", NULL, 0) == 18);
    CHECK(removexattr("x", "user.one") == 0 && listxattr("x", value, 32) == 9 && !strcmp(value, "user.two"));
    FAILS(removexattr("x", "user.one"), ENODATA);
    FAILS(setxattr("x", "nonsense", "y", 1, 0), EOPNOTSUPP);
}

static void permissions(void) {
    CHECK(mkdir("sticky", 01777) == 0 && chmod("sticky", 01777) == 0 && chmod(".", 0755) == 0);
    touch("sticky/roots", "");
    touch("secret", "");
    touch("shared", "");
    CHECK(chmod("secret", 0600) == 0 && chmod("shared", 0666) == 0 && mkdir("closed", 0700) == 0);
    CHECK(mkdir("group", 0777) == 0 && chown("group", 0, 77) == 0 && chmod("group", 02777) == 0);
    touch("tool", "#!/bin/sh\n");
    FAILS(access("tool", X_OK), EACCES); // even for root: no x bit at all
    CHECK(access("secret", R_OK | W_OK) == 0 && access("none", F_OK) == -1 && errno == ENOENT);
    pid_t child = fork();
    if (!child) {
        CHECK(setgid(1000) == 0 && setuid(1000) == 0);
        FAILS(open("secret", O_RDONLY), EACCES);
        FAILS(open("newfile", O_CREAT | O_RDWR, 0600), EACCES);
        FAILS(open("closed/x", O_RDONLY), EACCES);
        FAILS(mkdir("newdir", 0700), EACCES);
        FAILS(unlink("shared"), EACCES);
        FAILS(unlink("sticky/roots"), EPERM);
        FAILS(rename("sticky/roots", "sticky/mine"), EPERM);
        FAILS(chmod("shared", 0600), EPERM);
        FAILS(chown("shared", 1000, 1000), EPERM);
        FAILS(chroot("."), EPERM);
        FAILS(access("secret", R_OK), EACCES);
        struct timespec ts[2] = {{1, 0}, {1, 0}};
        FAILS(utimensat(AT_FDCWD, "shared", ts, 0), EPERM);
        CHECK(utimensat(AT_FDCWD, "shared", NULL, 0) == 0);
        FAILS(utimensat(AT_FDCWD, "secret", NULL, 0), EACCES);
        touch("sticky/mine", "");
        CHECK(chmod("sticky/mine", 06711) == 0 && of("sticky/mine").st_mode == (S_IFREG | 06711));
        int fd = open("sticky/mine", O_WRONLY);
        CHECK(write(fd, "x", 1) == 1 && of("sticky/mine").st_mode == (S_IFREG | 0711) && close(fd) == 0);
        CHECK(unlink("sticky/mine") == 0);
        touch("group/f", "");
        CHECK(of("group/f").st_gid == 77 && mkdir("group/d", 0755) == 0);
        CHECK(of("group/d").st_gid == 77 && of("group/d").st_mode & S_ISGID);
        exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    struct statfs fs;
    CHECK(statfs(".", &fs) == 0 && fs.f_namelen == 255 && fs.f_bsize > 0);
}

int main(void) {
    enter();
    modes();
    times();
    extended();
    permissions();
    return leave();
}

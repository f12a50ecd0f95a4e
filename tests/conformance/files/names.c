// Names in directories: mkdir, rmdir, unlink, link, symlink, rename, and what they do to counts and times.
#include "check.h"

static struct stat of(const char *path) {
    struct stat st;
    CHECK(lstat(path, &st) == 0);
    return st;
}

static void directories(void) {
    CHECK(mkdir("d", 0777) == 0 && of("d").st_mode == (S_IFDIR | 0755) && of("d").st_nlink == 2);
    CHECK(mkdir("d/e/", 0700) == 0 && of("d").st_nlink == 3);
    FAILS(EEXIST, mkdir("d", 0777));
    FAILS(EEXIST, mkdir("d/.", 0777));
    FAILS(EEXIST, mkdir("/", 0777));
    FAILS(ENOENT, mkdir("x/y", 0777));
    touch("f", "");
    FAILS(EEXIST, mkdir("f", 0777));
    FAILS(ENOTDIR, mkdir("f/g", 0777));
    FAILS(ENOTEMPTY, rmdir("d"));
    FAILS(EINVAL, rmdir("d/."));
    FAILS(ENOTEMPTY, rmdir("d/e/.."));
    FAILS(ENOTDIR, rmdir("f"));
    FAILS(EISDIR, unlink("d"));
    FAILS(ENOTDIR, unlink("f/"));
    FAILS(ENOENT, unlink("none"));
    FAILS(EBUSY, rmdir("/"));
    CHECK(chdir("d/e") == 0 && rmdir("../e") == 0);
    FAILS(ENOENT, open("new", O_CREAT | O_RDWR, 0600));
    char cwd[256];
    FAILS(ENOENT, getcwd(cwd, sizeof cwd) ? 0 : -1);
    CHECK(chdir("..") == 0 && chdir("..") == 0 && rmdir("d") == 0);
    CHECK(getcwd(cwd, sizeof cwd) && !strcmp(cwd, work));
    FAILS(ERANGE, getcwd(cwd, 3) ? 0 : -1);
}

static void links(void) {
    touch("one", "1");
    CHECK(link("one", "two") == 0 && of("one").st_nlink == 2 && of("one").st_ino == of("two").st_ino);
    FAILS(EEXIST, link("one", "two"));
    FAILS(ENOENT, link("none", "three"));
    FAILS(ENOENT, link("one", "three/"));
    CHECK(mkdir("dir", 0755) == 0);
    FAILS(EPERM, link("dir", "dir2"));
    CHECK(unlink("one") == 0 && of("two").st_nlink == 1);
    CHECK(symlink("two", "sym") == 0 && link("sym", "sym2") == 0 && S_ISLNK(of("sym2").st_mode));
    CHECK(linkat(AT_FDCWD, "sym", AT_FDCWD, "hard", AT_SYMLINK_FOLLOW) == 0 && of("hard").st_ino == of("two").st_ino);
    char text[16];
    CHECK(readlink("sym", text, 16) == 3 && readlink("sym", text, 2) == 2 && of("sym").st_size == 3);
    FAILS(EINVAL, readlink("two", text, 16));
    FAILS(EINVAL, syscall(SYS_readlinkat, AT_FDCWD, "sym", text, 0)); // libc has its own answer
    FAILS(ENOENT, symlink("", "empty"));
    FAILS(EEXIST, symlink("x", "sym"));
    int fd = open("two", O_RDWR);
    CHECK(unlink("two") == 0 && unlink("hard") == 0 && pwrite(fd, "still", 5, 0) == 5);
    struct stat st;
    CHECK(fstat(fd, &st) == 0 && st.st_nlink == 0 && st.st_size == 5 && close(fd) == 0);
    CHECK(rmdir("dir") == 0);
}

static int renameat2_(const char *a, const char *b, unsigned flags) {
    return (int)syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, flags);
}

static void renames(void) {
    touch("a", "A");
    touch("b", "B");
    ino_t a = of("a").st_ino, b = of("b").st_ino;
    FAILS(EEXIST, renameat2_("a", "b", 1));
    CHECK(renameat2_("a", "b", 2) == 0 && of("a").st_ino == b && of("b").st_ino == a);
    CHECK(rename("a", "b") == 0 && of("b").st_ino == b && access("a", F_OK) == -1);
    CHECK(link("b", "c") == 0 && rename("b", "c") == 0 && access("b", F_OK) == 0); // one file: nothing happens
    FAILS(ENOENT, rename("none", "x"));
    FAILS(ENOENT, renameat2_("b", "none", 2));
    FAILS(EINVAL, renameat2_("b", "c", 3));
    CHECK(mkdir("p", 0755) == 0 && mkdir("p/q", 0755) == 0 && mkdir("r", 0755) == 0);
    FAILS(EINVAL, rename("p", "p/q/p"));
    FAILS(EINVAL, rename("p", "p/x"));
    FAILS(ENOTEMPTY, rename("r", "p"));
    FAILS(EISDIR, rename("b", "r"));
    FAILS(ENOTDIR, rename("r", "b"));
    FAILS(ENOTDIR, rename("b", "x/"));
    FAILS(EBUSY, rename("p/.", "x"));
    FAILS(EBUSY, rename("p/q", "p/q/.."));
    CHECK(rename("p/q", "r") == 0 && of("p").st_nlink == 2 && of(".").st_nlink == 4);
    CHECK(rename("r", "p/r") == 0 && of("p").st_nlink == 3 && of("p/r/..").st_ino == of("p").st_ino);
    touch("f", "");
    CHECK(renameat2_("f", "p/r", 2) == 0 && S_ISDIR(of("f").st_mode) && S_ISREG(of("p/r").st_mode));
    CHECK(of("p").st_nlink == 2 && of("f/..").st_ino == of(".").st_ino && rename("p", "pp/") == 0);
}

static void specials(void) {
    CHECK(mkfifo("fifo", 0666) == 0 && of("fifo").st_mode == (S_IFIFO | 0644));
    CHECK(mknod("plain", S_IFREG | 0600, 0) == 0 && S_ISREG(of("plain").st_mode));
    CHECK(mknod("sock", S_IFSOCK | 0600, 0) == 0);
    FAILS(ENXIO, open("sock", O_RDONLY));
    FAILS(EEXIST, mkfifo("fifo", 0666));
    FAILS(EPERM, mknod("dir", S_IFDIR | 0700, 0));
    FAILS(ENOENT, mkfifo("x/", 0666));
    FAILS(ENXIO, open("fifo", O_WRONLY | O_NONBLOCK));
    int fd = open("fifo", O_RDONLY | O_NONBLOCK);
    CHECK(fd >= 0 && close(fd) == 0);
}

int main(void) {
    enter();
    directories();
    links();
    renames();
    specials();
    return done();
}

// Names in directories: mkdir, rmdir, unlink, link, symlink, rename, and what they do to counts and times.
#include "files.h"

static struct stat of(const char *path) {
    struct stat st;
    CHECK(lstat(path, &st) == 0);
    return st;
}

static void directories(void) {
    CHECK(mkdir("d", 0777) == 0 && of("d").st_mode == (S_IFDIR | 0755) && of("d").st_nlink == 2);
    CHECK(mkdir("d/e/", 0700) == 0 && of("d").st_nlink == 3);
    FAILS(mkdir("d", 0777), EEXIST);
    FAILS(mkdir("d/.", 0777), EEXIST);
    FAILS(mkdir("/", 0777), EEXIST);
    FAILS(mkdir("x/y", 0777), ENOENT);
    touch("f", "");
    FAILS(mkdir("f", 0777), EEXIST);
    FAILS(mkdir("f/g", 0777), ENOTDIR);
    FAILS(rmdir("d"), ENOTEMPTY);
    FAILS(rmdir("d/."), EINVAL);
    FAILS(rmdir("d/e/.."), ENOTEMPTY);
    FAILS(rmdir("f"), ENOTDIR);
    FAILS(unlink("d"), EISDIR);
    FAILS(unlink("f/"), ENOTDIR);
    FAILS(unlink("none"), ENOENT);
    FAILS(rmdir("/"), EBUSY);
    CHECK(chdir("d/e") == 0 && rmdir("../e") == 0);
    FAILS(open("new", O_CREAT | O_RDWR, 0600), ENOENT);
    char cwd[256];
    FAILS(getcwd(cwd, sizeof cwd) ? 0 : -1, ENOENT);
    CHECK(chdir("..") == 0 && chdir("..") == 0 && rmdir("d") == 0);
    CHECK(getcwd(cwd, sizeof cwd) && !strcmp(cwd, work));
    FAILS(getcwd(cwd, 3) ? 0 : -1, ERANGE);
}

static void links(void) {
    touch("one", "1");
    CHECK(link("one", "two") == 0 && of("one").st_nlink == 2 && of("one").st_ino == of("two").st_ino);
    FAILS(link("one", "two"), EEXIST);
    FAILS(link("none", "three"), ENOENT);
    FAILS(link("one", "three/"), ENOENT);
    CHECK(mkdir("dir", 0755) == 0);
    FAILS(link("dir", "dir2"), EPERM);
    CHECK(unlink("one") == 0 && of("two").st_nlink == 1);
    CHECK(symlink("two", "sym") == 0 && link("sym", "sym2") == 0 && S_ISLNK(of("sym2").st_mode));
    CHECK(linkat(AT_FDCWD, "sym", AT_FDCWD, "hard", AT_SYMLINK_FOLLOW) == 0 && of("hard").st_ino == of("two").st_ino);
    char text[16];
    CHECK(readlink("sym", text, 16) == 3 && readlink("sym", text, 2) == 2 && of("sym").st_size == 3);
    FAILS(readlink("two", text, 16), EINVAL);
    FAILS(syscall(SYS_readlinkat, AT_FDCWD, "sym", text, 0), EINVAL); // libc has its own answer
    FAILS(symlink("", "empty"), ENOENT);
    FAILS(symlink("x", "sym"), EEXIST);
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
    FAILS(renameat2_("a", "b", 1), EEXIST);
    CHECK(renameat2_("a", "b", 2) == 0 && of("a").st_ino == b && of("b").st_ino == a);
    CHECK(rename("a", "b") == 0 && of("b").st_ino == b && access("a", F_OK) == -1);
    CHECK(link("b", "c") == 0 && rename("b", "c") == 0 && access("b", F_OK) == 0); // one file: nothing happens
    FAILS(rename("none", "x"), ENOENT);
    FAILS(renameat2_("b", "none", 2), ENOENT);
    FAILS(renameat2_("b", "c", 3), EINVAL);
    CHECK(mkdir("p", 0755) == 0 && mkdir("p/q", 0755) == 0 && mkdir("r", 0755) == 0);
    FAILS(rename("p", "p/q/p"), EINVAL);
    FAILS(rename("p", "p/x"), EINVAL);
    FAILS(rename("r", "p"), ENOTEMPTY);
    FAILS(rename("b", "r"), EISDIR);
    FAILS(rename("r", "b"), ENOTDIR);
    FAILS(rename("b", "x/"), ENOTDIR);
    FAILS(rename("p/.", "x"), EBUSY);
    FAILS(rename("p/q", "p/q/.."), EBUSY);
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
    FAILS(open("sock", O_RDONLY), ENXIO);
    FAILS(mkfifo("fifo", 0666), EEXIST);
    FAILS(mknod("dir", S_IFDIR | 0700, 0), EPERM);
    FAILS(mkfifo("x/", 0666), ENOENT);
    FAILS(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
    int fd = open("fifo", O_RDONLY | O_NONBLOCK);
    CHECK(fd >= 0 && close(fd) == 0);
}

// What /proc says about open files whose names have gone.
static void gone(void) {
    char link[64], text[256], want[128];
    touch("here", "x");
    int fd = open("here", O_RDONLY);
    sprintf(link, "/proc/self/fd/%d", fd);
    long n = readlink(link, text, sizeof text - 1);
    if (n < 0) // no /proc
        return;
    text[n] = 0;
    sprintf(want, "%s/here", work);
    CHECK(!strcmp(text, want) && unlink("here") == 0);
    n = readlink(link, text, sizeof text - 1);
    text[n] = 0;
    strcat(want, " (deleted)");
    CHECK(!strcmp(text, want));
    int again = open(link, O_RDONLY); // the file is still there
    CHECK(read(again, text, 8) == 1 && close(again) == 0 && close(fd) == 0);
}

static void busy(void) {
    touch("tool", "#!/bin/none");
    CHECK(chmod("tool", 0755) == 0);
    int fd = open("tool", O_WRONLY);
    FAILS(execl("tool", "tool", NULL), ETXTBSY);
    CHECK(close(fd) == 0);
}

int main(void) {
    enter();
    gone();
    busy();
    directories();
    links();
    renames();
    specials();
    return leave();
}

// mount(2) and umount(2) of memory file systems and binds; ".." across them; chroot(2). Needs real root.
#include "files.h"
#include <sys/mount.h>

static struct stat of(const char *path) {
    struct stat st;
    CHECK(lstat(path, &st) == 0);
    return st;
}

int main(void) {
    enter();
    CHECK(mkdir("m", 0755) == 0 && mkdir("src", 0755) == 0 && mkdir("dst", 0755) == 0);
    if (mount("none", "m", "tmpfs", 0, "mode=711")) {
        CHECK(errno == EPERM || errno == ENOSYS); // not ours to mount here
        return leave();
    }
    CHECK(of("m").st_dev != of(".").st_dev && (of("m").st_mode & 07777) == 0711);
    CHECK(of("m/..").st_ino == of(".").st_ino);
    touch("m/f", "inside");
    FAILS(rename("m/f", "f"), EXDEV);
    FAILS(link("m/f", "f"), EXDEV);
    FAILS(rmdir("m"), EBUSY);
    FAILS(rename("m", "n"), EBUSY);
    int fd = open("m/f", O_RDONLY);
    FAILS(umount("m"), EBUSY);
    CHECK(close(fd) == 0 && chdir("m") == 0);
    char cwd[128], want[128];
    sprintf(want, "%s/m", work);
    CHECK(getcwd(cwd, sizeof cwd) && !strcmp(cwd, want));
    FAILS(umount(want), EBUSY);
    CHECK(chdir("..") == 0 && of(".").st_ino == of("src/..").st_ino);
    CHECK(mount(NULL, "m", NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
    FAILS(open("m/f", O_RDWR), EROFS);
    FAILS(open("m/new", O_CREAT | O_RDWR, 0644), EROFS);
    FAILS(unlink("m/f"), EROFS);
    CHECK(umount("m") == 0 && access("m/f", F_OK) == -1);
    FAILS(umount("m"), EINVAL);
    FAILS(mount("none", "m", "nosuchfs", 0, NULL), ENODEV);
    FAILS(mount("none", "missing", "tmpfs", 0, NULL), ENOENT);
    touch("src/f", "bound");
    CHECK(mount("src", "dst", NULL, MS_BIND, NULL) == 0 && of("dst/f").st_ino == of("src/f").st_ino);
    touch("dst/g", "");
    CHECK(access("src/g", F_OK) == 0 && umount("dst") == 0 && access("dst/f", F_OK) == -1);
    pid_t child = fork();
    if (!child) {
        CHECK(chroot("src") == 0 && chdir("/") == 0 && access("/f", F_OK) == 0);
        CHECK(of("/..").st_ino == of("/").st_ino && access("../../f", F_OK) == 0);
        CHECK(getcwd(cwd, sizeof cwd) && !strcmp(cwd, "/"));
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    return leave();
}

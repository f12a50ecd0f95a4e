// mount(2) and umount(2) of memory file systems and binds; ".." across them; chroot(2). Needs real root.
#include "check.h"
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
        return done();
    }
    CHECK(of("m").st_dev != of(".").st_dev && (of("m").st_mode & 07777) == 0711);
    CHECK(of("m/..").st_ino == of(".").st_ino);
    touch("m/f", "inside");
    FAILS(EXDEV, rename("m/f", "f"));
    FAILS(EXDEV, link("m/f", "f"));
    FAILS(EBUSY, rmdir("m"));
    FAILS(EBUSY, rename("m", "n"));
    int fd = open("m/f", O_RDONLY);
    FAILS(EBUSY, umount("m"));
    CHECK(close(fd) == 0 && chdir("m") == 0);
    char cwd[128], want[128];
    sprintf(want, "%s/m", work);
    CHECK(getcwd(cwd, sizeof cwd) && !strcmp(cwd, want));
    FAILS(EBUSY, umount(want));
    CHECK(chdir("..") == 0 && of(".").st_ino == of("src/..").st_ino);
    CHECK(mount(NULL, "m", NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
    FAILS(EROFS, open("m/f", O_RDWR));
    FAILS(EROFS, open("m/new", O_CREAT | O_RDWR, 0644));
    FAILS(EROFS, unlink("m/f"));
    CHECK(umount("m") == 0 && access("m/f", F_OK) == -1);
    FAILS(EINVAL, umount("m"));
    FAILS(ENODEV, mount("none", "m", "nosuchfs", 0, NULL));
    FAILS(ENOENT, mount("none", "missing", "tmpfs", 0, NULL));
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
    return done();
}

// getdents64(2): order does not matter, but every entry comes once, offsets can be sought, and changes while
// reading disturb nobody else.
#include "files.h"
#include <dirent.h>

static int count(DIR *dir, char seen[300]) {
    int n = 0;
    struct dirent *d;
    memset(seen, 0, 300);
    while ((d = readdir(dir))) {
        int i;
        if (sscanf(d->d_name, "file%d", &i) != 1)
            continue;
        CHECK(!seen[i] && d->d_type == DT_REG);
        seen[i] = 1;
        n++;
    }
    return n;
}

int main(void) {
    enter();
    char name[32], seen[300];
    for (int i = 0; i < 300; i++) {
        sprintf(name, "file%d", i);
        touch(name, "");
    }
    CHECK(mkdir("sub", 0755) == 0 && symlink("x", "link") == 0);
    DIR *dir = opendir(".");
    CHECK(dir && count(dir, seen) == 300);
    rewinddir(dir);
    CHECK(count(dir, seen) == 300);
    rewinddir(dir);
    int dots = 0, kinds = 0;
    struct dirent *d;
    struct stat st, up;
    CHECK(stat(".", &st) == 0 && stat("..", &up) == 0);
    long at = -1;
    char after[300] = "";
    while ((d = readdir(dir))) {
        if (!strcmp(d->d_name, "."))
            dots += d->d_ino == st.st_ino;
        if (!strcmp(d->d_name, ".."))
            dots += d->d_ino == up.st_ino;
        kinds += d->d_type == DT_DIR && !strcmp(d->d_name, "sub");
        kinds += d->d_type == DT_LNK && !strcmp(d->d_name, "link");
        if (at < 0 && !strcmp(d->d_name, "file150")) {
            at = telldir(dir);
            d = readdir(dir);
            strcpy(after, d ? d->d_name : "");
        }
    }
    CHECK(dots == 2 && kinds == 2 && at > 0);
    seekdir(dir, at);
    d = readdir(dir);
    CHECK(d ? !strcmp(d->d_name, after) : !after[0]);
    // Removing while reading loses nothing that stays.
    rewinddir(dir);
    int kept = 0, removed = 0;
    while ((d = readdir(dir))) {
        int i;
        if (sscanf(d->d_name, "file%d", &i) != 1)
            continue;
        if (i % 2) {
            CHECK(unlink(d->d_name) == 0);
            removed++;
        } else {
            kept++;
        }
    }
    CHECK(kept == 150 && removed == 150);
    rewinddir(dir);
    CHECK(count(dir, seen) == 150);
    closedir(dir);
    int fd = open(".", O_RDONLY | O_DIRECTORY);
    char small[16];
    FAILS(syscall(SYS_getdents64, fd, small, sizeof small), EINVAL);
    int file = open("file0", O_RDONLY);
    FAILS(syscall(SYS_getdents64, file, small, sizeof small), ENOTDIR);
    FAILS(syscall(SYS_getdents64, 99, small, sizeof small), EBADF);
    return leave();
}

// For programs about files: each works in a fresh directory below /tmp and takes it away at the end.
#pragma once
#include "../check.h"
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char work[64];
static inline void enter(void) {
    strcpy(work, "/tmp/files-XXXXXX");
    CHECK(mkdtemp(work) && chdir(work) == 0);
    umask(022);
}
static inline int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}
static inline int leave(void) {
    CHECK(chdir("/") == 0 && nftw(work, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
    return done();
}
static inline int touch(const char *path, const char *text) {
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    return close(fd);
}

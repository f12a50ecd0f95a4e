// Shared by the conformance programs of this folder: each works in a fresh directory below /tmp, says "ok" at
// the end, or one line about the first thing that is not as Linux has it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            printf("%s:%d: not so: %s (errno %d %s)\n", __FILE__, __LINE__, #x, errno,             \
                   strerror(errno));                                                               \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
// The call fails with exactly this errno.
#define FAILS(error, x)                                                                            \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long r_ = (long)(x);                                                                       \
        if (r_ != -1 || errno != (error)) {                                                        \
            printf("%s:%d: %s answered %ld errno %d, not %s\n", __FILE__, __LINE__, #x, r_, errno, \
                   #error);                                                                        \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static char work[64];
static inline void enter(void) {
    strcpy(work, "/tmp/files-XXXXXX");
    CHECK(mkdtemp(work) && chdir(work) == 0);
    umask(022);
}
static inline int done(void) {
    char command[96];
    (void)!chdir("/");
    snprintf(command, sizeof command, "rm -rf %s", work);
    (void)!system(command);
    puts("ok");
    return 0;
}
static inline int touch(const char *path, const char *text) {
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    return close(fd);
}

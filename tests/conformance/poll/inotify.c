// inotify(7): what happens to files and in directories.
#include "../check.h"
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static int fd;
static char buf[4096];
static ssize_t have, at;

static const struct inotify_event *next(void) {
    if (at == have) {
        at = 0;
        have = read(fd, buf, sizeof buf);
        if (have < 0) {
            CHECK(errno == EAGAIN);
            have = 0;
            return NULL;
        }
    }
    const struct inotify_event *e = (void *)(buf + at);
    at += (ssize_t)sizeof *e + e->len;
    return e;
}
static int wd;
static unsigned cookie;
static int is(unsigned mask, const char *name) {
    const struct inotify_event *e = next();
    if (!e)
        return 0;
    cookie = e->cookie;
    return e->wd == wd && e->mask == mask && (name ? e->len % 16 == 0 && !strcmp(e->name, name) : e->len == 0);
}

int main(void) {
    char dir[40];
    snprintf(dir, sizeof dir, "watched-%d", getpid());
    CHECK(mkdir(dir, 0700) == 0);
    fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    CHECK(fd >= 0 && !next());
    FAILS(inotify_add_watch(fd, "no-such-file", IN_ALL_EVENTS), ENOENT);
    FAILS(inotify_add_watch(fd, dir, 0), EINVAL);
    FAILS(inotify_rm_watch(fd, 5), EINVAL);
    wd = inotify_add_watch(fd, dir, IN_CREATE | IN_DELETE | IN_MOVE | IN_CLOSE_WRITE | IN_MODIFY | IN_DELETE_SELF);
    CHECK(wd == 1 && chdir(dir) == 0);

    int f = open("file", O_CREAT | O_WRONLY, 0600);
    CHECK(is(IN_CREATE, "file"));
    struct pollfd p = {fd, POLLIN, 0};
    CHECK(poll(&p, 1, 0) == 0);
    CHECK(write(f, "x", 1) == 1 && write(f, "y", 1) == 1);
    int n;
    CHECK(poll(&p, 1, 0) == 1 && ioctl(fd, FIONREAD, &n) == 0 && n == 32); // the same again is said once
    CHECK(is(IN_MODIFY, "file") && close(f) == 0 && is(IN_CLOSE_WRITE, "file"));
    CHECK(rename("file", "other") == 0 && is(IN_MOVED_FROM, "file") && cookie);
    unsigned c = cookie;
    CHECK(is(IN_MOVED_TO, "other") && cookie == c);
    CHECK(mkdir("sub", 0700) == 0 && is(IN_CREATE | IN_ISDIR, "sub"));
    CHECK(rmdir("sub") == 0 && is(IN_DELETE | IN_ISDIR, "sub") && !next());

    int directory = wd;
    wd = inotify_add_watch(fd, "other", IN_ATTRIB | IN_DELETE_SELF | IN_ONESHOT);
    CHECK(wd == 2 && inotify_add_watch(fd, "other", IN_OPEN | IN_ATTRIB | IN_DELETE_SELF | IN_CLOSE_NOWRITE) == 2);
    CHECK(chmod("other", 0644) == 0 && is(IN_ATTRIB, NULL));
    f = open("other", O_RDONLY);
    CHECK(is(IN_OPEN, NULL) && close(f) == 0 && is(IN_CLOSE_NOWRITE, NULL));
    CHECK(inotify_rm_watch(fd, 2) == 0 && is(IN_IGNORED, NULL));
    wd = directory;
    CHECK(unlink("other") == 0 && is(IN_DELETE, "other") && !next());
    CHECK(chdir("..") == 0 && rmdir(dir) == 0 && is(IN_DELETE_SELF, NULL) && is(IN_IGNORED, NULL) && !next());
    return done();
}

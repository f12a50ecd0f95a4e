// proc(5): what a process reads about itself agrees with what the calls say.
#include "../check.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char text[65536];

static char *slurp(const char *path) {
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        dprintf(1, "%s: errno %d\n", path, errno);
        _exit(1);
    }
    size_t n = 0;
    ssize_t got;
    while ((got = read(fd, text + n, n + 1000 < sizeof text ? 1000 : 1)) > 0 && n < sizeof text - 2)
        n += (size_t)got;
    text[n] = 0;
    close(fd);
    return text;
}
static char *target(const char *path) {
    ssize_t n = readlink(path, text, sizeof text - 1);
    CHECK(n >= 0);
    text[n] = 0;
    return text;
}
static int lists(const char *dir, const char *name) {
    DIR *d = opendir(dir);
    int found = 0;
    CHECK(d);
    for (struct dirent *e; (e = readdir(d));)
        found += !strcmp(e->d_name, name);
    closedir(d);
    return found;
}

int main(int argc, char **argv) {
    char path[300], own[20], cwd[4096];
    int pid, status;
    snprintf(own, sizeof own, "%d", getpid());
    CHECK(!strcmp(target("/proc/self"), own));

    CHECK(sscanf(slurp("/proc/self/stat"), "%d (", &pid) == 1 && pid == getpid());
    CHECK(strlen(slurp("/proc/self/cmdline")) == strlen(argv[0]) && !strcmp(text, argv[0]));
    CHECK(realpath(argv[0], path) && !strcmp(target("/proc/self/exe"), path));
    CHECK(getcwd(cwd, sizeof cwd) && !strcmp(target("/proc/self/cwd"), cwd));
    CHECK(strstr(slurp("/proc/self/maps"), "[stack]"));
    unsigned long low, high;
    CHECK(sscanf(text, "%lx-%lx r", &low, &high) == 2 && low < high);

    // Descriptors: listed, named, and opened again.
    snprintf(path, sizeof path, "proc-%s", own);
    int fd = open(path, O_CREAT | O_RDWR, 0600);
    char link[40], number[12];
    snprintf(number, sizeof number, "%d", fd);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    CHECK(fd >= 0 && write(fd, "hello", 5) == 5 && lists("/proc/self/fd", number) == 1);
    snprintf(cwd + strlen(cwd), 300, "%s%s", strcmp(cwd, "/") ? "/" : "", path);
    CHECK(!strcmp(target(link), cwd));
    struct stat a, b;
    CHECK(stat(link, &a) == 0 && fstat(fd, &b) == 0 && a.st_ino == b.st_ino && lstat(link, &a) == 0 && S_ISLNK(a.st_mode));
    int again = open(link, O_RDONLY);
    CHECK(again >= 0 && again != fd && read(again, text, 9) == 5); // an offset of its own
    close(again);
    CHECK(unlink(path) == 0);
    CHECK(strstr(target(link), " (deleted)"));
    again = open(link, O_RDONLY); // and still there
    CHECK(again >= 0 && read(again, text, 9) == 5);
    close(again);
    close(fd);
    FAILS(open(link, O_RDONLY), ENOENT);

    // Another process, alive and dead.
    int hold[2];
    CHECK(pipe(hold) == 0);
    pid_t child = fork();
    if (!child) {
        close(hold[1]);
        _exit(read(hold[0], text, 1) != 0);
    }
    char name[20];
    snprintf(name, sizeof name, "%d", child);
    snprintf(path, sizeof path, "/proc/%d/stat", child);
    CHECK(lists("/proc", name) == 1);
    int stat_file = open(path, O_RDONLY);
    CHECK(stat_file >= 0 && sscanf(slurp(path), "%d", &pid) == 1 && pid == child);
    close(hold[1]);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    FAILS(open(path, O_RDONLY), ENOENT);
    FAILS(read(stat_file, text, 10), ESRCH);
    CHECK(lists("/proc", name) == 0);
    FAILS(open("/proc/self/no-such-file", O_RDONLY), ENOENT);
    FAILS(open("/proc/new", O_CREAT | O_RDWR, 0600), ENOENT);

    // The system.
    long kb = 0;
    double up = 0;
    CHECK(sscanf(slurp("/proc/meminfo"), "MemTotal: %ld kB", &kb) == 1 && kb > 1000);
    CHECK(sscanf(slurp("/proc/uptime"), "%lf", &up) == 1 && up >= 0);
    CHECK(!strncmp(slurp("/proc/stat"), "cpu ", 4) && strstr(text, "btime "));
    CHECK(strstr(slurp("/proc/filesystems"), "proc"));
    CHECK(strstr(slurp("/proc/mounts"), " /proc proc "));
    char host[65];
    CHECK(gethostname(host, sizeof host) == 0 && !strncmp(slurp("/proc/sys/kernel/hostname"), host, strlen(host)));
    CHECK(!strcmp(slurp("/proc/sys/kernel/ostype"), "Linux\n"));
    return done();
}

// credentials(7): the rules of the set*id calls, groups and resource limits. Needs root for most of it.
// linux: native
#include "../check.h"
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

// The raw calls: the library's act on all threads in its own way.
static int uids(unsigned r, unsigned e, unsigned s) {
    unsigned a, b, c;
    CHECK(syscall(SYS_getresuid, &a, &b, &c) == 0);
    return a == r && b == e && c == s;
}

static unsigned effective(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    CHECK(syscall(SYS_capget, &header, data) == 0);
    return data[0].effective;
}

static void in_child(void (*test)(void)) {
    int status;
    pid_t pid = fork();
    if (!pid) {
        test();
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void for_good(void) {
    CHECK(effective() != 0);
    CHECK(syscall(SYS_setuid, 1000) == 0 && uids(1000, 1000, 1000) && effective() == 0);
    FAILS(syscall(SYS_setuid, 0), EPERM);
    FAILS(syscall(SYS_setresuid, -1, 1001, -1), EPERM);
    FAILS(kill(1, 0), EPERM);
    FAILS(setpriority(PRIO_PROCESS, 0, -5), EACCES);
}

static void for_a_while(void) {
    CHECK(syscall(SYS_setresuid, -1, 1000, 0) == 0 && uids(0, 1000, 0) && effective() == 0);
    CHECK(setfsuid(-1) == 1000);
    CHECK(syscall(SYS_setuid, 0) == 0 && uids(0, 0, 0) && effective() != 0);
    CHECK(syscall(SYS_setreuid, 1000, 1001) == 0 && uids(1000, 1001, 1001));
    CHECK(syscall(SYS_setreuid, 1001, 1000) == 0 && uids(1001, 1000, 1000));
    FAILS(syscall(SYS_setreuid, 7, -1), EPERM);
}

static void keeps(void) {
    CHECK(prctl(PR_SET_KEEPCAPS, 1) == 0);
    CHECK(syscall(SYS_setresuid, 1000, 1000, 1000) == 0 && effective() == 0);
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    CHECK(syscall(SYS_capget, &header, data) == 0 && data[0].permitted != 0);
}

static void groups(void) {
    gid_t list[3] = {5, 6, 7}, seen[3] = {0};
    CHECK(syscall(SYS_setgroups, 3, list) == 0 && syscall(SYS_getgroups, 0, NULL) == 3);
    CHECK(syscall(SYS_getgroups, 3, seen) == 3 && !memcmp(list, seen, sizeof list));
    FAILS(syscall(SYS_getgroups, 2, seen), EINVAL);
    CHECK(syscall(SYS_setresgid, 1, 2, 3) == 0 && getgid() == 1 && getegid() == 2);
    CHECK(syscall(SYS_setuid, 1000) == 0);
    FAILS(syscall(SYS_setgroups, 0, NULL), EPERM);
    CHECK(syscall(SYS_setgid, 3) == 0 && getegid() == 3 && getgid() == 1);
    FAILS(syscall(SYS_setgid, 9), EPERM);
}

static void limits(void) {
    struct rlimit limit, old;
    CHECK(getrlimit(RLIMIT_NOFILE, &old) == 0 && old.rlim_cur <= old.rlim_max);
    limit = (struct rlimit){10, 20};
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    FAILS(dup2(1, 10), EBADF);
    limit = (struct rlimit){30, 20};
    FAILS(setrlimit(RLIMIT_NOFILE, &limit), EINVAL);
    CHECK(syscall(SYS_setuid, 1000) == 0);
    limit = (struct rlimit){10, 21};
    FAILS(setrlimit(RLIMIT_NOFILE, &limit), EPERM);
    CHECK(prlimit(0, RLIMIT_NOFILE, NULL, &limit) == 0 && limit.rlim_cur == 10 && limit.rlim_max == 20);
    FAILS(prlimit(0, 99, NULL, &limit), EINVAL);
    limit = (struct rlimit){1, 1};
    CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
    FAILS(fork(), EAGAIN);
}

static void scheduling(void) {
    struct sched_param param = {.sched_priority = 0};
    cpu_set_t set;
    CHECK(sched_getscheduler(0) == SCHED_OTHER || errno == ENOSYS);
    CHECK(syscall(SYS_sched_getscheduler, 0) == 0);
    CHECK(sched_get_priority_max(SCHED_FIFO) == 99 && sched_get_priority_min(SCHED_RR) == 1);
    FAILS(sched_get_priority_max(77), EINVAL);
    FAILS(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &param), EINVAL);
    CHECK(sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) >= 1);
    CHECK(sched_yield() == 0);
    CHECK(setpriority(PRIO_PROCESS, 0, 7) == 0 && getpriority(PRIO_PROCESS, 0) == 7);
    FAILS(getpriority(PRIO_PROCESS, 1 << 20), ESRCH);
    FAILS(getpriority(9, 0), EINVAL);
}

static char self[256];

static void set_user_id(void) {
    int status;
    char folder[] = "/tmp/suidXXXXXX", path[64];
    CHECK(mkdtemp(folder) && chmod(folder, 0755) == 0);
    snprintf(path, sizeof path, "%s/program", folder);
    int in = open(self, O_RDONLY), out = open(path, O_WRONLY | O_CREAT, 0700);
    CHECK(in >= 0 && out >= 0);
    char buffer[4096];
    for (ssize_t n; (n = read(in, buffer, sizeof buffer)) > 0;)
        CHECK(write(out, buffer, n) == n);
    CHECK(fchown(out, 1234, 4321) == 0 && fchmod(out, 06755) == 0);
    close(in), close(out);
    for (int privileged = 0; privileged < 2; privileged++) {
        pid_t pid = fork();
        if (!pid) {
            CHECK(syscall(SYS_setresgid, 50, 50, 50) == 0 && syscall(SYS_setresuid, 60, 60, 60) == 0);
            if (!privileged)
                CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
            execl(path, "again", privileged ? "changed" : "same", NULL);
            _exit(99);
        }
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    }
    CHECK(unlink(path) == 0 && rmdir(folder) == 0);
}

static int after_exec(int changed) {
    CHECK(uids(60, changed ? 1234 : 60, changed ? 1234 : 60) && getgid() == 50);
    CHECK(getegid() == (changed ? 4321u : 50u) && !getauxval(AT_SECURE) == !changed && effective() == 0);
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 1)
        return after_exec(!strcmp(argv[1], "changed"));
    if (readlink("/proc/self/exe", self, sizeof self - 1) <= 0)
        CHECK(realpath(argv[0], self));
    in_child(scheduling);
    if (getuid() == 0) {
        in_child(for_good);
        in_child(for_a_while);
        in_child(keeps);
        in_child(groups);
        in_child(limits);
        in_child(set_user_id);
    }
    return done();
}

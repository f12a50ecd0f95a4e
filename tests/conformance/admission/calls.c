// Every way to make a process, a thread and a program: what each answers, and that its caller finds itself unchanged.
// linux: native
#include "watched.h"
#include <linux/futex.h>
#include <linux/sched.h>

static char self[256];
static volatile int shared;
static volatile long child_error;
static int thread_gone;
static char stack[65536] __attribute__((aligned(16)));

// What is private to the child: descriptors, directory, mask, handlers. (Nothing that would touch the heap.)
static void change_own(void) {
    sigset_t set;
    for (int fd = 3; fd < FDS; fd++)
        syscall(SYS_close, fd);
    CHECK(syscall(SYS_chdir, "/") == 0);
    sigfillset(&set);
    CHECK(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &set, NULL, 8) == 0);
}

static void exits(void) {
    change_own();
    shared++;
    syscall(SYS_exit_group, 3);
}

static void execs(void) {
    char *argv[] = {self, "child", NULL}, *envp[] = {NULL};
    change_own();
    shared++;
    child_error = syscall(SYS_execve, self, argv, envp) ? errno : 0;
    shared++; // runs on in the memory it shares
    syscall(SYS_exit_group, 4);
}

static void execs_nothing(void) {
    char *argv[] = {"x", NULL}, *envp[] = {NULL};
    child_error = syscall(SYS_execve, "/no/such/file", argv, envp) ? errno : 0;
    shared++;
    syscall(SYS_exit_group, 4);
}

static void thread(void) { // no thread of libc: it has no storage of its own, so it touches none
    shared++;
#ifdef __riscv
    register long a0 __asm__("a0") = 0, a7 __asm__("a7") = SYS_exit;
    __asm__ volatile("ecall" ::"r"(a0), "r"(a7) : "memory");
#else
    __asm__ volatile("syscall" ::"a"(SYS_exit), "D"(0) : "rcx", "r11", "memory");
#endif
}

// Makes a child; says what came of it. `writes`: how often it wrote to memory that both see.
static void try(const char *what, long flags, void (*child)(void), int code, int writes) {
    const long args[6] = CLONE_ARGS(flags | SIGCHLD, 0, 0, 0, 0);
    shared = 0;
    child_error = 0;
    long pid = watched(SYS_clone, args, child);
    CHECK(pid < 0 ? shared == 0 : shared >= writes); // seen as soon as the parent goes on
    int ended = child_ends(pid);
    if (child == execs && pid > 0) {
        CHECK(child_error ? ended == 4 && shared == 2 : ended == code && shared == 1);
        dprintf(1, "%s: ok, its exec: %s\n", what, error_name(child_error));
    } else {
        CHECK(pid < 0 || ended == code);
        verdict(what, pid);
    }
    if (child == execs_nothing)
        CHECK(pid < 0 || child_error == ENOENT);
}

static void try_clone3(void) {
    struct clone_args clone = {.flags = 0, .exit_signal = SIGCHLD};
    const long args[6] = {(long)&clone, sizeof clone};
    long pid = watched(SYS_clone3, args, exits);
    CHECK(pid < 0 || pid > 0);
    verdict("clone3", pid);
    CHECK(child_ends(pid) == (pid < 0 ? -1 : 3));
}

static void try_pidfd(void) { // a refused clone stores nothing and opens nothing
    static int pidfd;
    pidfd = -7;
    struct clone_args clone = {.flags = CLONE_PIDFD, .pidfd = (long)&pidfd, .exit_signal = SIGCHLD};
    const long args[6] = {(long)&clone, sizeof clone};
    watched_child = exits;
    long pid = watched_call(SYS_clone3, args);
    CHECK(pid < 0 ? pidfd == -7 : fcntl(pidfd, F_GETFD) == FD_CLOEXEC && close(pidfd) == 0);
    CHECK(child_ends(pid) == (pid < 0 ? -1 : 3));
    verdict("clone3 with a pidfd", pid);
}

static void try_thread(void) {
    const long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
                       CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID;
    const long args[6] = CLONE_ARGS(flags, stack + sizeof stack - 64, &thread_gone, &thread_gone, 0);
    shared = 0;
    thread_gone = -1; // until the number is stored, and then 0 when the thread has gone
    long tid = watched(SYS_clone, args, thread);
    if (tid < 0)
        CHECK(thread_gone == -1);
    for (int now; tid > 0 && (now = __atomic_load_n(&thread_gone, __ATOMIC_SEQ_CST));)
        syscall(SYS_futex, &thread_gone, FUTEX_WAIT, now, NULL, NULL, 0);
    CHECK(shared == (tid > 0));
    verdict("thread", tid);
}

static void file(const char *path, const char *text, mode_t mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    CHECK(fchmod(fd, mode) == 0 && close(fd) == 0);
}

static void try_exec(const char *what, const char *path, const char *arg) {
    const char *argv[] = {path, arg, NULL}, *envp[] = {NULL};
    const long args[6] = {(long)path, (long)argv, (long)envp};
    verdict(what, watched(SYS_execve, args, NULL));
}

static void bad_files(void) { // these fail before anybody is asked
    char folder[] = "/tmp/callsXXXXXX", path[64], below[80];
    CHECK(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(below, sizeof below, "%s/below", path);
    try_exec("exec of nothing", path, NULL);
    file(path, "neither ELF nor script", 0755);
    try_exec("exec of text", path, NULL);
    try_exec("exec below a file", below, NULL);
    file(path, "#!/no/such/interpreter\n", 0755);
    try_exec("exec without interpreter", path, NULL);
    file(path, "\177ELF\2\1\1 and no more", 0755);
    try_exec("exec of half a program", path, NULL);
    file(path, "#!/bin/sh\n", 0644);
    try_exec("exec without permission", path, NULL);
    try_exec("exec of a directory", folder, NULL);
    CHECK(unlink(path) == 0 && rmdir(folder) == 0);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "child"))
        return 11;
    if (argc > 1) {
        FAILS(fcntl(21, F_GETFD), EBADF); // close-on-exec, the moment it succeeded
        CHECK(fcntl(20, F_GETFD) == 0 && lseek(20, 0, SEEK_CUR) == 4);
        dprintf(1, "exec: ok\n");
        return done();
    }
    CHECK(strlen(argv[0]) < sizeof self && strchr(argv[0], '/'));
    strcpy(self, argv[0]);
    watched_begin();
    try("vfork", CLONE_VM | CLONE_VFORK, exits, 3, 1);
    try("vfork and exec", CLONE_VM | CLONE_VFORK, execs, 11, 1);
    try("vfork and exec of nothing", CLONE_VM | CLONE_VFORK, execs_nothing, 4, 1);
    try("vfork without sharing", CLONE_VFORK, exits, 3, 0);
    try("fork", 0, exits, 3, 0);
    try_clone3();
    try_pidfd();
    try_thread();
    bad_files();
    try_exec("exec", self, "program");
    return done();
}

// execve(2): arguments, environment, auxiliary vector, what stays and what goes, scripts, errors.
// linux: native
#include "../check.h"
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static char self[256];

static int run(const char *path, char **argv, char **envp) {
    int status;
    pid_t pid = fork();
    if (!pid) {
        execve(path, argv, envp);
        _exit(errno);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int again(const char *what, const char *arg) {
    char *argv[] = {"again", (char *)what, (char *)arg, NULL}, *envp[] = {"A=1", "B=two", NULL};
    return run(self, argv, envp);
}

// ---- As the new program ----
static int strings(char **argv) {
    CHECK(!strcmp(argv[0], "again") && !strcmp(argv[2], "x y") && !argv[3]);
    CHECK(!strcmp(environ[0], "A=1") && !strcmp(environ[1], "B=two") && !environ[2]);
    return 0;
}

static int vector(void) {
    CHECK(getauxval(AT_PAGESZ) == 4096 && getauxval(AT_CLKTCK) == 100);
    CHECK(getauxval(AT_UID) == getuid() && getauxval(AT_EGID) == getegid());
    CHECK(getauxval(AT_SECURE) == 0 && getauxval(AT_RANDOM) && getauxval(AT_EXECFN));
    CHECK(!strcmp((char *)getauxval(AT_EXECFN), self));
#ifdef __riscv
    CHECK((getauxval(AT_HWCAP) & 0x112d) == 0x112d); // IMAFDC
#endif
    const ElfW(Phdr) *phdr = (void *)getauxval(AT_PHDR);
    int loads = 0;
    for (unsigned long i = 0; i < getauxval(AT_PHNUM); i++)
        loads += phdr[i].p_type == PT_LOAD;
    CHECK(getauxval(AT_PHENT) == sizeof *phdr && loads >= 2);
    char name[16];
    int fd = open("/proc/self/comm", O_RDONLY);
    if (fd >= 0) {
        ssize_t n = read(fd, name, 16);
        CHECK(n > 0);
        close(fd);
    }
    return 0;
}

static volatile char zeros[70000];

static int bss(void) {
    for (unsigned i = 0; i < sizeof zeros; i++)
        CHECK(zeros[i] == 0);
    char *brk = (char *)syscall(SYS_brk, 0);
    CHECK(brk > (char *)zeros && (char *)syscall(SYS_brk, brk + 8192) == brk + 8192);
    CHECK(brk[0] == 0 && brk[8191] == 0);
    brk[8191] = 1;
    return 0;
}

static int kept(void) {
    struct sigaction action;
    sigset_t set;
    CHECK(fcntl(50, F_GETFD) == 0);
    FAILS(fcntl(51, F_GETFD), EBADF);
    CHECK(sigaction(SIGUSR1, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
    CHECK(sigaction(SIGUSR2, NULL, &action) == 0 && action.sa_handler == SIG_IGN);
    CHECK(sigprocmask(SIG_BLOCK, NULL, &set) == 0 && sigismember(&set, SIGHUP) && !sigismember(&set, SIGINT));
    CHECK(sigpending(&set) == 0 && sigismember(&set, SIGHUP));
    stack_t stack;
    CHECK(sigaltstack(NULL, &stack) == 0 && (stack.ss_flags & SS_DISABLE));
    CHECK(umask(0) == 027);
    return 0;
}

// ---- As the caller ----
static void handler(int number) {
}

static int keep_test(void) {
    int status;
    pid_t pid = fork();
    if (!pid) {
        stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
        sigset_t set;
        CHECK(dup2(1, 50) == 50 && dup3(1, 51, O_CLOEXEC) == 51);
        signal(SIGUSR1, handler);
        signal(SIGUSR2, SIG_IGN);
        sigemptyset(&set), sigaddset(&set, SIGHUP);
        CHECK(sigprocmask(SIG_SETMASK, &set, NULL) == 0 && raise(SIGHUP) == 0);
        CHECK(sigaltstack(&stack, NULL) == 0);
        umask(027);
        execl(self, "again", "kept", NULL);
        _exit(99);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void file(const char *path, const char *text, mode_t mode) {
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    CHECK(fchmod(fd, mode) == 0 && close(fd) == 0);
}

static void scripts(const char *folder) {
    char script[300], nested[300], line[700], *argv[] = {"zero", "x y", NULL}, *envp[] = {NULL};
    snprintf(script, sizeof script, "%s/script", folder);
    snprintf(nested, sizeof nested, "%s/nested", folder);
    snprintf(line, sizeof line, "#! %s  script an argument \nexit 1\n", self);
    file(script, line, 0755);
    CHECK(run(script, argv, envp) == 21);
    snprintf(line, sizeof line, "#!%s", script);
    file(nested, line, 0755);
    CHECK(run(nested, argv, envp) == 22);
    file(script, "#!\n", 0755);
    CHECK(run(script, argv, envp) == ENOEXEC);
    file(script, "#!/no/such/interpreter\n", 0755);
    CHECK(run(script, argv, envp) == ENOENT);
    snprintf(line, sizeof line, "#!%s\n", script);
    file(script, line, 0755);
    CHECK(run(script, argv, envp) == ELOOP);
    unlink(script), unlink(nested);
}

static int script(int argc, char **argv) {
    // argv: interpreter "script an argument" script "x y"; or, nested, with the inner script before the outer one
    if (argc == 4 && strstr(argv[2], "/script") && !strcmp(argv[3], "x y"))
        return 21;
    if (argc == 5 && strstr(argv[2], "/script") && strstr(argv[3], "/nested") && !strcmp(argv[4], "x y"))
        return 22;
    return 1;
}

static void errors(const char *folder) {
    char path[300], *argv[] = {"x", NULL}, *envp[] = {NULL};
    snprintf(path, sizeof path, "%s/file", folder);
    CHECK(run("/no/such/file", argv, envp) == ENOENT);
    CHECK(run(folder, argv, envp) == EACCES);
    file(path, "neither ELF nor script", 0755);
    CHECK(run(path, argv, envp) == ENOEXEC);
    file(path, "", 0755);
    CHECK(run(path, argv, envp) == ENOEXEC);
    file(path, "#!/bin/sh\n", 0644);
    CHECK(run(path, argv, envp) == EACCES);
    snprintf(path, sizeof path, "%s/file/below", folder);
    CHECK(run(path, argv, envp) == ENOTDIR);
    FAILS(execve(self, (char **)8, envp), EFAULT);
    char *big = malloc(200000), *bigs[] = {"again", big, NULL};
    memset(big, 'a', 199999);
    big[199999] = 0;
    FAILS(execve(self, bigs, envp), E2BIG);
    big[100000] = 0; // one string of 100,000 bytes is fine
    bigs[1] = "length", bigs[2] = NULL;
    char *fine[] = {"again", "length", big, NULL};
    CHECK(run(self, fine, envp) == 0);
    free(big);
    snprintf(path, sizeof path, "%s/file", folder);
    unlink(path);
}

static int by_descriptor(void) {
    int status, fd = open(self, O_RDONLY);
    pid_t pid = fork();
    if (!pid) {
        char *argv[] = {"again", "exit7", NULL}, *envp[] = {NULL};
        fexecve(fd, argv, envp);
        _exit(99);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    close(fd);
    return WEXITSTATUS(status);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "strings"))
        return strings(argv);
    if (!strcmp(what, "vector"))
        return snprintf(self, sizeof self, "%s", argv[2]), vector();
    if (!strcmp(what, "bss"))
        return bss();
    if (!strcmp(what, "kept"))
        return kept();
    if (!strcmp(what, "exit7"))
        return 7;
    if (!strcmp(what, "length"))
        return strlen(argv[2]) != 100000;
    if (!strncmp(what, "script", 6))
        return script(argc, argv);
    if (argc == 5 && strstr(argv[3], "/nested"))
        return script(argc, argv);
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        CHECK(realpath(argv[0], self));
    CHECK(again("strings", "x y") == 0);
    CHECK(again("vector", self) == 0);
    CHECK(again("bss", NULL) == 0);
    CHECK(keep_test() == 0);
    CHECK(by_descriptor() == 7);
    char folder[] = "/tmp/execXXXXXX";
    CHECK(mkdtemp(folder));
    scripts(folder);
    errors(folder);
    CHECK(rmdir(folder) == 0);
    return done();
}

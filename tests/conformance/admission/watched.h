// A system call under watch: all registers, descriptors, signals and memory before and after.
//
// `watched` makes a call and says what it did to its caller; a child that it makes runs `child`, which never
// returns. A verdict is one line: the name of the attempt, then "ok" or the errno.
#pragma once
#include "../check.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

long watched_call(long nr, const long *args);
void (*volatile watched_child)(void);

#ifdef __riscv
// What the kernel must leave alone: all of x1 to x31 but a0, and f0 to f31. [2 3 4] are sp, gp, tp.
__attribute__((used)) static volatile uint64_t regs_before[64], regs_after[64];
#define CLONE_ARGS(flags, stack, ptid, ctid, tls) {flags, (long)(stack), (long)(ptid), (long)(tls), (long)(ctid)}

__asm__(R"(
    .text
    .globl watched_call
watched_call:
    addi sp, sp, -224
    sd ra, 0(sp)
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    sd s\n, 8 + 8 * \n(sp)
    fsd fs\n, 104 + 8 * \n(sp)
    .endr
    mv a7, a0
    mv t1, a1
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    li t0, 0x0f0f000000000000 + \n
    fmv.d.x f\n, t0
    .endr
    .irp n, 0, 1, 2, 3, 4, 5
    ld a\n, 8 * \n(t1)
    .endr
    .irp n, 1, 5, 6, 7, 8, 9, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    li x\n, 0x0101000000000000 + \n
    .endr
    sd t0, 208(sp)
    la t0, regs_before
    .irp n, 1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    sd x\n, 8 * \n(t0)
    .endr
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    fsd f\n, 256 + 8 * \n(t0)
    .endr
    ld t0, 208(sp)
    ecall
    beqz a0, 1f
    sd t0, 208(sp)
    la t0, regs_after
    .irp n, 1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    sd x\n, 8 * \n(t0)
    .endr
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    fsd f\n, 256 + 8 * \n(t0)
    .endr
    ld t1, 208(sp)
    sd t1, 40(t0)
    ld ra, 0(sp)
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11
    ld s\n, 8 + 8 * \n(sp)
    fld fs\n, 104 + 8 * \n(sp)
    .endr
    addi sp, sp, 224
    ret
1:  la t0, watched_child
    ld t0, 0(t0)
    jalr t0
    ebreak
)");

static bool registers_kept(void) {
    regs_before[5] = 0x0101000000000000 + 5;
    for (int i = 0; i < 64; i++)
        if (regs_before[i] != regs_after[i]) {
            dprintf(1, "register %d was %#lx and is %#lx\n", i, (long)regs_before[i], (long)regs_after[i]);
            return false;
        }
    return true;
}
#else // x86-64, the twin: its own Linux keeps registers
#define CLONE_ARGS(flags, stack, ptid, ctid, tls) {flags, (long)(stack), (long)(ptid), (long)(ctid), (long)(tls)}
__asm__(R"(
    .text
    .globl watched_call
watched_call:
    push %rbx
    mov %rdi, %rax
    mov %rsi, %rbx
    mov 0(%rbx), %rdi
    mov 8(%rbx), %rsi
    mov 16(%rbx), %rdx
    mov 24(%rbx), %r10
    mov 32(%rbx), %r8
    mov 40(%rbx), %r9
    syscall
    test %rax, %rax
    jz 1f
    pop %rbx
    ret
1:  and $-16, %rsp
    call *watched_child(%rip)
    ud2
)");

static bool registers_kept(void) {
    return true;
}
#endif

// ---- Everything else of the caller ----
enum { FDS = 24, BYTES = 1 << 16 };
struct state {
    long fd[FDS], flags[FDS], offset[FDS];
    long pid, parent, tid, brk;
    uint64_t blocked, pending, maps, memory;
    unsigned char action[64][32]; // as the kernel has it
    stack_t altstack;
    char cwd[256];
};
static unsigned char watched_data[BYTES], *watched_heap;

static uint64_t hash(uint64_t h, const void *data, size_t n) {
    for (const unsigned char *p = data; n--; p++)
        h = (h ^ *p) * 0x100000001b3;
    return h;
}

static uint64_t maps_hash(void) {
    char text[4096];
    uint64_t h = 0;
    int fd = open("/proc/self/maps", O_RDONLY);
    for (ssize_t n; fd >= 0 && (n = read(fd, text, sizeof text)) > 0;)
        h = hash(h, text, n);
    close(fd);
    return h;
}

static void state_take(struct state *s) {
    memset(s, 0, sizeof *s);
    for (int fd = 0; fd < FDS; fd++) {
        s->fd[fd] = fcntl(fd, F_GETFD);
        s->flags[fd] = fcntl(fd, F_GETFL);
        s->offset[fd] = fd < 3 ? 0 : lseek(fd, 0, SEEK_CUR); // the verdicts may go to a file
    }
    s->pid = getpid(), s->parent = getppid(), s->tid = syscall(SYS_gettid), s->brk = syscall(SYS_brk, 0);
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &s->blocked, 8);
    syscall(SYS_rt_sigpending, &s->pending, 8);
    for (int i = 0; i < 64; i++)
        syscall(SYS_rt_sigaction, i + 1, NULL, s->action[i], 8);
    sigaltstack(NULL, &s->altstack);
    CHECK(getcwd(s->cwd, sizeof s->cwd));
    s->memory = hash(hash(0, watched_data, BYTES), watched_heap, BYTES);
    s->maps = maps_hash();
}

static bool state_same(const struct state *a, const struct state *b) {
#define SAME(part)                                                                                 \
    if (memcmp(&a->part, &b->part, sizeof a->part))                                                \
    return dprintf(1, "%s has changed\n", #part), false
    SAME(fd);
    SAME(flags);
    SAME(offset);
    SAME(pid);
    SAME(parent);
    SAME(tid);
    SAME(brk);
    SAME(blocked);
    SAME(pending);
    SAME(action);
    SAME(altstack);
    SAME(cwd);
    SAME(memory);
    SAME(maps);
#undef SAME
    return true;
}

static void watched_handler(int number) {
}

// Something of each kind that must not change: offsets, flags, a blocked pending signal, a handler, a stack, memory.
static void watched_begin(void) {
    static char altstack[32768];
    char name[] = "/tmp/watchedXXXXXX";
    for (int fd = 3; fd < FDS; fd++) // what a test's runner left open
        close(fd);
    int fd = mkstemp(name);
    CHECK(fd >= 0 && write(fd, "0123456789", 10) == 10 && lseek(fd, 4, SEEK_SET) == 4 && unlink(name) == 0);
    CHECK(dup2(fd, 20) == 20 && dup3(fd, 21, O_CLOEXEC) == 21);
    stack_t stack = {.ss_sp = altstack, .ss_size = sizeof altstack};
    sigset_t set;
    CHECK(sigaltstack(&stack, NULL) == 0);
    signal(SIGUSR1, watched_handler);
    signal(SIGUSR2, SIG_IGN);
    sigemptyset(&set), sigaddset(&set, SIGHUP);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0 && raise(SIGHUP) == 0);
    watched_heap = malloc(BYTES);
    for (int i = 0; i < BYTES; i++)
        watched_data[i] = i * 7 >> 3, watched_heap[i] = i * 5 >> 2;
    struct state warm; // whatever it touches for the first time
    state_take(&warm);
    CHECK(state_same(&warm, &warm));
}

static const char *error_name(long error) {
    static const struct {
        int error;
        const char *name;
    } names[] = {{0, "ok"}, {EAGAIN, "EAGAIN"}, {EACCES, "EACCES"}, {EPERM, "EPERM"}, {ENOMEM, "ENOMEM"},
                 {ENOENT, "ENOENT"}, {ENOEXEC, "ENOEXEC"}, {ENOTDIR, "ENOTDIR"}, {ENOSPC, "ENOSPC"}, {EBUSY, "EBUSY"}};
    static char other[32];
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].error == error)
            return names[i].name;
    snprintf(other, sizeof other, "errno %ld", error);
    return other;
}

// Makes the call; its result. The caller must find itself as it was.
static long watched(long nr, const long *args, void (*child)(void)) {
    static struct state before, after;
    watched_child = child;
    state_take(&before);
    long r = watched_call(nr, args);
    state_take(&after);
    CHECK(registers_kept());
    CHECK(state_same(&before, &after));
    return r;
}

static void verdict(const char *what, long result) {
    dprintf(1, "%s: %s\n", what, error_name(result < 0 ? -result : 0));
}

// A child's exit code, or -1 if there is no child at all.
static int child_ends(long pid) {
    int status;
    if (pid < 0) {
        FAILS(waitpid(-1, &status, WNOHANG), ECHILD);
        return -1;
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

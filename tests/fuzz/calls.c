// Random system calls with random arguments, in a new process each time. Whatever they answer, the machine goes on.
// Never run it on a real Linux. Arguments: seed, processes, calls in each.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define AREA (65536 * 16)

static uint64_t state;
static char *area;

static uint64_t next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

// Values that calls take for something: small numbers, flags, descriptors, pointers good and bad.
static uint64_t argument(void) {
    switch (next() % 14) {
    case 0:
        return 0;
    case 1:
        return next() % 16;
    case 2:
        return (uint64_t)-1 - next() % 8;
    case 3:
        return (uint64_t)area + next() % 65536;
    case 4:
        return (uint64_t)area + next() % 16 * 4096;
    case 5:
        return next();
    case 6:
        return next() % 4096;
    case 7:
        return 1ull << next() % 64;
    case 8:
        return (uint64_t)"/tmp/f";
    case 9:
        return (uint64_t)"/proc/self/status";
    case 10:
        return (uint64_t)area + AREA - next() % 16;
    case 11:
        return (uint64_t)AT_FDCWD;
    case 12:
        return next() % 300;
    default:
        return (uint64_t)area + next() % 4096 * 16;
    }
}

// A call's number; sometimes one that none has.
static long number(void) {
    uint64_t kind = next() % 16;
    return (long)(kind > 1 ? next() % 460 : kind ? 460 + next() % 600 : next() >> next() % 64);
}

static int has(const short *list, long nr) {
    for (; *list; list++)
        if (*list == nr)
            return 1;
    return 0;
}

// Calls that end or signal this program's own family, and calls that may wait for ever.
static const short never[] = {SYS_exit, SYS_exit_group, SYS_kill, SYS_tkill, SYS_tgkill, SYS_clone, SYS_clone3,
                              SYS_rt_sigsuspend, SYS_rt_sigtimedwait, SYS_rt_tgsigqueueinfo, SYS_rt_sigqueueinfo, 0};
static const short seldom[] = {SYS_ppoll, SYS_pselect6, SYS_epoll_pwait, SYS_epoll_pwait2, SYS_futex, SYS_wait4, SYS_waitid,
                               SYS_nanosleep, SYS_clock_nanosleep, SYS_read, SYS_readv, SYS_accept, SYS_recvfrom, SYS_recvmsg,
                               SYS_accept4, SYS_recvmmsg, SYS_preadv2, 0};

static void child(uint64_t seed, int calls) {
    int fds[2];
    state = 88172645463325252ull + seed * 7919;
    for (int i = 0; i < 20; i++)
        next();
    area = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < AREA / 8; i += 1 + next() % 64)
        ((uint64_t *)area)[i] = argument();
    strcpy(area, "/tmp/g");
    strcpy(area + 4096, "/tmp");
    strcpy(area + 8192, "/dev/ptmx");
    strcpy(area + 12288, "/proc/self/maps");
    open("/tmp/f", O_RDWR | O_CREAT, 0666);
    (void)!pipe(fds);
    syscall(SYS_socketpair, 1, 1, 0, fds);
    syscall(SYS_socketpair, 1, 2, 0, fds);
    open("/dev/ptmx", O_RDWR);
    open("/proc/self", O_RDONLY);
    syscall(SYS_socket, 2, 1, 0);
    syscall(SYS_socket, 2, 2, 0);
    syscall(SYS_epoll_create1, 0);
    syscall(SYS_eventfd2, 3, 0);
    syscall(SYS_timerfd_create, 1, 0);
    syscall(SYS_inotify_init1, 0);
    for (int i = 0; i < calls; i++) {
        long nr = number();
        if (has(never, nr) || (has(seldom, nr) && next() % 4))
            continue;
        alarm(1);
        syscall(nr, argument(), argument(), argument(), argument(), argument(), argument());
    }
    _exit(0);
}

int main(int argc, char **argv) {
    int seed = argc > 1 ? atoi(argv[1]) : 1, processes = argc > 2 ? atoi(argv[2]) : 100;
    int calls = argc > 3 ? atoi(argv[3]) : 300;
    for (int i = 0; i < processes; i++) {
        pid_t pid = fork();
        if (!pid)
            child((uint64_t)(seed + i), calls);
        waitpid(pid, NULL, 0);
    }
    puts("still here");
    return 0;
}

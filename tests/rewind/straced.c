// One call of each kind that a trace shows in words: the test compares what is written with strace's own.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static void files(void) {
    struct stat st;
    char text[64];
    int fd = openat(AT_FDCWD, "traced", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    write(fd, "tab\there\n\0011\"quoted\"\\", 20);
    pwrite(fd, "0123456789012345678901234567890123456789", 40, 20);
    lseek(fd, 0, SEEK_SET);
    read(fd, text, sizeof text);
    struct iovec two[] = {{text, 3}, {text + 3, 5}};
    lseek(fd, -8, SEEK_END);
    readv(fd, two, 2);
    writev(fd, two, 2);
    syscall(SYS_fstat, fd, &st);
    syscall(SYS_newfstatat, AT_FDCWD, "/dev/null", &st, 0);
    syscall(SYS_newfstatat, AT_FDCWD, "nowhere", &st, AT_SYMLINK_NOFOLLOW);
    syscall(SYS_faccessat, AT_FDCWD, "traced", R_OK | W_OK);
    fcntl(fd, F_GETFD);
    fcntl(fd, F_SETFL, O_APPEND);
    fcntl(fd, F_GETFL);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1, .l_len = 2};
    fcntl(fd, F_SETLK, &lock);
    flock(fd, LOCK_EX | LOCK_NB);
    fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100);
    struct timespec times[] = {{1, 2}, {.tv_nsec = UTIME_OMIT}};
    utimensat(AT_FDCWD, "traced", times, 0);
    syscall(SYS_fchmodat, AT_FDCWD, "traced", 0755);
    syscall(SYS_fchownat, AT_FDCWD, "traced", -1, -1, 0);
    syscall(SYS_renameat2, AT_FDCWD, "traced", AT_FDCWD, "moved", 1);
    syscall(SYS_unlinkat, AT_FDCWD, "moved", 0);
    syscall(SYS_mkdirat, AT_FDCWD, "folder", 0700);
    syscall(SYS_unlinkat, AT_FDCWD, "folder", AT_REMOVEDIR);
    umask(022);
    umask(077);
    ioctl(fd, TCGETS, text);
    close(fd);
    int folder = openat(AT_FDCWD, "/proc/self/fd", O_RDONLY | O_DIRECTORY);
    close(folder);
}

static void memory(void) {
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mprotect(page, 4096, PROT_NONE);
    madvise(page + 4096, 4096, MADV_DONTNEED);
    page = mremap(page, 4096, 16384, MREMAP_MAYMOVE);
    munmap(page, 16384);
}

static void signals(void) {
    sigset_t set;
    sigemptyset(&set);
    struct sigaction action = {.sa_handler = SIG_IGN};
    sigaction(SIGUSR1, &action, NULL);
    action.sa_handler = SIG_DFL;
    sigaction(SIGUSR1, &action, NULL);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigpending(&set);
    sigprocmask(SIG_SETMASK, &set, NULL);
    unsigned long most = ~(3ul << 31);
    syscall(SYS_rt_sigprocmask, SIG_UNBLOCK, &most, NULL, 8);
    kill(0x7ffffff0, SIGTERM);
    kill(0x7ffffff0, 40);
}

static void selecting(const int ends[2]) { // what is asked for is overwritten by what is found
    unsigned long mask = 1ul << (SIGUSR1 - 1), sets[3][2] = {{1ul << ends[0], 1ul << (ends[1] - 2)}, {1ul << ends[0] | 1ul << ends[1]}};
    struct timespec later = {77, 5}, soon = {0, 0};
    struct { unsigned long *mask, size; } wait = {&mask, 8}, none = {NULL, 8};
    dup3(ends[1], 62 + ends[1], O_CLOEXEC);
    syscall(SYS_pselect6, 64 + ends[1], sets[0], sets[1], sets[2], &later, &wait);
    sets[0][0] = 1ul << ends[0];
    syscall(SYS_pselect6, ends[1], sets[0], NULL, NULL, &soon, &none);
    sets[0][0] = 1ul << ends[1] | 1ul << 40;
    syscall(SYS_pselect6, 41, sets[0], NULL, NULL, NULL, NULL);
    syscall(SYS_pselect6, ends[1], NULL, NULL, sets[0], &soon, 8);
    syscall(SYS_pselect6, 0, sets[0], NULL, NULL, &soon, NULL);
    syscall(SYS_pselect6, -1, sets[0], NULL, NULL, &soon, NULL);
    write(ends[1], "x", 1);
    sets[0][0] = 1ul << ends[0], sets[1][0] = 1ul << ends[1];
    syscall(SYS_pselect6, ends[1] + 1, sets[0], sets[1], NULL, NULL, NULL);
    read(ends[0], sets, 1);
    close(62 + ends[1]);
}

static void waiting(void) {
    int ends[2], one = 1, status;
    pipe2(ends, O_CLOEXEC | O_NONBLOCK);
    struct pollfd fds[] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}};
    struct timespec soon = {0, 0};
    syscall(SYS_ppoll, fds, 2, NULL, NULL, 8);
    syscall(SYS_ppoll, fds, 1, &soon, NULL, 8);
    struct timespec later = {77, 5}, least = {0, 1000};
    syscall(SYS_ppoll, fds, 2, &later, NULL, 8);
    syscall(SYS_ppoll, fds, 1, &least, NULL, 8);
    selecting(ends);
    read(ends[0], &status, 4);
    write(ends[1], "abc", 3);
    ioctl(ends[0], FIONREAD, &one);
    int set = epoll_create1(EPOLL_CLOEXEC), event = eventfd(3, EFD_NONBLOCK);
    struct epoll_event ask = {.events = EPOLLIN | EPOLLET, .data = {.fd = event}};
    epoll_ctl(set, EPOLL_CTL_ADD, event, &ask);
    syscall(SYS_epoll_pwait, set, &ask, 4, 0, NULL, 8);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct itimerspec every = {{1, 0}, {2, 500}};
    timerfd_settime(timer, 0, &every, NULL);
    syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &soon, NULL);
    syscall(SYS_futex, &one, 129, 1);
    for (int fd = 3; fd < 9; fd++)
        close(fd);
}

static void sockets(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP), one = 1;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(4711), .sin_addr.s_addr = htonl(0x7f000001)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(4711), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_un un = {.sun_family = AF_UNIX, .sun_path = "traced.sock"};
    socklen_t len = sizeof in;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    bind(fd, (void *)&in, sizeof in);
    listen(fd, 5);
    getsockname(fd, (void *)&in, &len);
    int six = socket(AF_INET6, SOCK_DGRAM, 0), local = socket(AF_UNIX, SOCK_STREAM, 0), pair[2];
    connect(six, (void *)&in6, sizeof in6);
    connect(local, (void *)&un, sizeof un);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    sendto(pair[0], "hello", 5, MSG_NOSIGNAL, NULL, 0);
    char text[16];
    recvfrom(pair[1], text, sizeof text, MSG_DONTWAIT, NULL, NULL);
    struct iovec part = {"hello", 5};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    sendmsg(pair[0], &message, 0);
    part = (struct iovec){text, sizeof text};
    recvmsg(pair[1], &message, 0);
    shutdown(pair[0], SHUT_WR);
    for (fd = 3; fd < 8; fd++)
        close(fd);
}

static void others(void) {
    struct rlimit limit;
    struct utsname name;
    syscall(SYS_prlimit64, 0, RLIMIT_STACK, NULL, &limit);
    prctl(PR_SET_NAME, "traced");
    syscall(SYS_uname, &name);
    siginfo_t info;
    waitid(P_ALL, 0, &info, WEXITED | WNOHANG);
    syscall(SYS_wait4, -1, NULL, WNOHANG, NULL);
    syscall(SYS_execve, "nowhere", (char *[]){"nowhere", "-a", "a longer argument than thirty-two characters", NULL},
            (char *[]){"A=1", NULL});
    syscall(SYS_getrandom, NULL, 0, 0);
    syscall(SYS_brk, NULL);
}

int main(void) {
    syscall(SYS_chdir, "/");
    chdir("/tmp");
    files();
    memory();
    signals();
    waiting();
    sockets();
    others();
    syscall(SYS_exit_group, 7);
}

// Linux's user-visible numbers and layouts for riscv64 (asm-generic), as the man-pages and uapi name them.
// Families with many constants of their own keep them beside their code (fs/termios.h, net/inet.h …).
#pragma once
#include "types.h"

// ---- errno(3) ----
#define ERRNO_TABLE(X)                                                                                        \
    X(EPERM, 1, "Operation not permitted") X(ENOENT, 2, "No such file or directory")                          \
    X(ESRCH, 3, "No such process") X(EINTR, 4, "Interrupted system call") X(EIO, 5, "Input/output error")     \
    X(ENXIO, 6, "No such device or address") X(E2BIG, 7, "Argument list too long")                            \
    X(ENOEXEC, 8, "Exec format error") X(EBADF, 9, "Bad file descriptor")                                     \
    X(ECHILD, 10, "No child processes") X(EAGAIN, 11, "Resource temporarily unavailable")                     \
    X(ENOMEM, 12, "Cannot allocate memory") X(EACCES, 13, "Permission denied") X(EFAULT, 14, "Bad address")   \
    X(ENOTBLK, 15, "Block device required") X(EBUSY, 16, "Device or resource busy")                           \
    X(EEXIST, 17, "File exists") X(EXDEV, 18, "Invalid cross-device link") X(ENODEV, 19, "No such device")    \
    X(ENOTDIR, 20, "Not a directory") X(EISDIR, 21, "Is a directory") X(EINVAL, 22, "Invalid argument")       \
    X(ENFILE, 23, "Too many open files in system") X(EMFILE, 24, "Too many open files")                       \
    X(ENOTTY, 25, "Inappropriate ioctl for device") X(ETXTBSY, 26, "Text file busy")                          \
    X(EFBIG, 27, "File too large") X(ENOSPC, 28, "No space left on device") X(ESPIPE, 29, "Illegal seek")     \
    X(EROFS, 30, "Read-only file system") X(EMLINK, 31, "Too many links") X(EPIPE, 32, "Broken pipe")         \
    X(EDOM, 33, "Numerical argument out of domain") X(ERANGE, 34, "Numerical result out of range")            \
    X(EDEADLK, 35, "Resource deadlock avoided") X(ENAMETOOLONG, 36, "File name too long")                     \
    X(ENOLCK, 37, "No locks available") X(ENOSYS, 38, "Function not implemented")                             \
    X(ENOTEMPTY, 39, "Directory not empty") X(ELOOP, 40, "Too many levels of symbolic links")                 \
    X(ENOMSG, 42, "No message of desired type") X(EIDRM, 43, "Identifier removed")                            \
    X(ENODATA, 61, "No data available") X(ETIME, 62, "Timer expired") X(EPROTO, 71, "Protocol error")         \
    X(EBADMSG, 74, "Bad message") X(EOVERFLOW, 75, "Value too large for defined data type")                   \
    X(EILSEQ, 84, "Invalid or incomplete multibyte or wide character") X(EUSERS, 87, "Too many users")        \
    X(ENOTSOCK, 88, "Socket operation on non-socket") X(EDESTADDRREQ, 89, "Destination address required")     \
    X(EMSGSIZE, 90, "Message too long") X(EPROTOTYPE, 91, "Protocol wrong type for socket")                   \
    X(ENOPROTOOPT, 92, "Protocol not available") X(EPROTONOSUPPORT, 93, "Protocol not supported")             \
    X(ESOCKTNOSUPPORT, 94, "Socket type not supported") X(EOPNOTSUPP, 95, "Operation not supported")          \
    X(EPFNOSUPPORT, 96, "Protocol family not supported")                                                      \
    X(EAFNOSUPPORT, 97, "Address family not supported by protocol")                                           \
    X(EADDRINUSE, 98, "Address already in use") X(EADDRNOTAVAIL, 99, "Cannot assign requested address")       \
    X(ENETDOWN, 100, "Network is down") X(ENETUNREACH, 101, "Network is unreachable")                         \
    X(ENETRESET, 102, "Network dropped connection on reset")                                                  \
    X(ECONNABORTED, 103, "Software caused connection abort") X(ECONNRESET, 104, "Connection reset by peer")   \
    X(ENOBUFS, 105, "No buffer space available") X(EISCONN, 106, "Transport endpoint is already connected")   \
    X(ENOTCONN, 107, "Transport endpoint is not connected")                                                   \
    X(ESHUTDOWN, 108, "Cannot send after transport endpoint shutdown")                                        \
    X(ETOOMANYREFS, 109, "Too many references: cannot splice") X(ETIMEDOUT, 110, "Connection timed out")      \
    X(ECONNREFUSED, 111, "Connection refused") X(EHOSTDOWN, 112, "Host is down")                              \
    X(EHOSTUNREACH, 113, "No route to host") X(EALREADY, 114, "Operation already in progress")                \
    X(EINPROGRESS, 115, "Operation now in progress") X(ESTALE, 116, "Stale file handle")                      \
    X(EDQUOT, 122, "Disk quota exceeded") X(ECANCELED, 125, "Operation canceled")                             \
    X(EOWNERDEAD, 130, "Owner died") X(ENOTRECOVERABLE, 131, "State not recoverable")
enum {
#define X(name, value, text) name = value,
    ERRNO_TABLE(X)
#undef X
};

// ---- signal(7) ----
enum {
    SIGHUP = 1, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGUSR1, SIGSEGV,
    SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGSTKFLT, SIGCHLD, SIGCONT, SIGSTOP, SIGTSTP, SIGTTIN,
    SIGTTOU, SIGURG, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF, SIGWINCH, SIGIO, SIGPWR, SIGSYS,
    SIGRTMIN = 32, SIGRTMAX = 64,
};
enum { SIG_DFL = 0, SIG_IGN = 1 };
enum { SIG_BLOCK, SIG_UNBLOCK, SIG_SETMASK };
#define SA_NOCLDSTOP 1u
#define SA_NOCLDWAIT 2u
#define SA_SIGINFO 4u
#define SA_ONSTACK 0x08000000u
#define SA_RESTART 0x10000000u
#define SA_NODEFER 0x40000000u
#define SA_RESETHAND 0x80000000u
enum { SS_ONSTACK = 1, SS_DISABLE = 2 };
#define SS_AUTODISARM (1u << 31)
#define MINSIGSTKSZ 2048
enum { SI_USER = 0, SI_KERNEL = 0x80, SI_QUEUE = -1, SI_TIMER = -2, SI_MESGQ = -3, SI_ASYNCIO = -4, SI_SIGIO = -5, SI_TKILL = -6 };
enum { ILL_ILLOPC = 1, ILL_ILLTRP = 4 };
enum { SEGV_MAPERR = 1, SEGV_ACCERR = 2 };
enum { BUS_ADRALN = 1, BUS_ADRERR = 2 };
enum { TRAP_BRKPT = 1 };
enum { CLD_EXITED = 1, CLD_KILLED, CLD_DUMPED, CLD_TRAPPED, CLD_STOPPED, CLD_CONTINUED };

struct sigaction { // rt_sigaction(2); riscv64 has no sa_restorer
    u64 handler;
    u64 flags;
    u64 mask;
};
struct siginfo { // 128 bytes
    i32 signo, error, code, pad;
    union {
        struct { i32 pid; u32 uid; } kill;
        struct { i32 timerid; i32 overrun; u64 value; } timer;
        struct { i32 pid; u32 uid; u64 value; } rt;
        struct { i32 pid; u32 uid; i32 status; u32 pad; i64 utime, stime; } chld;
        struct { u64 addr; } fault;
        struct { i64 band; i32 fd; } poll;
        struct { u64 call_addr; i32 syscall; u32 arch; } sys;
        u8 bytes[112];
    };
};

// ---- time ----
struct timespec { i64 sec, nsec; };
struct timeval { i64 sec, usec; };
struct itimerval { struct timeval interval, value; };
struct itimerspec { struct timespec interval, value; };
enum {
    CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_MONOTONIC_RAW,
    CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_REALTIME_ALARM, CLOCK_BOOTTIME_ALARM,
    CLOCK_TAI = 11,
};
#define TIMER_ABSTIME 1
#define NSEC 1000000000ull
#define USER_HZ 100

// ---- mmap(2) ----
enum { PROT_NONE = 0, PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4 };
#define PROT_GROWSDOWN 0x01000000u
#define PROT_GROWSUP 0x02000000u
enum { MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_SHARED_VALIDATE = 3, MAP_TYPE = 15, MAP_FIXED = 16, MAP_ANONYMOUS = 32 };
#define MAP_GROWSDOWN 0x100u
#define MAP_DENYWRITE 0x800u
#define MAP_LOCKED 0x2000u
#define MAP_NORESERVE 0x4000u
#define MAP_POPULATE 0x8000u
#define MAP_STACK 0x20000u
#define MAP_FIXED_NOREPLACE 0x100000u
enum { MREMAP_MAYMOVE = 1, MREMAP_FIXED = 2, MREMAP_DONTUNMAP = 4 };
enum { MS_ASYNC = 1, MS_INVALIDATE = 2, MS_SYNC = 4 };
enum { MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_FREE = 8, MADV_REMOVE = 9,
       MADV_DONTFORK = 10, MADV_DOFORK = 11, MADV_WIPEONFORK = 18, MADV_KEEPONFORK = 19, MADV_COLD = 20, MADV_PAGEOUT = 21,
       MADV_POPULATE_READ = 22, MADV_POPULATE_WRITE = 23 };

// ---- clone(2), wait(2) ----
#define CSIGNAL 0xffu
#define CLONE_VM 0x100u
#define CLONE_FS 0x200u
#define CLONE_FILES 0x400u
#define CLONE_SIGHAND 0x800u
#define CLONE_PIDFD 0x1000u
#define CLONE_PTRACE 0x2000u
#define CLONE_VFORK 0x4000u
#define CLONE_PARENT 0x8000u
#define CLONE_THREAD 0x10000u
#define CLONE_NEWNS 0x20000u
#define CLONE_SYSVSEM 0x40000u
#define CLONE_SETTLS 0x80000u
#define CLONE_PARENT_SETTID 0x100000u
#define CLONE_CHILD_CLEARTID 0x200000u
#define CLONE_DETACHED 0x400000u
#define CLONE_UNTRACED 0x800000u
#define CLONE_CHILD_SETTID 0x1000000u
#define CLONE_NEWCGROUP 0x02000000u
#define CLONE_NEWUTS 0x04000000u
#define CLONE_NEWIPC 0x08000000u
#define CLONE_NEWUSER 0x10000000u
#define CLONE_NEWPID 0x20000000u
#define CLONE_NEWNET 0x40000000u
#define CLONE_IO 0x80000000u
#define CLONE_CLEAR_SIGHAND 0x100000000ull
#define CLONE_INTO_CGROUP 0x200000000ull
enum { WNOHANG = 1, WUNTRACED = 2, WSTOPPED = 2, WEXITED = 4, WCONTINUED = 8, WNOWAIT = 0x01000000 };
#define W__NOTHREAD 0x20000000u
#define W__ALL 0x40000000u
#define W__CLONE 0x80000000u
enum { P_ALL, P_PID, P_PGID, P_PIDFD };

// ---- files ----
#define O_ACCMODE 3u
#define O_RDONLY 0u
#define O_WRONLY 1u
#define O_RDWR 2u
#define O_CREAT 0100u
#define O_EXCL 0200u
#define O_NOCTTY 0400u
#define O_TRUNC 01000u
#define O_APPEND 02000u
#define O_NONBLOCK 04000u
#define O_DSYNC 010000u
#define O_ASYNC 020000u
#define O_DIRECT 040000u
#define O_LARGEFILE 0100000u
#define O_DIRECTORY 0200000u
#define O_NOFOLLOW 0400000u
#define O_NOATIME 01000000u
#define O_CLOEXEC 02000000u
#define O_SYNC 04010000u
#define O_PATH 010000000u
#define O_TMPFILE (020000000u | O_DIRECTORY)
#define AT_FDCWD (-100)
#define AT_SYMLINK_NOFOLLOW 0x100u
#define AT_EACCESS 0x200u
#define AT_REMOVEDIR 0x200u
#define AT_SYMLINK_FOLLOW 0x400u
#define AT_NO_AUTOMOUNT 0x800u
#define AT_EMPTY_PATH 0x1000u
#define S_IFMT 0170000u
#define S_IFSOCK 0140000u
#define S_IFLNK 0120000u
#define S_IFREG 0100000u
#define S_IFBLK 0060000u
#define S_IFDIR 0040000u
#define S_IFCHR 0020000u
#define S_IFIFO 0010000u
#define S_ISUID 04000u
#define S_ISGID 02000u
#define S_ISVTX 01000u
#define S_ISREG(m) (((m) & S_IFMT) == S_IFREG)
#define S_ISDIR(m) (((m) & S_IFMT) == S_IFDIR)
#define S_ISLNK(m) (((m) & S_IFMT) == S_IFLNK)
#define S_ISCHR(m) (((m) & S_IFMT) == S_IFCHR)
#define S_ISBLK(m) (((m) & S_IFMT) == S_IFBLK)
#define S_ISFIFO(m) (((m) & S_IFMT) == S_IFIFO)
#define S_ISSOCK(m) (((m) & S_IFMT) == S_IFSOCK)
enum { SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE };
enum { DT_UNKNOWN = 0, DT_FIFO = 1, DT_CHR = 2, DT_DIR = 4, DT_BLK = 6, DT_REG = 8, DT_LNK = 10, DT_SOCK = 12 };
enum { F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, F_SETOWN, F_GETOWN, F_SETSIG, F_GETSIG,
       F_SETOWN_EX = 15, F_GETOWN_EX = 16, F_OFD_GETLK = 36, F_OFD_SETLK = 37, F_OFD_SETLKW = 38, F_DUPFD_CLOEXEC = 1030,
       F_SETPIPE_SZ = 1031, F_GETPIPE_SZ = 1032, F_ADD_SEALS = 1033, F_GET_SEALS = 1034 };
#define FD_CLOEXEC 1
enum { R_OK = 4, W_OK = 2, X_OK = 1, F_OK = 0 };
#define PATH_MAX 4096
#define NAME_MAX 255
#define IOV_MAX 1024
enum { MS_RDONLY = 1, MS_NOSUID = 2, MS_NODEV = 4, MS_NOEXEC = 8, MS_REMOUNT = 32, MS_NOATIME = 1024, MS_BIND = 4096, MS_MOVE = 8192,
       MS_REC = 16384, MS_SILENT = 32768, MS_PRIVATE = 1 << 18, MS_SLAVE = 1 << 19, MS_SHARED = 1 << 20, MS_RELATIME = 1 << 21 };
enum { UTIME_NOW = 0x3fffffff, UTIME_OMIT = 0x3ffffffe };
enum { RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2, RENAME_WHITEOUT = 4 };

struct iovec { u64 base, len; };
struct kstat { // stat(2), asm-generic
    u64 dev, ino;
    u32 mode, nlink, uid, gid;
    u64 rdev, pad1;
    i64 size;
    i32 blksize, pad2;
    i64 blocks;
    i64 atime, atime_nsec, mtime, mtime_nsec, ctime, ctime_nsec;
    u32 unused[2];
};
struct statx_time {
    i64 sec;
    u32 nsec, pad;
};
struct statx { // statx(2)
    u32 mask, blksize;
    u64 attributes;
    u32 nlink, uid, gid;
    u16 mode, pad;
    u64 ino, size, blocks, attributes_mask;
    struct statx_time atime, btime, ctime, mtime;
    u32 rdev_major, rdev_minor, dev_major, dev_minor;
    u64 mnt_id;
    u64 spare[13];
};
static_assert(sizeof(struct statx) == 256);
struct dirent64 { // getdents(2)
    u64 ino;
    i64 off;
    u16 reclen;
    u8 type;
    char name[];
};
struct flock { // fcntl(2)
    i16 type, whence;
    i32 pad;
    i64 start, len;
    i32 pid, pad2;
};
static inline u32 makedev(u32 major, u32 minor) { // Linux's new_encode_dev
    return (minor & 0xff) | (major << 8) | ((minor & ~0xffu) << 12);
}
static inline u32 major_of(u32 dev) {
    return dev >> 8 & 0xfff;
}
static inline u32 minor_of(u32 dev) {
    return (dev & 0xff) | (dev >> 12 & 0xfff00);
}

// ---- poll(2) ----
enum { POLLIN = 1, POLLPRI = 2, POLLOUT = 4, POLLERR = 8, POLLHUP = 16, POLLNVAL = 32, POLLRDNORM = 64, POLLRDBAND = 128,
       POLLWRNORM = 256, POLLWRBAND = 512, POLLMSG = 1024, POLLRDHUP = 0x2000 };
struct pollfd {
    i32 fd;
    i16 events, revents;
};

// ---- resources ----
enum { RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_CORE, RLIMIT_RSS, RLIMIT_NPROC, RLIMIT_NOFILE,
       RLIMIT_MEMLOCK, RLIMIT_AS, RLIMIT_LOCKS, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE, RLIMIT_NICE, RLIMIT_RTPRIO, RLIMIT_RTTIME };
#define RLIM_INFINITY (~0ull)
struct rusage {
    struct timeval utime, stime;
    i64 maxrss, ixrss, idrss, isrss, minflt, majflt, nswap, inblock, oublock, msgsnd, msgrcv, nsignals, nvcsw, nivcsw;
};
#define UTS_RELEASE "6.12.0-ebb"
#define UTS_VERSION "#1 SMP Ebb"
struct utsname { char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65]; };

// ---- capabilities(7) ----
enum { CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER, CAP_FSETID, CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_SETPCAP,
       CAP_NET_BIND_SERVICE = 10, CAP_NET_ADMIN = 12, CAP_NET_RAW = 13, CAP_IPC_OWNER = 15, CAP_SYS_CHROOT = 18, CAP_SYS_PTRACE = 19,
       CAP_SYS_ADMIN = 21, CAP_SYS_NICE = 23, CAP_SYS_RESOURCE = 24, CAP_SYS_TIME = 25, CAP_MKNOD = 27, CAP_LAST = 40 };

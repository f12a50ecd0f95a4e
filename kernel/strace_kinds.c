// The kinds of arguments in syscalls.tbl, and how each is shown: strace(1)'s spelling of Linux's words and structures.
#include "fs/ioctl.h"
#include "fs/termios.h"
#include "net/sock.h"
#include "proc/proc.h"
#include "strace.h"
#include "strace_words.h"

#define STRING_MAX 32u // as strace -s; names of files are shown whole
#define ITEMS_MAX 16u

// ---- Words ---------------------------------------------------------------------------------------
static void put_flags(struct text *text, u64 v, const struct word *words, const char *zero) {
    const char *between = "";
    for (; words->name; words++)
        if (words->bits && (v & words->bits) == words->bits) {
            text_printf(text, "%s%s", between, words->name);
            between = "|";
            v &= ~words->bits;
        }
    if (v)
        text_printf(text, "%s%#llx", between, (unsigned long long)v);
    else if (!*between)
        text_printf(text, "%s", zero);
}

static void put_one(struct text *text, u64 v, const struct word *words) {
    for (; words->name; words++)
        if (words->bits == v) {
            text_printf(text, "%s", words->name);
            return;
        }
    text_printf(text, v < 1u << 16 ? "%lld" : "%#llx", (long long)v);
}

static void put_signal(struct text *text, u32 signal, bool prefix) {
    static const char names[32][8] = {
        "", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
        "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR",
        "SYS",
    };
    const char *sig = prefix ? "SIG" : "";
    if (signal && signal < lengthof(names))
        text_printf(text, "%s%s", sig, names[signal]);
    else if (signal == SIGRTMIN)
        text_printf(text, "%sRTMIN", sig);
    else if (signal > SIGRTMIN && signal <= SIGRTMAX)
        text_printf(text, "%sRT_%u", sig, signal - SIGRTMIN);
    else
        text_printf(text, "%d", (i32)signal);
}

static void put_open(struct text *text, u32 v) {
    static const char *const ways[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"};
    text_printf(text, "%s", ways[v & O_ACCMODE]);
    if (v & ~O_ACCMODE) {
        text_printf(text, "|");
        put_flags(text, v & ~O_ACCMODE, open_words, "");
    }
}

static void put_mode(struct text *text, u32 mode) {
    if (mode & S_IFMT) {
        put_one(text, mode & S_IFMT, type_words);
        text_printf(text, "|");
    }
    text_printf(text, "%s%o", mode & 07777 ? "0" : "00", mode & 07777);
}

// ---- Guest memory -------------------------------------------------------------------------------
static void put_hex(struct trace *trace, u64 va) {
    text_printf(trace->text, va ? "%#llx" : "NULL", (unsigned long long)va);
}

// `size` bytes at `va`; false: they cannot be had, and the address is shown.
static bool given(struct trace *trace, u64 va, void *out, u32 size) {
    if (va && trace_look(trace, va, out, size) == size)
        return true;
    put_hex(trace, va);
    return false;
}

static void put_bytes(struct trace *trace, const u8 *data, u32 len) {
    static const char escapes[] = "abtnvfr"; // from 7 on
    struct text *text = trace->text;
    text_printf(text, "\"");
    for (u32 i = 0; i < len; i++) {
        u8 c = data[i];
        bool digit = i + 1 < len && data[i + 1] >= '0' && data[i + 1] <= '7';
        if (c == '"' || c == '\\')
            text_printf(text, "\\%c", c);
        else if (c > 8 && c < 14)
            text_printf(text, "\\%c", escapes[c - 7]);
        else if (c < 32 || c > 126)
            text_printf(text, digit ? "\\%03o" : "\\%o", c);
        else
            text_printf(text, "%c", c);
    }
    text_printf(text, "\"");
}

static void put_buffer(struct trace *trace, u64 va, u64 len) {
    u8 data[STRING_MAX];
    u32 n = (u32)min(len, (u64)STRING_MAX);
    if (len && !given(trace, va, data, n))
        return;
    put_bytes(trace, data, n);
    text_printf(trace->text, n < len ? "..." : "");
}

static void put_string(struct trace *trace, u64 va, u32 most) {
    char data[512];
    u32 n = trace_look(trace, va, data, min(most, (u32)sizeof data));
    const char *end = memchr(data, 0, n);
    if (!va || !n) {
        put_hex(trace, va);
        return;
    }
    put_bytes(trace, (u8 *)data, end ? (u32)(end - data) : n);
    text_printf(trace->text, end ? "" : "...");
}

// Pointers to strings until NULL (`argv`), or their number (`envp`).
static void put_strings(struct trace *trace, u64 va, bool whole) {
    u64 one;
    u32 n = 0;
    if (!given(trace, va, &one, sizeof one))
        return;
    if (whole)
        text_printf(trace->text, "[");
    else
        put_hex(trace, va);
    for (; one && trace->text->len + 64 < trace->text->cap; n++) {
        if (whole) {
            text_printf(trace->text, n ? ", " : "");
            put_string(trace, one, STRING_MAX);
        }
        if (trace_look(trace, va + 8 * (n + 1), &one, sizeof one) != sizeof one)
            break;
    }
    if (whole)
        text_printf(trace->text, one ? ", ...]" : "]");
    else
        text_printf(trace->text, " /* %u var%s */", n, n == 1 ? "" : "s");
}

// ---- Structures ---------------------------------------------------------------------------------
static void put_pair(struct text *text, const char *form, i64 a, i64 b) {
    text_printf(text, form, (long long)a, (long long)b);
}

static void put_timespec(struct trace *trace, const void *data) {
    const struct timespec *ts = data;
    if (ts->nsec == UTIME_NOW || ts->nsec == UTIME_OMIT)
        text_printf(trace->text, ts->nsec == UTIME_NOW ? "UTIME_NOW" : "UTIME_OMIT");
    else
        put_pair(trace->text, "{tv_sec=%lld, tv_nsec=%lld}", ts->sec, ts->nsec);
}

static void put_timespecs(struct trace *trace, const void *data) {
    const struct timespec *ts = data;
    text_printf(trace->text, "[");
    put_timespec(trace, ts);
    text_printf(trace->text, ", ");
    put_timespec(trace, ts + 1);
    text_printf(trace->text, "]");
}

static void put_timeval(struct trace *trace, const void *data) {
    const struct timeval *tv = data;
    put_pair(trace->text, "{tv_sec=%lld, tv_usec=%lld}", tv->sec, tv->usec);
}

static void put_itimerval(struct trace *trace, const void *data) {
    const struct itimerval *it = data;
    text_printf(trace->text, "{it_interval=");
    put_timeval(trace, &it->interval);
    text_printf(trace->text, ", it_value=");
    put_timeval(trace, &it->value);
    text_printf(trace->text, "}");
}

static void put_itimerspec(struct trace *trace, const void *data) {
    const struct itimerspec *it = data;
    text_printf(trace->text, "{it_interval=");
    put_timespec(trace, &it->interval);
    text_printf(trace->text, ", it_value=");
    put_timespec(trace, &it->value);
    text_printf(trace->text, "}");
}

static void put_rusage(struct trace *trace, const void *data) {
    const struct rusage *usage = data;
    text_printf(trace->text, "{ru_utime=");
    put_timeval(trace, &usage->utime);
    text_printf(trace->text, ", ru_stime=");
    put_timeval(trace, &usage->stime);
    text_printf(trace->text, ", ...}");
}

static void put_limit(struct text *text, u64 v) {
    if (v == RLIM_INFINITY)
        text_printf(text, "RLIM64_INFINITY");
    else if (v > 1024 && !(v % 1024))
        text_printf(text, "%llu*1024", (unsigned long long)(v / 1024));
    else
        text_printf(text, "%llu", (unsigned long long)v);
}

static void put_rlimit(struct trace *trace, const void *data) {
    const u64 *limit = data;
    text_printf(trace->text, "{rlim_cur=");
    put_limit(trace->text, limit[0]);
    text_printf(trace->text, ", rlim_max=");
    put_limit(trace->text, limit[1]);
    text_printf(trace->text, "}");
}

static void put_kstat(struct trace *trace, const void *data) {
    const struct kstat *st = data;
    text_printf(trace->text, "{st_mode=");
    put_mode(trace->text, st->mode);
    if (S_ISCHR(st->mode) || S_ISBLK(st->mode))
        text_printf(trace->text, ", st_rdev=makedev(%#x, %#x), ...}", major_of((u32)st->rdev),
                    minor_of((u32)st->rdev));
    else
        text_printf(trace->text, ", st_size=%lld, ...}", (long long)st->size);
}

static void put_statx(struct trace *trace, const void *data) {
    const struct statx *st = data;
    text_printf(trace->text, "{stx_mask=");
    put_flags(trace->text, st->mask, statx_words, "0");
    text_printf(trace->text, ", stx_attributes=%s%llx, stx_mode=", st->attributes ? "0x" : "",
                (unsigned long long)st->attributes);
    put_mode(trace->text, st->mode);
    text_printf(trace->text, ", stx_size=%llu, ...}", (unsigned long long)st->size);
}

static void put_sigset(struct trace *trace, const void *data) {
    u64 set = *(const u64 *)data;
    bool most = __builtin_popcountll(set) > 32;
    const char *between = "";
    text_printf(trace->text, most ? "~[" : "[");
    for (u32 i = 1; i <= SIGRTMAX; i++)
        if ((set >> (i - 1) & 1) != most) {
            text_printf(trace->text, "%s", between);
            put_signal(trace->text, i, false);
            between = " ";
        }
    text_printf(trace->text, "]");
}

static void put_sigaction(struct trace *trace, const void *data) {
    const struct sigaction *sa = data;
    text_printf(trace->text, "{sa_handler=");
    if (sa->handler > SIG_IGN)
        put_hex(trace, sa->handler);
    else
        text_printf(trace->text, sa->handler ? "SIG_IGN" : "SIG_DFL");
    text_printf(trace->text, ", sa_mask=");
    put_sigset(trace, &sa->mask);
    text_printf(trace->text, ", sa_flags=");
    put_flags(trace->text, sa->flags, sa_words, "0");
    text_printf(trace->text, "}");
}

static void put_sigstack(struct trace *trace, const void *data) {
    const struct { u64 sp; i32 flags, pad; u64 size; } *ss = data;
    text_printf(trace->text, "{ss_sp=");
    put_hex(trace, ss->sp);
    text_printf(trace->text, ", ss_flags=");
    put_flags(trace->text, (u32)ss->flags, ss_words, "0");
    text_printf(trace->text, ", ss_size=%llu}", (unsigned long long)ss->size);
}

static void put_siginfo(struct trace *trace, const void *data) {
    static const char *const codes[] = {"?", "CLD_EXITED", "CLD_KILLED", "CLD_DUMPED", "CLD_TRAPPED", "CLD_STOPPED", "CLD_CONTINUED"};
    const struct siginfo *info = data;
    if (info->signo != SIGCHLD || info->code < CLD_EXITED || info->code > CLD_CONTINUED) {
        text_printf(trace->text, "{si_signo=");
        put_signal(trace->text, (u32)info->signo, true);
        text_printf(trace->text, ", si_code=%d, ...}", info->code);
        return;
    }
    text_printf(trace->text, "{si_signo=SIGCHLD, si_code=%s, si_pid=%d, si_uid=%u, si_status=", codes[info->code],
                info->chld.pid, info->chld.uid);
    if (info->code == CLD_EXITED)
        text_printf(trace->text, "%d", info->chld.status);
    else
        put_signal(trace->text, (u32)info->chld.status, true);
    text_printf(trace->text, ", si_utime=%lld, si_stime=%lld}", (long long)info->chld.utime, (long long)info->chld.stime);
}

static void put_status(struct trace *trace, const void *data) {
    u32 status = *(const u32 *)data, signal = status & 0x7f;
    struct text *text = trace->text;
    if (!signal) {
        text_printf(text, "[{WIFEXITED(s) && WEXITSTATUS(s) == %u}]", status >> 8 & 0xff);
    } else if (status == 0xffff) {
        text_printf(text, "[{WIFCONTINUED(s)}]");
    } else {
        bool stopped = signal == 0x7f;
        text_printf(text, stopped ? "[{WIFSTOPPED(s) && WSTOPSIG(s) == " : "[{WIFSIGNALED(s) && WTERMSIG(s) == ");
        put_signal(text, stopped ? status >> 8 & 0xff : signal, true);
        text_printf(text, !stopped && status & 0x80 ? " && WCOREDUMP(s)}]" : "}]");
    }
}

static void put_int(struct trace *trace, const void *data) {
    text_printf(trace->text, "[%d]", *(const i32 *)data);
}

static void put_off(struct trace *trace, const void *data) {
    text_printf(trace->text, "[%lld]", *(const long long *)data);
}

static void put_pipe(struct trace *trace, const void *data) {
    const i32 *ends = data;
    text_printf(trace->text, "[%d, %d]", ends[0], ends[1]);
}

static void put_event(struct trace *trace, const void *data) {
    const struct epoll_event *event = data;
    text_printf(trace->text, "{events=");
    put_flags(trace->text, event->events, epoll_words, "0");
    text_printf(trace->text, ", data={u32=%u, u64=%llu}}", (u32)event->data, (unsigned long long)event->data);
}

static void put_pollfd(struct trace *trace, const void *data) {
    const struct pollfd *p = data;
    if (p->fd < 0) {
        text_printf(trace->text, "{fd=%d}", p->fd);
        return;
    }
    text_printf(trace->text, "{fd=%d, events=", p->fd);
    put_flags(trace->text, (u16)p->events, poll_words, "0");
    text_printf(trace->text, "}");
}

static void put_uname(struct trace *trace, const void *data) {
    const struct utsname *u = data;
    text_printf(trace->text, "{sysname=\"%s\", nodename=\"%s\", ...}", u->sysname, u->nodename);
}

static void put_sysinfo(struct trace *trace, const void *data) {
    const u64 *s = data; // uptime, three loads, totalram, freeram
    text_printf(trace->text, "{uptime=%llu, loads=[%llu, %llu, %llu], totalram=%llu, freeram=%llu, ...}", (unsigned long long)s[0],
                (unsigned long long)s[1], (unsigned long long)s[2], (unsigned long long)s[3], (unsigned long long)s[4],
                (unsigned long long)s[5]);
}

static void put_flock(struct trace *trace, const void *data) {
    const struct flock *lock = data;
    text_printf(trace->text, "{l_type=");
    put_one(trace->text, (u16)lock->type, lock_words);
    text_printf(trace->text, ", l_whence=");
    put_one(trace->text, (u16)lock->whence, whence_words);
    put_pair(trace->text, ", l_start=%lld, l_len=%lld}", lock->start, lock->len);
}

static void put_termios(struct trace *trace, const void *data) {
    const struct termios *t = data;
    text_printf(trace->text, "{c_iflag=%#x, c_oflag=%#x, c_cflag=%#x, c_lflag=%#x, ...}", t->iflag, t->oflag, t->cflag, t->lflag);
}

static void put_winsize(struct trace *trace, const void *data) {
    const struct winsize *w = data;
    text_printf(trace->text, "{ws_row=%u, ws_col=%u, ws_xpixel=%u, ws_ypixel=%u}", w->rows, w->cols, w->xpixel, w->ypixel);
}

static void put_clone_args(struct trace *trace, const void *data) {
    const struct clone_args *args = data;
    struct text *text = trace->text;
    text_printf(text, "{flags=");
    put_flags(text, args->flags, clone_words, "0");
    if (args->flags & (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID))
        text_printf(text, ", child_tid=%#llx", (unsigned long long)args->child_tid);
    if (args->flags & CLONE_PARENT_SETTID)
        text_printf(text, ", parent_tid=%#llx", (unsigned long long)args->parent_tid);
    text_printf(text, ", exit_signal=");
    put_signal(text, (u32)args->exit_signal, true);
    text_printf(text, ", stack=");
    put_hex(trace, args->stack);
    text_printf(text, args->stack_size ? ", stack_size=%#llx" : ", stack_size=0", (unsigned long long)args->stack_size);
    if (args->flags & CLONE_SETTLS)
        text_printf(text, ", tls=%#llx", (unsigned long long)args->tls);
    text_printf(text, "}");
}

// ---- Addresses and messages ---------------------------------------------------------------------
static void put_inet6(struct text *text, const u8 *addr) { // RFC 5952: the longest run of zeroes is "::"
    u32 best = 0, longest = 1;
    for (u32 i = 0; i < 8; i++) {
        u32 n = 0;
        while (i + n < 8 && !addr[2 * (i + n)] && !addr[2 * (i + n) + 1])
            n++;
        if (n > longest)
            best = i, longest = n;
    }
    for (u32 i = 0; i < 8; i++) {
        if (longest > 1 && i == best) {
            text_printf(text, i + longest == 8 || !i ? "::" : ":");
            i += longest - 1;
        } else {
            text_printf(text, i == 7 ? "%x" : "%x:", addr[2 * i] << 8 | addr[2 * i + 1]);
        }
    }
}

static void put_address(struct trace *trace, u64 va, u32 len) {
    struct text *text = trace->text;
    struct address a = {};
    len = min(len, (u32)sizeof a.un);
    if (len < sizeof a.family) {
        put_hex(trace, va);
        return;
    }
    if (!given(trace, va, a.bytes, len))
        return;
    text_printf(text, "{sa_family=");
    put_one(text, a.family, family_words);
    if (a.family == AF_UNIX) {
        u32 n = len - (u32)offsetof(struct sockaddr_un, path);
        bool abstract = n && !a.un.path[0];
        const char *end = abstract ? NULL : memchr(a.un.path, 0, n);
        if (n) {
            text_printf(text, abstract ? ", sun_path=@" : ", sun_path=");
            put_bytes(trace, (u8 *)a.un.path + abstract, end ? (u32)(end - a.un.path) : n - abstract);
        }
    } else if (a.family == AF_INET) {
        const u8 *b = a.in.addr;
        text_printf(text, ", sin_port=htons(%u), sin_addr=inet_addr(\"%u.%u.%u.%u\")", be16(a.in.port_be), b[0], b[1], b[2], b[3]);
    } else if (a.family == AF_INET6) {
        text_printf(text, ", sin6_port=htons(%u), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, \"", be16(a.in6.port_be));
        put_inet6(text, a.in6.addr);
        text_printf(text, "\", &sin6_addr), sin6_scope_id=%u", a.in6.scope_id);
    } else if (a.family == AF_NETLINK) {
        text_printf(text, ", nl_pid=%u, nl_groups=%08x", a.nl.pid, a.nl.groups);
    }
    text_printf(text, "}");
}

// `most` bytes of data are in all of them together; more are not shown.
static void put_vector(struct trace *trace, u64 va, u64 count, u64 most) {
    if (!va) {
        put_hex(trace, va);
        return;
    }
    text_printf(trace->text, "[");
    for (u32 i = 0; i < count; i++) {
        struct iovec one;
        text_printf(trace->text, i ? ", " : "");
        if (i == ITEMS_MAX) {
            text_printf(trace->text, "...");
            break;
        }
        if (!given(trace, va + i * sizeof one, &one, sizeof one))
            break;
        u64 n = min(one.len, most);
        most -= n;
        text_printf(trace->text, "{iov_base=");
        put_buffer(trace, one.base, n);
        text_printf(trace->text, ", iov_len=%llu}", (unsigned long long)one.len);
    }
    text_printf(trace->text, "]");
}

static void put_message(struct trace *trace, u64 va, u64 most, bool in) {
    struct msghdr m;
    if (!given(trace, va, &m, sizeof m))
        return;
    text_printf(trace->text, "{msg_name=");
    if (m.name && m.namelen)
        put_address(trace, m.name, m.namelen);
    else
        put_hex(trace, m.name);
    text_printf(trace->text, ", msg_namelen=%u, msg_iov=", m.namelen);
    put_vector(trace, m.iov, m.iovlen, most);
    text_printf(trace->text, ", msg_iovlen=%llu, msg_controllen=%llu, msg_flags=", (unsigned long long)m.iovlen,
                (unsigned long long)m.controllen);
    put_flags(trace->text, in ? m.flags : 0, msg_words, "0");
    text_printf(trace->text, "}");
}

// ---- Calls whose arguments depend on one another ------------------------------------------------
typedef void put_fn(struct trace *trace, const void *data);

struct request { // a command of fcntl(2) or ioctl(2)
    u32 number;
    const char *name;
    char way;     // '<' given, '>' filled in, 'i' a number, 'o' flags of open, 'f' of a descriptor, ' ' nothing
    u8 size;
    put_fn *put;
};
#define R(name, way, type, put) {name, #name, way, sizeof(type), put}
#define N(name, way) {name, #name, way, 0, NULL}
static const struct request fcntls[] = {
    N(F_DUPFD, 'i'), N(F_DUPFD_CLOEXEC, 'i'), N(F_GETFD, ' '), N(F_SETFD, 'f'), N(F_GETFL, ' '), N(F_SETFL, 'o'),
    R(F_GETLK, '>', struct flock, put_flock), R(F_SETLK, '<', struct flock, put_flock),
    R(F_SETLKW, '<', struct flock, put_flock), R(F_OFD_GETLK, '>', struct flock, put_flock),
    R(F_OFD_SETLK, '<', struct flock, put_flock), R(F_OFD_SETLKW, '<', struct flock, put_flock),
    N(F_SETOWN, 'i'), N(F_GETOWN, ' '), N(F_SETSIG, 'i'), N(F_GETSIG, ' '), N(F_SETPIPE_SZ, 'i'), N(F_GETPIPE_SZ, ' '),
    N(F_ADD_SEALS, 'x'), N(F_GET_SEALS, ' '),
};
static const struct request ioctls[] = {
    R(TCGETS, '>', struct termios, put_termios), R(TCSETS, '<', struct termios, put_termios),
    R(TCSETSW, '<', struct termios, put_termios), R(TCSETSF, '<', struct termios, put_termios),
    R(TCGETS2, '>', struct termios, put_termios), R(TCSETS2, '<', struct termios, put_termios),
    R(TCSETSW2, '<', struct termios, put_termios), R(TCSETSF2, '<', struct termios, put_termios),
    R(TIOCGWINSZ, '>', struct winsize, put_winsize), R(TIOCSWINSZ, '<', struct winsize, put_winsize),
    R(TIOCGPGRP, '>', i32, put_int), R(TIOCSPGRP, '<', i32, put_int), R(TIOCGSID, '>', i32, put_int), R(TIOCGPTN, '>', i32, put_int),
    R(TIOCSPTLCK, '<', i32, put_int), R(TIOCOUTQ, '>', i32, put_int), R(FIONREAD, '>', i32, put_int), R(FIONBIO, '<', i32, put_int),
    R(FIOASYNC, '<', i32, put_int), N(FIOCLEX, ' '), N(FIONCLEX, ' '), N(TIOCNOTTY, ' '), N(TIOCEXCL, ' '), N(TIOCNXCL, ' '),
    N(TIOCSCTTY, 'i'), N(TCSBRK, 'i'), N(TCXONC, 'i'), N(TCFLSH, 'i'), N(TIOCGPTPEER, 'o'),
};
static const struct request prctls[] = {
    {1, "PR_SET_PDEATHSIG", 'S', 0, NULL}, {3, "PR_GET_DUMPABLE", ' ', 0, NULL}, {4, "PR_SET_DUMPABLE", 'i', 0, NULL}, {15, "PR_SET_NAME", 's', 0, NULL},
    {16, "PR_GET_NAME", 'g', 0, NULL}, {23, "PR_CAPBSET_READ", 'i', 0, NULL}, {36, "PR_SET_CHILD_SUBREAPER", 'i', 0, NULL},
    {38, "PR_SET_NO_NEW_PRIVS", 'i', 0, NULL}, {39, "PR_GET_NO_NEW_PRIVS", ' ', 0, NULL}, {0x53564d41, "PR_SET_VMA", 'x', 0, NULL},
};

static void put_request(struct trace *trace, u32 i, const struct request *r, u32 count) {
    u64 v = trace->args[i + 1];
    u8 data[64];
    for (; count && r->number != (u32)trace->args[i]; r++)
        count--;
    if (!count) {
        text_printf(trace->text, "%#x, %#llx", (u32)trace->args[i], (unsigned long long)v);
        return;
    }
    text_printf(trace->text, r->way == ' ' ? "%s" : "%s, ", r->name);
    switch (r->way) {
    case '>':
        if (!trace->good) {
            put_hex(trace, v);
            break;
        }
        [[fallthrough]];
    case '<':
        if (given(trace, v, data, r->size))
            r->put(trace, data);
        break;
    case 'i':
        text_printf(trace->text, "%d", (i32)v);
        break;
    case 'x':
        text_printf(trace->text, "%#llx", (unsigned long long)v);
        break;
    case 'o':
        put_open(trace->text, (u32)v);
        break;
    case 'f':
        put_flags(trace->text, v, fd_words, "0");
        break;
    case 'S':
        put_signal(trace->text, (u32)v, true);
        break;
    case 'g':
        if (!trace->good) {
            put_hex(trace, v);
            break;
        }
        [[fallthrough]];
    case 's':
        put_string(trace, v, STRING_MAX);
        break;
    }
}

static void put_timeout(struct trace *trace, u64 va) {
    struct timespec ts;
    if (given(trace, va, &ts, sizeof ts))
        put_timespec(trace, &ts);
}

static void put_futex(struct trace *trace, u32 i) {
    const u64 *a = trace->args;
    struct text *text = trace->text;
    u32 op = (u32)a[i] & 127;
    put_one(text, op, futex_words);
    text_printf(text, "%s%s", a[i] & 128 ? "_PRIVATE" : "", a[i] & 256 ? "|FUTEX_CLOCK_REALTIME" : "");
    bool waits = op == 0 || op == 9, locks = op == 6 || op == 13;
    if (op != 7 && op != 8 && !locks)
        text_printf(text, waits || op == 3 || op == 4 ? ", %u" : ", %d", (u32)a[2]);
    if (waits || locks) {
        text_printf(text, ", ");
        put_timeout(trace, a[3]);
    }
    if (op == 9)
        text_printf(text, ", NULL");
    if (op == 3 || op == 4 || op == 5)
        text_printf(text, ", %u, %#llx", (u32)a[3], (unsigned long long)a[4]);
    if (op == 4 || op == 5)
        text_printf(text, op == 4 ? ", %u" : ", %#x", (u32)a[5]);
    if (op == 9 || op == 10)
        text_printf(text, (u32)a[5] == ~0u ? ", FUTEX_BITSET_MATCH_ANY" : ", %#x", (u32)a[5]);
}

static void put_clone(struct trace *trace) { // flags, stack, parent_tid, tls, child_tid
    const u64 *a = trace->args;
    struct text *text = trace->text;
    text_printf(text, "child_stack=");
    put_hex(trace, a[1]);
    text_printf(text, ", flags=");
    put_flags(text, a[0] & ~(u64)CSIGNAL, clone_words, a[0] & CSIGNAL ? "" : "0");
    if (a[0] & CSIGNAL) {
        text_printf(text, a[0] & ~(u64)CSIGNAL ? "|" : "");
        put_signal(text, a[0] & CSIGNAL, true);
    }
    i32 tid;
    if (a[0] & CLONE_PARENT_SETTID) {
        text_printf(text, ", parent_tid=");
        if (!trace->good)
            put_hex(trace, a[2]);
        else if (given(trace, a[2], &tid, sizeof tid))
            put_int(trace, &tid);
    }
    if (a[0] & CLONE_SETTLS)
        text_printf(text, ", tls=%#llx", (unsigned long long)a[3]);
    if (a[0] & (CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID))
        text_printf(text, ", child_tidptr=%#llx", (unsigned long long)a[4]);
}

static void put_option(struct trace *trace, u32 i) { // of the level before it
    static const struct { u32 level; const struct word *words; } levels[] = {
        {SOL_SOCKET, so_words}, {SOL_TCP, tcp_words}, {SOL_IP, ip_words}, {SOL_IPV6, ipv6_words},
    };
    for (u32 n = 0; n < lengthof(levels); n++)
        if (levels[n].level == (u32)trace->args[i - 1]) {
            put_one(trace->text, (u32)trace->args[i], levels[n].words);
            return;
        }
    text_printf(trace->text, "%u", (u32)trace->args[i]);
}

static void put_entries(struct trace *trace, u64 va) { // getdents64: how many there are
    u32 n = 0;
    for (i64 at = 0; at < trace->result; n++) {
        struct dirent64 head;
        if (trace_look(trace, va + (u64)at, &head, sizeof head) != sizeof head || !head.reclen)
            break;
        at += head.reclen;
    }
    put_hex(trace, va);
    text_printf(trace->text, " /* %u entr%s */", n, n == 1 ? "y" : "ies");
}

static void put_items(struct trace *trace, u64 va, u64 count, u32 size, put_fn *put) {
    u8 data[32];
    if (!va) {
        put_hex(trace, va);
        return;
    }
    text_printf(trace->text, "[");
    for (u32 i = 0; i < count; i++) {
        text_printf(trace->text, i ? ", " : "");
        if (i == ITEMS_MAX) {
            text_printf(trace->text, "...");
            break;
        }
        if (!given(trace, va + i * size, data, size))
            break;
        put(trace, data);
    }
    text_printf(trace->text, "]");
}

// ---- Kinds ---------------------------------------------------------------------------------------
enum shape { FLAGS, ONE, GIVEN, FILLED };

// Kinds that are words or one structure; the others are in trace_arg.
static const struct kind {
    const char *name;
    enum shape shape;
    u32 size;
    const void *what; // words, or
    put_fn *put;
} kinds[] = {
#define F(name) {#name, FLAGS, 0, name##_words, NULL}
#define E(name) {#name, ONE, 0, name##_words, NULL}
#define S(name, type, put) {name "<", GIVEN, sizeof(type), NULL, put}, {name ">", FILLED, sizeof(type), NULL, put}
    F(map), F(msync), F(at), F(eaccess), F(unlink), F(rename), F(flock), F(fallocate), F(splice), F(rwf), F(mount),
    F(umount), F(statx), F(statx_at), F(clone), F(wait), F(absolute), F(efd), F(sfd), F(tfd), F(tfd_time), F(in), F(watch), F(mfd),
    F(grnd), F(epoll_fd), F(sock_fd), F(msg), F(close_range),
    E(madvice), E(whence), E(fadvice), E(idtype), E(how), E(clock), E(itimer), E(rusage), E(rlimit), E(epoll_op), E(family),
    E(shut), E(level),
    S("timespec", struct timespec, put_timespec), S("timespecs", struct timespec[2], put_timespecs),
    S("timeval", struct timeval, put_timeval), S("itimerval", struct itimerval, put_itimerval),
    S("itimerspec", struct itimerspec, put_itimerspec), S("rusage", struct rusage, put_rusage), S("rlimit", u64[2], put_rlimit),
    S("kstat", struct kstat, put_kstat), S("statx", struct statx, put_statx), S("sigset", u64, put_sigset),
    S("sigaction", struct sigaction, put_sigaction), S("sigstack", u64[3], put_sigstack),
    S("siginfo", struct siginfo, put_siginfo), S("status", u32, put_status), S("int", i32, put_int), S("off", i64, put_off),
    S("pipe", i32[2], put_pipe), S("event", struct epoll_event, put_event), S("uname", struct utsname, put_uname),
    S("sysinfo", u64[6], put_sysinfo), S("clone_args", struct clone_args, put_clone_args),
#undef F
#undef E
#undef S
};

static void put_kind(struct trace *trace, const struct kind *kind, u64 v) {
    u64 data[64]; // the largest is a utsname
    static_assert(sizeof(struct utsname) <= sizeof data);
    switch (kind->shape) {
    case FLAGS:
        put_flags(trace->text, (u32)v, kind->what, "0");
        break;
    case ONE:
        put_one(trace->text, (u64)(i64)(i32)v, kind->what);
        break;
    case FILLED:
        if (!trace->good) {
            put_hex(trace, v);
            break;
        }
        [[fallthrough]];
    case GIVEN:
        if (given(trace, v, data, kind->size))
            kind->put(trace, data);
    }
}

void trace_arg(struct trace *trace, const char *name, u32 len, u32 i) {
    struct text *text = trace->text;
    u64 v = trace->args[i], next = i < 5 ? trace->args[i + 1] : 0;
    u64 got = trace->good && trace->result > 0 ? (u64)trace->result : 0;
    bool good = trace->good;
#define KIND(is) (len == sizeof is - 1 && !memcmp(name, is, len))
    if (KIND("fd") || KIND("int"))
        text_printf(text, "%d", (i32)v);
    else if (KIND("timeout") && v && trace->good)
        put_timespec(trace, &(struct timespec){(i64)trace->task->call.scratch[0], (i64)trace->task->call.scratch[1]});
    else if (KIND("timeout"))
        put_timeout(trace, v);
    else if (KIND("dirfd"))
        text_printf(text, (i32)v == AT_FDCWD ? "AT_FDCWD" : "%d", (i32)v);
    else if (KIND("path"))
        put_string(trace, v, PATH_MAX);
    else if (KIND("str") || (KIND("str>") && good))
        put_string(trace, v, STRING_MAX);
    else if (KIND("buf<"))
        put_buffer(trace, v, next);
    else if (KIND("buf>") && got)
        put_buffer(trace, v, min(got, next));
    else if (KIND("len") || KIND("uint"))
        text_printf(text, "%llu", (unsigned long long)v);
    else if (KIND("off"))
        text_printf(text, "%lld", (long long)v);
    else if (KIND("id"))
        text_printf(text, (u32)v == ~0u ? "%d" : "%u", (u32)v);
    else if (KIND("mode"))
        put_mode(text, (u32)v);
    else if (KIND("sig"))
        put_signal(text, (u32)v, true);
    else if (KIND("prot"))
        put_flags(text, (u32)v, prot_words, "PROT_NONE");
    else if (KIND("access"))
        put_flags(text, (u32)v, access_words, "F_OK");
    else if (KIND("oflags"))
        put_flags(text, (u32)v, open_words, "0");
    else if (KIND("open")) { // its mode only where it is read
        put_open(text, (u32)v);
        if (v & O_CREAT || (v & O_TMPFILE) == O_TMPFILE) {
            text_printf(text, ", ");
            put_mode(text, (u32)next);
        }
    } else if (KIND("socket")) {
        put_one(text, v & SOCK_TYPE_MASK, sock_words);
        if (v & ~(u64)SOCK_TYPE_MASK) {
            text_printf(text, "|");
            put_flags(text, v & ~(u64)SOCK_TYPE_MASK, sock_fd_words, "");
        }
    } else if (KIND("protocol")) {
        bool inet = trace->args[i - 2] == AF_INET || trace->args[i - 2] == AF_INET6;
        static const struct word none[] = {{0, NULL}};
        put_one(text, (u32)v, inet ? protocol_words : none);
    } else if (KIND("mremap")) {
        put_flags(text, (u32)v, mremap_words, "0");
        if (v & MREMAP_FIXED)
            text_printf(text, ", %#llx", (unsigned long long)next);
    } else if (KIND("option"))
        put_option(trace, i);
    else if (KIND("fcntl"))
        put_request(trace, i, fcntls, lengthof(fcntls));
    else if (KIND("ioctl"))
        put_request(trace, i, ioctls, lengthof(ioctls));
    else if (KIND("prctl"))
        put_request(trace, i, prctls, lengthof(prctls));
    else if (KIND("futex"))
        put_futex(trace, i);
    else if (KIND("clone*"))
        put_clone(trace);
    else if (KIND("argv") || KIND("envp"))
        put_strings(trace, v, KIND("argv"));
    else if (KIND("entries>") && good)
        put_entries(trace, v);
    else if (KIND("addr<"))
        put_address(trace, v, (u32)next);
    else if (KIND("addr>") && good && v) {
        u32 size = 0;
        trace_look(trace, next, &size, sizeof size);
        put_address(trace, v, size);
    } else if (KIND("iov<"))
        put_vector(trace, v, next, ~0ull);
    else if (KIND("iov>") && good)
        put_vector(trace, v, next, got);
    else if (KIND("msg<"))
        put_message(trace, v, ~0ull, false);
    else if (KIND("msg>") && good)
        put_message(trace, v, got, true);
    else if (KIND("pollfds"))
        put_items(trace, v, next, sizeof(struct pollfd), put_pollfd);
    else if (KIND("events>") && good)
        put_items(trace, v, got, sizeof(struct epoll_event), put_event);
    else {
        for (u32 k = 0; k < lengthof(kinds); k++)
            if (strlen(kinds[k].name) == len && !memcmp(name, kinds[k].name, len)) {
                put_kind(trace, &kinds[k], v);
                return;
            }
        if (KIND("hex"))
            text_printf(text, v ? "%#llx" : "0", (unsigned long long)v);
        else
            put_hex(trace, v);
    }
#undef KIND
}

void trace_after(struct trace *trace, u32 nr) {
    struct text *text = trace->text;
    const u64 *a = trace->args;
    u64 result = (u64)trace->result;
    if (nr == NR_fcntl && result && (u32)a[1] == F_GETFD)
        text_printf(text, " (flags FD_CLOEXEC)");
    if (nr == NR_fcntl && (u32)a[1] == F_GETFL) {
        text_printf(text, " (flags ");
        put_open(text, (u32)result);
        text_printf(text, ")");
    }
    if ((nr == NR_ppoll || nr == NR_pselect6) && !result)
        text_printf(text, " (Timeout)");
    struct timespec left;
    u64 timeout = nr == NR_ppoll ? a[2] : nr == NR_pselect6 ? a[4] : 0;
    bool remains = timeout && result && trace_look(trace, timeout, &left, sizeof left) == sizeof left;
    if (nr == NR_ppoll && result) {
        const char *between = "";
        text_printf(text, " ([");
        for (u32 i = 0; i < a[1]; i++) {
            struct pollfd p;
            if (trace_look(trace, a[0] + i * sizeof p, &p, sizeof p) != sizeof p)
                break;
            if (!p.revents)
                continue;
            text_printf(text, "%s{fd=%d, revents=", between, p.fd);
            put_flags(text, (u16)p.revents, poll_words, "0");
            text_printf(text, "}");
            between = ", ";
        }
        text_printf(text, remains ? "], left " : "])");
    } else if (remains) {
        text_printf(text, " (left ");
    }
    if (remains) {
        put_timespec(trace, &left);
        text_printf(text, ")");
    }
}

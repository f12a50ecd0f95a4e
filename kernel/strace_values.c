// How a value is shown, or what lies at an address: words, strings, structures, in strace(1)'s spelling.
#include "strace_values.h"
#include "fs/termios.h"
#include "net/sock.h"
#include "proc/proc.h"
#include "strace_words.h"

#define ITEMS_MAX 16u

// ---- Words ---------------------------------------------------------------------------------------
void put_flags(struct text *text, u64 v, const struct word *words, const char *zero) {
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

void put_one(struct text *text, u64 v, const struct word *words) {
    for (; words->name; words++)
        if (words->bits == v) {
            text_printf(text, "%s", words->name);
            return;
        }
    text_printf(text, v < 1u << 16 ? "%lld" : "%#llx", (long long)v);
}

void put_signal(struct text *text, u32 signal, bool prefix) {
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

void put_open(struct text *text, u32 v) {
    static const char *const ways[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"};
    text_printf(text, "%s", ways[v & O_ACCMODE]);
    if (v & ~O_ACCMODE) {
        text_printf(text, "|");
        put_flags(text, v & ~O_ACCMODE, open_words, "");
    }
}

void put_mode(struct text *text, u32 mode) {
    if (mode & S_IFMT) {
        put_one(text, mode & S_IFMT, type_words);
        text_printf(text, "|");
    }
    text_printf(text, "%s%o", mode & 07777 ? "0" : "00", mode & 07777);
}

// ---- Guest memory -------------------------------------------------------------------------------
void put_hex(struct trace *trace, u64 va) {
    text_printf(trace->text, va ? "%#llx" : "NULL", (unsigned long long)va);
}

bool trace_given(struct trace *trace, u64 va, void *out, u32 size) {
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

void put_buffer(struct trace *trace, u64 va, u64 len) {
    u8 data[STRING_MAX];
    u32 n = (u32)min(len, (u64)STRING_MAX);
    if (len && !trace_given(trace, va, data, n))
        return;
    put_bytes(trace, data, n);
    text_printf(trace->text, n < len ? "..." : "");
}

void put_string(struct trace *trace, u64 va, u32 most) {
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

void put_strings(struct trace *trace, u64 va, bool whole) {
    u64 one;
    u32 n = 0;
    if (!trace_given(trace, va, &one, sizeof one))
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

void put_timespec(struct trace *trace, const void *data) {
    const struct timespec *ts = data;
    if (ts->nsec == UTIME_NOW || ts->nsec == UTIME_OMIT)
        text_printf(trace->text, ts->nsec == UTIME_NOW ? "UTIME_NOW" : "UTIME_OMIT");
    else
        put_pair(trace->text, "{tv_sec=%lld, tv_nsec=%lld}", ts->sec, ts->nsec);
}

void put_timespecs(struct trace *trace, const void *data) {
    const struct timespec *ts = data;
    text_printf(trace->text, "[");
    put_timespec(trace, ts);
    text_printf(trace->text, ", ");
    put_timespec(trace, ts + 1);
    text_printf(trace->text, "]");
}

void put_timeval(struct trace *trace, const void *data) {
    const struct timeval *tv = data;
    put_pair(trace->text, "{tv_sec=%lld, tv_usec=%lld}", tv->sec, tv->usec);
}

void put_itimerval(struct trace *trace, const void *data) {
    const struct itimerval *it = data;
    text_printf(trace->text, "{it_interval=");
    put_timeval(trace, &it->interval);
    text_printf(trace->text, ", it_value=");
    put_timeval(trace, &it->value);
    text_printf(trace->text, "}");
}

void put_itimerspec(struct trace *trace, const void *data) {
    const struct itimerspec *it = data;
    text_printf(trace->text, "{it_interval=");
    put_timespec(trace, &it->interval);
    text_printf(trace->text, ", it_value=");
    put_timespec(trace, &it->value);
    text_printf(trace->text, "}");
}

void put_rusage(struct trace *trace, const void *data) {
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

void put_rlimit(struct trace *trace, const void *data) {
    const u64 *limit = data;
    text_printf(trace->text, "{rlim_cur=");
    put_limit(trace->text, limit[0]);
    text_printf(trace->text, ", rlim_max=");
    put_limit(trace->text, limit[1]);
    text_printf(trace->text, "}");
}

void put_kstat(struct trace *trace, const void *data) {
    const struct kstat *st = data;
    text_printf(trace->text, "{st_mode=");
    put_mode(trace->text, st->mode);
    if (S_ISCHR(st->mode) || S_ISBLK(st->mode))
        text_printf(trace->text, ", st_rdev=makedev(%#x, %#x), ...}", major_of((u32)st->rdev),
                    minor_of((u32)st->rdev));
    else
        text_printf(trace->text, ", st_size=%lld, ...}", (long long)st->size);
}

void put_statx(struct trace *trace, const void *data) {
    const struct statx *st = data;
    text_printf(trace->text, "{stx_mask=");
    put_flags(trace->text, st->mask, statx_words, "0");
    text_printf(trace->text, ", stx_attributes=%s%llx, stx_mode=", st->attributes ? "0x" : "",
                (unsigned long long)st->attributes);
    put_mode(trace->text, st->mode);
    text_printf(trace->text, ", stx_size=%llu, ...}", (unsigned long long)st->size);
}

void put_sigset(struct trace *trace, const void *data) {
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

void put_sigarg(struct trace *trace, const void *data) {
    const struct { u64 set, size; } *arg = data;
    u64 set;
    text_printf(trace->text, "{sigmask=");
    if (trace_given(trace, arg->set, &set, sizeof set))
        put_sigset(trace, &set);
    text_printf(trace->text, ", sigsetsize=%llu}", (unsigned long long)arg->size);
}

void put_sigaction(struct trace *trace, const void *data) {
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

void put_sigstack(struct trace *trace, const void *data) {
    const struct { u64 sp; i32 flags, pad; u64 size; } *ss = data;
    text_printf(trace->text, "{ss_sp=");
    put_hex(trace, ss->sp);
    text_printf(trace->text, ", ss_flags=");
    put_flags(trace->text, (u32)ss->flags, ss_words, "0");
    text_printf(trace->text, ", ss_size=%llu}", (unsigned long long)ss->size);
}

void put_siginfo(struct trace *trace, const void *data) {
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

void put_status(struct trace *trace, const void *data) {
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

void put_int(struct trace *trace, const void *data) {
    text_printf(trace->text, "[%d]", *(const i32 *)data);
}

void put_off(struct trace *trace, const void *data) {
    text_printf(trace->text, "[%lld]", *(const long long *)data);
}

void put_pipe(struct trace *trace, const void *data) {
    const i32 *ends = data;
    text_printf(trace->text, "[%d, %d]", ends[0], ends[1]);
}

void put_event(struct trace *trace, const void *data) {
    const struct epoll_event *event = data;
    text_printf(trace->text, "{events=");
    put_flags(trace->text, event->events, epoll_words, "0");
    text_printf(trace->text, ", data={u32=%u, u64=%llu}}", (u32)event->data, (unsigned long long)event->data);
}

void put_pollfd(struct trace *trace, const void *data) {
    const struct pollfd *p = data;
    if (p->fd < 0) {
        text_printf(trace->text, "{fd=%d}", p->fd);
        return;
    }
    text_printf(trace->text, "{fd=%d, events=", p->fd);
    put_flags(trace->text, (u16)p->events, poll_words, "0");
    text_printf(trace->text, "}");
}

void put_uname(struct trace *trace, const void *data) {
    const struct utsname *u = data;
    text_printf(trace->text, "{sysname=\"%s\", nodename=\"%s\", ...}", u->sysname, u->nodename);
}

void put_sysinfo(struct trace *trace, const void *data) {
    const u64 *s = data; // uptime, three loads, totalram, freeram
    text_printf(trace->text, "{uptime=%llu, loads=[%llu, %llu, %llu], totalram=%llu, freeram=%llu, ...}", (unsigned long long)s[0],
                (unsigned long long)s[1], (unsigned long long)s[2], (unsigned long long)s[3], (unsigned long long)s[4],
                (unsigned long long)s[5]);
}

void put_flock(struct trace *trace, const void *data) {
    const struct flock *lock = data;
    text_printf(trace->text, "{l_type=");
    put_one(trace->text, (u16)lock->type, lock_words);
    text_printf(trace->text, ", l_whence=");
    put_one(trace->text, (u16)lock->whence, whence_words);
    put_pair(trace->text, ", l_start=%lld, l_len=%lld}", lock->start, lock->len);
}

void put_termios(struct trace *trace, const void *data) {
    const struct termios *t = data;
    text_printf(trace->text, "{c_iflag=%#x, c_oflag=%#x, c_cflag=%#x, c_lflag=%#x, ...}", t->iflag, t->oflag, t->cflag, t->lflag);
}

void put_winsize(struct trace *trace, const void *data) {
    const struct winsize *w = data;
    text_printf(trace->text, "{ws_row=%u, ws_col=%u, ws_xpixel=%u, ws_ypixel=%u}", w->rows, w->cols, w->xpixel, w->ypixel);
}

void put_clone_args(struct trace *trace, const void *data) {
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

void put_address(struct trace *trace, u64 va, u32 len) {
    struct text *text = trace->text;
    struct address a = {};
    len = min(len, (u32)sizeof a.un);
    if (len < sizeof a.family) {
        put_hex(trace, va);
        return;
    }
    if (!trace_given(trace, va, a.bytes, len))
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

void put_vector(struct trace *trace, u64 va, u64 count, u64 most) {
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
        if (!trace_given(trace, va + i * sizeof one, &one, sizeof one))
            break;
        u64 n = min(one.len, most);
        most -= n;
        text_printf(trace->text, "{iov_base=");
        put_buffer(trace, one.base, n);
        text_printf(trace->text, ", iov_len=%llu}", (unsigned long long)one.len);
    }
    text_printf(trace->text, "]");
}

void put_message(struct trace *trace, u64 va, u64 most, bool in) {
    struct msghdr m;
    if (!trace_given(trace, va, &m, sizeof m))
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

// ---- Lists --------------------------------------------------------------------------------------
void put_items(struct trace *trace, u64 va, u64 count, u32 size, put_fn *put) {
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
        if (!trace_given(trace, va + i * size, data, size))
            break;
        put(trace, data);
    }
    text_printf(trace->text, "]");
}

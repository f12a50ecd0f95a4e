// The kinds of arguments in syscalls.tbl, and which way each is shown (strace_values.h).
#include "fs/ioctl.h"
#include "fs/termios.h"
#include "fs/file.h"
#include "proc/proc.h"
#include "strace_values.h"
#include "strace_words.h"
#include "sys/sys.h"

// ---- Calls whose arguments depend on one another ------------------------------------------------
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
        if (trace_given(trace, v, data, r->size))
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
    if (trace_given(trace, va, &ts, sizeof ts))
        put_timespec(trace, &ts);
}

// Set `i` of pselect6, as it was asked for or found: the one replaces the other. False: no descriptor is in it.
static bool put_fdset(struct trace *trace, u32 i, bool found) {
    u32 fds = (i32)trace->args[0] > 0 ? min((u32)trace->args[0], FD_MAX) : 0;
    u64 va = trace->args[i], word;
    const char *between = "";
    if (!fds)
        put_hex(trace, va);
    if (!fds || !trace_given(trace, va, &word, sizeof word))
        return false;
    text_printf(trace->text, "[");
    for (u32 fd = 0; fd < fds; fd += 64) {
        if (trace->good && !found)
            word = select_asked(&trace->task->call, i - 1, fd / 64);
        else if (trace_look(trace, va + fd / 8, &word, sizeof word) != sizeof word)
            break;
        if (fds - fd < 64)
            word &= (1ull << (fds - fd)) - 1;
        for (; word; word &= word - 1) {
            text_printf(trace->text, "%s%u", between, fd + (u32)__builtin_ctzll(word));
            between = " ";
        }
    }
    text_printf(trace->text, "]");
    return *between;
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
        else if (trace_given(trace, a[2], &tid, sizeof tid))
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
    S("kstat", struct kstat, put_kstat), S("statx", struct statx, put_statx), S("sigset", u64, put_sigset), S("sigarg", u64[2], put_sigarg),
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
        if (trace_given(trace, v, data, kind->size))
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
    else if (KIND("fdset"))
        put_fdset(trace, i, false);
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
    }
    if (nr == NR_pselect6 && result) {
        static const char *const sets[] = {"in", "out", "except"};
        const char *between = " (";
        for (u32 i = 0; i < lengthof(sets); i++) {
            u32 before = text->len;
            text_printf(text, "%s%s ", between, sets[i]);
            if (a[1 + i] && put_fdset(trace, 1 + i, true))
                between = ", ";
            else
                text->len = before;
        }
        text_printf(text, remains ? ", left " : ")");
    }
    if (remains) {
        put_timespec(trace, &left);
        text_printf(text, ")");
    }
}

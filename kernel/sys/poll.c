// poll(2), select(2), epoll(7): the calls. All waiting for many files goes through one struct
// poll_set.
#include "sys.h"
#include "../fs/epoll.h"
#include "../lib/heap.h"
#include "../lib/string.h"
#include "../task/signal.h"
#include "timearg.h"

// What a waiting poll holds: its files, so that a close elsewhere cannot take their queues away.
struct poll_entry {
    struct file *file; // with a reference; NULL: skipped or bad
    i32 fd;
    u16 events, revents;
};
struct poll_set { // call->captured
    u32 count;
    i32 nfds;       // select
    u64 timeout_ns; // absolute; ~0 none, 0 do not wait
    struct poll_entry entries[];
};

struct call_pollwait {
    struct pollwait pw;
    struct task *task;
    u32 interest;
    i64 error;
};

static void poll_queue(struct pollwait *pw, struct waitq *queue, u32 events) {
    struct call_pollwait *cw = container_of(pw, struct call_pollwait, pw);
    events &= cw->interest | POLLERR | POLLHUP;
    if (!events || cw->error)
        return;
    i64 r = wait_on_events(cw->task, queue, STATUS_EPOLL_WAIT, events);
    if (r != E_WAIT)
        cw->error = r;
}

static void poll_drop(struct task *task, struct call *call) {
    struct poll_set *set = call->captured;
    wait_cancel(call); // before the files' queues can go
    call->undo = NULL;
    for (u32 i = 0; i < set->count; i++)
        if (set->entries[i].file) {
            file_put(set->entries[i].file);
            set->entries[i].file = NULL;
        }
}

static u32 file_events(struct file *file, struct pollwait *pw) {
    return file->ops->poll ? file->ops->poll(file, pw) : POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM;
}

// Fills revents; with `pw`, queues on every file until one is found ready. How many entries are
// ready.
static u32 poll_scan(struct poll_set *set, struct call_pollwait *cw) {
    u32 ready = 0;
    for (u32 i = 0; i < set->count; i++) {
        struct poll_entry *e = &set->entries[i];
        u32 events = 0;
        if (e->file) {
            if (cw)
                cw->interest = e->events;
            events = file_events(e->file, cw && !ready ? &cw->pw : NULL) &
                     (e->events | POLLERR | POLLHUP);
        } else if (e->fd >= 0) {
            events = POLLNVAL;
        }
        e->revents = (u16)events;
        ready += events != 0;
    }
    pass_cost(set->count);
    return ready;
}

// First entry with a fresh set: installs the mask, holds the files. Then waits until something is
// ready or the time is up. The number of ready entries, with references dropped, or E_WAIT.
static i64 poll_wait(struct task *task, struct call *call) {
    struct poll_set *set = call->captured;
    struct call_pollwait cw = {{poll_queue}, task, 0, 0};
    bool first = call->phase == 0;
    if (first) {
        call->phase = 1;
        call->undo = poll_drop;
        for (u32 i = 0; i < set->count; i++) {
            struct poll_entry *e = &set->entries[i];
            e->file = e->fd < 0 ? NULL : fd_file(task, e->fd);
            if (e->file && e->file->flags & O_PATH)
                e->file = NULL;
            if (e->file)
                file_get(e->file);
        }
        if (set->timeout_ns && set->timeout_ns != ~0ull)
            wait_deadline(task, set->timeout_ns);
    }
    i64 ready = poll_scan(set, first && set->timeout_ns ? &cw : NULL);
    if (!ready && !cw.error && set->timeout_ns && !call->timed_out)
        return set->count ? wait_alone(task, STATUS_EPOLL_WAIT) : wait_alone(task, STATUS_SLEEP);
    poll_drop(task, call);
    return cw.error ? cw.error : ready;
}

static struct poll_set *poll_set_new(struct call *call, u64 count) {
    struct poll_set *set = kmalloc(sizeof *set + count * sizeof(struct poll_entry));
    if (set)
        set->count = (u32)count;
    kfree(call->captured);
    return call->captured = set;
}

// The temporary mask of ppoll, pselect6 and epoll_pwait.
static i64 mask_fetch(struct task *task, uptr p, u64 size, u64 *mask) {
    if (size != 8)
        return -EINVAL;
    return get_user(task, *mask, p);
}
static void mask_install(struct task *task, struct call *call, u64 mask) {
    call->saved_mask = task->blocked;
    call->mask_saved = true;
    signal_set_blocked(task, mask);
}

// What is left of the timeout goes back to the caller; like Linux, a bad pointer is nobody's
// problem.
static void time_left(struct task *task, uptr p, u64 deadline) {
    if (!p.va || deadline == ~0ull)
        return;
    u64 left = deadline > now_ns() ? deadline - now_ns() : 0;
    struct timespec ts = {(i64)(left / NSEC), (i64)(left % NSEC)};
    i64 ignored = copy_out(task, p, &ts, sizeof ts);
    (void)ignored;
}

// A relative timeout argument as an absolute deadline: ~0 without one, 0 for "do not wait". What was passed
// is left in `asked`, for traces: what remains of it replaces the argument.
static i64 timeout_fetch(struct task *task, uptr p, u64 *out, u64 asked[2]) {
    struct timespec ts;
    *out = ~0ull;
    if (!p.va)
        return 0;
    i64 error = get_user(task, ts, p);
    if (error)
        return error;
    if (!timespec_valid(&ts))
        return -EINVAL;
    if (asked)
        asked[0] = (u64)ts.sec, asked[1] = (u64)ts.nsec;
    *out = ts.sec || ts.nsec ? time_after(now_ns(), timespec_ns(&ts)) : 0;
    return 0;
}


i64 sys_ppoll(struct task *task, struct call *call) {
    uptr fds = arg_ptr(call, 0), timeout = arg_ptr(call, 2), sigmask = arg_ptr(call, 3);
    u64 count = arg_u32(call, 1);
    if (call->phase == 0) {
        u64 mask = 0, deadline;
        i64 error = timeout_fetch(task, timeout, &deadline, call->scratch);
        if (!error && sigmask.va)
            error = mask_fetch(task, sigmask, call->args[4], &mask);
        if (error)
            return error;
        if (count > task->process->rlimit[RLIMIT_NOFILE][0] || count > FD_MAX)
            return -EINVAL;
        if ((error = user_ready(task, fds, count * sizeof(struct pollfd), ACCESS_WRITE)))
            return error;
        struct poll_set *set = poll_set_new(call, count);
        if (!set)
            return -ENOMEM;
        set->timeout_ns = deadline;
        for (u32 i = 0; i < count; i++) {
            struct pollfd p;
            if ((error = get_user(task, p, UPTR(fds.va + i * sizeof p))))
                return error;
            set->entries[i].fd = p.fd;
            set->entries[i].events = (u16)p.events;
        }
        if (sigmask.va)
            mask_install(task, call, mask);
    }
    i64 ready = poll_wait(task, call);
    if (ready < 0)
        return ready;
    struct poll_set *set = call->captured;
    for (u32 i = 0; i < count; i++) {
        i64 error =
            put_user(task, UPTR(fds.va + i * sizeof(struct pollfd) + 6), set->entries[i].revents);
        if (error)
            return error;
    }
    time_left(task, timeout, set->timeout_ns);
    return ready;
}

// ---- select ----
#define SELECT_IN (POLLIN | POLLRDNORM | POLLRDBAND)
#define SELECT_OUT (POLLOUT | POLLWRNORM | POLLWRBAND)
static const struct {
    u32 ask, answer;
} select_kinds[3] = {{SELECT_IN, SELECT_IN | POLLHUP | POLLERR},
                     {SELECT_OUT, SELECT_OUT | POLLERR},
                     {POLLPRI, POLLPRI}};

// Reads the three bitmaps into a set with one entry per descriptor named in any of them.
static i64 select_fetch(struct task *task, struct call *call, i32 nfds, u64 deadline) {
    u32 words = ((u32)nfds + 63) / 64, count = 0;
    u64 *bits = kmalloc(words * 3 * 8 + 8);
    if (!bits)
        return -ENOMEM;
    i64 error = 0;
    for (u32 k = 0; k < 3 && !error; k++)
        if (arg_ptr(call, 1 + k).va && words) {
            error = user_ready(task, arg_ptr(call, 1 + k), words * 8, ACCESS_WRITE);
            if (!error)
                error = copy_in(task, bits + k * words, arg_ptr(call, 1 + k), words * 8);
        }
    for (u32 pass = 0; pass < 2 && !error; pass++) {
        struct poll_set *set = pass ? poll_set_new(call, count) : NULL;
        if (pass && !set) {
            error = -ENOMEM;
            break;
        }
        count = 0;
        for (i32 fd = 0; fd < nfds; fd++) {
            u32 ask = 0;
            for (u32 k = 0; k < 3; k++)
                if (bits[k * words + (u32)fd / 64] >> (fd % 64) & 1)
                    ask |= select_kinds[k].ask;
            if (!ask)
                continue;
            if (!fd_file(task, fd)) {
                error = -EBADF;
                break;
            }
            if (set)
                set->entries[count] = (struct poll_entry){.fd = fd, .events = (u16)ask};
            count++;
        }
        if (set) {
            set->nfds = nfds;
            set->timeout_ns = deadline;
        }
    }
    kfree(bits);
    return error;
}

u64 select_asked(const struct call *call, u32 which, u32 word) {
    const struct poll_set *set = call->captured;
    u64 bits = 0;
    for (u32 i = 0; i < set->count; i++)
        if ((u32)set->entries[i].fd / 64 == word && set->entries[i].events & select_kinds[which].ask)
            bits |= 1ull << (set->entries[i].fd % 64);
    return bits;
}

static i64 select_answer(struct task *task, struct call *call) {
    struct poll_set *set = call->captured;
    u32 words = ((u32)set->nfds + 63) / 64;
    i64 bits_set = 0;
    for (u32 k = 0; k < 3; k++) {
        uptr map = arg_ptr(call, 1 + k);
        u32 e = 0;
        for (u32 w = 0; map.va && w < words; w++) {
            u64 word = 0;
            for (; e < set->count && (u32)set->entries[e].fd / 64 == w; e++) {
                struct poll_entry *p = &set->entries[e];
                if (p->events & select_kinds[k].ask && p->revents & select_kinds[k].answer) {
                    word |= 1ull << (p->fd % 64);
                    bits_set++;
                }
            }
            i64 error = put_user(task, UPTR(map.va + w * 8), word);
            if (error)
                return error;
        }
    }
    return bits_set;
}

i64 sys_pselect6(struct task *task, struct call *call) {
    uptr timeout = arg_ptr(call, 4), sig = arg_ptr(call, 5);
    if (call->phase == 0) {
        i32 nfds = arg_int(call, 0);
        u64 deadline, mask = 0, pair[2] = {0, 0};
        i64 error = timeout_fetch(task, timeout, &deadline, call->scratch);
        if (!error && sig.va)
            error = get_user(task, pair, sig);
        if (!error && pair[0])
            error = mask_fetch(task, UPTR(pair[0]), pair[1], &mask);
        if (error)
            return error;
        if (nfds < 0)
            return -EINVAL;
        nfds = min(nfds, (i32)min((u32)FD_MAX, align_up(task->files->size, 64u)));
        if ((error = select_fetch(task, call, nfds, deadline)))
            return error;
        if (pair[0])
            mask_install(task, call, mask);
    }
    i64 ready = poll_wait(task, call);
    if (ready < 0)
        return ready;
    ready = select_answer(task, call);
    time_left(task, timeout, ((struct poll_set *)call->captured)->timeout_ns);
    return ready;
}

// ---- epoll ----
i64 sys_epoll_create1(struct task *task, struct call *call) {
    u32 flags = arg_u32(call, 0);
    if (flags & ~O_CLOEXEC)
        return -EINVAL;
    struct file *file;
    i64 error = epoll_new(&file);
    return error ? error : fd_install(task, file, 0, flags & O_CLOEXEC);
}

i64 sys_epoll_ctl(struct task *task, struct call *call) {
    struct epoll_event event = {0};
    i32 op = arg_int(call, 1), fd = arg_int(call, 2);
    if (op != EPOLL_CTL_DEL) {
        i64 error = get_user(task, event, arg_ptr(call, 3));
        if (error)
            return error;
    }
    struct file *ep = fd_file(task, arg_int(call, 0)), *target = fd_file(task, fd);
    if (!ep || !target || target->flags & O_PATH)
        return -EBADF;
    return epoll_ctl(ep, op, target, fd, &event);
}

static i64 epoll_wait(struct task *task, struct call *call) {
    struct file *ep = call_file(task, 0, arg_int(call, 0));
    u64 deadline = call->scratch[0];
    i64 n = epoll_harvest(task, ep, arg_ptr(call, 1), arg_u32(call, 2));
    if (n || !deadline || call->timed_out)
        return n;
    if (call->phase == 0) {
        call->phase = 1;
        if (deadline != ~0ull)
            wait_deadline(task, deadline);
    }
    return epoll_sleep(task, ep);
}

static i64 epoll_start(struct task *task, struct call *call, uptr sigmask, u64 size) {
    u64 mask;
    i32 most = arg_int(call, 2);
    if (sigmask.va) {
        i64 error = mask_fetch(task, sigmask, size, &mask);
        if (error)
            return error;
    }
    struct file *ep = call_file(task, 0, arg_int(call, 0));
    if (!ep)
        return -EBADF;
    if (!file_is_epoll(ep) || most <= 0 || most > (i32)(0x7fffffff / sizeof(struct epoll_event)))
        return -EINVAL;
    if (sigmask.va && !call->mask_saved)
        mask_install(task, call, mask);
    return 0;
}

i64 sys_epoll_pwait(struct task *task, struct call *call) {
    if (call->phase == 0) {
        i64 error = epoll_start(task, call, arg_ptr(call, 4), call->args[5]);
        if (error)
            return error;
        i32 ms = arg_int(call, 3);
        call->scratch[0] = ms < 0 ? ~0ull : ms ? time_after(now_ns(), (u64)ms * 1000000) : 0;
    }
    return epoll_wait(task, call);
}

i64 sys_epoll_pwait2(struct task *task, struct call *call) {
    if (call->phase == 0) {
        i64 error = timeout_fetch(task, arg_ptr(call, 3), &call->scratch[0], NULL);
        if (!error)
            error = epoll_start(task, call, arg_ptr(call, 4), call->args[5]);
        if (error)
            return error;
    }
    return epoll_wait(task, call);
}

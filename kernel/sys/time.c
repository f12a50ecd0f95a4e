// Clocks, sleeping, processor time and timers: the calls.
#include "sys.h"
#include "../task/itimer.h"
#include "../task/signal.h"
#include "timearg.h"

static bool may_set_time(struct task *task) {
    return task->cred.cap_effective & 1ull << CAP_SYS_TIME;
}

// ---- Clocks ----
enum { CPUCLOCK_THREAD = 4, CPUCLOCK_WHICH = 3 };

// A negative clock is the processor time of a process or thread: ~pid << 3 | kind.
static i64 cpu_clock(struct task *task, i32 clock, u64 *ns) {
    u32 pid = (u32) ~(clock >> 3), which = clock & CPUCLOCK_WHICH;
    if (which == CPUCLOCK_WHICH)
        return -EINVAL;
    u64 user, system;
    if (clock & CPUCLOCK_THREAD) {
        struct task *of = pid ? task_find(pid) : task;
        if (!of || of->process != task->process)
            return -EINVAL;
        user = of->ticks_user, system = of->ticks_system;
    } else {
        struct process *of = pid ? process_find(pid) : task->process;
        if (!of)
            return -EINVAL;
        process_cputime(of, &user, &system);
    }
    *ns = cputime_ns(which == 1 ? user : user + system);
    return 0;
}

static i64 clock_read(struct task *task, i32 clock, u64 *ns) {
    if (clock < 0)
        return cpu_clock(task, clock, ns);
    switch (clock) {
    case CLOCK_PROCESS_CPUTIME_ID:
        *ns = process_cputime_ns(task->process);
        return 0;
    case CLOCK_THREAD_CPUTIME_ID:
        *ns = task_cputime_ns(task);
        return 0;
    case CLOCK_REALTIME:
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_BOOTTIME_ALARM:
    case CLOCK_TAI:
        *ns = clock_now((u32)clock);
        return 0;
    }
    return -EINVAL;
}

i64 sys_clock_gettime(struct task *task, struct call *call) {
    u64 ns;
    i64 error = clock_read(task, arg_int(call, 0), &ns);
    return error ? error : put_user(task, arg_ptr(call, 1), ns_timespec(ns));
}

i64 sys_clock_getres(struct task *task, struct call *call) {
    i32 clock = arg_int(call, 0);
    u64 ns;
    i64 error = clock_read(task, clock, &ns);
    if (error || !call->args[1])
        return error;
    bool coarse = clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE;
    return put_user(task, arg_ptr(call, 1), ns_timespec(coarse ? 4000000 : 1));
}

static void realtime_set(u64 ns) {
    realtime_jump(ns - now_real_ns());
}

i64 sys_clock_settime(struct task *task, struct call *call) {
    struct timespec ts;
    i32 clock = arg_int(call, 0);
    u64 ns;
    i64 error = clock_read(task, clock, &ns);
    if (!error)
        error = get_user(task, ts, arg_ptr(call, 1));
    if (error)
        return error;
    if (clock != CLOCK_REALTIME || !timespec_valid(&ts))
        return -EINVAL;
    if (!may_set_time(task))
        return -EPERM;
    realtime_set(timespec_ns(&ts));
    return 0;
}

i64 sys_gettimeofday(struct task *task, struct call *call) {
    u64 ns = now_real_ns();
    struct timeval tv = {(i64)(ns / NSEC), (i64)(ns % NSEC / 1000)};
    i64 error = call->args[0] ? put_user(task, arg_ptr(call, 0), tv) : 0;
    if (!error && call->args[1])
        error = zero_out(task, arg_ptr(call, 1), 8); // struct timezone: always UTC
    return error;
}

i64 sys_settimeofday(struct task *task, struct call *call) {
    struct timeval tv = {0};
    i64 error = call->args[0] ? get_user(task, tv, arg_ptr(call, 0)) : 0;
    if (error)
        return error;
    if (call->args[0] && (tv.sec < 0 || tv.usec < 0 || tv.usec >= 1000000))
        return -EINVAL;
    if (!may_set_time(task))
        return -EPERM;
    if (call->args[0])
        realtime_set((u64)tv.sec * NSEC + (u64)tv.usec * 1000);
    return 0;
}

struct timex {
    u32 modes, pad0;
    i64 offset, freq, maxerror, esterror;
    i32 status, pad1;
    i64 constant, precision, tolerance;
    struct timeval time;
    i64 tick, ppsfreq, jitter;
    i32 shift, pad2;
    i64 stabil, jitcnt, calcnt, errcnt, stbcnt;
    i32 tai, pad3[11];
};
enum { STA_UNSYNC = 0x40, TIME_ERROR = 5, ADJ_OFFSET_SS_READ = 0xa001 };

static i64 adjust(struct task *task, uptr p) {
    struct timex tx;
    i64 error = get_user(task, tx, p);
    if (error)
        return error;
    if (tx.modes && tx.modes != ADJ_OFFSET_SS_READ) // the host's clock is not the guest's to steer
        return -EPERM;
    u64 ns = now_real_ns();
    tx = (struct timex){.modes = tx.modes,
                        .maxerror = 16000000,
                        .esterror = 16000000,
                        .status = STA_UNSYNC,
                        .constant = 2,
                        .precision = 1,
                        .tolerance = 32768000,
                        .time = {(i64)(ns / NSEC), (i64)(ns % NSEC / 1000)},
                        .tick = 10000};
    error = put_user(task, p, tx);
    return error ? error : TIME_ERROR;
}

i64 sys_adjtimex(struct task *task, struct call *call) {
    return adjust(task, arg_ptr(call, 0));
}

i64 sys_clock_adjtime(struct task *task, struct call *call) {
    i32 clock = arg_int(call, 0);
    u64 ns;
    i64 error = clock_read(task, clock, &ns);
    if (!error && clock != CLOCK_REALTIME)
        error = -EOPNOTSUPP;
    return error ? error : adjust(task, arg_ptr(call, 1));
}

// ---- Sleeping ----
// Interrupted: what is left goes to the place that the call named.
static void sleep_undo(struct task *task, struct call *call) {
    u64 left = call->scratch[0] > now_ns() ? call->scratch[0] - now_ns() : 0;
    struct timespec ts = ns_timespec(left);
    if (call->scratch[1]) {
        i64 ignored = copy_out(task, UPTR(call->scratch[1]), &ts, sizeof ts);
        (void)ignored;
    }
}

static i64 sleep_until(struct task *task, struct call *call, u64 deadline, uptr remain) {
    if (call->phase == 0) {
        if (remain.va) { // so that the copy of an interrupted sleep cannot wait
            i64 error = user_ready(task, remain, sizeof(struct timespec), ACCESS_WRITE);
            if (error == E_WAIT)
                return error;
        }
        if (deadline <= now_ns())
            return 0;
        call->phase = 1;
        call->scratch[0] = deadline;
        call->scratch[1] = remain.va;
        call->undo = sleep_undo;
        wait_deadline(task, deadline);
    }
    if (call->timed_out || now_ns() >= call->scratch[0]) {
        call->undo = NULL;
        return 0;
    }
    return wait_alone(task, STATUS_SLEEP);
}

i64 sys_nanosleep(struct task *task, struct call *call) {
    struct timespec ts;
    u64 deadline = 0;
    if (call->phase == 0) {
        i64 error = get_user(task, ts, arg_ptr(call, 0));
        if (error)
            return error;
        if (!timespec_valid(&ts))
            return -EINVAL;
        deadline = time_after(now_ns(), timespec_ns(&ts));
    }
    return sleep_until(task, call, deadline, arg_ptr(call, 1));
}

i64 sys_clock_nanosleep(struct task *task, struct call *call) {
    struct timespec ts;
    u64 deadline = 0, now;
    i32 clock = arg_int(call, 0);
    bool absolute = arg_u32(call, 1) & TIMER_ABSTIME;
    if (call->phase == 0) {
        i64 error = clock_read(task, clock, &now);
        if (error)
            return error;
        switch (clock) {
        case CLOCK_REALTIME:
        case CLOCK_MONOTONIC:
        case CLOCK_BOOTTIME:
        case CLOCK_REALTIME_ALARM:
        case CLOCK_BOOTTIME_ALARM:
        case CLOCK_TAI:
            break;
        case CLOCK_THREAD_CPUTIME_ID:
            return -EINVAL;
        default:
            return -EOPNOTSUPP;
        }
        if ((error = get_user(task, ts, arg_ptr(call, 2))))
            return error;
        if (!timespec_valid(&ts))
            return -EINVAL;
        u64 ns = timespec_ns(&ts);
        deadline = absolute ? clock_to_monotonic((u32)clock, ns) : time_after(now_ns(), ns);
    }
    return sleep_until(task, call, deadline, absolute ? UPTR(0) : arg_ptr(call, 3));
}

// ---- Processor time ----
static struct timeval ns_timeval(u64 ns) {
    return (struct timeval){(i64)(ns / NSEC), (i64)(ns % NSEC / 1000)};
}
static struct timeval ticks_timeval(u64 ticks) {
    return ns_timeval(cputime_ns(ticks));
}
static i64 ticks_clock(u64 ticks) {
    return (i64)(cputime_ns(ticks) / (NSEC / USER_HZ));
}

i64 sys_times(struct task *task, struct call *call) {
    struct process *process = task->process;
    u64 user, system;
    process_cputime(process, &user, &system);
    i64 tms[4] = {ticks_clock(user), ticks_clock(system), ticks_clock(process->child_utime),
                  ticks_clock(process->child_stime)};
    i64 error = call->args[0] ? copy_out(task, arg_ptr(call, 0), tms, sizeof tms) : 0;
    return error ? error : (i64)(now_boot_ns() / (NSEC / USER_HZ));
}

enum { RUSAGE_SELF = 0, RUSAGE_CHILDREN = -1, RUSAGE_THREAD = 1 };

i64 sys_getrusage(struct task *task, struct call *call) {
    struct process *process = task->process;
    struct rusage usage = {0};
    u64 user, system, rss = task->mm ? task->mm->rss_max : 0;
    switch (arg_int(call, 0)) {
    case RUSAGE_SELF:
        process_cputime(process, &user, &system);
        usage.minflt = (i64)process->min_faults;
        break;
    case RUSAGE_CHILDREN:
        user = process->child_utime, system = process->child_stime, rss = process->child_rss_max;
        break;
    case RUSAGE_THREAD:
        user = task->ticks_user, system = task->ticks_system;
        break;
    default:
        return -EINVAL;
    }
    usage.utime = ticks_timeval(user);
    usage.stime = ticks_timeval(system);
    usage.maxrss = (i64)(rss * (PAGE_SIZE / 1024));
    return put_user(task, arg_ptr(call, 1), usage);
}

// ---- Interval timers ----
static struct itimerval itimer_value(struct process *process, u32 which) {
    u64 value, interval;
    itimer_get(process, which, &value, &interval);
    return (struct itimerval){ns_timeval(interval), ns_timeval(value)};
}

i64 sys_getitimer(struct task *task, struct call *call) {
    u32 which = arg_u32(call, 0);
    if (which > ITIMER_PROF)
        return -EINVAL;
    return put_user(task, arg_ptr(call, 1), itimer_value(task->process, which));
}

static bool timeval_ns(const struct timeval *tv, u64 *ns) {
    *ns = (u64)tv->sec * NSEC + (u64)tv->usec * 1000;
    return tv->sec >= 0 && tv->sec < 9000000000ll && tv->usec >= 0 && tv->usec < 1000000;
}

i64 sys_setitimer(struct task *task, struct call *call) {
    u32 which = arg_u32(call, 0);
    uptr old = arg_ptr(call, 2);
    struct itimerval new = {0};
    u64 value, interval;
    if (which > ITIMER_PROF)
        return -EINVAL;
    i64 error = call->args[1] ? get_user(task, new, arg_ptr(call, 1)) : 0;
    if (!error && old.va)
        error = user_ready(task, old, sizeof new, ACCESS_WRITE);
    if (error)
        return error;
    if (!timeval_ns(&new.value, &value) || !timeval_ns(&new.interval, &interval))
        return -EINVAL;
    struct itimerval was = itimer_value(task->process, which);
    if ((error = itimer_set(task->process, which, value, interval)))
        return error;
    return old.va ? put_user(task, old, was) : 0;
}

// ---- POSIX timers ----
i64 sys_timer_create(struct task *task, struct call *call) {
    i32 clock = arg_int(call, 0);
    struct sigevent event;
    i64 error = call->args[1] ? get_user(task, event, arg_ptr(call, 1)) : 0;
    if (!error)
        error = user_ready(task, arg_ptr(call, 2), sizeof(i32), ACCESS_WRITE);
    if (error)
        return error;
    u64 now;
    if (clock_read(task, clock, &now) || clock == CLOCK_REALTIME_COARSE ||
        clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_MONOTONIC_RAW)
        return -EINVAL;
    if (clock < 0) { // a name for our own processor time is welcome, another's is not
        u32 pid = (u32) ~(clock >> 3);
        if (pid && pid != (clock & CPUCLOCK_THREAD ? task->tid : task->process->pid))
            return -EOPNOTSUPP;
        clock = clock & CPUCLOCK_THREAD ? CLOCK_THREAD_CPUTIME_ID : CLOCK_PROCESS_CPUTIME_ID;
    }
    if (call->args[1]) {
        struct task *target = event.notify == SIGEV_THREAD_ID ? task_find((u32)event.tid) : task;
        if (event.notify != SIGEV_SIGNAL && event.notify != SIGEV_NONE &&
            event.notify != SIGEV_THREAD && event.notify != SIGEV_THREAD_ID)
            return -EINVAL;
        if (event.notify != SIGEV_NONE && (event.signo < 1 || event.signo > SIGRTMAX))
            return -EINVAL;
        if (!target || target->process != task->process)
            return -EINVAL;
    }
    i64 id = posix_timer_create(task, clock, call->args[1] ? &event : NULL);
    if (id < 0)
        return id;
    return put_user(task, arg_ptr(call, 2), (i32)id);
}

static struct itimerspec posix_timer_value(struct posix_timer *timer) {
    u64 value, interval;
    posix_timer_get(timer, &value, &interval);
    return (struct itimerspec){ns_timespec(interval), ns_timespec(value)};
}

i64 sys_timer_settime(struct task *task, struct call *call) {
    uptr old = arg_ptr(call, 3);
    struct itimerspec new;
    struct posix_timer *timer = posix_timer_find(task->process, arg_int(call, 0));
    i64 error = get_user(task, new, arg_ptr(call, 2));
    if (!error && old.va)
        error = user_ready(task, old, sizeof new, ACCESS_WRITE);
    if (error)
        return error;
    if (!timer || !timespec_valid(&new.value) || !timespec_valid(&new.interval))
        return -EINVAL;
    struct itimerspec was = posix_timer_value(timer);
    error = posix_timer_set(timer, arg_u32(call, 1) & TIMER_ABSTIME, timespec_ns(&new.value),
                            timespec_ns(&new.interval));
    if (error)
        return error;
    return old.va ? put_user(task, old, was) : 0;
}

i64 sys_timer_gettime(struct task *task, struct call *call) {
    struct posix_timer *timer = posix_timer_find(task->process, arg_int(call, 0));
    return timer ? put_user(task, arg_ptr(call, 1), posix_timer_value(timer)) : -EINVAL;
}

i64 sys_timer_getoverrun(struct task *task, struct call *call) {
    struct posix_timer *timer = posix_timer_find(task->process, arg_int(call, 0));
    return timer ? posix_timer_overrun(timer) : -EINVAL;
}

i64 sys_timer_delete(struct task *task, struct call *call) {
    struct posix_timer *timer = posix_timer_find(task->process, arg_int(call, 0));
    if (!timer)
        return -EINVAL;
    posix_timer_delete(timer);
    return 0;
}

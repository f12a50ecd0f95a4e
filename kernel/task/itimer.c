// Interval timers and POSIX timers: what a process asked to be signalled about. Those on processor
// time are looked at in itimer_tick; all others are struct timer.
#include "itimer.h"
#include "../kernel.h"
#include "../lib/heap.h"
#include "signal.h"

void process_cputime(const struct process *process, u64 *user_ticks, u64 *system_ticks) {
    struct task *task;
    *user_ticks = process->utime;
    *system_ticks = process->stime;
    list_each(task, &process->tasks, sibling) {
        *user_ticks += task->ticks_user;
        *system_ticks += task->ticks_system;
    }
}

u64 process_cputime_ns(const struct process *process) {
    u64 user, system;
    process_cputime(process, &user, &system);
    return cputime_ns(user + system);
}

u64 clock_now(u32 clock) {
    switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI:
        return now_real_ns();
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM:
        return now_boot_ns();
    }
    return now_ns();
}

u64 clock_to_monotonic(u32 clock, u64 ns) {
    u64 now = clock_now(clock), mono = now_ns();
    return ns > now ? mono + (ns - now) : now - ns < mono ? mono - (now - ns) : 0;
}

// Periods that fit between `when` and now: how often a periodic timer has expired, at least once.
static u64 periods(u64 when, u64 now, u64 interval) {
    return interval && now > when ? (now - when) / interval + 1 : 1;
}

// ---- setitimer ----
static const u8 itimer_signal[3] = {SIGALRM, SIGVTALRM, SIGPROF};

static void itimer_fire(struct timer *timer) {
    struct process *process = timer->owner;
    struct itimer *it = &process->itimer[ITIMER_REAL];
    u64 when = timer->when_ns;
    signal_kernel(process, SIGALRM);
    if (it->interval_ns) {
        i64 error =
            timer_arm(timer, when + periods(when, now_ns(), it->interval_ns) * it->interval_ns,
                      itimer_fire, process);
        assert(!error); // it has just left the heap
    }
}

i64 itimer_set(struct process *process, u32 which, u64 value_ns, u64 interval_ns) {
    struct itimer *it = &process->itimer[which];
    if (which == ITIMER_REAL) {
        timer_cancel(&it->timer);
        if (value_ns) {
            i64 error = timer_arm(&it->timer, now_ns() + value_ns, itimer_fire, process);
            if (error)
                return error;
        }
    }
    it->value_ns = value_ns;
    it->interval_ns = interval_ns;
    return 0;
}

void itimer_get(struct process *process, u32 which, u64 *value_ns, u64 *interval_ns) {
    struct itimer *it = &process->itimer[which];
    *interval_ns = it->interval_ns;
    *value_ns = it->value_ns;
    if (which == ITIMER_REAL) {
        u64 now = now_ns();
        *value_ns = !it->timer.slot ? 0 : it->timer.when_ns > now ? it->timer.when_ns - now : 1000;
    }
}

static void itimer_use(struct process *process, u32 which, u64 ns) {
    struct itimer *it = &process->itimer[which];
    if (!it->value_ns)
        return;
    if (ns < it->value_ns) {
        it->value_ns -= ns;
        return;
    }
    u64 over = ns - it->value_ns;
    it->value_ns = it->interval_ns ? it->interval_ns - over % it->interval_ns : 0;
    signal_kernel(process, itimer_signal[which]);
}

// ---- POSIX timers ----
struct posix_timer {
    struct list link; // process->posix_timers
    struct process *process;
    i32 id;
    i32 clock;
    bool on_cputime;
    u32 cpu_tid; // on_cputime: 0 the whole process
    struct sigevent event;
    struct timer timer;
    u64 cpu_when_ns; // 0: not armed
    u64 interval_ns;
    i32 overrun;
};

static struct siginfo *pending_info(struct sigqueue *queue, i32 id) {
    struct siginfo_node *node;
    list_each(node, &queue->infos, link)
        if (node->info.code == SI_TIMER && node->info.timer.timerid == id)
            return &node->info;
    return NULL;
}

static void posix_timer_expire(struct posix_timer *timer, u64 times) {
    if (timer->event.notify == SIGEV_NONE)
        return;
    struct task *target =
        timer->event.notify == SIGEV_THREAD_ID ? task_find((u32)timer->event.tid) : NULL;
    if (timer->event.notify == SIGEV_THREAD_ID && (!target || target->process != timer->process))
        return;
    // One signal per timer: while it is pending, further expirations are its overrun.
    struct siginfo *pending =
        pending_info(target ? &target->pending : &timer->process->pending, timer->id);
    u64 overrun = (pending ? (u64)timer->overrun : 0) + times - (pending ? 0 : 1);
    timer->overrun = (i32)min(overrun, (u64)0x7fffffff);
    if (pending) {
        pending->timer.overrun = timer->overrun;
        return;
    }
    struct siginfo info = {.signo = timer->event.signo,
                           .code = SI_TIMER,
                           .timer = {timer->id, timer->overrun, timer->event.value}};
    if (target)
        signal_send_task(target, &info);
    else
        signal_send_process(timer->process, &info);
}

static void posix_timer_fire(struct timer *t) {
    struct posix_timer *timer = t->owner;
    u64 when = t->when_ns, times = periods(when, now_ns(), timer->interval_ns);
    posix_timer_expire(timer, times);
    if (timer->interval_ns) {
        i64 error = timer_arm(t, when + times * timer->interval_ns, posix_timer_fire, timer);
        assert(!error);
    }
}

i64 posix_timer_create(struct task *task, i32 clock, const struct sigevent *event) {
    struct process *process = task->process;
    i32 id = 0;
    struct posix_timer *it;
    list_each(it, &process->posix_timers, link) // numbered upwards, so the list stays sorted
        id = max(id, it->id + 1);
    struct posix_timer *timer = knew(struct posix_timer);
    if (!timer)
        return -ENOMEM;
    timer->process = process;
    timer->id = id;
    timer->clock = clock;
    timer->on_cputime = clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
    timer->cpu_tid = clock == CLOCK_THREAD_CPUTIME_ID ? task->tid : 0;
    timer->event = event ? *event : (struct sigevent){(u64)id, SIGALRM, SIGEV_SIGNAL, 0, {0}};
    list_push(&process->posix_timers, &timer->link);
    return id;
}

struct posix_timer *posix_timer_find(struct process *process, i32 id) {
    struct posix_timer *timer;
    list_each(timer, &process->posix_timers, link)
        if (timer->id == id)
            return timer;
    return NULL;
}

void posix_timer_delete(struct posix_timer *timer) {
    timer_cancel(&timer->timer);
    list_remove(&timer->link);
    kfree(timer);
}

static u64 posix_timer_cputime(const struct posix_timer *timer) {
    struct task *task = timer->cpu_tid ? task_find(timer->cpu_tid) : NULL;
    return task ? task_cputime_ns(task) : timer->cpu_tid ? 0 : process_cputime_ns(timer->process);
}

i64 posix_timer_set(struct posix_timer *timer, bool absolute, u64 value_ns, u64 interval_ns) {
    timer_cancel(&timer->timer);
    timer->cpu_when_ns = 0;
    timer->overrun = 0;
    timer->interval_ns = interval_ns;
    if (!value_ns)
        return 0;
    if (timer->on_cputime) {
        timer->cpu_when_ns = absolute ? value_ns : posix_timer_cputime(timer) + value_ns;
        return 0;
    }
    u32 clock = (u32)timer->clock;
    timer->timer.realtime = absolute && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM ||
                                         clock == CLOCK_TAI);
    return timer_arm(&timer->timer,
                     absolute ? clock_to_monotonic(clock, value_ns) : now_ns() + value_ns,
                     posix_timer_fire, timer);
}

void posix_timer_get(struct posix_timer *timer, u64 *value_ns, u64 *interval_ns) {
    u64 when = timer->on_cputime   ? timer->cpu_when_ns
               : timer->timer.slot ? timer->timer.when_ns
                                   : 0;
    u64 now = timer->on_cputime ? posix_timer_cputime(timer) : now_ns();
    *interval_ns = timer->interval_ns;
    *value_ns = !when ? 0 : when > now ? when - now : 1; // armed never reads as 0
}

i32 posix_timer_overrun(const struct posix_timer *timer) {
    return timer->overrun;
}

// ---- Processor time passes ----------------------------------------------------------------------
// RLIMIT_CPU: SIGXCPU at the soft limit and each second beyond, SIGKILL at the hard one.
static u64 limit_next_ns(const struct process *process, u64 now) {
    u64 soft = process->rlimit[RLIMIT_CPU][0], hard = process->rlimit[RLIMIT_CPU][1],
        second = now / NSEC + 1;
    u64 next = min(soft == RLIM_INFINITY ? hard : max(soft, second), max(hard, second));
    return next >= RLIM_INFINITY / NSEC ? ~0ull : next * NSEC;
}

u64 itimers_fuel(struct task *task) {
    struct process *process = task->process;
    u64 now = process_cputime_ns(process), left = limit_next_ns(process, now) - now;
    for (u32 i = ITIMER_VIRTUAL; i <= ITIMER_PROF; i++)
        if (process->itimer[i].value_ns)
            left = min(left, process->itimer[i].value_ns);
    struct posix_timer *timer;
    list_each(timer, &process->posix_timers, link) {
        u64 used = timer->cpu_when_ns ? posix_timer_cputime(timer) : 0;
        if (timer->cpu_when_ns)
            left = min(left, timer->cpu_when_ns > used ? timer->cpu_when_ns - used : 1);
    }
    return max(cputime_ticks(left), 1ull);
}

static void posix_timers_tick(struct process *process) {
    struct posix_timer *timer;
    list_each(timer, &process->posix_timers, link) {
        u64 now = timer->cpu_when_ns ? posix_timer_cputime(timer) : 0;
        if (!timer->cpu_when_ns || now < timer->cpu_when_ns)
            continue;
        u64 times = periods(timer->cpu_when_ns, now, timer->interval_ns);
        timer->cpu_when_ns =
            timer->interval_ns ? timer->cpu_when_ns + times * timer->interval_ns : 0;
        posix_timer_expire(timer, times);
    }
}

void itimers_tick(struct task *task, u64 user_ticks, u64 system_ticks) {
    struct process *process = task->process;
    itimer_use(process, ITIMER_VIRTUAL, cputime_ns(user_ticks));
    itimer_use(process, ITIMER_PROF, cputime_ns(user_ticks + system_ticks));
    posix_timers_tick(process);
    u64 now = process_cputime_ns(process),
        before = now - min(now, cputime_ns(user_ticks + system_ticks));
    if (now < limit_next_ns(process, before))
        return;
    signal_kernel(process, now / NSEC >= process->rlimit[RLIMIT_CPU][1] ? SIGKILL : SIGXCPU);
}

void posix_timers_exit(struct process *process) {
    struct posix_timer *timer;
    list_each(timer, &process->posix_timers, link)
        posix_timer_delete(timer);
}

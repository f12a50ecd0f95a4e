// Processor time, interval timers (setitimer(2)) and POSIX timers (timer_create(2)).
#pragma once
#include "task.h"

// Processor time is counted in ticks; this is the one place that says what a tick is worth. It is a constant,
// so that a run repeats: about what the interpreter takes for an instruction on the machines it was measured on.
#define CPU_TICK_NS 2
static inline u64 cputime_ns(u64 ticks) {
    return ticks * CPU_TICK_NS;
}
static inline u64 cputime_ticks(u64 ns) { // the first count that is worth so much
    return (ns + CPU_TICK_NS - 1) / CPU_TICK_NS;
}
void process_cputime(const struct process *process, u64 *user_ticks, u64 *system_ticks);
static inline u64 task_cputime_ns(const struct task *task) {
    return cputime_ns(task->ticks_user + task->ticks_system);
}
u64 process_cputime_ns(const struct process *process);
// The instant on CLOCK_MONOTONIC at which `clock` shows `ns`. clock: REALTIME, MONOTONIC, BOOTTIME and their like.
u64 clock_to_monotonic(u32 clock, u64 ns);
u64 clock_now(u32 clock); // those clocks

enum { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF };
must_check i64 itimer_set(struct process *process, u32 which, u64 value_ns, u64 interval_ns);
void itimer_get(struct process *process, u32 which, u64 *value_ns, u64 *interval_ns);
// Timers on processor time. A task may run guest code for itimer_fuel ticks at most, so that they expire at the same tick
// wherever steps are cut; itimer_tick is told what it used, which its counts include already.
static inline bool itimers_run(const struct process *process) {
    return process->itimer[ITIMER_VIRTUAL].value_ns || process->itimer[ITIMER_PROF].value_ns ||
           !list_empty(&process->posix_timers) || process->rlimit[RLIMIT_CPU][0] != RLIM_INFINITY ||
           process->rlimit[RLIMIT_CPU][1] != RLIM_INFINITY;
}
u64 itimers_fuel(struct task *task);
void itimers_tick(struct task *task, u64 user_ticks, u64 system_ticks);
static inline u64 itimer_fuel(struct task *task) { // > 0; ~0 if none runs
    return itimers_run(task->process) ? itimers_fuel(task) : ~0ull;
}
static inline void itimer_tick(struct task *task, u64 user_ticks, u64 system_ticks) {
    if (itimers_run(task->process))
        itimers_tick(task, user_ticks, system_ticks);
}

struct sigevent { // 64 bytes
    u64 value;
    i32 signo, notify, tid;
    u8 pad[44];
};
enum { SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD, SIGEV_THREAD_ID = 4 };
struct posix_timer;
must_check i64 posix_timer_create(struct task *task, i32 clock, const struct sigevent *event); // its number
struct posix_timer *posix_timer_find(struct process *process, i32 id);
void posix_timer_delete(struct posix_timer *timer);
must_check i64 posix_timer_set(struct posix_timer *timer, bool absolute, u64 value_ns, u64 interval_ns);
void posix_timer_get(struct posix_timer *timer, u64 *value_ns, u64 *interval_ns);
i32 posix_timer_overrun(const struct posix_timer *timer);

void posix_timers_exit(struct process *process); // exec and the end of the process: they all go

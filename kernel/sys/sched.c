// sched(7), setpriority(2), getrlimit(2), getcpu(2), membarrier(2). Policies and priorities are
// kept and shown, but the run queue is first come, first served.
#include "../lib/string.h"
#include "../proc/proc.h"
#include "sys.h"

enum { SCHED_OTHER, SCHED_FIFO, SCHED_RR, SCHED_BATCH, SCHED_IDLE = 5, SCHED_DEADLINE = 6 };
#define RT_PRIORITY_MAX 99u

static bool capable(const struct task *task, u32 cap) {
    return task->cred.cap_effective & 1ull << cap;
}

static struct task *task_or_self(struct task *task, i32 tid) {
    struct task *target = tid ? task_find((u32)tid) : task;
    return target && target->state != TASK_DEAD ? target : NULL;
}

static bool owns(const struct task *task, const struct task *target) {
    return task->cred.euid == target->cred.euid || task->cred.euid == target->cred.ruid ||
           capable(task, CAP_SYS_NICE);
}

i64 sys_sched_yield(struct task *task, struct call *call) {
    sched_yield(task);
    return 0;
}

// ---- Affinity ----------------------------------------------------------------------------------
static u64 all_cpus(void) {
    return kernel->cpus >= 64 ? ~0ull : (1ull << max(kernel->cpus, 1u)) - 1;
}

static u64 allowed(const struct task *task) {
    u64 set = task->affinity & all_cpus();
    return set ? set : all_cpus();
}

i64 sys_sched_setaffinity(struct task *task, struct call *call) {
    struct task *target = task_or_self(task, arg_int(call, 0));
    u64 set = 0;
    i64 error = copy_in(task, &set, arg_ptr(call, 2), min((u64)arg_u32(call, 1), sizeof set));
    if (error)
        return error;
    if (!target)
        return -ESRCH;
    if (!owns(task, target))
        return -EPERM;
    if (!(set & all_cpus()))
        return -EINVAL;
    target->affinity = set & all_cpus();
    return 0;
}

i64 sys_sched_getaffinity(struct task *task, struct call *call) {
    struct task *target = task_or_self(task, arg_int(call, 0));
    u32 size = arg_u32(call, 1);
    if (size < sizeof(u64) || size % sizeof(u64))
        return -EINVAL;
    if (!target)
        return -ESRCH;
    i64 error = put_user(task, arg_ptr(call, 2), allowed(target));
    return error ? error : (i64)sizeof(u64);
}

i64 sys_getcpu(struct task *task, struct call *call) {
    u64 set = allowed(task);
    u32 cpu = task->last_hart % max(kernel->cpus, 1u), node = 0;
    if (!(set >> cpu & 1))
        cpu = (u32)__builtin_ctzll(set);
    i64 error = arg_ptr(call, 0).va ? put_user(task, arg_ptr(call, 0), cpu) : 0;
    if (!error && arg_ptr(call, 1).va)
        error = put_user(task, arg_ptr(call, 1), node);
    return error;
}

// ---- Policies ----------------------------------------------------------------------------------
static bool is_realtime(u32 policy) {
    return policy == SCHED_FIFO || policy == SCHED_RR;
}

static i64 set_policy(struct task *task, i32 tid, u32 policy, u32 priority) {
    u32 plain = policy & ~SCHED_RESET_ON_FORK;
    if (tid < 0)
        return -EINVAL;
    struct task *target = task_or_self(task, tid);
    if (!target)
        return -ESRCH;
    if (plain > SCHED_IDLE || plain == 4)
        return -EINVAL;
    if (is_realtime(plain) ? priority < 1 || priority > RT_PRIORITY_MAX : priority != 0)
        return -EINVAL;
    if (!capable(task, CAP_SYS_NICE)) {
        if (!owns(task, target))
            return -EPERM;
        if (is_realtime(plain) && priority > target->process->rlimit[RLIMIT_RTPRIO][0])
            return -EPERM;
    }
    target->sched_policy = policy;
    target->sched_priority = priority;
    return 0;
}

i64 sys_sched_setscheduler(struct task *task, struct call *call) {
    u32 priority;
    if (arg_int(call, 1) < 0)
        return -EINVAL;
    i64 error = get_user(task, priority, arg_ptr(call, 2));
    return error ? error : set_policy(task, arg_int(call, 0), arg_u32(call, 1), priority);
}

i64 sys_sched_setparam(struct task *task, struct call *call) {
    u32 priority;
    struct task *target = task_or_self(task, arg_int(call, 0));
    i64 error = get_user(task, priority, arg_ptr(call, 1));
    if (error)
        return error;
    return target ? set_policy(task, arg_int(call, 0), target->sched_policy, priority) : -ESRCH;
}

i64 sys_sched_getscheduler(struct task *task, struct call *call) {
    if (arg_int(call, 0) < 0)
        return -EINVAL;
    struct task *target = task_or_self(task, arg_int(call, 0));
    return target ? (i64)target->sched_policy : -ESRCH;
}

i64 sys_sched_getparam(struct task *task, struct call *call) {
    if (arg_int(call, 0) < 0 || !arg_ptr(call, 1).va)
        return -EINVAL;
    struct task *target = task_or_self(task, arg_int(call, 0));
    return target ? put_user(task, arg_ptr(call, 1), target->sched_priority) : -ESRCH;
}

static i64 priority_bound(u32 policy, i64 realtime) {
    if (is_realtime(policy))
        return realtime;
    return policy <= SCHED_DEADLINE && policy != 4 ? 0 : -EINVAL;
}
i64 sys_sched_get_priority_max(struct task *task, struct call *call) {
    return priority_bound(arg_u32(call, 0), RT_PRIORITY_MAX);
}
i64 sys_sched_get_priority_min(struct task *task, struct call *call) {
    return priority_bound(arg_u32(call, 0), 1);
}

i64 sys_sched_rr_get_interval(struct task *task, struct call *call) {
    if (arg_int(call, 0) < 0)
        return -EINVAL;
    struct task *target = task_or_self(task, arg_int(call, 0));
    if (!target)
        return -ESRCH;
    struct timespec interval = {0, target->sched_policy == SCHED_FIFO ? 0
                                   : target->sched_policy == SCHED_RR ? 100000000
                                                                      : 4000000};
    return put_user(task, arg_ptr(call, 1), interval);
}

struct sched_attr {
    u32 size, policy;
    u64 flags;
    i32 nice;
    u32 priority;
    u64 runtime, deadline, period;
};

static i64 nice_check(struct task *task, struct task *target, i32 nice) {
    u64 limit = target->process->rlimit[RLIMIT_NICE][0]; // 20 - nice
    if (nice < target->nice && !capable(task, CAP_SYS_NICE) && (u64)(20 - nice) > limit)
        return -EACCES;
    return 0;
}

i64 sys_sched_setattr(struct task *task, struct call *call) {
    struct sched_attr attr;
    i64 error = get_user(task, attr, arg_ptr(call, 1));
    if (error)
        return error;
    if (arg_int(call, 0) < 0 || arg_u32(call, 2) || (attr.size && attr.size < sizeof attr))
        return -EINVAL;
    if (attr.policy == SCHED_DEADLINE)
        return -EINVAL;
    struct task *target = task_or_self(task, arg_int(call, 0));
    if (!target)
        return -ESRCH;
    i32 nice = max(min(attr.nice, 19), -20);
    if (!is_realtime(attr.policy) && (error = nice_check(task, target, nice)))
        return error == -EACCES ? -EPERM : error;
    error = set_policy(task, arg_int(call, 0),
                       attr.policy | (attr.flags & 1 ? SCHED_RESET_ON_FORK : 0), attr.priority);
    if (!error && !is_realtime(attr.policy))
        target->nice = nice;
    return error;
}

i64 sys_sched_getattr(struct task *task, struct call *call) {
    u32 size = arg_u32(call, 2);
    if (arg_int(call, 0) < 0 || size < sizeof(struct sched_attr) || size > PAGE_SIZE ||
        arg_u32(call, 3))
        return -EINVAL;
    struct task *target = task_or_self(task, arg_int(call, 0));
    if (!target)
        return -ESRCH;
    struct sched_attr attr = {
        .size = sizeof attr,
        .policy = target->sched_policy & ~SCHED_RESET_ON_FORK,
        .flags = target->sched_policy & SCHED_RESET_ON_FORK ? 1 : 0,
        .nice = target->nice,
        .priority = target->sched_priority,
    };
    return put_user(task, arg_ptr(call, 1), attr);
}

// ---- Nice values -------------------------------------------------------------------------------
enum { PRIO_PROCESS, PRIO_PGRP, PRIO_USER };

static bool concerns(struct task *task, struct process *process, struct task *member, u32 which,
                     u32 who) {
    switch (which) {
    case PRIO_PROCESS:
        return member->tid == (who ? who : task->tid);
    case PRIO_PGRP:
        return process->pgid == (who ? who : task->process->pgid);
    default:
        return member->cred.ruid == (who ? who : task->cred.ruid);
    }
}

i64 sys_setpriority(struct task *task, struct call *call) {
    u32 which = arg_u32(call, 0), who = arg_u32(call, 1);
    i32 nice = max(min(arg_int(call, 2), 19), -20);
    i64 result = -ESRCH;
    if (which > PRIO_USER)
        return -EINVAL;
    struct process *process;
    struct task *member;
    list_each(process, &kernel->processes, all)
        list_each(member, &process->tasks, sibling) {
            if (process->is_agent || member->state == TASK_DEAD ||
                !concerns(task, process, member, which, who))
                continue;
            i64 error = owns(task, member) ? nice_check(task, member, nice) : -EPERM;
            if (!error)
                member->nice = nice;
            if (result == -ESRCH || error)
                result = error;
        }
    return result;
}

i64 sys_getpriority(struct task *task, struct call *call) {
    u32 which = arg_u32(call, 0), who = arg_u32(call, 1);
    i64 result = -ESRCH;
    if (which > PRIO_USER)
        return -EINVAL;
    struct process *process;
    struct task *member;
    list_each(process, &kernel->processes, all)
        list_each(member, &process->tasks, sibling)
            if (member->state != TASK_DEAD && concerns(task, process, member, which, who))
                result = max(result, (i64)(20 - member->nice));
    return result;
}

// Only the default class exists; what is set is checked and then has no effect.
i64 sys_ioprio_set(struct task *task, struct call *call) {
    u32 value = arg_u32(call, 2), class = value >> 13, which = arg_u32(call, 0);
    if (which < 1 || which > 3 || class > 3 || (class && class < 3 && (value & 0x1fff) > 7))
        return -EINVAL;
    if (class == 1 && !capable(task, CAP_SYS_ADMIN) && !capable(task, CAP_SYS_NICE))
        return -EPERM;
    return which == 1 && !task_or_self(task, arg_int(call, 1)) ? -ESRCH : 0;
}

i64 sys_ioprio_get(struct task *task, struct call *call) {
    u32 which = arg_u32(call, 0);
    if (which < 1 || which > 3)
        return -EINVAL;
    return which == 1 && !task_or_self(task, arg_int(call, 1)) ? -ESRCH : 4; // class none, level 4
}

// ---- Resource limits ---------------------------------------------------------------------------
static i64 limit_set(struct task *task, struct process *process, u32 resource, const u64 new[2]) {
    u64 *limit = process->rlimit[resource];
    if (new[0] > new[1])
        return -EINVAL;
    if (resource == RLIMIT_NOFILE && new[1] > (kernel->files_max ? kernel->files_max : FD_MAX))
        return -EPERM;
    if (new[1] > limit[1] && !capable(task, CAP_SYS_RESOURCE))
        return -EPERM;
    limit[0] = new[0];
    limit[1] = new[1];
    return 0;
}

i64 sys_getrlimit(struct task *task, struct call *call) {
    u32 resource = arg_u32(call, 0);
    if (resource >= lengthof(task->process->rlimit))
        return -EINVAL;
    return copy_out(task, arg_ptr(call, 1), task->process->rlimit[resource], 16);
}

i64 sys_setrlimit(struct task *task, struct call *call) {
    u32 resource = arg_u32(call, 0);
    u64 new[2];
    i64 error = copy_in(task, new, arg_ptr(call, 1), sizeof new);
    if (error)
        return error;
    return resource < lengthof(task->process->rlimit)
               ? limit_set(task, task->process, resource, new)
               : -EINVAL;
}

i64 sys_prlimit64(struct task *task, struct call *call) {
    u32 resource = arg_u32(call, 1);
    uptr in = arg_ptr(call, 2), out = arg_ptr(call, 3);
    u64 new[2], old[2];
    if (resource >= lengthof(task->process->rlimit))
        return -EINVAL;
    i64 error = in.va ? copy_in(task, new, in, sizeof new) : 0;
    if (!error && out.va)
        error = user_ready(task, out, sizeof old, ACCESS_WRITE);
    if (error)
        return error;
    struct task *target = task_or_self(task, arg_int(call, 0));
    if (!target)
        return -ESRCH;
    const struct cred *a = &task->cred, *b = &target->cred;
    bool same = a->ruid == b->ruid && a->ruid == b->euid && a->ruid == b->suid &&
                a->rgid == b->rgid && a->rgid == b->egid && a->rgid == b->sgid;
    if (target->process != task->process && !same && !capable(task, CAP_SYS_RESOURCE))
        return -EPERM;
    memcpy(old, target->process->rlimit[resource], sizeof old);
    if (in.va && (error = limit_set(task, target->process, resource, new)))
        return error;
    return out.va ? copy_out(task, out, old, sizeof old) : 0;
}

// Not offered; user space asks once and does without.
i64 sys_rseq(struct task *task, struct call *call) {
    return -ENOSYS;
}

// ---- membarrier --------------------------------------------------------------------------------
enum {
    MEMBARRIER_QUERY = 0,
    MEMBARRIER_PRIVATE = 8,
    MEMBARRIER_REGISTER_PRIVATE = 16,
    MEMBARRIER_SYNC_CORE = 32,
    MEMBARRIER_REGISTER_SYNC_CORE = 64,
};

i64 sys_membarrier(struct task *task, struct call *call) {
    if (arg_u32(call, 1))
        return -EINVAL;
    switch (arg_u32(call, 0)) {
    case MEMBARRIER_QUERY:
        return MEMBARRIER_PRIVATE | MEMBARRIER_REGISTER_PRIVATE | MEMBARRIER_SYNC_CORE |
               MEMBARRIER_REGISTER_SYNC_CORE;
    case MEMBARRIER_REGISTER_PRIVATE:
    case MEMBARRIER_REGISTER_SYNC_CORE:
        return 0;
    case MEMBARRIER_PRIVATE:
    case MEMBARRIER_SYNC_CORE:
        mm_shootdown(task->mm, 0,
                     PAGE_SIZE); // every hart that runs this address space passes a safepoint
        return 0;
    default:
        return -EINVAL;
    }
}

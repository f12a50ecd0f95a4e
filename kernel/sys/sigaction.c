// sigaction(2), sigprocmask(2), sigpending(2), sigsuspend(2), sigtimedwait(2), sigaltstack(2),
// sigreturn(2), and the senders: kill(2), tkill(2), tgkill(2), sigqueue(3), pidfd_send_signal(2).
#include "../fs/newfd.h"
#include "../proc/proc.h"
#include "sys.h"

#define SIGSET_BYTES 8u

// ---- Actions and masks -------------------------------------------------------------------------
i64 sys_rt_sigaction(struct task *task, struct call *call) {
    u32 signo = arg_u32(call, 0);
    uptr in = arg_ptr(call, 1), out = arg_ptr(call, 2);
    struct sigaction action;
    if (call->args[3] != SIGSET_BYTES || signo < 1 || signo > SIGRTMAX)
        return -EINVAL;
    i64 error = in.va ? get_user(task, action, in) : 0;
    if (error)
        return error;
    if (in.va && (signo == SIGKILL || signo == SIGSTOP))
        return -EINVAL;
    struct sigaction *current = &task->sighand->action[signo - 1];
    if (out.va && (error = copy_out(task, out, current, sizeof *current)))
        return error;
    if (!in.va)
        return 0;
    action.mask &= ~(SIGBIT(SIGKILL) | SIGBIT(SIGSTOP));
    *current = action;
    if (signal_ignored(task, signo)) { // what is pending is forgotten, even if blocked
        struct task *other;
        sigqueue_flush(&task->process->pending, SIGBIT(signo));
        list_each(other, &task->process->tasks, sibling)
            sigqueue_flush(&other->pending, SIGBIT(signo));
    }
    return 0;
}

i64 sys_rt_sigprocmask(struct task *task, struct call *call) {
    uptr in = arg_ptr(call, 1), out = arg_ptr(call, 2);
    u64 set = 0, old = task->blocked;
    if (call->args[3] != SIGSET_BYTES)
        return -EINVAL;
    i64 error = in.va ? get_user(task, set, in) : 0;
    if (error)
        return error;
    if (in.va && arg_u32(call, 0) > SIG_SETMASK)
        return -EINVAL;
    if (out.va && (error = put_user(task, out, old)))
        return error;
    if (!in.va)
        return 0;
    u32 how = arg_u32(call, 0);
    signal_set_blocked(task, how == SIG_BLOCK ? old | set : how == SIG_UNBLOCK ? old & ~set : set);
    return 0;
}

i64 sys_rt_sigpending(struct task *task, struct call *call) {
    u64 set = (task->pending.set | task->process->pending.set) & task->blocked;
    if (call->args[1] > SIGSET_BYTES)
        return -EINVAL;
    return copy_out(task, arg_ptr(call, 0), &set, call->args[1]);
}

i64 sys_rt_sigsuspend(struct task *task, struct call *call) {
    u64 set;
    if (call->args[1] != SIGSET_BYTES)
        return -EINVAL;
    if (!call->phase) {
        i64 error = get_user(task, set, arg_ptr(call, 0));
        if (error)
            return error;
        call->phase = 1;
        call->mask_saved = true;
        call->saved_mask = task->blocked;
        signal_set_blocked(task, set);
    }
    return wait_alone(task, STATUS_SLEEP); // only a signal ends it
}

// ---- Waiting for signals -----------------------------------------------------------------------
i64 sys_rt_sigtimedwait(struct task *task, struct call *call) {
    uptr out = arg_ptr(call, 1), limit = arg_ptr(call, 2);
    i64 error;
    if (call->args[3] != SIGSET_BYTES)
        return -EINVAL;
    if (!call->phase) {
        struct timespec timeout;
        error = get_user(task, call->scratch[0], arg_ptr(call, 0));
        if (!error && limit.va)
            error = get_user(task, timeout, limit);
        if (error)
            return error;
        call->scratch[0] &= ~(SIGBIT(SIGKILL) | SIGBIT(SIGSTOP));
        if (limit.va) {
            if (timeout.sec < 0 || (u64)timeout.nsec >= NSEC)
                return -EINVAL;
            u64 ns = min((u64)timeout.sec, 1ull << 32) * NSEC + (u64)timeout.nsec;
            wait_deadline(task, now_ns() + ns);
        }
        call->phase = 1;
    }
    if (out.va && (error = user_ready(task, out, sizeof(struct siginfo), ACCESS_WRITE)))
        return error;
    struct siginfo info;
    if (signal_dequeue(task, call->scratch[0], &info)) {
        error = out.va ? put_user(task, out, info) : 0;
        return error ? error : info.signo;
    }
    if (call->timed_out)
        return -EAGAIN;
    return wait_on(task, &task->process->signal_wait, STATUS_SLEEP);
}

// ---- Alternate stack, return -------------------------------------------------------------------
i64 sys_sigaltstack(struct task *task, struct call *call) {
    struct {
        u64 sp;
        u32 flags, pad;
        u64 size;
    } new, old = {task->sas_base, task->sas_flags, 0, task->sas_size};
    uptr in = arg_ptr(call, 0), out = arg_ptr(call, 1);
    bool on = task->sas_size && task->cpu.x[2] - task->sas_base - 1 < task->sas_size &&
              !(task->sas_flags & SS_AUTODISARM);
    i64 error = in.va ? get_user(task, new, in) : 0;
    if (!error && out.va)
        error = user_ready(task, out, sizeof old, ACCESS_WRITE);
    if (error)
        return error;
    if (in.va) {
        u32 mode = new.flags & ~SS_AUTODISARM;
        if (on)
            return -EPERM;
        if (mode != 0 && mode != SS_ONSTACK && mode != SS_DISABLE)
            return -EINVAL;
        if (mode == SS_DISABLE)
            new.sp = new.size = 0;
        else if (new.size < MINSIGSTKSZ)
            return -ENOMEM;
        task->sas_base = new.sp;
        task->sas_size = new.size;
        task->sas_flags = new.flags;
    }
    if (!out.va)
        return 0;
    if (!old.size)
        old.flags = SS_DISABLE | (old.flags & SS_AUTODISARM);
    else
        old.flags = (old.flags & SS_AUTODISARM) | (on ? SS_ONSTACK : 0);
    return put_user(task, out, old);
}

i64 sys_rt_sigreturn(struct task *task, struct call *call) {
    return sigframe_pop(task);
}

// ---- Senders -----------------------------------------------------------------------------------
static struct siginfo info_from(struct task *task, u32 signo, i32 code) {
    struct siginfo info = {.signo = (i32)signo, .code = code};
    info.kill.pid = (i32)task->process->pid;
    info.kill.uid = task->cred.ruid;
    return info;
}

static i64 send_process(struct task *task, struct process *process, const struct siginfo *info) {
    i64 error = signal_may(task, process, (u32)info->signo);
    return error || !info->signo ? error : signal_queue(process, NULL, info);
}

// To all that `pgid` names (0: everybody but the caller and process 1). Success if one could be
// signalled.
static i64 send_many(struct task *task, u32 pgid, const struct siginfo *info) {
    i64 result = -ESRCH;
    struct process *process;
    list_each(process, &kernel->processes, all) {
        if (pgid ? process->pgid != pgid : process == task->process || process->is_agent)
            continue;
        i64 error = send_process(task, process, info);
        if (result != 0)
            result = error == -EPERM && pgid == 0 && result == -ESRCH ? -EPERM : error;
    }
    return result;
}

i64 sys_kill(struct task *task, struct call *call) {
    i32 pid = arg_int(call, 0);
    u32 signo = arg_u32(call, 1);
    if (signo > SIGRTMAX)
        return -EINVAL;
    struct siginfo info = info_from(task, signo, SI_USER);
    if (pid > 0) {
        struct task *target = task_find((u32)pid); // any thread's number names its process
        return target ? send_process(task, target->process, &info) : -ESRCH;
    }
    if (pid == INT32_MIN)
        return -ESRCH;
    return send_many(task, pid == 0 ? task->process->pgid : pid == -1 ? 0 : (u32)-pid, &info);
}

static i64 send_task(struct task *task, i32 tgid, i32 tid, const struct siginfo *info) {
    struct task *target = task_find((u32)tid);
    if (!target || target->state == TASK_DEAD || (tgid && target->process->pid != (u32)tgid))
        return -ESRCH;
    i64 error = signal_may(task, target->process, (u32)info->signo);
    return error || !info->signo ? error : signal_queue(target->process, target, info);
}

i64 sys_tkill(struct task *task, struct call *call) {
    u32 signo = arg_u32(call, 1);
    if (signo > SIGRTMAX || arg_int(call, 0) <= 0)
        return -EINVAL;
    struct siginfo info = info_from(task, signo, SI_TKILL);
    return send_task(task, 0, arg_int(call, 0), &info);
}

i64 sys_tgkill(struct task *task, struct call *call) {
    u32 signo = arg_u32(call, 2);
    if (signo > SIGRTMAX || arg_int(call, 0) <= 0 || arg_int(call, 1) <= 0)
        return -EINVAL;
    struct siginfo info = info_from(task, signo, SI_TKILL);
    return send_task(task, arg_int(call, 0), arg_int(call, 1), &info);
}

// A siginfo of the caller's making: codes of the kernel and of kill(2) only to itself.
static i64 fetch_info(struct task *task, uptr from, u32 signo, bool own, struct siginfo *info) {
    i64 error = copy_in(task, info, from, sizeof *info);
    if (error)
        return error;
    info->signo = (i32)signo;
    return (info->code >= 0 || info->code == SI_TKILL) && !own ? -EPERM : 0;
}

i64 sys_rt_sigqueueinfo(struct task *task, struct call *call) {
    u32 signo = arg_u32(call, 1);
    struct siginfo info;
    struct task *target = task_find(arg_u32(call, 0));
    i64 error = fetch_info(task, arg_ptr(call, 2), signo,
                           target && target->process == task->process, &info);
    if (error)
        return error;
    if (signo > SIGRTMAX)
        return -EINVAL;
    return target ? send_process(task, target->process, &info) : -ESRCH;
}

i64 sys_rt_tgsigqueueinfo(struct task *task, struct call *call) {
    u32 signo = arg_u32(call, 2);
    struct siginfo info;
    if (signo > SIGRTMAX || arg_int(call, 0) <= 0 || arg_int(call, 1) <= 0)
        return -EINVAL;
    i64 error =
        fetch_info(task, arg_ptr(call, 3), signo, task->process->pid == arg_u32(call, 0), &info);
    return error ? error : send_task(task, arg_int(call, 0), arg_int(call, 1), &info);
}

i64 sys_pidfd_send_signal(struct task *task, struct call *call) {
    u32 signo = arg_u32(call, 1);
    struct file *file = fd_file(task, arg_int(call, 0));
    struct process *process = file ? pidfd_process(file) : NULL;
    if (call->args[3])
        return -EINVAL;
    if (!process)
        return -EBADF;
    if (signo > SIGRTMAX)
        return -EINVAL;
    struct siginfo info = info_from(task, signo, SI_USER);
    if (arg_ptr(call, 2).va) {
        i64 error = fetch_info(task, arg_ptr(call, 2), signo, process == task->process, &info);
        if (error)
            return error;
    }
    return process_find(process->pid) == process ? send_process(task, process, &info) : -ESRCH;
}

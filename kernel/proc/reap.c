// What becomes of the dead: SIGCHLD, wait4(2) and waitid(2), zombies, orphans and their new
// parents.
#include "../kernel.h"
#include "reap.h"
#include "task/itimer.h"

void process_times(struct process *process, u64 *utime_ns, u64 *stime_ns) {
    u64 user, system;
    process_cputime(process, &user, &system);
    *utime_ns = cputime_ns(user);
    *stime_ns = cputime_ns(system);
}

// ---- Telling the parent ------------------------------------------------------------------------
static struct siginfo child_info(struct process *process, u32 signo, u32 code, u32 status) {
    struct siginfo info = {.signo = (i32)signo, .code = (i32)code};
    u64 utime, stime;
    process_times(process, &utime, &stime);
    info.chld.pid = (i32)process->pid;
    info.chld.uid = process->leader->cred.ruid;
    info.chld.status = (i32)status;
    info.chld.utime = (i64)(utime / (NSEC / USER_HZ));
    info.chld.stime = (i64)(stime / (NSEC / USER_HZ));
    return info;
}

static const struct sigaction *chld_action(struct process *parent) {
    struct sighand *sighand = process_sighand(parent);
    return sighand ? &sighand->action[SIGCHLD - 1] : NULL;
}

void process_notify_parent(struct process *process, u32 code, u32 status) {
    struct process *parent = process->parent;
    const struct sigaction *action = chld_action(parent);
    if (action && action->handler != SIG_IGN && !(action->flags & SA_NOCLDSTOP)) {
        struct siginfo info = child_info(process, SIGCHLD, code, status);
        signal_send_process(parent, &info);
    }
    wake_all(&parent->child_wait);
}

static u32 exit_code_of(u32 wstatus, u32 *status) { // CLD_* and si_status
    if (wstatus & 0x7f) {
        *status = wstatus & 0x7f;
        return wstatus & 0x80 ? CLD_DUMPED : CLD_KILLED;
    }
    *status = wstatus >> 8 & 0xff;
    return CLD_EXITED;
}

void process_ended(struct process *process) {
    struct process *parent = process->parent;
    const struct sigaction *action = chld_action(parent);
    u32 status, code = exit_code_of(process->exit_status, &status);
    bool reap = parent->is_agent && !process->host_child;
    u32 signo = process->exit_signal;
    if (signo == SIGCHLD && action && !parent->is_agent) {
        reap |= action->handler == SIG_IGN || (action->flags & SA_NOCLDWAIT);
        if (action->handler == SIG_IGN)
            signo = 0;
    }
    if (signo) {
        struct siginfo info = child_info(process, signo, code, status);
        signal_send_process(parent, &info);
    }
    if (reap)
        process_reap(process);
    wake_all(&parent->child_wait);
}

// ---- Reaping -----------------------------------------------------------------------------------
void process_reap(struct process *process) {
    struct process *parent = process->parent;
    parent->child_utime += process->utime + process->child_utime;
    parent->child_stime += process->stime + process->child_stime;
    parent->child_rss_max =
        max(parent->child_rss_max, max(process->rss_max, process->child_rss_max));
    parent->child_faults += process->min_faults + process->child_faults;
    list_remove(&process->sibling);
    list_remove(&process->all);
    sigqueue_flush(&process->pending, ~0ull);
    process->parent = NULL;
    task_unlist(process->leader);
    process_put(process);
}

void process_reparent(struct process *process) {
    struct process *heir = process->parent;
    while (heir && heir != kernel->agent && (!heir->child_subreaper || heir->zombie))
        heir = heir->parent;
    if (!heir)
        heir = kernel->agent;
    struct process *child;
    list_each(child, &process->children, sibling) {
        list_remove(&child->sibling);
        child->parent = heir;
        list_push(&heir->children, &child->sibling);
        child->exit_signal = SIGCHLD;
        struct task *task;
        list_each(task, &child->tasks, sibling)
            if (task->pdeath_signal && task->state != TASK_DEAD) {
                struct siginfo info = {.signo = (i32)task->pdeath_signal, .code = SI_USER};
                info.kill.pid = (i32)process->pid;
                info.kill.uid = process->leader->cred.ruid;
                signal_send_task(task, &info);
            }
        process_group_leaves(child, process, false);
        if (child->zombie)
            process_ended(child);
    }
}

// ---- wait4, waitid -----------------------------------------------------------------------------
static bool eligible(const struct wait_request *request, struct task *task, struct process *child) {
    switch (request->type) {
    case P_PID:
        if (child->pid != request->id)
            return false;
        break;
    case P_PGID:
        if (child->pgid != (request->id ? request->id : task->process->pgid))
            return false;
        break;
    }
    if (request->options & W__ALL)
        return true;
    return (child->exit_signal != SIGCHLD) == !!(request->options & W__CLONE);
}

static struct timeval timeval_of(u64 ns) {
    return (struct timeval){(i64)(ns / NSEC), (i64)(ns % NSEC / 1000)};
}

static i64 wait_result(struct wait_request *request, struct process *child, u32 code, u32 status,
                       u32 wstatus) {
    u64 utime, stime;
    process_times(child, &utime, &stime);
    request->pid = child->pid;
    request->uid = child->leader->cred.ruid;
    request->code = code;
    request->status = status;
    request->wstatus = wstatus;
    request->usage = (struct rusage){
        .utime = timeval_of(utime + cputime_ns(child->child_utime)),
        .stime = timeval_of(stime + cputime_ns(child->child_stime)),
        .maxrss = (i64)(max(child->rss_max, child->child_rss_max) * (PAGE_SIZE / 1024)),
        .minflt = (i64)(child->min_faults + child->child_faults),
    };
    return child->pid;
}

i64 process_wait(struct task *task, struct wait_request *request) {
    struct process *process = task->process, *child;
    bool keep = request->options & WNOWAIT, any = false;
    list_each(child, &process->children, sibling) {
        if (!eligible(request, task, child))
            continue;
        any = true;
        if (child->zombie && (request->options & WEXITED)) {
            u32 status, code = exit_code_of(child->exit_status, &status);
            i64 pid = wait_result(request, child, code, status, child->exit_status);
            if (!keep)
                process_reap(child);
            return pid;
        }
        if (child->stopped && !child->stop_reported && (request->options & WSTOPPED)) {
            child->stop_reported = !keep;
            return wait_result(request, child, CLD_STOPPED, child->stop_signal,
                               (u32)child->stop_signal << 8 | 0x7f);
        }
        if (child->cont_pending && (request->options & WCONTINUED)) {
            child->cont_pending = keep;
            return wait_result(request, child, CLD_CONTINUED, SIGCONT, 0xffff);
        }
    }
    if (!any)
        return -ECHILD;
    if (request->options & WNOHANG)
        return 0;
    return wait_on(task, &process->child_wait, STATUS_CHILD_WAIT);
}

// clone(2): a new task, and for all but threads a new process around it. For each CLONE_* flag a
// part is shared (one more reference) or copied. All that can fail comes before the child is
// visible.
#include "../fs/newfd.h"
#include "../kernel.h"
#include "../lib/heap.h"
#include "../lib/string.h"
#include "proc.h"

struct fs_context *fs_context_clone(struct fs_context *from) {
    struct fs_context *fs = knew(struct fs_context);
    if (!fs)
        return NULL;
    *fs = *from;
    fs->refs = 1;
    inode_get(fs->root);
    inode_get(fs->cwd);
    return fs;
}

void fs_context_put(struct fs_context *fs) {
    if (!fs || --fs->refs)
        return;
    inode_put(fs->root);
    inode_put(fs->cwd);
    kfree(fs);
}

i64 process_limit(struct task *task) {
    if (kernel->task_max && kernel->task_count - kernel->agent->task_count >= kernel->task_max) {
        limit_met(task->process, LIMIT_PIDS);
        return -EAGAIN;
    }
    u64 limit = task->process->rlimit[RLIMIT_NPROC][0];
    u64 privileged = 1ull << CAP_SYS_RESOURCE | 1ull << CAP_SYS_ADMIN;
    if (limit == RLIM_INFINITY || task->cred.ruid == 0 || (task->cred.cap_effective & privileged))
        return 0;
    u64 count = 0;
    struct process *process;
    list_each(process, &kernel->processes, all)
        if (process->leader && process->leader->cred.ruid == task->cred.ruid)
            count += process->task_count;
    return count >= limit ? -EAGAIN : 0;
}

// The process a child of `from` starts as: identity, limits and terminal of the caller's.
static struct process *process_child(struct process *from, struct process *parent, u32 pid) {
    struct process *process = process_new(pid);
    if (!process)
        return NULL;
    process->parent = parent;
    process->pgid = from->pgid;
    process->sid = from->sid;
    process->tty = from->tty;
    process->oom_score_adj = from->oom_score_adj;
    process->dumpable = from->dumpable;
    memcpy(process->rlimit, from->rlimit, sizeof process->rlimit);
    list_push(&parent->children, &process->sibling);
    return process;
}

// A task that was never run, and its process if it has no other: as if it had not been made.
static void task_unmake(struct task *task, bool alone) {
    struct process *process = task->process;
    mm_put(task->mm);
    fdtable_put(task->files);
    fs_context_put(task->fs);
    sighand_put(task->sighand);
    list_remove(&task->sibling);
    process->task_count--;
    process->live_count--;
    kernel->task_count--;
    tid_free(task->tid);
    task_put(task);
    if (alone)
        process_put(process);
}

// A numbered task in `process`, or in a new child process of `parent` when that is NULL.
static i64 task_make(struct process *from, struct process *process, struct process *parent,
                     struct task **out) {
    i64 tid = tid_alloc();
    if (tid < 0)
        return tid;
    bool alone = !process;
    if (alone)
        process = process_child(from, parent, (u32)tid);
    if (!process)
        return -ENOMEM;
    struct task *task = task_new(process, (u32)tid);
    if (!task) {
        if (alone)
            process_put(process);
        return -ENOMEM;
    }
    if (alone)
        process->leader = task;
    *out = task;
    return 0;
}

// What the flags share or copy. NULL parts on failure are fine for task_unmake.
static i64 share_or_copy(struct task *task, struct task *child, u64 flags) {
    if (flags & CLONE_VM) {
        mm_get(task->mm);
        child->mm = task->mm;
    } else if (!(child->mm = mm_clone(task->mm))) {
        return -ENOMEM;
    }
    if (flags & CLONE_FILES) {
        task->files->refs++;
        child->files = task->files;
    } else if (!(child->files = fdtable_clone(task->files))) {
        return -ENOMEM;
    }
    if (flags & CLONE_FS) {
        task->fs->refs++;
        child->fs = task->fs;
    } else if (!(child->fs = fs_context_clone(task->fs))) {
        return -ENOMEM;
    }
    if (flags & CLONE_SIGHAND) {
        task->sighand->refs++;
        child->sighand = task->sighand;
    } else if (!(child->sighand = sighand_clone(task->sighand))) {
        return -ENOMEM;
    }
    if (flags & CLONE_CLEAR_SIGHAND)
        for (u32 i = 0; i < 64; i++)
            if (child->sighand->action[i].handler != SIG_IGN)
                child->sighand->action[i] = (struct sigaction){0};
    return 0;
}

static void inherit(struct task *task, struct task *child, const struct clone_args *args) {
    u64 flags = args->flags;
    child->cpu = task->cpu;
    child->cpu.pc += 4; // past the ecall
    child->cpu.x[10] = 0;
    child->cpu.instret = 0;
    if (args->stack)
        child->cpu.x[2] = args->stack + args->stack_size;
    if (flags & CLONE_SETTLS)
        child->cpu.x[4] = args->tls;
    cpu_reservation_clear(&child->cpu);
    child->cred = task->cred;
    child->blocked = task->blocked;
    if ((flags & (CLONE_VM | CLONE_VFORK)) == CLONE_VM) {
        child->sas_flags = SS_DISABLE;
    } else {
        child->sas_base = task->sas_base;
        child->sas_size = task->sas_size;
        child->sas_flags = task->sas_flags;
    }
    child->clear_child_tid = flags & CLONE_CHILD_CLEARTID ? args->child_tid : 0;
    if (task->sched_policy & SCHED_RESET_ON_FORK) {
        child->nice = max(task->nice, 0);
    } else {
        child->nice = task->nice;
        child->sched_policy = task->sched_policy;
        child->sched_priority = task->sched_priority;
    }
    child->timer_slack = task->timer_slack;
    child->affinity = task->affinity;
    child->last_hart = task->last_hart;
    memcpy(child->comm, task->comm, sizeof child->comm);
}

i64 process_clone(struct task *task, const struct clone_args *args, struct task **out) {
    u64 flags = args->flags;
    struct process *process = task->process,
                   *parent = flags & CLONE_PARENT ? process->parent : process;
    struct file *pidfd = NULL;
    struct task *child;
    i64 fd = -1;
    bool thread = flags & CLONE_THREAD;
    i64 error = task_make(process, thread ? process : NULL, parent, &child);
    if (error)
        return error;
    error = share_or_copy(task, child, flags);
    if (error)
        goto fail;
    inherit(task, child, args);
    if (flags & CLONE_CHILD_SETTID) { // the page is there: the caller made it ready, and a copy
                                      // needs no waiting
        struct mm *own = task->mm;
        task->mm = child->mm;
        (void)!put_user(task, UPTR(args->child_tid), child->tid);
        task->mm = own;
    }
    if (flags & CLONE_PIDFD) {
        error = -ENOMEM;
        pidfd = pidfd_new(child->process, 0);
        if (!pidfd)
            goto fail;
        error = fd = fd_install(task, pidfd, 0, true);
        if (error < 0)
            goto fail;
        (void)!put_user(task, UPTR(args->pidfd), (i32)fd);
    }
    if (flags & CLONE_PARENT_SETTID)
        (void)!put_user(task, UPTR(args->parent_tid), child->tid);
    if (!thread)
        child->process->exit_signal =
            flags & CLONE_PARENT ? process->exit_signal : (u32)args->exit_signal;
    TAP(CLONE, child, NULL, 0, process->pid, task->tid, (i64)flags);
    kernel->forks++;
    if (flags & CLONE_VFORK) {
        task_get(task);
        child->vfork_parent = task;
        child->vfork_seq = task->call.seq;
    }
    *out = child;
    sched_enqueue(child);
    return child->tid;
fail:
    task_unmake(child, !thread);
    return error;
}

i64 process_spawn(struct task *agent, struct task **out) {
    struct process *process = agent->process;
    struct task *child;
    i64 error = task_make(process, NULL, process, &child);
    if (error)
        return error;
    child->mm = mm_create();
    child->files = fdtable_new();
    child->fs = fs_context_clone(agent->fs);
    child->sighand = sighand_clone(NULL);
    if (!child->mm || !child->files || !child->fs || !child->sighand) {
        task_unmake(child, true);
        return -ENOMEM;
    }
    child->cred = agent->cred;
    child->sas_flags = SS_DISABLE;
    child->affinity = ~0ull;
    child->timer_slack = 50000;
    child->process->exit_signal = SIGCHLD;
    *out = child;
    return 0;
}

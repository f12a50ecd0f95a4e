// The end of tasks and processes (law 21): mark, then each task leaves what it holds, the last one
// makes the zombie.
#include "../fs/tty.h"
#include "../kernel.h"
#include "../lib/atomic.h"
#include "../lib/heap.h"
#include "../task/futexq.h"
#include "../task/itimer.h"
#include "../task/load.h"
#include "proc.h"
#include "reap.h"

void process_exit(struct process *process, u32 status) {
    if (process->exiting)
        return;
    debug_exit(process, status);
    process->exiting = true;
    process->exit_status = status;
    process->stopped = false;
    struct task *task;
    list_each(task, &process->tasks, sibling)
        if (task->state != TASK_DEAD) {
            task->killed = true;
            signal_kick(task);
        }
}

static void vfork_release(struct task *task) {
    struct task *parent = task->vfork_parent;
    task->vfork_parent = NULL;
    if (!parent)
        return;
    struct call *call = &parent->call;
    if (parent->state != TASK_DEAD && call->live && call->seq == task->vfork_seq)
        wait_grant(parent, (i64)call->scratch[0]); // the child's tid, as the parent knows it
    task_put(parent);
}

void task_release_mm(struct task *task) {
    if (!task->mm)
        return;
    futex_robust_exit(task);
    futex_pi_exit(task);
    if (task->clear_child_tid && task->mm->refs > 1 &&
        mm_present(task->mm, task->clear_child_tid)) {
        if (!put_user(task, UPTR(task->clear_child_tid), (u32)0))
            futex_wake_word(task, task->clear_child_tid, 1);
    }
    task->clear_child_tid = 0;
    vfork_release(task);
}

void task_unlist(struct task *task) {
    list_remove(&task->sibling);
    task->process->task_count--;
    kernel->task_count--;
    tid_free(task->tid);
    task_put(task); // its hart may still hold it
}

static void timers_cancel(struct process *process) {
    for (u32 i = 0; i < 3; i++)
        timer_cancel(&process->itimer[i].timer);
    posix_timers_exit(process);
}

// The last task has gone: what belongs to the whole process ends here.
static void process_end(struct process *process) {
    timers_cancel(process);
    if (process->pid == process->sid)
        tty_session_exit(process);
    process->exiting = process->zombie = true;
    process->stopped = false;
    process_reparent(process);
    process_group_leaves(process, process->parent, true);
    wake_all(&process->exit_wait);
    wake_all(&process->signal_wait);
    if (process->host_child)
        exited_push(process->pid, process->exit_status);
    process_ended(process);
}

void task_exit(struct task *task, u32 status) {
    struct process *process = task->process;
    if (task->state == TASK_DEAD)
        return;
    assert(!process->is_agent);
    TAP(EXIT, task, NULL, 0,
        task == process->leader && !process->exiting ? status : process->exit_status,
        process->live_count == 1, (i64)(task->ticks_user + task->ticks_system));
    if (process->live_count == 1 && !process->exiting)
        debug_exit(process, status);
    admission_drop(task);
    call_abort(task);
    wait_cancel(&task->fault);
    exec_drop(task);
    task_release_mm(task);
    task->state = TASK_DEAD;
    load_set(task, false);
    task->attention = false;
    task->active = NULL;
    process->live_count--;
    process->utime += task->ticks_user;
    process->stime += task->ticks_system;
    task->ticks_user = task->ticks_system = 0;
    if (task->mm)
        process->rss_max = max(process->rss_max, task->mm->rss_max);
    mm_put(task->mm);
    fdtable_put(task->files);
    fs_context_put(task->fs);
    sighand_put(task->sighand);
    task->mm = NULL;
    task->files = NULL;
    task->fs = NULL;
    task->sighand = NULL;
    sigqueue_flush(&task->pending, ~0ull);
    if (task == process->leader && !process->exiting)
        process->exit_status = status; // holds unless exit_group or a signal ends the others
    if (task != process->leader)
        task_unlist(task);
    if (process->live_count == 0)
        process_end(process);
    else if (process->execer && process->live_count == 1)
        wait_wake(process->execer);
}

#include "task.h"
#include "../kernel.h"
#include "signal.h"

// Numbers: a table indexed by tid, grown on demand; numbers are given out in order and come again
// only after PID_MAX.
#define PID_MAX 4194304u
#define PID_RESERVED                                                                               \
    300u // after the first wrap low numbers stay with the first processes, as in Linux

i64 tid_alloc(void) {
    for (u32 tries = 0; tries < 2; tries++) {
        for (u32 tid = max(kernel->tid_next, 1u); tid < PID_MAX; tid++) {
            if (tid >= kernel->tid_cap) {
                u32 cap = max(1024u, kernel->tid_cap * 2);
                struct task **tids = krealloc(kernel->tids, cap * sizeof *tids);
                if (!tids)
                    return -ENOMEM;
                kernel->tids = tids;
                kernel->tid_cap = cap;
            }
            // A process group or session keeps its number busy after its leader is gone.
            if (!kernel->tids[tid] && !process_find(tid)) {
                kernel->tid_next = tid + 1;
                return tid;
            }
        }
        kernel->tid_next = PID_RESERVED;
    }
    return -EAGAIN;
}

void tid_free(u32 tid) {
    kernel->tids[tid] = NULL;
}

struct task *task_find(u32 tid) {
    return tid < kernel->tid_cap ? kernel->tids[tid] : NULL;
}

struct process *process_find(u32 pid) {
    struct task *task = task_find(pid);
    return task && task->process->pid == pid ? task->process : NULL;
}

struct process *process_new(u32 pid) {
    struct process *process = knew(struct process);
    if (!process)
        return NULL;
    process->refs = 1;
    process->pid = process->pgid = process->sid = pid;
    process->start_ns = now_boot_ns();
    process->dumpable = true;
    process->exit_signal = SIGCHLD;
    list_init(&process->children);
    list_init(&process->sibling);
    list_init(&process->tasks);
    list_init(&process->posix_timers);
    waitq_init(&process->child_wait);
    waitq_init(&process->signal_wait);
    waitq_init(&process->exit_wait);
    sigqueue_init(&process->pending);
    list_push(&kernel->processes, &process->all);
    return process;
}

void process_put(struct process *process) {
    if (--process->refs)
        return;
    list_remove(&process->all);
    list_remove(&process->sibling);
    sigqueue_flush(&process->pending, ~0ull);
    waitq_abandon(&process->signal_wait); // epoll items of a signalfd that others still hold
    kfree(process);
}

struct task *task_new(struct process *process, u32 tid) {
    struct task *task = knew(struct task);
    if (!task)
        return NULL;
    task->refs = 1;
    task->tid = tid;
    task->process = process;
    task->state = TASK_IDLE;
    list_init(&task->run_link);
    list_init(&task->sibling);
    list_init(&task->admission_link);
    sigqueue_init(&task->pending);
    list_push(&process->tasks, &task->sibling);
    process->task_count++;
    process->live_count++;
    process->refs++;
    kernel->tids[tid] = task;
    kernel->task_count++;
    return task;
}

void task_get(struct task *task) {
    task->refs++;
}

void task_put(struct task *task) {
    if (--task->refs)
        return;
    sigqueue_flush(&task->pending, ~0ull);
    process_put(task->process);
    kfree(task);
}

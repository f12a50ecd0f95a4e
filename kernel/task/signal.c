// Signals: generation, choice of the target, order and action (law 6). Frames are sigframe.c's.
//
// A sent signal is queued unless it is ignored, then one task that accepts it is made to look
// (`attention`); what is done about it is decided only by that task, in signal_deliver, before
// guest code runs again.
#include "signal.h"
#include "../kernel.h"
#include "../lib/heap.h"
#include "../lib/string.h"
#include "load.h"

#define STOP_SET (SIGBIT(SIGSTOP) | SIGBIT(SIGTSTP) | SIGBIT(SIGTTIN) | SIGBIT(SIGTTOU))
#define IGNORE_SET (SIGBIT(SIGCHLD) | SIGBIT(SIGCONT) | SIGBIT(SIGURG) | SIGBIT(SIGWINCH))
#define SYNC_SET                                                                                   \
    (SIGBIT(SIGSEGV) | SIGBIT(SIGBUS) | SIGBIT(SIGILL) | SIGBIT(SIGTRAP) | SIGBIT(SIGFPE) |        \
     SIGBIT(SIGSYS))
#define UNBLOCKABLE (SIGBIT(SIGKILL) | SIGBIT(SIGSTOP))

// ---- Actions ----
struct sighand *process_sighand(struct process *process) {
    struct task *task;
    list_each(task, &process->tasks, sibling)
        if (task->sighand)
            return task->sighand;
    return NULL;
}

struct sighand *sighand_clone(const struct sighand *from) {
    struct sighand *sighand = knew(struct sighand);
    if (!sighand)
        return NULL;
    if (from)
        *sighand = *from;
    sighand->refs = 1;
    return sighand;
}

void sighand_put(struct sighand *sighand) {
    if (sighand && --sighand->refs == 0)
        kfree(sighand);
}

static bool action_ignores(const struct sigaction *action, u32 signo) {
    return action->handler == SIG_IGN ||
           (action->handler == SIG_DFL && (SIGBIT(signo) & IGNORE_SET));
}

bool signal_ignored(struct task *task, u32 signo) {
    return action_ignores(&task->sighand->action[signo - 1], signo);
}

// ---- Queues ----
void sigqueue_init(struct sigqueue *queue) {
    queue->set = 0;
    queue->count = 0;
    list_init(&queue->infos);
}

void sigqueue_flush(struct sigqueue *queue, u64 set) {
    struct siginfo_node *node;
    list_each(node, &queue->infos, link)
        if (SIGBIT(node->info.signo) & set) {
            list_remove(&node->link);
            queue->count--;
            kfree(node);
        }
    queue->set &= ~set;
}

static u32 queued_count(struct process *process) {
    u32 count = process->pending.count;
    struct task *task;
    list_each(task, &process->tasks, sibling)
        count += task->pending.count;
    return count;
}

// A standard signal is queued once; real-time signals each. Without room, a signal of kill(2) or
// the kernel loses its siginfo only.
static i64 queue_add(struct process *process, struct sigqueue *queue, const struct siginfo *info) {
    u32 signo = (u32)info->signo;
    if (signo < SIGRTMIN && (queue->set & SIGBIT(signo)))
        return 0;
    struct siginfo_node *node = NULL;
    if (signo < SIGRTMIN || queued_count(process) < process->rlimit[RLIMIT_SIGPENDING][0])
        node = knew(struct siginfo_node);
    if (node) {
        node->info = *info;
        list_push(&queue->infos, &node->link);
        queue->count++;
    } else if (signo >= SIGRTMIN && info->code != SI_USER && info->code != SI_KERNEL) {
        return -EAGAIN;
    }
    queue->set |= SIGBIT(signo);
    return 0;
}

static void queue_take(struct sigqueue *queue, u32 signo, struct siginfo *out) {
    struct siginfo_node *found = NULL;
    bool more = false;
    struct siginfo_node *node;
    list_each(node, &queue->infos, link) {
        if ((u32)node->info.signo != signo)
            continue;
        if (found) {
            more = true;
            break;
        }
        found = node;
    }
    if (found) {
        *out = found->info;
        list_remove(&found->link);
        queue->count--;
        kfree(found);
    } else {
        *out = (struct siginfo){.signo = (i32)signo, .code = SI_USER};
    }
    if (!more)
        queue->set &= ~SIGBIT(signo);
}

static u32 lowest(u64 set) {
    return set ? (u32)__builtin_ctzll(set) + 1 : 0;
}
static u32 first_of(u64 set) { // synchronous ones first
    return lowest(set & SYNC_SET ? set & SYNC_SET : set);
}

bool signal_dequeue(struct task *task, u64 set, struct siginfo *out) {
    struct sigqueue *queue = &task->pending;
    u32 signo = first_of(queue->set & set);
    if (!signo) {
        queue = &task->process->pending;
        signo = first_of(queue->set & set);
    }
    if (!signo)
        return false;
    queue_take(queue, signo, out);
    TAP(DELIVERED, task, NULL, 0, signo, out->code, -1);
    return true;
}

bool signal_pending_in(struct task *task, u64 set) {
    return (task->pending.set | task->process->pending.set) & set;
}

// ---- Who looks ----
void signal_kick(struct task *task) {
    task->attention = true;
    if (task->state == TASK_WAITING)
        wait_wake(task);
    else if (task->state == TASK_STOPPED && task->killed)
        sched_enqueue(task);
    else
        sched_kick(task);
}

static bool accepts(struct task *task, u32 signo) {
    return task->state != TASK_DEAD && !task->killed && !(task->blocked & SIGBIT(signo));
}

static struct task *target_of(struct process *process, u32 signo) {
    if (accepts(process->leader, signo))
        return process->leader;
    struct task *best = NULL;
    struct task *task;
    list_each(task, &process->tasks, sibling)
        if (accepts(task, signo) && (!best || task->tid < best->tid))
            best = task;
    return best;
}

static void flush_all(struct process *process, u64 set) {
    sigqueue_flush(&process->pending, set);
    struct task *task;
    list_each(task, &process->tasks, sibling)
        sigqueue_flush(&task->pending, set);
}

static void process_continue(struct process *process) {
    if (!process->stopped)
        return;
    process->stopped = false;
    process->stop_reported = false;
    process->cont_pending = true;
    struct task *task;
    list_each(task, &process->tasks, sibling)
        if (task->state == TASK_STOPPED)
            sched_enqueue(task); // a call that still waits tests its condition and waits on
    process_notify_parent(process, CLD_CONTINUED, SIGCONT);
}

i64 signal_queue(struct process *process, struct task *task, const struct siginfo *info) {
    u32 signo = (u32)info->signo;
    struct sighand *sighand = process_sighand(process);
    if (process->is_agent || process->zombie || !sighand || (task && task->state == TASK_DEAD))
        return 0;
    struct task *seen = task ? task : process->leader;
    TAP(SENT, seen, NULL, 0, signo, info->code, info->code <= 0 ? info->kill.pid : 0, task != NULL);
    if (signo == SIGKILL) {
        process_exit(process, SIGKILL);
        return 0;
    }
    if (SIGBIT(signo) & STOP_SET) {
        flush_all(process, SIGBIT(SIGCONT));
    } else if (signo == SIGCONT) {
        flush_all(process, STOP_SET);
        process_continue(process);
    }
    u64 blocked = task ? task->blocked : process->leader->blocked;
    if (action_ignores(&sighand->action[signo - 1], signo) && !(blocked & SIGBIT(signo)))
        return 0;
    i64 error = queue_add(process, task ? &task->pending : &process->pending, info);
    if (error)
        return error;
    struct task *target = task ? (accepts(task, signo) ? task : NULL) : target_of(process, signo);
    if (target)
        signal_kick(target);
    wake_all(&process->signal_wait);
    return 0;
}

void signal_send_task(struct task *task, const struct siginfo *info) {
    (void)!signal_queue(task->process, task, info);
}
void signal_send_process(struct process *process, const struct siginfo *info) {
    (void)!signal_queue(process, NULL, info);
}
void signal_send_group(u32 pgid, const struct siginfo *info) {
    struct process *process;
    list_each(process, &kernel->processes, all)
        if (process->pgid == pgid)
            signal_send_process(process, info);
}
void signal_kernel(struct process *process, u32 signo) {
    struct siginfo info = {.signo = (i32)signo, .code = SI_KERNEL};
    signal_send_process(process, &info);
}
void signal_kernel_group(u32 pgid, u32 signo) {
    struct siginfo info = {.signo = (i32)signo, .code = SI_KERNEL};
    signal_send_group(pgid, &info);
}

// What the task itself caused cannot be refused: a blocked or ignored one takes its default action.
void signal_force(struct task *task, u32 signo, i32 code, u64 addr) {
    struct sigaction *action = &task->sighand->action[signo - 1];
    if (action->handler == SIG_IGN || (task->blocked & SIGBIT(signo))) {
        *action = (struct sigaction){0};
        task->blocked &= ~SIGBIT(signo);
    }
    task->forced.signo = signo;
    task->forced.info = (struct siginfo){.signo = (i32)signo, .code = code};
    task->forced.info.fault.addr = addr;
    TAP(SENT, task, NULL, 0, signo, code, 0, 1);
    task->attention = true;
}

i64 signal_may(struct task *from, struct process *to, u32 signo) {
    const struct cred *a = &from->cred, *b = &to->leader->cred;
    if (from->process == to || (a->cap_effective & (1ull << CAP_KILL)))
        return 0;
    if (a->euid == b->suid || a->euid == b->ruid || a->ruid == b->suid || a->ruid == b->ruid)
        return 0;
    return signo == SIGCONT && from->process->sid == to->sid ? 0 : -EPERM;
}

// ---- What is deliverable ----
// Waits that only a kill ends: the vfork parent, exec waiting to be alone, admission, file data on
// its way.
bool signal_only_killable(struct task *task) {
    if (!task->call.live)
        return false;
    switch (task->call.why) {
    case STATUS_VFORK_WAIT:
    case STATUS_CLONE_SPAWN:
    case STATUS_EXECVE_SPAWN:
    case STATUS_FS_WAIT:
        return true;
    default:
        return false;
    }
}

static u64 effective(struct task *task, u64 set) { // without blocked and ignored ones
    u64 left = set & ~task->blocked, out = 0;
    for (; left; left &= left - 1)
        if (!signal_ignored(task, lowest(left)))
            out |= left & -left;
    return out;
}

// The next signal to act on: number and queue. 0 when there is none. Forced ones have no queue.
static u32 signal_peek(struct task *task, struct sigqueue **queue) {
    *queue = NULL;
    if (task->forced.signo)
        return task->forced.signo;
    u32 signo = first_of(effective(task, task->pending.set));
    *queue = &task->pending;
    if (!signo) {
        signo = first_of(effective(task, task->process->pending.set));
        *queue = &task->process->pending;
    }
    return signo;
}

bool signal_deliverable(struct task *task) {
    struct sigqueue *queue;
    if (task->killed)
        return true;
    if (task->process->is_agent || signal_only_killable(task))
        return false;
    return task->process->stopped || signal_peek(task, &queue);
}

const struct sigaction *signal_next_action(struct task *task) {
    struct sigqueue *queue;
    if (task->killed || task->process->stopped || task->process->is_agent)
        return NULL;
    u32 signo = signal_peek(task, &queue);
    const struct sigaction *action = signo ? &task->sighand->action[signo - 1] : NULL;
    return action && action->handler != SIG_DFL && action->handler != SIG_IGN ? action : NULL;
}

void signal_set_blocked(struct task *task, u64 set) {
    struct process *process = task->process;
    u64 orphaned = set & ~task->blocked & process->pending.set; // somebody else may take them now
    task->blocked = set & ~UNBLOCKABLE;
    if (signal_deliverable(task))
        task->attention = true;
    struct task *other;
    if (orphaned)
        list_each(other, &process->tasks, sibling)
            if (other != task && other->state != TASK_DEAD && (orphaned & ~other->blocked))
                signal_kick(other);
}

// ---- Delivery ----
static void stop(struct task *task) {
    task->state = TASK_STOPPED;
    load_set(task, false);
}

static void group_stop(struct task *task, u32 signo) {
    struct process *process = task->process;
    process->stopped = true;
    process->stop_signal = (u8)signo;
    process->stop_reported = false;
    process->cont_pending = false;
    struct task *other;
    list_each(other, &process->tasks, sibling) {
        if (other->state == TASK_WAITING)
            stop(other); // stays on its queues; a grant is kept until CONT
        else if (other != task && other->state != TASK_DEAD)
            signal_kick(other); // stops itself in signal_deliver
    }
    stop(task);
    process_notify_parent(process, CLD_STOPPED, signo);
}

// No core file is ever written, so the core flag of the wait status stays clear.
static void default_action(struct task *task, u32 signo) {
    struct process *process = task->process;
    u64 bit = SIGBIT(signo);
    if (bit & IGNORE_SET)
        return;
    if (bit & STOP_SET) {
        if (signo == SIGSTOP || !process_group_orphaned(process->pgid))
            group_stop(task, signo);
        return;
    }
    process_exit(process, signo);
}

i64 signal_deliver(struct task *task) {
    struct process *process = task->process;
    struct call *call = &task->call;
    for (;;) {
        if (task->state == TASK_DEAD || task->state == TASK_STOPPED)
            return 0;
        if (task->killed) {
            task_exit(task, process->exit_status);
            return 0;
        }
        if (process->is_agent)
            break;
        if (signal_only_killable(task)) {
            task->attention = true; // it looks again when this wait is over
            return 0;
        }
        if (process->stopped) {
            stop(task);
            return 0;
        }
        struct sigqueue *queue;
        u32 signo = signal_peek(task, &queue);
        if (!signo) { // what is pending and not blocked is ignored: it goes
            sigqueue_flush(&task->pending, ~task->blocked);
            sigqueue_flush(&process->pending, ~task->blocked);
            break;
        }
        struct sigaction action = task->sighand->action[signo - 1];
        if (action.handler != SIG_DFL) {
            // The frame's pages come first: nothing is taken off a queue before they are there.
            i64 ready = sigframe_ready(task, &action);
            if (ready == E_WAIT)
                return E_WAIT;
        }
        struct siginfo info;
        if (queue) {
            queue_take(queue, signo, &info);
        } else {
            info = task->forced.info;
            task->forced.signo = 0;
        }
        TAP(DELIVERED, task, NULL, 0, signo, info.code, (i64)action.handler, queue ? 0 : (i64)info.fault.addr);
        if (action.handler == SIG_DFL) {
            default_action(task, signo);
            continue;
        }
        u64 saved = call->mask_saved ? call->saved_mask : task->blocked;
        i64 error = sigframe_push(task, &action, &info, saved);
        if (error) { // no stack to run on: SIGSEGV, by default if it was that
            if (signo == SIGSEGV)
                task->sighand->action[SIGSEGV - 1] = (struct sigaction){0};
            signal_force(task, SIGSEGV, SI_KERNEL, 0);
            continue;
        }
        call->mask_saved = false;
        if (action.flags & SA_RESETHAND)
            task->sighand->action[signo - 1] = (struct sigaction){0};
        u64 blocked = task->blocked | action.mask;
        if (!(action.flags & SA_NODEFER))
            blocked |= SIGBIT(signo);
        signal_set_blocked(task, blocked);
    }
    if (call->mask_saved && !call->live) { // ended by a signal that ran no handler
        call->mask_saved = false;
        signal_set_blocked(task, call->saved_mask);
        if (signal_deliverable(task))
            return signal_deliver(task);
    }
    task->attention = false;
    return 0;
}

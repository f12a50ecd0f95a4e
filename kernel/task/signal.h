// Signals: generation, choice of the target, delivery. signal(7), sigaction(2).
#pragma once
#include "task.h"

#define SIGBIT(n) (1ull << ((n) - 1))

void signal_send_task(struct task *task, const struct siginfo *info);
void signal_send_process(struct process *process, const struct siginfo *info);
void signal_send_group(u32 pgid, const struct siginfo *info);
void signal_kernel(struct process *process, u32 signo);       // SI_KERNEL, to a process
void signal_kernel_group(u32 pgid, u32 signo);                // SI_KERNEL, to a process group (tty)
void signal_force(struct task *task, u32 signo, i32 code, u64 addr); // synchronous: cannot be blocked or ignored
// Permission check of kill(2). 0, -EPERM.
i64 signal_may(struct task *from, struct process *to, u32 signo);

bool signal_deliverable(struct task *task); // an unblocked signal that is not ignored, or a kill, is pending
// Action of the first deliverable signal; NULL when its handling runs no handler (default, stop, kill).
const struct sigaction *signal_next_action(struct task *task);
bool signal_pending_in(struct task *task, u64 set);
bool signal_dequeue(struct task *task, u64 set, struct siginfo *out); // for sigtimedwait, signalfd
bool signal_ignored(struct task *task, u32 signo); // by action; SIG_DFL-ignored counts (tty job control asks)
void signal_set_blocked(struct task *task, u64 set); // keeps KILL and STOP out, re-evaluates
// As the senders above for user requests (rt_sigqueueinfo): -EAGAIN when RLIMIT_SIGPENDING is reached.
must_check i64 signal_queue(struct process *process, struct task *task, const struct siginfo *info);
bool signal_only_killable(struct task *task); // it is in a wait that no other signal ends
void signal_kick(struct task *task); // make it look at `attention`, wherever it is (kill wakes stopped ones)
struct sighand *process_sighand(struct process *process); // NULL when no task lives
struct sighand *sighand_clone(const struct sighand *from); // NULL: all default; refs = 1
void sighand_put(struct sighand *sighand);
void sigqueue_init(struct sigqueue *queue);
void sigqueue_flush(struct sigqueue *queue, u64 set);

// Before guest code runs: deliver what is deliverable (push a frame, stop, die). E_WAIT when the frame's
// pages must come first; 0 otherwise. May leave the task stopped or dead.
must_check i64 signal_deliver(struct task *task);
// What proc/ does when a signal asks for it.
void task_exit(struct task *task, u32 status); // this task ends; called with the task off the run queue
void process_exit(struct process *process, u32 status); // exit_group: marks, kills the others
void process_notify_parent(struct process *process, u32 code /* CLD_* */, u32 status);
bool process_group_orphaned(u32 pgid);
// sigframe.c
must_check i64 sigframe_ready(struct task *task, const struct sigaction *action); // 0, -EFAULT, E_WAIT
must_check i64 sigframe_push(struct task *task, const struct sigaction *action, const struct siginfo *info, u64 saved_mask);
must_check i64 sigframe_pop(struct task *task);

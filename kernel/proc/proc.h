// Making, replacing and ending processes.
#pragma once
#include "../fs/path.h"
#include "../task/signal.h"

struct clone_args { // clone3(2)
    u64 flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};
// Everything clone(2) does after its checks; the child is runnable when this returns its tid.
must_check i64 process_clone(struct task *task, const struct clone_args *args, struct task **child);
// The agent's way to make a process: a child of pid 1 with a fresh mm and given descriptors, about to exec.
must_check i64 process_spawn(struct task *agent, struct task **child);

// exec in phases (law 21); state is kept in the call. `path` and strings are read on first entry.
must_check i64 process_exec(struct task *task, struct call *call, i32 dirfd, const char *path, u32 flags, uptr argv, uptr envp);
// The same with strings in kernel memory, for SPAWN: count NUL-terminated strings each.
must_check i64 process_exec_kernel(struct task *task, struct call *call, const char *path, u32 argc, const char *argv, u32 envc, const char *envp);

void task_exit(struct task *task, u32 status); // this task ends; called with the task off the run queue
void process_exit(struct process *process, u32 status); // exit_group: marks, kills the others
// wait4/waitid: see reap.c
void process_reparent(struct process *process);
must_check i64 pid_alloc(struct task *task); // number for a new task
void process_notify_parent(struct process *process, u32 code /* CLD_* */, u32 status);

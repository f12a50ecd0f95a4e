// Making, replacing and ending processes.
//
// A process struct lives while refs > 0: one until it is reaped, one per task struct of it, and its holders'. Its leader stays in process->tasks as TASK_DEAD until it is reaped.
#pragma once
#include "../fs/path.h"
#include "../task/signal.h"

struct clone_args { // clone3(2)
    u64 flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

// ---- fork.c ----
// May one more task be made now (kernel->task_max, RLIMIT_NPROC)? 0, -EAGAIN.
must_check i64 process_limit(struct task *task);
// Everything clone(2) does after its checks; the child is runnable when this returns its tid.
must_check i64 process_clone(struct task *task, const struct clone_args *args, struct task **child);
// The agent's way to make a process: a child of pid 1 with an empty mm and descriptor table, default signals, the
// agent's credentials and directories; TASK_IDLE, about to exec. Give it up with task_exit.
must_check i64 process_spawn(struct task *agent, struct task **child);
must_check struct fs_context *fs_context_clone(struct fs_context *from);
void fs_context_put(struct fs_context *fs);

// ---- exec.c ----
// exec in phases (law 21); state is kept in task->exec. `path` stays valid until the call ends. E_DONE.
must_check i64 process_exec(struct task *task, struct call *call, i32 dirfd, const char *path, u32 flags, uptr argv, uptr envp);
// The same with strings in kernel memory, for SPAWN: count NUL-terminated strings each. The owner, who asked for it,
// is not asked to admit it.
must_check i64 process_exec_kernel(struct task *task, struct call *call, const char *path, u32 argc, const char *argv, u32 envc, const char *envp);

// ---- exit.c ----
// (task_exit and process_exit: task/signal.h)
void task_release_mm(struct task *task); // robust list, clear_child_tid, vfork parent: leaves its address space

// ---- reap.c ----
void process_reparent(struct process *process); // its children go to a subreaper or the agent
// (process_notify_parent: task/signal.h)
void process_reap(struct process *process); // a zombie leaves the tables
struct wait_request {
    u32 type, id; // P_*
    u32 options;  // W*
    // Filled when a child was found.
    u32 pid, uid, code, status; // code CLD_*; status as in si_status
    u32 wstatus;                // wait(2) encoding
    struct rusage usage;
};
// pid, 0 (WNOHANG and nothing yet), -ECHILD, E_WAIT. `task` must be ready to copy out: nothing fails after it.
must_check i64 process_wait(struct task *task, struct wait_request *request);
void process_times(struct process *process, u64 *utime_ns, u64 *stime_ns); // of all its tasks, dead ones too

// ---- ids.c ----
void process_new_session(struct process *process); // setsid(2) after its checks

// ---- admit.c ----
enum { ADMISSION_NONE, ADMISSION_ASKED, ADMISSION_ANSWERED };
// Asks the owner once: 0 admitted (or nobody asks), -errno refused, E_WAIT until then. Condition wait.
must_check i64 admission(struct task *task, struct call *call, u8 status);
void admission_answer(u32 tid, u32 seq, i32 error); // deliver(ADMIT)
struct task *admission_next(void); // the next task whose status (admission_status) is to be raised, once; or NULL
void admission_drop(struct task *task);

// A task is a guest thread; a process is a thread group. All of it is machine memory, under the kernel lock, but
// for `cpu`, which belongs to the hart that runs the task inside k_step.
#pragma once
#include "../cpu/cpu.h"
#include "../linux.h"
#include "../mem/user.h"
#include "timer.h"
#include "wait.h"

enum task_state {
    TASK_RUNNABLE, // in the run queue
    TASK_RUNNING,  // on a hart
    TASK_WAITING,  // task->active waits
    TASK_STOPPED,  // stopped by a signal (may be waiting as well: see `active`)
    TASK_IDLE,     // an agent without a call
    TASK_DEAD,     // zombie leader, or about to be freed
};

// A system call in progress: what stands in for a kernel stack (law 3). Captured at first entry; a re-entry
// (live) continues at `phase` and reads no argument again.
struct call {
    bool live;
    bool granted;  // `result` was stored by a waker: it is the answer
    bool mask_saved;
    bool timed_out; // the deadline passed while it waited
    bool restarts;  // a handler that ran begins it anew, with SA_RESTART or not
    u8 phase;
    u8 why;        // STATUS_* it waits as
    u8 chaos;      // CHAOS_* (chaos.h)
    u16 nr;
    u32 seq;       // distinguishes calls of a task, for ADMIT and host completions
    u64 args[6];
    u64 deadline;  // absolute virtual ns; 0: none
    u64 progress;
    u64 limit;     // by chaos: bytes it moves at most, or the error it ends with
    u64 scratch[4]; // the handler's own, across phases
    i64 result;
    struct file *file[2]; // held references, dropped when the call ends
    void *captured;       // machine heap, freed when the call ends
    u64 saved_mask;
    struct waitnode *nodes;
    struct timer timer;
    // Undoes the phase when the call is aborted (kill, EINTR). Optional.
    void (*undo)(struct task *task, struct call *call);
};

struct siginfo_node {
    struct list link;
    struct siginfo info;
};
struct sigqueue {
    u64 set;           // bit n-1: signal n pending
    struct list infos; // struct siginfo_node, in order of arrival
    u32 count;
};

struct sighand {
    u32 refs; // tasks (CLONE_SIGHAND)
    struct sigaction action[64];
};

struct cred {
    u32 ruid, euid, suid, fsuid;
    u32 rgid, egid, sgid, fsgid;
    u32 group_count;
    u32 groups[32];
    u64 cap_effective, cap_permitted, cap_inheritable;
    u8 no_new_privs, keep_caps;
};

struct fs_context { // CLONE_FS
    u32 refs;
    u32 umask;
    struct inode *root, *cwd; // with references
};

struct itimer {
    struct timer timer; // ITIMER_REAL only
    u64 interval_ns;
    u64 value_ns; // ITIMER_VIRTUAL and PROF: cpu time left
};

struct process {
    u32 refs;      // tasks, children's parent pointer is not counted
    u32 pid;       // of the leader
    u32 pgid, sid;
    u32 task_count;
    u32 live_count; // tasks that have not begun to exit
    struct process *parent;
    struct list children, sibling; // struct process.sibling
    struct list tasks;             // struct task.sibling
    struct list all;               // kernel->processes
    struct task *leader;
    struct tty *tty;               // controlling terminal, with a reference held by the session
    struct sigqueue pending;
    u64 rlimit[16][2]; // soft, hard
    struct itimer itimer[3];
    struct waitq child_wait; // wait4 of this process's tasks
    struct waitq signal_wait; // signalfd, sigtimedwait of any of its tasks
    struct waitq exit_wait;   // woken when it becomes a zombie (pidfd)
    struct list posix_timers;
    u32 exit_status;   // wait(2) encoding, once exiting
    bool exiting;      // exit_group has begun
    bool zombie;       // waits to be reaped
    bool stopped, stop_reported, cont_pending;
    u8 stop_signal;
    bool did_exec;     // for setpgid's EACCES
    bool is_agent;     // pid 1: owned by the kernel
    bool host_child;   // spawned by the host: not auto-reaped by the agent
    bool child_subreaper;
    bool dumpable;
    struct task *execer; // the task that won exec's ALONE phase
    u32 exit_signal;   // to the parent, from clone
    u64 start_ns;
    u64 utime, stime, child_utime, child_stime; // ticks of dead tasks / reaped children
    u64 min_faults;
    u64 rss_max, child_rss_max; // frames
    u64 child_faults;
    i32 oom_score_adj;
    u32 limits_met; // bits of LIMIT_*: the host has been told
};

#define SCHED_RESET_ON_FORK 0x40000000u // in sched_policy

struct task {
    u32 refs;
    u32 tid;
    enum task_state state;
    struct process *process;
    struct cpu cpu;
    struct list run_link; // run queue, or kernel->agent_idle
    struct list sibling;  // process->tasks
    struct call call;     // the system call in progress
    struct call fault;    // a fault in progress: only its wait fields are used
    struct call *active;  // the record that waits or runs: &call, &fault or NULL
    bool fault_live;      // a fault must be retried before guest code runs
    u64 fault_va;
    u8 fault_access;

    struct mm *mm;
    struct fdtable *files;
    struct fs_context *fs;
    struct sighand *sighand;
    struct cred cred;
    struct sigqueue pending;
    u64 blocked;
    u64 sas_base, sas_size; // alternate signal stack
    u32 sas_flags;
    bool attention;         // look at signals, stop, exit before guest code runs again
    bool killed;            // SIGKILL or exit_group: only exit remains
    bool loads;             // counts in the load average
    struct sigqueue_forced { u32 signo; struct siginfo info; } forced; // synchronous, signo 0: none

    u64 clear_child_tid;
    u64 robust_list, robust_list_len;
    u64 rseq; // 0: not registered
    struct task *vfork_parent; // released by our exec or exit
    u32 vfork_seq;
    u64 ticks_user, ticks_system;
    u64 quantum_end; // tick
    bool prompt; // somebody outside waits for it: it was let in before others
    u32 last_hart;
    i32 nice;
    u32 sched_policy, sched_priority;
    u64 timer_slack;
    u32 pdeath_signal;
    char comm[16];
    struct agent *agent; // pid 1's tasks: the host operation being run
    struct futex_wait *futex; // queued on a futex
    struct exec *exec;        // being carried out (proc/exec.c)
    u64 affinity;             // bit per cpu
    // A clone or exec waits for the owner's answer (proc/admit.c).
    struct list admission_link; // kernel->admissions, until its status was raised
    u8 admission;               // ADMISSION_*
    u8 admission_status;        // STATUS_*_SPAWN
    i32 admission_error;
    u32 admission_number; // among all requests of its kind, from 1
};

// sched.c
void sched_enqueue(struct task *task); // make runnable
void sched_ring(void);                 // an idle hart, if there is something for it
void sched_leave(void);                // this hart goes away
u64 sched_share(void);                 // fuel of guest code before that is due
struct task *sched_pick(struct hart *hart);
bool sched_apart(const struct hart *hart, const struct task *task); // not while another hart's task runs
void sched_yield(struct task *task);
void sched_call(struct task *task); // make runnable, by the host: it does not wait for a turn to end
void sched_kick(struct task *task); // it has something to look at: leave guest code if it runs elsewhere

// oom.c: `task` found no memory for a page; it tries again when its turn comes.
void oom_kill(struct task *task);

// Tasks and processes by number. No reference is taken; valid while the lock is held.
struct task *task_find(u32 tid);
struct process *process_find(u32 pid);
// A new task of `process`: registers zero, credentials and context empty, not queued. NULL: no memory.
must_check struct task *task_new(struct process *process, u32 tid);
must_check struct process *process_new(u32 pid); // in kernel->processes; refs = 1, until it is reaped
must_check i64 tid_alloc(void);                  // a free number, or -EAGAIN, -ENOMEM
void tid_free(u32 tid);
void process_put(struct process *process);
void task_get(struct task *task);
void task_put(struct task *task);

static inline struct call *call_of(struct task *task) {
    return &task->call;
}
// Arguments as the handler reads them.
static inline uptr arg_ptr(const struct call *call, u32 i) {
    return UPTR(call->args[i]);
}
static inline i32 arg_int(const struct call *call, u32 i) {
    return (i32)call->args[i];
}
static inline u32 arg_u32(const struct call *call, u32 i) {
    return (u32)call->args[i];
}

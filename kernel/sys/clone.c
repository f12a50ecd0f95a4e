// clone(2), clone3, unshare(2), setns(2), set_tid_address(2).
#include "../lib/heap.h"
#include "../proc/proc.h"
#include "sys.h"

#define NAMESPACES                                                                                 \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)
#define CLONE_NEWTIME 0x80u

static i64 clone_check(struct task *task, const struct clone_args *args) {
    u64 flags = args->flags;
    if ((flags & CLONE_THREAD) && !(flags & CLONE_SIGHAND))
        return -EINVAL;
    if ((flags & CLONE_SIGHAND) && !(flags & CLONE_VM))
        return -EINVAL;
    if ((flags & CLONE_SIGHAND) && (flags & CLONE_CLEAR_SIGHAND))
        return -EINVAL;
    if ((flags & CLONE_PIDFD) && (flags & (CLONE_THREAD | CLONE_DETACHED)))
        return -EINVAL;
    if ((flags & CLONE_PARENT) && !(flags & CLONE_THREAD) && task->process->parent->is_agent &&
        task->process->host_child)
        return -EINVAL;     // the host's children are the host's
    if (flags & NAMESPACES) // as a kernel built without namespaces
        return -EINVAL;
    return process_limit(task);
}

static i64 clone_ready(struct task *task, const struct clone_args *args) {
    i64 error = 0;
    if (args->flags & CLONE_PIDFD)
        error = user_ready(task, UPTR(args->pidfd), 4, ACCESS_WRITE);
    if (!error && (args->flags & CLONE_PARENT_SETTID))
        error = user_ready(task, UPTR(args->parent_tid), 4, ACCESS_WRITE);
    // A bad child_tid is no error: the child's store fails silently.
    if (!error && (args->flags & CLONE_CHILD_SETTID) &&
        user_ready(task, UPTR(args->child_tid), 4, ACCESS_WRITE) == E_WAIT)
        error = E_WAIT;
    return error;
}

enum { PHASE_CHECK, PHASE_ADMIT, PHASE_MAKE, PHASE_VFORK };

static i64 clone_run(struct task *task, struct call *call, const struct clone_args *args) {
    struct task *child;
    i64 r;
    switch (call->phase) {
    case PHASE_CHECK:
        r = clone_check(task, args);
        if (r)
            return r;
        call->phase = PHASE_ADMIT;
        [[fallthrough]];
    case PHASE_ADMIT:
        r = admission(task, call, STATUS_CLONE_SPAWN);
        if (r)
            return r;
        call->why = 0;
        call->phase = PHASE_MAKE; // what makes ready may wait, and nobody is asked twice
        [[fallthrough]];
    case PHASE_MAKE:
        r = clone_ready(task, args);
        if (r)
            return r;
        r = process_limit(task); // again: others were made while the owner was asked
        if (r)
            return r;
        // A signal to the whole group must reach the child too: taken first, then the call begins
        // anew.
        if (signal_deliverable(task)) {
            task->attention = true;
            return E_DONE;
        }
        r = process_clone(task, args, &child);
        if (r < 0 || !(args->flags & CLONE_VFORK))
            return r;
        call->scratch[0] = (u64)r;
        call->phase = PHASE_VFORK;
        return wait_alone(task, STATUS_VFORK_WAIT);
    default:
        return call->granted ? call->result : wait_alone(task, STATUS_VFORK_WAIT);
    }
}

i64 sys_clone(struct task *task, struct call *call) {
    u64 flags = call->args[0];
    struct clone_args args = {
        .flags = (u32)flags & ~CSIGNAL,
        .exit_signal = flags & CSIGNAL,
        .stack = call->args[1],
        .parent_tid = call->args[2],
        .pidfd = call->args[2],
        .tls = call->args[3],
        .child_tid = call->args[4],
    };
    if ((flags & CLONE_PIDFD) && (flags & CLONE_PARENT_SETTID))
        return -EINVAL; // both would be stored in the same place
    return clone_run(task, call, &args);
}

static i64 clone3_check(const struct clone_args *args) {
    const u64 known = 0xffffffffull | CLONE_CLEAR_SIGHAND | CLONE_INTO_CGROUP;
    if (args->flags & (~known | CLONE_DETACHED | (CSIGNAL & ~CLONE_NEWTIME)))
        return -EINVAL;
    if (args->flags & (CLONE_NEWTIME | CLONE_INTO_CGROUP))
        return -EINVAL;
    if (args->exit_signal > SIGRTMAX)
        return -EINVAL;
    if ((args->flags & (CLONE_THREAD | CLONE_PARENT)) && args->exit_signal)
        return -EINVAL;
    if (!args->stack != !args->stack_size || args->stack + args->stack_size < args->stack)
        return -EINVAL;
    if (!args->set_tid != !args->set_tid_size || args->set_tid_size)
        return -EINVAL; // choosing the number is not supported
    return 0;
}

#define CLONE_ARGS_SIZE_VER0 64u

static i64 clone3_fetch(struct task *task, struct call *call, struct clone_args *args) {
    u64 size = call->args[1];
    if (size > PAGE_SIZE)
        return -E2BIG;
    if (size < CLONE_ARGS_SIZE_VER0)
        return -EINVAL;
    i64 error = copy_in(task, args, arg_ptr(call, 0), min(size, sizeof *args));
    for (u64 at = sizeof *args; !error && at < size; at++) { // what we do not know must be zero
        u8 byte;
        error = get_user(task, byte, UPTR(call->args[0] + at));
        if (!error && byte)
            error = -E2BIG;
    }
    return error ? error : clone3_check(args);
}

i64 sys_clone3(struct task *task, struct call *call) {
    struct clone_args *args = call->captured; // read once: what was checked is what is done
    if (!args) {
        args = knew(struct clone_args);
        if (!args)
            return -ENOMEM;
        i64 error = clone3_fetch(task, call, args);
        if (error) {
            kfree(args);
            return error;
        }
        call->captured = args;
    }
    return clone_run(task, call, args);
}

i64 sys_unshare(struct task *task, struct call *call) {
    u64 flags = call->args[0];
    const u64 known =
        CLONE_THREAD | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_VM | CLONE_SYSVSEM;
    if (flags & ~known) // namespaces are not built in
        return -EINVAL;
    if ((flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)) && task->process->live_count > 1)
        return -EINVAL;
    struct fs_context *fs = NULL;
    if ((flags & CLONE_FS) && task->fs->refs > 1) {
        fs = fs_context_clone(task->fs);
        if (!fs)
            return -ENOMEM;
    }
    if ((flags & CLONE_FILES) && task->files->refs > 1) {
        struct fdtable *files = fdtable_clone(task->files);
        if (!files) {
            fs_context_put(fs);
            return -ENOMEM;
        }
        fdtable_put(task->files);
        task->files = files;
    }
    if (fs) {
        fs_context_put(task->fs);
        task->fs = fs;
    }
    return 0;
}

i64 sys_setns(struct task *task, struct call *call) {
    return fd_file(task, arg_int(call, 0)) ? -EINVAL : -EBADF;
}

i64 sys_set_tid_address(struct task *task, struct call *call) {
    task->clear_child_tid = call->args[0];
    return task->tid;
}

// futex(2), robust lists.
#include "../task/futexq.h"
#include "sys.h"

enum {
    FUTEX_WAIT,
    FUTEX_WAKE,
    FUTEX_FD,
    FUTEX_REQUEUE,
    FUTEX_CMP_REQUEUE,
    FUTEX_WAKE_OP,
    FUTEX_LOCK_PI,
    FUTEX_UNLOCK_PI,
    FUTEX_TRYLOCK_PI,
    FUTEX_WAIT_BITSET,
    FUTEX_WAKE_BITSET,
    FUTEX_LOCK_PI2 = 13,
};
#define FUTEX_PRIVATE 128u
#define FUTEX_REALTIME 256u
#define ROBUST_HEAD_BYTES 24u

// Relative for WAIT, absolute for all others.
static i64 futex_deadline(struct task *task, struct call *call, u32 op, bool realtime) {
    struct timespec limit;
    i64 error = get_user(task, limit, arg_ptr(call, 3));
    if (error)
        return error;
    if (limit.sec < 0 || (u64)limit.nsec >= NSEC)
        return -EINVAL;
    u64 ns = min((u64)limit.sec, 1ull << 33) * NSEC + (u64)limit.nsec;
    if (op == FUTEX_WAIT) {
        wait_deadline(task, now_ns() + ns);
    } else if (!realtime) {
        wait_deadline(task, ns);
    } else {
        u64 now = now_real_ns();
        wait_deadline(task, ns > now ? now_ns() + (ns - now) : 0);
        call->timer.realtime = 1; // it comes earlier when that clock jumps ahead
    }
    return 0;
}

static i64 wait(struct task *task, struct call *call, u32 op, bool shared, bool realtime) {
    u32 bitset = op == FUTEX_WAIT ? ~0u : arg_u32(call, 5);
    if (!bitset)
        return -EINVAL;
    if (!call->phase) {
        i64 error = arg_ptr(call, 3).va ? futex_deadline(task, call, op, realtime) : 0;
        if (error)
            return error;
        call->phase = 1;
    }
    return futex_wait(task, call, arg_ptr(call, 0), arg_u32(call, 2), bitset, shared);
}

static i64 lock_pi(struct task *task, struct call *call, bool shared, bool realtime) {
    if (!call->phase) {
        i64 error =
            arg_ptr(call, 3).va ? futex_deadline(task, call, FUTEX_LOCK_PI, realtime) : 0;
        if (error)
            return error;
        call->phase = 1;
        call->restarts = true;
    }
    return futex_lock_pi(task, call, arg_ptr(call, 0), shared, false);
}

i64 sys_futex(struct task *task, struct call *call) {
    uptr word = arg_ptr(call, 0), word2 = arg_ptr(call, 4);
    u32 command = arg_u32(call, 1), op = command & ~(FUTEX_PRIVATE | FUTEX_REALTIME);
    bool shared = !(command & FUTEX_PRIVATE), realtime = command & FUTEX_REALTIME;
    u32 count = arg_u32(call, 2), count2 = arg_u32(call, 3);
    if (realtime && op != FUTEX_WAIT_BITSET && op != FUTEX_WAIT && op != FUTEX_LOCK_PI2)
        return -ENOSYS;
    if ((op > FUTEX_WAKE_BITSET && op != FUTEX_LOCK_PI2) || op == FUTEX_FD)
        return -ENOSYS;
    if (word.va & 3)
        return -EINVAL;
    if (word.va >= USER_END)
        return -EFAULT;
    switch (op) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
        return wait(task, call, op, shared, realtime);
    case FUTEX_WAKE:
        return futex_wake(task, word, count, ~0u, shared);
    case FUTEX_WAKE_BITSET:
        return arg_u32(call, 5) ? futex_wake(task, word, count, arg_u32(call, 5), shared) : -EINVAL;
    case FUTEX_LOCK_PI:
        return lock_pi(task, call, shared, true);
    case FUTEX_LOCK_PI2:
        return lock_pi(task, call, shared, realtime);
    case FUTEX_TRYLOCK_PI:
        return futex_lock_pi(task, call, word, shared, true);
    case FUTEX_UNLOCK_PI:
        return futex_unlock_pi(task, word, shared);
    default:
        break;
    }
    if (word2.va & 3)
        return -EINVAL;
    if (word2.va >= USER_END)
        return -EFAULT;
    if (op == FUTEX_WAKE_OP)
        return futex_wake_op(task, word, count, word2, count2, arg_u32(call, 5), shared);
    if ((i32)count < 0 || (i32)count2 < 0)
        return -EINVAL;
    u32 expected = arg_u32(call, 5);
    return futex_requeue(task, word, count, count2, word2,
                         op == FUTEX_CMP_REQUEUE ? &expected : NULL, shared);
}

i64 sys_set_robust_list(struct task *task, struct call *call) {
    if (call->args[1] != ROBUST_HEAD_BYTES)
        return -EINVAL;
    task->robust_list = call->args[0];
    return 0;
}

i64 sys_get_robust_list(struct task *task, struct call *call) {
    u32 tid = arg_u32(call, 0);
    struct task *target = tid ? task_find(tid) : task;
    if (!target || target->state == TASK_DEAD)
        return -ESRCH;
    if (target->process != task->process && task->cred.euid != target->cred.ruid &&
        !(task->cred.cap_effective & 1ull << CAP_SYS_PTRACE))
        return -EPERM;
    u64 size = ROBUST_HEAD_BYTES;
    i64 error = put_user(task, arg_ptr(call, 2), size);
    return error ? error : put_user(task, arg_ptr(call, 1), target->robust_list);
}

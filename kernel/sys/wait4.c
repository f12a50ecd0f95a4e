// wait4(2), waitid(2), exit(2), exit_group(2).
#include "../fs/newfd.h"
#include "../proc/proc.h"
#include "sys.h"

i64 sys_exit(struct task *task, struct call *call) {
    task_exit(task, (arg_u32(call, 0) & 0xff) << 8);
    return E_DONE;
}

i64 sys_exit_group(struct task *task, struct call *call) {
    process_exit(task->process, (arg_u32(call, 0) & 0xff) << 8);
    task_exit(task, task->process->exit_status);
    return E_DONE;
}

i64 sys_wait4(struct task *task, struct call *call) {
    i32 pid = arg_int(call, 0);
    u32 options = arg_u32(call, 2);
    if (options & ~(WNOHANG | WUNTRACED | WCONTINUED | W__NOTHREAD | W__CLONE | W__ALL))
        return -EINVAL;
    if (pid == INT32_MIN)
        return -ESRCH;
    struct wait_request request = {.options = options | WEXITED};
    request.type = pid == -1 ? P_ALL : pid > 0 ? P_PID : P_PGID;
    request.id = pid > 0 ? (u32)pid : pid == -1 ? 0 : (u32)-pid;
    uptr status = arg_ptr(call, 1), usage = arg_ptr(call, 3);
    i64 error = 0; // both outputs are ready before a child can be reaped
    if (status.va)
        error = user_ready(task, status, sizeof request.wstatus, ACCESS_WRITE);
    if (!error && usage.va)
        error = user_ready(task, usage, sizeof request.usage, ACCESS_WRITE);
    if (error)
        return error;
    i64 found = process_wait(task, &request);
    if (found <= 0)
        return found;
    if (status.va)
        error = put_user(task, status, request.wstatus);
    if (!error && usage.va)
        error = put_user(task, usage, request.usage);
    return error ? error : found;
}

i64 sys_waitid(struct task *task, struct call *call) {
    struct wait_request request = {
        .type = arg_u32(call, 0), .id = arg_u32(call, 1), .options = arg_u32(call, 3)};
    const u32 kinds = WEXITED | WSTOPPED | WCONTINUED;
    if (request.options & ~(kinds | WNOHANG | WNOWAIT | W__NOTHREAD | W__CLONE | W__ALL))
        return -EINVAL;
    if (!(request.options & kinds) || request.type > P_PIDFD || (i32)request.id < 0)
        return -EINVAL;
    if (request.type == P_PID && request.id == 0)
        return -EINVAL;
    bool nonblocking = false;
    if (request.type == P_PIDFD) {
        struct file *file = call_file(task, 0, (i32)request.id);
        if (!file)
            return -EBADF;
        struct process *process = pidfd_process(file);
        if (!process)
            return -EBADF;
        request.type = P_PID;
        request.id = process->pid;
        nonblocking = (file->flags & O_NONBLOCK) && !(request.options & WNOHANG);
        if (nonblocking)
            request.options |= WNOHANG;
    }
    uptr out = arg_ptr(call, 2), usage = arg_ptr(call, 4);
    i64 error = 0;
    if (out.va)
        error = user_ready(task, out, sizeof(struct siginfo), ACCESS_WRITE);
    if (!error && usage.va)
        error = user_ready(task, usage, sizeof request.usage, ACCESS_WRITE);
    if (error)
        return error;
    i64 found = process_wait(task, &request);
    if (found < 0)
        return found;
    if (!found && nonblocking)
        return -EAGAIN;
    struct siginfo info = {0}; // all zero when there is nothing to report
    if (found) {
        info.signo = SIGCHLD;
        info.code = (i32)request.code;
        info.chld.pid = (i32)request.pid;
        info.chld.uid = request.uid;
        info.chld.status = (i32)request.status;
    }
    if (out.va)
        error = copy_out(task, out, &info, 32); // what lies behind is not touched
    if (!error && usage.va && found)
        error = put_user(task, usage, request.usage);
    return error;
}

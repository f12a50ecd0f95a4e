// Calls that make a descriptor out of nothing: pipe2, eventfd2, timerfd, signalfd, inotify, memfd, pidfd.
#include "sys.h"
#include "../fs/pipe.h"

i64 sys_pipe2(struct task *task, struct call *call) {
    u32 flags = arg_u32(call, 1);
    struct file *ends[2];
    i32 fds[2];
    if (flags & ~(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    i64 error = user_ready(task, arg_ptr(call, 0), sizeof fds, ACCESS_WRITE);
    if (!error)
        error = pipe_new(&ends[0], &ends[1], flags);
    if (error)
        return error;
    i64 first = fd_install(task, ends[0], 0, flags & O_CLOEXEC);
    i64 second = first < 0 ? first : fd_install(task, ends[1], 0, flags & O_CLOEXEC);
    if (second < 0) {
        if (first < 0)
            file_put(ends[1]);
        else if ((error = fd_close(task, (i32)first)))
            return error;
        return second;
    }
    fds[0] = (i32)first;
    fds[1] = (i32)second;
    return copy_out(task, arg_ptr(call, 0), fds, sizeof fds);
}

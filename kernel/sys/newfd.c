// Calls that make a descriptor out of nothing: pipe2, eventfd2, timerfd, signalfd, inotify, memfd,
// pidfd.
#include "sys.h"
#include "../fs/newfd.h"
#include "../fs/pipe.h"
#include "timearg.h"

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

i64 sys_eventfd2(struct task *task, struct call *call) {
    u32 flags = arg_u32(call, 1);
    struct file *file;
    if (flags & ~(O_CLOEXEC | O_NONBLOCK | EFD_SEMAPHORE))
        return -EINVAL;
    i64 error = eventfd_new(arg_u32(call, 0), flags, &file);
    return error ? error : fd_install(task, file, 0, flags & O_CLOEXEC);
}

// ---- timerfd ----
i64 sys_timerfd_create(struct task *task, struct call *call) {
    u32 clock = arg_u32(call, 0), flags = arg_u32(call, 1);
    struct file *file;
    if (flags & ~(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    if (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME &&
        clock != CLOCK_REALTIME_ALARM && clock != CLOCK_BOOTTIME_ALARM)
        return -EINVAL;
    i64 error = timerfd_new(clock, flags, &file);
    return error ? error : fd_install(task, file, 0, flags & O_CLOEXEC);
}

static i64 timerfd_value(struct file *file, struct itimerspec *out) {
    u64 value, interval;
    i64 error = timerfd_get(file, &value, &interval);
    if (!error)
        *out = (struct itimerspec){ns_timespec(interval), ns_timespec(value)};
    return error;
}

i64 sys_timerfd_settime(struct task *task, struct call *call) {
    struct file *file = fd_file(task, arg_int(call, 0));
    u32 flags = arg_u32(call, 1);
    uptr old = arg_ptr(call, 3);
    struct itimerspec new, was;
    i64 error = get_user(task, new, arg_ptr(call, 2));
    if (!error && old.va)
        error = user_ready(task, old, sizeof was, ACCESS_WRITE);
    if (error)
        return error;
    if (flags & ~(u32)(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET) ||
        !timespec_valid(&new.value) || !timespec_valid(&new.interval))
        return -EINVAL;
    if (!file)
        return -EBADF;
    error = timerfd_value(file, &was);
    if (!error)
        error = timerfd_set(file, flags, timespec_ns(&new.value), timespec_ns(&new.interval));
    return error || !old.va ? error : put_user(task, old, was);
}

i64 sys_timerfd_gettime(struct task *task, struct call *call) {
    struct file *file = fd_file(task, arg_int(call, 0));
    struct itimerspec now;
    i64 error = file ? timerfd_value(file, &now) : -EBADF;
    return error ? error : put_user(task, arg_ptr(call, 1), now);
}

// ---- signalfd ----
i64 sys_signalfd4(struct task *task, struct call *call) {
    i32 fd = arg_int(call, 0);
    u32 flags = arg_u32(call, 3);
    u64 mask;
    if (flags & ~(O_CLOEXEC | O_NONBLOCK) || call->args[2] != sizeof mask)
        return -EINVAL;
    i64 error = get_user(task, mask, arg_ptr(call, 1));
    if (error)
        return error;
    if (fd >= 0) {
        struct file *old = fd_file(task, fd);
        error = old ? signalfd_set(old, mask) : -EBADF;
        return error ? error : fd;
    }
    if (fd != -1)
        return -EBADF;
    struct file *file;
    error = signalfd_new(mask, flags, &file);
    return error ? error : fd_install(task, file, 0, flags & O_CLOEXEC);
}

// ---- inotify ----
i64 sys_inotify_init1(struct task *task, struct call *call) {
    u32 flags = arg_u32(call, 0);
    struct file *file;
    if (flags & ~(O_CLOEXEC | O_NONBLOCK))
        return -EINVAL;
    i64 error = inotify_new(flags, &file);
    return error ? error : fd_install(task, file, 0, flags & O_CLOEXEC);
}

enum { IN_ONLYDIR = 0x01000000, IN_DONT_FOLLOW = 0x02000000 };

i64 sys_inotify_add_watch(struct task *task, struct call *call) {
    struct file *file = call_file(task, 0, arg_int(call, 0));
    u32 mask = arg_u32(call, 2);
    i64 error;
    if (!file)
        return -EBADF;
    const char *path = call_path(task, 0, arg_ptr(call, 1), &error);
    if (!path)
        return error;
    struct walk walk;
    u32 flags =
        (mask & IN_DONT_FOLLOW ? 0 : WALK_FOLLOW) | (mask & IN_ONLYDIR ? WALK_DIRECTORY : 0);
    if ((error = path_walk(task, AT_FDCWD, path, flags, &walk)))
        return error;
    i64 r = inode_permission(task, walk.inode, R_OK);
    if (!r)
        r = inotify_watch(file, walk.inode, mask);
    walk_end(&walk);
    return r;
}

i64 sys_inotify_rm_watch(struct task *task, struct call *call) {
    struct file *file = fd_file(task, arg_int(call, 0));
    return file ? inotify_unwatch(file, arg_int(call, 1)) : -EBADF;
}

// ---- memfd ----
i64 sys_memfd_create(struct task *task, struct call *call) {
    u32 flags = arg_u32(call, 1);
    char name[250];
    if (flags & ~(u32)(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC) ||
        (flags & MFD_NOEXEC_SEAL && flags & MFD_EXEC))
        return -EINVAL;
    i64 n = copy_in_string(task, name, arg_ptr(call, 0), sizeof name);
    if (n < 0)
        return n == -ENAMETOOLONG ? -EINVAL : n;
    struct file *file;
    i64 error = memfd_new(task, name, flags, &file);
    return error ? error : fd_install(task, file, 0, flags & MFD_CLOEXEC);
}

// ---- pidfd ----
i64 sys_pidfd_open(struct task *task, struct call *call) {
    i32 pid = arg_int(call, 0);
    u32 flags = arg_u32(call, 1);
    if (pid <= 0 || flags & ~O_NONBLOCK)
        return -EINVAL;
    struct process *process = process_find((u32)pid);
    if (!process)
        return task_find((u32)pid) ? -ENOENT : -ESRCH; // a thread that leads nothing
    struct file *file = pidfd_new(process, flags);
    return file ? fd_install(task, file, 0, true) : -ENOMEM;
}

i64 sys_pidfd_getfd(struct task *task, struct call *call) {
    struct file *file = fd_file(task, arg_int(call, 0));
    struct process *process = file ? pidfd_process(file) : NULL;
    if (call->args[2])
        return -EINVAL;
    if (!process)
        return -EBADF;
    struct task *target = process->leader;
    if (process->zombie || !target || !target->files)
        return -ESRCH;
    if (task->cred.euid != target->cred.ruid &&
        !(task->cred.cap_effective & 1ull << CAP_SYS_PTRACE))
        return -EPERM;
    struct file *wanted = fd_file(target, arg_int(call, 1));
    if (!wanted)
        return -EBADF;
    file_get(wanted);
    return fd_install(task, wanted, 0, true);
}

// dup(2), fcntl(2), flock(2), close_range(2).
#include "../fs/newfd.h"
#include "../fs/pipe.h"
#include "../fs/flock.h"
#include "names.h"

// fs/pipe.c and fs/memfd.c.

static i64 dup_from(struct task *task, struct file *file, i32 from, bool cloexec) {
    if (from < 0 || (u64)from >= task->process->rlimit[RLIMIT_NOFILE][0])
        return -EINVAL;
    file_get(file);
    return fd_install(task, file, from, cloexec);
}

i64 sys_dup(struct task *task, struct call *call) {
    struct file *file = fd_any(task, arg_int(call, 0));
    if (!file)
        return -EBADF;
    file_get(file);
    return fd_install(task, file, 0, false);
}

i64 sys_dup3(struct task *task, struct call *call) {
    i32 from = arg_int(call, 0), to = arg_int(call, 1);
    if (arg_u32(call, 2) & ~O_CLOEXEC || from == to)
        return -EINVAL;
    struct file *file = fd_any(task, from);
    if (!file)
        return -EBADF;
    file_get(file);
    return fd_install_at(task, file, to, arg_u32(call, 2) & O_CLOEXEC);
}

// ---- Record locks -------------------------------------------------------------------------------
static i64 range_of(struct task *task, struct file *file, const struct flock *arg, bool ofd,
                    struct lock_range *out) {
    i64 base = 0;
    if (arg->whence == SEEK_CUR)
        base = (i64)file->pos;
    else if (arg->whence == SEEK_END)
        base = (i64)file->inode->size;
    else if (arg->whence != SEEK_SET)
        return -EINVAL;
    i64 start, end;
    if (__builtin_add_overflow(base, arg->start, &start))
        return -EOVERFLOW;
    if (arg->type < LOCK_READ || arg->type > LOCK_NONE || (ofd && arg->pid))
        return -EINVAL;
    i64 last = arg->len < 0 ? start - 1 : INT64_MAX;
    if (arg->len < 0)
        start += arg->len;
    else if (arg->len > 0 && __builtin_add_overflow(start, arg->len - 1, &last))
        return -EOVERFLOW;
    end = last;
    if (start < 0)
        return -EINVAL;
    *out = (struct lock_range){
        .kind = ofd ? LOCK_OFD : LOCK_POSIX,
        .type = (u32)arg->type,
        .start = (u64)start,
        .end = end == INT64_MAX ? ~0ull : (u64)end,
        .pid = ofd ? ~0u : task->process->pid,
        .owner = ofd ? (void *)file : (void *)task->files,
    };
    return 0;
}

static i64 record_lock(struct task *task, struct file *file, u32 cmd, uptr p) {
    struct flock arg;
    bool ofd = cmd >= F_OFD_GETLK;
    u32 what = ofd ? cmd - F_OFD_GETLK + F_GETLK : cmd;
    if (file->flags & O_PATH || !file->inode)
        return -EBADF;
    i64 r = copy_in(task, &arg, p, sizeof arg);
    struct lock_range range;
    if (!r)
        r = range_of(task, file, &arg, ofd, &range);
    if (r < 0)
        return r;
    if (what == F_GETLK) {
        struct lock_range found;
        if (range.type == LOCK_NONE)
            return -EINVAL;
        lock_test(file->inode, &range, &found);
        arg.type = (i16)found.type;
        if (found.type != LOCK_NONE) {
            arg.whence = SEEK_SET;
            arg.start = (i64)found.start;
            arg.len = found.end == ~0ull ? 0 : (i64)(found.end - found.start + 1);
            arg.pid = (i32)found.pid;
        }
        return copy_out(task, p, &arg, sizeof arg);
    }
    u32 access = file->flags & O_ACCMODE;
    if ((range.type == LOCK_READ && access == O_WRONLY) ||
        (range.type == LOCK_WRITE && access == O_RDONLY))
        return -EBADF;
    return lock_set(task, file->inode, &range, what == F_SETLKW);
}

enum { FLOCK_SH = 1, FLOCK_EX = 2, FLOCK_NB = 4, FLOCK_UN = 8 };

i64 sys_flock(struct task *task, struct call *call) {
    struct file *file = call_file(task, 0, arg_int(call, 0));
    u32 op = arg_u32(call, 1), what = op & ~(u32)FLOCK_NB;
    if (!file || !file->inode)
        return -EBADF;
    if (what != FLOCK_SH && what != FLOCK_EX && what != FLOCK_UN)
        return -EINVAL;
    struct lock_range range = {
        .kind = LOCK_FLOCK,
        .type = what == FLOCK_SH   ? LOCK_READ
                : what == FLOCK_EX ? LOCK_WRITE
                                   : LOCK_NONE,
        .end = ~0ull,
        .pid = task->process->pid,
        .owner = file,
    };
    return lock_set(task, file->inode, &range, !(op & FLOCK_NB));
}

// ---- fcntl --------------------------------------------------------------------------------------
#define SETTABLE (O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME)
struct owner_arg {
    i32 type, pid;
};
enum { OWNER_TID, OWNER_PID, OWNER_PGRP };

static i64 owner_ex(struct task *task, struct file *file, uptr p, bool set) {
    struct owner_arg arg = {OWNER_PID, (i32)file->owner};
    if (!set) {
        if (arg.pid < 0)
            arg = (struct owner_arg){OWNER_PGRP, -arg.pid};
        return copy_out(task, p, &arg, sizeof arg);
    }
    i64 r = copy_in(task, &arg, p, sizeof arg);
    if (r < 0)
        return r;
    if (arg.type < OWNER_TID || arg.type > OWNER_PGRP)
        return -EINVAL;
    file->owner = (u32)(arg.type == OWNER_PGRP ? -arg.pid : arg.pid);
    return 0;
}

// What also works on O_PATH descriptors.
static i64 descriptor(struct task *task, struct file *file, i32 fd, u32 cmd, u64 arg) {
    switch (cmd) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return dup_from(task, file, (i32)arg, cmd == F_DUPFD_CLOEXEC);
    case F_GETFD:
        return task->files->cloexec[fd] ? FD_CLOEXEC : 0;
    case F_SETFD:
        task->files->cloexec[fd] = arg & FD_CLOEXEC;
        return 0;
    case F_GETFL:
        return file->flags | (file->inode && S_ISREG(file->inode->mode) ? O_LARGEFILE : 0);
    }
    return -EBADF;
}

i64 sys_fcntl(struct task *task, struct call *call) {
    i32 fd = arg_int(call, 0);
    u32 cmd = arg_u32(call, 1);
    u64 arg = call->args[2];
    if (!call->file[0]) {
        struct file *any = fd_any(task, fd);
        if (!any)
            return -EBADF;
        if (cmd <= F_GETFL || cmd == F_DUPFD_CLOEXEC)
            return descriptor(task, any, fd, cmd, arg);
    }
    struct file *file = call_file(task, 0, fd);
    if (!file)
        return -EBADF;
    switch (cmd) {
    case F_SETFL:
        if (arg & O_NOATIME && !(file->flags & O_NOATIME) && file->inode &&
            !inode_owner_or_capable(task, file->inode))
            return -EPERM;
        file->flags = (file->flags & ~SETTABLE) | ((u32)arg & SETTABLE);
        return 0;
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return record_lock(task, file, cmd, UPTR(arg));
    case F_SETOWN:
        file->owner = (u32)arg;
        return 0;
    case F_GETOWN:
        return (i32)file->owner;
    case F_SETOWN_EX:
    case F_GETOWN_EX:
        return owner_ex(task, file, UPTR(arg), cmd == F_SETOWN_EX);
    case F_GETSIG:
        return file->signal;
    case F_SETSIG:
        if (arg > SIGRTMAX)
            return -EINVAL;
        file->signal = (u32)arg;
        return 0;
    case F_GETPIPE_SZ:
        return pipe_get_size(file);
    case F_SETPIPE_SZ:
        return pipe_set_size(task, file, arg);
    case F_GET_SEALS:
        return memfd_get_seals(file);
    case F_ADD_SEALS:
        return memfd_add_seals(file, (u32)arg);
    }
    return -EINVAL;
}

// ---- close_range(2) -----------------------------------------------------------------------------
enum { CLOSE_RANGE_UNSHARE = 2, CLOSE_RANGE_CLOEXEC = 4 };

i64 sys_close_range(struct task *task, struct call *call) {
    u32 first = arg_u32(call, 0), last = arg_u32(call, 1), flags = arg_u32(call, 2);
    if (first > last || flags & ~(u32)(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC))
        return -EINVAL;
    if (flags & CLOSE_RANGE_UNSHARE && task->files->refs > 1) {
        struct fdtable *own = fdtable_clone(task->files);
        if (!own)
            return -ENOMEM;
        fdtable_put(task->files);
        task->files = own;
    }
    struct fdtable *table = task->files;
    for (u32 fd = first; fd <= last && fd < table->size; fd++) {
        if (!table->files[fd])
            continue;
        if (flags & CLOSE_RANGE_CLOEXEC)
            table->cloexec[fd] = 1;
        else
            (void)!fd_close(task, (i32)fd);
    }
    return 0;
}

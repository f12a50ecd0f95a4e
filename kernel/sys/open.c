// open(2), openat2(2), close(2), truncate(2), fallocate(2), sync(2), posix_fadvise(2).
#include "names.h"

static i64 install(struct task *task, const char *path, u32 flags, u32 mode, u32 resolve,
                   i32 dirfd) {
    struct file *file;
    i64 r = file_open(task, dirfd, path, flags, mode, resolve, &file);
    return r < 0 ? r : fd_install(task, file, 0, flags & O_CLOEXEC);
}

i64 sys_openat(struct task *task, struct call *call) {
    i64 r;
    const char *path = call_path(task, 0, arg_ptr(call, 1), &r);
    if (!path)
        return r;
    return install(task, path, arg_u32(call, 2), arg_u32(call, 3), 0, arg_int(call, 0));
}

enum {
    RESOLVE_NO_XDEV = 1,
    RESOLVE_NO_MAGICLINKS = 2,
    RESOLVE_NO_SYMLINKS = 4,
    RESOLVE_BENEATH = 8,
    RESOLVE_IN_ROOT = 16,
    RESOLVE_CACHED = 32
};
static const u32 resolve_flags[] = {WALK_NO_XDEV, WALK_NO_MAGICLINKS,
                                    WALK_NO_SYMLINKS | WALK_NO_MAGICLINKS, WALK_BENEATH,
                                    WALK_IN_ROOT};
#define OPEN_FLAGS                                                                                 \
    (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |          \
     O_DSYNC | O_ASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME |           \
     O_CLOEXEC | O_PATH | O_TMPFILE)

struct open_how {
    u64 flags, mode, resolve;
};

// Bytes behind what we know must be zero (openat2(2), "Extensibility").
static i64 fetch_how(struct task *task, struct open_how *how, uptr p, u64 size) {
    if (size < sizeof *how)
        return -EINVAL;
    if (size > PAGE_SIZE)
        return -E2BIG;
    for (u64 at = sizeof *how; at < size; at++) {
        u8 byte;
        i64 r = get_user(task, byte, UPTR(p.va + at));
        if (r < 0)
            return r;
        if (byte)
            return -E2BIG;
    }
    return copy_in(task, how, p, sizeof *how);
}

i64 sys_openat2(struct task *task, struct call *call) {
    struct open_how how;
    i64 r = fetch_how(task, &how, arg_ptr(call, 2), call->args[3]);
    if (r < 0)
        return r;
    bool creates = how.flags & O_CREAT || (how.flags & O_TMPFILE) == O_TMPFILE;
    if (how.flags & ~(u64)OPEN_FLAGS || how.resolve & ~63ull || how.mode & ~07777ull ||
        (how.mode && !creates))
        return -EINVAL;
    if (how.flags & O_PATH && how.flags & ~(u64)(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC))
        return -EINVAL;
    if (how.resolve & RESOLVE_BENEATH && how.resolve & RESOLVE_IN_ROOT)
        return -EINVAL;
    if (how.resolve & RESOLVE_CACHED)
        return -EAGAIN; // nothing is promised to be there without waiting
    const char *path = call_path(task, 0, arg_ptr(call, 1), &r);
    if (!path)
        return r;
    u32 resolve = 0;
    for (u32 i = 0; i < lengthof(resolve_flags); i++)
        if (how.resolve >> i & 1)
            resolve |= resolve_flags[i];
    return install(task, path, (u32)how.flags, (u32)how.mode, resolve, arg_int(call, 0));
}

i64 sys_close(struct task *task, struct call *call) {
    return fd_close(task, arg_int(call, 0));
}

// ---- Size ---------------------------------------------------------------------------------------
i64 sys_truncate(struct task *task, struct call *call) {
    if ((i64)call->args[1] < 0)
        return -EINVAL;
    i64 r;
    const char *path = call_path(task, 0, arg_ptr(call, 0), &r);
    if (!path)
        return r;
    struct walk walk;
    r = path_walk(task, AT_FDCWD, path, WALK_FOLLOW, &walk);
    if (r < 0)
        return r;
    struct file *file;
    if (S_ISDIR(walk.inode->mode))
        r = -EISDIR;
    else if (!S_ISREG(walk.inode->mode))
        r = -EINVAL;
    else
        r = file_open_inode(task, walk.inode, O_WRONLY, &file);
    if (!r) {
        r = file->ops->truncate ? file->ops->truncate(task, file, call->args[1]) : -EINVAL;
        file->opened = false; // nobody opened it: watchers hear of no close
        file_put(file);
    }
    walk_end(&walk);
    return r;
}

i64 sys_ftruncate(struct task *task, struct call *call) {
    struct file *file = call_file(task, 0, arg_int(call, 0));
    if (!file)
        return -EBADF;
    if ((i64)call->args[1] < 0 || (file->flags & O_ACCMODE) == O_RDONLY || !file->ops->truncate)
        return -EINVAL;
    return file->ops->truncate(task, file, call->args[1]);
}

i64 sys_fallocate(struct task *task, struct call *call) {
    struct file *file = call_file(task, 0, arg_int(call, 0));
    i64 offset = (i64)call->args[2], len = (i64)call->args[3];
    if (offset < 0 || len <= 0)
        return -EINVAL;
    if (!file || (file->flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    if (file->inode && S_ISFIFO(file->inode->mode))
        return -ESPIPE;
    if (file->inode && S_ISDIR(file->inode->mode))
        return -EISDIR;
    if (!file->inode || !S_ISREG(file->inode->mode))
        return -ENODEV;
    if (offset > INT64_MAX - len)
        return -EFBIG;
    if (!file->ops->fallocate)
        return -EOPNOTSUPP;
    return file->ops->fallocate(task, file, arg_u32(call, 1), (u64)offset, (u64)len);
}

// ---- Sync: what is in memory is where it belongs ------------------------------------------------
i64 sys_sync(struct task *task, struct call *call) {
    return 0;
}

static i64 sync_file(struct task *task, struct call *call) {
    struct file *file = call_file(task, 0, arg_int(call, 0));
    if (!file)
        return -EBADF;
    if (file->ops->fsync)
        return file->ops->fsync(task, file);
    return file->inode && S_ISDIR(file->inode->mode) ? 0 : -EINVAL;
}

i64 sys_fsync(struct task *task, struct call *call) {
    return sync_file(task, call);
}
i64 sys_fdatasync(struct task *task, struct call *call) {
    return sync_file(task, call);
}

i64 sys_syncfs(struct task *task, struct call *call) {
    return fd_file(task, arg_int(call, 0)) ? 0 : -EBADF;
}

i64 sys_sync_file_range(struct task *task, struct call *call) {
    struct file *file = fd_file(task, arg_int(call, 0));
    if (!file)
        return -EBADF;
    if ((i64)call->args[1] < 0 || (i64)call->args[2] < 0 || arg_u32(call, 3) > 7)
        return -EINVAL;
    return file->ops->seek ? 0 : -ESPIPE;
}

i64 sys_fadvise64(struct task *task, struct call *call) {
    struct file *file = fd_file(task, arg_int(call, 0));
    if (!file)
        return -EBADF;
    if (file->inode && S_ISFIFO(file->inode->mode))
        return -ESPIPE;
    return arg_u32(call, 3) > 5 || (i64)call->args[2] < 0 ? -EINVAL : 0;
}

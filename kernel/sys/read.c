// read(2), write(2) and their family; ioctl(2), lseek(2).
// Large transfers go in passes of at most 256 KiB: bytes moved are counted in call->progress, and
// every entry begins behind them.
#include "../chaos.h"
#include "../fs/notify.h"
#include "sys.h"

#define COUNT_MAX 0x7ffff000ull
#define PASS_BYTES 0x40000ull
enum { RWF_HIPRI = 1, RWF_DSYNC = 2, RWF_SYNC = 4, RWF_NOWAIT = 8, RWF_APPEND = 16 };

static void uio_skip(struct uio *uio, u64 n) {
    n = min(n, uio->left);
    uio->left -= n;
    while (n) {
        u64 take = min(uio->segments[uio->index].len - uio->offset, n);
        uio->offset += take;
        n -= take;
        if (uio->offset == uio->segments[uio->index].len) {
            uio->index++;
            uio->offset = 0;
        }
    }
}

static void notify_moved(struct file *file, bool writes) {
    if (file->opened)
        notify_inode(file->inode, writes ? NOTIFY_MODIFY : NOTIFY_ACCESS);
}

// pos NULL: the file's own offset. The transfer goes on until the buffer is done, except that a
// read of anything but a regular file ends with the first bytes.
static i64 transfer(struct task *task, struct file *file, struct uio *uio, u64 *pos, bool writes) {
    struct call *call = call_of(task);
    if (!pos && file->ops->seek)
        pos = &file->pos;
    bool whole = writes || (file->inode && S_ISREG(file->inode->mode));
    if (unlikely(kernel->chaos))
        chaos_limit_file(task, file, uio, writes);
    u64 pass = 0;
    i64 n;
    do {
        n = writes ? file->ops->write(task, file, uio, pos) : file->ops->read(task, file, uio, pos);
        if (n == E_WAIT || n == E_AGAIN)
            return n;
        if (n > 0) {
            call->progress += (u64)n;
            pass += (u64)n;
        }
        if (n > 0 && whole && uio->left && pass >= PASS_BYTES)
            return E_AGAIN;
    } while (n > 0 && whole && uio->left);
    if (call->progress)
        notify_moved(file, writes);
    return call->progress ? (i64)call->progress : n;
}

static i64 file_for(struct task *task, i32 fd, bool writes, struct file **out) {
    struct file *file = call_file(task, 0, fd);
    if (!file || (file->flags & O_ACCMODE) == (writes ? O_RDONLY : O_WRONLY))
        return -EBADF;
    if (file->inode && S_ISDIR(file->inode->mode))
        return -EISDIR;
    if (!(writes ? file->ops->write != NULL : file->ops->read != NULL))
        return -EINVAL;
    *out = file;
    return 0;
}

static enum access access_of(bool writes) {
    return writes ? ACCESS_READ : ACCESS_WRITE;
}

static i64 transfer_buffer(struct task *task, struct call *call, bool positioned, bool writes) {
    struct file *file;
    i64 r = file_for(task, arg_int(call, 0), writes, &file);
    if (r < 0)
        return r;
    u64 pos = call->args[3] + call->progress;
    if (positioned && (i64)call->args[3] < 0)
        return -EINVAL;
    if (positioned && !file->ops->seek)
        return -ESPIPE;
    struct uio uio;
    uio_user(&uio, task, access_of(writes), arg_ptr(call, 1), min(call->args[2], COUNT_MAX));
    uio_skip(&uio, call->progress);
    return transfer(task, file, &uio, positioned ? &pos : NULL, writes);
}

i64 sys_read(struct task *task, struct call *call) {
    return transfer_buffer(task, call, false, false);
}
i64 sys_write(struct task *task, struct call *call) {
    return transfer_buffer(task, call, false, true);
}
i64 sys_pread64(struct task *task, struct call *call) {
    return transfer_buffer(task, call, true, false);
}
i64 sys_pwrite64(struct task *task, struct call *call) {
    return transfer_buffer(task, call, true, true);
}

static i64 transfer_vector(struct task *task, struct call *call, bool positioned, u32 flags,
                           bool writes) {
    struct file *file;
    i64 r = file_for(task, arg_int(call, 0), writes, &file);
    if (r < 0)
        return r;
    if (flags & ~(u32)(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_APPEND))
        return -EOPNOTSUPP;
    u64 pos = call->args[3] + call->progress;
    if (positioned && (i64)call->args[3] < 0)
        return -EINVAL;
    if (positioned && !file->ops->seek)
        return -ESPIPE;
    struct uio uio;
    r = uio_vector(&uio, task, access_of(writes), arg_ptr(call, 1), (u32)call->args[2]);
    if (r < 0)
        return r;
    uio_skip(&uio, call->progress);
    u32 before = file->flags;
    if (flags & RWF_APPEND)
        file->flags |= O_APPEND;
    r = transfer(task, file, &uio, positioned ? &pos : NULL, writes);
    file->flags = before;
    uio_end(&uio);
    return r;
}

i64 sys_readv(struct task *task, struct call *call) {
    return transfer_vector(task, call, false, 0, false);
}
i64 sys_writev(struct task *task, struct call *call) {
    return transfer_vector(task, call, false, 0, true);
}
i64 sys_preadv(struct task *task, struct call *call) {
    return transfer_vector(task, call, true, 0, false);
}
i64 sys_pwritev(struct task *task, struct call *call) {
    return transfer_vector(task, call, true, 0, true);
}
i64 sys_preadv2(struct task *task, struct call *call) {
    return transfer_vector(task, call, call->args[3] != ~0ull, arg_u32(call, 5), false);
}
i64 sys_pwritev2(struct task *task, struct call *call) {
    return transfer_vector(task, call, call->args[3] != ~0ull, arg_u32(call, 5), true);
}

i64 sys_lseek(struct task *task, struct call *call) {
    struct file *file = call_file(task, 0, arg_int(call, 0));
    if (!file)
        return -EBADF;
    if (!file->ops->seek)
        return -ESPIPE;
    return file->ops->seek(task, file, (i64)call->args[1], arg_u32(call, 2));
}

i64 sys_readahead(struct task *task, struct call *call) {
    struct file *file = fd_file(task, arg_int(call, 0));
    if (!file || (file->flags & O_ACCMODE) == O_WRONLY)
        return -EBADF;
    return file->inode && S_ISREG(file->inode->mode) ? 0 : -EINVAL;
}

// ---- ioctl(2): what every file understands ------------------------------------------------------
enum {
    FIONCLEX = 0x5450,
    FIOCLEX = 0x5451,
    FIONBIO = 0x5421,
    FIOASYNC = 0x5452,
    FIONREAD = 0x541b,
    FIGETBSZ = 2
};

static i64 set_flag(struct task *task, struct file *file, u32 flag, uptr arg) {
    i32 on;
    i64 r = get_user(task, on, arg);
    if (r < 0)
        return r;
    file->flags = on ? file->flags | flag : file->flags & ~flag;
    return 0;
}

i64 sys_ioctl(struct task *task, struct call *call) {
    i32 fd = arg_int(call, 0);
    struct file *file = call_file(task, 0, fd);
    uptr arg = arg_ptr(call, 2);
    if (!file)
        return -EBADF;
    switch (arg_u32(call, 1)) {
    case FIOCLEX:
    case FIONCLEX:
        if (fd_any(task, fd))
            task->files->cloexec[fd] = arg_u32(call, 1) == FIOCLEX;
        return 0;
    case FIONBIO:
        return set_flag(task, file, O_NONBLOCK, arg);
    case FIOASYNC:
        return set_flag(task, file, O_ASYNC, arg);
    case FIONREAD:
        if (file->inode && S_ISREG(file->inode->mode))
            return put_user(task, arg,
                            (i32)(file->inode->size - min(file->pos, file->inode->size)));
        break;
    case FIGETBSZ:
        if (file->inode && (S_ISREG(file->inode->mode) || S_ISDIR(file->inode->mode)))
            return put_user(task, arg, (i32)PAGE_SIZE);
        break;
    }
    return file->ops->ioctl ? file->ops->ioctl(task, file, arg_u32(call, 1), call->args[2])
                            : -ENOTTY;
}

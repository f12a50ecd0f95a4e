// sendfile(2), copy_file_range(2), splice(2), tee(2): bytes from file to file through a kernel
// buffer. Nothing is taken out of the source before the target has it: files are read at an offset
// that moves only by what was written, pipes are peeked at. Sources that cannot be peeked at are
// read when the target has room.
#include "../fs/pipe.h"
#include "../lib/heap.h"
#include "names.h"

#define BUFFER 65536u
#define PASS_BYTES 0x40000u
enum { SPLICE_MOVE = 1, SPLICE_NONBLOCK = 2, SPLICE_MORE = 4, SPLICE_GIFT = 8 };

static bool is_pipe(const struct file *file) {
    return file_is_pipe(file);
}

static i64 read_kernel(struct task *task, struct file *file, void *dst, u64 n, u64 *pos) {
    struct uio uio;
    uio_kernel(&uio, ACCESS_WRITE, dst, n);
    return file->ops->read(task, file, &uio, pos);
}

static i64 write_kernel(struct task *task, struct file *file, void *src, u64 n, u64 *pos) {
    struct uio uio;
    uio_kernel(&uio, ACCESS_READ, src, n);
    return file->ops->write(task, file, &uio, pos);
}

// One move of at most n bytes. Offsets move by what arrived.
static i64 move_once(struct task *task, struct file *in, u64 *in_pos, struct file *out,
                     u64 *out_pos, u8 *buffer, u64 n, bool keep) {
    i64 got;
    u64 at = in_pos ? *in_pos : 0;
    bool pipe = is_pipe(in);
    if (pipe) {
        got = pipe_peek(in, 0, buffer, (u32)n);
        if (!got) // empty: the read answers 0, -EAGAIN or waits, and takes nothing
            return read_kernel(task, in, buffer, n, NULL);
    } else {
        // What is read cannot be put back: a pipe must have room for all of it, or this write of
        // PIPE_BUF waits.
        if (!in_pos && is_pipe(out) && !(out->ops->poll(out, NULL) & (POLLOUT | POLLERR)))
            return write_kernel(task, out, buffer, PAGE_SIZE, out_pos);
        got =
            read_kernel(task, in, buffer, in_pos ? n : min(n, (u64)PAGE_SIZE), in_pos ? &at : NULL);
    }
    if (got <= 0)
        return got;
    i64 put = write_kernel(task, out, buffer, (u64)got, out_pos);
    if (put <= 0)
        return put;
    if (in_pos)
        *in_pos += (u64)put;
    else if (pipe && !keep)
        (void)!read_kernel(task, in, buffer, (u64)put, NULL);
    return put;
}

// Moves up to `total` bytes over several entries. `patient`: waits until all is moved or the source
// ends; else ends with what could be moved at once.
static i64 move_all(struct task *task, struct file *in, u64 *in_pos, struct file *out, u64 *out_pos,
                    u64 total, bool patient) {
    struct call *call = call_of(task);
    u8 *buffer = kmalloc(BUFFER);
    if (!buffer)
        return -ENOMEM;
    i64 n = 0;
    u64 pass = 0;
    while (call->progress < total) {
        if (pass >= PASS_BYTES) {
            n = E_AGAIN;
            break;
        }
        n = move_once(task, in, in_pos, out, out_pos, buffer,
                      min(total - call->progress, (u64)BUFFER), false);
        if (n <= 0)
            break;
        call->progress += (u64)n;
        pass += (u64)n;
    }
    kfree(buffer);
    if (n == E_AGAIN || (n == E_WAIT && (patient || !call->progress)))
        return n;
    return call->progress ? (i64)call->progress : n;
}

// An offset given by pointer: fetched on first entry, kept in call->scratch[i], stored at the end.
static i64 offset_fetch(struct task *task, u32 i, uptr p, u64 **out) {
    struct call *call = call_of(task);
    if (!p.va)
        return 0;
    if (!(call->phase & 1u << i)) {
        i64 r = get_user(task, call->scratch[i], p);
        if (!r)
            r = user_ready(task, p, sizeof(u64), ACCESS_WRITE);
        if (r < 0)
            return r;
        if ((i64)call->scratch[i] < 0)
            return -EINVAL;
        call->phase |= (u8)(1u << i);
    }
    *out = &call->scratch[i];
    return 0;
}

static i64 offset_store(struct task *task, u32 i, uptr p, i64 r) {
    if (!p.va || r < 0)
        return r;
    i64 e = put_user(task, p, call_of(task)->scratch[i]);
    return e < 0 ? e : r;
}

static i64 ends(struct task *task, i32 in, i32 out, struct file **from, struct file **to) {
    *from = call_file(task, 0, in);
    *to = call_file(task, 1, out);
    if (!*from || !*to || ((*from)->flags & O_ACCMODE) == O_WRONLY ||
        ((*to)->flags & O_ACCMODE) == O_RDONLY)
        return -EBADF;
    return (*from)->ops->read && (*to)->ops->write ? 0 : -EINVAL;
}

static u64 *position(struct file *file, u64 *given) {
    return given ? given : file->ops->seek ? &file->pos : NULL;
}

i64 sys_sendfile(struct task *task, struct call *call) {
    struct file *in, *out;
    u64 *given = NULL;
    i64 r = ends(task, arg_int(call, 1), arg_int(call, 0), &in, &out);
    if (!r)
        r = offset_fetch(task, 0, arg_ptr(call, 2), &given);
    if (r < 0)
        return r;
    if (!in->ops->seek)
        return given ? -ESPIPE : -EINVAL;
    if (out->flags & O_APPEND && out->ops->seek)
        return -EINVAL;
    u64 total = min(call->args[3], 0x7ffff000ull);
    r = move_all(task, in, position(in, given), out, position(out, NULL), total, true);
    return offset_store(task, 0, arg_ptr(call, 2), r);
}

i64 sys_copy_file_range(struct task *task, struct call *call) {
    struct file *in, *out;
    u64 *in_given = NULL, *out_given = NULL;
    if (call->args[5])
        return -EINVAL;
    i64 r = ends(task, arg_int(call, 0), arg_int(call, 2), &in, &out);
    if (!r)
        r = offset_fetch(task, 0, arg_ptr(call, 1), &in_given);
    if (!r)
        r = offset_fetch(task, 1, arg_ptr(call, 3), &out_given);
    if (r < 0)
        return r;
    if (out->flags & O_APPEND)
        return -EBADF;
    if ((in->inode && S_ISDIR(in->inode->mode)) || (out->inode && S_ISDIR(out->inode->mode)))
        return -EISDIR;
    if (!in->inode || !S_ISREG(in->inode->mode) || !out->inode || !S_ISREG(out->inode->mode))
        return -EINVAL;
    u64 *from = position(in, in_given), *to = position(out, out_given),
        total = min(call->args[4], 0x7ffff000ull);
    if (in->inode == out->inode && *from < *to + total && *to < *from + total && !call->progress)
        return -EINVAL;
    r = move_all(task, in, from, out, to, total, true);
    r = offset_store(task, 0, arg_ptr(call, 1), r);
    return offset_store(task, 1, arg_ptr(call, 3), r);
}

i64 sys_splice(struct task *task, struct call *call) {
    struct file *in, *out;
    u64 *in_given = NULL, *out_given = NULL;
    u32 flags = arg_u32(call, 5);
    if (flags & ~15u)
        return -EINVAL;
    i64 r = ends(task, arg_int(call, 0), arg_int(call, 2), &in, &out);
    if (r < 0)
        return r;
    if ((call->args[1] && is_pipe(in)) || (call->args[3] && is_pipe(out)))
        return -ESPIPE;
    if (!is_pipe(in) && !is_pipe(out))
        return -EINVAL;
    r = offset_fetch(task, 0, arg_ptr(call, 1), &in_given);
    if (!r)
        r = offset_fetch(task, 1, arg_ptr(call, 3), &out_given);
    if (r < 0)
        return r;
    if ((in_given && !in->ops->seek) || (out_given && !out->ops->seek))
        return -ESPIPE;
    if (out->flags & O_APPEND && out->ops->seek)
        return -EINVAL;
    if (!call->args[4])
        return 0;
    r = move_all(task, in, position(in, in_given), out, position(out, out_given),
                 min(call->args[4], 0x7ffff000ull), false);
    if (r == E_WAIT && flags & SPLICE_NONBLOCK)
        r = -EAGAIN;
    r = offset_store(task, 0, arg_ptr(call, 1), r);
    return offset_store(task, 1, arg_ptr(call, 3), r);
}

i64 sys_tee(struct task *task, struct call *call) {
    struct file *in, *out;
    i64 r = ends(task, arg_int(call, 0), arg_int(call, 1), &in, &out);
    if (r < 0)
        return r;
    if (!is_pipe(in) || !is_pipe(out) || in->inode == out->inode || arg_u32(call, 3) & ~15u)
        return -EINVAL;
    u64 n = min(call->args[2], (u64)BUFFER);
    if (!n)
        return 0;
    u8 *buffer = kmalloc(BUFFER);
    if (!buffer)
        return -ENOMEM;
    r = move_once(task, in, NULL, out, NULL, buffer, n, true);
    kfree(buffer);
    return r == E_WAIT && arg_u32(call, 3) & SPLICE_NONBLOCK ? -EAGAIN : r;
}

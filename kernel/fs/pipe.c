// Pipes and FIFOs: bytes in order from writers to readers, at most `size` of them.
//
// A write of PIPE_BUF bytes or less is never split. A longer one answers with a short count, and
// the caller (write(2)) comes again for the rest. Sleepers are exclusive: who consumes a wake and
// leaves something hands it on.
#include "pipe.h"
#include "../kernel.h"
#include "../task/signal.h"
#include "anon.h"
#include "ioctl.h"

static const struct file_ops pipe_ops;

static u32 pipe_room(const struct pipe *pipe) {
    return pipe->ring.len < pipe->size ? pipe->size - pipe->ring.len : 0;
}

static struct pipe *pipe_make(void) {
    struct pipe *pipe = knew(struct pipe);
    if (!pipe)
        return NULL;
    pipe->size = PIPE_SIZE;
    waitq_init(&pipe->read_wait);
    waitq_init(&pipe->write_wait);
    return pipe;
}

// One end (or both) is gone: the other side hears of it; the last one takes the pipe along.
static void pipe_close(struct inode *inode, bool reader, bool writer) {
    struct pipe *pipe = inode->pipe;
    pipe->readers -= reader;
    pipe->writers -= writer;
    if (!pipe->readers && !pipe->writers) {
        ring_free(&pipe->ring);
        kfree(pipe);
        inode->pipe = NULL;
        return;
    }
    if (reader && !pipe->readers) {
        wake_all(&pipe->write_wait);
        wake_all(&pipe->read_wait);
    }
    if (writer && !pipe->writers) {
        wake_all(&pipe->read_wait);
        wake_all(&pipe->write_wait);
    }
}

static bool opens_reader(u32 flags) {
    return (flags & O_ACCMODE) != O_WRONLY;
}
static bool opens_writer(u32 flags) {
    return (flags & O_ACCMODE) != O_RDONLY;
}

static void pipe_release(struct file *file) {
    pipe_close(file->inode, opens_reader(file->flags), opens_writer(file->flags));
}

// The task slept in this call, so a wake-one may have been meant for it.
static bool has_slept(struct task *task) {
    return task->call.nodes != NULL;
}

static i64 pipe_read(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    struct pipe *pipe = file->data;
    if (!uio->left)
        return 0;
    if (!pipe->ring.len) {
        if (!pipe->writers)
            return 0;
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        return wait_on_exclusive(task, &pipe->read_wait, STATUS_PIPE_WAIT);
    }
    i64 n = uio_ready(uio, min(uio->left, (u64)pipe->ring.len));
    if (n <= 0)
        return n;
    bool was_full = pipe_room(pipe) < PIPE_BUF;
    n = ring_get_uio(&pipe->ring, uio, (u32)n);
    if (was_full && pipe_room(pipe) >= PIPE_BUF)
        wake_events(&pipe->write_wait, POLLOUT | POLLWRNORM);
    if (has_slept(task) && pipe->ring.len)
        wake_events(&pipe->read_wait, POLLIN | POLLRDNORM);
    return n;
}

static i64 pipe_write(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    struct pipe *pipe = file->data;
    if (!uio->left)
        return 0;
    if (!pipe->readers) {
        signal_send_task(task,
                         &(struct siginfo){.signo = SIGPIPE,
                                           .code = SI_USER,
                                           .kill = {(i32)task->process->pid, task->cred.ruid}});
        return -EPIPE;
    }
    u32 room = pipe_room(pipe);
    if (room < (uio->left <= PIPE_BUF ? uio->left : 1)) {
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        return wait_on_exclusive(task, &pipe->write_wait, STATUS_PIPE_WAIT);
    }
    i64 n = uio_ready(uio, min(uio->left, (u64)room));
    if (n <= 0)
        return n;
    i64 error = ring_reserve(&pipe->ring, (u32)n);
    if (error)
        return error;
    n = ring_put_uio(&pipe->ring, uio, (u32)n);
    wake_events(&pipe->read_wait, POLLIN | POLLRDNORM);
    if (has_slept(task) && pipe_room(pipe) >= PIPE_BUF)
        wake_events(&pipe->write_wait, POLLOUT | POLLWRNORM);
    return n;
}

static u32 pipe_poll(struct file *file, struct pollwait *pw) {
    struct pipe *pipe = file->data;
    u32 events = 0;
    if (opens_reader(file->flags)) {
        poll_on(pw, &pipe->read_wait, POLLIN | POLLRDNORM | POLLHUP);
        if (pipe->ring.len)
            events |= POLLIN | POLLRDNORM;
        // A FIFO opened without waiting has not hung up before its first writer came.
        if (!pipe->writers && pipe->writers_opened != (u32)file->pos)
            events |= POLLHUP;
    }
    if (opens_writer(file->flags)) {
        poll_on(pw, &pipe->write_wait, POLLOUT | POLLWRNORM | POLLERR);
        if (pipe_room(pipe) >= PIPE_BUF)
            events |= POLLOUT | POLLWRNORM;
        if (!pipe->readers)
            events |= POLLERR;
    }
    return events;
}

static i64 pipe_ioctl(struct task *task, struct file *file, u32 cmd, u64 arg) {
    struct pipe *pipe = file->data;
    if (cmd == FIONREAD)
        return put_user(task, UPTR(arg), (i32)pipe->ring.len);
    return -ENOTTY;
}

static const struct file_ops pipe_ops = {
    .read = pipe_read,
    .write = pipe_write,
    .poll = pipe_poll,
    .ioctl = pipe_ioctl,
    .release = pipe_release,
};

// Makes `file` an end of the inode's pipe whose counts include it already.
static void pipe_attach(struct file *file, struct inode *inode, u32 writers_seen) {
    file->ops = &pipe_ops;
    file->data = inode->pipe;
    file->pos = writers_seen;
    if (!inode->fs)
        file->anon_name = "pipe";
}

i64 pipe_new(struct file **reader, struct file **writer, u32 flags) {
    struct inode *inode = anon_inode_new(S_IFIFO | 0600);
    struct pipe *pipe = inode ? pipe_make() : NULL;
    struct file *ends[2] = {0};
    if (pipe) {
        inode->pipe = pipe;
        for (u32 i = 0; i < 2; i++) {
            u32 mode = i ? O_WRONLY : O_RDONLY;
            ends[i] = file_new(&pipe_ops, mode | (flags & O_NONBLOCK), pipe);
            if (!ends[i])
                break;
            inode_get(inode);
            ends[i]->inode = inode;
            ends[i]->anon_name = "pipe";
            ends[i]->ino = inode->ino;
            ends[i]->pos = 0;
            pipe->readers += !i;
            pipe->writers += i;
        }
        pipe->readers_opened = pipe->writers_opened = 1;
    }
    if (ends[1]) {
        *reader = ends[0];
        *writer = ends[1];
        inode_put(inode);
        return 0;
    }
    if (ends[0])
        file_put(ends[0]); // frees the pipe
    else
        kfree(pipe);
    if (inode) {
        if (!ends[0])
            inode->pipe = NULL;
        inode_put(inode);
    }
    return -ENOMEM;
}

// ---- FIFOs ----
enum {
    FIFO_WAITING = 1
}; // call->scratch[2] bit 0; above it: the opposite side's counter when the wait began

static void fifo_undo(struct task *task, struct call *call) {
    struct inode *inode = (struct inode *)(uintptr_t)call->scratch[3];
    u32 flags = (u32)(call->scratch[2] >> 1) & O_ACCMODE;
    wait_cancel(call);
    call->undo = NULL;
    call->scratch[2] = call->scratch[3] = 0;
    pipe_close(inode, opens_reader(flags), opens_writer(flags));
    inode_put(inode);
}

i64 fifo_open(struct task *task, struct inode *inode, struct file *file) {
    struct call *call = &task->call;
    u32 flags = file->flags;
    bool reader = opens_reader(flags), writer = opens_writer(flags);
    bool named = inode->fs; // else a pipe opened again by /proc/<pid>/fd: waits for nobody
    struct pipe *pipe = inode->pipe;
    if (call->scratch[2] & FIFO_WAITING) {
        u32 seen = (u32)(call->scratch[2] >> 32);
        if ((reader ? pipe->writers_opened : pipe->readers_opened) == seen)
            return wait_on(task, reader ? &pipe->read_wait : &pipe->write_wait, STATUS_PIPE_WAIT);
        wait_cancel(call);
        call->undo = NULL;
        call->scratch[2] = call->scratch[3] = 0;
        inode_put(inode); // the call's; the file has its own
        pipe_attach(file, inode, 0);
        return 0;
    }
    if (named && writer && !reader && (flags & O_NONBLOCK) && !(pipe && pipe->readers))
        return -ENXIO;
    if (!pipe && !(pipe = inode->pipe = pipe_make()))
        return -ENOMEM;
    pipe->readers += reader;
    pipe->readers_opened += reader;
    pipe->writers += writer;
    pipe->writers_opened += writer;
    if (reader)
        wake_all(&pipe->write_wait);
    if (writer)
        wake_all(&pipe->read_wait);
    bool alone = named && (reader ? !pipe->writers : !pipe->readers);
    if (!alone || (flags & O_NONBLOCK)) {
        pipe_attach(file, inode, alone ? pipe->writers_opened : 0);
        return 0;
    }
    u64 seen = reader ? pipe->writers_opened : pipe->readers_opened;
    inode_get(inode);
    call->scratch[2] = seen << 32 | (u64)(flags & O_ACCMODE) << 1 | FIFO_WAITING;
    call->scratch[3] = (uintptr_t)inode;
    call->undo = fifo_undo;
    return wait_on(task, reader ? &pipe->read_wait : &pipe->write_wait, STATUS_PIPE_WAIT);
}

// ---- What fcntl and splice ask ----
bool file_is_pipe(const struct file *file) {
    return file->ops == &pipe_ops;
}

i64 pipe_get_size(struct file *file) {
    return file_is_pipe(file) ? ((struct pipe *)file->data)->size : -EBADF;
}

i64 pipe_set_size(struct task *task, struct file *file, u64 size) {
    if (!file_is_pipe(file))
        return -EBADF;
    struct pipe *pipe = file->data;
    if (size > 1u << 31)
        return -EINVAL;
    if (size > PIPE_SIZE_MAX && !(task->cred.cap_effective & 1ull << CAP_SYS_RESOURCE))
        return -EPERM;
    u32 rounded = PIPE_BUF;
    while (rounded < size)
        rounded *= 2;
    if (rounded < pipe->ring.len)
        return -EBUSY;
    if (rounded > 1u << 26)
        return -ENOMEM;
    bool grew = rounded > pipe->size;
    pipe->size = rounded;
    if (grew)
        wake_events(&pipe->write_wait, POLLOUT | POLLWRNORM);
    return rounded;
}

u32 pipe_peek(struct file *file, u32 from, void *dst, u32 n) {
    return ring_peek(&((struct pipe *)file->data)->ring, from, dst, n);
}

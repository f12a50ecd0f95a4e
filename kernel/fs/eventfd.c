// eventfd(2): a counter that is read to zero (or by one) and added to by writes.
#include "../kernel.h"
#include "../lib/fmt.h"
#include "../lib/heap.h"
#include "anon.h"
#include "newfd.h"

#define COUNT_MAX (~0ull - 1)

struct eventfd {
    u64 count;
    bool semaphore;
    struct waitq wait;
};

static i64 eventfd_read(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    struct eventfd *event = file->data;
    if (uio->left < 8)
        return -EINVAL;
    if (!event->count) {
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        return wait_on_events(task, &event->wait, STATUS_PIPE_WAIT, POLLIN);
    }
    i64 n = uio_ready(uio, 8);
    if (n < 8)
        return n < 0 ? n : -EFAULT;
    u64 value = event->semaphore ? 1 : event->count;
    event->count -= value;
    wake_events(&event->wait, POLLOUT | POLLWRNORM);
    return uio_put(uio, &value, 8);
}

static i64 eventfd_write(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    struct eventfd *event = file->data;
    u64 value;
    if (uio->left < 8)
        return -EINVAL;
    struct uio before = *uio;
    i64 n = uio_ready(uio, 8);
    if (n >= 0)
        n = n < 8 ? -EFAULT : uio_get(uio, &value, 8);
    if (n < 0)
        return n;
    i64 error = 0;
    if (value == ~0ull)
        error = -EINVAL;
    else if (value > COUNT_MAX - event->count)
        error = file->flags & O_NONBLOCK
                    ? -EAGAIN
                    : wait_on_events(task, &event->wait, STATUS_PIPE_WAIT, POLLOUT);
    if (error) {
        *uio = before;
        return error;
    }
    event->count += value;
    uio->left = 0; // what a longer buffer holds besides is no concern of ours
    if (value)
        wake_events(&event->wait, POLLIN | POLLRDNORM);
    return 8;
}

static u32 eventfd_poll(struct file *file, struct pollwait *pw) {
    struct eventfd *event = file->data;
    poll_on(pw, &event->wait, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM);
    return (event->count ? POLLIN | POLLRDNORM : 0) |
           (event->count < COUNT_MAX ? POLLOUT | POLLWRNORM : 0);
}

static void eventfd_fdinfo(struct file *file, struct text *text) {
    struct eventfd *event = file->data;
    text_printf(text, "eventfd-count: %16llx\n", (unsigned long long)event->count);
}

static void eventfd_release(struct file *file) {
    kfree(file->data);
}

static const struct file_ops eventfd_ops = {
    .read = eventfd_read,
    .write = eventfd_write,
    .poll = eventfd_poll,
    .fdinfo = eventfd_fdinfo,
    .release = eventfd_release,
};

i64 eventfd_new(u32 count, u32 flags, struct file **out) {
    struct eventfd *event = knew(struct eventfd);
    if (!event)
        return -ENOMEM;
    event->count = count;
    event->semaphore = flags & EFD_SEMAPHORE;
    waitq_init(&event->wait);
    *out =
        anon_file_new(&eventfd_ops, O_RDWR | (flags & O_NONBLOCK), event, "anon_inode:[eventfd]");
    if (*out)
        return 0;
    kfree(event);
    return -ENOMEM;
}

// inotify(7): watches on inodes put events into the queue of the inotify file that made them.
#include "../kernel.h"
#include "../lib/heap.h"
#include "../lib/string.h"
#include "anon.h"
#include "ioctl.h"
#include "newfd.h"
#include "notify.h"

#define QUEUE_MAX 16384u
#define IN_ALL_EVENTS 0xfffu
#define IN_Q_OVERFLOW 0x4000u
#define IN_IGNORED 0x8000u
#define IN_MASK_CREATE 0x10000000u
#define IN_MASK_ADD 0x20000000u
#define IN_ISDIR 0x40000000u
#define IN_ONESHOT 0x80000000u

struct inotify {
    struct list watches; // struct watch.of_file
    struct list events;  // struct event, oldest first
    u32 event_count;
    i32 next_wd;
    struct waitq wait;
};
struct watch {
    struct list of_inode; // inode->watches
    struct list of_file;
    struct inotify *inotify;
    struct inode *inode; // with a reference
    i32 wd;
    u32 mask;
};
struct note {
    struct list link;
    struct { // as read
        i32 wd;
        u32 mask, cookie, len;
    } head;
    char name[]; // head.len bytes, padded with NULs
};

static void queue(struct inotify *inotify, i32 wd, u32 mask, u32 cookie, const char *name,
                  u32 len) {
    struct note *last =
        list_empty(&inotify->events) ? NULL : list_entry(inotify->events.prev, struct note, link);
    u32 padded = len ? align_up(len + 1, 16u) : 0;
    if (last && last->head.wd == wd && last->head.mask == mask && last->head.cookie == cookie &&
        last->head.len == padded && !memcmp(last->name, name ? name : "", len) &&
        (!padded || !last->name[len]))
        return; // said already
    bool overflow = inotify->event_count >= QUEUE_MAX;
    if (overflow && last && last->head.mask == IN_Q_OVERFLOW)
        return;
    struct note *note = kmalloc(sizeof *note + (overflow ? 0 : padded));
    if (!note)
        return;
    note->head.wd = overflow ? -1 : wd;
    note->head.mask = overflow ? IN_Q_OVERFLOW : mask;
    if (!overflow) {
        note->head.cookie = cookie;
        note->head.len = padded;
        if (len)
            memcpy(note->name, name, len);
    }
    list_push(&inotify->events, &note->link);
    inotify->event_count++;
    wake_events(&inotify->wait, POLLIN | POLLRDNORM);
}

static void watch_free(struct watch *watch, bool tell) {
    if (tell)
        queue(watch->inotify, watch->wd, IN_IGNORED, 0, NULL, 0);
    list_remove(&watch->of_inode);
    list_remove(&watch->of_file);
    inode_put(watch->inode);
    kfree(watch);
}

void inotify_event(struct inode *inode, u32 mask, u32 cookie, const char *name, u32 len) {
    struct watch *watch;
    inode_get(inode); // the last watch may go
    list_each(watch, &inode->watches, of_inode) {
        bool ends = !name && mask & (NOTIFY_DELETE_SELF | NOTIFY_UNMOUNT);
        // Deleting a watched file shows on the file itself without the directory bit.
        u32 shown = name                                             ? mask
                    : mask & (NOTIFY_DELETE_SELF | NOTIFY_MOVE_SELF) ? mask & ~IN_ISDIR
                                                                     : mask;
        bool wanted = watch->mask & mask & IN_ALL_EVENTS || mask & NOTIFY_UNMOUNT;
        if (wanted) {
            queue(watch->inotify, watch->wd, shown, cookie, name, len);
            ends |= watch->mask & IN_ONESHOT;
        }
        if (ends)
            watch_free(watch, true);
    }
    inode_put(inode);
}

static i64 inotify_read(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    struct inotify *inotify = file->data;
    i64 done = 0;
    if (list_empty(&inotify->events)) {
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        return wait_on(task, &inotify->wait, STATUS_PIPE_WAIT);
    }
    while (!list_empty(&inotify->events)) {
        struct note *note = list_first(&inotify->events, struct note, link);
        u32 size = sizeof note->head + note->head.len;
        if (uio->left < size)
            return done ? done : -EINVAL;
        i64 n = uio_ready(uio, size);
        if (n < (i64)size)
            return done ? done : n < 0 ? n : -EFAULT;
        n = uio_put(uio, &note->head, sizeof note->head);
        if (n > 0 && note->head.len)
            n = uio_put(uio, note->name, note->head.len);
        if (n < 0)
            return done ? done : n;
        list_remove(&note->link);
        inotify->event_count--;
        kfree(note);
        done += size;
    }
    return done;
}

static u32 inotify_poll(struct file *file, struct pollwait *pw) {
    struct inotify *inotify = file->data;
    poll_on(pw, &inotify->wait, POLLIN | POLLRDNORM);
    return list_empty(&inotify->events) ? 0 : POLLIN | POLLRDNORM;
}

static i64 inotify_ioctl(struct task *task, struct file *file, u32 cmd, u64 arg) {
    struct inotify *inotify = file->data;
    if (cmd != FIONREAD)
        return -ENOTTY;
    i32 bytes = 0;
    struct note *note;
    list_each(note, &inotify->events, link)
        bytes += (i32)(sizeof note->head + note->head.len);
    return put_user(task, UPTR(arg), bytes);
}

static void inotify_release(struct file *file) {
    struct inotify *inotify = file->data;
    struct watch *watch;
    struct note *note;
    list_each(watch, &inotify->watches, of_file)
        watch_free(watch, false);
    list_each(note, &inotify->events, link) {
        list_remove(&note->link);
        kfree(note);
    }
    kfree(inotify);
}

static const struct file_ops inotify_ops = {
    .read = inotify_read,
    .poll = inotify_poll,
    .ioctl = inotify_ioctl,
    .release = inotify_release,
};

i64 inotify_new(u32 flags, struct file **out) {
    struct inotify *inotify = knew(struct inotify);
    if (!inotify)
        return -ENOMEM;
    list_init(&inotify->watches);
    list_init(&inotify->events);
    inotify->next_wd = 1;
    waitq_init(&inotify->wait);
    *out =
        anon_file_new(&inotify_ops, O_RDONLY | (flags & O_NONBLOCK), inotify, "anon_inode:inotify");
    if (*out)
        return 0;
    kfree(inotify);
    return -ENOMEM;
}

i64 inotify_watch(struct file *file, struct inode *inode, u32 mask) {
    if (file->ops != &inotify_ops || !(mask & IN_ALL_EVENTS))
        return -EINVAL;
    struct inotify *inotify = file->data;
    struct watch *watch;
    u32 kept = mask & (IN_ALL_EVENTS | IN_ONESHOT);
    list_each(watch, &inode->watches, of_inode) {
        if (watch->inotify != inotify)
            continue;
        if (mask & IN_MASK_CREATE)
            return -EEXIST;
        watch->mask = mask & IN_MASK_ADD ? watch->mask | kept : kept;
        return watch->wd;
    }
    watch = knew(struct watch);
    if (!watch)
        return -ENOMEM;
    watch->inotify = inotify;
    watch->inode = inode;
    inode_get(inode);
    watch->wd = inotify->next_wd++;
    watch->mask = kept;
    list_push(&inode->watches, &watch->of_inode);
    list_push(&inotify->watches, &watch->of_file);
    return watch->wd;
}

i64 inotify_unwatch(struct file *file, i32 wd) {
    if (file->ops != &inotify_ops)
        return -EINVAL;
    struct inotify *inotify = file->data;
    struct watch *watch;
    list_each(watch, &inotify->watches, of_file)
        if (watch->wd == wd) {
            watch_free(watch, true);
            return 0;
        }
    return -EINVAL;
}

// signalfd(2): pending signals, read. It shows the signals of whoever asks: the running task's.
#include "../kernel.h"
#include "../lib/fmt.h"
#include "../lib/heap.h"
#include "../task/signal.h"
#include "anon.h"
#include "newfd.h"

struct signalfd_siginfo { // 128 bytes
    u32 signo;
    i32 error, code;
    u32 pid, uid;
    i32 fd;
    u32 tid, band, overrun, trapno;
    i32 status, value_int;
    u64 value_ptr, utime, stime, addr;
    u8 pad[48];
};
_Static_assert(sizeof(struct signalfd_siginfo) == 128, "signalfd_siginfo");

struct signalfd {
    u64 mask;
};

static struct task *running(void) {
    return host.running ? kernel->current[host.running->id] : NULL;
}

static void convert(const struct siginfo *info, struct signalfd_siginfo *out) {
    *out = (struct signalfd_siginfo){
        .signo = (u32)info->signo, .error = info->error, .code = info->code};
    if (info->code == SI_TIMER) {
        out->tid = (u32)info->timer.timerid;
        out->overrun = (u32)info->timer.overrun;
        out->value_ptr = info->timer.value;
        out->value_int = (i32)info->timer.value;
    } else if (info->signo == SIGCHLD && info->code > 0) {
        out->pid = (u32)info->chld.pid;
        out->uid = info->chld.uid;
        out->status = info->chld.status;
        out->utime = (u64)info->chld.utime;
        out->stime = (u64)info->chld.stime;
    } else if (info->code > 0 && info->code < SI_KERNEL) {
        out->addr = info->fault.addr;
    } else {
        out->pid = (u32)info->rt.pid;
        out->uid = info->rt.uid;
        if (info->code == SI_QUEUE) {
            out->value_ptr = info->rt.value;
            out->value_int = (i32)info->rt.value;
        }
    }
}

static i64 signalfd_read(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    struct signalfd *sfd = file->data;
    struct signalfd_siginfo record;
    i64 done = 0;
    if (uio->left < sizeof record)
        return -EINVAL;
    if (!signal_pending_in(task, sfd->mask)) {
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        return wait_on(task, &task->process->signal_wait, STATUS_SLEEP);
    }
    while (uio->left >= sizeof record && signal_pending_in(task, sfd->mask)) {
        struct siginfo info;
        i64 n = uio_ready(uio, sizeof record);
        if (n < (i64)sizeof record)
            return done ? done : n < 0 ? n : -EFAULT;
        if (!signal_dequeue(task, sfd->mask, &info))
            break;
        convert(&info, &record);
        n = uio_put(uio, &record, sizeof record);
        if (n < 0)
            return done ? done : n;
        done += n;
    }
    return done;
}

static u32 signalfd_poll(struct file *file, struct pollwait *pw) {
    struct signalfd *sfd = file->data;
    struct task *task = running();
    if (!task)
        return 0;
    poll_on(pw, &task->process->signal_wait, POLLIN | POLLRDNORM);
    return signal_pending_in(task, sfd->mask) ? POLLIN | POLLRDNORM : 0;
}

static void signalfd_fdinfo(struct file *file, struct text *text) {
    struct signalfd *sfd = file->data;
    text_printf(text, "sigmask:\t%016llx\n", (unsigned long long)sfd->mask);
}

static void signalfd_release(struct file *file) {
    kfree(file->data);
}

static const struct file_ops signalfd_ops = {
    .read = signalfd_read,
    .poll = signalfd_poll,
    .fdinfo = signalfd_fdinfo,
    .release = signalfd_release,
};

static u64 acceptable(u64 mask) {
    return mask & ~(SIGBIT(SIGKILL) | SIGBIT(SIGSTOP));
}

i64 signalfd_new(u64 mask, u32 flags, struct file **out) {
    struct signalfd *sfd = knew(struct signalfd);
    if (!sfd)
        return -ENOMEM;
    sfd->mask = acceptable(mask);
    *out =
        anon_file_new(&signalfd_ops, O_RDWR | (flags & O_NONBLOCK), sfd, "anon_inode:[signalfd]");
    if (*out)
        return 0;
    kfree(sfd);
    return -ENOMEM;
}

i64 signalfd_set(struct file *file, u64 mask) {
    if (file->ops != &signalfd_ops)
        return -EINVAL;
    ((struct signalfd *)file->data)->mask = acceptable(mask);
    return 0;
}

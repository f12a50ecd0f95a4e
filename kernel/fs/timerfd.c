// timerfd_create(2): a timer whose expirations are read.
#include "../kernel.h"
#include "../lib/fmt.h"
#include "../lib/heap.h"
#include "../task/itimer.h"
#include "anon.h"
#include "newfd.h"

struct timerfd {
    u32 clock;
    u64 expirations; // since the last read or setting
    u64 interval_ns;
    struct timer timer;
    struct waitq wait;
};

static void timerfd_fire(struct timer *timer) {
    struct timerfd *tfd = timer->owner;
    u64 when = timer->when_ns, now = now_ns(), times = 1;
    if (tfd->interval_ns) {
        times += (now - when) / tfd->interval_ns;
        i64 error = timer_arm(timer, when + times * tfd->interval_ns, timerfd_fire, tfd);
        assert(!error); // it has just left the heap
    }
    tfd->expirations += times;
    wake_events(&tfd->wait, POLLIN | POLLRDNORM);
}

static i64 timerfd_read(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    struct timerfd *tfd = file->data;
    if (uio->left < 8)
        return -EINVAL;
    if (!tfd->expirations) {
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        return wait_on(task, &tfd->wait, STATUS_SLEEP);
    }
    i64 n = uio_ready(uio, 8);
    if (n < 8)
        return n < 0 ? n : -EFAULT;
    u64 value = tfd->expirations;
    tfd->expirations = 0;
    return uio_put(uio, &value, 8);
}

static u32 timerfd_poll(struct file *file, struct pollwait *pw) {
    struct timerfd *tfd = file->data;
    poll_on(pw, &tfd->wait, POLLIN | POLLRDNORM);
    return tfd->expirations ? POLLIN | POLLRDNORM : 0;
}

static void timerfd_fdinfo(struct file *file, struct text *text) {
    struct timerfd *tfd = file->data;
    text_printf(text, "clockid: %u\nticks: %llu\n", tfd->clock,
                (unsigned long long)tfd->expirations);
}

static void timerfd_release(struct file *file) {
    struct timerfd *tfd = file->data;
    timer_cancel(&tfd->timer);
    kfree(tfd);
}

static const struct file_ops timerfd_ops = {
    .read = timerfd_read,
    .poll = timerfd_poll,
    .fdinfo = timerfd_fdinfo,
    .release = timerfd_release,
};

i64 timerfd_new(u32 clock, u32 flags, struct file **out) {
    struct timerfd *tfd = knew(struct timerfd);
    if (!tfd)
        return -ENOMEM;
    tfd->clock = clock;
    waitq_init(&tfd->wait);
    *out = anon_file_new(&timerfd_ops, O_RDWR | (flags & O_NONBLOCK), tfd, "anon_inode:[timerfd]");
    if (*out)
        return 0;
    kfree(tfd);
    return -ENOMEM;
}

i64 timerfd_set(struct file *file, u32 flags, u64 value_ns, u64 interval_ns) {
    struct timerfd *tfd = file->data;
    if (file->ops != &timerfd_ops)
        return -EINVAL;
    bool absolute = flags & TFD_TIMER_ABSTIME;
    timer_cancel(&tfd->timer);
    tfd->expirations = 0;
    tfd->interval_ns = interval_ns;
    if (!value_ns)
        return 0;
    tfd->timer.realtime =
        absolute && (tfd->clock == CLOCK_REALTIME || tfd->clock == CLOCK_REALTIME_ALARM);
    return timer_arm(&tfd->timer,
                     absolute ? clock_to_monotonic(tfd->clock, value_ns) : now_ns() + value_ns,
                     timerfd_fire, tfd);
}

i64 timerfd_get(struct file *file, u64 *value_ns, u64 *interval_ns) {
    struct timerfd *tfd = file->data;
    if (file->ops != &timerfd_ops)
        return -EINVAL;
    u64 now = now_ns();
    *value_ns = !tfd->timer.slot ? 0 : tfd->timer.when_ns > now ? tfd->timer.when_ns - now : 1;
    *interval_ns = tfd->interval_ns;
    return 0;
}

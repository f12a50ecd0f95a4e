// epoll: per watched (file, descriptor) an item, which hangs in the file's wait queues by its own
// nodes. A wake puts the item into the ready list; what is on that list is asked again when it is
// harvested, so a stale entry costs a poll and tells no lie. Items do not hold their file: its last
// close removes them.
#include "epoll.h"
#include "../kernel.h"
#include "../lib/fmt.h"
#include "../lib/heap.h"
#include "anon.h"

#define EPOLL_NEST_MAX 4
#define ALWAYS (POLLERR | POLLHUP)
#define PRIVATE_BITS (EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE)

struct epoll {
    struct waitq wait; // epoll_wait and polls of this epoll file
    struct list items; // struct epoll_item.link, in order of adding
    struct list ready; // struct epoll_item.ready, in order of readiness
    struct file *self; // the epoll file, without a reference
};

struct epoll_item {
    struct list link;    // epoll->items
    struct list ready;   // epoll->ready; points to itself when not on it
    struct list of_file; // file->epolls
    struct epoll *epoll;
    struct file *file;
    i32 fd;
    u32 events; // 0 but for PRIVATE_BITS: disabled by ONESHOT
    u64 data;
    struct item_node *nodes;
};
struct item_node {
    struct waitnode wait;
    struct item_node *next;
};

static const struct file_ops epoll_ops;

bool file_is_epoll(const struct file *file) {
    return file->ops == &epoll_ops;
}

static void item_ready(struct epoll_item *item) {
    if (list_empty(&item->ready))
        list_push(&item->epoll->ready, &item->ready);
    wake_events(&item->epoll->wait, POLLIN | POLLRDNORM);
}

static void item_fire(struct waitnode *node, u32 events) {
    struct epoll_item *item = node->owner;
    if (!(item->events & ~PRIVATE_BITS))
        return; // waits for EPOLL_CTL_MOD
    if (events && !(events & (item->events | ALWAYS)))
        return;
    item_ready(item);
}

struct item_pollwait {
    struct pollwait pw;
    struct epoll_item *item;
    bool failed;
};

static void item_queue(struct pollwait *pw, struct waitq *queue, u32 events) {
    struct item_pollwait *iw = container_of(pw, struct item_pollwait, pw);
    struct item_node *node = knew(struct item_node);
    if (!node) {
        iw->failed = true;
        return;
    }
    node->wait.queue = queue;
    node->wait.fire = item_fire;
    node->wait.owner = iw->item;
    // Interest may change by MOD, so the fire function filters, not the key.
    node->wait.flags = iw->item->events & EPOLLEXCLUSIVE ? WAIT_EXCLUSIVE : 0;
    list_push(&queue->nodes, &node->wait.link);
    node->next = iw->item->nodes;
    iw->item->nodes = node;
}

static void item_free(struct epoll_item *item) {
    for (struct item_node *node = item->nodes, *next; node; node = next) {
        next = node->next;
        list_remove(&node->wait.link);
        kfree(node);
    }
    list_remove(&item->link);
    list_remove(&item->ready);
    list_remove(&item->of_file);
    kfree(item);
}

// Events of the item's file that it asked for and that hold now.
static u32 item_poll(struct epoll_item *item) {
    return item->file->ops->poll(item->file, NULL) & (item->events | ALWAYS);
}

static void epoll_release(struct file *file) {
    struct epoll *epoll = file->data;
    struct epoll_item *item;
    list_each(item, &epoll->items, link)
        item_free(item);
    kfree(epoll);
}

void epoll_file_closed(struct file *file) {
    struct epoll_item *item;
    list_each(item, &file->epolls, of_file)
        item_free(item);
}

static u32 epoll_poll(struct file *file, struct pollwait *pw) {
    struct epoll *epoll = file->data;
    poll_on(pw, &epoll->wait, POLLIN | POLLRDNORM);
    struct epoll_item *item;
    list_each(item, &epoll->ready, ready) {
        if (item->events & ~PRIVATE_BITS && item_poll(item))
            return POLLIN | POLLRDNORM;
        list_remove(&item->ready);
    }
    return 0;
}

static void epoll_fdinfo(struct file *file, struct text *text);

static const struct file_ops epoll_ops = {
    .poll = epoll_poll, .fdinfo = epoll_fdinfo, .release = epoll_release};

static void epoll_fdinfo(struct file *file, struct text *text) {
    struct epoll *epoll = file->data;
    struct epoll_item *item;
    list_each(item, &epoll->items, link)
        text_printf(text, "tfd: %8d events: %8x data: %16llx\n", item->fd, item->events,
                    (unsigned long long)item->data);
}

i64 epoll_new(struct file **out) {
    struct epoll *epoll = knew(struct epoll);
    if (!epoll)
        return -ENOMEM;
    waitq_init(&epoll->wait);
    list_init(&epoll->items);
    list_init(&epoll->ready);
    *out = anon_file_new(&epoll_ops, O_RDWR, epoll, "anon_inode:[eventpoll]");
    if (*out) {
        epoll->self = *out;
        return 0;
    }
    kfree(epoll);
    return -ENOMEM;
}

// Epoll files below `from` in a chain, -1 when `target` is among them or the chain is too deep.
static i32 depth_below(struct file *from, struct file *target, u32 level) {
    struct epoll *epoll = from->data;
    i32 most = 0;
    if (from == target || level > EPOLL_NEST_MAX)
        return -1;
    struct epoll_item *item;
    list_each(item, &epoll->items, link) {
        i32 depth = file_is_epoll(item->file) ? depth_below(item->file, target, level + 1) : -2;
        if (depth == -1)
            return -1;
        most = max(most, depth + 1);
    }
    return most;
}
static i32 depth_above(struct file *ep) {
    i32 most = 0;
    struct epoll_item *item;
    list_each(item, &ep->epolls, of_file)
        most = max(most, depth_above(item->epoll->self) + 1);
    return most;
}

static i64 item_add(struct file *ep, struct file *target, i32 fd, const struct epoll_event *event) {
    struct epoll *epoll = ep->data;
    if (event->events & EPOLLEXCLUSIVE &&
        (file_is_epoll(target) ||
         event->events & ~(POLLIN | POLLOUT | ALWAYS | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE)))
        return -EINVAL;
    if (file_is_epoll(target)) {
        i32 below = depth_below(target, ep, 0);
        if (below < 0 || below + 1 + depth_above(ep) > EPOLL_NEST_MAX)
            return -ELOOP;
    }
    struct epoll_item *item = knew(struct epoll_item);
    if (!item)
        return -ENOMEM;
    item->epoll = epoll;
    item->file = target;
    item->fd = fd;
    item->events = event->events | ALWAYS;
    item->data = event->data;
    list_init(&item->ready);
    list_push(&epoll->items, &item->link);
    list_push(&target->epolls, &item->of_file);
    struct item_pollwait iw = {{item_queue}, item, false};
    u32 now = target->ops->poll(target, &iw.pw) & item->events;
    if (iw.failed) {
        item_free(item);
        return -ENOMEM;
    }
    if (now)
        item_ready(item);
    return 0;
}

i64 epoll_ctl(struct file *ep, i32 op, struct file *target, i32 fd,
              const struct epoll_event *event) {
    if (!target->ops->poll)
        return -EPERM;
    if (ep == target || !file_is_epoll(ep))
        return -EINVAL;
    struct epoll_item *item = NULL;
    struct epoll_item *it;
    list_each(it, &target->epolls, of_file)
        if (it->epoll == ep->data && it->fd == fd)
            item = it;
    switch (op) {
    case EPOLL_CTL_ADD:
        return item ? -EEXIST : item_add(ep, target, fd, event);
    case EPOLL_CTL_DEL:
        if (!item)
            return -ENOENT;
        item_free(item);
        return 0;
    case EPOLL_CTL_MOD:
        if (!item)
            return -ENOENT;
        if ((item->events | event->events) & EPOLLEXCLUSIVE)
            return -EINVAL;
        item->events = event->events | ALWAYS;
        item->data = event->data;
        if (item_poll(item))
            item_ready(item);
        return 0;
    }
    return -EINVAL;
}

i64 epoll_harvest(struct task *task, struct file *ep, uptr events, u32 most) {
    struct epoll *epoll = ep->data;
    u32 waiting = 0, count = 0;
    struct epoll_item *item;
    list_each(item, &epoll->ready, ready)
        waiting++;
    if (!waiting)
        return 0;
    most = min(most, waiting);
    i64 error = user_ready(task, events, (u64)most * sizeof(struct epoll_event), ACCESS_WRITE);
    if (error)
        return error;
    // `waiting` items at most, so that level-triggered ones put back at the end are not met twice.
    for (; waiting && count < most; waiting--) {
        struct epoll_item *item = list_first(&epoll->ready, struct epoll_item, ready);
        list_remove(&item->ready);
        u32 now = item->events & ~PRIVATE_BITS ? item_poll(item) : 0;
        if (!now)
            continue;
        struct epoll_event event = {now, 0, item->data};
        error = copy_out(task, UPTR(events.va + count * sizeof event), &event, sizeof event);
        if (error) {
            list_push_front(&epoll->ready, &item->ready);
            return count ? (i64)count : error;
        }
        count++;
        if (item->events & EPOLLONESHOT)
            item->events &= PRIVATE_BITS;
        else if (!(item->events & EPOLLET))
            list_push(&epoll->ready, &item->ready);
    }
    if (count && task->call.nodes && !list_empty(&epoll->ready))
        wake_events(&epoll->wait, POLLIN | POLLRDNORM); // a wake-one meant for more than we took
    return count;
}

i64 epoll_sleep(struct task *task, struct file *ep) {
    struct epoll *epoll = ep->data;
    return wait_on_exclusive(task, &epoll->wait, STATUS_EPOLL_WAIT);
}

// What all sockets share: life, buffers, waiting, and their face as files.
//
// A socket lives while its file, a peer, a packet or a listener refers to it. `close` cuts it off
// from the world when the last descriptor goes; a wait queue that dies wakes and lets go of
// everyone, so nobody needs a reference to wait.
#include "sock.h"
#include "../kernel.h"
#include "../task/signal.h"

#define PACKET_MIN 384u    // streams: room kept for the next small write
#define PACKET_MAX 0x8000u // streams: larger writes are split
#define BUFFER_DEFAULT 212992u

struct net *net_get(void) {
    struct net *net = kernel->net;
    if (net)
        return net;
    net = knew(struct net);
    if (!net)
        return NULL;
    list_init(&net->unix_all);
    list_init(&net->inet_all);
    list_init(&net->netlink_all);
    for (u32 i = 0; i < PORT_BUCKETS; i++) {
        list_init(&net->tcp_ports[i]);
        list_init(&net->udp_ports[i]);
    }
    return kernel->net = net;
}

i64 sock_create(struct task *task, i32 family, i32 type, i32 protocol, struct sock **out) {
    if (type < 0 || type > 10)
        return -EINVAL;
    switch (family) {
    case AF_UNIX:
        return unix_create(task, (u32)type, protocol, out);
    case AF_INET:
    case AF_INET6:
        return inet_create(task, (u32)family, (u32)type, protocol, out);
    case AF_NETLINK:
        return netlink_create(task, (u32)type, protocol, out);
    }
    return -EAFNOSUPPORT;
}

// ---- Life --------------------------------------------------------------------------------------
struct sock *sock_new(u32 family, u32 type, u32 protocol, const struct sock_ops *ops,
                      struct task *task) {
    struct sock *sock = net_get() ? knew(struct sock) : NULL;
    if (!sock)
        return NULL;
    sock->refs = 1;
    sock->ops = ops;
    sock->family = (u16)family;
    sock->type = (u16)type;
    sock->protocol = protocol;
    sock->uid = task->cred.fsuid;
    sock->state = TCP_CLOSE;
    waitq_init(&sock->read_wait);
    waitq_init(&sock->write_wait);
    waitq_init(&sock->room_wait);
    list_init(&sock->queue);
    list_init(&sock->backlog);
    list_init(&sock->pending);
    list_init(&sock->backlog_link);
    list_init(&sock->all);
    sock->sndbuf = sock->rcvbuf = BUFFER_DEFAULT;
    sock->own_cred = (struct ucred){task->process->pid, task->cred.euid, task->cred.egid};
    sock->peer_cred = (struct ucred){0, ~0u, ~0u};
    options_init(sock);
    return sock;
}

static void queue_close(struct waitq *queue) {
    wake_all(queue);
    struct waitnode *node;
    list_each(node, &queue->nodes, link)
        waitnode_remove(node);
}

void sock_get(struct sock *sock) {
    sock->refs++;
}

void sock_put(struct sock *sock) {
    assert(sock->refs);
    if (--sock->refs)
        return;
    queue_purge(sock);
    sock->ops->destroy(sock);
    queue_close(&sock->read_wait);
    queue_close(&sock->write_wait);
    queue_close(&sock->room_wait);
    list_remove(&sock->all);
    kfree(sock);
}

void sock_close(struct sock *sock) {
    sock->closed = true;
    sock->file = NULL;
    sock->ops->close(sock);
    sock_put(sock);
}

// ---- Waiting -----------------------------------------------------------------------------------
// 0 when the call may wait, with its time limit set.
static i64 may_wait(struct task *task, bool nonblock, u64 timeout_ns) {
    struct call *call = call_of(task);
    if (nonblock)
        return -EAGAIN;
    if (timeout_ns && !call->deadline)
        wait_deadline(task, now_ns() + timeout_ns);
    return call->timed_out ? -EAGAIN : 0;
}

i64 sock_wait(struct task *task, struct waitq *queue, u32 events, bool nonblock, u64 timeout_ns) {
    i64 r = may_wait(task, nonblock, timeout_ns);
    return r ? r : wait_on_events(task, queue, STATUS_SOCKET_WAIT, events);
}

i64 sock_take_backlog(struct task *task, struct sock *sock, bool nonblock, struct sock **out) {
    if (sock->state != TCP_LISTEN || sock->shutdown & SHUTDOWN_RECEIVE)
        return -EINVAL;
    struct sock *child = list_first(&sock->backlog, struct sock, backlog_link);
    if (!child) {
        i64 r = may_wait(task, nonblock, sock->receive_timeout_ns);
        return r ? r : wait_on_exclusive(task, &sock->read_wait, STATUS_SOCKET_WAIT);
    }
    list_remove(&child->backlog_link);
    sock->backlog_count--;
    child->listener = NULL;
    if (call_of(task)->nodes && sock->backlog_count)
        wake_events(&sock->read_wait, READABLE); // a wake-one may have been ours
    TAP(ACCEPT, task, NULL, 0, MADDR(child));
    *out = child;
    return 0;
}

i64 sock_error(struct sock *sock) {
    i64 error = -(i64)sock->error;
    sock->error = 0;
    return error;
}

void sock_wake(struct sock *sock, u32 events) {
    if (events & ~WRITABLE)
        wake_events(&sock->read_wait, events);
    if (events & ~READABLE)
        wake_events(&sock->write_wait, events);
}

void sock_wake_all(struct sock *sock) {
    wake_all(&sock->read_wait);
    wake_all(&sock->write_wait);
    wake_all(&sock->room_wait);
}

i64 sock_broken_pipe(struct task *task, u32 flags) {
    if (!(flags & MSG_NOSIGNAL) && !task->agent)
        signal_send_task(task,
                         &(struct siginfo){.signo = SIGPIPE,
                                           .code = SI_USER,
                                           .kill = {(i32)task->process->pid, task->cred.ruid}});
    return -EPIPE;
}

// ---- Packets -----------------------------------------------------------------------------------
void parcel_free(struct parcel *parcel) {
    if (!parcel)
        return;
    for (u32 i = 0; i < parcel->count; i++)
        file_put(parcel->files[i]);
    kfree(parcel);
}

void parcel_dup(struct message *message, struct parcel *parcel) {
    size_t size = sizeof *parcel + parcel->count * sizeof(struct file *);
    struct parcel *copy = message->parcel ? NULL : kmalloc(size);
    if (!copy)
        return; // peeking shows none of them then
    memcpy(copy, parcel, size);
    for (u32 i = 0; i < copy->count; i++)
        file_get(copy->files[i]);
    message->parcel = copy;
}

struct packet *packet_new(struct sock *sender, u32 cap) {
    u32 charge = cap + (u32)sizeof(struct packet);
    // What the heap has once taken is not given back to the frames: programs must not fill RAM by
    // sending.
    bool fits = kernel->net->bytes + charge <= kernel->ram_bytes / 8;
    struct packet *packet = fits ? kmalloc(sizeof *packet + cap) : NULL;
    if (!packet)
        return NULL;
    list_init(&packet->link);
    kernel->net->bytes += charge;
    packet->cap = cap;
    packet->charge = charge;
    packet->sender = sender;
    if (sender) {
        sock_get(sender);
        sender->charged += packet->charge;
    }
    return packet;
}

void packet_free(struct packet *packet) {
    struct sock *sender = packet->sender;
    kernel->net->bytes -= packet->charge;
    if (packet->parcel)
        parcel_queued(packet->parcel, -1);
    parcel_free(packet->parcel);
    if (sender) {
        sender->charged -= packet->charge;
        if (!sender->closed && sender->ops->space)
            sender->ops->space(sender);
        sock_put(sender);
    }
    kfree(packet->from);
    kfree(packet);
}

void packet_push(struct sock *receiver, struct packet *packet) {
    list_push(&receiver->queue, &packet->link);
    receiver->queue_bytes += packet->charge;
    receiver->queue_count++;
    packet->time_ns = now_real_ns();
    if (packet->parcel)
        parcel_queued(packet->parcel, 1);
}

struct packet *packet_first(struct sock *sock) {
    return list_first(&sock->queue, struct packet, link);
}

void packet_remove(struct sock *sock, struct packet *packet) {
    list_remove(&packet->link);
    sock->queue_bytes -= packet->charge;
    sock->queue_count--;
}

void queue_purge(struct sock *sock) {
    struct packet *packet;
    while ((packet = packet_first(sock))) {
        packet_remove(sock, packet);
        packet_free(packet);
    }
}

i64 packet_fill(struct sock *sender, struct message *message, u32 most, struct packet **out) {
    u64 len = message->uio->left;
    if (len > most)
        return -EMSGSIZE;
    i64 ready = len ? uio_ready(message->uio, len) : 0;
    if (ready < 0)
        return ready;
    if ((u64)ready < len)
        return -EFAULT;
    struct packet *packet = packet_new(sender, (u32)len);
    if (!packet)
        return -ENOBUFS;
    packet->len = (u32)len;
    packet->cred = message->cred;
    i64 r = len ? uio_get(message->uio, packet->data, len) : 0;
    if (r < 0) {
        packet_free(packet);
        return r;
    }
    packet->parcel = message->parcel;
    message->parcel = NULL;
    *out = packet;
    return 0;
}

static void parcel_hand_over(struct message *message, struct packet *packet) {
    if (!packet->parcel)
        return;
    if (message->flags & MSG_PEEK) {
        parcel_dup(message, packet->parcel);
        return;
    }
    parcel_queued(packet->parcel, -1);
    message->parcel = packet->parcel;
    packet->parcel = NULL;
}

i64 packet_read(struct sock *sock, struct message *message, struct packet *packet) {
    u32 n = (u32)min((u64)packet->len, message->uio->left);
    i64 ready = n ? uio_ready(message->uio, n) : 0;
    if (ready < 0)
        return ready;
    if (ready < n)
        return -EFAULT;
    i64 r = n ? uio_put(message->uio, packet->data, n) : 0;
    if (r < 0)
        return r;
    if (n < packet->len)
        message->out_flags |= MSG_TRUNC;
    if (packet->from)
        message->from = *packet->from;
    message->cred = packet->cred;
    message->has_cred = true;
    message->time_ns = packet->time_ns;
    memcpy(message->local, packet->local, sizeof message->local);
    message->has_local = true;
    parcel_hand_over(message, packet);
    u32 len = packet->len;
    if (!(message->flags & MSG_PEEK)) {
        TAP(RECEIVE, NULL, NULL, 0, MADDR(sock), MADDR(packet->sender), tap_fd(sock), len);
        packet_remove(sock, packet);
        packet_free(packet);
    }
    return message->flags & MSG_TRUNC ? len : n;
}

// ---- Streams -----------------------------------------------------------------------------------
static bool same_cred(const struct ucred *a, const struct ucred *b) {
    return a->pid == b->pid && a->uid == b->uid && a->gid == b->gid;
}

// The last packet, if more bytes of this message may be appended to it.
static struct packet *stream_tail(struct sock *sender, struct sock *receiver,
                                  struct message *message) {
    struct packet *tail = list_entry(receiver->queue.prev, struct packet, link);
    bool joins = !list_empty(&receiver->queue) && !message->parcel && !tail->parcel &&
                 tail->sender == sender && tail->len < tail->cap &&
                 same_cred(&tail->cred, &message->cred);
    return joins ? tail : NULL;
}

i64 stream_put(struct sock *sender, struct sock *receiver, struct message *message, u32 room) {
    i64 n = uio_ready(message->uio, min(message->uio->left, (u64)room));
    if (n <= 0)
        return n;
    u32 done = 0;
    i64 r = 0;
    while (done < n) {
        struct packet *packet = stream_tail(sender, receiver, message);
        bool fresh = !packet;
        if (fresh) {
            u32 cap = max(min((u32)n - done, PACKET_MAX), PACKET_MIN);
            packet = packet_new(sender, cap);
            if (!packet) {
                r = -ENOBUFS;
                break;
            }
            packet->cred = message->cred;
        }
        u32 take = min((u32)n - done, packet->cap - packet->len);
        r = uio_get(message->uio, packet->data + packet->len, take);
        if (r < 0) {
            if (fresh)
                packet_free(packet);
            break;
        }
        TAP(SEND, NULL, packet->data + packet->len, take, MADDR(sender), MADDR(receiver), tap_fd(sender));
        packet->len += take;
        done += take;
        if (fresh) {
            packet->parcel = message->parcel;
            message->parcel = NULL;
            packet_push(receiver, packet);
        }
    }
    if (done)
        sock_wake(receiver, READABLE);
    return done ? done : r;
}

// Bytes that one read could take, as far as `most`.
static u64 stream_unread(const struct sock *sock, u64 most) {
    u64 n = 0;
    struct packet *packet;
    list_each(packet, &sock->queue, link) {
        n += packet->len - packet->start;
        if (n >= most)
            return most;
    }
    return n;
}

u64 stream_target(const struct sock *sock, const struct message *message) {
    u64 all = message->uio->left;
    if ((message->flags & (MSG_WAITALL | MSG_PEEK)) == (MSG_WAITALL | MSG_PEEK))
        return all;
    return min(all, (u64)max(sock->options[OPT_RCVLOWAT], 1));
}

i64 stream_take(struct sock *sock, struct message *message, bool credentials) {
    bool peek = message->flags & MSG_PEEK;
    bool discard = sock->family != AF_UNIX && message->flags & MSG_TRUNC; // tcp(7)
    i64 n = (i64)stream_unread(sock, message->uio->left);
    if (!discard)
        n = uio_ready(message->uio, (u64)n);
    if (n <= 0)
        return n;
    u32 done = 0;
    i64 r = 0;
    struct packet *packet;
    list_each(packet, &sock->queue, link) {
        if (done == n || (packet->parcel && message->parcel))
            break;
        if (credentials && message->has_cred && !same_cred(&message->cred, &packet->cred))
            break;
        u32 take = min((u32)n - done, packet->len - packet->start);
        if (discard)
            message->uio->left -= take;
        else
            r = uio_put(message->uio, packet->data + packet->start, take);
        if (r < 0)
            break;
        done += take;
        if (!message->has_cred)
            message->cred = packet->cred, message->has_cred = true;
        parcel_hand_over(message, packet);
        if (!peek) {
            packet->start += take;
            if (packet->start == packet->len) {
                packet_remove(sock, packet);
                packet_free(packet);
            }
        }
        if (message->parcel)
            break;
    }
    if (done && !peek)
        TAP(RECEIVE, NULL, NULL, 0, MADDR(sock), MADDR(sock->peer), tap_fd(sock), done);
    return done ? done : r;
}

// ---- As a file ---------------------------------------------------------------------------------
static i64 sock_read(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    struct sock *sock = file->data;
    if (!uio->left)
        return 0;
    struct message message = {.uio = uio, .nonblock = file->flags & O_NONBLOCK};
    i64 r = sock->ops->receive(task, sock, &message);
    parcel_free(message.parcel);
    return r;
}

static i64 sock_write(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    struct sock *sock = file->data;
    struct message message = {.uio = uio,
                              .nonblock = file->flags & O_NONBLOCK,
                              .cred = {task->process->pid, task->cred.ruid, task->cred.rgid}};
    return sock->ops->send(task, sock, &message);
}

static u32 sock_poll(struct file *file, struct pollwait *pw) {
    struct sock *sock = file->data;
    const u32 always = POLLERR | POLLHUP;
    poll_on(pw, &sock->read_wait, READABLE | POLLRDHUP | POLLPRI | always);
    poll_on(pw, &sock->write_wait, WRITABLE | always);
    return sock->ops->poll(sock, pw);
}

static u32 unread(struct sock *sock) {
    if (sock->ops->unread)
        return sock->ops->unread(sock);
    return (u32)stream_unread(sock, INT32_MAX);
}

static i64 sock_ioctl(struct task *task, struct file *file, u32 cmd, u64 arg) {
    struct sock *sock = file->data;
    switch (cmd) {
    case SIOCINQ:
        if (sock->state == TCP_LISTEN)
            return -EINVAL;
        return put_user(task, UPTR(arg), (i32)unread(sock));
    case SIOCOUTQ:
        if (sock->state == TCP_LISTEN)
            return -EINVAL;
        return put_user(task, UPTR(arg),
                        (i32)(sock->ops->unsent ? sock->ops->unsent(sock) : sock->charged));
    case SIOCATMARK:
        if (sock->type != SOCK_STREAM)
            return -ENOTTY;
        return put_user(task, UPTR(arg), (i32)0);
    }
    return interface_ioctl(task, cmd, arg);
}

static void sock_release(struct file *file) {
    struct sock *sock = file->data;
    bool messages = kernel->net->unix_in_flight;
    sock_close(sock);
    if (messages)
        unix_collect();
}

static const struct file_ops sock_file_ops = {
    .read = sock_read,
    .write = sock_write,
    .poll = sock_poll,
    .ioctl = sock_ioctl,
    .release = sock_release,
};

struct sock *sock_of(struct file *file) {
    return file->ops == &sock_file_ops ? file->data : NULL;
}

i64 sock_file(struct sock *sock, u32 flags, struct file **out) {
    struct inode *inode = inode_new(NULL, S_IFSOCK | 0777);
    struct file *file =
        inode ? file_new(&sock_file_ops, O_RDWR | (flags & SOCK_NONBLOCK), sock) : NULL;
    if (!file) {
        if (inode)
            inode_put(inode);
        sock_close(sock);
        return -ENOMEM;
    }
    inode->uid = sock->uid;
    file->inode = inode;
    file->anon_name = "socket";
    file->ino = inode->ino;
    sock->file = file;
    *out = file;
    return 0;
}

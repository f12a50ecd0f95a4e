// AF_UNIX: streams, datagrams and sequenced packets, by path, by abstract name or in pairs.
// unix(7).
//
// A packet goes straight into the peer's queue and stays charged to its sender, whose sndbuf is
// thus the limit. A closed socket stays its peer's `peer` until that one is closed too.
#include "../fs/notify.h"
#include "../fs/path.h"
#include "../kernel.h"
#include "sock.h"

#define DATAGRAM_QUEUE_MAX 10u // net.unix.max_dgram_qlen
#define DATAGRAM_MAX 0x40000u  // one pass
#define PATH_AT offsetof(struct sockaddr_un, path)

static const struct sock_ops unix_ops;

static bool is_connection(const struct sock *sock) {
    return sock->type != SOCK_DGRAM;
}

static struct sock *unix_new(struct task *task, u32 type) {
    struct sock *sock = sock_new(AF_UNIX, type, 0, &unix_ops, task);
    if (!sock)
        return NULL;
    list_init(&sock->un.relay.link);
    sock->backlog_max = DATAGRAM_QUEUE_MAX;
    list_push(&kernel->net->unix_all, &sock->all);
    return sock;
}

i64 unix_create(struct task *task, u32 type, i32 protocol, struct sock **out) {
    if (protocol && protocol != AF_UNIX)
        return -EPROTONOSUPPORT;
    if (type == SOCK_RAW)
        type = SOCK_DGRAM;
    if (type != SOCK_STREAM && type != SOCK_DGRAM && type != SOCK_SEQPACKET)
        return -ESOCKTNOSUPPORT;
    *out = unix_new(task, type);
    return *out ? 0 : -ENOMEM;
}

// ---- Names -------------------------------------------------------------------------------------
static i64 check_address(const struct address *address) {
    if (address->len <= PATH_AT || address->len > sizeof address->un || address->family != AF_UNIX)
        return -EINVAL;
    return 0;
}

static struct sock *find_abstract(const struct address *address) {
    struct sock *sock;
    list_each(sock, &kernel->net->unix_all, all)
        if (sock->un.listed && sock->un.name.len == address->len &&
            !memcmp(sock->un.name.bytes, address->bytes, address->len))
            return sock;
    return NULL;
}

// The socket a name leads to, without a reference. May wait before any effect.
static i64 find(struct task *task, const struct address *address, u32 type, struct sock **out) {
    i64 r = check_address(address);
    if (r)
        return r;
    if (!address->un.path[0]) {
        *out = find_abstract(address);
        if (!*out)
            return -ECONNREFUSED;
    } else {
        struct walk walk;
        r = path_walk(task, AT_FDCWD, address->un.path, WALK_FOLLOW, &walk);
        if (r < 0)
            return r;
        r = inode_permission(task, walk.inode, W_OK);
        *out = r || !S_ISSOCK(walk.inode->mode) ? NULL : walk.inode->socket;
        walk_end(&walk);
        if (r)
            return r;
        if (!*out)
            return -ECONNREFUSED;
    }
    return (*out)->type == type ? 0 : -EPROTOTYPE;
}

static i64 autobind(struct sock *sock) {
    struct net *net = kernel->net;
    struct address name = {.len = PATH_AT + 6, .un.family = AF_UNIX};
    for (u32 tries = 0; tries < 0x100000; tries++) {
        ksnprintf(name.un.path + 1, 6, "%05x", net->autobind++ & 0xfffff);
        if (find_abstract(&name))
            continue;
        sock->un.name = name;
        sock->un.listed = true;
        return 0;
    }
    return -ENOSPC;
}

static i64 bind_path(struct task *task, struct sock *sock, const struct address *address) {
    struct walk walk;
    i64 r = path_walk(task, AT_FDCWD, address->un.path, WALK_CREATE, &walk);
    if (r < 0)
        return r;
    struct inode *inode;
    if (!walk.missing)
        r = -EADDRINUSE;
    else if (walk.trailing_slash)
        r = -ENOENT;
    else if (sock->un.name.len)
        r = -EINVAL;
    else
        r = inode_permission(task, walk.inode, W_OK | X_OK);
    if (!r)
        r = walk.inode->ops->create
                ? walk.inode->ops->create(task, walk.inode, walk.last, walk.last_len,
                                          S_IFSOCK | (0777 & ~task->fs->umask), 0, &inode)
                : -EPERM;
    if (!r) {
        notify_name(walk.inode, NOTIFY_CREATE, 0, walk.last, walk.last_len);
        inode->socket = sock;
        sock->un.inode = inode;
        sock->un.name = *address;
        u32 n = (u32)strnlen(address->un.path, address->len - PATH_AT);
        sock->un.name.len = (u32)PATH_AT + n + 1;
        sock->un.name.bytes[PATH_AT + n] = 0;
    }
    walk_end(&walk);
    return r;
}

static i64 unix_bind(struct task *task, struct sock *sock, const struct address *address) {
    bool automatic = address->len == PATH_AT && address->family == AF_UNIX;
    i64 r = automatic ? 0 : check_address(address);
    if (r)
        return r;
    if (!automatic && address->un.path[0])
        return bind_path(task, sock, address);
    if (sock->un.name.len)
        return automatic ? 0 : -EINVAL;
    if (automatic)
        return autobind(sock);
    if (find_abstract(address))
        return -EADDRINUSE;
    sock->un.name = *address;
    sock->un.listed = true;
    return 0;
}

static i64 unix_name(struct sock *sock, enum side side, struct address *out) {
    if (side != SIDE_OWN && !(sock = sock->peer))
        return -ENOTCONN;
    *out = sock->un.name;
    if (!out->len) {
        out->len = PATH_AT;
        out->family = AF_UNIX;
    }
    return 0;
}

// ---- Connecting --------------------------------------------------------------------------------
static void join(struct sock *a, struct sock *b) {
    sock_get(a), sock_get(b);
    a->peer = b, b->peer = a;
    a->state = b->state = TCP_ESTABLISHED;
}

static i64 unix_pair(struct task *task, struct sock *a, struct sock *b) {
    join(a, b);
    TAP(CONNECT, NULL, NULL, 0, MADDR(a), MADDR(b), -1, AF_UNIX);
    a->peer_cred = b->own_cred;
    b->peer_cred = a->own_cred;
    return 0;
}

static i64 unix_listen(struct task *task, struct sock *sock, u32 backlog) {
    if (!is_connection(sock))
        return -EOPNOTSUPP;
    if (!sock->un.name.len || (sock->state != TCP_CLOSE && sock->state != TCP_LISTEN))
        return -EINVAL;
    bool more = backlog > sock->backlog_max;
    sock->backlog_max = backlog;
    sock->state = TCP_LISTEN;
    sock->own_cred = (struct ucred){task->process->pid, task->cred.euid, task->cred.egid};
    if (more)
        wake_all(&sock->room_wait);
    return 0;
}

static i64 connect_stream(struct task *task, struct sock *sock, const struct address *address,
                          bool nonblock) {
    struct sock *server;
    i64 r = find(task, address, sock->type, &server);
    if (r)
        return r;
    if (server->state != TCP_LISTEN || server->shutdown & SHUTDOWN_RECEIVE)
        return -ECONNREFUSED;
    if (server->backlog_count > server->backlog_max)
        return sock_wait(task, &server->room_wait, WRITABLE, nonblock, sock->send_timeout_ns);
    if (sock->state != TCP_CLOSE)
        return sock->state == TCP_ESTABLISHED ? -EISCONN : -EINVAL;
    if (sock->options[OPT_PASSCRED] && !sock->un.name.len && (r = autobind(sock)))
        return r;
    struct sock *child = unix_new(task, sock->type);
    if (!child)
        return -ENOMEM;
    join(sock, child);
    sock->own_cred = (struct ucred){task->process->pid, task->cred.euid, task->cred.egid};
    sock->peer_cred = server->own_cred;
    child->own_cred = server->own_cred;
    child->peer_cred = sock->own_cred;
    TAP(CONNECT, NULL, server->un.name.bytes + PATH_AT, server->un.name.len - PATH_AT, MADDR(sock),
        MADDR(child), tap_fd(sock), AF_UNIX);
    child->un.name = server->un.name; // shown, but only the listener is found by it
    child->options[OPT_PASSCRED] = server->options[OPT_PASSCRED];
    child->listener = server;
    list_push(&server->backlog, &child->backlog_link);
    server->backlog_count++;
    sock_wake(server, READABLE);
    return 0;
}

static void disconnect(struct sock *sock) {
    struct sock *peer = sock->peer;
    if (!list_empty(&sock->un.relay.link))
        waitnode_remove(&sock->un.relay);
    sock->peer = NULL;
    sock->state = TCP_CLOSE;
    if (peer)
        sock_put(peer);
}

static i64 connect_datagram(struct task *task, struct sock *sock, const struct address *address) {
    if (address->len >= 2 && address->family == AF_UNSPEC) {
        disconnect(sock);
        return 0;
    }
    struct sock *peer;
    i64 r = find(task, address, sock->type, &peer);
    if (!r && peer->peer && peer->peer != sock)
        r = -EPERM;
    if (!r && sock->options[OPT_PASSCRED] && !sock->un.name.len)
        r = autobind(sock);
    if (r)
        return r;
    sock_get(peer);
    disconnect(sock);
    sock->peer = peer;
    sock->state = TCP_ESTABLISHED;
    return 0;
}

static i64 unix_connect(struct task *task, struct sock *sock, const struct address *address,
                        bool nonblock) {
    if (is_connection(sock))
        return connect_stream(task, sock, address, nonblock);
    return connect_datagram(task, sock, address);
}

static i64 unix_accept(struct task *task, struct sock *sock, bool nonblock, struct sock **out) {
    if (!is_connection(sock))
        return -EOPNOTSUPP;
    i64 r = sock_take_backlog(task, sock, nonblock, out);
    if (!r)
        wake_events(&sock->room_wait, WRITABLE);
    return r;
}

// ---- Sending -----------------------------------------------------------------------------------
static i64 send_stream(struct task *task, struct sock *sock, struct message *message) {
    struct sock *peer = sock->peer;
    if (message->to)
        return sock->state == TCP_ESTABLISHED ? -EISCONN : -EOPNOTSUPP;
    if (!peer)
        return -ENOTCONN;
    if (sock->shutdown & SHUTDOWN_SEND)
        return sock_broken_pipe(task, message->flags);
    if (!message->uio->left)
        return 0;
    if (sock->error)
        return sock_error(sock);
    if (peer->closed || peer->shutdown & SHUTDOWN_RECEIVE)
        return sock_broken_pipe(task, message->flags);
    if (sock->charged >= sock->sndbuf)
        return sock_wait(task, &sock->write_wait, WRITABLE, message->nonblock,
                         sock->send_timeout_ns);
    return stream_put(sock, peer, message, sock->sndbuf - sock->charged);
}

static bool queue_full(const struct sock *from, const struct sock *to) {
    return to != from && to->peer != from && to->queue_count > to->backlog_max;
}

static i64 send_packet(struct task *task, struct sock *sock, struct message *message) {
    struct sock *peer = sock->peer;
    i64 r = 0;
    if (sock->type == SOCK_SEQPACKET && !peer)
        return -ENOTCONN;
    if (message->to && sock->type == SOCK_DGRAM)
        r = find(task, message->to, sock->type, &peer);
    else if (!peer)
        r = -ENOTCONN;
    if (!r && sock->options[OPT_PASSCRED] && !sock->un.name.len)
        r = autobind(sock);
    if (!r && message->uio->left > min(sock->sndbuf - 32, DATAGRAM_MAX))
        r = -EMSGSIZE;
    if (!r)
        r = sock_error(sock);
    if (r)
        return r;
    if (sock->shutdown & SHUTDOWN_SEND)
        return -EPIPE;
    if (peer->closed) {
        if (sock->type == SOCK_SEQPACKET)
            return -EPIPE;
        disconnect(sock);
        return -ECONNREFUSED;
    }
    if (peer->peer && peer->peer != sock)
        return -EPERM;
    if (peer->shutdown & SHUTDOWN_RECEIVE)
        return -EPIPE;
    if (sock->charged >= sock->sndbuf)
        return sock_wait(task, &sock->write_wait, WRITABLE, message->nonblock,
                         sock->send_timeout_ns);
    if (queue_full(sock, peer))
        return sock_wait(task, &peer->room_wait, WRITABLE, message->nonblock,
                         sock->send_timeout_ns);
    struct address *from = NULL;
    if (sock->un.name.len) {
        from = knew(struct address);
        if (!from)
            return -ENOBUFS;
        *from = sock->un.name;
    }
    struct packet *packet;
    r = packet_fill(sock, message, DATAGRAM_MAX, &packet);
    if (r) {
        kfree(from);
        return r;
    }
    packet->from = from;
    i64 sent = packet->len;
    TAP(SEND, NULL, packet->data, sent, MADDR(sock), MADDR(peer), tap_fd(sock), AF_UNIX);
    packet_push(peer, packet);
    sock_wake(peer, READABLE);
    return sent;
}

static i64 unix_send(struct task *task, struct sock *sock, struct message *message) {
    if (message->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (sock->type == SOCK_STREAM)
        return send_stream(task, sock, message);
    return send_packet(task, sock, message);
}

static bool is_writable(const struct sock *sock) {
    return sock->state != TCP_LISTEN && (u64)sock->charged * 4 <= sock->sndbuf;
}

static void unix_space(struct sock *sock) {
    if (is_writable(sock))
        sock_wake(sock, WRITABLE);
}

// ---- Receiving ---------------------------------------------------------------------------------
static i64 receive_stream(struct task *task, struct sock *sock, struct message *message) {
    if (sock->state != TCP_ESTABLISHED)
        return -EINVAL;
    if (!message->uio->left)
        return 0;
    u64 unread = sock->ops->unread(sock), target = stream_target(sock, message);
    if (unread < target) {
        bool over = sock->error || sock->shutdown & SHUTDOWN_RECEIVE;
        if (!unread && over)
            return sock_error(sock);
        i64 r = over ? 0
                     : sock_wait(task, &sock->read_wait, READABLE | POLLRDHUP, message->nonblock,
                                 sock->receive_timeout_ns);
        if (r && (r != -EAGAIN || !unread))
            return r;
    }
    if (sock->peer && sock->peer->un.name.len)
        message->from = sock->peer->un.name;
    return stream_take(sock, message, sock->options[OPT_PASSCRED]);
}

static i64 receive_packet(struct task *task, struct sock *sock, struct message *message) {
    if (sock->type == SOCK_SEQPACKET && sock->state != TCP_ESTABLISHED)
        return -ENOTCONN;
    if (sock->error)
        return sock_error(sock);
    struct packet *packet = packet_first(sock);
    if (packet) {
        i64 r = packet_read(sock, message, packet);
        if (r >= 0 && !(message->flags & MSG_PEEK))
            wake_events(&sock->room_wait, WRITABLE);
        return r;
    }
    if (sock->shutdown & SHUTDOWN_RECEIVE)
        return 0;
    return sock_wait(task, &sock->read_wait, READABLE | POLLRDHUP, message->nonblock,
                     sock->receive_timeout_ns);
}

static i64 unix_receive(struct task *task, struct sock *sock, struct message *message) {
    if (message->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (message->flags & MSG_ERRQUEUE)
        return -EAGAIN;
    if (sock->type == SOCK_STREAM)
        return receive_stream(task, sock, message);
    return receive_packet(task, sock, message);
}

static u32 unix_unread(struct sock *sock) {
    u64 n = 0;
    struct packet *packet;
    list_each(packet, &sock->queue, link) {
        n += packet->len - packet->start;
        if (sock->type == SOCK_DGRAM)
            break;
    }
    return (u32)n;
}

// ---- Ends --------------------------------------------------------------------------------------
static i64 unix_shutdown(struct sock *sock, u32 how) {
    u32 mine = how + 1; // SHUT_RD, WR, RDWR -> bits
    sock->shutdown |= mine;
    sock_wake_all(sock);
    struct sock *peer = sock->peer;
    if (!peer || !is_connection(sock))
        return 0;
    if (mine & SHUTDOWN_SEND)
        TAP(END, NULL, NULL, 0, MADDR(sock), MADDR(peer), TAP_END_FIN, tap_fd(sock));
    peer->shutdown |= (mine & SHUTDOWN_RECEIVE ? SHUTDOWN_SEND : 0) |
                      (mine & SHUTDOWN_SEND ? SHUTDOWN_RECEIVE : 0);
    sock_wake_all(peer);
    return 0;
}

static void relay_fire(struct waitnode *node, u32 events) {
    struct sock *sock = node->owner;
    waitnode_remove(node);
    sock_wake(sock, WRITABLE);
}

// Our pollers wait for room at the peer: its wake is passed on to them.
static void relay(struct sock *sock) {
    struct waitnode *node = &sock->un.relay;
    if (!list_empty(&node->link))
        return;
    node->queue = &sock->peer->room_wait;
    node->fire = relay_fire;
    node->owner = sock;
    list_push(&node->queue->nodes, &node->link);
}

static u32 unix_poll(struct sock *sock, struct pollwait *pw) {
    u32 events = 0;
    if (sock->error)
        events |= POLLERR;
    if (sock->shutdown == SHUTDOWN_BOTH)
        events |= POLLHUP;
    if (sock->shutdown & SHUTDOWN_RECEIVE)
        events |= POLLRDHUP | READABLE;
    if (!list_empty(&sock->queue) || !list_empty(&sock->backlog))
        events |= READABLE;
    if (is_connection(sock) && sock->state == TCP_CLOSE)
        events |= POLLHUP;
    bool writable = is_writable(sock);
    if (writable && sock->type == SOCK_DGRAM && sock->peer && !sock->peer->closed &&
        queue_full(sock, sock->peer)) {
        relay(sock);
        writable = false;
    }
    if (writable)
        events |= WRITABLE | POLLWRBAND;
    return events;
}

static void unix_close(struct sock *sock) {
    struct sock *peer = sock->peer;
    bool lost = !list_empty(&sock->queue) || sock->listener;
    if (sock->listener) {
        list_remove(&sock->backlog_link);
        sock->listener = NULL;
    }
    if (sock->un.inode) {
        sock->un.inode->socket = NULL;
        inode_put(sock->un.inode);
        sock->un.inode = NULL;
    }
    list_remove(&sock->all);
    struct sock *child;
    list_each(child, &sock->backlog, backlog_link)
        sock_close(child);
    sock->shutdown = SHUTDOWN_BOTH;
    if (peer && is_connection(sock)) {
        TAP(END, NULL, NULL, 0, MADDR(sock), MADDR(peer), lost ? TAP_END_RESET : TAP_END_CLOSE, -1);
        peer->shutdown = SHUTDOWN_BOTH;
        if (lost)
            peer->error = ECONNRESET;
        sock_wake_all(peer);
    }
    queue_purge(sock);
    disconnect(sock);
    sock_wake_all(sock);
}

static void unix_destroy(struct sock *sock) {
    assert(!sock->peer && !sock->un.inode);
}

static const struct sock_ops unix_ops = {
    .bind = unix_bind,
    .connect = unix_connect,
    .listen = unix_listen,
    .accept = unix_accept,
    .pair = unix_pair,
    .name = unix_name,
    .send = unix_send,
    .receive = unix_receive,
    .shutdown = unix_shutdown,
    .poll = unix_poll,
    .unread = unix_unread,
    .space = unix_space,
    .close = unix_close,
    .destroy = unix_destroy,
};

// TCP between two sockets of this machine: a reliable byte stream without segments on a wire. A
// handshake, a FIN or a reset takes effect on both ends at once; the states are those a program
// could observe on Linux, less TIME_WAIT.
#include "../kernel.h"
#include "sock.h"

static bool is_open(const struct sock *sock) { // for sending
    return sock->state == TCP_ESTABLISHED || sock->state == TCP_CLOSE_WAIT;
}

// The connection is over; the address is free again unless the program had chosen it.
static void closed(struct sock *sock) {
    sock->state = TCP_CLOSE;
    sock->shutdown = SHUTDOWN_BOTH;
    if (!sock->inet.port_given && sock->inet.port)
        inet_unbind(sock);
    sock_wake_all(sock);
}

// Our stream ends.
static void send_fin(struct sock *sock) {
    struct sock *peer = sock->peer;
    TAP(END, NULL, NULL, 0, MADDR(sock), MADDR(peer), TAP_END_FIN, tap_fd(sock));
    peer->shutdown |= SHUTDOWN_RECEIVE;
    peer->inet.fin = true;
    if (sock->state == TCP_ESTABLISHED) {
        sock->state = TCP_FIN_WAIT2;
        if (peer->state == TCP_ESTABLISHED)
            peer->state = TCP_CLOSE_WAIT;
        sock_wake_all(peer);
    } else {
        closed(sock);
        closed(peer);
    }
}

static void receive_reset(struct sock *sock) {
    if (sock->state == TCP_CLOSE)
        return;
    TAP(END, NULL, NULL, 0, MADDR(sock->peer), MADDR(sock), TAP_END_RESET, -1);
    sock->error = sock->state == TCP_CLOSE_WAIT ? EPIPE : ECONNRESET;
    closed(sock);
}

static void part(struct sock *sock) {
    struct sock *peer = sock->peer;
    sock->peer = NULL;
    if (peer)
        sock_put(peer);
}

// ---- Connecting --------------------------------------------------------------------------------
static struct sock *find_listener(struct sock *client) {
    u16 port = client->inet.remote_port;
    struct list *bucket = inet_bucket(client, port);
    u32 best = 0, count = 0;
    struct sock *sock, *found = NULL;
    list_each(sock, bucket, inet.port_link) {
        u32 score = sock->state == TCP_LISTEN ? inet_match(sock, client->inet.remote, port) : 0;
        if (score > best)
            best = score, count = 0;
        if (score && score == best) {
            found = found && count ? found : sock;
            count++;
        }
    }
    if (count < 2)
        return found;
    u32 turn = kernel->net->spread++ % count; // SO_REUSEPORT
    list_each(sock, bucket, inet.port_link)
        if (sock->state == TCP_LISTEN && inet_match(sock, client->inet.remote, port) == best &&
            !turn--)
            return sock;
    return found;
}

static i64 establish(struct task *task, struct sock *client, struct sock *listener) {
    struct sock *child = inet_new(task, listener->family, SOCK_STREAM, IPPROTO_TCP);
    if (!child)
        return -ENOMEM;
    memcpy(child->options, listener->options, sizeof child->options);
    child->uid = listener->uid;
    child->sndbuf = listener->sndbuf, child->rcvbuf = listener->rcvbuf;
    child->linger = listener->linger;
    child->receive_timeout_ns = listener->receive_timeout_ns;
    child->send_timeout_ns = listener->send_timeout_ns;
    memcpy(child->inet.local, client->inet.remote, 16);
    memcpy(child->inet.remote, client->inet.local, 16);
    child->inet.port = client->inet.remote_port;
    child->inet.remote_port = client->inet.port;
    child->inet.port_given = true;
    list_push(inet_bucket(child, child->inet.port), &child->inet.port_link);
    sock_get(client), sock_get(child);
    client->peer = child, child->peer = client;
    client->state = child->state = TCP_ESTABLISHED;
    u8 ends[32];
    memcpy(ends, client->inet.local, 16), memcpy(ends + 16, client->inet.remote, 16);
    TAP(CONNECT, NULL, ends, sizeof ends, MADDR(client), MADDR(child), tap_fd(client),
        client->family, client->inet.port, client->inet.remote_port);
    client->listener = NULL;
    child->listener = listener;
    list_push(&listener->backlog, &child->backlog_link);
    listener->backlog_count++;
    sock_wake(listener, READABLE);
    sock_wake(client, WRITABLE);
    return 0;
}

static void refuse(struct sock *client) {
    client->error = ECONNREFUSED;
    client->inet.remote_port = 0;
    client->listener = NULL;
    closed(client);
    client->shutdown = 0; // it may try again
}

// There is room in the backlog: the clients that waited for it come in.
static void admit_pending(struct task *task, struct sock *listener) {
    while (listener->backlog_count <= listener->backlog_max && !list_empty(&listener->pending)) {
        struct sock *client = list_first(&listener->pending, struct sock, backlog_link);
        list_remove(&client->backlog_link);
        if (establish(task, client, listener))
            refuse(client);
        sock_put(client);
    }
}

static i64 disconnect(struct sock *sock) {
    if (sock->peer) {
        receive_reset(sock->peer);
        part(sock);
    }
    if (sock->state == TCP_LISTEN || sock->state == TCP_SYN_SENT)
        return -EINVAL; // as far as this goes
    queue_purge(sock);
    closed(sock);
    sock->shutdown = sock->error = 0;
    sock->inet.remote_port = 0;
    sock->inet.connecting = sock->inet.fin = false;
    if (!sock->inet.addr_given)
        memset(sock->inet.local + (sock->family == AF_INET ? 12 : 0), 0,
               sock->family == AF_INET ? 4 : 16);
    return 0;
}

static i64 start(struct task *task, struct sock *sock, const struct address *address) {
    u8 to[16];
    u16 port;
    i64 r = inet_destination(sock, address, to, &port);
    if (r)
        return r;
    inet_source(sock, to);
    if (!sock->inet.port && (r = inet_bind_port(sock, 0)))
        return r == -EADDRINUSE ? -EADDRNOTAVAIL : r;
    memcpy(sock->inet.remote, to, 16);
    sock->inet.remote_port = port;
    struct sock *listener = find_listener(sock);
    sock->shutdown = 0;
    sock->inet.connecting = true;
    sock->state = TCP_SYN_SENT;
    if (!listener) {
        refuse(sock);
        return 0;
    }
    if (listener->backlog_count <= listener->backlog_max)
        return establish(task, sock, listener);
    sock_get(sock);
    sock->listener = listener;
    list_push(&listener->pending, &sock->backlog_link);
    return 0;
}

static i64 tcp_connect(struct task *task, struct sock *sock, const struct address *address,
                       bool nonblock) {
    if (address->len < sizeof address->family)
        return -EINVAL;
    if (address->family == AF_UNSPEC)
        return disconnect(sock);
    bool again = sock->inet.connecting;
    if (!again) {
        if (sock->state != TCP_CLOSE || sock->inet.remote_port)
            return -EISCONN;
        i64 r = start(task, sock, address);
        if (r)
            return r;
        if (nonblock)
            return -EINPROGRESS; // whatever came of it
    }
    if (sock->state == TCP_SYN_SENT) {
        i64 r = sock_wait(task, &sock->write_wait, WRITABLE, nonblock, sock->send_timeout_ns);
        return r == -EAGAIN ? (nonblock ? -EALREADY : -EINPROGRESS) : r;
    }
    sock->inet.connecting = false;
    if (sock->state != TCP_CLOSE)
        return 0;
    i64 error = sock_error(sock);
    return error ? error : -ECONNABORTED;
}

static i64 tcp_listen(struct task *task, struct sock *sock, u32 backlog) {
    bool listening = sock->state == TCP_LISTEN;
    if (!listening && (sock->state != TCP_CLOSE || sock->inet.remote_port))
        return -EINVAL;
    i64 r = sock->inet.port ? 0 : inet_bind_port(sock, 0);
    if (r)
        return r;
    sock->state = TCP_LISTEN;
    if (!listening && inet_in_use(sock, sock->inet.port)) {
        sock->state = TCP_CLOSE;
        return -EADDRINUSE;
    }
    sock->shutdown = 0;
    sock->backlog_max = backlog;
    admit_pending(task, sock);
    return 0;
}

static i64 tcp_accept(struct task *task, struct sock *sock, bool nonblock, struct sock **out) {
    i64 r = sock_take_backlog(task, sock, nonblock, out);
    if (!r)
        admit_pending(task, sock);
    return r;
}

// A listener gives up: those in its backlog are reset, those before it refused.
static void stop_listening(struct sock *sock) {
    struct sock *other;
    list_each(other, &sock->backlog, backlog_link)
        sock_close(other);
    sock->backlog_count = 0;
    list_each(other, &sock->pending, backlog_link) {
        list_remove(&other->backlog_link);
        refuse(other);
        sock_put(other);
    }
}

// ---- Bytes -------------------------------------------------------------------------------------
// What may be on its way: our buffer and the window the other side offers.
static u32 window(const struct sock *sock) {
    return sock->sndbuf + (sock->peer ? sock->peer->rcvbuf : 0);
}

static bool is_writable(const struct sock *sock) {
    return (u64)sock->charged * 3 <= (u64)window(sock) * 2;
}

static void tcp_space(struct sock *sock) {
    if (is_writable(sock))
        sock_wake(sock, WRITABLE);
}

static i64 tcp_send(struct task *task, struct sock *sock, struct message *message) {
    if (message->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (sock->state == TCP_SYN_SENT)
        return sock_wait(task, &sock->write_wait, WRITABLE, message->nonblock,
                         sock->send_timeout_ns);
    if (sock->error || !is_open(sock) || sock->shutdown & SHUTDOWN_SEND) {
        i64 error = sock_error(sock);
        return error && error != -EPIPE ? error : sock_broken_pipe(task, message->flags);
    }
    if (!message->uio->left)
        return 0;
    struct sock *peer = sock->peer;
    if (peer->closed) { // nobody is there any more: the answer to these bytes is a reset
        i64 n = (i64)message->uio->left;
        message->uio->left = 0;
        receive_reset(sock);
        return n;
    }
    u32 limit = window(sock);
    if (sock->charged >= limit)
        return sock_wait(task, &sock->write_wait, WRITABLE, message->nonblock,
                         sock->send_timeout_ns);
    i64 n = stream_put(sock, peer, message, limit - sock->charged);
    if (n > 0) {
        sock->inet.sent += (u64)n;
        kernel->net->lo_bytes += (u64)n;
        kernel->net->lo_packets++;
    }
    return n;
}

static i64 tcp_receive(struct task *task, struct sock *sock, struct message *message) {
    if (message->flags & MSG_ERRQUEUE)
        return -EAGAIN;
    if (message->flags & MSG_OOB)
        return -EINVAL;
    if (sock->state == TCP_LISTEN)
        return -ENOTCONN;
    if (!message->uio->left)
        return 0;
    u64 unread = (u64)sock->ops->unread(sock), target = stream_target(sock, message);
    if (unread < target) {
        bool over = sock->error || sock->shutdown & SHUTDOWN_RECEIVE || sock->state == TCP_CLOSE;
        if (!unread && over) {
            if (sock->inet.fin)
                return 0;
            i64 error = sock_error(sock);
            return error || sock->shutdown & SHUTDOWN_RECEIVE ? error : -ENOTCONN;
        }
        i64 r = over ? 0
                     : sock_wait(task, &sock->read_wait, READABLE | POLLRDHUP, message->nonblock,
                                 sock->receive_timeout_ns);
        if (r && (r != -EAGAIN || !unread))
            return r;
    }
    i64 n = stream_take(sock, message, false);
    if (n > 0 && !(message->flags & MSG_PEEK))
        sock->inet.received += (u64)n;
    return n;
}

static u32 tcp_unread(struct sock *sock) {
    u64 n = 0;
    struct packet *packet;
    list_each(packet, &sock->queue, link)
        n += packet->len - packet->start;
    return (u32)n;
}

// Bytes the other side has not acknowledged: those beyond its window.
static u32 tcp_unsent(struct sock *sock) {
    u32 offered = sock->peer ? sock->peer->rcvbuf : 0;
    return sock->charged > offered ? sock->charged - offered : 0;
}

static u32 tcp_poll(struct sock *sock, struct pollwait *pw) {
    u32 events = 0;
    if (sock->state == TCP_LISTEN)
        return list_empty(&sock->backlog) ? 0 : READABLE;
    if (sock->shutdown == SHUTDOWN_BOTH || sock->state == TCP_CLOSE)
        events |= POLLHUP;
    if (sock->shutdown & SHUTDOWN_RECEIVE)
        events |= READABLE | POLLRDHUP;
    if (sock->state != TCP_SYN_SENT) {
        i32 least = sock->options[OPT_RCVLOWAT];
        if (!list_empty(&sock->queue) && (least <= 1 || tcp_unread(sock) >= (u32)least))
            events |= READABLE;
        if (sock->shutdown & SHUTDOWN_SEND || is_writable(sock))
            events |= WRITABLE;
    }
    return events | (sock->error ? POLLERR : 0);
}

// ---- Ends --------------------------------------------------------------------------------------
static i64 tcp_shutdown(struct sock *sock, u32 how) {
    u32 mine = how + 1;
    switch (sock->state) {
    case TCP_CLOSE:
        sock->shutdown |= mine;
        sock_wake_all(sock);
        return -ENOTCONN;
    case TCP_LISTEN:
        if (mine & SHUTDOWN_RECEIVE) {
            stop_listening(sock);
            sock->state = TCP_CLOSE;
            sock_wake_all(sock);
        }
        return 0;
    case TCP_SYN_SENT:
        list_remove(&sock->backlog_link);
        sock->listener = NULL;
        sock->error = ECONNRESET;
        closed(sock);
        sock_put(sock); // the listener's
        return 0;
    }
    bool ends = mine & SHUTDOWN_SEND && is_open(sock);
    sock->shutdown |= mine;
    if (ends)
        send_fin(sock);
    sock_wake_all(sock);
    return 0;
}

static void tcp_close(struct sock *sock) {
    bool reset = !list_empty(&sock->queue) || sock->listener ||
                 (sock->linger.onoff && !sock->linger.seconds);
    if (sock->listener) {
        bool waits = sock->state == TCP_SYN_SENT;
        list_remove(&sock->backlog_link);
        sock->listener = NULL;
        if (waits)
            sock_put(sock); // the listener's; ours is still there
    }
    if (sock->state == TCP_LISTEN)
        stop_listening(sock);
    if (sock->peer) {
        if (reset)
            receive_reset(sock->peer);
        else if (is_open(sock))
            send_fin(sock);
    }
    TAP(END, NULL, NULL, 0, MADDR(sock), MADDR(sock->peer), TAP_END_CLOSE, -1);
    inet_unbind(sock);
    queue_purge(sock);
    sock->state = TCP_CLOSE;
    sock->shutdown = SHUTDOWN_BOTH;
    part(sock);
    list_remove(&sock->all);
    sock_wake_all(sock);
}

static void tcp_destroy(struct sock *sock) {
    assert(!sock->peer && list_empty(&sock->inet.port_link));
}

const struct sock_ops tcp_ops = {
    .bind = inet_bind,
    .connect = tcp_connect,
    .listen = tcp_listen,
    .accept = tcp_accept,
    .name = inet_name,
    .send = tcp_send,
    .receive = tcp_receive,
    .shutdown = tcp_shutdown,
    .poll = tcp_poll,
    .set = inet_set,
    .get = inet_get,
    .unread = tcp_unread,
    .unsent = tcp_unsent,
    .space = tcp_space,
    .close = tcp_close,
    .destroy = tcp_destroy,
};

// UDP between sockets of this machine: a datagram is in the receiver's queue when send returns, or
// is dropped because that queue is full, or, when nobody listens, comes back as ECONNREFUSED to a
// connected sender.
#include "../kernel.h"
#include "sock.h"

#define DATAGRAM_MAX 65507u

static struct sock *find_receiver(struct sock *from, const u8 source[16], const u8 to[16],
                                  u16 port) {
    struct list *bucket = inet_bucket(from, port);
    u32 best = 0, count = 0;
    struct sock *sock, *found = NULL;
    for (u32 pass = 0; pass < 2; pass++) {
        u32 turn = pass ? kernel->net->spread++ % count : 0;
        list_each(sock, bucket, inet.port_link) {
            u32 score = inet_match(sock, to, port);
            if (score && sock->inet.remote_port) {
                bool ours = sock->inet.remote_port == from->inet.port &&
                            !memcmp(sock->inet.remote, source, 16);
                score = ours ? score + 8 : 0;
            }
            if (!score || score < best)
                continue;
            if (pass && sock->options[OPT_REUSEPORT] && !turn--)
                return sock;
            if (score > best)
                best = score, count = 0;
            if (!pass)
                found = sock; // of equals the last bound
            count += sock->options[OPT_REUSEPORT] != 0;
        }
        if (!count)
            break;
    }
    return found;
}

static i64 deliver(struct sock *sock, struct message *message, const u8 to[16], u16 port) {
    u8 source[16];
    memcpy(source, sock->inet.local, 16);
    if (addr_is_any(source))
        memcpy(source, addr_is_v4(to) ? addr_loopback4 : addr_loopback6, 16);
    struct packet *packet;
    struct address *from = knew(struct address);
    if (!from)
        return -ENOBUFS;
    i64 r = packet_fill(NULL, message, DATAGRAM_MAX, &packet);
    if (r) {
        kfree(from);
        return r;
    }
    i64 len = packet->len;
    struct sock *receiver = find_receiver(sock, source, to, port);
    kernel->net->lo_bytes += (u64)len;
    kernel->net->lo_packets++;
    if (!receiver && sock->inet.remote_port) {
        sock->error = ECONNREFUSED;
        sock_wake_all(sock);
    }
    if (!receiver || receiver->queue_bytes + packet->charge > receiver->rcvbuf ||
        receiver->shutdown & SHUTDOWN_RECEIVE) {
        packet_free(packet);
        kfree(from);
        return len;
    }
    inet_sockaddr(receiver, source, sock->inet.port, from);
    packet->from = from;
    memcpy(packet->local, to, 16);
    TAP(SEND, NULL, packet->data, len, MADDR(sock), MADDR(receiver), tap_fd(sock), sock->family,
        sock->inet.port, port);
    packet_push(receiver, packet);
    sock_wake(receiver, READABLE);
    return len;
}

static i64 udp_send(struct task *task, struct sock *sock, struct message *message) {
    u8 to[16];
    u16 port = sock->inet.remote_port;
    if (message->uio->left > 65535)
        return -EMSGSIZE;
    if (message->flags & MSG_OOB)
        return -EOPNOTSUPP;
    i64 r = sock->inet.port ? 0 : inet_bind_port(sock, 0); // even if nothing is sent in the end
    if (r)
        return r;
    if (message->to) {
        r = inet_destination(sock, message->to, to, &port);
        if (!r && !port)
            r = -EINVAL;
    } else if (port) {
        memcpy(to, sock->inet.remote, 16);
    } else {
        r = -EDESTADDRREQ;
    }
    if (!r)
        r = sock_error(sock);
    if (!r && sock->shutdown & SHUTDOWN_SEND)
        r = -EPIPE;
    if (!r && message->uio->left > DATAGRAM_MAX)
        r = -EMSGSIZE;
    return r ? r : deliver(sock, message, to, port);
}

static i64 udp_receive(struct task *task, struct sock *sock, struct message *message) {
    if (message->flags & MSG_ERRQUEUE)
        return -EAGAIN;
    if (message->flags & MSG_OOB)
        return -EINVAL;
    if (sock->error)
        return sock_error(sock);
    struct packet *packet = packet_first(sock);
    if (packet)
        return packet_read(sock, message, packet);
    if (sock->shutdown & SHUTDOWN_RECEIVE)
        return 0;
    return sock_wait(task, &sock->read_wait, READABLE | POLLRDHUP, message->nonblock,
                     sock->receive_timeout_ns);
}

static u32 udp_unread(struct sock *sock) {
    struct packet *packet = packet_first(sock);
    return packet ? packet->len : 0;
}

static i64 udp_connect(struct task *task, struct sock *sock, const struct address *address,
                       bool nonblock) {
    if (address->len < sizeof address->family)
        return -EINVAL;
    u8 *local = sock->inet.local;
    if (address->family == AF_UNSPEC) {
        sock->inet.remote_port = 0;
        sock->state = TCP_CLOSE;
        if (!sock->inet.addr_given)
            memset(local + (sock->family == AF_INET ? 12 : 0), 0, sock->family == AF_INET ? 4 : 16);
        if (!sock->inet.port_given && sock->inet.port)
            inet_unbind(sock);
        return 0;
    }
    u8 to[16];
    u16 port;
    i64 r = inet_destination(sock, address, to, &port);
    if (!r && !sock->inet.port)
        r = inet_bind_port(sock, 0);
    if (r)
        return r;
    inet_source(sock, to);
    memcpy(sock->inet.remote, to, 16);
    sock->inet.remote_port = port;
    sock->state = TCP_ESTABLISHED;
    return 0;
}

static i64 udp_shutdown(struct sock *sock, u32 how) {
    sock->shutdown |= how + 1;
    sock_wake_all(sock);
    return sock->state == TCP_ESTABLISHED ? 0 : -ENOTCONN;
}

static u32 udp_poll(struct sock *sock, struct pollwait *pw) {
    u32 events = WRITABLE | POLLWRBAND; // a send never waits
    if (sock->error)
        events |= POLLERR;
    if (sock->shutdown == SHUTDOWN_BOTH)
        events |= POLLHUP;
    if (sock->shutdown & SHUTDOWN_RECEIVE)
        events |= POLLRDHUP | READABLE;
    if (!list_empty(&sock->queue))
        events |= READABLE;
    return events;
}

static void udp_close(struct sock *sock) {
    inet_unbind(sock);
    queue_purge(sock);
    list_remove(&sock->all);
    sock_wake_all(sock);
}

static void udp_destroy(struct sock *sock) {
    assert(list_empty(&sock->inet.port_link));
}

const struct sock_ops udp_ops = {
    .bind = inet_bind,
    .connect = udp_connect,
    .name = inet_name,
    .send = udp_send,
    .receive = udp_receive,
    .shutdown = udp_shutdown,
    .poll = udp_poll,
    .set = inet_set,
    .get = inet_get,
    .unread = udp_unread,
    .close = udp_close,
    .destroy = udp_destroy,
};

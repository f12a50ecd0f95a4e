// setsockopt(2) and getsockopt(2): one table for options that are a number, code for the few that
// are not. Values are stored and given back; those the kernel acts on have a name in enum option.
#include "../kernel.h"
#include "sock.h"

#define BUFFER_MAX 212992u // net.core.wmem_max, rmem_max
#define SNDBUF_MIN 4608u
#define RCVBUF_MIN 2304u

enum { FLAG = 1, BYTE = 2, ADMIN = 4, READ_ONLY = 8, DGRAM_ONLY = 16 };
static const struct row {
    i16 level, name;
    i32 initial, least, most;
    u32 kind;
} rows[] = {
    [OPT_REUSEADDR] = {SOL_SOCKET, SO_REUSEADDR, 0, 0, 0, FLAG},
    [OPT_REUSEPORT] = {SOL_SOCKET, SO_REUSEPORT, 0, 0, 0, FLAG},
    [OPT_PASSCRED] = {SOL_SOCKET, SO_PASSCRED, 0, 0, 0, FLAG},
    [OPT_TIMESTAMP] = {SOL_SOCKET, SO_TIMESTAMP, 0, 0, 0, FLAG},
    [OPT_TIMESTAMPNS] = {SOL_SOCKET, SO_TIMESTAMPNS, 0, 0, 0, FLAG},
    [OPT_RCVLOWAT] = {SOL_SOCKET, SO_RCVLOWAT, 1, INT32_MIN, INT32_MAX, 0},
    [OPT_V6ONLY] = {SOL_IPV6, IPV6_V6ONLY, 0, 0, 0, FLAG},
    [OPT_PKTINFO] = {SOL_IP, IP_PKTINFO, 0, 0, 0, FLAG},
    [OPT_RECVPKTINFO6] = {SOL_IPV6, IPV6_RECVPKTINFO, 0, 0, 0, FLAG},
    [OPT_BROADCAST] = {SOL_SOCKET, SO_BROADCAST, 0, 0, 0, FLAG},
    [OPT_RECVTTL] = {SOL_IP, IP_RECVTTL, 0, 0, 0, FLAG},
    [OPT_RECVHOPLIMIT6] = {SOL_IPV6, IPV6_RECVHOPLIMIT, 0, 0, 0, FLAG},
    {SOL_SOCKET, SO_DEBUG, 0, 0, 0, FLAG | ADMIN},
    {SOL_SOCKET, SO_DONTROUTE, 0, 0, 0, FLAG},
    {SOL_SOCKET, SO_KEEPALIVE, 0, 0, 0, FLAG},
    {SOL_SOCKET, SO_OOBINLINE, 0, 0, 0, FLAG},
    {SOL_SOCKET, SO_NO_CHECK, 0, 0, 0, FLAG},
    {SOL_SOCKET, SO_PRIORITY, 0, 0, 6, 0},
    {SOL_SOCKET, SO_PASSSEC, 0, 0, 0, FLAG},
    {SOL_SOCKET, SO_MARK, 0, INT32_MIN, INT32_MAX, ADMIN},
    {SOL_SOCKET, SO_RXQ_OVFL, 0, 0, 0, FLAG},
    {SOL_SOCKET, SO_SNDLOWAT, 1, 0, 0, READ_ONLY},
    {SOL_SOCKET, SO_INCOMING_CPU, 0, 0, INT32_MAX, 0},
    {SOL_TCP, TCP_NODELAY, 0, 0, 0, FLAG},
    {SOL_TCP, TCP_CORK, 0, 0, 0, FLAG},
    {SOL_TCP, TCP_KEEPIDLE, 7200, 1, 32767, 0},
    {SOL_TCP, TCP_KEEPINTVL, 75, 1, 32767, 0},
    {SOL_TCP, TCP_KEEPCNT, 9, 1, 127, 0},
    {SOL_TCP, TCP_SYNCNT, 6, 1, 127, 0},
    {SOL_TCP, TCP_LINGER2, 60, INT32_MIN, INT32_MAX, 0},
    {SOL_TCP, TCP_DEFER_ACCEPT, 0, INT32_MIN, INT32_MAX, 0},
    {SOL_TCP, TCP_WINDOW_CLAMP, 0, 0, INT32_MAX, 0},
    {SOL_TCP, TCP_QUICKACK, 1, 0, 0, FLAG},
    {SOL_TCP, TCP_USER_TIMEOUT, 0, 0, INT32_MAX, 0},
    {SOL_TCP, TCP_FASTOPEN, 0, 0, INT32_MAX, 0},
    {SOL_TCP, TCP_NOTSENT_LOWAT, -1, INT32_MIN, INT32_MAX, 0},
    {SOL_TCP, TCP_MAXSEG, 536, 88, 32767, 0},
    {SOL_IP, IP_TOS, 0, 0, 255, BYTE},
    {SOL_IP, IP_TTL, 64, -1, 255, BYTE},
    {SOL_IP, IP_MTU_DISCOVER, 1, 0, 5, 0},
    {SOL_IP, IP_RECVERR, 0, 0, 0, FLAG},
    {SOL_IP, IP_RECVTOS, 0, 0, 0, FLAG},
    {SOL_IP, IP_FREEBIND, 0, 0, 0, FLAG},
    {SOL_IP, IP_BIND_ADDRESS_NO_PORT, 0, 0, 0, FLAG},
    {SOL_IP, IP_MULTICAST_TTL, 1, -1, 255, BYTE | DGRAM_ONLY},
    {SOL_IP, IP_MULTICAST_LOOP, 1, 0, 0, FLAG},
    {SOL_IP, IP_MULTICAST_ALL, 1, 0, 0, FLAG},
    {SOL_IPV6, IPV6_UNICAST_HOPS, 64, -1, 255, 0},
    {SOL_IPV6, IPV6_MULTICAST_HOPS, 1, -1, 255, DGRAM_ONLY},
    {SOL_IPV6, IPV6_MULTICAST_LOOP, 1, 0, 0, FLAG},
    {SOL_IPV6, IPV6_MTU_DISCOVER, 1, 0, 5, 0},
    {SOL_IPV6, IPV6_RECVERR, 0, 0, 0, FLAG},
    {SOL_IPV6, IPV6_RECVTCLASS, 0, 0, 0, FLAG},
    {SOL_IPV6, IPV6_TCLASS, 0, -1, 255, 0},
    {SOL_IPV6, IPV6_FREEBIND, 0, 0, 0, FLAG},
    {SOL_UDP, UDP_CORK, 0, 0, 0, READ_ONLY},
};
_Static_assert(lengthof(rows) <= OPTIONS_MAX, "struct sock.options is too short");

void options_init(struct sock *sock) {
    for (u32 i = 0; i < lengthof(rows); i++)
        sock->options[i] = rows[i].initial;
}

// Which levels a socket has at all.
static bool has_level(const struct sock *sock, i32 level) {
    switch (level) {
    case SOL_SOCKET:
        return true;
    case SOL_IP:
        return sock->family == AF_INET || sock->family == AF_INET6;
    case SOL_IPV6:
        return sock->family == AF_INET6;
    case SOL_TCP:
        return sock->protocol == IPPROTO_TCP && sock->family != AF_UNIX;
    case SOL_UDP:
        return sock->protocol == IPPROTO_UDP && sock->family != AF_UNIX;
    }
    return false;
}

static const struct row *row_find(i32 level, i32 name) {
    for (u32 i = 0; i < lengthof(rows); i++)
        if (rows[i].level == level && rows[i].name == name)
            return &rows[i];
    return NULL;
}

static bool capable(struct task *task, u32 capability) {
    return task->cred.cap_effective >> capability & 1;
}

static i64 number_set(struct task *task, struct sock *sock, const struct row *row,
                      const void *value, u32 len) {
    i32 v = 0;
    if (len >= sizeof v)
        memcpy(&v, value, sizeof v);
    else if (len && row->level == SOL_IP)
        v = *(const u8 *)value;
    else
        return -EINVAL;
    if (row->kind & READ_ONLY)
        return -ENOPROTOOPT;
    if (row->kind & ADMIN && v && !capable(task, CAP_NET_ADMIN))
        return row->name == SO_DEBUG ? -EACCES : -EPERM;
    if (row->kind & DGRAM_ONLY && sock->type == SOCK_STREAM)
        return row->level == SOL_IP ? -EINVAL : -ENOPROTOOPT;
    if (row == &rows[OPT_V6ONLY] && sock->inet.port)
        return -EINVAL;
    if (row->kind & FLAG)
        v = v != 0;
    else if (row->name == SO_PRIORITY && row->level == SOL_SOCKET && (v < 0 || v > 6))
        return capable(task, CAP_NET_ADMIN) ? 0 : -EPERM;
    else if (v < row->least || v > row->most)
        return -EINVAL;
    if (row == &rows[OPT_RCVLOWAT])
        v = v < 0 ? INT32_MAX : max(v, 1);
    if (v == -1 && row->least == -1)
        v = row->initial;
    sock->options[row - rows] = v;
    if (row == &rows[OPT_RCVLOWAT])
        sock_wake(sock, READABLE);
    return 0;
}

static i64 timeout_set(u64 *out, const void *value, u32 len) {
    struct timeval tv;
    if (len < sizeof tv)
        return -EINVAL;
    memcpy(&tv, value, sizeof tv);
    if (tv.usec < 0 || tv.usec >= 1000000)
        return -EDOM;
    *out = tv.sec < 0 ? 0 : min((u64)tv.sec, 1ull << 33) * NSEC + (u64)tv.usec * 1000;
    return 0;
}

static i64 socket_set(struct task *task, struct sock *sock, i32 name, const void *value, u32 len) {
    i32 v = 0;
    if (len >= sizeof v)
        memcpy(&v, value, sizeof v);
    switch (name) {
    case SO_SNDBUFFORCE:
    case SO_RCVBUFFORCE:
        if (!capable(task, CAP_NET_ADMIN))
            return -EPERM;
        [[fallthrough]];
    case SO_SNDBUF:
    case SO_RCVBUF: {
        bool force = name == SO_SNDBUFFORCE || name == SO_RCVBUFFORCE;
        bool send = name == SO_SNDBUF || name == SO_SNDBUFFORCE;
        if (len < sizeof v)
            return -EINVAL;
        // Without force a negative value reads as a huge one. The bound keeps one packet within a
        // pass.
        u32 bytes = force ? (u32)max(v, 0) : min((u32)v, BUFFER_MAX);
        bytes = max(min(bytes, 1u << 28) * 2, send ? SNDBUF_MIN : RCVBUF_MIN);
        *(send ? &sock->sndbuf : &sock->rcvbuf) = bytes;
        if (send && sock->ops->space)
            sock->ops->space(sock);
        return 0;
    }
    case SO_LINGER:
        if (len < sizeof sock->linger)
            return -EINVAL;
        memcpy(&sock->linger, value, sizeof sock->linger);
        return 0;
    case SO_RCVTIMEO:
    case SO_RCVTIMEO_NEW:
        return timeout_set(&sock->receive_timeout_ns, value, len);
    case SO_SNDTIMEO:
    case SO_SNDTIMEO_NEW:
        return timeout_set(&sock->send_timeout_ns, value, len);
    case SO_BINDTODEVICE: {
        const char *device = value;
        u32 n = (u32)strnlen(device, len);
        return !n || (n == 2 && !memcmp(device, "lo", 2)) ? 0 : -ENODEV;
    }
    }
    return -ENOPROTOOPT;
}

i64 option_set(struct task *task, struct sock *sock, i32 level, i32 name, const void *value,
               u32 len) {
    const struct row *row = row_find(level, name);
    if (has_level(sock, level)) {
        if (row)
            return number_set(task, sock, row, value, len);
        if (level == SOL_SOCKET)
            return socket_set(task, sock, name, value, len);
    }
    if (sock->ops->set)
        return sock->ops->set(task, sock, level, name, value, len);
    return sock->family == AF_UNIX ? -EOPNOTSUPP : -ENOPROTOOPT;
}

// Answers *len bytes of an object, never more than it has.
static i64 give(void *value, u32 *len, const void *from, u32 size) {
    *len = min(*len, size);
    memcpy(value, from, *len);
    return 0;
}

static i64 socket_get(struct sock *sock, i32 name, void *value, u32 *len) {
    i32 v;
    switch (name) {
    case SO_TYPE:
        v = sock->type;
        break;
    case SO_PROTOCOL:
        v = (i32)sock->protocol;
        break;
    case SO_DOMAIN:
        v = sock->family;
        break;
    case SO_ERROR:
        v = (i32)-sock_error(sock);
        break;
    case SO_ACCEPTCONN:
        v = sock->state == TCP_LISTEN;
        break;
    case SO_SNDBUF:
        v = (i32)sock->sndbuf;
        break;
    case SO_RCVBUF:
        v = (i32)sock->rcvbuf;
        break;
    case SO_BSDCOMPAT:
        v = 0;
        break;
    case SO_LINGER:
        return give(value, len, &sock->linger, sizeof sock->linger);
    case SO_RCVTIMEO:
    case SO_RCVTIMEO_NEW:
    case SO_SNDTIMEO:
    case SO_SNDTIMEO_NEW: {
        bool send = name == SO_SNDTIMEO || name == SO_SNDTIMEO_NEW;
        u64 ns = send ? sock->send_timeout_ns : sock->receive_timeout_ns;
        struct timeval tv = {(i64)(ns / NSEC), (i64)(ns % NSEC / 1000)};
        return give(value, len, &tv, sizeof tv);
    }
    case SO_PEERCRED:
        return give(value, len, &sock->peer_cred, sizeof sock->peer_cred);
    case SO_BINDTODEVICE:
        *len = 0;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
    return give(value, len, &v, sizeof v);
}

i64 option_get(struct task *task, struct sock *sock, i32 level, i32 name, void *value, u32 *len) {
    const struct row *row = row_find(level, name);
    if (has_level(sock, level)) {
        if (row) {
            i32 v = sock->options[row - rows];
            if (level == SOL_IP && *len && *len < sizeof v && v >= 0 && v <= 255) {
                *len = 1;
                *(u8 *)value = (u8)v;
                return 0;
            }
            return give(value, len, &v, sizeof v);
        }
        if (level == SOL_SOCKET)
            return socket_get(sock, name, value, len);
    }
    if (sock->ops->get)
        return sock->ops->get(task, sock, level, name, value, len);
    return sock->family == AF_UNIX ? -EOPNOTSUPP : -ENOPROTOOPT;
}

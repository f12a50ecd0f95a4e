// AF_INET and AF_INET6: addresses and ports, common to TCP and UDP. Addresses are kept as IPv6,
// IPv4 as v4-mapped. The only interface is `lo`: everything that is not a loopback address is
// unreachable.
#include "../kernel.h"
#include "sock.h"

#define PORT_FIRST 32768u // net.ipv4.ip_local_port_range
#define PORT_LAST 60999u
#define PORT_PRIVILEGED 1024u

struct sock *inet_new(struct task *task, u32 family, u32 type, u32 protocol) {
    const struct sock_ops *ops = type == SOCK_STREAM ? &tcp_ops : &udp_ops;
    struct sock *sock = sock_new(family, type, protocol, ops, task);
    if (!sock)
        return NULL;
    list_init(&sock->inet.port_link);
    if (family == AF_INET)
        sock->inet.local[10] = sock->inet.local[11] = 0xff;
    list_push(&kernel->net->inet_all, &sock->all);
    return sock;
}

i64 inet_create(struct task *task, u32 family, u32 type, i32 protocol, struct sock **out) {
    static const u8 protocols[] = {[SOCK_STREAM] = IPPROTO_TCP, [SOCK_DGRAM] = IPPROTO_UDP};
    if (type == SOCK_RAW)
        return task->cred.cap_effective >> CAP_NET_RAW & 1 ? -EPROTONOSUPPORT : -EPERM;
    if (!type || type >= lengthof(protocols))
        return -ESOCKTNOSUPPORT;
    if (protocol < 0 || protocol > 255)
        return -EINVAL;
    if (protocol && protocol != protocols[type])
        return -EPROTONOSUPPORT;
    *out = inet_new(task, family, type, protocols[type]);
    return *out ? 0 : -ENOMEM;
}

// ---- Addresses ---------------------------------------------------------------------------------
// As given, any address of the socket's family. -EINVAL, -EAFNOSUPPORT.
static i64 parse(const struct sock *sock, const struct address *address, u8 out[16], u16 *port) {
    if (address->len < sizeof(u16))
        return -EINVAL;
    u16 family = address->family;
    bool datagram_v4 = sock->family == AF_INET6 && family == AF_INET && sock->type == SOCK_DGRAM;
    if (sock->family == AF_INET || datagram_v4) {
        if (address->len < sizeof address->in)
            return -EINVAL;
        if (family != AF_INET)
            return -EAFNOSUPPORT;
        memset(out, 0, 16);
        out[10] = out[11] = 0xff;
        memcpy(out + 12, address->in.addr, 4);
    } else {
        if (address->len < offsetof(struct sockaddr_in6, scope_id))
            return -EINVAL;
        if (family != AF_INET6)
            return -EAFNOSUPPORT;
        memcpy(out, address->in6.addr, 16);
    }
    *port = be16(address->in.port_be);
    return 0;
}

i64 inet_destination(const struct sock *sock, const struct address *address, u8 out[16],
                     u16 *port) {
    i64 r = parse(sock, address, out, port);
    if (r)
        return r;
    if (addr_is_any(out)) {
        if (addr_is_v4(out) || addr_is_v4(sock->inet.local))
            memcpy(out, addr_loopback4, 16);
        else
            memcpy(out, addr_loopback6, 16);
    }
    if (!addr_is_loopback(out) || (addr_is_v4(out) && sock->options[OPT_V6ONLY]))
        return -ENETUNREACH;
    // A socket bound to one family's address cannot reach the other's.
    const u8 *local = sock->inet.local;
    bool bound_v4 = addr_is_v4(local), bound_v6 = !bound_v4 && !addr_is_any(local);
    if (bound_v6 && addr_is_v4(out))
        return -EINVAL;
    return bound_v4 && !addr_is_v4(out) ? -ENETUNREACH : 0;
}

void inet_source(struct sock *sock, const u8 remote[16]) {
    if (!addr_is_any(sock->inet.local))
        return;
    if (addr_is_v4(remote))
        memcpy(sock->inet.local, addr_loopback4, 16);
    else
        memcpy(sock->inet.local, addr_loopback6, 16);
}

void inet_sockaddr(const struct sock *sock, const u8 addr[16], u16 port, struct address *out) {
    *out = (struct address){};
    out->family = sock->family;
    out->in.port_be = be16(port);
    if (sock->family == AF_INET) {
        out->len = sizeof out->in;
        memcpy(out->in.addr, addr + 12, 4);
    } else {
        out->len = sizeof out->in6;
        memcpy(out->in6.addr, addr, 16);
    }
}

i64 inet_name(struct sock *sock, enum side side, struct address *out) {
    if (side == SIDE_PEER &&
        (!sock->inet.remote_port || sock->state == TCP_CLOSE || sock->state == TCP_SYN_SENT))
        return -ENOTCONN;
    if (side != SIDE_OWN)
        inet_sockaddr(sock, sock->inet.remote, sock->inet.remote_port, out);
    else
        inet_sockaddr(sock, sock->inet.local, sock->inet.port, out);
    return 0;
}

u32 inet_match(const struct sock *sock, const u8 to[16], u16 port) {
    const u8 *local = sock->inet.local;
    if (sock->inet.port != port)
        return 0;
    if (!memcmp(local, to, 16))
        return 4;
    if (!addr_is_any(local))
        return 0;
    if (addr_is_v4(to)) // 0.0.0.0 before ::
        return addr_is_v4(local) ? 2 : !sock->options[OPT_V6ONLY];
    return addr_is_v4(local) ? 0 : 1;
}

// ---- Ports -------------------------------------------------------------------------------------
struct list *inet_bucket(const struct sock *sock, u16 port) {
    struct net *net = kernel->net;
    return &(sock->type == SOCK_STREAM ? net->tcp_ports : net->udp_ports)[port % PORT_BUCKETS];
}

static bool overlap(const struct sock *a, const struct sock *b) {
    const u8 *x = a->inet.local, *y = b->inet.local;
    if (addr_is_v4(x) == addr_is_v4(y))
        return addr_is_any(x) || addr_is_any(y) || !memcmp(x, y, 16);
    const struct sock *six = addr_is_v4(x) ? b : a;
    return addr_is_any(six->inet.local) && !six->options[OPT_V6ONLY];
}

// `sock` may have what `other` has already.
static bool share(const struct sock *sock, const struct sock *other) {
    if (sock->options[OPT_REUSEPORT] && other->options[OPT_REUSEPORT] && sock->uid == other->uid)
        return true;
    return sock->options[OPT_REUSEADDR] && other->options[OPT_REUSEADDR] &&
           other->state != TCP_LISTEN;
}

bool inet_in_use(struct sock *sock, u16 port) {
    struct sock *other;
    list_each(other, inet_bucket(sock, port), inet.port_link)
        if (other != sock && other->inet.port == port && overlap(sock, other) &&
            !share(sock, other))
            return true;
    return false;
}

i64 inet_bind_port(struct sock *sock, u16 port) {
    if (!port) {
        const u32 count = PORT_LAST - PORT_FIRST + 1;
        u32 start;
        random_bytes(&kernel->random, &start, sizeof start);
        for (u32 i = 0; i < count && !port; i++) {
            u16 candidate = (u16)(PORT_FIRST + (start + i) % count);
            bool taken = false;
            struct sock *other; // whether they would share or not
            list_each(other, inet_bucket(sock, candidate), inet.port_link)
                taken |= other->inet.port == candidate && overlap(sock, other);
            if (!taken)
                port = candidate;
        }
        if (!port)
            return -EADDRINUSE;
    } else if (inet_in_use(sock, port)) {
        return -EADDRINUSE;
    }
    sock->inet.port = port;
    list_push(inet_bucket(sock, port), &sock->inet.port_link);
    return 0;
}

void inet_unbind(struct sock *sock) {
    list_remove(&sock->inet.port_link);
    sock->inet.port = 0;
}

i64 inet_bind(struct task *task, struct sock *sock, const struct address *address) {
    u8 addr[16];
    u16 port;
    struct address any = *address;
    if (sock->family == AF_INET && any.len >= sizeof any.in && any.family == AF_UNSPEC &&
        !memcmp(any.in.addr, "\0\0\0\0", 4))
        any.family = AF_INET;
    i64 r = parse(sock, &any, addr, &port);
    if (r)
        return r;
    if (sock->family == AF_INET6 && any.family != AF_INET6)
        return -EAFNOSUPPORT;
    if (addr_is_v4(addr) && sock->options[OPT_V6ONLY])
        return -EINVAL;
    if (!addr_is_any(addr) && !addr_is_loopback(addr))
        return -EADDRNOTAVAIL;
    if (port && port < PORT_PRIVILEGED && !(task->cred.cap_effective >> CAP_NET_BIND_SERVICE & 1))
        return -EACCES;
    if (sock->inet.port || sock->state != TCP_CLOSE)
        return -EINVAL;
    u8 before[16];
    memcpy(before, sock->inet.local, 16);
    memcpy(sock->inet.local, addr, 16);
    r = inet_bind_port(sock, port);
    if (r) {
        memcpy(sock->inet.local, before, 16);
        return r;
    }
    sock->inet.addr_given = !addr_is_any(addr);
    sock->inet.port_given = port != 0;
    return 0;
}

// ---- Options that are no number ----------------------------------------------------------------
static const char congestion[16] = "cubic";
#define LOOPBACK_MTU 65536

i64 inet_set(struct task *task, struct sock *sock, i32 level, i32 name, const void *value,
             u32 len) {
    if (level == SOL_TCP && name == TCP_CONGESTION && sock->type == SOCK_STREAM)
        return len && !strncmp(value, congestion, min(len, 15u)) ? 0 : -ENOENT;
    if (level == SOL_IP && (name == IP_ADD_MEMBERSHIP || name == IP_DROP_MEMBERSHIP))
        return sock->type == SOCK_STREAM ? -EPROTO : -ENODEV; // `lo` is not a multicast interface
    if (level == SOL_IPV6 && (name == IPV6_ADD_MEMBERSHIP || name == IPV6_DROP_MEMBERSHIP))
        return sock->type == SOCK_STREAM ? -EPROTO : -ENODEV;
    return -ENOPROTOOPT;
}

static i64 tcp_info(struct sock *sock, void *value, u32 *len) {
    struct {
        u8 state, ca_state, retransmits, probes, backoff, options, wscale, rate;
        u32 rto, ato, snd_mss, rcv_mss, unacked, sacked, lost, retrans, fackets;
        u32 last_data_sent, last_ack_sent, last_data_recv, last_ack_recv;
        u32 pmtu, rcv_ssthresh, rtt, rttvar, snd_ssthresh, snd_cwnd, advmss, reordering;
        u32 rcv_rtt, rcv_space, total_retrans;
        u64 pacing_rate, max_pacing_rate, bytes_acked, bytes_received;
    } info = {
        .state = (u8)sock->state,
        .rto = 200000,
        .ato = 40000,
        .snd_mss = 65483,
        .rcv_mss = 65483,
        .pmtu = LOOPBACK_MTU,
        .advmss = 65483,
        .snd_cwnd = 10,
        .reordering = 3,
        .rcv_space = sock->rcvbuf,
        .bytes_acked = sock->inet.sent,
        .bytes_received = sock->inet.received,
    };
    if (sock->state == TCP_LISTEN)
        info.unacked = sock->backlog_count, info.sacked = sock->backlog_max;
    *len = min(*len, (u32)sizeof info);
    memcpy(value, &info, *len);
    return 0;
}

i64 inet_get(struct task *task, struct sock *sock, i32 level, i32 name, void *value, u32 *len) {
    bool connected = sock->state == TCP_ESTABLISHED || sock->state == TCP_CLOSE_WAIT;
    i32 v = LOOPBACK_MTU;
    if (level == SOL_TCP && sock->type == SOCK_STREAM) {
        if (name == TCP_INFO)
            return tcp_info(sock, value, len);
        if (name == TCP_CONGESTION) {
            *len = min(*len, (u32)sizeof congestion);
            memcpy(value, congestion, *len);
            return 0;
        }
    }
    if ((level == SOL_IP && name == IP_MTU) || (level == SOL_IPV6 && name == IPV6_MTU)) {
        if (!connected)
            return -ENOTCONN;
        *len = min(*len, (u32)sizeof v);
        memcpy(value, &v, *len);
        return 0;
    }
    if (level == SOL_IP && name == IP_OPTIONS) {
        *len = 0;
        return 0;
    }
    return -ENOPROTOOPT;
}

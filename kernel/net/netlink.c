// AF_NETLINK, family ROUTE: what getifaddrs(3) and getaddrinfo(3) ask, the links and addresses of
// this machine, of which there is one. Everything else is answered with EOPNOTSUPP. netlink(7),
// rtnetlink(7).
#include "../kernel.h"
#include "sock.h"

#define REQUEST_MAX 0x10000u
#define ALIGN4(n) align_up((u32)(n), 4u)

static const struct sock_ops netlink_ops;

i64 netlink_create(struct task *task, u32 type, i32 protocol, struct sock **out) {
    if (type != SOCK_RAW && type != SOCK_DGRAM)
        return -ESOCKTNOSUPPORT;
    if (protocol != NETLINK_ROUTE)
        return -EPROTONOSUPPORT;
    struct sock *sock = sock_new(AF_NETLINK, type, NETLINK_ROUTE, &netlink_ops, task);
    if (!sock)
        return -ENOMEM;
    list_push(&kernel->net->netlink_all, &sock->all);
    *out = sock;
    return 0;
}

static bool port_taken(u32 port) {
    struct sock *sock;
    list_each(sock, &kernel->net->netlink_all, all)
        if (sock->nl.port == port)
            return true;
    return false;
}

static void autobind(struct task *task, struct sock *sock) {
    u32 port = task->process->pid;
    while (port_taken(port))
        port = 0xfffff000u - kernel->net->netlink_port++;
    sock->nl.port = port;
}

static i64 netlink_bind(struct task *task, struct sock *sock, const struct address *address) {
    if (address->len < sizeof address->nl || address->family != AF_NETLINK)
        return -EINVAL;
    u32 port = address->nl.pid;
    if (sock->nl.port && port && port != sock->nl.port)
        return -EINVAL;
    if (!sock->nl.port && port && port_taken(port))
        return -EADDRINUSE;
    if (!sock->nl.port && port)
        sock->nl.port = port;
    else if (!sock->nl.port)
        autobind(task, sock);
    sock->nl.groups = address->nl.groups; // links and addresses never change: nothing to tell them
    return 0;
}

static i64 netlink_connect(struct task *task, struct sock *sock, const struct address *address,
                           bool nonblock) {
    if (address->len < sizeof address->nl || address->family != AF_NETLINK)
        return -EINVAL;
    if (address->nl.pid)
        return -ECONNREFUSED;
    if (!sock->nl.port)
        autobind(task, sock);
    return 0;
}

static i64 netlink_name(struct sock *sock, enum side side, struct address *out) {
    *out = (struct address){.len = sizeof out->nl, .nl = {.family = AF_NETLINK}};
    if (side == SIDE_OWN)
        out->nl.pid = sock->nl.port, out->nl.groups = sock->nl.groups;
    return 0;
}

// ---- Answers -----------------------------------------------------------------------------------
// Appends a message header and its fixed part; message_end sets the length.
static u32 message_begin(struct text *text, const struct sock *sock, const struct nlmsghdr *request,
                         u32 type, u32 flags, const void *fixed, u32 n) {
    struct nlmsghdr header = {0, (u16)type, (u16)flags, request->seq, sock->nl.port};
    u32 at = text->len;
    text_append(text, &header, sizeof header);
    text_append(text, fixed, n);
    text_append(text, "\0\0\0", ALIGN4(n) - n);
    return at;
}

static void attribute(struct text *text, u32 type, const void *data, u32 n) {
    struct rtattr attr = {(u16)(sizeof attr + n), (u16)type};
    text_append(text, &attr, sizeof attr);
    text_append(text, data, n);
    text_append(text, "\0\0\0", ALIGN4(n) - n);
}
static void attribute_u32(struct text *text, u32 type, u32 v) {
    attribute(text, type, &v, sizeof v);
}

static void message_end(struct text *text, u32 at) {
    u32 len = text->len - at;
    if (!text->failed)
        memcpy(text->data + at, &len, sizeof len);
}

static i64 reply(struct sock *sock, struct text *text) {
    struct packet *packet = text->failed ? NULL : packet_new(NULL, text->len);
    struct address *from = packet ? knew(struct address) : NULL;
    if (from) {
        from->len = sizeof from->nl;
        from->family = AF_NETLINK;
        packet->from = from;
        memcpy(packet->data, text->data, text->len);
        packet->len = text->len;
        packet_push(sock, packet);
        sock_wake(sock, READABLE);
    } else if (packet) {
        packet_free(packet);
    }
    text_free(text);
    *text = (struct text){};
    return from ? 0 : -ENOBUFS;
}

static void add_link(struct text *text, struct sock *sock, const struct nlmsghdr *request,
                     u32 flags) {
    struct ifinfomsg info = {.type = ARPHRD_LOOPBACK,
                             .index = 1,
                             .flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING | IFF_LOWER_UP};
    u32 at = message_begin(text, sock, request, RTM_NEWLINK, flags, &info, sizeof info);
    attribute(text, IFLA_IFNAME, "lo", 3);
    attribute_u32(text, IFLA_TXQLEN, 1000);
    attribute(text, IFLA_OPERSTATE, "", 1); // unknown, as Linux says of `lo`
    attribute(text, IFLA_LINKMODE, "", 1);
    attribute_u32(text, IFLA_MTU, 65536);
    attribute(text, IFLA_QDISC, "noqueue", 8);
    attribute(text, IFLA_ADDRESS, "\0\0\0\0\0\0", 6);
    attribute(text, IFLA_BROADCAST, "\0\0\0\0\0\0", 6);
    message_end(text, at);
}

static void add_addresses(struct text *text, struct sock *sock, const struct nlmsghdr *request,
                          u32 family) {
    static const u8 four[4] = {127, 0, 0, 1};
    if (family == AF_UNSPEC || family == AF_INET) {
        struct ifaddrmsg info = {AF_INET, 8, IFA_F_PERMANENT, RT_SCOPE_HOST, 1};
        u32 at = message_begin(text, sock, request, RTM_NEWADDR, NLM_F_MULTI, &info, sizeof info);
        attribute(text, IFA_ADDRESS, four, 4);
        attribute(text, IFA_LOCAL, four, 4);
        attribute(text, IFA_LABEL, "lo", 3);
        attribute_u32(text, IFA_FLAGS, IFA_F_PERMANENT);
        message_end(text, at);
    }
    if (family == AF_UNSPEC || family == AF_INET6) {
        struct ifaddrmsg info = {AF_INET6, 128, IFA_F_PERMANENT, RT_SCOPE_HOST, 1};
        u32 at = message_begin(text, sock, request, RTM_NEWADDR, NLM_F_MULTI, &info, sizeof info);
        attribute(text, IFA_ADDRESS, addr_loopback6, 16);
        attribute_u32(text, IFA_FLAGS, IFA_F_PERMANENT);
        message_end(text, at);
    }
}

// Which link a single RTM_GETLINK asks for. -ENODEV when it is not ours.
static i64 check_link(const u8 *payload, u32 n) {
    struct ifinfomsg info;
    struct rtattr attr;
    if (n < sizeof info)
        return -EINVAL;
    memcpy(&info, payload, sizeof info);
    if (info.index)
        return info.index == 1 ? 0 : -ENODEV;
    for (u32 at = sizeof info; at + sizeof attr <= n; at += ALIGN4(attr.len)) {
        memcpy(&attr, payload + at, sizeof attr);
        if (attr.len < sizeof attr || attr.len > n - at)
            break;
        if (attr.type == IFLA_IFNAME)
            return strncmp((const char *)payload + at + sizeof attr, "lo", attr.len - sizeof attr)
                       ? -ENODEV
                       : 0;
    }
    return -EINVAL;
}

static i64 acknowledge(struct sock *sock, const struct nlmsghdr *request, const u8 *payload, u32 n,
                       i64 error) {
    struct text text = {};
    struct nlmsgerr answer = {(i32)error, *request};
    u32 at = message_begin(&text, sock, request, NLMSG_ERROR, 0, &answer, sizeof answer);
    if (error)
        text_append(&text, payload, n);
    message_end(&text, at);
    return reply(sock, &text);
}

static i64 dump(struct sock *sock, const struct nlmsghdr *request, const u8 *payload, u32 n) {
    struct text text = {};
    if (request->type == RTM_GETLINK)
        add_link(&text, sock, request, NLM_F_MULTI);
    else
        add_addresses(&text, sock, request, n ? payload[0] : AF_UNSPEC);
    i64 r = text.len ? reply(sock, &text) : 0;
    if (r)
        return r;
    i32 status = 0;
    u32 at = message_begin(&text, sock, request, NLMSG_DONE, NLM_F_MULTI, &status, sizeof status);
    message_end(&text, at);
    return reply(sock, &text);
}

static i64 answer(struct sock *sock, const struct nlmsghdr *request, const u8 *payload, u32 n) {
    bool dumps = (request->flags & NLM_F_DUMP) == NLM_F_DUMP;
    i64 error = 0;
    if (!(request->flags & NLM_F_REQUEST) || request->type < RTM_NEWLINK)
        return request->flags & NLM_F_ACK ? acknowledge(sock, request, payload, n, 0) : 0;
    if (dumps && (request->type == RTM_GETLINK || request->type == RTM_GETADDR))
        return dump(sock, request, payload, n);
    if (request->type == RTM_GETLINK) {
        error = check_link(payload, n);
        if (!error) {
            struct text text = {};
            add_link(&text, sock, request, 0);
            i64 r = reply(sock, &text);
            if (r)
                return r;
        }
    } else {
        error = -EOPNOTSUPP;
    }
    return error || request->flags & NLM_F_ACK ? acknowledge(sock, request, payload, n, error) : 0;
}

static i64 netlink_send(struct task *task, struct sock *sock, struct message *message) {
    if (message->flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (message->to &&
        (message->to->len < sizeof message->to->nl || message->to->family != AF_NETLINK))
        return -EINVAL;
    if (message->to && message->to->nl.pid)
        return -ECONNREFUSED;
    if (!sock->nl.port)
        autobind(task, sock);
    if (sock->queue_bytes >= sock->rcvbuf)
        return -ENOBUFS; // it never reads its answers
    struct packet *packet;
    i64 r = packet_fill(NULL, message, REQUEST_MAX, &packet);
    if (r)
        return r;
    struct nlmsghdr request;
    u32 len = packet->len;
    for (u32 at = 0; !r && at + sizeof request <= len; at += ALIGN4(request.len)) {
        memcpy(&request, packet->data + at, sizeof request);
        if (request.len < sizeof request || request.len > len - at)
            break;
        r = answer(sock, &request, packet->data + at + sizeof request,
                   request.len - (u32)sizeof request);
    }
    packet_free(packet);
    return r ? r : len;
}

static i64 netlink_receive(struct task *task, struct sock *sock, struct message *message) {
    if (message->flags & (MSG_OOB | MSG_ERRQUEUE))
        return -EOPNOTSUPP;
    struct packet *packet = packet_first(sock);
    if (packet)
        return packet_read(sock, message, packet);
    return sock_wait(task, &sock->read_wait, READABLE, message->nonblock, sock->receive_timeout_ns);
}

static u32 netlink_poll(struct sock *sock, struct pollwait *pw) {
    return WRITABLE | (list_empty(&sock->queue) ? 0 : READABLE);
}

// Membership of groups and details of error answers: accepted, and of no consequence here.
static i64 netlink_set(struct task *task, struct sock *sock, i32 level, i32 name, const void *value,
                       u32 len) {
    return level == SOL_NETLINK && name >= 1 && name <= 12 ? 0 : -ENOPROTOOPT;
}

static void netlink_close(struct sock *sock) {
    queue_purge(sock);
    list_remove(&sock->all);
    sock_wake_all(sock);
}

static void netlink_destroy(struct sock *sock) {
}

static const struct sock_ops netlink_ops = {
    .bind = netlink_bind,
    .connect = netlink_connect,
    .name = netlink_name,
    .send = netlink_send,
    .receive = netlink_receive,
    .poll = netlink_poll,
    .set = netlink_set,
    .close = netlink_close,
    .destroy = netlink_destroy,
};

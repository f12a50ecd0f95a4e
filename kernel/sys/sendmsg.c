// send(2) and recv(2) in all their forms: one transfer at a time, kept in the call while it waits.
//
// A message header is read once, when its transfer begins. Everything that will be written back is
// made ready before the socket gives bytes away.
#include "../chaos.h"
#include "sockarg.h"

#define CONTROL_MAX 20480u    // net.core.optmem_max
#define CONTROL_OUT_MAX 2048u // more than all ancillary data of one message
#define CMSG_ALIGN(n) align_up((u64)(n), (u64)8)

struct transfer { // call->captured
    struct uio uio;
    struct message message;
    struct address to;
    struct msghdr header;
    uptr header_at; // 0: sendto, recvfrom
    u64 moved;      // bytes
};

static void transfer_drop(struct task *task, struct call *call) {
    struct transfer *t = call->captured;
    call->captured = NULL;
    call->undo = NULL;
    if (!t)
        return;
    parcel_free(t->message.parcel);
    uio_end(&t->uio);
    kfree(t);
}

static struct transfer *transfer_new(struct task *task, struct call *call, u32 flags,
                                     struct sock *sock) {
    struct transfer *t = knew(struct transfer);
    if (!t)
        return NULL;
    call->captured = t;
    call->undo = transfer_drop;
    t->message.uio = &t->uio;
    t->message.flags = flags;
    t->message.nonblock = flags & MSG_DONTWAIT || sock_nonblock(sock);
    t->message.cred = (struct ucred){task->process->pid, task->cred.ruid, task->cred.rgid};
    return t;
}

static i64 fetch_header(struct task *task, struct transfer *t, uptr at, enum access access) {
    struct msghdr *header = &t->header;
    t->header_at = at;
    i64 r = get_user(task, *header, at);
    if (r)
        return r;
    if ((i32)header->namelen < 0)
        return -EINVAL;
    if (header->iovlen > IOV_MAX)
        return -EMSGSIZE;
    return uio_vector(&t->uio, task, access, UPTR(header->iov), header->iovlen);
}

// ---- Ancillary data, sent ----------------------------------------------------------------------
static i64 add_rights(struct task *task, struct message *message, const i32 *fds, u64 count) {
    u32 have = message->parcel ? message->parcel->count : 0;
    if (have + count > SCM_MAX_FD)
        return -EINVAL;
    if (!count)
        return 0;
    struct parcel *parcel =
        krealloc(message->parcel, sizeof *parcel + (have + count) * sizeof(struct file *));
    if (!parcel)
        return -ENOMEM;
    message->parcel = parcel;
    for (u64 i = 0; i < count; i++) {
        struct file *file = fd_any(task, fds[i]);
        if (!file)
            return -EBADF;
        file_get(file);
        parcel->files[parcel->count++] = file;
    }
    return 0;
}

static i64 set_credentials(struct task *task, struct message *message, const struct ucred *cred) {
    const struct cred *own = &task->cred;
    bool admin = own->cap_effective >> CAP_SYS_ADMIN & 1;
    bool setuid = own->cap_effective >> CAP_SETUID & 1,
         setgid = own->cap_effective >> CAP_SETGID & 1;
    if ((cred->pid != task->process->pid && !admin) ||
        (cred->uid != own->ruid && cred->uid != own->euid && cred->uid != own->suid && !setuid) ||
        (cred->gid != own->rgid && cred->gid != own->egid && cred->gid != own->sgid && !setgid))
        return -EPERM;
    if (!process_find(cred->pid))
        return -ESRCH;
    message->cred = *cred;
    return 0;
}

static i64 read_control(struct task *task, struct transfer *t, const u8 *control, u64 len) {
    struct cmsghdr c;
    for (u64 at = 0; at + sizeof c <= len; at += CMSG_ALIGN(c.len)) {
        memcpy(&c, control + at, sizeof c);
        if (c.len < sizeof c || c.len > len - at)
            return -EINVAL;
        if (c.level != SOL_SOCKET)
            continue; // hop limits and the like change nothing here
        const void *data = control + at + sizeof c;
        u64 n = c.len - sizeof c;
        i64 r = -EINVAL;
        if (c.type == SCM_RIGHTS)
            r = add_rights(task, &t->message, data, n / sizeof(i32));
        else if (c.type == SCM_CREDENTIALS && n == sizeof(struct ucred))
            r = set_credentials(task, &t->message, data);
        if (r)
            return r;
    }
    return 0;
}

static i64 fetch_control(struct task *task, struct transfer *t, const struct sock *sock) {
    u64 len = t->header.controllen;
    if (!t->header.control || !len || sock->family != AF_UNIX)
        return 0;
    if (len > CONTROL_MAX)
        return -ENOBUFS;
    u8 *control = kmalloc(len);
    if (!control)
        return -ENOBUFS;
    i64 r = copy_in(task, control, UPTR(t->header.control), len);
    if (!r)
        r = read_control(task, t, control, len);
    kfree(control);
    return r;
}

// ---- Ancillary data, received ------------------------------------------------------------------
struct control_out {
    u8 data[CONTROL_OUT_MAX];
    u64 len, room;
    u32 flags;
};

static void put_control(struct control_out *out, i32 level, i32 type, const void *data, u64 n) {
    struct cmsghdr c = {sizeof c + n, level, type};
    if (out->room - out->len < c.len) {
        out->flags |= MSG_CTRUNC;
        if (out->room - out->len < sizeof c)
            return;
        c.len = out->room - out->len;
    }
    memcpy(out->data + out->len, &c, sizeof c);
    memcpy(out->data + out->len + sizeof c, data, c.len - sizeof c);
    out->len += min(CMSG_ALIGN(c.len), out->room - out->len);
}

// Descriptors, as many as there is room for in the buffer and in the table.
static void put_rights(struct task *task, struct control_out *out, struct parcel *parcel,
                       bool cloexec) {
    u64 left = out->room - out->len,
        fits = left > sizeof(struct cmsghdr) ? (left - sizeof(struct cmsghdr)) / 4 : 0;
    i32 fds[SCM_MAX_FD];
    u32 n = 0;
    while (n < parcel->count && n < fits) {
        file_get(parcel->files[n]);
        i64 fd = fd_install(task, parcel->files[n], 0, cloexec);
        if (fd < 0)
            break;
        fds[n++] = (i32)fd;
    }
    if (n < parcel->count)
        out->flags |= MSG_CTRUNC;
    if (n)
        put_control(out, SOL_SOCKET, SCM_RIGHTS, fds, n * sizeof(i32));
}

static void put_address(struct control_out *out, const struct sock *sock, const u8 local[16]) {
    if (sock->options[OPT_PKTINFO] && addr_is_v4(local)) {
        struct {
            i32 index;
            u8 spec[4], addr[4];
        } info = {.index = 1};
        memcpy(info.spec, local + 12, 4);
        memcpy(info.addr, local + 12, 4);
        put_control(out, SOL_IP, IP_PKTINFO, &info, sizeof info);
    }
    i32 hops = 64;
    if (sock->options[OPT_RECVTTL] && addr_is_v4(local))
        put_control(out, SOL_IP, IP_TTL, &hops, sizeof hops);
    if (sock->options[OPT_RECVPKTINFO6] && sock->family == AF_INET6) {
        struct {
            u8 addr[16];
            u32 index;
        } info = {.index = 1};
        memcpy(info.addr, local, 16);
        put_control(out, SOL_IPV6, IPV6_PKTINFO, &info, sizeof info);
    }
    if (sock->options[OPT_RECVHOPLIMIT6] && sock->family == AF_INET6)
        put_control(out, SOL_IPV6, IPV6_HOPLIMIT, &hops, sizeof hops);
}

static void build_control(struct task *task, struct control_out *out, struct sock *sock,
                          struct message *message) {
    if (message->time_ns && sock->options[OPT_TIMESTAMPNS]) {
        struct timespec ts = {(i64)(message->time_ns / NSEC), (i64)(message->time_ns % NSEC)};
        put_control(out, SOL_SOCKET, SO_TIMESTAMPNS, &ts, sizeof ts);
    } else if (message->time_ns && sock->options[OPT_TIMESTAMP]) {
        struct timeval tv = {(i64)(message->time_ns / NSEC), (i64)(message->time_ns % NSEC / 1000)};
        put_control(out, SOL_SOCKET, SO_TIMESTAMP, &tv, sizeof tv);
    }
    if (sock->family == AF_UNIX && sock->options[OPT_PASSCRED] && message->has_cred)
        put_control(out, SOL_SOCKET, SCM_CREDENTIALS, &message->cred, sizeof message->cred);
    if (message->has_local && sock->family != AF_UNIX)
        put_address(out, sock, message->local);
    if (message->parcel)
        put_rights(task, out, message->parcel, message->flags & MSG_CMSG_CLOEXEC);
}

// Everything of a received message but its bytes. The pages are ready.
static i64 write_header(struct task *task, struct transfer *t, struct sock *sock) {
    struct msghdr *header = &t->header;
    struct message *message = &t->message;
    struct control_out out = {
        .room = header->control ? min(header->controllen, (u64)CONTROL_OUT_MAX) : 0};
    build_control(task, &out, sock, message);
    i64 r = 0;
    if (header->name)
        r = copy_out(task, UPTR(header->name), message->from.bytes,
                     min(header->namelen, message->from.len));
    if (!r)
        r = copy_out(task, UPTR(header->control), out.data, out.len);
    if (r)
        return r;
    header->namelen = header->name ? message->from.len : header->namelen;
    header->flags = message->out_flags | out.flags | (message->flags & MSG_CMSG_CLOEXEC);
    header->controllen = out.len;
    return put_user(task, t->header_at, *header);
}

// ---- Moving ------------------------------------------------------------------------------------
// One piece of a message, or (`whole`) as many as it takes; what was moved before an error counts.
static i64 move(struct task *task, struct call *call, struct sock *sock, struct transfer *t,
                bool single, bool whole,
                i64 (*piece)(struct task *task, struct sock *sock, struct message *message)) {
    if (!piece)
        return -EOPNOTSUPP;
    if (unlikely(kernel->chaos) && single && sock->type == SOCK_STREAM)
        chaos_limit(task, &t->uio, 1);
    for (;;) {
        i64 r = piece(task, sock, &t->message);
        if (r == E_WAIT)
            return r;
        if (r < 0)
            return t->moved ? (i64)t->moved : r;
        t->moved += (u64)r;
        if (single)
            call->progress = t->moved;
        if (!whole || !r || !t->uio.left || t->message.parcel)
            return (i64)t->moved;
        t->message.flags |= MSG_NOSIGNAL; // a broken pipe later on is told by the count
    }
}

static i64 send_all(struct task *task, struct call *call, struct sock *sock, struct transfer *t,
                    bool single) {
    return move(task, call, sock, t, single, sock->type == SOCK_STREAM, sock->ops->send);
}

static i64 receive_all(struct task *task, struct call *call, struct sock *sock, struct transfer *t,
                       bool single) {
    bool all = t->message.flags & MSG_WAITALL && !(t->message.flags & MSG_PEEK);
    return move(task, call, sock, t, single, all && sock->type == SOCK_STREAM, sock->ops->receive);
}

static i64 end(struct task *task, struct call *call, i64 r) {
    transfer_drop(task, call);
    return r;
}

i64 sys_sendto(struct task *task, struct call *call) {
    struct sock *sock;
    i64 r = sock_argument(task, arg_int(call, 0), &sock);
    if (r)
        return r;
    struct transfer *t = call->captured;
    if (!t) {
        t = transfer_new(task, call, arg_u32(call, 3), sock);
        if (!t)
            return -ENOMEM;
        uio_user(&t->uio, task, ACCESS_READ, arg_ptr(call, 1), min(call->args[2], 0x7ffff000ull));
        if (call->args[4]) {
            r = address_in(task, &t->to, arg_ptr(call, 4), arg_int(call, 5));
            if (r)
                return end(task, call, r);
            t->message.to = &t->to;
        }
    }
    r = send_all(task, call, sock, t, true);
    return r == E_WAIT ? r : end(task, call, r);
}

i64 sys_recvfrom(struct task *task, struct call *call) {
    struct sock *sock;
    i64 r = sock_argument(task, arg_int(call, 0), &sock);
    if (r)
        return r;
    struct transfer *t = call->captured;
    if (!t) {
        t = transfer_new(task, call, arg_u32(call, 3), sock);
        if (!t)
            return -ENOMEM;
        uio_user(&t->uio, task, ACCESS_WRITE, arg_ptr(call, 1), min(call->args[2], 0x7ffff000ull));
    }
    r = address_ready(task, arg_ptr(call, 4), arg_ptr(call, 5));
    if (!r)
        r = receive_all(task, call, sock, t, true);
    if (r >= 0) {
        i64 error = address_out(task, &t->message.from, arg_ptr(call, 4), arg_ptr(call, 5));
        r = error ? error : r;
    }
    return r == E_WAIT ? r : end(task, call, r);
}

// One message with a header at `at`, begun or continued.
static i64 send_message(struct task *task, struct call *call, struct sock *sock, uptr at, u32 flags,
                        bool single) {
    struct transfer *t = call->captured;
    i64 r = 0;
    if (!t) {
        t = transfer_new(task, call, flags, sock);
        if (!t)
            return -ENOMEM;
        r = fetch_header(task, t, at, ACCESS_READ);
        if (!r && t->header.name && t->header.namelen) {
            r = address_in(task, &t->to, UPTR(t->header.name), (i32)min(t->header.namelen, 128u));
            t->message.to = &t->to;
        }
        if (!r)
            r = fetch_control(task, t, sock);
        if (r)
            return end(task, call, r); // also E_WAIT: nothing is lost, it begins anew
    }
    r = send_all(task, call, sock, t, single);
    return r == E_WAIT ? r : end(task, call, r);
}

static i64 receive_message(struct task *task, struct call *call, struct sock *sock, uptr at,
                           u32 flags, bool single) {
    struct transfer *t = call->captured;
    i64 r = 0;
    if (!t) {
        t = transfer_new(task, call, flags, sock);
        if (!t)
            return -ENOMEM;
        r = fetch_header(task, t, at, ACCESS_WRITE);
        if (r)
            return end(task, call, r);
    }
    struct msghdr *header = &t->header;
    r = user_ready(task, at, sizeof *header, ACCESS_WRITE);
    if (!r && header->name)
        r = user_ready(task, UPTR(header->name),
                       min(header->namelen, (u32)sizeof(struct sockaddr_un)), ACCESS_WRITE);
    if (!r && header->control)
        r = user_ready(task, UPTR(header->control), min(header->controllen, (u64)CONTROL_OUT_MAX),
                       ACCESS_WRITE);
    if (!r)
        r = receive_all(task, call, sock, t, single);
    if (r >= 0) {
        i64 error = write_header(task, t, sock);
        r = error ? error : r;
    }
    return r == E_WAIT ? r : end(task, call, r);
}

i64 sys_sendmsg(struct task *task, struct call *call) {
    struct sock *sock;
    i64 r = sock_argument(task, arg_int(call, 0), &sock);
    return r ? r : send_message(task, call, sock, arg_ptr(call, 1), arg_u32(call, 2), true);
}

i64 sys_recvmsg(struct task *task, struct call *call) {
    struct sock *sock;
    i64 r = sock_argument(task, arg_int(call, 0), &sock);
    return r ? r : receive_message(task, call, sock, arg_ptr(call, 1), arg_u32(call, 2), true);
}

// ---- Many messages -----------------------------------------------------------------------------
// call->progress counts messages that are done.
i64 sys_sendmmsg(struct task *task, struct call *call) {
    struct sock *sock;
    u32 count = min(arg_u32(call, 2), (u32)IOV_MAX);
    i64 r = sock_argument(task, arg_int(call, 0), &sock);
    while (!r && call->progress < count) {
        u64 at = call->args[1] + call->progress * sizeof(struct mmsghdr);
        r = user_ready(task, UPTR(at), sizeof(struct mmsghdr), ACCESS_WRITE);
        if (!r)
            r = send_message(task, call, sock, UPTR(at), arg_u32(call, 3), false);
        if (r >= 0) {
            r = put_user(task, UPTR(at + offsetof(struct mmsghdr, len)), (u32)r);
            call->progress++;
        }
    }
    return r == E_WAIT || (r < 0 && !call->progress) ? r : (i64)call->progress;
}

i64 sys_recvmmsg(struct task *task, struct call *call) {
    struct sock *sock;
    u32 count = min(arg_u32(call, 2), (u32)IOV_MAX), flags = arg_u32(call, 3);
    i64 r = sock_argument(task, arg_int(call, 0), &sock);
    if (!r && call->args[4] && !call->phase) { // the time limit is looked at after each message
        struct timespec limit;
        r = get_user(task, limit, arg_ptr(call, 4));
        if (!r && (limit.sec < 0 || limit.nsec < 0 || limit.nsec >= (i64)NSEC))
            r = -EINVAL;
        if (!r) {
            call->scratch[0] = now_ns() + min((u64)limit.sec, 1ull << 33) * NSEC + (u64)limit.nsec;
            call->phase = 1;
        }
    }
    while (!r && call->progress < count) {
        u64 at = call->args[1] + call->progress * sizeof(struct mmsghdr);
        u32 one = flags & ~(u32)MSG_WAITFORONE;
        if (flags & MSG_WAITFORONE && call->progress)
            one |= MSG_DONTWAIT;
        r = user_ready(task, UPTR(at), sizeof(struct mmsghdr), ACCESS_WRITE);
        if (!r)
            r = receive_message(task, call, sock, UPTR(at), one, false);
        if (r >= 0) {
            r = put_user(task, UPTR(at + offsetof(struct mmsghdr, len)), (u32)r);
            call->progress++;
            if (call->phase && now_ns() >= call->scratch[0])
                break;
        }
    }
    return r == E_WAIT || (r < 0 && !call->progress) ? r : (i64)call->progress;
}

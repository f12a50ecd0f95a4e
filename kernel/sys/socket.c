// socket(2), bind(2), listen(2), accept(2), connect(2), getsockname(2), getsockopt(2), shutdown(2)
// and friends.
#include "sockarg.h"

i64 sock_argument(struct task *task, i32 fd, struct sock **out) {
    struct file *file = call_file(task, 0, fd);
    if (!file)
        return -EBADF;
    *out = sock_of(file);
    return *out ? 0 : -ENOTSOCK;
}

i64 address_in(struct task *task, struct address *out, uptr address, i32 len) {
    *out = (struct address){};
    if (len < 0 || len > (i32)sizeof out->bytes)
        return -EINVAL;
    out->len = (u32)len;
    return copy_in(task, out->bytes, address, (u64)len);
}

i64 address_ready(struct task *task, uptr address, uptr len) {
    i32 room;
    if (!address.va)
        return 0;
    i64 r = get_user(task, room, len);
    if (!r && room < 0)
        r = -EINVAL;
    if (!r)
        r = user_ready(task, len, sizeof room, ACCESS_WRITE);
    return r ? r
             : user_ready(task, address, min((u32)room, (u32)sizeof(struct sockaddr_un)),
                          ACCESS_WRITE);
}

i64 address_out(struct task *task, const struct address *from, uptr address, uptr len) {
    i32 room;
    if (!address.va)
        return 0;
    i64 r = get_user(task, room, len);
    if (!r && room < 0)
        r = -EINVAL;
    if (!r)
        r = copy_out(task, address, from->bytes, min((u32)room, from->len));
    return r ? r : put_user(task, len, (i32)from->len);
}

// ---- Making ------------------------------------------------------------------------------------
static i64 split_type(struct call *call, i32 *type, u32 *flags) {
    u32 arg = arg_u32(call, 1);
    *type = (i32)(arg & SOCK_TYPE_MASK);
    *flags = arg & ~(u32)SOCK_TYPE_MASK;
    return *flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC) ? -EINVAL : 0;
}

// Installs a new socket's file; takes over the reference.
static i64 install(struct task *task, struct sock *sock, u32 flags) {
    struct file *file;
    i64 r = sock_file(sock, flags, &file);
    return r ? r : fd_install(task, file, 0, flags & SOCK_CLOEXEC);
}

i64 sys_socket(struct task *task, struct call *call) {
    i32 type;
    u32 flags;
    i64 r = split_type(call, &type, &flags);
    struct sock *sock;
    if (!r)
        r = sock_create(task, arg_int(call, 0), type, arg_int(call, 2), &sock);
    return r ? r : install(task, sock, flags);
}

i64 sys_socketpair(struct task *task, struct call *call) {
    i32 type;
    u32 flags;
    struct sock *a, *b;
    i64 r = split_type(call, &type, &flags);
    if (!r)
        r = user_ready(task, arg_ptr(call, 3), 2 * sizeof(i32), ACCESS_WRITE);
    if (!r)
        r = sock_create(task, arg_int(call, 0), type, arg_int(call, 2), &a);
    if (r)
        return r;
    r = a->ops->pair ? sock_create(task, arg_int(call, 0), type, arg_int(call, 2), &b)
                     : -EOPNOTSUPP;
    if (r) {
        sock_close(a);
        return r;
    }
    r = a->ops->pair(task, a, b);
    i64 fd = r ? r : install(task, a, flags);
    if (fd < 0) {
        if (r)
            sock_close(a);
        sock_close(b);
        return fd;
    }
    i64 other = install(task, b, flags);
    i32 fds[2] = {(i32)fd, (i32)other};
    r = other < 0 ? other : copy_out(task, arg_ptr(call, 3), fds, sizeof fds);
    if (r) {
        (void)!fd_close(task, (i32)fd);
        if (other >= 0)
            (void)!fd_close(task, (i32)other);
    }
    return r;
}

// ---- Names and connections ---------------------------------------------------------------------
// The arguments of bind and connect; the address is read once per call.
static i64 sock_and_address(struct task *task, struct call *call, struct sock **sock,
                            struct address **out) {
    i64 r = sock_argument(task, arg_int(call, 0), sock);
    if (r)
        return r;
    if (!call->captured) {
        struct address *address = knew(struct address);
        if (!address)
            return -ENOMEM;
        r = address_in(task, address, arg_ptr(call, 1), arg_int(call, 2));
        if (r) {
            kfree(address);
            return r;
        }
        call->captured = address;
    }
    *out = call->captured;
    return 0;
}

i64 sys_bind(struct task *task, struct call *call) {
    struct sock *sock;
    struct address *address;
    i64 r = sock_and_address(task, call, &sock, &address);
    if (r)
        return r;
    return sock->ops->bind ? sock->ops->bind(task, sock, address) : -EOPNOTSUPP;
}

i64 sys_connect(struct task *task, struct call *call) {
    struct sock *sock;
    struct address *address;
    i64 r = sock_and_address(task, call, &sock, &address);
    if (r)
        return r;
    return sock->ops->connect ? sock->ops->connect(task, sock, address, sock_nonblock(sock))
                              : -EOPNOTSUPP;
}

i64 sys_listen(struct task *task, struct call *call) {
    struct sock *sock;
    i64 r = sock_argument(task, arg_int(call, 0), &sock);
    if (r)
        return r;
    u32 backlog = min(arg_u32(call, 1), (u32)SOMAXCONN);
    return sock->ops->listen ? sock->ops->listen(task, sock, backlog) : -EOPNOTSUPP;
}

// A free descriptor must be there before a connection is taken out of the backlog.
static bool has_descriptor(struct task *task) {
    struct fdtable *table = task->files;
    u64 limit = min(task->process->rlimit[RLIMIT_NOFILE][0], (u64)FD_MAX);
    u32 fd = table->first_free;
    while (fd < table->size && table->files[fd])
        fd++;
    return fd < limit;
}

static i64 accept(struct task *task, struct call *call, u32 flags) {
    struct sock *sock, *child;
    if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC))
        return -EINVAL;
    i64 r = sock_argument(task, arg_int(call, 0), &sock);
    if (r)
        return r;
    if (!sock->ops->accept)
        return -EOPNOTSUPP;
    if (!has_descriptor(task))
        return -EMFILE;
    r = address_ready(task, arg_ptr(call, 1), arg_ptr(call, 2));
    if (!r)
        r = sock->ops->accept(task, sock, sock_nonblock(sock), &child);
    if (r)
        return r;
    struct address address;
    r = child->ops->name(child, SIDE_ACCEPTED, &address);
    if (!r)
        r = address_out(task, &address, arg_ptr(call, 1), arg_ptr(call, 2));
    if (r) {
        sock_close(child);
        return r;
    }
    return install(task, child, flags);
}

i64 sys_accept(struct task *task, struct call *call) {
    return accept(task, call, 0);
}

i64 sys_accept4(struct task *task, struct call *call) {
    return accept(task, call, arg_u32(call, 3));
}

static i64 name(struct task *task, struct call *call, enum side side) {
    struct sock *sock;
    struct address address;
    i64 r = sock_argument(task, arg_int(call, 0), &sock);
    if (!r)
        r = sock->ops->name(sock, side, &address);
    if (!r && !call->args[1])
        r = -EFAULT;
    return r ? r : address_out(task, &address, arg_ptr(call, 1), arg_ptr(call, 2));
}

i64 sys_getsockname(struct task *task, struct call *call) {
    return name(task, call, SIDE_OWN);
}

i64 sys_getpeername(struct task *task, struct call *call) {
    return name(task, call, SIDE_PEER);
}

i64 sys_shutdown(struct task *task, struct call *call) {
    struct sock *sock;
    i64 r = sock_argument(task, arg_int(call, 0), &sock);
    if (r)
        return r;
    if (arg_u32(call, 1) > SHUT_RDWR)
        return -EINVAL;
    return sock->ops->shutdown ? sock->ops->shutdown(sock, arg_u32(call, 1)) : -EOPNOTSUPP;
}

// ---- Options -----------------------------------------------------------------------------------
i64 sys_setsockopt(struct task *task, struct call *call) {
    struct sock *sock;
    u8 value[OPTION_MAX] = {};
    i32 len = arg_int(call, 4);
    i64 r = sock_argument(task, arg_int(call, 0), &sock);
    if (!r && len < 0)
        r = -EINVAL;
    u32 n = min((u32)len, OPTION_MAX);
    if (!r)
        r = copy_in(task, value, arg_ptr(call, 3), n);
    return r ? r : option_set(task, sock, arg_int(call, 1), arg_int(call, 2), value, n);
}

i64 sys_getsockopt(struct task *task, struct call *call) {
    struct sock *sock;
    u8 value[OPTION_MAX] = {};
    i32 len;
    i64 r = sock_argument(task, arg_int(call, 0), &sock);
    if (!r)
        r = get_user(task, len, arg_ptr(call, 4));
    if (!r && len < 0)
        r = -EINVAL;
    u32 n = r ? 0 : min((u32)len, OPTION_MAX);
    if (!r) // SO_ERROR is taken by reading it
        r = user_ready(task, arg_ptr(call, 3), n, ACCESS_WRITE);
    if (!r)
        r = user_ready(task, arg_ptr(call, 4), sizeof len, ACCESS_WRITE);
    if (!r)
        r = option_get(task, sock, arg_int(call, 1), arg_int(call, 2), value, &n);
    if (!r)
        r = copy_out(task, arg_ptr(call, 3), value, n);
    return r ? r : put_user(task, arg_ptr(call, 4), (i32)n);
}

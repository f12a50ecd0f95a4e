// Socket arguments as the handlers of sockets read and write them.
#pragma once
#include "../net/sock.h"
#include "sys.h"

// The socket behind a call's descriptor argument, held for the call: -EBADF, -ENOTSOCK.
must_check i64 sock_argument(struct task *task, i32 fd, struct sock **out);
static inline bool sock_nonblock(const struct sock *sock) {
    return sock->file->flags & O_NONBLOCK;
}
must_check i64 address_in(struct task *task, struct address *out, uptr address, i32 len);
// Room for an answer (address, *len); nothing when the pointer is NULL.
must_check i64 address_ready(struct task *task, uptr address, uptr len);
must_check i64 address_out(struct task *task, const struct address *from, uptr address, uptr len);

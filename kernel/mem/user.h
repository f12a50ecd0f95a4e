// The only door through which system calls touch guest memory.
//
// All functions act on task->mm and return 0 (or a count), -EFAULT, or E_WAIT when a page must first come
// from the host. A handler calls user_ready for what it will touch *before* its first effect; after that, in
// the same pass, the copies cannot wait (law 5; one kernel lock makes pinning unnecessary).
#pragma once
#include "mm.h"

must_check i64 user_ready(struct task *task, uptr p, u64 len, enum access access);
must_check i64 copy_in(struct task *task, void *dst, uptr src, u64 len);
must_check i64 copy_out(struct task *task, uptr dst, const void *src, u64 len);
must_check i64 zero_out(struct task *task, uptr dst, u64 len);
// A NUL-terminated string of at most size - 1 bytes. Returns its length; -ENAMETOOLONG when longer.
must_check i64 copy_in_string(struct task *task, char *dst, uptr src, u64 size);
#define get_user(task, lvalue, p) copy_in((task), &(lvalue), (p), sizeof(lvalue))
#define put_user(task, p, rvalue)                                                                  \
    ({                                                                                             \
        __typeof__(rvalue) v_ = (rvalue);                                                          \
        copy_out((task), (p), &v_, sizeof v_);                                                     \
    })
// Host address of an aligned word after mm_fault, for futexes and robust lists.
must_check i64 user_word(struct task *task, uptr p, enum access access, u32 **out);

// A transfer between kernel memory and a list of user buffers (or one kernel buffer).
struct uio_segment {
    u64 base, len;
};
struct uio {
    struct task *task;
    enum access access; // ACCESS_WRITE: into user memory (read(2)); ACCESS_READ: out of it (write(2))
    u32 count, index;
    u64 offset; // within segment `index`
    u64 left;   // bytes still wanted
    u8 *flat; // when set: one kernel buffer instead of segments
    struct uio_segment *segments;
    struct uio_segment one;
    void *owned; // freed by uio_end
};
void uio_user(struct uio *uio, struct task *task, enum access access, uptr base, u64 len);
void uio_kernel(struct uio *uio, enum access access, void *base, u64 len);
// From a struct iovec array (readv, sendmsg …). -EINVAL, -EFAULT, -ENOMEM, E_WAIT.
must_check i64 uio_vector(struct uio *uio, struct task *task, enum access access, uptr iov, u64 count);
void uio_end(struct uio *uio);
// Ready the next min(n, left, 256 KiB) bytes. Returns how many are ready (may be fewer than n when a later
// page is bad), -EFAULT when not even one, or E_WAIT.
must_check i64 uio_ready(struct uio *uio, u64 n);
// Copy n <= ready bytes and advance. Returns n, or -EFAULT.
must_check i64 uio_put(struct uio *uio, const void *src, u64 n); // to the user
must_check i64 uio_get(struct uio *uio, void *dst, u64 n);       // from the user
must_check i64 uio_zero(struct uio *uio, u64 n);

#include "user.h"
#include "../kernel.h"
#include "tlb.h"

#define CHUNK 0x40000u

static i64 user_fault(struct task *task, u64 va, enum access access, maddr *page) {
    order_pause(task->mm); // a process's memory as another one sees it
    if (!task->mm)
        return -EFAULT;
    if ((*page = tlb_known(task->mm, va, access)))
        return 0;
    i64 r = mm_fault(task->mm, va, access, task, page);
    if (r == -EACCES || r == -EIO)
        r = -EFAULT;
    if (!r && access == ACCESS_WRITE)
        code_drop(*page);
    return r;
}

static bool in_range(uptr p, u64 len) {
    return p.va <= USER_END && len <= USER_END - p.va;
}

i64 user_ready(struct task *task, uptr p, u64 len, enum access access) {
    if (!in_range(p, len))
        return -EFAULT;
    for (u64 va = align_down(p.va, (u64)PAGE_SIZE); va < p.va + len; va += PAGE_SIZE) {
        maddr page;
        i64 r = user_fault(task, va, access, &page);
        if (r)
            return r;
    }
    return 0;
}

enum direction { FROM_USER, TO_USER, ZERO_USER };

static i64 user_move(struct task *task, uptr p, void *kernel_side, u64 len,
                     enum direction direction) {
    if (!in_range(p, len))
        return -EFAULT;
    u8 *k = kernel_side;
    for (u64 va = p.va; len;) {
        maddr page;
        i64 r = user_fault(task, va, direction == FROM_USER ? ACCESS_READ : ACCESS_WRITE, &page);
        if (r)
            return r;
        u64 n = min(len, PAGE_SIZE - (va & PAGE_MASK));
        u8 *u = MPTR(u8, page + (va & PAGE_MASK));
        if (direction == FROM_USER)
            memcpy(k, u, n);
        else if (direction == TO_USER)
            memcpy(u, k, n);
        else
            memset(u, 0, n);
        k += n, va += n, len -= n;
    }
    return 0;
}

i64 copy_in(struct task *task, void *dst, uptr src, u64 len) {
    return user_move(task, src, dst, len, FROM_USER);
}

i64 copy_out(struct task *task, uptr dst, const void *src, u64 len) {
    return user_move(task, dst, (void *)src, len, TO_USER);
}

i64 zero_out(struct task *task, uptr dst, u64 len) {
    return user_move(task, dst, NULL, len, ZERO_USER);
}

i64 copy_in_string(struct task *task, char *dst, uptr src, u64 size) {
    u64 have = 0;
    while (have < size) {
        u64 va = src.va + have;
        maddr page;
        i64 r = user_fault(task, va, ACCESS_READ, &page);
        if (r)
            return r;
        u64 n = min(size - have, PAGE_SIZE - (va & PAGE_MASK));
        const char *u = MPTR(char, page + (va & PAGE_MASK));
        u64 got = strnlen(u, n);
        memcpy(dst + have, u, got);
        have += got;
        if (got < n) {
            dst[have] = 0;
            return (i64)have;
        }
    }
    return -ENAMETOOLONG;
}

i64 user_word(struct task *task, uptr p, enum access access, u32 **out) {
    if (p.va & 3)
        return -EINVAL;
    maddr page;
    i64 r = user_fault(task, p.va, access, &page);
    if (!r)
        *out = MPTR(u32, page + (p.va & PAGE_MASK));
    return r;
}

// ---- Transfers ---------------------------------------------------------------------------------
void uio_user(struct uio *uio, struct task *task, enum access access, uptr base, u64 len) {
    *uio = (struct uio){
        .task = task, .access = access, .count = 1, .left = len, .one = {base.va, len}};
    uio->segments = &uio->one;
}

void uio_kernel(struct uio *uio, enum access access, void *base, u64 len) {
    *uio = (struct uio){.access = access, .left = len, .flat = base};
}

i64 uio_vector(struct uio *uio, struct task *task, enum access access, uptr iov, u64 count) {
    *uio = (struct uio){.task = task, .access = access};
    if (count > IOV_MAX)
        return -EINVAL;
    struct uio_segment *segments = kmalloc((count + 1) * sizeof *segments);
    if (!segments)
        return -ENOMEM;
    i64 r = copy_in(task, segments, iov, count * sizeof(struct iovec));
    u64 total = 0;
    for (u64 i = 0; !r && i < count; i++) {
        total += segments[i].len;
        if (segments[i].len > INT64_MAX || total > INT64_MAX)
            r = -EINVAL;
    }
    if (r) {
        kfree(segments);
        return r;
    }
    uio->segments = uio->owned = segments;
    uio->count = (u32)count;
    uio->left = min(total, 0x7ffff000ull);
    return 0;
}

void uio_end(struct uio *uio) {
    kfree(uio->owned);
    uio->owned = NULL;
}

i64 uio_ready(struct uio *uio, u64 n) {
    n = min(n, min(uio->left, (u64)CHUNK));
    if (uio->flat)
        return (i64)n;
    u64 ready = 0, offset = uio->offset;
    for (u32 i = uio->index; i < uio->count && ready < n; i++, offset = 0) {
        struct uio_segment *s = &uio->segments[i];
        u64 at = s->base + offset, take = min(s->len - offset, n - ready);
        while (take) {
            u64 step = min(take, PAGE_SIZE - (at & PAGE_MASK));
            maddr page;
            i64 r =
                in_range(UPTR(at), step) ? user_fault(uio->task, at, uio->access, &page) : -EFAULT;
            if (r)
                return r == E_WAIT || !ready ? r : (i64)ready;
            at += step, take -= step, ready += step;
        }
    }
    return (i64)ready;
}

static i64 uio_move(struct uio *uio, u8 *k, u64 n, enum direction direction) {
    assert(n <= uio->left);
    u64 left = n;
    if (uio->flat) {
        if (direction == TO_USER)
            memcpy(uio->flat, k, n);
        else if (direction == FROM_USER)
            memcpy(k, uio->flat, n);
        else
            memset(uio->flat, 0, n);
        uio->flat += n;
        left = 0;
    }
    while (left) {
        struct uio_segment *s = &uio->segments[uio->index];
        u64 take = min(s->len - uio->offset, left);
        if (!take) {
            uio->index++;
            uio->offset = 0;
            continue;
        }
        i64 r = user_move(uio->task, UPTR(s->base + uio->offset), k, take, direction);
        if (r)
            return r;
        uio->offset += take;
        left -= take;
        if (k)
            k += take;
    }
    uio->left -= n;
    pass_cost(n / 16);
    return (i64)n;
}

i64 uio_put(struct uio *uio, const void *src, u64 n) {
    return uio_move(uio, (u8 *)src, n, TO_USER);
}

i64 uio_get(struct uio *uio, void *dst, u64 n) {
    return uio_move(uio, dst, n, FROM_USER);
}

i64 uio_zero(struct uio *uio, u64 n) {
    return uio_move(uio, NULL, n, ZERO_USER);
}

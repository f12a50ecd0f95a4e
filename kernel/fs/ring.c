// A byte queue that grows by doubling and keeps its order. It never shrinks: its owner limits and
// frees it.
#include "ring.h"

void ring_free(struct ring *ring) {
    kfree(ring->data);
    *ring = (struct ring){0};
}

i64 ring_reserve(struct ring *ring, u32 more) {
    u32 need = ring->len + more, cap = ring->cap ? ring->cap : 512;
    if (need <= ring->cap)
        return 0;
    while (cap < need)
        cap *= 2;
    u8 *data = kmalloc(cap);
    if (!data)
        return -ENOMEM;
    ring_peek(ring, 0, data, ring->len);
    kfree(ring->data);
    ring->data = data;
    ring->cap = cap;
    ring->head = 0;
    return 0;
}

// Bytes in one piece from position `from` (counted from the head).
static u32 ring_run(const struct ring *ring, u32 from, u32 n, u8 **out) {
    u32 at = (ring->head + from) & (ring->cap - 1);
    *out = ring->data + at;
    return min(n, ring->cap - at);
}

void ring_put(struct ring *ring, const void *src, u32 n) {
    for (u8 *to; n;) {
        u32 run = ring_run(ring, ring->len, n, &to);
        memcpy(to, src, run);
        src = (const u8 *)src + run;
        ring->len += run;
        n -= run;
    }
}

u32 ring_peek(const struct ring *ring, u32 from, void *dst, u32 n) {
    n = from < ring->len ? min(n, ring->len - from) : 0;
    for (u32 done = 0; done < n;) {
        u8 *at;
        u32 run = ring_run(ring, from + done, n - done, &at);
        memcpy((u8 *)dst + done, at, run);
        done += run;
    }
    return n;
}

i64 ring_put_uio(struct ring *ring, struct uio *uio, u32 n) {
    u32 done = 0;
    while (done < n) {
        u8 *to;
        u32 run = ring_run(ring, ring->len, n - done, &to);
        i64 got = uio_get(uio, to, run);
        if (got <= 0)
            return done ? (i64)done : -EFAULT;
        ring->len += (u32)got;
        done += (u32)got;
    }
    return done;
}

i64 ring_get_uio(struct ring *ring, struct uio *uio, u32 n) {
    u32 done = 0;
    while (done < n) {
        u8 *at;
        u32 run = ring_run(ring, 0, n - done, &at);
        i64 got = uio_put(uio, at, run);
        if (got <= 0)
            return done ? (i64)done : -EFAULT;
        ring_drop(ring, (u32)got);
        done += (u32)got;
    }
    return done;
}

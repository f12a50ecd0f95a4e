// A byte queue that grows up to a limit: what pipes and terminals hold. Machine heap; kernel lock.
#pragma once
#include "../lib/heap.h"
#include "../lib/string.h"
#include "../linux.h"
#include "../mem/user.h"

struct ring {
    u8 *data; // cap bytes, a power of two; NULL while never used
    u32 cap, head, len;
};

void ring_free(struct ring *ring);
must_check i64 ring_reserve(struct ring *ring, u32 more); // room for `more` further bytes: 0, -ENOMEM
void ring_put(struct ring *ring, const void *src, u32 n); // n bytes must be reserved
u32 ring_peek(const struct ring *ring, u32 from, void *dst, u32 n); // bytes copied
// Between the queue and the user; n bytes must be reserved (held) and ready. n or -EFAULT.
must_check i64 ring_put_uio(struct ring *ring, struct uio *uio, u32 n);
must_check i64 ring_get_uio(struct ring *ring, struct uio *uio, u32 n); // takes them out

static inline u8 ring_at(const struct ring *ring, u32 i) {
    return ring->data[(ring->head + i) & (ring->cap - 1)];
}
static inline void ring_put_byte(struct ring *ring, u8 c) {
    ring->data[(ring->head + ring->len++) & (ring->cap - 1)] = c;
}
static inline void ring_drop(struct ring *ring, u32 n) {
    ring->head = (ring->head + n) & (ring->cap - 1);
    ring->len -= n;
}

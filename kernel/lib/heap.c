#include "heap.h"
#include "../kernel.h"
#include "string.h"

// A block is preceded by its class. Four classes per power of two from 16 bytes on; blocks are
// never merged, so a class costs at most a quarter of its size in waste and allocation is a pop.
struct header {
    u32 class;
    u32 pad[3]; // keeps blocks 16-aligned
};
#define CLASSES 112u

static u32 class_size(u32 class) {
    u32 shift = class / 4;
    return (16u << shift) + (4u << shift) * (class % 4);
}

static u32 class_of(size_t size) {
    if (size <= 16)
        return 0;
    u32 shift = 31u - 4u - (u32)__builtin_clz((u32)size - 1);
    u32 base = 16u << shift, step = 4u << shift;
    u32 rest = ((u32)size - base + step - 1) / step;
    return shift * 4 + rest;
}

struct heap {
    maddr *end, limit;
    maddr *free;
};

static void *heap_take(struct heap heap, size_t size) {
    if (size > 0x40000000)
        return NULL;
    u32 class = class_of(size), bytes = class_size(class);
    maddr a = heap.free[class];
    if (a) {
        heap.free[class] = *MPTR(maddr, a);
        memset(MPTR(void, a), 0, bytes);
        return MPTR(void, a);
    }
    u32 total = align_up(bytes + (u32)sizeof(struct header), 16);
    if (*heap.end + (u64)total > heap.limit)
        return NULL;
    a = *heap.end;
    *heap.end += total;
    struct header *h = MPTR(struct header, a);
    h->class = class;
    return h + 1; // never used before: zero
}

static struct header *header_of(const void *p) {
    return (struct header *)p - 1;
}

static void heap_give(maddr *free, void *p) {
    u32 class = header_of(p)->class;
    assert(class < CLASSES);
    *(maddr *)p = free[class];
    free[class] = MADDR(p);
}

size_t kmalloc_size(const void *p) {
    return class_size(header_of(p)->class);
}

// The machine heap grows up to the lowest frame ever used (mem/page.c keeps heap_limit). The last
// of it is kept for the host's own calls, so that a machine whose guests have eaten all can still
// be looked at and mended.
#define HOST_RESERVE 0x80000u

void *kmalloc(size_t size) {
    maddr limit = kernel->heap_limit - (kernel->for_host ? 0 : HOST_RESERVE);
    return heap_take((struct heap){&kernel->heap_end, limit, kernel->heap_free}, size);
}

void kfree(void *p) {
    if (p)
        heap_give(kernel->heap_free, p);
}

void *krealloc(void *p, size_t size) {
    if (!p)
        return kmalloc(size);
    size_t old = kmalloc_size(p);
    if (size <= old)
        return p;
    void *q = kmalloc(size);
    if (!q)
        return NULL;
    memcpy(q, p, old);
    kfree(p);
    return q;
}

void *palloc(size_t size) {
    lock_take(&host.heap_lock);
    void *p = heap_take((struct heap){&host.heap_end, MACHINE_BASE, host.heap_free}, size);
    lock_drop(&host.heap_lock);
    return p;
}

void pfree(void *p) {
    if (!p)
        return;
    lock_take(&host.heap_lock);
    heap_give(host.heap_free, p);
    lock_drop(&host.heap_lock);
}

// Frames: the 4 KiB pages that hold guest data. All machine RAM above the kernel heap; taken from the top
// down, so that heap and frames grow towards each other and RAM that was never used is never touched.
#pragma once
#include "../types.h"

// One per frame, in an array at the start of the machine region. Guarded by the kernel lock.
struct page {
    u32 refs;  // page tables + page cache + holders
    u32 next;  // free list: frame number + 1
    u32 flags; // PAGE_*
    u32 pad;
};
// DISK: counted in kernel->disk_used. SHARED: was mapped so that programs write it
enum { PAGE_DIRTY = 1, PAGE_DISK = 2, PAGE_SHARED = 4 };

must_check struct page *page_alloc(void); // zeroed, refs = 1; NULL when out of memory
// Supplied by fs/imagefs.c: frames are short; gives back about `want` of them. Returns how many.
u32 page_reclaim(u32 want);
void page_get(struct page *page);
void page_put(struct page *page); // frees the frame with the last reference
maddr page_address(const struct page *page);
struct page *page_of(maddr address);
static inline void *page_data(const struct page *page) {
    return MPTR(void, page_address(page));
}
u64 pages_total(void);
u64 pages_free(void);

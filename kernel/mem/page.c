#include "page.h"
#include "../kernel.h"
#include "../lib/string.h"
#include "tlb.h"

static struct page *frames(void) {
    return MPTR(struct page, kernel->frames);
}

maddr page_address(const struct page *page) {
    return MACHINE_BASE + (maddr)(page - frames()) * PAGE_SIZE;
}

struct page *page_of(maddr address) {
    return frames() + ((address - MACHINE_BASE) >> PAGE_SHIFT);
}

// The top of the RAM must stay clear of the heap: 1 MiB, so that kernel objects can still be made
// when guests have eaten the rest.
#define HEAP_RESERVE 0x100000u
// And the host's calls find frames for their windows: output of a guest that eats all memory can be
// read.
#define HOST_FRAMES 256

static struct page *frame_take(void) {
    if (!kernel->for_host && pages_free() <= HOST_FRAMES + HEAP_RESERVE / PAGE_SIZE)
        return NULL;
    u32 n = kernel->frame_free;
    struct page *page;
    if (n) {
        page = frames() + n - 1;
        kernel->frame_free = page->next;
        memset(page_data(page), 0, PAGE_SIZE);
    } else {
        maddr next = MACHINE_BASE + (kernel->frame_low - 1) * PAGE_SIZE;
        if (next < kernel->heap_end + HEAP_RESERVE)
            return NULL;
        kernel->frame_low--;
        kernel->heap_limit = next;
        page = frames() + kernel->frame_low; // never used: zero
    }
    *page = (struct page){.refs = 1};
    kernel->frames_used++;
    return page;
}

struct page *page_alloc(void) {
    struct page *page = frame_take();
    if (!page && page_reclaim(256))
        page = frame_take();
    return page;
}

void page_get(struct page *page) {
    page->refs++;
}

void page_put(struct page *page) {
    assert(page->refs);
    if (--page->refs)
        return;
    code_drop(page_address(page));
    if (page->flags & PAGE_DISK)
        kernel->disk_used--;
    page->next = kernel->frame_free;
    kernel->frame_free = (u32)(page - frames()) + 1;
    kernel->frames_used--;
}

u64 pages_total(void) {
    return kernel->ram_bytes >> PAGE_SHIFT;
}

u64 pages_free(void) {
    u64 heap = (kernel->heap_end - MACHINE_BASE) >> PAGE_SHIFT;
    u64 used = kernel->frames_used + heap;
    return used < pages_total() ? pages_total() - used : 0;
}

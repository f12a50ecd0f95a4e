// The state of the machine as one number: SHA-256 over all machine pages.
#include "kernel.h"

// Memory between the heap's end and the lowest frame was never touched and is zero.
static u32 heap_pages(void) {
    return (u32)(align_up(kernel->heap_end, PAGE_SIZE) - MACHINE_BASE) >> PAGE_SHIFT;
}

// In pages from MACHINE_BASE on. 0: end of the heap; 1: first frame in use; 2: end of the machine.
__attribute__((export_name("k_span"))) u32 k_span(u32 which) {
    return which == 0 ? heap_pages() : which == 1 ? kernel->frame_low : kernel->frame_count;
}

// Only between steps, with no hart inside.
__attribute__((export_name("k_digest"))) u32 k_digest(u32 out) {
    struct sha256 s;
    sha256_init(&s);
    u32 low = kernel->frame_low;
    sha256_update(&s, MPTR(void, MACHINE_BASE), heap_pages() * PAGE_SIZE);
    sha256_update(&s, MPTR(void, MACHINE_BASE + low * PAGE_SIZE),
                  (size_t)(kernel->frame_count - low) * PAGE_SIZE);
    sha256_final(&s, MPTR(u8, out));
    return 0;
}

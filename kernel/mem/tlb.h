// Translation: the slow path behind every TLB miss, and taking rights away from all harts.
// None of these cost ticks: whether a TLB hits is private. They take the kernel lock themselves.
#pragma once
#include "hart.h"

// Translate one access that lies inside one page. Returns the host address of `va`, or 0 with hart->fault set.
// Demand-zero, copy-on-write and page-cache faults that need no waiting are resolved here; a fault that must wait or is an error
// returns 0 and is dealt with by the kernel when cpu_run returns CPU_FAULT.
// May fill the TLB (not for writes to frames that hold decoded code; such a write drops
// that code on all harts and sets hart->code_changed before returning).
must_check maddr tlb_miss(struct hart *hart, u64 va, enum access access);

// Translate a fetch. Returns the host address of the page that holds `va` (page-aligned), or 0 with
// hart->fault set. From then on the frame counts as holding code: no write entry for it exists in any TLB.
must_check maddr tlb_fetch(struct hart *hart, u64 va);

// The same if that page is there already, else 0: never touches the machine.
maddr tlb_peek(struct hart *hart, u64 va);

// And from then on the frame counts as holding code, as with tlb_fetch.
maddr tlb_hold(struct hart *hart, u64 va);

// Is `va` in a file, mapped without the right to write?
bool tlb_is_text(struct hart *hart, u64 va);

// Generation of the code in the frame at `page`: changes whenever a byte of it may have changed.
u32 code_generation(maddr page);

// Generation of this address space's fetch translations: changes on unmap, protect, exec and copy-on-write of
// executable pages. A cache of (va page -> host page) for fetches is valid while it stands.
u32 fetch_generation(const struct hart *hart);

// The bytes of the frame at `page` change, or its life ends: whatever was decoded from it is dropped.
void code_drop(maddr page);
u32 code_drops(void); // how often any frame's generation has changed

// The page of `va` if guest code of this hart could have it without a miss, else 0. A pass that is about memory looks here first.
maddr tlb_known(const struct mm *mm, u64 va, enum access access);

void tlb_select(struct hart *hart, struct mm *mm); // make it the hart's current address space
void tlb_acknowledge(struct hart *hart);           // at a safepoint with ATTN_SHOOTDOWN set; no lock

// Forget translations of [start, end) of `mm` on this hart.
void tlb_flush(struct hart *hart, struct mm *mm, u64 start, u64 end);

static inline struct tlb_entry *tlb_slot(struct tlb_entry *half, u64 va) {
    return &half[(va >> PAGE_SHIFT) & (TLB_ENTRIES - 1)];
}

// The tag of an empty entry: no address that is looked up there has these bits above its offset in the page.
static inline void tlb_empty(struct tlb_entry *half, u32 index) {
    half[index].tag = (u64)~index << PAGE_SHIFT | PAGE_MASK;
}

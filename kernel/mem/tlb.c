#include "tlb.h"
#include "../kernel.h"

// frame_code entries: see kernel.h. Generations start at 1, so 0 never names code.
enum { CODE_IS = 1, CODE_WRITTEN = 2, CODE_GENERATION = 4 };

static u32 *frame_code(maddr page) {
    return &host.frame_code[(page - MACHINE_BASE) >> PAGE_SHIFT];
}

u32 code_generation(maddr page) {
    return *frame_code(page) >> 2;
}

u32 fetch_generation(const struct hart *hart) {
    return hart->mm->fetch_gen;
}

u32 code_drops(void) {
    return host.code_drops;
}

void code_drop(maddr page) {
    u32 *code = frame_code(page);
    if (*code & CODE_IS) {
        *code = (*code + CODE_GENERATION) & ~(u32)CODE_IS;
        host.code_drops++; // by the kernel lock; a change that is lost among others is one all the same
        if (host.running)
            host.running->code_changed = true;
    }
}

// ---- One hart's caches -------------------------------------------------------------------------
enum { TLB_PART = TLB_ENTRIES / 64 };

static void tlb_clear(struct tlb *tlb) {
    tlb->lost++;
    for (u64 filled = ~tlb->blank; filled; filled &= filled - 1) {
        u32 first = (u32)__builtin_ctzll(filled) * TLB_PART;
        for (u32 i = first; i < first + TLB_PART; i++) {
            tlb_empty(tlb->r, i);
            tlb_empty(tlb->w, i);
        }
    }
    tlb->blank = ~0ull;
}

static void tlb_fill(struct tlb *tlb, struct tlb_entry *half, u64 base, maddr page) {
    struct tlb_entry *entry = tlb_slot(half, base);
    tlb->blank &= ~(1ull << ((u32)(entry - half) / TLB_PART));
    *entry = (struct tlb_entry){base, page - (u32)base, 0};
}

static void tlb_clear_range(struct tlb *tlb, u64 start, u64 end) {
    if ((end - start) >> PAGE_SHIFT >= TLB_ENTRIES / 4) {
        tlb_clear(tlb);
        return;
    }
    tlb->lost++;
    for (u64 va = start; va < end; va += PAGE_SIZE) {
        u32 i = (u32)(va >> PAGE_SHIFT) & (TLB_ENTRIES - 1);
        if (tlb->r[i].tag == va)
            tlb_empty(tlb->r, i);
        if (tlb->w[i].tag == va)
            tlb_empty(tlb->w, i);
    }
}

void tlb_select(struct hart *hart, struct mm *mm) {
    struct tlb *tlb = hart->tlb;
    if (!tlb || tlb->mm_id != mm->id) {
        struct tlb *oldest = &hart->pool[0];
        tlb = NULL;
        for (u32 i = 0; i < TLB_POOL && !tlb; i++) {
            if (hart->pool[i].mm_id == mm->id)
                tlb = &hart->pool[i];
            else if (hart->pool[i].used < oldest->used)
                oldest = &hart->pool[i];
        }
        if (!tlb) {
            tlb = oldest;
            tlb->mm_id = mm->id;
            tlb->mm_gen = ~0ull;
        }
        tlb->used = ++hart->tlb_clock;
    }
    if (tlb->mm_gen != mm->gen) {
        tlb_clear(tlb);
        tlb->mm_gen = mm->gen;
    }
    hart->tlb = tlb;
    hart->mm = mm;
}

maddr tlb_known(const struct mm *mm, u64 va, enum access access) {
    const struct hart *hart = host.running;
    struct tlb *tlb = hart ? hart->tlb : NULL;
    if (!tlb || tlb->mm_id != mm->id || tlb->mm_gen != mm->gen)
        return 0;
    const struct tlb_entry *entry = tlb_slot(access == ACCESS_WRITE ? tlb->w : tlb->r, va);
    return entry->tag == (va & ~PAGE_MASK) ? (u32)entry->tag + entry->delta : 0;
}

void tlb_flush(struct hart *hart, struct mm *mm, u64 start, u64 end) {
    for (u32 i = 0; i < TLB_POOL; i++) {
        struct tlb *tlb = &hart->pool[i];
        if (tlb->mm_id == mm->id)
            tlb_clear_range(tlb, start, end);
    }
}

// ---- All harts ---------------------------------------------------------------------------------
void tlb_acknowledge(struct hart *hart) {
    // The initiator holds the kernel lock and has raised the generation before it raised ATTN.
    atomic_and(&hart->attn, ~(u32)ATTN_SHOOTDOWN);
    tlb_clear(hart->tlb);
    hart->tlb->mm_gen = hart->mm->gen;
    atomic_store(&hart->shootdown_seen, atomic_load(&host.shootdown));
    atomic_notify(&hart->shootdown_seen, 1);
}

// Waits until every other hart in guest code (of `mm`, or of any when NULL) has flushed or left.
static void shootdown_others(struct mm *mm) {
    if (host.hart_count < 2 || ordered()) // then nobody is in guest code who could tell
        return;
    u32 generation = atomic_add(&host.shootdown, 1) + 1;
    for (u32 i = 0; i < host.hart_count; i++) {
        struct hart *h = host.hart[i];
        if (!h || h == host.running || !atomic_load(&h->in_guest) || (mm && h->mm != mm))
            continue;
        atomic_or(&h->attn, ATTN_SHOOTDOWN);
        while (atomic_load(&h->in_guest)) {
            u32 seen = atomic_load(&h->shootdown_seen);
            if ((i32)(seen - generation) >= 0)
                break;
            atomic_wait(&h->shootdown_seen, seen, 20000);
            if (atomic_load(&host.panicked))
                return;
        }
    }
}

void mm_shootdown(struct mm *mm, u64 start, u64 end) {
    order_pause(mm);
    mm->gen++;
    struct hart *hart = host.running;
    if (hart) {
        for (u32 i = 0; i < TLB_POOL; i++) {
            struct tlb *tlb = &hart->pool[i];
            if (tlb->mm_id == mm->id && tlb->mm_gen == mm->gen - 1) {
                tlb_clear_range(tlb, start, end);
                tlb->mm_gen = mm->gen;
            }
        }
    }
    shootdown_others(mm);
}

// The frame is about to hold decoded code: no hart may keep a write entry for it.
static void code_begin(struct hart *hart, maddr page) {
    u32 *code = frame_code(page);
    if (*code & CODE_IS)
        return;
    if (*code & CODE_WRITTEN) {
        for (u32 i = 0; i < TLB_POOL; i++) {
            struct tlb *tlb = &hart->pool[i];
            tlb->lost++;
            for (u32 j = 0; j < TLB_ENTRIES; j++) {
                if (tlb->blank >> (j / TLB_PART) & 1)
                    j += TLB_PART - 1;
                else if ((u32)tlb->w[j].tag + tlb->w[j].delta == page)
                    tlb_empty(tlb->w, j); // of one that is, the sum is not that of a page
            }
        }
        if (host.hart_count > 1) {
            for (u32 i = 0; i < host.hart_count; i++) // not running: flushed when selected
                for (u32 j = 0; host.hart[i] && host.hart[i] != hart && j < TLB_POOL; j++)
                    host.hart[i]->pool[j].mm_gen = ~0ull;
            shootdown_others(NULL);
        }
    }
    *code = ((*code & ~(u32)CODE_WRITTEN) | CODE_IS);
    if (!(*code >> 2))
        *code += CODE_GENERATION;
}

// ---- Misses ------------------------------------------------------------------------------------
// While a hart waits for the kernel lock it does not count as being in guest code, so whoever holds
// the lock may take rights away meanwhile: look again at the generation.
//
// With BOOT_ORDERED it takes no kernel lock, for what a miss finds must not depend on when it gets one: only this hart
// changes its address space, or another one that has stopped it first. What a miss cannot have as it is faults.
static void miss_begin(struct hart *hart) {
    if (ordered()) {
        lock_take(&host.miss_lock);
        return;
    }
    kernel_lock(hart);
    tlb_select(hart, hart->mm);
}

static void miss_end(struct hart *hart) {
    if (ordered()) {
        lock_drop(&host.miss_lock);
        return;
    }
    kernel_unlock_to_guest(hart);
}

static i64 miss(struct hart *hart, u64 va, enum access access, maddr *page) {
    if (!ordered())
        return mm_fault(hart->mm, va, access, NULL, page);
    *page = mm_ready(hart->mm, va, access);
    return *page ? 0 : E_WAIT;
}

maddr tlb_miss(struct hart *hart, u64 va, enum access access) {
    maddr page;
    miss_begin(hart);
    i64 r = miss(hart, va, access, &page);
    if (r) {
        hart->fault = (struct fault){va, access};
        miss_end(hart);
        return 0;
    }
    u64 base = va & ~PAGE_MASK;
    if (unlikely(host.debug.watches) && debug_watches(page, access == ACCESS_WRITE)) {
        if (access == ACCESS_WRITE)
            code_drop(page);
    } else if (access == ACCESS_WRITE) {
        u32 *code = frame_code(page);
        if (*code & CODE_IS) {
            code_drop(page);
            hart->code_changed = true;
        } else {
            *code |= CODE_WRITTEN;
            tlb_fill(hart->tlb, hart->tlb->w, base, page);
        }
    } else {
        tlb_fill(hart->tlb, hart->tlb->r, base, page);
    }
    miss_end(hart);
    return page + (u32)(va & PAGE_MASK);
}

maddr tlb_fetch(struct hart *hart, u64 va) {
    maddr page;
    miss_begin(hart);
    i64 r = miss(hart, va, ACCESS_FETCH, &page);
    if (r) {
        hart->fault = (struct fault){va, ACCESS_FETCH};
        page = 0;
    } else {
        code_begin(hart, page);
    }
    miss_end(hart);
    return page;
}

maddr tlb_peek(struct hart *hart, u64 va) {
    miss_begin(hart);
    maddr page = mm_peek(hart->mm, va);
    miss_end(hart);
    return page;
}

maddr tlb_hold(struct hart *hart, u64 va) {
    miss_begin(hart);
    maddr page = mm_peek(hart->mm, va);
    if (page)
        code_begin(hart, page);
    miss_end(hart);
    return page;
}

bool tlb_is_text(struct hart *hart, u64 va) {
    miss_begin(hart);
    const struct vma *vma = mm_find(hart->mm, va);
    bool is = vma && vma->object && !(vma->prot & PROT_WRITE);
    miss_end(hart);
    return is;
}

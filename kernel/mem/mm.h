// An address space: VMAs (the truth about rights) and a radix tree of frames (the truth about content).
// Layout, hints and limits are Linux's for riscv64 Sv48: user addresses below 2^47.
// Every function here needs the kernel lock.
#pragma once
#include "hart.h"
#include "memobject.h"

#define USER_END (1ull << 47)
#define STACK_TOP (USER_END - PAGE_SIZE)

struct vma {
    u64 start, end;
    u32 prot;  // PROT_*
    u32 flags; // VMA_*
    struct memobject *object; // NULL: private anonymous memory. The VMA holds a reference.
    u64 index; // page index in the object at `start`
    const char *name; // "[heap]", "[stack]", "[vdso]" or NULL
};
enum { VMA_SHARED = 1, VMA_GROWSDOWN = 2, VMA_DONTFORK = 4, VMA_LOCKED = 8, VMA_WIPEONFORK = 16,
       VMA_WRITABLE_FILE = 32 /* shared file mapping opened for writing: mprotect may add PROT_WRITE */ };

struct mm {
    u32 refs;  // tasks and holders
    u32 fetch_gen; // executable mappings changed
    u64 id;    // never reused: names the address space in private caches
    u64 gen;   // +1 whenever a right is taken away
    struct vma **vmas; // sorted by start, disjoint
    u32 vma_count, vma_cap;
    void *root; // radix tree of u32 entries
    u64 brk_start, brk;
    u64 stack_limit; // lowest address the stack may grow to
    u64 rss, rss_max; // frames
    u64 shares; // with others of this group, what programs write; 0: with none (kept only if BOOT_ORDERED)
    u64 total;  // bytes mapped
    // For procfs.
    u64 arg_start, arg_end, env_start, env_end;
    u64 vdso; // where the vDSO is mapped
    u64 ld_start, ld_end; // the dynamic loader
    struct memobject *exe; // with a reference; NULL for the agent
    u64 auxv[48];
    u32 auxv_count;
};

must_check struct mm *mm_create(void);
must_check struct mm *mm_clone(struct mm *mm); // copy-on-write
void mm_sharing(struct mm *mm); // it becomes somebody's: what it has mapped may be shared by now
void mm_get(struct mm *mm);
void mm_put(struct mm *mm);

// mmap(2) below the system call: addr is page-aligned; without MAP_FIXED it is a hint. Takes its own reference to
// `object`. vma_flags are VMA_*. Returns the address or -errno.
must_check i64 mm_map(struct mm *mm, u64 addr, u64 len, u32 prot, u32 map_flags, u32 vma_flags,
                      struct memobject *object, u64 index, const char *name);
must_check i64 mm_unmap(struct mm *mm, u64 addr, u64 len);
must_check i64 mm_protect(struct mm *mm, u64 addr, u64 len, u32 prot);
must_check i64 mm_remap(struct mm *mm, u64 old, u64 old_len, u64 new_len, u32 flags, u64 new_addr);
must_check i64 mm_discard(struct mm *mm, u64 addr, u64 len); // MADV_DONTNEED
must_check i64 mm_brk(struct mm *mm, u64 brk);               // returns the new break
struct vma *mm_find(struct mm *mm, u64 addr); // the VMA that contains addr, or NULL
u32 mm_find_index(struct mm *mm, u64 addr);   // first VMA with end > addr; vma_count when none

// Make the page at va present with the right to `access`. 0 and the frame's host address in *out; E_WAIT;
// -EFAULT (not mapped), -EACCES (mapped, no right), -EIO (SIGBUS), -ENOMEM.
must_check i64 mm_fault(struct mm *mm, u64 va, enum access access, struct task *task, maddr *out);
maddr mm_peek(struct mm *mm, u64 va); // the frame of a page that can be executed now; 0: it would fault
maddr mm_look(struct mm *mm, u64 va); // the frame at va, whatever its rights; 0: none is there
// The frame at va, if this access needs nothing of the kernel; 0: it does. No lock, if the space belongs to this hart.
maddr mm_ready(struct mm *mm, u64 va, enum access access);
bool mm_present(struct mm *mm, u64 va); // for mincore

// After a right was taken away: every hart has dropped its translations of [start, end) when this returns.
void mm_shootdown(struct mm *mm, u64 start, u64 end);

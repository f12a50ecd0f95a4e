#include "mm.h"
#include "../kernel.h"
#include "tlb.h"

// ---- The tree: 4 levels of 1,024 entries of 32 bits, each table one frame -----------------------
// An inner entry is the address of a table. A leaf is the frame's address | PTE_*. Rights are the
// VMA's; PTE_WRITE says that the frame may be written as it is (not shared copy-on-write).
enum { PTE_PRESENT = 1, PTE_WRITE = 2 };
#define TABLE 1024u
#define PTE_FRAME(e) ((e) & ~0xfffu)

static u32 pte_index(u64 va, u32 level) { // level 0: leaf
    return (va >> (PAGE_SHIFT + 10 * level)) & (TABLE - 1);
}

static u32 *pte_find(struct mm *mm, u64 va) {
    if (!mm->root)
        return NULL;
    u32 *table = mm->root;
    for (u32 level = 3; level; level--) {
        table = MPTR(u32, table[pte_index(va, level)]);
        if (!table)
            return NULL;
    }
    return &table[pte_index(va, 0)];
}

static u32 *pte_make(struct mm *mm, u64 va) {
    if (!mm->root) {
        struct page *page = page_alloc();
        if (!page)
            return NULL;
        mm->root = page_data(page);
    }
    u32 *table = mm->root;
    for (u32 level = 3; level; level--) {
        u32 *slot = &table[pte_index(va, level)];
        if (!*slot) {
            struct page *page = page_alloc();
            if (!page)
                return NULL;
            *slot = page_address(page);
        }
        table = MPTR(u32, *slot);
    }
    return &table[pte_index(va, 0)];
}

// First address at or after va whose leaf table exists; the leaf table in *leaf. ~0 when none below
// end.
static u64 leaf_next(struct mm *mm, u64 va, u64 end, u32 **leaf) {
    while (va < end && mm->root) {
        u32 *table = mm->root;
        u32 level = 3;
        for (; level; level--) {
            u32 e = table[pte_index(va, level)];
            if (!e)
                break;
            table = MPTR(u32, e);
        }
        if (!level) {
            *leaf = table;
            return va;
        }
        u64 span = 1ull << (PAGE_SHIFT + 10 * level);
        va = align_down(va, span) + span;
    }
    return ~0ull;
}

static void pte_clear(struct mm *mm, u32 *pte) {
    page_put(page_of(PTE_FRAME(*pte)));
    *pte = 0;
    mm->rss--;
}

static void clear_range(struct mm *mm, u64 start, u64 end) {
    u32 *leaf;
    u64 va = start;
    while ((va = leaf_next(mm, va, end, &leaf)) != ~0ull) {
        u64 stop = min(end, align_down(va, 1ull << 22) + (1ull << 22));
        for (; va < stop; va += PAGE_SIZE) {
            u32 *pte = &leaf[pte_index(va, 0)];
            if (*pte)
                pte_clear(mm, pte);
        }
    }
}

static void free_tables(u32 *table, u32 level) {
    if (level)
        for (u32 i = 0; i < TABLE; i++)
            if (table[i])
                free_tables(MPTR(u32, table[i]), level - 1);
    page_put(page_of(MADDR(table)));
}

// ---- VMAs --------------------------------------------------------------------------------------
u32 mm_find_index(struct mm *mm, u64 addr) {
    u32 low = 0, high = mm->vma_count;
    while (low < high) {
        u32 mid = (low + high) / 2;
        if (mm->vmas[mid]->end > addr)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

struct vma *mm_find(struct mm *mm, u64 addr) {
    u32 i = mm_find_index(mm, addr);
    return i < mm->vma_count && mm->vmas[i]->start <= addr ? mm->vmas[i] : NULL;
}

static i64 vma_room(struct mm *mm, u32 extra) {
    if (mm->vma_count + extra <= mm->vma_cap)
        return 0;
    u32 cap = max(16u, mm->vma_cap * 2);
    struct vma **vmas = krealloc(mm->vmas, cap * sizeof *vmas);
    if (!vmas)
        return -ENOMEM;
    mm->vmas = vmas;
    mm->vma_cap = cap;
    return 0;
}

static void vma_insert_at(struct mm *mm, u32 i, struct vma *vma) { // room was made
    memmove(mm->vmas + i + 1, mm->vmas + i, (mm->vma_count - i) * sizeof *mm->vmas);
    mm->vmas[i] = vma;
    mm->vma_count++;
}

static void vma_remove_at(struct mm *mm, u32 i) {
    mm->vma_count--;
    memmove(mm->vmas + i, mm->vmas + i + 1, (mm->vma_count - i) * sizeof *mm->vmas);
}

static void vma_free(struct vma *vma) {
    if (vma->object)
        vma->object->ops->put(vma->object);
    kfree(vma);
}

static u64 vma_index(const struct vma *vma, u64 va) {
    return vma->index + ((va - vma->start) >> PAGE_SHIFT);
}

// Make `addr` a boundary between VMAs.
static i64 vma_split(struct mm *mm, u64 addr) {
    u32 i = mm_find_index(mm, addr);
    if (i == mm->vma_count || mm->vmas[i]->start >= addr)
        return 0;
    i64 r = vma_room(mm, 1);
    if (r)
        return r;
    struct vma *vma = mm->vmas[i], *upper = knew(struct vma);
    if (!upper)
        return -ENOMEM;
    *upper = *vma;
    upper->start = addr;
    if (upper->object) {
        upper->index = vma_index(vma, addr);
        upper->object->ops->get(upper->object);
    }
    vma->end = addr;
    vma_insert_at(mm, i + 1, upper);
    return 0;
}

static bool vma_joins(const struct vma *a, const struct vma *b) {
    return a->end == b->start && a->prot == b->prot && a->flags == b->flags && a->name == b->name &&
           a->object == b->object && !(a->flags & VMA_GROWSDOWN) &&
           (!a->object || vma_index(a, a->end) == b->index);
}

static void vma_merge(struct mm *mm, u64 start, u64 end) {
    u32 i = mm_find_index(mm, start ? start - 1 : 0);
    while (i + 1 < mm->vma_count && mm->vmas[i]->start <= end) {
        struct vma *a = mm->vmas[i], *b = mm->vmas[i + 1];
        if (vma_joins(a, b)) {
            a->end = b->end;
            vma_remove_at(mm, i + 1);
            vma_free(b);
        } else {
            i++;
        }
    }
}

// ---- Life --------------------------------------------------------------------------------------
static void fetch_changed(struct mm *mm) {
    mm->fetch_gen = ++kernel->fetch_gen_next;
}

struct mm *mm_create(void) {
    struct mm *mm = knew(struct mm);
    if (!mm)
        return NULL;
    mm->refs = 1;
    mm->id = ++kernel->mm_next_id;
    mm->stack_limit = STACK_TOP - (8ull << 20);
    fetch_changed(mm);
    return mm;
}

void mm_get(struct mm *mm) {
    mm->refs++;
}

void mm_put(struct mm *mm) {
    if (!mm || --mm->refs)
        return;
    for (u32 i = 0; i < mm->vma_count; i++) {
        clear_range(mm, mm->vmas[i]->start, mm->vmas[i]->end);
        vma_free(mm->vmas[i]);
    }
    if (mm->root)
        free_tables(mm->root, 3);
    if (mm->exe)
        mm->exe->ops->put(mm->exe);
    kfree(mm->vmas);
    kfree(mm);
}

static i64 clone_range(struct mm *to, struct mm *from, const struct vma *vma) {
    u32 *leaf;
    u64 va = vma->start;
    bool shared = vma->flags & VMA_SHARED;
    while ((va = leaf_next(from, va, vma->end, &leaf)) != ~0ull) {
        u64 stop = min(vma->end, align_down(va, 1ull << 22) + (1ull << 22));
        u32 *copy = NULL;
        for (; va < stop; va += PAGE_SIZE) {
            u32 *pte = &leaf[pte_index(va, 0)];
            if (!*pte)
                continue;
            if (!copy) {
                copy = pte_make(to, va);
                if (!copy)
                    return -ENOMEM;
                copy -= pte_index(va, 0);
            }
            if (!shared)
                *pte &= ~(u32)PTE_WRITE;
            page_get(page_of(PTE_FRAME(*pte)));
            copy[pte_index(va, 0)] = *pte;
            to->rss++;
        }
    }
    return 0;
}

struct mm *mm_clone(struct mm *from) {
    struct mm *to = mm_create();
    if (!to)
        return NULL;
    u64 id = to->id;
    u32 fetch_gen = to->fetch_gen;
    *to = *from;
    to->refs = 1;
    to->id = id;
    to->fetch_gen = fetch_gen;
    to->gen = 0;
    to->root = NULL;
    to->vmas = NULL;
    to->vma_count = to->vma_cap = 0;
    to->rss = 0;
    if (to->exe)
        to->exe->ops->get(to->exe);
    for (u32 i = 0; i < from->vma_count; i++) {
        struct vma *vma = from->vmas[i];
        if (vma->flags & VMA_DONTFORK) {
            to->total -= vma->end - vma->start;
            continue;
        }
        struct vma *copy = knew(struct vma);
        if (!copy || vma_room(to, 1)) {
            kfree(copy);
            goto fail;
        }
        *copy = *vma;
        if (copy->object)
            copy->object->ops->get(copy->object);
        vma_insert_at(to, to->vma_count, copy);
        if (!(vma->flags & VMA_WIPEONFORK) && clone_range(to, from, vma))
            goto fail;
    }
    pass_cost(from->rss / 8);
    mm_shootdown(from, 0, USER_END); // the parent's write entries are stale
    return to;
fail:
    mm_shootdown(from, 0, USER_END);
    mm_put(to);
    return NULL;
}

// ---- Mapping -----------------------------------------------------------------------------------
static bool range_free(struct mm *mm, u64 start, u64 end) {
    u32 i = mm_find_index(mm, start);
    return i == mm->vma_count || mm->vmas[i]->start >= end;
}

// Top down below the stack's reserve, at least 128 MiB, as Linux does.
static u64 find_gap(struct mm *mm, u64 len) {
    u64 top =
        align_down(min(mm->stack_limit, STACK_TOP - (128ull << 20)) - (1ull << 20), (u64)PAGE_SIZE);
    u32 i = mm_find_index(mm, top);
    for (;;) {
        u64 high = top;
        if (i < mm->vma_count)
            high = min(high, mm->vmas[i]->start);
        u64 low = i ? mm->vmas[i - 1]->end : 0x10000;
        if (high >= low && high - low >= len)
            return high - len;
        if (!i)
            return 0;
        i--;
    }
}

// All who have an object mapped through which one of them can write belong together, and so do those who share
// another one with any of them: their harts take turns. A group has the name of the space that began it.
static void group_rename(struct mm *mm, u64 from, u64 to) {
    if (mm->shares != from)
        return;
    mm->shares = to;
    for (u32 i = 0; i < mm->vma_count; i++) {
        struct memobject *object = mm->vmas[i]->object;
        if (object && object->group == from)
            object->group = to;
    }
}

static void group_join(struct mm *mm, u64 group) {
    u64 from = mm->shares;
    if (from == group)
        return;
    group_rename(mm, from, group);
    struct process *process;
    list_each(process, &kernel->processes, all) {
        struct task *task;
        list_each(task, &process->tasks, sibling)
            if (from && task->mm)
                group_rename(task->mm, from, group);
    }
}

static bool has_mapped(const struct mm *mm, const struct memobject *object) {
    for (u32 i = 0; mm && i < mm->vma_count; i++)
        if (mm->vmas[i]->object == object)
            return true;
    return false;
}

static void sharing(struct mm *mm, const struct vma *vma) {
    struct memobject *object = vma->object;
    bool writes = vma->prot & PROT_WRITE || vma->flags & VMA_WRITABLE_FILE;
    if (!object->group && vma->flags & VMA_SHARED && writes) {
        object->group = mm->shares ? mm->shares : mm->id;
        struct process *process;
        list_each(process, &kernel->processes, all) {
            struct task *task;
            list_each(task, &process->tasks, sibling)
                if (has_mapped(task->mm, object))
                    group_join(task->mm, object->group);
        }
    }
    if (object->group)
        group_join(mm, object->group);
}

void mm_sharing(struct mm *mm) {
    for (u32 i = 0; i < mm->vma_count && ordered(); i++)
        if (mm->vmas[i]->object)
            sharing(mm, mm->vmas[i]);
}

i64 mm_map(struct mm *mm, u64 addr, u64 len, u32 prot, u32 map_flags, u32 vma_flags,
           struct memobject *object, u64 index, const char *name) {
    len = align_up(len, (u64)PAGE_SIZE);
    if (!len || len > USER_END)
        return len ? -ENOMEM : -EINVAL;
    if (map_flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
        if ((addr & PAGE_MASK) || addr > USER_END - len)
            return (addr & PAGE_MASK) ? -EINVAL : -ENOMEM;
        if (map_flags & MAP_FIXED_NOREPLACE) {
            if (!range_free(mm, addr, addr + len))
                return -EEXIST;
        } else {
            i64 r = mm_unmap(mm, addr, len);
            if (r)
                return r;
        }
    } else {
        addr = align_up(addr, (u64)PAGE_SIZE);
        if (!addr || addr < 0x10000 || addr > USER_END - len || !range_free(mm, addr, addr + len))
            addr = find_gap(mm, len);
        if (!addr)
            return -ENOMEM;
    }
    i64 r = vma_room(mm, 1);
    if (r)
        return r;
    struct vma *vma = knew(struct vma);
    if (!vma)
        return -ENOMEM;
    *vma = (struct vma){addr, addr + len, prot, vma_flags, object, index, name};
    if (object)
        object->ops->get(object);
    vma_insert_at(mm, mm_find_index(mm, addr), vma);
    mm->total += len;
    if (object && ordered())
        sharing(mm, vma);
    vma_merge(mm, addr, addr + len);
    return (i64)addr;
}

i64 mm_unmap(struct mm *mm, u64 addr, u64 len) {
    len = align_up(len, (u64)PAGE_SIZE);
    if ((addr & PAGE_MASK) || !len || addr > USER_END || len > USER_END - addr)
        return -EINVAL;
    u64 end = addr + len;
    i64 r = vma_split(mm, addr);
    if (!r)
        r = vma_split(mm, end);
    if (r)
        return r;
    u32 first = mm_find_index(mm, addr), last = first;
    bool exec = false;
    while (last < mm->vma_count && mm->vmas[last]->start < end) {
        exec |= mm->vmas[last]->prot & PROT_EXEC;
        mm->total -= mm->vmas[last]->end - mm->vmas[last]->start;
        last++;
    }
    if (first == last)
        return 0;
    if (exec)
        fetch_changed(mm);
    mm_shootdown(mm, addr, end); // before the frames are given back
    clear_range(mm, addr, end);
    for (u32 i = first; i < last; i++)
        vma_free(mm->vmas[i]);
    memmove(mm->vmas + first, mm->vmas + last, (mm->vma_count - last) * sizeof *mm->vmas);
    mm->vma_count -= last - first;
    pass_cost(len >> PAGE_SHIFT > 4096 ? 512 : len >> (PAGE_SHIFT + 3));
    return 0;
}

i64 mm_protect(struct mm *mm, u64 addr, u64 len, u32 prot) {
    len = align_up(len, (u64)PAGE_SIZE);
    if (addr & PAGE_MASK)
        return -EINVAL;
    if (!len)
        return 0;
    if (addr > USER_END || len > USER_END - addr)
        return -ENOMEM;
    u64 end = addr + len;
    // Every page must be mapped, and a read-only shared file cannot be made writable.
    u64 at = addr;
    for (u32 i = mm_find_index(mm, addr); at < end; i++) {
        if (i == mm->vma_count || mm->vmas[i]->start > at)
            return -ENOMEM;
        struct vma *vma = mm->vmas[i];
        if ((prot & PROT_WRITE) && (vma->flags & VMA_SHARED) && vma->object &&
            !(vma->flags & VMA_WRITABLE_FILE))
            return -EACCES;
        at = vma->end;
    }
    i64 r = vma_split(mm, addr);
    if (!r)
        r = vma_split(mm, end);
    if (r)
        return r;
    bool exec = prot & PROT_EXEC, lost = false;
    for (u32 i = mm_find_index(mm, addr); i < mm->vma_count && mm->vmas[i]->start < end; i++) {
        struct vma *vma = mm->vmas[i];
        exec |= vma->prot & PROT_EXEC;
        lost |= vma->prot & ~prot;
        vma->prot = prot;
    }
    if (exec)
        fetch_changed(mm);
    if (lost)
        mm_shootdown(mm, addr, end);
    vma_merge(mm, addr, end);
    return 0;
}

i64 mm_discard(struct mm *mm, u64 addr, u64 len) {
    len = align_up(len, (u64)PAGE_SIZE);
    if ((addr & PAGE_MASK) || addr > USER_END || len > USER_END - addr)
        return -EINVAL;
    u64 end = addr + len, at = addr;
    i64 r = 0;
    mm_shootdown(mm, addr, end);
    for (u32 i = mm_find_index(mm, addr); at < end && i < mm->vma_count; i++) {
        struct vma *vma = mm->vmas[i];
        if (vma->start > at)
            r = -ENOMEM; // a hole: Linux goes on and says so
        if (vma->start >= end)
            break;
        if (vma->prot & PROT_EXEC)
            fetch_changed(mm);
        clear_range(mm, max(at, vma->start), min(end, vma->end));
        at = vma->end;
    }
    return at < end ? -ENOMEM : r;
}

i64 mm_brk(struct mm *mm, u64 brk) {
    u64 old = align_up(mm->brk, (u64)PAGE_SIZE), new = align_up(brk, (u64)PAGE_SIZE);
    if (brk < mm->brk_start || new > USER_END)
        return (i64)mm->brk;
    if (new > old) {
        if (!range_free(mm, old, new))
            return (i64)mm->brk;
        i64 r = mm_map(mm, old, new - old, PROT_READ | PROT_WRITE, MAP_FIXED_NOREPLACE, 0, NULL, 0,
                       "[heap]");
        if (r < 0)
            return (i64)mm->brk;
    } else if (new < old && mm_unmap(mm, new, old - new)) {
        return (i64)mm->brk;
    }
    mm->brk = brk;
    return (i64)brk;
}

static i64 move_range(struct mm *mm, u64 from, u64 to, u64 len) {
    for (u64 off = 0; off < len; off += PAGE_SIZE) {
        u32 *pte = pte_find(mm, from + off);
        if (!pte || !*pte)
            continue;
        u32 *slot = pte_make(mm, to + off);
        if (!slot)
            return -ENOMEM;
        *slot = *pte;
        *pte = 0;
    }
    return 0;
}

i64 mm_remap(struct mm *mm, u64 old, u64 old_len, u64 new_len, u32 flags, u64 new_addr) {
    old_len = align_up(old_len, (u64)PAGE_SIZE);
    new_len = align_up(new_len, (u64)PAGE_SIZE);
    if ((old & PAGE_MASK) || !new_len || new_len > USER_END)
        return -EINVAL;
    if ((flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) && !(flags & MREMAP_MAYMOVE))
        return -EINVAL;
    if (flags & MREMAP_FIXED) {
        if ((new_addr & PAGE_MASK) || new_addr > USER_END - new_len ||
            (new_addr < old + old_len && old < new_addr + new_len))
            return -EINVAL;
    }
    struct vma *vma = mm_find(mm, old);
    if (!vma)
        return -EFAULT;
    if (!old_len) {
        if (!(vma->flags & VMA_SHARED) || !(flags & MREMAP_MAYMOVE))
            return -EINVAL;
        return mm_map(mm, flags & MREMAP_FIXED ? new_addr : 0, new_len, vma->prot,
                      flags & MREMAP_FIXED ? MAP_FIXED : 0, vma->flags, vma->object,
                      vma_index(vma, old), vma->name);
    }
    if (old + old_len > vma->end)
        return -EFAULT;
    bool move = flags & (MREMAP_FIXED | MREMAP_DONTUNMAP);
    if (!move && new_len <= old_len) {
        if (new_len < old_len) {
            i64 r = mm_unmap(mm, old + new_len, old_len - new_len);
            if (r)
                return r;
        }
        return (i64)old;
    }
    if (!move && old + old_len == vma->end && old + new_len <= mm->stack_limit &&
        range_free(mm, vma->end, old + new_len)) {
        mm->total += new_len - old_len;
        vma->end = old + new_len;
        vma_merge(mm, old, vma->end);
        return (i64)old;
    }
    if (!(flags & MREMAP_MAYMOVE))
        return -ENOMEM;
    struct vma like = *vma;
    u64 index = like.object ? vma_index(vma, old) : 0;
    if (like.object)
        like.object->ops->get(like.object); // survives an unmap by MAP_FIXED
    i64 to =
        mm_map(mm, flags & MREMAP_FIXED ? new_addr : 0, new_len, like.prot,
               flags & MREMAP_FIXED ? MAP_FIXED : 0, like.flags, like.object, index, like.name);
    if (to > 0) {
        mm_shootdown(mm, old, old + old_len);
        i64 r = move_range(mm, old, (u64)to, min(old_len, new_len));
        if (like.prot & PROT_EXEC)
            fetch_changed(mm);
        if (!r && !(flags & MREMAP_DONTUNMAP))
            r = mm_unmap(mm, old, old_len);
        if (r)
            to = r;
    }
    if (like.object)
        like.object->ops->put(like.object);
    return to;
}

// ---- Faults ------------------------------------------------------------------------------------
static struct vma *stack_grow(struct mm *mm, u64 va) {
    u32 i = mm_find_index(mm, va);
    if (i == mm->vma_count)
        return NULL;
    struct vma *vma = mm->vmas[i];
    if (!(vma->flags & VMA_GROWSDOWN) || va < mm->stack_limit)
        return NULL;
    u64 start = align_down(va, (u64)PAGE_SIZE);
    if (i && mm->vmas[i - 1]->end > start)
        return NULL;
    mm->total += vma->start - start;
    vma->start = start;
    return vma;
}

static void pte_set(struct mm *mm, u32 *pte, struct page *page, bool write) {
    if (!*pte) {
        mm->rss++;
        mm->rss_max = max(mm->rss_max, mm->rss);
    }
    *pte = page_address(page) | PTE_PRESENT | (write ? PTE_WRITE : 0);
}

// A private copy of `from` (NULL: zeros). Takes over the caller's reference to `from`.
static struct page *page_copy(struct page *from) {
    struct page *page = page_alloc();
    if (page && from && page_address(from) != kernel->zero_page)
        memcpy(page_data(page), page_data(from), PAGE_SIZE);
    if (from)
        page_put(from);
    return page;
}

static u32 rights(enum access access) {
    return access == ACCESS_WRITE   ? PROT_WRITE
           : access == ACCESS_FETCH ? PROT_EXEC
                                    : PROT_READ | PROT_WRITE;
}

// A program that reads or runs a page of a file soon needs what lies beside it: what is in memory of that is mapped,
// too, as Linux does. Only what nobody writes, and not where memory is short: a page that is mapped stays.
enum { AROUND = 64 }; // what an image brings at once

static void map_around(struct mm *mm, const struct vma *vma, u64 va) {
    if (!vma->object->ops->peek || vma->prot & PROT_WRITE || vma->flags & VMA_SHARED || pages_free() < pages_total() / 8)
        return;
    u64 window = align_down(va, (u64)AROUND * PAGE_SIZE);
    u64 end = min(window + AROUND * PAGE_SIZE, vma->end);
    u64 at = max(window, vma->start);
    for (u32 *pte = pte_find(mm, at); at < end; at += PAGE_SIZE, pte++) { // one table has all of them
        struct page *page = *pte ? NULL : vma->object->ops->peek(vma->object, vma_index(vma, at));
        if (!page)
            continue;
        page_get(page);
        pte_set(mm, pte, page, false);
    }
}

i64 mm_fault(struct mm *mm, u64 va, enum access access, struct task *task, maddr *out) {
    struct vma *vma = va < USER_END ? mm_find(mm, va) : NULL;
    if (!vma && (va >= USER_END || !(vma = stack_grow(mm, va))))
        return -EFAULT;
    if (!(vma->prot & rights(access)))
        return -EACCES;
    bool write = access == ACCESS_WRITE;
    u32 *pte = pte_find(mm, va);
    if (pte && *pte && (!write || (*pte & PTE_WRITE))) {
        *out = PTE_FRAME(*pte);
        return 0;
    }
    u64 page_va = align_down(va, (u64)PAGE_SIZE);
    bool shared = vma->flags & VMA_SHARED;
    if (!pte) {
        pte = pte_make(mm, va);
        if (!pte)
            return -ENOMEM;
    }
    struct page *page;
    if (*pte && !shared) { // copy-on-write
        page = page_of(PTE_FRAME(*pte));
        if (page->refs == 1) {
            *pte |= PTE_WRITE;
            *out = PTE_FRAME(*pte);
            return 0;
        }
        page_get(page);
        struct page *copy = page_copy(page);
        if (!copy)
            return -ENOMEM;
        if (vma->prot & PROT_EXEC)
            fetch_changed(mm);
        mm_shootdown(mm, page_va, page_va + PAGE_SIZE); // read entries show the old frame
        page_put(page);
        *pte = 0;
        mm->rss--;
        pte_set(mm, pte, copy, true);
        *out = page_address(copy);
        return 0;
    }
    if (vma->object) {
        if (shared && write && !task)
            return E_WAIT; // the file's times change: only a pass knows what time it is
        i64 r = vma->object->ops->frame(vma->object, vma_index(vma, va),
                                        shared && write ? WANT_WRITE : WANT_READ, task, &page);
        if (r)
            return r == -EFAULT ? -EIO : r;
        if (write && !shared) {
            page = page_copy(page);
            if (!page)
                return -ENOMEM;
        }
        if (shared && write)
            page->flags |= PAGE_SHARED;
        if (*pte) { // shared, was readable
            mm_shootdown(mm, page_va, page_va + PAGE_SIZE);
            pte_clear(mm, pte);
        }
        pte_set(mm, pte, page, write);
        if (!write)
            map_around(mm, vma, va);
    } else if (write) {
        page = page_alloc();
        if (!page)
            return -ENOMEM;
        pte_set(mm, pte, page, true);
    } else {
        page = page_of(kernel->zero_page);
        page_get(page);
        pte_set(mm, pte, page, false);
    }
    *out = page_address(page);
    return 0;
}

maddr mm_ready(struct mm *mm, u64 va, enum access access) {
    struct vma *vma = va < USER_END ? mm_find(mm, va) : NULL;
    u32 *pte = vma && vma->prot & rights(access) ? pte_find(mm, va) : NULL;
    bool is = pte && *pte && (access != ACCESS_WRITE || *pte & PTE_WRITE);
    return is ? PTE_FRAME(*pte) : 0;
}

maddr mm_peek(struct mm *mm, u64 va) {
    struct vma *vma = mm_find(mm, va);
    u32 *pte = vma && (vma->prot & PROT_EXEC) ? pte_find(mm, va) : NULL;
    return pte && *pte ? PTE_FRAME(*pte) : 0;
}

maddr mm_look(struct mm *mm, u64 va) {
    u32 *pte = va < USER_END ? pte_find(mm, va) : NULL;
    return pte ? PTE_FRAME(*pte) : 0;
}

bool mm_present(struct mm *mm, u64 va) {
    u32 *pte = pte_find(mm, va);
    return pte && *pte;
}

// ---- Reverse mapping by search: rare, and there are few address spaces --------------------------
void memobject_unmap(struct memobject *object, u64 first, u64 last) {
    struct process *process;
    list_each(process, &kernel->processes, all) {
        struct task *task;
        list_each(task, &process->tasks, sibling) {
            struct mm *mm = task->mm;
            for (u32 i = 0; mm && i < mm->vma_count; i++) {
                struct vma *vma = mm->vmas[i];
                u64 pages = (vma->end - vma->start) >> PAGE_SHIFT;
                if (vma->object != object || vma->index > last || vma->index + pages <= first)
                    continue;
                u64 from =
                    vma->start + (first > vma->index ? (first - vma->index) << PAGE_SHIFT : 0);
                u64 span = last - vma->index >= pages ? pages : last - vma->index + 1;
                u64 to = vma->start + (span << PAGE_SHIFT);
                if (vma->prot & PROT_EXEC)
                    fetch_changed(mm);
                mm_shootdown(mm, from, to);
                clear_range(mm, from, to);
            }
        }
    }
}

// mmap(2), munmap(2), mprotect(2), mremap(2), brk(2), madvise(2), msync(2), mincore(2), mlock(2).
#include "../mem/tlb.h"
#include "sys.h"

static u64 limit_as(struct task *task) {
    return task->process->rlimit[RLIMIT_AS][0];
}

i64 sys_brk(struct task *task, struct call *call) {
    struct mm *mm = task->mm;
    u64 want = call->args[0];
    if (want > mm->brk && want - mm->brk_start > task->process->rlimit[RLIMIT_DATA][0])
        return (i64)mm->brk;
    if (want > mm->brk && mm->total + (want - mm->brk) > limit_as(task))
        return (i64)mm->brk;
    return mm_brk(mm, want);
}

i64 sys_mmap(struct task *task, struct call *call) {
    u64 addr = call->args[0], len = call->args[1], offset = call->args[5];
    u32 prot = arg_u32(call, 2), flags = arg_u32(call, 3), type = flags & MAP_TYPE;
    if (!len || (offset & PAGE_MASK))
        return -EINVAL;
    if (type != MAP_PRIVATE && type != MAP_SHARED && type != MAP_SHARED_VALIDATE)
        return -EINVAL;
    if (task->mm->total + len > limit_as(task))
        return -ENOMEM;
    bool shared = type != MAP_PRIVATE;
    u32 vma_flags = (shared ? VMA_SHARED : 0) | (flags & MAP_GROWSDOWN ? VMA_GROWSDOWN : 0);
    prot &= PROT_READ | PROT_WRITE | PROT_EXEC;
    struct memobject *object = NULL;
    u64 index = 0;
    if (flags & MAP_ANONYMOUS) {
        if (shared) {
            object = memobject_anonymous();
            if (!object)
                return -ENOMEM;
            vma_flags |= VMA_WRITABLE_FILE;
        }
    } else {
        struct file *file = fd_file(task, arg_int(call, 4));
        if (!file)
            return -EBADF;
        u32 mode = file->flags & O_ACCMODE;
        if ((file->flags & O_PATH) || mode == O_WRONLY)
            return file->flags & O_PATH ? -EBADF : -EACCES;
        if (shared && (prot & PROT_WRITE) && mode != O_RDWR)
            return -EACCES;
        if (file->inode && file->inode->fs && (prot & PROT_EXEC) &&
            (file->inode->fs->flags & MS_NOEXEC))
            return -EPERM;
        if (!file->ops->mmap)
            return -ENODEV;
        i64 r = file->ops->mmap(task, file, prot, flags, &object);
        if (r)
            return r;
        if (object)
            object->ops->get(object);
        if (mode == O_RDWR)
            vma_flags |= VMA_WRITABLE_FILE;
        index = offset >> PAGE_SHIFT;
    }
    i64 r = mm_map(task->mm, addr, len, prot, flags, vma_flags, object, index, NULL);
    if (object)
        object->ops->put(object); // the mapping holds its own
    return r;
}

i64 sys_munmap(struct task *task, struct call *call) {
    return mm_unmap(task->mm, call->args[0], call->args[1]);
}

i64 sys_mprotect(struct task *task, struct call *call) {
    u32 prot = arg_u32(call, 2);
    if (prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_GROWSDOWN | PROT_GROWSUP))
        return -EINVAL;
    return mm_protect(task->mm, call->args[0], call->args[1], prot & 7);
}

i64 sys_mremap(struct task *task, struct call *call) {
    u32 flags = arg_u32(call, 3);
    if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
        return -EINVAL;
    if (call->args[2] > call->args[1] &&
        task->mm->total + call->args[2] - call->args[1] > limit_as(task))
        return -ENOMEM;
    return mm_remap(task->mm, call->args[0], call->args[1], call->args[2], flags, call->args[4]);
}

static i64 mapped(struct mm *mm, u64 start, u64 end) {
    for (u32 i = mm_find_index(mm, start); start < end; i++) {
        if (i == mm->vma_count || mm->vmas[i]->start > start)
            return -ENOMEM;
        start = mm->vmas[i]->end;
    }
    return 0;
}

i64 sys_madvise(struct task *task, struct call *call) {
    struct mm *mm = task->mm;
    u64 start = call->args[0], end = start + align_up(call->args[1], (u64)PAGE_SIZE);
    if ((start & PAGE_MASK) || end < start)
        return -EINVAL;
    u32 set = 0, clear = 0;
    switch (arg_int(call, 2)) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADV_FREE: // freeing lazily may mean never
        return mapped(mm, start, end);
    case MADV_DONTNEED:
        return start == end ? 0 : mm_discard(mm, start, end - start);
    case MADV_DONTFORK:
        set = VMA_DONTFORK;
        break;
    case MADV_DOFORK:
        clear = VMA_DONTFORK;
        break;
    case MADV_WIPEONFORK:
        set = VMA_WIPEONFORK;
        break;
    case MADV_KEEPONFORK:
        clear = VMA_WIPEONFORK;
        break;
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
        return user_ready(task, UPTR(start), end - start,
                          arg_int(call, 2) == MADV_POPULATE_READ ? ACCESS_READ : ACCESS_WRITE);
    case 14: // MADV_HUGEPAGE and its opposite, MERGEABLE, DONTDUMP: hints without an effect here
    case 15:
    case 12:
    case 13:
    case 16:
    case 17:
        return mapped(mm, start, end);
    default:
        return -EINVAL;
    }
    i64 r = mapped(mm, start, end);
    for (u32 i = mm_find_index(mm, start); !r && i < mm->vma_count && mm->vmas[i]->start < end; i++)
        mm->vmas[i]->flags =
            (mm->vmas[i]->flags & ~clear) | set; // whole VMAs: a superset is harmless
    return r;
}

i64 sys_msync(struct task *task, struct call *call) {
    u64 start = call->args[0], end = start + align_up(call->args[1], (u64)PAGE_SIZE);
    u32 flags = arg_u32(call, 2);
    if ((start & PAGE_MASK) || (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) ||
        (flags & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC))
        return -EINVAL;
    return mapped(task->mm, start, end); // mappings and files share their frames
}

i64 sys_mincore(struct task *task, struct call *call) {
    u64 start = call->args[0], end = start + align_up(call->args[1], (u64)PAGE_SIZE);
    if (start & PAGE_MASK)
        return -EINVAL;
    i64 r = mapped(task->mm, start, end);
    uptr out = arg_ptr(call, 2);
    for (u64 va = start; !r && va < end; va += PAGE_SIZE, out.va++)
        r = put_user(task, out, (u8)mm_present(task->mm, va));
    return r;
}

// Nothing is ever paged out, so locked memory is what memory is anyway.
i64 sys_mlock(struct task *task, struct call *call) {
    u64 start = align_down(call->args[0], (u64)PAGE_SIZE);
    return mapped(task->mm, start, align_up(call->args[0] + call->args[1], (u64)PAGE_SIZE));
}

i64 sys_munlock(struct task *task, struct call *call) {
    return sys_mlock(task, call);
}

i64 sys_mlockall(struct task *task, struct call *call) {
    (void)task;
    return !call->args[0] || call->args[0] > 7 ? -EINVAL : 0;
}

i64 sys_munlockall(struct task *task, struct call *call) {
    (void)task, (void)call;
    return 0;
}

// Fetch is coherent on the hart that stores; others look again when they leave their run.
i64 sys_riscv_flush_icache(struct task *task, struct call *call) {
    if (call->args[2] & ~1ull)
        return -EINVAL;
    mm_shootdown(task->mm, 0, USER_END);
    return 0;
}

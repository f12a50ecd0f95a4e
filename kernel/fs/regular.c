// Regular files: content is the inode's page cache, backed up to `inode->lower` by ops->fill.
// The rule kept here: bytes of a cached page behind the end of the file are zero (truncate and grow
// see to it), a page that is neither cached nor below `lower` is a hole.
#include "../kernel.h"
#include "../lib/string.h"
#include "../mem/tlb.h"
#include "../task/signal.h"
#include "notify.h"
#include "seals.h"

#define PASS_BYTES 0x40000ull // of one kernel pass

static bool below_lower(struct inode *inode, u64 index) {
    return index < (inode->lower + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

// Bring what the image has of the page. 1: it is cached, 0: it is a hole, or E_WAIT, -EIO, -ENOMEM.
static i64 page_fill(struct task *task, struct inode *inode, u64 index, struct page **out) {
    *out = pagecache_find(&inode->pages, index);
    if (*out)
        return 1;
    if (!below_lower(inode, index))
        return 0;
    i64 r = inode->ops->fill(task, inode, index);
    if (r < 0)
        return r;
    *out = pagecache_find(&inode->pages, index);
    return *out ? 1 : -EIO;
}

u64 disk_free(void) {
    u64 left = kernel->disk_max - min(kernel->disk_used, kernel->disk_max);
    return kernel->disk_max ? min(left, pages_free()) : pages_free();
}

bool disk_take(struct task *task, struct page *page) {
    if (page->flags & PAGE_DISK)
        return true;
    if (kernel->disk_max && kernel->disk_used >= kernel->disk_max) {
        if (task)
            limit_met(task->process, LIMIT_DISK);
        return false;
    }
    page->flags |= PAGE_DISK;
    kernel->disk_used++;
    return true;
}

static struct page *page_make(struct task *task, struct inode *inode, u64 index) {
    struct page *page = page_alloc();
    if (page && (!disk_take(task, page) || pagecache_insert(&inode->pages, index, page) < 0)) {
        page_put(page);
        return NULL;
    }
    return page;
}

i64 inode_page(struct task *task, struct inode *inode, u64 index, struct page **out) {
    i64 r = page_fill(task, inode, index, out);
    if (r)
        return r < 0 ? r : 0;
    *out = page_make(task, inode, index);
    return *out ? 0 : -ENOSPC;
}

static void page_zero(struct page *page, u64 from, u64 to) { // offsets in the page
    order_page(page, true);
    code_drop(page_address(page));
    memset((u8 *)page_data(page) + from, 0, to - from);
    page->flags |= PAGE_DIRTY;
}

// ---- Reading -----------------------------------------------------------------------------------
// Everything that must come from the host for [pos, pos + n) is there when this returns 0.
static i64 fill_range(struct task *task, struct inode *inode, u64 pos, u64 n) {
    struct page *page;
    for (u64 i = pos >> PAGE_SHIFT; i << PAGE_SHIFT < pos + n && below_lower(inode, i); i++) {
        i64 r = page_fill(task, inode, i, &page);
        if (r < 0)
            return r;
    }
    return 0;
}

static i64 regular_read(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    struct inode *inode = file->inode;
    if (*pos >= inode->size || !uio->left)
        return 0;
    u64 want = min(min(uio->left, inode->size - *pos), PASS_BYTES);
    i64 n = uio_ready(uio, want);
    if (n <= 0)
        return n;
    i64 r = fill_range(task, inode, *pos, (u64)n);
    if (r < 0)
        return r;
    for (u64 done = 0; done < (u64)n;) {
        u64 at = *pos & PAGE_MASK, len = min((u64)n - done, PAGE_SIZE - at);
        struct page *page = pagecache_find(&inode->pages, *pos >> PAGE_SHIFT);
        assert(page || !below_lower(inode, *pos >> PAGE_SHIFT)); // filled in this pass
        if (page)
            order_page(page, false);
        r = page ? uio_put(uio, (u8 *)page_data(page) + at, len) : uio_zero(uio, len);
        if (r < 0)
            return done ? (i64)done : r;
        *pos += len;
        done += len;
    }
    if (!(file->flags & O_NOATIME))
        inode_touch(inode, TOUCH_ATIME);
    return n;
}

i64 inode_read(struct task *task, struct inode *inode, u64 offset, void *dst, u64 len) {
    if (!S_ISREG(inode->mode))
        return -EINVAL;
    if (offset >= inode->size)
        return 0;
    len = min(len, inode->size - offset);
    i64 r = fill_range(task, inode, offset, len);
    if (r < 0)
        return r;
    u8 *out = dst;
    for (u64 done = 0; done < len;) {
        u64 at = (offset + done) & PAGE_MASK, n = min(len - done, PAGE_SIZE - at);
        struct page *page = pagecache_find(&inode->pages, (offset + done) >> PAGE_SHIFT);
        if (page) {
            order_page(page, false);
            memcpy(out + done, (u8 *)page_data(page) + at, n);
        } else
            memset(out + done, 0, n);
        done += n;
    }
    return (i64)len;
}

// ---- Writing -----------------------------------------------------------------------------------
// How many of n bytes may be written at `at`: limits, seals, the largest offset.
static i64 write_limit(struct task *task, struct inode *inode, u64 at, u64 n) {
    if (inode->seals & (SEAL_WRITE | SEAL_FUTURE_WRITE))
        return -EPERM;
    if (inode->seals & SEAL_GROW && at + n > inode->size) {
        if (at >= inode->size)
            return -EPERM;
        n = inode->size - at;
    }
    u64 limit = task->process->rlimit[RLIMIT_FSIZE][0];
    if (at >= limit) {
        if (task->call.progress)
            return 0; // the call ends short; only the next one is too large
        signal_kernel(task->process, SIGXFSZ);
        return -EFBIG;
    }
    if (at >= INT64_MAX)
        return -EFBIG;
    return (i64)min(n, min(limit, (u64)INT64_MAX) - at);
}

// The page to write [at, at + len) of: what it keeps of the old content must be there first.
static i64 page_for_write(struct task *task, struct inode *inode, u64 index, u64 at, u64 len,
                          struct page **out) {
    *out = pagecache_find(&inode->pages, index);
    if (*out)
        return 0;
    if (below_lower(inode, index) && (at || len < PAGE_SIZE))
        return inode_page(task, inode, index, out);
    *out = page_make(task, inode, index);
    return *out ? 0 : -ENOSPC;
}

static i64 regular_write(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    struct inode *inode = file->inode;
    if (!uio->left)
        return 0;
    u64 at = file->flags & O_APPEND ? inode->size : *pos;
    i64 n = write_limit(task, inode, at, min(uio->left, PASS_BYTES));
    if (n > 0)
        n = uio_ready(uio, (u64)n);
    if (n <= 0)
        return n;
    u64 end = at + (u64)n;
    i64 r = 0;
    struct page *page;
    if (at & PAGE_MASK || (at ^ end) < PAGE_SIZE)
        r = fill_range(task, inode, at, 1);
    if (!r && end & PAGE_MASK && end < inode->size)
        r = fill_range(task, inode, end - 1, 1);
    if (r < 0)
        return r;
    u64 done = 0;
    while (done < (u64)n) {
        u64 in = at & PAGE_MASK, len = min((u64)n - done, PAGE_SIZE - in);
        r = page_for_write(task, inode, at >> PAGE_SHIFT, in, len, &page);
        if (!r && !disk_take(task, page))
            r = -ENOSPC;
        if (r < 0)
            break;
        order_page(page, true);
        code_drop(page_address(page));
        page_get(page);
        r = uio_get(uio, (u8 *)page_data(page) + in, len);
        page->flags |= PAGE_DIRTY;
        page_put(page);
        if (r < 0)
            break;
        at += len;
        done += len;
    }
    if (!done)
        return r;
    if (at > inode->size)
        inode->size = at;
    *pos = at;
    inode_touch(inode, TOUCH_MTIME | TOUCH_CTIME);
    inode_drop_suid(task, inode);
    return (i64)done;
}

// ---- Size --------------------------------------------------------------------------------------
i64 inode_resize(struct inode *inode, u64 size) {
    u64 old = inode->size;
    u64 edge = min(size, old);
    struct page *page = edge & PAGE_MASK ? pagecache_find(&inode->pages, edge >> PAGE_SHIFT) : NULL;
    if (page)
        page_zero(page, edge & PAGE_MASK, PAGE_SIZE);
    inode->size = size;
    inode->lower = min(inode->lower, size);
    if (size < old) {
        u64 first = (size + PAGE_SIZE - 1) >> PAGE_SHIFT;
        if (inode->pages.count) {
            memobject_unmap(&inode->object, first, ~0ull >> PAGE_SHIFT);
            pass_cost(inode->pages.count / 16);
            pagecache_truncate(&inode->pages, first);
        }
    }
    inode_touch(inode, TOUCH_MTIME | TOUCH_CTIME);
    return 0;
}

static i64 regular_truncate(struct task *task, struct file *file, u64 size) {
    struct inode *inode = file->inode;
    if (inode->seals & SEAL_SHRINK && size < inode->size)
        return -EPERM;
    if (inode->seals & SEAL_GROW && size > inode->size)
        return -EPERM;
    if (size > inode->size && size > task->process->rlimit[RLIMIT_FSIZE][0]) {
        signal_kernel(task->process, SIGXFSZ);
        return -EFBIG;
    }
    inode_drop_suid(task, inode);
    i64 r = inode_resize(inode, size);
    notify_inode(inode, NOTIFY_MODIFY);
    return r;
}

// [from, to) reads as zeros from now on; its whole pages below `lower` must be cached to say so.
static i64 zero_range(struct task *task, struct inode *inode, u64 from, u64 to) {
    u64 first = (from + PAGE_SIZE - 1) >> PAGE_SHIFT, last = to >> PAGE_SHIFT; // whole pages
    i64 r = 0;
    if (from & PAGE_MASK)
        r = fill_range(task, inode, from, 1);
    if (!r && to & PAGE_MASK && to < inode->size)
        r = fill_range(task, inode, to, 1);
    if (r < 0)
        return r;
    struct page *page;
    for (u64 at = from; at < to; at = align_down(at, (u64)PAGE_SIZE) + PAGE_SIZE) {
        bool whole = at >> PAGE_SHIFT >= first && at >> PAGE_SHIFT < last;
        if (whole) {
            at = align_down(to, (u64)PAGE_SIZE) - PAGE_SIZE; // those come next
            continue;
        }
        page = pagecache_find(&inode->pages, at >> PAGE_SHIFT);
        if (page)
            page_zero(page, at & PAGE_MASK,
                      min(to - align_down(at, (u64)PAGE_SIZE), (u64)PAGE_SIZE));
    }
    if (first >= last)
        return 0;
    if (inode->pages.count)
        memobject_unmap(&inode->object, first, last - 1);
    if (last << PAGE_SHIFT >= inode->lower)
        inode->lower = min(inode->lower, first << PAGE_SHIFT);
    u64 behind = (inode->size + PAGE_SIZE - 1) >> PAGE_SHIFT;
    for (u64 i = first; i < last && i < behind; i++) {
        page = pagecache_find(&inode->pages, i);
        if (!below_lower(inode, i)) {
            if (!inode->pages.count)
                break;
            pagecache_drop(&inode->pages, i);
        } else if (page) {
            page_zero(page, 0, PAGE_SIZE);
        } else if (!page_make(task, inode, i)) {
            return -ENOSPC;
        }
    }
    pass_cost(last - first);
    return 0;
}

enum { FALLOC_KEEP_SIZE = 1, FALLOC_PUNCH_HOLE = 2, FALLOC_ZERO_RANGE = 16 };

static i64 regular_fallocate(struct task *task, struct file *file, u32 mode, u64 offset, u64 len) {
    struct inode *inode = file->inode;
    u64 end = offset + len;
    u32 what = mode & ~(u32)FALLOC_KEEP_SIZE;
    if (what && what != FALLOC_PUNCH_HOLE && what != FALLOC_ZERO_RANGE)
        return -EOPNOTSUPP;
    if (mode == FALLOC_PUNCH_HOLE)
        return -EOPNOTSUPP;
    bool grows = !(mode & FALLOC_KEEP_SIZE) && end > inode->size;
    if (what && inode->seals & (SEAL_WRITE | SEAL_FUTURE_WRITE))
        return -EPERM;
    if (grows && inode->seals & SEAL_GROW)
        return -EPERM;
    if (grows && end > task->process->rlimit[RLIMIT_FSIZE][0]) {
        signal_kernel(task->process, SIGXFSZ);
        return -EFBIG;
    }
    // Nothing is set aside: memory is promised only as far as it is free now.
    if (!what && (len >> PAGE_SHIFT) > disk_free() + inode->pages.count)
        return -ENOSPC;
    i64 r = what ? zero_range(task, inode, offset, min(end, max(inode->size, offset))) : 0;
    if (r < 0)
        return r;
    if (grows)
        return inode_resize(inode, end);
    if (what)
        inode_touch(inode, TOUCH_MTIME | TOUCH_CTIME);
    return 0;
}

// ---- The rest ----------------------------------------------------------------------------------
// SEEK_DATA and SEEK_HOLE look at one page after the other; long holes take several passes.
static i64 seek_content(struct task *task, struct inode *inode, u64 offset, bool data) {
    struct call *call = call_of(task);
    if (offset >= inode->size)
        return -ENXIO;
    u64 index = max(call->scratch[0], offset >> PAGE_SHIFT);
    for (u32 seen = 0;; index++, seen++) {
        u64 at = max(index << PAGE_SHIFT, offset);
        if (at >= inode->size)
            return data ? -ENXIO : (i64)inode->size;
        bool has = below_lower(inode, index) || pagecache_find(&inode->pages, index);
        if (has == data)
            return (i64)at;
        if (!has && !inode->pages.count)
            return -ENXIO;
        if (seen >= 65536) {
            pass_cost(seen);
            call->scratch[0] = index;
            return E_AGAIN;
        }
    }
}

static i64 regular_seek(struct task *task, struct file *file, i64 offset, u32 whence) {
    u64 size = file->inode->size;
    i64 base = 0;
    switch (whence) {
    case SEEK_SET:
        break;
    case SEEK_CUR:
        base = (i64)file->pos;
        break;
    case SEEK_END:
        base = (i64)size;
        break;
    case SEEK_DATA:
    case SEEK_HOLE:
        if (offset < 0)
            return -ENXIO;
        base = seek_content(task, file->inode, (u64)offset, whence == SEEK_DATA);
        if (base < 0)
            return base;
        offset = 0;
        break;
    default:
        return -EINVAL;
    }
    i64 pos;
    if (__builtin_add_overflow(base, offset, &pos))
        return -EOVERFLOW;
    if (pos < 0)
        return -EINVAL;
    file->pos = (u64)pos;
    return pos;
}

static i64 regular_mmap(struct task *task, struct file *file, u32 prot, u32 map_flags,
                        struct memobject **out) {
    struct inode *inode = file->inode;
    if (prot & PROT_EXEC && inode->fs && inode->fs->flags & MS_NOEXEC)
        return -EPERM;
    if ((map_flags & MAP_TYPE) != MAP_PRIVATE && prot & PROT_WRITE &&
        inode->seals & (SEAL_WRITE | SEAL_FUTURE_WRITE))
        return -EPERM;
    inode_touch(inode, TOUCH_ATIME);
    *out = &inode->object;
    return 0;
}

static i64 regular_fsync(struct task *task, struct file *file) {
    return 0;
}

static void regular_release(struct file *file) {
}

const struct file_ops regular_file_ops = {
    .read = regular_read,
    .write = regular_write,
    .seek = regular_seek,
    .mmap = regular_mmap,
    .truncate = regular_truncate,
    .fallocate = regular_fallocate,
    .fsync = regular_fsync,
    .release = regular_release,
};

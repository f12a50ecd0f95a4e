// The image: its index read in place, its chunks asked for once each and copied into the page
// caches of the files that wait for them. No chunk is kept beside the page caches.
#include "imagefs.h"
#include "../kernel.h"
#include "../lib/heap.h"
#include "../lib/string.h"
#include "../mem/page.h"

#define CHUNK_SIZE 262144u
#define CHUNK_PAGES (CHUNK_SIZE / PAGE_SIZE)
#define WAIT_QUEUES 64u
#define RETRY_NS NSEC // a failed chunk is asked for again after this long

struct image_header {
    char magic[4];
    u32 version, entries, chunks, strings, chunk_size;
    u32 entries_off, chunks_off, strings_off;
    u32 reserved[7];
};

struct image_chunk {
    u8 sha256[32];
    u32 size, reserved;
};

struct link_slot {
    struct inode *inode; // with a reference
    u32 count;           // names in the image
};

struct wanted { // a file that waits for a chunk
    struct wanted *next;
    struct inode *inode; // with a reference
    u32 first;           // the file's first chunk
};

struct request { // a chunk on its way, or one that failed lately
    struct list link;
    u32 chunk;
    i32 error;
    u64 failed_ns;
    struct wanted *wants;
};

struct image { // kernel lock
    const u8 *index;
    const struct image_entry *entries;
    const struct image_chunk *chunks;
    const char *strings;
    u32 entry_count, chunk_count, string_bytes, link_count;
    struct link_slot *links;
    struct list requests;
    struct list cached;             // struct inode.reclaim, the longest unasked-for first
    struct waitq wait[WAIT_QUEUES]; // by chunk; longer-lived than any request
};

static bool inside(u32 off, u64 bytes, u32 len) {
    return off % 8 == 0 && off <= len && bytes <= len - off;
}

// One pass over the entries: everything the rest of the kernel follows without looking is checked
// here.
static i64 check_entries(struct image *image) {
    for (u32 i = 0; i < image->entry_count; i++) {
        const struct image_entry *e = &image->entries[i];
        u32 limit = S_ISDIR(e->mode)   ? image->entry_count
                    : S_ISREG(e->mode) ? image->chunk_count
                    : S_ISLNK(e->mode) ? image->string_bytes
                                       : ~0u;
        if (limit != ~0u && (e->first > limit || e->count > limit - e->first))
            return -EINVAL;
        if (e->name_off > image->string_bytes || e->name_len > image->string_bytes - e->name_off ||
            e->name_len > NAME_MAX || (i && !e->name_len))
            return -EINVAL;
        if (S_ISREG(e->mode) && e->count != (e->size + CHUNK_SIZE - 1) / CHUNK_SIZE)
            return -EINVAL;
        if (S_ISDIR(e->mode) && e->count && e->first <= i)
            return -EINVAL; // children come behind their parent, so there is no cycle
        image->link_count = max(image->link_count, e->link + 1);
    }
    if (image->link_count > image->entry_count + 1)
        return -EINVAL;
    image->links = kmalloc(image->link_count * sizeof(struct link_slot));
    if (!image->links)
        return -ENOMEM;
    for (u32 i = 0; i < image->entry_count; i++)
        image->links[image->entries[i].link].count++;
    return 0;
}

i64 image_open(const u8 *index, u32 len) {
    const struct image_header *h = (const void *)index;
    if (len < sizeof *h || memcmp(h->magic, "EBBI", 4) || h->version != 1 ||
        h->chunk_size != CHUNK_SIZE || !h->entries ||
        !inside(h->entries_off, (u64)h->entries * sizeof(struct image_entry), len) ||
        !inside(h->chunks_off, (u64)h->chunks * sizeof(struct image_chunk), len) ||
        !inside(h->strings_off, h->strings, len))
        return -EINVAL;
    struct image *image = knew(struct image);
    if (!image)
        return -ENOMEM;
    image->index = index;
    image->entries = (const void *)(index + h->entries_off);
    image->chunks = (const void *)(index + h->chunks_off);
    image->strings = (const char *)(index + h->strings_off);
    image->entry_count = h->entries;
    image->chunk_count = h->chunks;
    image->string_bytes = h->strings;
    list_init(&image->requests);
    list_init(&image->cached);
    for (u32 i = 0; i < WAIT_QUEUES; i++)
        waitq_init(&image->wait[i]);
    i64 r = S_ISDIR(image->entries[0].mode) ? check_entries(image) : -EINVAL;
    if (r < 0) {
        kfree(image->links);
        kfree(image);
        return r;
    }
    kernel->image = image;
    return 0;
}

const struct image_entry *image_entry(u32 number) {
    assert(number < kernel->image->entry_count);
    return &kernel->image->entries[number];
}

u32 image_entries(void) {
    return kernel->image->entry_count;
}

const char *image_string(u32 offset) {
    return kernel->image->strings + offset;
}

u32 image_subdirs(const struct image_entry *dir) {
    u32 count = 0;
    for (u32 i = 0; i < dir->count; i++)
        count += S_ISDIR(kernel->image->entries[dir->first + i].mode);
    return count;
}

struct inode *image_link(u32 link, u32 *count) {
    *count = kernel->image->links[link].count;
    return kernel->image->links[link].inode;
}

void image_link_set(u32 link, struct inode *inode) {
    inode_get(inode);
    kernel->image->links[link].inode = inode;
}

static struct request *request_find(struct image *image, u32 chunk) {
    struct request *r;
    list_each(r, &image->requests, link) {
        if (r->chunk == chunk)
            return r;
    }
    return NULL;
}

static void request_free(struct request *request) {
    for (struct wanted *w = request->wants, *next; w; w = next) {
        next = w->next;
        inode_put(w->inode);
        kfree(w);
    }
    list_remove(&request->link);
    kfree(request);
}

static i64 request_want(struct request *request, struct inode *inode, u32 first) {
    for (struct wanted *w = request->wants; w; w = w->next)
        if (w->inode == inode)
            return 0;
    struct wanted *w = knew(struct wanted);
    if (!w)
        return -ENOMEM;
    inode_get(inode);
    *w = (struct wanted){request->wants, inode, first};
    request->wants = w;
    return 0;
}

// Ask for a chunk on behalf of a file whose chunks begin at `first`, unless it is on its way. 0, or
// -errno.
static i64 request_chunk(struct image *image, struct inode *inode, u32 first, u32 chunk) {
    struct request *request = request_find(image, chunk);
    if (request && request->error) {
        if (now_ns() - request->failed_ns < RETRY_NS)
            return request->error;
        request_free(request);
        request = NULL;
    }
    bool fresh = !request;
    if (fresh) {
        request = knew(struct request);
        if (!request)
            return -ENOMEM;
        request->chunk = chunk;
        list_push(&image->requests, &request->link);
    }
    i64 r = request_want(request, inode, first);
    if (r < 0) {
        if (fresh)
            request_free(request);
        return r;
    }
    if (fresh) {
        struct out_block *out = out_begin(OUT_BLOCK, sizeof *out, 0);
        out->chunk = chunk;
        out->size = image->chunks[chunk].size;
        memcpy(out->hash, image->chunks[chunk].sha256, sizeof out->hash);
        out_send(out);
    }
    return 0;
}

i64 image_page(struct task *task, struct inode *inode, u32 number, u64 index) {
    struct image *image = kernel->image;
    const struct image_entry *entry = &image->entries[number];
    u32 nth = (u32)(index / CHUNK_PAGES), chunk = entry->first + nth;
    assert(nth < entry->count);
    i64 r = request_chunk(image, inode, entry->first, chunk);
    if (r < 0)
        return r;
    // Who has read the chunk before this one to its end will want the next one too.
    u64 next = (u64)(nth + 1) * CHUNK_PAGES;
    if (nth && next << PAGE_SHIFT < inode->lower &&
        pagecache_find(&inode->pages, (u64)nth * CHUNK_PAGES - 1) &&
        !pagecache_find(&inode->pages, next))
        (void)!request_chunk(image, inode, entry->first, chunk + 1);
    return wait_on(task, &image->wait[chunk % WAIT_QUEUES], STATUS_FS_WAIT);
}

// Pages that are cached already are newer than the image's; bytes behind `lower` are no longer the
// file's.
static i64 insert_pages(struct inode *inode, u64 index, const u8 *data, u32 len) {
    for (u32 off = 0; off < len; off += PAGE_SIZE, index++) {
        u64 start = index << PAGE_SHIFT;
        if (start >= inode->lower)
            return 0;
        if (pagecache_find(&inode->pages, index))
            continue;
        struct page *page = page_alloc();
        if (!page)
            return -ENOMEM;
        u64 n = min((u64)min(len - off, PAGE_SIZE), inode->lower - start);
        memcpy(page_data(page), data + off, n);
        i64 r = pagecache_insert(&inode->pages, index, page);
        if (r < 0) {
            page_put(page);
            return r;
        }
    }
    return 0;
}

// Frames are short: drops what the image can bring again, file by file, oldest first. A page that
// is mapped, held or was written stays. Called between any two steps of the kernel that allocate,
// so no one may count on a page he has not taken a reference to across an allocation.
u32 page_reclaim(u32 want) {
    struct image *image = kernel->image;
    u32 freed = 0;
    struct inode *inode;
    if (!image)
        return 0;
    struct list *last = image->cached.prev;
    bool more = true;
    list_each(inode, &image->cached, reclaim) {
        if (freed >= want || !more)
            break;
        more = &inode->reclaim != last;
        u64 pages = (inode->lower + PAGE_SIZE - 1) >> PAGE_SHIFT;
        bool left = false;
        for (u64 i = 0; i < pages && inode->pages.count; i++) {
            struct page *page = pagecache_find(&inode->pages, i);
            if (!page || page->flags & PAGE_DIRTY)
                continue;
            if (page->refs > 1) {
                left = true;
                continue;
            }
            pagecache_drop(&inode->pages, i);
            freed++;
        }
        list_remove(&inode->reclaim);
        if (left) // mapped: looked at again when the others have had their turn
            list_push(&image->cached, &inode->reclaim);
        pass_cost(pages / 16);
    }
    return freed;
}

void image_block_in(u32 chunk, i32 error, const u8 *data, u32 len) {
    struct image *image = kernel->image;
    struct request *request = image ? request_find(image, chunk) : NULL;
    if (!request || request->error)
        return;
    if (!error && len != image->chunks[chunk].size)
        error = -EIO;
    for (struct wanted *w = request->wants; w && !error; w = w->next) {
        // What does not fit in memory is missing when it is looked for: the failure is remembered.
        list_remove(&w->inode->reclaim);
        list_push(&image->cached, &w->inode->reclaim);
        if (insert_pages(w->inode, (u64)(chunk - w->first) * CHUNK_PAGES, data, len) < 0)
            error = -ENOMEM;
    }
    pass_cost(len / 16);
    if (error) {
        request->error = error;
        request->failed_ns = now_ns();
    } else {
        request_free(request);
    }
    wake_all(&image->wait[chunk % WAIT_QUEUES]);
}

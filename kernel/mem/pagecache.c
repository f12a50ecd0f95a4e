#include "../kernel.h"
#include "memobject.h"

#define FAN_BITS 6
#define FAN (1u << FAN_BITS)

struct node {
    maddr slot[FAN]; // struct node at inner levels, struct page at the last
};

static bool fits(struct pagecache *cache, u64 index) {
    return cache->height * FAN_BITS >= 64 || index >> (cache->height * FAN_BITS) == 0;
}

struct page *pagecache_find(struct pagecache *cache, u64 index) {
    if (!cache->root || !fits(cache, index))
        return NULL;
    struct node *node = cache->root;
    for (u32 level = cache->height; level > 1; level--) {
        node = MPTR(struct node, node->slot[index >> ((level - 1) * FAN_BITS) & (FAN - 1)]);
        if (!node)
            return NULL;
    }
    return MPTR(struct page, node->slot[index & (FAN - 1)]);
}

i64 pagecache_insert(struct pagecache *cache, u64 index, struct page *page) {
    if (!cache->root) {
        cache->root = knew(struct node);
        if (!cache->root)
            return -ENOMEM;
        cache->height = 1;
    }
    while (!fits(cache, index)) {
        struct node *top = knew(struct node);
        if (!top)
            return -ENOMEM;
        top->slot[0] = MADDR(cache->root);
        cache->root = top;
        cache->height++;
    }
    struct node *node = cache->root;
    for (u32 level = cache->height; level > 1; level--) {
        maddr *slot = &node->slot[index >> ((level - 1) * FAN_BITS) & (FAN - 1)];
        if (!*slot) {
            struct node *fresh = knew(struct node);
            if (!fresh)
                return -ENOMEM;
            *slot = MADDR(fresh);
        }
        node = MPTR(struct node, *slot);
    }
    maddr *slot = &node->slot[index & (FAN - 1)];
    assert(!*slot);
    *slot = MADDR(page);
    cache->count++;
    return 0;
}

// Drops the frames with index >= first below `node`, whose first index is `base`. True when the
// node is empty.
static bool prune(struct pagecache *cache, struct node *node, u32 level, u64 base, u64 first) {
    bool empty = true;
    u64 span = 1ull << ((level - 1) * FAN_BITS);
    for (u32 i = 0; i < FAN; i++) {
        if (!node->slot[i])
            continue;
        u64 start = base + i * span;
        if (start + span <= first) {
            empty = false;
        } else if (level == 1) {
            page_put(MPTR(struct page, node->slot[i]));
            node->slot[i] = 0;
            cache->count--;
        } else if (prune(cache, MPTR(struct node, node->slot[i]), level - 1, start, first)) {
            kfree(MPTR(void, node->slot[i]));
            node->slot[i] = 0;
        } else {
            empty = false;
        }
    }
    return empty;
}

void pagecache_truncate(struct pagecache *cache, u64 first) {
    if (cache->root && prune(cache, cache->root, cache->height, 0, first)) {
        kfree(cache->root);
        cache->root = NULL;
        cache->height = 0;
    }
}

void pagecache_drop(struct pagecache *cache, u64 index) {
    if (!cache->root || !fits(cache, index))
        return;
    struct node *node = cache->root;
    for (u32 level = cache->height; level > 1; level--) {
        node = MPTR(struct node, node->slot[index >> ((level - 1) * FAN_BITS) & (FAN - 1)]);
        if (!node)
            return;
    }
    maddr *slot = &node->slot[index & (FAN - 1)];
    if (*slot) {
        page_put(MPTR(struct page, *slot));
        *slot = 0;
        cache->count--;
    }
}

// ---- Anonymous shared memory -------------------------------------------------------------------
struct anonymous {
    struct memobject object;
    u32 refs;
    struct pagecache pages;
};

static i64 anonymous_frame(struct memobject *object, u64 index, enum want want, struct task *task,
                           struct page **out) {
    (void)want, (void)task;
    struct anonymous *a = container_of(object, struct anonymous, object);
    struct page *page = pagecache_find(&a->pages, index);
    if (!page) {
        page = page_alloc();
        if (!page)
            return -ENOMEM;
        i64 r = pagecache_insert(&a->pages, index, page);
        if (r) {
            page_put(page);
            return r;
        }
    }
    page_get(page);
    *out = page;
    return 0;
}

static void anonymous_get(struct memobject *object) {
    container_of(object, struct anonymous, object)->refs++;
}

static void anonymous_put(struct memobject *object) {
    struct anonymous *a = container_of(object, struct anonymous, object);
    if (--a->refs)
        return;
    pagecache_truncate(&a->pages, 0);
    kfree(a);
}

static void anonymous_describe(struct memobject *object, struct text *text, u32 *dev, u64 *ino) {
    (void)object;
    *dev = 1;
    *ino = 0;
    text_printf(text, "/dev/zero (deleted)");
}

static const struct memobject_ops anonymous_ops = {
    .frame = anonymous_frame,
    .get = anonymous_get,
    .put = anonymous_put,
    .describe = anonymous_describe,
};

struct memobject *memobject_anonymous(void) {
    struct anonymous *a = knew(struct anonymous);
    if (!a)
        return NULL;
    a->object.ops = &anonymous_ops;
    a->refs = 1;
    return &a->object;
}

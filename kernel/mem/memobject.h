// What can be mapped: the only way in which mem/ sees files. An object hands out frames by index.
#pragma once
#include "page.h"

struct task;
struct memobject;
struct text;

enum want { WANT_READ, WANT_WRITE }; // WANT_WRITE: the frame will be changed through a shared mapping

struct memobject_ops {
    // The frame of page `index`, with a reference for the caller. E_WAIT after the task was queued,
    // -EFAULT (SIGBUS) beyond the end, -ENOMEM, -EIO. `task` NULL: do not queue,
    // just answer E_WAIT (a TLB miss; the fault comes again with a task).
    i64 (*frame)(struct memobject *object, u64 index, enum want want, struct task *task,
                 struct page **out);
    // The same if it is at hand, with no reference and nothing done; NULL: it is not. Optional.
    struct page *(*peek)(struct memobject *object, u64 index);
    void (*get)(struct memobject *object);
    void (*put)(struct memobject *object);
    // For /proc/<pid>/maps: path, device and inode number. Optional.
    void (*describe)(struct memobject *object, struct text *text, u32 *dev, u64 *ino);
};
struct memobject {
    const struct memobject_ops *ops;
    u64 group; // of those that have it mapped, if one does, or did, so that what is stored goes there
};

// Frames by index: a radix tree. Embedded in what caches pages (inodes, shared memory).
struct pagecache {
    void *root; // levels of 64 entries
    u32 height;
    u32 count; // frames held
};
struct page *pagecache_find(struct pagecache *cache, u64 index); // no reference taken; NULL when absent
must_check i64 pagecache_insert(struct pagecache *cache, u64 index, struct page *page); // takes over the reference
void pagecache_truncate(struct pagecache *cache, u64 first); // drops frames from `first` on
void pagecache_drop(struct pagecache *cache, u64 index);

// Anonymous shared memory: zero frames on demand. refs = 1.
must_check struct memobject *memobject_anonymous(void);

// Before a cached frame is changed or taken away by other means than a mapping: remove every mapping of
// pages [first, last] of the object from all address spaces (truncate, hole punching).
void memobject_unmap(struct memobject *object, u64 first, u64 last);

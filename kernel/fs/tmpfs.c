// Files that live in machine memory: tmpfs(5), and the body of the root file system and of
// devtmpfs. A directory behind which an image entry stands makes inodes for all its children on
// first use; from then on it is like any other. So no change ever touches the image, and nothing is
// copied up.
#include "tmpfs.h"
#include "../kernel.h"
#include "../lib/heap.h"
#include "../lib/string.h"
#include "imagefs.h"

#define HASH_FROM 16u // directories smaller than this are searched linearly

struct entry {         // a name
    struct list order; // node->entries
    struct list alias; // node->names of the inode it names
    struct entry *hash_next;
    struct inode *dir;
    struct inode *inode; // with a reference
    u64 cookie;          // readdir position; grows with insertion
    u32 hash;
    u32 len;
    char name[];
};

struct node {          // inode->data
    u32 image;         // image entry behind it + 1; 0: none
    bool unloaded;     // directories: the children are still to be made
    struct list names; // struct entry.alias
    // Directories.
    struct list entries; // struct entry.order
    struct entry **table;
    u32 table_size, count;
    u64 next_cookie;
    char *target; // symbolic links
};

static struct node *node_of(struct inode *inode) {
    return inode->data;
}

static u32 name_hash(const char *name, u32 len) { // FNV-1a
    u32 h = 2166136261u;
    for (u32 i = 0; i < len; i++)
        h = (h ^ (u8)name[i]) * 16777619u;
    return h;
}

// ---- Names -------------------------------------------------------------------------------------
static void table_grow(struct node *node) {
    u32 size = max(node->table_size * 4, 64u);
    struct entry **table = kmalloc(size * sizeof *table);
    if (!table)
        return; // slower, not wrong
    kfree(node->table);
    node->table = table;
    node->table_size = size;
    struct entry *e;
    list_each(e, &node->entries, order) {
        e->hash_next = table[e->hash & (size - 1)];
        table[e->hash & (size - 1)] = e;
    }
}

static struct entry *entry_find(struct inode *dir, const char *name, u32 len) {
    struct node *node = node_of(dir);
    u32 hash = name_hash(name, len);
    if (node->table) {
        struct entry *e = node->table[hash & (node->table_size - 1)];
        while (e && (e->hash != hash || e->len != len || memcmp(e->name, name, len)))
            e = e->hash_next;
        return e;
    }
    struct entry *e;
    list_each(e, &node->entries, order) {
        if (e->hash == hash && e->len == len && !memcmp(e->name, name, len))
            return e;
    }
    return NULL;
}

static struct entry *entry_new(const char *name, u32 len) {
    struct entry *e = kmalloc(sizeof *e + len);
    if (!e)
        return NULL;
    list_init(&e->order);
    list_init(&e->alias);
    e->len = len;
    e->hash = name_hash(name, len);
    memcpy(e->name, name, len);
    return e;
}

// Takes over a reference to `inode`.
static void entry_insert(struct inode *dir, struct entry *e, struct inode *inode) {
    struct node *node = node_of(dir);
    e->dir = dir;
    e->inode = inode;
    e->cookie = node->next_cookie++;
    list_push(&node->entries, &e->order);
    list_push(&node_of(inode)->names, &e->alias);
    node->count++;
    if (node->table) {
        struct entry **slot = &node->table[e->hash & (node->table_size - 1)];
        e->hash_next = *slot;
        *slot = e;
    }
    if (node->count > max(HASH_FROM, node->table_size * 2))
        table_grow(node);
}

// Leaves the reference to the inode with the caller.
static struct inode *entry_remove(struct entry *e) {
    struct node *node = node_of(e->dir);
    struct inode *inode = e->inode;
    if (node->table) {
        struct entry **slot = &node->table[e->hash & (node->table_size - 1)];
        while (*slot != e)
            slot = &(*slot)->hash_next;
        *slot = e->hash_next;
    }
    list_remove(&e->order);
    list_remove(&e->alias);
    node->count--;
    kfree(e);
    return inode;
}

// ---- Nodes -------------------------------------------------------------------------------------
static struct inode *node_new(struct filesystem *fs, u32 mode, u32 rdev) {
    struct inode *inode = inode_new(fs, mode);
    struct node *node = knew(struct node);
    if (!inode || !node) {
        kfree(node);
        if (inode)
            inode_put(inode);
        return NULL;
    }
    list_init(&node->names);
    list_init(&node->entries);
    node->next_cookie = 2; // behind "." and ".."
    inode->ops = &tmpfs_ops;
    inode->data = node;
    inode->rdev = rdev;
    if (S_ISDIR(mode))
        inode->nlink = 2;
    return inode;
}

static struct inode *node_from_image(struct filesystem *fs, u32 number) {
    const struct image_entry *image = image_entry(number);
    u32 links = 1;
    if (image->link) {
        struct inode *inode = image_link(image->link, &links);
        if (inode) {
            inode_get(inode);
            return inode;
        }
    }
    struct inode *inode = node_new(fs, image->mode, 0);
    if (!inode)
        return NULL;
    fs->next_ino--; // image nodes have the numbers of their entries, in whatever order they are
                    // loaded
    inode->ino = number + 1;
    inode->uid = image->uid;
    inode->gid = image->gid;
    inode->size = image->size;
    inode->nlink = links;
    u64 time = image->mtime_s > 0 ? (u64)image->mtime_s * NSEC : 0;
    inode->atime_ns = inode->mtime_ns = inode->ctime_ns = inode->btime_ns = time;
    struct node *node = node_of(inode);
    node->image = number + 1;
    if (S_ISDIR(image->mode)) {
        node->unloaded = image->count > 0;
        inode->nlink = 2 + image_subdirs(image);
    } else if (S_ISREG(image->mode)) {
        inode->lower = image->size;
    } else if (S_ISCHR(image->mode) || S_ISBLK(image->mode)) {
        inode->rdev = makedev(image->first >> 20, image->first & 0xfffff);
    }
    if (image->link)
        image_link_set(image->link, inode);
    return inode;
}

static void node_attach(struct inode *dir, struct inode *inode) {
    if (S_ISDIR(inode->mode)) {
        inode->up = dir;
        inode_get(dir);
    }
}

static void node_detach(struct inode *inode) {
    struct inode *up = inode->up;
    inode->up = NULL;
    if (up)
        inode_put(up);
}

// All or nothing: a directory half loaded would look like files removed.
static i64 load(struct inode *dir) {
    struct node *node = node_of(dir);
    if (!node->unloaded)
        return 0;
    const struct image_entry *image = image_entry(node->image - 1);
    for (u32 i = 0; i < image->count; i++) {
        const struct image_entry *child = image_entry(image->first + i);
        struct entry *e = entry_new(image_string(child->name_off), child->name_len);
        struct inode *inode = e ? node_from_image(dir->fs, image->first + i) : NULL;
        if (!inode) {
            kfree(e);
            struct entry *made;
            list_each(made, &node->entries, order) {
                inode = entry_remove(made);
                node_detach(inode);
                inode_put(inode);
            }
            node->next_cookie = 2;
            return -ENOMEM;
        }
        entry_insert(dir, e, inode);
        node_attach(dir, inode);
    }
    node->unloaded = false;
    pass_cost(image->count);
    return 0;
}

static void tmpfs_destroy(struct inode *inode) {
    struct node *node = node_of(inode);
    assert(list_empty(&node->names) && list_empty(&node->entries));
    kfree(node->table);
    kfree(node->target);
    kfree(node);
}

// ---- Operations --------------------------------------------------------------------------------
static i64 tmpfs_lookup(struct task *task, struct inode *dir, const char *name, u32 len,
                        struct inode **out) {
    i64 r = load(dir);
    if (r < 0)
        return r;
    struct entry *e = entry_find(dir, name, len);
    if (!e)
        return -ENOENT;
    inode_get(e->inode);
    *out = e->inode;
    return 0;
}

static void dir_changed(struct inode *dir) {
    inode_touch(dir, TOUCH_MTIME | TOUCH_CTIME);
}

// Gives `inode` a name; takes over one reference on success.
static i64 add(struct inode *dir, const char *name, u32 len, struct inode *inode) {
    i64 r = load(dir);
    if (r < 0)
        return r;
    if (entry_find(dir, name, len))
        return -EEXIST;
    if (!dir->nlink)
        return -ENOENT; // the directory was removed
    struct entry *e = entry_new(name, len);
    if (!e)
        return -ENOMEM;
    entry_insert(dir, e, inode);
    node_attach(dir, inode);
    if (S_ISDIR(inode->mode))
        dir->nlink++;
    dir_changed(dir);
    return 0;
}

static i64 tmpfs_create(struct task *task, struct inode *dir, const char *name, u32 len, u32 mode,
                        u32 rdev, struct inode **out) {
    struct inode *inode = node_new(dir->fs, mode, rdev);
    if (!inode)
        return -ENOSPC;
    if (task)
        inode_init_owner(task, dir, inode);
    if (!len) {
        inode->nlink = 0;
        *out = inode;
        return 0;
    }
    i64 r = add(dir, name, len, inode);
    if (r < 0) {
        inode_put(inode);
        return r;
    }
    inode_get(inode);
    *out = inode;
    return 0;
}

static i64 tmpfs_symlink(struct task *task, struct inode *dir, const char *name, u32 len,
                         const char *target, struct inode **out) {
    struct inode *inode = node_new(dir->fs, S_IFLNK | 0777, 0);
    if (!inode)
        return -ENOSPC;
    if (task)
        inode_init_owner(task, dir, inode);
    inode->size = strlen(target);
    node_of(inode)->target = strdup_k(target);
    i64 r = node_of(inode)->target ? add(dir, name, len, inode) : -ENOSPC;
    if (r < 0) {
        inode_put(inode);
        return r;
    }
    inode_get(inode);
    *out = inode;
    return 0;
}

static i64 tmpfs_link(struct task *task, struct inode *dir, const char *name, u32 len,
                      struct inode *target) {
    i64 r = add(dir, name, len, target);
    if (r < 0)
        return r;
    inode_get(target);
    target->nlink++;
    inode_touch(target, TOUCH_CTIME);
    return 0;
}

// A name is gone. `inode` loses it; the caller's reference keeps the inode.
static void unname(struct inode *dir, struct inode *inode) {
    if (S_ISDIR(inode->mode)) {
        inode->nlink = 0;
        dir->nlink--;
    } else {
        inode->nlink--;
    }
    inode_touch(inode, TOUCH_CTIME);
}

static bool empty(struct inode *dir) {
    return !node_of(dir)->unloaded && list_empty(&node_of(dir)->entries);
}

static i64 tmpfs_unlink(struct task *task, struct inode *dir, const char *name, u32 len,
                        struct inode *victim) {
    i64 r = load(dir);
    if (r < 0)
        return r;
    struct entry *e = entry_find(dir, name, len);
    if (!e)
        return -ENOENT;
    if (S_ISDIR(victim->mode) && !empty(victim))
        return -ENOTEMPTY;
    struct inode *inode = entry_remove(e);
    unname(dir, inode);
    dir_changed(dir);
    inode_put(inode);
    return 0;
}

static void move_dir(struct inode *inode, struct inode *from, struct inode *to) {
    if (!S_ISDIR(inode->mode) || from == to)
        return;
    inode->up = to;
    inode_get(to);
    inode_put(from);
    from->nlink--;
    to->nlink++;
}

static i64 exchange(struct inode *from, struct entry *a, struct inode *to, struct entry *b) {
    struct inode *x = a->inode, *y = b->inode;
    list_remove(&a->alias);
    list_remove(&b->alias);
    a->inode = y;
    b->inode = x;
    list_push(&node_of(y)->names, &a->alias);
    list_push(&node_of(x)->names, &b->alias);
    move_dir(x, from, to);
    move_dir(y, to, from);
    return 0;
}

static i64 tmpfs_rename(struct task *task, struct inode *from, const char *name, u32 len,
                        struct inode *victim, struct inode *to, const char *to_name, u32 to_len,
                        struct inode *replaced, u32 flags) {
    i64 r = load(from);
    if (!r)
        r = load(to);
    if (r < 0)
        return r;
    struct entry *old = entry_find(from, name, len);
    struct entry *target = entry_find(to, to_name, to_len);
    if (!old)
        return -ENOENT;
    if (!to->nlink)
        return -ENOENT;
    if (flags & RENAME_EXCHANGE) {
        r = target ? exchange(from, old, to, target) : -ENOENT;
        if (r < 0)
            return r;
        inode_touch(replaced, TOUCH_CTIME);
    } else {
        if (target && S_ISDIR(target->inode->mode) && !empty(target->inode))
            return -ENOTEMPTY;
        struct entry *e = entry_new(to_name, to_len);
        if (!e)
            return -ENOMEM;
        if (target) {
            struct inode *gone = entry_remove(target);
            unname(to, gone);
            inode_put(gone);
        }
        struct inode *inode = entry_remove(old);
        entry_insert(to, e, inode);
        move_dir(inode, from, to);
    }
    inode_touch(victim, TOUCH_CTIME);
    dir_changed(from);
    dir_changed(to);
    return 0;
}

static i64 tmpfs_readlink(struct task *task, struct inode *inode, char *out, u32 size) {
    struct node *node = node_of(inode);
    const char *target = node->target;
    if (!target && node->image)
        target = image_string(image_entry(node->image - 1)->first);
    u32 n = (u32)min((u64)size, inode->size);
    memcpy(out, target, n);
    return n;
}

static struct inode *tmpfs_parent(struct inode *inode) {
    struct inode *parent = inode->up;
    if (!parent && !list_empty(&node_of(inode)->names))
        parent = list_first(&node_of(inode)->names, struct entry, alias)->dir;
    if (parent)
        inode_get(parent);
    return parent;
}

static i64 tmpfs_name(struct inode *inode, char *out, u32 size) {
    struct entry *e = list_first(&node_of(inode)->names, struct entry, alias);
    if (!e)
        return -ENOENT;
    u32 n = min(e->len, size);
    memcpy(out, e->name, n);
    return n;
}

static i64 tmpfs_fill(struct task *task, struct inode *inode, u64 index) {
    return image_page(task, inode, node_of(inode)->image - 1, index);
}

const struct inode_ops tmpfs_ops = {
    .lookup = tmpfs_lookup,
    .create = tmpfs_create,
    .symlink = tmpfs_symlink,
    .link = tmpfs_link,
    .unlink = tmpfs_unlink,
    .rename = tmpfs_rename,
    .readlink = tmpfs_readlink,
    .parent = tmpfs_parent,
    .name = tmpfs_name,
    .fill = tmpfs_fill,
    .destroy = tmpfs_destroy,
};

static i64 tmpfs_readdir(struct task *task, struct file *file, struct dirsink *sink) {
    struct inode *dir = file->inode;
    i64 r = load(dir);
    if (r < 0)
        return r;
    if (file->pos == 0) {
        if (!sink->emit(sink, ".", 1, dir->ino, 1, DT_DIR))
            return 0;
        file->pos = 1;
    }
    if (file->pos == 1) {
        struct inode *up = NULL;
        r = path_up(task, dir, &up);
        u64 ino = r ? dir->ino : up->ino;
        if (!r)
            inode_put(up);
        if (!sink->emit(sink, "..", 2, ino, 2, DT_DIR))
            return 0;
        file->pos = 2;
    }
    u32 seen = 0;
    struct entry *e;
    list_each(e, &node_of(dir)->entries, order) {
        if (e->cookie < file->pos)
            continue;
        if (!sink->emit(sink, e->name, e->len, e->inode->ino, e->cookie + 1,
                        (u8)(e->inode->mode >> 12)))
            break;
        file->pos = e->cookie + 1;
        seen++;
    }
    pass_cost(seen);
    inode_touch(dir, TOUCH_ATIME);
    return 0;
}

static i64 tmpfs_dir_seek(struct task *task, struct file *file, i64 offset, u32 whence) {
    i64 pos = whence == SEEK_SET ? offset : whence == SEEK_CUR ? (i64)file->pos + offset : -1;
    if (pos < 0)
        return -EINVAL;
    file->pos = (u64)pos;
    return pos;
}

const struct file_ops directory_file_ops = {
    .readdir = tmpfs_readdir,
    .seek = tmpfs_dir_seek,
};

// ---- Trees -------------------------------------------------------------------------------------
// Options: mode=, uid=, gid=; sizes are accepted and bounded by memory alone.
static u32 option(const char *data, const char *name, u32 base, u32 otherwise) {
    u64 n = strlen(name);
    for (const char *p = data; p && *p; p = strchr(p, ',') ? strchr(p, ',') + 1 : NULL) {
        if (strncmp(p, name, n))
            continue;
        u32 value = 0;
        for (p += n; *p >= '0' && *p < (char)('0' + base); p++)
            value = value * base + (u32)(*p - '0');
        return value;
    }
    return otherwise;
}

i64 tmpfs_mount(struct filesystem *fs, const char *data) {
    struct inode *root = node_new(fs, S_IFDIR | (option(data, "mode=", 8, 01777) & 07777), 0);
    if (!root)
        return -ENOMEM;
    root->uid = option(data, "uid=", 10, 0);
    root->gid = option(data, "gid=", 10, 0);
    fs->root = root;
    return 0;
}

i64 tmpfs_mount_image(struct filesystem *fs) {
    fs->root = node_from_image(fs, 0);
    fs->next_ino = image_entries() + 1;
    return fs->root ? 0 : -ENOMEM;
}

// Walks down to a leaf, removes it, goes up again: no recursion.
void tmpfs_clear(struct filesystem *fs) {
    struct inode *dir = fs->root;
    for (;;) {
        struct entry *e = list_first(&node_of(dir)->entries, struct entry, order);
        if (!e) {
            if (dir == fs->root)
                return;
            struct inode *up = dir->up;
            e = list_first(&node_of(dir)->names, struct entry, alias);
            inode_put(entry_remove(e));
            dir = up;
        } else if (S_ISDIR(e->inode->mode)) {
            dir = e->inode;
        } else {
            inode_put(entry_remove(e));
        }
    }
}

i64 tmpfs_add(struct inode *dir, const char *name, u32 mode, u32 rdev, struct inode **out) {
    struct inode *inode;
    i64 r = tmpfs_create(NULL, dir, name, (u32)strlen(name), mode, rdev, &inode);
    if (r < 0)
        return r;
    if (out)
        *out = inode;
    else
        inode_put(inode);
    return 0;
}

i64 tmpfs_add_symlink(struct inode *dir, const char *name, const char *target) {
    struct inode *inode;
    i64 r = tmpfs_symlink(NULL, dir, name, (u32)strlen(name), target, &inode);
    if (!r)
        inode_put(inode);
    return r;
}

i64 tmpfs_remove(struct inode *dir, const char *name) {
    struct inode *inode;
    u32 len = (u32)strlen(name);
    i64 r = tmpfs_lookup(NULL, dir, name, len, &inode);
    if (r < 0)
        return r;
    r = tmpfs_unlink(NULL, dir, name, len, inode);
    inode_put(inode);
    return r;
}

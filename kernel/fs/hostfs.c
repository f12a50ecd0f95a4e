// Directories of the host. Every question goes to the host by path; names and attributes are never
// kept beyond the call, contents only while mapped or executed, and dropped when size or time have
// changed. An inode here is a path that someone holds: a directory's children are those that are
// held.
#include "../kernel.h"
#include "../lib/heap.h"
#include "../lib/string.h"
#include "hostask.h"
#include "mounts.h"

#define TRANSFER 131072u
#define FILL_PAGES 64u

struct node {                      // inode->data
    struct list children, sibling; // by path
    struct inode *inode;
    struct inode *dir; // of anything but a directory, with a reference
    bool gone;         // unlinked: the path means something else now
    u32 fresh;         // call that fetched the attributes
    u32 len;
    char *name;
};

static const struct inode_ops host_ops;
static const struct file_ops host_file_ops, host_directory_ops;

static struct node *node_of(struct inode *inode) {
    return inode->data;
}

static struct inode *dir_of(struct inode *inode) {
    return S_ISDIR(inode->mode) ? inode->up : node_of(inode)->dir;
}

// ---- Questions ----------------------------------------------------------------------------------
// The path of `inode`, and of `name` in it. The buffer is filled from its end.
static i64 put_path(struct inode *inode, const char *name, u32 len, char *buffer, u32 *out_len,
                    char **out) {
    u32 at = PATH_MAX;
    if (len) {
        at -= len;
        memcpy(buffer + at, name, len);
    }
    for (struct inode *i = inode; i != i->fs->root; i = dir_of(i)) {
        struct node *node = node_of(i);
        if (node->gone)
            return -ESTALE;
        if (node->len + 1 > at)
            return -ENAMETOOLONG;
        if (at < PATH_MAX)
            buffer[--at] = '/';
        at -= node->len;
        memcpy(buffer + at, node->name, node->len);
    }
    *out = buffer + at;
    *out_len = PATH_MAX - at;
    return 0;
}

static i64 ask(struct task *task, struct inode *inode, const char *name, u32 len, u32 op, u64 a,
               u64 b, const void *payload, u32 payload_len, struct host_answer *out) {
    char *buffer = kmalloc(PATH_MAX), *path;
    if (!buffer)
        return -ENOMEM;
    struct host_ask q = {.mount = (u32)(uintptr_t)inode->fs->data, .op = op, .args = {a, b}};
    q.payload = payload;
    q.payload_len = payload_len;
    i64 r = put_path(inode, name, len, buffer, &q.path_len, &path);
    if (!r) {
        q.path = path;
        r = host_ask(task, &q, out);
    }
    kfree(buffer);
    return r;
}

// ---- Inodes -------------------------------------------------------------------------------------
static void drop_pages(struct inode *inode) {
    if (!inode->pages.count)
        return;
    memobject_unmap(&inode->object, 0, ~0ull >> PAGE_SHIFT);
    pagecache_truncate(&inode->pages, 0);
}

static void apply(struct task *task, struct inode *inode, const struct hostfs_attr *attr) {
    if (inode->size != attr->size || inode->mtime_ns != attr->mtime_ns)
        drop_pages(inode);
    inode->mode = (inode->mode & S_IFMT) | (attr->mode & 07777);
    inode->nlink = attr->nlink;
    inode->uid = attr->uid;
    inode->gid = attr->gid;
    inode->ino = attr->ino;
    inode->size = attr->size;
    inode->atime_ns = attr->atime_ns;
    inode->mtime_ns = attr->mtime_ns;
    inode->ctime_ns = inode->btime_ns = attr->ctime_ns;
    inode->lower = S_ISREG(inode->mode) ? attr->size : 0;
    node_of(inode)->fresh = task->call.seq;
}

static struct inode *node_new(struct filesystem *fs, u32 mode, const char *name, u32 len) {
    struct inode *inode = inode_new(fs, mode);
    struct node *node = knew(struct node);
    char *own = kmalloc(len + 1);
    if (!inode || !node || !own) {
        kfree(node);
        kfree(own);
        if (inode)
            inode_put(inode);
        return NULL;
    }
    memcpy(own, name, len);
    list_init(&node->children);
    list_init(&node->sibling);
    node->inode = inode;
    node->name = own;
    node->len = len;
    inode->data = node;
    inode->ops = &host_ops;
    if (S_ISDIR(mode))
        inode->file_ops = &host_directory_ops;
    else if (S_ISREG(mode))
        inode->file_ops = &host_file_ops;
    return inode;
}

static void attach(struct inode *dir, struct inode *inode) {
    inode_get(dir);
    if (S_ISDIR(inode->mode))
        inode->up = dir;
    else
        node_of(inode)->dir = dir;
    list_push(&node_of(dir)->children, &node_of(inode)->sibling);
}

static void detach(struct inode *inode) {
    struct inode *dir = dir_of(inode);
    list_remove(&node_of(inode)->sibling);
    inode->up = node_of(inode)->dir = NULL;
    if (dir)
        inode_put(dir);
}

static void host_destroy(struct inode *inode) {
    struct node *node = node_of(inode);
    list_remove(&node->sibling);
    if (node->dir)
        inode_put(node->dir);
    kfree(node->name);
    kfree(node);
}

static struct inode *held(struct inode *dir, const char *name, u32 len) {
    struct node *node;
    list_each(node, &node_of(dir)->children, sibling) {
        if (!node->gone && node->len == len && !memcmp(node->name, name, len))
            return node->inode;
    }
    return NULL;
}

// The inode for what the host described. With a reference.
static i64 described(struct task *task, struct inode *dir, const char *name, u32 len,
                     const struct host_answer *a, struct inode **out) {
    const struct hostfs_attr *attr = (const void *)a->data;
    if (a->len < sizeof *attr)
        return -EIO;
    struct inode *inode = held(dir, name, len);
    if (inode && ((inode->mode ^ attr->mode) & S_IFMT || inode->ino != attr->ino)) {
        node_of(inode)->gone = true; // another file has the name now
        inode = NULL;
    }
    if (inode) {
        inode_get(inode);
    } else {
        inode = node_new(dir->fs, attr->mode, name, len);
        if (!inode)
            return -ENOMEM;
        inode->size = attr->size;
        inode->mtime_ns = attr->mtime_ns;
        attach(dir, inode);
    }
    apply(task, inode, attr);
    *out = inode;
    return 0;
}

static i64 host_lookup(struct task *task, struct inode *dir, const char *name, u32 len,
                       struct inode **out) {
    struct host_answer a;
    i64 r = ask(task, dir, name, len, HOSTFS_GETATTR, 0, 0, NULL, 0, &a);
    return r < 0 ? r : described(task, dir, name, len, &a, out);
}

static i64 host_getattr(struct task *task, struct inode *inode) {
    struct host_answer a;
    if (node_of(inode)->gone || node_of(inode)->fresh == task->call.seq)
        return 0;
    i64 r = ask(task, inode, "", 0, HOSTFS_GETATTR, 0, 0, NULL, 0, &a);
    if (!r && a.len >= sizeof(struct hostfs_attr))
        apply(task, inode, (const void *)a.data);
    return r;
}

// ---- Changes ------------------------------------------------------------------------------------
static i64 host_create(struct task *task, struct inode *dir, const char *name, u32 len, u32 mode,
                       u32 rdev, struct inode **out) {
    struct host_answer a;
    if (!len || (!S_ISREG(mode) && !S_ISDIR(mode)))
        return len ? -EPERM : -EOPNOTSUPP;
    i64 r = ask(task, dir, name, len, S_ISDIR(mode) ? HOSTFS_MKDIR : HOSTFS_CREATE, mode & 07777, 0,
                NULL, 0, &a);
    return r < 0 ? r : described(task, dir, name, len, &a, out);
}

static i64 host_symlink(struct task *task, struct inode *dir, const char *name, u32 len,
                        const char *target, struct inode **out) {
    struct host_answer a;
    i64 r = ask(task, dir, name, len, HOSTFS_SYMLINK, 0, 0, target, (u32)strlen(target), &a);
    return r < 0 ? r : described(task, dir, name, len, &a, out);
}

// With a second path as payload.
static i64 ask_two(struct task *task, struct inode *dir, const char *name, u32 len, u32 op, u64 arg,
                   struct inode *other, const char *other_name, u32 other_len) {
    struct host_answer a;
    char *buffer = kmalloc(PATH_MAX), *path;
    u32 path_len;
    if (!buffer)
        return -ENOMEM;
    i64 r = put_path(other, other_name, other_len, buffer, &path_len, &path);
    if (!r)
        r = ask(task, dir, name, len, op, arg, 0, path, path_len, &a);
    kfree(buffer);
    return r;
}

static i64 host_link(struct task *task, struct inode *dir, const char *name, u32 len,
                     struct inode *target) {
    i64 r = ask_two(task, dir, name, len, HOSTFS_LINK, 0, target, "", 0);
    if (!r)
        target->nlink++;
    return r;
}

static i64 host_unlink(struct task *task, struct inode *dir, const char *name, u32 len,
                       struct inode *victim) {
    struct host_answer a;
    bool directory = S_ISDIR(victim->mode);
    i64 r = ask(task, dir, name, len, directory ? HOSTFS_RMDIR : HOSTFS_UNLINK, 0, 0, NULL, 0, &a);
    if (r < 0)
        return r;
    node_of(victim)->gone = true;
    victim->nlink = directory || !victim->nlink ? 0 : victim->nlink - 1;
    return 0;
}

static i64 host_rename(struct task *task, struct inode *from, const char *name, u32 len,
                       struct inode *victim, struct inode *to, const char *to_name, u32 to_len,
                       struct inode *replaced, u32 flags) {
    char *own = kmalloc(to_len + 1);
    if (!own)
        return -ENOMEM;
    i64 r = ask_two(task, from, name, len, HOSTFS_RENAME, flags, to, to_name, to_len);
    if (r < 0 || flags & RENAME_EXCHANGE) {
        kfree(own);
        if (!r) // both are looked up anew
            node_of(victim)->gone = node_of(replaced)->gone = true;
        return r;
    }
    if (replaced)
        node_of(replaced)->gone = true;
    memcpy(own, to_name, to_len);
    struct node *node = node_of(victim);
    kfree(node->name);
    node->name = own;
    node->len = to_len;
    detach(victim);
    attach(to, victim);
    return 0;
}

static i64 host_readlink(struct task *task, struct inode *inode, char *out, u32 size) {
    struct host_answer a;
    i64 r = ask(task, inode, "", 0, HOSTFS_READLINK, 0, 0, NULL, 0, &a);
    if (r < 0)
        return r;
    u32 n = min(size, a.len);
    memcpy(out, a.data, n);
    return n;
}

static i64 host_setattr(struct task *task, struct inode *inode) {
    struct host_answer a;
    struct hostfs_attr attr = {.mode = inode->mode,
                               .uid = inode->uid,
                               .gid = inode->gid,
                               .atime_ns = inode->atime_ns,
                               .mtime_ns = inode->mtime_ns};
    return ask(task, inode, "", 0, HOSTFS_SETATTR, 0, 0, &attr, sizeof attr, &a);
}

static struct inode *host_parent(struct inode *inode) {
    struct inode *dir = dir_of(inode);
    if (dir)
        inode_get(dir);
    return dir;
}

static i64 host_name(struct inode *inode, char *out, u32 size) {
    struct node *node = node_of(inode);
    if (node->gone || !node->len)
        return -ENOENT;
    u32 n = min(size, node->len);
    memcpy(out, node->name, n);
    return n;
}

// Pages for mappings and programs, many at a time.
static i64 host_fill(struct task *task, struct inode *inode, u64 index) {
    struct host_answer a;
    u64 first = index & ~(u64)(FILL_PAGES - 1), offset = first << PAGE_SHIFT;
    u64 len = min((u64)FILL_PAGES * PAGE_SIZE, inode->lower - offset);
    i64 r = ask(task, inode, "", 0, HOSTFS_READ, offset, len, NULL, 0, &a);
    if (r < 0)
        return r;
    for (u64 at = 0; !r && at < len; at += PAGE_SIZE, first++) {
        if (pagecache_find(&inode->pages, first))
            continue;
        struct page *page = page_alloc();
        if (!page)
            r = -ENOMEM;
        if (page && at < a.len) // what the file has lost meanwhile reads as zeros
            memcpy(page_data(page), a.data + at, min((u64)a.len - at, (u64)PAGE_SIZE));
        if (page && (r = pagecache_insert(&inode->pages, first, page)) < 0)
            page_put(page);
    }
    host_consume(&a);
    pass_cost(len / 16);
    return r;
}

static const struct inode_ops host_ops = {
    .lookup = host_lookup,
    .create = host_create,
    .symlink = host_symlink,
    .link = host_link,
    .unlink = host_unlink,
    .rename = host_rename,
    .readlink = host_readlink,
    .setattr = host_setattr,
    .getattr = host_getattr,
    .parent = host_parent,
    .name = host_name,
    .fill = host_fill,
    .destroy = host_destroy,
};

// ---- Files --------------------------------------------------------------------------------------
static i64 host_read(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    struct host_answer a;
    if (!uio->left)
        return 0;
    i64 n = uio_ready(uio, min(uio->left, (u64)TRANSFER));
    if (n <= 0)
        return n;
    i64 r = ask(task, file->inode, "", 0, HOSTFS_READ, *pos, (u64)n, NULL, 0, &a);
    if (r < 0)
        return r;
    r = uio_put(uio, a.data, min((u64)a.len, (u64)n));
    host_consume(&a);
    if (r > 0)
        *pos += (u64)r;
    return r;
}

static i64 host_write(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    struct host_answer a;
    if (!uio->left)
        return 0;
    i64 n = uio_ready(uio, min(uio->left, (u64)TRANSFER));
    if (n <= 0)
        return n;
    u8 *buffer = kmalloc((u64)n);
    if (!buffer)
        return -ENOMEM;
    struct uio peek = *uio; // the bytes are taken when the host has them
    i64 r = uio_get(&peek, buffer, (u64)n);
    u64 offset = file->flags & O_APPEND ? ~0ull : *pos;
    if (r > 0)
        r = ask(task, file->inode, "", 0, HOSTFS_WRITE, offset, 0, buffer, (u32)n, &a);
    kfree(buffer);
    if (r < 0)
        return r;
    *uio = peek;
    *pos = a.value;
    host_consume(&a);
    struct inode *inode = file->inode;
    inode->size = max(inode->size, *pos);
    drop_pages(inode);
    inode_touch(inode, TOUCH_MTIME | TOUCH_CTIME);
    return n;
}

static i64 host_seek(struct task *task, struct file *file, i64 offset, u32 whence) {
    i64 base = 0, pos;
    if (whence == SEEK_END) {
        i64 r = host_getattr(task, file->inode);
        if (r < 0)
            return r;
        base = (i64)file->inode->size;
    } else if (whence == SEEK_CUR) {
        base = (i64)file->pos;
    } else if (whence != SEEK_SET) {
        return -EINVAL;
    }
    if (__builtin_add_overflow(base, offset, &pos))
        return -EOVERFLOW;
    if (pos < 0)
        return -EINVAL;
    file->pos = (u64)pos;
    return pos;
}

static i64 host_mmap(struct task *task, struct file *file, u32 prot, u32 map_flags,
                     struct memobject **out) {
    if ((map_flags & MAP_TYPE) != MAP_PRIVATE && (file->flags & O_ACCMODE) != O_RDONLY)
        return -ENODEV; // nothing would carry the stores back
    *out = &file->inode->object;
    return 0;
}

static i64 host_truncate(struct task *task, struct file *file, u64 size) {
    struct host_answer a;
    i64 r = ask(task, file->inode, "", 0, HOSTFS_TRUNCATE, size, 0, NULL, 0, &a);
    if (r < 0)
        return r;
    drop_pages(file->inode);
    file->inode->size = file->inode->lower = size;
    return 0;
}

static i64 host_fsync(struct task *task, struct file *file) {
    return 0;
}

static void host_release(struct file *file) {
    kfree(file->data);
}

static const struct file_ops host_file_ops = {
    .read = host_read,
    .write = host_write,
    .seek = host_seek,
    .mmap = host_mmap,
    .truncate = host_truncate,
    .fsync = host_fsync,
    .release = host_release,
};

// ---- Directories: a listing is fetched when reading begins --------------------------------------
struct listing { // file->data
    u32 len;
    u8 bytes[];
};
enum { ENTRY_HEAD = 10 }; // u64 ino, u8 type, u8 length

static i64 fetch_listing(struct task *task, struct file *file) {
    struct host_answer a;
    i64 r = ask(task, file->inode, "", 0, HOSTFS_READDIR, 0, 0, NULL, 0, &a);
    if (r < 0)
        return r;
    struct listing *listing = kmalloc(sizeof *listing + a.len);
    if (!listing)
        return -ENOMEM;
    listing->len = a.len;
    memcpy(listing->bytes, a.data, a.len);
    host_consume(&a);
    kfree(file->data);
    file->data = listing;
    return 0;
}

static i64 host_readdir(struct task *task, struct file *file, struct dirsink *sink) {
    i64 r = !file->data || !file->pos ? fetch_listing(task, file) : 0;
    if (r < 0)
        return r;
    struct inode *dir = file->inode, *up;
    for (; file->pos < 2; file->pos++) {
        r = file->pos ? path_up(task, dir, &up) : 0;
        u64 ino = file->pos && !r ? up->ino : dir->ino;
        if (file->pos && !r)
            inode_put(up);
        if (!sink->emit(sink, "..", file->pos ? 2 : 1, ino, file->pos + 1, DT_DIR))
            return 0;
    }
    struct listing *listing = file->data;
    u64 number = 2;
    for (u32 at = 0; at + ENTRY_HEAD <= listing->len; number++) {
        const u8 *e = listing->bytes + at;
        u64 ino;
        memcpy(&ino, e, sizeof ino);
        at += ENTRY_HEAD + e[9];
        if (at > listing->len)
            return -EIO;
        if (number < file->pos)
            continue;
        if (!sink->emit(sink, (const char *)e + ENTRY_HEAD, e[9], ino, number + 1, e[8]))
            return 0;
        file->pos = number + 1;
    }
    return 0;
}

static i64 host_directory_seek(struct task *task, struct file *file, i64 offset, u32 whence) {
    i64 pos = whence == SEEK_SET ? offset : whence == SEEK_CUR ? (i64)file->pos + offset : -1;
    if (pos < 0)
        return -EINVAL;
    file->pos = (u64)pos;
    return pos;
}

static const struct file_ops host_directory_ops = {
    .readdir = host_readdir,
    .seek = host_directory_seek,
    .release = host_release,
};

// ---- Mounting: data says which of the host's directories, "mount=<number>" ----------------------
i64 hostfs_mount(struct filesystem *fs, const char *data) {
    u32 number = 0;
    if (!data || strncmp(data, "mount=", 6) || !data[6])
        return -EINVAL;
    for (const char *p = data + 6; *p; p++) {
        if (*p < '0' || *p > '9')
            return -EINVAL;
        number = number * 10 + (u32)(*p - '0');
    }
    fs->data = (void *)(uintptr_t)number;
    fs->root = node_new(fs, S_IFDIR | 0755, "", 0);
    if (!fs->root)
        return -ENOMEM;
    fs->root->nlink = 2;
    return 0;
}

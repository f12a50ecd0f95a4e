// Inodes: reference counts, times, permission, and how mem/ sees a file.
// The rule kept here: an inode lives while anything refers to it; names count as references.
#include "inode.h"
#include "../kernel.h"
#include "../lib/heap.h"
#include "../lib/string.h"
#include "mounts.h"
#include "notify.h"
#include "tmpfs.h"
#include "xattr.h"

static i64 object_frame(struct memobject *object, u64 index, enum want want, struct task *task,
                        struct page **out) {
    struct inode *inode = inode_of(object);
    if (index >= (inode->size + PAGE_SIZE - 1) >> PAGE_SHIFT)
        return -EFAULT;
    i64 r = inode_page(task, inode, index, out);
    if (r < 0)
        return r != -ENOSPC ? r : disk_free() < pages_free() ? -EFAULT : -ENOMEM;
    if (want == WANT_WRITE && !disk_take(task, *out))
        return -EFAULT; // SIGBUS, as on a full tmpfs
    page_get(*out);
    if (want == WANT_WRITE) {
        (*out)->flags |= PAGE_DIRTY;
        inode_touch(inode, TOUCH_MTIME | TOUCH_CTIME);
    }
    return 0;
}

static struct page *object_peek(struct memobject *object, u64 index) {
    struct inode *inode = inode_of(object);
    return index < (inode->size + PAGE_SIZE - 1) >> PAGE_SHIFT ? pagecache_find(&inode->pages, index) : NULL;
}

static void object_get(struct memobject *object) {
    inode_get(inode_of(object));
}

static void object_put(struct memobject *object) {
    inode_put(inode_of(object));
}

static void object_describe(struct memobject *object, struct text *text, u32 *dev, u64 *ino) {
    struct inode *inode = inode_of(object);
    *dev = inode->fs ? inode->fs->dev : 1;
    *ino = inode->ino;
    char *path = kmalloc(PATH_MAX);
    if (!path)
        return;
    i64 n = path_shown(NULL, inode, path, PATH_MAX);
    if (n > 0)
        text_append(text, path, (u32)n);
    kfree(path);
}

static const struct memobject_ops object_ops = {object_frame, object_peek, object_get, object_put,
                                                object_describe};

struct inode *inode_of(struct memobject *object) {
    return object->ops == &object_ops ? container_of(object, struct inode, object) : NULL;
}

struct inode *inode_new(struct filesystem *fs, u32 mode) {
    struct inode *inode = knew(struct inode);
    if (!inode)
        return NULL;
    inode->object.ops = &object_ops;
    inode->refs = 1;
    inode->mode = mode;
    inode->nlink = 1;
    inode->fs = fs;
    if (fs) {
        fs->inodes++;
        inode->ino = ++fs->next_ino;
    } else {
        inode->ino = anon_ino_new();
    }
    u64 now = now_real_ns();
    inode->atime_ns = inode->mtime_ns = inode->ctime_ns = inode->btime_ns = now;
    if (S_ISREG(mode))
        inode->file_ops = &regular_file_ops;
    else if (S_ISDIR(mode))
        inode->file_ops = &directory_file_ops;
    list_init(&inode->locks);
    list_init(&inode->watches);
    list_init(&inode->reclaim);
    waitq_init(&inode->wait);
    return inode;
}

void inode_get(struct inode *inode) {
    inode->refs++;
}

// A directory's last reference drops one of its parent's: a loop, for a chain of removed
// directories may be deep.
void inode_put(struct inode *inode) {
    while (inode) {
        assert(inode->refs);
        if (--inode->refs)
            return;
        struct inode *up = inode->up;
        if (inode->ops && inode->ops->destroy)
            inode->ops->destroy(inode);
        list_remove(&inode->reclaim);
        pagecache_truncate(&inode->pages, 0);
        xattr_free(inode);
        kfree(inode->gone);
        struct filesystem *fs = inode->fs;
        kfree(inode);
        if (fs && !--fs->inodes && fs->gone)
            filesystem_free(fs);
        inode = up;
    }
}

void inode_touch(struct inode *inode, u32 which) {
    u64 now = now_real_ns();
    if (which & TOUCH_ATIME) { // relatime(8)
        bool due = inode->atime_ns <= inode->mtime_ns || inode->atime_ns <= inode->ctime_ns ||
                   now - inode->atime_ns >= 86400 * NSEC;
        if (due && !(inode->fs && inode->fs->flags & (MS_NOATIME | MS_RDONLY)))
            inode->atime_ns = now;
    }
    if (which & TOUCH_MTIME)
        inode->mtime_ns = now;
    if (which & TOUCH_CTIME)
        inode->ctime_ns = now;
}

bool cred_in_group(const struct cred *cred, u32 gid) {
    if (cred->fsgid == gid)
        return true;
    for (u32 i = 0; i < cred->group_count; i++)
        if (cred->groups[i] == gid)
            return true;
    return false;
}

static bool capable(struct task *task, u32 cap) {
    return task->cred.cap_effective >> cap & 1;
}

i64 inode_permission(struct task *task, struct inode *inode, u32 want) {
    u32 mode = inode->mode;
    if (want & W_OK && inode->fs && inode->fs->flags & MS_RDONLY &&
        (S_ISREG(mode) || S_ISDIR(mode) || S_ISLNK(mode)))
        return -EROFS;
    u32 bits = mode & 7;
    if (task->cred.fsuid == inode->uid)
        bits = mode >> 6 & 7;
    else if (cred_in_group(&task->cred, inode->gid))
        bits = mode >> 3 & 7;
    if (!(want & ~bits))
        return 0;
    if (S_ISDIR(mode)) {
        if (capable(task, CAP_DAC_OVERRIDE))
            return 0;
        if (!(want & W_OK) && capable(task, CAP_DAC_READ_SEARCH))
            return 0;
        return -EACCES;
    }
    if (capable(task, CAP_DAC_OVERRIDE) && (!(want & X_OK) || mode & 0111))
        return 0;
    if (want == R_OK && capable(task, CAP_DAC_READ_SEARCH))
        return 0;
    return -EACCES;
}

bool inode_owner_or_capable(struct task *task, struct inode *inode) {
    return task->cred.fsuid == inode->uid || capable(task, CAP_FOWNER);
}

void inode_init_owner(struct task *task, struct inode *dir, struct inode *inode) {
    inode->uid = task->cred.fsuid;
    inode->gid = task->cred.fsgid;
    if (!(dir->mode & S_ISGID))
        return;
    inode->gid = dir->gid;
    if (S_ISDIR(inode->mode))
        inode->mode |= S_ISGID;
    else if ((inode->mode & (S_ISGID | 0010)) == (S_ISGID | 0010) &&
             !cred_in_group(&task->cred, dir->gid) && !capable(task, CAP_FSETID))
        inode->mode &= ~S_ISGID;
}

void inode_drop_suid(struct task *task, struct inode *inode) {
    if (task && capable(task, CAP_FSETID))
        return;
    u32 drop = inode->mode & S_ISUID;
    if ((inode->mode & (S_ISGID | 0010)) == (S_ISGID | 0010))
        drop |= S_ISGID;
    if (drop)
        inode->mode &= ~drop;
}

struct inode *inode_parent(struct inode *inode) {
    if (inode->ops && inode->ops->parent)
        return inode->ops->parent(inode);
    if (inode->up)
        inode_get(inode->up);
    return inode->up;
}

void notify_name(struct inode *dir, u32 mask, u32 cookie, const char *name, u32 len) {
    if (!list_empty(&dir->watches))
        inotify_event(dir, mask, cookie, name, len);
}

void notify_inode(struct inode *inode, u32 mask) {
    if (S_ISDIR(inode->mode))
        mask |= NOTIFY_ISDIR;
    if (!list_empty(&inode->watches))
        inotify_event(inode, mask, 0, NULL, 0);
    if (!inode->ops || !inode->ops->name)
        return;
    struct inode *parent = inode_parent(inode);
    if (!parent)
        return;
    if (!list_empty(&parent->watches)) {
        char name[NAME_MAX + 1];
        i64 n = inode->ops->name(inode, name, sizeof name);
        if (n > 0)
            inotify_event(parent, mask, 0, name, (u32)n);
    }
    inode_put(parent);
}

// Open file descriptions: making, opening, letting go.
#include "file.h"
#include "../kernel.h"
#include "../lib/fmt.h"
#include "../lib/heap.h"
#include "../lib/string.h"
#include "devfs.h"
#include "epoll.h"
#include "flock.h"
#include "notify.h"
#include "path.h"
#include "pipe.h"

static void nothing_release(struct file *file) {
}
static const struct file_ops nothing_ops = {.release = nothing_release}; // O_PATH, sockets' names

struct file *file_new(const struct file_ops *ops, u32 flags, void *data) {
    struct file *file = knew(struct file);
    if (!file)
        return NULL;
    file->refs = 1;
    file->ops = ops;
    file->flags = flags;
    file->data = data;
    list_init(&file->locks);
    list_init(&file->epolls);
    return file;
}

void file_get(struct file *file) {
    file->refs++;
}

static bool writable(const struct file *file) {
    return (file->flags & O_ACCMODE) != O_RDONLY && !(file->flags & O_PATH);
}

void file_put(struct file *file) {
    assert(file->refs);
    if (--file->refs)
        return;
    struct inode *inode = file->inode;
    if (!list_empty(&file->epolls))
        epoll_file_closed(file);
    if (inode && !list_empty(&inode->locks))
        lock_release_owner(inode, file);
    if (inode && file->opened && !(file->flags & O_PATH))
        notify_inode(inode, writable(file) ? NOTIFY_CLOSE_WRITE : NOTIFY_CLOSE_NOWRITE);
    if (file->ops->release)
        file->ops->release(file);
    if (inode) {
        if (file->counts_writer)
            inode->writers--;
        inode_put(inode);
    }
    kfree(file->path);
    kfree(file);
}

u64 anon_ino_new(void) {
    return ++kernel->anon_ino;
}

i64 file_name(struct task *task, struct file *file, char *out, u32 size) {
    if (file->anon_name) {
        const char *name = file->anon_name;
        u64 n = strlen(name);
        bool plain = !strncmp(name, "anon_inode:", 11) || (n && name[n - 1] == ']');
        i32 len = plain
                      ? ksnprintf(out, size, "%s", name)
                      : ksnprintf(out, size, "%s:[%llu]", name,
                                  (unsigned long long)(file->inode ? file->inode->ino : file->ino));
        return min((u32)len, size - 1);
    }
    return file->inode ? path_shown(task, file->inode, out, size) : -ENOENT;
}

// ---- Opening -----------------------------------------------------------------------------------
static i64 check_open(struct task *task, struct inode *inode, u32 flags, bool created) {
    u32 mode = inode->mode, access = flags & O_ACCMODE;
    bool writes = access != O_RDONLY || flags & O_TRUNC;
    if (S_ISLNK(mode))
        return -ELOOP;
    if (S_ISDIR(mode) && (writes || flags & O_CREAT))
        return -EISDIR;
    if (flags & O_DIRECTORY && !S_ISDIR(mode))
        return -ENOTDIR;
    if ((S_ISCHR(mode) || S_ISBLK(mode)) && inode->fs && inode->fs->flags & MS_NODEV)
        return -EACCES;
    if (flags & O_NOATIME && !inode_owner_or_capable(task, inode))
        return -EPERM;
    if (!created) {
        u32 want = (access != O_WRONLY ? R_OK : 0) | (writes ? W_OK : 0);
        i64 r = inode_permission(task, inode, want);
        if (r < 0)
            return r;
    }
    if (S_ISSOCK(mode))
        return -ENXIO;
    if (S_ISREG(mode) && writes && (i32)inode->writers < 0)
        return -ETXTBSY;
    return 0;
}

// The file over an inode that may be opened. Only a FIFO, a device or ops->open can wait.
static i64 open_inode(struct task *task, struct inode *inode, u32 flags, struct file **out) {
    const u32 kept = ~(O_CREAT | O_EXCL | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);
    bool path_only = flags & O_PATH;
    const struct file_ops *ops = path_only || !inode->file_ops ? &nothing_ops : inode->file_ops;
    struct file *file = file_new(ops, flags & kept, NULL);
    if (!file)
        return -ENOMEM;
    inode_get(inode);
    file->inode = inode;
    i64 r = 0;
    if (!path_only) {
        if (inode->ops && inode->ops->open)
            r = inode->ops->open(task, inode, file);
        else if (S_ISFIFO(inode->mode))
            r = fifo_open(task, inode, file);
        else if (S_ISCHR(inode->mode) || S_ISBLK(inode->mode))
            r = device_open(task, inode, file);
    }
    if (r < 0) {
        file->ops = &nothing_ops;
        file_put(file);
        return r;
    }
    file->flags &= ~O_NOCTTY; // the device has seen it
    if (S_ISREG(inode->mode) && writable(file)) {
        inode->writers++;
        file->counts_writer = true;
    }
    file->opened = true;
    *out = file;
    return 0;
}

static i64 open_checked(struct task *task, struct inode *inode, u32 flags, bool created,
                        struct file **out) {
    i64 r = 0;
    if (flags & O_PATH) {
        if (flags & O_DIRECTORY && !S_ISDIR(inode->mode))
            return -ENOTDIR;
    } else {
        r = check_open(task, inode, flags, created);
    }
    if (!r)
        r = open_inode(task, inode, flags, out);
    if (r < 0)
        return r;
    if (flags & O_TRUNC && S_ISREG(inode->mode) && !created && !(flags & O_PATH)) {
        r = (*out)->ops->truncate ? (*out)->ops->truncate(task, *out, 0) : 0;
        if (r < 0) {
            file_put(*out);
            return r;
        }
    }
    if (!(flags & O_PATH))
        notify_inode(inode, NOTIFY_OPEN);
    return 0;
}

i64 file_open_inode(struct task *task, struct inode *inode, u32 flags, struct file **out) {
    return open_checked(task, inode, flags, false, out);
}

static i64 create(struct task *task, struct walk *walk, u32 mode, struct inode **out) {
    struct inode *dir = walk->inode;
    if (walk->trailing_slash)
        return -EISDIR;
    i64 r = inode_permission(task, dir, W_OK | X_OK);
    if (r < 0)
        return r;
    if (!dir->ops->create)
        return -EACCES;
    mode = S_IFREG | (mode & 07777 & ~task->fs->umask);
    r = dir->ops->create(task, dir, walk->last, walk->last_len, mode, 0, out);
    if (!r)
        notify_name(dir, NOTIFY_CREATE, 0, walk->last, walk->last_len);
    return r;
}

static i64 open_unnamed(struct task *task, struct inode *dir, u32 flags, u32 mode,
                        struct file **out) {
    if ((flags & O_ACCMODE) == O_RDONLY)
        return -EINVAL;
    i64 r = inode_permission(task, dir, W_OK | X_OK);
    if (r < 0)
        return r;
    if (!dir->ops->create)
        return -EOPNOTSUPP;
    struct inode *inode;
    mode = S_IFREG | (mode & 07777 & ~task->fs->umask);
    r = dir->ops->create(task, dir, "", 0, mode, 0, &inode);
    if (r < 0)
        return r;
    r = open_checked(task, inode, flags & ~O_DIRECTORY, true, out);
    inode_put(inode);
    return r;
}

i64 file_open(struct task *task, i32 dirfd, const char *path, u32 flags, u32 mode, u32 resolve,
              struct file **out) {
    bool unnamed = (flags & O_TMPFILE) == O_TMPFILE;
    if (flags & O_PATH)
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW;
    else if (unnamed)
        flags &= ~O_CREAT;
    bool creates = flags & O_CREAT;
    bool exclusive = creates && flags & O_EXCL;
    u32 walk_flags = resolve;
    if (creates)
        walk_flags |= WALK_CREATE;
    if (!(flags & O_NOFOLLOW) && !exclusive)
        walk_flags |= WALK_FOLLOW;
    if (flags & O_DIRECTORY && !creates)
        walk_flags |= WALK_DIRECTORY;
    struct walk walk;
    i64 r = path_walk(task, dirfd, path, walk_flags, &walk);
    if (r < 0) {
        if (r != E_WAIT && !task->agent)
            TAP(OPEN, task, path, strlen(path), dirfd, flags, mode, r);
        return r;
    }
    if (unnamed) {
        r = open_unnamed(task, walk.inode, flags, mode, out);
    } else if (walk.missing) {
        struct inode *inode;
        r = flags & O_DIRECTORY ? -EINVAL : create(task, &walk, mode, &inode);
        if (!r) {
            r = open_checked(task, inode, flags, true, out);
            inode_put(inode);
        }
    } else if (exclusive) {
        r = -EEXIST;
    } else if (creates && walk.trailing_slash && !S_ISDIR(walk.inode->mode)) {
        r = -ENOTDIR;
    } else {
        r = open_checked(task, walk.inode, flags, false, out);
    }
    walk_end(&walk);
    if (r != E_WAIT && !task->agent)
        TAP(OPEN, task, path, strlen(path), dirfd, flags, mode, r);
    return r;
}

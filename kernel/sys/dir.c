// mkdir(2), mknod(2), unlink(2), rmdir(2), getdents(2), chdir(2), chroot(2), getcwd(2).
#include "../fs/notify.h"
#include "../lib/heap.h"
#include "../lib/string.h"
#include "names.h"

// ---- Shared checks ------------------------------------------------------------------------------
i64 name_new(struct task *task, i32 dirfd, const char *path, bool directory, struct walk *out) {
    i64 r = path_walk(task, dirfd, path, WALK_CREATE, out);
    if (r < 0)
        return r;
    if (!out->missing)
        r = -EEXIST;
    else if (out->trailing_slash && !directory)
        r = -ENOENT;
    else
        r = inode_permission(task, out->inode, W_OK | X_OK);
    if (r < 0)
        walk_end(out);
    return r;
}

i64 name_lookup(struct task *task, struct inode *dir, const char *name, u32 len,
                struct inode **out) {
    if (!dir->ops || !dir->ops->lookup)
        return -ENOTDIR;
    return dir->ops->lookup(task, dir, name, len, out);
}

i64 name_removable(struct task *task, struct inode *dir, struct inode *victim) {
    i64 r = inode_permission(task, dir, W_OK | X_OK);
    if (r < 0)
        return r;
    u32 fsuid = task->cred.fsuid;
    if (dir->mode & S_ISVTX && fsuid != victim->uid && fsuid != dir->uid &&
        !capable(task, CAP_FOWNER))
        return -EPERM;
    if (victim->mounted || victim == kernel->root)
        return -EBUSY;
    return 0;
}

i64 name_at(struct task *task, i32 dirfd, uptr path, u32 at_flags, struct walk *out) {
    i64 error;
    const char *name = "";
    u32 flags = at_flags & AT_SYMLINK_NOFOLLOW ? 0 : WALK_FOLLOW;
    if (path.va) {
        name = call_path(task, 0, path, &error);
        if (!name)
            return error;
        if (at_flags & AT_EMPTY_PATH)
            flags |= WALK_EMPTY;
    } else {
        flags |= WALK_EMPTY;
    }
    return path_walk(task, dirfd, name, flags, out);
}

// ---- Making -------------------------------------------------------------------------------------
static i64 make(struct task *task, i32 dirfd, uptr path, u32 mode, u32 rdev) {
    i64 r;
    const char *name = call_path(task, 0, path, &r);
    if (!name)
        return r;
    struct walk walk;
    r = name_new(task, dirfd, name, S_ISDIR(mode), &walk);
    if (r < 0)
        return r;
    struct inode *dir = walk.inode, *inode;
    mode &= ~task->fs->umask;
    r = dir->ops->create ? dir->ops->create(task, dir, walk.last, walk.last_len, mode, rdev, &inode)
                         : -EPERM;
    if (!r) {
        notify_name(dir, NOTIFY_CREATE | (S_ISDIR(mode) ? NOTIFY_ISDIR : 0), 0, walk.last,
                    walk.last_len);
        inode_put(inode);
    }
    walk_end(&walk);
    return r;
}

i64 sys_mkdirat(struct task *task, struct call *call) {
    return make(task, arg_int(call, 0), arg_ptr(call, 1), S_IFDIR | (arg_u32(call, 2) & 01777), 0);
}

i64 sys_mknodat(struct task *task, struct call *call) {
    u32 mode = arg_u32(call, 2) & (S_IFMT | 07777);
    if (!(mode & S_IFMT))
        mode |= S_IFREG;
    if (S_ISDIR(mode))
        return -EPERM;
    if (!S_ISREG(mode) && !S_ISCHR(mode) && !S_ISBLK(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode))
        return -EINVAL;
    if ((S_ISCHR(mode) || S_ISBLK(mode)) && !capable(task, CAP_MKNOD))
        return -EPERM;
    return make(task, arg_int(call, 0), arg_ptr(call, 1), mode, arg_u32(call, 3));
}

// ---- Removing -----------------------------------------------------------------------------------
static i64 check_victim(struct task *task, struct walk *walk, struct inode *victim,
                        bool directory) {
    i64 r = name_removable(task, walk->inode, victim);
    if (r < 0)
        return r;
    if (directory)
        return S_ISDIR(victim->mode) ? 0 : -ENOTDIR;
    if (S_ISDIR(victim->mode))
        return -EISDIR;
    return walk->trailing_slash ? -ENOTDIR : 0;
}

static i64 special_error(const struct walk *walk, bool directory) {
    if (!directory)
        return -EISDIR;
    return !walk->last[0] ? -EBUSY : walk->last[1] ? -ENOTEMPTY : -EINVAL;
}

i64 sys_unlinkat(struct task *task, struct call *call) {
    bool directory = arg_u32(call, 2) & AT_REMOVEDIR;
    i64 r;
    if (arg_u32(call, 2) & ~AT_REMOVEDIR)
        return -EINVAL;
    const char *path = call_path(task, 0, arg_ptr(call, 1), &r);
    if (!path)
        return r;
    struct walk walk;
    r = path_walk(task, arg_int(call, 0), path, WALK_PARENT, &walk);
    if (r < 0)
        return r;
    struct inode *dir = walk.inode, *victim = NULL;
    r = name_special(&walk) ? special_error(&walk, directory)
                            : name_lookup(task, dir, walk.last, walk.last_len, &victim);
    if (!r)
        r = check_victim(task, &walk, victim, directory);
    if (!r)
        path_remember(victim);
    if (!r)
        r = dir->ops->unlink ? dir->ops->unlink(task, dir, walk.last, walk.last_len, victim)
                             : -EPERM;
    if (!r) {
        notify_name(dir, NOTIFY_DELETE | (directory ? NOTIFY_ISDIR : 0), 0, walk.last,
                    walk.last_len);
        notify_inode(victim, victim->nlink && !directory ? NOTIFY_ATTRIB : NOTIFY_DELETE_SELF);
    }
    if (victim)
        inode_put(victim);
    walk_end(&walk);
    return r;
}

// ---- Reading ------------------------------------------------------------------------------------
#define BUFFER_MAX 32768u

#define DIRENT_HEAD offsetof(struct dirent64, name)

struct buffer_sink {
    struct dirsink sink;
    u8 *data;
    u32 len, cap;
    bool full;
};

static bool buffer_emit(struct dirsink *sink, const char *name, u32 len, u64 ino, u64 next_pos,
                        u8 type) {
    struct buffer_sink *b = container_of(sink, struct buffer_sink, sink);
    u32 size = (u32)align_up(DIRENT_HEAD + len + 1, (size_t)8);
    if (size > b->cap - b->len) {
        b->full = true;
        return false;
    }
    struct dirent64 *d = (void *)(b->data + b->len);
    d->ino = ino;
    d->off = (i64)next_pos;
    d->reclen = (u16)size;
    d->type = type;
    memcpy(d->name, name, len);
    memset(d->name + len, 0, size - DIRENT_HEAD - len);
    b->len += size;
    return true;
}

i64 sys_getdents64(struct task *task, struct call *call) {
    struct file *file = call_file(task, 0, arg_int(call, 0));
    if (!file)
        return -EBADF;
    if (!file->ops->readdir)
        return -ENOTDIR;
    if (file->inode && S_ISDIR(file->inode->mode) && file->inode->ops == NULL)
        return -ENOTDIR;
    struct buffer_sink b = {.sink = {buffer_emit}, .cap = min(arg_u32(call, 2), BUFFER_MAX)};
    b.data = kmalloc(b.cap + 1);
    if (!b.data)
        return -ENOMEM;
    u64 pos = file->pos;
    i64 r = file->ops->readdir(task, file, &b.sink);
    if (!r && !b.len && b.full)
        r = -EINVAL;
    if (!r && b.len)
        r = copy_out(task, arg_ptr(call, 1), b.data, b.len);
    if (r < 0)
        file->pos = pos;
    kfree(b.data);
    return r < 0 ? r : b.len;
}

// ---- Where a task stands ------------------------------------------------------------------------
static i64 stand_in(struct task *task, struct inode **where, struct inode *dir) {
    if (!S_ISDIR(dir->mode))
        return -ENOTDIR;
    i64 r = inode_permission(task, dir, X_OK);
    if (r < 0)
        return r;
    inode_get(dir);
    inode_put(*where);
    *where = dir;
    return 0;
}

static i64 change(struct task *task, struct call *call, struct inode **where) {
    i64 r;
    const char *path = call_path(task, 0, arg_ptr(call, 0), &r);
    if (!path)
        return r;
    struct walk walk;
    r = path_walk(task, AT_FDCWD, path, WALK_FOLLOW | WALK_DIRECTORY, &walk);
    if (r < 0)
        return r;
    r = stand_in(task, where, walk.inode);
    walk_end(&walk);
    return r;
}

i64 sys_chdir(struct task *task, struct call *call) {
    return change(task, call, &task->fs->cwd);
}

i64 sys_chroot(struct task *task, struct call *call) {
    if (!capable(task, CAP_SYS_CHROOT))
        return -EPERM;
    return change(task, call, &task->fs->root);
}

i64 sys_fchdir(struct task *task, struct call *call) {
    struct file *file = fd_any(task, arg_int(call, 0));
    if (!file)
        return -EBADF;
    return file->inode ? stand_in(task, &task->fs->cwd, file->inode) : -ENOTDIR;
}

i64 sys_getcwd(struct task *task, struct call *call) {
    char *path = kmalloc(PATH_MAX);
    if (!path)
        return -ENOMEM;
    i64 n = path_of(task, task->fs->cwd, path, PATH_MAX - 1);
    i64 r = n;
    if (n >= 0) {
        path[n] = 0;
        r = (u64)n + 1 > call->args[1] ? -ERANGE
                                       : copy_out(task, arg_ptr(call, 0), path, (u64)n + 1);
    }
    kfree(path);
    return r < 0 ? r : n + 1;
}

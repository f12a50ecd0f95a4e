// link(2), symlink(2), readlink(2), rename(2).
#include "../fs/notify.h"
#include "../lib/heap.h"
#include "../lib/string.h"
#include "names.h"

// Fetching the second string moves the first: both are fetched before either is used.
static i64 two_paths(struct task *task, uptr a, uptr b, const char **first, const char **second) {
    i64 r = 0;
    if (!call_path(task, 0, a, &r))
        return r;
    *second = call_path(task, 1, b, &r);
    if (!*second)
        return r;
    *first = call_path(task, 0, a, &r);
    return 0;
}

i64 sys_symlinkat(struct task *task, struct call *call) {
    const char *target, *path;
    i64 r = two_paths(task, arg_ptr(call, 0), arg_ptr(call, 2), &target, &path);
    if (r < 0)
        return r;
    if (!*target)
        return -ENOENT;
    struct walk walk;
    r = name_new(task, arg_int(call, 1), path, false, &walk);
    if (r < 0)
        return r;
    struct inode *dir = walk.inode, *inode;
    r = dir->ops->symlink ? dir->ops->symlink(task, dir, walk.last, walk.last_len, target, &inode)
                          : -EPERM;
    if (!r) {
        notify_name(dir, NOTIFY_CREATE, 0, walk.last, walk.last_len);
        inode_put(inode);
    }
    walk_end(&walk);
    return r;
}

static i64 link_inode(struct task *task, struct inode *target, i32 dirfd, const char *path) {
    struct walk walk;
    i64 r = name_new(task, dirfd, path, false, &walk);
    if (r < 0)
        return r;
    struct inode *dir = walk.inode;
    if (dir->fs != target->fs)
        r = -EXDEV;
    else if (S_ISDIR(target->mode) || !dir->ops->link)
        r = -EPERM;
    else
        r = dir->ops->link(task, dir, walk.last, walk.last_len, target);
    if (!r) {
        notify_name(dir, NOTIFY_CREATE, 0, walk.last, walk.last_len);
        notify_inode(target, NOTIFY_ATTRIB);
    }
    walk_end(&walk);
    return r;
}

i64 sys_linkat(struct task *task, struct call *call) {
    const char *from, *to;
    u32 flags = arg_u32(call, 4);
    if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (flags & AT_EMPTY_PATH && !capable(task, CAP_DAC_READ_SEARCH))
        return -ENOENT;
    i64 r = two_paths(task, arg_ptr(call, 1), arg_ptr(call, 3), &from, &to);
    if (r < 0)
        return r;
    struct walk walk;
    u32 how =
        (flags & AT_SYMLINK_FOLLOW ? WALK_FOLLOW : 0) | (flags & AT_EMPTY_PATH ? WALK_EMPTY : 0);
    r = path_walk(task, arg_int(call, 0), from, how, &walk);
    if (r < 0)
        return r;
    r = link_inode(task, walk.inode, arg_int(call, 2), to);
    walk_end(&walk);
    return r;
}

i64 sys_readlinkat(struct task *task, struct call *call) {
    i64 r;
    if (arg_int(call, 3) <= 0)
        return -EINVAL;
    const char *path = call_path(task, 0, arg_ptr(call, 1), &r);
    if (!path)
        return r;
    struct walk walk;
    r = path_walk(task, arg_int(call, 0), path, WALK_EMPTY, &walk);
    if (r < 0)
        return *path ? r : -ENOENT;
    struct inode *inode = walk.inode;
    char *text = kmalloc(PATH_MAX);
    if (!text)
        r = -ENOMEM;
    else if (!S_ISLNK(inode->mode) || !inode->ops->readlink)
        r = *path ? -EINVAL : -ENOENT;
    else
        r = inode->ops->readlink(task, inode, text, PATH_MAX);
    if (r > 0) {
        i64 n = min(r, (i64)arg_int(call, 3));
        inode_touch(inode, TOUCH_ATIME);
        r = copy_out(task, arg_ptr(call, 2), text, (u64)n);
        if (!r)
            r = n;
    }
    kfree(text);
    walk_end(&walk);
    return r;
}

// ---- rename(2) ----------------------------------------------------------------------------------
struct rename { // one side
    struct walk walk;
    struct inode *inode; // with a reference; NULL: nothing has this name
};

static void rename_end(struct rename *side) {
    if (side->inode)
        inode_put(side->inode);
    walk_end(&side->walk);
}

static bool inside(struct inode *dir, struct inode *ancestor) {
    for (; dir; dir = dir->up)
        if (dir == ancestor)
            return true;
    return false;
}

// A directory that moves to another parent has its ".." written.
static i64 check_move(struct task *task, struct rename *from, struct rename *to) {
    if (!S_ISDIR(from->inode->mode))
        return from->walk.trailing_slash || to->walk.trailing_slash ? -ENOTDIR : 0;
    if (inside(to->walk.inode, from->inode))
        return -EINVAL;
    return from->walk.inode != to->walk.inode ? inode_permission(task, from->inode, W_OK) : 0;
}

static i64 check_rename(struct task *task, struct rename *from, struct rename *to, u32 flags) {
    if (from->walk.inode->fs != to->walk.inode->fs)
        return -EXDEV;
    i64 r = name_removable(task, from->walk.inode, from->inode);
    if (!r)
        r = check_move(task, from, to);
    if (!r && flags & RENAME_EXCHANGE)
        r = check_move(task, to, from);
    if (r < 0)
        return r;
    if (!to->inode)
        return inode_permission(task, to->walk.inode, W_OK | X_OK);
    r = name_removable(task, to->walk.inode, to->inode);
    if (r < 0 || flags & RENAME_EXCHANGE)
        return r;
    if (S_ISDIR(from->inode->mode))
        return S_ISDIR(to->inode->mode) ? 0 : -ENOTDIR;
    return S_ISDIR(to->inode->mode) ? -EISDIR : 0;
}

static void notify_rename(struct rename *from, struct rename *to, u32 flags) {
    u32 cookie = (u32)anon_ino_new();
    u32 dir = S_ISDIR(from->inode->mode) ? NOTIFY_ISDIR : 0;
    notify_name(from->walk.inode, NOTIFY_MOVED_FROM | dir, cookie, from->walk.last,
                from->walk.last_len);
    notify_name(to->walk.inode, NOTIFY_MOVED_TO | dir, cookie, to->walk.last, to->walk.last_len);
    notify_inode(from->inode, NOTIFY_MOVE_SELF);
    if (to->inode && !(flags & RENAME_EXCHANGE))
        notify_inode(to->inode, to->inode->nlink ? NOTIFY_ATTRIB : NOTIFY_DELETE_SELF);
}

static i64 rename_names(struct task *task, struct rename *from, struct rename *to, u32 flags) {
    if (name_special(&from->walk))
        return -EBUSY;
    if (name_special(&to->walk))
        return flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
    struct walk *a = &from->walk, *b = &to->walk;
    i64 r = name_lookup(task, a->inode, a->last, a->last_len, &from->inode);
    if (r < 0)
        return r;
    r = name_lookup(task, b->inode, b->last, b->last_len, &to->inode);
    if (r == -ENOENT && !(flags & RENAME_EXCHANGE))
        r = 0;
    else if (!r && flags & RENAME_NOREPLACE)
        r = -EEXIST;
    if (!r)
        r = check_rename(task, from, to, flags);
    if (r < 0 || from->inode == to->inode)
        return r;
    if (!a->inode->ops->rename)
        return -EPERM;
    if (to->inode && !(flags & RENAME_EXCHANGE))
        path_remember(to->inode);
    r = a->inode->ops->rename(task, a->inode, a->last, a->last_len, from->inode, b->inode, b->last,
                              b->last_len, to->inode, flags);
    if (!r)
        notify_rename(from, to, flags);
    return r;
}

i64 sys_renameat2(struct task *task, struct call *call) {
    u32 flags = arg_u32(call, 4);
    if (flags & ~(u32)(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
        flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    const char *old, *new;
    i64 r = two_paths(task, arg_ptr(call, 1), arg_ptr(call, 3), &old, &new);
    if (r < 0)
        return r;
    struct rename from = {0}, to = {0};
    r = path_walk(task, arg_int(call, 0), old, WALK_PARENT, &from.walk);
    if (!r)
        r = path_walk(task, arg_int(call, 2), new, WALK_PARENT, &to.walk);
    if (!r)
        r = rename_names(task, &from, &to, flags);
    rename_end(&to);
    rename_end(&from);
    return r;
}

// Extended attributes: setxattr(2), getxattr(2), listxattr(2), removexattr(2).
#include "../fs/xattr.h"
#include "../lib/heap.h"
#include "../lib/string.h"
#include "names.h"

#define XATTR_NAME_MAX 255
#define XATTR_SIZE_MAX 65536u

// Which inode a call means: 0 path, 1 path without following, 2 descriptor.
enum how { FOLLOW, NOFOLLOW, DESCRIPTOR };

static i64 target(struct task *task, struct call *call, enum how how, struct inode **out) {
    if (how == DESCRIPTOR) {
        struct file *file = fd_file(task, arg_int(call, 0));
        if (!file)
            return -EBADF;
        if (!file->inode)
            return -EOPNOTSUPP;
        inode_get(file->inode);
        *out = file->inode;
        return 0;
    }
    i64 r;
    const char *path = call_path(task, 0, arg_ptr(call, 0), &r);
    if (!path)
        return r;
    struct walk walk;
    r = path_walk(task, AT_FDCWD, path, how == FOLLOW ? WALK_FOLLOW : 0, &walk);
    *out = walk.inode;
    return r;
}

static i64 fetch_name(struct task *task, uptr p, char name[XATTR_NAME_MAX + 1]) {
    i64 n = copy_in_string(task, name, p, XATTR_NAME_MAX + 1);
    if (n == -ENAMETOOLONG || !n)
        return -ERANGE;
    return n < 0 ? n : 0;
}

// xattr(7): who may do what with which name.
static i64 check(struct task *task, struct inode *inode, const char *name, bool writes) {
    if (writes && inode->fs && inode->fs->flags & MS_RDONLY)
        return -EROFS;
    if (!strncmp(name, "trusted.", 8))
        return capable(task, CAP_SYS_ADMIN) ? 0 : writes ? -EPERM : -ENODATA;
    if (!strncmp(name, "security.", 9))
        return !writes || capable(task, CAP_SYS_ADMIN) ? 0 : -EPERM;
    if (strncmp(name, "user.", 5))
        return -EOPNOTSUPP;
    if (!S_ISREG(inode->mode) && !S_ISDIR(inode->mode))
        return writes ? -EPERM : -ENODATA;
    if (writes && S_ISDIR(inode->mode) && inode->mode & S_ISVTX &&
        !inode_owner_or_capable(task, inode))
        return -EPERM;
    return inode_permission(task, inode, writes ? W_OK : R_OK);
}

static i64 set(struct task *task, struct call *call, enum how how) {
    char name[XATTR_NAME_MAX + 1];
    u64 size = call->args[3];
    u32 flags = arg_u32(call, 4);
    struct inode *inode;
    if (flags & ~(u32)(XATTR_CREATE | XATTR_REPLACE))
        return -EINVAL;
    i64 r = fetch_name(task, arg_ptr(call, 1), name);
    if (r < 0)
        return r;
    if (size > XATTR_SIZE_MAX)
        return -E2BIG;
    u8 *value = kmalloc(size + 1);
    if (!value)
        return -ENOMEM;
    r = copy_in(task, value, arg_ptr(call, 2), size);
    if (!r)
        r = target(task, call, how, &inode);
    if (!r) {
        r = check(task, inode, name, true);
        if (!r)
            r = xattr_set(inode, name, value, (u32)size, flags);
        inode_put(inode);
    }
    kfree(value);
    return r;
}

static i64 get(struct task *task, struct call *call, enum how how) {
    char name[XATTR_NAME_MAX + 1];
    u32 size = (u32)min(call->args[3], (u64)XATTR_SIZE_MAX);
    struct inode *inode;
    i64 r = fetch_name(task, arg_ptr(call, 1), name);
    if (!r)
        r = target(task, call, how, &inode);
    if (r < 0)
        return r;
    u8 *value = kmalloc(size + 1);
    r = value ? check(task, inode, name, false) : -ENOMEM;
    if (!r)
        r = xattr_get(inode, name, value, size);
    if (r > 0 && size) {
        i64 e = copy_out(task, arg_ptr(call, 2), value, (u64)r);
        r = e < 0 ? e : r;
    }
    kfree(value);
    inode_put(inode);
    return r;
}

static i64 list(struct task *task, struct call *call, enum how how) {
    u32 size = (u32)min(call->args[2], (u64)XATTR_SIZE_MAX);
    struct inode *inode;
    i64 r = target(task, call, how, &inode);
    if (r < 0)
        return r;
    char *names = kmalloc(size + 1);
    r = names ? xattr_list(inode, capable(task, CAP_SYS_ADMIN), names, size) : -ENOMEM;
    if (r > 0 && size) {
        i64 e = copy_out(task, arg_ptr(call, 1), names, (u64)r);
        r = e < 0 ? e : r;
    }
    kfree(names);
    inode_put(inode);
    return r;
}

static i64 remove(struct task *task, struct call *call, enum how how) {
    char name[XATTR_NAME_MAX + 1];
    struct inode *inode;
    i64 r = fetch_name(task, arg_ptr(call, 1), name);
    if (!r)
        r = target(task, call, how, &inode);
    if (r < 0)
        return r;
    r = check(task, inode, name, true);
    if (!r)
        r = xattr_remove(inode, name);
    inode_put(inode);
    return r;
}

#define CALLS(name, body)                                                                          \
    i64 sys_##name(struct task *task, struct call *call) {                                         \
        return body(task, call, FOLLOW);                                                           \
    }                                                                                              \
    i64 sys_l##name(struct task *task, struct call *call) {                                        \
        return body(task, call, NOFOLLOW);                                                         \
    }                                                                                              \
    i64 sys_f##name(struct task *task, struct call *call) {                                        \
        return body(task, call, DESCRIPTOR);                                                       \
    }
CALLS(setxattr, set)
CALLS(getxattr, get)
CALLS(listxattr, list)
CALLS(removexattr, remove)

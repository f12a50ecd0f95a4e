// mount(2), umount(2).
#include "../fs/mounts.h"
#include "../lib/string.h"
#include "names.h"

#define MS_KEPT (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME)
enum { MNT_FORCE = 1, MNT_DETACH = 2, MNT_EXPIRE = 4, UMOUNT_NOFOLLOW = 8 };
#define MS_PROPAGATION (MS_PRIVATE | MS_SLAVE | MS_SHARED | 1u << 17)

static i64 bind(struct task *task, const char *source, struct inode *target, u32 flags) {
    struct walk walk;
    i64 r = path_walk(task, AT_FDCWD, source, WALK_FOLLOW, &walk);
    if (r < 0)
        return r;
    r = mount_bind(walk.inode, target, flags & MS_KEPT);
    walk_end(&walk);
    return r;
}

static struct filesystem *mount_at(struct inode *inode) { // the mount whose root this is
    struct filesystem *fs;
    list_each(fs, &kernel->mounts, link) {
        if (fs->root == inode)
            return fs;
    }
    return NULL;
}

static i64 move(struct task *task, const char *source, struct inode *target) {
    struct walk walk;
    i64 r = path_walk(task, AT_FDCWD, source, WALK_FOLLOW, &walk);
    if (r < 0)
        return r;
    struct filesystem *fs = mount_at(walk.inode);
    r = fs ? mount_move(fs, target) : -EINVAL;
    walk_end(&walk);
    return r;
}

// The strings are fetched in one order before any is used: fetching moves those fetched before.
static i64 fetch_strings(struct task *task, struct call *call, const char *out[4]) {
    static const u8 argument[4] = {0, 1, 2, 4};
    i64 r = 0;
    for (u32 i = 0; i < 4; i++)
        if (call->args[argument[i]] && !call_path(task, i, arg_ptr(call, argument[i]), &r))
            return r;
    for (u32 i = 0; i < 4; i++)
        out[i] =
            call->args[argument[i]] ? call_path(task, i, arg_ptr(call, argument[i]), &r) : NULL;
    return 0;
}

i64 sys_mount(struct task *task, struct call *call) {
    if (!capable(task, CAP_SYS_ADMIN))
        return -EPERM;
    u32 flags = arg_u32(call, 3);
    if ((flags & 0xffff0000u) == 0xc0ed0000u)
        flags &= 0xffff;
    bool typed = !(flags & (MS_REMOUNT | MS_BIND | MS_MOVE | MS_PROPAGATION));
    struct call fetched = *call;
    if (!typed)
        fetched.args[2] = fetched.args[4] = 0; // the kernel ignores them then
    const char *s[4];                          // source, target, type, data
    i64 r = fetch_strings(task, &fetched, s);
    if (r < 0)
        return r;
    if (!s[1] || (typed && !s[2]))
        return -EFAULT;
    struct walk walk;
    r = path_walk(task, AT_FDCWD, s[1], WALK_FOLLOW, &walk);
    if (r < 0)
        return r;
    struct filesystem *fs = mount_at(walk.inode);
    if (flags & MS_REMOUNT) {
        if (fs)
            fs->flags = flags & MS_KEPT;
        else
            r = -EINVAL;
    } else if (flags & MS_BIND) {
        r = s[0] ? bind(task, s[0], walk.inode, flags) : -EINVAL;
    } else if (flags & MS_MOVE) {
        r = s[0] ? move(task, s[0], walk.inode) : -EINVAL;
    } else if (flags & MS_PROPAGATION) {
        r = fs ? 0 : -EINVAL; // there is one mount namespace: nothing to propagate to
    } else if (!S_ISDIR(walk.inode->mode)) {
        r = -ENOTDIR;
    } else {
        r = mount_add(s[2], s[0], walk.inode, flags & MS_KEPT, s[3]);
    }
    walk_end(&walk);
    return r;
}

i64 sys_umount2(struct task *task, struct call *call) {
    u32 flags = arg_u32(call, 1);
    if (flags & ~(u32)(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW))
        return -EINVAL;
    if (!capable(task, CAP_SYS_ADMIN))
        return -EPERM;
    i64 r;
    const char *path = call_path(task, 0, arg_ptr(call, 0), &r);
    if (!path)
        return r;
    struct walk walk;
    r = path_walk(task, AT_FDCWD, path, flags & UMOUNT_NOFOLLOW ? 0 : WALK_FOLLOW, &walk);
    if (r < 0)
        return r;
    // A bind mount's root may be the root of another mount as well: the last one made goes first.
    struct filesystem *fs, *found = NULL;
    list_each(fs, &kernel->mounts, link) {
        if (fs->root == walk.inode)
            found = fs;
    }
    walk_end(&walk);
    return found ? mount_remove(found, flags & MNT_DETACH) : -EINVAL;
}

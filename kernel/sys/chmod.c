// chmod(2), chown(2), utimensat(2), access(2), umask(2).
#include "../fs/notify.h"
#include "names.h"

// After mode, owner or times were changed in the inode.
static i64 changed(struct task *task, struct inode *inode) {
    inode_touch(inode, TOUCH_CTIME);
    notify_inode(inode, NOTIFY_ATTRIB);
    return inode->ops && inode->ops->setattr ? inode->ops->setattr(task, inode) : 0;
}

static bool read_only(const struct inode *inode) {
    return inode->fs && inode->fs->flags & MS_RDONLY;
}

// ---- chmod --------------------------------------------------------------------------------------
static i64 set_mode(struct task *task, struct inode *inode, u32 mode) {
    if (read_only(inode))
        return -EROFS;
    if (S_ISLNK(inode->mode))
        return -EOPNOTSUPP;
    if (!inode_owner_or_capable(task, inode))
        return -EPERM;
    mode &= 07777;
    if (mode & S_ISGID && !cred_in_group(&task->cred, inode->gid) && !capable(task, CAP_FSETID))
        mode &= ~S_ISGID;
    inode->mode = (inode->mode & S_IFMT) | mode;
    return changed(task, inode);
}

static i64 chmod_at(struct task *task, struct call *call, u32 flags) {
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    struct walk walk;
    i64 r = name_at(task, arg_int(call, 0), arg_ptr(call, 1), flags, &walk);
    if (r < 0)
        return r;
    r = set_mode(task, walk.inode, arg_u32(call, 2));
    walk_end(&walk);
    return r;
}

i64 sys_fchmodat(struct task *task, struct call *call) {
    return call->args[1] ? chmod_at(task, call, 0) : -EFAULT;
}
i64 sys_fchmodat2(struct task *task, struct call *call) {
    return call->args[1] ? chmod_at(task, call, arg_u32(call, 3)) : -EFAULT;
}

i64 sys_fchmod(struct task *task, struct call *call) {
    struct file *file = fd_file(task, arg_int(call, 0));
    if (!file)
        return -EBADF;
    return file->inode ? set_mode(task, file->inode, arg_u32(call, 1)) : -EINVAL;
}

// ---- chown --------------------------------------------------------------------------------------
static i64 set_owner(struct task *task, struct inode *inode, u32 uid, u32 gid) {
    if (read_only(inode))
        return -EROFS;
    bool owner = task->cred.fsuid == inode->uid, any = capable(task, CAP_CHOWN);
    if (uid != ~0u && !any && !(owner && uid == inode->uid))
        return -EPERM;
    if (gid != ~0u && !any && !(owner && (gid == inode->gid || cred_in_group(&task->cred, gid))))
        return -EPERM;
    if (uid != ~0u)
        inode->uid = uid;
    if (gid != ~0u)
        inode->gid = gid;
    if (!S_ISDIR(inode->mode) && (uid != ~0u || gid != ~0u)) {
        u32 drop = inode->mode & S_ISUID;
        if (inode->mode & 0010)
            drop |= inode->mode & S_ISGID;
        inode->mode &= ~drop;
    }
    return changed(task, inode);
}

i64 sys_fchownat(struct task *task, struct call *call) {
    u32 flags = arg_u32(call, 4);
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (!call->args[1])
        return -EFAULT;
    struct walk walk;
    i64 r = name_at(task, arg_int(call, 0), arg_ptr(call, 1), flags, &walk);
    if (r < 0)
        return r;
    r = set_owner(task, walk.inode, arg_u32(call, 2), arg_u32(call, 3));
    walk_end(&walk);
    return r;
}

i64 sys_fchown(struct task *task, struct call *call) {
    struct file *file = fd_file(task, arg_int(call, 0));
    if (!file)
        return -EBADF;
    return file->inode ? set_owner(task, file->inode, arg_u32(call, 1), arg_u32(call, 2)) : -EINVAL;
}

// ---- utimensat ----------------------------------------------------------------------------------
static i64 fetch_times(struct task *task, uptr p, struct timespec times[2]) {
    times[0] = times[1] = (struct timespec){0, UTIME_NOW};
    if (!p.va)
        return 0;
    i64 r = copy_in(task, times, p, 2 * sizeof *times);
    for (u32 i = 0; !r && i < 2; i++) {
        i64 nsec = times[i].nsec;
        if (nsec != UTIME_NOW && nsec != UTIME_OMIT && (nsec < 0 || nsec >= (i64)NSEC))
            r = -EINVAL;
    }
    return r;
}

static void set_time(u64 *time, const struct timespec *t) {
    if (t->nsec == UTIME_NOW)
        *time = now_real_ns();
    else if (t->nsec != UTIME_OMIT)
        *time = t->sec < 0 ? 0 : (u64)t->sec * NSEC + (u64)t->nsec;
}

static i64 set_times(struct task *task, struct inode *inode, const struct timespec times[2]) {
    if (read_only(inode))
        return -EROFS;
    if (times[0].nsec == UTIME_OMIT && times[1].nsec == UTIME_OMIT)
        return 0;
    bool now = times[0].nsec == UTIME_NOW && times[1].nsec == UTIME_NOW;
    if (!inode_owner_or_capable(task, inode) && (!now || inode_permission(task, inode, W_OK) < 0))
        return now ? -EACCES : -EPERM;
    set_time(&inode->atime_ns, &times[0]);
    set_time(&inode->mtime_ns, &times[1]);
    return changed(task, inode);
}

i64 sys_utimensat(struct task *task, struct call *call) {
    struct timespec times[2];
    u32 flags = arg_u32(call, 3);
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    i64 r = fetch_times(task, arg_ptr(call, 2), times);
    if (r < 0)
        return r;
    if (!call->args[1] && arg_int(call, 0) == AT_FDCWD)
        return -EFAULT;
    struct walk walk;
    r = name_at(task, arg_int(call, 0), arg_ptr(call, 1), flags, &walk);
    if (r < 0)
        return r;
    r = set_times(task, walk.inode, times);
    walk_end(&walk);
    return r;
}

// ---- access -------------------------------------------------------------------------------------
// Looks with the real ids, as a set-user-ID program wants it; the credentials are back before
// anyone can see.
static i64 access_at(struct task *task, struct call *call, u32 flags) {
    u32 want = arg_u32(call, 2);
    if (want & ~7u || flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_EACCESS))
        return -EINVAL;
    if (!call->args[1])
        return -EFAULT;
    struct cred saved = task->cred;
    if (!(flags & AT_EACCESS)) {
        task->cred.fsuid = saved.ruid;
        task->cred.fsgid = saved.rgid;
        task->cred.cap_effective = saved.ruid ? 0 : saved.cap_permitted;
    }
    struct walk walk;
    i64 r = name_at(task, arg_int(call, 0), arg_ptr(call, 1), flags, &walk);
    if (!r) {
        if (want)
            r = inode_permission(task, walk.inode, want);
        bool noexec =
            walk.inode->fs && walk.inode->fs->flags & MS_NOEXEC && S_ISREG(walk.inode->mode);
        if (!r && want & X_OK && noexec)
            r = -EACCES;
        walk_end(&walk);
    }
    task->cred = saved;
    return r;
}

i64 sys_faccessat(struct task *task, struct call *call) {
    return access_at(task, call, 0);
}
i64 sys_faccessat2(struct task *task, struct call *call) {
    return access_at(task, call, arg_u32(call, 3));
}

i64 sys_umask(struct task *task, struct call *call) {
    u32 old = task->fs->umask;
    task->fs->umask = arg_u32(call, 0) & 0777;
    return old;
}

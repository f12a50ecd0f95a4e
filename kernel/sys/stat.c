// stat(2), statx(2), statfs(2).
#include "../fs/mounts.h"
#include "../lib/string.h"
#include "names.h"

struct attributes { // of a file, with or without an inode
    u64 ino, size, blocks;
    u32 dev, mode, nlink, uid, gid, rdev;
    u64 atime, mtime, ctime, btime;
};

// Whole pages: cached ones, and those the image still has.
static u64 blocks_of(struct inode *inode) {
    u64 pages = max((u64)inode->pages.count, (inode->lower + PAGE_SIZE - 1) >> PAGE_SHIFT);
    return S_ISREG(inode->mode) ? pages * (PAGE_SIZE / 512) : 0;
}

static i64 inode_attributes(struct task *task, struct inode *inode, struct attributes *a) {
    if (inode->ops && inode->ops->getattr) {
        i64 r = inode->ops->getattr(task, inode);
        if (r < 0)
            return r;
    }
    *a = (struct attributes){
        .ino = inode->ino, .size = inode->size, .blocks = blocks_of(inode), .dev = inode->fs ? inode->fs->dev : 1,
        .mode = inode->mode, .nlink = inode->nlink, .uid = inode->uid, .gid = inode->gid, .rdev = inode->rdev,
        .atime = inode->atime_ns, .mtime = inode->mtime_ns, .ctime = inode->ctime_ns, .btime = inode->btime_ns,
    };
    return 0;
}

static i64 file_attributes(struct task *task, struct file *file, struct attributes *a) {
    if (file->inode)
        return inode_attributes(task, file->inode, a);
    bool socket = file->anon_name && !strncmp(file->anon_name, "socket", 6);
    *a = (struct attributes){.ino = file->ino, .dev = 1, .nlink = 1, .mode = socket ? S_IFSOCK | 0777 : 0600};
    return 0;
}

// By (dirfd, path): an empty path may also name a descriptor without an inode.
static i64 attributes_at(struct task *task, i32 dirfd, uptr path, u32 flags, struct attributes *a) {
    if (flags & AT_EMPTY_PATH || !path.va) {
        i64 r = 0;
        const char *name = path.va ? call_path(task, 0, path, &r) : "";
        if (!name)
            return r;
        struct file *file = !*name && dirfd != AT_FDCWD ? fd_any(task, dirfd) : NULL;
        if (!*name && dirfd != AT_FDCWD)
            return file ? file_attributes(task, file, a) : -EBADF;
    }
    struct walk walk;
    i64 r = name_at(task, dirfd, path, flags, &walk);
    if (r < 0)
        return r;
    r = inode_attributes(task, walk.inode, a);
    walk_end(&walk);
    return r;
}

static i64 put_stat(struct task *task, uptr out, const struct attributes *a) {
    struct kstat s = {
        .dev = a->dev, .ino = a->ino, .mode = a->mode, .nlink = a->nlink, .uid = a->uid, .gid = a->gid,
        .rdev = a->rdev, .size = (i64)a->size, .blksize = PAGE_SIZE, .blocks = (i64)a->blocks,
        .atime = (i64)(a->atime / NSEC), .atime_nsec = (i64)(a->atime % NSEC),
        .mtime = (i64)(a->mtime / NSEC), .mtime_nsec = (i64)(a->mtime % NSEC),
        .ctime = (i64)(a->ctime / NSEC), .ctime_nsec = (i64)(a->ctime % NSEC),
    };
    return copy_out(task, out, &s, sizeof s);
}

i64 sys_newfstatat(struct task *task, struct call *call) {
    struct attributes a;
    u32 flags = arg_u32(call, 3);
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT))
        return -EINVAL;
    i64 r = attributes_at(task, arg_int(call, 0), arg_ptr(call, 1), flags, &a);
    return r < 0 ? r : put_stat(task, arg_ptr(call, 2), &a);
}

i64 sys_fstat(struct task *task, struct call *call) {
    struct attributes a;
    struct file *file = fd_any(task, arg_int(call, 0));
    if (!file)
        return -EBADF;
    i64 r = file_attributes(task, file, &a);
    return r < 0 ? r : put_stat(task, arg_ptr(call, 1), &a);
}

// ---- statx(2) -----------------------------------------------------------------------------------
enum { STATX_BASIC = 0x7ff, STATX_BTIME = 0x800, STATX_RESERVED = (int)0x80000000u, AT_STATX_SYNC = 0x6000 };

static struct statx_time statx_time(u64 ns) {
    return (struct statx_time){(i64)(ns / NSEC), (u32)(ns % NSEC), 0};
}

i64 sys_statx(struct task *task, struct call *call) {
    struct attributes a;
    u32 flags = arg_u32(call, 2);
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH | AT_NO_AUTOMOUNT | AT_STATX_SYNC) ||
        (flags & AT_STATX_SYNC) == AT_STATX_SYNC || arg_u32(call, 3) & (u32)STATX_RESERVED)
        return -EINVAL;
    i64 r = attributes_at(task, arg_int(call, 0), arg_ptr(call, 1), flags & ~(u32)AT_STATX_SYNC, &a);
    if (r < 0)
        return r;
    struct statx s = {
        .mask = STATX_BASIC | STATX_BTIME, .blksize = PAGE_SIZE, .nlink = a.nlink, .uid = a.uid, .gid = a.gid,
        .mode = (u16)a.mode, .ino = a.ino, .size = a.size, .blocks = a.blocks,
        .atime = statx_time(a.atime), .btime = statx_time(a.btime), .ctime = statx_time(a.ctime),
        .mtime = statx_time(a.mtime), .rdev_major = major_of(a.rdev), .rdev_minor = minor_of(a.rdev),
        .dev_major = major_of(a.dev), .dev_minor = minor_of(a.dev),
    };
    return copy_out(task, arg_ptr(call, 4), &s, sizeof s);
}

// ---- statfs(2) ----------------------------------------------------------------------------------
struct kstatfs {
    u64 type, bsize, blocks, bfree, bavail, files, ffree;
    i32 fsid[2];
    u64 namelen, frsize, flags, spare[4];
};
enum { ST_RDONLY = 1, ST_NOSUID = 2, ST_NODEV = 4, ST_NOEXEC = 8, ST_VALID = 32, ST_NOATIME = 1024, ST_RELATIME = 4096 };

static i64 put_statfs(struct task *task, uptr out, struct inode *inode) {
    const struct filesystem *fs = inode ? inode->fs : NULL;
    const struct filesystem_type *type = fs ? filesystem_type_named(fs->type) : NULL;
    bool memory = !type || type->magic == 0x01021994;
    struct kstatfs s = {
        .type = type ? type->magic : fs ? 0x50495045 : 0x09041934, // pipefs, anon_inodefs
        .bsize = PAGE_SIZE, .namelen = NAME_MAX, .frsize = PAGE_SIZE,
        .flags = ST_VALID | ST_RELATIME | (fs ? fs->flags & (ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC) : 0),
    };
    if (memory && fs) {
        s.blocks = kernel->disk_max ? min((u64)kernel->disk_max, pages_total()) : pages_total();
        s.bfree = s.bavail = disk_free();
        s.files = pages_total();
        s.ffree = pages_free();
    }
    return copy_out(task, out, &s, sizeof s);
}

i64 sys_statfs(struct task *task, struct call *call) {
    struct walk walk;
    i64 r;
    const char *path = call_path(task, 0, arg_ptr(call, 0), &r);
    if (!path)
        return r;
    r = path_walk(task, AT_FDCWD, path, WALK_FOLLOW, &walk);
    if (r < 0)
        return r;
    r = put_statfs(task, arg_ptr(call, 1), walk.inode);
    walk_end(&walk);
    return r;
}

i64 sys_fstatfs(struct task *task, struct call *call) {
    struct file *file = fd_any(task, arg_int(call, 0));
    return file ? put_statfs(task, arg_ptr(call, 1), file->inode) : -EBADF;
}

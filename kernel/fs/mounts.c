// What is mounted where. The tables of file system types and of the mounts every machine starts
// with.
#include "mounts.h"
#include "../kernel.h"
#include "../lib/heap.h"
#include "../lib/string.h"
#include "devfs.h"
#include "imagefs.h"
#include "procfs.h"
#include "tmpfs.h"

i64 hostfs_mount(struct filesystem *fs, const char *data);

#define TMPFS_MAGIC 0x01021994u

static const struct filesystem_type types[] = {
    {"tmpfs", tmpfs_mount, TMPFS_MAGIC, true},       {"ramfs", tmpfs_mount, 0x858458f6u, true},
    {"sysfs", tmpfs_mount, 0x62656572u, true},       {"proc", proc_mount, 0x9fa0u, true},
    {"devtmpfs", devtmpfs_mount, TMPFS_MAGIC, true}, {"devpts", devpts_mount, 0x1cd1u, true},
    {"hostfs", hostfs_mount, 0x01021997u, true},
};

static const struct {
    const char *type, *target, *data;
    u32 mode; // of a target that the image does not have
    u32 flags;
} boot_mounts[] = {
    {"devtmpfs", "dev", NULL, 0755, MS_NOSUID},
    {"devpts", "dev/pts", NULL, 0755, MS_NOSUID | MS_NOEXEC},
    {"tmpfs", "dev/shm", "mode=1777", 01777, MS_NOSUID | MS_NODEV},
    {"proc", "proc", NULL, 0555, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"sysfs", "sys", "mode=555", 0555, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"tmpfs", "run", "mode=755", 0755, MS_NOSUID | MS_NODEV},
};

const struct filesystem_type *filesystem_type_at(u32 index) {
    return index < lengthof(types) ? &types[index] : NULL;
}

const struct filesystem_type *filesystem_type_named(const char *name) {
    for (u32 i = 0; i < lengthof(types); i++)
        if (!strcmp(types[i].name, name))
            return &types[i];
    return NULL;
}

struct filesystem *filesystem_new(const char *type, const char *source) {
    struct filesystem *fs = knew(struct filesystem);
    char *name = strdup_k(source ? source : "none");
    if (!fs || !name) {
        kfree(fs);
        kfree(name);
        return NULL;
    }
    fs->type = type;
    fs->source = name;
    fs->dev = makedev(0, ++kernel->dev_next + 20);
    list_init(&fs->link);
    return fs;
}

void filesystem_free(struct filesystem *fs) {
    list_remove(&fs->link);
    kfree(fs->source);
    kfree(fs);
}

static void cover(struct filesystem *fs, struct inode *mountpoint) {
    inode_get(mountpoint);
    fs->mountpoint = mountpoint;
    mountpoint->mounted = fs;
}

static void uncover(struct filesystem *fs) {
    struct inode *mountpoint = fs->mountpoint;
    mountpoint->mounted = NULL;
    fs->mountpoint = NULL;
    inode_put(mountpoint);
}

i64 mount_add(const char *type, const char *source, struct inode *mountpoint, u32 flags,
              const char *data) {
    const struct filesystem_type *t = filesystem_type_named(type);
    if (!t || !t->mount)
        return -ENODEV;
    struct filesystem *fs = filesystem_new(t->name, source);
    if (!fs)
        return -ENOMEM;
    i64 r = t->mount(fs, data);
    if (r < 0) {
        filesystem_free(fs);
        return r;
    }
    fs->flags = flags;
    cover(fs, mountpoint);
    list_push(&kernel->mounts, &fs->link);
    return 0;
}

// A bind mount is a file system whose root lies in another's tree. Its ".." is the source's.
i64 mount_bind(struct inode *source, struct inode *mountpoint, u32 flags) {
    if (S_ISDIR(source->mode) != S_ISDIR(mountpoint->mode))
        return -ENOTDIR;
    if (source == mountpoint)
        return -EINVAL;
    struct filesystem *fs = filesystem_new("bind", source->fs->source);
    if (!fs)
        return -ENOMEM;
    fs->type = source->fs->type;
    fs->dev = source->fs->dev;
    fs->flags = flags | source->fs->flags;
    inode_get(source);
    fs->root = source;
    cover(fs, mountpoint);
    list_push(&kernel->mounts, &fs->link);
    return 0;
}

// Does anything still stand in this file system?
static bool used(struct filesystem *fs) {
    struct filesystem *other;
    list_each(other, &kernel->mounts, link) {
        if (other != fs && other->mountpoint && other->mountpoint->fs == fs)
            return true;
    }
    struct process *process;
    list_each(process, &kernel->processes, all) {
        struct task *task;
        list_each(task, &process->tasks, sibling) {
            if (task->fs && (task->fs->cwd->fs == fs || task->fs->root->fs == fs))
                return true;
            for (u32 i = 0; task->files && i < task->files->size; i++) {
                struct file *file = task->files->files[i];
                if (file && file->inode && file->inode->fs == fs)
                    return true;
            }
            for (u32 i = 0; task->mm && i < task->mm->vma_count; i++) {
                struct memobject *object = task->mm->vmas[i]->object;
                struct inode *inode = object ? inode_of(object) : NULL;
                if (inode && inode->fs == fs)
                    return true;
            }
        }
    }
    return false;
}

// A detached file system that is still used keeps its tree for good: nothing would tell when it
// ends.
i64 mount_remove(struct filesystem *fs, bool detach) {
    if (!fs->mountpoint)
        return -EBUSY;
    bool bind = fs->root->fs != fs;
    bool busy = !bind && used(fs);
    if (busy && !detach)
        return -EBUSY;
    uncover(fs);
    list_remove(&fs->link);
    if (!busy) {
        if (!bind && fs->root->ops == &tmpfs_ops)
            tmpfs_clear(fs);
        struct inode *root = fs->root;
        fs->root = NULL;
        inode_put(root);
    }
    fs->gone = true;
    if (!fs->inodes)
        filesystem_free(fs);
    return 0;
}

i64 mount_move(struct filesystem *fs, struct inode *mountpoint) {
    if (!fs->mountpoint || S_ISDIR(fs->root->mode) != S_ISDIR(mountpoint->mode))
        return -EINVAL;
    for (struct inode *i = mountpoint; i; i = i->up ? i->up : i->fs->mountpoint)
        if (i == fs->root)
            return -ELOOP;
    uncover(fs);
    cover(fs, mountpoint);
    return 0;
}

// ---- Boot --------------------------------------------------------------------------------------
// The directory `path` below the root, made when it is missing. With a reference.
static i64 boot_directory(const char *path, u32 mode, struct inode **out) {
    struct inode *dir = kernel->root;
    inode_get(dir);
    while (*path) {
        char name[32];
        u32 n = 0;
        while (path[n] && path[n] != '/')
            n++;
        strlcpy(name, path, min((size_t)n + 1, sizeof name));
        path += n + (path[n] == '/');
        struct inode *next;
        i64 r = dir->ops->lookup(NULL, dir, name, n, &next);
        if (r == -ENOENT)
            r = dir->ops->create(NULL, dir, name, n, S_IFDIR | mode, 0, &next);
        inode_put(dir);
        if (r < 0)
            return r;
        dir = next;
        while (dir->mounted) {
            next = dir->mounted->root;
            inode_get(next);
            inode_put(dir);
            dir = next;
        }
    }
    *out = dir;
    return 0;
}

static i64 boot_mount(u32 i) {
    struct inode *dir;
    i64 r = boot_directory(boot_mounts[i].target, boot_mounts[i].mode, &dir);
    if (r < 0)
        return r;
    const char *type = boot_mounts[i].type;
    r = S_ISDIR(dir->mode) ? mount_add(type, type, dir, boot_mounts[i].flags, boot_mounts[i].data)
                           : -ENOTDIR;
    inode_put(dir);
    return r;
}

i64 rootfs_mount(const u8 *index, u32 len) {
    i64 r = image_open(index, len);
    if (r < 0)
        return r;
    list_init(&kernel->mounts);
    struct filesystem *fs = filesystem_new("tmpfs", "ebb");
    if (!fs)
        return -ENOMEM;
    r = tmpfs_mount_image(fs);
    if (r < 0)
        return r;
    list_push(&kernel->mounts, &fs->link);
    kernel->root = fs->root;
    for (u32 i = 0; i < lengthof(boot_mounts); i++) {
        r = boot_mount(i);
        if (r < 0)
            klog(LOG_WARN, "%s on /%s: error %d", boot_mounts[i].type, boot_mounts[i].target,
                 (int)-r);
    }
    return 0;
}

// Files without a name. Their inodes belong to one internal file system that is mounted nowhere.
#include "anon.h"
#include "../kernel.h"
#include "../lib/heap.h"

static i64 anon_open(struct task *task, struct inode *inode, struct file *file) {
    return -ENXIO; // FIFOs are opened by fifo_open before this is asked
}
static void anon_destroy(struct inode *inode) {}
static const struct inode_ops anon_ops = {.open = anon_open, .destroy = anon_destroy};

struct inode *anon_inode_new(u32 mode) {
    if (!kernel->anon_fs) {
        struct filesystem *fs = knew(struct filesystem);
        if (!fs)
            return NULL;
        fs->type = "pipefs";
        fs->dev = ++kernel->dev_next;
        fs->next_ino = 1;
        list_init(&fs->link);
        kernel->anon_fs = fs;
    }
    struct inode *inode = inode_new(kernel->anon_fs, mode);
    if (inode) {
        inode->ops = &anon_ops;
        inode->nlink = 1;
    }
    return inode;
}

struct file *anon_file_new(const struct file_ops *ops, u32 flags, void *data, const char *name) {
    struct file *file = file_new(ops, flags, data);
    if (file) {
        file->anon_name = name;
        file->ino = ++kernel->anon_ino;
    }
    return file;
}

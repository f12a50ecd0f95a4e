// devpts: a directory in which every open pseudo-terminal has a node. There is one instance,
// however often it is mounted.
#include "../kernel.h"
#include "../lib/fmt.h"
#include "../lib/string.h"
#include "devfs.h"
#include "tmpfs.h"
#include "pty.h"

#define TTY_GROUP 5u

static i64 node_add(struct inode *root, u32 index, u32 uid) {
    char name[12];
    struct inode *inode;
    ksnprintf(name, sizeof name, "%u", index);
    i64 error = tmpfs_add(root, name, S_IFCHR | 0620, pty_rdev(index), &inode);
    if (error)
        return error;
    inode->uid = uid;
    inode->gid = TTY_GROUP;
    inode_put(inode);
    return 0;
}

i64 devpts_mount(struct filesystem *fs, const char *data) {
    struct devices *devices = devices_get();
    if (!devices)
        return -ENOMEM;
    if (devices->devpts) {
        fs->root = devices->devpts;
        inode_get(fs->root);
        return 0;
    }
    i64 error = tmpfs_mount(fs, "mode=755");
    if (!error)
        error = tmpfs_add(fs->root, "ptmx", S_IFCHR | 0666, makedev(5, 2), NULL);
    for (u32 i = 0; i < PTY_MAX && !error; i++)
        if (devices->ptys[i])
            error = node_add(fs->root, i, 0);
    if (error)
        return error;
    devices->devpts = fs->root;
    inode_get(fs->root);
    return 0;
}

i64 devpts_add(u32 index, u32 uid) {
    struct inode *root = kernel->devices->devpts;
    return root ? node_add(root, index, uid) : 0;
}

void devpts_remove(u32 index) {
    struct inode *root = kernel->devices->devpts;
    char name[12];
    ksnprintf(name, sizeof name, "%u", index);
    if (root) {
        i64 gone = tmpfs_remove(root, name); // -ENOENT: someone has removed it already
        (void)gone;
    }
}

struct inode *devpts_find(const char *name) {
    struct inode *root = kernel->devices->devpts, *inode;
    if (!root || root->ops->lookup(NULL, root, name, (u32)strlen(name), &inode))
        return NULL;
    return inode;
}

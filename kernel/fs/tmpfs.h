// Files that live in machine memory. Also the body of devtmpfs and of the root file system, whose nodes are
// filled from the image on first use.
#pragma once
#include "mounts.h"

i64 tmpfs_mount(struct filesystem *fs, const char *data);
i64 tmpfs_mount_image(struct filesystem *fs); // root backed by kernel->image
void tmpfs_clear(struct filesystem *fs); // unmounted: frees the tree
// Make a node without asking anyone, for kernel-made trees (devtmpfs). Reference in *out if wanted.
must_check i64 tmpfs_add(struct inode *dir, const char *name, u32 mode, u32 rdev, struct inode **out);
must_check i64 tmpfs_add_symlink(struct inode *dir, const char *name, const char *target);
i64 tmpfs_remove(struct inode *dir, const char *name); // -ENOENT
extern const struct inode_ops tmpfs_ops;

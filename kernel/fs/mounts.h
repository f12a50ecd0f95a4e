// Mounted file systems: one inode tree per machine, so a mount covers its mountpoint for everyone.
#pragma once
#include "path.h"

struct filesystem_type {
    const char *name;
    // Makes fs->root (with a reference). `data`: the option string of mount(2), may be NULL.
    i64 (*mount)(struct filesystem *fs, const char *data);
    u32 magic;  // statfs(2)
    bool nodev; // "nodev" in /proc/filesystems
};
const struct filesystem_type *filesystem_type_at(u32 index); // NULL behind the last
const struct filesystem_type *filesystem_type_named(const char *name);

must_check struct filesystem *filesystem_new(const char *type, const char *source);
void filesystem_free(struct filesystem *fs); // no inodes, not mounted
// Takes its own references.
must_check i64 mount_add(const char *type, const char *source, struct inode *mountpoint, u32 flags, const char *data);
must_check i64 mount_bind(struct inode *source, struct inode *mountpoint, u32 flags);
must_check i64 mount_remove(struct filesystem *fs, bool detach); // -EBUSY
must_check i64 mount_move(struct filesystem *fs, struct inode *mountpoint);
// The root file system over the image whose index stays at `index`, and what belongs on it (/proc, /dev …).
must_check i64 rootfs_mount(const u8 *index, u32 len);

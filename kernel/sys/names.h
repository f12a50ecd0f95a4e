// Checks that the calls which make and remove names share.
#pragma once
#include "sys.h"

// The place of a new name: -EEXIST when it is taken. `directory`: a slash may follow.
must_check i64 name_new(struct task *task, i32 dirfd, const char *path, bool directory, struct walk *out);
// May `victim` lose its name in `dir`? Write and search permission, the sticky bit, mount points.
must_check i64 name_removable(struct task *task, struct inode *dir, struct inode *victim);
// One name in a directory, without crossing a mount.
must_check i64 name_lookup(struct task *task, struct inode *dir, const char *name, u32 len, struct inode **out);
static inline bool name_special(const struct walk *walk) { // "/", "." or ".."
    const char *n = walk->last;
    return !n[0] || (n[0] == '.' && (!n[1] || (n[1] == '.' && !n[2])));
}
static inline bool capable(struct task *task, u32 cap) {
    return task->cred.cap_effective >> cap & 1;
}
// A file named by (dirfd, path, AT_* flags) the way stat and chmod take it; path NULL: the descriptor itself.
must_check i64 name_at(struct task *task, i32 dirfd, uptr path, u32 at_flags, struct walk *out);

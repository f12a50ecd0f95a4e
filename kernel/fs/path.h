// Names to inodes: path_resolution(7).
#pragma once
#include "inode.h"

enum { // flags of a walk
    WALK_FOLLOW = 1,    // follow a symbolic link at the end
    WALK_PARENT = 2,    // stop at the parent; `last` names the final component
    WALK_EMPTY = 4,     // AT_EMPTY_PATH
    WALK_DIRECTORY = 8, // the result must be a directory
    WALK_NO_SYMLINKS = 16, WALK_BENEATH = 32, WALK_NO_XDEV = 64, WALK_NO_MAGICLINKS = 128, WALK_IN_ROOT = 256, // openat2
    WALK_CREATE = 512, // a missing final component is no error: see walk.missing
};
struct walk {
    struct inode *inode; // result (the parent with WALK_PARENT), with a reference
    char last[256];      // final component with WALK_PARENT; "" for "/", may be "." or ".."
    u32 last_len;
    bool trailing_slash;
    bool missing; // WALK_CREATE: `inode` is the parent and `last` the name that does not exist
};
// `path` is in kernel memory. dirfd: AT_FDCWD or a descriptor. Restartable: E_WAIT has no effect.
must_check i64 path_walk(struct task *task, i32 dirfd, const char *path, u32 flags, struct walk *out);
void walk_end(struct walk *walk); // drops the reference
// Copies the path argument once per call (kept in call->captured across re-entries). NULL with *error set.
// `index` 0 to 3: calls with several strings keep all; fetching one for the first time moves the others.
const char *call_path(struct task *task, u32 index, uptr path, i64 *error);
// Look one name up in a directory, crossing mounts; with permission check.
must_check i64 path_lookup(struct task *task, struct inode *dir, const char *name, u32 len, struct inode **out);
// Absolute path of a directory (or of a file by its open name) as seen from task's root.
must_check i64 path_up(struct task *task, struct inode *dir, struct inode **out); // "..", with a reference
must_check i64 path_of(struct task *task, struct inode *inode, char *out, u32 size);
// The same for people: what has lost its last name shows that, with " (deleted)". Bytes, always.
i64 path_shown(struct task *task, struct inode *inode, char *out, u32 size);
void path_remember(struct inode *inode); // its name is about to go
// Open a file: what open(2) does after the descriptor checks. Reference in *out. May wait (FIFO, content).
must_check i64 file_open(struct task *task, i32 dirfd, const char *path, u32 flags, u32 mode, u32 resolve, struct file **out);
must_check i64 file_open_inode(struct task *task, struct inode *inode, u32 flags, struct file **out);

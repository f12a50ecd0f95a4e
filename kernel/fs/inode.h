// A file as a thing, open or not. One inode tree per machine; every directory knows its parent, so there are
// no dentries: an inode of a directory has exactly one name.
#pragma once
#include "file.h"

struct inode_ops;
struct pipe;

struct filesystem { // one mounted instance
    const char *type; // "tmpfs", "proc", "devtmpfs", "devpts", "hostfs"
    u32 dev;          // st_dev
    u32 inodes;       // that exist
    bool gone;        // unmounted: freed with its last inode
    u32 flags;        // MS_RDONLY, MS_NOSUID, MS_NOEXEC, MS_NODEV
    struct inode *root;
    struct inode *mountpoint; // the directory it covers; NULL for the root file system
    struct list link;         // kernel->mounts, in mount order
    u64 next_ino;
    void *data;
    char *source; // "none", "tmpfs", "ebb"
};

struct inode {
    struct memobject object; // first: a regular file can be mapped
    u32 refs;
    u32 mode; // S_IF* | permissions
    u32 uid, gid;
    u32 nlink;
    u32 rdev; // Linux's dev_t encoding
    u64 ino;
    u64 size;
    u64 lower;           // bytes from 0 on that ops->fill can bring when they are not cached
    u64 atime_ns, mtime_ns, ctime_ns, btime_ns; // CLOCK_REALTIME
    const struct inode_ops *ops;
    const struct file_ops *file_ops; // of files opened on it
    struct filesystem *fs;
    struct filesystem *mounted; // a file system is mounted here
    struct inode *up;           // directories: the parent, with a reference; NULL for a root
    struct xattr *xattrs;       // fs/xattr.c
    char *gone;                 // its last path, when the last name went while it was in use
    struct pagecache pages;     // regular files
    struct list locks;          // record locks and flock(2), fs/flock.c
    struct list watches;        // inotify
    struct list reclaim;        // image->cached: has pages that the image can bring again
    struct waitq wait;          // lazily loaded content; fifo opens
    struct pipe *pipe;          // FIFOs
    void *socket;               // AF_UNIX: the socket bound here
    void *data;                 // belongs to ops
    u32 seals;                  // memfd
    u32 writers;                // open for writing (ETXTBSY counts the other way: negative = mapped for exec)
};

// Directory operations take names of `len` bytes that are not terminated. Results carry a reference.
// Everything may return E_WAIT after queueing the task.
struct inode_ops {
    i64 (*lookup)(struct task *task, struct inode *dir, const char *name, u32 len, struct inode **out);
    // Any type but symlinks; len 0: an unnamed file (O_TMPFILE).
    i64 (*create)(struct task *task, struct inode *dir, const char *name, u32 len, u32 mode, u32 rdev, struct inode **out);
    i64 (*symlink)(struct task *task, struct inode *dir, const char *name, u32 len, const char *target, struct inode **out);
    i64 (*link)(struct task *task, struct inode *dir, const char *name, u32 len, struct inode *target);
    i64 (*unlink)(struct task *task, struct inode *dir, const char *name, u32 len, struct inode *victim); // files and empty directories
    i64 (*rename)(struct task *task, struct inode *from, const char *name, u32 len, struct inode *victim, struct inode *to, const char *to_name, u32 to_len, struct inode *replaced, u32 flags);
    i64 (*readlink)(struct task *task, struct inode *inode, char *out, u32 size); // bytes
    // /proc/<pid>/fd/N and friends: jump straight to an inode instead of following text.
    i64 (*follow)(struct task *task, struct inode *inode, struct inode **out);
    i64 (*open)(struct task *task, struct inode *inode, struct file *file); // after the file was made; may replace file->ops and file->data
    i64 (*setattr)(struct task *task, struct inode *inode); // after mode, owner, times or size were changed in the inode
    i64 (*getattr)(struct task *task, struct inode *inode); // refresh before stat
    struct inode *(*parent)(struct inode *inode); // with a reference; files may answer NULL [inode->up]
    i64 (*name)(struct inode *inode, char *out, u32 size); // in its parent, not terminated: bytes, or -ENOENT
    // Bring page `index` (below inode->lower, not cached) into inode->pages. 0, E_WAIT, -EIO, -ENOMEM.
    i64 (*fill)(struct task *task, struct inode *inode, u64 index);
    void (*destroy)(struct inode *inode); // no references, no links
};

must_check struct inode *inode_new(struct filesystem *fs, u32 mode);
void inode_get(struct inode *inode);
void inode_put(struct inode *inode);
void inode_touch(struct inode *inode, u32 which); // TOUCH_*
enum { TOUCH_ATIME = 1, TOUCH_MTIME = 2, TOUCH_CTIME = 4 };
// Permission bits of access(2) (R_OK 4, W_OK 2, X_OK 1) by fsuid/fsgid. 0, -EACCES, -EROFS.
must_check i64 inode_permission(struct task *task, struct inode *inode, u32 want);

// What a new name in `dir` belongs to: owner by fsuid, group and setgid bit by the directory.
void inode_init_owner(struct task *task, struct inode *dir, struct inode *inode);
bool inode_owner_or_capable(struct task *task, struct inode *inode); // owner, or CAP_FOWNER
bool cred_in_group(const struct cred *cred, u32 gid);
struct inode *inode_of(struct memobject *object); // NULL when the object is no inode
struct inode *inode_parent(struct inode *inode);  // with a reference; NULL for a root or a file that cannot tell
// regular.c: change the size; pages beyond are unmapped. Does not wait.
must_check i64 inode_resize(struct inode *inode, u64 size);
// The cached page at `index`, made or filled if need be, WITHOUT a reference. E_WAIT, -ENOSPC, -EIO.
must_check i64 inode_page(struct task *task, struct inode *inode, u64 index, struct page **out);
// regular.c: count a frame as written to a file; false when the machine's files hold all they may.
must_check bool disk_take(struct task *task, struct page *page);
u64 disk_free(void); // frames that files may still take
void inode_drop_suid(struct task *task, struct inode *inode); // after a write or chown

// Reading any regular file's pages through the cache (exec, mmap, read): as memobject->frame.
must_check i64 inode_read(struct task *task, struct inode *inode, u64 offset, void *dst, u64 len); // bytes or E_WAIT
extern const struct file_ops regular_file_ops, directory_file_ops;

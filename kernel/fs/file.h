// An open file description, and descriptor tables. fs/ may include mem/ and task/, never sys/.
#pragma once
#include "../task/task.h"

struct file;
struct inode;
struct dirsink;

// Readiness: a poll asks each file for its events and, with `pw`, to be told of changes.
struct pollwait {
    // Called by the file's poll for each queue whose wake may change the answer.
    void (*add)(struct pollwait *pw, struct waitq *queue, u32 events);
};
static inline void poll_on(struct pollwait *pw, struct waitq *queue, u32 events) {
    if (pw)
        pw->add(pw, queue, events);
}

// Every slot is optional but `release`: a missing one answers with the errno in brackets.
struct file_ops {
    // Bytes moved (0: end of file), -errno, or E_WAIT after wait_on. *pos is the file offset, NULL for
    // files without one. Non-blocking: file->flags & O_NONBLOCK -> -EAGAIN. [-EINVAL]
    // The handler loops: it calls write again for the rest until all is moved, 0 or an error comes (a short
    // write is never final), and read again only for regular files. On re-entry after E_WAIT the uio begins
    // behind the bytes counted so far, so an op returns what it moved in this pass and keeps no progress.
    // An op may count bytes into call->progress itself and return E_WAIT: they are done.
    i64 (*read)(struct task *task, struct file *file, struct uio *uio, u64 *pos);
    i64 (*write)(struct task *task, struct file *file, struct uio *uio, u64 *pos);
    u32 (*poll)(struct file *file, struct pollwait *pw); // POLL* that hold now [POLLIN | POLLOUT]
    i64 (*ioctl)(struct task *task, struct file *file, u32 cmd, u64 arg); // [-ENOTTY]
    i64 (*seek)(struct task *task, struct file *file, i64 offset, u32 whence); // [-ESPIPE]
    // Emits entries from file->pos on and moves file->pos behind each one taken. E_WAIT before the first. [-ENOTDIR]
    i64 (*readdir)(struct task *task, struct file *file, struct dirsink *sink);
    // The object to map, without a new reference. [-ENODEV]
    i64 (*mmap)(struct task *task, struct file *file, u32 prot, u32 map_flags, struct memobject **out);
    i64 (*truncate)(struct task *task, struct file *file, u64 size); // [-EINVAL]
    i64 (*fallocate)(struct task *task, struct file *file, u32 mode, u64 offset, u64 len); // [-EOPNOTSUPP]
    i64 (*fsync)(struct task *task, struct file *file); // [0]
    void (*fdinfo)(struct file *file, struct text *text); // extra lines of /proc/<pid>/fdinfo
    void (*release)(struct file *file); // last reference is gone; frees file->data
};

struct file {
    u32 refs; // descriptors + waiting calls + messages in flight
    u32 flags; // O_ACCMODE | O_NONBLOCK | O_APPEND | O_PATH | O_DIRECTORY ...
    const struct file_ops *ops;
    bool opened;        // by open(2): its closing is told to watchers
    bool counts_writer; // in inode->writers
    struct inode *inode; // with a reference; NULL for anonymous files (eventfd, epoll, sockets)
    u64 pos;
    void *data; // belongs to ops
    const char *anon_name; // "anon_inode:[eventpoll]", "socket:[7]" style prefix when inode is NULL
    u64 ino; // for /proc/<pid>/fd of anonymous files
    u32 owner, signal; // F_SETOWN, F_SETSIG
    struct list locks; // flock(2) locks held through this description
    struct list epolls; // epoll items watching this file
    char *path; // as opened (absolute), for /proc/<pid>/fd; may be NULL
};

must_check struct file *file_new(const struct file_ops *ops, u32 flags, void *data); // refs = 1
void file_get(struct file *file);
void file_put(struct file *file);

// ---- Descriptor tables (fdtable.c) ----
#define FD_MAX 65536u
struct fdtable {
    u32 refs; // tasks (CLONE_FILES)
    u32 size; // slots
    struct file **files;
    u8 *cloexec;
    u32 first_free;
};
must_check struct fdtable *fdtable_new(void);
must_check struct fdtable *fdtable_clone(struct fdtable *table);
void fdtable_put(struct fdtable *table); // closes everything with the last reference
void fdtable_close_on_exec(struct fdtable *table);
// The open file behind fd, WITHOUT a reference (valid in this pass); NULL -> -EBADF. O_PATH descriptors are
// no open files: only fd_any sees them.
struct file *fd_file(struct task *task, i32 fd);
struct file *fd_any(struct task *task, i32 fd);
// The same for a call that may wait: the reference is kept in call->file[slot] across re-entries.
struct file *call_file(struct task *task, u32 slot, i32 fd);
// Install; takes over the reference, also on failure. Lowest descriptor >= from. -EMFILE, -ENOMEM.
must_check i64 fd_install(struct task *task, struct file *file, i32 from, bool cloexec);
must_check i64 fd_close(struct task *task, i32 fd); // -EBADF
// dup2: closes what was at `fd`.
must_check i64 fd_install_at(struct task *task, struct file *file, i32 fd, bool cloexec);

// Directory reading: false when the sink is full.
struct dirsink {
    bool (*emit)(struct dirsink *sink, const char *name, u32 len, u64 ino, u64 next_pos, u8 type /* DT_* */);
};

u64 anon_ino_new(void); // numbers for files without an inode
// Name of what is open: absolute path, "pipe:[7]", "anon_inode:[eventfd]". Bytes, or -errno.
i64 file_name(struct task *task, struct file *file, char *out, u32 size);

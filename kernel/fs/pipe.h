// Pipes and FIFOs: pipe(7), fifo(7).
#pragma once
#include "inode.h"
#include "ring.h"

#define PIPE_BUF 4096u
#define PIPE_SIZE 65536u
#define PIPE_SIZE_MAX 1048576u // without CAP_SYS_RESOURCE: /proc/sys/fs/pipe-max-size

struct pipe {
    u32 readers, writers;             // open ends
    u32 readers_opened, writers_opened; // ever: FIFO opens wait for these to move
    u32 size;                         // F_SETPIPE_SZ
    struct ring ring;
    struct waitq read_wait, write_wait;
};

// Both ends, one reference each. flags: O_NONBLOCK.
must_check i64 pipe_new(struct file **reader, struct file **writer, u32 flags);
// What open(2) does on a FIFO; called again with the same call after E_WAIT (state is kept in call->scratch[2..3] and call->undo).
must_check i64 fifo_open(struct task *task, struct inode *inode, struct file *file);
bool file_is_pipe(const struct file *file);
i64 pipe_get_size(struct file *file); // F_GETPIPE_SZ; -EBADF
must_check i64 pipe_set_size(struct task *task, struct file *file, u64 size);
u32 pipe_peek(struct file *file, u32 from, void *dst, u32 n); // tee(2): bytes copied, nothing taken

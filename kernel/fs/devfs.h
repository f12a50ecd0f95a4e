// Character devices and the file system that shows them: /dev.
#pragma once
#include "inode.h"

struct tty;
#define PTY_MAX 256u

struct devices { // kernel->devices
    struct tty *ptys[PTY_MAX];
    struct inode *devpts; // root of /dev/pts, with a reference; NULL before the first mount
};
struct devices *devices_get(void); // NULL: out of memory

// What open(2) does on a character device: sets file->ops and file->data by inode->rdev. -ENXIO.
must_check i64 device_open(struct task *task, struct inode *inode, struct file *file);
i64 devtmpfs_mount(struct filesystem *fs, const char *data);
i64 devpts_mount(struct filesystem *fs, const char *data);

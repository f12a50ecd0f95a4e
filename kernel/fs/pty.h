// Pseudo-terminals, for those who make or ask for them: devices, the host's spawn, procfs.
#pragma once
#include "path.h"

struct tty;
// A new pair: the master as a file, the slave unlocked under /dev/pts/<index>.
must_check i64 pty_new(struct file **master, u32 *index);
// The slave as a file, not yet anyone's controlling terminal. It belongs to the task's user from now on.
must_check i64 pty_open_slave(struct task *task, u32 index, struct file **out);
must_check i64 pty_set_controlling(struct task *leader, struct file *slave); // -EPERM when not a session leader
must_check i64 pty_resize(struct file *end, u32 rows, u32 cols);
struct tty *file_tty(const struct file *file); // NULL: not a terminal
u32 pty_rdev(u32 index); // st_rdev of /dev/pts/<index>: tty_nr of /proc/<pid>/stat
bool pty_is_slave(u32 rdev);

// What open(2) does on the device nodes.
i64 ptmx_open(struct task *task, struct inode *inode, struct file *file);
i64 pty_slave_open(struct task *task, struct inode *inode, struct file *file);
i64 tty_open_controlling(struct task *task, struct inode *inode, struct file *file); // /dev/tty

// devpts.c
must_check i64 devpts_add(u32 index, u32 uid);
void devpts_remove(u32 index);
struct inode *devpts_find(const char *name); // with a reference

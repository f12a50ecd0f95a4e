// Files without a name: the inode that pipes stand on, and descriptors like "anon_inode:[eventfd]".
#pragma once
#include "inode.h"

// An inode of the kernel's internal file system; fstat(2) shows it, /proc/<pid>/fd/N reopens it.
must_check struct inode *anon_inode_new(u32 mode);
// A file with no inode of its own; `name` as /proc/<pid>/fd shows it. Frees nothing on failure.
must_check struct file *anon_file_new(const struct file_ops *ops, u32 flags, void *data, const char *name);

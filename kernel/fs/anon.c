// Files without a name.
#include "anon.h"
#include "../kernel.h"

struct inode *anon_inode_new(u32 mode) {
    return inode_new(NULL, mode); // in no file system: numbered by itself
}

struct file *anon_file_new(const struct file_ops *ops, u32 flags, void *data, const char *name) {
    struct file *file = file_new(ops, flags, data);
    if (file) {
        file->anon_name = name;
        file->ino = ++kernel->anon_ino;
    }
    return file;
}

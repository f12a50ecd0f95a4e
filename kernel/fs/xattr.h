// Extended attributes: a short list on the inode. xattr(7).
#pragma once
#include "inode.h"

struct xattr {
    struct xattr *next;
    char *name;
    u8 *value;
    u32 len;
};
i64 xattr_get(struct inode *inode, const char *name, void *out, u32 size); // its length, -ENODATA, -ERANGE
i64 xattr_set(struct inode *inode, const char *name, const void *value, u32 len, u32 flags);
i64 xattr_list(struct inode *inode, bool trusted, char *out, u32 size); // names, each terminated
i64 xattr_remove(struct inode *inode, const char *name);
void xattr_free(struct inode *inode);
enum { XATTR_CREATE = 1, XATTR_REPLACE = 2 };

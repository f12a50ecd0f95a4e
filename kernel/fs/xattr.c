// Extended attributes of inodes in memory. Who may touch which name is sys/xattr.c's business.
#include "xattr.h"
#include "../lib/heap.h"
#include "../lib/string.h"

static struct xattr **slot(struct inode *inode, const char *name) {
    struct xattr **p = &inode->xattrs;
    while (*p && strcmp((*p)->name, name))
        p = &(*p)->next;
    return p;
}

static void drop(struct xattr **p) {
    struct xattr *x = *p;
    *p = x->next;
    kfree(x->name);
    kfree(x->value);
    kfree(x);
}

i64 xattr_get(struct inode *inode, const char *name, void *out, u32 size) {
    struct xattr *x = *slot(inode, name);
    if (!x)
        return -ENODATA;
    if (!size)
        return x->len;
    if (size < x->len)
        return -ERANGE;
    memcpy(out, x->value, x->len);
    return x->len;
}

i64 xattr_set(struct inode *inode, const char *name, const void *value, u32 len, u32 flags) {
    struct xattr **p = slot(inode, name);
    if (*p && flags & XATTR_CREATE)
        return -EEXIST;
    if (!*p && flags & XATTR_REPLACE)
        return -ENODATA;
    u8 *copy = kmalloc(len ? len : 1);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, value, len);
    if (!*p) {
        struct xattr *x = knew(struct xattr);
        char *own = strdup_k(name);
        if (!x || !own) {
            kfree(x);
            kfree(own);
            kfree(copy);
            return -ENOMEM;
        }
        x->name = own;
        *p = x;
    }
    kfree((*p)->value);
    (*p)->value = copy;
    (*p)->len = len;
    inode_touch(inode, TOUCH_CTIME);
    return 0;
}

i64 xattr_list(struct inode *inode, bool trusted, char *out, u32 size) {
    u32 total = 0;
    for (struct xattr *x = inode->xattrs; x; x = x->next) {
        if (!trusted && !strncmp(x->name, "trusted.", 8))
            continue;
        u32 n = (u32)strlen(x->name) + 1;
        if (size && total + n > size)
            return -ERANGE;
        if (size)
            memcpy(out + total, x->name, n);
        total += n;
    }
    return total;
}

i64 xattr_remove(struct inode *inode, const char *name) {
    struct xattr **p = slot(inode, name);
    if (!*p)
        return -ENODATA;
    drop(p);
    inode_touch(inode, TOUCH_CTIME);
    return 0;
}

void xattr_free(struct inode *inode) {
    while (inode->xattrs)
        drop(&inode->xattrs);
}

// Names to inodes and back: path_resolution(7).
// A walk holds a reference to where it stands and has no other effect, so a call that waits in the
// middle of one simply walks again.
#include "path.h"
#include "../kernel.h"
#include "../lib/fmt.h"
#include "../lib/heap.h"
#include "../lib/string.h"

#define SYMLINKS_MAX 40

// ---- Arguments ---------------------------------------------------------------------------------
struct captured { // call->captured
    u32 size;
    u32 offset[4]; // 0: not fetched yet
    char text[];
};

const char *call_path(struct task *task, u32 index, uptr path, i64 *error) {
    struct call *call = call_of(task);
    struct captured *c = call->captured;
    if (c && c->offset[index])
        return (char *)c + c->offset[index];
    char text[PATH_MAX];
    i64 n = copy_in_string(task, text, path, PATH_MAX);
    if (n < 0) {
        *error = n;
        return NULL;
    }
    u32 old = c ? c->size : sizeof *c;
    c = krealloc(c, old + (u32)n + 1);
    if (!c) {
        *error = -ENOMEM;
        return NULL;
    }
    memcpy((char *)c + old, text, (u64)n + 1);
    c->offset[index] = old;
    c->size = old + (u32)n + 1;
    call->captured = c;
    return (char *)c + old;
}

// ---- Walking -----------------------------------------------------------------------------------
struct walker {
    struct task *task;
    u32 flags;
    struct inode *cur;   // with a reference
    struct inode *root;  // ".." stops here
    struct inode *start; // WALK_BENEATH: nor may it leave this
    const char *rest;
    char *text; // owned: what remains, once a symbolic link was followed
    u32 links;
};

static void stand(struct walker *w, struct inode *inode) { // takes over the reference
    inode_put(w->cur);
    w->cur = inode;
}

// Down onto what is mounted here; takes over the reference and returns one.
static struct inode *mount_down(struct inode *inode) {
    while (inode->mounted) {
        struct inode *root = inode->mounted->root;
        inode_get(root);
        inode_put(inode);
        inode = root;
    }
    return inode;
}

// The directory a mount's root stands for.
static struct inode *mount_up(struct inode *inode) {
    while (inode->fs && inode->fs->root == inode && inode->fs->mountpoint)
        inode = inode->fs->mountpoint;
    return inode;
}

i64 path_up(struct task *task, struct inode *dir, struct inode **out) {
    struct inode *root = task ? task->fs->root : kernel->root;
    if (dir != root)
        dir = mount_up(dir);
    struct inode *up = dir == root ? NULL : inode_parent(dir);
    if (!up) {
        inode_get(dir);
        up = dir;
    }
    *out = mount_down(up);
    return 0;
}

i64 path_lookup(struct task *task, struct inode *dir, const char *name, u32 len,
                struct inode **out) {
    if (!S_ISDIR(dir->mode) || !dir->ops || !dir->ops->lookup)
        return -ENOTDIR;
    if (len > NAME_MAX)
        return -ENAMETOOLONG;
    i64 r = inode_permission(task, dir, X_OK);
    if (r < 0)
        return r;
    struct inode *inode;
    r = dir->ops->lookup(task, dir, name, len, &inode);
    if (r < 0)
        return r;
    *out = mount_down(inode);
    return 0;
}

static i64 step_up(struct walker *w) {
    if (w->flags & WALK_BENEATH && w->cur == w->start)
        return -EXDEV;
    struct inode *dir = w->cur == w->root ? w->cur : mount_up(w->cur);
    if (dir != w->cur && w->flags & WALK_NO_XDEV)
        return -EXDEV;
    if (dir == w->root)
        return 0;
    struct inode *up = inode_parent(dir);
    if (up)
        stand(w, mount_down(up));
    return 0;
}

// Put a link's text before what remains of the path.
static i64 splice_text(struct walker *w, const char *link, u32 len) {
    u64 rest = strlen(w->rest);
    if (len + rest + 2 > PATH_MAX)
        return -ENAMETOOLONG;
    char *text = kmalloc(len + rest + 2);
    if (!text)
        return -ENOMEM;
    memcpy(text, link, len);
    memcpy(text + len, w->rest, rest + 1); // `rest` is empty or begins with a slash
    kfree(w->text);
    w->text = text;
    w->rest = text;
    return 0;
}

static i64 to_root(struct walker *w) {
    if (w->flags & WALK_BENEATH)
        return -EXDEV;
    inode_get(w->root);
    stand(w, w->root);
    return 0;
}

// `link` (reference taken over) stands where the walk came to.
static i64 follow(struct walker *w, struct inode *link) {
    i64 r = 0;
    if (++w->links > SYMLINKS_MAX || w->flags & WALK_NO_SYMLINKS) {
        r = -ELOOP;
    } else if (link->ops->follow) {
        struct inode *target;
        if (w->flags & WALK_NO_MAGICLINKS)
            r = -ELOOP;
        else if (w->flags & (WALK_BENEATH | WALK_IN_ROOT))
            r = -EXDEV;
        else
            r = link->ops->follow(w->task, link, &target);
        if (!r)
            stand(w, target);
    } else {
        char text[PATH_MAX];
        r = link->ops->readlink ? link->ops->readlink(w->task, link, text, sizeof text) : -EINVAL;
        if (r == 0)
            r = -ENOENT;
        if (r > 0) {
            inode_touch(link, TOUCH_ATIME);
            r = splice_text(w, text, (u32)r);
        }
        if (!r && *w->rest == '/')
            r = to_root(w);
    }
    inode_put(link);
    return r;
}

static i64 begin(struct walker *w, i32 dirfd, const char *path) {
    struct task *task = w->task;
    struct inode *start = task->fs->cwd;
    w->root = task->fs->root;
    if (*path == '/' && !(w->flags & (WALK_IN_ROOT | WALK_BENEATH))) {
        start = w->root;
    } else if (dirfd != AT_FDCWD) {
        struct file *file = fd_any(task, dirfd);
        if (!file)
            return -EBADF;
        if (!file->inode)
            return *path ? -ENOTDIR : -EINVAL;
        start = file->inode;
    }
    if (*path && !S_ISDIR(start->mode))
        return -ENOTDIR;
    if (*path == '/' && w->flags & WALK_BENEATH)
        return -EXDEV;
    if (w->flags & WALK_IN_ROOT)
        w->root = start;
    w->start = start;
    w->rest = path;
    inode_get(start);
    w->cur = start;
    return 0;
}

static i64 step(struct walker *w, const char *name, u32 len, bool last, bool slash,
                struct walk *out) {
    struct inode *next;
    i64 r = path_lookup(w->task, w->cur, name, len, &next);
    if (r == -ENOENT && last && w->flags & WALK_CREATE) {
        memcpy(out->last, name, len);
        out->last[len] = 0;
        out->last_len = len;
        out->missing = true;
        return 0;
    }
    if (r < 0)
        return r;
    if (w->flags & WALK_NO_XDEV && next->fs != w->cur->fs) {
        inode_put(next);
        return -EXDEV;
    }
    if (S_ISLNK(next->mode) && (!last || slash || w->flags & WALK_FOLLOW))
        return follow(w, next);
    stand(w, next);
    return 0;
}

static i64 walk(struct walker *w, struct walk *out) {
    for (;;) {
        while (*w->rest == '/')
            w->rest++;
        const char *name = w->rest;
        if (!*name)
            return 0;
        u32 len = 0;
        while (name[len] && name[len] != '/')
            len++;
        if (len > NAME_MAX)
            return -ENAMETOOLONG;
        w->rest += len;
        const char *more = w->rest;
        while (*more == '/')
            more++;
        bool last = !*more;
        out->trailing_slash = last && *w->rest == '/';
        if (!S_ISDIR(w->cur->mode))
            return -ENOTDIR;
        i64 r = inode_permission(w->task, w->cur, X_OK);
        if (r < 0)
            return r;
        if (last && w->flags & WALK_PARENT) {
            memcpy(out->last, name, len);
            out->last[len] = 0;
            out->last_len = len;
            return 0;
        }
        if (len == 1 && name[0] == '.')
            continue;
        if (len == 2 && name[0] == '.' && name[1] == '.')
            r = step_up(w);
        else
            r = step(w, name, len, last, out->trailing_slash, out);
        if (r < 0 || out->missing)
            return r;
    }
}

i64 path_walk(struct task *task, i32 dirfd, const char *path, u32 flags, struct walk *out) {
    out->inode = NULL;
    out->last[0] = 0;
    out->last_len = 0;
    out->trailing_slash = out->missing = false;
    if (!*path && !(flags & WALK_EMPTY))
        return -ENOENT;
    struct walker w = {.task = task, .flags = flags};
    i64 r = begin(&w, dirfd, path);
    if (r < 0)
        return r;
    r = walk(&w, out);
    if (!r && !out->missing && !(flags & WALK_PARENT) &&
        (out->trailing_slash || flags & WALK_DIRECTORY) && !S_ISDIR(w.cur->mode))
        r = -ENOTDIR;
    kfree(w.text);
    if (r < 0)
        inode_put(w.cur);
    else
        out->inode = w.cur;
    return r;
}

void walk_end(struct walk *walk) {
    if (walk->inode)
        inode_put(walk->inode);
    walk->inode = NULL;
}

// ---- Back to a name ----------------------------------------------------------------------------
// Built from the end of `out` towards its start, then moved.
i64 path_of(struct task *task, struct inode *inode, char *out, u32 size) {
    struct inode *root = task && task->fs ? task->fs->root : kernel->root;
    u32 at = size;
    i64 r = 0;
    inode_get(inode);
    while (!r && inode != root) {
        struct inode *here = mount_up(inode);
        if (here == root)
            break;
        char name[NAME_MAX + 1];
        i64 n = here->ops && here->ops->name ? here->ops->name(here, name, sizeof name) : -ENOENT;
        struct inode *up = n > 0 ? inode_parent(here) : NULL;
        if (!up) {
            r = here == kernel->root ? 0 : -ENOENT; // outside of a chroot: from the real root
            break;
        }
        inode_put(inode);
        inode = up;
        if ((u32)n + 1 > at) {
            r = -ERANGE;
            break;
        }
        at -= (u32)n;
        memcpy(out + at, name, (u64)n);
        out[--at] = '/';
    }
    inode_put(inode);
    if (r)
        return r;
    if (at == size)
        out[--at] = '/';
    memmove(out, out + at, size - at);
    if (size - at < size)
        out[size - at] = 0;
    return size - at;
}

i64 path_shown(struct task *task, struct inode *inode, char *out, u32 size) {
    i64 n = path_of(task, inode, out, size);
    if (n >= 0)
        return n;
    const char *name = inode->gone ? inode->gone : inode->fs ? "/" : "/memfd:";
    i32 len = ksnprintf(out, size, "%s (deleted)", name);
    return min((u32)len, size - 1);
}

// Only what someone holds besides its name and the call that removes it is worth a name afterwards.
void path_remember(struct inode *inode) {
    if (inode->refs <= 2 || (!S_ISDIR(inode->mode) && inode->nlink > 1))
        return;
    char *path = kmalloc(PATH_MAX);
    i64 n = path ? path_of(NULL, inode, path, PATH_MAX - 1) : -ENOMEM;
    if (n > 0) {
        path[n] = 0;
        kfree(inode->gone);
        inode->gone = strdup_k(path);
    }
    kfree(path);
}

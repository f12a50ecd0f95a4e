// The machinery of /proc: lookup, listing, reading and writing for what the tables in procsys.c and procpid.c describe.
//
// An inode names its subject by number and start time, so one that is kept open past the end of its process answers
// ESRCH. A file's text is made when it is read from the start and kept until the next time.
#include "procfs.h"
#include "../kernel.h"
#include "../lib/heap.h"
#include "../lib/string.h"
#include "pty.h"

struct node { // inode->data
    const struct proc_entry *entry;
    u32 pid, tid; // 0: the system part; tid 0: not below task/
    u32 fd;
    u64 start_ns;
    char name[24]; // numbers; else entry->name
};

static const struct proc_entry root_entry = {.name = "", .kind = PROC_DIR, .mode = 0555};
static const struct proc_entry process_entry = {.kind = PROC_DIR, .mode = 0555};
static const struct proc_entry thread_entry = {.kind = PROC_DIR, .mode = 0555};
static i64 fd_readlink(const struct proc_ref *ref, char *out, u32 size);
static i64 fd_follow(const struct proc_ref *ref, struct inode **out);
static i64 fdinfo_show(struct text *out, const struct proc_ref *ref);
static const struct proc_entry fd_entry = {.kind = PROC_MAGIC, .mode = 0700, .guarded = true, .readlink = fd_readlink, .follow = fd_follow};
static const struct proc_entry fdinfo_entry = {.kind = PROC_FILE, .mode = 0400, .guarded = true, .show = fdinfo_show};

static const struct inode_ops dir_ops, file_inode_ops, link_ops, magic_ops;
static const struct file_ops dir_file_ops, proc_file_ops;

static struct node *node_of(struct inode *inode) {
    return inode->data;
}

// ---- Subjects ----------------------------------------------------------------------------------
static i64 resolve(struct task *reader, struct inode *inode, struct proc_ref *ref) {
    struct node *node = node_of(inode);
    *ref = (struct proc_ref){.reader = reader, .fd = node->fd, .thread = node->tid};
    if (!node->pid)
        return 0;
    struct process *process = process_find(node->pid);
    if (!process || process->start_ns != node->start_ns)
        return -ESRCH;
    struct task *task = node->tid ? task_find(node->tid) : process->leader;
    if (node->tid && (!task || task->process != process))
        return -ESRCH;
    if (!node->tid && (!task || task->state == TASK_DEAD)) { // the leader has ended before other threads
        struct task *other;
        list_each(other, &process->tasks, sibling)
            if (other->state != TASK_DEAD && (!task || task->state == TASK_DEAD))
                task = other;
    }
    ref->process = process;
    ref->task = task;
    return 0;
}

// ptrace(2)'s question, as far as reading goes.
static bool may_look(struct task *reader, const struct proc_ref *ref) {
    if (!reader || !ref->process || ref->process == reader->process || reader->cred.cap_effective & 1ull << CAP_SYS_PTRACE)
        return true;
    const struct cred *a = &reader->cred, *b = ref->task ? &ref->task->cred : NULL;
    return b && a->fsuid == b->euid && a->fsuid == b->suid && a->fsuid == b->ruid && a->fsgid == b->egid &&
           a->fsgid == b->sgid && a->fsgid == b->rgid;
}

static i64 resolve_guarded(struct task *reader, struct inode *inode, struct proc_ref *ref) {
    i64 error = resolve(reader, inode, ref);
    if (error)
        return error;
    return node_of(inode)->entry->guarded && !may_look(reader, ref) ? -EACCES : 0;
}

static struct file *subject_file(const struct proc_ref *ref) {
    struct fdtable *files = ref->task ? ref->task->files : NULL;
    return files && ref->fd < files->size ? files->files[ref->fd] : NULL;
}

// ---- Inodes ------------------------------------------------------------------------------------
static u32 type_of(const struct proc_entry *entry) {
    switch (entry->kind) {
    case PROC_FILE:
        return S_IFREG;
    case PROC_LINK:
    case PROC_MAGIC:
        return S_IFLNK;
    }
    return S_IFDIR;
}

static void own(struct inode *inode, const struct proc_ref *ref) {
    bool visible = ref->task && (ref->process->dumpable || ref->task->cred.euid == 0);
    inode->uid = visible ? ref->task->cred.euid : 0;
    inode->gid = visible ? ref->task->cred.egid : 0;
    if (node_of(inode)->entry == &fd_entry) {
        struct file *file = subject_file(ref);
        u32 access = file ? file->flags & O_ACCMODE : O_RDONLY;
        inode->mode = S_IFLNK | (access != O_WRONLY ? 0500 : 0100) | (access != O_RDONLY ? 0300 : 0100);
    }
}

// Stable numbers: the same place has the same one each time.
static u64 number(const struct node *node, struct inode *dir) {
    u64 h = dir ? dir->ino * 1000003u : 1;
    const char *name = node->name[0] ? node->name : node->entry->name ? node->entry->name : "";
    for (; *name; name++)
        h = (h ^ (u8)*name) * 1099511628211ull;
    return (h & 0x7fffffffffffull) | 1;
}

static i64 node_new(struct filesystem *fs, struct inode *dir, const struct node *from, struct inode **out) {
    struct inode *inode = inode_new(fs, type_of(from->entry) | from->entry->mode);
    struct node *node = knew(struct node);
    if (!inode || !node) {
        kfree(node);
        if (inode)
            inode_put(inode);
        return -ENOMEM;
    }
    *node = *from;
    inode->data = node;
    inode->ino = number(node, dir);
    switch (node->entry->kind) {
    case PROC_FILE:
        inode->ops = &file_inode_ops;
        inode->file_ops = &proc_file_ops;
        break;
    case PROC_LINK:
        inode->ops = &link_ops;
        break;
    case PROC_MAGIC:
        inode->ops = &magic_ops;
        break;
    default:
        inode->ops = &dir_ops;
        inode->file_ops = &dir_file_ops;
        inode->nlink = 2;
    }
    if (dir) {
        inode->up = dir;
        inode_get(dir);
    }
    struct proc_ref ref;
    if (resolve(NULL, inode, &ref) == 0)
        own(inode, &ref);
    *out = inode;
    return 0;
}

static void proc_destroy(struct inode *inode) {
    kfree(inode->data);
}

static i64 proc_getattr(struct task *task, struct inode *inode) {
    struct proc_ref ref;
    if (resolve(task, inode, &ref) == 0)
        own(inode, &ref);
    return 0;
}

static i64 proc_name(struct inode *inode, char *out, u32 size) {
    struct node *node = node_of(inode);
    const char *name = node->name[0] ? node->name : node->entry->name;
    u32 n = min((u32)strlen(name), size);
    memcpy(out, name, n);
    return n;
}

// ---- Directories -------------------------------------------------------------------------------
static bool parse_number(const char *name, u32 len, u32 *out) {
    u64 value = 0;
    for (u32 i = 0; i < len; i++) {
        if (name[i] < '0' || name[i] > '9' || i > 9)
            return false;
        value = value * 10 + (u32)(name[i] - '0');
    }
    *out = (u32)value;
    return len && (len == 1 || name[0] != '0') && value < 0x80000000ull;
}

static const struct proc_entry *child_named(const struct proc_entry *table, u32 count, const char *name, u32 len) {
    for (u32 i = 0; i < count; i++)
        if (!strncmp(table[i].name, name, len) && !table[i].name[len])
            return &table[i];
    return NULL;
}

// The table that a directory lists, if it has one.
static const struct proc_entry *table_of(const struct proc_entry *entry, u32 *count) {
    if (entry == &root_entry) {
        *count = proc_system_count;
        return proc_system;
    }
    if (entry == &process_entry || entry == &thread_entry) {
        *count = proc_process_count;
        return proc_process;
    }
    *count = entry->child_count;
    return entry->children;
}

static bool hidden(const struct proc_entry *dir, const struct proc_entry *child) {
    return dir == &thread_entry && child->leader_only;
}

static i64 dir_lookup(struct task *task, struct inode *dir, const char *name, u32 len, struct inode **out) {
    struct node *node = node_of(dir);
    struct proc_ref ref;
    i64 error = resolve_guarded(task, dir, &ref);
    if (error)
        return error == -ESRCH ? -ENOENT : error;
    struct node child = {.pid = node->pid, .tid = node->tid, .start_ns = node->start_ns};
    u32 n = 0, count;
    bool numeric = parse_number(name, len, &n);
    const struct proc_entry *table = table_of(node->entry, &count);
    child.entry = table ? child_named(table, count, name, len) : NULL;
    if (child.entry && !hidden(node->entry, child.entry))
        return node_new(dir->fs, dir, &child, out);
    if (!numeric)
        return -ENOENT;
    memcpy(child.name, name, len);
    if (node->entry == &root_entry) {
        struct task *found = task_find(n);
        struct process *process = found ? found->process : process_find(n);
        if (!process)
            return -ENOENT;
        child.entry = &process_entry;
        child.pid = process->pid;
        child.start_ns = process->start_ns;
    } else if (node->entry->kind == PROC_TASKS) {
        struct task *found = task_find(n);
        if (!found || found->process != ref.process)
            return -ENOENT;
        child.entry = &thread_entry;
        child.tid = n;
    } else if (node->entry->kind == PROC_FDS || node->entry->kind == PROC_FDINFOS) {
        ref.fd = child.fd = n;
        if (!subject_file(&ref))
            return -ENOENT;
        child.entry = node->entry->kind == PROC_FDS ? &fd_entry : &fdinfo_entry;
    } else {
        return -ENOENT;
    }
    return node_new(dir->fs, dir, &child, out);
}

#define NUMBERS 1024u // file positions below this are the table's

static bool emit_number(struct file *file, struct dirsink *sink, u32 n, u8 type) {
    char name[12];
    u32 len = (u32)ksnprintf(name, sizeof name, "%u", n);
    struct node node = {.entry = &process_entry};
    memcpy(node.name, name, len);
    u64 next = NUMBERS + n + 1ull;
    if (!sink->emit(sink, name, len, number(&node, file->inode), next, type))
        return false;
    file->pos = next;
    return true;
}

static i64 dir_readdir(struct task *task, struct file *file, struct dirsink *sink) {
    struct inode *dir = file->inode;
    struct node *node = node_of(dir);
    struct proc_ref ref;
    i64 error = resolve_guarded(task, dir, &ref);
    if (error)
        return error == -ESRCH ? -ENOENT : error;
    u32 count;
    const struct proc_entry *table = table_of(node->entry, &count);
    while (file->pos < 2 + count) {
        u64 at = file->pos;
        bool more = true;
        if (at < 2) {
            more = sink->emit(sink, "..", (u32)at + 1, at && dir->up ? dir->up->ino : dir->ino, at + 1, DT_DIR);
        } else if (!hidden(node->entry, &table[at - 2])) {
            struct node child = {.entry = &table[at - 2]};
            more = sink->emit(sink, child.entry->name, (u32)strlen(child.entry->name), number(&child, dir), at + 1,
                              (u8)(type_of(child.entry) >> 12));
        }
        if (!more)
            return 0;
        file->pos = at + 1;
    }
    u32 from = file->pos < NUMBERS ? 0 : (u32)(file->pos - NUMBERS);
    if (node->entry == &root_entry) {
        for (u32 n = from; n < kernel->tid_cap; n++) {
            struct process *process = process_find(n);
            if (process && !emit_number(file, sink, n, DT_DIR))
                return 0;
        }
    } else if (node->entry->kind == PROC_TASKS) {
        for (u32 n = from; n < kernel->tid_cap; n++) {
            struct task *found = task_find(n);
            if (found && found->process == ref.process && !emit_number(file, sink, n, DT_DIR))
                return 0;
        }
    } else if (node->entry->kind == PROC_FDS || node->entry->kind == PROC_FDINFOS) {
        u8 type = node->entry->kind == PROC_FDS ? DT_LNK : DT_REG;
        u32 size = ref.task && ref.task->files ? ref.task->files->size : 0;
        for (ref.fd = from; ref.fd < size; ref.fd++)
            if (subject_file(&ref) && !emit_number(file, sink, ref.fd, type))
                return 0;
    }
    pass_cost(kernel->tid_cap / 64);
    return 0;
}

static i64 dir_create(struct task *task, struct inode *dir, const char *name, u32 len, u32 mode, u32 rdev, struct inode **out) {
    return -ENOENT;
}

static i64 proc_seek(struct task *task, struct file *file, i64 offset, u32 whence) {
    i64 pos = whence == SEEK_SET ? offset : whence == SEEK_CUR ? (i64)file->pos + offset : -1;
    if (pos < 0)
        return -EINVAL;
    file->pos = (u64)pos;
    return pos;
}

static void dir_release(struct file *file) {}

static const struct inode_ops dir_ops = {.lookup = dir_lookup, .create = dir_create, .getattr = proc_getattr, .name = proc_name, .destroy = proc_destroy};
static const struct file_ops dir_file_ops = {.readdir = dir_readdir, .seek = proc_seek, .release = dir_release};

// ---- Files -------------------------------------------------------------------------------------
static i64 file_open_check(struct task *task, struct inode *inode, struct file *file) {
    struct proc_ref ref;
    i64 error = resolve_guarded(task, inode, &ref);
    if (error)
        return error;
    if ((file->flags & O_ACCMODE) != O_RDONLY && !node_of(inode)->entry->write)
        return -EACCES;
    return 0;
}

static i64 proc_read(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    struct text *text = file->data;
    if (!text && !(text = file->data = knew(struct text)))
        return -ENOMEM;
    if (!text->data || !*pos) {
        struct proc_ref ref;
        i64 error = resolve(task, file->inode, &ref);
        if (error)
            return error;
        const struct proc_entry *entry = node_of(file->inode)->entry;
        text_free(text);
        *text = (struct text){0};
        error = entry->show ? entry->show(text, &ref) : -EINVAL;
        if (!error && text->failed)
            error = -ENOMEM;
        if (error)
            return error;
        pass_cost(text->len / 8);
    }
    if (*pos >= text->len)
        return 0;
    i64 n = uio_ready(uio, min(uio->left, text->len - *pos));
    if (n > 0)
        n = uio_put(uio, text->data + *pos, (u64)n);
    if (n > 0)
        *pos += (u64)n;
    return n;
}

static i64 proc_write(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    const struct proc_entry *entry = node_of(file->inode)->entry;
    char data[256];
    struct proc_ref ref;
    u64 n = uio->left;
    if (!entry->write || n >= sizeof data)
        return -EINVAL;
    i64 error = resolve(task, file->inode, &ref);
    if (error)
        return error;
    i64 got = uio_ready(uio, n);
    if (got >= 0 && (u64)got < n)
        got = -EFAULT;
    if (got >= 0 && n)
        got = uio_get(uio, data, n);
    if (got < 0)
        return got;
    u32 len = (u32)n;
    while (len && (data[len - 1] == '\n' || data[len - 1] == 0))
        len--;
    data[len] = 0;
    error = entry->write(&ref, data, len);
    *pos += n;
    return error ? error : (i64)n;
}

static void proc_release(struct file *file) {
    if (file->data)
        text_free(file->data);
    kfree(file->data);
}

static i64 proc_truncate(struct task *task, struct file *file, u64 size) {
    return 0; // shells open with O_TRUNC
}

static const struct inode_ops file_inode_ops = {.open = file_open_check, .getattr = proc_getattr, .name = proc_name, .destroy = proc_destroy};
static const struct file_ops proc_file_ops = {
    .read = proc_read,
    .write = proc_write,
    .seek = proc_seek,
    .truncate = proc_truncate,
    .release = proc_release,
};

// ---- Links -------------------------------------------------------------------------------------
static i64 link_read(struct task *task, struct inode *inode, char *out, u32 size) {
    struct proc_ref ref;
    i64 error = resolve_guarded(task, inode, &ref);
    if (error)
        return error == -ESRCH ? -ENOENT : error;
    return node_of(inode)->entry->readlink(&ref, out, size);
}

static i64 link_follow(struct task *task, struct inode *inode, struct inode **out) {
    struct proc_ref ref;
    i64 error = resolve_guarded(task, inode, &ref);
    if (error)
        return error == -ESRCH ? -ENOENT : error;
    return node_of(inode)->entry->follow(&ref, out);
}

static const struct inode_ops link_ops = {.readlink = link_read, .getattr = proc_getattr, .name = proc_name, .destroy = proc_destroy};
static const struct inode_ops magic_ops = {.readlink = link_read, .follow = link_follow, .getattr = proc_getattr, .name = proc_name, .destroy = proc_destroy};

static i64 fd_readlink(const struct proc_ref *ref, char *out, u32 size) {
    struct file *file = subject_file(ref);
    return file ? file_name(ref->reader, file, out, size) : -ENOENT;
}

static i64 fd_follow(const struct proc_ref *ref, struct inode **out) {
    struct file *file = subject_file(ref);
    if (!file)
        return -ENOENT;
    if (!file->inode)
        return -ENXIO;
    inode_get(file->inode);
    *out = file->inode;
    return 0;
}

static i64 fdinfo_show(struct text *out, const struct proc_ref *ref) {
    struct file *file = subject_file(ref);
    if (!file)
        return -ENOENT;
    u32 flags = file->flags | (ref->task->files->cloexec[ref->fd] ? O_CLOEXEC : 0);
    text_printf(out, "pos:\t%llu\nflags:\t0%o\nmnt_id:\t%u\nino:\t%llu\n", (unsigned long long)(file->ops->seek ? file->pos : 0),
                flags, file->inode && file->inode->fs ? file->inode->fs->dev & 0xff : 1,
                (unsigned long long)(file->inode ? file->inode->ino : file->ino));
    if (file->ops->fdinfo)
        file->ops->fdinfo(file, out);
    return 0;
}

char proc_state(const struct task *task) {
    switch (task->state) {
    case TASK_RUNNABLE:
    case TASK_RUNNING:
        return 'R';
    case TASK_STOPPED:
        return 'T';
    case TASK_DEAD:
        return 'Z';
    default:
        return 'S';
    }
}

i64 proc_mount(struct filesystem *fs, const char *data) {
    i64 error = node_new(fs, NULL, &(struct node){.entry = &root_entry}, &fs->root);
    if (!error)
        fs->root->ino = 1;
    return error;
}

// Descriptor tables: numbers to open files. A slot holds one reference.
#include "../kernel.h"
#include "../lib/heap.h"
#include "../lib/string.h"
#include "flock.h"

#define SLOTS_FIRST 64u

struct fdtable *fdtable_new(void) {
    struct fdtable *table = knew(struct fdtable);
    if (table)
        table->refs = 1;
    return table;
}

static i64 grow(struct fdtable *table, u32 need) {
    u32 size = max(table->size, SLOTS_FIRST);
    while (size < need)
        size *= 2;
    if (size == table->size)
        return 0;
    struct file **files = krealloc(table->files, size * sizeof *files);
    if (!files)
        return -ENOMEM;
    table->files = files;
    u8 *cloexec = krealloc(table->cloexec, size);
    if (!cloexec)
        return -ENOMEM;
    table->cloexec = cloexec;
    table->size = size;
    return 0;
}

struct fdtable *fdtable_clone(struct fdtable *from) {
    struct fdtable *table = fdtable_new();
    if (!table || !from->size)
        return table;
    if (grow(table, from->size) < 0) {
        fdtable_put(table);
        return NULL;
    }
    memcpy(table->cloexec, from->cloexec, from->size);
    memcpy(table->files, from->files, from->size * sizeof *from->files);
    for (u32 i = 0; i < from->size; i++)
        if (table->files[i])
            file_get(table->files[i]);
    table->first_free = from->first_free;
    return table;
}

// Empties a slot: record locks go with any close by the table's owner (fcntl(2)).
static void slot_close(struct fdtable *table, u32 fd) {
    struct file *file = table->files[fd];
    table->files[fd] = NULL;
    table->cloexec[fd] = 0;
    table->first_free = min(table->first_free, fd);
    if (file->inode && !list_empty(&file->inode->locks))
        lock_release_owner(file->inode, table);
    file_put(file);
}

void fdtable_put(struct fdtable *table) {
    if (--table->refs)
        return;
    for (u32 i = 0; i < table->size; i++)
        if (table->files[i])
            slot_close(table, i);
    kfree(table->files);
    kfree(table->cloexec);
    kfree(table);
}

void fdtable_close_on_exec(struct fdtable *table) {
    for (u32 i = 0; i < table->size; i++)
        if (table->files[i] && table->cloexec[i])
            slot_close(table, i);
}

struct file *fd_any(struct task *task, i32 fd) {
    struct fdtable *table = task->files;
    return table && fd >= 0 && (u32)fd < table->size ? table->files[fd] : NULL;
}

struct file *fd_file(struct task *task, i32 fd) {
    struct file *file = fd_any(task, fd);
    return file && !(file->flags & O_PATH) ? file : NULL;
}

struct file *call_file(struct task *task, u32 slot, i32 fd) {
    struct call *call = call_of(task);
    if (!call->file[slot]) {
        struct file *file = fd_file(task, fd);
        if (!file)
            return NULL;
        file_get(file);
        call->file[slot] = file;
    }
    return call->file[slot];
}

static u64 fd_limit(struct task *task) {
    return min(task->process->rlimit[RLIMIT_NOFILE][0], (u64)FD_MAX);
}

i64 fd_install(struct task *task, struct file *file, i32 from, bool cloexec) {
    struct fdtable *table = task->files;
    u32 fd = max((u32)from, table->first_free);
    while (fd < table->size && table->files[fd])
        fd++;
    i64 r = fd >= fd_limit(task) ? -EMFILE : grow(table, fd + 1);
    if (r < 0) {
        file_put(file);
        return r;
    }
    table->files[fd] = file;
    table->cloexec[fd] = cloexec;
    if ((u32)from <= table->first_free)
        table->first_free = fd + 1;
    return fd;
}

i64 fd_close(struct task *task, i32 fd) {
    if (!fd_any(task, fd))
        return -EBADF;
    slot_close(task->files, (u32)fd);
    return 0;
}

i64 fd_install_at(struct task *task, struct file *file, i32 fd, bool cloexec) {
    struct fdtable *table = task->files;
    i64 r = fd < 0 || (u64)fd >= fd_limit(task) ? -EBADF : grow(table, (u32)fd + 1);
    if (r < 0) {
        file_put(file);
        return r;
    }
    if (table->files[fd])
        slot_close(table, (u32)fd);
    table->files[fd] = file;
    table->cloexec[fd] = cloexec;
    return fd;
}

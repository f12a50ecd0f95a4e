// memfd_create(2): a regular file in no directory, which can be sealed.
#include "../kernel.h"
#include "../lib/fmt.h"
#include "../lib/heap.h"
#include "../lib/string.h"
#include "newfd.h"
#include "seals.h"

#define SEALS_ALL (SEAL_SEAL | SEAL_SHRINK | SEAL_GROW | SEAL_WRITE | SEAL_FUTURE_WRITE)

i64 memfd_new(struct task *task, const char *name, u32 flags, struct file **out) {
    bool executable = !(flags & MFD_NOEXEC_SEAL);
    struct inode *inode = inode_new(NULL, S_IFREG | (executable ? 0777 : 0666));
    struct file *file = inode ? file_new(inode->file_ops, O_RDWR | O_LARGEFILE, NULL) : NULL;
    u32 size = (u32)strlen(name) + 8;
    char *path = file ? kmalloc(size) : NULL;
    if (!path) {
        if (file)
            file_put(file);
        if (inode)
            inode_put(inode);
        return -ENOMEM;
    }
    ksnprintf(path, size, "/memfd:%s", name);
    inode->uid = task->cred.fsuid;
    inode->gid = task->cred.fsgid;
    inode->nlink = 0;
    inode->seals = flags & (MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL) ? 0 : SEAL_SEAL;
    file->inode = inode;
    inode->gone = path; // what /proc shows
    *out = file;
    return 0;
}

static bool is_memfd(const struct file *file) {
    return file->inode && !file->inode->fs && S_ISREG(file->inode->mode);
}

// Is it mapped shared and writable anywhere? Then it cannot be sealed against writing.
static bool mapped_writable(struct inode *inode) {
    struct process *process;
    struct task *task;
    list_each(process, &kernel->processes, all)
        list_each(task, &process->tasks, sibling)
            for (u32 i = 0; task->mm && i < task->mm->vma_count; i++) {
                struct vma *vma = task->mm->vmas[i];
                if (vma->object == &inode->object && vma->flags & VMA_SHARED &&
                    vma->prot & PROT_WRITE)
                    return true;
            }
    return false;
}

i64 memfd_get_seals(struct file *file) {
    return is_memfd(file) ? file->inode->seals : -EINVAL;
}

i64 memfd_add_seals(struct file *file, u32 seals) {
    if (!is_memfd(file) || seals & ~(u32)SEALS_ALL)
        return -EINVAL;
    if ((file->flags & O_ACCMODE) == O_RDONLY || file->inode->seals & SEAL_SEAL)
        return -EPERM;
    if (seals & SEAL_WRITE && !(file->inode->seals & SEAL_WRITE) && mapped_writable(file->inode))
        return -EBUSY;
    file->inode->seals |= seals;
    return 0;
}

// pidfd_open(2): a process as a file, readable once it has ended. Holds the process, dead or alive.
#include "../kernel.h"
#include "../lib/fmt.h"
#include "anon.h"
#include "newfd.h"

static const struct file_ops pidfd_ops;

struct process *pidfd_process(struct file *file) {
    return file->ops == &pidfd_ops ? file->data : NULL;
}

static u32 pidfd_poll(struct file *file, struct pollwait *pw) {
    struct process *process = file->data;
    poll_on(pw, &process->exit_wait, POLLIN | POLLRDNORM);
    return process->zombie ? POLLIN | POLLRDNORM : 0;
}

static void pidfd_fdinfo(struct file *file, struct text *text) {
    struct process *process = file->data;
    i32 pid = process_find(process->pid) == process ? (i32)process->pid : -1;
    text_printf(text, "Pid:\t%d\nNSpid:\t%d\n", pid, pid);
}

static void pidfd_release(struct file *file) {
    process_put(file->data);
}

static const struct file_ops pidfd_ops = {
    .poll = pidfd_poll, .fdinfo = pidfd_fdinfo, .release = pidfd_release};

struct file *pidfd_new(struct process *process, u32 flags) {
    struct file *file =
        anon_file_new(&pidfd_ops, O_RDWR | (flags & O_NONBLOCK), process, "anon_inode:[pidfd]");
    if (file)
        process->refs++;
    return file;
}

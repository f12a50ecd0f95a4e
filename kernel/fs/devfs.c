// Character devices, in one table: what stands in /dev and what an open of a device number means.
#include "devfs.h"
#include "../kernel.h"
#include "../lib/heap.h"
#include "../lib/string.h"
#include "pty.h"
#include "tmpfs.h"

#define DEV(major, minor) ((major) << 8 | (minor)) // makedev as a constant

struct devices *devices_get(void) {
    if (!kernel->devices)
        kernel->devices = knew(struct devices);
    return kernel->devices;
}

// Reads fill the user's buffer piece by piece; a piece that must wait ends the call short.
static i64 fill(struct uio *uio, i64 (*piece)(struct uio *uio, u64 n)) {
    i64 done = 0;
    while (uio->left) {
        i64 n = uio_ready(uio, uio->left);
        if (n > 0)
            n = piece(uio, (u64)n);
        if (n <= 0)
            return done ? done : n;
        done += n;
        pass_cost((u64)n / 16);
    }
    return done;
}

static i64 null_read(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    return 0;
}
static i64 null_write(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    u64 n = uio->left;
    uio->left = 0; // taken
    return (i64)n;
}
static i64 null_seek(struct task *task, struct file *file, i64 offset, u32 whence) {
    return file->pos = 0;
}
static void none_release(struct file *file) {}

static i64 zero_piece(struct uio *uio, u64 n) {
    return uio_zero(uio, n);
}
static i64 zero_read(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    return fill(uio, zero_piece);
}
static i64 zero_mmap(struct task *task, struct file *file, u32 prot, u32 map_flags, struct memobject **out) {
    *out = NULL; // anonymous memory
    return map_flags & MAP_PRIVATE ? 0 : -ENODEV;
}
static i64 full_write(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    return uio->left ? -ENOSPC : 0;
}

static i64 random_piece(struct uio *uio, u64 n) {
    u8 bytes[256];
    n = min(n, (u64)sizeof bytes);
    random_bytes(&kernel->random, bytes, n);
    return uio_put(uio, bytes, n);
}
static i64 random_read(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    return fill(uio, random_piece);
}
static u32 random_poll(struct file *file, struct pollwait *pw) {
    return POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM;
}
#define RNDGETENTCNT 0x80045200u
static i64 random_ioctl(struct task *task, struct file *file, u32 cmd, u64 arg) {
    return cmd == RNDGETENTCNT ? put_user(task, UPTR(arg), (i32)256) : -ENOTTY;
}

// What is written to the console and to /dev/kmsg goes into the machine's log, line by line.
static i64 log_write(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    char line[512];
    i64 done = 0;
    while (uio->left) {
        i64 n = uio_ready(uio, min(uio->left, (u64)sizeof line));
        if (n > 0)
            n = uio_get(uio, line, (u64)n);
        if (n <= 0)
            return done ? done : n;
        for (char *at = line, *end = line + n; at < end;) {
            char *stop = memchr(at, '\n', (size_t)(end - at));
            u32 len = (u32)((stop ? stop : end) - at);
            if (len)
                klog(LOG_INFO, "%.*s", (int)len, at);
            at += len + 1;
        }
        done += n;
    }
    return done;
}

static const struct file_ops null_ops = {.read = null_read, .write = null_write, .seek = null_seek, .release = none_release};
static const struct file_ops zero_ops = {.read = zero_read, .write = null_write, .seek = null_seek, .mmap = zero_mmap, .release = none_release};
static const struct file_ops full_ops = {.read = zero_read, .write = full_write, .seek = null_seek, .release = none_release};
static const struct file_ops random_ops = {.read = random_read, .write = null_write, .poll = random_poll, .ioctl = random_ioctl, .seek = null_seek, .release = none_release};
static const struct file_ops log_ops = {.read = null_read, .write = log_write, .release = none_release};

static const struct device {
    u32 rdev;
    u32 mode;
    const char *name;
    const struct file_ops *ops;
    i64 (*open)(struct task *task, struct inode *inode, struct file *file); // in place of ops
} devices[] = {
    {DEV(1, 3), 0666, "null", &null_ops, NULL},
    {DEV(1, 5), 0666, "zero", &zero_ops, NULL},
    {DEV(1, 7), 0666, "full", &full_ops, NULL},
    {DEV(1, 8), 0666, "random", &random_ops, NULL},
    {DEV(1, 9), 0666, "urandom", &random_ops, NULL},
    {DEV(1, 11), 0644, "kmsg", &log_ops, NULL},
    {DEV(5, 0), 0666, "tty", NULL, tty_open_controlling},
    {DEV(5, 1), 0600, "console", &log_ops, NULL},
    {DEV(5, 2), 0666, "ptmx", NULL, ptmx_open},
};
static const struct {
    const char *name, *target;
} links[] = {
    {"fd", "/proc/self/fd"},
    {"stdin", "/proc/self/fd/0"},
    {"stdout", "/proc/self/fd/1"},
    {"stderr", "/proc/self/fd/2"},
};
static const struct {
    const char *name;
    u32 mode;
} directories[] = {{"pts", 0755}, {"shm", 01777}};

i64 device_open(struct task *task, struct inode *inode, struct file *file) {
    if (!S_ISCHR(inode->mode))
        return -ENXIO; // no block devices
    if (pty_is_slave(inode->rdev))
        return pty_slave_open(task, inode, file);
    for (u32 i = 0; i < lengthof(devices); i++) {
        if (devices[i].rdev != inode->rdev)
            continue;
        if (devices[i].open)
            return devices[i].open(task, inode, file);
        file->ops = devices[i].ops;
        return 0;
    }
    return -ENXIO;
}

i64 devtmpfs_mount(struct filesystem *fs, const char *data) {
    i64 error = tmpfs_mount(fs, "mode=755");
    for (u32 i = 0; i < lengthof(devices) && !error; i++)
        error = tmpfs_add(fs->root, devices[i].name, S_IFCHR | devices[i].mode, devices[i].rdev, NULL);
    for (u32 i = 0; i < lengthof(links) && !error; i++)
        error = tmpfs_add_symlink(fs->root, links[i].name, links[i].target);
    for (u32 i = 0; i < lengthof(directories) && !error; i++)
        error = tmpfs_add(fs->root, directories[i].name, S_IFDIR | directories[i].mode, 0, NULL);
    return error;
}

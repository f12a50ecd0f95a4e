// Pseudo-terminals: a master, which a terminal emulator holds, and a slave with a line discipline
// on top. pty(7).
//
// Nothing is ever lost between the two. What is typed is taken in only while the line discipline
// accepts it, and a program's output waits while the master is behind.
#include "../kernel.h"
#include "../lib/fmt.h"
#include "../lib/heap.h"
#include "../task/signal.h"
#include "devfs.h"
#include "ioctl.h"
#include "pty.h"
#include "tty.h"

#define PTY_MAJOR 136u
static const struct file_ops master_ops, slave_ops;

u32 pty_rdev(u32 index) {
    return makedev(PTY_MAJOR, index);
}
bool pty_is_slave(u32 rdev) {
    return major_of(rdev) == PTY_MAJOR;
}

struct tty *file_tty(const struct file *file) {
    return file->ops == &master_ops || file->ops == &slave_ops ? file->data : NULL;
}

static i64 pty_make(u32 uid, struct tty **out) {
    struct devices *devices = devices_get();
    struct tty *tty = devices ? knew(struct tty) : NULL;
    if (!tty)
        return -ENOMEM;
    u32 index = 0;
    while (index < PTY_MAX && devices->ptys[index])
        index++;
    i64 error = index < PTY_MAX ? devpts_add(index, uid) : -ENOSPC;
    if (error) {
        kfree(tty);
        return error;
    }
    tty_init(tty);
    tty->refs = 1; // the master's
    tty->index = index;
    tty->master_open = true;
    tty->locked = true;
    devices->ptys[index] = tty;
    *out = tty;
    return 0;
}

i64 ptmx_open(struct task *task, struct inode *inode, struct file *file) {
    struct tty *tty;
    i64 error = pty_make(task->cred.fsuid, &tty);
    if (error)
        return error;
    file->ops = &master_ops;
    file->data = tty;
    return 0;
}

i64 pty_new(struct file **master, u32 *index) {
    struct tty *tty;
    i64 error = pty_make(0, &tty);
    if (error)
        return error;
    tty->locked = false;
    struct file *file = file_new(&master_ops, O_RDWR | O_NOCTTY, tty);
    if (!file) {
        devpts_remove(tty->index);
        kernel->devices->ptys[tty->index] = NULL;
        tty_put(tty);
        return -ENOMEM;
    }
    file->inode = devpts_find("ptmx");
    *index = tty->index;
    *master = file;
    return 0;
}

// ---- Slave -------------------------------------------------------------------------------------
static void slave_attach(struct task *task, struct tty *tty, struct file *file) {
    struct process *process = task->process;
    file->ops = &slave_ops;
    file->data = tty;
    file->pos = tty->hangups;
    tty_get(tty);
    tty->slaves++;
    tty->slave_seen = false;
    if (!(file->flags & O_NOCTTY) && (file->flags & O_ACCMODE) != O_WRONLY &&
        process->pid == process->sid && !process->tty && !tty->session && !process->is_agent)
        tty_acquire(process, tty);
}

i64 pty_slave_open(struct task *task, struct inode *inode, struct file *file) {
    u32 index = minor_of(inode->rdev);
    struct tty *tty = index < PTY_MAX && kernel->devices ? kernel->devices->ptys[index] : NULL;
    if (!tty || !tty->master_open)
        return -EIO;
    if (tty->locked)
        return -EIO;
    if (tty->exclusive && !(task->cred.cap_effective & 1ull << CAP_SYS_ADMIN))
        return -EBUSY;
    slave_attach(task, tty, file);
    return 0;
}

static struct inode *slave_inode(u32 index) {
    char name[12];
    ksnprintf(name, sizeof name, "%u", index);
    return devpts_find(name);
}

i64 pty_open_slave(struct task *task, u32 index, struct file **out) {
    struct inode *inode = slave_inode(index);
    if (!inode)
        return -EIO;
    inode->uid = task->cred.fsuid;
    i64 error = file_open_inode(task, inode, O_RDWR | O_NOCTTY, out);
    inode_put(inode);
    return error;
}

i64 pty_set_controlling(struct task *leader, struct file *slave) {
    struct process *process = leader->process;
    struct tty *tty = file_tty(slave);
    if (!tty || process->pid != process->sid || process->tty || tty->session)
        return -EPERM;
    tty_acquire(process, tty);
    return 0;
}

static i64 resize(struct tty *tty, const struct winsize *size) {
    if (memcmp(size, &tty->size, sizeof *size)) {
        tty->size = *size;
        tty_signal(tty, SIGWINCH);
    }
    return 0;
}

i64 pty_resize(struct file *end, u32 rows, u32 cols) {
    struct tty *tty = file_tty(end);
    return tty ? resize(tty, &(struct winsize){(u16)rows, (u16)cols, 0, 0}) : -ENOTTY;
}

i64 tty_open_controlling(struct task *task, struct inode *inode, struct file *file) {
    struct tty *tty = task->process->tty;
    if (!tty)
        return -ENXIO;
    file->flags |= O_NOCTTY;
    slave_attach(task, tty, file);
    return 0;
}

static bool is_hung_up(const struct file *file, const struct tty *tty) {
    return (u32)file->pos != tty->hangups;
}

static i64 slave_read(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    struct tty *tty = file->data;
    if (is_hung_up(file, tty))
        return 0;
    i64 error = tty_check_read(task, tty);
    return error ? error : tty_read(task, file, tty, uio);
}

static i64 slave_write(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    struct tty *tty = file->data;
    if (is_hung_up(file, tty))
        return -EIO;
    i64 error = tty->termios.t.lflag & TOSTOP ? tty_check_change(task, tty) : 0;
    return error ? error : tty_write(task, file, tty, uio);
}

static u32 slave_poll(struct file *file, struct pollwait *pw) {
    struct tty *tty = file->data;
    if (is_hung_up(file, tty))
        return POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDNORM | POLLWRNORM;
    poll_on(pw, &tty->slave_read, POLLIN | POLLRDNORM | POLLHUP);
    poll_on(pw, &tty->slave_write, POLLOUT | POLLWRNORM);
    u32 events = tty->master_open ? 0 : POLLHUP;
    if (tty_input_ready(tty, true))
        events |= POLLIN | POLLRDNORM;
    if (tty_writable(tty))
        events |= POLLOUT | POLLWRNORM;
    return events;
}

static void slave_release(struct file *file) {
    struct tty *tty = file->data;
    if (--tty->slaves == 0) {
        tty->slave_seen = true;
        tty->exclusive = false;
        wake_all(&tty->master_read);
        wake_all(&tty->master_write);
    }
    tty_put(tty);
}

// ---- Master ------------------------------------------------------------------------------------
static i64 master_read(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    struct tty *tty = file->data;
    if (!uio->left)
        return 0;
    if (tty->packet && tty->packet_status) {
        i64 n = uio_ready(uio, 1);
        if (n <= 0)
            return n;
        n = uio_put(uio, &tty->packet_status, 1);
        tty->packet_status = 0;
        return n;
    }
    if (!tty->out.len) {
        if (tty->slave_seen)
            return -EIO;
        if (file->flags & O_NONBLOCK)
            return -EAGAIN;
        return wait_on(task, &tty->master_read, STATUS_TTY_WAIT);
    }
    i64 n = uio_ready(uio, min(uio->left, (u64)tty->out.len + tty->packet));
    if (n <= 0)
        return n;
    if (tty->packet) {
        i64 r = uio_put(uio, &(u8){0}, 1);
        if (r < 0 || n == 1)
            return r;
    }
    bool was_behind = tty->out.len > TTY_OUT_MAX / 2;
    i64 taken = ring_get_uio(&tty->out, uio, (u32)(n - tty->packet));
    if (was_behind && tty->out.len <= TTY_OUT_MAX / 2) {
        wake_events(&tty->slave_write, POLLOUT | POLLWRNORM);
        wake_events(&tty->master_write, POLLOUT | POLLWRNORM);
    }
    return taken < 0 ? taken : taken + tty->packet;
}

static i64 master_write(struct task *task, struct file *file, struct uio *uio, u64 *pos) {
    struct tty *tty = file->data;
    i64 done = 0;
    if (!uio->left)
        return 0;
    if (tty->slave_seen)
        return -EIO;
    while (uio->left && tty_accepts(tty)) {
        i64 n = uio_ready(uio, uio->left);
        if (n <= 0)
            return done ? done : n;
        for (; n && tty_accepts(tty); n--, done++) {
            u8 c;
            i64 got = uio_get(uio, &c, 1);
            if (got < 0)
                return done ? done : got;
            tty_receive(tty, c);
        }
    }
    pass_cost((u64)done / 4);
    if (done)
        return done; // the caller comes again for the rest
    if (file->flags & O_NONBLOCK)
        return -EAGAIN;
    return wait_on(task, &tty->master_write, STATUS_TTY_WAIT);
}

static u32 master_poll(struct file *file, struct pollwait *pw) {
    struct tty *tty = file->data;
    poll_on(pw, &tty->master_read, POLLIN | POLLRDNORM | POLLHUP | POLLPRI);
    poll_on(pw, &tty->master_write, POLLOUT | POLLWRNORM);
    u32 events = tty->slave_seen ? POLLHUP : 0;
    if (tty->out.len)
        events |= POLLIN | POLLRDNORM;
    if (tty->packet && tty->packet_status)
        events |= POLLPRI | POLLIN | POLLRDNORM;
    if (tty_accepts(tty) && !tty->slave_seen)
        events |= POLLOUT | POLLWRNORM;
    return events;
}

static void master_release(struct file *file) {
    struct tty *tty = file->data;
    tty->master_open = false;
    devpts_remove(tty->index);
    kernel->devices->ptys[tty->index] = NULL;
    tty_hangup(tty);
    tty_put(tty);
}

// ---- ioctl -------------------------------------------------------------------------------------
static i64 termios_set(struct task *task, struct tty *tty, u32 cmd, u64 arg) {
    bool two = cmd == TCSETS2 || cmd == TCSETSW2 || cmd == TCSETSF2;
    struct termios2 new = tty->termios;
    i64 error = two ? get_user(task, new, UPTR(arg)) : get_user(task, new.t, UPTR(arg));
    if (!error)
        error = tty_check_change(task, tty);
    if (error)
        return error;
    if (cmd == TCSETSF || cmd == TCSETSF2)
        tty_flush_input(tty);
    tty_set_termios(tty, &new);
    return 0;
}

static i64 flow(struct task *task, struct tty *tty, u64 arg) {
    i64 error = tty_check_change(task, tty);
    if (error)
        return error;
    switch (arg) {
    case TCOOFF:
        tty_stop(tty);
        return 0;
    case TCOON:
        tty_start(tty);
        return 0;
    case TCIOFF:
    case TCION: {
        u8 c = tty->termios.t.cc[arg == TCIOFF ? VSTOP : VSTART];
        if (c && ring_reserve(&tty->out, 1) == 0) {
            ring_put_byte(&tty->out, c);
            wake_events(&tty->master_read, POLLIN | POLLRDNORM);
        }
        return 0;
    }
    }
    return -EINVAL;
}

static i64 flush(struct task *task, struct tty *tty, bool master, u64 arg) {
    i64 error = master ? 0 : tty_check_change(task, tty);
    if (error)
        return error;
    if (arg > TCIOFLUSH)
        return -EINVAL;
    bool input = arg != TCOFLUSH, output = arg != TCIFLUSH;
    if (master ? output : input)
        tty_flush_input(tty);
    if (master ? input : output)
        tty_flush_output(tty);
    return 0;
}

// What both ends answer alike.
static i64 pty_ioctl(struct task *task, struct file *file, struct tty *tty, bool master, u32 cmd,
                     u64 arg) {
    uptr p = UPTR(arg);
    i64 error;
    switch (cmd) {
    case TCGETS:
        return put_user(task, p, tty->termios.t);
    case TCGETS2:
        return put_user(task, p, tty->termios);
    case TCSETS:
    case TCSETSW: // output has reached the master's queue when write(2) returned: nothing to wait
                  // for
    case TCSETSF:
    case TCSETS2:
    case TCSETSW2:
    case TCSETSF2:
        return termios_set(task, tty, cmd, arg);
    case TIOCGWINSZ:
        return put_user(task, p, tty->size);
    case TIOCSWINSZ: {
        struct winsize size;
        error = get_user(task, size, p);
        return error ? error : resize(tty, &size);
    }
    case TCSBRK:
    case TCSBRKP:
        return tty_check_change(task, tty);
    case TCXONC:
        return flow(task, tty, arg);
    case TCFLSH:
        return flush(task, tty, master, arg);
    case FIONREAD:
        return put_user(task, p, (i32)(master ? tty->out.len : tty_input_count(tty)));
    case TIOCOUTQ:
        return put_user(task, p, (i32)0);
    case TIOCGETD:
        return put_user(task, p, (i32)0); // N_TTY
    case TIOCGDEV:
        return put_user(task, p, pty_rdev(tty->index));
    case TIOCEXCL:
    case TIOCNXCL:
        tty->exclusive = cmd == TIOCEXCL;
        return 0;
    case TIOCGEXCL:
        return put_user(task, p, (i32)tty->exclusive);
    case TIOCSTI: // faked input: refused, as Linux does by default
        return -EIO;
    }
    return tty_job_ioctl(task, file, tty, master, cmd, arg);
}

static i64 slave_ioctl(struct task *task, struct file *file, u32 cmd, u64 arg) {
    struct tty *tty = file->data;
    if (is_hung_up(file, tty))
        return cmd == TIOCSPGRP ? -ENOTTY : -EIO;
    return pty_ioctl(task, file, tty, false, cmd, arg);
}

static i64 master_ioctl(struct task *task, struct file *file, u32 cmd, u64 arg) {
    struct tty *tty = file->data;
    uptr p = UPTR(arg);
    i32 value = 0;
    i64 error = cmd == TIOCSPTLCK || cmd == TIOCPKT ? get_user(task, value, p) : 0;
    if (error)
        return error;
    switch (cmd) {
    case TIOCGPTN:
        return put_user(task, p, tty->index);
    case TIOCSPTLCK:
        tty->locked = value;
        return 0;
    case TIOCGPTLCK:
        return put_user(task, p, (i32)tty->locked);
    case TIOCPKT:
        if (value && !tty->packet)
            tty->packet_status = 0;
        tty->packet = value;
        return 0;
    case TIOCGPKT:
        return put_user(task, p, (i32)tty->packet);
    case TIOCGPTPEER: {
        struct file *slave;
        struct inode *inode = slave_inode(tty->index);
        if (!inode)
            return -EIO;
        error = file_open_inode(task, inode, (u32)arg, &slave);
        inode_put(inode);
        return error ? error : fd_install(task, slave, 0, arg & O_CLOEXEC);
    }
    }
    return pty_ioctl(task, file, tty, true, cmd, arg);
}

static const struct file_ops slave_ops = {
    .read = slave_read,
    .write = slave_write,
    .poll = slave_poll,
    .ioctl = slave_ioctl,
    .release = slave_release,
};
static const struct file_ops master_ops = {
    .read = master_read,
    .write = master_write,
    .poll = master_poll,
    .ioctl = master_ioctl,
    .release = master_release,
};

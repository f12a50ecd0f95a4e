// Job control: whose terminal it is, who may use it now, and what happens when it goes. termios(3),
// setpgid(2), credentials(7).
//
// A session holds one reference to its terminal; the `tty` pointers of its processes are valid
// while tty->session is theirs.
#include "../kernel.h"
#include "../lib/heap.h"
#include "../task/signal.h"
#include "tty.h"

void tty_get(struct tty *tty) {
    tty->refs++;
}

void tty_put(struct tty *tty) {
    assert(tty->refs);
    if (--tty->refs)
        return;
    ring_free(&tty->out);
    kfree(tty);
}

void tty_signal(struct tty *tty, u32 signo) {
    if (tty->pgrp)
        signal_kernel_group(tty->pgrp, signo);
}

// Nobody outside the group but in its session would continue it.
static bool group_orphaned(u32 pgid, u32 sid) {
    struct process *process;
    list_each(process, &kernel->processes, all) {
        if (process->pgid != pgid || process->exiting || !process->parent)
            continue;
        if (process->parent->pgid != pgid && process->parent->sid == sid)
            return false;
    }
    return true;
}

static bool in_background(struct task *task, struct tty *tty) {
    struct process *process = task->process;
    return process->tty == tty && tty->pgrp && process->pgid != tty->pgrp;
}

static bool muted(struct task *task, u32 signo) {
    return task->blocked & SIGBIT(signo) || signal_ignored(task, signo);
}

// Stops the caller's group; the call is entered again after the signal was dealt with.
static i64 stop_group(struct task *task, struct tty *tty, u32 signo) {
    struct process *process = task->process;
    if (group_orphaned(process->pgid, process->sid))
        return -EIO;
    signal_kernel_group(process->pgid, signo);
    return wait_on(task, &tty->slave_read,
                   STATUS_TTY_WAIT); // the signal is pending: it comes first
}

i64 tty_check_read(struct task *task, struct tty *tty) {
    if (!in_background(task, tty))
        return 0;
    return muted(task, SIGTTIN) ? -EIO : stop_group(task, tty, SIGTTIN);
}

i64 tty_check_change(struct task *task, struct tty *tty) {
    if (!in_background(task, tty) || muted(task, SIGTTOU))
        return 0;
    return stop_group(task, tty, SIGTTOU);
}

// ---- Taking and giving up a terminal -----------------------------------------------------------
void tty_acquire(struct process *process, struct tty *tty) {
    tty_get(tty);
    tty->session = process->sid;
    tty->pgrp = process->pgid;
    process->tty = tty;
}

// The session has no terminal any more.
static void session_release(struct tty *tty) {
    struct process *process;
    u32 sid = tty->session;
    if (!sid)
        return;
    tty->session = tty->pgrp = 0;
    list_each(process, &kernel->processes, all)
        if (process->sid == sid && process->tty == tty)
            process->tty = NULL;
    tty_put(tty);
}

// Every open slave file becomes dead; the session loses its terminal and its leader hears of it.
void tty_hangup(struct tty *tty) {
    struct process *leader = tty->session ? process_find(tty->session) : NULL;
    tty_get(tty);
    tty->hangups++;
    if (leader) {
        signal_kernel(leader, SIGHUP);
        signal_kernel(leader, SIGCONT);
    }
    tty_flush_input(tty);
    tty_start(tty);
    session_release(tty);
    wake_all(&tty->slave_read);
    wake_all(&tty->slave_write);
    tty_put(tty);
}

void tty_session_exit(struct process *process) {
    struct tty *tty = process->tty;
    process->tty = NULL;
    if (!tty || tty->session != process->pid)
        return;
    u32 pgrp = tty->pgrp;
    session_release(tty);
    if (pgrp)
        signal_kernel_group(pgrp, SIGHUP);
}

static i64 give_up(struct task *task, struct tty *tty) {
    struct process *process = task->process;
    if (process->tty != tty)
        return -ENOTTY;
    if (process->pid == process->sid) {
        u32 pgrp = tty->pgrp;
        session_release(tty);
        if (pgrp) {
            signal_kernel_group(pgrp, SIGHUP);
            signal_kernel_group(pgrp, SIGCONT);
        }
    }
    process->tty = NULL;
    return 0;
}

static i64 take_over(struct task *task, struct file *file, struct tty *tty, bool steal) {
    struct process *process = task->process;
    bool admin = task->cred.cap_effective & 1ull << CAP_SYS_ADMIN;
    if (process->pid == process->sid && tty->session == process->sid)
        return 0;
    if (process->pid != process->sid || process->tty)
        return -EPERM;
    if (tty->session) {
        if (!steal || !admin)
            return -EPERM;
        session_release(tty);
    }
    if ((file->flags & O_ACCMODE) == O_WRONLY && !admin)
        return -EPERM;
    tty_acquire(process, tty);
    return 0;
}

static i64 set_foreground(struct task *task, struct tty *tty, uptr arg) {
    struct process *self = task->process, *process;
    i32 pgid;
    i64 error = get_user(task, pgid, arg);
    if (!error)
        error = tty_check_change(task, tty);
    if (error)
        return error == -EIO ? -ENOTTY : error;
    if (self->tty != tty || tty->session != self->sid)
        return -ENOTTY;
    if (pgid < 0)
        return -EINVAL;
    bool found = false;
    list_each(process, &kernel->processes, all) {
        if (process->pgid != (u32)pgid)
            continue;
        if (process->sid != self->sid)
            return -EPERM;
        found = true;
    }
    if (!found)
        return -ESRCH;
    tty->pgrp = (u32)pgid;
    return 0;
}

i64 tty_job_ioctl(struct task *task, struct file *file, struct tty *tty, bool master, u32 cmd,
                  u64 arg) {
    bool ours = task->process->tty == tty;
    switch (cmd) {
    case TIOCSCTTY:
        return take_over(task, file, tty, arg == 1);
    case TIOCNOTTY:
        return give_up(task, tty);
    case TIOCGPGRP:
        return ours || master ? put_user(task, UPTR(arg), (i32)tty->pgrp) : -ENOTTY;
    case TIOCSPGRP:
        return set_foreground(task, tty, UPTR(arg));
    case TIOCGSID:
        return (ours || master) && tty->session ? put_user(task, UPTR(arg), (i32)tty->session)
                                                : -ENOTTY;
    }
    return -ENOTTY;
}

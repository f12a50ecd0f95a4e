// Terminals: the line discipline (tty.c), job control (ttyjobs.c) and pseudo-terminals (pty.c).
#pragma once
#include "inode.h"
#include "ring.h"
#include "termios.h"

#define TTY_LINE 4096u    // bytes of input that a reader has not taken
#define TTY_OUT_MAX 65536u // bytes of output that the master has not taken; then writers wait

struct tty {
    u32 refs; // master + slave files + session
    u32 index;
    struct termios2 termios;
    struct winsize size;
    // Job control.
    u32 session, pgrp; // 0: nobody's controlling terminal
    u32 hangups;       // slave files opened before the last hangup are dead (file->pos remembers)
    // Input: a circle with running positions; tail <= line <= head <= tail + TTY_LINE.
    u8 in[TTY_LINE];
    u32 marks[TTY_LINE / 32]; // this byte ends a line
    u32 tail, line, head;     // next to read; end of the last complete line; next free
    bool literal;             // LNEXT was typed
    bool erasing;             // between \ and / of ECHOPRT
    // Output to the master.
    struct ring out;
    u32 column, line_column; // of the cursor; where the line being typed began
    bool stopped;            // by STOP or TCOOFF
    // The two ends.
    u32 slaves;         // open slave files
    bool slave_seen;    // a slave was opened and the last one closed: the master reads EIO
    bool master_open, locked, exclusive;
    bool packet;        // TIOCPKT
    u8 packet_status;   // TIOCPKT_* to be told
    struct waitq slave_read, slave_write, master_read, master_write;
};

// ---- tty.c: line discipline ----
void tty_init(struct tty *tty);
// One byte typed. The caller has asked tty_accepts.
void tty_receive(struct tty *tty, u8 c);
bool tty_accepts(const struct tty *tty); // a further byte can be taken in without loss
void tty_output(struct tty *tty, u8 c);  // with output processing
i64 tty_read(struct task *task, struct file *file, struct tty *tty, struct uio *uio);
i64 tty_write(struct task *task, struct file *file, struct tty *tty, struct uio *uio);
u32 tty_input_ready(const struct tty *tty, bool for_poll); // bytes that a read would get, or a line end is there
void tty_set_termios(struct tty *tty, const struct termios2 *new);
void tty_flush_input(struct tty *tty);
void tty_flush_output(struct tty *tty);
void tty_stop(struct tty *tty);
void tty_start(struct tty *tty);
u32 tty_input_count(const struct tty *tty); // TIOCINQ
bool tty_writable(const struct tty *tty);

// ---- ttyjobs.c: sessions, foreground, hangup ----
// 0 to go on; E_WAIT after a stop signal was sent; -EIO.
must_check i64 tty_check_read(struct task *task, struct tty *tty);
must_check i64 tty_check_change(struct task *task, struct tty *tty);
must_check i64 tty_job_ioctl(struct task *task, struct file *file, struct tty *tty, bool master, u32 cmd, u64 arg); // -ENOTTY: not one of them
void tty_acquire(struct process *process, struct tty *tty); // becomes the controlling terminal of the session
void tty_hangup(struct tty *tty); // the master is gone
void tty_session_exit(struct process *process); // a process ends: a leader takes the terminal away from the session
void tty_signal(struct tty *tty, u32 signo); // to the foreground group
void tty_get(struct tty *tty);
void tty_put(struct tty *tty);

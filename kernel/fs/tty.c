// The line discipline: what happens between keys and a program's read, and between its write and
// the screen. termios(3).
//
// Input is a circle with running positions: [tail, line) are complete lines (in canonical mode),
// [line, head) is the line being typed, which alone can be edited. A byte in `marks` ends its line;
// a marked NUL is an end of file and is not read. Echo goes the way of output, straight to the
// master's queue.
#include "tty.h"
#include "../kernel.h"
#include "../lib/heap.h"

#define DISABLED 0        // _POSIX_VDISABLE: a control character that is never met
#define ECHO_SLACK 65536u // above TTY_OUT_MAX: room for echoes while writers wait

static const u8 cc_default[NCCS] = {
    [VINTR] = 3,     [VQUIT] = 28,   [VERASE] = 127, [VKILL] = 21, [VEOF] = 4,
    [VMIN] = 1,      [VSTART] = 17,  [VSTOP] = 19,   [VSUSP] = 26, [VREPRINT] = 18,
    [VDISCARD] = 15, [VWERASE] = 23, [VLNEXT] = 22,
};

void tty_init(struct tty *tty) {
    tty->termios.t = (struct termios){
        .iflag = ICRNL | IXON,
        .oflag = OPOST | ONLCR,
        .cflag = B38400 | CS8 | CREAD,
        .lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    };
    memcpy(tty->termios.t.cc, cc_default, sizeof cc_default);
    tty->termios.ispeed = tty->termios.ospeed = 38400;
    waitq_init(&tty->slave_read);
    waitq_init(&tty->slave_write);
    waitq_init(&tty->master_read);
    waitq_init(&tty->master_write);
}

static bool iflag(const struct tty *tty, u32 bit) {
    return tty->termios.t.iflag & bit;
}
static bool oflag(const struct tty *tty, u32 bit) {
    return tty->termios.t.oflag & bit;
}
static bool lflag(const struct tty *tty, u32 bit) {
    return tty->termios.t.lflag & bit;
}
static bool is_cc(const struct tty *tty, u32 which, u8 c) {
    return c != DISABLED && tty->termios.t.cc[which] == c;
}
static bool is_control(u8 c) {
    return c < 32 || c == 127;
}
static bool is_continuation(const struct tty *tty, u8 c) { // a later byte of a UTF-8 character
    return iflag(tty, IUTF8) && (c & 0xc0) == 0x80;
}
static bool is_word(u8 c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c >= 0x80;
}

static void packet_status(struct tty *tty, u8 set, u8 clear) {
    if (!tty->packet)
        return;
    tty->packet_status = (u8)((tty->packet_status & ~clear) | set);
    wake_events(&tty->master_read, POLLPRI | POLLIN | POLLRDNORM);
}

// ---- Output ------------------------------------------------------------------------------------
static void put_raw(struct tty *tty, u8 c) {
    if (ring_reserve(&tty->out, 1) == 0) // out of memory: the screen loses a byte, nothing else
        ring_put_byte(&tty->out, c);
}

void tty_output(struct tty *tty, u8 c) {
    if (!oflag(tty, OPOST)) {
        put_raw(tty, c);
        return;
    }
    switch (c) {
    case '\n':
        if (oflag(tty, ONLRET))
            tty->column = 0;
        if (oflag(tty, ONLCR)) {
            tty->column = tty->line_column = 0;
            put_raw(tty, '\r');
        } else {
            tty->line_column = tty->column;
        }
        break;
    case '\r':
        if (oflag(tty, ONOCR) && !tty->column)
            return;
        if (oflag(tty, OCRNL)) {
            c = '\n';
            if (oflag(tty, ONLRET))
                tty->column = tty->line_column = 0;
        } else {
            tty->column = tty->line_column = 0;
        }
        break;
    case '\t': {
        u32 spaces = 8 - (tty->column & 7);
        tty->column += spaces;
        if ((tty->termios.t.oflag & TABDLY) == XTABS) {
            while (spaces--)
                put_raw(tty, ' ');
            return;
        }
        break;
    }
    case '\b':
        tty->column -= tty->column > 0;
        break;
    default:
        if (is_control(c))
            break;
        if (oflag(tty, OLCUC) && c >= 'a' && c <= 'z')
            c -= 32;
        tty->column += !is_continuation(tty, c);
    }
    put_raw(tty, c);
}

static void output_wake(struct tty *tty) {
    if (tty->out.len)
        wake_events(&tty->master_read, POLLIN | POLLRDNORM);
}

bool tty_writable(const struct tty *tty) {
    return !tty->stopped && tty->out.len < TTY_OUT_MAX;
}

i64 tty_write(struct task *task, struct file *file, struct tty *tty, struct uio *uio) {
    u8 chunk[1024];
    i64 done = 0;
    if (!uio->left)
        return 0;
    while (uio->left && tty_writable(tty)) {
        i64 n = uio_ready(
            uio, min((u64)sizeof chunk, min(uio->left, (u64)(TTY_OUT_MAX - tty->out.len))));
        if (n > 0)
            n = uio_get(uio, chunk, (u64)n);
        if (n <= 0) {
            output_wake(tty);
            return done ? done : n;
        }
        for (i64 i = 0; i < n; i++)
            tty_output(tty, chunk[i]);
        done += n;
        pass_cost((u64)n / 16);
    }
    output_wake(tty);
    if (done)
        return done; // the caller comes again for the rest
    if (file->flags & O_NONBLOCK)
        return -EAGAIN;
    return wait_on(task, &tty->slave_write, STATUS_TTY_WAIT);
}

void tty_stop(struct tty *tty) {
    if (tty->stopped)
        return;
    tty->stopped = true;
    packet_status(tty, TIOCPKT_STOP, TIOCPKT_START);
}

void tty_start(struct tty *tty) {
    if (!tty->stopped)
        return;
    tty->stopped = false;
    packet_status(tty, TIOCPKT_START, TIOCPKT_STOP);
    wake_events(&tty->slave_write, POLLOUT | POLLWRNORM);
}

// What the master would get next is likely on its way already: as much as its reader's buffer
// stays.
void tty_flush_output(struct tty *tty) {
    if (tty->out.len > TTY_LINE)
        tty->out.len = TTY_LINE;
    packet_status(tty, TIOCPKT_FLUSHWRITE, 0);
    wake_events(&tty->slave_write, POLLOUT | POLLWRNORM);
}

// ---- Input -------------------------------------------------------------------------------------
static u8 in_at(const struct tty *tty, u32 at) {
    return tty->in[at % TTY_LINE];
}
static bool marked(const struct tty *tty, u32 at) {
    at %= TTY_LINE;
    return tty->marks[at / 32] >> at % 32 & 1;
}
static void mark(struct tty *tty, u32 at, bool on) {
    at %= TTY_LINE;
    tty->marks[at / 32] = (tty->marks[at / 32] & ~(1u << at % 32)) | (u32)on << at % 32;
}
static bool in_full(const struct tty *tty) { // but for the end of a line, which always has room
    return tty->head - tty->tail >= TTY_LINE - 1;
}

void tty_flush_input(struct tty *tty) {
    tty->tail = tty->line = tty->head = 0;
    tty->literal = tty->erasing = false;
    memset(tty->marks, 0, sizeof tty->marks);
    packet_status(tty, TIOCPKT_FLUSHREAD, 0);
    wake_events(&tty->master_write, POLLOUT | POLLWRNORM);
}

bool tty_accepts(const struct tty *tty) {
    if (tty->out.len >= TTY_OUT_MAX + ECHO_SLACK)
        return false;
    // A full circle without a complete line must take editing and line ends, else nobody could ever
    // go on.
    return !in_full(tty) || (lflag(tty, ICANON) && tty->line == tty->tail);
}

u32 tty_input_ready(const struct tty *tty, bool for_poll) {
    if (lflag(tty, ICANON))
        return tty->line != tty->tail;
    u32 count = tty->head - tty->tail;
    u32 want = for_poll && !tty->termios.t.cc[VTIME] && tty->termios.t.cc[VMIN]
                   ? tty->termios.t.cc[VMIN]
                   : 1;
    return count >= want ? count : 0;
}

u32 tty_input_count(const struct tty *tty) {
    if (!lflag(tty, ICANON))
        return tty->head - tty->tail;
    u32 count = 0;
    for (u32 at = tty->tail; at != tty->line; at++)
        count += !(marked(tty, at) && in_at(tty, at) == DISABLED);
    return count;
}

static void input_wake(struct tty *tty) {
    wake_events(&tty->slave_read, POLLIN | POLLRDNORM);
}

static void in_put(struct tty *tty, u8 c) {
    if (in_full(tty)) {
        if (iflag(tty, IMAXBEL))
            put_raw(tty, '\a');
        return;
    }
    mark(tty, tty->head, false);
    tty->in[tty->head++ % TTY_LINE] = c;
}

static void line_end(struct tty *tty, u8 c) {
    if (tty->head - tty->tail == TTY_LINE) // of the lines before: this end displaces the last byte
        tty->head--;
    tty->in[tty->head % TTY_LINE] = c;
    mark(tty, tty->head++, true);
    tty->line = tty->head;
    input_wake(tty);
}

// ---- Echo --------------------------------------------------------------------------------------
static void echo_text(struct tty *tty, const char *text) {
    while (*text)
        tty_output(tty, (u8)*text++);
}

static void echo(struct tty *tty, u8 c) {
    if (lflag(tty, ECHOCTL) && is_control(c) && c != '\t' && c != '\n') {
        tty_output(tty, '^');
        tty_output(tty, c ^ 0100);
    } else {
        tty_output(tty, c);
    }
}

static void erasing_end(struct tty *tty) {
    if (tty->erasing)
        tty_output(tty, '/');
    tty->erasing = false;
}

static void erase_tab(struct tty *tty) {
    u32 width = 0;
    bool after_tab = false;
    for (u32 at = tty->head; at != tty->line;) {
        u8 c = in_at(tty, --at);
        if (c == '\t') {
            after_tab = true;
            break;
        }
        if (is_control(c))
            width += lflag(tty, ECHOCTL) ? 2 : 0;
        else
            width += !is_continuation(tty, c);
    }
    if (!after_tab)
        width += tty->line_column;
    for (u32 n = 8 - (width & 7); n; n--)
        tty_output(tty, '\b');
}

// ERASE, WERASE and KILL take characters off the end of the line being typed.
static void erase(struct tty *tty, u8 typed) {
    bool one = is_cc(tty, VERASE, typed), word = !one && is_cc(tty, VWERASE, typed),
         seen_word = false;
    if (tty->head == tty->line)
        return;
    if (!one && !word) {
        if (!lflag(tty, ECHO)) {
            tty->head = tty->line;
            return;
        }
        if (!lflag(tty, ECHOK) || !lflag(tty, ECHOKE) || !lflag(tty, ECHOE)) {
            tty->head = tty->line;
            erasing_end(tty);
            echo(tty, typed);
            if (lflag(tty, ECHOK))
                tty_output(tty, '\n');
            return;
        }
    }
    while (tty->head != tty->line) {
        u32 at = tty->head;
        u8 c;
        do {
            c = in_at(tty, --at);
        } while (is_continuation(tty, c) && at != tty->line);
        if (is_continuation(tty, c))
            break; // not a whole character
        if (word) {
            if (is_word(c))
                seen_word = true;
            else if (seen_word)
                break;
        }
        u32 end = tty->head;
        tty->head = at;
        if (lflag(tty, ECHO)) {
            if (lflag(tty, ECHOPRT)) {
                if (!tty->erasing)
                    tty_output(tty, '\\');
                tty->erasing = true;
                for (; at != end; at++)
                    echo(tty, in_at(tty, at));
            } else if (one && !lflag(tty, ECHOE)) {
                echo(tty, typed);
            } else if (c == '\t') {
                erase_tab(tty);
            } else {
                if (is_control(c) && lflag(tty, ECHOCTL))
                    echo_text(tty, "\b \b");
                if (!is_control(c) || lflag(tty, ECHOCTL))
                    echo_text(tty, "\b \b");
            }
        }
        if (one)
            break;
    }
    if (tty->head == tty->line && lflag(tty, ECHO))
        erasing_end(tty);
}

static void reprint(struct tty *tty, u8 typed) {
    erasing_end(tty);
    echo(tty, typed);
    tty_output(tty, '\n');
    for (u32 at = tty->line; at != tty->head; at++)
        echo(tty, in_at(tty, at));
}

static void interrupt(struct tty *tty, u32 signo, u8 c) {
    if (!lflag(tty, NOFLSH)) {
        tty_flush_output(tty);
        tty_flush_input(tty);
    }
    if (iflag(tty, IXON))
        tty_start(tty);
    if (lflag(tty, ECHO))
        echo(tty, c);
    tty_signal(tty, signo);
}

// A byte that means itself.
static void ordinary(struct tty *tty, u8 c) {
    if (lflag(tty, ECHO)) {
        erasing_end(tty);
        if (tty->line == tty->head)
            tty->line_column = tty->column;
        if (!in_full(tty) || !lflag(tty, ICANON))
            echo(tty, c);
    }
    if (c == 0xff && iflag(tty, PARMRK))
        in_put(tty, c);
    in_put(tty, c);
    if (!lflag(tty, ICANON))
        input_wake(tty);
}

// Canonical mode's own characters. False: c is none of them.
static bool canonical(struct tty *tty, u8 c) {
    bool extended = lflag(tty, IEXTEN);
    if (is_cc(tty, VERASE, c) || is_cc(tty, VKILL, c) || (extended && is_cc(tty, VWERASE, c))) {
        erase(tty, c);
        return true;
    }
    if (extended && is_cc(tty, VLNEXT, c)) {
        tty->literal = true;
        if (lflag(tty, ECHO)) {
            erasing_end(tty);
            if (lflag(tty, ECHOCTL))
                echo_text(tty, "^\b");
        }
        return true;
    }
    if (extended && lflag(tty, ECHO) && is_cc(tty, VREPRINT, c)) {
        reprint(tty, c);
        return true;
    }
    if (c == '\n') {
        if (lflag(tty, ECHO) || lflag(tty, ECHONL))
            tty_output(tty, '\n');
        line_end(tty, c);
        return true;
    }
    if (is_cc(tty, VEOF, c)) {
        line_end(tty, DISABLED);
        return true;
    }
    if (is_cc(tty, VEOL, c) || (extended && is_cc(tty, VEOL2, c))) {
        if (lflag(tty, ECHO)) {
            if (tty->line == tty->head)
                tty->line_column = tty->column;
            echo(tty, c);
        }
        if (c == 0xff && iflag(tty, PARMRK))
            in_put(tty, c);
        line_end(tty, c);
        return true;
    }
    return false;
}

static void receive(struct tty *tty, u8 c) {
    if (iflag(tty, ISTRIP))
        c &= 0x7f;
    if (iflag(tty, IUCLC) && lflag(tty, IEXTEN) && c >= 'A' && c <= 'Z')
        c += 32;
    if (tty->literal) {
        tty->literal = false;
        ordinary(tty, c);
        return;
    }
    if (iflag(tty, IXON)) {
        if (is_cc(tty, VSTART, c)) {
            tty_start(tty);
            return;
        }
        if (is_cc(tty, VSTOP, c)) {
            tty_stop(tty);
            return;
        }
    }
    if (lflag(tty, ISIG)) {
        static const struct {
            u8 which, signo;
        } signals[] = {{VINTR, SIGINT}, {VQUIT, SIGQUIT}, {VSUSP, SIGTSTP}};
        for (u32 i = 0; i < lengthof(signals); i++)
            if (is_cc(tty, signals[i].which, c)) {
                interrupt(tty, signals[i].signo, c);
                return;
            }
    }
    if (tty->stopped && iflag(tty, IXON) && iflag(tty, IXANY))
        tty_start(tty);
    if (c == '\r') {
        if (iflag(tty, IGNCR))
            return;
        if (iflag(tty, ICRNL))
            c = '\n';
    } else if (c == '\n' && iflag(tty, INLCR)) {
        c = '\r';
    }
    if (!lflag(tty, ICANON) || !canonical(tty, c))
        ordinary(tty, c);
}

void tty_receive(struct tty *tty, u8 c) {
    u32 before = tty->out.len;
    receive(tty, c);
    if (tty->out.len != before)
        output_wake(tty);
}

// ---- Reading -----------------------------------------------------------------------------------
// Takes n bytes from the tail, 0 or -EFAULT; at most two pieces.
static i64 take(struct tty *tty, struct uio *uio, u32 n) {
    while (n) {
        u32 at = tty->tail % TTY_LINE, run = min(n, TTY_LINE - at);
        i64 done = uio_put(uio, tty->in + at, run);
        if (done < 0)
            return done;
        tty->tail += run;
        n -= run;
    }
    return 0;
}

static void in_taken(struct tty *tty) {
    wake_events(&tty->master_write, POLLOUT | POLLWRNORM);
}

static i64 read_line(struct tty *tty, struct uio *uio) {
    u32 n = 0, most = (u32)min(uio->left, (u64)(tty->line - tty->tail));
    bool end = false;
    while (n < most && !end)
        end = marked(tty, tty->tail + n++);
    bool end_of_file = end && in_at(tty, tty->tail + n - 1) == DISABLED;
    u32 bytes = n - end_of_file;
    i64 ready = bytes ? uio_ready(uio, bytes) : 0;
    if (ready < 0)
        return ready;
    if ((u32)ready < bytes)
        bytes = (u32)ready, end_of_file = false;
    i64 error = take(tty, uio, bytes);
    if (error)
        return error;
    // An end of file right behind a read that filled its buffer belongs to it.
    if (!end && bytes && tty->tail != tty->line && marked(tty, tty->tail) &&
        in_at(tty, tty->tail) == DISABLED)
        end_of_file = true;
    tty->tail += end_of_file;
    in_taken(tty);
    return bytes;
}

static i64 read_bytes(struct tty *tty, struct uio *uio) {
    i64 n = uio_ready(uio, min(uio->left, (u64)(tty->head - tty->tail)));
    if (n <= 0)
        return n;
    i64 error = take(tty, uio, (u32)n);
    tty->line = tty->tail;
    in_taken(tty);
    return error ? error : n;
}

// VMIN and VTIME. call->scratch[3] is 1 + the count seen when the interval between bytes began.
static i64 read_raw(struct task *task, struct file *file, struct tty *tty, struct uio *uio) {
    struct call *call = &task->call;
    u32 count = tty->head - tty->tail, least = tty->termios.t.cc[VMIN];
    u64 time_ns = tty->termios.t.cc[VTIME] * 100000000ull;
    u64 want = min((u64)max(least, 1u), min(uio->left, (u64)(TTY_LINE - 1)));
    if (count >= want || (call->timed_out && call->scratch[3]) || (!least && !time_ns)) {
        call->scratch[3] = 0;
        return count ? read_bytes(tty, uio) : 0;
    }
    if (file->flags & O_NONBLOCK)
        return count ? read_bytes(tty, uio) : -EAGAIN;
    bool timing = time_ns && (!least || count);
    if (timing && call->scratch[3] != count + 1) {
        call->scratch[3] = count + 1;
        wait_deadline(task, now_ns() + time_ns);
    }
    return wait_on(task, &tty->slave_read, STATUS_TTY_WAIT);
}

i64 tty_read(struct task *task, struct file *file, struct tty *tty, struct uio *uio) {
    if (!uio->left)
        return 0;
    if (!lflag(tty, ICANON))
        return tty->head == tty->tail && !tty->master_open ? -EIO : read_raw(task, file, tty, uio);
    if (tty->line != tty->tail)
        return read_line(tty, uio);
    if (!tty->master_open)
        return -EIO;
    if (file->flags & O_NONBLOCK)
        return -EAGAIN;
    return wait_on(task, &tty->slave_read, STATUS_TTY_WAIT);
}

// ---- Settings ----------------------------------------------------------------------------------
void tty_set_termios(struct tty *tty, const struct termios2 *new) {
    struct termios old = tty->termios.t;
    tty->termios = *new;
    if ((old.lflag ^ new->t.lflag) & ICANON) {
        memset(tty->marks, 0, sizeof tty->marks);
        tty->line = tty->tail;
        if (lflag(tty, ICANON) && tty->head != tty->tail) { // what was typed ahead becomes a line
            mark(tty, tty->head - 1, true);
            tty->line = tty->head;
        }
        tty->erasing = tty->literal = false;
        input_wake(tty);
        in_taken(tty);
    }
    if (old.iflag & IXON && !iflag(tty, IXON))
        tty_start(tty);
    bool was = old.iflag & IXON && old.cc[VSTOP] == 19 && old.cc[VSTART] == 17;
    bool is = iflag(tty, IXON) && tty->termios.t.cc[VSTOP] == 19 && tty->termios.t.cc[VSTART] == 17;
    if (was != is)
        packet_status(tty, is ? TIOCPKT_DOSTOP : TIOCPKT_NOSTOP,
                      is ? TIOCPKT_NOSTOP : TIOCPKT_DOSTOP);
}

// Injects what chaos.tbl allows, short transfers, jumps of time, and preemption at any instruction.
//
// Each kind draws from a generator of its own, so that turning one off leaves the others as they were. What the host
// asks for, and the dynamic loader's calls, are spared: nothing would be learned from them.
#include "chaos.h"
#include "fs/file.h"
#include "fs/pipe.h"
#include "kernel.h"
#include "net/sock.h"
#include "task/signal.h"

#define ERRORS 8
#define JUMP_BITS 42     // of CLOCK_REALTIME, in ns: up to an hour and a bit, either way
#define STALL_BITS 28    // of time itself, in ns: up to a quarter of a second
#define QUANTUM_BITS 20  // ticks of a short turn: up to a million

enum when { ANY, CREATES, REGULAR, STREAM };
struct risk {
    u16 nr;
    u8 when;
    u8 error[ERRORS];
};
enum {
#define SYS(nr, name, args, waits, support, file) NR_##name = nr,
#include "syscalls.tbl"
#undef SYS
};
static const struct risk risks[] = {
#define CHAOS(name, when, ...) {NR_##name, when, {__VA_ARGS__}},
#include "chaos.tbl"
#undef CHAOS
};

// ---- Chance ------------------------------------------------------------------------------------
// A counter, well stirred: splitmix64.
static u64 draw(u32 kind) {
    u64 x = kernel->chaos->state[kind] += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static u64 below(u32 kind, u64 n) {
    return (u64)((unsigned __int128)draw(kind) * n >> 64);
}

static bool chance(u32 kind) {
    u32 rate = kernel->chaos->rate[kind];
    return rate && (u32)draw(kind) <= rate - 1;
}

// From 1 up, every order of magnitude as likely as the others.
static u64 some(u32 kind, u32 bits) {
    return 1 + below(kind, 1ull << below(kind, bits + 1));
}

static void did(u32 kind, const struct task *task, u32 nr, i64 value) {
    kernel->chaos->done[kind]++;
    TAP(CHAOS, task, NULL, 0, kind, nr, value);
}

i64 chaos_set(const struct event_chaos *event) {
    struct chaos *chaos = kernel->chaos;
    u32 rates = 0;
    for (u32 kind = 0; kind < CHAOS_KINDS; kind++)
        rates |= event->rate[kind];
    if (!rates) {
        kfree(chaos);
        kernel->chaos = NULL;
        return 0;
    }
    if (!chaos && !(chaos = knew(struct chaos)))
        return -ENOMEM;
    *chaos = (struct chaos){.mul = kernel->clock.mul};
    kernel->chaos = chaos;
    for (u32 kind = 0; kind < CHAOS_KINDS; kind++) {
        chaos->rate[kind] = event->rate[kind];
        chaos->state[kind] = event->seed;
        chaos->state[kind] = draw(kind) + kind;
    }
    return 0;
}

// ---- Time --------------------------------------------------------------------------------------
u32 chaos_mul(u32 mul) {
    struct chaos *chaos = kernel->chaos;
    chaos->mul = mul;
    i64 drifted = mul + ((i64)mul * chaos->drift >> 16);
    return (u32)min(max(drifted, 1), 0xffffffffll);
}

// Somebody sets the clock, the machine stands still for a while, or its clock runs at another rate from now on.
static void clock_disturb(struct task *task) {
    struct chaos *chaos = kernel->chaos;
    struct clock *clock = &kernel->clock;
    u64 jump = 0, stall = 0;
    switch (below(CHAOS_CLOCK, 3)) {
    case 0:
        jump = some(CHAOS_CLOCK, JUMP_BITS);
        if (draw(CHAOS_CLOCK) & 1)
            jump = -min(jump, now_real_ns() / 2);
        realtime_jump(jump);
        break;
    case 1:
        stall = some(CHAOS_CLOCK, STALL_BITS);
        break;
    case 2:
        chaos->drift = (i32)below(CHAOS_CLOCK, 1 << 14) - (1 << 13); // an eighth either way
        break;
    }
    clock->base_ns = clock_ns(clock, kernel->tick) + stall;
    clock->tick0 = kernel->tick;
    clock->mul = chaos_mul(chaos->mul);
    did(CHAOS_CLOCK, task, task->call.nr, (i64)(jump + stall));
}

// ---- System calls ------------------------------------------------------------------------------
static bool spared(const struct task *task) {
    u64 pc = task->cpu.pc;
    return task->agent || !task->mm || (pc >= task->mm->ld_start && pc < task->mm->ld_end);
}

static struct file *first_file(const struct task *task) {
    u64 fd = task->call.args[0];
    return task->files && fd < task->files->size ? task->files->files[fd] : NULL;
}

static bool applies(const struct task *task, enum when when) {
    struct file *file = first_file(task);
    switch (when) {
    case ANY:
        return true;
    case CREATES:
        return task->call.args[2] & O_CREAT;
    case REGULAR:
        return file && file->inode && S_ISREG(file->inode->mode);
    case STREAM: {
        struct sock *sock = file ? sock_of(file) : NULL;
        return sock && sock->type == SOCK_STREAM;
    }
    }
    return false;
}

// A handler could have run, and the call would not have begun anew.
static bool interruptible(const struct task *task, bool restarts) {
    for (u32 i = 0; task->sighand && i < lengthof(task->sighand->action); i++) {
        const struct sigaction *action = &task->sighand->action[i];
        if (action->handler > SIG_IGN && !(restarts && action->flags & SA_RESTART))
            return true;
    }
    return false;
}

static i64 error_for(const struct task *task, bool restarts) {
    u8 errors[ERRORS * 2];
    u32 count = 0;
    for (u32 i = 0; i < lengthof(risks); i++) {
        const struct risk *risk = &risks[i];
        if (risk->nr != task->call.nr || !applies(task, risk->when))
            continue;
        for (u32 j = 0; j < ERRORS && risk->error[j] && count < sizeof errors; j++)
            if (risk->error[j] != EINTR || interruptible(task, restarts))
                errors[count++] = risk->error[j];
    }
    return count ? -(i64)errors[below(CHAOS_ERRNO, count)] : 0;
}

i64 chaos_begin(struct task *task) {
    struct call *call = &task->call;
    if (spared(task) || call->nr >= 1000)
        return 0;
    if (chance(CHAOS_CLOCK))
        clock_disturb(task);
    if (!chance(CHAOS_ERRNO))
        return 0;
    i64 error = error_for(task, syscall_restarts(call->nr));
    if (!error)
        return 0;
    call->chaos |= CHAOS_ERROR;
    call->limit = (u64)error;
    return call->nr == NR_close ? 0 : error; // a file is closed whatever close(2) answers
}

i64 chaos_end(struct task *task, i64 result) {
    struct call *call = &task->call;
    if (call->chaos & CHAOS_ERROR && (result == (i64)call->limit || call->nr == NR_close)) {
        if (call->nr == NR_close && result)
            call->chaos = 0;
        else
            did(CHAOS_ERRNO, task, call->nr, result = (i64)call->limit);
    } else if (call->chaos & CHAOS_LIMITED && result == (i64)call->limit) {
        call->chaos |= CHAOS_CUT;
        did(CHAOS_SHORT, task, call->nr, result);
    }
    return result;
}

void chaos_limit(struct task *task, struct uio *uio, u64 least) {
    struct call *call = &task->call;
    if (!(call->chaos & CHAOS_SEEN)) {
        call->chaos |= CHAOS_SEEN;
        if (uio->left > least && !call->progress && !spared(task) && chance(CHAOS_SHORT)) {
            call->chaos |= CHAOS_LIMITED;
            call->limit = least + below(CHAOS_SHORT, uio->left - least);
        }
    }
    if (call->chaos & CHAOS_LIMITED)
        uio->left = min(uio->left, call->limit - min(call->progress, call->limit));
}

void chaos_limit_file(struct task *task, struct file *file, struct uio *uio, bool writes) {
    struct sock *sock = sock_of(file);
    u32 mode = file->inode ? file->inode->mode : 0;
    if (sock ? sock->type == SOCK_STREAM : S_ISREG(mode))
        chaos_limit(task, uio, 1);
    else if (!sock && S_ISFIFO(mode)) // pipe(7): no write of PIPE_BUF bytes or less is split
        chaos_limit(task, uio, writes ? PIPE_BUF : 1);
}

// ---- Scheduling --------------------------------------------------------------------------------
struct task *chaos_pick(void) {
    struct task *task = list_first(&kernel->run_queue, struct task, run_link);
    if (kernel->run_count > 1 && chance(CHAOS_SCHED)) {
        u64 which = below(CHAOS_SCHED, kernel->run_count);
        struct list *link = kernel->run_queue.next;
        for (u64 i = 0; i < which; i++)
            link = link->next;
        task = list_entry(link, struct task, run_link);
        if (which)
            did(CHAOS_SCHED, task, 0, (i64)which);
    }
    return task;
}

u64 chaos_quantum(u64 most) {
    // One tick goes to the choice itself: with less than two nothing would ever run.
    kernel->chaos->brief = chance(CHAOS_SCHED);
    return kernel->chaos->brief ? 1 + some(CHAOS_SCHED, QUANTUM_BITS) : most;
}

void chaos_preempts(struct task *task) {
    if (kernel->chaos->brief)
        did(CHAOS_SCHED, task, 0, 0);
}

// What has been injected so far: u64[CHAOS_KINDS] in machine memory, or 0.
__attribute__((export_name("k_chaos"))) u32 k_chaos(void) {
    return kernel->magic == KERNEL_MAGIC && kernel->chaos ? MADDR(kernel->chaos) : 0;
}

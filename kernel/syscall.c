// System calls: the one path from an ecall to a handler and back, including waits, signals and
// restarts.
//
// Handlers answer a value, -errno, E_WAIT, E_DONE or E_AGAIN (types.h). `pc` and `a0` change once,
// at the end; an ecall retires once, however often its handler ran.
#include "chaos.h"
#include "kernel.h"
#include "sys/sys.h"
#include "task/load.h"
#include "task/signal.h"

enum { ALWAYS_ENDS, LOCAL, RESTART_SYS, RESTART_NOHAND, RESTART_BLOCK, RESTART_NEVER };

struct row {
    i64 (*handler)(struct task *task, struct call *call);
    const char *name;
    const char *args;
    u8 restart;
};
#define FULL 1
#define PARTIAL(what) 1
#define NONE(why) 0
static const struct row table[512] = {
#define SYS(nr, name, args, waits, support, file)                                                  \
    [nr] = {support ? sys_##name : NULL, #name, args, waits},
#include "syscalls.tbl"
#undef SYS
};
i64 sys_spawn(struct task *task, struct call *call);
i64 sys_spawn_exec(struct task *task, struct call *call);
i64 sys_kill_tree(struct task *task, struct call *call);
static const struct row agent_table[] = {
    {sys_spawn, "spawn", "ptr,len,ptr", RESTART_SYS},
    {sys_spawn_exec, "spawn_exec", "", RESTART_SYS},
    {sys_kill_tree, "kill_tree", "int,sig", ALWAYS_ENDS},
};

static bool is_agents(u64 nr) { return nr - 1000 < lengthof(agent_table); }

static const struct row *row_of(u32 nr) {
    if (nr < lengthof(table))
        return &table[nr];
    return is_agents(nr) ? &agent_table[nr - 1000] : NULL;
}

const char *syscall_name(u32 nr) {
    const struct row *row = row_of(nr);
    return row && row->name ? row->name : "?";
}

const char *syscall_args(u32 nr) {
    const struct row *row = row_of(nr);
    return row && row->args ? row->args : "hex,hex,hex,hex,hex,hex";
}

bool syscall_restarts(u32 nr) {
    const struct row *row = row_of(nr);
    return row && (row->restart == RESTART_SYS || row->restart == ALWAYS_ENDS);
}

// A call the table has no row for is worth a word, once; one it says NONE about is not.
static i64 unknown(u32 nr) {
    if (nr < 512 && !table[nr].name && !(kernel->proc_warned[nr / 64] >> (nr % 64) & 1)) {
        kernel->proc_warned[nr / 64] |= 1ull << (nr % 64);
        klog(LOG_WARN, "system call %u is not known: ENOSYS", nr);
    }
    return -ENOSYS;
}

static void call_begin(struct task *task) {
    struct call *call = &task->call;
    u64 nr = task->cpu.x[17];
    if (is_agents(nr) && !task->agent)
        nr = NR_NONE;
    assert(!call->nodes && !call->file[0] && !call->file[1] && !call->captured);
    // One by one: clearing the whole record is a call of the host's runtime, and what held
    // something was put back by call_drop.
    call->live = true;
    call->granted = call->mask_saved = call->timed_out = call->restarts = false;
    call->phase = call->why = call->chaos = 0;
    call->nr = (u16)min(nr, (u64)NR_NONE);
    call->seq = ++kernel->call_seq;
    call->deadline = call->progress = 0;
    call->scratch[0] = call->scratch[1] = call->scratch[2] = call->scratch[3] = 0;
    call->result = 0;
    call->saved_mask = 0;
    call->timer = (struct timer){};
    call->undo = NULL;
    for (u32 i = 0; i < 6; i++)
        call->args[i] = task->cpu.x[10 + i];
}

static void call_drop(struct call *call) {
    for (u32 i = 0; i < 2; i++) {
        if (call->file[i])
            file_put(call->file[i]);
        call->file[i] = NULL;
    }
    kfree(call->captured);
    call->captured = NULL;
    call->undo = NULL;
    call->live = false;
}

void call_abort(struct task *task) {
    struct call *call = &task->call;
    if (!call->live)
        return;
    if (call->undo)
        call->undo(task, call);
    wait_cancel(call);
    call_drop(call);
    task->active = NULL;
}

// The call has its answer.
static void call_end(struct task *task, i64 result) {
    struct call *call = &task->call;
    if (unlikely(kernel->chaos))
        result = chaos_end(task, result);
    if (kernel->flags & BOOT_STRACE)
        strace_exit(task, result);
    if (unlikely(host.taps))
        tap_return(task, call->nr, result);
    if (task->agent) {
        wait_finish(call);
        call_drop(call);
        task->active = NULL;
        agent_finish(task, result);
        return;
    }
    if (task->state == TASK_DEAD)
        return; // exit has dropped it
    wait_finish(call);
    call_drop(call);
    task->active = NULL;
    if (call->mask_saved && !signal_deliverable(task)) {
        call->mask_saved = false; // else the frame takes saved_mask
        signal_set_blocked(task, call->saved_mask);
    }
    if (result == E_DONE)
        return;
    task->cpu.x[10] = (u64)result;
    task->cpu.pc += 4;
    task->cpu.instret++;
    tick_add(1);
    cpu_reservation_clear(&task->cpu);
}

// A waiting call and a deliverable signal: decide once what becomes of the call (law 6). False: the
// call stays as it is.
static bool call_interrupt(struct task *task, const struct row *row) {
    struct call *call = &task->call;
    const struct sigaction *action = signal_next_action(task);
    if (!action) // stop, continue or death: signal_deliver sees to it with the call alive
        return false;
    i64 result = -EINTR;
    if (call->progress)
        result = (i64)call->progress;
    else if (call->restarts || (row->restart == RESTART_SYS && (action->flags & SA_RESTART) &&
                                !call->deadline)) // with SO_RCVTIMEO, SO_SNDTIMEO: never
        result = E_DONE;      // pc stays on the ecall, a0 was never touched
    bool mask_saved = call->mask_saved;
    if (call->undo)
        call->undo(task, call);
    call->undo = NULL;
    wait_cancel(call);
    call_end(task, result);
    call->mask_saved = mask_saved;
    return true;
}

// ---- Local calls -------------------------------------------------------------------------------
// They need no lock, no record and no way out of cpu_run. Whether one is answered there or in a
// pass of its own leaves no trace: law 2.
static bool is_local(u64 nr) {
    return nr < lengthof(table) && table[nr].restart == LOCAL;
}

bool ecall_local(struct hart *hart, u64 *x) {
    if (!hart->local_calls || !is_local(x[17]))
        return false;
    x[10] = (u64)table[x[17]].handler(hart->task, NULL);
    return true;
}

// The same where cpu_run has been left.
bool syscall_local(struct task *task) {
    struct cpu *cpu = &task->cpu;
    if (!is_local(cpu->x[17]))
        return false;
    cpu->x[10] = (u64)table[cpu->x[17]].handler(task, NULL);
    if (unlikely(host.taps))
        tap_return(task, (u32)cpu->x[17], (i64)cpu->x[10]);
    cpu->pc += 4;
    cpu->instret++;
    cpu_reservation_clear(cpu);
    return true;
}

static bool local_run(struct task *task) {
    if (kernel->flags & BOOT_STRACE || !syscall_local(task))
        return false;
    tick_add(1);
    task->ticks_user++;
    return true;
}

void syscall_run(struct task *task) {
    struct call *call = &task->call;
    bool begins = !call->live;
    if (begins) {
        if (!task->killed && !task->agent && local_run(task))
            return;
        call_begin(task);
        if (kernel->flags & BOOT_STRACE)
            strace_enter(task);
        if (unlikely(host.taps))
            tap_call(task);
    } else {
        TAP(RESUMED, task, NULL, 0);
    }
    if (task->killed) {
        call_abort(task);
        return; // the next turn attends
    }
    task->active = call;
    const struct row *row = row_of(call->nr);
    kernel->for_host = task->agent;
    i64 r = begins && unlikely(kernel->chaos) ? chaos_begin(task) : 0;
    if (!r)
        r = row && row->handler ? row->handler(task, call) : unknown(call->nr);
    kernel->for_host = false;
    if (task->state == TASK_DEAD || (r == E_DONE && !call->live))
        return; // exit, or exec after it replaced the call's owner
    if (r == E_AGAIN)
        return; // a bounded pass: progress is saved, the next turn goes on
    if (r != E_WAIT) {
        call_end(task, r);
        return;
    }
    if (task->killed || (task->attention && !task->agent)) {
        if (task->killed) {
            call_abort(task);
            return;
        }
        if (signal_deliverable(task) && call_interrupt(task, row))
            return;
        task->attention = false;
        i64 s = signal_deliver(task);
        if (s == E_WAIT)
            task->attention = true;
        if (task->state != TASK_RUNNING)
            return;
    }
    if (agent_cancelled(task) && !call->granted) {
        agent_abort(task);
        return;
    }
    if (unlikely(host.taps))
        tap_stack(TAP_BLOCKED, task);
    task->state = TASK_WAITING;
    load_set(task, signal_only_killable(task));
    if (call->granted || call->timed_out)
        sched_enqueue(task); // it happened meanwhile
}

// The step: run guest tasks on one hart until the budget of ticks ends or something must be decided
// outside.
//
// Split-invariant: step(a); step(b) leaves the same machine as step(a + b). All that ends a
// quantum, fires a timer or switches tasks is due at a tick kept in machine memory; the end of a
// budget only returns.
//
// A *pass* is a round of the loop in which the kernel does something: it costs a tick, and what it says
// it took besides. Guest code between passes costs a tick for each instruction. With several harts that are
// recorded (ordered()), what a hart does while it holds the kernel lock is a *section*: order.h.
#include "chaos.h"
#include "kernel.h"
#include "jit/jit.h"
#include "park.h"
#include "proc/proc.h"
#include "task/itimer.h"
#include "task/signal.h"

#define QUANTUM 4000000ull     // ticks a task may run while others wait
#define QUANTUM_NS 10000000ull // and no longer, where guest code is slow: in a page it may be ten times

void kernel_lock(struct hart *hart) {
    if (!lock_try(&host.lock)) {
        atomic_store(&hart->in_guest, 0); // shootdowns need not wait for us
        lock_slow(&host.lock);
    }
    host.running = hart;
}

static void unlock(struct hart *hart, u32 in_guest) {
    assert(host.running == hart);
    host.running = NULL;
    if (hart->in_guest != in_guest) // only this hart changes it
        atomic_store(&hart->in_guest, in_guest);
    lock_drop(&host.lock);
}

void kernel_unlock(struct hart *hart) { unlock(hart, 0); }
void kernel_unlock_to_guest(struct hart *hart) { unlock(hart, 1); }

// One kernel pass is over: charge it.
static void pass_end(void) {
    u64 before = moment();
    tick_add(1 + host.pass_ticks);
    host.pass_ticks = 0;
    if (unlikely(host.debug.watches))
        debug_pass(before);
}

static void turn_charge(struct task *task) {
    task->ticks_system += 1 + host.pass_ticks;
    itimer_tick(task, 0, 1 + host.pass_ticks);
}

u64 hart_time_ns(struct hart *hart, u64 retired) {
    return clock_ns(&hart->clock, hart->tick + retired);
}

// Does the host want the hart to leave k_step?
static bool host_waits(void) {
    return mail_waits() || atomic_load(&host.freeze) || outbox_full() || (unlikely(host.order.on) && order_full());
}

// ---- Guest code --------------------------------------------------------------------------------
static void fault_run(struct task *task) {
    maddr page;
    task->fault_live = false;
    task->active = &task->fault;
    i64 r = mm_fault(task->mm, task->fault_va, task->fault_access, task, &page);
    if (r == E_WAIT) {
        task->fault_live = true;
        task->state = TASK_WAITING;
        return;
    }
    wait_finish(&task->fault);
    task->active = NULL;
    if (r == -ENOMEM)
        oom_kill(task);
    else if (r == -EIO)
        signal_force(task, SIGBUS, BUS_ADRERR, task->fault_va);
    else if (r)
        signal_force(task, SIGSEGV, r == -EACCES ? SEGV_ACCERR : SEGV_MAPERR, task->fault_va);
}

// What has run by then counts: `retired` instructions, and `local` ticks of calls answered there.
static inline bool guest_left(struct hart *hart, struct task *task, enum cpu_exit exit, u64 begin,
                              u64 retired, u64 local) {
    host.pass_ticks = 0; // what misses cost is free: only passes are charged
    // With several harts each counts from where it entered; time is the furthest of them.
    kernel->tick = max(kernel->tick, begin + local + retired);
    task->ticks_user += retired;
    task->ticks_system += local;
    itimer_tick(task, retired, 0);
    hart->report.retired += retired;
    switch (exit) {
    case CPU_FUEL:
    case CPU_STOPPED:
    case CPU_PASSED: // which nobody asks about
        return false;
    case CPU_ATTN:
        // What the others ask for stands where step() looks; only a shootdown is answered in guest
        // code.
        atomic_and(&hart->attn, ATTN_SHOOTDOWN);
        return false;
    case CPU_ECALL:
        syscall_run(task);
        break;
    case CPU_FAULT:
        task->fault_va = hart->fault.va;
        task->fault_access = (u8)hart->fault.access;
        fault_run(task);
        break;
    case CPU_MISALIGNED:
        signal_force(task, SIGBUS, BUS_ADRALN, hart->fault.va);
        break;
    case CPU_EBREAK:
        signal_force(task, SIGTRAP, TRAP_BRKPT, task->cpu.pc);
        break;
    case CPU_ILLEGAL:
        signal_force(task, SIGILL, ILL_ILLOPC, task->cpu.pc);
        break;
    }
    return true;
}

// The tick at which the next timer is due. Two divisions, so it is kept.
static u64 timer_tick(struct hart *hart) {
    u64 ns = timer_next_ns();
    const struct clock *clock = &kernel->clock, *then = &hart->timer_clock;
    if (hart->timer_ns != ns || clock->base_ns != then->base_ns || clock->tick0 != then->tick0 || clock->mul != then->mul) {
        hart->timer_tick = clock_tick(clock, ns);
        hart->timer_ns = ns;
        hart->timer_clock = *clock;
    }
    return hart->timer_tick;
}

// How long guest code of the task may run, and which of its calls are answered in there.
static void guest_allow(struct hart *hart, struct task *task) {
    u64 end = ordered() ? ~0ull : hart->step_end; // one reason less to end from outside
    u64 stop = min(min(end, task->quantum_end), timer_tick(hart));
    u64 timed = itimer_fuel(task);
    hart->fuel = min(stop - kernel->tick, timed);
    hart->local_calls = timed == ~0ull && !(kernel->flags & BOOT_STRACE);
    hart->calls_inside = timed == ~0ull && !host.debug.active;
}

// Into guest code, with what guest_allow() said.
static void guest_enter(struct hart *hart, struct task *task) {
    hart->cut = min(hart->fuel, sched_share());
    tlb_select(hart, task->mm);
    hart->task = task;
    hart->tick = hart->entered = kernel->tick;
    hart->clock = kernel->clock;
    hart->local_calls &= !(host.taps >> TAP_RETURN & 1);
    hart->code_changed = false;
    host.counters.guest_inside++; // by the kernel lock
    if (host.counters.guest_inside > host.counters.guest_inside_max)
        host.counters.guest_inside_max = host.counters.guest_inside;
    if (ordered()) {
        order_open(hart, task, hart->fuel, hart->local_calls);
        order_end(hart, false);
    }
    kernel_unlock_to_guest(hart);
    if (host.ran_last != hart->id)
        atomic_store(&host.ran_last, hart->id);
}

// And out of it, with what it left for.
static bool guest_leave(struct hart *hart, enum cpu_exit exit, u64 retired) {
    struct task *task = hart->task;
    u64 local = hart->tick - hart->entered;
    // A cut is no end of its own. Nor is a call that would have been answered there.
    if (hart->cut < hart->fuel && (exit == CPU_FUEL || (exit == CPU_ECALL && hart->cut - retired - local < 2)))
        exit = CPU_ATTN;
    if (ordered())
        order_left(hart, retired + local, exit);
    kernel_lock(hart);
    if (ordered())
        order_begin(hart);
    host.counters.guest_inside--;
    hart->task = NULL;
    return guest_left(hart, task, exit, hart->entered, retired, local);
}

// Would step() find nothing to do, this pass being over, but to go on with the task?
static bool nothing_else(struct hart *hart, struct task *task) {
    u64 tick = kernel->tick + 1 + host.pass_ticks;
    return task->state == TASK_RUNNING && !task->call.live && !task->killed && !task->attention &&
           tick < hart->step_end && tick < task->quantum_end && tick < timer_tick(hart) &&
           list_empty(&kernel->exited) && list_empty(&kernel->admissions) && !host_waits() &&
           !itimers_run(task->process) && !(ordered() && sched_apart(hart, task));
}

bool ecall_inside(struct hart *hart, u64 retired) {
    struct task *task = hart->task;
    u64 instret = task->cpu.instret;
    guest_leave(hart, CPU_ECALL, retired);
    if (task->cpu.instret != instret + 1 || !nothing_else(hart, task)) // other registers may have changed, too
        return false;
    turn_charge(task);
    pass_end();
    host.order.place.passes++;
    guest_allow(hart, task);
    guest_enter(hart, task);
    return true;
}

static bool guest_run(struct hart *hart, struct task *task) {
    u64 retired = 0;
    guest_enter(hart, task);
    enum cpu_exit exit = cpu_run(hart, &task->cpu, hart->cut, &retired);
    return exit == CPU_PASSED || guest_leave(hart, exit, retired);
}

// ---- One task's turn ---------------------------------------------------------------------------
static void attend(struct task *task) {
    task->attention = false;
    task->active = &task->fault;
    i64 r = signal_deliver(task);
    if (r == E_WAIT) {
        task->attention = true;
        if (task->state == TASK_RUNNING)
            task->state = TASK_WAITING;
        return;
    }
    if (task->state != TASK_DEAD) {
        wait_finish(&task->fault);
        task->active = NULL;
    }
}

static void turn_end(struct task *task, bool pass) {
    if (pass && task->state != TASK_DEAD && !task->agent)
        turn_charge(task);
    task_put(task);
}

// False when nothing but guest code ran: its ticks are counted. A replay of several harts leaves
// what there is to run to order.c.
static bool task_turn(struct hart *hart, struct task *task) {
    bool pass = true;
    task_get(task);
    if (task->call.live || task->agent) {
        syscall_run(task);
    } else if (task->killed || task->attention) {
        attend(task);
    } else if (task->fault_live) {
        fault_run(task);
    } else {
        guest_allow(hart, task);
        if (unlikely(host.order.replay)) {
            order_open(hart, task, hart->fuel, hart->local_calls);
            return false;
        }
        if (unlikely(host.debug.active))
            hart->fuel = min(hart->fuel, debug_fuel(task));
        pass = guest_run(hart, task);
    }
    turn_end(task, pass);
    return pass;
}

static u64 quantum(void) {
    u64 most = min(QUANTUM, clock_span(&kernel->clock, QUANTUM_NS));
    return kernel->tick + (unlikely(kernel->chaos) ? chaos_quantum(most) : most);
}

// ---- The step ----------------------------------------------------------------------------------
struct exit_record { // kernel->exited
    struct list link;
    u32 pid, status;
};

void exited_push(u32 pid, u32 status) {
    struct exit_record *record = knew(struct exit_record);
    if (!record)
        return; // nobody is told
    record->pid = pid;
    record->status = status;
    list_push(&kernel->exited, &record->link);
}

static u32 decision(struct hart *hart) {
    struct exit_record *ended = list_first(&kernel->exited, struct exit_record, link);
    if (ended) {
        list_remove(&ended->link);
        hart->report.pid = ended->pid;
        hart->report.detail = ended->status;
        kfree(ended);
        return STATUS_EXITED;
    }
    struct task *task = admission_next();
    if (!task)
        return 0;
    hart->report.tid = task->tid;
    hart->report.pid = task->process->pid;
    hart->report.nr = task->call.nr;
    hart->report.pc = task->cpu.pc;
    hart->report.call_seq = task->call.seq;
    hart->report.detail = task->admission_number;
    return task->admission_status;
}

// Of harts that park one wakes for the next timer: the one that ran last, for its code is warm, or whoever is the first.
static bool minds_time(struct hart *hart) {
    if (hart->id == host.ran_last)
        return true;
    for (u32 i = 0; i < host.hart_count; i++) {
        struct hart *other = host.hart[i];
        if (other && other != hart && atomic_load(&other->where) == HART_PARKED &&
            other->report.deadline_ns <= timer_next_ns())
            return false;
    }
    return true;
}

// What a hart that goes away leaves to others. First it is known to be gone.
static void hand_over(u32 status) {
    if (status == STATUS_CLONE_SPAWN || status == STATUS_EXECVE_SPAWN) // a policy is asked, and may be long
        sched_leave();
    mail_pass_on();
}

static u32 idle(struct hart *hart) {
    if (!host.order.replay)
        host.idle |= 1u << hart->id;
    u32 why = kernel->last_wait[hart->id];
    bool asked =
        why == STATUS_CLONE_SPAWN || why == STATUS_EXECVE_SPAWN; // raised once, by decision()
    return why && !asked ? why : STATUS_SLEEP;
}

// The hart lets go of a task that blocked, stopped or ended.
static void current_drop(struct hart *hart, struct task *task) {
    kernel->last_wait[hart->id] = task->active ? task->active->why : 0;
    hart->report.tid = task->tid;
    hart->report.pid = task->process ? task->process->pid : 0;
    hart->report.nr = task->call.nr;
    hart->report.pc = task->cpu.pc;
    kernel->current[hart->id] = NULL;
    task_put(task);
}

static void current_requeue(struct hart *hart, struct task *task) {
    kernel->current[hart->id] = NULL;
    task->state = TASK_WAITING; // so that it can be enqueued
    sched_enqueue(task);
    task_put(task);
}

// Is there a reason outside the machine to leave?
static u32 interrupted(struct hart *hart) {
    bool stopped = unlikely(host.debug.active) && debug_check();
    if (stopped || kernel->tick >= hart->step_end || host_waits()) {
        hart->report.detail = stopped;
        return STATUS_READY;
    }
    hart->report.detail = jit_raise(hart->cpu->jit);
    if (hart->report.detail)
        return STATUS_JIT_READY;
    return hart->cpu->jit && jit_arrived(hart->cpu->jit) ? STATUS_READY : 0;
}

// A step ends at the top of this loop or idle, and whatever changes the machine below costs at
// least one tick: so there is exactly one machine per tick, and an event delivered at a tick always
// meets the same one.
static u32 step(struct hart *hart, u64 budget) {
    hart->step_end = kernel->tick + budget;
    for (;; pass_end()) {
    again:
        u32 status = host.order.replay ? order_stops() ? STATUS_READY : 0 : interrupted(hart);
        if (status) {
            host.order.place.early |= host.order.on;
            return status;
        }
        host.order.place.passes++;
        status = decision(hart);
        if (status) {
            pass_end();
            return status;
        }
        if (timer_next_ns() <= now_ns()) {
            timer_run(now_ns());
            continue;
        }
        struct task *task = kernel->current[hart->id];
        if (!task) {
            task = sched_pick(hart);
            if (!task)
                return idle(hart);
            task_get(task); // by kernel->current
            kernel->current[hart->id] = task;
            task->quantum_end = quantum();
            kernel->switches++;
        } else if (ordered() && sched_apart(hart, task)) {
            current_requeue(hart, task);
        } else if (kernel->tick < task->quantum_end) {
            if (!task_turn(hart, task)) {
                if (unlikely(host.order.replay))
                    return STATUS_READY; // what it runs belongs to the next section
                goto again; // guest code only: its ticks are counted, no pass was made
            }
            if (task->state !=
                TASK_RUNNING) // at once: another hart may wake and run it when we are out
                current_drop(hart, task);
        } else if (!kernel->run_count) {
            task->quantum_end = quantum();
        } else {
            if (unlikely(kernel->chaos))
                chaos_preempts(task);
            current_requeue(hart, task);
        }
    }
}

// ---- In a replay of several harts --------------------------------------------------------------
void step_segment(struct hart *hart, const struct segment *segment) {
    struct task *task = segment->task;
    hart->fault = segment->fault;
    bool pass = guest_left(hart, task, segment->exit, segment->tick, segment->retired,
                           segment->used - segment->retired);
    turn_end(task, pass);
    if (pass) {
        if (task->state != TASK_RUNNING)
            current_drop(hart, task);
        pass_end();
    }
}

void step_section(struct hart *hart) {
    step(hart, ~0ull - kernel->tick);
}

// All wait for a hart, as if each had been asked to leave its guest code here.
void step_settle(struct hart *hart) {
    for (u32 i = 0; i < HART_MAX; i++) {
        struct segment *segment = &host.order.place.segment[i];
        hart->id = i;
        if (segment->open) {
            segment->exit = CPU_ATTN; // a call or a fault comes about again
            step_segment(hart, segment);
            segment->open = false;
        }
        if (kernel->current[i])
            current_requeue(hart, kernel->current[i]);
    }
    hart->id = 0;
    kernel->flags &= ~(u32)BOOT_ORDERED;
}

static void report_fill(struct hart *hart, u32 status) {
    struct report *report = &hart->report;
    report->status = status;
    report->tick = kernel->tick;
    report->moment = moment();
    report->order = host.order.head;
    report->now_ns = host.order.replay ? clock_ns(&kernel->clock, order_tick()) : now_ns();
    report->deadline_ns = timer_next_ns();
    report->outbox = host.outbox_bytes;
    report->steps++;
}

__attribute__((export_name("k_step"))) u32 k_step(u32 id, u32 budget_lo, u32 budget_hi) {
    struct hart *hart = host.hart[id];
    hart->report.seen =
        atomic_load(&hart->doorbell); // first: a ring during the step must end k_park at once
    // Counted first: who freezes and then sees nobody inside can rely on it.
    u32 inside = atomic_add(&host.counters.harts_inside, 1) + 1;
    if (atomic_load(&host.freeze)) {
        atomic_add(&host.counters.harts_inside, (u32)-1);
        atomic_wait(&host.freeze, 1, 100000000); // the gate
        hart->report.status = STATUS_READY; // it may be the first step
        return STATUS_READY;
    }
    if (atomic_load(&host.panicked)) {
        atomic_add(&host.counters.harts_inside, (u32)-1);
        hart->report.status = STATUS_PANIC;
        hart->report.detail = MADDR(host.panic);
        return STATUS_PANIC;
    }
    kernel_lock(hart);
    if (inside > host.counters.harts_inside_max)
        host.counters.harts_inside_max = inside;
    host.idle &= ~(1u << id);
    atomic_store(&hart->where, HART_STEPS);
    u32 status = STATUS_READY;
    u64 budget = (u64)budget_hi << 32 | budget_lo;
    if (host.order.replay)
        status = order_follow(hart, budget);
    else if (kernel->magic == KERNEL_MAGIC)
        status = step(hart, budget);
    if (host.order.on)
        order_end(hart, status != STATUS_READY && hart == host.running && host.idle >> id & 1);
    report_fill(hart, status);
    bool parks = host.idle >> id & 1;
    if (parks && !minds_time(hart))
        hart->report.deadline_ns = ~0ull;
    if (parks || status != STATUS_READY)
        atomic_store(&hart->where, parks ? HART_PARKED : HART_AWAY);
    if (!parks && status != STATUS_READY)
        hand_over(status);
    kernel_unlock(hart);
    atomic_add(&host.counters.harts_inside, (u32)-1);
    return status;
}

// Harts stay out of k_step while frozen. Answers how many are still inside.
__attribute__((export_name("k_freeze"))) u32 k_freeze(u32 on) {
    atomic_store(&host.freeze, on);
    if (on)
        harts_attend(ATTN_FREEZE);
    else
        atomic_notify(&host.freeze, HART_MAX);
    return atomic_load(&host.counters.harts_inside);
}

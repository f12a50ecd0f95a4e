#include "../chaos.h"
#include "../kernel.h"
#include "../park.h"
#include "load.h"

#define PATIENCE 250000u // ticks

// The run queue is first come, first served. Whoever makes a task runnable, or takes one, wakes nobody at once: mostly it
// blocks soon (who forks waits, who writes is done) and takes the next task itself, with warm caches. An idle hart is
// rung when guest code has run on for PATIENCE ticks while a task waits, or when a hart goes away with one waiting:
// so no task waits for longer than that while a hart is idle. (Who is rung does the same for the next one.)
// Before all others come the host's calls and whom they wake: somebody may have typed.
static void queued(void) {
    if (!host.queued) {
        host.queued = true;
        host.queued_tick = kernel->tick;
    }
}

static const struct task *waits_for_hart(void) {
    struct task *task;
    list_each(task, &kernel->run_queue, run_link)
        if (!ordered() || !sched_apart(NULL, task))
            return task;
    return NULL;
}

static void ring(u32 hart) {
    host.idle &= ~(1u << hart);
    hart_ring(host.hart[hart]);
}

// It rings the hart that the task last ran on, if that is idle.
void sched_ring(void) {
    const struct task *task = host.idle ? waits_for_hart() : NULL;
    host.queued = false;
    if (task)
        ring(host.idle >> task->last_hart & 1 ? task->last_hart : (u32)__builtin_ctz(host.idle));
}

// The hart at hand goes away, perhaps for long: another one minds the time, and what waits.
void sched_leave(void) {
    if (host.idle && (kernel->run_count || timer_next_ns() != ~0ull))
        ring((u32)__builtin_ctz(host.idle));
}

// For how many ticks guest code may run before this is to be asked again.
u64 sched_share(void) {
    if (likely(!host.queued) || !host.idle)
        return ~0ull;
    u64 waited = kernel->tick - host.queued_tick;
    if (waited < PATIENCE && kernel->run_count)
        return PATIENCE - waited;
    sched_ring();
    return ~0ull;
}

void sched_enqueue(struct task *task) {
    if (task->state == TASK_RUNNABLE || task->state == TASK_RUNNING || task->state == TASK_DEAD)
        return;
    const struct task *waker = host.running ? kernel->current[host.running->id] : NULL;
    struct list *before = kernel->run_queue.next;
    task->state = TASK_RUNNABLE;
    task->prompt = task->agent || (waker && waker->agent);
    while (task->prompt && before != &kernel->run_queue && list_entry(before, struct task, run_link)->prompt)
        before = before->next;
    load_set(task, true);
    list_insert(task->prompt ? before : &kernel->run_queue, &task->run_link);
    kernel->run_count++;
    queued();
}

void sched_call(struct task *task) {
    struct task *current = kernel->current[host.running->id];
    sched_enqueue(task);
    if (current && !current->prompt)
        sched_yield(current);
}

// Tasks that share what they write take turns. No hart: with those of all.
bool sched_apart(const struct hart *hart, const struct task *task) {
    if (!task->mm || task->agent)
        return false;
    for (u32 i = 0; i < HART_MAX; i++) {
        struct task *other = hart && i == hart->id ? NULL : kernel->current[i];
        if (other && other->mm && !other->agent &&
            (other->mm == task->mm || (task->mm->shares && other->mm->shares == task->mm->shares)))
            return true;
    }
    return false;
}

static struct task *pick_apart(const struct hart *hart) {
    struct task *task;
    list_each(task, &kernel->run_queue, run_link)
        if (!sched_apart(hart, task))
            return task;
    return NULL;
}

struct task *sched_pick(struct hart *hart) {
    struct task *task = list_first(&kernel->run_queue, struct task, run_link);
    if (ordered())
        task = pick_apart(hart);
    if (!task)
        return NULL;
    if (unlikely(kernel->chaos))
        task = chaos_pick();
    list_remove(&task->run_link);
    kernel->run_count--;
    if (kernel->run_count)
        queued(); // one that had to wait for this hart's last task, perhaps
    task->state = TASK_RUNNING;
    task->last_hart = hart->id;
    return task;
}

void sched_yield(struct task *task) {
    task->quantum_end = 0;
}

void sched_kick(struct task *task) {
    if (task->state != TASK_RUNNING)
        return;
    struct hart *hart = host.hart[task->last_hart];
    if (hart && hart != host.running)
        atomic_or(&hart->attn, ATTN_RESCHED);
}

#include "../chaos.h"
#include "../kernel.h"
#include "../park.h"
#include "load.h"

// The run queue is first come, first served. A woken task rings one idle hart, the one it last ran
// on if that is idle: its caches are warm.
static void ring_idle(const struct task *task) {
    if (host.idle) {
        u32 hart =
            host.idle >> task->last_hart & 1 ? task->last_hart : (u32)__builtin_ctz(host.idle);
        host.idle &= ~(1u << hart);
        hart_ring(host.hart[hart]);
    }
}

void sched_enqueue(struct task *task) {
    if (task->state == TASK_RUNNABLE || task->state == TASK_RUNNING || task->state == TASK_DEAD)
        return;
    task->state = TASK_RUNNABLE;
    load_set(task, true);
    list_push(&kernel->run_queue, &task->run_link);
    kernel->run_count++;
    ring_idle(task);
}

// Tasks that share what they write take turns.
bool sched_apart(const struct hart *hart, const struct task *task) {
    if (!task->mm || task->agent)
        return false;
    for (u32 i = 0; i < HART_MAX; i++) {
        struct task *other = i == hart->id ? NULL : kernel->current[i];
        if (other && other->mm && !other->agent &&
            (other->mm == task->mm || (task->mm->shares && other->mm->shares == task->mm->shares)))
            return true;
    }
    return false;
}

static struct task *pick_apart(const struct hart *hart) {
    struct task *task;
    list_each(task, &kernel->run_queue, run_link)
        if (!sched_apart(hart, task)) {
            if (kernel->run_count > 1)
                ring_idle(task); // there may be one for it now
            return task;
        }
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

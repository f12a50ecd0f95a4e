#include "../chaos.h"
#include "../kernel.h"
#include "../park.h"
#include "load.h"

// The run queue is first come, first served. A woken task rings one idle hart, the one it last ran
// on if that is idle: its caches are warm.
void sched_enqueue(struct task *task) {
    if (task->state == TASK_RUNNABLE || task->state == TASK_RUNNING || task->state == TASK_DEAD)
        return;
    task->state = TASK_RUNNABLE;
    load_set(task, true);
    list_push(&kernel->run_queue, &task->run_link);
    kernel->run_count++;
    if (host.idle) {
        u32 hart =
            host.idle >> task->last_hart & 1 ? task->last_hart : (u32)__builtin_ctz(host.idle);
        host.idle &= ~(1u << hart);
        hart_ring(host.hart[hart]);
    }
}

struct task *sched_pick(struct hart *hart) {
    struct task *task = list_first(&kernel->run_queue, struct task, run_link);
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

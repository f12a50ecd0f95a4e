// Out of memory: one process dies so that the others go on. The largest goes, as Linux's OOM killer
// decides (size, shifted by oom_score_adj: proc(5)).
#include "../kernel.h"
#include "signal.h"

void oom_kill(struct task *task) {
    struct process *victim = NULL;
    i64 most = -1;
    struct process *process;
    list_each(process, &kernel->processes, all) {
        if (process->is_agent || process->zombie || !process->leader || !process->leader->mm)
            continue;
        i64 points =
            (i64)process->leader->mm->rss + process->oom_score_adj * (i64)(pages_total() / 1000);
        if (process->oom_score_adj > -1000 && points > most) {
            most = points;
            victim = process;
        }
    }
    if (!victim)
        victim = task->process;
    if (!victim->exiting) {
        klog(LOG_WARN, "out of memory: killed process %u (%s)", victim->pid,
             victim->leader ? victim->leader->comm : "?");
        limit_met(victim, LIMIT_MEMORY);
        signal_kernel(victim, SIGKILL);
    }
    sched_yield(task); // until the victim has gone
}

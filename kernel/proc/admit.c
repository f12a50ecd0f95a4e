// Admission (law 8): a clone or an exec that has passed all checks asks the owner before anything
// is made.
#include "../kernel.h"
#include "proc.h"

i64 admission(struct task *task, struct call *call, u8 status) {
    u32 bit = status == STATUS_CLONE_SPAWN ? ADMIT_CLONE : ADMIT_EXEC;
    switch (task->admission) {
    case ADMISSION_NONE:
        if (!(kernel->admit & bit) || task->process->is_agent)
            return 0;
        task->admission = ADMISSION_ASKED;
        task->admission_status = status;
        task->admission_number = ++kernel->asked[status == STATUS_EXECVE_SPAWN];
        list_push(&kernel->admissions, &task->admission_link);
        return wait_alone(task, status);
    case ADMISSION_ASKED:
        return wait_alone(task, status);
    default:
        task->admission = ADMISSION_NONE;
        return task->admission_error;
    }
}

void admission_answer(u32 tid, u32 seq, i32 error) {
    struct task *task = task_find(tid);
    if (!task || task->admission != ADMISSION_ASKED || !task->call.live || task->call.seq != seq)
        return; // stale: the task was killed, or asks something else by now
    admission_drop(task);
    task->admission = ADMISSION_ANSWERED;
    task->admission_error = error;
    wait_wake(task);
}

struct task *admission_next(void) {
    if (list_empty(&kernel->admissions))
        return NULL;
    struct task *task = list_first(&kernel->admissions, struct task, admission_link);
    list_remove(&task->admission_link);
    return task;
}

void admission_drop(struct task *task) {
    if (task->admission == ADMISSION_ASKED)
        list_remove(&task->admission_link);
    task->admission = ADMISSION_NONE;
}

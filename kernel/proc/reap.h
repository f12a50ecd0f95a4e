// What exit.c, reap.c, ids.c and exec.c share among themselves.
#pragma once
#include "proc.h"

void process_ended(struct process *process); // a new zombie: tell the parent, or reap it when nobody cares
// `process` stops being held in its group by its link to `parent`: a stopped group that is orphaned by that is hung up.
void process_group_leaves(struct process *process, struct process *parent, bool ending);
void exec_drop(struct task *task); // an exec that did not come about
void task_unlist(struct task *task); // out of its process and the tables

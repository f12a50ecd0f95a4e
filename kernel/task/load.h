// The load average: getloadavg(3), /proc/loadavg, sysinfo(2).
#pragma once
#include "task.h"

#define LOAD_SHIFT 11 // kernel->load_avg is fixed point

void load_set(struct task *task, bool active); // whether it counts from now on
void load_account(void);                       // bring kernel->load_avg up to now

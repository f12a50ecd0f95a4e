// Process groups and sessions: setsid(2), setpgid(2), credentials(7).
#include "../kernel.h"
#include "proc.h"

void process_new_session(struct process *process) {
    process->sid = process->pgid = process->pid;
    process->tty = NULL; // the reference stays with the old session
}

// A group is orphaned when no member has a parent in another group of the same session: nobody
// could continue it. `except` is left out of account: it is about to end.
static bool orphaned_without(u32 pgid, const struct process *except) {
    struct process *process;
    list_each(process, &kernel->processes, all) {
        struct process *parent = process->parent;
        if (process->pgid != pgid || process == except || process->zombie || !parent ||
            parent->is_agent)
            continue;
        if (parent->pgid != pgid && parent->sid == process->sid)
            return false;
    }
    return true;
}

bool process_group_orphaned(u32 pgid) {
    return orphaned_without(pgid, NULL);
}

void process_group_leaves(struct process *process, struct process *parent, bool ending) {
    if (!parent || parent->pgid == process->pgid || parent->sid != process->sid)
        return; // this link kept nobody
    if (!orphaned_without(process->pgid, ending ? process : NULL))
        return;
    bool stopped = false;
    struct process *member;
    list_each(member, &kernel->processes, all)
        stopped |= member->pgid == process->pgid && member->stopped;
    if (stopped) {
        signal_kernel_group(process->pgid, SIGHUP);
        signal_kernel_group(process->pgid, SIGCONT);
    }
}

// What the kernel has to say to whoever runs it, and how it stops when it is wrong.
#include "kernel.h"
#include "outbox.h"
#include "park.h"

void klog(u32 level, const char *fmt, ...) {
    char line[1024];
    va_list args;
    va_start(args, fmt);
    int n = kvsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    u32 len = min((u32)n, (u32)sizeof line - 1);
    struct out_log *record = out_begin(OUT_LOG, sizeof *record, len);
    record->level = level;
    memcpy(record + 1, line, len);
    out_send(record);
}

// A limit of the machine's was met; each process is told of once for each of them.
void limit_met(struct process *process, u32 limit) {
    if (process->limits_met & 1u << limit)
        return;
    process->limits_met |= 1u << limit;
    struct out_notice *notice = out_begin(OUT_NOTICE, sizeof *notice, 0);
    notice->what = NOTICE_LIMIT;
    notice->pid = process->pid;
    notice->ppid = process->sid;
    notice->status = limit;
    out_send(notice);
}

// A worker reports that its step ended in a trap or an exception: nobody may wait for it any more.
__attribute__((export_name("k_fail"))) u32 k_fail(void) {
    if (!atomic_swap(&host.panicked, 1))
        strlcpy(host.panic, "a step ended in a trap", sizeof host.panic);
    harts_attend(ATTN_PANIC);
    return 0;
}

// The machine's memory is kept as it is: it is the evidence.
void panic_at(const char *file, int line, const char *what) {
    if (!atomic_swap(&host.panicked, 1))
        ksnprintf(host.panic, sizeof host.panic, "%s:%d: %s", file, line, what);
    __builtin_trap();
}

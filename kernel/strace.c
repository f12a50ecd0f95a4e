// System calls as text, in strace(1)'s manner, derived from the argument kinds in syscalls.tbl. On with BOOT_STRACE.
#include "strace.h"
#include "chaos.h"

const char *syscall_args(u32 nr);

u32 trace_look(struct trace *trace, u64 va, void *out, u32 len) {
    struct task *task = trace->task;
    struct call *active = task->active;
    u32 got = 0;
    task->active = &task->fault;
    while (got < len) {
        maddr page; // look, but do not wait: tracing must not change the run
        u64 at = va + got;
        if (at < va || at >= USER_END || !mm_present(task->mm, at) ||
            mm_fault(task->mm, at, ACCESS_READ, NULL, &page))
            break;
        u32 n = min(len - got, PAGE_SIZE - (u32)(at & PAGE_MASK));
        memcpy((u8 *)out + got, MPTR(u8, page + (at & PAGE_MASK)), n);
        got += n;
    }
    task->active = active;
    return got;
}

static const struct { const char *name, *text; } errors[] = {
    [0] = {"?", "Unknown error"},
#define X(name, value, text) [value] = {#name, text},
    ERRNO_TABLE(X)
#undef X
};

static void put_result(struct trace *trace, u32 nr) {
    struct text *text = trace->text;
    i64 result = trace->result;
    if (!trace->ended)
        text_printf(text, ") = ?");
    else if (result == E_DONE)
        text_printf(text, ") = ? (restarts or returns elsewhere)");
    else if (result < 0 && result > -4096) {
        u32 error = -result < (i64)lengthof(errors) && errors[-result].name ? (u32)-result : 0;
        text_printf(text, ") = -1 %s (%s)", errors[error].name, errors[error].text);
    } else {
        u32 get = (u32)trace->args[1];
        bool hex = nr == NR_brk || nr == NR_mmap || nr == NR_mremap ||
                   (nr == NR_fcntl && result && (get == F_GETFD || get == F_GETFL));
        const char *form = hex ? ") = %#llx" : nr == NR_umask ? ") = 0%llo" : ") = %lld";
        text_printf(text, form, (long long)result);
        trace_after(trace, nr);
    }
}

u32 strace_text(struct task *task, u32 nr, i64 result, bool ended, char *out, u32 size) {
    struct text text = {.data = out, .cap = size, .fixed = true}; // tracing leaves no trace in the machine
    struct trace trace = {
        .task = task,
        .text = &text,
        .args = task->call.args,
        .result = result,
        .ended = ended,
        .good = ended && (result >= 0 || result < E_DONE),
    };
    text_printf(&text, "%s(", syscall_name(nr));
    const char *kind = syscall_args(nr);
    for (u32 i = 0; *kind && i < 6; i++) {
        const char *end = strchr(kind, ',');
        u32 n = end ? (u32)(end - kind) : (u32)strlen(kind);
        text_printf(&text, i ? ", " : "");
        trace_arg(&trace, kind, n, i);
        kind = end ? end + 1 : kind + n;
    }
    put_result(&trace, nr);
    if (ended && unlikely(kernel->chaos) && task->call.live && task->call.chaos & (CHAOS_ERROR | CHAOS_CUT))
        text_printf(&text, " (INJECTED)");
    return text.len;
}

static void line(struct task *task, i64 result, bool ended) {
    char text[STRACE_MAX];
    u32 len = strace_text(task, task->call.nr, result, ended, text, sizeof text);
    klog(LOG_STRACE, "[%u] %.*s", task->tid, (int)len, text);
}

// Calls that do not come back to their arguments (exit, exec) are shown when they begin, all others when they end.
bool strace_first(const struct task *task) {
    u32 nr = task->call.nr;
    return nr == NR_exit || nr == NR_exit_group || nr == NR_execve || nr == NR_execveat;
}

void strace_enter(struct task *task) {
    if (!task->agent && strace_first(task))
        line(task, 0, false);
}

void strace_exit(struct task *task, i64 result) {
    if (task->agent || task->call.nr == NR_SPAWN_EXEC || (strace_first(task) && result == E_DONE))
        return;
    line(task, result, true);
}

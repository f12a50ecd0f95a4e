// System calls as text, in strace's manner, derived from the argument kinds in syscalls.tbl. On with BOOT_STRACE.
#include "chaos.h"
#include "kernel.h"

const char *syscall_args(u32 nr);

static void put_string(struct task *task, struct text *text, u64 va, u64 len, bool string) {
    char raw[128];
    u64 n = min(len, string ? (u64)sizeof raw : 32);
    u64 got = 0;
    if (!va) {
        text_printf(text, "NULL");
        return;
    }
    struct call *active = task->active;
    task->active = &task->fault;
    for (; got < n; got++) {
        maddr page; // look, but do not wait: tracing must not change the run
        if (!mm_present(task->mm, va + got) || mm_fault(task->mm, va + got, ACCESS_READ, NULL, &page))
            break;
        raw[got] = *MPTR(char, page + ((va + got) & PAGE_MASK));
        if (string && !raw[got])
            break;
    }
    task->active = active;
    bool whole = string ? got < n : got == len;
    text_printf(text, "\"");
    for (u64 i = 0; i < got; i++) {
        u8 c = (u8)raw[i];
        if (c == '\n')
            text_printf(text, "\\n");
        else if (c == '"' || c == '\\')
            text_printf(text, "\\%c", c);
        else if (c < 32 || c > 126)
            text_printf(text, "\\%o", c);
        else
            text_printf(text, "%c", c);
    }
    text_printf(text, whole ? "\"" : "\"...");
}

struct word {
    u32 bits;
    const char *name;
};
static const struct word prot_words[] = {{PROT_READ, "PROT_READ"}, {PROT_WRITE, "PROT_WRITE"}, {PROT_EXEC, "PROT_EXEC"}};
static const struct word open_words[] = {
    {O_CREAT, "O_CREAT"}, {O_EXCL, "O_EXCL"}, {O_NOCTTY, "O_NOCTTY"}, {O_TRUNC, "O_TRUNC"}, {O_APPEND, "O_APPEND"},
    {O_NONBLOCK, "O_NONBLOCK"}, {O_SYNC, "O_SYNC"}, {O_DSYNC, "O_DSYNC"}, {O_DIRECT, "O_DIRECT"}, {O_LARGEFILE, "O_LARGEFILE"},
    {O_TMPFILE, "O_TMPFILE"}, {O_DIRECTORY, "O_DIRECTORY"}, {O_NOFOLLOW, "O_NOFOLLOW"}, {O_NOATIME, "O_NOATIME"},
    {O_CLOEXEC, "O_CLOEXEC"}, {O_PATH, "O_PATH"},
};

static void put_words(struct text *text, u32 v, const struct word *words, u32 count, const char *zero) {
    const char *between = zero;
    if (zero)
        text_printf(text, "%s", zero);
    for (u32 i = 0; i < count; i++) {
        if (words[i].bits && (v & words[i].bits) == words[i].bits) {
            text_printf(text, "%s%s", between ? "|" : "", words[i].name);
            between = "|";
            v &= ~words[i].bits;
        }
    }
    if (v || !between)
        text_printf(text, between ? "|%#x" : "%#x", v);
}

static const char *errno_name(i64 error) {
    switch (error) {
#define X(name, value)                                                                             \
    case value:                                                                                    \
        return #name;
        ERRNO_TABLE(X)
#undef X
    }
    return "?";
}

// Arguments of a kind that the call fills in are shown by strace_exit.
static void put_args(struct task *task, u32 nr, struct text *text, i64 result, bool ended) {
    struct call *call = &task->call;
    const char *kinds = syscall_args(nr);
    for (u32 i = 0; *kinds && i < 6; i++) {
        const char *end = strchr(kinds, ',');
        u32 n = end ? (u32)(end - kinds) : (u32)strlen(kinds);
        u64 v = call->args[i];
#define KIND(name) (n == sizeof name - 1 && !memcmp(kinds, name, n))
        if (i)
            text_printf(text, ", ");
        if (KIND("fd") || KIND("int") || KIND("sig"))
            text_printf(text, "%d", (i32)v);
        else if (KIND("prot"))
            put_words(text, (u32)v, prot_words, lengthof(prot_words), v ? NULL : "PROT_NONE");
        else if (KIND("oflags")) {
            static const char *const modes[] = {"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"};
            put_words(text, (u32)v & ~O_ACCMODE, open_words, lengthof(open_words), modes[v & O_ACCMODE]);
        }
        else if (KIND("dirfd"))
            text_printf(text, (i32)v == AT_FDCWD ? "AT_FDCWD" : "%d", (i32)v);
        else if (KIND("path") || KIND("str"))
            put_string(task, text, v, PATH_MAX, true);
        else if (KIND("buf<"))
            put_string(task, text, v, call->args[i + 1], false);
        else if (KIND("buf>") && ended && result > 0)
            put_string(task, text, v, (u64)result, false);
        else if (KIND("len") || KIND("uint") || KIND("off"))
            text_printf(text, "%llu", (unsigned long long)v);
        else if (KIND("mode"))
            text_printf(text, "0%o", (u32)v);
        else
            text_printf(text, v || !KIND("ptr") ? "%#llx" : "NULL", (unsigned long long)v);
        kinds = end ? end + 1 : kinds + n;
    }
}

u32 strace_text(struct task *task, u32 nr, i64 result, bool ended, char *out, u32 size) {
    struct text text = {.data = out, .cap = size, .fixed = true}; // tracing leaves no trace in the machine
    text_printf(&text, "%s(", syscall_name(nr));
    put_args(task, nr, &text, result, ended);
    if (!ended)
        text_printf(&text, ") = ?");
    else if (result == E_DONE)
        text_printf(&text, ") = ? (restarts or returns elsewhere)");
    else if (result < 0 && result > -4096)
        text_printf(&text, ") = -1 %s", errno_name(-result));
    else
        text_printf(&text, result > 0xffff ? ") = %#llx" : ") = %lld", (long long)result);
    if (ended && unlikely(kernel->chaos) && task->call.live && task->call.chaos & (CHAOS_ERROR | CHAOS_CUT))
        text_printf(&text, " (INJECTED)");
    return text.len;
}

static void line(struct task *task, i64 result, bool ended) {
    char text[1000];
    u32 len = strace_text(task, task->call.nr, result, ended, text, sizeof text);
    klog(LOG_STRACE, "[%u] %.*s", task->tid, (int)len, text);
}

// Calls that do not come back to their arguments (exit, exec) are shown when they begin, all others when they end.
bool strace_first(const struct task *task) {
    static const u16 calls[] = {93 /* exit */, 94 /* exit_group */, 221 /* execve */, 281 /* execveat */};
    for (u32 i = 0; i < lengthof(calls); i++)
        if (task->call.nr == calls[i])
            return true;
    return false;
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

// Arguments and environment on their way into a new program: one block of NUL-terminated strings,
// argv before envp.
#include "strings.h"
#include "../kernel.h"
#include "../lib/heap.h"
#include "../lib/string.h"

#define STRING_MAX (128u << 10)  // of one string
#define STRINGS_MAX (6ull << 20) // of all, at most; else a quarter of the stack

static i64 room_for(struct strings *strings, u64 more) {
    if (strings->used + more <= strings->room)
        return 0;
    u64 room = max(strings->used + more, max(4096ull, strings->room * 2));
    char *data = krealloc(strings->data, room);
    if (!data)
        return -ENOMEM;
    strings->data = data;
    strings->room = room;
    return 0;
}

static i64 add_string(struct strings *strings, const char *s) {
    u64 n = strlen(s) + 1;
    i64 error = room_for(strings, n);
    if (error)
        return error;
    memcpy(strings->data + strings->used, s, n);
    strings->used += n;
    return 0;
}

static bool within_limit(const struct strings *strings) {
    return strings->used + 8ull * (strings->argc + strings->envc) <= strings->limit;
}

static i64 copy_string(struct task *task, struct strings *strings, u64 from) {
    for (u64 size = 256;; size *= 4) {
        size = min(size, (u64)STRING_MAX);
        i64 error = room_for(strings, size);
        if (error)
            return error;
        i64 n = copy_in_string(task, strings->data + strings->used, UPTR(from), size);
        if (n >= 0) {
            strings->used += (u64)n + 1;
            return 0;
        }
        if (n != -ENAMETOOLONG)
            return n;
        if (size == STRING_MAX)
            return -E2BIG;
    }
}

static i64 copy_strings(struct task *task, struct strings *strings, uptr list, u32 *count) {
    for (; list.va; list.va += 8) {
        u64 from;
        i64 error = get_user(task, from, list);
        if (!error && !from)
            break;
        if (!error)
            error = copy_string(task, strings, from);
        if (error)
            return error;
        ++*count;
        if (!within_limit(strings))
            return -E2BIG;
    }
    return 0;
}

static i64 take_packed(struct strings *strings, const char *s, u32 count, u32 *out) {
    for (; count; count--, ++*out) {
        i64 error = add_string(strings, s);
        if (error)
            return error;
        s += strlen(s) + 1;
    }
    return within_limit(strings) ? 0 : -E2BIG;
}

i64 strings_take(struct task *task, struct strings *strings, const struct strings_source *from) {
    u64 stack = task->process->rlimit[RLIMIT_STACK][0];
    strings->limit = max(min(stack / 4, STRINGS_MAX), (u64)STRING_MAX);
    i64 error = from->in_kernel ? take_packed(strings, from->args, from->argc, &strings->argc)
                                : copy_strings(task, strings, from->argv, &strings->argc);
    if (!error && strings->argc == 0) { // a program finds argv[0], if only an empty one
        error = add_string(strings, "");
        strings->argc = 1;
    }
    strings->argv_bytes = strings->used;
    if (!error)
        error = from->in_kernel ? take_packed(strings, from->env, from->envc, &strings->envc)
                                : copy_strings(task, strings, from->envp, &strings->envc);
    return error;
}

i64 strings_script(struct strings *strings, const char *interp, const char *arg,
                   const char *script) {
    u64 old = strlen(strings->data) + 1;
    u64 a = strlen(interp) + 1, b = arg ? strlen(arg) + 1 : 0, c = strlen(script) + 1;
    i64 error = room_for(strings, a + b + c);
    if (error)
        return error;
    memmove(strings->data + a + b + c, strings->data + old, strings->used - old);
    memcpy(strings->data, interp, a);
    if (arg)
        memcpy(strings->data + a, arg, b);
    memcpy(strings->data + a + b, script, c);
    strings->used += a + b + c - old;
    strings->argv_bytes += a + b + c - old;
    strings->argc += arg ? 2 : 1;
    return within_limit(strings) ? 0 : -E2BIG;
}

// execve(2), execveat(2).
#include "../proc/proc.h"
#include "sys.h"

static i64 exec(struct task *task, struct call *call, i32 dirfd, uptr path, uptr argv, uptr envp,
                u32 flags) {
    i64 error;
    if (flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW))
        return -EINVAL;
    const char *name = call_path(task, 0, path, &error);
    return name ? process_exec(task, call, dirfd, name, flags, argv, envp) : error;
}

i64 sys_execve(struct task *task, struct call *call) {
    return exec(task, call, AT_FDCWD, arg_ptr(call, 0), arg_ptr(call, 1), arg_ptr(call, 2), 0);
}

i64 sys_execveat(struct task *task, struct call *call) {
    return exec(task, call, arg_int(call, 0), arg_ptr(call, 1), arg_ptr(call, 2), arg_ptr(call, 3),
                arg_u32(call, 4));
}

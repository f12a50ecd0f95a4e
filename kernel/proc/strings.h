// Arguments and environment of an exec.
#pragma once
#include "../task/task.h"

struct strings {
    char *data; // machine heap
    u64 used, room, argv_bytes;
    u32 argc, envc;
    u64 limit; // bytes of strings and pointers allowed
};

// Where the strings come from: user pointers, or kernel memory for SPAWN.
struct strings_source {
    uptr argv, envp;
    bool in_kernel;
    const char *args, *env;
    u32 argc, envc;
};

// Copies them in; a wait starts it over with an empty block. -E2BIG, -EFAULT, -ENOMEM, E_WAIT.
must_check i64 strings_take(struct task *task, struct strings *strings, const struct strings_source *from);
// `#!interp arg`: argv[0] gives way to interp, arg (if any) and the script's name.
must_check i64 strings_script(struct strings *strings, const char *interp, const char *arg, const char *script);

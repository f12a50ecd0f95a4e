// /proc: a tree of tables. An entry is a name with a way to show it; inodes are made when they are looked up.
#pragma once
#include "../lib/fmt.h"
#include "mounts.h"

// What an entry is about: filled afresh for each use, NULL below /proc's system part.
struct proc_ref {
    struct process *process;
    struct task *task; // the thread in task/<tid>, else one that is alive, or the leader
    u32 fd;            // in fd/ and fdinfo/
    bool thread;       // below task/<tid>
    struct task *reader;
};

enum proc_kind {
    PROC_FILE,    // show, write
    PROC_LINK,    // readlink
    PROC_MAGIC,   // readlink, follow
    PROC_DIR,     // children
    PROC_TASKS,   // one directory per thread, with `children` in it
    PROC_FDS,     // one magic link per descriptor
    PROC_FDINFOS, // one file per descriptor
};

struct proc_entry {
    const char *name;
    u16 kind; // enum proc_kind
    u16 mode; // permissions
    bool guarded; // contents only for who may ptrace the process
    bool leader_only; // not in task/<tid>
    i64 (*show)(struct text *out, const struct proc_ref *ref);
    i64 (*write)(const struct proc_ref *ref, const char *data, u32 len); // all of it, NUL-terminated, no newline at the end
    i64 (*readlink)(const struct proc_ref *ref, char *out, u32 size); // bytes
    i64 (*follow)(const struct proc_ref *ref, struct inode **out);
    const struct proc_entry *children;
    u32 child_count;
};
#define PROC_CHILDREN(table) .children = (table), .child_count = lengthof(table)

i64 proc_mount(struct filesystem *fs, const char *data);
extern const struct proc_entry proc_system[], proc_process[]; // procsys.c, procpid.c
extern const u32 proc_system_count, proc_process_count;

// Numbers and states that several files show.
char proc_state(const struct task *task); // R S T Z
i64 proc_show_mounts(struct text *out, const struct proc_ref *ref);
i64 proc_show_mountinfo(struct text *out, const struct proc_ref *ref);
#define PROC_NET_COUNT 14u
extern const struct proc_entry proc_net[PROC_NET_COUNT]; // procnet.c

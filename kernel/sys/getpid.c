// getpid(2), setpgid(2), setsid(2), credentials(7): user and group ids, capabilities(7), kcmp(2).
#include "../lib/string.h"
#include "../proc/proc.h"
#include "sys.h"

#define KEEP ~0u // "leave it" in the set*id calls

// ---- Numbers -----------------------------------------------------------------------------------
i64 sys_getpid(struct task *task, struct call *call) {
    return task->process->pid;
}
i64 sys_gettid(struct task *task, struct call *call) {
    return task->tid;
}
i64 sys_getppid(struct task *task, struct call *call) {
    return task->process->parent ? task->process->parent->pid : 0;
}
i64 sys_getuid(struct task *task, struct call *call) {
    return task->cred.ruid;
}
i64 sys_geteuid(struct task *task, struct call *call) {
    return task->cred.euid;
}
i64 sys_getgid(struct task *task, struct call *call) {
    return task->cred.rgid;
}
i64 sys_getegid(struct task *task, struct call *call) {
    return task->cred.egid;
}

// ---- Process groups and sessions ---------------------------------------------------------------
static struct process *process_or_self(struct task *task, u32 pid) {
    struct task *target = pid ? task_find(pid) : task;
    return target ? target->process : NULL;
}

static bool group_in_session(u32 pgid, u32 sid) {
    struct process *process;
    list_each(process, &kernel->processes, all)
        if (process->pgid == pgid && process->sid == sid)
            return true;
    return false;
}

i64 sys_setpgid(struct task *task, struct call *call) {
    struct process *self = task->process;
    u32 pid = arg_u32(call, 0) ? arg_u32(call, 0) : self->pid;
    u32 pgid = arg_u32(call, 1) ? arg_u32(call, 1) : pid;
    struct process *process = process_find(pid);
    if (arg_int(call, 1) < 0)
        return -EINVAL;
    if (!process || (process != self && process->parent != self))
        return -ESRCH;
    if (process != self && process->sid != self->sid)
        return -EPERM;
    if (process != self && process->did_exec)
        return -EACCES;
    if (process->sid == process->pid)
        return -EPERM;
    if (pgid != pid && !group_in_session(pgid, self->sid))
        return -EPERM;
    process->pgid = pgid;
    return 0;
}

i64 sys_getpgid(struct task *task, struct call *call) {
    struct process *process = process_or_self(task, arg_u32(call, 0));
    return process ? (i64)process->pgid : -ESRCH;
}

i64 sys_getsid(struct task *task, struct call *call) {
    struct process *process = process_or_self(task, arg_u32(call, 0));
    return process ? (i64)process->sid : -ESRCH;
}

i64 sys_setsid(struct task *task, struct call *call) {
    struct process *self = task->process, *process;
    list_each(process, &kernel->processes, all)
        if (process->pgid == self->pid)
            return -EPERM; // it leads a group, or left one behind
    process_new_session(self);
    return self->sid;
}

// ---- User ids ----------------------------------------------------------------------------------
static bool capable(const struct task *task, u32 cap) {
    return task->cred.cap_effective & 1ull << cap;
}

static bool any_root(const struct cred *cred) {
    return cred->ruid == 0 || cred->euid == 0 || cred->suid == 0;
}

// Capabilities follow user ids; what was root's secret stays so.
static i64 cred_commit(struct task *task, struct cred *new) {
    const struct cred *old = &task->cred;
    if (any_root(old) && !any_root(new) && !new->keep_caps)
        new->cap_permitted = new->cap_effective = 0;
    if (old->euid == 0 && new->euid != 0)
        new->cap_effective = 0;
    if (old->euid != 0 && new->euid == 0)
        new->cap_effective = new->cap_permitted;
    if (old->euid != new->euid || old->egid != new->egid || old->fsuid != new->fsuid ||
        old->fsgid != new->fsgid) {
        task->process->dumpable = false;
        task->pdeath_signal = 0;
    }
    task->cred = *new;
    return 0;
}

i64 sys_setuid(struct task *task, struct call *call) {
    struct cred new = task->cred;
    u32 uid = arg_u32(call, 0);
    if (uid == KEEP)
        return -EINVAL;
    if (capable(task, CAP_SETUID))
        new.ruid = new.suid = uid;
    else if (uid != new.ruid && uid != new.suid)
        return -EPERM;
    new.euid = new.fsuid = uid;
    return cred_commit(task, &new);
}

i64 sys_setreuid(struct task *task, struct call *call) {
    const struct cred *old = &task->cred;
    struct cred new = *old;
    u32 ruid = arg_u32(call, 0), euid = arg_u32(call, 1);
    bool may = capable(task, CAP_SETUID);
    if (ruid != KEEP && ruid != old->ruid && ruid != old->euid && !may)
        return -EPERM;
    if (euid != KEEP && euid != old->ruid && euid != old->euid && euid != old->suid && !may)
        return -EPERM;
    if (ruid != KEEP)
        new.ruid = ruid;
    if (euid != KEEP)
        new.euid = euid;
    if (ruid != KEEP || (euid != KEEP && euid != old->ruid))
        new.suid = new.euid;
    new.fsuid = new.euid;
    return cred_commit(task, &new);
}

i64 sys_setresuid(struct task *task, struct call *call) {
    const struct cred *old = &task->cred;
    struct cred new = *old;
    u32 *field[3] = {&new.ruid, &new.euid, &new.suid};
    for (u32 i = 0; i < 3; i++) {
        u32 uid = arg_u32(call, i);
        if (uid == KEEP)
            continue;
        if (uid != old->ruid && uid != old->euid && uid != old->suid && !capable(task, CAP_SETUID))
            return -EPERM;
        *field[i] = uid;
    }
    new.fsuid = new.euid;
    return cred_commit(task, &new);
}

static i64 put_three(struct task *task, struct call *call, u32 a, u32 b, u32 c) {
    i64 error = put_user(task, arg_ptr(call, 0), a);
    if (!error)
        error = put_user(task, arg_ptr(call, 1), b);
    return error ? error : put_user(task, arg_ptr(call, 2), c);
}

i64 sys_getresuid(struct task *task, struct call *call) {
    return put_three(task, call, task->cred.ruid, task->cred.euid, task->cred.suid);
}

i64 sys_setfsuid(struct task *task, struct call *call) {
    // Capabilities over files: CHOWN to FSETID, LINUX_IMMUTABLE, MKNOD, MAC_OVERRIDE.
    const u64 file_caps = 0x1f | 1ull << 9 | 1ull << CAP_MKNOD | 1ull << 32;
    const struct cred *old = &task->cred;
    struct cred new = *old;
    u32 uid = arg_u32(call, 0), was = old->fsuid;
    if (uid == old->ruid || uid == old->euid || uid == old->suid || uid == old->fsuid ||
        capable(task, CAP_SETUID)) {
        new.fsuid = uid;
        if (was == 0 && uid != 0)
            new.cap_effective &= ~file_caps;
        if (was != 0 && uid == 0)
            new.cap_effective |= new.cap_permitted & file_caps;
        task->cred = new;
    }
    return was;
}

// ---- Group ids ---------------------------------------------------------------------------------
i64 sys_setgid(struct task *task, struct call *call) {
    struct cred new = task->cred;
    u32 gid = arg_u32(call, 0);
    if (gid == KEEP)
        return -EINVAL;
    if (capable(task, CAP_SETGID))
        new.rgid = new.sgid = gid;
    else if (gid != new.rgid && gid != new.sgid)
        return -EPERM;
    new.egid = new.fsgid = gid;
    return cred_commit(task, &new);
}

i64 sys_setregid(struct task *task, struct call *call) {
    const struct cred *old = &task->cred;
    struct cred new = *old;
    u32 rgid = arg_u32(call, 0), egid = arg_u32(call, 1);
    bool may = capable(task, CAP_SETGID);
    if (rgid != KEEP && rgid != old->rgid && rgid != old->egid && !may)
        return -EPERM;
    if (egid != KEEP && egid != old->rgid && egid != old->egid && egid != old->sgid && !may)
        return -EPERM;
    if (rgid != KEEP)
        new.rgid = rgid;
    if (egid != KEEP)
        new.egid = egid;
    if (rgid != KEEP || (egid != KEEP && egid != old->rgid))
        new.sgid = new.egid;
    new.fsgid = new.egid;
    return cred_commit(task, &new);
}

i64 sys_setresgid(struct task *task, struct call *call) {
    const struct cred *old = &task->cred;
    struct cred new = *old;
    u32 *field[3] = {&new.rgid, &new.egid, &new.sgid};
    for (u32 i = 0; i < 3; i++) {
        u32 gid = arg_u32(call, i);
        if (gid == KEEP)
            continue;
        if (gid != old->rgid && gid != old->egid && gid != old->sgid && !capable(task, CAP_SETGID))
            return -EPERM;
        *field[i] = gid;
    }
    new.fsgid = new.egid;
    return cred_commit(task, &new);
}

i64 sys_getresgid(struct task *task, struct call *call) {
    return put_three(task, call, task->cred.rgid, task->cred.egid, task->cred.sgid);
}

i64 sys_setfsgid(struct task *task, struct call *call) {
    struct cred *cred = &task->cred;
    u32 gid = arg_u32(call, 0), was = cred->fsgid;
    if (gid == cred->rgid || gid == cred->egid || gid == cred->sgid || capable(task, CAP_SETGID))
        cred->fsgid = gid;
    return was;
}

i64 sys_getgroups(struct task *task, struct call *call) {
    i32 size = arg_int(call, 0);
    u32 count = task->cred.group_count;
    if (size < 0 || (size && (u32)size < count))
        return -EINVAL;
    i64 error = size ? copy_out(task, arg_ptr(call, 1), task->cred.groups, count * sizeof(u32)) : 0;
    return error ? error : count;
}

i64 sys_setgroups(struct task *task, struct call *call) {
    u32 count = arg_u32(call, 0);
    u32 groups[lengthof(task->cred.groups)] = {0};
    if (!capable(task, CAP_SETGID))
        return -EPERM;
    if (count > lengthof(groups))
        return -EINVAL;
    i64 error = copy_in(task, groups, arg_ptr(call, 1), count * sizeof(u32));
    if (error)
        return error;
    memcpy(task->cred.groups, groups, sizeof groups);
    task->cred.group_count = count;
    return 0;
}

// ---- Capabilities ------------------------------------------------------------------------------
#define CAP_VERSION_1 0x19980330u
#define CAP_VERSION_2 0x20071026u
#define CAP_VERSION_3 0x20080522u

struct cap_header {
    u32 version;
    i32 pid;
};
struct cap_data {
    u32 effective, permitted, inheritable;
};

// Words of data that this version has; an unknown one is answered with the preferred version.
static i64 cap_words(struct task *task, uptr at, struct cap_header *header) {
    i64 error = get_user(task, *header, at);
    if (error)
        return error;
    switch (header->version) {
    case CAP_VERSION_1:
        return 1;
    case CAP_VERSION_2:
    case CAP_VERSION_3:
        return 2;
    }
    error = put_user(task, at, CAP_VERSION_3);
    return error ? error : -EINVAL;
}

i64 sys_capget(struct task *task, struct call *call) {
    struct cap_header header;
    i64 words = cap_words(task, arg_ptr(call, 0), &header);
    if (!arg_ptr(call, 1).va && words == -EINVAL)
        return 0; // only the version was asked for
    if (words < 0)
        return words;
    if (header.pid < 0)
        return -EINVAL;
    struct task *target = header.pid ? task_find((u32)header.pid) : task;
    if (!target)
        return -ESRCH;
    const struct cred *cred = &target->cred;
    struct cap_data data[2];
    for (u32 i = 0; i < 2; i++)
        data[i] = (struct cap_data){(u32)(cred->cap_effective >> 32 * i),
                                    (u32)(cred->cap_permitted >> 32 * i),
                                    (u32)(cred->cap_inheritable >> 32 * i)};
    if (!arg_ptr(call, 1).va)
        return 0;
    return copy_out(task, arg_ptr(call, 1), data, (u64)words * sizeof data[0]);
}

i64 sys_capset(struct task *task, struct call *call) {
    struct cap_header header;
    struct cap_data data[2] = {0};
    i64 words = cap_words(task, arg_ptr(call, 0), &header);
    if (words < 0)
        return words;
    if (header.pid && (u32)header.pid != task->tid)
        return -EPERM;
    i64 error = copy_in(task, data, arg_ptr(call, 1), (u64)words * sizeof data[0]);
    if (error)
        return error;
    struct cred *cred = &task->cred;
    const u64 all = (1ull << (CAP_LAST + 1)) - 1;
    u64 effective = (data[0].effective | (u64)data[1].effective << 32) & all;
    u64 permitted = (data[0].permitted | (u64)data[1].permitted << 32) & all;
    u64 inheritable = (data[0].inheritable | (u64)data[1].inheritable << 32) & all;
    if (permitted & ~cred->cap_permitted)
        return -EPERM;
    if (effective & ~permitted)
        return -EPERM;
    if ((inheritable & ~(cred->cap_inheritable | cred->cap_permitted)) &&
        !capable(task, 8 /* CAP_SETPCAP */))
        return -EPERM;
    cred->cap_effective = effective;
    cred->cap_permitted = permitted;
    cred->cap_inheritable = inheritable;
    return 0;
}

// ---- kcmp --------------------------------------------------------------------------------------
enum { KCMP_FILE, KCMP_VM, KCMP_FILES, KCMP_FS, KCMP_SIGHAND, KCMP_IO, KCMP_SYSVSEM };

i64 sys_kcmp(struct task *task, struct call *call) {
    struct task *a = task_find(arg_u32(call, 0)), *b = task_find(arg_u32(call, 1));
    if (!a || !b || a->state == TASK_DEAD || b->state == TASK_DEAD)
        return -ESRCH;
    if ((task->cred.euid != a->cred.ruid || task->cred.euid != b->cred.ruid) &&
        !capable(task, CAP_SYS_PTRACE))
        return -EPERM;
    bool same;
    switch (arg_u32(call, 2)) {
    case KCMP_FILE: {
        struct file *fa = fd_file(a, (i32)call->args[3]), *fb = fd_file(b, (i32)call->args[4]);
        if (!fa || !fb)
            return -EBADF;
        same = fa == fb;
        break;
    }
    case KCMP_VM:
        same = a->mm == b->mm;
        break;
    case KCMP_FILES:
        same = a->files == b->files;
        break;
    case KCMP_FS:
        same = a->fs == b->fs;
        break;
    case KCMP_SIGHAND:
        same = a->sighand == b->sighand;
        break;
    case KCMP_IO:
    case KCMP_SYSVSEM:
        same = true; // nobody has one
        break;
    default:
        return -EINVAL;
    }
    return same ? 0 : 3; // different; an order would tell addresses
}

// /proc/<pid>: what a process tells about itself. proc(5) gives each format.
#include "../kernel.h"
#include "../lib/heap.h"
#include "../lib/string.h"
#include "../task/itimer.h"
#include "../task/signal.h"
#include "procfs.h"
#include "pty.h"
#include "tty.h"

typedef unsigned long long ull;

static ull clock_ticks(u64 ticks) {
    return cputime_ns(ticks) / (NSEC / USER_HZ);
}

// The group's name, state and memory stay readable while a task is left.
static struct mm *mm_of(const struct proc_ref *ref) {
    return ref->task ? ref->task->mm : NULL;
}

// ---- Memory ------------------------------------------------------------------------------------
struct sizes { // bytes
    u64 total, data, stack, exe, lib, locked;
};

static struct sizes sizes_of(const struct mm *mm) {
    struct sizes s = {0};
    for (u32 i = 0; mm && i < mm->vma_count; i++) {
        const struct vma *vma = mm->vmas[i];
        u64 len = vma->end - vma->start;
        s.total += len;
        if (vma->flags & VMA_LOCKED)
            s.locked += len;
        if (vma->name && !strcmp(vma->name, "[stack]"))
            s.stack += len;
        else if (vma->prot & PROT_WRITE && !(vma->flags & VMA_SHARED))
            s.data += len;
        else if (vma->prot & PROT_EXEC && vma->object)
            *(vma->object == mm->exe ? &s.exe : &s.lib) += len;
    }
    return s;
}

// [from, to) of another address space: pages that are present; those that are not read as missing.
static void show_memory(struct text *out, const struct proc_ref *ref, u64 from, u64 to) {
    struct mm *mm = mm_of(ref);
    u8 bytes[256];
    for (u64 at = from; mm && at < to;) {
        u64 n = min(min(to - at, (u64)sizeof bytes), PAGE_SIZE - (at & PAGE_MASK));
        if (!mm_present(mm, at & ~PAGE_MASK) || copy_in(ref->task, bytes, UPTR(at), n))
            return;
        text_append(out, bytes, (u32)n);
        at += n;
    }
}

static i64 show_cmdline(struct text *out, const struct proc_ref *ref) {
    struct mm *mm = mm_of(ref);
    if (mm)
        show_memory(out, ref, mm->arg_start, mm->arg_end);
    return 0;
}

static i64 show_environ(struct text *out, const struct proc_ref *ref) {
    struct mm *mm = mm_of(ref);
    if (mm)
        show_memory(out, ref, mm->env_start, mm->env_end);
    return 0;
}

static i64 show_auxv(struct text *out, const struct proc_ref *ref) {
    struct mm *mm = mm_of(ref);
    if (mm)
        text_append(out, mm->auxv, mm->auxv_count * (u32)sizeof mm->auxv[0]);
    return 0;
}

static void show_vma(struct text *out, const struct vma *vma) {
    struct text path = {0};
    u32 dev = 0, before = out->len;
    u64 ino = 0;
    if (vma->object && !vma->name && vma->object->ops->describe)
        vma->object->ops->describe(vma->object, &path, &dev, &ino);
    text_printf(out, "%llx-%llx %c%c%c%c %08llx %02x:%02x %llu ", (ull)vma->start, (ull)vma->end, vma->prot & PROT_READ ? 'r' : '-',
                vma->prot & PROT_WRITE ? 'w' : '-', vma->prot & PROT_EXEC ? 'x' : '-', vma->flags & VMA_SHARED ? 's' : 'p',
                (ull)(vma->object ? vma->index << PAGE_SHIFT : 0), dev >> 8 & 0xfff, dev & 0xff, (ull)ino);
    if (path.len || vma->name) {
        while (out->len - before < 73 && !out->failed)
            text_append(out, " ", 1);
        if (path.len)
            text_append(out, path.data, path.len);
        else
            text_printf(out, "%s", vma->name);
    }
    text_append(out, "\n", 1);
    text_free(&path);
}

static i64 show_maps(struct text *out, const struct proc_ref *ref) {
    struct mm *mm = mm_of(ref);
    for (u32 i = 0; mm && i < mm->vma_count; i++)
        show_vma(out, mm->vmas[i]);
    return 0;
}

static u64 present_kb(struct mm *mm, const struct vma *vma) {
    u64 pages = 0, count = (vma->end - vma->start) >> PAGE_SHIFT;
    if (count > 1u << 20)
        return 0; // a reservation: counting it would take for ever
    for (u64 at = vma->start; at < vma->end; at += PAGE_SIZE)
        pages += mm_present(mm, at);
    pass_cost(count / 16);
    return pages * (PAGE_SIZE / 1024);
}

static void show_smap_lines(struct text *out, u64 size, u64 rss, u64 private, u64 anonymous) {
    text_printf(out, "Rss:            %8llu kB\nPss:            %8llu kB\nShared_Clean:   %8llu kB\nShared_Dirty:   %8u kB\n"
                     "Private_Clean:  %8u kB\nPrivate_Dirty:  %8llu kB\nReferenced:     %8llu kB\nAnonymous:      %8llu kB\n"
                     "Swap:           %8u kB\nSwapPss:        %8u kB\nLocked:         %8u kB\n",
                (ull)rss, (ull)rss, (ull)(rss - private), 0, 0, (ull)private, (ull)rss, (ull)anonymous, 0, 0, 0);
}

static i64 show_smaps(struct text *out, const struct proc_ref *ref) {
    struct mm *mm = mm_of(ref);
    for (u32 i = 0; mm && i < mm->vma_count; i++) {
        struct vma *vma = mm->vmas[i];
        u64 size = (vma->end - vma->start) >> 10, rss = present_kb(mm, vma);
        bool private = !(vma->flags & VMA_SHARED) && (vma->prot & PROT_WRITE || !vma->object);
        show_vma(out, vma);
        text_printf(out, "Size:           %8llu kB\nKernelPageSize:        4 kB\nMMUPageSize:           4 kB\n", (ull)size);
        show_smap_lines(out, size, rss, private ? rss : 0, vma->object ? 0 : rss);
        text_printf(out, "VmFlags:%s%s%s%s\n", vma->prot & PROT_READ ? " rd" : "", vma->prot & PROT_WRITE ? " wr" : "",
                    vma->prot & PROT_EXEC ? " ex" : "", vma->flags & VMA_SHARED ? " sh" : "");
    }
    return 0;
}

static i64 show_smaps_rollup(struct text *out, const struct proc_ref *ref) {
    struct mm *mm = mm_of(ref);
    u64 rss = 0, private = 0, anonymous = 0;
    for (u32 i = 0; mm && i < mm->vma_count; i++) {
        struct vma *vma = mm->vmas[i];
        u64 kb = present_kb(mm, vma);
        rss += kb;
        private += !(vma->flags & VMA_SHARED) && (vma->prot & PROT_WRITE || !vma->object) ? kb : 0;
        anonymous += vma->object ? 0 : kb;
    }
    if (mm && mm->vma_count)
        text_printf(out, "%llx-%llx ---p 00000000 00:00 0 [rollup]\n", (ull)mm->vmas[0]->start, (ull)mm->vmas[mm->vma_count - 1]->end);
    show_smap_lines(out, 0, rss, private, anonymous);
    return 0;
}

static i64 show_statm(struct text *out, const struct proc_ref *ref) {
    struct mm *mm = mm_of(ref);
    struct sizes s = sizes_of(mm);
    text_printf(out, "%llu %llu %u %llu 0 %llu 0\n", (ull)(s.total >> PAGE_SHIFT), (ull)(mm ? mm->rss : 0), 0u,
                (ull)(s.exe >> PAGE_SHIFT), (ull)((s.data + s.stack) >> PAGE_SHIFT));
    return 0;
}

// ---- Signals -----------------------------------------------------------------------------------
struct signals {
    u64 pending, shared, blocked, ignored, caught;
};

static struct signals signals_of(const struct proc_ref *ref) {
    struct task *task = ref->task;
    struct signals s = {.shared = ref->process->pending.set};
    if (!task)
        return s;
    s.pending = task->pending.set;
    s.blocked = task->blocked;
    for (u32 i = 0; task->sighand && i < 64; i++) {
        u64 handler = task->sighand->action[i].handler;
        s.ignored |= handler == SIG_IGN ? 1ull << i : 0;
        s.caught |= handler > SIG_IGN ? 1ull << i : 0;
    }
    return s;
}

// ---- stat, status ------------------------------------------------------------------------------
static u32 parent_pid(const struct process *process) {
    return process->parent ? process->parent->pid : 0;
}

static i64 show_stat(struct text *out, const struct proc_ref *ref) {
    struct process *process = ref->process;
    struct task *task = ref->task;
    struct mm *mm = mm_of(ref);
    struct signals signals = signals_of(ref);
    u64 user, system;
    if (!task)
        return -ESRCH;
    if (ref->thread)
        user = task->ticks_user, system = task->ticks_system;
    else
        process_cputime(process, &user, &system);
    struct tty *tty = process->tty;
    u64 stack = 0, code = 0, code_end = 0;
    for (u32 i = 0; mm && i < mm->vma_count; i++) {
        struct vma *vma = mm->vmas[i];
        if (vma->name && !strcmp(vma->name, "[stack]"))
            stack = vma->end;
        if (vma->object && vma->object == mm->exe && vma->prot & PROT_EXEC && !code)
            code = vma->start, code_end = vma->end;
    }
    text_printf(out, "%u (%s) %c %u %u %u %d %d 0 %llu 0 0 0 %llu %llu %llu %llu ", ref->thread ? task->tid : process->pid, task->comm,
                process->zombie ? 'Z' : proc_state(task), parent_pid(process), process->pgid, process->sid,
                tty ? (i32)pty_rdev(tty->index) : 0, tty ? (i32)tty->pgrp : -1, (ull)process->min_faults, clock_ticks(user),
                clock_ticks(system), clock_ticks(process->child_utime), clock_ticks(process->child_stime));
    text_printf(out, "%d %d %u 0 %llu %llu %llu %llu %llu %llu %llu 0 0 ", 20 + task->nice, task->nice, process->task_count,
                (ull)(process->start_ns / (NSEC / USER_HZ)), (ull)sizes_of(mm).total, (ull)(mm ? mm->rss : 0),
                (ull)process->rlimit[RLIMIT_RSS][0], (ull)code, (ull)code_end, (ull)stack);
    text_printf(out, "%llu %llu %llu %llu %d 0 0 %u %u %u %u 0 0 0 ", (ull)(signals.pending & 0x7fffffff), (ull)(signals.blocked & 0x7fffffff),
                (ull)(signals.ignored & 0x7fffffff), (ull)(signals.caught & 0x7fffffff), proc_state(task) == 'S', process->exit_signal,
                0, task->sched_priority, task->sched_policy);
    text_printf(out, "0 0 %llu %llu %llu %llu %llu %u\n", (ull)(mm ? mm->brk_start : 0), (ull)(mm ? mm->arg_start : 0),
                (ull)(mm ? mm->arg_end : 0), (ull)(mm ? mm->env_start : 0), (ull)(mm ? mm->env_end : 0), process->exit_status);
    return 0;
}

static const char *state_word(char state) {
    return state == 'R' ? "running" : state == 'T' ? "stopped" : state == 'Z' ? "zombie" : "sleeping";
}

static i64 show_status(struct text *out, const struct proc_ref *ref) {
    struct process *process = ref->process;
    struct task *task = ref->task;
    struct mm *mm = mm_of(ref);
    if (!task)
        return -ESRCH;
    const struct cred *cred = &task->cred;
    struct signals signals = signals_of(ref);
    char state = process->zombie ? 'Z' : proc_state(task);
    text_printf(out, "Name:\t%s\nUmask:\t%04o\nState:\t%c (%s)\nTgid:\t%u\nNgid:\t0\nPid:\t%u\nPPid:\t%u\nTracerPid:\t0\n", task->comm,
                task->fs ? task->fs->umask : 0, state, state_word(state), process->pid, ref->thread ? task->tid : process->pid, parent_pid(process));
    text_printf(out, "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nFDSize:\t%u\nGroups:\t", cred->ruid, cred->euid, cred->suid, cred->fsuid,
                cred->rgid, cred->egid, cred->sgid, cred->fsgid, task->files ? task->files->size : 0);
    for (u32 i = 0; i < cred->group_count; i++)
        text_printf(out, "%u ", cred->groups[i]);
    text_printf(out, "\nNStgid:\t%u\nNSpid:\t%u\nNSpgid:\t%u\nNSsid:\t%u\nKthread:\t0\n", process->pid, task->tid, process->pgid, process->sid);
    if (mm) {
        struct sizes s = sizes_of(mm);
        const struct {
            const char *name;
            u64 kb;
        } rows[] = {
            {"VmPeak", s.total >> 10}, {"VmSize", s.total >> 10}, {"VmLck", s.locked >> 10}, {"VmPin", 0}, {"VmHWM", mm->rss_max * 4},
            {"VmRSS", mm->rss * 4}, {"RssAnon", mm->rss * 4}, {"RssFile", 0}, {"RssShmem", 0}, {"VmData", s.data >> 10},
            {"VmStk", s.stack >> 10}, {"VmExe", s.exe >> 10}, {"VmLib", s.lib >> 10}, {"VmPTE", mm->rss / 128}, {"VmSwap", 0},
        };
        for (u32 i = 0; i < lengthof(rows); i++)
            text_printf(out, "%s:\t%8llu kB\n", rows[i].name, (ull)rows[i].kb);
    }
    text_printf(out, "Threads:\t%u\nSigQ:\t%u/%llu\nSigPnd:\t%016llx\nShdPnd:\t%016llx\nSigBlk:\t%016llx\nSigIgn:\t%016llx\nSigCgt:\t%016llx\n",
                process->task_count, process->pending.count + task->pending.count, (ull)process->rlimit[RLIMIT_SIGPENDING][0],
                (ull)signals.pending, (ull)signals.shared, (ull)signals.blocked, (ull)signals.ignored, (ull)signals.caught);
    text_printf(out, "CapInh:\t%016llx\nCapPrm:\t%016llx\nCapEff:\t%016llx\nCapBnd:\t%016llx\nCapAmb:\t%016llx\nNoNewPrivs:\t%u\nSeccomp:\t0\n",
                (ull)cred->cap_inheritable, (ull)cred->cap_permitted, (ull)cred->cap_effective, (1ull << (CAP_LAST + 1)) - 1, 0ull,
                cred->no_new_privs);
    u64 cpus = (1ull << kernel->cpus) - 1;
    text_printf(out, "Cpus_allowed:\t%llx\nCpus_allowed_list:\t0", (ull)cpus);
    if (kernel->cpus > 1)
        text_printf(out, "-%u", kernel->cpus - 1);
    text_printf(out, "\nMems_allowed:\t1\nMems_allowed_list:\t0\nvoluntary_ctxt_switches:\t%u\nnonvoluntary_ctxt_switches:\t%u\n", 0, 0);
    return 0;
}

static i64 show_comm(struct text *out, const struct proc_ref *ref) {
    text_printf(out, "%s\n", ref->task ? ref->task->comm : "");
    return 0;
}

static i64 write_comm(const struct proc_ref *ref, const char *data, u32 len) {
    if (!ref->task || (ref->reader && ref->reader->process != ref->process))
        return -EINVAL;
    strlcpy(ref->task->comm, data, sizeof ref->task->comm);
    return 0;
}

// ---- Limits, scheduling, odds and ends ---------------------------------------------------------
static i64 show_limits(struct text *out, const struct proc_ref *ref) {
    static const struct {
        const char *name, *unit;
    } rows[16] = {
        [RLIMIT_CPU] = {"Max cpu time", "seconds"}, [RLIMIT_FSIZE] = {"Max file size", "bytes"}, [RLIMIT_DATA] = {"Max data size", "bytes"},
        [RLIMIT_STACK] = {"Max stack size", "bytes"}, [RLIMIT_CORE] = {"Max core file size", "bytes"},
        [RLIMIT_RSS] = {"Max resident set", "bytes"}, [RLIMIT_NPROC] = {"Max processes", "processes"},
        [RLIMIT_NOFILE] = {"Max open files", "files"}, [RLIMIT_MEMLOCK] = {"Max locked memory", "bytes"},
        [RLIMIT_AS] = {"Max address space", "bytes"}, [RLIMIT_LOCKS] = {"Max file locks", "locks"},
        [RLIMIT_SIGPENDING] = {"Max pending signals", "signals"}, [RLIMIT_MSGQUEUE] = {"Max msgqueue size", "bytes"},
        [RLIMIT_NICE] = {"Max nice priority", ""}, [RLIMIT_RTPRIO] = {"Max realtime priority", ""}, [RLIMIT_RTTIME] = {"Max realtime timeout", "us"},
    };
    text_printf(out, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (u32 i = 0; i < lengthof(rows); i++) {
        text_printf(out, "%-26s", rows[i].name);
        for (u32 k = 0; k < 2; k++) {
            char value[24];
            u64 limit = ref->process->rlimit[i][k];
            ksnprintf(value, sizeof value, limit == RLIM_INFINITY ? "unlimited" : "%llu", (ull)limit);
            text_printf(out, "%-20s ", value);
        }
        text_printf(out, "%-10s\n", rows[i].unit);
    }
    return 0;
}

static i64 show_io(struct text *out, const struct proc_ref *ref) {
    static const char *const names[] = {"rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes", "cancelled_write_bytes"};
    for (u32 i = 0; i < lengthof(names); i++) // not counted
        text_printf(out, "%s: 0\n", names[i]);
    return 0;
}

static i64 show_schedstat(struct text *out, const struct proc_ref *ref) {
    text_printf(out, "%llu 0 0\n", (ull)(ref->task ? task_cputime_ns(ref->task) : 0));
    return 0;
}

static u32 oom_score(const struct process *process, struct mm *mm) {
    i64 score = mm && pages_total() ? (i64)(mm->rss * 1000 / pages_total()) : 0;
    return (u32)max(score + 666 + process->oom_score_adj * 2 / 3, (i64)0);
}

static i64 show_oom_score(struct text *out, const struct proc_ref *ref) {
    text_printf(out, "%u\n", oom_score(ref->process, mm_of(ref)));
    return 0;
}

static i64 show_oom_score_adj(struct text *out, const struct proc_ref *ref) {
    text_printf(out, "%d\n", ref->process->oom_score_adj);
    return 0;
}

static i64 parse(const char *data, i64 *out) {
    bool minus = *data == '-';
    i64 value = 0;
    data += minus;
    if (!*data)
        return -EINVAL;
    for (; *data; data++) {
        if (*data < '0' || *data > '9' || value > 1ll << 40)
            return -EINVAL;
        value = value * 10 + (*data - '0');
    }
    *out = minus ? -value : value;
    return 0;
}

static i64 write_oom_score_adj(const struct proc_ref *ref, const char *data, u32 len) {
    i64 value, error = parse(data, &value);
    if (error || value < -1000 || value > 1000)
        return -EINVAL;
    if (value < ref->process->oom_score_adj && !(ref->reader->cred.cap_effective & 1ull << CAP_SYS_RESOURCE))
        return -EACCES;
    ref->process->oom_score_adj = (i32)value;
    return 0;
}

static i64 show_cgroup(struct text *out, const struct proc_ref *ref) {
    text_printf(out, "0::/\n");
    return 0;
}

static i64 show_wchan(struct text *out, const struct proc_ref *ref) {
    text_append(out, "0", 1);
    return 0;
}

static i64 show_loginuid(struct text *out, const struct proc_ref *ref) {
    text_printf(out, "%u", ~0u); // nobody logged in
    return 0;
}

static i64 show_id_map(struct text *out, const struct proc_ref *ref) {
    text_printf(out, "%10u %10u %10u\n", 0, 0, ~0u);
    return 0;
}

static i64 show_children(struct text *out, const struct proc_ref *ref) {
    struct process *child;
    if (ref->task != ref->process->leader)
        return 0;
    list_each(child, &ref->process->children, sibling)
        text_printf(out, "%u ", child->pid);
    return 0;
}

// ---- Links -------------------------------------------------------------------------------------
static struct inode *exe_of(const struct proc_ref *ref) {
    struct mm *mm = mm_of(ref);
    return mm && mm->exe ? inode_of(mm->exe) : NULL;
}
static struct inode *cwd_of(const struct proc_ref *ref) {
    return ref->task && ref->task->fs ? ref->task->fs->cwd : NULL;
}
static struct inode *root_of(const struct proc_ref *ref) {
    return ref->task && ref->task->fs ? ref->task->fs->root : NULL;
}

static i64 read_path(const struct proc_ref *ref, struct inode *inode, char *out, u32 size) {
    return inode ? path_shown(ref->reader, inode, out, size) : -ENOENT;
}
static i64 follow_to(struct inode *inode, struct inode **out) {
    if (!inode)
        return -ENOENT;
    inode_get(inode);
    *out = inode;
    return 0;
}
#define MAGIC(what)                                                                                                                \
    static i64 read_##what(const struct proc_ref *ref, char *out, u32 size) {                                                      \
        return read_path(ref, what##_of(ref), out, size);                                                                          \
    }                                                                                                                              \
    static i64 follow_##what(const struct proc_ref *ref, struct inode **out) {                                                     \
        return follow_to(what##_of(ref), out);                                                                                     \
    }
MAGIC(exe)
MAGIC(cwd)
MAGIC(root)

// ---- Namespaces: one of each --------------------------------------------------------------------
#define NAMESPACE(what, number)                                                                                                    \
    static i64 read_ns_##what(const struct proc_ref *ref, char *out, u32 size) {                                                   \
        return min((u32)ksnprintf(out, size, #what ":[%u]", number), size - 1);                                                    \
    }
NAMESPACE(cgroup, 4026531835u)
NAMESPACE(ipc, 4026531839u)
NAMESPACE(mnt, 4026531841u)
NAMESPACE(net, 4026531840u)
NAMESPACE(pid, 4026531836u)
NAMESPACE(user, 4026531837u)
NAMESPACE(uts, 4026531838u)
static const struct proc_entry namespaces[] = {
    {"cgroup", PROC_LINK, 0777, .readlink = read_ns_cgroup}, {"ipc", PROC_LINK, 0777, .readlink = read_ns_ipc},
    {"mnt", PROC_LINK, 0777, .readlink = read_ns_mnt},       {"net", PROC_LINK, 0777, .readlink = read_ns_net},
    {"pid", PROC_LINK, 0777, .readlink = read_ns_pid},       {"user", PROC_LINK, 0777, .readlink = read_ns_user},
    {"uts", PROC_LINK, 0777, .readlink = read_ns_uts},
};

const struct proc_entry proc_process[] = {
    {"task", PROC_TASKS, 0555, .leader_only = true},
    {"fd", PROC_FDS, 0500, .guarded = true},
    {"fdinfo", PROC_FDINFOS, 0555, .guarded = true},
    {"ns", PROC_DIR, 0511, PROC_CHILDREN(namespaces)},
    {"environ", PROC_FILE, 0400, .guarded = true, .show = show_environ},
    {"auxv", PROC_FILE, 0400, .guarded = true, .show = show_auxv},
    {"status", PROC_FILE, 0444, .show = show_status},
    {"limits", PROC_FILE, 0444, .show = show_limits},
    {"comm", PROC_FILE, 0644, .show = show_comm, .write = write_comm},
    {"cmdline", PROC_FILE, 0444, .show = show_cmdline},
    {"stat", PROC_FILE, 0444, .show = show_stat},
    {"statm", PROC_FILE, 0444, .show = show_statm},
    {"maps", PROC_FILE, 0444, .guarded = true, .show = show_maps},
    {"smaps", PROC_FILE, 0444, .guarded = true, .show = show_smaps},
    {"smaps_rollup", PROC_FILE, 0444, .guarded = true, .show = show_smaps_rollup},
    {"cwd", PROC_MAGIC, 0777, .guarded = true, .readlink = read_cwd, .follow = follow_cwd},
    {"root", PROC_MAGIC, 0777, .guarded = true, .readlink = read_root, .follow = follow_root},
    {"exe", PROC_MAGIC, 0777, .guarded = true, .readlink = read_exe, .follow = follow_exe},
    {"mounts", PROC_FILE, 0444, .show = proc_show_mounts},
    {"mountinfo", PROC_FILE, 0444, .show = proc_show_mountinfo},
    {"io", PROC_FILE, 0400, .guarded = true, .show = show_io},
    {"schedstat", PROC_FILE, 0444, .show = show_schedstat},
    {"oom_score", PROC_FILE, 0444, .show = show_oom_score},
    {"oom_score_adj", PROC_FILE, 0644, .show = show_oom_score_adj, .write = write_oom_score_adj},
    {"cgroup", PROC_FILE, 0444, .show = show_cgroup},
    {"wchan", PROC_FILE, 0444, .show = show_wchan},
    {"loginuid", PROC_FILE, 0644, .show = show_loginuid},
    {"sessionid", PROC_FILE, 0444, .show = show_loginuid},
    {"uid_map", PROC_FILE, 0644, .show = show_id_map},
    {"gid_map", PROC_FILE, 0644, .show = show_id_map},
    {"net", PROC_DIR, 0555, .children = proc_net, .child_count = PROC_NET_COUNT, .leader_only = true},
    {"children", PROC_FILE, 0444, .show = show_children},
};
const u32 proc_process_count = lengthof(proc_process);

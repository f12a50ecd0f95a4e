// The system's part of /proc: memory, time, processors, file systems, and the settings of /proc/sys. proc(5) gives each
// format.
#include "../kernel.h"
#include "../lib/string.h"
#include "../task/itimer.h"
#include "../task/load.h"
#include "pipe.h"
#include "procfs.h"

typedef unsigned long long ull;

// ---- Processors, time, memory ------------------------------------------------------------------
static i64 show_cpuinfo(struct text *out, const struct proc_ref *ref) {
    for (u32 i = 0; i < kernel->cpus; i++)
        text_printf(out, "processor\t: %u\nhart\t\t: %u\nisa\t\t: rv64imafdc_zicntr_zicsr_zifencei\nmmu\t\t: sv48\n"
                         "mvendorid\t: 0x0\nmarchid\t\t: 0x0\nmimpid\t\t: 0x0\n\n", i, i);
    return 0;
}

static i64 show_meminfo(struct text *out, const struct proc_ref *ref) {
    u64 total = pages_total() * 4, free = pages_free() * 4;
    const struct {
        const char *name;
        u64 kb;
    } rows[] = {
        {"MemTotal", total}, {"MemFree", free}, {"MemAvailable", free}, {"Buffers", 0}, {"Cached", 0}, {"SwapCached", 0}, {"Active", total - free},
        {"Inactive", 0}, {"Active(anon)", total - free}, {"Inactive(anon)", 0}, {"Active(file)", 0}, {"Inactive(file)", 0}, {"Unevictable", 0},
        {"Mlocked", 0}, {"SwapTotal", 0}, {"SwapFree", 0}, {"Dirty", 0}, {"Writeback", 0}, {"AnonPages", total - free}, {"Mapped", 0}, {"Shmem", 0},
        {"KReclaimable", 0}, {"Slab", (kernel->heap_end - kernel->heap_start) / 1024}, {"SReclaimable", 0},
        {"SUnreclaim", (kernel->heap_end - kernel->heap_start) / 1024}, {"KernelStack", 0}, {"PageTables", 0}, {"CommitLimit", total},
        {"Committed_AS", total - free}, {"VmallocTotal", 0}, {"VmallocUsed", 0}, {"VmallocChunk", 0},
    };
    for (u32 i = 0; i < lengthof(rows); i++) {
        char name[24];
        ksnprintf(name, sizeof name, "%s:", rows[i].name);
        text_printf(out, "%-15s %8llu kB\n", name, (ull)rows[i].kb);
    }
    text_printf(out, "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\nHugePages_Surp:        0\nHugepagesize:       2048 kB\n");
    return 0;
}

// Processor time of everyone: own time of the living, and what they inherited from the children they reaped.
static void busy_ticks(u64 *user, u64 *system) {
    struct process *process;
    *user = *system = 0;
    list_each(process, &kernel->processes, all) {
        u64 u, s;
        process_cputime(process, &u, &s);
        *user += u + process->child_utime;
        *system += s + process->child_stime;
    }
}

static u32 running_count(void) {
    u32 count = 0;
    struct process *process;
    struct task *task;
    list_each(process, &kernel->processes, all)
        list_each(task, &process->tasks, sibling)
            count += task->state == TASK_RUNNABLE || task->state == TASK_RUNNING;
    return count;
}

static u64 idle_ns(u64 user, u64 system) {
    u64 all = now_boot_ns() * kernel->cpus, busy = cputime_ns(user + system);
    return all > busy ? all - busy : 0;
}

static i64 show_stat(struct text *out, const struct proc_ref *ref) {
    u64 user, system, hz = NSEC / USER_HZ;
    busy_ticks(&user, &system);
    u64 idle = idle_ns(user, system) / hz;
    text_printf(out, "cpu  %llu 0 %llu %llu 0 0 0 0 0 0\n", (ull)(cputime_ns(user) / hz), (ull)(cputime_ns(system) / hz), (ull)idle);
    for (u32 i = 0; i < kernel->cpus; i++)
        text_printf(out, "cpu%u %llu 0 %llu %llu 0 0 0 0 0 0\n", i, (ull)(cputime_ns(user / kernel->cpus) / hz),
                    (ull)(cputime_ns(system / kernel->cpus) / hz), (ull)(idle / kernel->cpus));
    text_printf(out, "intr 0\nctxt %llu\nbtime %llu\nprocesses %llu\nprocs_running %u\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
                (ull)kernel->switches, (ull)((now_real_ns() - now_boot_ns()) / NSEC), (ull)kernel->forks, running_count());
    return 0;
}

static i64 show_uptime(struct text *out, const struct proc_ref *ref) {
    u64 user, system;
    busy_ticks(&user, &system);
    u64 up = now_boot_ns() / 10000000, idle = idle_ns(user, system) / 10000000;
    text_printf(out, "%llu.%02llu %llu.%02llu\n", (ull)(up / 100), (ull)(up % 100), (ull)(idle / 100), (ull)(idle % 100));
    return 0;
}

static i64 show_loadavg(struct text *out, const struct proc_ref *ref) {
    load_account();
    for (u32 i = 0; i < 3; i++) {
        u64 hundredths = (kernel->load_avg[i] * 100 + (1u << LOAD_SHIFT) / 2) >> LOAD_SHIFT;
        text_printf(out, "%llu.%02llu ", (ull)(hundredths / 100), (ull)(hundredths % 100));
    }
    text_printf(out, "%u/%u %u\n", running_count(), kernel->task_count, kernel->tid_next ? kernel->tid_next - 1 : 0);
    return 0;
}

static i64 show_vmstat(struct text *out, const struct proc_ref *ref) {
    text_printf(out, "nr_free_pages %llu\nnr_anon_pages %llu\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\npgmajfault 0\noom_kill 0\n",
                (ull)pages_free(), (ull)(pages_total() - pages_free()));
    return 0;
}

// ---- Names -------------------------------------------------------------------------------------
static i64 show_version(struct text *out, const struct proc_ref *ref) {
    text_printf(out, "Linux version " UTS_RELEASE " " UTS_VERSION "\n");
    return 0;
}

static i64 show_command_line(struct text *out, const struct proc_ref *ref) {
    text_printf(out, "\n");
    return 0;
}

static i64 show_filesystems(struct text *out, const struct proc_ref *ref) {
    const struct filesystem_type *type;
    for (u32 i = 0; (type = filesystem_type_at(i)); i++)
        text_printf(out, "%s\t%s\n", type->nodev ? "nodev" : "", type->name);
    return 0;
}

static i64 show_devices(struct text *out, const struct proc_ref *ref) {
    text_printf(out, "Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n136 pts\n\nBlock devices:\n");
    return 0;
}

static i64 show_swaps(struct text *out, const struct proc_ref *ref) {
    text_printf(out, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n");
    return 0;
}

static i64 show_partitions(struct text *out, const struct proc_ref *ref) {
    text_printf(out, "major minor  #blocks  name\n\n");
    return 0;
}

// ---- Mounts ------------------------------------------------------------------------------------
static const struct {
    u32 flag;
    const char *name;
} mount_options[] = {{MS_NOSUID, "nosuid"}, {MS_NODEV, "nodev"}, {MS_NOEXEC, "noexec"}, {MS_NOATIME, "noatime"}};

static void mount_flags(struct text *out, const struct filesystem *fs) {
    text_printf(out, fs->flags & MS_RDONLY ? "ro" : "rw");
    for (u32 i = 0; i < lengthof(mount_options); i++)
        if (fs->flags & mount_options[i].flag)
            text_printf(out, ",%s", mount_options[i].name);
    if (!(fs->flags & MS_NOATIME))
        text_printf(out, ",relatime");
}

static void escaped(struct text *out, const char *s, u32 n) { // as octal: what would split a field
    for (u32 i = 0; i < n; i++)
        if (s[i] == ' ' || s[i] == '\t' || s[i] == '\n' || s[i] == '\\')
            text_printf(out, "\\%03o", s[i]);
        else
            text_append(out, s + i, 1);
}

// False: not below the reader's root.
static bool mount_target(struct text *out, const struct filesystem *fs, struct task *reader) {
    char path[1024];
    i64 n = fs->mountpoint ? path_of(reader, fs->root, path, sizeof path) : 1;
    if (n <= 0)
        return false;
    if (fs->mountpoint)
        escaped(out, path, (u32)n);
    else
        text_append(out, "/", 1);
    return true;
}

i64 proc_show_mounts(struct text *out, const struct proc_ref *ref) {
    struct filesystem *fs;
    list_each(fs, &kernel->mounts, link) {
        struct text target = {0};
        if (mount_target(&target, fs, ref->reader)) {
            escaped(out, fs->source, (u32)strlen(fs->source));
            text_append(out, " ", 1);
            text_append(out, target.data, target.len);
            text_printf(out, " %s ", fs->type);
            mount_flags(out, fs);
            text_printf(out, " 0 0\n");
        }
        text_free(&target);
    }
    return 0;
}

i64 proc_show_mountinfo(struct text *out, const struct proc_ref *ref) {
    struct filesystem *fs;
    u32 id = 20;
    list_each(fs, &kernel->mounts, link) {
        struct text target = {0};
        id++;
        if (mount_target(&target, fs, ref->reader)) {
            u32 parent = 20;
            struct filesystem *other;
            u32 at = 20;
            list_each(other, &kernel->mounts, link) {
                at++;
                if (fs->mountpoint && fs->mountpoint->fs == other)
                    parent = at;
            }
            text_printf(out, "%u %u %u:%u / ", id, parent, fs->dev >> 8 & 0xfff, fs->dev & 0xff);
            text_append(out, target.data, target.len);
            text_append(out, " ", 1);
            mount_flags(out, fs);
            text_printf(out, " - %s ", fs->type);
            escaped(out, fs->source, (u32)strlen(fs->source));
            text_printf(out, fs->flags & MS_RDONLY ? " ro\n" : " rw\n");
        }
        text_free(&target);
    }
    return 0;
}

// ---- /proc/sys ---------------------------------------------------------------------------------
#define TEXT(name, ...)                                                                                                            \
    static i64 show_##name(struct text *out, const struct proc_ref *ref) {                                                         \
        text_printf(out, __VA_ARGS__);                                                                                             \
        return 0;                                                                                                                  \
    }
#define SETTING(name) {#name, PROC_FILE, 0444, .show = show_##name}

TEXT(hostname, "%s\n", kernel->hostname)
TEXT(domainname, "%s\n", kernel->domainname)
TEXT(osrelease, UTS_RELEASE "\n")
TEXT(ostype, "Linux\n")
TEXT(sys_version, UTS_VERSION "\n")
TEXT(pid_max, "%u\n", kernel->tid_cap ? max(kernel->tid_cap, 32768u) : 32768u)
TEXT(threads_max, "%u\n", kernel->task_max)
TEXT(ngroups_max, "%u\n", (u32)lengthof(((struct cred *)0)->groups))
TEXT(cap_last_cap, "%u\n", CAP_LAST)
TEXT(overflowuid, "65534\n")
TEXT(overflowgid, "65534\n")
TEXT(core_pattern, "core\n")
TEXT(randomize_va_space, "0\n")
TEXT(tainted, "0\n")
TEXT(printk, "4\t4\t1\t7\n")
TEXT(msgmax, "8192\n")
TEXT(shmmax, "%llu\n", (ull)(pages_total() * PAGE_SIZE))

static i64 write_hostname(const struct proc_ref *ref, const char *data, u32 len) {
    if (!ref->reader || !(ref->reader->cred.cap_effective & 1ull << CAP_SYS_ADMIN))
        return -EPERM;
    strlcpy(kernel->hostname, data, sizeof kernel->hostname);
    return 0;
}

static void show_uuid_of(struct text *out, u8 id[16]) {
    id[6] = (id[6] & 0x0f) | 0x40;
    id[8] = (id[8] & 0x3f) | 0x80;
    for (u32 i = 0; i < 16; i++)
        text_printf(out, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", id[i]);
    text_append(out, "\n", 1);
}
static i64 show_uuid(struct text *out, const struct proc_ref *ref) {
    u8 id[16];
    random_bytes(&kernel->random, id, sizeof id);
    show_uuid_of(out, id);
    return 0;
}
static i64 show_boot_id(struct text *out, const struct proc_ref *ref) {
    if (!kernel->boot_id[0] && !kernel->boot_id[1])
        random_bytes(&kernel->random, kernel->boot_id, sizeof kernel->boot_id);
    u8 id[16];
    memcpy(id, kernel->boot_id, sizeof id);
    show_uuid_of(out, id);
    return 0;
}
TEXT(entropy_avail, "256\n")
TEXT(poolsize, "256\n")

TEXT(overcommit_memory, "1\n") // memory is charged at first touch
TEXT(overcommit_ratio, "50\n")
TEXT(max_map_count, "65530\n")
TEXT(mmap_min_addr, "65536\n")
TEXT(swappiness, "0\n")
TEXT(nr_hugepages, "0\n")

TEXT(file_max, "%u\n", kernel->files_max ? kernel->files_max : FD_MAX)
TEXT(file_nr, "0\t0\t%u\n", kernel->files_max ? kernel->files_max : FD_MAX)
TEXT(nr_open, "%u\n", FD_MAX)
TEXT(pipe_max_size, "%u\n", PIPE_SIZE_MAX)
TEXT(pipe_user_pages_soft, "16384\n")
TEXT(max_user_watches, "65536\n")
TEXT(max_user_instances, "1024\n")
TEXT(max_queued_events, "16384\n")
TEXT(somaxconn, "4096\n")
TEXT(ip_local_port_range, "32768\t60999\n")
TEXT(ip_forward, "0\n")

static const struct proc_entry sys_random[] = {SETTING(boot_id), SETTING(uuid), SETTING(entropy_avail), SETTING(poolsize)};
static const struct proc_entry sys_kernel[] = {
    {"hostname", PROC_FILE, 0644, .show = show_hostname, .write = write_hostname},
    SETTING(domainname), SETTING(osrelease), SETTING(ostype),
    {"version", PROC_FILE, 0444, .show = show_sys_version},
    SETTING(pid_max),
    {"threads-max", PROC_FILE, 0444, .show = show_threads_max},
    SETTING(ngroups_max), SETTING(cap_last_cap), SETTING(overflowuid), SETTING(overflowgid), SETTING(core_pattern),
    SETTING(randomize_va_space), SETTING(tainted), SETTING(printk), SETTING(msgmax), SETTING(shmmax),
    {"random", PROC_DIR, 0555, PROC_CHILDREN(sys_random)},
};
static const struct proc_entry sys_vm[] = {
    SETTING(overcommit_memory), SETTING(overcommit_ratio), SETTING(max_map_count), SETTING(mmap_min_addr), SETTING(swappiness),
    SETTING(nr_hugepages),
};
static const struct proc_entry sys_inotify[] = {SETTING(max_user_watches), SETTING(max_user_instances), SETTING(max_queued_events)};
static const struct proc_entry sys_epoll[] = {SETTING(max_user_watches)};
static const struct proc_entry sys_fs[] = {
    {"file-max", PROC_FILE, 0444, .show = show_file_max},
    {"file-nr", PROC_FILE, 0444, .show = show_file_nr},
    SETTING(nr_open),
    {"pipe-max-size", PROC_FILE, 0444, .show = show_pipe_max_size},
    {"pipe-user-pages-soft", PROC_FILE, 0444, .show = show_pipe_user_pages_soft},
    {"inotify", PROC_DIR, 0555, PROC_CHILDREN(sys_inotify)},
    {"epoll", PROC_DIR, 0555, PROC_CHILDREN(sys_epoll)},
};
static const struct proc_entry sys_net_core[] = {SETTING(somaxconn)};
static const struct proc_entry sys_net_ipv4[] = {SETTING(ip_local_port_range), SETTING(ip_forward)};
static const struct proc_entry sys_net[] = {
    {"core", PROC_DIR, 0555, PROC_CHILDREN(sys_net_core)},
    {"ipv4", PROC_DIR, 0555, PROC_CHILDREN(sys_net_ipv4)},
};
static const struct proc_entry sys[] = {
    {"kernel", PROC_DIR, 0555, PROC_CHILDREN(sys_kernel)},
    {"vm", PROC_DIR, 0555, PROC_CHILDREN(sys_vm)},
    {"fs", PROC_DIR, 0555, PROC_CHILDREN(sys_fs)},
    {"net", PROC_DIR, 0555, PROC_CHILDREN(sys_net)},
};

// ---- Links -------------------------------------------------------------------------------------
#define LINK(name, ...)                                                                                                            \
    static i64 read_##name(const struct proc_ref *ref, char *out, u32 size) {                                                      \
        return min((u32)ksnprintf(out, size, __VA_ARGS__), size - 1);                                                              \
    }
LINK(self, "%u", ref->reader ? ref->reader->process->pid : 1)
LINK(thread_self, "%u/task/%u", ref->reader ? ref->reader->process->pid : 1, ref->reader ? ref->reader->tid : 1)
LINK(mounts, "self/mounts")
LINK(net, "self/net")

const struct proc_entry proc_system[] = {
    {"self", PROC_LINK, 0777, .readlink = read_self},
    {"thread-self", PROC_LINK, 0777, .readlink = read_thread_self},
    {"mounts", PROC_LINK, 0777, .readlink = read_mounts},
    {"net", PROC_LINK, 0777, .readlink = read_net},
    {"cmdline", PROC_FILE, 0444, .show = show_command_line},
    SETTING(cpuinfo), SETTING(devices), SETTING(filesystems), SETTING(loadavg), SETTING(meminfo), SETTING(partitions),
    SETTING(stat), SETTING(swaps), SETTING(uptime), SETTING(version), SETTING(vmstat),
    {"sys", PROC_DIR, 0555, PROC_CHILDREN(sys)},
};
const u32 proc_system_count = lengthof(proc_system);

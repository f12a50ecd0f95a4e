// The debugger's side of the border: see debug.h. Reads the machine and never changes it.
#include "debug.h"
#include "fs/inode.h"
#include "fs/path.h"
#include "kernel.h"
#include "proc/proc.h"
#include "task/itimer.h"
#include "task/signal.h"

#define STOPS 64u
#define WATCH_MAX 256u
#define NOTES 64u
#define TASKS 4096u

struct debug_stop {
    u32 pid, kind, len;
    bool known; // `value` was there
    u64 va;
    u8 value[WATCH_MAX];
};

// ---- Reading -----------------------------------------------------------------------------------
static struct task *any_task(u32 pid) {
    struct process *process = process_find(pid);
    struct task *task;
    if (process)
        list_each(task, &process->tasks, sibling)
            if (task->mm)
                return task;
    return NULL;
}

// Where the page of `va` is, without making it present; NULL when nowhere in memory.
static const u8 *look(struct mm *mm, u64 va) {
    maddr frame = mm_look(mm, va);
    if (frame)
        return MPTR(const u8, frame + (u32)(va & PAGE_MASK));
    struct vma *vma = mm_find(mm, va);
    if (!vma)
        return NULL;
    const u8 *page = MPTR(const u8, kernel->zero_page);
    if (vma->object) {
        struct inode *inode = inode_of(vma->object);
        u64 index = vma->index + ((va - vma->start) >> PAGE_SHIFT);
        struct page *cached = inode ? pagecache_find(&inode->pages, index) : NULL;
        if (!cached)
            return NULL;
        page = page_data(cached);
    }
    return page + (va & PAGE_MASK);
}

static u32 read(struct mm *mm, u64 va, u8 *to, u32 len) {
    u32 done = 0;
    while (done < len) {
        u32 n = min(len - done, (u32)(PAGE_SIZE - ((va + done) & PAGE_MASK)));
        const u8 *from = look(mm, va + done);
        if (!from)
            break;
        memcpy(to + done, from, n);
        done += n;
    }
    return done;
}

// ---- Notes -------------------------------------------------------------------------------------
static void note(struct debug_note what) {
    host.debug.notes->note[host.debug.notes->count++ % NOTES] = what;
    if (host.debug.stops)
        host.debug.stopped = true;
}

bool debug_check(void) {
    if (host.debug.until_tid) {
        struct task *task = task_find(host.debug.until_tid);
        bool there = task && task->state != TASK_DEAD;
        if (there ? task->cpu.instret >= host.debug.until_instret : host.debug.until_seen)
            host.debug.stopped = true;
        host.debug.until_seen |= there;
    }
    return host.debug.stopped;
}

u64 debug_fuel(const struct task *task) {
    return task->tid == host.debug.until_tid ? host.debug.until_instret - task->cpu.instret : ~0ull;
}

bool debug_breaks_at(u32 off) {
    for (u32 i = 0; i < host.debug.count && host.debug.breaks; i++)
        if (host.debug.stop[i].kind == DEBUG_BREAK && (host.debug.stop[i].va & PAGE_MASK) == off)
            return true;
    return false;
}

bool debug_break(struct task *task, u64 pc, u64 tick, u64 instret) {
    tick += host.order.shift;
    if (tick < host.debug.from || (task->tid == host.debug.last_tid && instret == host.debug.last_instret && pc == host.debug.last_pc))
        goto pass; // an instruction that faults begins again
    for (u32 i = 0; i < host.debug.count; i++) {
        struct debug_stop *stop = &host.debug.stop[i];
        if (stop->kind != DEBUG_BREAK || stop->va != pc || stop->pid != task->process->pid)
            continue;
        host.debug.last_tid = task->tid;
        host.debug.last_instret = instret;
        host.debug.last_pc = pc;
        note((struct debug_note){.tick = tick, .after = tick, .va = pc, .pc = pc, .kind = DEBUG_BREAK,
                                 .pid = stop->pid, .tid = task->tid});
        return host.debug.stops;
    }
    return false;
pass:
    host.debug.last_tid = task->tid;
    host.debug.last_instret = instret;
    host.debug.last_pc = pc;
    return false;
}

bool debug_watches(maddr frame, bool writes) {
    for (u32 i = 0; i < host.debug.count; i++) {
        struct debug_stop *stop = &host.debug.stop[i];
        if (stop->kind == DEBUG_BREAK || (!writes && stop->kind == DEBUG_WRITE))
            continue;
        struct task *task = any_task(stop->pid);
        u64 last = (stop->va + stop->len - 1) & ~PAGE_MASK;
        for (u64 va = stop->va & ~PAGE_MASK; task && va <= last; va += PAGE_SIZE)
            if (mm_look(task->mm, va) == frame)
                return true;
    }
    return false;
}

// Has what is watched another value now? Notes it.
static bool changed(struct debug_stop *stop) {
    u8 value[WATCH_MAX];
    struct task *task = any_task(stop->pid);
    if (!task || read(task->mm, stop->va, value, stop->len) < stop->len)
        return stop->known = false;
    bool was = stop->known, differs = memcmp(value, stop->value, stop->len);
    memcpy(stop->value, value, stop->len);
    stop->known = true;
    return was && differs;
}

bool debug_accessed(struct task *task, u64 va, u32 size, bool write, u64 pc, u64 tick) {
    bool hit = false;
    tick += host.order.shift;
    for (u32 i = 0; i < host.debug.count; i++) {
        struct debug_stop *stop = &host.debug.stop[i];
        bool touched = stop->pid == task->process->pid && va < stop->va + stop->len && stop->va < va + size;
        bool holds = write ? (stop->kind != DEBUG_BREAK && changed(stop)) || (stop->kind == DEBUG_ACCESS && touched)
                           : (stop->kind == DEBUG_READ || stop->kind == DEBUG_ACCESS) && touched;
        if (!holds)
            continue;
        note((struct debug_note){.tick = tick, .after = tick + 1, .va = stop->va, .pc = pc, .kind = stop->kind,
                                 .pid = stop->pid, .tid = task->tid});
        hit = true;
    }
    return hit && host.debug.stops;
}

void debug_pass(u64 before) {
    struct task *task = host.running ? kernel->current[host.running->id] : NULL;
    for (u32 i = 0; i < host.debug.count; i++) {
        struct debug_stop *stop = &host.debug.stop[i];
        if (stop->kind == DEBUG_BREAK || !changed(stop) || stop->kind == DEBUG_READ)
            continue;
        note((struct debug_note){.tick = before, .after = moment(), .va = stop->va, .kind = stop->kind,
                                 .pc = task ? task->cpu.pc : 0, .pid = stop->pid,
                                 .tid = task ? task->tid : 0});
    }
}

static void of_process(u32 kind, struct process *process, u64 value) {
    struct task *task = host.running ? kernel->current[host.running->id] : NULL;
    if (host.debug.kinds & 1u << kind)
        note((struct debug_note){.tick = moment(), .after = moment() + 1, .va = value, .kind = kind,
                                 .pc = task ? task->cpu.pc : 0, .pid = process->pid,
                                 .tid = task ? task->tid : 0});
}

void debug_exec(struct process *process) {
    of_process(DEBUG_EXEC, process, 0);
}

void debug_exit(struct process *process, u32 status) {
    of_process(status & 0x7f ? DEBUG_FATAL : DEBUG_EXIT, process, status);
}

// ---- Exports -----------------------------------------------------------------------------------
static void arm(void) {
    host.debug.breaks = host.debug.watches = 0;
    for (u32 i = 0; i < host.debug.count; i++)
        *(host.debug.stop[i].kind == DEBUG_BREAK ? &host.debug.breaks : &host.debug.watches) += 1;
    host.debug.active = host.debug.count || host.debug.kinds || host.debug.until_tid;
    struct hart *hart = host.hart[0];
    if (!hart->cpu)
        return;
    for (u32 i = 0; i < TLB_POOL; i++)
        hart->pool[i].mm_gen = ~0ull;
    cpu_debug(hart, host.debug.breaks, host.debug.watches);
}

// What else is noted, by bit, and whether a step ends at the first note. `here`: a breakpoint at the instruction
// that is next counts.
__attribute__((export_name("k_debug_note"))) u32 k_debug_note(u32 kinds, u32 stops, u32 here) {
    host.debug.kinds = kinds;
    host.debug.stops = stops;
    host.debug.stopped = false;
    host.debug.from = moment() + !here;
    host.debug.last_tid = 0;
    host.debug.until_tid = 0;
    host.debug.notes->count = 0;
    host.debug.active = host.debug.count || kinds;
    return 0;
}

// Nothing is watched any more.
__attribute__((export_name("k_debug_clear"))) u32 k_debug_clear(void) {
    if (!host.debug.stop) {
        host.debug.stop = palloc(STOPS * sizeof *host.debug.stop);
        host.debug.notes = palloc(sizeof *host.debug.notes + NOTES * sizeof host.debug.notes->note[0]);
        assert(host.debug.stop && host.debug.notes);
    }
    bool had = host.debug.count;
    host.debug.count = 0;
    k_debug_note(0, 0, 0);
    if (had)
        arm();
    return MADDR(host.debug.notes);
}

__attribute__((export_name("k_debug_add"))) u32 k_debug_add(u32 pid, u32 kind, u32 va_lo, u32 va_hi, u32 len) {
    if (!host.debug.stop || host.hart_count > 1 || host.debug.count == STOPS || !len || len > WATCH_MAX)
        return (u32)-EINVAL;
    struct debug_stop *stop = &host.debug.stop[host.debug.count++];
    *stop = (struct debug_stop){.pid = pid, .kind = kind, .len = len, .va = (u64)va_hi << 32 | va_lo};
    if (kind != DEBUG_BREAK)
        (void)changed(stop);
    arm();
    return 0;
}

// Steps end when task `tid` has retired this many instructions, or is no more; it may still have to begin.
__attribute__((export_name("k_debug_until"))) u32 k_debug_until(u32 tid, u32 instret_lo, u32 instret_hi) {
    host.debug.until_tid = tid;
    host.debug.until_seen = false;
    host.debug.until_instret = (u64)instret_hi << 32 | instret_lo;
    host.debug.stopped = false;
    host.debug.active = true;
    return 0;
}

// The tasks of a process, or of all (pid 0).
__attribute__((export_name("k_debug_tasks"))) u32 k_debug_tasks(u32 pid) {
    if (!host.debug.tasks && !(host.debug.tasks = palloc(sizeof *host.debug.tasks + TASKS * sizeof host.debug.tasks->task[0])))
        return 0;
    host.debug.tasks->count = 0;
    if (kernel->magic != KERNEL_MAGIC)
        return MADDR(host.debug.tasks);
    const struct task *current = order_task();
    struct process *process;
    list_each(process, &kernel->processes, all) {
        struct task *task;
        if (process->is_agent || (pid && process->pid != pid))
            continue;
        list_each(task, &process->tasks, sibling) {
            if (task->state == TASK_DEAD || host.debug.tasks->count == TASKS)
                continue;
            struct debug_task *out = &host.debug.tasks->task[host.debug.tasks->count++];
            *out = (struct debug_task){.pid = process->pid, .tid = task->tid, .state = task->state,
                                       .current = task == current,
                                       .ppid = process->parent ? process->parent->pid : 0,
                                       .nr = task->call.live ? task->call.nr : ~0u,
                                       .instret = task->cpu.instret};
            memcpy(out->name, task->comm, sizeof out->name);
        }
    }
    return MADDR(host.debug.tasks);
}

__attribute__((export_name("k_debug_registers"))) u32 k_debug_registers(u32 tid) {
    struct task *task = kernel->magic == KERNEL_MAGIC ? task_find(tid) : NULL;
    if (!task || (!host.debug.registers && !(host.debug.registers = palloc(sizeof *host.debug.registers))))
        return 0;
    memcpy(host.debug.registers->x, task->cpu.x, sizeof host.debug.registers->x);
    memcpy(host.debug.registers->f, task->cpu.f, sizeof host.debug.registers->f);
    host.debug.registers->pc = task->cpu.pc;
    host.debug.registers->instret = task->cpu.instret;
    host.debug.registers->fcsr = task->cpu.fcsr;
    return MADDR(host.debug.registers);
}

__attribute__((export_name("k_debug_status"))) u32 k_debug_status(u32 tid) {
    struct task *task = kernel->magic == KERNEL_MAGIC ? task_find(tid) : NULL;
    if (!task || (!host.debug.status && !(host.debug.status = palloc(sizeof *host.debug.status))))
        return 0;
    struct process *process = task->process;
    u64 user = cputime_ns(task->ticks_user), system = cputime_ns(task->ticks_system);
    if (task == process->leader)
        process_times(process, &user, &system);
    *host.debug.status = (struct debug_status){
        .pgid = process->pgid, .sid = process->sid, .uid = task->cred.ruid, .gid = task->cred.rgid,
        .nice = task->nice, .pending = task->pending.set, .blocked = task->blocked,
        .utime = user, .stime = system,
        .child_utime = cputime_ns(process->child_utime),
        .child_stime = cputime_ns(process->child_stime)};
    return MADDR(host.debug.status);
}

// Copies what is in memory of [va, va + len) to private memory; answers how many bytes.
__attribute__((export_name("k_debug_read"))) u32 k_debug_read(u32 pid, u32 va_lo, u32 va_hi, u32 to, u32 len) {
    struct task *task = kernel->magic == KERNEL_MAGIC ? any_task(pid) : NULL;
    return task ? read(task->mm, (u64)va_hi << 32 | va_lo, MPTR(u8, to), len) : 0;
}

// The mapping at or after va; 0: there is none.
__attribute__((export_name("k_debug_map"))) u32 k_debug_map(u32 pid, u32 va_lo, u32 va_hi) {
    struct task *task = kernel->magic == KERNEL_MAGIC ? any_task(pid) : NULL;
    if (!task || (!host.debug.map && !(host.debug.map = palloc(sizeof *host.debug.map + PATH_MAX))))
        return 0;
    u32 i = mm_find_index(task->mm, (u64)va_hi << 32 | va_lo);
    if (i == task->mm->vma_count)
        return 0;
    const struct vma *vma = task->mm->vmas[i];
    *host.debug.map = (struct debug_map){.start = vma->start, .end = vma->end, .offset = vma->index << PAGE_SHIFT,
                              .prot = vma->prot, .flags = vma->flags,
                              .main = vma->object && vma->object == task->mm->exe};
    struct inode *inode = vma->object ? inode_of(vma->object) : NULL;
    i64 n = inode && !vma->name ? path_shown(NULL, inode, (char *)host.debug.map->name, PATH_MAX) : 0;
    if (vma->name)
        n = ksnprintf((char *)host.debug.map->name, PATH_MAX, "%s", vma->name);
    host.debug.map->name_len = n > 0 ? (u32)n : 0;
    return MADDR(host.debug.map);
}

// The auxiliary vector's bytes, to private memory; answers how many.
__attribute__((export_name("k_debug_auxv"))) u32 k_debug_auxv(u32 pid, u32 to) {
    struct task *task = kernel->magic == KERNEL_MAGIC ? any_task(pid) : NULL;
    if (!task)
        return 0;
    u32 len = task->mm->auxv_count * (u32)sizeof task->mm->auxv[0];
    memcpy(MPTR(void, to), task->mm->auxv, len);
    return len;
}

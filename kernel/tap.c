// What taps send, and the two exports that a replay steers them with. See tap.h.
#include "tap.h"
#include "fs/path.h"
#include "kernel.h"
#include "net/sock.h"

#define TEXT_MAX 1024u
#define STACK_MAX 16384u // bytes from the stack pointer up

static const struct task *running(void) {
    return host.running ? kernel->current[host.running->id] : NULL;
}

static struct out_tap *begin(u32 what, const struct task *task, u32 len) {
    struct out_tap *record = out_begin(OUT_TAP, sizeof *record, len);
    if (!task)
        task = running();
    record->what = what;
    record->data_len = len;
    record->tick = moment();
    record->now_ns = host.order.replay ? clock_ns(&kernel->clock, order_tick()) : now_ns();
    record->real_ns = now_real_ns();
    record->pid = task && task->process ? task->process->pid : 0;
    record->tid = task ? task->tid : 0;
    memset(record->args, 0, sizeof record->args);
    return record;
}

void tap_send(u32 what, const struct task *task, const i64 args[TAP_ARGS], const void *data,
              u32 len) {
    struct out_tap *record = begin(what, task, len);
    memcpy(record->args, args, sizeof record->args);
    memcpy(record + 1, data, len);
    out_send(record);
}

i32 tap_fd(const struct sock *sock) {
    const struct task *task = running();
    struct fdtable *table = task ? task->files : NULL;
    if (!table || !sock->file)
        return -1;
    u64 named = task->call.args[0]; // most calls name it first
    if (named < table->size && table->files[named] == sock->file)
        return (i32)named;
    for (u32 fd = 0; fd < table->size; fd++)
        if (table->files[fd] == sock->file)
            return (i32)fd;
    return -1;
}

// ---- System calls ------------------------------------------------------------------------------
static void text_send(u32 what, struct task *task, u32 nr, i64 result, bool ended) {
    char text[TEXT_MAX];
    u32 len = strace_text(task, nr, result, ended, text, sizeof text);
    struct out_tap *record = begin(what, task, len);
    record->args[0] = nr;
    record->args[1] = result;
    memcpy(record + 1, text, len);
    out_send(record);
}

void tap_call(struct task *task) {
    if (host.taps >> TAP_CALL & 1 && !task->agent && task->call.nr != NR_SPAWN_EXEC)
        text_send(TAP_CALL, task, task->call.nr, 0, false);
}

void tap_return(struct task *task, u32 nr, i64 result) {
    bool over = result == E_DONE && strace_first(task); // EXEC says it
    if (host.taps >> TAP_RETURN & 1 && !task->agent && nr != NR_SPAWN_EXEC && !over)
        text_send(TAP_RETURN, task, nr, result, true);
}

// ---- Samples -----------------------------------------------------------------------------------
// Executable mappings, a line each: start, end, offset in the file, its number and mtime, path.
static void maps_send(struct task *task) {
    struct mm *mm = task->mm;
    char path[PATH_MAX + 16];
    u32 room = 0;
    for (u32 i = 0; i < mm->vma_count; i++)
        room += mm->vmas[i]->prot & PROT_EXEC ? sizeof path + 96 : 0;
    char *text = palloc(room + 1);
    if (!text)
        return;
    u32 len = 0;
    for (u32 i = 0; i < mm->vma_count; i++) {
        const struct vma *vma = mm->vmas[i];
        if (!(vma->prot & PROT_EXEC))
            continue;
        struct inode *inode = vma->object ? inode_of(vma->object) : NULL;
        i64 n = inode ? path_shown(task, inode, path, PATH_MAX)
                      : (i64)strlcpy(path, vma->name ? vma->name : "", sizeof path);
        path[min(n, (i64)PATH_MAX)] = 0;
        len += (u32)ksnprintf(text + len, room - len, "%llx %llx %llx %llx %llx %s\n",
                              (unsigned long long)vma->start, (unsigned long long)vma->end,
                              (unsigned long long)vma->index << PAGE_SHIFT,
                              (unsigned long long)(inode ? inode->ino : 0),
                              (unsigned long long)(inode ? inode->mtime_ns : 0), path);
    }
    TAP(MAPS, task, text, len, (i64)mm->id, mm->fetch_gen);
    pfree(text);
}

void tap_stack(u32 what, struct task *task) {
    struct mm *mm = task->mm;
    if (!(host.taps >> what & 1) || !mm || task->agent || task->call.nr == NR_SPAWN_EXEC)
        return;
    if (host.tapped_mm != mm->id || host.tapped_gen != mm->fetch_gen)
        maps_send(task);
    host.tapped_mm = mm->id;
    host.tapped_gen = mm->fetch_gen;
    const u32 registers = sizeof task->cpu.x;
    struct out_tap *record = begin(what, task, registers + STACK_MAX);
    record->args[0] = (i64)task->cpu.pc;
    record->args[1] = (i64)mm->id;
    record->args[2] = mm->fetch_gen;
    record->args[3] = task->call.live ? task->call.nr : -1;
    u8 *out = (u8 *)(record + 1);
    memcpy(out, task->cpu.x, registers);
    u32 len = 0;
    for (u64 sp = task->cpu.x[2]; len < STACK_MAX;) {
        u64 va = sp + len;
        maddr page;
        if (va >= USER_END || !mm_find(mm, va) || !mm_present(mm, va) ||
            mm_fault(mm, va, ACCESS_READ, NULL, &page))
            break;
        u32 n = min(STACK_MAX - len, PAGE_SIZE - (u32)(va & PAGE_MASK));
        memcpy(out + registers + len, MPTR(u8, page + (va & PAGE_MASK)), n);
        len += n;
    }
    record->data_len = registers + len;
    out_send(record);
}

// ---- From outside ------------------------------------------------------------------------------
// Bit n asks for TAP_ n; 0 for nothing, as after k_attach.
__attribute__((export_name("k_tap"))) u32 k_tap(u32 mask) {
    host.taps = mask;
    host.tapped_mm = 0;
    return 0;
}

// Between two steps: what this hart's task does now. 0: it has none.
__attribute__((export_name("k_sample"))) u32 k_sample(u32 id) {
    struct hart *hart = host.hart[id];
    kernel_lock(hart);
    struct task *task = kernel->magic == KERNEL_MAGIC ? order_task() : NULL;
    if (task)
        tap_stack(TAP_SAMPLE, task);
    host.pass_ticks = 0;
    kernel_unlock(hart);
    return task != NULL;
}

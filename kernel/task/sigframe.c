// Signal frames: exactly Linux's riscv64 `struct rt_sigframe`, for debuggers and unwinders read it.
#include "../kernel.h"
#include "../lib/string.h"
#include "../mem/vdso.h"
#include "signal.h"

struct sigstack { // stack_t
    u64 sp;
    i32 flags;
    u32 pad;
    u64 size;
};
struct sigframe {
    struct siginfo info;
    struct { // ucontext_t
        u64 flags, link;
        struct sigstack stack;
        u64 mask;
        u8 unused[120]; // room for 1,024 signals
        u64 pad;        // the registers are 16-byte aligned
        u64 pc, x[31];  // x1 ... x31
        u64 f[32];
        u32 fcsr;
        u8 reserved[528 - 32 * 8 - 4]; // up to the size of a quad state; its last words must be 0
    } context;
};
static_assert(offsetof(struct sigframe, context.mask) == 128 + 40);
static_assert(offsetof(struct sigframe, context.pc) == 128 + 176);
static_assert(sizeof(struct sigframe) == 1088);

static bool on_stack(const struct task *task, u64 sp) {
    return !(task->sas_flags & SS_AUTODISARM) && task->sas_size &&
           sp - task->sas_base - 1 < task->sas_size;
}

// Where the frame goes; 0 when it would run off the alternate stack.
static u64 frame_address(const struct task *task, const struct sigaction *action) {
    u64 sp = task->cpu.x[2];
    if (on_stack(task, sp) && !on_stack(task, sp - sizeof(struct sigframe)))
        return 0;
    if ((action->flags & SA_ONSTACK) && task->sas_size && !on_stack(task, sp))
        sp = task->sas_base + task->sas_size;
    return align_down(sp - sizeof(struct sigframe), 16);
}

i64 sigframe_ready(struct task *task, const struct sigaction *action) {
    u64 sp = frame_address(task, action);
    return sp ? user_ready(task, UPTR(sp), sizeof(struct sigframe), ACCESS_WRITE) : -EFAULT;
}

i64 sigframe_push(struct task *task, const struct sigaction *action, const struct siginfo *info,
                  u64 saved_mask) {
    struct cpu *cpu = &task->cpu;
    u64 sp = frame_address(task, action);
    if (!sp)
        return -EFAULT;
    struct sigframe frame = {.info = *info};
    frame.context.stack =
        (struct sigstack){task->sas_base, (i32)task->sas_flags, 0, task->sas_size};
    frame.context.mask = saved_mask;
    frame.context.pc = cpu->pc;
    memcpy(frame.context.x, &cpu->x[1], sizeof frame.context.x);
    memcpy(frame.context.f, cpu->f, sizeof cpu->f);
    frame.context.fcsr = cpu->fcsr;
    i64 error = copy_out(task, UPTR(sp), &frame, sizeof frame);
    if (error)
        return error;
    if (task->sas_flags & SS_AUTODISARM) {
        task->sas_base = task->sas_size = 0;
        task->sas_flags = SS_DISABLE;
    }
    cpu->x[1] = vdso_sigreturn(task->mm);
    cpu->x[2] = sp;
    cpu->x[10] = (u64)info->signo;
    cpu->x[11] = sp + offsetof(struct sigframe, info);
    cpu->x[12] = sp + offsetof(struct sigframe, context);
    cpu->pc = action->handler;
    cpu_reservation_clear(cpu);
    return 0;
}

i64 sigframe_pop(struct task *task) {
    struct sigframe frame;
    struct cpu *cpu = &task->cpu;
    i64 error = copy_in(task, &frame, UPTR(cpu->x[2]), sizeof frame);
    if (error == E_WAIT)
        return error;
    u32 reserved[3];
    memcpy(reserved, frame.context.reserved + sizeof frame.context.reserved - sizeof reserved,
           sizeof reserved);
    if (error || reserved[0] || reserved[1] || reserved[2]) {
        signal_force(task, SIGSEGV, SI_KERNEL, 0);
        return E_DONE;
    }
    cpu->pc = frame.context.pc & ~1ull;
    memcpy(&cpu->x[1], frame.context.x, sizeof frame.context.x);
    memcpy(cpu->f, frame.context.f, sizeof cpu->f);
    cpu->fcsr = frame.context.fcsr & 0xff;
    cpu_reservation_clear(cpu);
    // As sigaltstack(2) would, but silently: a bad one changes nothing.
    const struct sigstack *stack = &frame.context.stack;
    u32 mode = (u32)stack->flags & ~SS_AUTODISARM;
    if (!on_stack(task, cpu->x[2])) {
        if (mode == SS_DISABLE) {
            task->sas_base = task->sas_size = 0;
            task->sas_flags = (u32)stack->flags;
        } else if ((mode == 0 || mode == SS_ONSTACK) && stack->size >= MINSIGSTKSZ) {
            task->sas_base = stack->sp;
            task->sas_size = stack->size;
            task->sas_flags = (u32)stack->flags;
        }
    }
    signal_set_blocked(task, frame.context.mask);
    return E_DONE;
}

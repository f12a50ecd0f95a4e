// The processor: RV64GC, user level. Knows registers, memory through the TLB, and nothing of Linux.
#pragma once
#include "../lib/clock.h"
#include "../mem/tlb.h"

// Guest registers. Machine memory, embedded in struct task; belongs to the hart inside k_step.
struct cpu {
    u64 x[32]; // x[0] is 0 between instructions
    u64 f[32]; // single values NaN-boxed
    u64 pc;
    u64 instret; // instructions this task has retired
    u32 fcsr;    // frm << 5 | fflags
    u32 lr_size; // 0: no reservation
    u64 lr_va;
    u64 lr_value;
};

enum cpu_exit {
    CPU_FUEL,       // exactly `fuel` instructions retired
    CPU_ATTN,       // hart->attn is set; fewer may have retired
    CPU_ECALL,      // pc on the ecall, which is not retired
    CPU_EBREAK,     // pc on the ebreak, not retired
    CPU_ILLEGAL,    // pc on it, not retired
    CPU_FAULT,      // hart->fault; pc on the instruction, nothing of it done
    CPU_MISALIGNED, // LR, SC or AMO on a misaligned address (hart->fault.va): SIGBUS, BUS_ADRALN
    CPU_STOPPED,    // the debugger wants it; fewer may have retired
    CPU_PASSED,     // ecall_inside() has made a pass behind which guest code does not just go on: *cpu is as that left it
};

// Run guest code until one of the above. *retired is what was retired; cpu->instret is advanced by it. With
// several harts (`smp`) LR/SC, AMO and fences are atomic, else plain. Tick-exact: for any split of
// `fuel` the registers and memory after each part are the same.
enum cpu_exit cpu_run(struct hart *hart, struct cpu *cpu, u64 fuel, u64 *retired);

// Given by the kernel: answers the ecall with these registers if that needs nothing but the task; else false. It costs
// a tick besides the instruction, as every pass of the kernel does: hart->tick goes on by one.
bool ecall_local(struct hart *hart, u64 *x);

// Given by the kernel: makes the pass that the ecall at cpu->pc asks for, `retired` instructions after guest code was entered or
// went on, as if cpu_run had been left and entered again. True: it goes on, nothing but a0 and pc has changed in *cpu,
// and hart->cut is the fuel. False: leave cpu_run.
bool ecall_inside(struct hart *hart, u64 retired);

// Given by the kernel: the value of rdtime `retired` instructions after the entry of cpu_run.
u64 hart_time_ns(struct hart *hart, u64 retired);

// Given by the kernel, for a debugger (debug.h): may a breakpoint be at this offset of a page; does one hold at pc;
// is this access, which has been done, watched? True of the latter two: leave cpu_run.
bool debug_breaks_at(u32 off);
bool debug_break(struct task *task, u64 pc, u64 tick, u64 instret);
bool debug_accessed(struct task *task, u64 va, u32 size, bool write, u64 pc, u64 tick);
void cpu_debug(struct hart *hart, bool breaks, bool watches); // from now on there are some; drops all decoded code

void cpu_cache_init(struct hart *hart, u32 harts); // once for each of so many harts, from the private heap
void cpu_smp(struct hart *hart, bool smp);  // several harts from now on? No, at first
void cpu_reservation_clear(struct cpu *cpu);

// One instruction as text, for reports ("addi a0,a0,1"). Returns its length in bytes, 2 or 4.
u32 cpu_disasm(u32 insn, u64 pc, char *out, u32 size);

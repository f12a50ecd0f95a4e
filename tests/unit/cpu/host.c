// A machine just big enough to run the processor: flat guest memory with page rights, static riscv64
// ELF programs, and three system calls (write, exit, clock). Built natively and as wasm; see conftest.py.
//
// It plays the kernel's side of mem/tlb.h as strictly as the contract allows: a write that drops code may
// fill the TLB afterwards, and a fetch takes such entries away again.
#define _GNU_SOURCE
#include "../../../kernel/cpu/cpu.h"
#include "../../../kernel/jit/jit.h"
#include "../../../kernel/lib/heap.h"

#define GUEST_PAGES 0x2000u // guest addresses below 32 MiB
#define STACK_TOP (GUEST_PAGES * PAGE_SIZE - PAGE_SIZE)
enum { PROT_R = 4, PROT_W = 2, PROT_X = 1 }; // as in ELF p_flags

// ---- What differs between the builds -----------------------------------------------------------
#ifdef __wasm__
__attribute__((import_module("env"), import_name("write"))) void host_write(u32 data, u32 size);
static _Alignas(4096) u8 guest[GUEST_PAGES * PAGE_SIZE];
static u8 *guest_memory(void) { return guest; }
noreturn_fn void panic_at(const char *file, int line, const char *what) {
    host_write(MADDR(file), 16);
    host_write(MADDR(what), 16);
    (void)line;
    __builtin_trap();
}
void *memset(void *p, int c, size_t n) {
    __builtin_memset(p, c, n);
    return p;
}
#else
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
static void host_write(u32 data, u32 size) { fwrite(MPTR(void, data), 1, size, stdout); }
// Memory below 4 GiB, wherever there is room.
static u8 *low_memory(size_t size) {
    for (uintptr_t at = 0x20000000; at + size < 1ull << 32; at += 0x1000000) {
        void *p = mmap((void *)at, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (p == (void *)at)
            return p;
    }
    return 0;
}
static u8 *guest_memory(void) {
    static u8 *guest;
    return guest ? guest : (guest = low_memory(GUEST_PAGES * PAGE_SIZE));
}
noreturn_fn void panic_at(const char *file, int line, const char *what) {
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}
#endif

// The private heap. What a machine took is given back when the next one begins.
static _Alignas(64) u8 heap[16 << 20];
static u32 heap_used, heap_kept;
static bool heap_marked;

void *palloc(size_t size) {
    u8 *p = heap + heap_used;
    size = align_up(size, (size_t)64);
    if (size > sizeof(heap) - heap_used)
        return 0;
    heap_used += (u32)size;
    return p;
}

// ---- Memory ------------------------------------------------------------------------------------
static struct {
    u8 prot;
    bool code;
    u32 generation;
} page[GUEST_PAGES];
static u32 fetches = 1; // fetch_generation
static u32 drops;       // code_drops

static maddr frame_of(u32 index) { return MADDR(guest_memory()) + index * PAGE_SIZE; }

maddr tlb_miss(struct hart *hart, u64 va, enum access access) {
    u64 index = va >> PAGE_SHIFT;
    u8 need = access == ACCESS_READ ? PROT_R : PROT_W;
    if (index >= GUEST_PAGES || !(page[index].prot & need)) {
        hart->fault = (struct fault){va, access};
        return 0;
    }
    maddr frame = frame_of((u32)index);
    if (access == ACCESS_WRITE && page[index].code) {
        page[index].code = false;
        page[index].generation++;
        drops++;
        hart->code_changed = true;
    }
    struct tlb_entry *entry = tlb_slot(access == ACCESS_READ ? hart->tlb->r : hart->tlb->w, va);
    *entry = (struct tlb_entry){.tag = va & ~PAGE_MASK, .delta = frame - (u32)(va & ~PAGE_MASK)};
    return frame + (u32)(va & PAGE_MASK);
}

maddr tlb_fetch(struct hart *hart, u64 va) {
    u64 index = va >> PAGE_SHIFT;
    if (index >= GUEST_PAGES || !(page[index].prot & PROT_X)) {
        hart->fault = (struct fault){va, ACCESS_FETCH};
        return 0;
    }
    page[index].code = true;
    struct tlb_entry *entry = tlb_slot(hart->tlb->w, va);
    if (entry->tag == (va & ~PAGE_MASK))
        tlb_empty(hart->tlb->w, (u32)(entry - hart->tlb->w));
    return frame_of((u32)index);
}

// There is no debugger.
bool debug_breaks_at(u32 off) {
    (void)off;
    return false;
}
bool debug_break(struct task *task, u64 pc, u64 tick, u64 instret) {
    (void)task, (void)pc, (void)tick, (void)instret;
    return false;
}
bool debug_accessed(struct task *task, u64 va, u32 size, bool write, u64 pc, u64 tick) {
    (void)task, (void)va, (void)size, (void)write, (void)pc, (void)tick;
    return false;
}

u32 code_generation(maddr frame) { return page[(frame - frame_of(0)) / PAGE_SIZE].generation; }
u32 code_drops(void) { return drops; }
bool ecall_local(struct hart *hart, u64 *x) {
    (void)hart, (void)x;
    return false; // every ecall leaves cpu_run
}
bool ecall_inside(struct hart *hart, u64 retired) {
    (void)hart, (void)retired;
    return false; // hart->calls_inside is not set
}
u32 fetch_generation(const struct hart *hart) {
    (void)hart;
    return fetches;
}
void tlb_acknowledge(struct hart *hart) { __atomic_and_fetch(&hart->attn, ~(u32)ATTN_SHOOTDOWN, __ATOMIC_SEQ_CST); }

// ---- Compiled code: none here --------------------------------------------------------------------
maddr tlb_peek(struct hart *hart, u64 va) {
    (void)hart, (void)va;
    return 0;
}
maddr tlb_hold(struct hart *hart, u64 va) {
    (void)hart, (void)va;
    return 0;
}
bool kept_likely(const struct jit *jit, maddr frame, u32 offset) {
    (void)jit, (void)frame, (void)offset;
    return false;
}
bool jit_attention(struct jit *jit) {
    (void)jit;
    return false;
}
u32 jit_hot(struct jit *jit, u64 pc, u32 early) {
    (void)jit, (void)pc, (void)early;
    return 0;
}
u32 jit_slot(struct jit *jit, u32 index, u64 pc) {
    (void)jit, (void)index, (void)pc;
    return 0;
}
void jit_entered(struct jit *jit, u32 index, u64 instructions) { (void)jit, (void)index, (void)instructions; }
void jit_forget(struct jit *jit) { (void)jit; }
void jit_select(struct jit *jit, u32 from, u32 to, bool stands) { (void)jit, (void)from, (void)to, (void)stands; }
void jit_circles(struct jit *jit, u32 index, u64 pc) { (void)jit, (void)index, (void)pc; }
u32 jit_find(struct jit *jit, maddr frame, u32 offset, u32 generation) {
    (void)jit, (void)frame, (void)offset, (void)generation;
    return 0;
}
i32 jit_refill(struct hart *hart, i32 fuel) {
    (void)hart;
    return fuel;
}

// ---- The machine -------------------------------------------------------------------------------
static struct hart *hart;
static struct cpu cpu;
static u64 ticks;

u64 hart_time_ns(struct hart *h, u64 retired) { return h->tick + retired; }

void host_map(u64 va, u64 size, u32 prot) {
    for (u64 i = va >> PAGE_SHIFT; i <= (va + size - 1) >> PAGE_SHIFT && i < GUEST_PAGES; i++)
        page[i].prot |= (u8)prot;
}

struct elf {
    u8 ident[16];
    u16 type, machine;
    u32 version;
    u64 entry, phoff, shoff;
    u32 flags;
    u16 ehsize, phentsize, phnum;
};
struct segment {
    u32 type, flags;
    u64 offset, vaddr, paddr, filesz, memsz, align;
};

// A machine with no memory mapped and all registers 0.
void host_reset(u32 hart_id) {
    __builtin_memset(page, 0, sizeof(page));
    if (!heap_marked)
        heap_kept = heap_used; // what the host itself took
    heap_marked = true;
    __builtin_memset(heap + heap_kept, 0, heap_used - heap_kept);
    heap_used = heap_kept;
    hart = palloc(sizeof(*hart));
    hart->id = hart_id;
    hart->tlb = hart->pool;
    hart->tlb->mm_id = 1;
    for (u32 i = 0; i < TLB_ENTRIES; i++) {
        tlb_empty(hart->tlb->r, i);
        tlb_empty(hart->tlb->w, i);
    }
    cpu_cache_init(hart, 1);
    cpu = (struct cpu){0};
    ticks = 0;
}

// Take rights away, as munmap and mprotect do.
void host_protect(u64 va, u32 prot) {
    page[va >> PAGE_SHIFT].prot = (u8)prot;
    u32 index = (u32)(va >> PAGE_SHIFT) & (TLB_ENTRIES - 1);
    tlb_empty(hart->tlb->r, index);
    tlb_empty(hart->tlb->w, index);
    fetches++;
}

// Load a static program and make the machine ready to run it. 0: fine.
int host_load(const u8 *file, u32 hart_id) {
    const struct elf *elf = (const void *)file;
    const struct segment *segment = (const void *)(file + elf->phoff);
    host_reset(hart_id);
    for (u32 i = 0; i < elf->phnum; i++, segment++) {
        if (segment->type != 1)
            continue;
        if (segment->vaddr + segment->memsz > STACK_TOP - 0x100000)
            return 1;
        __builtin_memcpy(guest_memory() + segment->vaddr, file + segment->offset, segment->filesz);
        host_map(segment->vaddr, segment->memsz, segment->flags);
    }
    host_map(STACK_TOP - 0x100000, 0x100000, PROT_R | PROT_W);
    cpu.pc = elf->entry;
    cpu.x[2] = STACK_TOP - 4096;
    return 0;
}

void host_smp(u32 smp) { cpu_smp(hart, smp != 0); }

enum { HOST_EXITED = 100 };

// Run for at most `fuel` instructions. Returns the reason that stopped the program, HOST_EXITED + its
// exit code, or CPU_FUEL.
int host_run(u32 fuel) {
    for (u64 left = fuel; left;) {
        u64 retired;
        hart->tick = ticks;
        enum cpu_exit exit = cpu_run(hart, &cpu, left, &retired);
        assert(retired <= left && (exit != CPU_FUEL || retired == left));
        left -= retired;
        ticks += retired;
        if (exit == CPU_FUEL)
            continue;
        if (exit != CPU_ECALL)
            return (int)exit;
        switch (cpu.x[17]) {
        case 64: host_write(frame_of(0) + (u32)cpu.x[11], (u32)cpu.x[12]); break;
        case 93:
        case 94: return HOST_EXITED + (int)(cpu.x[10] & 255);
        case 259: break; // riscv_flush_icache
        default: return CPU_ILLEGAL;
        }
        cpu.x[10] = cpu.x[12];
        cpu.pc += 4;
        cpu.instret++;
        ticks++;
        left--;
    }
    return CPU_FUEL;
}

// One cpu_run, for tests that look at its result.
int host_cpu_run(u32 fuel, u64 *retired) {
    hart->tick = ticks;
    int exit = (int)cpu_run(hart, &cpu, fuel, retired);
    ticks += *retired;
    return exit;
}

struct cpu *host_cpu(void) { return &cpu; }
u8 *host_memory(void) { return guest_memory(); }
u64 host_fault_va(void) { return hart->fault.va; }
u32 host_fault_access(void) { return hart->fault.access; }
void host_attn(u32 bits) { hart->attn = bits; }
u32 host_attn_left(void) { return hart->attn; }
u32 host_buffer(u32 size) { return MADDR(palloc(size)); }
double host_retired(void) { return (double)cpu.instret; }

#ifndef __wasm__
// host [-b budget] [-s] program: the program's output; exit status 0 if it left by exit(0).
int main(int argc, char **argv) {
    u32 budget = 1u << 30, smp = 0;
    int arg = 1;
    for (; arg < argc && argv[arg][0] == '-'; arg++) {
        if (!strcmp(argv[arg], "-b"))
            budget = (u32)strtoul(argv[++arg], 0, 0);
        else if (!strcmp(argv[arg], "-s"))
            smp = 1;
    }
    FILE *file = fopen(argv[arg], "rb");
    if (!file)
        return 2;
    static u8 bytes[32 << 20];
    if (!fread(bytes, 1, sizeof(bytes), file) || host_load(bytes, 3))
        return 2;
    host_smp(smp);
    int reason;
    while ((reason = host_run(budget)) == CPU_FUEL)
        ;
    if (reason == HOST_EXITED)
        return 0;
    char text[64];
    u32 word = 0;
    if (cpu.pc < GUEST_PAGES * PAGE_SIZE)
        memcpy(&word, guest_memory() + cpu.pc, 4);
    cpu_disasm(word, cpu.pc, text, sizeof(text));
    fprintf(stderr, "stopped (%d) at %llx: %08x %s; fault %llx\n", reason, (unsigned long long)cpu.pc, word, text, (unsigned long long)hart->fault.va);
    return 1;
}
#endif

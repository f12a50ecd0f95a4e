// Decoded code of one hart: runs of ops, found by (frame, offset), thrown away whenever in doubt.
//
// A run is straight-line code inside one page: ops in a row, up to an unconditional transfer, the page's end or an op that is
// decoded already. Taken branches leave it. op.n says how many instructions retire from this op to the run's
// end, so fuel is taken once on entry and the rest given back on leaving; no op counts by itself.
// Everything here is private and may be dropped at any time (cpu_cache_flush).
#pragma once
#include "cpu.h"
#include "insn.h"

// Op codes: the rows of insn.tbl, then what only the interpreter knows. OP_SLOW marks an op that
// run.c executes instead of interp.c.
#define OP_EXTRA_TABLE(X)                                                                          \
    X(OP_NOP)                                                                                      \
    X(OP_LI)        /* a = imm */                                                                  \
    X(OP_MV)        /* a = b */                                                                    \
    X(OP_GOTO)      /* continue at this op + imm; retires nothing */                               \
    X(OP_NEXT)      /* continue at pc = base + off; retires nothing */                             \
    X(OP_STOP)      /* as OP_NEXT, but leave interp.c */                                           \
    X(OP_STRADDLE)  /* an instruction that begins in this page and ends in the next */             \
    X(OP_JUMP_NEAR) /* jal inside the page: imm to its op, a gets base + c */                      \
    X(OP_BEQ_FAR)   /* branch to another page: imm as encoded. Plain BEQ..BGEU are resolved: */    \
    X(OP_BNE_FAR)   /* imm to their op, a = fuel given back less fuel the target takes */          \
    X(OP_BLT_FAR)                                                                                  \
    X(OP_BGE_FAR)                                                                                  \
    X(OP_BLTU_FAR)                                                                                 \
    X(OP_BGEU_FAR)

enum op_code {
    OP_FIRST_EXTRA = INSN_BASE_END,
#define X(name) name,
    OP_EXTRA_TABLE(X)
#undef X
    OP_SLOW = 0x1000,
};

struct op {
    u16 code;
    u16 n;       // instructions from here to the run's end
    u16 a, b, c; // byte offsets of rd, rs1, rs2 in register_file
    u16 off;     // byte offset in the page: pc = base + off
    i32 imm;
};

// The running task's registers, at an address the compiler knows: each operand is then one load. A
// hart's part is filled and emptied by cpu_run. Writes to x0 go to REG_SINK.
enum { REG_F = 32, REG_SINK = 64, REG_COUNT = 66 };
extern u64 register_file[HART_MAX * REG_COUNT];
#define REGISTER(offset) (*(u64 *)((char *)register_file + (offset)))

#define CODE_WAYS 256u    // va page -> code page, direct mapped
#define CODE_PAGES 320u   // pages with decoded code at most
#define CODE_HASH 512u    // frame -> code page
#define CODE_OPS 0x38000u // ops at most (3.5 MiB)
#define RUN_MAX 128u      // instructions decoded at once
#define PARCELS (PAGE_SIZE / 2)

struct code_page {
    maddr frame;
    u32 generation; // code_generation(frame) that `map` belongs to
    u32 next;       // in its hash chain: index + 1
    u32 map[PARCELS]; // byte offset of the op in `ops`; 0: not decoded
};

// tag: va page | epoch. The rest is what revalidation in a new epoch needs.
struct code_way {
    u64 tag;
    const u32 *map;
    struct code_page *page;
    u64 mm_id;
    u32 fetch_generation;
};

enum leave {
    LEAVE_LOOKUP, // continue at run.pc, whose op is not at hand; no fuel taken for it
    LEAVE_FUEL,   // continue at run.ip, for which fuel is short and not taken
    LEAVE_SLOW,   // execute run.ip by run.c; its fuel is taken
};

// What interp() takes and leaves.
struct run {
    struct op *ip;
    u64 base; // va of the page ip belongs to
    u64 pc;
    i32 fuel;
    u32 epoch; // 1 to PAGE_MASK
    bool nx_near; // round to nearest and NX set: float fast paths are exact
};

struct cpu_cache {
    struct run run;
    u32 fcsr;
    u32 registers; // byte offset of this hart's part of register_file
    bool smp;
    u32 op_count;
    u32 page_count;
    u32 flushes;
    struct op scratch[2]; // one instruction run outside any page
    struct code_way way[CODE_WAYS];
    u16 hash[CODE_HASH]; // index + 1
    struct insn_index index;
    struct op *ops;
    struct code_page *pages;
};

enum leave interp(struct run *run, const struct tlb *tlb, const struct code_way *way, char *ops);

void cpu_cache_flush(struct cpu_cache *cache);
void cpu_cache_new_epoch(struct cpu_cache *cache); // look at all generations again

// The page that holds pc, valid now; 0 with hart->fault set.
struct code_page *code_page_at(struct hart *hart, struct cpu_cache *cache, u64 pc);

// The op for pc, decoded if need be; 0 with hart->fault set.
struct op *code_at(struct hart *hart, struct cpu_cache *cache, u64 pc);

// Make cache->scratch execute `word` at base + off and then stop.
struct op *code_scratch(struct cpu_cache *cache, u32 word, u32 off);

// Give the branch or jump `op` at `base` its target's op, or mark it as one that leaves the page.
void code_resolve(struct hart *hart, struct cpu_cache *cache, struct op *op, u64 base);

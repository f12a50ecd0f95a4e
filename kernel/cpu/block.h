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
    X(OP_LI)        /* a = imm */                                                                  \
    X(OP_MV)        /* a = b */                                                                    \
    X(OP_GOTO)      /* continue at this op + imm; retires nothing */                               \
    X(OP_NEXT)      /* continue at pc = base + off; retires nothing */                             \
    X(OP_STOP)      /* as OP_NEXT, but leave interp.c */                                           \
    X(OP_STRADDLE)  /* an instruction that begins in this page and ends in the next */             \
    X(OP_BREAK)     /* where a breakpoint may be; the rest as OP_STRADDLE */                       \
    X(OP_JUMP_NEAR) /* jal inside the page: imm to its op, a gets base + c */                      \
    X(OP_BEQ_FAR)   /* branch to another page: imm as encoded. Plain BEQ..BGEU are resolved: */    \
    X(OP_BNE_FAR)   /* imm to their op, a = fuel given back less fuel the target takes */          \
    X(OP_BLT_FAR)                                                                                  \
    X(OP_BGE_FAR)                                                                                  \
    X(OP_BLTU_FAR)                                                                                 \
    X(OP_BGEU_FAR)                                                                                 \
    X(OP_ENTRY)    /* counts how often it is reached, imm to go; then as OP_GOTO, which follows. OP_SLOW: somebody waits for it */ \
    X(OP_COMPILED) /* runs region imm; OP_GOTO follows, for when it cannot */

// Two ops in a row run as one, which saves looking at the second's code. Both stay where they are, so
// either can be jumped to, fail and be left as ever: only the code of the first differs. Chosen by frequency in
// compiled C.
#define PAIR_TABLE(X)                                                                              \
    X(LD, LD) X(LD, SD) X(LD, OP_MV) X(LD, OP_LI) X(LD, ADDI) X(LD, ADD) X(LD, JAL) X(SD, SD)      \
    X(SD, LD) X(SD, OP_MV) X(SD, OP_LI) X(SD, ADDI) X(SD, JAL) X(OP_MV, OP_MV) X(OP_MV, OP_LI)     \
    X(OP_MV, LD) X(OP_MV, SD) X(OP_MV, BEQ) X(OP_MV, BNE) X(OP_MV, JAL) X(OP_LI, OP_LI)            \
    X(OP_LI, OP_MV) X(OP_LI, ADDI) X(OP_LI, ADD) X(OP_LI, LD) X(OP_LI, SD) X(OP_LI, BNE)           \
    X(OP_LI, JAL) X(OP_LI, AUIPC) X(ADDI, ADDI) X(ADDI, ADD) X(ADDI, OP_MV) X(ADDI, OP_LI)         \
    X(ADDI, LD) X(ADDI, SD) X(ADDI, LBU) X(ADDI, FLD) X(ADDI, ADDIW) X(ADDI, BEQ) X(ADDI, BNE)     \
    X(ADDI, BLTU) X(ADDI, JAL) X(ADDI, JALR) X(ADDI, AUIPC) X(ADD, ADDI) X(ADD, ADD) X(ADD, SB)    \
    X(ADD, BNE) X(ADD, BLTU) X(LW, LW) X(LW, ADDI) X(LW, OP_LI) X(SW, SW) X(SW, ADDI) X(SW, JAL)   \
    X(LBU, ADDI) X(LBU, LBU) X(SB, ADDI) X(SB, SB) X(BEQ, LD) X(BEQ, OP_LI) X(BEQ, OP_MV)          \
    X(BEQ, LW) X(BNE, LD) X(BNE, OP_LI) X(BNE, OP_MV) X(ADDIW, ADDIW) X(ADDIW, OP_LI)              \
    X(ADDIW, OP_MV) X(SLLIW, SRLIW) X(SLLIW, XOR) X(SLLIW, OR) X(SRLIW, SLLIW) X(SRLIW, XOR)       \
    X(SRLIW, OR) X(OR, OR) X(OR, XOR) X(OR, SRLIW) X(OR, SLLIW) X(XOR, XOR) X(XOR, ADDW)           \
    X(XOR, SRLIW) X(XOR, SLLIW) X(XOR, AND) X(AND, ADDW) X(AND, XOR) X(AND, AND) X(ADDW, ADDW)     \
    X(ADDW, XOR) X(ADDW, SRLIW) X(ADDW, AND) X(ADDW, LW) X(SLLI, SRLI) X(SLLI, ADD) X(SLLI, SLLI)  \
    X(SRLI, XOR) X(SRLI, SLLI) X(BLT, LW) X(BLT, OP_MV) X(BLTU, ADDI) X(FLD, FLD) X(FLD, ADDI)

// Pairs whose second op reads, as operand b, what the first one computes: handed over without a
// way through memory. Mind the size of interp(): V8 gives functions of more than 8,192 virtual
// registers a register allocator that spills everything (measured: half the speed). With these
// tables it compiles to 52 KB and is well below; with twice as many pairs it was not.
#define CHAIN_TABLE(X)                                                                             \
    X(AUIPC, ADDI) X(AUIPC, LD) X(AUIPC, LW) X(AUIPC, FLD) X(AUIPC, JALR) X(ADDI, ADDI)            \
    X(ADDI, ADD) X(ADDI, SD) X(ADDI, LD) X(ADDI, BEQ) X(ADDI, BNE) X(ADDI, BLTU) X(ADDI, ANDI)     \
    X(ADD, ADD) X(ADD, LD) X(ADD, LW) X(ADD, LBU) X(ADD, LHU) X(ADD, SD) X(ADD, SW) X(ADD, SB)     \
    X(ADD, FLD) X(SLLI, ADD) X(SLLI, SRLI) X(SLLI, SRAI) X(SLLI, OR) X(SRLI, ADD) X(SRLI, ANDI)    \
    X(SRLI, XOR) X(SRLI, SLLI) X(SUB, ADDI) X(SUB, SRAI) X(LD, LD) X(LD, ADD) X(LD, BEQ)           \
    X(LD, BNE) X(LD, JALR) X(LW, BEQ) X(LW, BNE) X(LW, ADDIW) X(LW, ADDW) X(LW, ADD) X(LW, SLLI)   \
    X(LW, BLT) X(LBU, BEQ) X(LBU, BNE) X(LBU, SLLI) X(LBU, ANDI) X(ANDI, BEQ) X(ANDI, BNE)         \
    X(ADDIW, ADDIW) X(ADDIW, SLLI) X(ADDIW, ANDI) X(ADDIW, BEQ) X(ADDIW, BNE) X(ADDIW, BLT)        \
    X(OP_LI, ADDI) X(OP_LI, BEQ) X(OP_LI, BNE) X(OP_LI, BLTU) X(OP_LI, BGEU) X(OP_LI, BLT)         \
    X(SLLIW, OR) X(SLLIW, ADDW) X(SRLIW, OR) X(SRLIW, XOR) X(OR, XOR) X(OR, OR) X(OR, ADDW)        \
    X(XOR, XOR) X(XOR, AND) X(XOR, ADDW) X(AND, ADDW) X(AND, XOR) X(ADDW, ADDW) X(ADDW, XOR)       \
    X(ADDW, SW) X(SLTU, BEQ) X(SLTU, BNE) X(MUL, ADD)

enum op_code {
    OP_NOP = ILLEGAL, // illegal instructions carry OP_SLOW
    OP_FIRST_EXTRA = INSN_BASE_END,
#define X(name) name,
    OP_EXTRA_TABLE(X)
#undef X
    OP_LAST_EXTRA,
#define X(first, second) OP_##first##_##second,
    PAIR_TABLE(X)
#undef X
#define X(first, second) OP_CHAIN_##first##_##second,
    CHAIN_TABLE(X)
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

// b of the two ops of an entry, which have no operands.
enum { OP_ENTRY_MARK = 0xffff };

// imm of fused multiply-adds: register of rs3 | rounding mode << 16 | the signs.
enum { FMA_MINUS_PRODUCT = 1 << 20, FMA_MINUS_ADDEND = 1 << 21 };

// The running task's registers, at an address the compiler knows: each operand is then one load. A
// hart's part is filled and emptied by cpu_run. Writes to x0 go to REG_SINK. Compiled code finds here all
// it needs of its hart.
enum { REG_F = 32, REG_SINK = 64, CONTEXT_WORDS = 256 };
#define JIT_DEPTH 160
extern u64 register_file[HART_MAX * CONTEXT_WORDS];

enum { REASON_NONE, REASON_INTERPRET, REASON_FUEL }; // the interpreter must execute the instruction at pc; first of all, fuel

struct jit_context {
    u64 reg[REG_SINK + 2];
    u64 pc;        // set by compiled code when it returns
    u32 reason;    // why compiled code leaves
    u32 slot;      // where the interpreter comes back to compiled code
    maddr tlb;     // struct tlb
    maddr jump;    // struct jit_jump[]
    u32 nx_near;   // as run.nx_near
    maddr cpu;     // struct cpu of the task, for its reservation
    u32 nearest;   // as run.nearest
    u32 fcsr;      // compiled code changes flags but NX
    u32 where;     // of an instruction left: its distance from the entry << 8 | instructions to give fuel back for
    u64 expect[JIT_DEPTH + 2]; // where a call returns to that was made when so many could still be nested
    maddr led;     // cpu_cache.led
    u32 strays;    // jumps through registers that have left a region, and the last one's entry
    u64 strayed, strayed_to; // and to where
    u64 left; // entry of the region that was left last to have an instruction interpreted
};
#define REGISTER(offset) (*(u64 *)((char *)register_file + (offset)))

#define CODE_WAYS 2048u // va page -> code page, direct mapped
#define CALLED 4096u    // calls through registers, direct mapped
#define LED 8192u       // jumps through registers, each with a target, direct mapped
#define CODE_HASH 2048u // frame -> code page
#define CODE_SEEN 4096u // va page and address space -> frame, direct mapped
#define CODE_NOTES 4096u // the same
#define RUN_MAX 128u    // instructions decoded at once
#define CODE_PAGES 4096u
#define PARCELS (PAGE_SIZE / 2)
#define PART 128u // parcels; a power of two

struct code_part {
    u32 op[PART]; // byte offset of the op in `ops`; 0: not decoded
};

struct code_page {
    maddr frame;
    u32 generation; // code_generation(frame) that `map` belongs to
    u32 next;       // in its hash chain: index + 1
    struct code_part *map[PARCELS / PART]; // all that nothing is in are one
};

// The op's offset of what is decoded at `off`, or 0.
static inline u32 code_op(struct code_part *const *map, u32 off) {
    return map[off / (2 * PART)]->op[off / 2 % PART];
}

// tag: va page | epoch. The rest is what revalidation in a new epoch needs.
struct code_way {
    u64 tag;
    struct code_part *const *map;
    struct code_page *page;
    u64 mm_id;
    u32 fetch_generation;
};

// What is known of one of the address spaces that have run here lately, each of which has a TLB: one that comes back, and in which
// nothing was changed meanwhile, goes on in its epoch.
struct code_space {
    u64 mm_id;
    u32 fetch_generation, drops;
    u32 epoch; // its number; 0: none yet
    struct code_way way[CODE_WAYS];
};

// Where a page is that can be executed, decoded or not. As generations of fetches belong to one address space
// and never come again, this stands through all epochs, and while others run here.
struct code_seen {
    u64 va;
    u32 fetch_generation;
    maddr frame;
};

// The frame of a page, as a process that ran here had it, which may be gone: for who translates its code at rest. An address
// space may have changed since; what is translated is right wherever these bytes are.
struct code_note {
    u64 va;
    u32 mm;
    maddr frame;
};

#define SLICE 4096u // ticks between two looks at hart->attn

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
    bool nearest; // rounding mode is to nearest, even
    bool nx_near; // and NX is set already: nothing is left that a normal result could show
};

struct cpu_cache {
    struct run run;
    u32 registers; // byte offset of this hart's part of register_file
    struct jit_context *context; // the same
    struct jit *jit; // NULL: only interpret
    struct session *session; // the cpu_run under way
    u64 *left;     // its fuel outside the slice
    u32 epochs;    // how many there have been, which is the last one's number
    u32 forgotten; // those up to this one are over
    bool smp;
    bool breaks, watches; // a debugger has some
    u32 op_count, op_max;
    u32 page_count, page_max;
    u32 part_count, part_max; // the first is empty
    u32 flushes;
    u32 misses; // calls of tlb_miss
    struct op scratch[2]; // one instruction run outside any page
    struct code_space space[TLB_POOL], *here; // by TLB; the one that runs
    struct code_seen seen[CODE_SEEN];
    struct code_note note[CODE_NOTES];
    u32 resting; // not 0: nothing runs, and pages are looked for where this address space had them
    u16 hash[CODE_HASH]; // index + 1
    // Where each call through a register led last: the low halves of its own address and of the target. The same
    // for all that jumps in compiled code have led to.
    u64 called[CALLED], led[LED];
    struct insn_index index;
    struct op *ops;
    struct code_page *pages;
    struct code_part *parts;
};

static inline u64 *called_slot(struct cpu_cache *cache, u64 pc) { return &cache->called[pc / 2 % CALLED]; }
static inline u64 *led_slot(struct cpu_cache *cache, u64 pc, u64 target) {
    return &cache->led[(pc / 2 * 29 + target / 2) % LED];
}

// The op for pc if it is decoded and its page was looked up in this epoch, else NULL.
static inline struct op *code_known(const struct cpu_cache *cache, u64 pc) {
    const struct code_way *way = &cache->here->way[(pc >> PAGE_SHIFT) % CODE_WAYS];
    if (way->tag != ((pc & ~PAGE_MASK) | cache->run.epoch))
        return NULL;
    u32 at = code_op(way->map, (u32)(pc & PAGE_MASK));
    return at ? (struct op *)((char *)cache->ops + at) : NULL;
}

enum leave interp(struct run *run, const struct tlb *tlb, const struct code_way *way, char *ops);

// The row or extra code that this op alone stands for.
u32 op_code(const struct op *op);

void cpu_cache_flush(struct cpu_cache *cache);
void cpu_cache_new_epoch(struct cpu_cache *cache); // look at all generations again, in all address spaces

// Is the hart's address space another, or has anything changed of where its code is, or what? Then a new epoch begins, or one
// goes on.
bool cpu_cache_look(struct hart *hart, struct cpu_cache *cache);

// The page that holds pc, valid now; 0 with hart->fault set.
struct code_page *code_page_at(struct hart *hart, struct cpu_cache *cache, u64 pc);

// The op for pc, decoded if need be; 0 with hart->fault set.
struct op *code_at(struct hart *hart, struct cpu_cache *cache, u64 pc);

// The same for a place where compiled code may begin: how often it is reached is counted.
struct op *code_entry(struct hart *hart, struct cpu_cache *cache, u64 pc, bool loop);

// The same for where a jump that is not linked leads: an entry if it comes there first, unless it seems to come back from a call.
struct op *code_target(struct hart *hart, struct cpu_cache *cache, u64 pc);

// The interpreter is to stop at pc: if it is decoded it becomes an entry, else it is looked up when it is reached.
void code_await(struct hart *hart, struct cpu_cache *cache, u64 pc);

// The region `index`, which begins there, is ready to run; 0: none is, count again.
void code_compiled(struct cpu_cache *cache, maddr frame, u32 off, u32 generation, u32 index);

// It is ready, but not to be entered from here for now: count again. Nobody waits at that place.
void code_interpreted(struct cpu_cache *cache, maddr frame, u32 off, u32 generation);

// What runs from there is part of another region now: if it is an entry, it must be reached often before it gets one of its own.
void code_covered(struct cpu_cache *cache, maddr frame, u32 off, u32 generation);

// The page that holds va if it is mapped now, or was when nothing runs, and was decoded, else 0: never touches the machine.
struct code_page *code_page_known(struct hart *hart, struct cpu_cache *cache, u64 va);

// The frame of that page, decoded or not; 0: none can be executed there.
maddr code_frame(struct hart *hart, struct cpu_cache *cache, u64 va);

// The same, decoded or not: from now on the frame counts as holding code. Drops nothing.
struct code_page *code_page_there(struct hart *hart, struct cpu_cache *cache, u64 va);

// Make cache->scratch execute `word` at base + off and then stop.
struct op *code_scratch(struct cpu_cache *cache, u32 word, u32 off);

// Give the branch or jump `op` at `base` its target's op, or mark it as one that leaves the page.
void code_resolve(struct hart *hart, struct cpu_cache *cache, struct op *op, u64 base);

// run.c. Answer the ecall of compiled code at pc, whose fuel is paid, with registers and flags in the context: the fuel left.
// Negative: -1 - fuel; it has not retired, or all that wait return.
i32 ecall_for(struct cpu_cache *cache, u64 pc, i32 fuel);

// run.c. Compiled code, which may be deep in calls, cannot go on at pc by itself, or leaves the instruction there
// (context->reason). Interpret until what was called last has returned to `expect`; so those calls
// stand. `stops`: come back at the next compiled code, context->slot, too. If neither comes to be, all of
// them return: run.pc and run.fuel say what is next.
i32 interpret_for(struct cpu_cache *cache, i32 fuel, u64 pc, u64 expect, i32 depth, bool stops);

// The words with which codegen.c and float.c write a function.
#pragma once
#include "translate.h"

// Beside the depth: the entry is not at L_PC, but as far behind as context->where says.
enum { DEPTH_INSIDE = 0x10000 };
// In context->where: it was left because of what is hardly ever so. In the address it is the bit that none has.
enum { WHERE_MISTAKEN = 1 << 8 };
enum { L_CONTEXT, L_FUEL, L_DEPTH, L_PC, LOCALS };               // parameters
enum { TEMP_A, TEMP_B, TEMP_C, TEMPS };                          // i64
enum { TEMP_TLB, TEMP_ENTRY, TEMP_WHERE, TEMP_HOST, TEMP_NX, TEMP_COUNT, TEMP_LOST, TEMPS_I32 }; // i32, behind all others
enum { TEMPS_F64 = 12, TEMPS_F32 = 5 };                          // of float.c, behind the f64 registers
// Imported, see module.c; then two of each module's own, then its regions.
enum { FUNCTION_REFILL, FUNCTION_ECALL, FUNCTION_CALL, FUNCTION_CONTINUE, FUNCTION_GO_ON, FUNCTION_LEAVE, FUNCTIONS };

#define CONTEXT(field) ((u32)offsetof(struct jit_context, field))

// ---- Small words -------------------------------------------------------------------------------
static inline void op(struct translation *t, u32 byte) { put(&t->code, byte); }
static inline void op_u(struct translation *t, u32 byte, u32 value) {
    put(&t->code, byte);
    put_u(&t->code, value);
}
static inline void get(struct translation *t, u32 local) { op_u(t, W_LOCAL_GET, local); }
static inline void set(struct translation *t, u32 local) { op_u(t, W_LOCAL_SET, local); }
static inline void tee(struct translation *t, u32 local) { op_u(t, W_LOCAL_TEE, local); }
static inline void const32(struct translation *t, i32 value) {
    op(t, W_I32_CONST);
    put_s(&t->code, value);
}
static inline void const64(struct translation *t, i64 value) {
    op(t, W_I64_CONST);
    put_s(&t->code, value);
}
static inline void mem(struct translation *t, u32 byte, u32 align, u32 offset) {
    op_u(t, byte, align);
    put_u(&t->code, offset);
}

static inline u32 temp(const struct translation *t, u32 which) { return t->temp + which; }
static inline u32 temp32(const struct translation *t, u32 which) { return t->temp_i32 + which; }

static inline void get_x(struct translation *t, u32 reg) {
    if (reg)
        get(t, t->local[reg]);
    else
        const64(t, 0);
}
static inline void set_x(struct translation *t, u32 reg) {
    if (reg)
        set(t, t->local[reg]);
    else
        op(t, W_DROP);
}

// The address `off` bytes from the entry.
static inline void get_pc(struct translation *t, i64 off) {
    get(t, L_PC);
    if (off) {
        const64(t, off);
        op(t, W_I64_ADD);
    }
}

// Where the TLB is: in the context, which costs a load each time, where engines would have no register for it.
static inline void get_tlb(struct translation *t) {
    if (t->crowded) {
        get(t, L_CONTEXT);
        mem(t, W_I32_LOAD, 2, CONTEXT(tlb));
    } else {
        get(t, temp32(t, TEMP_TLB));
    }
}

// The branch or if that is written next is likely, or not.
void hint(struct translation *t, bool likely);

// codegen.c. Structures that branches may name, or not.
enum {
    LABEL_NONE = 0xffff,
    LABEL_STUBS = 0xf000, // and a number
    LABEL_DONE = 0xfffd, // behind the block's body
    LABEL_SLOW = 0xfffc, // its other version
    LABEL_WAY_OUT = 0x4000,
    LABEL_LANDING = 0x2000, // of the dispatch, and a number
    LABEL_MISS = 0xfffb, // it knows nothing of that pc
    LABEL_LEAVE = 0xfffa, // registers are written back: the end of all stubs
    LABEL_TRANSFER = 0xfff9, // and of all ways to other regions
    LABEL_LOOP = 0x8000,
};
void branch_if(struct translation *t, u32 label);
void nest_as(struct translation *t, u32 byte, u32 type, u32 label);
void unnest(struct translation *t);
static inline void nest(struct translation *t, u32 byte, u32 type) { nest_as(t, byte, type, LABEL_NONE); }

// The interpreter must execute instruction `k` of the block: say where, then leave, if the i32 on
// the stack is not 0. Of the instruction nothing may have been done.
void where(struct translation *t, const struct block *block, u32 k);
void leave_if(struct translation *t);
// If the i32 on the stack is not 0. One may leave from inside.
void if_begin(struct translation *t);
void if_end(struct translation *t);

// integer.c
void words_find(struct translation *t);
u32 words_after(const struct insn *insn, u32 word);
bool integer_knows(const struct insn *insn);
u32 integer_instruction(struct translation *t, const struct block *block, u32 k); // how many it has written
void integer_condition(struct translation *t, const struct insn *insn);

// memory.c
void memory_find(struct translation *t); // before anything is written
void memory_settle(struct translation *t); // what blocks leave for, and need, behind that
void memory_forget(struct translation *t); // behind a call
bool memory_is_at(struct translation *t, u16 index, u32 reg, i32 off);
bool memory_moves(struct translation *t, u16 index, u32 reg, i32 *step);
void memory_strides(struct translation *t, const struct block *block); // of a tight loop, before it
void memory_clear(struct translation *t, const struct block *block);
bool memory_leaves(const struct translation *t, const struct block *block, u32 k); // in the version being written
bool memory_strides_at(const struct translation *t, const struct block *block, u32 k);
bool memory_reaches(const struct translation *t, const struct block *block, u32 k, i32 off); // from that access
void store_wide(struct translation *t, const struct block *block, u32 k);
bool memory_begin(struct translation *t, const struct block *block); // true: LABEL_SLOW is open
// Leaves a host address on the stack that, with the offset returned, is that of rs1 + imm; or the region. Says
// where itself.
u32 translate(struct translation *t, const struct block *block, u32 k, const struct insn *insn, u32 size,
              bool write);
void load(struct translation *t, const struct block *block, u32 k, u32 size, u32 byte);
void store(struct translation *t, const struct block *block, u32 k, u32 size, u32 byte);
bool atomic_knows(const struct translation *t, const struct insn *insn);
void atomic_instruction(struct translation *t, const struct block *block, u32 k);

// tight.c
void tight_plan(struct translation *t, const struct block *block); // sets roles

// float.c
bool float_knows(const struct insn *insn);
bool float_leaves(const struct insn *insn);
void float_begin(struct translation *t, bool returned); // a function, or behind a call; all is in the context
void float_instruction(struct translation *t, const struct block *block, u32 k);

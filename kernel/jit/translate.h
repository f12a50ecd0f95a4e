// A region on its way from guest code to WebAssembly: blocks in a control flow graph, then bytes.
#pragma once
#include "jit.h"
#include "wasm.h"

#define REGION_INSNS 7000u // of one that dispatches; of others PLAIN_INSNS
#define REGION_BLOCKS 1700u
#define PLAIN_INSNS 1000u
#define PLAIN_BLOCKS 250u
#define BLOCK_INSNS 200u // so that an index in a block fits 8 bits
#define OWES_MOST 255u   // so do ticks for which fuel is still to be taken

#define CONTEXTS 60u
#define HOST_REGISTERS 24 // engines keep few more in registers
#define REGION_ROWS (REGION_INSNS + CONTEXTS) // a guessed call stands in two blocks
#define HINTS 4096u
#define SELF_CALLS 512u
#define GROUPS 512u // of memory accesses
#define LAST_PAGES 16u
#define FIXED 64u
#define WAYS_OUT 64u
#define REACH 0x400000 // bytes from the entry: an offset fits 24 bits

// An instruction's distance from the region's entry, and the copy of its function that is meant.
struct place {
    i32 off;
    u8 context;
};

// A copy of a small function, made for one call. 0: the region's own function.
struct context {
    u8 parent, depth;
    u8 link;  // register with the return address
    i32 back; // where it returns to
};

struct jit_insn {
    struct insn insn;
    i32 off;
    i32 target; // of a call whose function is copied, or of a jump through the register of an auipc
    u8 context, callee;
    bool guessed; // through a register, which held that address the last time
    bool leader; // a block begins here
    bool calls_entry; // a call of the region's own entry
    bool known;       // a jalr that is no call, but a jump to `target`
};

// How a block ends.
enum term {
    TERM_NEXT,     // goes on at succ[0]
    TERM_BRANCH,   // conditional: succ[0] taken, succ[1] not
    TERM_CALL,     // jal or jalr that leaves a return address, or ecall; succ[0] is behind it
    TERM_INDIRECT, // jalr
    TERM_GUESS,    // the call behind the block leads to a copy: succ[0] does so if it is as guessed, succ[1] calls
    TERM_RETURN,   // jalr at the end of a copy: succ[0] if it returns to where its call was
    TERM_STOP,     // the instruction behind the block is the interpreter's
    TERM_DISPATCH, // goes on at that of the region's targets where pc is: where it begins, if it has some
};

enum { NO_BLOCK = 0xffff };
enum { REG_RA = 1, REG_SP = 2, REG_FP = 8 };

struct block {
    u16 first, count; // instructions; the last is the branch, jump or call
    u16 succ[2];      // blocks; NO_BLOCK: leaves to exit[]
    struct place exit[2]; // where succ[] begin
    u8 term;
    u32 kept; // of TERM_CALL: x registers that are as before when it is back, or the region is left
    bool apart; // one of the two behind TERM_GUESS: no place of its own
    bool reached, header, merge, leaves;
    bool target;  // the dispatch leads here, with all registers in the context
    bool tight;   // is a loop by itself
    bool in_loop; // the innermost loop around it calls nothing
    bool loop_forgets; // of a loop's head: there is a call behind which nothing is known of the TLB
    u32 steady;   // registers that may stay in a page there: no unknown or large steps
    u16 order; // in reverse postorder
    u16 idom;
    u16 preds; // forward edges that lead here
    u16 owes;  // ticks on the way there for which no fuel has been taken, at the start
    u16 need;  // most instructions until fuel is asked for next: at a loop's head, behind a call
    u64 use, def;   // registers, as bits of the context's numbering: read before written; written
    u64 live;       // needed in locals at the start
    u64 dirty;      // changed since they were loaded, at the start
    u64 dirty_out;
    u64 wanted;  // read before the next call, at the start
    u64 killed;  // written before any way out
    u64 same;    // as in the context, on some way there
    u64 written; // not dirty at the start: those who come with others write them first
    bool round;  // one can come by here again without a call
    u32 unknown; // x registers that differ at the start, by the ways there, in what memory.c knows of them
    u32 word; // x registers that are sign-extended 32-bit values at the start
};

// Instructions' bytes of one page, as bits: one for each parcel.
struct parcels {
    i32 delta; // from the entry's page
    u8 bit[PARCELS / 8];
};

struct translation {
    struct jit *jit;
    u64 pc; // of the entry
    struct region_page page[JIT_PAGES];
    u32 page_count;
    struct parcels seen[JIT_PAGES]; // what was decoded when kept regions were made
    u32 seen_count;
    struct context context[CONTEXTS];
    u32 context_count;
    u32 guesses; // copies whose call is a guess
    struct jit_insn insn[REGION_INSNS];
    u32 insn_count;
    struct jit_insn row[REGION_ROWS]; // the same, block by block
    u32 row_count;
    u16 at[16384]; // by place: index of the instruction + 1
    struct place todo[1024]; // what is still to be walked
    u32 todo_count;
    // Where jumps through registers have led, and the entry: in the region, if there are more than one.
    i32 target[JIT_TARGETS];
    u16 target_block[JIT_TARGETS];
    u32 target_count;
    u32 target_most; // of the dispatch it is made instead of: larger ones keep what they lead to
    struct block block[REGION_BLOCKS];
    u32 block_count;
    u16 order[REGION_BLOCKS]; // blocks in reverse postorder
    u32 order_count;
    u64 registers; // used anywhere
    u32 bases;     // x registers that calls leave alone, by convention, and addresses are relative to
    bool floats;   // assumes what float_begin tests
    bool crowded;  // more registers than hosts have
    u32 instead;   // of this region: with what jumps through registers lead to
    bool full;     // so many instructions that others found no room
    bool loop;     // begins with one, and ends with it
    bool careful;  // right while fcsr.NX is clear, too
    bool moving; // calls return with another stack pointer than they were made with
    bool crossing; // what hardly ever crosses pages does here: blocks have another version for that, too
    // codegen.c
    struct code code;
    u8 local[64]; // of a register
    // memory.c: by instruction of `row`
    u16 group[REGION_ROWS]; // of this access; NO_GROUP
    i16 group_off[REGION_ROWS];
    struct group {
        u16 root;      // value that the addresses are relative to
        u16 home;      // block where it is checked
        u16 first;     // instruction that has made it: there, if `base` is 0
        u16 local;     // number of the one that holds the host address of `low`; 0: none
        i32 low, high; // what the accesses cover
        u8 size;       // of the first access
        u8 base;       // register from which the address is known when the block begins
        u8 index;      // and another that is to be added, if not 0
        i16 base_off;  // its distance, or that of both, from the root then
        bool strides;  // is in a tight loop; `base` changes by `step` each time
        i16 step;
        i16 low_imm;   // of its accesses
        u8 last;       // number of the last page to look at first; 0: none
        bool write, shared;
        bool crosses;  // perhaps a page, and the local is 0 if it does; else the region is left
    } groups[GROUPS];
    u32 group_count, group_locals, last_count;
    struct value {
        u16 root;
        i16 off;
    } value[REGION_BLOCKS][32]; // of x registers, at each block's start
    // Pages that addresses made of constants lie in: numbers, or distances from the entry's page.
    struct fixed {
        i64 page;
        bool near; // a distance
    } fixed[FIXED];
    u32 fixed_count;
    u64 known[REGION_BLOCKS][GROUPS / 64]; // groups that have been checked, at its end
    // tight.c: by instruction of the loop
    u8 role[BLOCK_INSNS]; // ROLE_*
    struct wide {
        u8 reg, bytes;
        i16 off; // as group_off
    } wide[BLOCK_INSNS];
    u8 stub_at[BLOCK_INSNS];       // codegen.c: which one, by instruction of the block being written
    u64 stub_set[BLOCK_INSNS];     // what is written back by it and those below, but what was dirty
    u32 stub;  // of the instruction being written
    i32 where; // as in the context, of that
    bool rounds; // writing a tight loop's rounds
    bool ahead; // writing what comes before a block: its fuel is not taken
    bool slow; // writing the version of a block for groups that cross pages
    u32 temp, temp_f64, temp_f32, temp_i32; // first of the temporary locals
    u32 word; // as in block, at the instruction
    u64 not_nan, boxed; // registers of which this is known, in the block
    // Ways out that several blocks have in common: registers to write back. What comes behind that is one for all.
    struct way_out {
        u64 set;
        bool stub; // to leave an instruction to the interpreter; else to go on in another region
        u16 users;
    } way_out[WAYS_OUT];
    u32 way_out_count;
    u16 label[REGION_BLOCKS * 3 + 2 * BLOCK_INSNS + WAYS_OUT + 2 * JIT_TARGETS]; // open blocks, outermost first: what a branch to each means
    u32 label_count;
    // Branches that hardly ever, or nearly always, are taken: for the engine. In order.
    struct hint {
        u32 offset; // in the function's body
        u8 member, likely;
    } hint[HINTS];
    u32 hint_count;
    // Where functions name themselves or others, each in five bytes: a host that joins modules numbers them anew.
    struct self_call {
        u32 offset; // in the body of
        u16 member;
        u16 callee;
    } self_call[SELF_CALLS];
    u32 self_call_count;
    u8 *body; // of the function under way
    u32 member_count; // regions of the module under way
};

enum { ROLE_PLAIN, ROLE_NOTHING, ROLE_WIDE, ROLE_LATER };

// Where control goes from the block: NO_BLOCK, or a block.
static inline bool dispatches(const struct translation *t) { return t->target_count > 1; }
static inline u32 succ_count(const struct translation *t, const struct block *block) {
    return block->term == TERM_DISPATCH ? t->target_count : 2;
}
static inline u16 succ_at(const struct translation *t, const struct block *block, u32 k) {
    return block->term == TERM_DISPATCH ? t->target_block[k] : block->succ[k];
}

u32 translation_size(void);
bool translate_module(struct jit *jit); // into jit->module; false: nothing came of it

// Find the blocks reachable from t->pc and what is known of them. `known`: where its dispatch is to lead in any case, or NULL.
// False: nothing worth compiling.
bool region_find(struct translation *t, const struct region_targets *known);

// Ticks for which no fuel has been taken, at the block's end.
u32 owes_after(const struct block *block);

// Registers to write back on the way to succ[k].
u64 written_between(const struct translation *t, u16 from, u32 k);

// What is needed in locals at each block's start.
void registers_live(struct translation *t);

// Registers read and written, as bits of the context's numbering; x0 never counts.
void insn_registers(const struct insn *insn, u64 *reads, u64 *writes);

// listing.c
void listing_region(struct translation *t, i32 off); // whose entry is that far from t->pc
void listing_block(struct translation *t, const struct block *block); // is written next

bool codegen_leaves(const struct insn *insn); // may this one leave the region?

// Write the function's body. False: no room.
bool region_write(struct translation *t);
void go_on_write(struct translation *t); // the bodies of the functions that every region leaves by
void leave_write(struct translation *t);
void inside_write(struct translation *t, u32 member, i32 off);

// One instruction, decoded: what the table row says and its operands, nothing about how it is run.
#pragma once
#include "../types.h"

// Operand layouts: the text a disassembler prints. d s t r: rd rs1 rs2 rs3, all as indices into x (0 to
// 31) and f (32 to 63); i: immediate; u: upper immediate; p: pc + immediate; c: CSR number; z: rs1 as a number.
#define FORMAT_TABLE(X)                                                                            \
    X(NONE, "")                                                                                    \
    X(R, "d,s,t")                                                                                  \
    X(I, "d,s,i")                                                                                  \
    X(SH, "d,s,i")                                                                                 \
    X(LOAD, "d,i(s)")                                                                              \
    X(STORE, "t,i(s)")                                                                             \
    X(B, "s,t,p")                                                                                  \
    X(U, "d,u")                                                                                    \
    X(J, "d,p")                                                                                    \
    X(JALR, "d,i(s)")                                                                              \
    X(FENCE, "")                                                                                   \
    X(CSR, "d,c,s")                                                                                \
    X(CSRI, "d,c,z")                                                                               \
    X(LR, "d,(s)")                                                                                 \
    X(AMO, "d,t,(s)")                                                                              \
    X(FLOAD, "d,i(s)")                                                                             \
    X(FSTORE, "t,i(s)")                                                                            \
    X(FMA, "d,s,t,r")                                                                              \
    X(FFF, "d,s,t")                                                                                \
    X(FF, "d,s")                                                                                   \
    X(XFF, "d,s,t")                                                                                \
    X(XF, "d,s")                                                                                   \
    X(FX, "d,s")

enum insn_format {
#define X(name, text) FORMAT_##name,
    FORMAT_TABLE(X)
#undef X
    // Compressed: only say where the operands of the base instruction are.
    FORMAT_CIW,
    FORMAT_CL_W,
    FORMAT_CL_D,
    FORMAT_CS_W,
    FORMAT_CS_D,
    FORMAT_CI,
    FORMAT_CI_NZ,
    FORMAT_CI_LI,
    FORMAT_CI_16SP,
    FORMAT_CI_LUI,
    FORMAT_CI_SH,
    FORMAT_CI_WSP,
    FORMAT_CI_DSP,
    FORMAT_CSS_W,
    FORMAT_CSS_D,
    FORMAT_CB_SH,
    FORMAT_CB_I,
    FORMAT_CB,
    FORMAT_CA,
    FORMAT_CJ,
    FORMAT_CR,
    FORMAT_CR_MV,
    FORMAT_CR_JR,
    FORMAT_CR_JALR,
};

// Row numbers. ILLEGAL is 0, then insn.tbl in order; compressed rows come last and are never results of
// decoding: they become their base.
enum insn_id {
    ILLEGAL,
#define INSN(id, name, format, match, mask, flags) id,
#include "insn.tbl"
    INSN_BASE_END,
#define COMPRESSED(id, name, format, match, mask, base) id,
#include "insn.tbl"
    INSN_END,
};

enum insn_flag {
    LOAD = 1,
    STORE = 2,
    BRANCH = 4,
    CSR = 8,
    AMO = 16,
    FP = 32,
    RM = 64,
    END = 128,
};

enum { CSR_FFLAGS = 1, CSR_FRM, CSR_FCSR };

struct insn {
    u16 id;  // enum insn_id below INSN_BASE_END
    u16 row; // the row that matched: id, or a compressed one
    u8 len;
    u8 flags; // enum insn_flag
    u8 rd, rs1, rs2, rs3;
    u8 rm;
    i32 imm;
};

struct insn_row {
    const char *name;
    u32 match, mask;
    u8 format, flags;
    u8 base; // enum insn_id
};
extern const struct insn_row insn_row[INSN_END];
extern const char *const insn_format_text[];

// For each value of the bits that tell most, the rows worth trying, in order. Built once from the table.
#define INSN_BUCKETS (256 + 24)
struct insn_index {
    u16 start[INSN_BUCKETS + 1];
    u8 row[4096];
};
void insn_index_init(struct insn_index *index);

// `word` holds the instruction in its low 16 or 32 bits. Invalid encodings give ILLEGAL (and a length).
// Without an index all rows are tried.
struct insn insn_decode(const struct insn_index *index, u32 word);

static inline u32 insn_length(u32 word) { return (word & 3) == 3 ? 4 : 2; }

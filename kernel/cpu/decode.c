// From instruction words to struct insn. All knowledge of encodings is here and in insn.tbl.
#include "insn.h"

#define INSN(id, name, format, match, mask, flags)                                                 \
    [id] = {name, match, mask, FORMAT_##format, flags, id},
#define COMPRESSED(id, name, format, match, mask, base)                                            \
    [id] = {name, match, mask, FORMAT_##format, 0, base},
const struct insn_row insn_row[INSN_END] = {
    [ILLEGAL] = {"illegal", 1, 0, FORMAT_NONE, END, ILLEGAL},
    [INSN_BASE_END] = {"illegal", 1, 0, FORMAT_NONE, END, ILLEGAL},
#include "insn.tbl"
};

const char *const insn_format_text[] = {
#define X(name, text) text,
    FORMAT_TABLE(X)
#undef X
};

static u32 bits(u32 word, u32 high, u32 low) { return word >> low & ((2u << (high - low)) - 1); }

static i32 sign(u32 value, u32 width) { return (i32)(value << (32 - width)) >> (32 - width); }

static u32 bucket_of(u32 word) {
    if ((word & 3) == 3)
        return bits(word, 6, 2) << 3 | bits(word, 14, 12);
    return 256 + (bits(word, 1, 0) << 3) + bits(word, 15, 13);
}

void insn_index_init(struct insn_index *index) {
    u32 n = 0;
    for (u32 bucket = 0; bucket < INSN_BUCKETS; bucket++) {
        bool full = bucket < 256;
        u32 c = bucket - 256;
        u32 word = full ? (bucket >> 3) << 2 | (bucket & 7) << 12 | 3 : (c & 7) << 13 | c >> 3;
        u32 care = full ? 0x707f : 0xe003;
        index->start[bucket] = (u16)n;
        for (u32 i = 1; i < INSN_END; i++) {
            u32 mask = insn_row[i].mask & care;
            if ((i < INSN_BASE_END) != full || (word & mask) != (insn_row[i].match & mask))
                continue;
            assert(n < sizeof(index->row));
            index->row[n++] = (u8)i;
        }
    }
    index->start[INSN_BUCKETS] = (u16)n;
}

// Operands of a 32-bit instruction. False: reserved.
static bool operands(struct insn *insn, u32 w, u32 format) {
    u32 rd = bits(w, 11, 7), rs1 = bits(w, 19, 15), rs2 = bits(w, 24, 20);
    i32 imm_i = (i32)w >> 20;
    i32 imm_s = ((i32)w >> 25) * 32 + (i32)rd;
    insn->rd = (u8)rd;
    insn->rs1 = (u8)rs1;
    insn->rs2 = (u8)rs2;
    insn->rm = (u8)bits(w, 14, 12);
    switch (format) {
    case FORMAT_I:
    case FORMAT_LOAD:
    case FORMAT_JALR:
        insn->imm = imm_i;
        break;
    case FORMAT_SH:
        insn->imm = (i32)bits(w, 25, 20);
        break;
    case FORMAT_CSR:
    case FORMAT_CSRI:
        insn->imm = (i32)bits(w, 31, 20);
        break;
    case FORMAT_FLOAD:
        insn->rd += 32;
        insn->imm = imm_i;
        break;
    case FORMAT_FSTORE:
        insn->rs2 += 32;
        insn->imm = imm_s;
        break;
    case FORMAT_STORE:
        insn->imm = imm_s;
        break;
    case FORMAT_B:
        insn->imm = sign(bits(w, 31, 31) << 12 | bits(w, 7, 7) << 11 | bits(w, 30, 25) << 5 |
                             bits(w, 11, 8) << 1,
                         13);
        break;
    case FORMAT_U:
        insn->imm = (i32)(w & 0xfffff000);
        break;
    case FORMAT_J:
        insn->imm = sign(bits(w, 31, 31) << 20 | bits(w, 19, 12) << 12 | bits(w, 20, 20) << 11 |
                             bits(w, 30, 21) << 1,
                         21);
        break;
    case FORMAT_FMA:
        insn->rs3 = (u8)(bits(w, 31, 27) + 32);
        // fallthrough
    case FORMAT_FFF:
    case FORMAT_FF:
        insn->rd += 32;
        // fallthrough
    case FORMAT_XFF:
    case FORMAT_XF:
        insn->rs1 += 32;
        insn->rs2 += 32;
        break;
    case FORMAT_FX:
        insn->rd += 32;
        break;
    default:
        break;
    }
    return !(insn->flags & RM) || (insn->rm != 5 && insn->rm != 6);
}

// Operands of a compressed one, in terms of its base. False: reserved.
static bool operands_c(struct insn *insn, u32 w, u32 format) {
    u32 rd = bits(w, 11, 7), rs2 = bits(w, 6, 2);
    u32 rdp = 8 + bits(w, 4, 2), rs1p = 8 + bits(w, 9, 7);
    u32 imm6 = bits(w, 12, 12) << 5 | rs2;
    u32 fp = insn->flags & FP ? 32 : 0;
    u32 d = 0, s = 0, t = 0;
    i32 imm = 0;
    switch (format) {
    case FORMAT_CIW:
        d = rdp, s = 2;
        imm = (i32)(bits(w, 12, 11) << 4 | bits(w, 10, 7) << 6 | bits(w, 6, 6) << 2 |
                    bits(w, 5, 5) << 3);
        if (!imm)
            return false;
        break;
    case FORMAT_CL_W:
    case FORMAT_CS_W:
        d = rdp, s = rs1p, t = rdp;
        imm = (i32)(bits(w, 12, 10) << 3 | bits(w, 6, 6) << 2 | bits(w, 5, 5) << 6);
        break;
    case FORMAT_CL_D:
    case FORMAT_CS_D:
        d = rdp + fp, s = rs1p, t = rdp + fp;
        imm = (i32)(bits(w, 12, 10) << 3 | bits(w, 6, 5) << 6);
        break;
    case FORMAT_CI_NZ:
        if (!rd)
            return false;
        // fallthrough
    case FORMAT_CI:
        d = s = rd;
        imm = sign(imm6, 6);
        break;
    case FORMAT_CI_LI:
        d = rd;
        imm = sign(imm6, 6);
        break;
    case FORMAT_CI_16SP:
        d = s = 2;
        imm = sign(bits(w, 12, 12) << 9 | bits(w, 6, 6) << 4 | bits(w, 5, 5) << 6 |
                       bits(w, 4, 3) << 7 | bits(w, 2, 2) << 5,
                   10);
        if (!imm)
            return false;
        break;
    case FORMAT_CI_LUI:
        d = rd;
        imm = (i32)((u32)sign(imm6, 6) << 12);
        if (!imm)
            return false;
        break;
    case FORMAT_CI_SH:
        d = s = rd;
        imm = (i32)imm6;
        break;
    case FORMAT_CI_WSP:
        d = rd, s = 2;
        imm = (i32)(bits(w, 12, 12) << 5 | bits(w, 6, 4) << 2 | bits(w, 3, 2) << 6);
        if (!rd)
            return false;
        break;
    case FORMAT_CI_DSP:
        d = rd + fp, s = 2;
        imm = (i32)(bits(w, 12, 12) << 5 | bits(w, 6, 5) << 3 | bits(w, 4, 2) << 6);
        if (!d)
            return false;
        break;
    case FORMAT_CSS_W:
        s = 2, t = rs2;
        imm = (i32)(bits(w, 12, 9) << 2 | bits(w, 8, 7) << 6);
        break;
    case FORMAT_CSS_D:
        s = 2, t = rs2 + fp;
        imm = (i32)(bits(w, 12, 10) << 3 | bits(w, 9, 7) << 6);
        break;
    case FORMAT_CB_SH:
        d = s = rs1p;
        imm = (i32)imm6;
        break;
    case FORMAT_CB_I:
        d = s = rs1p;
        imm = sign(imm6, 6);
        break;
    case FORMAT_CB:
        s = rs1p;
        imm = sign(bits(w, 12, 12) << 8 | bits(w, 11, 10) << 3 | bits(w, 6, 5) << 6 |
                       bits(w, 4, 3) << 1 | bits(w, 2, 2) << 5,
                   9);
        break;
    case FORMAT_CA:
        d = s = rs1p, t = rdp;
        break;
    case FORMAT_CJ:
        imm = sign(bits(w, 12, 12) << 11 | bits(w, 11, 11) << 4 | bits(w, 10, 9) << 8 |
                       bits(w, 8, 8) << 10 | bits(w, 7, 7) << 6 | bits(w, 6, 6) << 7 |
                       bits(w, 5, 3) << 1 | bits(w, 2, 2) << 5,
                   12);
        break;
    case FORMAT_CR:
        d = s = rd, t = rs2;
        break;
    case FORMAT_CR_MV:
        d = rd, t = rs2;
        break;
    case FORMAT_CR_JR:
        s = rd;
        if (!rd)
            return false;
        break;
    case FORMAT_CR_JALR:
        d = 1, s = rd;
        break;
    default:
        break;
    }
    insn->rd = (u8)d;
    insn->rs1 = (u8)s;
    insn->rs2 = (u8)t;
    insn->imm = imm;
    return true;
}

static u32 row_of(const struct insn_index *index, u32 word) {
    if (!index) {
        for (u32 i = 1; i < INSN_END; i++)
            if ((word & insn_row[i].mask) == insn_row[i].match)
                return i;
        return ILLEGAL;
    }
    u32 bucket = bucket_of(word);
    for (u32 i = index->start[bucket]; i < index->start[bucket + 1]; i++) {
        const struct insn_row *row = &insn_row[index->row[i]];
        if ((word & row->mask) == row->match)
            return index->row[i];
    }
    return ILLEGAL;
}

struct insn insn_decode(const struct insn_index *index, u32 word) {
    struct insn insn = {.len = (u8)insn_length(word)};
    if (insn.len == 2)
        word &= 0xffff;
    u32 row = row_of(index, word);
    u32 base = insn_row[row].base;
    insn.id = (u16)base;
    insn.row = (u16)row;
    insn.flags = insn_row[base].flags;
    bool valid = row < INSN_BASE_END ? operands(&insn, word, insn_row[row].format)
                                     : operands_c(&insn, word, insn_row[row].format);
    if (!valid) {
        insn.id = insn.row = ILLEGAL;
        insn.flags = insn_row[ILLEGAL].flags;
    }
    return insn;
}

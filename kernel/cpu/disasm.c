// Instructions as text, for reports and traces. Prints the base instruction of a compressed one.
#include "cpu.h"
#include "insn.h"

static const char *const reg_name[64] = {
    "zero", "ra",  "sp",  "gp",  "tp",  "t0",  "t1",  "t2",  "s0",  "s1",  "a0",   "a1",  "a2",
    "a3",   "a4",  "a5",  "a6",  "a7",  "s2",  "s3",  "s4",  "s5",  "s6",  "s7",   "s8",  "s9",
    "s10",  "s11", "t3",  "t4",  "t5",  "t6",  "ft0", "ft1", "ft2", "ft3", "ft4",  "ft5", "ft6",
    "ft7",  "fs0", "fs1", "fa0", "fa1", "fa2", "fa3", "fa4", "fa5", "fa6", "fa7",  "fs2", "fs3",
    "fs4",  "fs5", "fs6", "fs7", "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11",
};

struct text {
    char *out;
    u32 left;
};

static void put(struct text *text, char c) {
    if (text->left > 1) {
        *text->out++ = c;
        text->left--;
    }
}

static void put_string(struct text *text, const char *s) {
    while (*s)
        put(text, *s++);
}

static void put_hex(struct text *text, u64 value) {
    put_string(text, "0x");
    u32 shift = 60;
    while (shift && !(value >> shift))
        shift -= 4;
    for (;; shift -= 4) {
        put(text, "0123456789abcdef"[value >> shift & 15]);
        if (!shift)
            return;
    }
}

static void put_number(struct text *text, i64 value) {
    char digits[24];
    u32 n = 0;
    u64 rest = value < 0 ? 0 - (u64)value : (u64)value;
    if (value < 0)
        put(text, '-');
    do
        digits[n++] = (char)('0' + rest % 10);
    while (rest /= 10);
    while (n)
        put(text, digits[--n]);
}

u32 cpu_disasm(u32 word, u64 pc, char *out, u32 size) {
    struct insn insn = insn_decode(0, word);
    struct text text = {out, size};
    const char *operand = insn_format_text[insn_row[insn.id].format];
    put_string(&text, insn_row[insn.id].name);
    if (*operand)
        put(&text, ' ');
    for (; *operand; operand++) {
        switch (*operand) {
        case 'd': put_string(&text, reg_name[insn.rd]); break;
        case 's': put_string(&text, reg_name[insn.rs1]); break;
        case 't': put_string(&text, reg_name[insn.rs2]); break;
        case 'r': put_string(&text, reg_name[insn.rs3]); break;
        case 'i': put_number(&text, insn.imm); break;
        case 'z': put_number(&text, insn.rs1); break;
        case 'u': put_hex(&text, (u32)insn.imm >> 12); break;
        case 'c': put_hex(&text, (u32)insn.imm); break;
        case 'p': put_hex(&text, pc + (u64)(i64)insn.imm); break;
        default: put(&text, *operand);
        }
    }
    if (size)
        *text.out = 0;
    return insn.len;
}

// What regions are made from, as text, for whoever reads the WebAssembly made of them: `region PC`, then for each block, in the
// order in which they are written, `block OFFSET` in the function's body, and its instructions. Only if the host asks for it.
#include "translate.h"
#include "../lib/fmt.h"

enum { LINE = 120 };

static void line(struct jit *jit, const char *text) {
    u32 length = (u32)__builtin_strlen(text);
    if (!jit->listing || jit->listing_len + length + 1 > JIT_LISTING_BYTES)
        return;
    __builtin_memcpy(jit->listing + jit->listing_len, text, length);
    jit->listing_len += length;
    jit->listing[jit->listing_len++] = '\n';
}

void listing_region(struct translation *t, i32 off) {
    char text[LINE];
    ksnprintf(text, sizeof text, "region %llx", (unsigned long long)(t->pc + (u64)(i64)off));
    line(t->jit, text);
}

// The half of an instruction at va, which is mapped: it has been translated.
static u32 half(struct jit *jit, u64 va) {
    const struct code_page *page = code_page_known(jit->hart, jit->cache, va);
    return page ? *MPTR(const u16, page->frame + (va & PAGE_MASK)) : 0;
}

void listing_block(struct translation *t, const struct block *block) {
    struct jit *jit = t->jit;
    if (!jit->listing)
        return;
    char text[LINE], named[LINE - 40];
    ksnprintf(text, sizeof text, "block %x", (u32)(t->code.at - t->body));
    line(jit, text);
    for (u32 k = 0; k < block->count; k++) {
        const struct jit_insn *row = &t->row[block->first + k];
        u64 pc = t->pc + (u64)(i64)row->off;
        u32 word = half(jit, pc);
        if (row->insn.len == 4)
            word |= half(jit, pc + 2) << 16;
        cpu_disasm(word, pc, named, sizeof named);
        ksnprintf(text, sizeof text, "%llx %s%s", (unsigned long long)pc, named, row->context ? " (copied)" : "");
        line(jit, text);
    }
}

// ELF program files, 64-bit little-endian RISC-V. Everything in them is the guest's: nothing is believed unchecked.
#include "elf.h"
#include "../lib/string.h"

struct elf_header {
    u8 ident[16];
    u16 type, machine;
    u32 version;
    u64 entry, phoff, shoff;
    u32 flags;
    u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
enum { EM_RISCV = 243 };

static bool segment_fits(const struct elf_phdr *p) {
    return p->memsz >= p->filesz && p->vaddr < USER_END && p->memsz <= USER_END - p->vaddr &&
           p->offset < 1ull << 62 && p->filesz < 1ull << 48 && ((p->offset ^ p->vaddr) & PAGE_MASK) == 0;
}

i64 elf_read(struct task *task, struct inode *inode, struct elf *elf) {
    struct elf_header header;
    i64 n = inode_read(task, inode, 0, &header, sizeof header);
    if (n < 0)
        return n;
    if (n != sizeof header || memcmp(header.ident, "\177ELF\2\1\1", 7) || header.machine != EM_RISCV ||
        (header.type != ET_EXEC && header.type != ET_DYN) || header.phentsize != sizeof(struct elf_phdr) ||
        header.phnum == 0 || header.phnum > ELF_PHDRS_MAX)
        return -ENOEXEC;
    *elf = (struct elf){.type = header.type, .phnum = header.phnum, .phoff = header.phoff, .entry = header.entry,
                        .low = ~0ull, .align = PAGE_SIZE};
    u64 size = header.phnum * sizeof(struct elf_phdr);
    n = inode_read(task, inode, header.phoff, elf->phdr, size);
    if (n < 0)
        return n;
    if ((u64)n != size)
        return -ENOEXEC;
    for (u32 i = 0; i < elf->phnum; i++) {
        const struct elf_phdr *p = &elf->phdr[i];
        if (p->type == PT_GNU_STACK)
            elf->exec_stack = p->flags & PF_X;
        if (p->type != PT_LOAD || p->memsz == 0)
            continue;
        if (!segment_fits(p))
            return -ENOEXEC;
        elf->low = min(elf->low, align_down(p->vaddr, (u64)PAGE_SIZE));
        elf->high = max(elf->high, align_up(p->vaddr + p->memsz, (u64)PAGE_SIZE));
        if (p->align > elf->align && (p->align & (p->align - 1)) == 0)
            elf->align = min(p->align, 1ull << 30);
        if (p->offset <= elf->phoff && elf->phoff - p->offset < p->filesz)
            elf->phdr_va = elf->phoff - p->offset + p->vaddr;
    }
    return elf->low < elf->high ? 0 : -ENOEXEC;
}

i64 elf_interp(struct task *task, struct inode *inode, const struct elf *elf, char *out, u32 size) {
    for (u32 i = 0; i < elf->phnum; i++) {
        const struct elf_phdr *p = &elf->phdr[i];
        if (p->type != PT_INTERP)
            continue;
        if (p->filesz < 2 || p->filesz > size)
            return -ENOEXEC;
        i64 n = inode_read(task, inode, p->offset, out, p->filesz);
        if (n < 0)
            return n;
        return (u64)n == p->filesz && out[n - 1] == 0 ? (i64)strlen(out) : -ENOEXEC;
    }
    return 0;
}

static u32 prot_of(u32 flags) {
    return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) | (flags & PF_X ? PROT_EXEC : 0);
}

static i64 map_segment(struct mm *mm, struct inode *inode, const struct elf_phdr *p, u64 bias, struct elf_zero *zero,
                       u32 *zeros) {
    u64 start = align_down(p->vaddr + bias, (u64)PAGE_SIZE);
    u64 file_end = p->vaddr + bias + p->filesz, mem_end = p->vaddr + bias + p->memsz;
    u64 file_pages = p->filesz ? align_up(file_end, (u64)PAGE_SIZE) : start;
    u64 end = align_up(mem_end, (u64)PAGE_SIZE);
    u32 prot = prot_of(p->flags), flags = MAP_PRIVATE | MAP_FIXED;
    i64 r = 0;
    if (file_pages > start)
        r = mm_map(mm, start, file_pages - start, prot, flags, 0, &inode->object, p->offset >> PAGE_SHIFT, NULL);
    if (r >= 0 && end > file_pages)
        r = mm_map(mm, file_pages, end - file_pages, prot, flags | MAP_ANONYMOUS, 0, NULL, 0, NULL);
    if (r >= 0 && p->filesz && mem_end > file_end && (file_end & PAGE_MASK) && (p->flags & PF_W))
        zero[(*zeros)++] = (struct elf_zero){file_end, (u32)(min(file_pages, mem_end) - file_end)};
    return r < 0 ? r : 0;
}

i64 elf_map(struct mm *mm, struct inode *inode, struct elf *elf, u64 base, struct elf_zero *zero, u32 *zeros) {
    u64 size = elf->high - elf->low;
    if (elf->type == ET_DYN) {
        u64 room = elf->align > PAGE_SIZE ? size + elf->align : size;
        u32 flags = MAP_PRIVATE | MAP_ANONYMOUS;
        i64 at = mm_map(mm, base ? align_down(base, elf->align) : 0, room, PROT_NONE, flags, 0, NULL, 0, NULL);
        if (at < 0)
            return at;
        i64 error = mm_unmap(mm, (u64)at, room); // only the segments stay
        if (error)
            return error;
        elf->bias = align_up((u64)at, elf->align) - align_down(elf->low, elf->align);
    }
    for (u32 i = 0; i < elf->phnum; i++) {
        const struct elf_phdr *p = &elf->phdr[i];
        if (p->type != PT_LOAD || p->memsz == 0)
            continue;
        i64 error = map_segment(mm, inode, p, elf->bias, zero, zeros);
        if (error)
            return error;
    }
    return 0;
}

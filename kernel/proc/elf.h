// ELF program files: reading their headers and mapping their segments. elf(5).
#pragma once
#include "../fs/inode.h"

struct elf_phdr {
    u32 type, flags;
    u64 offset, vaddr, paddr, filesz, memsz, align;
};
enum { PT_LOAD = 1, PT_INTERP = 3, PT_PHDR = 6, PT_GNU_STACK = 0x6474e551 };
enum { PF_X = 1, PF_W = 2, PF_R = 4 };
enum { ET_EXEC = 2, ET_DYN = 3 };
#define ELF_PHDRS_MAX 64u

struct elf {
    u16 type;
    u16 phnum;
    u64 phoff;
    u64 entry; // as in the file; + bias once mapped
    u64 bias;  // where it was mapped, minus the file's addresses
    u64 low, high; // page-aligned extent of its segments, file addresses
    u64 align;
    u64 phdr_va;   // of the program headers in memory, file address; 0: not mapped
    bool exec_stack;
    struct elf_phdr phdr[ELF_PHDRS_MAX];
};

// Memory of a new image that must be zeroed after mapping: the rest of a segment's last file page.
struct elf_zero {
    u64 va;
    u32 len;
};

// Reads and checks the headers. -ENOEXEC, -EIO, -ENOMEM, E_WAIT.
must_check i64 elf_read(struct task *task, struct inode *inode, struct elf *elf);
// The path in PT_INTERP: its length, 0 when there is none, -ENOEXEC.
must_check i64 elf_interp(struct task *task, struct inode *inode, const struct elf *elf, char *out, u32 size);
// Maps all segments; ET_DYN at `base`, or where there is room if that is 0. Sets bias; what must be zeroed
// is appended to zero[*zeros] (at most ELF_PHDRS_MAX). Never waits.
must_check i64 elf_map(struct mm *mm, struct inode *inode, struct elf *elf, u64 base, struct elf_zero *zero, u32 *zeros);

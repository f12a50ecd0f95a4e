// Random hot code: functions of random instructions are written into memory and run in loops, so that a compiler
// of guest code takes them up, while the ground moves under them. Prints a checksum of what they did.
// Arguments: seed, programs, rounds of each, and what moves: a sum of the numbers in `enum moves`.
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <pthread.h>
#include <ucontext.h>
#include <unistd.h>

enum moves {
    FAULTS = 1,    // loads, stores and calls that fail; illegal instructions
    PATCHES = 2,   // the code changes itself, and says so with fence.i
    SILENT = 4,    // the same without fence.i
    REMAPS = 8,    // between rounds pages of code are replaced, protected, unmapped
    TIMERS = 16,   // signals at any instruction, whose handler does all of that
    FORKS = 32,    // rounds in child processes, after which both go on
    THREADS = 64,  // several threads run it at once, each with its own data
    TWICE = 128,   // the code is mapped at two addresses, and changed through either
    FLOATS = 256,  // floating point
    COUNTS = 512,  // reads instret
    ATOMICS = 1024,
};

#define PAGE 4096u
#define CODE_PAGES 6u
#define CODE_SIZE (CODE_PAGES * PAGE)
#define DATA_PAGES 8u // one that is only read and one without rights follow
#define FUNCTIONS 7
#define BLOCKS 12
#define PATCH_MAX 32

static unsigned moves;
static uint64_t state;
static uint64_t below(uint64_t n) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state * 0x2545f4914f6cdd1dull >> 20) % n;
}
static int chance(unsigned percent) { return below(100) < percent; }
static int moved(unsigned what) { return (moves & what) != 0; }

// ---- Where things are --------------------------------------------------------------------------
#define CODE ((uint8_t *)0x70000000)
#define ALIAS ((uint8_t *)0x78000000) // the same pages, with TWICE
#define DATA ((uint8_t *)0x60000000)  // one per thread, 1 MiB apart

// What run() loads and stores; `frame` is its own.
struct context {
    uint64_t x[32], f[32], fcsr;
};

struct tables { // at the start of the data
    uint64_t function[2][FUNCTIONS]; // addresses, in both mappings
    uint64_t block[FUNCTIONS][8];
    uint32_t patch[PATCH_MAX][2]; // words to write
    uint64_t patch_at[PATCH_MAX];
    uint64_t bad[8]; // addresses to call that are none
};
#define TABLES_SIZE PAGE // x31 points behind them by 2 pages

static struct {
    uint32_t at;
} function_start[FUNCTIONS];
static uint32_t block_start[FUNCTIONS][BLOCKS], block_count[FUNCTIONS];
static uint32_t patch_count, patch_place[PATCH_MAX], patch_word[PATCH_MAX][2];

// ---- Running it --------------------------------------------------------------------------------
void run(struct context *context, uint64_t code);
__asm__(".text\n.globl run\n.type run, @function\nrun:\n"
        "addi sp, sp, -256\nsd a0, 0(sp)\nsd ra, 8(sp)\n"
        "sd s0, 16(sp)\nsd s1, 24(sp)\nsd s2, 32(sp)\nsd s3, 40(sp)\nsd s4, 48(sp)\nsd s5, 56(sp)\n"
        "sd s6, 64(sp)\nsd s7, 72(sp)\nsd s8, 80(sp)\nsd s9, 88(sp)\nsd s10, 96(sp)\nsd s11, 104(sp)\n"
        "fsd fs0, 112(sp)\nfsd fs1, 120(sp)\nfsd fs2, 128(sp)\nfsd fs3, 136(sp)\nfsd fs4, 144(sp)\nfsd fs5, 152(sp)\n"
        "fsd fs6, 160(sp)\nfsd fs7, 168(sp)\nfsd fs8, 176(sp)\nfsd fs9, 184(sp)\nfsd fs10, 192(sp)\nfsd fs11, 200(sp)\n"
        "mv ra, a1\nld t0, 512(a0)\nfscsr t0\n"
        "fld f0, 256(a0)\nfld f1, 264(a0)\nfld f2, 272(a0)\nfld f3, 280(a0)\nfld f4, 288(a0)\nfld f5, 296(a0)\n"
        "fld f6, 304(a0)\nfld f7, 312(a0)\nfld f8, 320(a0)\nfld f9, 328(a0)\nfld f10, 336(a0)\nfld f11, 344(a0)\n"
        "fld f12, 352(a0)\nfld f13, 360(a0)\nfld f14, 368(a0)\nfld f15, 376(a0)\nfld f16, 384(a0)\nfld f17, 392(a0)\n"
        "fld f18, 400(a0)\nfld f19, 408(a0)\nfld f20, 416(a0)\nfld f21, 424(a0)\nfld f22, 432(a0)\nfld f23, 440(a0)\n"
        "fld f24, 448(a0)\nfld f25, 456(a0)\nfld f26, 464(a0)\nfld f27, 472(a0)\nfld f28, 480(a0)\nfld f29, 488(a0)\n"
        "fld f30, 496(a0)\nfld f31, 504(a0)\n"
        "ld x5, 40(a0)\nld x6, 48(a0)\nld x7, 56(a0)\nld x8, 64(a0)\nld x9, 72(a0)\nld x11, 88(a0)\nld x12, 96(a0)\n"
        "ld x13, 104(a0)\nld x14, 112(a0)\nld x15, 120(a0)\nld x16, 128(a0)\nld x17, 136(a0)\nld x18, 144(a0)\n"
        "ld x19, 152(a0)\nld x20, 160(a0)\nld x21, 168(a0)\nld x22, 176(a0)\nld x23, 184(a0)\nld x24, 192(a0)\n"
        "ld x25, 200(a0)\nld x26, 208(a0)\nld x27, 216(a0)\nld x28, 224(a0)\nld x29, 232(a0)\nld x30, 240(a0)\n"
        "ld x31, 248(a0)\nld x10, 80(a0)\n"
        "jalr ra\n"
        "ld ra, 0(sp)\n"
        "sd x5, 40(ra)\nsd x6, 48(ra)\nsd x7, 56(ra)\nsd x8, 64(ra)\nsd x9, 72(ra)\nsd x10, 80(ra)\nsd x11, 88(ra)\n"
        "sd x12, 96(ra)\nsd x13, 104(ra)\nsd x14, 112(ra)\nsd x15, 120(ra)\nsd x16, 128(ra)\nsd x17, 136(ra)\n"
        "sd x18, 144(ra)\nsd x19, 152(ra)\nsd x20, 160(ra)\nsd x21, 168(ra)\nsd x22, 176(ra)\nsd x23, 184(ra)\n"
        "sd x24, 192(ra)\nsd x25, 200(ra)\nsd x26, 208(ra)\nsd x27, 216(ra)\nsd x28, 224(ra)\nsd x29, 232(ra)\n"
        "sd x30, 240(ra)\n"
        "fsd f0, 256(ra)\nfsd f1, 264(ra)\nfsd f2, 272(ra)\nfsd f3, 280(ra)\nfsd f4, 288(ra)\nfsd f5, 296(ra)\n"
        "fsd f6, 304(ra)\nfsd f7, 312(ra)\nfsd f8, 320(ra)\nfsd f9, 328(ra)\nfsd f10, 336(ra)\nfsd f11, 344(ra)\n"
        "fsd f12, 352(ra)\nfsd f13, 360(ra)\nfsd f14, 368(ra)\nfsd f15, 376(ra)\nfsd f16, 384(ra)\nfsd f17, 392(ra)\n"
        "fsd f18, 400(ra)\nfsd f19, 408(ra)\nfsd f20, 416(ra)\nfsd f21, 424(ra)\nfsd f22, 432(ra)\nfsd f23, 440(ra)\n"
        "fsd f24, 448(ra)\nfsd f25, 456(ra)\nfsd f26, 464(ra)\nfsd f27, 472(ra)\nfsd f28, 480(ra)\nfsd f29, 488(ra)\n"
        "fsd f30, 496(ra)\nfsd f31, 504(ra)\n"
        "frcsr t0\nsd t0, 512(ra)\nfscsr zero\n"
        "ld s0, 16(sp)\nld s1, 24(sp)\nld s2, 32(sp)\nld s3, 40(sp)\nld s4, 48(sp)\nld s5, 56(sp)\n"
        "ld s6, 64(sp)\nld s7, 72(sp)\nld s8, 80(sp)\nld s9, 88(sp)\nld s10, 96(sp)\nld s11, 104(sp)\n"
        "fld fs0, 112(sp)\nfld fs1, 120(sp)\nfld fs2, 128(sp)\nfld fs3, 136(sp)\nfld fs4, 144(sp)\nfld fs5, 152(sp)\n"
        "fld fs6, 160(sp)\nfld fs7, 168(sp)\nfld fs8, 176(sp)\nfld fs9, 184(sp)\nfld fs10, 192(sp)\nfld fs11, 200(sp)\n"
        "ld ra, 8(sp)\naddi sp, sp, 256\nret\n");

// ---- Writing it --------------------------------------------------------------------------------
static uint8_t text[CODE_SIZE];
static uint32_t here;

static void put16(uint32_t half) {
    memcpy(text + here, &half, 2);
    here += 2;
}
static void put(uint32_t word) {
    put16(word & 0xffff);
    put16(word >> 16);
}

enum { BUDGET = 30, BASE = 31 }; // never written by chance; nor are ra, sp, gp, tp

static uint32_t any(void) { return chance(8) ? 0 : chance(5) ? BASE : 5 + (uint32_t)below(25); }
static uint32_t dest(void) { return chance(4) ? 0 : 5 + (uint32_t)below(25); }
static uint32_t near_reg(void) { return 8 + (uint32_t)below(8); }

static uint32_t i_type(uint32_t match, uint32_t rd, uint32_t rs1, int32_t imm) {
    return match | rd << 7 | rs1 << 15 | (uint32_t)imm << 20;
}
static uint32_t s_type(uint32_t match, uint32_t rs1, uint32_t rs2, int32_t imm) {
    return match | rs1 << 15 | rs2 << 20 | ((uint32_t)imm & 31) << 7 | ((uint32_t)imm >> 5 & 127) << 25;
}
static uint32_t b_type(uint32_t match, uint32_t rs1, uint32_t rs2, int32_t imm) {
    uint32_t u = (uint32_t)imm;
    return match | rs1 << 15 | rs2 << 20 | (u >> 11 & 1) << 7 | (u >> 1 & 15) << 8 | (u >> 5 & 63) << 25 | (u >> 12 & 1) << 31;
}
static uint32_t j_type(uint32_t rd, int32_t imm) {
    uint32_t u = (uint32_t)imm;
    return 0x6f | rd << 7 | (u >> 12 & 255) << 12 | (u >> 11 & 1) << 20 | (u >> 1 & 1023) << 21 | (u >> 20 & 1) << 31;
}

static void add_immediate(uint32_t rd, uint32_t rs1, int32_t imm) { put(i_type(0x13, rd, rs1, imm)); }

#define TABLE_OFFSET(field) ((int32_t)offsetof(struct tables, field) - (int32_t)(2 * PAGE))
// rd = the word at x31 - 8192 + offset
static void table_load(uint32_t rd, uint32_t match, int32_t offset) {
    put(0x37 | rd << 7 | ((uint32_t)(offset + 0x800) & 0xfffff000));
    put(0x33 | rd << 7 | rd << 15 | BASE << 20); // add rd, rd, x31
    put(i_type(match, rd, rd, (int32_t)((uint32_t)offset << 20) >> 20));
}
enum { LD = 0x3003, LW = 0x2003, SW = 0x2023, SD = 0x3023 };

static void arithmetic(void) {
    static const uint32_t r[] = {
        0x33, 0x40000033, 0x1033, 0x2033, 0x3033, 0x4033, 0x5033, 0x40005033, 0x6033, 0x7033, 0x3b, 0x4000003b, 0x103b,
        0x503b, 0x4000503b, 0x2000033, 0x2001033, 0x2002033, 0x2003033, 0x2004033, 0x2005033, 0x2006033, 0x2007033,
        0x200003b, 0x200403b, 0x200503b, 0x200603b, 0x200703b,
    };
    static const uint32_t i[] = {0x13, 0x13, 0x2013, 0x3013, 0x4013, 0x6013, 0x7013, 0x1b};
    uint32_t rd = dest();
    switch (below(10)) {
    case 0: case 1: case 2: case 3:
        put(r[below(sizeof r / 4)] | rd << 7 | any() << 15 | any() << 20);
        break;
    case 4: case 5:
        put(i_type(i[below(8)], rd, any(), (int32_t)below(4096)));
        break;
    case 6: // shifts by constants
        if (chance(60))
            put((chance(50) ? 0x1013 : chance(50) ? 0x5013 : 0x40005013) | rd << 7 | any() << 15 | (uint32_t)below(64) << 20);
        else
            put((chance(50) ? 0x101b : chance(50) ? 0x501b : 0x4000501b) | rd << 7 | any() << 15 | (uint32_t)below(32) << 20);
        break;
    case 7:
        put((chance(50) ? 0x37 : 0x17) | rd << 7 |
            (chance(20) ? (chance(50) ? 0x7ffff000u : 0x80000000u) : (uint32_t)below(1 << 20) << 12));
        break;
    case 8: { // compressed
        uint32_t c = 5 + (uint32_t)below(25), imm = 1 + (uint32_t)below(31), d = near_reg() - 8, s = near_reg() - 8;
        switch (below(9)) {
        case 0: put16(0x0001 | c << 7 | imm << 2 | (uint32_t)below(2) << 12); break; // c.addi
        case 1: put16(0x4001 | c << 7 | imm << 2 | (uint32_t)below(2) << 12); break; // c.li
        case 2: put16(0x2001 | c << 7 | imm << 2 | (uint32_t)below(2) << 12); break; // c.addiw
        case 3: put16(0x0002 | c << 7 | imm << 2 | (uint32_t)below(2) << 12); break; // c.slli
        case 4: put16(0x8002 | c << 7 | (5 + (uint32_t)below(25)) << 2); break;       // c.mv
        case 5: put16(0x9002 | c << 7 | (5 + (uint32_t)below(25)) << 2); break;       // c.add
        case 6: put16(0x8c01 | d << 7 | s << 2 | (uint32_t)below(4) << 5); break;     // c.sub xor or and
        case 7: put16(0x9c01 | d << 7 | s << 2 | (uint32_t)below(2) << 5); break;     // c.subw addw
        default: put16(0x6001 | c << 7 | imm << 2); break;                            // c.lui
        }
        break;
    }
    default: // interesting constants
        add_immediate(rd, 0, chance(50) ? -1 : 1);
        put(0x1013 | rd << 7 | rd << 15 | (uint32_t)(chance(50) ? 63 : chance(50) ? 31 : 32) << 20);
        break;
    }
}

static void memory(void) {
    static const uint32_t loads[] = {0x0003, 0x1003, 0x2003, 0x3003, 0x4003, 0x5003, 0x6003, 0x3007, 0x2007};
    static const uint32_t stores[] = {0x0023, 0x1023, 0x2023, 0x3023, 0x3027, 0x2027};
    uint32_t rs1 = BASE;
    int32_t imm = (int32_t)below(4096) - 2048;
    if (chance(60))
        imm &= ~7;
    if (chance(15))
        imm = (int32_t)below(16) - 8; // around the border of two pages
    if (chance(35)) {                 // by a computed address
        rs1 = 5 + (uint32_t)below(25);
        put(0x7013 | rs1 << 7 | any() << 15 | (uint32_t)(0x7ff & ~(chance(60) ? 7 : 0)) << 20); // andi
        put(0x33 | rs1 << 7 | rs1 << 15 | BASE << 20);
        imm = chance(50) ? 0 : (int32_t)below(64) * 8;
        if (moved(FAULTS) && chance(8)) { // far behind the data, in pages without the right
            put(0x37 | 29 << 7 | ((uint32_t)(5 + below(5)) << 12));
            put(0x33 | rs1 << 7 | rs1 << 15 | 29 << 20);
        }
    } else if (moved(FAULTS) && chance(2)) {
        rs1 = any(); // anywhere
        if (rs1 == BASE)
            rs1 = 5;
    }
    uint32_t f = (uint32_t)below(32);
    if (chance(60)) {
        uint32_t match = loads[below(sizeof loads / 4)];
        put(i_type(match, match & 4 ? f : dest(), rs1, imm));
    } else {
        uint32_t match = stores[below(sizeof stores / 4)];
        put(s_type(match, rs1, match & 4 ? f : any(), imm));
    }
}

static void floating(void) {
    static const uint32_t rrr[] = { // without a rounding mode
        0x20000053, 0x20001053, 0x20002053, 0x22000053, 0x22001053, 0x22002053, 0x28000053, 0x28001053, 0x2a000053, 0x2a001053,
    };
    static const uint32_t rounded[] = {
        0x00000053, 0x02000053, 0x08000053, 0x0a000053, 0x10000053, 0x12000053, 0x18000053, 0x1a000053,
    };
    static const uint32_t unary[] = {0x58000053, 0x5a000053, 0x40100053, 0x42000053};
    static const uint32_t to_x[] = {0xa0002053, 0xa0001053, 0xa0000053, 0xa2002053, 0xa2001053, 0xa2000053};
    static const uint32_t fma[] = {0x43, 0x47, 0x4b, 0x4f, 0x2000043, 0x2000047, 0x200004b, 0x200004f};
    uint32_t rm = chance(85) ? 7 : (uint32_t)below(5), a = (uint32_t)below(32), b = (uint32_t)below(32), d = (uint32_t)below(32);
    switch (below(9)) {
    case 0: put(rrr[below(10)] | d << 7 | a << 15 | b << 20); break;
    case 1: case 2: case 3: put(rounded[below(8)] | rm << 12 | d << 7 | a << 15 | b << 20); break;
    case 4: put(unary[below(4)] | rm << 12 | d << 7 | a << 15); break;
    case 5: put(to_x[below(6)] | dest() << 7 | a << 15 | b << 20); break;
    case 6: put(fma[below(8)] | rm << 12 | d << 7 | a << 15 | b << 20 | (uint32_t)below(32) << 27); break;
    case 7: // conversions and moves between the two kinds
        if (chance(50))
            put((chance(50) ? 0xd0000053 : 0xd2000053) | (uint32_t)below(4) << 20 | rm << 12 | d << 7 | any() << 15);
        else
            put((chance(50) ? 0xc0000053 : 0xc2000053) | (uint32_t)below(4) << 20 | (chance(50) ? 1 : rm) << 12 | dest() << 7 | a << 15);
        break;
    default:
        if (chance(40))
            put((chance(50) ? 0xe2000053 : 0xe0000053) | dest() << 7 | a << 15); // fmv.x
        else if (chance(60))
            put((chance(50) ? 0xf2000053 : 0xf0000053) | d << 7 | any() << 15); // fmv to f
        else if (chance(30))
            put(0x00105073); // csrwi fflags, 0
        else if (chance(20))
            put(0x00205073 | (uint32_t)below(5) << 15); // frm
        else
            put(0x00302073 | dest() << 7); // frcsr
        break;
    }
}

static void patch_write(void) { // a store into the code
    if (!patch_count)
        return;
    uint32_t which = (uint32_t)below(patch_count), word = (uint32_t)below(2);
    table_load(28, LW, TABLE_OFFSET(patch) + (int32_t)(which * 8 + word * 4));
    table_load(29, LD, TABLE_OFFSET(patch_at) + (int32_t)(which * 8));
    put(s_type(SW, 29, 28, 0));
    if (!moved(SILENT) || chance(30))
        put(0x0000100f); // fence.i
}

static void patchable(void) { // a word that others may replace: addi of one register, by two constants
    if (patch_count == PATCH_MAX)
        return;
    uint32_t rd = 5 + (uint32_t)below(25);
    patch_place[patch_count] = here;
    patch_word[patch_count][0] = i_type(0x13, rd, rd, (int32_t)below(4096));
    // Sometimes it becomes a branch over what follows.
    patch_word[patch_count][1] = chance(60) ? i_type(0x13, rd, rd, (int32_t)below(4096)) : 0x0080006f;
    put(patch_word[patch_count][0]);
    add_immediate(5, 5, 1);
    patch_count++;
}

static void straight(void) {
    unsigned kind = (unsigned)below(100);
    if (kind < 55)
        arithmetic();
    else if (kind < 85)
        memory();
    else if (kind < 92 && moved(FLOATS))
        for (unsigned i = 0; i < 4; i++)
            floating();
    else if (kind < 94 && moved(PATCHES | SILENT))
        chance(50) ? patch_write() : patchable();
    else if (kind < 96 && moved(ATOMICS)) {
        uint32_t size = chance(50) ? 0x202f : 0x302f, a = 5 + (uint32_t)below(24);
        static const uint32_t amo[] = {0, 1, 4, 8, 12, 16, 20, 24, 28, 2, 2, 3, 3};
        uint32_t which = amo[below(13)];
        add_immediate(a, BASE, (int32_t)below(16) * 8 + (moved(FAULTS) && chance(5) ? 4 : 0));
        put(size | which << 27 | dest() << 7 | a << 15 | (which == 2 ? 0 : any()) << 20 | (uint32_t)below(4) << 25);
    } else if (kind < 97 && moved(COUNTS))
        put(0xc0202073 | dest() << 7); // rdinstret
    else if (kind < 98)
        put(chance(70) ? 0x0ff0000f : 0x0000100f);
    else if (kind < 99 && moved(FAULTS))
        put(chance(50) ? 0x00100073 : 0); // ebreak; illegal
    else if (chance(20)) { // getpid; where the result must be the same elsewhere, sched_yield
        add_immediate(17, 0, moved(COUNTS | REMAPS | PATCHES) ? 173 : 124);
        put(0x73);
    } else
        arithmetic();
}

struct fix {
    uint32_t at, function, block; // block: ~0 for a call of the function
    uint32_t word;
};
static struct fix fixes[FUNCTIONS * BLOCKS * 4];
static uint32_t fix_count;

static void fix(uint32_t function, uint32_t block, uint32_t word) {
    fixes[fix_count++] = (struct fix){here, function, block, word};
    put(0);
}

static void push(uint32_t reg) {
    add_immediate(2, 2, -16);
    put(s_type(SD, 2, reg, 0));
}
static void pop(uint32_t reg) {
    put(i_type(LD, reg, 2, 0));
    add_immediate(2, 2, 16);
}

static void call(uint32_t f) {
    if (moved(FAULTS) && chance(10)) {
        table_load(7, LD, TABLE_OFFSET(bad) + (int32_t)below(8) * 8);
        put(i_type(0x67, 1, 7, 0));
        return;
    }
    if (f + 1 == FUNCTIONS)
        return;
    uint32_t callee = f + 1 + (uint32_t)below(FUNCTIONS - f - 1);
    if (chance(60)) {
        fix(callee, ~0u, j_type(1, 0));
    } else {
        table_load(7, LD, TABLE_OFFSET(function) + (int32_t)((moved(TWICE) ? below(2) * FUNCTIONS : 0) + callee) * 8);
        if (chance(70))
            put(i_type(0x67, 1, 7, 0));
        else
            put16(0x9002 | 7 << 7); // c.jalr
    }
}

static void block_end(uint32_t f, uint32_t b) {
    uint32_t count = block_count[f];
    static const uint32_t branch[] = {0x63, 0x1063, 0x4063, 0x5063, 0x6063, 0x7063};
    switch (below(9)) {
    case 0: case 1: case 2: // forwards, or falls through
        if (b + 1 < count)
            fix(f, b + 1 + (uint32_t)below(count - b - 1), b_type(branch[below(6)], any(), any(), 0));
        break;
    case 3: case 4: case 5: // backwards while there is budget
        add_immediate(BUDGET, BUDGET, -1);
        fix(f, (uint32_t)below(b + 1), b_type(0x4063, 0, BUDGET, 0)); // blt x0, x30
        break;
    case 6: // by a table of blocks behind this one; entries before b are replaced
        if (b + 1 < count) {
            put(0x7013 | 7 << 7 | any() << 15 | 3 << 20);
            put(0x1013 | 7 << 7 | 7 << 15 | 3 << 20);
            put(0x33 | 7 << 7 | 7 << 15 | BASE << 20);
            put(0x37 | 6 << 7 | ((uint32_t)(TABLE_OFFSET(block) + 0x800) & 0xfffff000));
            put(0x33 | 7 << 7 | 7 << 15 | 6 << 20);
            put(i_type(LD, 7, 7, (int32_t)((uint32_t)(TABLE_OFFSET(block) + (int32_t)f * 64) << 20) >> 20));
            add_immediate(BUDGET, BUDGET, -1);
            put(b_type(0x5063, 0, BUDGET, 8)); // bge x0, x30: over the jump
            put(i_type(0x67, 0, 7, 0));
        }
        break;
    case 7:
        if (b + 1 < count)
            fix(f, b + 1 + (uint32_t)below(count - b - 1), j_type(chance(70) ? 0 : 6, 0));
        break;
    default:
        call(f);
        break;
    }
}

static void function(uint32_t f) {
    function_start[f].at = here;
    push(1);
    block_count[f] = 2 + (uint32_t)below(BLOCKS - 1);
    uint32_t room = (CODE_SIZE - 1024) / FUNCTIONS, start = here;
    for (uint32_t b = 0; b < block_count[f]; b++) {
        block_start[f][b] = here;
        for (uint64_t n = 1 + below(chance(20) ? 60 : 9); n-- && here - start < room * (b + 1) / block_count[f] - 160;)
            straight();
        block_end(f, b);
    }
    if (chance(30)) { // itself again, while there is budget
        add_immediate(BUDGET, BUDGET, -1);
        put(b_type(0x5063, 0, BUDGET, 8));
        fix(f, ~0u, j_type(1, 0));
    }
    pop(1);
    if (chance(50))
        put16(0x8082);
    else
        put(0x00008067);
    if (chance(30))
        put16(1);
}

static void write_program(void) {
    here = fix_count = patch_count = 0;
    memset(text, 0, sizeof text);
    if (chance(50))
        here = PAGE - 64 * (uint32_t)below(4); // let it begin near the end of a page
    uint32_t first = here;
    for (uint32_t f = 0; f < FUNCTIONS; f++)
        function(f);
    if (here > CODE_SIZE || first > here)
        abort();
    for (struct fix *x = fixes; x < fixes + fix_count; x++) {
        int32_t to = (int32_t)(x->block == ~0u ? function_start[x->function].at : block_start[x->function][x->block]);
        int32_t by = to - (int32_t)x->at;
        uint32_t word = x->word | ((x->word & 0x7f) == 0x6f ? j_type(0, by) & ~0x7fu : b_type(0, 0, 0, by));
        memcpy(text + x->at, &word, 4);
    }
}

// ---- One program -------------------------------------------------------------------------------
static struct context start_context;
static uint64_t sum;
static volatile unsigned faults;
static __thread sigjmp_buf out;
static __thread volatile int inside;

static void mix(uint64_t value) { sum = (sum ^ value) * 0x9e3779b97f4a7c15ull + (sum >> 29); }

static int in_code(uint64_t a) {
    return a - (uint64_t)CODE < CODE_SIZE || (moved(TWICE) && a - (uint64_t)ALIAS < CODE_SIZE);
}

static int all_rights(void) { return PROT_READ | PROT_WRITE | PROT_EXEC; }

static void on_fault(int signal, siginfo_t *info, void *context) {
    uint64_t *pc = (uint64_t *)&((ucontext_t *)context)->uc_mcontext.__gregs[0], at = (uint64_t)info->si_addr;
    faults++;
    if (!inside)
        _exit(99);
    if (signal == SIGSEGV && in_code(at)) { // a page of code that was taken away
        mprotect((void *)(at & ~(uint64_t)(PAGE - 1)), PAGE, all_rights());
        return;
    }
    if (!moved(THREADS)) {
        mix(*pc);
        mix((uint64_t)signal);
        if (signal == SIGSEGV || signal == SIGBUS)
            mix(at);
        for (int i = 5; i < 32; i++)
            mix(pc[i]);
    }
    if (!in_code(*pc)) {
        *pc = pc[1];
        return;
    }
    *pc += (*(uint16_t *)*pc & 3) == 3 ? 4 : 2;
}

static void code_move(void) { // something happens to a page of code
    uint8_t *page = (moved(TWICE) && chance(50) ? ALIAS : CODE) + below(CODE_PAGES) * PAGE;
    static uint8_t copy[PAGE];
    switch (below(6)) {
    case 0: mprotect(page, PAGE, PROT_NONE); break;
    case 1: mprotect(page, PAGE, PROT_READ | PROT_WRITE); break;
    case 2: mprotect(page, PAGE, PROT_READ | PROT_EXEC); break;
    case 3: // other memory with the same bytes
        mprotect(page, PAGE, all_rights());
        memcpy(copy, page, PAGE);
        if (moved(TWICE))
            break;
        munmap(page, PAGE);
        mmap(page, PAGE, all_rights(), MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        memcpy(page, copy, PAGE);
        break;
    case 4: // other bytes
        if (patch_count) {
            uint32_t which = (uint32_t)below(patch_count), place = patch_place[which];
            uint8_t *at = (moved(TWICE) && chance(50) ? ALIAS : CODE) + place;
            mprotect((void *)((uint64_t)at & ~(uint64_t)(PAGE - 1)), 2 * PAGE, all_rights());
            memcpy(at, &patch_word[which][below(2)], 4);
            __builtin___clear_cache((char *)at, (char *)at + 4);
        }
        break;
    default: madvise(page, 0, MADV_NORMAL); break;
    }
}

static void on_timer(int signal, siginfo_t *info, void *context) {
    uint64_t *pc = (uint64_t *)&((ucontext_t *)context)->uc_mcontext.__gregs[0];
    (void)signal, (void)info;
    for (int i = 0; i < 32; i++)
        mix(pc[i]);
    if (!inside || !in_code(*pc))
        return;
    if (moved(REMAPS) && chance(30))
        code_move();
    else if (chance(10))
        siglongjmp(out, 1);
}

static void handlers(void) {
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE};
    for (unsigned i = 0; i < 5; i++)
        sigaction(signals[i], &action, NULL);
    action.sa_sigaction = on_timer;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGALRM, &action, NULL);
}

static uint8_t *data_of(unsigned thread) { return DATA + (uint64_t)thread * (1 << 20); }

static void place(void) { // the program and its data, at their addresses
    if (moved(TWICE)) {
        int file = memfd_create("code", 0);
        if (ftruncate(file, CODE_SIZE))
            abort();
        mmap(CODE, CODE_SIZE, all_rights(), MAP_SHARED | MAP_FIXED, file, 0);
        mmap(ALIAS, CODE_SIZE, all_rights(), MAP_SHARED | MAP_FIXED, file, 0);
        close(file);
    } else {
        mmap(CODE, CODE_SIZE, all_rights(), MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    }
    memcpy(CODE, text, CODE_SIZE);
    __builtin___clear_cache((char *)CODE, (char *)CODE + CODE_SIZE);
    if (moved(TWICE))
        __builtin___clear_cache((char *)ALIAS, (char *)ALIAS + CODE_SIZE);
    for (unsigned thread = 0; thread < (moved(THREADS) ? 3 : 1); thread++) {
        uint8_t *data = data_of(thread);
        mmap(data, (DATA_PAGES + 2) * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        struct tables *tables = (struct tables *)data;
        for (unsigned f = 0; f < FUNCTIONS; f++) {
            tables->function[0][f] = (uint64_t)CODE + function_start[f].at;
            tables->function[1][f] = (uint64_t)ALIAS + function_start[f].at;
            for (unsigned i = 0; i < 8; i++) // the last blocks: each table jump goes forwards or costs budget
                tables->block[f][i] = (uint64_t)CODE + block_start[f][(i * 5 + 1) % block_count[f]];
        }
        for (unsigned i = 0; i < patch_count; i++) {
            memcpy(tables->patch[i], patch_word[i], 8);
            tables->patch_at[i] = (uint64_t)(moved(TWICE) && i % 2 ? ALIAS : CODE) + patch_place[i];
        }
        for (unsigned i = 0; i < 8; i++) {
            uint64_t good = tables->function[0][i % FUNCTIONS];
            static const uint64_t high[] = {1ull << 47, 3ull << 47, 1ull << 63, 1ull << 48, 0xffff800000000000, 7ull << 47, 0, 0};
            tables->bad[i] = i < 6 ? good ^ high[i] : i == 6 ? (uint64_t)data + 64 : 0x50000000;
        }
        for (unsigned i = TABLES_SIZE; i < DATA_PAGES * PAGE; i += 8) {
            uint64_t value = below(1ull << 40) * below(1 << 24) >> below(60);
            memcpy(data + i, &value, 8);
        }
        mprotect(data + DATA_PAGES * PAGE, PAGE, PROT_READ);
        mprotect(data + (DATA_PAGES + 1) * PAGE, PAGE, PROT_NONE);
    }
}

static uint64_t hash(struct context *c, unsigned thread, int all) {
    uint64_t h = 0;
    uint8_t *data = data_of(thread);
    for (unsigned i = 0; i < sizeof *c / 8; i++)
        h = (h ^ ((uint64_t *)c)[i]) * 0x9e3779b97f4a7c15ull + (h >> 31);
    for (unsigned i = 0; all && i < DATA_PAGES * PAGE / 8; i++)
        h = (h ^ ((uint64_t *)data)[i]) * 0x9e3779b97f4a7c15ull + (h >> 31);
    return h;
}

static uint64_t budget = 300;
static unsigned rounds;

static uint64_t go(struct context *c, unsigned thread, unsigned round) {
    c->x[BASE] = (uint64_t)data_of(thread) + 2 * PAGE;
    c->x[BUDGET] = budget;
    c->fcsr &= moved(FLOATS) && round % 3 ? 0xff : 0x1f;
    if ((c->fcsr >> 5) > 4)
        c->fcsr &= 0x1f;
    if (!sigsetjmp(out, 1)) {
        inside = 1;
        run(c, (uint64_t)(moved(TWICE) && round % 2 ? ALIAS : CODE) + function_start[0].at);
    }
    inside = 0;
    return hash(c, thread, round + 1 == rounds);
}

static void *thread_main(void *argument) {
    unsigned thread = (unsigned)(uint64_t)argument;
    struct context c = start_context;
    uint64_t h = 0;
    for (unsigned round = 0; round < rounds; round++)
        h = h * 31 + go(&c, thread, round);
    return (void *)h;
}

static void program(void) {
    write_program();
    for (unsigned i = 0; i < 32; i++) {
        start_context.x[i] = below(1ull << 40) * below(1 << 24) >> below(60);
        start_context.f[i] = chance(60) ? (1023 - 40 + below(80)) << 52 | below(1ull << 52) | below(2) << 63
                             : chance(50) ? 0xffffffff00000000 | (127 - 20 + below(40)) << 23 | below(1 << 23)
                                          : below(1ull << 60) * 16;
    }
    place();
    if (moved(TIMERS)) {
        struct itimerval often = {{0, 7 + (long)below(60)}, {0, 50}};
        setitimer(ITIMER_REAL, &often, NULL);
    }
    if (moved(THREADS)) {
        pthread_t threads[3];
        for (uint64_t i = 0; i < 3; i++)
            pthread_create(&threads[i], NULL, thread_main, (void *)i);
        for (unsigned i = 0; i < 3; i++) {
            void *h;
            pthread_join(threads[i], &h);
            mix((uint64_t)h);
        }
    } else {
        struct context c = start_context;
        for (unsigned round = 0; round < rounds; round++) {
            pid_t child = moved(FORKS) && round % 4 == 3 ? fork() : -1;
            mix(go(&c, 0, round));
            if (moved(REMAPS) && chance(50))
                code_move();
            if (child == 0)
                _exit((int)(sum & 63));
            int status = 0;
            if (child > 0 && waitpid(child, &status, 0) == child)
                mix((uint64_t)status);
        }
    }
    struct itimerval never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &never, NULL);
    printf("%016llx %u\n", (unsigned long long)sum, faults);
}

int main(int argc, char **argv) {
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    unsigned programs = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    rounds = argc > 3 ? (unsigned)atoi(argv[3]) : 10;
    moves = argc > 4 ? (unsigned)atoi(argv[4]) : 0;
    setvbuf(stdout, NULL, _IONBF, 0);
    handlers();
    for (unsigned i = 0; i < programs; i++) {
        state = (seed + i) * 0x9e3779b97f4a7c15ull | 1;
        for (int k = 0; k < 8; k++)
            below(2);
        program();
    }
    return 0;
}

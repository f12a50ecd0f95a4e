// cpu_run: fuel, fetching, and every op that interp.c leaves: rare ones, and all that can fail.
#include "amo.h"
#include "block.h"
#include "float.h"
#include "../jit/jit.h"
#include "muldiv.h"

enum { CSR_CYCLE = 0xc00, CSR_TIME, CSR_INSTRET };

// How an op ended.
enum end {
    END_NEXT,    // go on with the next op
    END_REFETCH, // retired, but decoded code may be stale: look the next op up again
    END_JUMP,    // retired, and run.pc is set
    END_ENTRY,   // the same, to where compiled code may begin
    END_INTERPRET, // the same, to an instruction that compiled code has left to the interpreter
    END_AGAIN,   // not retired: run.ip has been replaced
    END_EXIT,    // not retired: leave cpu_run
    END_STOP,    // retired: leave cpu_run
    END_REACHED, // run.pc is what compiled code waits for
    END_LEAVING, // run.pc and run.fuel are set, and s->exit: leave cpu_run
};

#define NOWHERE (~0ull) // is no pc

// One cpu_run.
struct session {
    struct hart *hart;
    struct cpu *cpu;
    struct cpu_cache *cache;
    u64 fuel;
    u64 left; // fuel outside the current slice
    enum cpu_exit exit;
    // While compiled code waits for a function that is interpreted: where that returns to, and how many
    // such may still be nested.
    u64 expect;
    i32 depth;
    u32 slot;  // the region to go on with, if `stops`
    bool stops; // at compiled code, rather than running it
    // Compiled code returns at once, for run.pc and run.fuel stand. `exits`: so does cpu_run.
    bool unwinding, exits;
};

void cpu_reservation_clear(struct cpu *cpu) { cpu->lr_size = 0; }

static u64 retired_before(const struct session *s, const struct op *op) {
    return s->fuel - s->left - (u64)(i64)s->cache->run.fuel - op->n;
}

static void fcsr_set(struct cpu_cache *cache, u32 fcsr) {
    cache->run.nearest = (fcsr & 0xe0) == 0;
    cache->run.nx_near = (fcsr & 0xe1) == FLAG_NX;
    cache->context->nx_near = cache->run.nx_near;
    cache->context->nearest = cache->run.nearest;
    cache->context->fcsr = fcsr & 0xff;
}

// ---- Memory ------------------------------------------------------------------------------------

// Host address for an access inside one page, of any alignment.
static maddr translate(struct hart *hart, u64 va, enum access access) {
    struct tlb_entry *entry = tlb_slot(access == ACCESS_READ ? hart->tlb->r : hart->tlb->w, va);
    if (entry->tag == (va & ~PAGE_MASK))
        return (u32)va + entry->delta;
    hart->cpu->misses++;
    return tlb_miss(hart, va, access);
}

// Host addresses of both parts of an access; `first` is the number of bytes in the first page.
struct span {
    maddr part[2];
    u32 first;
};

static bool span_of(struct hart *hart, u64 va, u32 size, enum access access, struct span *span) {
    u32 room = PAGE_SIZE - (u32)(va & PAGE_MASK);
    span->first = min(room, size);
    span->part[0] = translate(hart, va, access);
    if (!span->part[0])
        return false;
    if (size <= room)
        return true;
    span->part[1] = translate(hart, va + room, access);
    // The second translation may have cost the first its right: take it again.
    if (span->part[1])
        span->part[0] = translate(hart, va, access);
    return span->part[0] && span->part[1];
}

static bool guest_load(struct hart *hart, u64 va, u32 size, u64 *value) {
    struct span span;
    if (!span_of(hart, va, size, ACCESS_READ, &span))
        return false;
    *value = 0;
    __builtin_memcpy(value, MPTR(void, span.part[0]), span.first);
    if (span.first < size)
        __builtin_memcpy((u8 *)value + span.first, MPTR(void, span.part[1]), size - span.first);
    return true;
}

static bool guest_store(struct hart *hart, u64 va, u32 size, u64 value) {
    struct span span;
    if (!span_of(hart, va, size, ACCESS_WRITE, &span))
        return false;
    __builtin_memcpy(MPTR(void, span.part[0]), &value, span.first);
    if (span.first < size)
        __builtin_memcpy(MPTR(void, span.part[1]), (u8 *)&value + span.first, size - span.first);
    return true;
}

static enum end leave_with(struct session *s, enum cpu_exit exit) {
    s->exit = exit;
    return END_EXIT;
}

// A debugger watches something: is it this access?
static enum end accessed(struct session *s, const struct op *op, u64 va, u32 size, bool write) {
    u64 retired = retired_before(s, op);
    if (!debug_accessed(s->hart->task, va, size, write, s->cache->run.base + op->off, s->hart->tick + retired))
        return END_NEXT;
    s->exit = CPU_STOPPED;
    return END_STOP;
}

// After a store: does the code decoded so far still stand?
static enum end stored(struct session *s, const struct op *op, u64 va, u32 size, u32 fetch_before) {
    struct hart *hart = s->hart;
    if (unlikely(s->cache->watches) && accessed(s, op, va, size, true) == END_STOP)
        return END_STOP;
    return hart->code_changed || fetch_generation(hart) != fetch_before ? END_REFETCH : END_NEXT;
}

static enum end execute_load(struct session *s, const struct op *op, u32 size, bool is_signed) {
    u64 value, va = REGISTER(op->b) + (u64)(i64)op->imm;
    if (!guest_load(s->hart, va, size, &value))
        return leave_with(s, CPU_FAULT);
    u32 unused = 64 - size * 8;
    REGISTER(op->a) = is_signed ? (u64)((i64)(value << unused) >> unused) : value;
    return unlikely(s->cache->watches) ? accessed(s, op, va, size, false) : END_NEXT;
}

static enum end execute_store(struct session *s, const struct op *op, u32 size) {
    u32 fetch = fetch_generation(s->hart);
    u64 va = REGISTER(op->b) + (u64)(i64)op->imm;
    if (!guest_store(s->hart, va, size, REGISTER(op->c)))
        return leave_with(s, CPU_FAULT);
    return stored(s, op, va, size, fetch);
}

static enum end execute_atomic(struct session *s, const struct op *op, u32 id) {
    struct cpu *cpu = s->cpu;
    bool smp = s->cache->smp;
    u32 size = id < LR_D ? 4 : 8;
    u64 va = REGISTER(op->b), value = REGISTER(op->c);
    if (va & (size - 1)) {
        s->hart->fault = (struct fault){va, id == LR_W || id == LR_D ? ACCESS_READ : ACCESS_WRITE};
        return leave_with(s, CPU_MISALIGNED);
    }
    if (id == LR_W || id == LR_D) {
        maddr address = translate(s->hart, va, ACCESS_READ);
        if (!address)
            return leave_with(s, CPU_FAULT);
        cpu->lr_va = va;
        cpu->lr_size = size;
        cpu->lr_value = amo_load(address, size, smp);
        REGISTER(op->a) = size == 4 ? (u64)(i64)(i32)cpu->lr_value : cpu->lr_value;
        return unlikely(s->cache->watches) ? accessed(s, op, va, size, false) : END_NEXT;
    }
    u32 fetch = fetch_generation(s->hart);
    bool conditional = id == SC_W || id == SC_D;
    if (conditional && (cpu->lr_size != size || cpu->lr_va != va)) {
        cpu->lr_size = 0;
        REGISTER(op->a) = 1;
        return END_NEXT;
    }
    maddr address = translate(s->hart, va, ACCESS_WRITE);
    if (!address)
        return leave_with(s, CPU_FAULT);
    if (conditional) {
        cpu->lr_size = 0;
        REGISTER(op->a) = !amo_swap_if(address, size, cpu->lr_value, value, smp);
    } else {
        REGISTER(op->a) = amo_execute(id, address, value, smp);
    }
    return stored(s, op, va, size, fetch);
}

// ---- Control and status registers --------------------------------------------------------------

static bool csr_read(struct session *s, const struct op *op, u32 csr, u64 *value) {
    u32 fcsr = s->cache->context->fcsr;
    switch (csr) {
    case CSR_FFLAGS: *value = fcsr & 31; return true;
    case CSR_FRM: *value = fcsr >> 5; return true;
    case CSR_FCSR: *value = fcsr; return true;
    case CSR_CYCLE:
    case CSR_INSTRET: *value = s->cpu->instret + retired_before(s, op); return true;
    case CSR_TIME: *value = hart_time_ns(s->hart, retired_before(s, op)); return true;
    default: return false;
    }
}

static bool csr_write(struct cpu_cache *cache, u32 csr, u64 value) {
    switch (csr) {
    case CSR_FFLAGS: fcsr_set(cache, (cache->context->fcsr & 0xe0) | (value & 31)); return true;
    case CSR_FRM: fcsr_set(cache, (cache->context->fcsr & 31) | (u32)(value & 7) << 5); return true;
    case CSR_FCSR: fcsr_set(cache, (u32)value); return true;
    default: return false;
    }
}

// op.c is the rs1 field itself: a register number or the immediate.
static enum end execute_csr(struct session *s, const struct op *op, u32 id) {
    u32 csr = (u32)op->imm;
    u64 operand = id >= CSRRWI ? op->c : REGISTER(op->b);
    bool writes = id == CSRRW || id == CSRRWI || op->c;
    u64 old;
    if (!csr_read(s, op, csr, &old))
        return leave_with(s, CPU_ILLEGAL);
    u64 value = id == CSRRW || id == CSRRWI   ? operand
                : id == CSRRS || id == CSRRSI ? old | operand
                                              : old & ~operand;
    if (writes && !csr_write(s->cache, csr, value))
        return leave_with(s, CPU_ILLEGAL);
    REGISTER(op->a) = old;
    return END_NEXT;
}

// ---- Everything else ---------------------------------------------------------------------------

static enum end execute_float(struct session *s, const struct op *op, u32 id) {
    struct cpu_cache *cache = s->cache;
    bool fma = insn_row[id].format == FORMAT_FMA;
    u32 rm = fma ? (u32)op->imm >> 16 & 7 : (u32)op->imm;
    struct float_env env = {.rounding = rm};
    if (insn_row[id].flags & RM) {
        if (rm == 7)
            env.rounding = cache->context->fcsr >> 5;
        if (env.rounding > ROUND_MM)
            return leave_with(s, CPU_ILLEGAL);
    }
    u64 c = fma ? REGISTER(op->imm & 0xffff) : 0;
    REGISTER(op->a) = float_execute(&env, id, REGISTER(op->b), REGISTER(op->c), c);
    fcsr_set(cache, cache->context->fcsr | env.flags);
    return END_NEXT;
}

// A near branch taken for the first time.
static enum end execute_branch(struct session *s, struct op *op, u32 id) {
    bool jal = id == JAL; // whose c is where it returns to, not a register
    u64 b = jal ? 0 : REGISTER(op->b), c = jal ? 0 : REGISTER(op->c);
    bool taken = true;
    switch (id) {
    case BEQ: taken = b == c; break;
    case BNE: taken = b != c; break;
    case BLT: taken = (i64)b < (i64)c; break;
    case BGE: taken = (i64)b >= (i64)c; break;
    case BLTU: taken = b < c; break;
    case BGEU: taken = b >= c; break;
    default: REGISTER(op->a) = s->cache->run.base + op->c; break; // JAL
    }
    if (!taken)
        return END_NEXT;
    struct run *run = &s->cache->run;
    run->pc = run->base + op->off + (u64)(i64)op->imm;
    run->fuel += op->n - 1;
    code_resolve(s->hart, s->cache, op, run->base); // op may be gone after this
    return END_JUMP;
}

// The word at pc, wherever its page ends. Each page is looked up, so a straddling one is coherent too.
static bool fetch(struct session *s, u64 pc, u32 *word) {
    struct code_page *page = code_page_at(s->hart, s->cache, pc);
    if (!page)
        return false;
    u32 off = pc & PAGE_MASK;
    *word = *MPTR(const u16, page->frame + off);
    if (insn_length(*word) == 2)
        return true;
    if (off + 2 == PAGE_SIZE) {
        page = code_page_at(s->hart, s->cache, pc + 2);
        if (!page)
            return false;
        off = -2u;
    }
    *word |= (u32)*MPTR(const u16, page->frame + off + 2) << 16;
    return true;
}

// 32 registers. Written out, because a bulk copy is a call of the host's runtime.
static void registers_copy(u64 *restrict to, const u64 *restrict from) {
    typedef u64 pair __attribute__((vector_size(16), aligned(8), may_alias));
    for (u32 i = 0; i < 16; i++)
        ((pair *)to)[i] = ((const pair *)from)[i];
}

// *cpu is what the context has, so many instructions later.
static void write_back(struct session *s, u64 pc, u64 retired) {
    struct cpu *cpu = s->cpu;
    const u64 *registers = &REGISTER(s->cache->registers);
    registers_copy(cpu->x, registers);
    registers_copy(cpu->f, registers + REG_F);
    cpu->fcsr = s->cache->context->fcsr;
    cpu->pc = pc;
    cpu->instret += retired;
}

// The ecall at pc, whose fuel is paid; `fuel` is left then. False: it has not retired, or is over and cpu_run is to be left
// (CPU_PASSED).
static bool answer(struct session *s, u64 pc, i32 *fuel) {
    struct hart *hart = s->hart;
    u64 *x = &REGISTER(s->cache->registers);
    s->exit = CPU_ECALL;
    if (*fuel < 1)
        return false;
    if (ecall_local(hart, x)) {
        cpu_reservation_clear(s->cpu);
        hart->tick++; // fuel that retires nothing
        s->fuel--;
        --*fuel;
        return true;
    }
    if (!hart->calls_inside)
        return false;
    u64 retired = s->fuel - s->left - (u64)(i64)*fuel - 1;
    write_back(s, pc, retired);
    if (!ecall_inside(hart, retired)) {
        s->exit = CPU_PASSED;
        return false;
    }
    x[10] = s->cpu->x[10];
    s->fuel = hart->cut;
    *fuel = (i32)min((u64)(i64)*fuel, s->fuel); // the slice goes on: at its end others are thought of
    s->left = s->fuel - (u64)(i64)*fuel;
    return true;
}

static enum end execute_ecall(struct session *s, const struct op *op) {
    struct run *run = &s->cache->run;
    u64 pc = run->base + op->off;
    i32 fuel = run->fuel + op->n - 1;
    if (!answer(s, pc, &fuel))
        return s->exit == CPU_PASSED ? END_LEAVING : END_EXIT;
    run->fuel = fuel;
    run->pc = pc + 4;
    cpu_cache_look(s->hart, s->cache);
    return END_JUMP;
}

i32 ecall_for(struct cpu_cache *cache, u64 pc, i32 fuel) {
    struct session *s = cache->session;
    u64 before = s->left + (u64)(i64)fuel, instret = s->cpu->instret;
    i32 left = fuel;
    bool answered = answer(s, pc, &left);
    if (!answered && s->exit == CPU_ECALL)
        return -1 - fuel;
    if (answered) { // what has been given for it, or taken besides, retires nothing; a pass counts the ecall itself
        jit_retired(cache->jit, (i64)(s->left + (u64)(i64)left - before) - (s->cpu->instret != instret));
        if (!cpu_cache_look(s->hart, cache))
            return left;
    }
    s->unwinding = true; // cpu_run ends, or who waits may have been translated from what is no more
    s->exits = !answered;
    cache->run.pc = pc + 4;
    cache->run.fuel = answered ? left : fuel + 1;
    return -1 - fuel;
}

// ---- Compiled code -----------------------------------------------------------------------------
// One region, and those it calls. The fuel of op is given back.
static enum end execute_compiled(struct session *s, struct op *op) {
    struct run *run = &s->cache->run;
    struct jit *jit = s->cache->jit;
    run->fuel += op->n;
    u64 pc = run->base + op->off;
    if (pc == s->expect) {
        run->pc = pc;
        return END_REACHED;
    }
    u32 slot = jit_slot_known(jit, (u32)op->imm, pc);
    if (!slot)
        slot = jit_slot(jit, (u32)op->imm, pc);
    if (!slot) {
        run->fuel -= op->n;
        run->ip = op + 1;
        return END_AGAIN;
    }
    if (s->stops) {
        run->pc = pc;
        s->slot = slot;
        return END_REACHED;
    }
    struct jit_context *context = s->cache->context;
    u64 before = s->left + (u64)(i64)run->fuel, instructions = jit->counters.instructions;
    u32 index = (u32)op->imm; // op may be gone after this
    context->reason = 0;
    context->expect[s->depth + 1] = s->expect;
    i32 fuel = ((region_fn *)(uintptr_t)slot)(context, run->fuel, s->depth, pc);
    if (!s->unwinding) {
        run->fuel = fuel;
        run->pc = context->pc;
    }
    jit_retired(jit, (i64)(before - s->left - (u64)(i64)run->fuel));
    if (s->expect == NOWHERE)
        jit_entered(jit, index, jit->counters.instructions - instructions);
    if (context->pc == pc && !context->reason && !s->unwinding)
        jit_circles(jit, index, pc);
    if (s->unwinding) {
        if (s->depth < JIT_DEPTH || s->exits)
            return END_LEAVING;
        s->unwinding = false;
        return END_ENTRY;
    }
    return context->reason ? END_INTERPRET : END_ENTRY;
}

static enum end execute_entry(struct session *s, struct op *op) {
    struct run *run = &s->cache->run;
    if (run->base + op->off == s->expect) {
        run->fuel += op->n;
        run->pc = s->expect;
        return END_REACHED;
    }
    run->ip = op + 1;
    if (--op->imm > 0)
        return END_AGAIN;
    struct jit *jit = s->cache->jit;
    u32 again = jit_hot(jit, run->base + op->off, op->a);
    if (op_code(op) != OP_ENTRY) // kept code was at hand: it is compiled now
        return END_AGAIN;
    bool early = again && again < jit->threshold;
    // It stays an entry, for somebody may wait for it.
    op->imm = (i32)(early ? again : again ? jit->threshold * op->c : jit->threshold);
    op->a = early ? op->a + 1 : 0;
    return END_AGAIN;
}

static enum end execute(struct session *s, struct op *op) {
    u32 id = op_code(op);
    struct cpu_cache *cache = s->cache;
    switch (id) {
    case LB: return execute_load(s, op, 1, true);
    case LH: return execute_load(s, op, 2, true);
    case LW: return execute_load(s, op, 4, true);
    case LBU: return execute_load(s, op, 1, false);
    case LHU: return execute_load(s, op, 2, false);
    case LWU: return execute_load(s, op, 4, false);
    case LD:
    case FLD: return execute_load(s, op, 8, false);
    case FLW: {
        enum end end = execute_load(s, op, 4, false);
        if (end == END_NEXT || end == END_STOP)
            REGISTER(op->a) |= 0xffffffff00000000;
        return end;
    }
    case SB: return execute_store(s, op, 1);
    case SH: return execute_store(s, op, 2);
    case SW:
    case FSW: return execute_store(s, op, 4);
    case SD:
    case FSD: return execute_store(s, op, 8);
    case MULHSU:
        REGISTER(op->a) = mul_high_mixed(REGISTER(op->b), REGISTER(op->c));
        return END_NEXT;
    case ECALL: return execute_ecall(s, op);
    case EBREAK: return leave_with(s, CPU_EBREAK);
    case ILLEGAL: return leave_with(s, CPU_ILLEGAL);
    case FENCE:
        if (cache->smp)
            __atomic_thread_fence(__ATOMIC_SEQ_CST);
        return END_NEXT;
    case FENCE_I:
        cpu_cache_new_epoch(cache);
        return END_REFETCH;
    case OP_ENTRY: return execute_entry(s, op);
    case OP_COMPILED: return execute_compiled(s, op);
    case OP_STOP: cache->run.pc = cache->run.base + op->off; return END_JUMP;
    case OP_BREAK: {
        u64 retired = retired_before(s, op);
        if (debug_break(s->hart->task, cache->run.base + op->off, s->hart->tick + retired,
                        s->cpu->instret + retired))
            return leave_with(s, CPU_STOPPED);
        [[fallthrough]];
    }
    case OP_STRADDLE: {
        u32 word;
        if (!fetch(s, cache->run.base + op->off, &word))
            return leave_with(s, CPU_FAULT);
        cache->run.ip = code_scratch(cache, word, op->off);
        return END_AGAIN;
    }
    default: break;
    }
    if (id == JAL || (id >= BEQ && id <= BGEU))
        return execute_branch(s, op, id);
    u32 flags = insn_row[id].flags;
    if (flags & AMO)
        return execute_atomic(s, op, id);
    if (flags & CSR)
        return execute_csr(s, op, id);
    assert(flags & FP);
    return execute_float(s, op, id);
}

// Enter the code at run.pc with a fresh slice. False: s->exit is set.
static bool enter(struct session *s, bool first) {
    struct run *run = &s->cache->run;
    s->left += (u64)run->fuel;
    run->fuel = 0;
    u32 attn = __atomic_load_n(&s->hart->attn, __ATOMIC_SEQ_CST);
    if (unlikely(attn)) {
        if (attn != ATTN_SHOOTDOWN) {
            s->exit = CPU_ATTN;
            return false;
        }
        tlb_acknowledge(s->hart);
        cpu_cache_look(s->hart, s->cache);
    }
    if (!s->left) {
        s->exit = CPU_FUEL;
        return false;
    }
    if (s->cache->jit && jit_attention(s->cache->jit)) {
        s->exit = CPU_ATTN;
        return false;
    }
    struct op *op = first ? code_entry(s->hart, s->cache, run->pc, true)
                          : code_at(s->hart, s->cache, run->pc);
    u32 word;
    s->exit = CPU_FAULT;
    if (!op)
        return false;
    if (op->n > s->left) { // not enough for the run: its instructions one by one
        if (!fetch(s, run->pc, &word))
            return false;
        op = code_scratch(s->cache, word, run->pc & PAGE_MASK);
    }
    u32 slice = (u32)min(s->left, (u64)SLICE);
    s->left -= slice;
    run->fuel = (i32)slice - op->n;
    run->ip = op;
    run->base = run->pc & ~PAGE_MASK;
    return true;
}

// To come from compiled code and go back is worth so many more entries.
enum { ARRIVAL = 7 };

// Begin with the op at run.pc, taking its fuel. False: there is no such op (s->exit is set), or too little fuel.
static bool locate(struct session *s, enum end end, bool *short_fuel) {
    struct run *run = &s->cache->run;
    struct op *op = code_known(s->cache, run->pc);
    if (!op || (end == END_ENTRY && op->b != OP_ENTRY_MARK))
        op = end == END_ENTRY  ? code_entry(s->hart, s->cache, run->pc, false)
             : end == END_JUMP ? code_target(s->hart, s->cache, run->pc)
                               : code_at(s->hart, s->cache, run->pc);
    *short_fuel = false;
    if (!op) {
        s->exit = CPU_FAULT;
        return false;
    }
    if (end == END_ENTRY && (op->code & ~OP_SLOW) == OP_ENTRY && op->b == OP_ENTRY_MARK)
        op->imm = max(op->imm - ARRIVAL, 1);
    if (end == END_INTERPRET && op->b == OP_ENTRY_MARK)
        op = (struct op *)((char *)(op + 1) + op[1].imm);
    if (op->n > run->fuel) {
        *short_fuel = true;
        return false;
    }
    run->fuel -= op->n;
    run->ip = op;
    run->base = run->pc & ~PAGE_MASK;
    return true;
}

// Run until fuel is short or s->expect is reached. False: s->exit is set. Either way run.pc is the next instruction.
static bool run_slice(struct session *s) {
    struct hart *hart = s->hart;
    struct cpu_cache *cache = s->cache;
    struct run *run = &cache->run;
    for (;;) {
        enum end end = END_JUMP;
        bool compiled = run->ip->code == (OP_COMPILED | OP_SLOW); // nothing for interp.c
        enum leave leave = compiled ? LEAVE_SLOW : interp(run, hart->tlb, cache->here->way, (char *)cache->ops);
        if (leave == LEAVE_FUEL) {
            run->pc = run->base + run->ip->off;
            return true;
        }
        if (leave == LEAVE_SLOW) {
            struct op *op = run->ip;
            hart->code_changed = false;
            u32 misses = cache->misses;
            end = op->code == (OP_COMPILED | OP_SLOW) ? execute_compiled(s, op) : execute(s, op);
            // A miss may have waited for the kernel, and another hart changed what is mapped here meanwhile.
            if (end == END_NEXT && cache->smp && cache->misses != misses && cpu_cache_look(hart, cache))
                end = END_REFETCH;
            switch (end) {
            case END_NEXT: run->ip++; continue;
            case END_AGAIN: continue;
            case END_JUMP:
            case END_ENTRY:
            case END_INTERPRET: break;
            case END_REACHED: return true;
            case END_LEAVING: return false;
            case END_REFETCH:
                run->pc = run->base + op[1].off;
                run->fuel += op->n - 1;
                cpu_cache_new_epoch(cache);
                break;
            case END_STOP:
                run->pc = run->base + op[1].off;
                run->fuel += op->n - 1;
                return false;
            case END_EXIT:
                run->pc = run->base + op->off;
                run->fuel += op->n;
                return false;
            }
        }
        if (run->pc == s->expect && end != END_INTERPRET)
            return true;
        bool short_fuel;
        if (!locate(s, end, &short_fuel))
            return short_fuel;
    }
}

// ---- On behalf of compiled code ----------------------------------------------------------------
i32 interpret_for(struct cpu_cache *cache, i32 fuel, u64 pc, u64 expect, i32 depth, bool stops) {
    struct jit_context *context = cache->context;
    struct session *s = cache->session, before = *s;
    struct run *run = &cache->run;
    if (depth < 0 && !s->unwinding) { // too many wait, some maybe for good, as who was called has jumped away: begin again
        s->unwinding = true;
        run->pc = pc;
        run->fuel = fuel;
    }
    if (s->unwinding) { // in a call of the kernel's
        context->slot = 0;
        context->pc = NOWHERE;
        return fuel;
    }
    u32 epoch = cache->here->epoch;
    u64 fuel_before = s->left + (u64)(i64)fuel;
    enum end end = context->reason == REASON_NONE ? END_ENTRY : END_INTERPRET;
    if (context->reason == REASON_FUEL) {
        i32 more = jit_refill(s->hart, fuel);
        if (more != fuel)
            end = END_ENTRY;
        fuel = more;
    }
    context->reason = REASON_NONE;
    s->expect = expect;
    code_await(s->hart, cache, expect);
    s->depth = depth;
    s->stops = stops;
    s->slot = 0;
    run->pc = pc;
    run->fuel = fuel;
    bool stands = true;
    for (;;) {
        bool short_fuel = true;
        if (locate(s, end, &short_fuel))
            stands = run_slice(s);
        else
            stands = short_fuel;
        if (!stands || s->slot || run->pc == s->expect)
            break;
        i32 more = jit_refill(s->hart, run->fuel);
        if (more == run->fuel)
            break;
        run->fuel = more;
        end = END_JUMP;
    }
    jit_retired(cache->jit, (i64)(s->left + (u64)(i64)run->fuel - fuel_before));
    context->slot = s->slot;
    s->slot = 0;
    s->expect = before.expect;
    s->depth = before.depth;
    s->stops = before.stops;
    if (!stands && !s->unwinding) // what ended it is for who called cpu_run
        s->unwinding = s->exits = true;
    if (cache->here->epoch != epoch) // those who wait may have been translated from what is no more
        s->unwinding = true;
    context->pc = run->pc;
    if (s->unwinding) {
        context->slot = 0;
        context->pc = NOWHERE;
    }
    return run->fuel;
}

enum cpu_exit cpu_run(struct hart *hart, struct cpu *cpu, u64 fuel, u64 *retired) {
    struct cpu_cache *cache = hart->cpu;
    struct run *run = &cache->run;
    struct session s = {.hart = hart, .cpu = cpu, .cache = cache, .fuel = fuel, .left = fuel};
    u64 *registers = &REGISTER(cache->registers);
    registers_copy(registers, cpu->x);
    registers_copy(registers + REG_F, cpu->f);
    registers[0] = 0;
    fcsr_set(cache, cpu->fcsr);
    cpu_cache_look(hart, cache);
    run->pc = cpu->pc & ~1ull;
    run->fuel = 0;
    s.expect = NOWHERE;
    s.depth = JIT_DEPTH;
    cache->session = &s;
    cache->left = &s.left;
    cache->context->tlb = MADDR(hart->tlb);
    cache->context->cpu = MADDR(cpu);
    for (bool first = true; enter(&s, first) && run_slice(&s); first = false)
        ;
    *retired = s.fuel - s.left - (u64)run->fuel;
    if (s.exit != CPU_PASSED)
        write_back(&s, run->pc, *retired);
    run->fuel = 0;
    return s.exit;
}

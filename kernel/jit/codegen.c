// One region as the body of a WebAssembly function: guest registers in locals, structured control flow from
// the dominator tree (Ramsey, "Beyond Relooper", 2022).
//
// Exactness: a block takes its fuel when it is entered; an instruction that cannot be done here leaves the
// region before it has done anything: fuel is given back from it on, registers are written back, and
// the interpreter executes it. No guest state is in locals while another region runs.
#include "codegen.h"

static void registers_load(struct translation *t, u64 mask) {
    for (; mask; mask &= mask - 1) {
        u32 reg = (u32)__builtin_ctzll(mask);
        get(t, L_CONTEXT);
        mem(t, reg < REG_F ? W_I64_LOAD : W_F64_LOAD, 3, reg * 8);
        set(t, t->local[reg]);
    }
}

static void registers_store(struct translation *t, u64 mask) {
    for (; mask; mask &= mask - 1) {
        u32 reg = (u32)__builtin_ctzll(mask);
        get(t, L_CONTEXT);
        get(t, t->local[reg]);
        mem(t, reg < REG_F ? W_I64_STORE : W_F64_STORE, 3, reg * 8);
    }
}

// What stands in temporary locals all the time.
static void state_load(struct translation *t) {
    if (!t->crowded) {
        get(t, L_CONTEXT);
        mem(t, W_I32_LOAD, 2, CONTEXT(tlb));
        set(t, temp32(t, TEMP_TLB));
    }
    if (t->floats && t->careful) {
        get(t, L_CONTEXT);
        mem(t, W_I32_LOAD, 2, CONTEXT(nx_near));
        set(t, temp32(t, TEMP_NX));
    }
}

// Of one hart, context and jump table are always at the same place: engines need no registers for them.
static bool is_only(const struct translation *t) { return !t->jit->cache->smp; }

static void locals(struct translation *t, u32 count, u32 type) {
    put_u(&t->code, count);
    put(&t->code, type);
}

// ---- Labels ------------------------------------------------------------------------------------
// What a branch out of each open structure means: a block's number, or nothing we branch to by name.

static void label_push(struct translation *t, u32 label) { t->label[t->label_count++] = (u16)label; }
static void label_pop(struct translation *t) { t->label_count--; }

void nest_as(struct translation *t, u32 byte, u32 type, u32 label) {
    op_u(t, byte, type);
    label_push(t, label);
}
void unnest(struct translation *t) {
    op(t, W_END);
    label_pop(t);
}

void if_begin(struct translation *t) { nest(t, W_IF, T_NONE); }
void if_end(struct translation *t) { unnest(t); }

static u32 label_depth(const struct translation *t, u32 label) {
    for (u32 i = t->label_count; i-- > 0;)
        if (t->label[i] == label)
            return t->label_count - 1 - i;
    return 0; // never: the tree opens what its branches need
}

// The first arguments of a region: context, fuel, and depth, one less for a call that nests.
static void arguments(struct translation *t, bool nests) {
    get(t, L_CONTEXT);
    get(t, L_FUEL);
    get(t, L_DEPTH);
    if (nests) {
        const32(t, 1);
        op(t, W_I32_SUB);
    }
}

// ---- Leaving -----------------------------------------------------------------------------------
// Inside a block's body: the interpreter must execute instruction `k` of it. Label: the block's stub.

void where(struct translation *t, const struct block *block, u32 k) {
    const struct jit_insn *row = &t->row[block->first];
    const struct jit_insn *last = &row[block->count - 1];
    i32 off = k < block->count ? row[k].off : last->off + last->insn.len;
    t->where = (i32)((u32)off << 8 | (t->ahead ? 0 : block->owes + k));
    t->stub = t->stub_at[k];
}

void hint(struct translation *t, bool likely) {
    if (t->hint_count < HINTS)
        t->hint[t->hint_count++] = (struct hint){(u32)(t->code.at - t->body), (u8)t->member_count, likely};
}

void branch_if(struct translation *t, u32 label) { op_u(t, W_BR_IF, label_depth(t, label)); }

static void leave(struct translation *t) {
    const32(t, t->where);
    set(t, temp32(t, TEMP_WHERE));
    op_u(t, W_BR, label_depth(t, LABEL_STUBS + t->stub));
}

// Not by a conditional branch: engines would make what it hands over before they ask.
void leave_if(struct translation *t) {
    hint(t, false);
    nest(t, W_IF, T_NONE);
    leave(t);
    unnest(t);
}

// The interpreter goes on for us; the arguments are on the stack.
static void go_on_in(struct translation *t, u32 function) {
    if (t->jit->features & JIT_TAIL_CALLS) {
        op_u(t, W_RETURN_CALL, function);
    } else {
        op_u(t, W_CALL, function);
        op(t, W_RETURN);
    }
}

static void continue_for_us(struct translation *t) { go_on_in(t, FUNCTION_GO_ON); }

static void reason(struct translation *t, i32 why) {
    get(t, L_CONTEXT);
    const32(t, why);
    mem(t, W_I32_STORE, 2, CONTEXT(reason));
}

// The address, but for the offset returned, of where the call returns to that is made now.
static u32 expected(struct translation *t) {
    get(t, L_DEPTH);
    const32(t, 3);
    op(t, W_I32_SHL);
    if (is_only(t))
        return MADDR(t->jit->cache->context) + CONTEXT(expect);
    get(t, L_CONTEXT);
    op(t, W_I32_ADD);
    return CONTEXT(expect);
}

// What goes on in our place, but nests, returns to where we do.
static void inherit(struct translation *t) {
    u32 base = expected(t);
    expected(t);
    mem(t, W_I64_LOAD, 3, base + 8);
    mem(t, W_I64_STORE, 3, base);
}

// Call the region at the slot on the stack, behind its arguments, or go on there in our place.
static void enter(struct translation *t, bool tail) {
    op_u(t, tail ? W_RETURN_CALL_INDIRECT : W_CALL_INDIRECT, 0);
    put_u(&t->code, 0);
}

// The function that does it: interprets as long as it must, then goes on in the region reached, in our place.
void go_on_write(struct translation *t) {
    bool tail = t->jit->features & JIT_TAIL_CALLS;
    put_u(&t->code, 1);
    locals(t, 1, T_I32);
    arguments(t, false);
    get(t, L_PC);
    op_u(t, W_CALL, FUNCTION_CONTINUE);
    set(t, L_FUEL);
    get(t, L_CONTEXT);
    mem(t, W_I32_LOAD, 2, CONTEXT(slot));
    tee(t, LOCALS);
    op(t, W_I32_EQZ);
    if (!tail) {
        get(t, L_DEPTH);
        op(t, W_I32_EQZ);
        op(t, W_I32_OR);
    }
    op_u(t, W_IF, T_NONE);
    get(t, L_FUEL);
    op(t, W_RETURN);
    op(t, W_END);
    if (!tail)
        inherit(t);
    arguments(t, !tail);
    get(t, L_CONTEXT);
    mem(t, W_I64_LOAD, 3, CONTEXT(pc));
    get(t, LOCALS);
    enter(t, tail);
    op(t, W_END);
}

bool codegen_leaves(const struct insn *insn) {
    return insn->flags & (LOAD | STORE | AMO) || (insn->flags & (FP | CSR) && float_leaves(insn));
}

// Where leaving goes: stub 0 writes back what was dirty when the block began; each of the others, which are inside it, what the
// block had written by then, and falls through.
static u32 stubs_plan(struct translation *t, const struct block *block) {
    u64 written = 0, reads, writes;
    u32 last = 0;
    t->stub_set[0] = 0;
    for (u32 k = 0; k < block->count; k++) {
        const struct insn *insn = &t->row[block->first + k].insn;
        if (codegen_leaves(insn) && written != t->stub_set[last])
            t->stub_set[++last] = written;
        t->stub_at[k] = (u8)last;
        insn_registers(insn, &reads, &writes);
        written |= writes & ~block->dirty;
    }
    return last;
}

static u32 stubs_begin(struct translation *t, const struct block *block) {
    u32 last = stubs_plan(t, block);
    for (u32 i = 0; i <= last; i++)
        nest_as(t, W_BLOCK, T_NONE, LABEL_STUBS + i);
    return last;
}

static void stubs_end(struct translation *t, u32 last) {
    for (; last; last--) {
        unnest(t);
        registers_store(t, t->stub_set[last] & ~t->stub_set[last - 1]);
    }
    unnest(t);
}

// Where it is written for several blocks; LABEL_NONE: it is to be written here.
static u32 way_out(const struct translation *t, u64 set, bool stub) {
    for (u32 i = 0; i < t->way_out_count; i++)
        if (t->way_out[i].set == set && t->way_out[i].stub == stub && t->way_out[i].users > 1)
            return LABEL_WAY_OUT + i;
    return LABEL_NONE;
}

static void leave_end(struct translation *t) {
    get(t, L_CONTEXT);
    get(t, temp32(t, TEMP_WHERE));
    mem(t, W_I32_STORE, 2, CONTEXT(where));
    arguments(t, false);
    get(t, L_PC);
    go_on_in(t, FUNCTION_LEAVE);
}

static void stub(struct translation *t, const struct block *block) {
    u32 shared = way_out(t, block->dirty, true);
    if (shared == LABEL_NONE)
        registers_store(t, block->dirty);
    op_u(t, W_BR, label_depth(t, shared == LABEL_NONE ? LABEL_LEAVE : shared));
}

// What all stubs have in common. (A fifth parameter would be one too many for registers.)
void leave_write(struct translation *t) {
    put_u(&t->code, 1);
    locals(t, 1, T_I32);
    get(t, L_CONTEXT);
    mem(t, W_I32_LOAD, 2, CONTEXT(where));
    set(t, LOCALS);
    reason(t, REASON_INTERPRET);
    get(t, L_CONTEXT);
    get(t, L_PC);
    mem(t, W_I64_STORE, 3, CONTEXT(left));
    get(t, L_CONTEXT);
    get(t, L_FUEL);
    get(t, LOCALS);
    const32(t, OWES_MOST);
    op(t, W_I32_AND);
    op(t, W_I32_SUB);
    get(t, L_DEPTH);
    get(t, L_PC);
    get(t, LOCALS);
    const32(t, 8);
    op(t, W_I32_SHR_S);
    op(t, W_I64_EXTEND_I32_S);
    op(t, W_I64_ADD);
    continue_for_us(t);
    op(t, W_END);
}

static void if_rare(struct translation *t) {
    hint(t, false);
    nest(t, W_IF, T_NONE);
}

// If fuel does not last as far as `need`; what is inside ends with unnest.
static void if_short(struct translation *t, i32 need) {
    get(t, L_FUEL);
    const32(t, need);
    op(t, W_I32_LT_S);
    if_rare(t);
}

static void pay(struct translation *t, u32 ticks) {
    if (!ticks)
        return;
    get(t, L_FUEL);
    const32(t, (i32)ticks);
    op(t, W_I32_SUB);
    set(t, L_FUEL);
}

static void refill(struct translation *t) {
    get(t, L_CONTEXT);
    get(t, L_FUEL);
    op_u(t, W_CALL, FUNCTION_REFILL);
    set(t, L_FUEL);
}

// Registers are written back; the pc to go on at is in TEMP_A.
static void return_to(struct translation *t) {
    get(t, L_CONTEXT);
    get(t, temp(t, TEMP_A));
    mem(t, W_I64_STORE, 3, CONTEXT(pc));
    get(t, L_FUEL);
    op(t, W_RETURN);
}

// Call, or continue in, the region at TEMP_A; the kernel sees to it if none is known. Only what nests counts for
// depth.
static void transfer(struct translation *t, bool call) {
    bool tail = !call && t->jit->features & JIT_TAIL_CALLS;
    u32 base = is_only(t) ? MADDR(t->jit->jump) : 0;
    get(t, temp(t, TEMP_A));
    op(t, W_I32_WRAP_I64);
    const32(t, 3); // parcels times the size of an entry
    op(t, W_I32_SHL);
    const32(t, (JIT_JUMPS - 1) * sizeof(struct jit_jump));
    op(t, W_I32_AND);
    if (!base) {
        get(t, L_CONTEXT);
        mem(t, W_I32_LOAD, 2, CONTEXT(jump));
        op(t, W_I32_ADD);
    }
    tee(t, temp32(t, TEMP_ENTRY));
    mem(t, W_I64_LOAD, 3, base + offsetof(struct jit_jump, pc));
    get(t, temp(t, TEMP_A));
    op(t, W_I64_NE);
    if (!tail) {
        get(t, L_DEPTH);
        op(t, W_I32_EQZ);
        op(t, W_I32_OR);
    }
    hint(t, false);
    op_u(t, W_IF, call ? T_I32 : T_NONE);
    arguments(t, false);
    get(t, temp(t, TEMP_A));
    if (call) {
        op_u(t, W_CALL, FUNCTION_CALL);
        op(t, W_ELSE);
    } else {
        continue_for_us(t);
        op(t, W_END);
        if (!tail)
            inherit(t);
    }
    arguments(t, !tail);
    get(t, temp(t, TEMP_A));
    get(t, temp32(t, TEMP_ENTRY));
    mem(t, W_I32_LOAD, 2, base + offsetof(struct jit_jump, slot));
    enter(t, tail);
    if (call)
        op(t, W_END);
    else if (!tail)
        op(t, W_RETURN);
}

// A function of this module, by its number.
static void member_name(struct translation *t, u32 member) {
    if (t->self_call_count < SELF_CALLS)
        t->self_call[t->self_call_count] =
            (struct self_call){(u32)(t->code.at - t->body), (u16)t->member_count, (u16)member};
    t->self_call_count++;
    u8 *at = length_begin(&t->code);
    if (!t->code.full)
        number_at(at, FUNCTIONS + member);
}

// Call this region again; what it was translated from cannot have changed while it runs.
static void call_self(struct translation *t) {
    get(t, L_DEPTH);
    op(t, W_I32_EQZ);
    op_u(t, W_IF, T_NONE);
    return_to(t);
    op(t, W_END);
    arguments(t, true);
    get(t, L_PC);
    op(t, W_CALL);
    member_name(t, t->member_count);
}

// Enter the region `member` of this module, whose entry is `off` bytes before ours, where it dispatches to us.
void inside_write(struct translation *t, u32 member, i32 off) {
    put_u(&t->code, 0);
    get(t, L_CONTEXT);
    const32(t, off);
    mem(t, W_I32_STORE, 2, CONTEXT(where));
    arguments(t, false);
    const32(t, DEPTH_INSIDE);
    op(t, W_I32_OR);
    get_pc(t, -(i64)off);
    op(t, t->jit->features & JIT_TAIL_CALLS ? W_RETURN_CALL : W_CALL);
    member_name(t, member);
    op(t, W_END);
}

static bool is_target(const struct translation *t, i32 off) {
    u32 i = 0;
    while (i < t->target_count && t->target[i] != off)
        i++;
    return i < t->target_count;
}

static void leave_to(struct translation *t, const struct block *block, i32 off) {
    pay(t, owes_after(block));
    if (dispatches(t) && is_target(t, off)) {
        registers_store(t, block->dirty_out);
        get_pc(t, off);
        set(t, temp(t, TEMP_A));
        op_u(t, W_BR, label_depth(t, t->order[0] | LABEL_LOOP));
        return;
    }
    u32 shared = way_out(t, block->dirty_out, false);
    if (shared == LABEL_NONE)
        registers_store(t, block->dirty_out);
    get_pc(t, off);
    set(t, temp(t, TEMP_A));
    op_u(t, W_BR, label_depth(t, shared == LABEL_NONE ? LABEL_TRANSFER : shared));
}

static void way_out_note(struct translation *t, u64 set, bool stub) {
    u32 i = 0;
    while (i < t->way_out_count && (t->way_out[i].set != set || t->way_out[i].stub != stub))
        i++;
    if (i == WAYS_OUT)
        return;
    if (i == t->way_out_count)
        t->way_out[t->way_out_count++] = (struct way_out){.set = set, .stub = stub};
    t->way_out[i].users++;
}

// Open a block for each that is shared: they are written behind all others.
static void ways_out_begin(struct translation *t) {
    t->way_out_count = 0;
    nest_as(t, W_BLOCK, T_NONE, LABEL_LEAVE);
    nest_as(t, W_BLOCK, T_NONE, LABEL_TRANSFER);
    for (u32 i = 0; i < t->order_count; i++) {
        const struct block *block = &t->block[t->order[i]];
        if (block->leaves || block->header)
            way_out_note(t, block->dirty, true);
        bool branch = block->term == TERM_BRANCH;
        if (block->term == TERM_STOP || branch || block->term == TERM_NEXT)
            for (u32 k = 0; k < 1 + branch; k++)
                if (block->succ[k] == NO_BLOCK)
                    way_out_note(t, block->dirty_out, false);
    }
    for (u32 i = t->way_out_count; i-- > 0;)
        if (t->way_out[i].users > 1)
            nest_as(t, W_BLOCK, T_NONE, LABEL_WAY_OUT + i);
}

static void ways_out_end(struct translation *t) {
    for (u32 i = 0; i < t->way_out_count; i++) {
        if (t->way_out[i].users < 2)
            continue;
        unnest(t);
        registers_store(t, t->way_out[i].set);
        op_u(t, W_BR, label_depth(t, t->way_out[i].stub ? LABEL_LEAVE : LABEL_TRANSFER));
    }
    unnest(t);
    transfer(t, false);
    unnest(t);
    leave_end(t);
}

// ---- Instructions ------------------------------------------------------------------------------
bool codegen_knows(const struct translation *t, const struct insn *insn) {
    switch (insn->id) {
    case JAL: case JALR: case LB: case LH: case LW: case LD: case LBU: case LHU: case LWU:
    case SB: case SH: case SW: case SD: case FENCE: case ECALL:
        return true;
    default:
        if (insn->flags & (FP | CSR))
            return float_knows(insn);
        return insn->flags & BRANCH || atomic_knows(t, insn) || integer_knows(insn);
    }
}

// Write instruction `k` of the block, and perhaps what follows; how many.
static u32 instruction(struct translation *t, const struct block *block, u32 k) {
    const struct insn *insn = &t->row[block->first + k].insn;
    if (insn->flags & (FP | CSR)) {
        float_instruction(t, block, k);
        return 1;
    }
    if (insn->flags & AMO) {
        atomic_instruction(t, block, k);
        return 1;
    }
    switch (insn->id) {
    case LB: load(t, block, k, 1, W_I64_LOAD8_S); break;
    case LH: load(t, block, k, 2, W_I64_LOAD16_S); break;
    case LW: load(t, block, k, 4, W_I64_LOAD32_S); break;
    case LD: load(t, block, k, 8, W_I64_LOAD); break;
    case LBU: load(t, block, k, 1, W_I64_LOAD8_U); break;
    case LHU: load(t, block, k, 2, W_I64_LOAD16_U); break;
    case LWU: load(t, block, k, 4, W_I64_LOAD32_U); break;
    case SB: store(t, block, k, 1, W_I64_STORE8); break;
    case SH: store(t, block, k, 2, W_I64_STORE16); break;
    case SW: store(t, block, k, 4, W_I64_STORE32); break;
    case SD: store(t, block, k, 8, W_I64_STORE); break;
    case FENCE:
        if (t->jit->cache->smp) {
            op_u(t, W_ATOMIC, WA_FENCE);
            op(t, 0);
        }
        break;
    default:
        if (insn->id != JAL && insn->id != JALR && insn->id != ECALL && !(insn->flags & BRANCH)) // which end the block
            return integer_instruction(t, block, k);
        break;
    }
    return 1;
}

// ---- Blocks ------------------------------------------------------------------------------------
static void instructions(struct translation *t, const struct block *block) {
    t->not_nan = t->boxed = 0;
    t->word = block->word;
    for (u32 k = 0, next; k < block->count; k = next) {
        u32 role = t->rounds ? t->role[k] : ROLE_PLAIN;
        next = k + 1;
        if (role == ROLE_PLAIN)
            next = k + instruction(t, block, k);
        else if (role == ROLE_WIDE)
            store_wide(t, block, k);
        for (u32 i = k; i < next; i++)
            t->word = words_after(&t->row[block->first + i].insn, t->word);
    }
}

// Another slice if there is less than `left` of this one.
static void refill_block(struct translation *t, const struct block *block, i32 left) {
    if_short(t, left);
    if (t->jit->features & JIT_COLD_CALLS) {
        refill(t);
    } else {
        // Nothing lives across the call: engines would keep it in memory all around the loop.
        registers_store(t, block->dirty);
        refill(t);
        state_load(t);
        registers_load(t, block->live);
        memory_forget(t);
    }
    if_short(t, left);
    where(t, block, 0);
    leave(t);
    unnest(t);
    unnest(t);
}

static void body(struct translation *t, const struct block *block) {
    listing_block(t, block);
    bool guarded = block->leaves || block->header;
    u32 stubs = 0;
    if (guarded) {
        nest_as(t, W_BLOCK, T_NONE, LABEL_DONE);
        stubs = stubs_begin(t, block);
    }
    if (block->header)
        refill_block(t, block, block->need);
    bool slow = memory_begin(t, block);
    instructions(t, block);
    if (slow) {
        op_u(t, W_BR, label_depth(t, LABEL_DONE));
        unnest(t);
        t->slow = true;
        instructions(t, block);
        t->slow = false;
    }
    if (guarded) {
        op_u(t, W_BR, label_depth(t, LABEL_DONE));
        stubs_end(t, stubs);
        stub(t, block);
        unnest(t);
    }
}

static void tree(struct translation *t, u16 index);

static bool backward(const struct translation *t, u16 from, u16 to) {
    return t->block[to].order <= t->block[from].order;
}

static bool is_labelled(const struct translation *t, u16 from, u16 to) {
    return to != NO_BLOCK && (backward(t, from, to) || t->block[to].merge);
}

// Ticks that are paid on the edge: more than none are owed behind it, if less than none.
static u32 owed_between(const struct translation *t, u16 from, u32 k) {
    return owes_after(&t->block[from]) - t->block[t->block[from].succ[k]].owes;
}

// An edge that is just a branch: to a loop's head or to where paths meet, with nothing to write back.
static bool by_label(const struct translation *t, u16 from, u32 k) {
    return is_labelled(t, from, t->block[from].succ[k]) && !written_between(t, from, k) && !owed_between(t, from, k);
}

static u32 label_of(const struct translation *t, u16 from, u16 to) {
    return label_depth(t, backward(t, from, to) ? to | LABEL_LOOP : to);
}

// Go from `from` along its edge `k`.
static void go(struct translation *t, u16 from, u32 k) {
    const struct block *block = &t->block[from];
    u16 to = block->succ[k];
    registers_store(t, written_between(t, from, k));
    if (to == NO_BLOCK) {
        leave_to(t, block, block->exit[k].off);
        return;
    }
    pay(t, owed_between(t, from, k));
    if (is_labelled(t, from, to))
        op_u(t, W_BR, label_of(t, from, to));
    else
        tree(t, to);
}

static void unless_at(struct translation *t, i32 off) {
    get(t, L_CONTEXT);
    mem(t, W_I64_LOAD, 3, CONTEXT(pc));
    get_pc(t, off);
    op(t, W_I64_NE);
    hint(t, false);
    op_u(t, W_IF, T_NONE);
}

// Where the call that is made now returns to.
static void expect(struct translation *t, i32 off) {
    u32 base = expected(t);
    get_pc(t, off);
    mem(t, W_I64_STORE, 3, base);
}

// What is known of the TLB is older than this, or it was known before the last call, too.
static void lost_load(struct translation *t) {
    get_tlb(t);
    mem(t, W_I32_LOAD, 2, offsetof(struct tlb, lost));
    set(t, temp32(t, TEMP_LOST));
}

// A call has come back, with its fuel on the stack, and should be at `off`. If it is elsewhere, as when what was
// called has gone on in other regions, the kernel sees to it; if that fails all calls return.
static void returned(struct translation *t, i32 off) {
    set(t, L_FUEL);
    unless_at(t, off);
    arguments(t, false);
    get(t, L_CONTEXT);
    mem(t, W_I64_LOAD, 3, CONTEXT(pc));
    op_u(t, W_CALL, FUNCTION_CALL);
    set(t, L_FUEL);
    unless_at(t, off);
    get(t, L_FUEL);
    op(t, W_RETURN);
    op(t, W_END);
    op(t, W_END);
}

// TEMP_A is where a jal or jalr leads.
static void target(struct translation *t, const struct jit_insn *last) {
    const struct insn *insn = &last->insn;
    if (insn->id == JAL) {
        get_pc(t, last->off + insn->imm);
    } else {
        get_x(t, insn->rs1);
        if (insn->imm) {
            const64(t, insn->imm);
            op(t, W_I64_ADD);
        }
        const64(t, ~1ll);
        op(t, W_I64_AND);
    }
    set(t, temp(t, TEMP_A));
}

// On the stack: does this call lead where its copy begins?
static void as_guessed(struct translation *t, const struct jit_insn *call) {
    target(t, call);
    get(t, temp(t, TEMP_A));
    get_pc(t, call->target);
    op(t, W_I64_EQ);
}

// A jump through a register, at `off`, leaves the region for the pc in TEMP_A: that is noted for when it is made anew.
static void stray(struct translation *t, i32 off) {
    get(t, L_CONTEXT);
    get(t, L_CONTEXT);
    mem(t, W_I32_LOAD, 2, CONTEXT(strays));
    const32(t, 1);
    op(t, W_I32_ADD);
    mem(t, W_I32_STORE, 2, CONTEXT(strays));
    get(t, L_CONTEXT);
    get(t, L_PC);
    mem(t, W_I64_STORE, 3, CONTEXT(strayed));
    get(t, L_CONTEXT);
    get(t, temp(t, TEMP_A));
    mem(t, W_I64_STORE, 3, CONTEXT(strayed_to));
    get_pc(t, off);
    tee(t, temp(t, TEMP_B));
    op(t, W_I32_WRAP_I64); // as led_slot
    const32(t, 29 * 4);
    op(t, W_I32_MUL);
    get(t, temp(t, TEMP_A));
    op(t, W_I32_WRAP_I64);
    const32(t, 4);
    op(t, W_I32_MUL);
    op(t, W_I32_ADD);
    const32(t, (LED - 1) * 8);
    op(t, W_I32_AND);
    get(t, L_CONTEXT);
    mem(t, W_I32_LOAD, 2, CONTEXT(led));
    op(t, W_I32_ADD);
    get(t, temp(t, TEMP_B));
    const64(t, 32);
    op(t, W_I64_SHL);
    get(t, temp(t, TEMP_A));
    const64(t, 0xffffffff);
    op(t, W_I64_AND);
    op(t, W_I64_OR);
    mem(t, W_I64_STORE, 3, 0);
}

static void jump(struct translation *t, const struct block *block) {
    const struct jit_insn *last = &t->row[block->first + block->count - 1];
    const struct insn *insn = &last->insn;
    i32 next = last->off + insn->len;
    target(t, last);
    if (insn->rd) {
        get_pc(t, next);
        set_x(t, insn->rd);
    }
    pay(t, block->owes + block->count);
    registers_store(t, block->dirty_out);
    if (block->term == TERM_CALL) {
        expect(t, block->exit[0].off);
        if (block->kept)
            lost_load(t);
        if (last->calls_entry)
            call_self(t);
        else
            transfer(t, true);
        returned(t, block->exit[0].off);
    } else if (!insn->rd && (insn->rs1 == 1 || insn->rs1 == 5)) {
        return_to(t);
    } else if (dispatches(t)) {
        op_u(t, W_BR, label_depth(t, t->order[0] | LABEL_LOOP));
    } else {
        if (!insn->rd)
            stray(t, last->off);
        transfer(t, false);
    }
}

// The kernel answers it here, or the interpreter leaves with it.
static void ecall(struct translation *t, const struct block *block) {
    const struct jit_insn *last = &t->row[block->first + block->count - 1];
    pay(t, block->owes + block->count);
    registers_store(t, block->dirty_out);
    get(t, L_CONTEXT);
    get_pc(t, last->off);
    mem(t, W_I64_STORE, 3, CONTEXT(pc));
    get(t, L_CONTEXT);
    get(t, L_FUEL);
    op_u(t, W_CALL, FUNCTION_ECALL);
    tee(t, L_FUEL);
    const32(t, 0);
    op(t, W_I32_LT_S);
    nest(t, W_IF, T_NONE); // not told to be rare: it depends
    reason(t, REASON_INTERPRET);
    get(t, L_CONTEXT);
    const32(t, 0);
    get(t, L_FUEL);
    op(t, W_I32_SUB);
    get(t, L_DEPTH);
    get_pc(t, last->off);
    continue_for_us(t);
    unnest(t);
}

// Enough fuel to go on with block `to`; all registers are in the context.
static void behind_call(struct translation *t, const struct block *to, i32 off) {
    if (to->header)
        return; // asks itself
    if_short(t, to->need);
    refill(t);
    if_short(t, to->need);
    reason(t, REASON_INTERPRET);
    arguments(t, false);
    get_pc(t, off);
    continue_for_us(t);
    unnest(t);
    unnest(t);
}

// Behind a call: the stack and the frame should be where they were, and what the TLB had must still be right.
static void unless_kept(struct translation *t, const struct block *block) {
    get_tlb(t);
    mem(t, W_I32_LOAD, 2, offsetof(struct tlb, lost));
    get(t, temp32(t, TEMP_LOST));
    op(t, W_I32_NE);
    for (u32 mask = block->kept; mask; mask &= mask - 1) {
        u32 reg = (u32)__builtin_ctz(mask);
        get(t, L_CONTEXT);
        mem(t, W_I64_LOAD, 3, reg * 8);
        get(t, t->local[reg]);
        op(t, W_I64_NE);
        op(t, W_I32_OR);
    }
    if_rare(t);
    get(t, L_CONTEXT);
    get(t, L_PC);
    mem(t, W_I64_STORE, 3, CONTEXT(left));
    arguments(t, false);
    get_pc(t, block->exit[0].off | WHERE_MISTAKEN >> 8);
    continue_for_us(t);
    unnest(t);
}

// ---- Dispatch ----------------------------------------------------------------------------------
// Jumps through registers stay in the region if they lead to one of its targets. All come here, as does whoever enters
// it: registers are in the context, TEMP_A is the pc.
struct buckets {
    u32 bits, factor;
    u16 first[2 * JIT_TARGETS * 2]; // target + 1
    u16 next[JIT_TARGETS];
};

// How many targets share a bucket with another.
static u32 buckets_fill(const struct translation *t, struct buckets *buckets, u32 factor) {
    u32 shared = 0;
    buckets->factor = factor;
    __builtin_memset(buckets->first, 0, sizeof buckets->first);
    for (u32 i = t->target_count; i-- > 0;) {
        u16 *first = &buckets->first[(u32)t->target[i] * factor >> (32 - buckets->bits)];
        shared += *first != 0;
        buckets->next[i] = *first;
        *first = (u16)(i + 1);
    }
    return shared;
}

static void buckets_find(const struct translation *t, struct buckets *buckets) {
    buckets->bits = 1;
    while (1u << buckets->bits < 2 * t->target_count)
        buckets->bits++;
    u32 least = ~0u, best = 0, factor = 0x9e3779b1;
    for (u32 i = 0; i < 64; i++, factor = factor * 0x2c1b3c6d | 1) {
        u32 shared = buckets_fill(t, buckets, factor);
        if (shared < least) {
            least = shared;
            best = factor;
        }
    }
    buckets_fill(t, buckets, best);
}

// Go on at the target if pc is there.
static void land(struct translation *t, u32 target) {
    u16 to = t->target_block[target];
    get(t, temp(t, TEMP_B));
    const64(t, t->target[target]);
    op(t, W_I64_EQ);
    hint(t, true);
    nest(t, W_IF, T_NONE);
    registers_load(t, t->block[to].live);
    // It is that already. But it must not look the same all around the loop: engines would compute all that is made from it
    // before the first round.
    get(t, temp(t, TEMP_A));
    const64(t, t->target[target]);
    op(t, W_I64_SUB);
    set(t, L_PC);
    op_u(t, W_BR, label_depth(t, to));
    unnest(t);
}

static void land_all(struct translation *t) {
    struct buckets buckets;
    buckets_find(t, &buckets);
    u32 count = 1u << buckets.bits;
    for (u32 i = count; i-- > 0;)
        if (buckets.first[i])
            nest_as(t, W_BLOCK, T_NONE, LABEL_LANDING + i);
    get(t, temp(t, TEMP_B));
    op(t, W_I32_WRAP_I64);
    const32(t, (i32)buckets.factor);
    op(t, W_I32_MUL);
    const32(t, (i32)(32 - buckets.bits));
    op(t, W_I32_SHR_U);
    op_u(t, W_BR_TABLE, count);
    for (u32 i = 0; i < count; i++)
        put_u(&t->code, label_depth(t, buckets.first[i] ? LABEL_LANDING + i : LABEL_MISS));
    put_u(&t->code, label_depth(t, LABEL_MISS));
    for (u32 i = 0; i < count; i++) {
        if (!buckets.first[i])
            continue;
        unnest(t);
        for (u32 k = buckets.first[i]; k; k = buckets.next[k - 1])
            land(t, k - 1);
        op_u(t, W_BR, label_depth(t, LABEL_MISS));
    }
}

enum { COMPARED = 3 }; // so many targets are

static void dispatch(struct translation *t, u16 index) {
    const struct block *block = &t->block[index];
    if_short(t, block->need);
    refill(t);
    if_short(t, block->need);
    reason(t, REASON_INTERPRET);
    arguments(t, false);
    get(t, temp(t, TEMP_A));
    continue_for_us(t);
    unnest(t);
    state_load(t);
    memory_forget(t);
    unnest(t);
    get(t, temp(t, TEMP_A));
    get(t, L_PC);
    op(t, W_I64_SUB);
    set(t, temp(t, TEMP_B));
    nest_as(t, W_BLOCK, T_NONE, LABEL_MISS);
    if (t->target_count > COMPARED)
        land_all(t);
    else
        for (u32 i = 0; i < t->target_count; i++)
            land(t, i);
    unnest(t);
    stray(t, 0);
    transfer(t, false);
}

// Where the region begins: at pc, or inside.
static void dispatch_begin(struct translation *t) {
    get(t, L_PC);
    set(t, temp(t, TEMP_A));
    get(t, L_DEPTH);
    const32(t, DEPTH_INSIDE);
    op(t, W_I32_GE_U);
    nest(t, W_IF, T_NONE);
    get(t, L_DEPTH);
    const32(t, DEPTH_INSIDE - 1);
    op(t, W_I32_AND);
    set(t, L_DEPTH);
    get(t, L_PC);
    get(t, L_CONTEXT);
    mem(t, W_I32_LOAD, 2, CONTEXT(where));
    op(t, W_I64_EXTEND_I32_S);
    op(t, W_I64_ADD);
    set(t, temp(t, TEMP_A));
    unnest(t);
}

static void terminator(struct translation *t, u16 index) {
    const struct block *block = &t->block[index];
    const struct jit_insn *last = &t->row[block->first + block->count - 1];
    switch ((enum term)block->term) {
    case TERM_NEXT: {
        const struct insn *insn = &last->insn;
        if ((insn->id == JAL || insn->id == JALR) && insn->rd) {
            get_pc(t, last->off + insn->len);
            set_x(t, insn->rd);
        }
        go(t, index, 0);
        break;
    }
    case TERM_STOP: leave_to(t, block, block->exit[0].off); break;
    case TERM_INDIRECT: jump(t, block); break;
    case TERM_DISPATCH: dispatch(t, index); break;
    case TERM_RETURN:
        if (block->succ[0] != NO_BLOCK && !last->insn.imm &&
            memory_is_at(t, index, last->insn.rs1, block->exit[0].off)) {
            go(t, index, 0);
            break;
        }
        target(t, last);
        if (block->succ[0] != NO_BLOCK) {
            get(t, temp(t, TEMP_A));
            get_pc(t, block->exit[0].off);
            op(t, W_I64_EQ);
            if (by_label(t, index, 0)) {
                op_u(t, W_BR_IF, label_of(t, index, block->succ[0]));
            } else {
                nest(t, W_IF, T_NONE);
                go(t, index, 0);
                unnest(t);
            }
        }
        pay(t, owes_after(block));
        registers_store(t, block->dirty_out);
        return_to(t);
        break;
    case TERM_CALL:
        if (last->insn.id == ECALL)
            ecall(t, block);
        else
            jump(t, block);
        if (block->succ[0] == NO_BLOCK) {
            get_pc(t, block->exit[0].off);
            set(t, temp(t, TEMP_A));
            transfer(t, false);
        } else {
            behind_call(t, &t->block[block->succ[0]], block->exit[0].off);
            if (block->kept)
                unless_kept(t, block);
            if (t->floats)
                float_begin(t, true);
            state_load(t);
            if (!block->kept)
                memory_forget(t);
            registers_load(t, t->block[block->succ[0]].live);
            go(t, index, 0);
        }
        break;
    case TERM_BRANCH:
    case TERM_GUESS: {
        if (block->term == TERM_BRANCH)
            integer_condition(t, &last->insn);
        else
            as_guessed(t, &t->row[block->first + block->count]); // it stands there once more
        u16 taken = block->succ[0], not_taken = block->succ[1];
        if (by_label(t, index, 0)) {
            op_u(t, W_BR_IF, label_of(t, index, taken));
            go(t, index, 1);
        } else if (by_label(t, index, 1)) {
            op(t, W_I32_EQZ);
            op_u(t, W_BR_IF, label_of(t, index, not_taken));
            go(t, index, 0);
        } else {
            nest(t, W_IF, T_NONE);
            go(t, index, 0);
            unnest(t);
            go(t, index, 1);
        }
        break;
    }
    }
}

// ---- Tight loops -------------------------------------------------------------------------------
// A block that is a loop by itself goes round as often as its fuel and the pages of its accesses allow, without a look at
// either; then both are looked at again. Nothing but ways out is left in the loop. When an access crosses pages the block
// is done once, each access by itself.

// Fuel that was taken for the rounds that are not to come, and for this one, unless it is done.
static void give_back(struct translation *t, const struct block *block, bool done) {
    get(t, L_FUEL);
    get(t, temp32(t, TEMP_COUNT));
    if (done) {
        const32(t, 1);
        op(t, W_I32_SUB);
    }
    const32(t, block->count);
    op(t, W_I32_MUL);
    op(t, W_I32_ADD);
    set(t, L_FUEL);
}

// On the stack: does the loop go on?
static void goes_on(struct translation *t, u16 index) {
    const struct block *block = &t->block[index];
    integer_condition(t, &t->row[block->first + block->count - 1].insn);
    if (block->succ[0] != index)
        op(t, W_I32_EQZ);
}

static bool may_leave(const struct translation *t, const struct block *block) {
    for (u32 k = 0; k < block->count; k++) {
        const struct insn *insn = &t->row[block->first + k].insn;
        bool access = insn->flags & (LOAD | STORE | AMO);
        if (access ? memory_leaves(t, block, k) : codegen_leaves(insn))
            return true;
    }
    return false;
}

// What was not done in each round.
static void catch_up(struct translation *t, const struct block *block) {
    for (u32 k = 0; k < block->count && t->rounds; k++)
        if (t->role[k] == ROLE_LATER)
            integer_instruction(t, block, k);
}

// A loop that one register counts, in steps, up or down to another that stays: it goes on at least until they meet.
struct counting {
    u32 low, high; // the registers; the difference gets smaller
    u32 step;      // 0: nothing counts
    bool meets;    // goes on while they differ; else while low is less than high
    bool equal;    // or the same
};

static struct counting counting_of(struct translation *t, u16 index) {
    const struct block *block = &t->block[index];
    const struct insn *insn = &t->row[block->first + block->count - 1].insn;
    // What holds if the loop goes on.
    u32 id = insn->id, a = insn->rs1, b = insn->rs2;
    if (block->succ[0] != index)
        id = id == BEQ ? BNE : id == BNE ? BEQ : id == BLT ? BGE : id == BGE ? BLT : id == BLTU ? BGEU : BLTU;
    struct counting counting = {a, b, 0, id == BNE, id == BGE || id == BGEU};
    if (counting.equal)
        counting = (struct counting){b, a, 0, false, true};
    i32 low, high;
    if (id == BEQ || !memory_moves(t, index, counting.low, &low) || !memory_moves(t, index, counting.high, &high))
        return counting;
    if (low > 0 && !high)
        counting.step = (u32)low;
    else if (high < 0 && !low)
        counting.step = (u32)-high;
    else if (counting.meets && (low < 0 || high > 0) && (!low || !high))
        counting = (struct counting){counting.high, counting.low, (u32)(low - high < 0 ? high - low : low - high), true, false};
    return counting;
}

// No more rounds than until then; whether it goes on is asked behind them.
static void count_rounds(struct translation *t, u16 index, const struct counting *counting) {
    u32 shift = (u32)__builtin_ctz(counting->step);
    // TEMP_A: one less than until they meet or pass each other, which is all ones if they never will.
    get_x(t, counting->high);
    get_x(t, counting->low);
    op(t, W_I64_SUB);
    if (!counting->meets && !counting->equal) {
        const64(t, 1);
        op(t, W_I64_SUB);
    }
    if (counting->step != 1u << shift) {
        const64(t, counting->step);
        op(t, W_I64_DIV_U);
    } else if (shift) {
        const64(t, shift);
        op(t, W_I64_SHR_U);
    }
    if (counting->meets) {
        const64(t, 1);
        op(t, W_I64_SUB);
    } else {
        const64(t, 0);
        goes_on(t, index);
        op(t, W_SELECT);
    }
    tee(t, temp(t, TEMP_A));
    op(t, W_I32_WRAP_I64);
    const32(t, 1);
    op(t, W_I32_ADD);
    get(t, temp32(t, TEMP_COUNT));
    get(t, temp(t, TEMP_A));
    get(t, temp32(t, TEMP_COUNT));
    op(t, W_I64_EXTEND_I32_U);
    op(t, W_I64_LT_U);
    op(t, W_SELECT);
    set(t, temp32(t, TEMP_COUNT));
}

// Once more, if there are rounds left.
static void again(struct translation *t) {
    get(t, temp32(t, TEMP_COUNT));
    const32(t, 1);
    op(t, W_I32_SUB);
    tee(t, temp32(t, TEMP_COUNT));
    op_u(t, W_BR_IF, 0);
    unnest(t);
}

static void tight_rounds(struct translation *t, u16 index, bool counted) {
    const struct block *block = &t->block[index];
    bool leaves = may_leave(t, block);
    t->rounds = !leaves;
    if (t->rounds)
        tight_plan(t, block);
    nest(t, W_LOOP, T_NONE);
    memory_clear(t, block);
    if (leaves) {
        nest_as(t, W_BLOCK, T_NONE, LABEL_DONE);
        stubs_begin(t, block); // all that it writes is dirty when it begins: there is one
    }
    instructions(t, block);
    if (leaves) {
        op_u(t, W_BR, label_depth(t, LABEL_DONE));
        unnest(t);
        give_back(t, block, false);
        stub(t, block);
        unnest(t);
    }
    u32 word = t->word;
    if (counted) {
        again(t);
        catch_up(t, block);
        t->rounds = false;
        goes_on(t, index);
        op_u(t, W_BR_IF, label_depth(t, index | LABEL_LOOP));
        go(t, index, block->succ[0] == index);
        t->word = word;
        return;
    }
    goes_on(t, index);
    op(t, W_I32_EQZ);
    nest(t, W_IF, T_NONE);
    catch_up(t, block);
    give_back(t, block, true);
    bool rounds = t->rounds;
    t->rounds = false;
    u8 role[BLOCK_INSNS]; // of this loop: there may be others behind it
    __builtin_memcpy(role, t->role, block->count);
    go(t, index, block->succ[0] == index);
    __builtin_memcpy(t->role, role, block->count);
    t->rounds = rounds;
    t->word = word;
    unnest(t);
    again(t);
    catch_up(t, block);
    t->rounds = false;
    op_u(t, W_BR, label_depth(t, index | LABEL_LOOP));
}

static void tight(struct translation *t, u16 index) {
    const struct block *block = &t->block[index];
    listing_block(t, block);
    stubs_begin(t, block);
    nest_as(t, W_BLOCK, T_NONE, LABEL_SLOW);
    t->ahead = true;
    refill_block(t, block, block->need);
    get(t, L_FUEL);
    const32(t, block->need - block->count);
    op(t, W_I32_SUB);
    const32(t, block->count);
    op(t, W_I32_DIV_U);
    set(t, temp32(t, TEMP_COUNT));
    where(t, block, 0);
    memory_strides(t, block);
    t->ahead = false;
    struct counting counting = counting_of(t, index);
    if (counting.step)
        count_rounds(t, index, &counting);
    get(t, L_FUEL);
    get(t, temp32(t, TEMP_COUNT));
    const32(t, block->count);
    op(t, W_I32_MUL);
    op(t, W_I32_SUB);
    set(t, L_FUEL);
    tight_rounds(t, index, counting.step);
    unnest(t);
    stubs_plan(t, block); // others have been written meanwhile
    t->slow = true;
    instructions(t, block);
    t->slow = false;
    pay(t, block->count);
    goes_on(t, index);
    op_u(t, W_BR_IF, label_depth(t, index | LABEL_LOOP));
    leave_to(t, block, block->exit[block->succ[0] == index].off);
    unnest(t);
    stub(t, block);
}

// The block and, around it, one wasm block for each place where paths meet that it dominates.
static void within(struct translation *t, u16 index, u32 after) {
    // Of its children, the merge with the highest order below `after` is the outermost.
    for (u32 i = after; i-- > (u32)t->block[index].order + 1;) {
        u16 child = t->order[i];
        if (t->block[child].idom != index || !t->block[child].merge)
            continue;
        nest_as(t, W_BLOCK, T_NONE, child);
        within(t, index, i);
        unnest(t);
        tree(t, child);
        return;
    }
    if (t->block[index].tight) {
        tight(t, index);
    } else if (t->block[index].term == TERM_DISPATCH) {
        terminator(t, index);
    } else {
        body(t, &t->block[index]);
        terminator(t, index);
    }
}

static void tree(struct translation *t, u16 index) {
    if (t->block[index].header) {
        nest_as(t, W_LOOP, T_NONE, index | LABEL_LOOP);
        within(t, index, t->order_count);
        unnest(t);
    } else {
        within(t, index, t->order_count);
    }
}

bool region_write(struct translation *t) {
    u32 next = LOCALS;
    u32 ints = (u32)__builtin_popcountll(t->registers & 0xffffffff);
    u32 floats = (u32)__builtin_popcountll(t->registers >> REG_F);
    for (u32 reg = 0; reg < REG_F; reg++)
        if (t->registers >> reg & 1)
            t->local[reg] = (u8)next++;
    memory_find(t);
    words_find(t);
    t->slow = t->ahead = t->rounds = false;
    memory_settle(t);
    t->temp = next;
    next += TEMPS + 2 * t->last_count;
    for (u32 reg = REG_F; reg < 64; reg++)
        if (t->registers >> reg & 1)
            t->local[reg] = (u8)next++;
    t->temp_f64 = next;
    t->temp_f32 = next + (floats ? TEMPS_F64 : 0);
    t->temp_i32 = t->temp_f32 + (floats ? TEMPS_F32 : 0);
    t->label_count = 0;
    put_u(&t->code, floats ? 4 : 2);
    locals(t, ints + TEMPS + 2 * t->last_count, T_I64);
    if (floats) {
        locals(t, floats + TEMPS_F64, T_F64);
        locals(t, TEMPS_F32, T_F32);
    }
    locals(t, TEMPS_I32 + t->group_locals + t->last_count, T_I32);
    const struct block *first = &t->block[t->order[0]];
    if (is_only(t)) {
        const32(t, (i32)MADDR(t->jit->cache->context));
        set(t, L_CONTEXT);
    }
    if (dispatches(t))
        dispatch_begin(t);
    if (!first->header) {
        if_short(t, first->need);
        reason(t, REASON_FUEL);
        arguments(t, false);
        get(t, L_PC);
        continue_for_us(t);
        unnest(t);
    }
    if (t->floats)
        float_begin(t, false);
    state_load(t);
    registers_load(t, first->live);
    ways_out_begin(t);
    tree(t, t->order[0]);
    op(t, W_UNREACHABLE);
    ways_out_end(t);
    op(t, W_END);
    return !t->code.full;
}

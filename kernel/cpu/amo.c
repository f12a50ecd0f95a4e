// LR, SC and AMO on host memory. With one hart plain accesses are atomic enough; with several every one is
// sequentially consistent, which satisfies any aq and rl.
#include "amo.h"
#include "insn.h"

u64 amo_load(maddr address, u32 size, bool smp) {
    if (size == 4) {
        u32 *word = MPTR(u32, address);
        return smp ? __atomic_load_n(word, __ATOMIC_SEQ_CST) : *word;
    }
    u64 *word = MPTR(u64, address);
    return smp ? __atomic_load_n(word, __ATOMIC_SEQ_CST) : *word;
}

#define SWAP_IF(type)                                                                              \
    {                                                                                              \
        type *word = MPTR(type, address), old = (type)expected;                                    \
        if (smp)                                                                                   \
            return __atomic_compare_exchange_n(word, &old, (type)value, false, __ATOMIC_SEQ_CST,   \
                                               __ATOMIC_SEQ_CST);                                  \
        if (*word != old)                                                                          \
            return false;                                                                          \
        *word = (type)value;                                                                       \
        return true;                                                                               \
    }

bool amo_swap_if(maddr address, u32 size, u64 expected, u64 value, bool smp) {
    if (size == 4)
        SWAP_IF(u32)
    SWAP_IF(u64)
}

static u64 combine(u32 id, u64 old, u64 value) {
    switch (id) {
    case AMOSWAP_W: return value;
    case AMOADD_W: return old + value;
    case AMOXOR_W: return old ^ value;
    case AMOAND_W: return old & value;
    case AMOOR_W: return old | value;
    case AMOMIN_W: return (i64)old < (i64)value ? old : value;
    case AMOMAX_W: return (i64)old > (i64)value ? old : value;
    case AMOMINU_W: return old < value ? old : value;
    case AMOMAXU_W: return old > value ? old : value;
    default: panic("not an atomic row");
    }
}

// Words are combined sign-extended; that keeps the unsigned order too.
u64 amo_execute(u32 id, maddr address, u64 value, bool smp) {
    bool word = id < LR_D;
    if (word)
        value = (u64)(i64)(i32)value;
    u32 kind = word ? id : id - (LR_D - LR_W);
    u32 size = word ? 4 : 8;
    for (;;) {
        u64 old = amo_load(address, size, smp);
        if (word)
            old = (u64)(i64)(i32)old;
        if (amo_swap_if(address, size, old, combine(kind, old, value), smp))
            return old;
    }
}

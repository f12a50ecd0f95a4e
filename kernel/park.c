#include "park.h"
#include "kernel.h"

void hart_ring(struct hart *hart) {
    atomic_add(&hart->doorbell, 1);
    atomic_notify(&hart->doorbell, 1);
}

void hart_attend(struct hart *hart, u32 reason) {
    atomic_or(&hart->attn, reason);
    hart_ring(hart);
}

void harts_attend(u32 reason) {
    for (u32 i = 0; i < host.hart_count; i++)
        if (host.hart[i])
            hart_attend(host.hart[i], reason);
}

// 0 woken, 1 the doorbell had moved already, 2 timed out.
__attribute__((export_name("k_park"))) u32 k_park(u32 hart, u32 seen, u32 timeout_lo,
                                                  u32 timeout_hi) {
    i64 timeout = (i64)((u64)timeout_hi << 32 | timeout_lo);
    return (u32)atomic_wait(&host.hart[hart]->doorbell, seen, timeout);
}

__attribute__((export_name("k_ring"))) u32 k_ring(u32 hart) {
    hart_ring(host.hart[hart]);
    return 0;
}

// Compiled code: what is hot, what waits to be compiled, what may run.
#include "../kernel.h"

__attribute__((export_name("k_jit_start"))) u32 k_jit_start(u32 hart, u32 slot, u32 count,
                                                            u32 threshold, u32 features) {
    return (u32)-ENOSYS;
}
__attribute__((export_name("k_jit_done"))) u32 k_jit_done(u32 hart, u32 id, u32 ok) {
    return 0;
}
__attribute__((export_name("k_jit_counters"))) u32 k_jit_counters(u32 hart) {
    return 0;
}

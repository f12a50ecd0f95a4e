#include "lock.h"
#include "../kernel.h"

#ifdef __wasm__
i32 atomic_wait(u32 *p, u32 seen, i64 timeout_ns) {
    return __builtin_wasm_memory_atomic_wait32((int *)p, (int)seen, timeout_ns);
}
void atomic_notify(u32 *p, u32 count) {
    __builtin_wasm_memory_atomic_notify((int *)p, count);
}
#endif

// Spin a little, then sleep on the word. 2 says that somebody may be asleep.
void lock_slow(struct lock *lock) {
    for (int i = 0; i < 1000; i++)
        if (atomic_load(&lock->word) == 0 && atomic_cas(&lock->word, 0, 1))
            return;
    while (atomic_swap(&lock->word, 2) != 0) {
        atomic_wait(&lock->word, 2, 2000000000);
        if (atomic_load(&host.panicked))
            __builtin_trap(); // the holder will not come back
    }
}

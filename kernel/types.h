// The words every kernel file speaks: integer types, guest addresses, asserts, wait results.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t i8;
typedef int16_t i16;
typedef int32_t i32;
typedef int64_t i64;

// A guest virtual address. A struct, so that it cannot be dereferenced by mistake.
typedef struct {
    u64 va;
} uptr;

#define UPTR(x) ((uptr){(u64)(x)})

// An address inside the machine's linear memory, 32 bits wide in every build (the native test build
// maps its memory below 4 GiB), so that page tables and TLBs have one layout.
typedef u32 maddr;
#define MPTR(type, a) ((type *)(uintptr_t)(maddr)(a))
#define MADDR(p) ((maddr)(uintptr_t)(p))

#define must_check __attribute__((warn_unused_result))
#define noreturn_fn __attribute__((noreturn))
#define noinline_fn __attribute__((noinline))
#define always_inline_fn static inline __attribute__((always_inline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define lengthof(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(p, type, field) ((type *)((char *)(p) - offsetof(type, field)))
#define min(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) a_ = (a);                                                                    \
        __typeof__(b) b_ = (b);                                                                    \
        a_ < b_ ? a_ : b_;                                                                         \
    })
#define max(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) a_ = (a);                                                                    \
        __typeof__(b) b_ = (b);                                                                    \
        a_ > b_ ? a_ : b_;                                                                         \
    })
#define align_up(x, a) (((x) + ((a) - 1)) & ~((__typeof__(x))(a) - 1))
#define align_down(x, a) ((x) & ~((__typeof__(x))(a) - 1))

#define PAGE_SHIFT 12
#define PAGE_SIZE 4096u
#define PAGE_MASK 4095ull

// What only we can cause: stops the machine loudly, in release builds too.
noreturn_fn void panic_at(const char *file, int line, const char *what);
#define panic(what) panic_at(__FILE__, __LINE__, (what))
#define assert(x) ((x) ? (void)0 : panic_at(__FILE__, __LINE__, #x))

// Results of a system call handler besides values and -errno. All are below -4095.
enum {
    E_WAIT = -4096,  // the task was queued by wait_*(); the call is entered again when woken
    E_DONE = -4097,  // registers are set already (exec, sigreturn, exit): touch nothing
    E_AGAIN = -4098, // a bounded pass ended; progress is saved, enter again at once
};

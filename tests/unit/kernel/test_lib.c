// kernel/lib without a machine: formatting, hashing, random numbers, virtual time.
#include "../../../kernel/lib/clock.h"
#include "../../../kernel/lib/fmt.h"
#include "../../../kernel/lib/hash.h"
#include "../../../kernel/lib/random.h"
#include "../../../kernel/lib/string.h"

#include "../../../kernel/lib/atomic.h"

int printf(const char *, ...);

// What the linker and the host would supply; no machine is made here, so nothing calls them.
__asm__(".globl __heap_base\n.set __heap_base, 0x01000000");
i32 atomic_wait(u32 *p, u32 seen, i64 timeout_ns) {
    return 2;
}
void atomic_notify(u32 *p, u32 count) {
}

static int failures;

static void check(bool good, const char *what) {
    if (!good) {
        printf("%s\n", what);
        failures++;
    }
}

static void formats(void) {
    char out[64];
    int n = ksnprintf(out, sizeof out, "%5d|%-5u|%05x|%s|%.2s|%c|%#llx|%lld", -42, 7u, 0xabu, "ab", "xyz", '!',
                      0x123456789abull, -5ll);
    check(!strcmp(out, "  -42|7    |000ab|ab|xy|!|0x123456789ab|-5"), out);
    check(n == (int)strlen(out), "length of what was written");
    check(ksnprintf(out, 4, "%s", "longer") == 6 && !strcmp(out, "lon"), "cut to the room");
}

static void hashes(void) { // FIPS 180-4, "abc"
    static const u8 expected[4] = {0xba, 0x78, 0x16, 0xbf};
    struct sha256 s;
    u8 whole[32], parts[32];
    sha256_init(&s);
    sha256_update(&s, "abc", 3);
    sha256_final(&s, whole);
    check(!memcmp(whole, expected, sizeof expected), "SHA-256 of abc");
    u8 data[300];
    memset(data, 7, sizeof data);
    sha256_init(&s);
    sha256_update(&s, data, sizeof data);
    sha256_final(&s, whole);
    sha256_init(&s);
    for (u32 i = 0; i < sizeof data; i++)
        sha256_update(&s, data + i, 1);
    sha256_final(&s, parts);
    check(!memcmp(whole, parts, sizeof whole), "SHA-256 in parts");
}

static void randoms(void) { // RFC 8439, A.1: all-zero key, nonce and counter
    static const u8 expected[8] = {0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90};
    struct random r;
    u8 seed[32] = {0}, out[64];
    random_seed(&r, seed);
    random_bytes(&r, out, sizeof out);
    check(!memcmp(out, expected, sizeof expected), "ChaCha20 of zeros");
}

static void clocks(void) {
    static const u32 muls[] = {1, 3, 1000, 1u << 23, 1u << 24, (1u << 24) + 1, 42000000, 200u << 24, ~0u};
    for (u32 i = 0; i < lengthof(muls); i++) {
        struct clock clock = {.base_ns = 1000, .tick0 = 77, .mul = muls[i]};
        for (u64 ns = 1000; ns < 1ull << 50; ns = ns * 5 + 3) {
            u64 tick = clock_tick(&clock, ns);
            if (tick == ~0ull)
                continue; // beyond every tick
            check(clock_ns(&clock, tick) >= ns, "a deadline's tick is not before it");
            check(tick == clock.tick0 || clock_ns(&clock, tick - 1) < ns, "and it is the first such");
        }
    }
}

int main(void) {
    formats();
    hashes();
    randoms();
    clocks();
    return failures != 0;
}

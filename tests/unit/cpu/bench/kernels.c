// Guest programs for measuring the interpreter; -DKERNEL=name picks one. Each prints a checksum.
typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned char u8;

static long call(long nr, long a, long b, long c) {
    register long a0 __asm__("a0") = a, a1 __asm__("a1") = b, a2 __asm__("a2") = c;
    register long a7 __asm__("a7") = nr;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a1), "r"(a2), "r"(a7) : "memory");
    return a0;
}

// Long, dependent byte stores with a stride.
static u64 sieve(void) {
    static volatile u8 composite[2000000];
    u64 count = 0;
    for (u32 round = 0; round < 15; round++) {
        for (u32 i = 0; i < sizeof(composite); i++)
            composite[i] = 0;
        for (u32 i = 2; i * i < sizeof(composite); i++)
            if (!composite[i])
                for (u32 j = i * i; j < sizeof(composite); j += i)
                    composite[j] = 1;
        for (u32 i = 2; i < sizeof(composite); i++)
            count += !composite[i];
    }
    return count;
}

// The rounds of SHA-256 (with constants of our own): 32-bit arithmetic, long dependency chains.
static u32 rotate(u32 x, u32 n) { return x >> n | x << (32 - n); }

static u64 sha256(void) {
    u32 k[64], w[64], s[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    u64 seed = 88172645463325252;
    for (u32 i = 0; i < 64; i++) {
        seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
        k[i] = (u32)seed;
    }
    for (u32 block = 0; block < 60000; block++) {
        for (u32 i = 0; i < 16; i++)
            w[i] = block * 16 + i;
        for (u32 i = 16; i < 64; i++) {
            u32 a = w[i - 15], b = w[i - 2];
            w[i] = w[i - 16] + w[i - 7] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) +
                   (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
        }
        u32 a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
        for (u32 i = 0; i < 64; i++) {
            u32 t = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i];
            u32 v = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
            h = g, g = f, f = e, e = d + t, d = c, c = b, b = a, a = t + v;
        }
        s[0] += a, s[1] += b, s[2] += c, s[3] += d, s[4] += e, s[5] += f, s[6] += g, s[7] += h;
    }
    return s[0] ^ (u64)s[5] << 32;
}

// Unpredictable branches.
static void sort(int *left, int *right) {
    while (left < right) {
        int pivot = left[(right - left) / 2], *i = left, *j = right;
        while (i <= j) {
            while (*i < pivot)
                i++;
            while (*j > pivot)
                j--;
            if (i <= j) {
                int t = *i;
                *i++ = *j;
                *j-- = t;
            }
        }
        if (j - left < right - i) {
            sort(left, j);
            left = i;
        } else {
            sort(i, right);
            right = j;
        }
    }
}

static u64 quicksort(void) {
    static int values[500000];
    u64 sum = 0;
    for (u32 round = 0; round < 5; round++) {
        u32 x = 12345 + round;
        for (u32 i = 0; i < 500000; i++)
            values[i] = (int)((x = x * 1664525 + 1013904223) >> 1);
        sort(values, values + 499999);
        sum = sum * 31 + (u32)values[1000];
    }
    return sum;
}

// Calls and returns.
static __attribute__((noinline)) u64 fib(u64 n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
static u64 calls(void) { return fib(34); }

// Double precision, fused multiply-adds.
static u64 matmul(void) {
    static double a[128][128], b[128][128], c[128][128];
    for (int i = 0; i < 128; i++)
        for (int j = 0; j < 128; j++) {
            a[i][j] = i * 0.5 + j * 0.25;
            b[i][j] = i * 0.1 - j * 0.3;
        }
    for (int round = 0; round < 10; round++)
        for (int i = 0; i < 128; i++)
            for (int j = 0; j < 128; j++) {
                double sum = 0;
                for (int x = 0; x < 128; x++)
                    sum += a[i][x] * b[x][j];
                c[i][j] = sum;
            }
    return (u64)(long)(c[5][7] * 1000) + (u64)(long)c[100][3];
}

__attribute__((noreturn, used)) static void run(void) {
    char text[21] = "";
    u32 at = 20;
    u64 value = KERNEL();
    text[at] = '\n';
    do
        text[--at] = (char)('0' + value % 10);
    while (value /= 10);
    call(64, 1, (long)(text + at), 21 - at);
    call(93, 0, 0, 0);
    __builtin_unreachable();
}

__attribute__((noreturn)) void _start(void) {
    run();
    (void)sieve, (void)sha256, (void)quicksort, (void)calls, (void)matmul;
}

void *memset(void *p, int c, u64 n) {
    for (volatile u8 *d = p; n--;)
        *d++ = (u8)c;
    return p;
}

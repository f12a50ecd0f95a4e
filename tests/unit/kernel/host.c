// The kernel natively, under a debugger or sanitizers: boots an image, runs one program and copies its
// output. Single hart, virtual time.   host IMAGES NAME PROGRAM [ARGUMENT…]
#include "../../../kernel/kernel.h"

// The C library by hand: its headers name the same things as the kernel's.
typedef struct file_ FILE;
extern FILE *stderr;
FILE *fopen(const char *, const char *);
int fclose(FILE *), fseek(FILE *, long, int), fprintf(FILE *, const char *, ...), sprintf(char *, const char *, ...),
    snprintf(char *, size_t, const char *, ...), atoi(const char *);
long ftell(FILE *), syscall(long, ...);
size_t fread(void *, size_t, size_t, FILE *);
ptrdiff_t write(int, const void *, size_t);
void perror(const char *), *malloc(size_t), free(void *), *mmap(void *, size_t, int, int, int, long);
noreturn_fn void exit(int);
char *getenv(const char *), *strstr(const char *, const char *), *strcpy(char *, const char *);

#define RAM (512u << 20)
#define HEAP 0x01000000u
__asm__(".globl __heap_base\n.set __heap_base, 0x01000000");

u32 k_attach(u32, u32), k_hart(u32), k_step(u32, u32, u32), k_deliver(u32, u32), k_out_take(void),
    k_out_free(u32), k_mail_alloc(u32), k_mail_free(u32), k_digest(u32);

i32 atomic_wait(u32 *p, u32 seen, i64 timeout_ns) {
    struct {
        long sec, nsec;
    } t = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    syscall(202, p, 0, seen, timeout_ns < 0 ? NULL : &t, NULL, 0);
    return 0;
}
void atomic_notify(u32 *p, u32 count) {
    syscall(202, p, 1, count, NULL, NULL, 0);
}

static u8 *slurp(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(1);
    }
    fseek(file, 0, 2);
    *size = (size_t)ftell(file);
    fseek(file, 0, 0);
    u8 *data = malloc(*size + 1);
    if (fread(data, 1, *size, file) != *size)
        exit(1);
    data[*size] = 0;
    fclose(file);
    return data;
}

static const char *images;

static u8 *blob(const char *hex, size_t *size) {
    char path[4096];
    snprintf(path, sizeof path, "%s/blobs/%.2s/%s", images, hex, hex);
    return slurp(path, size);
}

static void deliver(void *event) {
    i32 r = (i32)k_deliver(0, MADDR(event));
    if (r) {
        fprintf(stderr, "deliver %u: %d\n", ((struct event *)event)->kind, r);
        exit(1);
    }
    k_mail_free(MADDR(event));
}

static void *event_new(u32 kind, size_t size) {
    struct event *event = MPTR(struct event, k_mail_alloc((u32)size));
    event->kind = kind;
    event->len = (u32)size;
    return event;
}

static void call(u32 id, u32 nr, u64 a, u64 b, u64 c, u32 window_args, const void *data, u32 len, u32 out_off,
                 u32 out_len, u32 flags) {
    struct event_call *e = event_new(EVENT_CALL, sizeof *e + len);
    e->id = id, e->nr = nr, e->args[0] = a, e->args[1] = b, e->args[2] = c;
    e->window_args = window_args, e->data_len = len, e->out_off = out_off, e->out_len = out_len, e->flags = flags;
    memcpy(e + 1, data, len);
    deliver(e);
}

enum { ID_SPAWN = 1, ID_OUT, ID_ERR, ID_WAIT };
#define READ_LEN 65536u
static i32 fds[3];
static int open_streams, exit_status = -1;

static void read_stream(u32 id) {
    call(id, 63, (u64)fds[id - ID_OUT + 1], 0, READ_LEN, 2, NULL, 0, 0, READ_LEN, CALL_OUT_RESULT);
}

static void take(struct out *out) {
    switch (out->kind) {
    case OUT_LOG: {
        struct out_log *log = (struct out_log *)out;
        fprintf(stderr, "%.*s\n", (int)(out->len - sizeof *log), (char *)(log + 1));
        break;
    }
    case OUT_BLOCK: {
        struct out_block *want = (struct out_block *)out;
        char hex[65];
        for (int i = 0; i < 32; i++)
            sprintf(hex + 2 * i, "%02x", want->hash[i]);
        size_t size;
        u8 *data = blob(hex, &size);
        struct event_block *e = event_new(EVENT_BLOCK_IN, sizeof *e + size);
        e->chunk = want->chunk, e->error = 0, e->data_len = (u32)size;
        memcpy(e + 1, data, size);
        free(data);
        deliver(e);
        break;
    }
    case OUT_CALL: {
        struct out_call *done = (struct out_call *)out;
        if (done->id == ID_SPAWN) {
            if (done->result < 0) {
                fprintf(stderr, "spawn: error %d\n", (int)-done->result);
                exit(127);
            }
            memcpy(fds, done + 1, sizeof fds);
            open_streams = 2;
            read_stream(ID_OUT);
            read_stream(ID_ERR);
            call(ID_WAIT, 260, (u64)done->result, 0, 0, 2, NULL, 0, 0, 4, 0);
        } else if (done->id == ID_WAIT) {
            memcpy(&exit_status, done + 1, 4);
        } else if (done->result > 0) {
            (void)!write((int)(done->id - ID_OUT + 1), done + 1, (size_t)done->result);
            read_stream(done->id);
        } else {
            open_streams--;
        }
    }
    }
}

int main(int argc, char **argv) {
    if (argc < 4)
        return 2;
    images = argv[1];
    void *low = mmap((void *)(uintptr_t)HEAP, MACHINE_BASE - HEAP + RAM, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if ((intptr_t)low == -1) {
        perror("mmap");
        return 1;
    }
    k_attach(RAM >> PAGE_SHIFT, 1);
    k_hart(0);
    char path[4096];
    size_t size;
    snprintf(path, sizeof path, "%s/%s/manifest.json", images, argv[2]);
    char *hash = strstr((char *)slurp(path, &size), "\"index\"");
    hash = strchr(strchr(hash, ':'), '"') + 1;
    hash[64] = 0;
    u8 *index = blob(hash, &size);
    struct event_boot *boot = event_new(EVENT_BOOT, sizeof *boot + size);
    boot->ram_bytes = RAM, boot->cpus = boot->harts = 1, boot->index_len = (u32)size;
    boot->realtime_ns = 1700000000000000000ull;
    boot->flags = getenv("STRACE") ? BOOT_STRACE : 0;
    strcpy(boot->hostname, "ebb");
    memcpy(boot + 1, index, size);
    deliver(boot);
    char data[8192];
    struct spawn *spawn = (struct spawn *)data;
    memset(data, 0, sizeof data);
    u32 at = sizeof *spawn;
    *spawn = (struct spawn){.argc = (u32)argc - 3, .argv_off = at, .envc = 3, .fds = {-1, -2, -2}};
    for (int i = 3; i < argc; i++)
        at += (u32)sprintf(data + at, "%s", argv[i]) + 1;
    spawn->envp_off = at;
    at += (u32)sprintf(data + at, "PATH=/usr/bin:/bin") + 1;
    at += (u32)sprintf(data + at, "HOME=/root") + 1;
    at += (u32)sprintf(data + at, "LANG=C.UTF-8") + 1;
    spawn->cwd_off = at;
    at += (u32)sprintf(data + at, "/") + 1;
    call(ID_SPAWN, 1000, 0, at, 4096, 5, data, at, 4096, 12, 0);
    struct report *report = MPTR(struct report, k_hart(0));
    u32 budget = getenv("BUDGET") ? (u32)atoi(getenv("BUDGET")) : 10000000;
    while (exit_status < 0 || open_streams) {
        u32 status = k_step(0, budget, 0);
        u32 record;
        bool any = false;
        while ((record = k_out_take())) {
            take(MPTR(struct out, record));
            k_out_free(record);
            any = true;
        }
        if (any || status == STATUS_READY || status == STATUS_EXITED)
            continue;
        if (report->deadline_ns == ~0ull) {
            fprintf(stderr, "deadlock: status %u, tid %u in call %u\n", status, report->tid, report->nr);
            return 1;
        }
        struct event_clock *clock = event_new(EVENT_CLOCK, sizeof *clock);
        *clock = (struct event_clock){clock->event, report->deadline_ns, 1u << 24, 0, 0};
        deliver(clock);
    }
    if (getenv("DIGEST")) {
        u32 out = k_mail_alloc(32);
        k_digest(out);
        for (int i = 0; i < 32; i++)
            fprintf(stderr, "%02x", MPTR(u8, out)[i]);
        fprintf(stderr, " tick %llu\n", (unsigned long long)report->tick);
    }
    return exit_status & 0x7f ? 128 + (exit_status & 0x7f) : exit_status >> 8;
}

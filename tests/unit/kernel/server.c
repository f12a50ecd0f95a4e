// Runs the kernel natively, under sanitizers, for a test that drives it from another process:
//
//   server MEMORY_FD SOCKET_FD
//
// MEMORY_FD is the machine's linear memory, mapped here at address 0 upwards, where wasm has it, and anywhere in the
// process that drives. Each connection that arrives on SOCKET_FD (a listening Unix socket) is one instance with a
// thread and stack of its own; it asks for calls of exports: name[32], u32 arguments[3] -> u32 result.
//
// The rule: every address the kernel hands out lies in the shared file. Hence this program stands low (the build links
// it at 2 MiB), remaps its own data onto the file, and gives threads stacks below 4 GiB.
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096ul
#define PRIVATE_BASE 0x01000000ul // where the private heap begins; this program ends below it
#define STACK_SIZE (1ul << 20)

// What wasm-ld would define: the end of static data.
__asm__(".globl __heap_base\n.set __heap_base, 0x01000000\n");

extern char data_start[], _end[];

// ---- What lib/lock.c leaves to the machine it runs on ------------------------------------------

int32_t atomic_wait(uint32_t *p, uint32_t seen, int64_t timeout_ns);
void atomic_notify(uint32_t *p, uint32_t count);

int32_t atomic_wait(uint32_t *p, uint32_t seen, int64_t timeout_ns) {
    struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    for (;;) {
        long r = syscall(SYS_futex, p, FUTEX_WAIT, seen, timeout_ns < 0 ? NULL : &timeout, NULL, 0);
        if (r == 0)
            return 0;
        if (errno == EAGAIN)
            return 1;
        if (errno == ETIMEDOUT)
            return 2;
    }
}

void atomic_notify(uint32_t *p, uint32_t count) {
    syscall(SYS_futex, p, FUTEX_WAKE, count > INT_MAX ? INT_MAX : (int)count, NULL, NULL, 0);
}

// ---- Memory -------------------------------------------------------------------------------------

static void fail(const char *what) {
    perror(what);
    _exit(125);
}

static void map(int file, uintptr_t from, uintptr_t to) {
    void *p = mmap((void *)from, to - from, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, (off_t)from);
    if (p == MAP_FAILED)
        fail("mmap");
}

static void share_memory(int file) {
    struct stat state;
    if (fstat(file, &state) < 0)
        fail("fstat");
    // Our own data: first its bytes into the file, then the file in its place.
    uintptr_t from = (uintptr_t)data_start & ~(PAGE - 1), to = ((uintptr_t)_end + PAGE - 1) & ~(PAGE - 1);
    if (to > PRIVATE_BASE) {
        fprintf(stderr, "server: static data ends at %#lx, above %#lx\n", to, PRIVATE_BASE);
        _exit(125);
    }
    // Not by pwrite(): the sanitizer would object to what lies between variables.
    if (syscall(SYS_pwrite64, file, from, (size_t)(_end - (char *)from), from) < 0)
        fail("pwrite");
    map(file, from, to);
    map(file, PRIVATE_BASE, (uintptr_t)state.st_size);
}

// ---- Calls --------------------------------------------------------------------------------------

struct request {
    char name[32];
    uint32_t args[3];
};

static int all(ssize_t (*move)(int, void *, size_t), int file, void *data, size_t size) {
    for (size_t at = 0; at < size;) {
        ssize_t n = move(file, (char *)data + at, size - at);
        if (n <= 0)
            return 0;
        at += (size_t)n;
    }
    return 1;
}

static ssize_t send_some(int file, void *data, size_t size) {
    return send(file, data, size, MSG_NOSIGNAL);
}

static void *serve(void *connection) {
    int file = (int)(intptr_t)connection;
    struct request request;
    while (all(read, file, &request, sizeof request)) {
        uint32_t (*call)(uint32_t, uint32_t, uint32_t);
        if (!strcmp(request.name, "ring")) {
            __atomic_fetch_add((uint32_t *)(uintptr_t)request.args[0], 1, __ATOMIC_SEQ_CST);
            atomic_notify((uint32_t *)(uintptr_t)request.args[0], ~0u);
            request.args[0] = 0;
        } else {
            *(void **)&call = dlsym(RTLD_DEFAULT, request.name);
            if (!call) {
                fprintf(stderr, "server: no export %s\n", request.name);
                _exit(125);
            }
            request.args[0] = call(request.args[0], request.args[1], request.args[2]);
        }
        if (!all(send_some, file, request.args, sizeof request.args[0]))
            break;
    }
    close(file);
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 3)
        return 125;
    prctl(PR_SET_PDEATHSIG, 9);
    int memory = atoi(argv[1]), listener = atoi(argv[2]);
    share_memory(memory);
    int connection;
    while ((connection = accept(listener, NULL, NULL)) >= 0) {
        void *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        if (stack == MAP_FAILED)
            fail("mmap");
        pthread_attr_t attributes;
        pthread_t thread;
        pthread_attr_init(&attributes);
        pthread_attr_setstack(&attributes, stack, STACK_SIZE);
        if (pthread_create(&thread, &attributes, serve, (void *)(intptr_t)connection))
            fail("pthread_create");
        pthread_detach(thread);
    }
    return 0;
}

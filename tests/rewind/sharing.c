// Everything by which processes on several harts could see one another at no system call of their own. What
// comes out depends on who was first, so that a replay in another order shows. flags: -pthread
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t sum = 1;
static void mix(uint64_t value) {
    sum = (sum ^ value) * 0x9e3779b97f4a7c15;
    sum ^= sum >> 29;
}

static void say(const char *what, const char *who) {
    printf("%s %s %016llx\n", what, who, (unsigned long long)sum);
    fflush(stdout);
    _exit(0);
}

#define PAGE 4096
static volatile uint64_t *map(int fd, int prot, int flags, size_t size) {
    void *at = mmap(NULL, size, prot, flags, fd, 0);
    if (at == MAP_FAILED)
        perror("mmap"), _exit(1);
    return at;
}

static int file(const char *what) {
    char name[64];
    snprintf(name, sizeof name, "/tmp/sharing.%s.%d", what, getpid());
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || ftruncate(fd, 2 * PAGE))
        perror(name), _exit(1);
    unlink(name);
    return fd;
}

// Two count in shared memory, without regard to each other, and one who counts properly.
static void anonymous(void) {
    volatile uint64_t *count = map(-1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, PAGE);
    for (int child = 0; child < 2; child++)
        if (!fork()) {
            for (int i = 0; i < 300000; i++) {
                mix(count[0]++);
                if (i % 50 == 0)
                    mix(__atomic_fetch_add(&count[1], 1, __ATOMIC_SEQ_CST));
                if (i % 10000 == 0)
                    sched_yield();
            }
            say("anonymous", child ? "b" : "a");
        }
}

// One stores into a file through memory; one reads it, one looks at it through memory of its own.
static void stored(void) {
    int fd = file("stored");
    if (!fork()) {
        volatile uint64_t *at = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED, PAGE);
        for (uint64_t i = 1; i <= 200000; i++)
            at[i % 512] = i;
        at[0] = ~0ull;
        say("stored", "by");
    }
    if (!fork()) {
        for (int i = 0; i < 300; i++) {
            uint64_t all[512];
            if (pread(fd, all, sizeof all, 0) < 0)
                _exit(1);
            for (int j = 0; j < 512; j += 7)
                mix(all[j]);
        }
        say("stored", "read");
    }
    if (!fork()) {
        volatile uint64_t *at = map(fd, PROT_READ, MAP_PRIVATE, PAGE);
        for (uint64_t i = 1; i <= 100000; i++)
            mix(at[i % 512]);
        say("stored", "seen");
    }
}

// One writes a file, one looks at it through memory that nobody can write.
static void written(void) {
    int fd = file("written");
    for (int child = 0; child < 2; child++)
        if (!fork()) {
            volatile uint64_t *at = map(fd, PROT_READ, child ? MAP_PRIVATE : MAP_SHARED, PAGE);
            uint64_t before = 0, changes = 0;
            for (uint64_t i = 0; i < 30000000 && before < 400; i++)
                if (at[0] != before) {
                    before = at[0];
                    mix(before * 1000000007 + i);
                    changes++;
                }
            mix(changes);
            say("written", child ? "private" : "shared");
        }
    if (!fork()) {
        for (uint64_t i = 1; i <= 400; i++) {
            if (pwrite(fd, &i, sizeof i, 0) < 0)
                _exit(1);
            for (volatile int j = 0; j < 2000; j++)
                ;
        }
        say("written", "by");
    }
}

// What one has mapped another one cuts off.
static sigjmp_buf out;
static void on_bus(int number) {
    siglongjmp(out, number);
}
static void cut(void) {
    int fd = file("cut");
    if (!fork()) {
        signal(SIGBUS, on_bus);
        volatile uint64_t *at = map(fd, PROT_READ, MAP_SHARED, 2 * PAGE);
        static volatile uint64_t i, hits;
        while (hits < 20 && i < 4000000) {
            if (sigsetjmp(out, 1)) {
                mix(i);
                hits++;
                continue;
            }
            for (; i < 4000000; i++)
                mix(at[512 + i % 512]);
        }
        say("cut", "mapped");
    }
    if (!fork()) {
        uint64_t byte = 1;
        for (int i = 0; i < 100; i++) {
            if (ftruncate(fd, PAGE) || pwrite(fd, &byte, 1, 2 * PAGE - 1) < 0)
                _exit(1);
            for (volatile int j = 0; j < 3000; j++)
                ;
        }
        say("cut", "by");
    }
}

// Threads race, and lock.
static volatile uint64_t races;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static void *thread(void *arg) {
    for (int i = 0; i < 100000; i++) {
        races++;
        if (i % 500 == 0) {
            pthread_mutex_lock(&mutex);
            mix(races + (uintptr_t)arg);
            pthread_mutex_unlock(&mutex);
        }
    }
    return NULL;
}
static void threads(void) {
    for (int child = 0; child < 2; child++)
        if (!fork()) {
            pthread_t all[3];
            for (uintptr_t i = 0; i < 3; i++)
                pthread_create(&all[i], NULL, thread, (void *)i);
            for (int i = 0; i < 3; i++)
                pthread_join(all[i], NULL);
            mix(races);
            say("threads", child ? "b" : "a");
        }
}

// Signals from elsewhere come at any instruction; so do stops, and timers.
static volatile uint64_t where;
static void on_signal(int number) {
    mix(where * 64 + (unsigned)number);
}
static void signals(void) {
    int child = fork();
    if (!child) {
        signal(SIGUSR1, on_signal);
        signal(SIGALRM, on_signal);
        signal(SIGVTALRM, on_signal);
        struct itimerval often = {{0, 700}, {0, 700}};
        setitimer(ITIMER_REAL, &often, NULL);
        setitimer(ITIMER_VIRTUAL, &often, NULL);
        while (where < 3000000)
            where++;
        signal(SIGALRM, SIG_IGN);
        signal(SIGVTALRM, SIG_IGN);
        say("signals", "to");
    }
    if (!fork()) {
        for (int i = 0; i < 150; i++) {
            mix((uint64_t)kill(child, i % 10 == 8 ? SIGSTOP : i % 10 == 9 ? SIGCONT : SIGUSR1));
            for (volatile int j = 0; j < 4000; j++)
                ;
        }
        kill(child, SIGCONT);
        say("signals", "by");
    }
}

// Time and place, as read without a call.
static void when(void) {
    for (int child = 0; child < 2; child++)
        if (!fork()) {
            struct timespec now;
            for (int i = 0; i < 20000; i++) {
                clock_gettime(CLOCK_MONOTONIC, &now);
                mix((uint64_t)now.tv_nsec);
                if (i % 100 == 0)
                    mix((uint64_t)sched_getcpu());
            }
            say("when", child ? "b" : "a");
        }
}

// One looks into another one's memory through /proc.
static void looked(char *own) {
    int child = fork();
    if (!child) {
        for (uint64_t i = 0; i < 2000000; i++)
            own[i % 4] = (char)('a' + i % 26);
        say("looked", "at");
    }
    if (!fork()) {
        char name[64], text[512];
        snprintf(name, sizeof name, "/proc/%d/cmdline", child);
        for (int i = 0; i < 100; i++) {
            int fd = open(name, O_RDONLY);
            ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text);
            for (ssize_t j = 0; j < n; j++)
                mix((unsigned char)text[j]);
            close(fd);
        }
        say("looked", "by");
    }
}

// Many short lives.
static void lives(void) {
    for (int child = 0; child < 2; child++)
        if (!fork()) {
            for (int i = 0; i < 40; i++) {
                int status, pid = i % 2 ? vfork() : fork();
                if (!pid) {
                    if (i % 4 > 1)
                        execl("/proc/self/exe", "sharing", "nothing", NULL);
                    _exit(i);
                }
                waitpid(pid, &status, 0);
                mix((uint64_t)pid * 256 + (unsigned)status);
            }
            say("lives", child ? "b" : "a");
        }
}

// Two pairs, each with memory of its own, until one of the first maps the second's as well.
static void groups(void) {
    int fd[2] = {file("groups.a"), file("groups.b")};
    for (int child = 0; child < 4; child++)
        if (!fork()) {
            volatile uint64_t *mine = map(fd[child / 2], PROT_READ | PROT_WRITE, MAP_SHARED, PAGE), *both = NULL;
            for (int i = 0; i < 150000; i++) {
                mix(mine[0]++);
                if (child == 1 && i == 50000)
                    both = map(fd[1], PROT_READ | PROT_WRITE, MAP_SHARED, PAGE);
                if (both)
                    mix(both[0]++);
                if (i % 10000 == 0)
                    sched_yield();
            }
            char who[2] = {(char)('a' + child)};
            say("groups", who);
        }
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "nothing"))
        return 7;
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i < argc; i++)
        switch (argv[i][0]) {
        case 'a': anonymous(); break;
        case 's': stored(); break;
        case 'w': written(); break;
        case 'c': cut(); break;
        case 't': threads(); break;
        case 'k': signals(); break;
        case 'r': when(); break;
        case 'l': looked(argv[0]); break;
        case 'v': lives(); break;
        case 'g': groups(); break;
        }
    while (wait(NULL) > 0)
        ;
    return 0;
}

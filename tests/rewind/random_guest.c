// A program that its seed makes: threads, signals, pipes, timers, sockets, shared memory, in random order and amount.
// For test_random_runs.py; what it computes is of no interest, only that it comes out again.
// flags: -O1 -pthread
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t state;
static _Atomic uint64_t sum; // order of additions does not matter, order of the rest does
static volatile sig_atomic_t signals;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static unsigned turn, trail;

static unsigned below(uint64_t *s, unsigned n) {
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)((*s >> 33) % n);
}

static void on_signal(int signo) {
    signals = signals * 31 + signo;
}

static void nap(unsigned us) {
    struct timespec ts = {0, us * 1000L};
    nanosleep(&ts, NULL);
}

static void note(unsigned what) {
    pthread_mutex_lock(&mutex);
    trail = trail * 33 + what;
    pthread_mutex_unlock(&mutex);
}

static void work(uint64_t *s) {
    uint64_t x = *s;
    for (unsigned n = below(s, 20000); n; n--)
        x = x * 3 + (x >> 7);
    sum += x;
    trail += (unsigned)x; // a race, on purpose
}

static void moved(int to, int from, uint64_t *s) {
    char data[9000], back[9000];
    size_t n = 1 + below(s, sizeof data), sent = 0, got = 0;
    memset(data, (int)n, n);
    while (got < n) {
        struct pollfd fds[] = {{to, sent < n ? POLLOUT : 0, 0}, {from, POLLIN, 0}};
        if (poll(fds, 2, 1000) < 0 && errno != EINTR)
            break;
        if (fds[0].revents & POLLOUT) {
            ssize_t r = send(to, data + sent, n - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
            if (r < 0 && errno == ENOTSOCK)
                r = write(to, data + sent, n - sent < 4096 ? n - sent : 4096);
            sent += r > 0 ? (size_t)r : 0;
        }
        if (fds[1].revents & POLLIN) {
            ssize_t r = read(from, back, sizeof back);
            if (r <= 0 && errno != EINTR)
                break;
            got += r > 0 ? (size_t)r : 0;
            note((unsigned)r);
        }
        if (fds[1].revents & POLLHUP && !(fds[1].revents & POLLIN))
            break;
    }
}

static void by_pipe(uint64_t *s) {
    int fds[2];
    if (pipe(fds))
        return;
    moved(fds[1], fds[0], s);
    close(fds[0]), close(fds[1]);
}

static void by_socketpair(uint64_t *s) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
        return;
    moved(fds[1], fds[0], s);
    close(fds[0]), close(fds[1]);
}

static void by_loopback(uint64_t *s) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof addr;
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    if (!bind(listener, (void *)&addr, len) && !listen(listener, 4) &&
        !getsockname(listener, (void *)&addr, &len) && !connect(client, (void *)&addr, len)) {
        int server = accept(listener, NULL, NULL);
        if (server >= 0) {
            moved(client, server, s);
            close(server);
        }
    }
    close(client), close(listener);
}

static void by_timer(uint64_t *s) {
    int fd = timerfd_create(CLOCK_MONOTONIC, 0), ep = epoll_create1(0), wake = eventfd(0, 0);
    struct itimerspec when = {.it_value.tv_nsec = 1 + (long)below(s, 3000000)};
    struct epoll_event event = {.events = EPOLLIN};
    uint64_t one = 1, times = 0;
    if (fd >= 0 && ep >= 0 && wake >= 0) {
        timerfd_settime(fd, 0, &when, NULL);
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
        epoll_ctl(ep, EPOLL_CTL_ADD, wake, &event);
        if (below(s, 2) && write(wake, &one, 8) < 0)
            note(1);
        note((unsigned)epoll_wait(ep, &event, 1, (int)below(s, 5)));
        struct pollfd ready = {fd, POLLIN, 0};
        if (poll(&ready, 1, 0) > 0 && read(fd, &times, 8) == 8)
            note((unsigned)times);
    }
    close(fd), close(ep), close(wake);
}

static void by_signal(uint64_t *s) {
    struct itimerval when = {.it_value.tv_usec = 1 + (long)below(s, 2000)};
    switch (below(s, 3)) {
    case 0:
        raise(SIGUSR1);
        break;
    case 1:
        setitimer(ITIMER_REAL, &when, NULL);
        nap(below(s, 3000));
        break;
    case 2:
        pthread_kill(pthread_self(), SIGUSR2);
    }
    note((unsigned)signals);
}

static void by_turns(uint64_t *s) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += (long)below(s, 2000000);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&mutex);
    turn++;
    pthread_cond_broadcast(&cond);
    for (unsigned mine = turn; turn == mine;)
        if (pthread_cond_timedwait(&cond, &mutex, &until))
            break;
    trail = trail * 33 + turn;
    pthread_mutex_unlock(&mutex);
}

static void by_child(uint64_t *s) {
    uint32_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return;
    unsigned loops = below(s, 5000);
    pid_t pid = fork();
    if (pid == 0) {
        for (unsigned i = 0; i < loops; i++)
            shared[i % 1024] += i;
        _exit((int)loops & 63);
    }
    for (unsigned i = 0; i < loops; i++)
        shared[i % 1024] ^= i; // a race with the child
    int status = 0;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    note((unsigned)status + shared[loops % 1024]);
    munmap(shared, 4096);
}

static void *thread(void *arg) {
    static void (*const deeds[])(uint64_t *) = {work, by_pipe, by_socketpair, by_loopback, by_timer,
                                                by_signal, by_turns, work, by_child};
    uint64_t s = state ^ (uint64_t)(uintptr_t)arg * 0x9e3779b97f4a7c15;
    for (unsigned n = 1 + below(&s, 12); n; n--) {
        unsigned which = below(&s, sizeof deeds / sizeof *deeds);
        deeds[which](&s);
        if (!below(&s, 4))
            sched_yield();
    }
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t threads[6];
    state = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = state & 1 ? SA_RESTART : 0};
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
    sigaction(SIGALRM, &action, NULL);
    unsigned count = 1 + below(&state, 6);
    for (unsigned i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, thread, (void *)(uintptr_t)(i + 1)))
            count = i;
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    printf("%u %u %llx\n", count, trail, (unsigned long long)sum);
    return 0;
}

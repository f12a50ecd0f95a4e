// Programs with mistakes that only chaos shows, and one that looks at the clocks. For test_chaos.py.
// flags: -O1 -pthread
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static volatile long balance;

static void *pay(void *arg) {
    for (int i = 0; i < 300; i++)
        balance = balance + 1; // another thread's payment in between is lost
    return arg;
}

static int race(void) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, pay, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    printf("balance %ld\n", balance);
    return balance != 1200;
}

// Nobody looks at what write answers.
static int unchecked(void) {
    char line[] = "a line\n";
    FILE *file = tmpfile();
    if (!file)
        return 0; // that is looked at
    for (int i = 0; i < 50; i++)
        if (write(fileno(file), line, sizeof line - 1) == -1)
            ;
    long bytes = lseek(fileno(file), 0, SEEK_END);
    printf("%ld bytes\n", bytes);
    return bytes != 50 * 7;
}

// Datagrams and small writes to a pipe are whole, whatever happens to streams.
static int whole(void) {
    int pair[2], fds[2];
    char data[4096], back[4096];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) || pipe(fds))
        return 2;
    memset(data, 'x', sizeof data);
    for (int i = 0; i < 50; i++) {
        if (write(pair[0], data, 1000) != 1000 || read(pair[1], back, sizeof back) != 1000)
            return 3;
        if (send(pair[0], data, 1000, 0) != 1000 || recv(pair[1], back, sizeof back, 0) != 1000)
            return 4;
        if (write(fds[1], data, sizeof data) != sizeof data)
            return 5;
        for (ssize_t got = 0, n; got < (ssize_t)sizeof data; got += n)
            if ((n = read(fds[0], back, sizeof back)) <= 0)
                return 6;
    }
    return 0;
}

static double at(clockid_t clock) {
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

// CLOCK_MONOTONIC never goes back; CLOCK_REALTIME may.
static int clocks(void) {
    double mono = at(CLOCK_MONOTONIC), real = at(CLOCK_REALTIME), most = 0;
    for (int i = 0; i < 200; i++) {
        double m = at(CLOCK_MONOTONIC), r = at(CLOCK_REALTIME);
        double jump = (r - real) - (m - mono);
        if (m < mono)
            return 2;
        most = jump < 0 && -jump > most ? -jump : most;
        mono = m, real = r;
    }
    printf("%s\n", most > 0.001 ? "it went back" : "steady");
    return 0;
}

int main(int argc, char **argv) {
    const char *which = argc > 1 ? argv[1] : "";
    return !strcmp(which, "race")        ? race()
           : !strcmp(which, "unchecked") ? unchecked()
           : !strcmp(which, "whole")     ? whole()
           : !strcmp(which, "clocks")    ? clocks()
                                         : 99;
}

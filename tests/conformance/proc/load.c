// args: 0
// getloadavg(3), /proc/loadavg: a parent that waits for its vforked child counts. Says the averages after so many seconds.
#include "../check.h"
#include <sys/wait.h>
#include <time.h>

int main(int argc, char **argv) {
    struct timespec nap = {argc > 1 ? atoi(argv[1]) : 0, 0};
    double average[3], shown[3];
    int running, all, last;
    pid_t pid = vfork();
    if (!pid) {
        nanosleep(&nap, NULL);
        _exit(0);
    }
    CHECK(pid > 0 && waitpid(pid, NULL, 0) == pid && getloadavg(average, 3) == 3);
    for (int i = 0; i < 3; i++)
        CHECK(average[i] >= 0 && average[i] < 10000);
    FILE *file = fopen("/proc/loadavg", "r");
    CHECK(file && fscanf(file, "%lf %lf %lf %d/%d %d", &shown[0], &shown[1], &shown[2], &running, &all, &last) == 6);
    CHECK(shown[0] >= 0 && running >= 1 && all >= running && last >= 1);
    if (nap.tv_sec)
        printf("%.2f %.2f %.2f\n", shown[0], shown[1], shown[2]);
    return done();
}

// Threads count; one writes a name beyond its array, and much later that ends the program. For test_gdb.py.
// flags: -g -O0 -fno-omit-frame-pointer
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct account {
    char name[8];
    long *balance;
};

static long money = 100, total;
static struct account account = {"main", &money};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static long work(int n) {
    long sum = 0;
    for (int i = 0; i < n; i++)
        sum += i % 7;
    return sum;
}

static void rename_account(struct account *a, const char *name) {
    size_t length = strlen(name);
    for (size_t i = 0; i <= length; i++)
        ((volatile char *)a)[i] = name[i]; // line 27: no check of the room
}

static void *count(void *arg) {
    long id = (long)arg;
    char name[16];
    snprintf(name, sizeof name, "counter-%ld", id);
    pthread_setname_np(pthread_self(), name);
    for (int i = 0; i < 50; i++) {
        long sum = work(2000); // line 36
        pthread_mutex_lock(&lock);
        total += sum;
        pthread_mutex_unlock(&lock);
        if (id == 2 && i == 25)
            rename_account(&account, "overlong name"); // line 41
    }
    return NULL;
}

int main(void) {
    pthread_t thread[3];
    for (long i = 0; i < 3; i++)
        pthread_create(&thread[i], NULL, count, (void *)i);
    for (int i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    printf("%ld\n", total);
    long before = *account.balance; // line 53: the crash
    printf("%ld\n", before);
    return 0;
}

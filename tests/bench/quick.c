// Quicksort inlined: unpredictable branches.
#include "bench.h"
#define N 400000
static uint32_t v[N];
static void sort(int low, int high) {
    while (low < high) {
        uint32_t pivot = v[(low + high) / 2];
        int i = low, j = high;
        while (i <= j) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i <= j) {
                uint32_t t = v[i];
                v[i++] = v[j];
                v[j--] = t;
            }
        }
        if (j - low < high - i) {
            sort(low, j);
            low = i;
        } else {
            sort(i, high);
            high = j;
        }
    }
}
uint64_t work(void) {
    for (int i = 0; i < N; i++)
        v[i] = random_next();
    sort(0, N - 1);
    return v[N / 2];
}

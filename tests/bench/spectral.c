// Largest singular value of an infinite matrix's corner: doubles, divisions, fused multiply-add.
#include "bench.h"
#include <math.h>
#define N 100
static double entry(int i, int j) {
    return 1.0 / ((i + j) * (i + j + 1) / 2 + i + 1);
}
static void times(const double *in, double *out, int transposed) {
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (int j = 0; j < N; j++)
            sum += (transposed ? entry(j, i) : entry(i, j)) * in[j];
        out[i] = sum;
    }
}
uint64_t work(void) {
    double u[N], v[N], between[N], above = 0, below = 0;
    for (int i = 0; i < N; i++)
        u[i] = 1;
    for (int n = 0; n < 10; n++) {
        times(u, between, 0);
        times(between, v, 1);
        times(v, between, 0);
        times(between, u, 1);
    }
    for (int i = 0; i < N; i++)
        above += u[i] * v[i], below += v[i] * v[i];
    return (uint64_t)(sqrt(above / below) * 1e9); // with and without fused operations the same
}

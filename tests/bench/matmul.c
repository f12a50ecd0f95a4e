// 128 x 128 matrices of doubles: fused multiply-add as the compiler sees fit.
#include "bench.h"
#define N 128
static double a[N][N], b[N][N], c[N][N];
uint64_t work(void) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i][j] = i - j + 0.5;
            b[i][j] = i * j * 0.25;
        }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int k = 0; k < N; k++)
                sum += a[i][k] * b[k][j];
            c[i][j] = sum;
        }
    return (uint64_t)(int64_t)(c[3][5] + c[N - 1][N - 2]); // exact: every value is a multiple of 1/8
}

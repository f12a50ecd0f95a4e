// Planets around a sun: doubles, square roots, fused multiply-add as the compiler sees fit.
#include "bench.h"
#include <math.h>
#define BODIES 5
static struct body {
    double x[3], v[3], mass;
} bodies[BODIES];
static double energy(void) {
    double sum = 0;
    for (int i = 0; i < BODIES; i++) {
        struct body *a = &bodies[i];
        sum += 0.5 * a->mass * (a->v[0] * a->v[0] + a->v[1] * a->v[1] + a->v[2] * a->v[2]);
        for (int j = i + 1; j < BODIES; j++) {
            struct body *b = &bodies[j];
            double dx = a->x[0] - b->x[0], dy = a->x[1] - b->x[1], dz = a->x[2] - b->x[2];
            sum -= a->mass * b->mass / sqrt(dx * dx + dy * dy + dz * dz);
        }
    }
    return sum;
}
static void advance(double dt) {
    for (int i = 0; i < BODIES; i++) {
        struct body *a = &bodies[i];
        for (int j = i + 1; j < BODIES; j++) {
            struct body *b = &bodies[j];
            double dx = a->x[0] - b->x[0], dy = a->x[1] - b->x[1], dz = a->x[2] - b->x[2];
            double square = dx * dx + dy * dy + dz * dz, pull = dt / (square * sqrt(square));
            a->v[0] -= dx * b->mass * pull, b->v[0] += dx * a->mass * pull;
            a->v[1] -= dy * b->mass * pull, b->v[1] += dy * a->mass * pull;
            a->v[2] -= dz * b->mass * pull, b->v[2] += dz * a->mass * pull;
        }
    }
    for (int i = 0; i < BODIES; i++)
        for (int k = 0; k < 3; k++)
            bodies[i].x[k] += dt * bodies[i].v[k];
}
uint64_t work(void) {
    bodies[0] = (struct body){.mass = 1};
    for (int i = 1; i < BODIES; i++) // circles, or nearly
        bodies[i] = (struct body){{i * 2.0, 0, 0.1 * i}, {0, 1 / sqrt(i * 2.0), 0}, 0.0001 * i};
    for (int n = 0; n < 5000; n++)
        advance(0.005);
    return (uint64_t)(int64_t)(energy() * -1e12); // with and without fused operations the same
}

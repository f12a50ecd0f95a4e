// In the manner of Dhrystone: records, strings, small calls.
#include "bench.h"
struct record {
    struct record *next;
    int kind, number;
    char text[32];
};
static struct record one, two;
static char first[32], second[32];
static int __attribute__((noinline)) pick(char a, char b) {
    return a == b ? 1 : 2;
}
static int __attribute__((noinline)) order(const char *a, const char *b) {
    int i = 0;
    while (i < 2)
        if (pick(a[i], b[i + 1]) == 1)
            i += 3;
        else
            i++;
    return strcmp(a, b) > 0;
}
static void __attribute__((noinline)) step(struct record *r, int n) {
    *r->next = *r;
    r->number = 5 + n % 7;
    r->next->number = r->number;
    r->next->kind = r->kind == 2 ? 0 : r->kind + 1;
    strcpy(r->next->text, n & 1 ? "DHRYSTONE, SOME STRING" : "DHRYSTONE, OTHER STRING");
}
uint64_t work(void) {
    uint64_t sum = 0;
    one.next = &two;
    for (int i = 0; i < 300000; i++) {
        strcpy(first, "A FIRST STRING OF TEXT");
        strcpy(second, i & 3 ? "A SECOND STRING OF TEXT" : "A FIRST STRING OF TEXT");
        one.kind = i % 3;
        step(&one, i);
        sum += (uint64_t)(order(first, second) + two.number * (two.kind + 1)) + strlen(two.text);
        sum = sum * 7 / 3;
    }
    return sum;
}

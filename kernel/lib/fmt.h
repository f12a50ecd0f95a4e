// Formatting: %s %.*s %c %d %i %u %x %o %p with l/ll/z, width, zero and left padding. No floats.
#pragma once
#include "../types.h"
#include <stdarg.h>

int kvsnprintf(char *out, size_t size, const char *fmt, va_list args);
int ksnprintf(char *out, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

// Text that grows in the machine heap: what procfs files and strace lines are made of.
struct text {
    char *data;
    u32 len, cap;
    bool fixed;  // `data` is the owner's and does not grow
    bool failed; // no more room: the rest was dropped
};
void text_printf(struct text *text, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void text_append(struct text *text, const void *data, u32 len);
void text_free(struct text *text);

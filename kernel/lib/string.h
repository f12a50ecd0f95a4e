// Memory and strings, freestanding.
#pragma once
#include "../types.h"

void *memcpy(void *restrict dst, const void *restrict src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
void *memchr(const void *p, int c, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t n);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
// Copies at most size - 1 bytes and always terminates. Returns what was copied.
size_t strlcpy(char *dst, const char *src, size_t size);
char *strdup_k(const char *s); // in the machine heap; NULL when out of memory

// Freestanding code is compiled without knowing these names; so copies of known size become loads and stores.
#define memcpy(...) __builtin_memcpy(__VA_ARGS__)
#define memmove(...) __builtin_memmove(__VA_ARGS__)
#define memset(...) __builtin_memset(__VA_ARGS__)

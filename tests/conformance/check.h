// For conformance programs: CHECK says what failed and ends the program; main ends with `return done();`.
#pragma once
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            dprintf(1, "%s:%d: %s (errno %d)\n", __FILE_NAME__, __LINE__, #x, errno);              \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)
#define FAILS(call, error) CHECK((call) == -1 && errno == (error))

static inline int done(void) {
    puts("ok");
    return 0;
}

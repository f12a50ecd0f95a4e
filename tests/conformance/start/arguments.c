// A program's start: its arguments, environment, descriptors and standard streams.
// args: one "two words" ""
// stdin: some\ninput\n
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        printf("argument %d is <%s>\n", i, argv[i]);
    int count = 0;
    while (environ[count])
        count++;
    qsort(environ, count, sizeof *environ, by_name);
    for (int i = 0; i < count; i++)
        printf("environment has %s\n", environ[i]);
    for (int fd = 0; fd < 10; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf("descriptor %d is open\n", fd);
    char line[100];
    while (fgets(line, sizeof line, stdin))
        printf("input has %s", line);
    printf("at its end %d\n", feof(stdin) != 0);
    return 0;
}

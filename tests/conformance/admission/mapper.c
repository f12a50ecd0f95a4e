// Maps a new file of so many pages, shared, and writes to each of them.
// args: 16
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv) {
    size_t pages = (size_t)atoi(argv[1]);
    int fd = open("mapped", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (argc != 2 || fd < 0 || ftruncate(fd, (off_t)(pages * 4096)))
        return 1;
    char *at = mmap(NULL, pages * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return 2;
    for (size_t i = 0; i < pages; i++)
        at[i * 4096] = 1;
    unlink("mapped");
    puts("all written");
    return 0;
}

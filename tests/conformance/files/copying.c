// sendfile, copy_file_range, splice, tee.
#include "files.h"
#include <sys/sendfile.h>

static char big[300000], back[300000];

int main(void) {
    enter();
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 13 + i / 256);
    int in = open("in", O_CREAT | O_RDWR, 0644), out = open("out", O_CREAT | O_RDWR, 0644);
    CHECK(write(in, big, sizeof big) == sizeof big);
    off_t at = 100;
    CHECK(sendfile(out, in, &at, 1000) == 1000 && at == 1100 && lseek(in, 0, SEEK_CUR) == sizeof big);
    CHECK(lseek(in, 0, SEEK_SET) == 0 && sendfile(out, in, NULL, sizeof big) == sizeof big);
    CHECK(lseek(in, 0, SEEK_CUR) == sizeof big && sendfile(out, in, NULL, 10) == 0);
    CHECK(pread(out, back, sizeof back, 1000) == sizeof back && !memcmp(big, back, sizeof big));
    loff_t from = 0, to = 5;
    CHECK(ftruncate(out, 0) == 0 && copy_file_range(in, &from, out, &to, sizeof big, 0) == sizeof big);
    CHECK(from == sizeof big && to == sizeof big + 5 && pread(out, back, sizeof back, 5) == sizeof back);
    CHECK(!memcmp(big, back, sizeof big));
    from = 0, to = 10;
    FAILS(copy_file_range(in, &from, in, &to, 100, 0), EINVAL);
    int a[2], b[2];
    CHECK(pipe(a) == 0 && pipe(b) == 0);
    FAILS(copy_file_range(in, NULL, a[1], NULL, 1, 0), EINVAL);
    from = 50;
    CHECK(splice(in, &from, a[1], NULL, 500, 0) == 500 && from == 550);
    CHECK(tee(a[0], b[1], 200, 0) == 200 && read(b[0], back, 300) == 200 && !memcmp(back, big + 50, 200));
    CHECK(splice(a[0], NULL, b[1], NULL, 100, 0) == 100 && read(b[0], back, 300) == 100 && !memcmp(back, big + 50, 100));
    to = 7;
    CHECK(splice(a[0], NULL, out, &to, 1000, 0) == 400 && to == 407);
    CHECK(pread(out, back, 400, 7) == 400 && !memcmp(back, big + 150, 400));
    FAILS(splice(a[0], NULL, out, NULL, 10, SPLICE_F_NONBLOCK), EAGAIN);
    FAILS(splice(in, NULL, out, NULL, 10, 0), EINVAL);
    FAILS(splice(a[0], &to, out, NULL, 10, 0), ESPIPE);
    close(a[1]);
    CHECK(splice(a[0], NULL, out, NULL, 10, 0) == 0);
    // More than a pipe holds: the reader drains while sendfile waits.
    pid_t child = fork();
    if (!child) {
        close(b[1]);
        size_t n = 0;
        ssize_t r;
        while ((r = read(b[0], back + n, sizeof back - n)) > 0)
            n += (size_t)r;
        _exit(n == sizeof big && !memcmp(big, back, n) ? 0 : 1);
    }
    at = 0;
    while (at < (off_t)sizeof big)
        CHECK(sendfile(b[1], in, &at, sizeof big) > 0);
    close(b[1]);
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    return leave();
}

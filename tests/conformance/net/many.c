// sendmmsg and recvmmsg: several messages in one call, and what ends it early.
#include "net.h"

int main(void) {
    int fd[2];
    char buffer[4][8];
    struct iovec out[3] = {{"a", 1}, {"bb", 2}, {"ccc", 3}}, in[4];
    struct mmsghdr send_to[3] = {0}, get[4] = {0};
    pair(SOCK_DGRAM, fd);
    for (int i = 0; i < 3; i++)
        send_to[i].msg_hdr = (struct msghdr){.msg_iov = &out[i], .msg_iovlen = 1};
    for (int i = 0; i < 4; i++) {
        in[i] = (struct iovec){buffer[i], 2};
        get[i].msg_hdr = (struct msghdr){.msg_iov = &in[i], .msg_iovlen = 1};
    }
    CHECK(sendmmsg(fd[0], send_to, 3, 0) == 3 && send_to[2].msg_len == 3);
    CHECK(recvmmsg(fd[1], get, 4, MSG_DONTWAIT, NULL) == 3);
    CHECK(get[0].msg_len == 1 && get[1].msg_len == 2 && get[2].msg_len == 2 && get[2].msg_hdr.msg_flags & MSG_TRUNC);
    FAILS(recvmmsg(fd[1], get, 4, MSG_DONTWAIT, NULL), EAGAIN);
    CHECK(sendmmsg(fd[0], send_to, 2, 0) == 2 && recvmmsg(fd[1], get, 4, MSG_WAITFORONE, NULL) == 2);
    pid_t child = fork();
    if (!child) {
        for (int i = 0; i < 4; i++) {
            pause_ms(1);
            say(fd[0], "x");
        }
        _exit(0);
    }
    CHECK(recvmmsg(fd[1], get, 4, 0, NULL) == 4); // waits for all of them
    reap(child);
    close(fd[1]);
    FAILS(sendmmsg(fd[0], send_to, 3, MSG_NOSIGNAL), ECONNREFUSED);
    return done();
}

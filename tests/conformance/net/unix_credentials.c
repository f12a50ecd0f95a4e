// Who is on the other side: SO_PEERCRED, SO_PASSCRED and SCM_CREDENTIALS.
#include "net.h"

static ssize_t receive(int fd, char *text, size_t size, struct ucred *cred) {
    char control[128];
    struct iovec iov = {text, size};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(fd, &m, 0);
    cred->pid = -1;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (c) {
        CHECK(c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len == CMSG_LEN(sizeof *cred));
        memcpy(cred, CMSG_DATA(c), sizeof *cred);
        CHECK(!CMSG_NXTHDR(&m, c));
    }
    return n;
}

static ssize_t send_as(int fd, const struct ucred *cred) {
    char control[CMSG_SPACE(sizeof *cred)] = {0};
    struct iovec iov = {"x", 1};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_CREDENTIALS};
    c->cmsg_len = CMSG_LEN(sizeof *cred);
    memcpy(CMSG_DATA(c), cred, sizeof *cred);
    return sendmsg(fd, &m, 0);
}

int main(void) {
    int fd[2];
    struct ucred cred;
    socklen_t len = sizeof cred;
    pair(SOCK_STREAM, fd);
    CHECK(getsockopt(fd[0], SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && len == sizeof cred);
    CHECK(cred.pid == getpid() && cred.uid == geteuid() && cred.gid == getegid());
    char buffer[16];
    option(fd[1], SOL_SOCKET, SO_PASSCRED, 1);
    CHECK(write(fd[0], "mine", 4) == 4);
    pid_t child = fork();
    if (!child) {
        CHECK(write(fd[0], "child", 5) == 5);
        _exit(0);
    }
    reap(child);
    // Bytes of two writers are not mixed while credentials are asked for.
    CHECK(receive(fd[1], buffer, 16, &cred) == 4 && cred.pid == getpid() && cred.uid == getuid());
    CHECK(receive(fd[1], buffer, 16, &cred) == 5 && cred.pid == child && cred.gid == getgid());
    struct ucred own = {getpid(), getuid(), getgid()};
    CHECK(send_as(fd[0], &own) == 1 && receive(fd[1], buffer, 16, &cred) == 1 && cred.pid == getpid());
    option(fd[1], SOL_SOCKET, SO_PASSCRED, 0);
    CHECK(send_as(fd[0], &own) == 1 && receive(fd[1], buffer, 16, &cred) == 1 && cred.pid == -1);
    close(fd[0]), close(fd[1]);

    struct sockaddr_un un;
    char name[32];
    sprintf(name, "@credentials-%d", getpid());
    socklen_t n = un_name(&un, name);
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    len = sizeof cred;
    CHECK(getsockopt(server, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid == 0 && cred.uid == (uid_t)-1);
    CHECK(bind(server, A(un), n) == 0 && listen(server, 2) == 0);
    child = fork();
    if (!child) {
        int client = socket(AF_UNIX, SOCK_STREAM, 0);
        CHECK(connect(client, A(un), n) == 0);
        CHECK(getsockopt(client, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid == getppid());
        CHECK(read(client, buffer, 1) == 0);
        _exit(0);
    }
    int peer = accept(server, NULL, NULL);
    CHECK(getsockopt(peer, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid == child);
    close(peer);
    reap(child);
    return done();
}

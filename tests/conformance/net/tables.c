// /proc/net: what its tables say of sockets that are open, and stop saying when they are closed.
#include "net.h"

// The line of a table that contains `text`, or NULL.
static char *row(const char *table, const char *text) {
    static char line[512];
    char path[64];
    sprintf(path, "/proc/net/%s", table);
    FILE *file = fopen(path, "r");
    CHECK(file);
    char *found = NULL;
    while (!found && fgets(line, sizeof line, file))
        if (strstr(line, text))
            found = line;
    fclose(file);
    return found;
}

int main(void) {
    int port, server = listener(&port, 5), client = tcp_to(port);
    char text[128], local[32], remote[32], *line;
    unsigned state, uid, tx, rx;
    unsigned long inode;
    struct stat st;
    sprintf(text, "0100007F:%04X 00000000:0000 0A", port);
    CHECK((line = row("tcp", text)));
    CHECK(sscanf(line, "%*d: %31s %31s %x %x:%x %*x:%*x %*x %u %*d %lu", local, remote, &state, &tx, &rx, &uid, &inode) == 7);
    CHECK(uid == geteuid() && rx == 1 && fstat(server, &st) == 0 && inode == st.st_ino);
    sprintf(text, "0100007F:%04X 0100007F:%04X 01", port_of(client), port);
    CHECK(row("tcp", text));
    close(client);
    close(server);
    sprintf(text, "0100007F:%04X 00000000:0000 0A", port);
    CHECK(!row("tcp", text));
    int udp = socket(AF_INET6, SOCK_DGRAM, 0);
    struct sockaddr_in6 in = in6("::1", 0);
    CHECK(bind(udp, A(in), sizeof in) == 0);
    sprintf(text, "00000000000000000000000001000000:%04X 00000000000000000000000000000000:0000 07", port_of(udp));
    CHECK(row("udp6", text));
    struct sockaddr_un un = {0};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sprintf(text, "@tables-%d", getpid());
    CHECK(bind(fd, A(un), un_name(&un, text)) == 0 && listen(fd, 1) == 0);
    CHECK((line = row("unix", text)) && strstr(line, " 00010000 0001 01 "));
    close(fd);
    CHECK(!row("unix", text));
    CHECK(row("dev", "lo:") && row("if_inet6", "00000000000000000000000000000001 01 80 10 80"));
    CHECK(row("sockstat", "sockets: used ") && row("route", "Iface\tDestination"));
    return done();
}

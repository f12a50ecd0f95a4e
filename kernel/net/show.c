// The rows of /proc/net's tables, as proc(5) describes them; their heads are fs/procnet.c's.
#include "../kernel.h"
#include "sock.h"

static u64 sock_ino(const struct sock *sock) {
    return sock->file ? sock->file->ino : 0;
}

static u32 unread(struct sock *sock) {
    u32 n = 0;
    struct packet *packet;
    list_each(packet, &sock->queue, link)
        n += packet->len - packet->start;
    return n;
}

static void show_address(struct text *text, const struct sock *sock, const u8 addr[16], u16 port) {
    for (u32 i = sock->family == AF_INET ? 3 : 0; i < 4; i++) {
        u32 word;
        memcpy(&word, addr + i * 4, sizeof word);
        text_printf(text, "%08X", word);
    }
    text_printf(text, ":%04X", port);
}

static void show_inet(struct text *text, u32 family, u32 type) {
    static const u8 none4[16] = {[10] = 0xff, 0xff};
    u32 line = 0;
    struct sock *sock;
    list_each(sock, &kernel->net->inet_all, all) {
        bool shown = type == SOCK_STREAM ? sock->state != TCP_CLOSE : sock->inet.port != 0;
        if (sock->family != family || sock->type != type || !shown)
            continue;
        text_printf(text, type == SOCK_STREAM ? "%4u: " : "%5u: ", line++);
        show_address(text, sock, sock->inet.local, sock->inet.port);
        text_printf(text, " ");
        const u8 *remote = sock->inet.remote_port ? sock->inet.remote
                           : family == AF_INET    ? none4
                                                  : addr_any6;
        show_address(text, sock, remote, sock->inet.remote_port);
        u32 rx = sock->state == TCP_LISTEN ? sock->backlog_count : unread(sock);
        text_printf(text,
                    " %02X %08X:%08X 00:00000000 00000000 %5u        0 %llu %u 0000000000000000",
                    sock->state, 0, rx, sock->uid, (unsigned long long)sock_ino(sock), sock->refs);
        text_printf(text, type == SOCK_STREAM ? " 100 0 0 10 0\n" : " 0\n");
    }
}

static void show_tcp(struct text *text) {
    show_inet(text, AF_INET, SOCK_STREAM);
}
static void show_tcp6(struct text *text) {
    show_inet(text, AF_INET6, SOCK_STREAM);
}
static void show_udp(struct text *text) {
    show_inet(text, AF_INET, SOCK_DGRAM);
}
static void show_udp6(struct text *text) {
    show_inet(text, AF_INET6, SOCK_DGRAM);
}

static void show_unix(struct text *text) {
    struct sock *sock;
    list_each(sock, &kernel->net->unix_all, all) {
        text_printf(text, "0000000000000000: %08X 00000000 %08X %04X %02X %5llu", sock->refs,
                    sock->state == TCP_LISTEN ? 0x10000 : 0, sock->type,
                    sock->state == TCP_ESTABLISHED ? 3 : 1, (unsigned long long)sock_ino(sock));
        u32 n = sock->un.name.len > 2 ? sock->un.name.len - 2 : 0;
        const char *path = sock->un.name.un.path;
        bool abstract = n && !path[0];
        if (n) // a path is shown without its NUL
            text_printf(text, abstract ? " @" : " ");
        for (u32 i = abstract; i + !abstract < n; i++)
            text_printf(text, "%c", path[i] ? path[i] : '@');
        text_printf(text, "\n");
    }
}

static void show_netlink(struct text *text) {
    struct sock *sock;
    list_each(sock, &kernel->net->netlink_all, all)
        text_printf(
            text, "0000000000000000 0   %-10u %08x %-8u 0        0     2        0        %llu\n",
            sock->nl.port, sock->nl.groups, sock->queue_bytes, (unsigned long long)sock_ino(sock));
}

static void show_dev(struct text *text) {
    unsigned long long bytes = kernel->net->lo_bytes, packets = kernel->net->lo_packets;
    text_printf(text,
                "    lo: %7llu %7llu    0    0    0     0          0         0 %8llu %7llu"
                "    0    0    0     0       0          0\n",
                bytes, packets, bytes, packets);
}

static void show_if_inet6(struct text *text) {
    text_printf(text, "00000000000000000000000000000001 01 80 10 80       lo\n");
}

static void show_sockstat(struct text *text) {
    u32 tcp = 0, tcp_all = 0, udp = 0, used = 0;
    struct sock *sock;
    list_each(sock, &kernel->net->inet_all, all) {
        used++;
        tcp_all += sock->type == SOCK_STREAM;
        tcp += sock->type == SOCK_STREAM && sock->state != TCP_CLOSE;
        udp += sock->type == SOCK_DGRAM && sock->inet.port;
    }
    list_each(sock, &kernel->net->unix_all, all)
        used++;
    list_each(sock, &kernel->net->netlink_all, all)
        used++;
    text_printf(
        text,
        "sockets: used %u\nTCP: inuse %u orphan 0 tw 0 alloc %u mem 0\nUDP: inuse %u mem 0\n"
        "UDPLITE: inuse 0\nRAW: inuse 0\nFRAG: inuse 0 memory 0\n",
        used, tcp, tcp_all, udp);
}

void net_proc_rows(struct text *text, const char *name) {
    static const struct {
        const char *name;
        void (*show)(struct text *text);
    } tables[] = {
        {"tcp", show_tcp},   {"tcp6", show_tcp6},         {"udp", show_udp},
        {"udp6", show_udp6}, {"unix", show_unix},         {"netlink", show_netlink},
        {"dev", show_dev},   {"if_inet6", show_if_inet6}, {"sockstat", show_sockstat},
    };
    for (u32 i = 0; i < lengthof(tables); i++)
        if (!strcmp(tables[i].name, name) && net_get())
            tables[i].show(text);
}

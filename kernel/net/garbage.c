// Sockets that only messages in their own queues still refer to: found and emptied, so that a
// descriptor sent through itself does not stay for ever. unix(7) calls them in flight.
//
// A socket whose file has references only from queued parcels is suspect. Whatever a socket that is
// not suspect has in its queue can still be received, and so on from there; the suspects not
// reached that way lose their queues.
#include "../kernel.h"
#include "sock.h"

void parcel_queued(struct parcel *parcel, i32 by) {
    for (u32 i = 0; i < parcel->count; i++) {
        struct sock *sock = sock_of(parcel->files[i]);
        if (!sock || sock->family != AF_UNIX)
            continue;
        sock->in_flight += (u32)by;
        kernel->net->unix_in_flight += (u32)by;
    }
}

static bool is_suspect(const struct sock *sock) {
    return sock->in_flight && sock->file && sock->file->refs == sock->in_flight;
}

// Marks what can be received from the socket's queue. True when something new was marked.
static bool reach_queue(struct sock *sock) {
    bool any = false;
    struct packet *packet;
    list_each(packet, &sock->queue, link) {
        for (u32 i = 0; packet->parcel && i < packet->parcel->count; i++) {
            struct sock *found = sock_of(packet->parcel->files[i]);
            if (!found || found->family != AF_UNIX || found->reachable)
                continue;
            found->reachable = any = true;
        }
    }
    return any;
}

// What waits to be accepted is received through its listener.
static bool is_reachable(const struct sock *sock) {
    return sock->listener ? sock->listener->reachable : sock->reachable;
}

void unix_collect(void) {
    struct net *net = kernel->net;
    if (net->collecting || !net->unix_in_flight)
        return;
    struct sock *sock;
    bool suspects = false;
    list_each(sock, &net->unix_all, all) {
        sock->reachable = !is_suspect(sock);
        suspects |= !sock->reachable;
    }
    for (bool any = suspects; any;) {
        any = false;
        list_each(sock, &net->unix_all, all)
            if (is_reachable(sock))
                any |= reach_queue(sock);
    }
    // Emptying one queue may free sockets of this list, so look again from the start after each.
    net->collecting = true;
    for (bool any = suspects; any;) {
        any = false;
        list_each(sock, &net->unix_all, all) {
            if (is_reachable(sock) || list_empty(&sock->queue))
                continue;
            sock_get(sock);
            queue_purge(sock);
            sock_put(sock);
            any = true;
            break;
        }
    }
    net->collecting = false;
}

// A socket, whatever its family: buffers, options, waiting. net/ may include fs/, never proc/ or sys/.
//
// What is sent is put straight into the receiver's queue as packets; there is no wire. A packet is charged to its
// sender until it is read, and that is all the flow control there is. Machine heap; kernel lock.
#pragma once
#include "../fs/inode.h"
#include "inet.h"

struct sock;

struct address { // as the program gave it, or will see it
    u32 len;     // 0: none
    union {
        u16 family;
        struct sockaddr_un un;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_nl nl;
        u8 bytes[128];
    };
};

struct parcel { // files in flight, with references
    u32 count;
    struct file *files[];
};
void parcel_free(struct parcel *parcel); // NULL is fine

struct packet {
    struct list link;
    struct sock *sender; // charged, with a reference; NULL: nobody
    u32 charge;
    u32 cap, len, start; // bytes [start, len) of data[cap] are unread
    struct ucred cred;
    struct parcel *parcel;
    struct address *from; // owned; NULL: as the family says
    u64 time_ns;          // CLOCK_REALTIME of arrival
    u8 local[16];         // inet datagrams: where they were sent to
    u8 data[];
};

// One transfer between a program and a socket.
struct message {
    struct uio *uio;
    u32 flags;                // MSG_* asked for
    bool nonblock;
    const struct address *to; // send; NULL: the connected peer
    struct ucred cred;        // both ways
    struct parcel *parcel;    // both ways: taken over by who sets it to NULL
    bool has_cred;
    // Answers of receive.
    struct address from;
    u32 out_flags;
    u64 time_ns; // 0: no datagram
    u8 local[16];
    bool has_local;
};

enum side { SIDE_OWN, SIDE_PEER, SIDE_ACCEPTED }; // the last: the peer even if it is gone already

struct sock_ops {
    // All but close and destroy are optional. [-EOPNOTSUPP]
    i64 (*bind)(struct task *task, struct sock *sock, const struct address *address);
    i64 (*connect)(struct task *task, struct sock *sock, const struct address *address, bool nonblock);
    i64 (*listen)(struct task *task, struct sock *sock, u32 backlog);
    i64 (*accept)(struct task *task, struct sock *sock, bool nonblock, struct sock **out); // with a reference
    i64 (*pair)(struct task *task, struct sock *a, struct sock *b);
    i64 (*name)(struct sock *sock, enum side side, struct address *out);
    // Bytes moved in this pass, 0 at the end, -errno, or E_WAIT before any effect.
    i64 (*send)(struct task *task, struct sock *sock, struct message *message);
    i64 (*receive)(struct task *task, struct sock *sock, struct message *message);
    i64 (*shutdown)(struct sock *sock, u32 how);
    u32 (*poll)(struct sock *sock, struct pollwait *pw);
    i64 (*set)(struct task *task, struct sock *sock, i32 level, i32 name, const void *value, u32 len);
    i64 (*get)(struct task *task, struct sock *sock, i32 level, i32 name, void *value, u32 *len);
    u32 (*unread)(struct sock *sock); // FIONREAD [sum of the queue]
    u32 (*unsent)(struct sock *sock); // SIOCOUTQ [what is charged]
    void (*space)(struct sock *sock); // a packet of ours was read
    void (*close)(struct sock *sock); // its last descriptor is gone
    void (*destroy)(struct sock *sock); // its last reference is gone
};

enum { SHUTDOWN_RECEIVE = 1, SHUTDOWN_SEND = 2, SHUTDOWN_BOTH = 3 };
enum { OPTIONS_MAX = 56 };

struct sock {
    u32 refs; // file, peers, packets in flight, queues of listeners
    const struct sock_ops *ops;
    struct file *file; // without a reference; NULL when not accepted yet or closed
    u16 family, type;
    u32 protocol;
    u32 uid;
    u32 state; // TCP_*
    u32 error; // SO_ERROR
    u32 shutdown;
    bool closed; // no descriptor will ever come (again)
    struct waitq read_wait, write_wait;
    struct waitq room_wait; // others, for room in our queue or backlog
    // Buffers.
    struct list queue; // struct packet, unread
    u32 queue_bytes, queue_count; // queue_bytes counts charges
    u32 charged;       // of our packets that others have not read
    u32 sndbuf, rcvbuf;
    // Options.
    i32 options[OPTIONS_MAX]; // by row of the table in option.c
    u64 receive_timeout_ns, send_timeout_ns; // 0: none
    struct linger linger;
    // Connections.
    struct sock *peer; // with a reference
    struct ucred own_cred, peer_cred; // of who made or listens, of the other side
    struct sock *listener; // while waiting to be accepted, or to get there; without a reference
    struct list backlog;   // listener: sockets (backlog_link) to be accepted, each with a reference
    struct list pending;   // listener: clients (backlog_link) for whom there was no room, each with a reference
    struct list backlog_link;
    u32 backlog_count, backlog_max;
    struct list all; // the family's list, in order of creation
    u32 in_flight;   // how often our file is in a parcel that is queued
    bool reachable;  // garbage.c
    union {
        struct { // unix.c
            struct address name;
            bool listed; // an abstract name that lookups find
            struct inode *inode; // pathname sockets, with a reference; inode->socket is this one
            struct waitnode relay; // datagrams: in the peer's write_wait, for our pollers
        } un;
        struct { // inet.c: addresses are IPv6, IPv4 as v4-mapped
            u8 local[16], remote[16];
            u16 port, remote_port; // 0: not bound, not connected
            bool port_given;       // by bind(2)
            bool addr_given;
            bool connecting;       // connect(2) was not answered with 0 yet
            bool fin;              // the other side's stream has ended
            struct list port_link; // net->ports
            u64 sent, received;    // bytes, for TCP_INFO
        } inet;
        struct { // netlink.c
            u32 port, groups;
        } nl;
    };
};

#define PORT_BUCKETS 64u
struct net { // kernel->net
    struct list unix_all, inet_all, netlink_all; // struct sock.all
    struct list tcp_ports[PORT_BUCKETS], udp_ports[PORT_BUCKETS]; // struct sock.inet.port_link
    u32 autobind; // abstract names of five hex digits
    u32 netlink_port;
    u32 spread; // turns among SO_REUSEPORT listeners
    u32 unix_in_flight;
    bool collecting;
    u64 bytes; // of all packets: at most an eighth of RAM
    u64 lo_bytes, lo_packets; // /proc/net/dev
};
struct net *net_get(void); // made on first use; NULL: no memory

// ---- sock.c ----
must_check struct sock *sock_new(u32 family, u32 type, u32 protocol, const struct sock_ops *ops, struct task *task);
void sock_get(struct sock *sock);
void sock_put(struct sock *sock);
must_check i64 sock_file(struct sock *sock, u32 flags, struct file **out); // takes over the reference, also on failure
struct sock *sock_of(struct file *file); // NULL: not a socket
void sock_close(struct sock *sock);      // as when the last descriptor goes
// A socket of the given kind. -EAFNOSUPPORT …; made by unix.c, inet.c, netlink.c.
must_check i64 sock_create(struct task *task, i32 family, i32 type, i32 protocol, struct sock **out);
must_check i64 unix_create(struct task *task, u32 type, i32 protocol, struct sock **out);
must_check i64 inet_create(struct task *task, u32 family, u32 type, i32 protocol, struct sock **out);
must_check i64 netlink_create(struct task *task, u32 type, i32 protocol, struct sock **out);

// Wait for `events`, -EAGAIN when the socket or the call does not, or when SO_*TIMEO is over.
must_check i64 sock_wait(struct task *task, struct waitq *queue, u32 events, bool nonblock, u64 timeout_ns);
// The next socket of a listener's backlog, with its reference, or a wait for one.
must_check i64 sock_take_backlog(struct task *task, struct sock *sock, bool nonblock, struct sock **out);
i64 sock_error(struct sock *sock); // takes SO_ERROR: 0 or -errno
void sock_wake(struct sock *sock, u32 events); // readers or writers or both, by what the events say
void sock_wake_all(struct sock *sock);         // its state has changed
i64 sock_broken_pipe(struct task *task, u32 flags); // SIGPIPE unless MSG_NOSIGNAL; -EPIPE
#define READABLE (POLLIN | POLLRDNORM)
#define WRITABLE (POLLOUT | POLLWRNORM)

must_check struct packet *packet_new(struct sock *sender, u32 cap); // charged; NULL: no memory
void packet_free(struct packet *packet); // gives the charge back
void packet_push(struct sock *receiver, struct packet *packet);
struct packet *packet_first(struct sock *sock);
void packet_remove(struct sock *sock, struct packet *packet); // from the queue, not freed
void queue_purge(struct sock *sock);
// A whole datagram of the message into a new packet; 0, -EMSGSIZE, -EFAULT, -ENOBUFS, E_WAIT.
must_check i64 packet_fill(struct sock *sender, struct message *message, u32 most, struct packet **out);
// The first packet as one datagram: bytes, with MSG_TRUNC and MSG_PEEK.
must_check i64 packet_read(struct sock *sock, struct message *message, struct packet *packet);
// Streams: append up to `room` bytes of the message to the receiver's queue; then take bytes off it.
must_check i64 stream_put(struct sock *sender, struct sock *receiver, struct message *message, u32 room);
must_check i64 stream_take(struct sock *sock, struct message *message, bool credentials);
u64 stream_target(const struct sock *sock, const struct message *message); // bytes worth waking for
void parcel_dup(struct message *message, struct parcel *parcel); // MSG_PEEK: further references

// ---- option.c ----
enum option { // those the kernel acts on; rows of the table in this order first
    OPT_REUSEADDR, OPT_REUSEPORT, OPT_PASSCRED, OPT_TIMESTAMP, OPT_TIMESTAMPNS, OPT_RCVLOWAT, OPT_V6ONLY, OPT_PKTINFO,
    OPT_RECVPKTINFO6, OPT_BROADCAST, OPT_RECVTTL, OPT_RECVHOPLIMIT6,
};
void options_init(struct sock *sock);
must_check i64 option_set(struct task *task, struct sock *sock, i32 level, i32 name, const void *value, u32 len);
must_check i64 option_get(struct task *task, struct sock *sock, i32 level, i32 name, void *value, u32 *len);
#define OPTION_MAX 256u // bytes of an option's value

// ---- inet.c ----
extern const struct sock_ops tcp_ops, udp_ops;
must_check struct sock *inet_new(struct task *task, u32 family, u32 type, u32 protocol);
// Reads the program's address. -EINVAL, -EAFNOSUPPORT; -ENETUNREACH for what is neither any nor loopback.
must_check i64 inet_destination(const struct sock *sock, const struct address *address, u8 out[16], u16 *port);
must_check i64 inet_bind(struct task *task, struct sock *sock, const struct address *address);
must_check i64 inet_bind_port(struct sock *sock, u16 port); // 0: any. -EADDRINUSE
void inet_unbind(struct sock *sock); // forget the port
void inet_source(struct sock *sock, const u8 remote[16]); // a concrete local address, if it has none
bool inet_in_use(struct sock *sock, u16 port); // another socket has it and neither shares
struct list *inet_bucket(const struct sock *sock, u16 port);
// How well a bound socket fits a packet to (to, port): 0 not at all.
u32 inet_match(const struct sock *sock, const u8 to[16], u16 port);
void inet_sockaddr(const struct sock *sock, const u8 addr[16], u16 port, struct address *out);
must_check i64 inet_name(struct sock *sock, enum side side, struct address *out);
must_check i64 inet_set(struct task *task, struct sock *sock, i32 level, i32 name, const void *value, u32 len);
must_check i64 inet_get(struct task *task, struct sock *sock, i32 level, i32 name, void *value, u32 *len);

// ---- garbage.c ----
void parcel_queued(struct parcel *parcel, i32 by); // counts sockets in flight
void unix_collect(void);

// ---- addr.c ----
must_check i64 interface_ioctl(struct task *task, u32 cmd, u64 arg); // -ENOTTY when it is none of its
extern const u8 addr_any6[16], addr_loopback6[16], addr_loopback4[16];
bool addr_is_v4(const u8 addr[16]);      // v4-mapped
bool addr_is_any(const u8 addr[16]);     // :: or 0.0.0.0
bool addr_is_loopback(const u8 addr[16]);

// ---- show.c ----
void net_proc_rows(struct text *text, const char *name); // the rows of /proc/net/<name>

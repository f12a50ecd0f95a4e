// Linux's numbers and layouts for sockets: socket(7), unix(7), ip(7), ipv6(7), tcp(7), netlink(7), netdevice(7).
#pragma once
#include "../types.h"

enum { AF_UNSPEC = 0, AF_UNIX = 1, AF_INET = 2, AF_INET6 = 10, AF_NETLINK = 16 };
enum { SOCK_STREAM = 1, SOCK_DGRAM = 2, SOCK_RAW = 3, SOCK_SEQPACKET = 5, SOCK_TYPE_MASK = 15 };
#define SOCK_NONBLOCK 04000u
#define SOCK_CLOEXEC 02000000u
enum { SHUT_RD, SHUT_WR, SHUT_RDWR };
#define SOMAXCONN 4096

enum {
    MSG_OOB = 1, MSG_PEEK = 2, MSG_DONTROUTE = 4, MSG_CTRUNC = 8, MSG_TRUNC = 0x20, MSG_DONTWAIT = 0x40, MSG_EOR = 0x80,
    MSG_WAITALL = 0x100, MSG_ERRQUEUE = 0x2000, MSG_NOSIGNAL = 0x4000, MSG_MORE = 0x8000, MSG_WAITFORONE = 0x10000,
    MSG_CMSG_CLOEXEC = 0x40000000,
};

enum { SOL_IP = 0, SOL_SOCKET = 1, SOL_TCP = 6, SOL_UDP = 17, SOL_IPV6 = 41, SOL_NETLINK = 270 };
enum { IPPROTO_IP = 0, IPPROTO_TCP = 6, IPPROTO_UDP = 17 };
enum {
    SO_DEBUG = 1, SO_REUSEADDR, SO_TYPE, SO_ERROR, SO_DONTROUTE, SO_BROADCAST, SO_SNDBUF, SO_RCVBUF, SO_KEEPALIVE, SO_OOBINLINE,
    SO_NO_CHECK, SO_PRIORITY, SO_LINGER, SO_BSDCOMPAT, SO_REUSEPORT, SO_PASSCRED, SO_PEERCRED, SO_RCVLOWAT, SO_SNDLOWAT, SO_RCVTIMEO,
    SO_SNDTIMEO, SO_BINDTODEVICE = 25, SO_TIMESTAMP = 29, SO_ACCEPTCONN = 30, SO_PEERSEC = 31, SO_SNDBUFFORCE = 32,
    SO_RCVBUFFORCE = 33, SO_PASSSEC = 34, SO_TIMESTAMPNS = 35, SO_MARK = 36, SO_PROTOCOL = 38, SO_DOMAIN = 39, SO_RXQ_OVFL = 40,
    SO_PEEK_OFF = 42, SO_LOCK_FILTER = 44, SO_BUSY_POLL = 46, SO_MAX_PACING_RATE = 47, SO_INCOMING_CPU = 49, SO_COOKIE = 57,
    SO_PEERGROUPS = 59, SO_ZEROCOPY = 60, SO_RCVTIMEO_NEW = 66, SO_SNDTIMEO_NEW = 67, SO_PREFER_BUSY_POLL = 69,
};
enum {
    TCP_NODELAY = 1, TCP_MAXSEG, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_SYNCNT, TCP_LINGER2, TCP_DEFER_ACCEPT,
    TCP_WINDOW_CLAMP, TCP_INFO, TCP_QUICKACK, TCP_CONGESTION, TCP_USER_TIMEOUT = 18, TCP_FASTOPEN = 23, TCP_NOTSENT_LOWAT = 25,
    TCP_FASTOPEN_CONNECT = 30,
};
enum {
    IP_TOS = 1, IP_TTL, IP_HDRINCL, IP_OPTIONS, IP_RECVOPTS = 6, IP_PKTINFO = 8, IP_MTU_DISCOVER = 10, IP_RECVERR, IP_RECVTTL,
    IP_RECVTOS, IP_MTU, IP_FREEBIND, IP_TRANSPARENT = 19, IP_BIND_ADDRESS_NO_PORT = 24, IP_MULTICAST_IF = 32, IP_MULTICAST_TTL,
    IP_MULTICAST_LOOP, IP_ADD_MEMBERSHIP, IP_DROP_MEMBERSHIP, IP_MULTICAST_ALL = 49, IP_LOCAL_PORT_RANGE = 51,
};
enum {
    IPV6_UNICAST_HOPS = 16, IPV6_MULTICAST_IF, IPV6_MULTICAST_HOPS, IPV6_MULTICAST_LOOP, IPV6_ADD_MEMBERSHIP, IPV6_DROP_MEMBERSHIP,
    IPV6_MTU_DISCOVER = 23, IPV6_MTU, IPV6_RECVERR, IPV6_V6ONLY, IPV6_RECVPKTINFO = 49, IPV6_PKTINFO, IPV6_RECVHOPLIMIT,
    IPV6_HOPLIMIT, IPV6_RECVTCLASS = 66, IPV6_TCLASS, IPV6_FREEBIND = 78,
};
enum { UDP_CORK = 1, UDP_SEGMENT = 103, UDP_GRO = 104 };
enum { // states of /proc/net/tcp and TCP_INFO
    TCP_ESTABLISHED = 1, TCP_SYN_SENT, TCP_SYN_RECV, TCP_FIN_WAIT1, TCP_FIN_WAIT2, TCP_TIME_WAIT, TCP_CLOSE, TCP_CLOSE_WAIT,
    TCP_LAST_ACK, TCP_LISTEN, TCP_CLOSING,
};

struct sockaddr_un { u16 family; char path[108]; };
struct sockaddr_in { u16 family; u16 port_be; u8 addr[4]; u8 zero[8]; };
struct sockaddr_in6 { u16 family; u16 port_be; u32 flowinfo; u8 addr[16]; u32 scope_id; };
struct sockaddr_nl { u16 family; u16 pad; u32 pid, groups; };

struct msghdr {
    u64 name;
    u32 namelen, pad0;
    u64 iov, iovlen, control, controllen;
    u32 flags, pad1;
};
struct mmsghdr { struct msghdr hdr; u32 len, pad; };
struct cmsghdr { u64 len; i32 level, type; }; // data follows, 8-aligned
enum { SCM_RIGHTS = 1, SCM_CREDENTIALS = 2 };
#define SCM_MAX_FD 253u
struct ucred { u32 pid, uid, gid; };
struct linger { i32 onoff, seconds; };

// ---- ioctl(2) ----
enum {
    SIOCATMARK = 0x8905, SIOCGSTAMP = 0x8906, SIOCOUTQ = 0x5411, SIOCINQ = 0x541B, SIOCGIFNAME = 0x8910, SIOCGIFCONF = 0x8912,
    SIOCGIFFLAGS = 0x8913, SIOCGIFADDR = 0x8915, SIOCGIFDSTADDR = 0x8917, SIOCGIFBRDADDR = 0x8919, SIOCGIFNETMASK = 0x891b,
    SIOCGIFMETRIC = 0x891d, SIOCGIFMTU = 0x8921, SIOCGIFHWADDR = 0x8927, SIOCGIFINDEX = 0x8933, SIOCGIFTXQLEN = 0x8942,
    SIOCGIFMAP = 0x8970,
};
struct ifreq { // 40 bytes on 64-bit
    char name[16];
    union {
        struct sockaddr_in addr;
        u16 family;
        i32 value;
        i16 flags;
        u8 bytes[24];
    };
};
enum { IFF_UP = 1, IFF_LOOPBACK = 8, IFF_RUNNING = 0x40, IFF_LOWER_UP = 0x10000, ARPHRD_LOOPBACK = 772 };

// ---- netlink(7), rtnetlink(7) ----
struct nlmsghdr { u32 len; u16 type, flags; u32 seq, pid; };
struct nlmsgerr { i32 error; struct nlmsghdr msg; };
struct ifinfomsg { u8 family, pad; u16 type; i32 index; u32 flags, change; };
struct ifaddrmsg { u8 family, prefixlen, flags, scope; u32 index; };
struct rtattr { u16 len, type; };
enum { NLMSG_NOOP = 1, NLMSG_ERROR, NLMSG_DONE };
enum { NLM_F_REQUEST = 1, NLM_F_MULTI = 2, NLM_F_ACK = 4, NLM_F_DUMP = 0x300 };
enum { RTM_NEWLINK = 16, RTM_GETLINK = 18, RTM_NEWADDR = 20, RTM_GETADDR = 22 };
enum { IFLA_ADDRESS = 1, IFLA_BROADCAST = 2, IFLA_IFNAME = 3, IFLA_MTU = 4, IFLA_QDISC = 6, IFLA_TXQLEN = 13, IFLA_OPERSTATE = 16,
       IFLA_LINKMODE = 17 };
enum { IFA_ADDRESS = 1, IFA_LOCAL = 2, IFA_LABEL = 3, IFA_FLAGS = 8 };
#define IFA_F_PERMANENT 0x80
#define NETLINK_ROUTE 0
enum { RT_SCOPE_HOST = 254 };

static inline u16 be16(u16 v) {
    return (u16)(v << 8 | v >> 8);
}

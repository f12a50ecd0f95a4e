// /proc/net: the tables that ss, netstat, ip and libc's interface lists read. net/ fills the rows.
#include "procfs.h"

// Supplied by net/show.c: rows of the table `name`.
void net_proc_rows(struct text *out, const char *name);

#define TCP_HEAD "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
#define TCP6_HEAD "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
#define UDP_HEAD "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
#define UDP6_HEAD "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"

#define TABLE(name, head)                                                                                                          \
    static i64 show_##name(struct text *out, const struct proc_ref *ref) {                                                         \
        text_printf(out, "%s", head);                                                                                              \
        net_proc_rows(out, #name);                                                                                                 \
        return 0;                                                                                                                  \
    }
TABLE(dev, "Inter-|   Receive                                                |  Transmit\n"
           " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n")
TABLE(tcp, TCP_HEAD)
TABLE(tcp6, TCP6_HEAD)
TABLE(udp, UDP_HEAD)
TABLE(udp6, UDP6_HEAD)
TABLE(raw, UDP_HEAD)
TABLE(raw6, UDP6_HEAD)
TABLE(unix, "Num       RefCount Protocol Flags    Type St Inode Path\n")
TABLE(route, "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n")
TABLE(arp, "IP address       HW type     Flags       HW address            Mask     Device\n")
TABLE(if_inet6, "")
TABLE(netlink, "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n")
TABLE(sockstat, "")
TABLE(packet, "sk       RefCnt Type Proto  Iface R Rmem   User   Inode\n")

#define ROW(name) {#name, PROC_FILE, 0444, .show = show_##name}
const struct proc_entry proc_net[PROC_NET_COUNT] = {
    ROW(dev), ROW(tcp), ROW(tcp6), ROW(udp), ROW(udp6), ROW(raw), ROW(raw6), ROW(unix), ROW(route), ROW(arp), ROW(if_inet6), ROW(packet),
    ROW(netlink), ROW(sockstat),
};

// The one interface, `lo`, and what kinds of addresses there are. netdevice(7).
#include "../kernel.h"
#include "sock.h"

const u8 addr_any6[16], addr_loopback6[16] = {[15] = 1};
const u8 addr_loopback4[16] = {[10] = 0xff, 0xff, 127, 0, 0, 1};
static const u8 v4_prefix[12] = {[10] = 0xff, 0xff};

bool addr_is_v4(const u8 addr[16]) {
    return !memcmp(addr, v4_prefix, sizeof v4_prefix);
}
bool addr_is_any(const u8 addr[16]) {
    return !memcmp(addr, addr_any6, 16) || (addr_is_v4(addr) && !memcmp(addr + 12, addr_any6, 4));
}
bool addr_is_loopback(const u8 addr[16]) {
    return addr_is_v4(addr) ? addr[12] == 127 : !memcmp(addr, addr_loopback6, 16);
}

static i64 interface_list(struct task *task, u64 arg) {
    struct {
        i32 len, pad;
        u64 buffer;
    } conf;
    struct ifreq lo = {.name = "lo", .addr = {.family = AF_INET, .addr = {127, 0, 0, 1}}};
    i64 r = get_user(task, conf, UPTR(arg));
    if (!r && conf.buffer && conf.len >= (i32)sizeof lo)
        r = put_user(task, UPTR(conf.buffer), lo);
    if (r)
        return r;
    conf.len = !conf.buffer || conf.len >= (i32)sizeof lo ? (i32)sizeof lo : 0;
    return put_user(task, UPTR(arg), conf);
}

i64 interface_ioctl(struct task *task, u32 cmd, u64 arg) {
    struct ifreq request;
    if (cmd == SIOCGIFCONF)
        return interface_list(task, arg);
    if (cmd < SIOCGIFNAME || cmd > SIOCGIFMAP)
        return -ENOTTY;
    i64 r = get_user(task, request, UPTR(arg));
    if (r)
        return r;
    if (cmd == SIOCGIFNAME ? request.value != 1 : strncmp(request.name, "lo", sizeof request.name))
        return -ENODEV;
    memset(cmd == SIOCGIFNAME ? (void *)request.name : request.bytes, 0,
           cmd == SIOCGIFNAME ? sizeof request.name : sizeof request.bytes);
    switch (cmd) {
    case SIOCGIFNAME:
        strlcpy(request.name, "lo", sizeof request.name);
        break;
    case SIOCGIFFLAGS:
        request.flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
        break;
    case SIOCGIFADDR:
    case SIOCGIFDSTADDR:
        request.addr = (struct sockaddr_in){.family = AF_INET, .addr = {127, 0, 0, 1}};
        break;
    case SIOCGIFBRDADDR:
        request.addr = (struct sockaddr_in){.family = AF_INET};
        break;
    case SIOCGIFNETMASK:
        request.addr = (struct sockaddr_in){.family = AF_INET, .addr = {255}};
        break;
    case SIOCGIFMETRIC:
    case SIOCGIFMAP:
        break;
    case SIOCGIFMTU:
        request.value = 65536;
        break;
    case SIOCGIFHWADDR:
        request.family = ARPHRD_LOOPBACK;
        break;
    case SIOCGIFINDEX:
        request.value = 1;
        break;
    case SIOCGIFTXQLEN:
        request.value = 1000;
        break;
    default:
        return -ENOTTY;
    }
    return put_user(task, UPTR(arg), request);
}

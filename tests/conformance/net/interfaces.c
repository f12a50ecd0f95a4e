// The loopback interface as programs find it: getifaddrs, if_nametoindex, getaddrinfo.
#include "net.h"
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>

int main(void) {
    struct ifaddrs *all;
    int four = 0, six = 0, up = 0;
    CHECK(getifaddrs(&all) == 0);
    for (struct ifaddrs *i = all; i; i = i->ifa_next) {
        if (strcmp(i->ifa_name, "lo") || !i->ifa_addr)
            continue;
        up |= (i->ifa_flags & (IFF_UP | IFF_LOOPBACK)) == (IFF_UP | IFF_LOOPBACK);
        struct sockaddr_in *in = (void *)i->ifa_addr;
        struct sockaddr_in6 *in6 = (void *)i->ifa_addr;
        four += in->sin_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_LOOPBACK);
        six += in6->sin6_family == AF_INET6 && !memcmp(&in6->sin6_addr, &in6addr_loopback, 16);
    }
    CHECK(up && four == 1 && six == 1);
    freeifaddrs(all);
    char name[IF_NAMESIZE];
    CHECK(if_nametoindex("lo") == 1 && if_indextoname(1, name) && !strcmp(name, "lo"));
    CHECK(if_nametoindex("nothing0") == 0);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct ifreq r = {.ifr_name = "lo"};
    CHECK(ioctl(fd, SIOCGIFADDR, &r) == 0);
    CHECK(((struct sockaddr_in *)&r.ifr_addr)->sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    CHECK(ioctl(fd, SIOCGIFFLAGS, &r) == 0 && r.ifr_flags & IFF_LOOPBACK && r.ifr_flags & IFF_RUNNING);
    CHECK(ioctl(fd, SIOCGIFMTU, &r) == 0 && r.ifr_mtu == 65536);
    strcpy(r.ifr_name, "nothing0");
    FAILS(ioctl(fd, SIOCGIFFLAGS, &r), ENODEV);
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_ADDRCONFIG, .ai_socktype = SOCK_STREAM}, *found;
    CHECK(getaddrinfo("127.0.0.1", "80", &hints, &found) == 0 && found->ai_family == AF_INET);
    return done();
}

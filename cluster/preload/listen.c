/* SPDX-License-Identifier: Apache-2.0 */
/* Needs nothing of this project: it is loaded into programs that are not ours. */
#include "cluster/listen.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Do the first `bits` agree? */
static bool same_network(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    for (unsigned i = 0; i < bits; i++)
        if ((a[i / 8] ^ b[i / 8]) >> (7 - i % 8) & 1)
            return false;
    return true;
}

static size_t address_bytes(uint8_t ret[16], const struct sockaddr *s)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    if (s->sa_family == AF_INET) {
        memcpy(&v4, s, sizeof v4);
        memcpy(ret, &v4.sin_addr, 4);
        return 4;
    }
    memcpy(&v6, s, sizeof v6);
    memcpy(ret, &v6.sin6_addr, 16);
    return 16;
}

/* wanted: the name of an interface, an address or a network. */
static bool matches(const char *wanted, const struct ifaddrs *at)
{
    char copy[64];
    uint8_t network[16], ours[16];
    int family = strchr(wanted, ':') ? AF_INET6 : AF_INET;
    snprintf(copy, sizeof copy, "%s", wanted);
    char *slash = strchr(copy, '/');
    if (slash)
        *slash = 0;
    if (inet_pton(family, copy, network) != 1)
        return !strcmp(wanted, at->ifa_name);
    if (at->ifa_addr->sa_family != family)
        return false;
    unsigned size = (unsigned)address_bytes(ours, at->ifa_addr) * 8, bits = slash ? (unsigned)atoi(slash + 1) : size;
    return bits <= size && same_network(ours, network, bits);
}

/* Our first address of this family at `wanted`, into `to`, which has a port already. */
static bool find_address(struct sockaddr *to, const char *wanted)
{
    struct ifaddrs *all = NULL;
    bool found = false;
    uint8_t bytes[16];
    if (getifaddrs(&all))
        return false;
    for (const struct ifaddrs *at = all; at && !found; at = at->ifa_next) {
        found = at->ifa_flags & IFF_UP && at->ifa_addr && at->ifa_addr->sa_family == to->sa_family && matches(wanted, at);
        size_t size = found ? address_bytes(bytes, at->ifa_addr) : 0;
        if (size == 16 && bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80) /* link-local: needs its interface with it */
            found = false;
        else if (size)
            memcpy((char *)to + (size == 4 ? offsetof(struct sockaddr_in, sin_addr) : offsetof(struct sockaddr_in6, sin6_addr)),
                   bytes, size);
    }
    freeifaddrs(all);
    return found;
}

static void set_loopback(struct sockaddr *to)
{
    const struct in_addr v4 = {htonl(INADDR_LOOPBACK)};
    if (to->sa_family == AF_INET)
        memcpy((char *)to + offsetof(struct sockaddr_in, sin_addr), &v4, sizeof v4);
    else
        memcpy((char *)to + offsetof(struct sockaddr_in6, sin6_addr), &in6addr_loopback, sizeof in6addr_loopback);
}

static bool is_any(const struct sockaddr *s)
{
    static const uint8_t zero[16];
    uint8_t bytes[16];
    return (s->sa_family == AF_INET || s->sa_family == AF_INET6) && !memcmp(bytes, zero, address_bytes(bytes, s));
}

static bool is_stream(int descriptor)
{
    int type = 0;
    socklen_t size = sizeof type;
    return !getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) && type == SOCK_STREAM;
}

int bind(int descriptor, const struct sockaddr *address, socklen_t size)
{
    static int (*next)(int descriptor, const struct sockaddr *address, socklen_t size);
    const char *wanted = getenv(LISTEN_VARIABLE);
    struct sockaddr_storage other;
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "bind");
    if (!wanted || !*wanted || size > sizeof other || !is_any(address) || !is_stream(descriptor))
        return next(descriptor, address, size);
    memcpy(&other, address, size);
    if (!find_address((struct sockaddr *)&other, wanted))
        set_loopback((struct sockaddr *)&other);
    return next(descriptor, (struct sockaddr *)&other, size);
}

#ifdef MUSTER_PRELOADED
/* Programs that mpirun starts have their own bind, or are none of our business. */
__attribute__((constructor)) static void leave_environment(void)
{
    unsetenv("LD_PRELOAD");
}
#endif

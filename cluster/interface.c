/* SPDX-License-Identifier: Apache-2.0 */
/* The choice among this host's network addresses. */
#include "cluster/interface.h"

#include "common/base/buffer.h"
#include "common/base/machine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* An address as bytes. */
struct address {
    int family;
    uint8_t bytes[16];
    size_t size;
};

static bool address_of(struct address *ret, const struct sockaddr *s)
{
    if (!s || (s->sa_family != AF_INET && s->sa_family != AF_INET6))
        return false;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    ret->family = s->sa_family;
    ret->size = s->sa_family == AF_INET ? 4 : 16;
    if (ret->size == 4) {
        memcpy(&v4, s, sizeof v4);
        memcpy(ret->bytes, &v4.sin_addr, 4);
    } else {
        memcpy(&v6, s, sizeof v6);
        memcpy(ret->bytes, &v6.sin6_addr, 16);
    }
    return true;
}

static bool parse(struct address *ret, const char *text)
{
    ret->family = strchr(text, ':') ? AF_INET6 : AF_INET;
    ret->size = ret->family == AF_INET ? 4 : 16;
    return inet_pton(ret->family, text, ret->bytes) == 1;
}

/* Do the first `bits` agree? */
static bool same(const struct address *a, const struct address *b, unsigned bits)
{
    if (a->family != b->family || bits > a->size * 8)
        return false;
    for (unsigned i = 0; i < bits; i++)
        if ((a->bytes[i / 8] ^ b->bytes[i / 8]) >> (7 - i % 8) & 1)
            return false;
    return true;
}

static void print(char ret[INTERFACE_ADDRESS], const struct address *a)
{
    inet_ntop(a->family, a->bytes, ret, INTERFACE_ADDRESS);
}

/* What cluster.interface selects. */
struct selection {
    const char *name; /* of an interface; NULL: it is an address or a network */
    struct address network;
    unsigned bits;
};

static void parse_selection(struct selection *ret, const char *text)
{
    char copy[INTERFACE_ADDRESS];
    snprintf(copy, sizeof copy, "%s", text);
    char *slash = strchr(copy, '/'), *end = NULL;
    if (slash)
        *slash = 0;
    ret->name = parse(&ret->network, copy) ? NULL : text;
    ret->bits = slash ? (unsigned)strtoul(slash + 1, &end, 10) : (unsigned)ret->network.size * 8;
    if (slash && (end == slash + 1 || *end))
        ret->name = text;
}

static bool selects(const struct selection *w, const struct ifaddrs *at, const struct address *a)
{
    if (a->family == AF_INET6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80)
        return false; /* link-local: means nothing without its interface */
    return w->name ? !strcmp(w->name, at->ifa_name) : same(a, &w->network, w->bits);
}

static int choose(char ret[INTERFACE_ADDRESS], const char *wanted, const struct ifaddrs *all, struct error *e)
{
    struct selection selection;
    struct address a, found = {0};
    struct buffer there = {0};
    parse_selection(&selection, wanted);
    for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
        if (!(at->ifa_flags & IFF_UP) || !address_of(&a, at->ifa_addr))
            continue;
        print(ret, &a);
        buffer_printf(&there, "%s%s %s", there.size ? ", " : "", at->ifa_name, ret);
        if (selects(&selection, at, &a) && (!found.family || (found.family == AF_INET6 && a.family == AF_INET)))
            found = a;
    }
    if (found.family)
        print(ret, &found);
    else
        error_set(e, ERROR_USAGE, "cluster.interface: this host has no interface, address or network \"%s\"; it has %.700s",
                  wanted, there.size ? there.data : "none");
    buffer_free(&there);
    return found.family ? 0 : -1;
}

/* Our address on the way to another; nothing is sent. */
static bool source_towards(char ret[INTERFACE_ADDRESS], const struct sockaddr *to, socklen_t size)
{
    struct sockaddr_storage ours;
    socklen_t ours_size = sizeof ours;
    struct address a;
    int s = socket(to->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool found = s >= 0 && !connect(s, to, size) && !getsockname(s, (struct sockaddr *)&ours, &ours_size) &&
                 address_of(&a, (struct sockaddr *)&ours);
    if (s >= 0)
        close(s);
    if (found)
        print(ret, &a);
    return found;
}

static bool towards_host(char ret[INTERFACE_ADDRESS], const char *host)
{
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *list = NULL;
    bool found = false;
    if (!host || getaddrinfo(host, "9", &hints, &list))
        return false;
    for (const struct addrinfo *at = list; at && !found; at = at->ai_next)
        found = source_towards(ret, at->ai_addr, at->ai_addrlen);
    freeaddrinfo(list);
    return found;
}

static bool towards_world(char ret[INTERFACE_ADDRESS])
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
    inet_pton(AF_INET, "192.0.2.1", &to.sin_addr); /* kept free for examples: never anybody's, so the default route is taken */
    return source_towards(ret, (struct sockaddr *)&to, sizeof to);
}

static void first_of_ours(char ret[INTERFACE_ADDRESS], const struct ifaddrs *all)
{
    struct address a;
    snprintf(ret, INTERFACE_ADDRESS, "127.0.0.1");
    for (const struct ifaddrs *at = all; at; at = at->ifa_next)
        if (at->ifa_flags & IFF_UP && !(at->ifa_flags & IFF_LOOPBACK) && address_of(&a, at->ifa_addr) && a.family == AF_INET) {
            print(ret, &a);
            return;
        }
}

int interface_address(char ret[INTERFACE_ADDRESS], const char *wanted, const char *peer, struct error *e)
{
    struct ifaddrs *all = NULL;
    int status = 0;
    if (!wanted && (towards_host(ret, peer) || towards_world(ret)))
        return 0;
    if (getifaddrs(&all))
        return error_errno(e, errno, "cannot list the network addresses of this host");
    if (wanted)
        status = choose(ret, wanted, all, e);
    else
        first_of_ours(ret, all);
    freeifaddrs(all);
    return status;
}

bool interface_is_portable(const char *wanted)
{
    struct address a;
    return !parse(&a, wanted);
}

static bool is_ours(const struct address *a)
{
    struct ifaddrs *all = NULL;
    struct address ours;
    bool found = false;
    if (getifaddrs(&all))
        return false;
    for (const struct ifaddrs *at = all; at && !found; at = at->ifa_next)
        found = address_of(&ours, at->ifa_addr) && same(&ours, a, (unsigned)a->size * 8);
    freeifaddrs(all);
    return found;
}

bool interface_is_local(const char *name)
{
    char host[MACHINE_NAME];
    struct addrinfo hints = {.ai_socktype = SOCK_DGRAM}, *list = NULL;
    machine_name(host, sizeof host);
    size_t first = strcspn(host, ".");
    if (!strcmp(name, host) || (strlen(name) == first && !strncmp(name, host, first)) || !strcmp(name, "localhost"))
        return true;
    if (getaddrinfo(name, NULL, &hints, &list))
        return false;
    struct address a;
    bool here = address_of(&a, list->ai_addr) && is_ours(&a);
    freeaddrinfo(list);
    return here;
}

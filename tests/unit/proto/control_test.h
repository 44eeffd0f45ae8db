/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends of a control connection in one process, and a TCP relay between them that can be cut. For one test file each. */
#pragma once

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "proto/dialer.h"
#include "proto/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE 30.0 /* seconds that a busy machine is given */

static inline struct listener *open_listener(struct connection *c)
{
    struct listener *l;
    struct error e = {0};
    if (listener_create(&l, "127.0.0.1", &e))
        fail_msg("%s", e.message);
    listener_connection(l, c);
    return l;
}

static inline struct dialer *dial(const struct connection *c, const char *name)
{
    struct dialer *d;
    struct error e = {0};
    if (dialer_create(&d, c, name, &e))
        fail_msg("%s", e.message);
    return d;
}

static inline void wait_for_line(struct dialer *d, enum line_state expected)
{
    double end = clock_seconds() + PATIENCE;
    while (dialer_line(d, NULL) != expected && clock_seconds() < end)
        dialer_wait(d, -1, 0.1);
    if (dialer_line(d, NULL) != expected)
        fail_msg("expected line state %d; found %d", (int)expected, (int)dialer_line(d, NULL));
}

static inline void send_text(struct dialer *d, const char *text)
{
    double end = clock_seconds() + PATIENCE;
    while (!dialer_send(d, text)) {
        if (clock_seconds() > end)
            fail_msg("expected: '%.40s' can be sent", text);
        dialer_wait(d, -1, 0.02);
    }
}

/* The next message at the listener must be this one. */
static inline void expect_at_listener(struct listener *l, const char *peer, const char *text)
{
    char from[PEER_NAME];
    const char *bytes;
    size_t size;
    struct error e = {0};
    int taken = 0;
    for (double end = clock_seconds() + PATIENCE; !taken && clock_seconds() < end;)
        taken = listener_receive(l, from, &bytes, &size, 0.5, &e);
    if (taken != 1)
        fail_msg("expected: '%.40s' of %s; found: nothing %s", text, peer, e.message);
    if (strcmp(from, peer) || size != strlen(text) || memcmp(bytes, text, size))
        fail_msg("expected: '%.40s' (%zu bytes) of %s; found: '%.40s' (%zu bytes) of %s", text, strlen(text), peer, bytes, size,
                 from);
}

static inline void expect_nothing_at_listener(struct listener *l, double seconds)
{
    char from[PEER_NAME];
    const char *bytes;
    size_t size;
    struct error e = {0};
    int taken = listener_receive(l, from, &bytes, &size, seconds, &e);
    if (taken)
        fail_msg("expected: no message; found: '%.*s' of %s", taken == 1 ? (int)size : 0, taken == 1 ? bytes : "",
                 taken == 1 ? from : "?");
}

static inline void expect_at_dialer(struct dialer *d, const char *text)
{
    const char *bytes;
    size_t size;
    double end = clock_seconds() + PATIENCE;
    while (!dialer_receive(d, &bytes, &size)) {
        if (clock_seconds() > end)
            fail_msg("expected: '%.40s'; found: nothing", text);
        dialer_wait(d, -1, 0.1);
    }
    if (size != strlen(text) || memcmp(bytes, text, size))
        fail_msg("expected: '%s'; found: '%.*s'", text, (int)size, bytes);
}

static inline uint16_t port_of(const struct connection *c)
{
    return (uint16_t)atoi(strrchr(c->endpoint, ':') + 1);
}

/* A TCP connection to a port of this host. */
static inline int connect_plain(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) {
        perror("connect");
        abort();
    }
    return fd;
}

/* Stands between a dialer and a listener, one connection at a time. */
struct relay {
    int listening, commands[2];
    uint16_t port, to;
    pthread_t thread;
    char endpoint[64];
};

static inline int listen_on(uint16_t *port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) ||
        bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 8) ||
        getsockname(fd, (struct sockaddr *)&address, &size)) {
        perror("relay");
        abort();
    }
    *port = ntohs(address.sin_port);
    return fd;
}

static inline void relay_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* false: the other side is gone. */
static inline bool relay_copy(int from, int to)
{
    char bytes[65536];
    ssize_t size = read(from, bytes, sizeof bytes);
    for (ssize_t done = 0, wrote; done < size; done += wrote)
        if ((wrote = send(to, bytes + done, (size_t)(size - done), MSG_NOSIGNAL)) < 0)
            return false;
    return size > 0;
}

static inline void *relay_run(void *argument)
{
    struct relay *r = argument;
    int in = -1, out = -1;
    for (char command = 0; command != 'q';) {
        struct pollfd at[] = {{r->commands[0], POLLIN, 0}, {r->listening, POLLIN, 0}, {in, POLLIN, 0}, {out, POLLIN, 0}};
        poll(at, 4, -1);
        if (at[0].revents && read(r->commands[0], &command, 1) == 1 && command != 'o') {
            relay_close(&in);
            relay_close(&out);
            relay_close(&r->listening);
            continue;
        }
        if (command == 'o' && r->listening < 0)
            r->listening = listen_on(&r->port);
        if (at[1].revents & POLLIN) {
            relay_close(&in);
            relay_close(&out);
            in = accept4(r->listening, NULL, NULL, SOCK_CLOEXEC);
            out = connect_plain(r->to);
            continue;
        }
        if ((at[2].revents && !relay_copy(in, out)) || (at[3].revents && !relay_copy(out, in))) {
            relay_close(&in);
            relay_close(&out);
        }
    }
    return NULL;
}

static inline void relay_start(struct relay *r, struct connection *c /* endpoint becomes the relay's */)
{
    *r = (struct relay){.to = port_of(c)};
    r->listening = listen_on(&r->port);
    if (pipe(r->commands) || pthread_create(&r->thread, NULL, relay_run, r))
        abort();
    snprintf(r->endpoint, sizeof r->endpoint, "tcp://127.0.0.1:%d", r->port);
    c->endpoint = r->endpoint;
}

/* 'c': cut, nobody gets through; 'o': open again; 'q': ends. */
static inline void relay_tell(struct relay *r, char command)
{
    if (write(r->commands[1], &command, 1) != 1)
        abort();
    if (command != 'q')
        return;
    pthread_join(r->thread, NULL);
    close(r->commands[0]);
    close(r->commands[1]);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/dialer.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "proto/message.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define MONITOR "inproc://line"
#define EVENTS                                                                                                                   \
    (ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |                     \
     ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_DISCONNECTED)

struct dialer {
    void *context, *socket, *monitor;
    enum line_state line;
    double since;
    zmq_msg_t message;
};

static int set_numbers(void *socket)
{
    static const struct {
        int option, value;
    } numbers[] = {
        {ZMQ_LINGER, 2000},         {ZMQ_HEARTBEAT_IVL, 2000}, {ZMQ_HEARTBEAT_TIMEOUT, 10000},
        {ZMQ_HANDSHAKE_IVL, 10000}, {ZMQ_RECONNECT_IVL, 100},  {ZMQ_RECONNECT_IVL_MAX, 2000},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (zmq_setsockopt(socket, numbers[i].option, &numbers[i].value, sizeof numbers[i].value))
            return -1;
    int64_t limit = MESSAGE_LIMIT + CONNECTION_OVERHEAD;
    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &limit, sizeof limit);
}

static int set_keys(void *socket, const struct connection *c)
{
    return zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, c->server_key, strlen(c->server_key) + 1) ||
           zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, c->public_key, strlen(c->public_key) + 1) ||
           zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, c->secret_key, strlen(c->secret_key) + 1);
}

int dialer_create(struct dialer **ret, const struct connection *c, const char *name, struct error *e)
{
    struct dialer *d = allocate(1, sizeof *d);
    zmq_msg_init(&d->message);
    d->since = clock_seconds();
    d->context = zmq_ctx_new();
    d->socket = d->context ? zmq_socket(d->context, ZMQ_DEALER) : NULL;
    d->monitor = d->context ? zmq_socket(d->context, ZMQ_PAIR) : NULL;
    if (!d->socket || !d->monitor || set_numbers(d->socket) || zmq_setsockopt(d->socket, ZMQ_ROUTING_ID, name, strlen(name)) ||
        zmq_socket_monitor(d->socket, MONITOR, EVENTS) || zmq_connect(d->monitor, MONITOR)) {
        error_set(e, ERROR_FAILED, "control connection: cannot create the socket: %s", zmq_strerror(errno));
        goto fail;
    }
    if (set_keys(d->socket, c)) {
        error_set(e, ERROR_FAILED, "control connection: a key in the connection file is not a CURVE key");
        goto fail;
    }
    int v6 = strchr(c->endpoint, '[') != NULL;
    if (zmq_setsockopt(d->socket, ZMQ_IPV6, &v6, sizeof v6) || zmq_connect(d->socket, c->endpoint)) {
        error_set(e, ERROR_FAILED, "control connection: \"%s\" is not a valid endpoint: %s", c->endpoint, zmq_strerror(errno));
        goto fail;
    }
    *ret = d;
    return 0;
fail:
    dialer_destroy(&d);
    return -1;
}

void dialer_destroy(struct dialer **dialer)
{
    struct dialer *d = dialer ? *dialer : NULL;
    if (!d)
        return;
    zmq_msg_close(&d->message);
    int none = 0;
    if (d->socket) {
        if (d->line != LINE_UP) /* nobody to send the rest to */
            zmq_setsockopt(d->socket, ZMQ_LINGER, &none, sizeof none);
        zmq_socket_monitor(d->socket, NULL, 0);
        zmq_close(d->socket);
    }
    if (d->monitor) {
        zmq_setsockopt(d->monitor, ZMQ_LINGER, &none, sizeof none);
        zmq_close(d->monitor);
    }
    if (d->context)
        zmq_ctx_term(d->context);
    free(d);
    *dialer = NULL;
}

static void change_line(struct dialer *d, enum line_state line)
{
    if (d->line == line)
        return;
    d->line = line;
    d->since = clock_seconds();
}

/* Takes one monitor event: a frame with 16 bits of event and 32 of value, then one with the address. */
static bool take_event(struct dialer *d)
{
    unsigned char head[8];
    char address[8];
    if (zmq_recv(d->monitor, head, sizeof head, ZMQ_DONTWAIT) < 6)
        return false;
    zmq_recv(d->monitor, address, sizeof address, ZMQ_DONTWAIT);
    uint16_t event;
    memcpy(&event, head, sizeof event);
    if (event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED)
        change_line(d, LINE_UP);
    else if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH || event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
        change_line(d, LINE_REFUSED);
    else if (d->line == LINE_UP)
        change_line(d, LINE_DOWN);
    return true;
}

void dialer_wait(struct dialer *d, int descriptor, double seconds)
{
    zmq_pollitem_t items[] = {{d->socket, 0, ZMQ_POLLIN, 0}, {d->monitor, 0, ZMQ_POLLIN, 0}, {NULL, descriptor, ZMQ_POLLIN, 0}};
    zmq_poll(items, descriptor < 0 ? 2 : 3, (long)(seconds * 1000));
    while (take_event(d))
        ;
}

int dialer_receive(struct dialer *d, const char **bytes, size_t *size)
{
    if (zmq_msg_recv(&d->message, d->socket, ZMQ_DONTWAIT) < 0)
        return 0;
    *bytes = zmq_msg_data(&d->message);
    *size = zmq_msg_size(&d->message);
    return 1;
}

bool dialer_send(struct dialer *d, const char *text)
{
    return zmq_send(d->socket, text, strlen(text), ZMQ_DONTWAIT) >= 0;
}

enum line_state dialer_line(const struct dialer *d, double *since)
{
    if (since)
        *since = d->since;
    return d->line;
}

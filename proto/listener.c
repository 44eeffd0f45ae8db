/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/listener.h"

#include "common/base/log.h"
#include "common/base/memory.h"
#include "proto/message.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

struct listener {
    void *context, *socket, *zap_socket;
    pthread_t zap_thread;
    bool zap_running; /* zap_thread runs */
    char server_public[CONNECTION_KEY], server_secret[CONNECTION_KEY], worker_public[CONNECTION_KEY],
        worker_secret[CONNECTION_KEY];
    char endpoint[256];
    zmq_msg_t message;
};

/* zap_thread answers libzmq's authentication requests (RFC 27, ZAP): version, request id, domain, address,
 * identity, mechanism, 32 bytes of public key; the answer is version, request id, status, words, user, metadata. */
enum { ZAP_VERSION, ZAP_ID, ZAP_DOMAIN, ZAP_ADDRESS, ZAP_IDENTITY, ZAP_MECHANISM, ZAP_KEY, ZAP_FRAMES };

struct frame {
    char bytes[256];
    int size;
};

/* Number of frames of the request, or -1 when the context ends. */
static int receive_request(void *zap_socket, struct frame frames[ZAP_FRAMES])
{
    for (int i = 0;; i++) {
        struct frame spare, *f = i < ZAP_FRAMES ? &frames[i] : &spare;
        f->size = zmq_recv(zap_socket, f->bytes, sizeof f->bytes - 1, 0);
        if (f->size < 0 && errno == EINTR) {
            i--;
            continue;
        }
        if (f->size < 0)
            return -1;
        if (f->size > (int)sizeof f->bytes - 1)
            f->size = 0; /* cut by zmq_recv: no field of a good request is this long */
        f->bytes[f->size] = 0;
        int more;
        size_t more_size = sizeof more;
        if (zmq_getsockopt(zap_socket, ZMQ_RCVMORE, &more, &more_size) || !more)
            return i + 1;
    }
}

static bool authorize(const struct listener *l, const struct frame frames[ZAP_FRAMES], int count)
{
    char key[CONNECTION_KEY];
    return count == ZAP_FRAMES && !strcmp(frames[ZAP_MECHANISM].bytes, "CURVE") && frames[ZAP_KEY].size == 32 &&
           zmq_z85_encode(key, (const uint8_t *)frames[ZAP_KEY].bytes, 32) && !strcmp(key, l->worker_public);
}

static void *run_zap(void *argument)
{
    struct listener *l = argument;
    struct frame frames[ZAP_FRAMES];
    for (int count; (count = receive_request(l->zap_socket, frames)) >= 0;) {
        bool good = authorize(l, frames, count);
        zmq_send(l->zap_socket, "1.0", 3, ZMQ_SNDMORE);
        zmq_send(l->zap_socket, frames[ZAP_ID].bytes, count > ZAP_ID ? (size_t)frames[ZAP_ID].size : 0, ZMQ_SNDMORE);
        zmq_send(l->zap_socket, good ? "200" : "400", 3, ZMQ_SNDMORE);
        zmq_send(l->zap_socket, good ? "OK" : "unknown key", good ? 2 : 11, ZMQ_SNDMORE);
        zmq_send(l->zap_socket, "", 0, ZMQ_SNDMORE);
        zmq_send(l->zap_socket, "", 0, 0);
        if (!good)
            log_warn("rejected connection: unknown key");
    }
    zmq_close(l->zap_socket); /* by its own thread: a socket has one at a time */
    return NULL;
}

static int start_zap(struct listener *l, struct error *e)
{
    l->zap_socket = zmq_socket(l->context, ZMQ_REP);
    if (!l->zap_socket || zmq_bind(l->zap_socket, "inproc://zeromq.zap.01")) {
        error_set(e, ERROR_FAILED, "control connection: cannot start the ZAP handler: %s", zmq_strerror(errno));
        if (l->zap_socket)
            zmq_close(l->zap_socket);
        return -1;
    }
    sigset_t all, before; /* signals belong to the owner's thread, and end its wait */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int number = pthread_create(&l->zap_thread, NULL, run_zap, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (number) {
        zmq_close(l->zap_socket);
        return error_errno(e, number, "control connection: cannot start the ZAP handler");
    }
    l->zap_running = true;
    return 0;
}

static int set_numbers(void *socket)
{
    static const struct {
        int option, value;
    } numbers[] = {
        {ZMQ_CURVE_SERVER, 1},
        {ZMQ_ROUTER_HANDOVER, 1}, /* a worker that reconnects keeps its name */
        {ZMQ_BACKLOG, 1024},      /* a sweep's groups may all call at once */
        {ZMQ_ROUTER_MANDATORY, 1},
        {ZMQ_LINGER, 1000},
        {ZMQ_HEARTBEAT_IVL, 2000}, /* so that both sides notice a dead network; a busy coordinator's library still answers */
        {ZMQ_HEARTBEAT_TIMEOUT, 10000},
        {ZMQ_HANDSHAKE_IVL, 10000},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (zmq_setsockopt(socket, numbers[i].option, &numbers[i].value, sizeof numbers[i].value))
            return -1;
    int64_t limit = MESSAGE_LIMIT + CONNECTION_OVERHEAD;
    return zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &limit, sizeof limit);
}

static int open_socket(struct listener *l, const char *address, struct error *e)
{
    int v6 = strchr(address, ':') != NULL;
    size_t size = sizeof l->endpoint;
    l->socket = zmq_socket(l->context, ZMQ_ROUTER);
    snprintf(l->endpoint, sizeof l->endpoint, v6 ? "tcp://[%s]:*" : "tcp://%s:*", address);
    if (!l->socket || set_numbers(l->socket) || zmq_setsockopt(l->socket, ZMQ_IPV6, &v6, sizeof v6) ||
        zmq_setsockopt(l->socket, ZMQ_ZAP_DOMAIN, "muster", 6) ||
        zmq_setsockopt(l->socket, ZMQ_CURVE_SECRETKEY, l->server_secret, CONNECTION_KEY))
        return error_set(e, ERROR_FAILED, "control connection: cannot create the socket: %s", zmq_strerror(errno));
    if (zmq_bind(l->socket, l->endpoint) || zmq_getsockopt(l->socket, ZMQ_LAST_ENDPOINT, l->endpoint, &size))
        return error_set(e, ERROR_FAILED, "control connection: cannot bind a port of %s: %s", address, zmq_strerror(errno));
    return 0;
}

int listener_create(struct listener **ret, const char *address, struct error *e)
{
    struct listener *l = allocate(1, sizeof *l);
    zmq_msg_init(&l->message);
    l->context = zmq_ctx_new();
    if (!l->context || zmq_curve_keypair(l->server_public, l->server_secret) ||
        zmq_curve_keypair(l->worker_public, l->worker_secret)) {
        error_set(e, ERROR_FAILED, "control connection: cannot create keys: %s (is this libzmq built with CURVE?)",
                  zmq_strerror(errno));
        goto fail;
    }
    if (start_zap(l, e) || open_socket(l, address, e)) /* ZAP first: without a handler libzmq accepts every key */
        goto fail;
    *ret = l;
    return 0;
fail:
    listener_destroy(&l);
    return -1;
}

void listener_destroy(struct listener **listener)
{
    struct listener *l = listener ? *listener : NULL;
    if (!l)
        return;
    zmq_msg_close(&l->message);
    if (l->socket)
        zmq_close(l->socket);
    if (l->context)
        zmq_ctx_shutdown(l->context);
    if (l->zap_running)
        pthread_join(l->zap_thread, NULL);
    if (l->context)
        zmq_ctx_term(l->context);
    explicit_bzero(l, sizeof *l);
    free(l);
    *listener = NULL;
}

void listener_connection(const struct listener *l, struct connection *ret)
{
    *ret = (struct connection){
        .endpoint = (char *)(uintptr_t)l->endpoint,
        .server_key = (char *)(uintptr_t)l->server_public,
        .public_key = (char *)(uintptr_t)l->worker_public,
        .secret_key = (char *)(uintptr_t)l->worker_secret,
    };
}

static bool printable(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    return size > 0;
}

/* Frames of one message: name, body. 1: taken; 0: nothing there; -1: broken. A message of another form is eaten and not reported.
 */
static int receive_now(struct listener *l, char peer[PEER_NAME], struct error *e)
{
    for (;;) {
        char name[256];
        int size = zmq_recv(l->socket, name, sizeof name, ZMQ_DONTWAIT), frames = 1, more = 0;
        size_t more_size = sizeof more;
        if (size < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (size < 0)
            return error_set(e, ERROR_FAILED, "control connection: receiving failed: %s", zmq_strerror(errno));
        while (!zmq_getsockopt(l->socket, ZMQ_RCVMORE, &more, &more_size) && more) {
            if (zmq_msg_recv(&l->message, l->socket, ZMQ_DONTWAIT) < 0)
                break;
            frames++;
        }
        if (frames != 2 || size >= PEER_NAME || !printable(name, (size_t)size))
            continue;
        memcpy(peer, name, (size_t)size);
        peer[size] = 0;
        return 1;
    }
}

int listener_receive(struct listener *l, char peer[PEER_NAME], const char **bytes, size_t *size, double seconds, struct error *e)
{
    int taken = receive_now(l, peer, e);
    if (!taken && seconds > 0) {
        zmq_pollitem_t item = {l->socket, 0, ZMQ_POLLIN, 0};
        zmq_poll(&item, 1, (long)(seconds * 1000));
        taken = receive_now(l, peer, e);
    }
    if (taken == 1) {
        *bytes = zmq_msg_data(&l->message);
        *size = zmq_msg_size(&l->message);
    }
    return taken;
}

bool listener_send(struct listener *l, const char *peer, const char *text)
{
    return zmq_send(l->socket, peer, strlen(peer), ZMQ_SNDMORE | ZMQ_DONTWAIT) >= 0 &&
           zmq_send(l->socket, text, strlen(text), ZMQ_DONTWAIT) >= 0;
}

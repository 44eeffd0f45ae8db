/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/dispatch/metrics_server.h"

#include "common/base/memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS_MOST 16u
#define SILENCE_MOST 10u /* seconds */
#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct metrics_server {
    struct MHD_Daemon *daemon;
    pthread_mutex_t lock; /* of the text */
    char *text;
};

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *type, const char *text, size_t size)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(size, (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    if (!r)
        return MHD_NO;
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return result;
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *c, const char *url, const char *method,
                                  const char *version, const char *body, size_t *body_size, void **state)
{
    static const char elsewhere[] = "metrics are at /metrics\n", otherwise[] = "only GET and HEAD are allowed\n";
    struct metrics_server *s = context;
    (void)version, (void)body, (void)state;
    *body_size = 0; /* a request body is ignored */
    if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD))
        return answer(c, MHD_HTTP_METHOD_NOT_ALLOWED, "text/plain", otherwise, sizeof otherwise - 1);
    if (strcmp(url, "/metrics"))
        return answer(c, MHD_HTTP_NOT_FOUND, "text/plain", elsewhere, sizeof elsewhere - 1);
    pthread_mutex_lock(&s->lock);
    enum MHD_Result result = answer(c, MHD_HTTP_OK, CONTENT_TYPE, s->text, strlen(s->text));
    pthread_mutex_unlock(&s->lock);
    return result;
}

/* Signals belong to the coordinator's own thread. */
static struct MHD_Daemon *start(struct metrics_server *s, int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct MHD_Daemon *daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD, (uint16_t)port, NULL, NULL, on_request, s,
                                                 MHD_OPTION_SOCK_ADDR, &address, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MOST,
                                                 MHD_OPTION_CONNECTION_TIMEOUT, SILENCE_MOST, MHD_OPTION_END);
    int number = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = number;
    return daemon;
}

int metrics_server_create(struct metrics_server **ret, int port, struct error *e)
{
    struct metrics_server *s = allocate(1, sizeof *s);
    pthread_mutex_init(&s->lock, NULL);
    s->text = duplicate("");
    s->daemon = start(s, port);
    if (!s->daemon) {
        error_errno(e, errno, "cluster.metrics_port: cannot listen at 127.0.0.1:%d; choose another port, or 0 for any", port);
        e->kind = ERROR_USAGE;
        metrics_server_destroy(&s);
        return -1;
    }
    *ret = s;
    return 0;
}

void metrics_server_destroy(struct metrics_server **server)
{
    struct metrics_server *s = server ? *server : NULL;
    if (!s)
        return;
    if (s->daemon)
        MHD_stop_daemon(s->daemon);
    pthread_mutex_destroy(&s->lock);
    free(s->text);
    free(s);
    *server = NULL;
}

int metrics_server_port(const struct metrics_server *s)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : 0;
}

void metrics_server_set(struct metrics_server *s, char *text)
{
    pthread_mutex_lock(&s->lock);
    char *before = s->text;
    s->text = text;
    pthread_mutex_unlock(&s->lock);
    free(before);
}

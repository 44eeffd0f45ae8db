/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/serve/http.h"

#include "common/base/clock.h"
#include "common/base/memory.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <linux/tcp.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#define HEADERS_MOST 8
#define DROPPED_MOST ((size_t)64 << 20) /* bytes of a refused body that are read, so that the client reads the answer */
#define CONNECTION_MEMORY 32768         /* bytes of a request's head */
#define UNREAD_MOST ((size_t)1 << 20)   /* bytes behind what is no HTTP that are read: a reset would take the answer along */

/* Whom a connection waits for: a client may be slow, the server's own time is never counted as the client's. */
enum phase {
    PHASE_RECEIVES, /* for the rest of a request, or for its first byte */
    PHASE_WORKS,    /* for the server */
    PHASE_SENDS     /* for the client, to take the answer */
};

struct connection {
    struct http_server *server;
    struct connection *next, *before;
    int socket;
    bool answers; /* MHD_queue_response is called by this file, and not by the library itself */
    enum phase phase;
    double since;   /* of PHASE_SENDS: the client has taken something */
    uint64_t taken; /* bytes that the client has acknowledged */
};

struct http_exchange {
    struct http_server *server;
    struct connection *connection;
    struct MHD_Connection *mhd;
    char *method, *path;
    struct buffer body;
    size_t dropped;
    double started;
    bool waiting, woken, closes;
    void *state;
    struct MHD_Response *response;
    int status;
    struct {
        char *name, *value;
    } headers[HEADERS_MOST];
    size_t header_count;
};

struct http_server {
    struct MHD_Daemon *daemon;
    struct http_handler handler;
    struct http_options options;
    pthread_mutex_t lock; /* of the list of connections, and what stands in them */
    struct connection *connections;
    unsigned connection_count;
    atomic_uint exchanges;
    atomic_bool quiet;
};

/* ---- an exchange ---- */

const char *http_method(const struct http_exchange *x)
{
    return x->method;
}

const char *http_path(const struct http_exchange *x)
{
    return x->path;
}

const char *http_header(struct http_exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, name);
}

struct lengths {
    unsigned content_length, transfer_encoding;
};

static enum MHD_Result count_length(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    struct lengths *l = context;
    (void)kind, (void)value;
    l->content_length += strcasecmp(name, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0;
    l->transfer_encoding += strcasecmp(name, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0;
    return MHD_YES;
}

bool http_is_ambiguous(struct http_exchange *x)
{
    struct lengths l = {0};
    MHD_get_connection_values(x->mhd, MHD_HEADER_KIND, count_length, &l);
    const char *encoding = http_header(x, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    return l.content_length + l.transfer_encoding > 1 || (encoding && strcasecmp(encoding, "chunked") != 0);
}

const struct buffer *http_body(const struct http_exchange *x)
{
    return &x->body;
}

double http_started(const struct http_exchange *x)
{
    return x->started;
}

void *http_state(const struct http_exchange *x)
{
    return x->state;
}

void http_set_state(struct http_exchange *x, void *state)
{
    x->state = state;
}

int http_status(const struct http_exchange *x)
{
    return x->status;
}

static void set_phase(struct http_server *s, struct connection *n, enum phase phase)
{
    if (!n)
        return;
    pthread_mutex_lock(&s->lock);
    n->phase = phase;
    n->since = clock_seconds();
    pthread_mutex_unlock(&s->lock);
}

bool http_client_left(const struct http_exchange *x)
{
    struct pollfd p = {.fd = x->connection ? x->connection->socket : -1, .events = POLLRDHUP};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLRDHUP | POLLHUP | POLLERR));
}

void http_wait(struct http_exchange *x)
{
    x->waiting = true;
    MHD_suspend_connection(x->mhd);
}

void http_resume(struct http_exchange *x)
{
    MHD_resume_connection(x->mhd);
}

void http_close(struct http_exchange *x)
{
    http_add_header(x, MHD_HTTP_HEADER_CONNECTION, "close");
    x->closes = true;
}

void http_add_header(struct http_exchange *x, const char *name, const char *value)
{
    if (x->header_count == HEADERS_MOST)
        return;
    x->headers[x->header_count].name = duplicate(name);
    x->headers[x->header_count++].value = duplicate(value);
}

static void set_response(struct http_exchange *x, int status, const char *type, struct MHD_Response *r)
{
    if (!r)
        return;
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    for (size_t i = 0; i < x->header_count; i++)
        MHD_add_response_header(r, x->headers[i].name, x->headers[i].value);
    if (x->server->quiet && !x->closes)
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONNECTION, "close");
    x->response = r;
    x->status = status;
}

void http_answer(struct http_exchange *x, int status, const char *type, char *body, size_t size)
{
    set_response(x, status, type, MHD_create_response_from_buffer(size, body, MHD_RESPMEM_MUST_FREE));
}

void http_answer_static(struct http_exchange *x, int status, const char *type, const void *body, size_t size)
{
    set_response(x, status, type, MHD_create_response_from_buffer(size, (void *)(uintptr_t)body, MHD_RESPMEM_PERSISTENT));
}

static enum MHD_Result send_answer(struct http_exchange *x)
{
    if (!x->response)
        return MHD_NO;
    set_phase(x->server, x->connection, PHASE_SENDS);
    if (x->connection)
        x->connection->answers = true;
    return MHD_queue_response(x->mhd, (unsigned)x->status, x->response);
}

static struct connection *connection_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static struct http_exchange *begin(struct http_server *s, struct MHD_Connection *c, const char *path, const char *method)
{
    struct http_exchange *x = allocate(1, sizeof *x);
    *x = (struct http_exchange){.server = s,
                                .mhd = c,
                                .method = duplicate(method),
                                .path = duplicate(path),
                                .started = clock_seconds(),
                                .connection = connection_of(c)};
    s->exchanges++;
    set_phase(s, x->connection, PHASE_RECEIVES);
    return x;
}

/* A piece of the body; more than is allowed is not kept. */
static enum MHD_Result take_body(struct http_exchange *x, const char *bytes, size_t *size)
{
    if (!x->response && x->body.size + *size <= x->server->options.body_most + 1)
        buffer_append(&x->body, bytes, *size);
    else if (!x->response)
        buffer_append(&x->body, bytes, x->server->options.body_most + 1 - x->body.size);
    x->dropped += *size;
    *size = 0;
    return x->dropped > DROPPED_MOST + x->server->options.body_most ? MHD_NO : MHD_YES;
}

/* Of a body that is too long one byte more than allowed is kept: the handler sees that. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *c, const char *path, const char *method,
                                  const char *version, const char *bytes, size_t *size, void **state)
{
    struct http_server *s = context;
    struct http_exchange *x = *state;
    (void)version;
    if (!x) {
        x = *state = begin(s, c, path, method);
        s->handler.begin(s->handler.context, x);
        return x->closes ? send_answer(x) : MHD_YES;
    }
    if (*size)
        return take_body(x, bytes, size);
    if (x->waiting && !x->woken) {
        x->woken = true;
        s->handler.resumed(s->handler.context, x);
        return send_answer(x);
    }
    set_phase(s, x->connection, PHASE_WORKS);
    if (!x->response)
        s->handler.handle(s->handler.context, x);
    return x->waiting ? MHD_YES : send_answer(x);
}

static void on_end(void *context, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode why)
{
    struct http_server *s = context;
    struct http_exchange *x = *state;
    (void)c, (void)why;
    if (!x)
        return;
    s->handler.ended(s->handler.context, x);
    set_phase(s, x->connection, PHASE_RECEIVES);
    if (x->connection)
        x->connection->answers = false;
    if (x->response)
        MHD_destroy_response(x->response);
    for (size_t i = 0; i < x->header_count; i++) {
        free(x->headers[i].name);
        free(x->headers[i].value);
    }
    buffer_free(&x->body);
    free(x->method);
    free(x->path);
    free(x);
    *state = NULL;
    s->exchanges--;
}

/* ---- connections ---- */

static struct connection *connection_open(struct http_server *s, struct MHD_Connection *c)
{
    struct connection *n = allocate(1, sizeof *n);
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    *n = (struct connection){.server = s, .socket = info ? info->connect_fd : -1, .since = clock_seconds()};
    pthread_mutex_lock(&s->lock);
    n->next = s->connections;
    if (n->next)
        n->next->before = n;
    s->connections = n;
    s->connection_count++;
    pthread_mutex_unlock(&s->lock);
    return n;
}

static void connection_close(struct http_server *s, struct connection *n)
{
    pthread_mutex_lock(&s->lock);
    if (n->next)
        n->next->before = n->before;
    if (n->before)
        n->before->next = n->next;
    else
        s->connections = n->next;
    s->connection_count--;
    pthread_mutex_unlock(&s->lock);
    free(n);
}

static void on_connection(void *context, struct MHD_Connection *c, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http_server *s = context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = connection_open(s, c);
    } else if (*socket_context) {
        connection_close(s, *socket_context);
        *socket_context = NULL;
    }
}

/* ---- what is no HTTP ---- */

static void refuse_malformed(struct connection *n, unsigned status)
{
    char date[40], head[400], rest[4096];
    time_t now = time(NULL);
    struct tm utc;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &utc));
    char *body = n->server->handler.malformed(n->server->handler.context, (int)status);
    int size = snprintf(head, sizeof head,
                        "HTTP/1.1 %u %s\r\nDate: %s\r\nConnection: close\r\nContent-Type: application/json\r\n"
                        "X-Content-Type-Options: nosniff\r\nContent-Length: %zu\r\n\r\n",
                        status, MHD_get_reason_phrase_for(status), date, strlen(body));
    struct iovec parts[] = {{head, (size_t)size}, {body, strlen(body)}};
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    sendmsg(n->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    free(body);
    for (size_t taken = 0; taken < UNREAD_MOST;) {
        ssize_t got = recv(n->socket, rest, sizeof rest, MSG_DONTWAIT);
        if (got <= 0)
            return;
        taken += (size_t)got;
    }
}

/* A function of libmicrohttpd, found here before its own, as any symbol of a program is. The library answers a malformed head or
 * body before any callback, with HTML, for which it has no option; 0.9.75 sends the head of some of these twice. It does so by
 * this function: here such an answer is sent as the server's own, and MHD_NO has the library close the connection. */
enum MHD_Result MHD_queue_response(struct MHD_Connection *c, unsigned status, struct MHD_Response *r)
{
    static _Atomic(enum MHD_Result(*)(struct MHD_Connection *, unsigned, struct MHD_Response *)) next;
    struct connection *n = connection_of(c);
    if (n && !n->answers) {
        refuse_malformed(n, status);
        return MHD_NO;
    }
    if (!next) {
        enum MHD_Result (*found)(struct MHD_Connection *, unsigned, struct MHD_Response *);
        *(void **)&found = dlsym(RTLD_NEXT, "MHD_queue_response");
        next = found;
    }
    return next(c, status, r);
}

/* ---- slow clients ---- */

/* Bytes have come that the server has not read. */
static bool has_unread(const struct connection *n)
{
    int bytes = 0;
    return ioctl(n->socket, FIONREAD, &bytes) == 0 && bytes > 0;
}

/* Notes whether the client has taken more of the answer, or nothing lies ready for it. */
static void note_taken(struct connection *n, double now)
{
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    if (getsockopt(n->socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
        return;
    if (info.tcpi_bytes_acked != n->taken || info.tcpi_unacked + info.tcpi_notsent_bytes == 0)
        n->since = now;
    n->taken = info.tcpi_bytes_acked;
}

void http_server_check_slow(struct http_server *s)
{
    double now = clock_seconds(), oldest = now - s->options.receive_most;
    pthread_mutex_lock(&s->lock);
    for (struct connection *n = s->connections; n; n = n->next) {
        if (n->socket < 0 || n->phase == PHASE_WORKS)
            continue;
        if (n->phase == PHASE_SENDS)
            note_taken(n, now);
        if (n->since < oldest && !(n->phase == PHASE_RECEIVES && has_unread(n)))
            shutdown(n->socket, SHUT_RDWR); /* libmicrohttpd sees its end and closes it */
    }
    pthread_mutex_unlock(&s->lock);
}

unsigned http_server_connections(struct http_server *s)
{
    pthread_mutex_lock(&s->lock);
    unsigned count = s->connection_count;
    pthread_mutex_unlock(&s->lock);
    return count;
}

/* ---- the server ---- */

static int read_address(struct sockaddr_storage *ret, socklen_t *size, const char *host, int port)
{
    struct sockaddr_in *four = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)ret;
    memset(ret, 0, sizeof *ret);
    if (strcmp(host, "localhost") == 0)
        host = "127.0.0.1";
    if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
        *size = sizeof *four;
        return 0;
    }
    if (inet_pton(AF_INET6, host, &six->sin6_addr) != 1)
        return -1;
    six->sin6_family = AF_INET6;
    six->sin6_port = htons((uint16_t)port);
    *size = sizeof *six;
    return 0;
}

bool http_is_loopback(const char *host)
{
    struct sockaddr_storage a;
    socklen_t size;
    if (read_address(&a, &size, host, 0) != 0)
        return false;
    if (a.ss_family == AF_INET)
        return (ntohl(((struct sockaddr_in *)&a)->sin_addr.s_addr) >> 24) == 127;
    return IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)&a)->sin6_addr);
}

/* So many files may be open as there are connections. */
static void raise_limit(int connections)
{
    struct rlimit files;
    rlim_t wanted = (rlim_t)connections + 64;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= wanted)
        return;
    files.rlim_cur = files.rlim_max < wanted ? files.rlim_max : wanted;
    setrlimit(RLIMIT_NOFILE, &files);
}

static struct MHD_Daemon *start(struct http_server *s, const struct sockaddr_storage *address, unsigned flags)
{
    const struct http_options *o = &s->options;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    struct MHD_Daemon *daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | flags, (uint16_t)o->port, NULL, NULL,
                         on_request, s, MHD_OPTION_SOCK_ADDR, address, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)o->threads,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)o->connections_most, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                         (size_t)CONNECTION_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_COMPLETED, on_end, s,
                         MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_LISTEN_BACKLOG_SIZE, 1024u, MHD_OPTION_END);
    int number = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = number;
    return daemon;
}

int http_server_create(struct http_server **ret, const struct http_options *o, const struct http_handler *h, struct error *e)
{
    struct sockaddr_storage address;
    socklen_t size;
    if (read_address(&address, &size, o->host, o->port) != 0)
        return error_set(e, ERROR_USAGE, "--host: \"%s\" is no IP address; give one such as 127.0.0.1 or ::1", o->host);
    struct http_server *s = allocate(1, sizeof *s);
    s->handler = *h;
    s->options = *o;
    pthread_mutex_init(&s->lock, NULL);
    raise_limit(o->connections_most);
    errno = 0;
    s->daemon = start(s, &address, address.ss_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    if (!s->daemon) {
        if (errno == EADDRNOTAVAIL)
            error_set(e, ERROR_USAGE, "--host: %s is no address of this machine; 'ip address' lists them", o->host);
        else
            error_errno(e, errno, "--port: cannot listen at %s port %d; choose another, or 0 for any that is free", o->host,
                        o->port);
        e->kind = ERROR_USAGE;
        http_server_destroy(&s);
        return -1;
    }
    *ret = s;
    return 0;
}

int http_server_port(const struct http_server *s)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : 0;
}

void http_server_quiesce(struct http_server *s)
{
    s->quiet = true;
    MHD_socket listening = MHD_quiesce_daemon(s->daemon);
    if (listening != MHD_INVALID_SOCKET)
        shutdown(listening, SHUT_RDWR);
}

unsigned http_server_exchanges(struct http_server *s)
{
    return s->exchanges;
}

void http_server_destroy(struct http_server **server)
{
    struct http_server *s = server ? *server : NULL;
    if (!s)
        return;
    if (s->daemon)
        MHD_stop_daemon(s->daemon);
    pthread_mutex_destroy(&s->lock);
    free(s);
    *server = NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes on a connection of `muster serve`, which end there: what comes back are whole answers of HTTP/1.x, the last of them,
 * where the bytes are no HTTP, the handler's; and no exchange stays behind. */
#include "check.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "coordinator/serve/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_MOST (1 << 20) /* bytes of the answers to one input */
#define WAIT_MOST 20.0        /* seconds */
#define SLOW 0.02             /* seconds after which a request that has no end is given up */
#define DONE "done"
#define MALFORMED "{\"malformed\": 400}"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void begin(void *context, struct http_exchange *x)
{
    (void)context;
    if (!http_is_ambiguous(x))
        return;
    http_close(x);
    http_answer_static(x, 400, "application/json", MALFORMED, strlen(MALFORMED));
}

static void handle(void *context, struct http_exchange *x)
{
    (void)context;
    CHECK(http_body(x)->size <= 101);
    http_answer_static(x, 200, "text/plain", DONE, strlen(DONE));
}

static void nothing(void *context, struct http_exchange *x)
{
    (void)context, (void)x;
}

static char *malformed(void *context, int status)
{
    (void)context;
    return format_string("{\"malformed\": %d}", status);
}

/* Started once. */
static struct http_server *server(void)
{
    static struct http_server *s;
    const struct http_handler handler = {NULL, begin, handle, nothing, nothing, malformed};
    const struct http_options options = {
        .host = "127.0.0.1", .threads = 1, .connections_most = 16, .body_most = 100, .receive_most = SLOW};
    struct error e;
    if (!s)
        CHECK(http_server_create(&s, &options, &handler, &e) == 0);
    return s;
}

static int connect_client(void)
{
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)http_server_port(server())),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(fd >= 0);
    CHECK(connect(fd, (const struct sockaddr *)&to, sizeof to) == 0);
    return fd;
}

/* The next bytes that come back; 0: the end; -1: the connection was reset. */
static ssize_t receive(int fd, char *to, size_t most)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t got;
    for (double until = clock_seconds() + WAIT_MOST; poll(&p, 1, 10) <= 0;) {
        http_server_check_slow(server());
        CHECK(clock_seconds() < until);
    }
    while ((got = recv(fd, to, most, 0)) < 0 && errno == EINTR) /* libFuzzer's clock */
        ;
    CHECK(got >= 0 || errno == ECONNRESET);
    return got;
}

/* All that comes back, with a NUL behind it. true: to its end; false: the connection was reset. */
static bool exchange(char *answer, size_t *size, const uint8_t *data, size_t count)
{
    ssize_t got = 0;
    int fd = connect_client();
    for (ssize_t sent; count && (sent = send(fd, data, count, MSG_NOSIGNAL)) > 0; data += sent)
        count -= (size_t)sent;
    shutdown(fd, SHUT_WR);
    for (*size = 0; (got = receive(fd, answer + *size, ANSWER_MOST - *size)) > 0;)
        *size += (size_t)got;
    answer[*size] = 0;
    close(fd);
    return got == 0;
}

/* Behind the answer that begins at `at`. */
static const char *skip_answer(const char *at)
{
    const char *body = strstr(at, "\r\n\r\n");
    CHECK((strncmp(at, "HTTP/1.1 ", 9) == 0 || strncmp(at, "HTTP/1.0 ", 9) == 0) && body);
    int status = atoi(at + 9);
    body += 4;
    if (status == 100)
        return body;
    const char *length = strstr(at, "\r\nContent-Length: ");
    CHECK(status >= 200 && status < 600 && length && length < body);
    size_t size = (size_t)atoi(length + 18);
    if (status == 200) /* HEAD has no body */
        return size == strlen(DONE) && strncmp(body, DONE, size) == 0 ? body + size : body;
    CHECK(strlen(body) == size && strncmp(body, "{\"malformed\": ", 14) == 0);
    return body + size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char answer[ANSWER_MOST + 1];
    size_t got;
    bool whole = exchange(answer, &got, data, size);
    for (const char *at = answer; whole && at < answer + got;)
        at = skip_answer(at);
    for (double until = clock_seconds() + WAIT_MOST; http_server_exchanges(server()) > 0;)
        CHECK(clock_seconds() < until);
    return 0;
}

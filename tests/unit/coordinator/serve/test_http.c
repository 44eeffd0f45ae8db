/* SPDX-License-Identifier: Apache-2.0 */
/* Whose time it is: the server's own work, however long, closes no connection; a client that does not send, or does not take its
 * answer, is closed; one that has gone is noticed while its request waits. */
#include "common/base/clock.h"
#include "common/base/error.h"
#include "coordinator/serve/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 0.4               /* seconds that a client may take */
#define LONG (4 * MOST)        /* that the server takes */
#define BIG ((size_t)24 << 20) /* of an answer: more than the sockets hold */

static struct server {
    struct http_server *http;
    pthread_t checker;
    atomic_bool ends;
    _Atomic(struct http_exchange *) waiting;
} server;

/* ---- the handler: /block works on the thread of HTTP, /wait is resumed by the test, /big has a big answer ---- */

static void begin(void *context, struct http_exchange *x)
{
    (void)context, (void)x;
}

static void answer(struct http_exchange *x)
{
    static const char text[] = "done";
    http_answer_static(x, 200, "text/plain", text, sizeof text - 1);
}

static void handle(void *context, struct http_exchange *x)
{
    struct server *s = context;
    if (strcmp(http_path(x), "/wait") == 0) {
        http_wait(x);
        s->waiting = x;
        return;
    }
    if (strcmp(http_path(x), "/block") == 0)
        clock_sleep(LONG);
    if (strcmp(http_path(x), "/big") == 0)
        http_answer(x, 200, "text/plain", calloc(BIG, 1), BIG);
    else
        answer(x);
}

static void resumed(void *context, struct http_exchange *x)
{
    (void)context;
    answer(x);
}

static void ended(void *context, struct http_exchange *x)
{
    (void)context, (void)x;
}

static char *malformed(void *context, int status)
{
    char *text = malloc(32);
    (void)context;
    snprintf(text, 32, "{\"malformed\": %d}", status);
    return text;
}

static void *check(void *context)
{
    struct server *s = context;
    for (; !s->ends; clock_sleep(0.02))
        http_server_check_slow(s->http);
    return NULL;
}

static int start(void **state)
{
    const struct http_handler handler = {&server, begin, handle, resumed, ended, malformed};
    const struct http_options o = {
        .host = "127.0.0.1", .threads = 1, .connections_most = 50, .body_most = 1 << 20, .receive_most = MOST};
    struct error e;
    (void)state;
    if (http_server_create(&server.http, &o, &handler, &e) != 0) {
        print_error("%s\n", e.message);
        return -1;
    }
    server.ends = false;
    server.waiting = NULL;
    return pthread_create(&server.checker, NULL, check, &server);
}

static int stop(void **state)
{
    (void)state;
    server.ends = true;
    pthread_join(server.checker, NULL);
    http_server_destroy(&server.http);
    return 0;
}

/* ---- clients ---- */

static int connect_client(void)
{
    const struct sockaddr_in a = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)http_server_port(server.http)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval most = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&a, sizeof a), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    return fd;
}

static void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void ask(int fd, const char *path)
{
    char text[200];
    snprintf(text, sizeof text, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", path);
    send_text(fd, text);
}

/* The server's end of the connection is closed within `most` seconds. */
static bool is_closed(int fd, double most)
{
    char piece[4096];
    double until = clock_seconds() + most;
    while (clock_seconds() < until) {
        ssize_t got = recv(fd, piece, sizeof piece, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return true;
        clock_sleep(0.01);
    }
    return false;
}

static void expect_done(int fd)
{
    char text[1000] = "";
    size_t size = 0;
    ssize_t got;
    while (!strstr(text, "done") && (got = recv(fd, text + size, sizeof text - 1 - size, 0)) > 0)
        size += (size_t)got;
    if (strncmp(text, "HTTP/1.1 200", 12) != 0 || !strstr(text, "done"))
        fail_msg("expected an answer, found \"%s\"", text);
    close(fd);
}

static struct http_exchange *wait_for_exchange(void)
{
    struct http_exchange *x;
    for (double until = clock_seconds() + 20; !(x = atomic_exchange(&server.waiting, NULL)); clock_sleep(0.005))
        assert_true(clock_seconds() < until);
    return x;
}

/* ---- tests ---- */

static void work_on_the_thread_of_http(void **state)
{
    (void)state;
    int first = connect_client(), others[10];
    for (int i = 0; i < 10; i++)
        others[i] = connect_client();
    for (int i = 0; i < 5; i++) /* half of a request, before the thread is at work */
        send_text(others[i], "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n");
    ask(first, "/block");
    clock_sleep(MOST / 4);
    for (int i = 0; i < 10; i++)
        if (i < 5)
            send_text(others[i], "hello");
        else
            ask(others[i], "/");
    for (int i = 0; i < 10; i++)
        expect_done(others[i]);
    expect_done(first);
}

static void work_elsewhere(void **state)
{
    (void)state;
    int fd = connect_client();
    ask(fd, "/wait");
    struct http_exchange *x = wait_for_exchange();
    clock_sleep(LONG);
    assert_false(http_client_left(x));
    http_resume(x);
    expect_done(fd);
}

static void client_that_leaves(void **state)
{
    (void)state;
    int fd = connect_client();
    ask(fd, "/wait");
    struct http_exchange *x = wait_for_exchange();
    assert_false(http_client_left(x));
    close(fd);
    for (double until = clock_seconds() + 20; !http_client_left(x); clock_sleep(0.005))
        assert_true(clock_seconds() < until);
    http_resume(x);
}

static void client_that_does_not_send(void **state)
{
    static const char *const sent[] = {"", "POST / HTTP/1.1\r\nHost: x\r\n",
                                       "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhel"};
    (void)state;
    for (int i = 0; i < 3; i++) {
        int fd = connect_client();
        send_text(fd, sent[i]);
        double start = clock_seconds();
        assert_true(is_closed(fd, 20));
        assert_true(clock_seconds() - start > MOST / 2);
        close(fd);
    }
    int fd = connect_client(); /* and one that sends a byte now and then */
    send_text(fd, "POST / HTTP/1.1\r\nHost: x\r\nX: ");
    double start = clock_seconds();
    while (!is_closed(fd, 0.05) && clock_seconds() - start < 20)
        send(fd, "x", 1, MSG_NOSIGNAL);
    assert_true(clock_seconds() - start < 20);
    close(fd);
}

static void answer_that_is_not_taken(void **state)
{
    char piece[4096];
    (void)state;
    int fd = connect_client();
    ask(fd, "/big");
    clock_sleep(LONG);
    size_t size = 0;
    for (ssize_t got; (got = recv(fd, piece, sizeof piece, 0)) > 0;)
        size += (size_t)got;
    assert_true(size < BIG);
    close(fd);
}

static void answer_that_is_taken_slowly(void **state)
{
    static char piece[1 << 16];
    (void)state;
    int fd = connect_client();
    ask(fd, "/big");
    size_t size = 0, pause = BIG / 12;
    double start = clock_seconds();
    while (size < BIG) {
        ssize_t got = recv(fd, piece, sizeof piece, 0);
        assert_true(got > 0);
        size += (size_t)got;
        if (size > pause) { /* each of which is allowed, and all of them take longer than MOST */
            pause += BIG / 12;
            clock_sleep(MOST / 4);
        }
    }
    assert_true(clock_seconds() - start > MOST);
    close(fd);
}

/* All that comes until the end of the connection. */
static void exchange(char text[4096], const char *request)
{
    size_t size = 0;
    int fd = connect_client();
    send_text(fd, request);
    for (ssize_t got; (got = recv(fd, text + size, 4095 - size, 0)) > 0;)
        size += (size_t)got;
    text[size] = 0;
    close(fd);
}

/* What is no HTTP gets one whole answer, the handler's, and the connection is closed. */
static void expect_refusal(const char *request, int status)
{
    char text[4096], head[32], body[32], length[40];
    exchange(text, request);
    snprintf(head, sizeof head, "HTTP/1.1 %d ", status);
    snprintf(body, sizeof body, "\r\n\r\n{\"malformed\": %d}", status);
    snprintf(length, sizeof length, "\r\nContent-Length: %zu\r\n", strlen(body) - 4);
    const char *end = strlen(text) < strlen(body) ? text : text + strlen(text) - strlen(body);
    if (strncmp(text, head, strlen(head)) != 0 || strcmp(end, body) != 0 || strstr(text + 1, "HTTP/1.1") ||
        !strstr(text, length) || !strstr(text, "\r\nContent-Type: application/json\r\n") ||
        !strstr(text, "\r\nConnection: close\r\n"))
        fail_msg("\"%.60s\": expected status %d, \"%s\" and the end of the connection; found \"%s\"", request, status, body + 4,
                 text);
}

static void what_is_no_http(void **state)
{
    static char most[33000];
    const char *const chunked = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
    (void)state;
    expect_refusal("GET / HTTP/9.9\r\nHost: x\r\n\r\n", 505);
    expect_refusal("GET / HTTP/0.9\r\nHost: x\r\n\r\n", 505);
    expect_refusal("GET / HTTQ/1.1\r\nHost: x\r\n\r\n", 400);
    expect_refusal("GET / HTTP/1.1\r\n\r\n", 400);
    expect_refusal("GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400);
    expect_refusal("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5x\r\n\r\n", 400);
    expect_refusal("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", 400);
    expect_refusal("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 413);
    snprintf(most, sizeof most, "%sZZZ\r\n", chunked);
    expect_refusal(most, 400);
    snprintf(most, sizeof most, "%s5\r\nhelloo\r\n", chunked);
    expect_refusal(most, 400);
    snprintf(most, sizeof most, "%sffffffffffffffffff\r\n", chunked);
    expect_refusal(most, 413);
    memset(most, 'a', sizeof most - 1);
    memcpy(most, "GET /", 5);
    expect_refusal(most, 414);
    memcpy(most, "GET / HTTP/1.1\r\nX: ", 19);
    expect_refusal(most, 431);
    char text[4096];
    exchange(text, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/9.9\r\nHost: x\r\n\r\n");
    const char *first = strstr(text, "done");
    if (!first || strncmp(first + 4, "HTTP/1.1 505 ", 13) != 0)
        fail_msg("behind a good request: expected its answer and status 505, found \"%s\"", text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(work_on_the_thread_of_http, start, stop),
        cmocka_unit_test_setup_teardown(work_elsewhere, start, stop),
        cmocka_unit_test_setup_teardown(client_that_leaves, start, stop),
        cmocka_unit_test_setup_teardown(client_that_does_not_send, start, stop),
        cmocka_unit_test_setup_teardown(answer_that_is_not_taken, start, stop),
        cmocka_unit_test_setup_teardown(answer_that_is_taken_slowly, start, stop),
        cmocka_unit_test_setup_teardown(what_is_no_http, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

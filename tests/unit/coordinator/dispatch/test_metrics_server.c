/* SPDX-License-Identifier: Apache-2.0 */
/* GET /metrics by real sockets: HTTP as a client sees it, spoken here by hand; many askers and a writer at once; the bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "coordinator/dispatch/metrics_server.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE 60 /* seconds that a busy machine is given */

static struct metrics_server *open_server(void)
{
    struct metrics_server *s;
    struct error e = {0};
    if (metrics_server_create(&s, 0, &e))
        fail_msg("%s", e.message);
    return s;
}

static int try_to_connect(struct in_addr host, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = host};
    struct timeval patience = {PATIENCE, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (!connect(fd, (struct sockaddr *)&address, sizeof address))
        return fd;
    close(fd);
    return -1;
}

static int connect_to(int port)
{
    return try_to_connect((struct in_addr){htonl(INADDR_LOOPBACK)}, port);
}

/* Sends the request and reads until the server closes. Caller frees; "": nothing came. */
static char *ask(int port, const char *request, size_t size)
{
    struct buffer b = {0};
    char bytes[4096];
    int fd = connect_to(port);
    buffer_text(&b, "");
    if (fd < 0)
        return b.data;
    if (send(fd, request, size, MSG_NOSIGNAL) >= 0)
        for (ssize_t n; (n = recv(fd, bytes, sizeof bytes, 0)) > 0;)
            buffer_append(&b, bytes, (size_t)n);
    close(fd);
    return b.data;
}

static char *ask_text(int port, const char *request)
{
    return ask(port, request, strlen(request));
}

static void expect_status(int port, const char *request, const char *status, const char *header, const char *body)
{
    char *answer = ask_text(port, request), *end = strstr(answer, "\r\n\r\n");
    if (strncmp(answer, "HTTP/1.1 ", 9) || strncmp(answer + 9, status, strlen(status)))
        fail_msg("%.60s: expected: status %s; found: %.200s", request, status, answer);
    if (header && !strcasestr(answer, header))
        fail_msg("%.60s: expected: %s; found: %s", request, header, answer);
    if (!end || (body && strcmp(end + 4, body)))
        fail_msg("%.60s: expected the body '%s'; found: '%s'", request, body, end ? end + 4 : answer);
    free(answer);
}

#define GET "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

static void test_answers(void **state)
{
    (void)state;
    struct metrics_server *s = open_server();
    int port = metrics_server_port(s);
    assert_true(port > 0 && port < 65536);
    expect_status(port, GET, "200", "content-type: text/plain; version=0.0.4; charset=utf-8", ""); /* nothing is set yet */
    metrics_server_set(s, duplicate("muster_groups{state=\"busy\"} 2\n"));
    expect_status(port, GET, "200", "content-length: 30\r\n", "muster_groups{state=\"busy\"} 2\n");
    metrics_server_set(s, duplicate("b 1\n"));
    expect_status(port, GET, "200", "content-length: 4\r\n", "b 1\n");
    expect_status(port, "GET /metrics?debug=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "200", NULL, "b 1\n");
    expect_status(port, "HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "200", "content-length: 4\r\n", "");
    expect_status(port, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404", NULL, "metrics are at /metrics\n");
    expect_status(port, "GET /metrics/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404", NULL, NULL);
    expect_status(port, "GET /../metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404", NULL, NULL);
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        char request[256];
        snprintf(request, sizeof request,
                 "%s /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello", methods[i]);
        expect_status(port, request, "405", "allow: GET, HEAD\r\n", NULL);
    }
    metrics_server_destroy(&s);
    assert_null(s);
    metrics_server_destroy(&s);
    metrics_server_destroy(NULL);
    assert_int_equal(connect_to(port), -1); /* nobody listens any more */
}

static void test_large_text(void **state)
{
    (void)state;
    struct metrics_server *s = open_server();
    size_t size = 8u << 20;
    char *text = allocate(size + 1, 1);
    for (size_t i = 0; i < size; i++)
        text[i] = (char)('a' + i * 7 % 26);
    metrics_server_set(s, duplicate(text));
    expect_status(metrics_server_port(s), GET, "200", "content-length: 8388608\r\n", text);
    free(text);
    metrics_server_destroy(&s);
}

static void test_taken_port(void **state)
{
    (void)state;
    struct metrics_server *s = open_server(), *second = NULL;
    struct error e = {0};
    char words[32];
    assert_int_equal(metrics_server_create(&second, metrics_server_port(s), &e), -1);
    assert_null(second);
    assert_int_equal(e.kind, ERROR_USAGE);
    snprintf(words, sizeof words, "127.0.0.1:%d", metrics_server_port(s));
    if (!strstr(e.message, "cluster.metrics_port") || !strstr(e.message, words) || !strstr(e.message, "choose another"))
        fail_msg("expected: the key, %s and what to do; found: %s", words, e.message);
    int port = metrics_server_port(s);
    metrics_server_destroy(&s);
    if (metrics_server_create(&second, port, &e)) /* given back at once */
        fail_msg("%s", e.message);
    assert_int_equal(metrics_server_port(second), port);
    metrics_server_destroy(&second);
}

/* Only the loopback interface: no other address of this host answers. */
static void test_loopback_only(void **state)
{
    (void)state;
    struct metrics_server *s = open_server();
    struct ifaddrs *all;
    size_t tried = 0;
    assert_int_equal(getifaddrs(&all), 0);
    for (struct ifaddrs *i = all; i; i = i->ifa_next) {
        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || i->ifa_flags & IFF_LOOPBACK)
            continue;
        tried++;
        int fd = try_to_connect(((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr, metrics_server_port(s));
        if (fd >= 0)
            fail_msg("expected: %s does not answer", i->ifa_name);
    }
    freeifaddrs(all);
    /* The kernel's own list, for machines without another address: 0100007F is 127.0.0.1. */
    char line[512], ours[32];
    bool found = false;
    snprintf(ours, sizeof ours, " 0100007F:%04X ", metrics_server_port(s));
    FILE *f = fopen("/proc/net/tcp", "r");
    while (f && fgets(line, sizeof line, f))
        found = found || (strstr(line, ours) && strstr(line, " 0A ")); /* 0A: listens */
    if (f)
        fclose(f);
    assert_true(found);
    print_message("%zu other addresses tried\n", tried);
    metrics_server_destroy(&s);
}

/* Requests that are none end their own connection, and no other. */
static void test_garbage(void **state)
{
    (void)state;
    struct metrics_server *s = open_server();
    int port = metrics_server_port(s);
    metrics_server_set(s, duplicate("a 1\n"));
    char noise[20000];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)(i * 2654435761u >> 13);
    free(ask(port, noise, sizeof noise));
    free(ask_text(port, "\r\n\r\n\r\nGET\r\n\r\n"));
    free(ask_text(port, "GET /metrics HTTP/9.9\r\n\r\n"));
    struct buffer b = {0}; /* a header beyond all bounds */
    buffer_text(&b, "GET /metrics HTTP/1.1\r\nHost: x\r\nX: ");
    for (int i = 0; i < 200000; i++)
        buffer_append(&b, "y", 1);
    buffer_text(&b, "\r\nConnection: close\r\n\r\n");
    free(ask(port, b.data, b.size));
    buffer_free(&b);
    expect_status(port, GET, "200", NULL, "a 1\n");
    metrics_server_destroy(&s);
}

/* As many silent connections as are allowed, and more: after their time they make room. */
static void test_silent_connections(void **state)
{
    (void)state;
    struct metrics_server *s = open_server();
    int port = metrics_server_port(s), fds[40];
    metrics_server_set(s, duplicate("a 1\n"));
    for (size_t i = 0; i < 40; i++)
        fds[i] = connect_to(port);
    double began = clock_seconds();
    char *answer = NULL;
    for (;; free(answer)) {
        answer = ask_text(port, GET);
        if (strstr(answer, "a 1\n"))
            break;
        if (clock_seconds() - began > PATIENCE)
            fail_msg("expected: an answer once the silent ones are dropped; found: none in %d s", PATIENCE);
        clock_sleep(0.2);
    }
    free(answer);
    for (size_t i = 0; i < 40; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    began = clock_seconds();
    fds[0] = connect_to(port); /* destroy does not wait for who says nothing */
    metrics_server_destroy(&s);
    assert_true(clock_seconds() - began < 5);
    close(fds[0]);
}

/* ---- threads ---- */

struct asker {
    pthread_t thread;
    int port, asked;
    atomic_bool *stop;
    bool torn; /* an answer was a mixture */
};

static void *run_asker(void *argument)
{
    struct asker *a = argument;
    while (!atomic_load(a->stop)) {
        char *answer = ask_text(a->port, GET), *body = strstr(answer, "\r\n\r\n");
        if (body && body[4]) {
            a->asked++;
            for (const char *at = body + 4; *at; at++)
                a->torn = a->torn || *at != body[4];
        }
        free(answer);
    }
    return NULL;
}

/* A text is given out whole, whenever it is replaced. */
static void test_set_while_asked(void **state)
{
    (void)state;
    enum { ASKERS = 3 };
    struct metrics_server *s = open_server();
    struct asker askers[ASKERS];
    atomic_bool stop = false;
    for (int i = 0; i < ASKERS; i++) {
        askers[i] = (struct asker){.port = metrics_server_port(s), .stop = &stop};
        assert_int_equal(pthread_create(&askers[i].thread, NULL, run_asker, &askers[i]), 0);
    }
    double end = clock_seconds() + 2;
    for (int i = 0; clock_seconds() < end; i++) {
        size_t size = 1000 + (size_t)(i * 7919 % 100000);
        char *text = allocate(size + 1, 1);
        memset(text, 'a' + i % 26, size);
        metrics_server_set(s, text);
    }
    atomic_store(&stop, true);
    int asked = 0;
    for (int i = 0; i < ASKERS; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_false(askers[i].torn);
        asked += askers[i].asked;
    }
    print_message("%d answers\n", asked);
    assert_true(asked > 0);
    metrics_server_destroy(&s);
}

static int open_to_signals(void)
{
    int open = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *entry; (entry = readdir(tasks));) {
        char path[300], line[256];
        unsigned long long blocked = 0;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        FILE *f = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
        if (!f)
            continue;
        while (fgets(line, sizeof line, f))
            if (sscanf(line, "SigBlk: %llx", &blocked) == 1)
                break;
        fclose(f);
        open += !(blocked >> (SIGTERM - 1) & 1);
    }
    closedir(tasks);
    return open;
}

/* The server's threads take no signal of the coordinator's, whose own mask stays as it is. */
static void test_signals(void **state)
{
    (void)state;
    int before = open_to_signals();
    sigset_t mask;
    struct metrics_server *s = open_server();
    free(ask_text(metrics_server_port(s), GET)); /* its thread runs: while it starts, it takes none in any case */
    assert_int_equal(open_to_signals(), before);
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_false(sigismember(&mask, SIGTERM));
    metrics_server_destroy(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),         cmocka_unit_test(test_large_text), cmocka_unit_test(test_taken_port),
        cmocka_unit_test(test_loopback_only),   cmocka_unit_test(test_garbage),    cmocka_unit_test(test_silent_connections),
        cmocka_unit_test(test_set_while_asked), cmocka_unit_test(test_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 with bodies of limited size; the owner of libmicrohttpd here. A pool of threads with epoll reads requests and calls
 * the handler; an exchange that waits for something else holds no thread. Signals are blocked in all its threads. */
#pragma once

#include "common/base/buffer.h"
#include "common/base/error.h"

#include <stdbool.h>

struct http_server;
struct http_exchange;

struct http_handler {
    void *context;
    /* The head of a request is there. May answer at once (http_answer): its body is then read and dropped. */
    void (*begin)(void *context, struct http_exchange *x);
    /* The body is whole. Answers, or calls http_wait and has http_resume called later. */
    void (*handle)(void *context, struct http_exchange *x);
    void (*resumed)(void *context, struct http_exchange *x); /* after http_resume: answers, or not: the connection is closed */
    /* The answer is sent, or the client is gone. Frees what http_set_state left. */
    void (*ended)(void *context, struct http_exchange *x);
    /* What came is no HTTP/1.1: the body (JSON, malloc) of the answer with that status, behind which the connection is closed. */
    char *(*malformed)(void *context, int status);
};

struct http_options {
    const char *host; /* an address, or "localhost" */
    int port;         /* 0: any */
    int threads;
    int connections_most;
    size_t body_most;    /* bytes */
    double receive_most; /* seconds in which a request has to be there, that a connection may be idle, or an answer untaken */
};

/* ERROR_USAGE: no such address, port taken or not allowed. */
int http_server_create(struct http_server **ret, const struct http_options *o, const struct http_handler *h, struct error *e);
int http_server_port(const struct http_server *s);
/* Once a second: closes connections whose client takes longer than receive_most. Time in which the server has a request and no
 * answer, or bytes that it has not read, is its own. */
void http_server_check_slow(struct http_server *s);
void http_server_quiesce(struct http_server *s);       /* takes no connection any more; answers close theirs */
unsigned http_server_exchanges(struct http_server *s); /* begun and not ended */
unsigned http_server_connections(struct http_server *s);
void http_server_destroy(struct http_server **s); /* no exchange may be waiting */
bool http_is_loopback(const char *host);

/* ---- of an exchange, in its callbacks ---- */

const char *http_method(const struct http_exchange *x);
const char *http_path(const struct http_exchange *x);               /* decoded, without the query */
const char *http_header(struct http_exchange *x, const char *name); /* NULL: not there */
bool http_is_ambiguous(struct http_exchange *x);                    /* its length is said twice: request smuggling */
const struct buffer *http_body(const struct http_exchange *x);
double http_started(const struct http_exchange *x); /* clock_seconds */
void *http_state(const struct http_exchange *x);
void http_set_state(struct http_exchange *x, void *state);
int http_status(const struct http_exchange *x); /* of the answer; 0: none */

void http_close(struct http_exchange *x); /* in begin, which answers: at once, and what the client still sends is not looked at */
void http_wait(struct http_exchange *x);  /* in handle, before anybody can resume it */
bool http_client_left(const struct http_exchange *x); /* while it waits, from any thread: its end of the connection is closed */
void http_resume(struct http_exchange *x);            /* from any thread, once */
void http_add_header(struct http_exchange *x, const char *name, const char *value); /* before http_answer; copied; 8 at most */
/* Takes `body` (malloc). */
void http_answer(struct http_exchange *x, int status, const char *type, char *body, size_t size);
/* Of bytes that stay where they are. */
void http_answer_static(struct http_exchange *x, int status, const char *type, const void *body, size_t size);

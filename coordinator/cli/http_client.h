/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to a server, one after the other over one connection; the owner of libcurl. Blocks; of one thread. */
#pragma once

#include "common/base/buffer.h"
#include "common/base/error.h"

struct http_client;

struct http_reply {
    long status;
    struct buffer body; /* buffer_free it */
    double after;       /* seconds of Retry-After; 0: none */
};

/* key: for "Authorization: Bearer"; NULL: none. ERROR_USAGE: no http:// or https:// URL. */
int http_client_create(struct http_client **ret, const char *url, const char *key, struct error *e);
void http_client_destroy(struct http_client **c);
/* path is appended to the URL; body NULL: GET, else POST of JSON. ERROR_FAILED: nobody answers. ERROR_STOPPED after a signal. */
int http_client_ask(struct http_reply *ret, struct http_client *c, const char *path, const struct buffer *body, struct error *e);

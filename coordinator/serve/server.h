/* SPDX-License-Identifier: Apache-2.0 */
/* muster serve: bundles behind HTTP, from the first line of its log to the last answer. */
#pragma once

#include "common/base/error.h"

#include <stdbool.h>
#include <stddef.h>

struct server_bundle {
    const char *name; /* NULL: as its inference_config.json has it */
    const char *path;
};

struct server_options {
    const struct server_bundle *bundles; /* the first is the default */
    size_t bundle_count;
    const char *host, *device;
    int port, threads;        /* threads of a scoring worker; 0: all cores */
    const char *api_key_file; /* NULL: none */
    bool open;                /* another address than loopback without a key */
    const char *cors;         /* an origin, or "*"; NULL: none */
    size_t batch_tokens, queue_tokens, body_most, items_most, text_most;
    double wait, receive_most; /* seconds */
    int connections_most;
};

/* Blocks until SIGTERM or SIGINT: takes no new work then, answers what it has, and returns 0. SIGHUP: the bundles' rules are read
 * again. ERROR_USAGE, ERROR_DATA: it cannot start. */
int server_run(const struct server_options *o, struct error *e);

/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a server, for server.c, which owns its life, and routes.c, which answers. */
#pragma once

#include "coordinator/serve/api_keys.h"
#include "coordinator/serve/classify.h"
#include "coordinator/serve/counters.h"
#include "coordinator/serve/http.h"
#include "coordinator/serve/scoring_worker.h"
#include "coordinator/serve/server.h"
#include "coordinator/serve/task_pool.h"

#include <stdatomic.h>

enum server_phase { SERVER_LOADING, SERVER_READY, SERVER_DRAINING };

struct server {
    const struct server_options *options;
    struct api_keys *keys; /* NULL: everybody may */
    struct served_model **models;
    struct scoring_worker **workers; /* of the models; the engine's thread's, once there is one */
    size_t count;
    struct http_server *http;
    struct task_pool *pool; /* reads and answers large requests */
    struct engine *engine;  /* NULL while loading */
    struct counters *counters;
    atomic_int phase;
    int threads;
    char device[256]; /* what computes; set before phase is SERVER_READY */
    double started;
};

bool routes_client_left(void *server, const struct engine_job *job); /* for engine_options.left */

/* http_handler, with the server as its context. */
void routes_begin(void *server, struct http_exchange *x);
void routes_handle(void *server, struct http_exchange *x);
void routes_resumed(void *server, struct http_exchange *x);
void routes_ended(void *server, struct http_exchange *x);

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

/* Models that one worker scores: one, or several that share a base. */
struct scoring_group {
    struct scoring_worker *worker; /* the engine's thread's, once there is one */
    struct served_model **models;  /* (count) */
    size_t count;
};

struct server {
    const struct server_options *options;
    struct api_keys *keys; /* NULL: everybody may */
    struct served_model **models;
    size_t count;
    struct scoring_group *groups; /* (group_count) */
    size_t group_count;
    struct {
        size_t group, number; /* its place in the group */
    } * places;               /* of the models */
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
char *routes_malformed(void *server, int status);

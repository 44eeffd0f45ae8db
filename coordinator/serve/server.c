/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/serve/server.h"

#include "cluster/local_device.h"
#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/machine.h"
#include "common/base/memory.h"
#include "common/base/stop.h"
#include "coordinator/serve/server_state.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_ROWS 4096
#define HTTP_THREADS_MOST 4
#define DRAIN_MOST 30.0 /* seconds that answers get after a signal */
#define CLOSE_MOST 5.0
#define POLL 0.05

static volatile sig_atomic_t reload_asked;

static void on_hangup(int number)
{
    (void)number;
    reload_asked = 1;
}

/* ---- models ---- */

static int check_name(const struct server *s, const char *name, struct error *e)
{
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(served_model_name(s->models[i]), name) == 0)
            return error_set(e, ERROR_USAGE, "two bundles are called \"%s\"; name one: OTHER=BUNDLE", name);
    return 0;
}

static int open_models(struct server *s, struct error *e)
{
    const struct server_options *o = s->options;
    s->models = allocate(o->bundle_count, sizeof *s->models);
    for (size_t i = 0; i < o->bundle_count; i++) {
        struct served_model *m;
        if (served_model_open(&m, o->bundles[i].path, o->bundles[i].name, e) != 0)
            return -1;
        if (check_name(s, served_model_name(m), e) != 0) {
            served_model_close(&m);
            return -1;
        }
        s->models[s->count++] = m;
    }
    return 0;
}

/* ---- who scores them ---- */

/* A new group, unless there is one of that base. */
static size_t group_for(struct server *s, const struct served_model *m)
{
    const char *base = served_model_base(m);
    for (size_t i = 0; base && i < s->group_count; i++) {
        const char *other = served_model_base(s->groups[i].models[0]);
        if (other && strcmp(base, other) == 0)
            return i;
    }
    s->groups[s->group_count].models = allocate(s->count, sizeof *s->groups->models);
    return s->group_count++;
}

static int check_unchanged(void *context, size_t number, struct error *e)
{
    const struct scoring_group *g = context;
    return served_model_is_changed(g->models[number], e) ? -1 : 0;
}

static void create_worker(const struct server *s, struct scoring_group *g)
{
    struct scored_bundle *bundles = allocate(g->count, sizeof *bundles);
    for (size_t i = 0; i < g->count; i++)
        bundles[i] = (struct scored_bundle){served_model_path(g->models[i]), served_model_labels(g->models[i])};
    const struct scoring_worker_options o = {.bundles = bundles,
                                             .count = g->count,
                                             .device = s->options->device,
                                             .threads = s->threads,
                                             .check = check_unchanged,
                                             .context = g};
    scoring_worker_create(&g->worker, &o);
    free(bundles);
}

/* Adapters of one base go to one worker, which holds it once. */
static void group_models(struct server *s)
{
    s->groups = allocate(s->count, sizeof *s->groups);
    s->places = allocate(s->count, sizeof *s->places);
    for (size_t i = 0; i < s->count; i++) {
        size_t group = group_for(s, s->models[i]);
        struct scoring_group *g = &s->groups[group];
        s->places[i].group = group;
        s->places[i].number = g->count;
        g->models[g->count++] = s->models[i];
    }
    for (size_t i = 0; i < s->group_count; i++)
        create_worker(s, &s->groups[i]);
}

static void log_loaded(const struct scoring_group *g, double seconds)
{
    struct buffer names = {0};
    for (size_t i = 0; i < g->count; i++)
        buffer_printf(&names, "%s%s", i ? ", " : "", served_model_name(g->models[i]));
    log_info("%s: loaded in %.1f s on %s%s", names.data, seconds, scoring_worker_device(g->worker),
             g->count > 1 ? "; they share the weights of their base" : "");
    buffer_free(&names);
}

static int load_models(struct server *s, struct error *e)
{
    for (size_t i = 0; i < s->group_count; i++) {
        double start = clock_seconds();
        if (scoring_worker_start(s->groups[i].worker, e) != 0)
            return -1;
        log_loaded(&s->groups[i], clock_seconds() - start);
        if (stop_requested())
            return 0;
    }
    snprintf(s->device, sizeof s->device, "%s", scoring_worker_device(s->groups[0].worker));
    return 0;
}

static void reload(struct server *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct error e;
        if (served_model_reload(s->models[i], &e) != 0) {
            log_warn("%s; its rule stays as it was", e.message);
            continue;
        }
        const struct model_view *v = served_model_hold(s->models[i]);
        char *rule = json_print(v->rule, false);
        log_info("%s: rule read again: %.1000s", served_model_name(s->models[i]), rule);
        free(rule);
        served_model_release(s->models[i], v);
    }
}

/* Said once for each change. */
static void watch(struct server *s, struct error *told)
{
    for (size_t i = 0; i < s->count; i++) {
        struct error e = {0};
        bool served = !scoring_worker_is_lost(s->groups[s->places[i].group].worker);
        if (served_model_is_changed(s->models[i], &e) && strcmp(e.message, told[i].message) != 0)
            log_warn("%s%s", e.message, served ? "; what was loaded is served on" : "");
        told[i] = e;
    }
}

/* ---- the engine's calls ---- */

static int score(void *context, size_t model, const struct scoring_row *rows, uint32_t count, float *logits, struct error *e)
{
    struct server *s = context;
    struct scoring_group *g = &s->groups[s->places[model].group];
    return scoring_worker_score(g->worker, s->places[model].number, rows, count, logits, e);
}

static void on_batch(void *context, size_t model, uint32_t rows, size_t tokens, double seconds)
{
    struct server *s = context;
    (void)model;
    counters_time(s->counters, TIME_BATCH, seconds);
    counters_size(s->counters, SIZE_BATCH_ROWS, rows);
    counters_size(s->counters, SIZE_BATCH_TOKENS, (double)tokens);
}

/* ---- life ---- */

static int http_threads(void)
{
    int cores = machine_cores();
    return cores < HTTP_THREADS_MOST ? cores : HTTP_THREADS_MOST;
}

static int listen_at(struct server *s, struct error *e)
{
    const struct server_options *o = s->options;
    const struct http_handler handler = {s, routes_begin, routes_handle, routes_resumed, routes_ended, routes_malformed};
    const struct http_options http = {.host = o->host,
                                      .port = o->port,
                                      .threads = http_threads(),
                                      .connections_most = o->connections_most,
                                      .body_most = o->body_most,
                                      .receive_most = o->receive_most};
    bool six = strchr(o->host, ':') != NULL;
    task_pool_create(&s->pool, http_threads());
    if (http_server_create(&s->http, &http, &handler, e) != 0)
        return -1;
    log_info("listening at http://%s%s%s:%d%s", six ? "[" : "", o->host, six ? "]" : "", http_server_port(s->http),
             s->keys ? ", with a key" : "");
    return 0;
}

static int check_exposure(const struct server_options *o, struct error *e)
{
    if (http_is_loopback(o->host) || o->api_key_file || o->open)
        return 0;
    return error_set(
        e, ERROR_USAGE,
        "--host %s: others could use the server; give --api-key-file FILE, or --open to let everybody who reaches it", o->host);
}

static void start_engine(struct server *s)
{
    const struct engine_options engine = {.batch_tokens = s->options->batch_tokens,
                                          .batch_rows = BATCH_ROWS,
                                          .queue_tokens = s->options->queue_tokens,
                                          .wait = s->options->wait,
                                          .models = s->count,
                                          .score = score,
                                          .batch = on_batch,
                                          .left = routes_client_left,
                                          .context = s};
    engine_create(&s->engine, &engine);
    s->phase = SERVER_READY;
    log_info("ready: %zu model%s, %d thread%s", s->count, s->count == 1 ? "" : "s", s->threads, s->threads == 1 ? "" : "s");
}

static void serve(struct server *s)
{
    struct error *told = allocate(s->count, sizeof *told);
    for (double next = 0; !stop_requested(); clock_sleep(POLL)) {
        if (reload_asked) {
            reload_asked = 0;
            reload(s);
        }
        if (clock_seconds() < next)
            continue;
        next = clock_seconds() + 1;
        http_server_check_slow(s->http);
        watch(s, told);
    }
    free(told);
}

static bool wait_for_answers(struct server *s, double most)
{
    double until = clock_seconds() + most;
    while (http_server_exchanges(s->http) && clock_seconds() < until) {
        http_server_check_slow(s->http);
        clock_sleep(0.01);
    }
    return http_server_exchanges(s->http) == 0;
}

/* What was taken is answered; what takes longer than DRAIN_MOST is refused. */
static void drain(struct server *s)
{
    s->phase = SERVER_DRAINING;
    log_info("stopping: %u request%s to answer", http_server_exchanges(s->http), http_server_exchanges(s->http) == 1 ? "" : "s");
    http_server_quiesce(s->http);
    bool done = wait_for_answers(s, DRAIN_MOST);
    if (!done) {
        log_warn("%u requests have no answer after %.0f s and are refused", http_server_exchanges(s->http), DRAIN_MOST);
        for (size_t i = 0; i < s->group_count; i++)
            scoring_worker_abandon(s->groups[i].worker);
    }
    if (s->engine)
        engine_stop(s->engine);
    if (!done && !wait_for_answers(s, CLOSE_MOST))
        log_warn("%u requests were not finished within %.0f s", http_server_exchanges(s->http), DRAIN_MOST);
}

static void close_all(struct server *s)
{
    task_pool_destroy(&s->pool); /* resumes what still waits: the engine has stopped */
    http_server_destroy(&s->http);
    engine_destroy(&s->engine); /* not before: /metrics asks it */
    for (size_t i = 0; i < s->group_count; i++) {
        scoring_worker_destroy(&s->groups[i].worker);
        free(s->groups[i].models);
    }
    for (size_t i = 0; i < s->count; i++)
        served_model_close(&s->models[i]);
    free(s->places);
    free(s->groups);
    free(s->models);
    counters_destroy(&s->counters);
    api_keys_destroy(&s->keys);
}

int server_run(const struct server_options *o, struct error *e)
{
    struct server s = {.options = o, .started = clock_seconds(), .threads = o->threads ? o->threads : machine_cores()};
    const struct sigaction hangup = {.sa_handler = on_hangup};
    setenv("OMP_WAIT_POLICY", "passive", 0); /* of the workers: cores that spin between batches are missing elsewhere */
    counters_create(&s.counters);
    sigaction(SIGHUP, &hangup, NULL);
    int status = local_device_check(o->device, "auto, cpu, cuda, cpu_reference or guarded", e);
    if (status == 0)
        status = check_exposure(o, e);
    if (status == 0 && o->api_key_file)
        status = api_keys_read(&s.keys, o->api_key_file, e);
    if (status == 0)
        status = open_models(&s, e);
    if (status == 0) {
        group_models(&s);
        status = listen_at(&s, e);
    }
    if (status == 0)
        status = load_models(&s, e);
    if (status == 0 && !stop_requested()) {
        start_engine(&s);
        serve(&s);
    }
    if (status == 0)
        drain(&s);
    close_all(&s);
    if (status == 0)
        log_info("stopped");
    return status;
}

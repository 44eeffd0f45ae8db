/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what is answered where. */
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/near.h"
#include "common/base/version.h"
#include "coordinator/serve/openapi.h"
#include "coordinator/serve/server_state.h"
#include "coordinator/serve/static_files.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define JSON_TYPE "application/json"
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define MODELS "/models/"
#define SMALL_BODY 16384  /* bytes that are read and tokenized at once, on the thread that received them */
#define SMALL_ANSWER 1024 /* scores that are printed on the thread that sends them */

struct call;

/* A path, or what follows /models/NAME. */
struct route {
    const char *path, *method;
    bool public; /* no key is asked for */
    void (*answer)(struct server *s, struct http_exchange *x, struct call *c);
    enum classify_form form; /* of POST */
};

/* The state of an exchange. */
struct call {
    const struct route *route; /* NULL: a static file, or nothing */
    const char *name;          /* for the counters */
    struct served_model *model;
    size_t model_number;
    const struct model_view *view;
    struct classify_request request;
    bool refused; /* while the exchange waited: why */
    bool left;    /* nobody waits for the answer any more */
    struct refusal why;
    double waited, tokenize; /* seconds: for the pool; reading and tokenizing */
    char *answer;            /* made by the pool; NULL: not made yet */
    struct task task;
    struct server *server;
    struct http_exchange *exchange;
};

static void get_health(struct server *s, struct http_exchange *x, struct call *c);
static void get_ready(struct server *s, struct http_exchange *x, struct call *c);
static void get_info(struct server *s, struct http_exchange *x, struct call *c);
static void get_models(struct server *s, struct http_exchange *x, struct call *c);
static void get_evaluation(struct server *s, struct http_exchange *x, struct call *c);
static void get_zoo(struct server *s, struct http_exchange *x, struct call *c);
static void get_openapi(struct server *s, struct http_exchange *x, struct call *c);
static void get_metrics(struct server *s, struct http_exchange *x, struct call *c);
static void post_classify(struct server *s, struct http_exchange *x, struct call *c);

static const struct route routes[] =
    {
        {"/health", "GET", true, get_health},
        {"/ready", "GET", true, get_ready},
        {"/info", "GET", false, get_info},
        {"/models", "GET", false, get_models},
        {"/evaluation", "GET", false, get_evaluation},
        {"/zoo", "GET", false, get_zoo},
        {"/metrics", "GET", false, get_metrics},
        {"/openapi.json", "GET", true, get_openapi},
        {"/classify", "POST", false, post_classify, CLASSIFY_ONE},
        {"/classify/batch", "POST", false, post_classify, CLASSIFY_MANY},
        {"/predict", "POST", false, post_classify, CLASSIFY_TEI},
        {NULL},
},
                          model_routes[] = {
                              {"", "GET", false, get_info},
                              {"/info", "GET", false, get_info},
                              {"/evaluation", "GET", false, get_evaluation},
                              {"/zoo", "GET", false, get_zoo},
                              {"/classify", "POST", false, post_classify, CLASSIFY_ONE},
                              {"/classify/batch", "POST", false, post_classify, CLASSIFY_MANY},
                              {"/predict", "POST", false, post_classify, CLASSIFY_TEI},
                              {NULL},
};

/* ---- answers ---- */

static void answer_json(struct http_exchange *x, int status, struct json *o)
{
    char *text = json_print(o, false);
    json_destroy(&o);
    http_answer(x, status, JSON_TYPE, text, strlen(text));
}

static void answer_refusal(struct server *s, struct http_exchange *x, const struct refusal *why)
{
    char seconds[32];
    if (why->after > 0) {
        snprintf(seconds, sizeof seconds, "%.0f", ceil(why->after < 60 ? why->after : 60));
        http_add_header(x, "Retry-After", seconds);
    }
    if (why->kind == REFUSAL_UNAUTHORIZED)
        http_add_header(x, "WWW-Authenticate", "Bearer");
    counters_refusal(s->counters, refusal_name(why->kind));
    answer_json(x, refusal_status(why->kind), refusal_to_json(why));
}

static struct json *status_of(const char *text)
{
    struct json *o = json_object();
    json_set_string(o, "status", text);
    return o;
}

static void get_health(struct server *s, struct http_exchange *x, struct call *c)
{
    (void)s, (void)c;
    answer_json(x, 200, status_of("ok"));
}

static int check_phase(struct server *s, struct refusal *why)
{
    int phase = s->phase;
    if (phase == SERVER_READY)
        return 0;
    refuse(why, REFUSAL_UNAVAILABLE, phase == SERVER_LOADING ? "the model is being loaded" : "the server is stopping");
    why->after = 1;
    return -1;
}

/* Some model has a worker, or can have one again. */
static bool can_score(const struct server *s, struct error *why)
{
    for (size_t i = 0; i < s->count; i++)
        if (!scoring_worker_is_lost(s->groups[s->places[i].group].worker) || !served_model_is_changed(s->models[i], why))
            return true;
    return false;
}

static void get_ready(struct server *s, struct http_exchange *x, struct call *c)
{
    struct refusal why;
    struct error e;
    (void)c;
    bool ready = check_phase(s, &why) == 0;
    if (ready && !can_score(s, &e)) {
        ready = false;
        refuse(&why, REFUSAL_UNAVAILABLE, "no worker computes, and %s", e.message);
    }
    if (ready)
        answer_json(x, 200, status_of("ready"));
    else
        answer_refusal(s, x, &why);
}

static struct json *limits_to_json(const struct server_options *o)
{
    struct json *l = json_object();
    json_set_number(l, "max_body_bytes", (double)o->body_most);
    json_set_number(l, "max_items", (double)o->items_most);
    json_set_number(l, "max_text_bytes", (double)o->text_most);
    json_set_number(l, "max_batch_tokens", (double)o->batch_tokens);
    json_set_number(l, "max_queue_tokens", (double)o->queue_tokens);
    return l;
}

static void get_info(struct server *s, struct http_exchange *x, struct call *c)
{
    struct error e;
    struct json *o = model_view_describe(c->view), *names;
    bool changed = served_model_is_changed(c->model, &e);
    json_set_boolean(o, "changed_on_disk", changed);
    json_set_string(o, "version", MUSTER_VERSION);
    json_set_string(o, "device", s->phase == SERVER_LOADING ? "" : s->device);
    json_set_number(o, "threads", s->threads);
    json_set_number(o, "uptime_seconds", clock_seconds() - s->started);
    json_set(o, "limits", limits_to_json(s->options));
    names = json_set(o, "models", json_array());
    for (size_t i = 0; i < s->count; i++)
        json_append(names, json_of_string(served_model_name(s->models[i])));
    answer_json(x, 200, o);
}

static void get_models(struct server *s, struct http_exchange *x, struct call *c)
{
    struct json *o = json_object(), *list = json_set(o, "models", json_array());
    (void)c;
    for (size_t i = 0; i < s->count; i++) {
        const struct model_view *v = served_model_hold(s->models[i]);
        json_append(list, model_view_describe(v));
        served_model_release(s->models[i], v);
    }
    json_set_string(o, "default", served_model_name(s->models[0]));
    json_set_boolean(o, "zoo", file_exists(served_model_zoo(s->models[0])));
    answer_json(x, 200, o);
}

/* A JSON file as it is. absent: what is said where there is none. */
static void answer_json_file(struct server *s, struct http_exchange *x, const char *path, const char *absent)
{
    struct refusal why;
    struct error e;
    char *text;
    size_t size;
    if (!file_exists(path)) {
        refuse(&why, REFUSAL_NOT_FOUND, "%s", absent);
        answer_refusal(s, x, &why);
    } else if (file_read(&text, &size, path, &e) != 0) {
        refuse(&why, REFUSAL_UNAVAILABLE, "%s", e.message);
        answer_refusal(s, x, &why);
    } else {
        http_answer(x, 200, JSON_TYPE, text, size);
    }
}

static void get_evaluation(struct server *s, struct http_exchange *x, struct call *c)
{
    char *path = path_join(served_model_path(c->model), BUNDLE_EVALUATION),
         *absent = format_string("the bundle of '%.200s' has no %s", served_model_name(c->model), BUNDLE_EVALUATION);
    answer_json_file(s, x, path, absent);
    free(absent);
    free(path);
}

static void get_zoo(struct server *s, struct http_exchange *x, struct call *c)
{
    char *absent = format_string("no zoo.json lies by the bundle of '%.200s'", served_model_name(c->model));
    answer_json_file(s, x, served_model_zoo(c->model), absent);
    free(absent);
}

static void get_openapi(struct server *s, struct http_exchange *x, struct call *c)
{
    (void)c;
    answer_json(x, 200, openapi_make(s->models, s->count, s->options->items_most, s->keys != NULL));
}

static void get_metrics(struct server *s, struct http_exchange *x, struct call *c)
{
    struct buffer text = {0};
    struct engine_load load = s->phase != SERVER_LOADING && s->engine ? engine_load(s->engine) : (struct engine_load){0};
    struct gauges g = {.queue_requests = (double)load.jobs + task_pool_waiting(s->pool, TASK_BEGINS),
                       .queue_rows = (double)load.rows,
                       .queue_tokens = (double)load.tokens,
                       .exchanges = http_server_exchanges(s->http),
                       .connections = http_server_connections(s->http),
                       .ready = s->phase == SERVER_READY};
    (void)c;
    for (size_t i = 0; i < s->group_count; i++)
        g.restarts += scoring_worker_restarts(s->groups[i].worker);
    counters_print(&text, s->counters, &g);
    http_answer(x, 200, METRICS_TYPE, text.data, text.size);
}

/* ---- scoring ---- */

bool routes_client_left(void *server, const struct engine_job *job)
{
    struct call *c = job->context;
    (void)server;
    return c->left = http_client_left(c->exchange);
}

static void make_answer(void *context)
{
    struct call *c = context;
    c->answer = classify_answer(&c->request);
    http_resume(c->exchange);
}

static void on_scored(void *context, struct engine_job *job)
{
    struct call *c = context;
    if (job->failed || (size_t)job->count * job->labels <= SMALL_ANSWER) {
        http_resume(c->exchange);
        return;
    }
    c->task = (struct task){.run = make_answer, .context = c};
    task_pool_add(c->server->pool, &c->task, TASK_ENDS);
}

static int refuse_room(struct refusal *why, const struct error *e, double after)
{
    refuse(why, e->kind == ERROR_STOPPED ? REFUSAL_UNAVAILABLE : REFUSAL_OVERLOADED, "%s", e->message);
    why->after = after > 1 ? after : 1;
    return -1;
}

static int check_room(struct server *s, struct refusal *why)
{
    struct error e;
    double after;
    return engine_check_room(s->engine, &after, &e) == 0 ? 0 : refuse_room(why, &e, after);
}

/* The body to rows with room in the queue. On failure there is nothing reserved. */
static int prepare(struct server *s, struct call *c, struct refusal *why)
{
    const struct classify_limits limits = {s->options->items_most, s->options->text_most};
    const struct buffer *body = http_body(c->exchange);
    struct classify_request *r = &c->request;
    struct error e;
    double after, start = clock_seconds();
    if (classify_read(r, c->route->form, c->view, body->data, body->size, &limits, why) != 0)
        return -1;
    if (engine_reserve(s->engine, &r->job, classify_expected_tokens(r), &after, &e) != 0)
        return refuse_room(why, &e, after);
    if (classify_tokenize(r, why) != 0) {
        engine_release(s->engine, &r->job);
        return -1;
    }
    r->job.model = c->model_number;
    r->job.done = on_scored;
    r->job.context = c;
    c->tokenize = clock_seconds() - start;
    return 0;
}

/* The exchange waits. */
static void submit(struct server *s, struct call *c)
{
    struct error e = {0};
    double after;
    if (engine_submit(s->engine, &c->request.job, &after, &e) == 0)
        return;
    refuse_room(&c->why, &e, after);
    c->refused = true;
    http_resume(c->exchange);
}

/* Of a large body; others have come into the queue meanwhile. */
static void prepare_large(void *context)
{
    struct call *c = context;
    c->waited = clock_seconds() - c->waited;
    c->left = http_client_left(c->exchange);
    c->refused = !c->left && (check_room(c->server, &c->why) != 0 || prepare(c->server, c, &c->why) != 0);
    if (c->left || c->refused)
        http_resume(c->exchange);
    else
        submit(c->server, c);
}

/* A large body waits for the pool, so that what it costs holds nobody else's connection up. */
static void post_classify(struct server *s, struct http_exchange *x, struct call *c)
{
    struct refusal why;
    bool small = http_body(x)->size <= SMALL_BODY;
    if (check_phase(s, &why) != 0 || check_room(s, &why) != 0 || (small && prepare(s, c, &why) != 0)) {
        answer_refusal(s, x, &why);
        return;
    }
    http_wait(x);
    if (small) {
        submit(s, c);
        return;
    }
    c->waited = clock_seconds();
    c->task = (struct task){.run = prepare_large, .context = c};
    task_pool_add(s->pool, &c->task, TASK_BEGINS);
}

static void refuse_job(struct server *s, struct http_exchange *x, const struct engine_job *job)
{
    struct refusal why;
    bool is_data = job->why.kind == ERROR_DATA;
    refuse(&why, is_data ? REFUSAL_VALIDATION : REFUSAL_UNAVAILABLE, "%s", job->why.message);
    why.after = is_data ? 0 : 1;
    answer_refusal(s, x, &why);
}

static void add_milliseconds(struct http_exchange *x, const char *name, double seconds)
{
    char text[32];
    snprintf(text, sizeof text, "%.3f", seconds * 1e3);
    http_add_header(x, name, text);
}

static void count_job(struct server *s, struct http_exchange *x, const struct call *c)
{
    const struct engine_job *job = &c->request.job;
    uint64_t tokens = 0, truncated = 0;
    double total = clock_seconds() - http_started(x), queue = c->waited + job->started - job->queued;
    for (uint32_t i = 0; i < job->count; i++)
        tokens += job->rows[i].length;
    for (size_t i = 0; i < c->request.count; i++)
        truncated += c->request.items[i].truncated && !c->request.items[i].refused;
    counters_rows(s->counters, job->count, tokens, truncated);
    counters_size(s->counters, SIZE_REQUEST_ROWS, job->count);
    counters_time(s->counters, TIME_TOKENIZE, c->tokenize);
    counters_time(s->counters, TIME_QUEUE, queue);
    counters_time(s->counters, TIME_INFERENCE, job->ended - job->started);
    counters_time(s->counters, TIME_REQUEST, total);
    add_milliseconds(x, "X-Total-Time", total);
    add_milliseconds(x, "X-Tokenization-Time", c->tokenize);
    add_milliseconds(x, "X-Queue-Time", queue);
    add_milliseconds(x, "X-Inference-Time", job->ended - job->started);
}

void routes_resumed(void *server, struct http_exchange *x)
{
    struct server *s = server;
    struct call *c = http_state(x);
    if (c->left)
        return;
    if (c->refused) {
        answer_refusal(s, x, &c->why);
        return;
    }
    if (c->request.job.failed) {
        refuse_job(s, x, &c->request.job);
        return;
    }
    count_job(s, x, c);
    char *text = c->answer ? c->answer : classify_answer(&c->request);
    c->answer = NULL;
    http_answer(x, 200, JSON_TYPE, text, strlen(text));
}

/* ---- which route ---- */

static const struct route *find(const struct route *list, const char *path)
{
    for (; list->path; list++)
        if (strcmp(list->path, path) == 0)
            return list;
    return NULL;
}

/* NAME of /models/NAME and what follows it; a name may hold slashes, as names of models do. */
static const struct route *find_model(struct server *s, struct call *c, const char *path)
{
    const char *rest = path + strlen(MODELS);
    for (size_t i = 0; i < s->count; i++) {
        const char *name = served_model_name(s->models[i]);
        size_t size = strlen(name);
        const struct route *r = strncmp(rest, name, size) == 0 ? find(model_routes, rest + size) : NULL;
        if (r) {
            c->model = s->models[i];
            c->model_number = i;
            return r;
        }
    }
    return NULL;
}

static int refuse_path(struct server *s, const char *path, struct refusal *why)
{
    const char *names[64];
    char hint[160];
    size_t count = 0;
    if (strncmp(path, MODELS, strlen(MODELS)) == 0) {
        for (; count < s->count && count < 64; count++)
            names[count] = served_model_name(s->models[count]);
        return refuse(why, REFUSAL_NOT_FOUND, "%.200s: no such model or route%s", path,
                      near_hint(hint, sizeof hint, path + strlen(MODELS), names, count));
    }
    for (; routes[count].path; count++)
        names[count] = routes[count].path;
    return refuse(why, REFUSAL_NOT_FOUND, "%.200s: no such route%s", path, near_hint(hint, sizeof hint, path, names, count));
}

static bool is_read(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static int check_method(struct http_exchange *x, const char *allowed, struct refusal *why)
{
    const char *method = http_method(x);
    bool get = strcmp(allowed, "GET") == 0;
    if (get ? is_read(method) : strcmp(method, allowed) == 0)
        return 0;
    http_add_header(x, "Allow", get ? "GET, HEAD" : allowed);
    return refuse(why, REFUSAL_METHOD, "%.20s is not allowed here; use %s", method, allowed);
}

/* JSON as it is: "application/json", with charset=utf-8 or nothing behind it. */
static bool is_json(const char *type)
{
    size_t size = strlen(JSON_TYPE);
    if (!type)
        return true;
    if (strncasecmp(type, JSON_TYPE, size) != 0)
        return false;
    type += size + strspn(type + size, " \t");
    if (*type != ';')
        return *type == 0;
    const char *charset = strcasestr(type, "charset=");
    if (!charset)
        return true;
    charset += strlen("charset=");
    charset += *charset == '"';
    return strncasecmp(charset, "utf-8", 5) == 0;
}

static int check_body_head(struct server *s, struct http_exchange *x, struct refusal *why)
{
    const char *length = http_header(x, "Content-Length"), *encoding = http_header(x, "Content-Encoding");
    if (!is_json(http_header(x, "Content-Type")))
        return refuse(why, REFUSAL_MEDIA_TYPE, "Content-Type: application/json was expected, in UTF-8");
    if (encoding && strcasecmp(encoding, "identity") != 0)
        return refuse(why, REFUSAL_MEDIA_TYPE, "Content-Encoding: compressed bodies are not taken");
    if (length && strtoull(length, NULL, 10) > s->options->body_most)
        return refuse(why, REFUSAL_TOO_LARGE, "the body has %.20s bytes; at most %zu are taken", length, s->options->body_most);
    return 0;
}

/* ---- the exchange ---- */

static void add_cors(struct server *s, struct http_exchange *x)
{
    const char *allowed = s->options->cors, *origin = http_header(x, "Origin");
    if (!allowed || !origin || (strcmp(allowed, "*") != 0 && strcmp(allowed, origin) != 0))
        return;
    http_add_header(x, "Access-Control-Allow-Origin", allowed);
    http_add_header(x, "Vary", "Origin");
}

/* A browser asks before it sends JSON or a key from another origin. */
static bool is_preflight(struct server *s, struct http_exchange *x)
{
    return s->options->cors && strcmp(http_method(x), "OPTIONS") == 0 && http_header(x, "Access-Control-Request-Method");
}

static void answer_preflight(struct http_exchange *x)
{
    http_add_header(x, "Access-Control-Allow-Methods", "GET, POST");
    http_add_header(x, "Access-Control-Allow-Headers", "Authorization, Content-Type");
    http_add_header(x, "Access-Control-Max-Age", "600");
    http_answer_static(x, 204, JSON_TYPE, "", 0);
}

static int find_route(struct server *s, struct http_exchange *x, struct call *c, struct refusal *why)
{
    const char *path = http_path(x);
    c->model = s->models[0];
    bool of_model = strncmp(path, MODELS, strlen(MODELS)) == 0;
    const struct static_file *file = static_file_find(path);
    c->route = of_model ? find_model(s, c, path) : find(routes, path);
    c->name = file ? "static" : !c->route ? "none" : *c->route->path ? c->route->path : "/models/NAME";
    if (http_is_ambiguous(x)) {
        http_close(x);
        return refuse(why, REFUSAL_BAD_REQUEST,
                      "the length of the body is given twice, or its transfer encoding is not \"chunked\"");
    }
    if (!file && !c->route)
        return refuse_path(s, path, why);
    if (check_method(x, file ? "GET" : c->route->method, why) != 0)
        return -1;
    if (!file && !c->route->public && !api_keys_allow(s->keys, http_header(x, "Authorization")))
        return refuse(why, REFUSAL_UNAUTHORIZED, "a key is needed: \"Authorization: Bearer KEY\"");
    return file || is_read(c->route->method) ? 0 : check_body_head(s, x, why);
}

void routes_begin(void *server, struct http_exchange *x)
{
    struct server *s = server;
    struct call *c = allocate(1, sizeof *c);
    struct refusal why;
    c->server = s;
    c->exchange = x;
    c->name = "none";
    http_set_state(x, c);
    add_cors(s, x);
    if (is_preflight(s, x))
        answer_preflight(x);
    else if (find_route(s, x, c, &why) != 0)
        answer_refusal(s, x, &why);
}

static void answer_file(struct http_exchange *x, const struct static_file *f)
{
    if (f->security)
        http_add_header(x, "Content-Security-Policy", f->security);
    http_add_header(x, "Cache-Control", "no-cache");
    http_answer_static(x, 200, f->type, f->bytes, f->size);
}

void routes_handle(void *server, struct http_exchange *x)
{
    struct server *s = server;
    struct call *c = http_state(x);
    struct refusal why;
    if (http_body(x)->size > s->options->body_most) {
        refuse(&why, REFUSAL_TOO_LARGE, "the body has more than %zu bytes", s->options->body_most);
        answer_refusal(s, x, &why);
        return;
    }
    if (!c->route) {
        answer_file(x, static_file_find(http_path(x)));
        return;
    }
    c->view = served_model_hold(c->model);
    c->route->answer(s, x, c);
}

void routes_ended(void *server, struct http_exchange *x)
{
    struct server *s = server;
    struct call *c = http_state(x);
    if (!c)
        return;
    if (http_status(x))
        counters_request(s->counters, c->name, http_status(x));
    if (c->left) /* here, since the library may close the connection on its own before routes_resumed */
        counters_left(s->counters);
    classify_free(&c->request);
    served_model_release(c->model, c->view);
    free(c->answer);
    free(c);
}

char *routes_malformed(void *server, int status)
{
    static const struct {
        int status; /* 0: any other */
        enum refusal_kind kind;
        const char *message;
    } table[] = {
        {413, REFUSAL_TOO_LARGE, "the Content-Length, or the size of a chunk, is beyond all numbers"},
        {414, REFUSAL_TOO_LARGE, "the first line of the request is too long"},
        {431, REFUSAL_TOO_LARGE, "the headers of the request are too long"},
        {505, REFUSAL_BAD_REQUEST, "HTTP/1.1 or HTTP/1.0 was expected"},
        {0, REFUSAL_BAD_REQUEST,
         "the request is malformed: its first line, a header, its Content-Length or a chunk; or there is no Host"},
    };
    struct server *s = server;
    struct refusal why;
    size_t i = 0;
    while (table[i].status && table[i].status != status)
        i++;
    refuse(&why, table[i].kind, "%s", table[i].message);
    counters_request(s->counters, "none", status);
    counters_refusal(s->counters, refusal_name(why.kind));
    struct json *j = refusal_to_json(&why);
    char *text = json_print(j, false);
    json_destroy(&j);
    return text;
}

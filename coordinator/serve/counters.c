/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/serve/counters.h"

#include "common/base/clock.h"
#include "common/base/machine.h"
#include "common/base/memory.h"
#include "common/base/version.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define SERIES_MOST 128
#define BOUNDS_MOST 16

struct histogram {
    uint64_t below[BOUNDS_MOST + 1]; /* each bound's own, and above all of them */
    double sum;
};

struct series {
    const char *label;
    int status;
    uint64_t count;
};

struct counters {
    pthread_mutex_t lock;
    struct series requests[SERIES_MOST], refusals[SERIES_MOST];
    struct histogram times[TIMES], sizes[SIZES];
    uint64_t rows, tokens, truncated, left;
    double started;
};

static const double time_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30},
                    size_bounds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 65536};

static const struct {
    const char *name, *help;
} times[TIMES] =
    {
        [TIME_REQUEST] = {"muster_serve_request_seconds", "From the head of a request to its answer, of those that were scored."},
        [TIME_TOKENIZE] = {"muster_serve_tokenize_seconds", "Reading and tokenizing a request."},
        [TIME_QUEUE] = {"muster_serve_queue_seconds",
                        "A request's wait, for a thread that reads a large one and for its first batch."},
        [TIME_INFERENCE] = {"muster_serve_inference_seconds", "From a request's first batch to its last row."},
        [TIME_BATCH] = {"muster_serve_batch_seconds", "Scoring one batch."},
},
  sizes[SIZES] = {
      [SIZE_BATCH_ROWS] = {"muster_serve_batch_rows", "Rows of a batch."},
      [SIZE_BATCH_TOKENS] = {"muster_serve_batch_tokens", "Tokens of a batch."},
      [SIZE_REQUEST_ROWS] = {"muster_serve_request_rows", "Rows of a request."},
};

void counters_create(struct counters **ret)
{
    struct counters *c = allocate(1, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    c->started = clock_wall();
    *ret = c;
}

void counters_destroy(struct counters **counters)
{
    struct counters *c = counters ? *counters : NULL;
    if (!c)
        return;
    pthread_mutex_destroy(&c->lock);
    free(c);
    *counters = NULL;
}

static void count(struct series *list, const char *label, int status)
{
    size_t i = 0;
    while (i < SERIES_MOST && list[i].label && (list[i].status != status || strcmp(list[i].label, label) != 0))
        i++;
    if (i == SERIES_MOST)
        return;
    list[i] = (struct series){label, status, list[i].count + 1};
}

static void observe(struct histogram *h, const double *bounds, size_t n, double value)
{
    size_t i = 0;
    while (i < n && value > bounds[i])
        i++;
    h->below[i]++;
    h->sum += value;
}

void counters_request(struct counters *c, const char *route, int status)
{
    pthread_mutex_lock(&c->lock);
    count(c->requests, route, status);
    pthread_mutex_unlock(&c->lock);
}

void counters_refusal(struct counters *c, const char *error_type)
{
    pthread_mutex_lock(&c->lock);
    count(c->refusals, error_type, 0);
    pthread_mutex_unlock(&c->lock);
}

void counters_time(struct counters *c, enum counted_time what, double seconds)
{
    pthread_mutex_lock(&c->lock);
    observe(&c->times[what], time_bounds, sizeof time_bounds / sizeof *time_bounds, seconds);
    pthread_mutex_unlock(&c->lock);
}

void counters_size(struct counters *c, enum counted_size what, double value)
{
    pthread_mutex_lock(&c->lock);
    observe(&c->sizes[what], size_bounds, sizeof size_bounds / sizeof *size_bounds, value);
    pthread_mutex_unlock(&c->lock);
}

void counters_rows(struct counters *c, uint64_t rows, uint64_t tokens, uint64_t truncated)
{
    pthread_mutex_lock(&c->lock);
    c->rows += rows;
    c->tokens += tokens;
    c->truncated += truncated;
    pthread_mutex_unlock(&c->lock);
}

void counters_left(struct counters *c)
{
    pthread_mutex_lock(&c->lock);
    c->left++;
    pthread_mutex_unlock(&c->lock);
}

/* ---- text ---- */

static void head(struct buffer *to, const char *name, const char *type, const char *help)
{
    buffer_printf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void single(struct buffer *to, const char *name, const char *type, const char *help, double value)
{
    head(to, name, type, help);
    buffer_printf(to, "%s %.15g\n", name, value);
}

static void print_histogram(struct buffer *to, const char *name, const char *help, const struct histogram *h,
                            const double *bounds, size_t n)
{
    uint64_t so_far = 0;
    head(to, name, "histogram", help);
    for (size_t i = 0; i < n; i++) {
        so_far += h->below[i];
        buffer_printf(to, "%s_bucket{le=\"%g\"} %llu\n", name, bounds[i], (unsigned long long)so_far);
    }
    so_far += h->below[n];
    buffer_printf(to, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.15g\n%s_count %llu\n", name, (unsigned long long)so_far, name,
                  h->sum, name, (unsigned long long)so_far);
}

static void print_series(struct buffer *to, struct counters *c)
{
    head(to, "muster_serve_requests_total", "counter", "Requests answered, by route and status.");
    for (size_t i = 0; i < SERIES_MOST && c->requests[i].label; i++)
        buffer_printf(to, "muster_serve_requests_total{route=\"%s\",status=\"%d\"} %llu\n", c->requests[i].label,
                      c->requests[i].status, (unsigned long long)c->requests[i].count);
    head(to, "muster_serve_refusals_total", "counter", "Requests refused, by the error_type of their answer.");
    for (size_t i = 0; i < SERIES_MOST && c->refusals[i].label; i++)
        buffer_printf(to, "muster_serve_refusals_total{error_type=\"%s\"} %llu\n", c->refusals[i].label,
                      (unsigned long long)c->refusals[i].count);
    single(to, "muster_serve_clients_left_total", "counter", "Requests whose client had gone before all their rows were scored.",
           (double)c->left);
    single(to, "muster_serve_rows_total", "counter", "Rows scored.", (double)c->rows);
    single(to, "muster_serve_tokens_total", "counter", "Tokens scored.", (double)c->tokens);
    single(to, "muster_serve_truncated_rows_total", "counter", "Rows scored that were truncated.", (double)c->truncated);
}

static void print_gauges(struct buffer *to, const struct gauges *g)
{
    single(to, "muster_serve_ready", "gauge", "1: takes work; 0: loads, or is stopping.", g->ready);
    single(to, "muster_serve_queue_requests", "gauge", "Requests that wait or are scored.", g->queue_requests);
    single(to, "muster_serve_queue_rows", "gauge", "Rows that wait for a batch.", g->queue_rows);
    single(to, "muster_serve_queue_tokens", "gauge", "Their tokens.", g->queue_tokens);
    single(to, "muster_serve_exchanges", "gauge", "Requests that are read, wait or are answered.", g->exchanges);
    single(to, "muster_serve_connections", "gauge", "Open connections.", g->connections);
    single(to, "muster_serve_worker_restarts_total", "counter", "Scoring workers that died and were started again.", g->restarts);
}

/* As Prometheus' own clients name them; of this process, the scoring workers are others. */
static void print_process(struct buffer *to, double started)
{
    single(to, "process_cpu_seconds_total", "counter", "CPU time of this process.", clock_cpu());
    single(to, "process_resident_memory_bytes", "gauge", "Resident memory of this process.", machine_resident_bytes());
    single(to, "process_start_time_seconds", "gauge", "Start, in seconds since 1970.", started);
}

void counters_print(struct buffer *to, struct counters *c, const struct gauges *g)
{
    head(to, "muster_serve_build_info", "gauge", "The program.");
    buffer_printf(to, "muster_serve_build_info{version=\"%s\"} 1\n", MUSTER_VERSION);
    print_gauges(to, g);
    pthread_mutex_lock(&c->lock);
    print_series(to, c);
    for (int i = 0; i < TIMES; i++)
        print_histogram(to, times[i].name, times[i].help, &c->times[i], time_bounds, sizeof time_bounds / sizeof *time_bounds);
    for (int i = 0; i < SIZES; i++)
        print_histogram(to, sizes[i].name, sizes[i].help, &c->sizes[i], size_bounds, sizeof size_bounds / sizeof *size_bounds);
    pthread_mutex_unlock(&c->lock);
    print_process(to, c->started);
}

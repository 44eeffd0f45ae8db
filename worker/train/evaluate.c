/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the composition of batches for evaluation, and the loss over a part. */
#include "worker/train/evaluate.h"

#include "common/base/memory.h"
#include "common/base/stop.h"
#include "common/base/trace.h"
#include "worker/train/agree.h"
#include "worker/train/await.h"
#include "worker/train/batch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_BUDGET = 4096, ROW_BUDGET = 512 };

struct evaluator {
    struct device *device;
    struct communicator *communicator;
    const struct source *source;
    struct model *model;
    struct batch *batch;
    size_t budget;   /* tokens of a batch */
    uint64_t *marks; /* (device->ahead + 1), of rounds under way */
};

/* A row to be scored: its place among the caller's rows. */
struct entry {
    uint32_t row, place, length;
};

/* Batches: entries[first[i] .. first[i + 1]). */
struct composition {
    struct entry *entries;
    uint32_t *first, *packed_rows;
    uint32_t batches, count;
};

static int longest_first(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    if (a->length != b->length)
        return a->length > b->length ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

static void compose(struct composition *ret, const struct evaluator *ev, const uint32_t *rows, uint32_t count)
{
    struct composition c = {.entries = allocate(count, sizeof *c.entries), .count = count};
    c.first = allocate((size_t)count + 1, sizeof *c.first);
    c.packed_rows = allocate(count, sizeof *c.packed_rows);
    for (uint32_t i = 0; i < count; i++)
        c.entries[i] = (struct entry){rows[i], i, dataset_tokens(ev->source->data, rows[i]).length};
    qsort(c.entries, count, sizeof *c.entries, longest_first);
    size_t tokens = 0;
    for (uint32_t i = 0; i < count; i++) {
        c.packed_rows[i] = c.entries[i].row;
        if (i == 0 || tokens + c.entries[i].length > ev->budget || i - c.first[c.batches - 1] == ROW_BUDGET) {
            c.first[c.batches++] = i;
            tokens = 0;
        }
        tokens += c.entries[i].length;
    }
    c.first[c.batches] = count;
    *ret = c;
}

static void composition_free(struct composition *c)
{
    free(c->entries);
    free(c->first);
    free(c->packed_rows);
}

void evaluator_limits(const struct source *s, size_t *tokens, size_t *rows)
{
    *tokens = TOKEN_BUDGET;
    *rows = ROW_BUDGET;
    for (uint32_t row = 0; row < dataset_rows(s->data); row++) {
        size_t length = dataset_tokens(s->data, row).length;
        *tokens = length > *tokens ? length : *tokens;
    }
}

int evaluator_create(struct evaluator **ret, struct device *d, struct communicator *c, struct model *m, const struct source *s,
                     struct error *e)
{
    struct evaluator *ev = allocate(1, sizeof *ev);
    *ev = (struct evaluator){.device = d, .communicator = c, .source = s, .model = m};
    ev->marks = allocate((size_t)d->ahead + 1, sizeof *ev->marks);
    struct batch_limits limits = {0};
    evaluator_limits(s, &limits.tokens, &limits.rows);
    ev->budget = limits.tokens;
    if (batch_create(&ev->batch, d, s->data, &s->config, &limits, e)) {
        evaluator_destroy(&ev);
        return -1;
    }
    *ret = ev;
    return 0;
}

void evaluator_destroy(struct evaluator **evaluator)
{
    struct evaluator *ev = evaluator ? *evaluator : NULL;
    if (!ev)
        return;
    batch_destroy(&ev->batch);
    free(ev->marks);
    free(ev);
    *evaluator = NULL;
}

static void score(struct evaluator *ev, const struct composition *c, uint32_t i, float *to)
{
    uint32_t count = c->first[i + 1] - c->first[i];
    trace_begin("evaluation batch", (int)i);
    trace_begin("input", -1);
    const struct packed *b = batch_pack(ev->batch, c->packed_rows + c->first[i], count);
    trace_end();
    device_memory logits = model_forward(ev->model, b, (struct model_dropout){.on = false});
    ev->device->run->download_later(ev->device, to, logits, (size_t)count * ev->source->config.labels * sizeof(float));
    trace_end();
}

/* All ranks know when they have a round whether any of them failed or was asked to stop. */
static int check_ranks(struct evaluator *ev, uint64_t mark, struct error *e)
{
    struct communicator *c = ev->communicator;
    struct error own = {0};
    await_mark(ev->device, c, mark, &own);
    double signals[2] = {stop_requested()};
    if (agree_on(c, signals, 1, &own, e))
        return -1;
    if (signals[0] > 0)
        return error_set(e, ERROR_STOPPED, "stopped on request; the same command resumes");
    return 0;
}

/* This rank's batches, back to back in `mine`; *last: the mark behind what was asked. Rounds are asked for while the device may
 * be ahead, and told in their order. */
static int run_rounds(struct evaluator *ev, const struct composition *c, float *mine, uint64_t *last,
                      void (*batch)(void *context, uint64_t done, uint64_t all), void *context, struct error *e)
{
    uint32_t rank = (uint32_t)ev->communicator->rank, size = (uint32_t)ev->communicator->size;
    uint32_t rounds = (c->batches + size - 1) / size, ahead = (uint32_t)ev->device->ahead;
    size_t labels = ev->source->config.labels, at = 0;
    for (uint32_t round = 0; round < rounds + ahead; round++) {
        uint32_t i = round * size + rank;
        if (i < c->batches) {
            score(ev, c, i, mine + at * labels);
            at += c->first[i + 1] - c->first[i];
        }
        if (round < rounds)
            ev->marks[round % (ahead + 1)] = *last = ev->device->run->mark(ev->device);
        if (round < ahead)
            continue;
        uint32_t done = round - ahead + 1;
        if (check_ranks(ev, ev->marks[(done - 1) % (ahead + 1)], e))
            return -1;
        if (batch)
            batch(context, done < rounds ? (uint64_t)done * size : c->batches, c->batches);
    }
    return 0;
}

static size_t rows_of_rank(const struct composition *c, uint32_t rank, uint32_t size)
{
    size_t rows = 0;
    for (uint32_t i = rank; i < c->batches; i += size)
        rows += c->first[i + 1] - c->first[i];
    return rows;
}

/* Rank 0 collects every rank's batches and puts each row's logits in its place. */
static int collect(struct evaluator *ev, const struct composition *c, const float *mine, float *logits, struct error *e)
{
    struct communicator *comm = ev->communicator;
    uint32_t size = (uint32_t)comm->size;
    size_t row_bytes = ev->source->config.labels * sizeof(float), own = rows_of_rank(c, (uint32_t)comm->rank, size) * row_bytes;
    if (comm->rank)
        return comm->run->gather(comm, mine, own, NULL, NULL, e);
    void **into = allocate(size, sizeof *into);
    size_t *sizes = allocate(size, sizeof *sizes);
    char *all = allocate(c->count, row_bytes), *at = all;
    for (uint32_t r = 0; r < size; r++) {
        into[r] = at;
        sizes[r] = rows_of_rank(c, r, size) * row_bytes;
        at += sizes[r];
    }
    int result = comm->run->gather(comm, mine, own, into, sizes, e);
    for (uint32_t i = 0; !result && i < c->batches; i++)
        for (uint32_t r = c->first[i]; r < c->first[i + 1]; r++) {
            char **from = (char **)&into[i % size];
            memcpy((char *)logits + c->entries[r].place * row_bytes, *from, row_bytes);
            *from += row_bytes;
        }
    free(all);
    free(sizes);
    free(into);
    return result;
}

int evaluator_run(struct evaluator *ev, const uint32_t *rows, uint32_t count, float *logits,
                  void (*batch)(void *context, uint64_t done, uint64_t all), void *context, struct error *e)
{
    struct composition c;
    compose(&c, ev, rows, count);
    size_t own = rows_of_rank(&c, (uint32_t)ev->communicator->rank, (uint32_t)ev->communicator->size);
    float *mine = allocate(own, ev->source->config.labels * sizeof *mine);
    uint64_t last = 0;
    int result = run_rounds(ev, &c, mine, &last, batch, context, e);
    bool idle = !result || await_end(ev->device, ev->communicator, last);
    if (!result)
        result = collect(ev, &c, mine, logits, e);
    if (idle) /* not while the device may still write into it */
        free(mine);
    composition_free(&c);
    return result;
}

static double cross_entropy(const float *logits, uint32_t labels, int32_t class)
{
    double highest = logits[0], sum = 0;
    for (uint32_t l = 1; l < labels; l++)
        highest = (double)logits[l] > highest ? (double)logits[l] : highest;
    for (uint32_t l = 0; l < labels; l++)
        sum += exp((double)logits[l] - highest);
    return log(sum) + highest - (double)logits[class];
}

/* log(1 + exp(-x)) weighs a label that is there, log(1 + exp(x)) one that is not. */
static double binary_cross_entropy(const float *logits, uint32_t labels, const float *targets, const double *positive_weights)
{
    double sum = 0;
    for (uint32_t l = 0; l < labels; l++) {
        double x = (double)logits[l], y = (double)targets[l], away = log1p(exp(-fabs(x)));
        double positive = away + (x < 0 ? -x : 0), negative = away + (x > 0 ? x : 0);
        sum += (positive_weights ? (double)(float)positive_weights[l] : 1) * y * positive + (1 - y) * negative;
    }
    return sum;
}

/* Like the others, of a trial with label smoothing or the focal loss. */
static double shaped_loss(const struct source *s, const struct trial *t, uint32_t row, const float *logits, const float *weights)
{
    const struct loss_shape shape = {t->label_smoothing, t->focal_gamma};
    if (t->multi)
        return loss_of_labels(NULL, logits, t->labels, dataset_targets(s->data, row), weights, &shape);
    return loss_of_class(NULL, logits, t->labels, (size_t)dataset_class(s->data, row), weights, &shape);
}

double evaluate_loss(const struct source *s, const struct trial *t, const uint32_t *rows, uint32_t count, const float *logits)
{
    if (!dataset_labels(s->data))
        return NAN;
    double loss = 0, weights = 0;
    bool shaped = loss_is_shaped(&(struct loss_shape){t->label_smoothing, t->focal_gamma});
    float *by_class = allocate(t->labels, sizeof *by_class);
    for (uint32_t l = 0; l < t->labels; l++)
        by_class[l] = t->weights_by_class ? (float)t->weights_by_class[l] : 1;
    for (uint32_t i = 0; i < count; i++) {
        const float *row = logits + (size_t)i * t->labels;
        double weight = source_weight(s, t, rows[i]);
        weights += weight;
        if (shaped)
            loss += shaped_loss(s, t, rows[i], row, by_class);
        else if (t->multi)
            loss += binary_cross_entropy(row, t->labels, dataset_targets(s->data, rows[i]), t->weights_by_class);
        else
            loss += weight * cross_entropy(row, t->labels, dataset_class(s->data, rows[i]));
    }
    free(by_class);
    return loss / weights;
}

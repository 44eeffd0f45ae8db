/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of this directory: a packed batch made of plain arrays (train/batch makes them of a data set). */
#pragma once

#include "tests/unit/worker/nn/golden.h"
#include "worker/nn/packed.h"

struct rows { /* on the host, rows back to back; classes and targets may be NULL */
    size_t B, L;
    const int32_t *ids, *types, *lengths, *classes;
    const float *targets;
    const int32_t *numbers; /* of rows in the data set; NULL: 5, 8, 11, ... */
};

struct pack {
    struct packed view;
    struct device *d;
    int32_t *slot_of; /* (V): slot of a word, or -1 */
};

static inline struct rows golden_rows(const struct tensor_file *f, size_t labels)
{
    struct rows r = {.L = labels};
    r.ids = golden_array(f, "ids", NULL);
    r.types = golden_array(f, "types", NULL);
    r.lengths = golden_array(f, "lengths", &r.B);
    if (labels) {
        r.classes = golden_array(f, "classes", NULL);
        r.targets = golden_array(f, "targets", NULL);
    }
    return r;
}

static inline void rows_free(struct rows *r)
{
    free((void *)(uintptr_t)r->ids);
    free((void *)(uintptr_t)r->types);
    free((void *)(uintptr_t)r->lengths);
    free((void *)(uintptr_t)r->classes);
    free((void *)(uintptr_t)r->targets);
    free((void *)(uintptr_t)r->numbers);
}

/* The rows `chosen` of r, in that order, numbered as in r. rows_free both. */
static inline struct rows rows_choose(const struct rows *r, const size_t *chosen, size_t count)
{
    size_t total = 0, used = 0;
    for (size_t b = 0; b < r->B; b++)
        total += (size_t)r->lengths[b];
    int32_t *ids = allocate(total * count, 4), *types = allocate(total * count, 4), *lengths = allocate(count, 4),
            *classes = allocate(count, 4), *numbers = allocate(count, 4);
    float *targets = allocate(count * r->L, 4);
    for (size_t i = 0; i < count; i++) {
        size_t b = chosen[i], from = 0;
        for (size_t k = 0; k < b; k++)
            from += (size_t)r->lengths[k];
        lengths[i] = r->lengths[b];
        memcpy(ids + used, r->ids + from, (size_t)lengths[i] * 4);
        memcpy(types + used, r->types + from, (size_t)lengths[i] * 4);
        used += (size_t)lengths[i];
        classes[i] = r->classes ? r->classes[b] : 0;
        if (r->targets)
            memcpy(targets + i * r->L, r->targets + b * r->L, r->L * 4);
        numbers[i] = r->numbers ? r->numbers[b] : (int32_t)(5 + 3 * b);
    }
    return (struct rows){count, r->L, ids, types, lengths, classes, targets, numbers};
}

/* Of training: words get slots in the order of ids of the vocabulary. */
static inline struct pack pack_create(struct device *d, const struct rows *r, const struct model_config *c, bool training)
{
    size_t T = 0, V = c->vocabulary;
    int32_t *offsets = allocate(r->B + 1, 4);
    for (size_t b = 0; b < r->B; b++)
        offsets[b + 1] = offsets[b] + r->lengths[b];
    T = (size_t)offsets[r->B];
    struct pack p = {.d = d, .slot_of = allocate(V, 4)};
    int32_t *positions = allocate(T, 4), *places = allocate(T, 4), *rows = allocate(T, 4), *slots = allocate(T, 4),
            *row_of = allocate(r->B, 4), *zeros = allocate(r->B, 4);
    for (size_t v = 0; v < V; v++)
        p.slot_of[v] = -1;
    for (size_t t = 0; t < T; t++)
        p.slot_of[r->ids[t]] = 0;
    int32_t words = 0;
    for (size_t v = 0; v < V; v++)
        if (p.slot_of[v] == 0)
            p.slot_of[v] = words++;
    for (size_t b = 0; b < r->B; b++) {
        packed_places(places + offsets[b], r->ids + offsets[b], (uint32_t)r->lengths[b], c);
        row_of[b] = r->numbers ? r->numbers[b] : (int32_t)(5 + 3 * b);
        for (int32_t t = offsets[b]; t < offsets[b + 1]; t++) {
            positions[t] = t - offsets[b];
            rows[t] = row_of[b];
            slots[t] = p.slot_of[r->ids[t]];
        }
    }
    p.view = (struct packed){.T = T,
                             .B = r->B,
                             .U = training ? (size_t)words : 0,
                             .padding = training && c->padding ? (size_t)(p.slot_of[c->padding - 1] + 1) : 0,
                             .ids = device_array(d, r->ids, T * 4),
                             .positions = device_array(d, positions, T * 4),
                             .places = device_array(d, places, T * 4),
                             .types = device_array(d, r->types, T * 4),
                             .rows = device_array(d, rows, T * 4),
                             .slots = device_array(d, slots, T * 4),
                             .starts = offsets,
                             .offsets = device_array(d, offsets, (r->B + 1) * 4),
                             .row_of = device_array(d, row_of, r->B * 4),
                             .zeros = device_array(d, zeros, r->B * 4)};
    if (r->classes)
        p.view.classes = device_array(d, r->classes, r->B * 4);
    if (r->targets)
        p.view.targets = device_array(d, r->targets, r->B * r->L * 4);
    int32_t *const all[] = {positions, places, rows, slots, row_of, zeros};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    return p;
}

static inline void pack_free(struct pack *p)
{
    const struct packed *v = &p->view;
    const device_memory all[] = {v->ids,     v->positions, v->places, v->types,   v->rows,   v->slots,
                                 v->offsets, v->row_of,    v->zeros,  v->classes, v->targets};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].address)
            p->d->run->release(p->d, all[i]);
    free(p->slot_of);
    free((void *)(uintptr_t)v->starts);
}

/* A network with what a test needs around it. */
struct bench {
    struct device *d;
    struct model_config c;
    struct parameters *p;
    struct model *m;
    struct pack batch;
    device_memory gradient, weights;
};

/* Of which layers activations are kept. */
enum keeping { KEEP_ALL, KEEP_NEEDED, KEEP_SUMS /* checkpointing */ };

/* t: what is trained; NULL: no training. */
static inline void bench_create_with(struct bench *n, struct device *d, const struct model_config *c, const struct rows *r,
                                     const struct tuning *t, enum keeping keeping)
{
    struct error e = {0};
    bool training = t != NULL;
    *n = (struct bench){.d = d, .c = *c};
    n->batch = pack_create(d, r, c, training);
    struct model_limits limits = {.max_tokens = n->batch.view.T,
                                  .max_rows = r->B,
                                  .training = training,
                                  .lora_rank = t ? t->lora.rank : 0,
                                  .lowest_trained = keeping == KEEP_ALL || !t ? 0 : tuning_lowest_trained(c, t),
                                  .checkpointing = keeping == KEEP_SUMS};
    if ((t ? parameters_create_tuned(&n->p, d, c, t, &e) : parameters_create(&n->p, d, c, false, &e)) < 0 ||
        model_create(&n->m, n->p, c, &limits, &e) < 0)
        fail_msg("%s", e.message);
    size_t compact = n->batch.view.U * model_config_embedding_width(c);
    n->gradient = device_array(d, NULL, (parameters_dense(n->p) + compact) * sizeof(float));
}

static inline void bench_create_tuned(struct bench *n, struct device *d, const struct model_config *c, const struct rows *r,
                                      const struct tuning *t)
{
    bench_create_with(n, d, c, r, t, KEEP_NEEDED);
}

static inline void bench_create(struct bench *n, struct device *d, const struct model_config *c, const struct rows *r,
                                bool training)
{
    bench_create_tuned(n, d, c, r, training ? &(struct tuning){0} : NULL);
}

static inline void bench_destroy(struct bench *n)
{
    pack_free(&n->batch);
    n->d->run->release(n->d, n->gradient);
    if (n->weights.address)
        n->d->run->release(n->d, n->weights);
    model_destroy(&n->m);
    parameters_destroy(&n->p);
}

/* Sum of the rows' losses. */
static inline double bench_loss(struct bench *n, struct model_dropout dropout, bool multi)
{
    model_forward(n->m, &n->batch.view, dropout);
    float *rows = host_array(n->d, model_loss(n->m, &n->batch.view, n->weights, multi, NULL), n->batch.view.B);
    double ret = 0;
    for (size_t b = 0; b < n->batch.view.B; b++)
        ret += rows[b];
    free(rows);
    return ret;
}

/* The gradient of one parameter after model_backward, words spread over (V,C); freed by caller. */
static inline float *bench_gradient(const struct bench *n, const struct parameter *of)
{
    if (!of->is_words)
        return host_array(n->d, device_at(n->gradient, of->gradient * sizeof(float)), of->count);
    size_t C = of->shape[1];
    float *compact = host_array(n->d, device_at(n->gradient, of->gradient * sizeof(float)), n->batch.view.U * C);
    float *ret = allocate(of->count, sizeof *ret);
    for (size_t v = 0; v < of->shape[0]; v++)
        if (n->batch.slot_of[v] >= 0)
            memcpy(ret + v * C, compact + (size_t)n->batch.slot_of[v] * C, C * sizeof *ret);
    free(compact);
    return ret;
}

static inline void finish(struct device *d)
{
    struct error e = {0};
    if (d->run->finish(d, &e) < 0)
        fail_msg("%s", e.message);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the network as a whole: places of its parameters, the arena of activations, the order of its parts. */
#include "worker/nn/model.h"

#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/trace.h"
#include "worker/device/gpu.h"
#include "worker/nn/layer.h"

#include <stdlib.h>
#include <string.h>

struct layer {
    struct attention attention;
    struct feed_forward feed_forward;
};

struct layer_saved {
    struct attention_saved attention;
    struct feed_forward_saved feed_forward;
    struct pre_norm_saved pre_norm; /* of a family with pre-norm: in place of both */
};

/* All that a forward leaves, by where it lies in the arena. Layers that keep nothing share one place. */
struct activations {
    struct embedding_saved embedding;
    struct layer_saved *layers;
    struct head_saved head;
    struct scratch scratch;
    struct final_saved final; /* these two of a family with pre-norm */
    device_memory z;          /* act (T,C): what is to be added to the residual stream */
    device_memory dy;         /* act (T,C) */
    struct lora_scratch lora;
    struct distances_saved distances;
};

struct model {
    struct device *d;
    struct parameters *p;
    struct model_config c;
    struct model_limits limits;
    struct embedding embedding;
    struct distances distances;
    device_memory distance_tables; /* its numbers, rows and places */
    struct layer *layers;
    struct norm final;
    struct head head;
    device_memory arena;
    struct activations training, evaluation;
    struct pass pass; /* of the last forward */
};

/* Hands out places one behind the other; with base 0 it only counts. */
struct layout {
    device_memory base;
    size_t used, act;
};

static device_memory take_bytes(struct layout *l, size_t bytes)
{
    device_memory ret = device_at(l->base, l->used);
    l->used += (bytes + 63) / 64 * 64;
    return ret;
}

static device_memory take(struct layout *l, size_t elements)
{
    return take_bytes(l, elements * l->act);
}

static device_memory take_f32(struct layout *l, size_t elements)
{
    return take_bytes(l, elements * sizeof(float));
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void lay_out_head(struct layout *l, struct head_saved *k, const struct model_config *c, size_t B)
{
    const struct head_step *steps = model_family_of(c)->steps;
    for (size_t i = 0; steps[i].kind != HEAD_END; i++)
        k->steps[i] = take(l, B * c->width);
    k->pre = take(l, B * c->width);
    k->logits = take_f32(l, B * c->labels);
    k->dlogits = take_f32(l, B * c->labels);
    k->loss = take_f32(l, B);
    k->sum = take(l, B * c->width);
    k->statistics = take_f32(l, 2 * B);
}

/* Whether behind the last attention only the first token of each row matters. */
static bool ends_at_first(const struct model_config *c)
{
    return !c->pools_mean && (model_family_of(c)->global_first || !model_config_is_local(c, c->layers - 1));
}

static size_t distances_count(const struct model_config *c)
{
    return 2 * (size_t)c->distances;
}

static struct distances_saved lay_out_distances(struct layout *l, const struct model_config *c, bool training)
{
    size_t C = c->width, S = distances_count(c);
    struct distances_saved k = {.y = take(l, S * C), .sum = take(l, S * C), .statistics = take_f32(l, 2 * S)};
    if (training && S > 0) {
        k.x = take(l, S * C);
        k.dy = take(l, S * C);
        k.dx = take(l, S * C);
        k.d_projected = take(l, S * 2 * C);
        k.dw = take_f32(l, 2 * C * (C + 1));
    }
    return k;
}

/* Whether a layer is below all that is trained: it has no backward. */
static bool is_below(const struct model_limits *m, uint32_t layer)
{
    return (int)layer + 1 < m->lowest_trained;
}

/* Where the layers' activations lie. Layers without a backward have one place, which the lowest of the others takes over: they
 * are through before it begins. With checkpointing all have that place. */
struct places {
    struct layout start, next;
    size_t end;
};

static struct layout *place_of(struct places *p, const struct model_limits *m, uint32_t layer)
{
    p->end = larger(p->end, p->next.used);
    if (m->checkpointing || (int)layer + 1 <= m->lowest_trained)
        p->next = p->start;
    return &p->next;
}

/* All but the feed-forward's sum, statistics and y. */
static void lay_out_layer(struct layout *l, struct layer_saved *k, const struct model_config *c, const struct model_limits *m,
                          uint32_t layer)
{
    bool last = layer + 1 == c->layers;
    size_t T = m->max_tokens, B = m->max_rows, C = c->width, N = last ? B : T;
    bool global = model_family_of(c)->global_first, projected = global && m->lora_rank == 0;
    k->attention.qkv = take(l, (!last ? 3 : projected ? 0 : 2) * C * T);
    k->attention.mixed = take(l, C * N);
    k->attention.log_sum = take_f32(l, c->heads * N);
    if (!last && global) {
        k->attention.global_kv = take(l, projected ? 0 : 2 * C * T);
        k->attention.first_mixed = take(l, C * B);
        k->attention.first_log_sum = take_f32(l, c->heads * B);
    }
    if (last || global) {
        k->attention.first_x = take(l, C * B);
        k->attention.first_q = take(l, C * B);
    }
    k->attention.sum = take(l, C * N);
    k->attention.statistics = take_f32(l, 2 * N);
    k->attention.y = take(l, C * N);
    k->attention.distances = take(l, 2 * C * distances_count(c));
    k->feed_forward.pre = take(l, c->inner * N);
}

static void lay_out_output(struct layout *l, struct feed_forward_saved *k, size_t N, size_t C)
{
    k->sum = take(l, C * N);
    k->statistics = take_f32(l, 2 * N);
    k->y = take(l, C * N);
}

/* With checkpointing y of all layers but the last has one place. */
static void lay_out_layers(struct layout *l, struct activations *a, const struct model_config *c, const struct model_limits *m)
{
    struct feed_forward_saved below = {0};
    device_memory y = m->checkpointing ? take(l, c->width * m->max_tokens) : DEVICE_NOTHING;
    if (m->lowest_trained > 1)
        lay_out_output(l, &below, m->max_tokens, c->width);
    for (uint32_t i = 0; i < c->layers; i++) {
        size_t N = i + 1 == c->layers ? m->max_rows : m->max_tokens;
        struct feed_forward_saved *k = &a->layers[i].feed_forward;
        *k = below;
        if (is_below(m, i))
            continue;
        if (!m->checkpointing || i + 1 == c->layers) {
            lay_out_output(l, k, N, c->width);
            continue;
        }
        k->sum = take(l, c->width * N);
        k->statistics = take_f32(l, 2 * N);
        k->y = y;
    }
    struct places places = {*l, *l, 0};
    for (uint32_t i = 0; i < c->layers; i++)
        lay_out_layer(place_of(&places, m, i), &a->layers[i], c, m, i);
    l->used = larger(places.end, places.next.used);
}

/* All but h. Where layers share a place, the sum of one lies where nothing of the next does but its own sum: the next one's h is
 * made of it. */
static void lay_out_pre_norm(struct layout *l, struct pre_norm_saved *k, const struct model_config *c,
                             const struct model_limits *m, uint32_t layer)
{
    bool last = layer + 1 == c->layers && ends_at_first(c);
    size_t T = m->max_tokens, B = m->max_rows, C = c->width, N = last ? B : T;
    k->sum = take(l, C * (last && !m->checkpointing && layer + 1 > (uint32_t)m->lowest_trained ? B : T));
    k->sum_statistics = take_f32(l, 2 * N);
    k->x = k->h;
    if (layer > 0) {
        k->statistics = take_f32(l, 2 * T);
        k->x = take(l, C * T);
    }
    k->qkv = take(l, (last ? 2 : 3) * C * T);
    k->mixed = take(l, C * N);
    k->log_sum = take_f32(l, c->heads * N);
    if (last) {
        k->first_h = take(l, C * B);
        k->first_x = take(l, C * B);
        k->first_q = take(l, C * B);
    }
    k->y = take(l, C * N);
    k->pre = take(l, 2 * c->inner * N);
}

static void lay_out_pre_norm_layers(struct layout *l, struct activations *a, const struct model_config *c,
                                    const struct model_limits *m)
{
    device_memory below = m->lowest_trained > 2 ? take(l, c->width * m->max_tokens) : DEVICE_NOTHING;
    a->layers[0].pre_norm.h = a->embedding.y;
    for (uint32_t i = 1; i < c->layers; i++)
        a->layers[i].pre_norm.h = is_below(m, i) ? below : take(l, c->width * m->max_tokens);
    struct places places = {*l, *l, 0};
    for (uint32_t i = 0; i < c->layers; i++)
        lay_out_pre_norm(place_of(&places, m, i), &a->layers[i].pre_norm, c, m, i);
    l->used = larger(places.end, places.next.used);
}

static void lay_out_final(struct layout *l, struct final_saved *k, const struct model_config *c, size_t T, size_t B)
{
    size_t N = ends_at_first(c) ? B : T;
    k->sum = take(l, c->width * N);
    k->statistics = take_f32(l, 2 * N);
    k->y = take(l, c->width * N);
    k->pooled = ends_at_first(c) ? k->y : take(l, c->width * B);
}

static void lay_out_pre_norm_training(struct layout *l, struct activations *a, const struct model_config *c,
                                      const struct model_limits *m)
{
    size_t T = m->max_tokens, B = m->max_rows, C = c->width;
    a->embedding = (struct embedding_saved){.y = take(l, C * T), .statistics = take_f32(l, 2 * T)};
    a->embedding.projected = a->embedding.y;
    if (m->lowest_trained == 0)
        a->embedding.sum = take(l, C * T);
    lay_out_pre_norm_layers(l, a, c, m);
    lay_out_final(l, &a->final, c, T, B);
    lay_out_head(l, &a->head, c, B);
    a->z = take(l, C * T);
    a->scratch.wide = take(l, larger(3 * C, 2 * c->inner) * T);
    a->scratch.inner = take(l, larger(C, c->inner) * T);
    a->scratch.dz = take(l, C * T);
    a->scratch.d_first = take(l, C * B);
    a->dy = take(l, C * T);
    if (m->lowest_trained > 0)
        a->embedding.sum = a->scratch.dz;
}

/* The residual stream h is added to in place; qkv and what the gated activation is of are never there at once. */
static void lay_out_pre_norm_evaluation(struct layout *l, struct activations *a, const struct model_config *c, size_t T, size_t B)
{
    size_t C = c->width;
    device_memory h = take(l, C * T), x = take(l, C * T), mixed = take(l, C * T);
    device_memory wide = take(l, larger(3 * C, 2 * c->inner) * T), first_h = take(l, C * B), first_x = take(l, C * B);
    device_memory statistics = take_f32(l, 2 * T), log_sum = take_f32(l, c->heads * T), first_q = take(l, C * B);
    a->z = take(l, C * T);
    a->scratch.wide = take(l, c->inner * T);
    lay_out_head(l, &a->head, c, B);
    a->embedding = (struct embedding_saved){h, mixed, statistics, h};
    for (uint32_t i = 0; i < c->layers; i++)
        a->layers[i].pre_norm = (struct pre_norm_saved){h,       statistics, i ? x : h, wide,       mixed, log_sum, first_h,
                                                        first_x, first_q,    h,         statistics, x,     wide};
    if (ends_at_first(c)) {
        a->layers[c->layers - 1].pre_norm.sum = first_h;
        a->layers[c->layers - 1].pre_norm.y = first_x;
    }
    a->final = (struct final_saved){ends_at_first(c) ? first_h : h, statistics, x, ends_at_first(c) ? x : first_x};
}

/* rank 0: no adapters. */
static struct lora_scratch lay_out_lora(struct layout *l, const struct model_config *c, size_t T, uint32_t rank, bool training)
{
    struct lora_scratch k = {0};
    size_t widest = larger(c->width, c->inner),
           output = model_family_of(c)->pre_norm ? larger(3 * c->width, 2 * c->inner) : widest;
    if (rank == 0)
        return k;
    T = larger(T, distances_count(c));
    k.u = take(l, rank * T);
    k.t = take(l, output * T);
    if (training) {
        k.x = take(l, widest * T);
        k.du = take(l, rank * T);
        k.dx = take(l, widest * T);
        k.gradient = take_f32(l, rank * c->width);
        k.bias = take_f32(l, 3 * c->width);
    }
    return k;
}

static void lay_out_training(struct layout *l, struct activations *a, const struct model_config *c, const struct model_limits *m)
{
    size_t T = m->max_tokens, B = m->max_rows, C = c->width, E = model_config_embedding_width(c),
           inner = c->inner * (c->layers > 1 ? T : B);
    a->embedding = (struct embedding_saved){.y = take(l, E * T), .statistics = take_f32(l, 2 * T)};
    a->embedding.projected = E != C ? take(l, C * T) : a->embedding.y;
    if (m->lowest_trained == 0)
        a->embedding.sum = take(l, E * T);
    lay_out_layers(l, a, c, m);
    a->distances = lay_out_distances(l, c, true);
    lay_out_head(l, &a->head, c, B);
    a->scratch.wide = take(l, larger(3 * C * T, inner));
    a->scratch.inner = take(l, larger(C * T, inner));
    a->scratch.dz = take(l, larger(C, E) * T);
    a->scratch.d_first = take(l, C * B);
    a->dy = take(l, C * T);
    if (m->lowest_trained > 0)
        a->embedding.sum = a->scratch.dz;
}

/* x and mixed alternate as input and output of the parts of a layer; qkv and the inner vectors are never there at once. */
static void lay_out_evaluation(struct layout *l, struct activations *a, const struct model_config *c, size_t T, size_t B)
{
    size_t C = c->width, E = model_config_embedding_width(c);
    device_memory x = take(l, C * T), mixed = take(l, C * T), sum = take(l, larger(C, E) * T);
    device_memory wide = take(l, larger(larger(3 * C, c->inner), E) * T);
    device_memory statistics = take_f32(l, 2 * T), log_sum = take_f32(l, c->heads * T);
    device_memory first_x = take(l, C * B), first_q = take(l, C * B);
    lay_out_head(l, &a->head, c, B);
    a->scratch.wide = wide;
    a->embedding = (struct embedding_saved){E != C ? wide : x, sum, statistics, x};
    struct layer_saved k = {{wide, mixed, log_sum, first_x, first_q, wide, first_x, log_sum, sum, statistics, mixed},
                            {DEVICE_NOTHING, sum, statistics, x}};
    a->distances = lay_out_distances(l, c, false);
    k.attention.distances = take(l, 2 * C * distances_count(c));
    for (uint32_t i = 0; i < c->layers; i++)
        a->layers[i] = k;
}

/* Either set of activations fills the same arena. */
static size_t lay_out(struct activations *training, struct activations *evaluation, device_memory base,
                      const struct model_config *c, const struct model_limits *limits, enum precision precision)
{
    bool pre_norm = model_family_of(c)->pre_norm;
    struct layout kept = {base, 0, precision_bytes(precision)}, passing = kept;
    size_t tokens = larger(limits->max_tokens, limits->evaluation_tokens);
    if (limits->training) {
        (pre_norm ? lay_out_pre_norm_training : lay_out_training)(&kept, training, c, limits);
        training->lora = lay_out_lora(&kept, c, limits->max_tokens, limits->lora_rank, true);
    }
    (pre_norm ? lay_out_pre_norm_evaluation : lay_out_evaluation)(&passing, evaluation, c, tokens,
                                                                  larger(limits->max_rows, limits->evaluation_rows));
    evaluation->lora = lay_out_lora(&passing, c, tokens, limits->lora_rank, false);
    return larger(kept.used, passing.used);
}

size_t model_bytes(const struct model_config *c, const struct model_limits *limits, enum precision precision)
{
    struct activations training = {.layers = allocate(c->layers, sizeof *training.layers)},
                       evaluation = {.layers = allocate(c->layers, sizeof *evaluation.layers)};
    size_t ret = lay_out(&training, &evaluation, DEVICE_NOTHING, c, limits, precision);
    free(training.layers);
    free(evaluation.layers);
    return ret;
}

static struct linear place_linear(const struct parameters *p, int bucket, enum tensor_role role)
{
    return (struct linear){.weight = parameters_place(p, bucket, role, false), .bias = parameters_place(p, bucket, role, true)};
}

#define LORA_SITES 0x8000u /* above the sites of layers */
#define LORA_LAYER_SITES 32
_Static_assert(ROLE_COUNT - ROLE_QUERY < LORA_LAYER_SITES, "each adapter of a layer has a site of its own");

static uint32_t adapter_site(uint32_t layer, enum tensor_role role)
{
    return LORA_SITES + layer * LORA_LAYER_SITES + (uint32_t)(role - ROLE_QUERY);
}

static struct linear place_adapted(const struct parameters *p, uint32_t layer, enum tensor_role role, size_t slices)
{
    struct linear ret = place_linear(p, (int)layer + 1, role);
    for (size_t i = 0; i < slices; i++) {
        enum tensor_role of = role + (enum tensor_role)i;
        struct adapter *a = &ret.adapters[i];
        a->a = parameters_adapter(p, (int)layer + 1, of, ADAPTER_A);
        a->b = parameters_adapter(p, (int)layer + 1, of, ADAPTER_B);
        a->site = adapter_site(layer, of);
        if (a->a != PARAMETER_ABSENT)
            ret.slices = slices;
    }
    return ret;
}

static struct norm place_norm(const struct parameters *p, int bucket, enum tensor_role role)
{
    return (struct norm){parameters_place(p, bucket, role, false), parameters_place(p, bucket, role, true)};
}

/* Where tokens share their maps, these have had the gradient of tokens before. */
static struct linear place_distances(const struct parameters *p, uint32_t layer)
{
    const struct model_config *c = parameters_config(p);
    enum tensor_role own = c->distance_queries ? ROLE_DISTANCE_QUERY : ROLE_DISTANCE_KEY,
                     of_tokens = c->distance_queries ? ROLE_QUERY : ROLE_KEY;
    size_t slices = (c->distance_queries ? 1 : 0) + (c->distance_keys ? 1 : 0);
    struct linear ret = place_adapted(p, layer, c->distances_shared ? of_tokens : own, slices);
    ret.of_distances = true;
    for (size_t i = 0; i < slices; i++) {
        ret.adapters[i].site = adapter_site(layer, own + (enum tensor_role)i);
        ret.adapters[i].adds_a = ret.adapters[i].adds_b = c->distances_shared;
    }
    return ret;
}

static void place_layer(struct layer *to, const struct parameters *p, uint32_t i, bool last)
{
    int bucket = (int)i + 1;
    bool packed = parameters_place(p, bucket, ROLE_KEY, false) == PARAMETER_ABSENT; /* q, k, v in one tensor */
    to->attention = (struct attention){.qkv = place_adapted(p, i, ROLE_QUERY, packed ? 1 : 3),
                                       .output = place_adapted(p, i, ROLE_ATTENTION_OUTPUT, 1),
                                       .distances = place_distances(p, i),
                                       .global = place_adapted(p, i, ROLE_GLOBAL_QUERY, 3),
                                       .norm = place_norm(p, bucket, ROLE_ATTENTION_NORM),
                                       .layer = i,
                                       .last = last};
    to->feed_forward = (struct feed_forward){.inner = place_adapted(p, i, ROLE_INNER, 1),
                                             .output = place_adapted(p, i, ROLE_OUTPUT, 1),
                                             .norm = place_norm(p, bucket, ROLE_OUTPUT_NORM),
                                             .layer = i};
}

static int place_all(struct model *m, struct error *e)
{
    const struct parameters *p = m->p;
    int head = (int)m->c.layers + 1;
    if (parameters_buckets(p) != head + 1)
        return error_set(e, ERROR_FAILED, "model: the parameters are of %d layers, not %u (a bug, please report)",
                         parameters_buckets(p) - 2, m->c.layers);
    if (m->limits.lowest_trained > parameters_lowest_trained(p))
        return error_set(e, ERROR_FAILED,
                         "model: made for training from bucket %d on, but bucket %d is trained (a bug, please report)",
                         m->limits.lowest_trained, parameters_lowest_trained(p));
    m->embedding = (struct embedding){.word = parameters_place(p, 0, ROLE_WORDS, false),
                                      .position = parameters_place(p, 0, ROLE_POSITIONS, false),
                                      .type = parameters_place(p, 0, ROLE_TYPES, false),
                                      .norm = place_norm(p, 0, ROLE_EMBEDDING_NORM),
                                      .projection = place_linear(p, 0, ROLE_EMBEDDING_PROJECTION)};
    m->distances = (struct distances){.word = parameters_place(p, 0, ROLE_DISTANCES, false),
                                      .norm = place_norm(p, 0, ROLE_DISTANCES_NORM),
                                      .S = distances_count(&m->c),
                                      .reach = m->c.positions};
    m->head.linear = place_linear(p, head, ROLE_HEAD_LINEAR);
    m->final = place_norm(p, head, ROLE_FINAL_NORM);
    m->head.norm = place_norm(p, head, ROLE_HEAD_NORM);
    m->head.classifier = place_linear(p, head, ROLE_CLASSIFIER);
    for (uint32_t i = 0; i < m->c.layers; i++)
        place_layer(&m->layers[i], p, i, i + 1 == m->c.layers && ends_at_first(&m->c));
    return 0;
}

/* Allocates and fills what the embeddings of distances are looked up by. */
static int create_distance_tables(struct model *m, struct error *e)
{
    struct distances *w = &m->distances;
    size_t S = w->S, count = 2 * S + 2 * w->reach;
    if (S == 0)
        return 0;
    if (m->d->run->allocate(m->d, &m->distance_tables, count * sizeof(int32_t), e) < 0) {
        m->distance_tables = DEVICE_NOTHING;
        return -1;
    }
    int32_t *tables = allocate(count, sizeof *tables);
    for (size_t i = 0; i < S; i++)
        tables[i] = (int32_t)i;
    for (size_t i = 0; i + 1 < 2 * w->reach; i++)
        tables[2 * S + i] = (int32_t)model_distance_place(&m->c, (int32_t)i + 1 - (int32_t)w->reach);
    m->d->run->upload(m->d, m->distance_tables, tables, count * sizeof(int32_t));
    free(tables);
    w->numbers = m->distance_tables;
    w->rows = device_at(w->numbers, S * sizeof(int32_t));
    w->places = device_at(w->rows, S * sizeof(int32_t));
    return 0;
}

int model_create(struct model **ret, struct parameters *p, const struct model_config *c, const struct model_limits *limits,
                 struct error *e)
{
    if (parameters_device(p)->run->kind == DEVICE_CUDA && gpu_check_heads(c->width / c->heads, e))
        return -1;
    struct model *m = allocate(1, sizeof *m);
    m->d = parameters_device(p);
    m->p = p;
    m->c = *c;
    m->limits = *limits;
    m->layers = allocate(c->layers, sizeof *m->layers);
    m->training.layers = allocate(c->layers, sizeof *m->training.layers);
    m->evaluation.layers = allocate(c->layers, sizeof *m->evaluation.layers);
    if (place_all(m, e) || create_distance_tables(m, e))
        goto fail;
    size_t bytes = model_bytes(c, limits, m->d->precision);
    m->arena = limits->arena;
    if (!m->arena.address && m->d->run->allocate(m->d, &m->arena, bytes, e) < 0) {
        error_prefix(e, "activations of %zu tokens: ", limits->max_tokens);
        m->arena = DEVICE_NOTHING;
        goto fail;
    }
    lay_out(&m->training, &m->evaluation, m->arena, c, limits, m->d->precision);
    *ret = m;
    return 0;
fail:
    model_destroy(&m);
    return -1;
}

void model_destroy(struct model **m)
{
    if (!*m)
        return;
    if ((*m)->arena.address && !(*m)->limits.arena.address)
        (*m)->d->run->release((*m)->d, (*m)->arena);
    if ((*m)->distance_tables.address)
        (*m)->d->run->release((*m)->d, (*m)->distance_tables);
    free((*m)->layers);
    free((*m)->training.layers);
    free((*m)->evaluation.layers);
    free(*m);
    *m = NULL;
}

static const struct activations *activations_of(const struct model *m)
{
    return m->pass.training ? &m->training : &m->evaluation;
}

/* A batch that does not fit was packed for another model: a mistake of the caller that would write past the arena. */
static void check_limits(const struct model *m, const struct packed *b)
{
    size_t tokens = m->limits.max_tokens, rows = m->limits.max_rows;
    if (b->U == 0) {
        tokens = larger(tokens, m->limits.evaluation_tokens);
        rows = larger(rows, m->limits.evaluation_rows);
    }
    if (b->T > tokens || b->B > rows || (b->U > 0 && !m->limits.training)) {
        log_warn("model: a batch of %zu tokens, %zu rows, %zu words exceeds the model's limits (a bug, please report)", b->T,
                 b->B, b->U);
        abort();
    }
}

/* Returns what the head stands on, act (B,C). */
static device_memory forward_layers(const struct model *m, const struct activations *a)
{
    device_memory x = a->embedding.projected;
    for (uint32_t i = 0; i < m->c.layers; i++) {
        const struct layer *w = &m->layers[i];
        const struct layer_saved *k = &a->layers[i];
        trace_begin("forward layer", (int)i);
        attention_forward(&m->pass, &w->attention, &k->attention, x);
        feed_forward_forward(&m->pass, &w->feed_forward, &k->feed_forward, &a->scratch, k->attention.y,
                             w->attention.last ? first_tokens(&m->pass) : all_tokens(&m->pass));
        x = k->feed_forward.y;
        trace_end();
    }
    return x;
}

static device_memory forward_pre_norm_layers(const struct model *m, const struct activations *a)
{
    device_memory h = a->embedding.y;
    for (uint32_t i = 0; i < m->c.layers; i++) {
        const struct layer *w = &m->layers[i];
        trace_begin("forward layer", (int)i);
        pre_norm_forward(&m->pass, &w->attention, &w->feed_forward, &a->layers[i].pre_norm, &a->scratch, h, a->z);
        h = a->layers[i].pre_norm.sum;
        trace_end();
    }
    final_forward(&m->pass, &m->final, &a->final, h, a->z, m->layers[m->c.layers - 1].attention.last);
    return a->final.pooled;
}

static size_t longest_row(const struct model *m, const struct packed *b)
{
    size_t bytes = (b->B + 1) * sizeof(int32_t), ret = 1;
    int32_t *offsets = m->d->run->host_begin(m->d, b->offsets, bytes);
    for (size_t r = 0; r < b->B; r++)
        ret = larger(ret, (size_t)(offsets[r + 1] - offsets[r]));
    m->d->run->host_end(m->d, offsets, b->offsets, bytes);
    return ret;
}

/* The distances that there are in the rows of a batch. */
static void set_used_distances(const struct model *m, struct distances_saved *k, const struct packed *b)
{
    int32_t farthest = (int32_t)longest_row(m, b) - 1;
    k->first = model_distance_place(&m->c, -farthest);
    k->used = model_distance_place(&m->c, farthest) + 1 - k->first;
}

device_memory model_forward(struct model *m, const struct packed *b, struct model_dropout dropout)
{
    check_limits(m, b);
    m->pass = (struct pass){.d = m->d, .p = m->p, .c = &m->c, .b = b, .dropout = dropout, .training = b->U > 0};
    const struct activations *a = activations_of(m);
    m->pass.lora = a->lora;
    m->pass.distances = m->distances.S ? &m->distances : NULL;
    m->pass.of_distances = a->distances;
    if (m->pass.distances)
        set_used_distances(m, &m->pass.of_distances, b);
    trace_begin("forward", -1);
    trace_begin("forward embeddings", -1);
    embedding_forward(&m->pass, &m->embedding, &a->embedding);
    if (m->pass.distances)
        distances_forward(&m->pass);
    trace_end();
    device_memory x = model_family_of(&m->c)->pre_norm ? forward_pre_norm_layers(m, a) : forward_layers(m, a);
    trace_begin("forward head", -1);
    head_forward(&m->pass, &m->head, &a->head, x);
    trace_end();
    trace_end();
    return a->head.logits;
}

device_memory model_hidden(const struct model *m, uint32_t layer)
{
    const struct activations *a = activations_of(m);
    if (!model_family_of(&m->c)->pre_norm)
        return a->layers[layer].feed_forward.y;
    return layer + 1 < m->c.layers ? a->layers[layer + 1].pre_norm.h : a->final.sum;
}

device_memory model_loss(struct model *m, const struct packed *b, device_memory weights, bool multi,
                         const struct loss_shape *shape)
{
    const struct activations *a = activations_of(m);
    m->pass.b = b;
    head_loss(&m->pass, &a->head, weights, multi, shape);
    return a->head.loss;
}

static void notify_ready(const struct pass *s, int bucket)
{
    if (s->watcher)
        s->watcher->ready(s->watcher->context, bucket);
}

static bool must_repeat(const struct model *m, uint32_t layer)
{
    return m->limits.checkpointing && layer + 1 < m->c.layers; /* the last one's are still there */
}

static device_memory input_of(const struct activations *a, uint32_t layer)
{
    return layer > 0 ? a->layers[layer - 1].feed_forward.y : a->embedding.projected;
}

static void repeat_layer(const struct model *m, const struct activations *a, uint32_t i)
{
    const struct layer *w = &m->layers[i];
    const struct layer_saved *k = &a->layers[i];
    trace_begin("forward layer again", (int)i);
    if (i > 0 && !is_below(&m->limits, i - 1))
        feed_forward_restore(&m->pass, &m->layers[i - 1].feed_forward, &a->layers[i - 1].feed_forward, all_tokens(&m->pass));
    attention_forward(&m->pass, &w->attention, &k->attention, input_of(a, i));
    feed_forward_repeat(&m->pass, &w->feed_forward, &k->feed_forward, k->attention.y, all_tokens(&m->pass));
    trace_end();
}

/* dy (B,C): of what the head stands on. Returns the gradient of the embeddings. */
static device_memory backward_layers(const struct model *m, const struct activations *a, device_memory dy)
{
    int lowest = parameters_lowest_trained(m->p);
    for (uint32_t i = m->c.layers; i-- > 0 && (int)i + 1 >= lowest;) {
        const struct layer *w = &m->layers[i];
        const struct layer_saved *k = &a->layers[i];
        if (must_repeat(m, i))
            repeat_layer(m, a, i);
        trace_begin("backward layer", (int)i);
        feed_forward_backward(&m->pass, &w->feed_forward, &k->feed_forward, &a->scratch, dy, k->attention.y,
                              w->attention.last ? first_tokens(&m->pass) : all_tokens(&m->pass));
        attention_backward(&m->pass, &w->attention, &k->attention, &a->scratch, (int)i + 1 > lowest ? a->dy : DEVICE_NOTHING, dy,
                           input_of(a, i));
        dy = a->dy;
        trace_end();
        notify_ready(&m->pass, (int)i + 1);
    }
    return dy;
}

/* dy act (N,C): of the residual stream. */
static device_memory backward_pre_norm_layers(const struct model *m, const struct activations *a, device_memory dy)
{
    for (uint32_t i = m->c.layers; i-- > 0 && (int)i + 1 >= parameters_lowest_trained(m->p);) {
        const struct layer *w = &m->layers[i];
        if (must_repeat(m, i)) {
            trace_begin("forward layer again", (int)i);
            pre_norm_repeat(&m->pass, &w->attention, &w->feed_forward, &a->layers[i].pre_norm, a->z);
            trace_end();
        }
        trace_begin("backward layer", (int)i);
        pre_norm_backward(&m->pass, &w->attention, &w->feed_forward, &a->layers[i].pre_norm, &a->scratch, a->dy, dy);
        dy = a->dy;
        trace_end();
        notify_ready(&m->pass, (int)i + 1);
    }
    return dy;
}

/* Of the head: returns the gradient behind the last layer. */
static device_memory backward_head(const struct model *m, const struct activations *a)
{
    bool first_only = m->layers[m->c.layers - 1].attention.last, pre_norm = model_family_of(&m->c)->pre_norm;
    device_memory dy = a->scratch.d_first, dx = first_only ? dy : a->dy;
    head_backward(&m->pass, &m->head, &a->head, &a->scratch, dy,
                  pre_norm ? a->final.pooled : a->layers[m->c.layers - 1].feed_forward.y);
    if (!pre_norm)
        return dy;
    final_backward(&m->pass, &m->final, &a->final, &a->scratch, dx, dy, first_only);
    return dx;
}

void model_backward(struct model *m, const struct packed *b, device_memory gradient, const struct model_watcher *watcher)
{
    const struct activations *a = &m->training;
    int bucket = parameters_buckets(m->p), lowest = parameters_lowest_trained(m->p);
    m->pass.b = b;
    m->pass.gradient = gradient;
    m->pass.watcher = watcher;
    trace_begin("backward", -1);
    if (m->pass.distances)
        distances_backward_start(&m->pass);
    trace_begin("backward head", -1);
    device_memory dy = backward_head(m, a);
    trace_end();
    notify_ready(&m->pass, bucket - 1);
    dy = model_family_of(&m->c)->pre_norm ? backward_pre_norm_layers(m, a, dy) : backward_layers(m, a, dy);
    if (lowest == 0) {
        trace_begin("backward embeddings", -1);
        if (m->pass.distances)
            distances_backward(&m->pass);
        embedding_backward(&m->pass, &m->embedding, &a->embedding, &a->scratch, dy);
        trace_end();
        notify_ready(&m->pass, 0);
        notify_ready(&m->pass, bucket);
    }
    trace_end();
}

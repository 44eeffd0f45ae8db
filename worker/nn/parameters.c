/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the table of parameters and the arenas they lie in. */
#include "worker/nn/parameters.h"

#include "common/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In elements: 128 bytes in f32, and still 64 in a bf16 shadow. */
#define ALIGNMENT 32

struct parameters {
    struct device *d;
    struct parameter *items; /* words last */
    size_t count, dense, vocabulary, width;
    int buckets;
    float initializer_range;
    device_memory value, shadow, first_moment, second_moment, seen;
};

/* The tensors of a bucket; sizes are letters of the configuration: C width, F inner, P positions, Y types, L labels. */
struct row {
    const char *name;
    char shape[3];
    bool decays;
    bool adjacent; /* no gap before it */
};

static const struct row embedding_rows[] = {
    {"bert.embeddings.position_embeddings.weight", "PC", true},
    {"bert.embeddings.token_type_embeddings.weight", "YC", true},
    {"bert.embeddings.LayerNorm.weight", "C", false},
    {"bert.embeddings.LayerNorm.bias", "C", false},
    {NULL},
};

static const struct row layer_rows[] = {
    {"bert.encoder.layer.%u.attention.self.query.weight", "CC", true},
    {"bert.encoder.layer.%u.attention.self.key.weight", "CC", true, true},
    {"bert.encoder.layer.%u.attention.self.value.weight", "CC", true, true},
    {"bert.encoder.layer.%u.attention.self.query.bias", "C", false},
    {"bert.encoder.layer.%u.attention.self.key.bias", "C", false, true},
    {"bert.encoder.layer.%u.attention.self.value.bias", "C", false, true},
    {"bert.encoder.layer.%u.attention.output.dense.weight", "CC", true},
    {"bert.encoder.layer.%u.attention.output.dense.bias", "C", false},
    {"bert.encoder.layer.%u.attention.output.LayerNorm.weight", "C", false},
    {"bert.encoder.layer.%u.attention.output.LayerNorm.bias", "C", false},
    {"bert.encoder.layer.%u.intermediate.dense.weight", "FC", true},
    {"bert.encoder.layer.%u.intermediate.dense.bias", "F", false},
    {"bert.encoder.layer.%u.output.dense.weight", "CF", true},
    {"bert.encoder.layer.%u.output.dense.bias", "C", false},
    {"bert.encoder.layer.%u.output.LayerNorm.weight", "C", false},
    {"bert.encoder.layer.%u.output.LayerNorm.bias", "C", false},
    {NULL},
};

static const struct row head_rows[] = {
    {"bert.pooler.dense.weight", "CC", true},
    {"bert.pooler.dense.bias", "C", false},
    {"classifier.weight", "LC", true},
    {"classifier.bias", "L", false},
    {NULL},
};

#define ROWS(table) (sizeof(table) / sizeof(table)[0] - 1)

static size_t size_of(const struct model_config *c, char letter)
{
    switch (letter) {
    case 'C':
        return c->width;
    case 'F':
        return c->inner;
    case 'P':
        return c->positions;
    case 'Y':
        return c->types;
    case 'L':
        return c->labels;
    default:
        return 1;
    }
}

static size_t aligned(size_t n)
{
    return (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Gives each row of one bucket its place behind `dense`; returns what comes to lie behind them. items may be NULL: only counting.
 */
static size_t place_bucket(struct parameter *items, size_t dense, const struct row *rows, const struct model_config *c,
                           uint32_t layer, int bucket)
{
    for (; rows->name; rows++) {
        dense = rows->adjacent ? dense : aligned(dense);
        size_t count = size_of(c, rows->shape[0]) * size_of(c, rows->shape[1]);
        if (items) {
            struct parameter p = {.dimensions = (int)strlen(rows->shape), .offset = dense, .count = count, .bucket = bucket};
            p.shape[0] = size_of(c, rows->shape[0]);
            p.shape[1] = size_of(c, rows->shape[1]);
            p.decays = rows->decays;
            const char *number = strstr(rows->name, "%u");
            if (number)
                snprintf(p.name, sizeof p.name, "%.*s%u%s", (int)(number - rows->name), rows->name, layer, number + 2);
            else
                snprintf(p.name, sizeof p.name, "%s", rows->name);
            *items++ = p;
        }
        dense += count;
    }
    return aligned(dense);
}

/* Fills the table (unless NULL); returns the number of elements before the words. */
static size_t place_all(struct parameter *items, const struct model_config *c)
{
    size_t dense = place_bucket(items, 0, embedding_rows, c, 0, 0);
    for (uint32_t layer = 0; layer < c->layers; layer++) {
        struct parameter *of = items ? items + ROWS(embedding_rows) + layer * ROWS(layer_rows) : NULL;
        dense = place_bucket(of, dense, layer_rows, c, layer, (int)layer + 1);
    }
    struct parameter *head = items ? items + ROWS(embedding_rows) + c->layers * ROWS(layer_rows) : NULL;
    dense = place_bucket(head, dense, head_rows, c, 0, (int)c->layers + 1);
    if (items)
        head[ROWS(head_rows)] = (struct parameter){.name = "bert.embeddings.word_embeddings.weight",
                                                   .dimensions = 2,
                                                   .shape = {c->vocabulary, c->width},
                                                   .offset = dense,
                                                   .count = (size_t)c->vocabulary * c->width,
                                                   .bucket = (int)c->layers + 2,
                                                   .decays = true,
                                                   .is_words = true};
    return dense;
}

size_t parameters_bytes(const struct model_config *c, uint32_t gradients, enum precision precision, size_t max_words)
{
    size_t dense = place_all(NULL, c), all = dense + (size_t)c->vocabulary * c->width;
    size_t ret = all * sizeof(float) + (precision == PRECISION_F32 ? 0 : dense * precision_bytes(precision));
    if (gradients > 0)
        ret += 2 * all * sizeof(float) + c->vocabulary + gradients * (dense + max_words * c->width) * sizeof(float);
    return ret;
}

static int arena_create(struct device *d, device_memory *ret, size_t bytes, struct error *e)
{
    if (d->run->allocate(d, ret, bytes, e) < 0)
        return error_prefix(e, "model parameters: ");
    d->run->zero(d, *ret, bytes);
    return 0;
}

static int arenas_create(struct parameters *p, bool training, struct error *e)
{
    size_t bytes = (p->dense + p->vocabulary * p->width) * sizeof(float);
    if (arena_create(p->d, &p->value, bytes, e) < 0)
        return -1;
    p->shadow = p->value;
    if (p->d->precision != PRECISION_F32) {
        p->shadow = DEVICE_NOTHING;
        if (arena_create(p->d, &p->shadow, p->dense * precision_bytes(p->d->precision), e) < 0)
            return -1;
    }
    if (!training)
        return 0;
    if (arena_create(p->d, &p->first_moment, bytes, e) < 0 || arena_create(p->d, &p->second_moment, bytes, e) < 0)
        return -1;
    return arena_create(p->d, &p->seen, p->vocabulary, e);
}

int parameters_create(struct parameters **ret, struct device *d, const struct model_config *c, bool training, struct error *e)
{
    struct parameters *p = allocate(1, sizeof *p);
    p->d = d;
    p->vocabulary = c->vocabulary;
    p->width = c->width;
    p->buckets = (int)c->layers + 2;
    p->initializer_range = c->initializer_range;
    p->count = ROWS(embedding_rows) + c->layers * ROWS(layer_rows) + ROWS(head_rows) + 1;
    p->items = allocate(p->count, sizeof *p->items);
    p->dense = place_all(p->items, c);
    if (arenas_create(p, training, e) < 0 || d->run->finish(d, e) < 0) {
        parameters_destroy(&p);
        return -1;
    }
    *ret = p;
    return 0;
}

void parameters_destroy(struct parameters **p)
{
    if (!*p)
        return;
    struct device *d = (*p)->d;
    if ((*p)->shadow.address == (*p)->value.address)
        (*p)->shadow = DEVICE_NOTHING;
    const device_memory arenas[] = {(*p)->value, (*p)->shadow, (*p)->first_moment, (*p)->second_moment, (*p)->seen};
    for (size_t i = 0; i < sizeof arenas / sizeof *arenas; i++)
        if (arenas[i].address)
            d->run->release(d, arenas[i]);
    free((*p)->items);
    free(*p);
    *p = NULL;
}

struct device *parameters_device(const struct parameters *p)
{
    return p->d;
}

float parameters_initializer_range(const struct parameters *p)
{
    return p->initializer_range;
}

size_t parameters_count(const struct parameters *p)
{
    return p->count;
}

const struct parameter *parameters_at(const struct parameters *p, size_t i)
{
    return i < p->count ? &p->items[i] : NULL;
}

const struct parameter *parameters_find(const struct parameters *p, const char *name)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->items[i].name, name) == 0)
            return &p->items[i];
    return NULL;
}

int parameters_buckets(const struct parameters *p)
{
    return p->buckets;
}

void parameters_bucket_range(const struct parameters *p, int bucket, size_t *offset, size_t *count)
{
    size_t first = 0, behind;
    while (p->items[first].bucket < bucket)
        first++;
    for (behind = first; p->items[behind].bucket == bucket; behind++)
        ;
    *offset = p->items[first].offset;
    *count = p->items[behind].offset - *offset; /* of the next bucket, or of the words */
}

size_t parameters_dense(const struct parameters *p)
{
    return p->dense;
}

device_memory parameters_value(const struct parameters *p)
{
    return p->value;
}

device_memory parameters_shadow(const struct parameters *p)
{
    return p->shadow;
}

device_memory parameters_first_moment(const struct parameters *p)
{
    return p->first_moment;
}

device_memory parameters_second_moment(const struct parameters *p)
{
    return p->second_moment;
}

device_memory parameters_seen(const struct parameters *p)
{
    return p->seen;
}

void parameters_refresh(struct parameters *p)
{
    if (p->shadow.address != p->value.address)
        p->d->run->round_to_activation(p->d, p->shadow, p->value, p->dense);
}

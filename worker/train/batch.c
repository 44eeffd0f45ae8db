/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the staging memory of batches and the numbering of a step's words. */
#include "worker/train/batch.h"

#include "common/base/memory.h"
#include "common/format/model_family.h"

#include <stdlib.h>
#include <string.h>

/* All elements are of 4 bytes. */
struct array {
    void *host;
    device_memory *device; /* a field of packed, or slot_of */
};

enum { IDS, POSITIONS, PLACES, TYPES, ROWS, SLOTS, OFFSETS, ROW_OF, ZEROS, CLASSES, TARGETS, SLOT_OF, ARRAYS };

struct batch {
    struct device *device;
    const struct dataset *data;
    const struct model_config *config;
    size_t vocabulary, labels;
    struct batch_limits limits;
    struct packed packed;
    device_memory slot_of;
    struct array array[ARRAYS];
};

static int descending(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a < b) - (a > b);
}

struct batch_limits batch_limits(const struct dataset *data, size_t vocabulary, const uint32_t *rows, uint32_t count,
                                 uint32_t batch, uint32_t micro_batch)
{
    uint32_t *lengths = allocate(count, sizeof *lengths);
    for (uint32_t i = 0; i < count; i++)
        lengths[i] = dataset_tokens(data, rows[i]).length;
    qsort(lengths, count, sizeof *lengths, descending);
    struct batch_limits limits = {.rows = micro_batch < count ? micro_batch : count};
    for (uint32_t i = 0; i < count && i < batch; i++) {
        limits.words += lengths[i];
        limits.tokens += i < micro_batch ? lengths[i] : 0;
    }
    free(lengths);
    limits.words = limits.words < vocabulary ? limits.words : vocabulary;
    return limits;
}

int batch_create(struct batch **ret, struct device *d, const struct dataset *data, const struct model_config *c,
                 const struct batch_limits *limits, struct error *e)
{
    struct batch *b = allocate(1, sizeof *b);
    *b = (struct batch){.device = d,
                        .data = data,
                        .config = c,
                        .vocabulary = c->vocabulary,
                        .labels = data ? dataset_labels(data) : 0,
                        .limits = *limits};
    struct packed *p = &b->packed;
    size_t vocabulary = c->vocabulary, tokens = limits->tokens, rows = limits->rows,
           targets = data && dataset_is_multi(data) ? rows * b->labels : 0;
    const struct {
        device_memory *device;
        size_t count;
    } wanted[ARRAYS] = {[IDS] = {&p->ids, tokens},           [POSITIONS] = {&p->positions, tokens},
                        [PLACES] = {&p->places, tokens},     [TYPES] = {&p->types, tokens},
                        [ROWS] = {&p->rows, tokens},         [SLOTS] = {&p->slots, limits->words ? tokens : 0},
                        [OFFSETS] = {&p->offsets, rows + 1}, [ROW_OF] = {&p->row_of, rows},
                        [ZEROS] = {&p->zeros, rows},         [CLASSES] = {&p->classes, rows},
                        [TARGETS] = {&p->targets, targets},  [SLOT_OF] = {&b->slot_of, limits->words ? vocabulary : 0}};
    for (int i = 0; i < ARRAYS; i++) {
        if (!wanted[i].count)
            continue;
        b->array[i] = (struct array){allocate(wanted[i].count, 4), wanted[i].device};
        if (d->run->allocate(d, wanted[i].device, wanted[i].count * 4, e))
            goto fail;
    }
    d->run->zero(d, p->zeros, rows * 4);
    *ret = b;
    return 0;
fail:
    batch_destroy(&b);
    return -1;
}

void batch_destroy(struct batch **batch)
{
    struct batch *b = batch ? *batch : NULL;
    if (!b)
        return;
    for (int i = 0; i < ARRAYS; i++) {
        free(b->array[i].host);
        if (b->array[i].device && b->array[i].device->address)
            b->device->run->release(b->device, *b->array[i].device);
    }
    free(b);
    *batch = NULL;
}

static void upload(struct batch *b, int i, size_t count)
{
    if (count)
        b->device->run->upload(b->device, *b->array[i].device, b->array[i].host, count * 4);
}

size_t batch_words(struct batch *b, const uint32_t *rows, uint32_t count)
{
    int32_t *slot_of = b->array[SLOT_OF].host;
    memset(slot_of, 0xff, b->vocabulary * sizeof *slot_of); /* -1 */
    for (uint32_t r = 0; r < count; r++) {
        struct token_row tokens = dataset_tokens(b->data, rows[r]);
        for (uint32_t i = 0; i < tokens.length; i++)
            slot_of[tokens.ids[i]] = 0;
    }
    size_t words = 0;
    for (size_t word = 0; word < b->vocabulary; word++)
        if (slot_of[word] == 0)
            slot_of[word] = (int32_t)words++;
    upload(b, SLOT_OF, b->vocabulary);
    b->packed.U = words;
    b->packed.padding = b->config->padding ? (size_t)(slot_of[b->config->padding - 1] + 1) : 0;
    return words;
}

device_memory batch_slot_of(const struct batch *b)
{
    return b->slot_of;
}

/* Writes one row's tokens from place `at` on; returns the place behind them. */
static size_t put_row(struct batch *b, struct token_row tokens, uint32_t row, size_t at)
{
    int32_t *ids = b->array[IDS].host, *positions = b->array[POSITIONS].host, *types = b->array[TYPES].host;
    int32_t *rows = b->array[ROWS].host, *slots = b->array[SLOTS].host, *slot_of = b->array[SLOT_OF].host;
    bool typed = model_family_of(b->config)->pair_types && b->config->types > 1;
    packed_places((int32_t *)b->array[PLACES].host + at, tokens.ids, tokens.length, b->config);
    for (uint32_t i = 0; i < tokens.length; i++, at++) {
        ids[at] = tokens.ids[i];
        positions[at] = (int32_t)i;
        types[at] = typed && i >= tokens.first;
        rows[at] = (int32_t)row;
        if (b->packed.U)
            slots[at] = slot_of[tokens.ids[i]];
    }
    return at;
}

/* What stands in host memory, to the device: T tokens of B rows. */
static const struct packed *send(struct batch *b, size_t T, uint32_t B)
{
    static const int per_token[] = {IDS, POSITIONS, PLACES, TYPES, ROWS};
    struct packed *p = &b->packed;
    int32_t *offsets = b->array[OFFSETS].host;
    offsets[B] = (int32_t)T;
    p->T = T;
    p->B = B;
    p->starts = offsets;
    for (size_t i = 0; i < sizeof per_token / sizeof *per_token; i++)
        upload(b, per_token[i], T);
    upload(b, SLOTS, p->U ? T : 0);
    upload(b, OFFSETS, B + 1);
    upload(b, ROW_OF, B);
    bool multi = b->array[TARGETS].host != NULL;
    upload(b, multi ? TARGETS : CLASSES, multi ? B * b->labels : B);
    return p;
}

const struct packed *batch_pack(struct batch *b, const uint32_t *rows, uint32_t count)
{
    int32_t *offsets = b->array[OFFSETS].host, *row_of = b->array[ROW_OF].host, *classes = b->array[CLASSES].host;
    float *targets = b->array[TARGETS].host;
    size_t at = 0;
    for (uint32_t r = 0; r < count; r++) {
        offsets[r] = (int32_t)at;
        row_of[r] = (int32_t)rows[r];
        if (targets)
            memcpy(targets + r * b->labels, dataset_targets(b->data, rows[r]), b->labels * sizeof *targets);
        else
            classes[r] = b->labels ? dataset_class(b->data, rows[r]) : 0;
        at = put_row(b, dataset_tokens(b->data, rows[r]), rows[r], at);
    }
    return send(b, at, count);
}

const struct packed *batch_pack_tokens(struct batch *b, const struct token_row *rows, uint32_t count)
{
    int32_t *offsets = b->array[OFFSETS].host, *row_of = b->array[ROW_OF].host, *classes = b->array[CLASSES].host;
    size_t at = 0;
    for (uint32_t r = 0; r < count; r++) {
        offsets[r] = (int32_t)at;
        row_of[r] = (int32_t)r;
        classes[r] = 0;
        at = put_row(b, rows[r], r, at);
    }
    return send(b, at, count);
}

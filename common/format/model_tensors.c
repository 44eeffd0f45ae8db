/* SPDX-License-Identifier: Apache-2.0 */
#include "common/format/model_tensors.h"

#include "common/base/buffer.h"
#include "common/base/memory.h"
#include "common/format/pretrained.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the bias by distance has; 1 for no letter. */
static size_t size_of_distances(const struct model_config *c, char letter)
{
    switch (letter) {
    case 'T':
        return c->position_table ? c->positions : 0;
    case 'S':
        return 2 * (size_t)c->distances;
    case 'N':
        return c->distances_normalized ? c->width : 0;
    case 'U':
        return c->distance_queries && !c->distances_shared ? c->width : 0;
    case 'X':
        return c->distance_keys && !c->distances_shared ? c->width : 0;
    default:
        return 1;
    }
}

static size_t size_of(const struct model_config *c, char letter)
{
    size_t E = model_config_embedding_width(c);
    switch (letter) {
    case 'C':
        return c->width;
    case 'E':
        return E;
    case 'F':
        return c->inner;
    case 'J':
        return E != c->width ? E : 0;
    case 'K':
        return E != c->width ? c->width : 0;
    case 'L':
        return c->labels;
    case 'P':
        return c->positions;
    case 'V':
        return c->vocabulary;
    case 'W':
        return model_family_of(c)->global_first ? c->width : 0;
    case 'Y':
        return c->types;
    case 'G':
        return 2 * (size_t)c->inner;
    case 'Q':
        return 3 * (size_t)c->width;
    case 'a':
        return c->attention_bias ? c->width : 0;
    case 'q':
        return c->attention_bias ? 3 * (size_t)c->width : 0;
    case 'f':
        return c->feed_forward_bias ? c->width : 0;
    case 'g':
        return c->feed_forward_bias ? 2 * (size_t)c->inner : 0;
    case 'h':
        return c->head_bias ? c->width : 0;
    case 'n':
        return c->norm_bias ? c->width : 0;
    default:
        return size_of_distances(c, letter);
    }
}

bool tensor_row_is_absent(const struct tensor_row *row, const struct model_config *c)
{
    return size_of(c, row->shape[0]) == 0 || size_of(c, row->shape[1]) == 0;
}

/* `name` with "%u" in it replaced by the layer. */
static void put_name(char *to, size_t size, const char *prefix, const char *layer_prefix, const char *name, uint32_t layer)
{
    const char *number = strstr(layer_prefix, "%u");
    if (number)
        snprintf(to, size, "%s%.*s%u%s%s", prefix, (int)(number - layer_prefix), layer_prefix, layer, number + 2, name);
    else
        snprintf(to, size, "%s%s%s", prefix, layer_prefix, name);
}

struct list {
    struct model_tensor *items; /* NULL: only counting */
    size_t count;
    const struct model_config *c;
};

static void add(struct list *l, const struct tensor_row *row, const char *prefix, const char *layer_prefix, uint32_t layer,
                int bucket)
{
    size_t rows = size_of(l->c, row->shape[0]), columns = size_of(l->c, row->shape[1]);
    if (tensor_row_is_absent(row, l->c) || (row->flags & TENSOR_NOT_FIRST && layer == 0))
        return;
    if (l->items) {
        struct model_tensor *t = &l->items[l->count];
        *t = (struct model_tensor){.dimensions = (int)strlen(row->shape),
                                   .shape = {rows, columns},
                                   .count = rows * columns,
                                   .bucket = bucket,
                                   .role = row->role,
                                   .is_bias = row->flags & TENSOR_BIAS,
                                   .decays = row->flags & TENSOR_DECAYS,
                                   .adjacent = row->flags & TENSOR_ADJACENT && l->count && t[-1].role + 1 == row->role};
        put_name(t->name, sizeof t->name, prefix, layer_prefix, row->name, layer);
    }
    l->count++;
}

static void add_all(struct list *l, const struct tensor_row *rows, const char *prefix, const char *layer_prefix, uint32_t layer,
                    int bucket)
{
    for (; rows->name; rows++)
        add(l, rows, prefix, layer_prefix, layer, bucket);
}

size_t model_tensors(struct model_tensor *ret, const struct model_config *c)
{
    const struct model_family *f = model_family_of(c);
    const struct tensor_row words = {ROLE_WORDS, f->words, "VE", TENSOR_DECAYS};
    struct list l = {ret, 0, c};
    add_all(&l, f->embedding, f->prefix, "", 0, 0);
    for (uint32_t i = 0; i < c->layers; i++)
        add_all(&l, f->layer, f->prefix, f->layer_prefix, i, (int)i + 1);
    add_all(&l, f->head, "", "", 0, (int)c->layers + 1);
    add(&l, &words, f->prefix, "", 0, (int)c->layers + 2);
    return l.count;
}

static void shape_text(struct buffer *to, const int64_t *shape, int dimensions)
{
    buffer_text(to, "(");
    for (int i = 0; i < dimensions; i++)
        buffer_printf(to, "%s%lld", i ? ", " : "", (long long)shape[i]);
    buffer_text(to, ")");
}

static int refuse_shape(const struct tensor *t, const struct model_tensor *wanted, const char *path, struct error *e)
{
    struct buffer found = {0}, expected = {0};
    const int64_t shape[2] = {(int64_t)wanted->shape[0], (int64_t)wanted->shape[1]};
    shape_text(&found, t->shape, t->dimensions);
    shape_text(&expected, shape, wanted->dimensions);
    const char *hint = wanted->role == ROLE_CLASSIFIER ? "; the model has another number of labels than the job"
                       : wanted->role == ROLE_WORDS    ? " (vocab_size and the width); they belong to different models"
                                                       : "";
    error_set(e, ERROR_DATA, "%s: tensor %s has shape %s, but config.json makes it %s%s", path, t->name, found.data,
              expected.data, hint);
    buffer_free(&found);
    buffer_free(&expected);
    return -1;
}

int model_tensor_check(const struct tensor *t, const struct model_tensor *wanted, const char *path, struct error *e)
{
    bool same = t->dimensions == wanted->dimensions;
    for (int i = 0; same && i < t->dimensions; i++)
        same = t->shape[i] == (int64_t)wanted->shape[i];
    if (!same)
        return refuse_shape(t, wanted, path, e);
    if (t->type != TENSOR_F32 && t->type != TENSOR_F16 && t->type != TENSOR_BF16 && t->type != TENSOR_F64)
        return error_set(e, ERROR_DATA, "%s: tensor %s is not of floating-point numbers", path, t->name);
    return 0;
}

int model_tensors_find(const struct tensor **found, const struct model_tensor *tensors, size_t count, const struct tensor_file *f,
                       const struct model_config *c, bool new_classifier, const char *path, struct error *e)
{
    const char *prefix = model_family_of(c)->prefix;
    for (size_t k = 0; k < count; k++) { /* the words first: they tell whether the weights are this model's at all */
        size_t i = k ? k - 1 : count - 1;
        const struct model_tensor *of = &tensors[i];
        found[i] = NULL;
        if (new_classifier && of->role == ROLE_CLASSIFIER)
            continue;
        found[i] = pretrained_find(f, prefix, of->name);
        if (!found[i] && (of->bucket != (int)c->layers + 1 || of->role == ROLE_FINAL_NORM))
            return pretrained_refuse_missing(f, prefix, of->name, path, e);
        if (found[i] && model_tensor_check(found[i], of, path, e) < 0)
            return -1;
    }
    return 0;
}

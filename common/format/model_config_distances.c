/* SPDX-License-Identifier: Apache-2.0 */
#include "common/format/model_config_distances.h"

#include "common/format/model_family.h"

#include <math.h>
#include <string.h>
#include <strings.h>

/* A whole number from -1; -1 and an absent key are `standard`. */
static int read_count(uint32_t *ret, const struct json *j, const char *key, uint32_t standard, const char *path, struct error *e)
{
    const struct json *value = json_given(j, key);
    double number = value ? json_number(value) : -1;
    if (value && (json_type(value) != JSON_NUMBER || !(number >= -1 && number <= 131072) || number != floor(number)))
        return error_set(e, ERROR_USAGE, "%s: %s must be a whole number within -1 to 131072", path, key);
    *ret = number < 1 ? standard : (uint32_t)number;
    return 0;
}

/* Names in a string, "p2c|c2p", or in an array of strings: take(c, name) of each, false where it is not known. */
static int read_names(struct model_config *c, const struct json *value, const char *key, const char *known,
                      bool (*take)(struct model_config *c, const char *name, size_t length), const char *path, struct error *e)
{
    size_t count = json_type(value) == JSON_ARRAY ? json_size(value) : 1;
    for (size_t i = 0; i < count; i++) {
        const struct json *item = json_type(value) == JSON_ARRAY ? json_at(value, i) : value;
        const char *name = json_string(item);
        if (!name)
            return error_set(e, ERROR_USAGE, "%s: %s must be of strings, not %s", path, key, json_type_name(json_type(item)));
        for (;;) {
            name += strspn(name, " ");
            size_t length = strcspn(name, "| ");
            if (!take(c, name, length))
                return error_set(e, ERROR_USAGE, "%s: %s is %s; supported are: %s", path, key, json_string(item), known);
            name += length + strspn(name + length, " ");
            if (*name != '|')
                break;
            name++;
        }
    }
    return 0;
}

static bool is_name(const char *name, size_t length, const char *known)
{
    return strlen(known) == length && strncasecmp(name, known, length) == 0;
}

static bool take_kind(struct model_config *c, const char *name, size_t length)
{
    c->distance_keys |= is_name(name, length, "c2p");
    c->distance_queries |= is_name(name, length, "p2c");
    return is_name(name, length, "c2p") || is_name(name, length, "p2c");
}

static bool take_norm(struct model_config *c, const char *name, size_t length)
{
    c->distances_normalized |= is_name(name, length, "layer_norm");
    return is_name(name, length, "layer_norm") || is_name(name, length, "none");
}

/* What other models of the family have, and this program has not. */
static int check_parts(const struct model_config *c, const struct json *j, const char *path, struct error *e)
{
    const struct json *relative = json_given(j, "relative_attention"), *conv = json_given(j, "conv_kernel_size"),
                      *pooled = json_given(j, "pooler_hidden_act");
    const struct {
        const char *key;
        uint32_t wanted;
    } sizes[] = {{"embedding_size", c->width}, {"attention_head_size", c->width / c->heads}, {"pooler_hidden_size", c->width}};
    if (!relative || !json_boolean(relative))
        return error_set(e, ERROR_USAGE, "%s: relative_attention must be true", path);
    if (conv && json_number(conv) != 0)
        return error_set(e, ERROR_USAGE,
                         "%s: conv_kernel_size is %g; models with a convolution (deberta-v2-xlarge, -xxlarge) are not supported",
                         path, json_number(conv));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const struct json *value = json_given(j, sizes[i].key);
        if (value && json_number(value) != sizes[i].wanted)
            return error_set(e, ERROR_USAGE, "%s: %s is %g; supported is: %u", path, sizes[i].key, json_number(value),
                             sizes[i].wanted);
    }
    if (pooled && (!json_string(pooled) || strcmp(json_string(pooled), "gelu") != 0))
        return error_set(e, ERROR_USAGE, "%s: pooler_hidden_act must be \"gelu\"", path);
    return 0;
}

int model_config_read_distances(struct model_config *c, const struct json *j, const char *path, struct error *e)
{
    if (model_family_of(c)->positions != POSITIONS_RELATIVE)
        return 0;
    const struct json *kinds = json_given(j, "pos_att_type"), *norm = json_given(j, "norm_rel_ebd");
    if (check_parts(c, j, path, e) || read_count(&c->farthest, j, "max_relative_positions", c->positions, path, e) ||
        read_count(&c->buckets, j, "position_buckets", 0, path, e))
        return -1;
    if (!kinds)
        return error_set(e, ERROR_USAGE,
                         "%s: there is no pos_att_type, which this model_type needs; get the model's config.json again", path);
    if (read_names(c, kinds, "pos_att_type", "c2p, p2c", take_kind, path, e) ||
        (norm && read_names(c, norm, "norm_rel_ebd", "layer_norm, none", take_norm, path, e)))
        return -1;
    if (!c->distance_keys && !c->distance_queries)
        return error_set(e, ERROR_USAGE, "%s: pos_att_type is empty; supported are: c2p, p2c", path);
    if (c->buckets == 1 || (c->buckets && c->farthest <= c->buckets / 2 + 1))
        return error_set(e, ERROR_USAGE,
                         "%s: position_buckets %u must be 2 or more, and max_relative_positions %u above half of them + 1", path,
                         c->buckets, c->farthest);
    c->distances = c->buckets ? c->buckets : c->farthest;
    return 0;
}

/* In single precision, as transformers counts. */
static float bucket_of(const struct model_config *c, int32_t far)
{
    float middle = (float)(c->buckets / 2);
    if (c->buckets == 0 || (float)far <= middle)
        return (float)far;
    float share = logf((float)far / middle) / logf((float)((double)(c->farthest - 1) / middle));
    return ceilf(share * (middle - 1)) + middle;
}

uint32_t model_distance_place(const struct model_config *c, int32_t distance)
{
    float last = 2 * (float)c->distances - 1, bucket = bucket_of(c, distance < 0 ? -distance : distance);
    float place = (float)c->distances + (distance < 0 ? -bucket : bucket);
    return (uint32_t)(place < 0 ? 0 : place < last ? place : last);
}

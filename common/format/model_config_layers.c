/* SPDX-License-Identifier: Apache-2.0 */
#include "common/format/model_config_layers.h"

#include "common/format/model_family.h"

#include <math.h>
#include <string.h>

static int read_positive(double *ret, const struct json *j, const char *key, double standard, const char *path, struct error *e)
{
    const struct json *value = json_given(j, key);
    *ret = value ? json_number(value) : standard;
    if (value && (json_type(value) != JSON_NUMBER || !(*ret > 0 && *ret <= 1e12)))
        return error_set(e, ERROR_USAGE, "%s: %s must be a number above 0", path, key);
    return 0;
}

static int read_layer_types(struct model_config *c, const struct json *types, uint32_t window, const char *path, struct error *e)
{
    if (json_type(types) != JSON_ARRAY || json_size(types) != c->layers)
        return error_set(e, ERROR_USAGE, "%s: layer_types must be an array of %u, one a layer", path, c->layers);
    for (uint32_t i = 0; i < c->layers; i++) {
        const char *name = json_string(json_at(types, i));
        if (name && !strcmp(name, "sliding_attention"))
            c->windows[i] = window;
        else if (!name || strcmp(name, "full_attention"))
            return error_set(e, ERROR_USAGE, "%s: layer_types[%u] is %s; supported are: full_attention, sliding_attention", path,
                             i, name ? name : json_type_name(json_type(json_at(types, i))));
    }
    return 0;
}

/* Which layers are local: layer_types, or before it every global_attn_every_n_layers-th is global. */
static int read_pattern(struct model_config *c, const struct json *j, const char *path, struct error *e)
{
    const struct json *types = json_given(j, "layer_types");
    double every, window;
    if (read_positive(&window, j, "local_attention", 128, path, e))
        return -1;
    if (window != floor(window) || window < 2 || fmod(window, 2) != 0)
        return error_set(e, ERROR_USAGE, "%s: local_attention is %g; it must be an even number of tokens, 2 or more", path,
                         window);
    uint32_t half = (uint32_t)fmin(window / 2, 1 << 30);
    if (types)
        return read_layer_types(c, types, half, path, e);
    if (read_positive(&every, j, "global_attn_every_n_layers", 3, path, e))
        return -1;
    if (every != floor(every))
        return error_set(e, ERROR_USAGE, "%s: global_attn_every_n_layers is %g, not a whole number", path, every);
    for (uint32_t i = 0; i < c->layers; i++)
        if (fmod(i, every) != 0)
            c->windows[i] = half;
    return 0;
}

/* rope_parameters of transformers 5, an object a kind of layer; before it, one number each. */
static int read_theta(float *ret, const struct json *j, const char *kind, const char *old, double standard, const char *path,
                      struct error *e)
{
    const struct json *all = json_given(j, "rope_parameters"), *of = json_given(all, kind);
    const char *type = json_string(json_given(of, "rope_type"));
    double theta;
    if (all && json_type(all) != JSON_OBJECT)
        return error_set(e, ERROR_USAGE, "%s: rope_parameters is %s; it must be an object", path, json_type_name(json_type(all)));
    if (type && strcmp(type, "default") != 0)
        return error_set(e, ERROR_USAGE, "%s: rope_parameters.%s.rope_type is %s; supported is: default", path, kind, type);
    if (json_given(of, "rope_theta") ? read_positive(&theta, of, "rope_theta", standard, path, e)
                                     : read_positive(&theta, j, old, standard, path, e))
        return -1;
    *ret = (float)theta;
    return 0;
}

static int read_pooling(struct model_config *c, const struct json *j, const char *path, struct error *e)
{
    const struct json *pooling = json_given(j, "classifier_pooling"), *activation = json_given(j, "classifier_activation");
    const char *name = pooling ? json_string(pooling) : "cls", *shape = activation ? json_string(activation) : "gelu";
    if (!name || (strcmp(name, "cls") != 0 && strcmp(name, "mean") != 0))
        return error_set(e, ERROR_USAGE, "%s: classifier_pooling must be \"cls\" or \"mean\"", path);
    if (!shape || strcmp(shape, "gelu") != 0)
        return error_set(e, ERROR_USAGE, "%s: classifier_activation must be \"gelu\"", path);
    c->pools_mean = !strcmp(name, "mean");
    return 0;
}

/* attention_window of Longformer: a number, or one a layer; both sides together. */
static int read_windows(struct model_config *c, const struct json *j, const char *path, struct error *e)
{
    const struct json *all = json_given(j, "attention_window");
    bool each = json_type(all) == JSON_ARRAY;
    if (!all)
        return error_set(e, ERROR_USAGE,
                         "%s: there is no attention_window, which this model_type needs; get the model's config.json again",
                         path);
    if (each && json_size(all) != c->layers)
        return error_set(e, ERROR_USAGE, "%s: attention_window must be a number or an array of %u, one a layer", path, c->layers);
    for (uint32_t i = 0; i < c->layers; i++) {
        const struct json *of = each ? json_at(all, i) : all;
        double window = json_number(of);
        if (json_type(of) != JSON_NUMBER)
            return error_set(e, ERROR_USAGE, "%s: attention_window of layer %u is %s, not a number", path, i,
                             json_type_name(json_type(of)));
        if (!(window >= 2 && window <= 1e9) || fmod(window, 2) != 0)
            return error_set(e, ERROR_USAGE,
                             "%s: attention_window of layer %u is %g; it must be an even number of tokens, 2 or more", path, i,
                             window);
        c->windows[i] = (uint32_t)(window / 2);
    }
    return 0;
}

int model_config_read_layers(struct model_config *c, const struct json *j, const char *path, struct error *e)
{
    if (model_family_of(c)->global_first)
        return read_windows(c, j, path, e);
    if (!model_family_of(c)->pre_norm)
        return 0;
    if (c->width / c->heads % 2)
        return error_set(e, ERROR_USAGE, "%s: hidden_size / num_attention_heads is %u; rotary positions need an even number",
                         path, c->width / c->heads);
    if (read_pattern(c, j, path, e) || read_pooling(c, j, path, e))
        return -1;
    return read_theta(&c->theta, j, "full_attention", "global_rope_theta", 160000, path, e) ||
                   read_theta(&c->local_theta, j, "sliding_attention", "local_rope_theta", 10000, path, e)
               ? -1
               : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns embeddings of distances (He et al., 2021, DeBERTa): one table for all layers, a norm behind it, and for each layer a
 * dropout of its own and their maps to queries and keys. The dropout is of the batch's first row, whoever computes the batch. */
#include "worker/nn/layer.h"

#define DISTANCE_SITES 0x4000u /* above those of layers */

static struct dropout distances_dropout(const struct pass *s, const struct attention *of_layer)
{
    return pass_dropout(s, s->c->hidden_dropout, DISTANCE_SITES + of_layer->layer, used_distances(s));
}

static bool has_norm(const struct distances *w)
{
    return w->norm.gamma != PARAMETER_ABSENT;
}

/* The number of the batch's first row, S times. */
static void set_rows(const struct pass *s)
{
    const struct distances *w = s->distances;
    size_t filled = sizeof(int32_t), all = w->S * sizeof(int32_t);
    s->d->run->copy(s->d, w->rows, s->b->row_of, filled);
    for (size_t next; filled < all; filled += next) {
        next = filled < all - filled ? filled : all - filled;
        s->d->run->copy(s->d, device_at(w->rows, filled), w->rows, next);
    }
}

void distances_forward(const struct pass *s)
{
    const struct distances *w = s->distances;
    const struct distances_saved *k = &s->of_distances;
    size_t C = s->c->width;
    if (s->dropout.on)
        set_rows(s);
    if (has_norm(w))
        s->d->run->embedding_forward(s->d, k->y, k->sum, k->statistics, w->numbers, DEVICE_NOTHING, DEVICE_NOTHING,
                                     pass_value(s, w->word), DEVICE_NOTHING, DEVICE_NOTHING, pass_value(s, w->norm.gamma),
                                     pass_value(s, w->norm.beta), s->c->epsilon, NULL, w->S, C);
    else
        s->d->run->round_to_activation(s->d, k->y, pass_value(s, w->word), w->S * C);
}

/* The table, or its norm's bias alone. */
static bool is_trained(const struct pass *s)
{
    return pass_gradient(s, s->distances->word).address || pass_gradient(s, s->distances->norm.beta).address;
}

void distances_backward_start(const struct pass *s)
{
    s->d->run->zero(s->d, s->of_distances.dy, s->distances->S * s->c->width * precision_bytes(s->d->precision));
}

void distances_backward(const struct pass *s)
{
    const struct distances *w = s->distances;
    const struct distances_saved *k = &s->of_distances;
    size_t C = s->c->width;
    if (!is_trained(s))
        return;
    if (!pass_gradient(s, w->word).address)
        s->d->run->normalize_backward(s->d, k->dy, DEVICE_NOTHING, DEVICE_NOTHING, pass_gradient(s, w->norm.beta), k->dy, k->sum,
                                      k->statistics, pass_value(s, w->norm.gamma), NULL, w->S, C);
    else if (has_norm(w))
        s->d->run->embedding_backward(s->d, pass_gradient(s, w->word), DEVICE_NOTHING, DEVICE_NOTHING,
                                      pass_gradient(s, w->norm.gamma), pass_gradient(s, w->norm.beta), k->dy, k->sum,
                                      k->statistics, w->numbers, DEVICE_NOTHING, DEVICE_NOTHING, pass_value(s, w->norm.gamma),
                                      NULL, w->S, C, w->S, 0, 0);
    else
        s->d->run->widen_activation(s->d, pass_gradient(s, w->word), k->dy, w->S * C);
}

static size_t outputs_of(const struct model_config *c)
{
    return c->width * ((c->distance_keys ? 1 : 0) + (c->distance_queries ? 1 : 0));
}

/* Of an array of act vectors of distances, from those on that are used. */
static device_memory used(const struct pass *s, device_memory all, size_t width)
{
    return device_at(all, s->of_distances.first * width * precision_bytes(s->d->precision));
}

/* The table, or it with dropout, of what is used. */
static device_memory input_of(const struct pass *s, const struct dropout *dropout)
{
    const struct distances_saved *k = &s->of_distances;
    size_t C = s->c->width;
    if (!(dropout->probability > 0))
        return used(s, k->y, C);
    s->d->run->dropout_apply(s->d, k->x, used(s, k->y, C), dropout, 0, k->used, C);
    return k->x;
}

struct relative_bias distances_of(const struct pass *s, device_memory projected)
{
    const struct model_config *c = s->c;
    const struct distances *of = s->distances;
    size_t C = c->width, O = outputs_of(c);
    device_memory to = projected, keys = c->distance_queries ? device_at(to, C * precision_bytes(s->d->precision)) : to;
    return (struct relative_bias){.keys = c->distance_keys ? keys : DEVICE_NOTHING,
                                  .queries = c->distance_queries ? to : DEVICE_NOTHING,
                                  .stride = O,
                                  .S = of->S,
                                  .places = of->places,
                                  .reach = of->reach};
}

struct relative_bias distances_project(const struct pass *s, const struct attention *w, device_memory to)
{
    size_t C = s->c->width, O = outputs_of(s->c);
    struct dropout dropout = distances_dropout(s, w);
    pass_linear(s, used(s, to, O), DEVICE_NOTHING, input_of(s, &dropout), w->distances, ACTIVATION_NONE, s->of_distances.used, C,
                O);
    return distances_of(s, to);
}

/* Of one that tokens share, and have written. */
static void add_gradient(const struct pass *s, size_t place, device_memory more, size_t count)
{
    device_memory to = pass_gradient(s, place);
    if (to.address)
        s->d->run->add(s->d, to, more, count);
}

/* dx may be DEVICE_NOTHING. */
static void maps_backward(const struct pass *s, struct linear w, device_memory dx, device_memory x, bool add_dx)
{
    const struct distances_saved *k = &s->of_distances;
    size_t C = s->c->width, O = outputs_of(s->c);
    device_memory dy = used(s, k->d_projected, O), none = DEVICE_NOTHING;
    if (!s->c->distances_shared) {
        pass_linear_backward(s, dx, dy, x, w, add_dx, k->used, C, O);
        return;
    }
    bool trained = pass_gradient(s, w.weight).address;
    device_memory more = trained ? k->dw : none, more_bias = device_at(k->dw, O * C * sizeof(float));
    s->d->run->linear_backward(s->d, dx, more, more_bias, dy, x, pass_weight(s, w.weight), add_dx, k->used, C, O);
    add_gradient(s, w.weight, more, O * C);
    for (size_t from = 0; from < O; from += C)
        add_gradient(s, w.bias + from, device_at(more_bias, from * sizeof(float)), C);
    if (w.slices)
        adapted_backward(s, dx, dy, x, w, k->used, C, O);
    if (s->watcher)
        s->watcher->between(s->watcher->context);
}

void distances_project_backward(const struct pass *s, const struct attention *w)
{
    const struct distances_saved *k = &s->of_distances;
    size_t C = s->c->width;
    struct dropout dropout = distances_dropout(s, w);
    device_memory x = input_of(s, &dropout), dy = used(s, k->dy, C);
    if (!is_trained(s)) {
        maps_backward(s, w->distances, DEVICE_NOTHING, x, false);
    } else if (!(dropout.probability > 0)) {
        maps_backward(s, w->distances, dy, x, true);
    } else {
        maps_backward(s, w->distances, k->dx, x, false);
        s->d->run->dropout_apply(s->d, dy, k->dx, &dropout, 1, k->used, C);
    }
}

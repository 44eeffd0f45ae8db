/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the feed-forward part of a layer with its residual and LayerNorm. */
#include "worker/nn/layer.h"

static struct dropout output_dropout(const struct pass *s, const struct feed_forward *w, struct vectors of)
{
    return pass_dropout(s, s->c->hidden_dropout, w->layer * 4 + SITE_FEED_FORWARD_OUTPUT, of);
}

void feed_forward_forward(const struct pass *s, const struct feed_forward *w, const struct feed_forward_saved *k,
                          const struct scratch *t, device_memory x, struct vectors of)
{
    size_t C = s->c->width, F = s->c->inner;
    struct dropout dropout = output_dropout(s, w, of);
    pass_linear(s, t->wide, k->pre, x, w->inner, s->c->activation, of.N, C, F);
    pass_linear(s, k->sum, DEVICE_NOTHING, t->wide, w->output, ACTIVATION_NONE, of.N, F, C);
    s->d->run->normalize_forward(s->d, k->y, k->sum, k->statistics, x, k->sum, pass_value(s, w->norm.gamma),
                                 pass_value(s, w->norm.beta), s->c->epsilon, &dropout, of.N, C);
}

void feed_forward_repeat(const struct pass *s, const struct feed_forward *w, const struct feed_forward_saved *k, device_memory x,
                         struct vectors of)
{
    pass_linear(s, k->pre, DEVICE_NOTHING, x, w->inner, ACTIVATION_NONE, of.N, s->c->width, s->c->inner);
}

void feed_forward_restore(const struct pass *s, const struct feed_forward *w, const struct feed_forward_saved *k,
                          struct vectors of)
{
    s->d->run->normalize_forward(s->d, k->y, k->sum, k->statistics, k->sum, DEVICE_NOTHING, pass_value(s, w->norm.gamma),
                                 pass_value(s, w->norm.beta), s->c->epsilon, NULL, of.N, s->c->width);
}

/* On a GPU, where a pass over memory is what counts: the activation's output comes with its gradient, from one reading, and the
 * output map's weights after it. Adapters want that output earlier. */
static void output_backward(const struct pass *s, const struct feed_forward *w, const struct feed_forward_saved *k,
                            const struct scratch *t, size_t N)
{
    size_t C = s->c->width, F = s->c->inner;
    s->d->run->linear_backward(s->d, t->inner, DEVICE_NOTHING, DEVICE_NOTHING, t->dz, DEVICE_NOTHING,
                               pass_weight(s, w->output.weight), 0, N, F, C);
    s->d->run->activation_backward(s->d, t->inner, t->wide, t->inner, k->pre, s->c->activation, N * F);
    pass_linear_backward(s, DEVICE_NOTHING, t->dz, t->wide, w->output, false, N, F, C);
}

/* The activation's output is computed again instead of being kept: a quarter of what a layer keeps, for a pass over it before dy
 * is known, since the output map's weights need it. */
void feed_forward_backward(const struct pass *s, const struct feed_forward *w, const struct feed_forward_saved *k,
                           const struct scratch *t, device_memory dy, device_memory x, struct vectors of)
{
    size_t C = s->c->width, F = s->c->inner;
    struct dropout dropout = output_dropout(s, w, of);
    s->d->run->normalize_backward(s->d, dy, t->dz, pass_gradient(s, w->norm.gamma), pass_gradient(s, w->norm.beta), dy, k->sum,
                                  k->statistics, pass_value(s, w->norm.gamma), &dropout, of.N, C);
    if (s->d->run->kind == DEVICE_CUDA && !w->output.slices) {
        output_backward(s, w, k, t, of.N);
    } else {
        s->d->run->activation_backward(s->d, DEVICE_NOTHING, t->wide, DEVICE_NOTHING, k->pre, s->c->activation, of.N * F);
        pass_linear_backward(s, t->inner, t->dz, t->wide, w->output, false, of.N, F, C);
        s->d->run->activation_backward(s->d, t->inner, DEVICE_NOTHING, t->inner, k->pre, s->c->activation, of.N * F);
    }
    pass_linear_backward(s, dy, t->inner, x, w->inner, true, of.N, C, F);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the layer with pre-norm and the norm behind the last one: local or global attention with rotary positions, and a gated
 * feed-forward (ModernBERT: Warner et al., 2024, arXiv 2412.13663). */
#include "worker/nn/layer.h"

static struct dropout probabilities_dropout(const struct pass *s, const struct attention *w, struct vectors of)
{
    return pass_dropout(s, s->c->attention_dropout, w->layer * 4 + SITE_ATTENTION, of);
}

static struct dropout output_dropout(const struct pass *s, const struct attention *w, struct vectors of)
{
    return pass_dropout(s, s->c->attention_dropout, w->layer * 4 + SITE_ATTENTION_OUTPUT, of);
}

/* Of the gated activation. */
static struct dropout inner_dropout(const struct pass *s, const struct feed_forward *w, struct vectors of)
{
    return pass_dropout(s, s->c->hidden_dropout, w->layer * 4 + SITE_FEED_FORWARD_OUTPUT, of);
}

static struct vectors queries_of(const struct pass *s, const struct attention *w)
{
    return w->last ? first_tokens(s) : all_tokens(s);
}

static struct attention_window window_of(const struct pass *s, const struct attention *w)
{
    return (struct attention_window){s->c->windows[w->layer], 0};
}

/* The first `parts` of the C-wide parts of each token's vector, which is `stride` wide. */
static void rotate(const struct pass *s, const struct attention *w, device_memory x, bool backward, size_t parts, size_t stride)
{
    const struct model_config *c = s->c;
    float theta = model_config_is_local(c, w->layer) ? c->local_theta : c->theta;
    s->d->run->rotate(s->d, x, s->b->positions, theta, backward, s->b->T, parts * c->heads, c->width / c->heads, stride);
}

/* The first tokens' queries stand at position 0, where the rotation is none. */
static void mix_first(const struct pass *s, const struct attention *w, const struct pre_norm_saved *k,
                      const struct dropout *dropout)
{
    const struct packed *b = s->b;
    size_t C = s->c->width, H = s->c->heads;
    s->d->run->first_tokens(s->d, k->first_h, k->h, b->offsets, b->B, C);
    s->d->run->first_tokens(s->d, k->first_x, k->x, b->offsets, b->B, C);
    pass_linear(s, k->first_q, DEVICE_NOTHING, k->first_x, linear_queries(&w->qkv), ACTIVATION_NONE, b->B, C, C);
    pass_linear(s, k->qkv, DEVICE_NOTHING, k->x, linear_keys_values(s, &w->qkv), ACTIVATION_NONE, b->T, C, 2 * C);
    rotate(s, w, k->qkv, false, 1, 2 * C);
    pass_count_first(s, 4);
    s->d->run->first_attention_forward(s->d, k->mixed, k->log_sum, k->first_q, k->qkv, b->offsets, dropout, b->B, b->T, H, C / H);
}

static void mix(const struct pass *s, const struct attention *w, const struct pre_norm_saved *k, const struct dropout *dropout)
{
    const struct packed *b = s->b;
    size_t C = s->c->width, H = s->c->heads;
    const struct attention_window window = window_of(s, w);
    pass_linear(s, k->qkv, DEVICE_NOTHING, k->x, w->qkv, ACTIVATION_NONE, b->T, C, 3 * C);
    rotate(s, w, k->qkv, false, 2, 3 * C);
    pass_count(s, &window, 4);
    s->d->run->window_attention_forward(s->d, k->mixed, k->log_sum, k->qkv, b->offsets, &window, dropout, b->B, b->T, H, C / H);
}

/* Up to the feed-forward's inner map: all that is kept of a layer. */
static void kept_forward(const struct pass *s, const struct attention *a, const struct feed_forward *f,
                         const struct pre_norm_saved *k, device_memory h, device_memory add, device_memory z)
{
    size_t C = s->c->width, F = s->c->inner, T = s->b->T;
    struct vectors of = queries_of(s, a);
    if (a->layer > 0)
        s->d->run->normalize_forward(s->d, k->x, k->h, k->statistics, h, add, pass_value(s, a->norm.gamma),
                                     pass_value(s, a->norm.beta), s->c->epsilon, NULL, T, C);
    struct dropout dropout = probabilities_dropout(s, a, of);
    (a->last ? mix_first : mix)(s, a, k, &dropout);
    pass_linear(s, z, DEVICE_NOTHING, k->mixed, a->output, ACTIVATION_NONE, of.N, C, C);
    dropout = output_dropout(s, a, of);
    s->d->run->normalize_forward(s->d, k->y, k->sum, k->sum_statistics, a->last ? k->first_h : k->h, z,
                                 pass_value(s, f->norm.gamma), pass_value(s, f->norm.beta), s->c->epsilon, &dropout, of.N, C);
    pass_linear(s, k->pre, DEVICE_NOTHING, k->y, f->inner, ACTIVATION_NONE, of.N, C, 2 * F);
}

void pre_norm_forward(const struct pass *s, const struct attention *a, const struct feed_forward *f,
                      const struct pre_norm_saved *k, const struct scratch *t, device_memory h, device_memory z)
{
    size_t C = s->c->width, F = s->c->inner;
    struct vectors of = queries_of(s, a);
    kept_forward(s, a, f, k, h, z, z);
    s->d->run->gated_forward(s->d, t->wide, k->pre, s->c->activation, of.N, F);
    struct dropout dropout = inner_dropout(s, f, of);
    if (dropout.probability > 0)
        s->d->run->dropout_apply(s->d, t->wide, t->wide, &dropout, 0, of.N, F);
    pass_linear(s, z, DEVICE_NOTHING, t->wide, f->output, ACTIVATION_NONE, of.N, F, C);
}

void pre_norm_repeat(const struct pass *s, const struct attention *a, const struct feed_forward *f,
                     const struct pre_norm_saved *k, device_memory z)
{
    kept_forward(s, a, f, k, k->h, DEVICE_NOTHING, z);
}

/* What the feed-forward's input adds to dy, the gradient of the residual stream behind attention; t->dz: of the attention's
 * output map's result. The gated activation is computed again instead of being kept. */
static void feed_forward_part_backward(const struct pass *s, const struct attention *a, const struct feed_forward *f,
                                       const struct pre_norm_saved *k, const struct scratch *t, device_memory dy)
{
    size_t C = s->c->width, F = s->c->inner;
    struct vectors of = queries_of(s, a);
    struct dropout dropout = inner_dropout(s, f, of);
    s->d->run->gated_forward(s->d, t->wide, k->pre, s->c->activation, of.N, F);
    if (dropout.probability > 0)
        s->d->run->dropout_apply(s->d, t->wide, t->wide, &dropout, 0, of.N, F);
    pass_linear_backward(s, t->inner, dy, t->wide, f->output, false, of.N, F, C);
    if (dropout.probability > 0)
        s->d->run->dropout_apply(s->d, t->inner, t->inner, &dropout, 0, of.N, F);
    s->d->run->gated_backward(s->d, t->wide, DEVICE_NOTHING, t->inner, k->pre, s->c->activation, of.N, F);
    pass_linear_backward(s, t->dz, t->wide, k->y, f->inner, false, of.N, C, 2 * F);
    dropout = output_dropout(s, a, of);
    s->d->run->residual_normalize_backward(s->d, dy, t->dz, pass_gradient(s, f->norm.gamma), pass_gradient(s, f->norm.beta),
                                           t->dz, k->sum, k->sum_statistics, pass_value(s, f->norm.gamma), &dropout, of.N, C);
}

/* Layer 0 has no norm: the gradient of its x goes right into that of the residual stream. */
static void mix_backward(const struct pass *s, const struct attention *w, const struct pre_norm_saved *k, const struct scratch *t,
                         device_memory dx, const struct dropout *dropout)
{
    const struct packed *b = s->b;
    size_t C = s->c->width, H = s->c->heads;
    const struct attention_window window = window_of(s, w);
    pass_count(s, &window, 8);
    s->d->run->window_attention_backward(s->d, t->wide, t->inner, k->mixed, k->qkv, k->log_sum, b->offsets, &window, dropout,
                                         b->B, b->T, H, C / H);
    rotate(s, w, t->wide, true, 2, 3 * C);
    pass_linear_backward(s, w->layer > 0 ? t->dz : dx, t->wide, k->x, w->qkv, w->layer == 0, b->T, C, 3 * C);
}

/* dy: of first tokens' residual stream. */
static void mix_first_backward(const struct pass *s, const struct attention *w, const struct pre_norm_saved *k,
                               const struct scratch *t, device_memory dx, device_memory dy, const struct dropout *dropout)
{
    const struct packed *b = s->b;
    size_t C = s->c->width, H = s->c->heads;
    pass_count_first(s, 8);
    s->d->run->first_attention_backward(s->d, t->dz, t->wide, t->inner, k->mixed, k->first_q, k->qkv, k->log_sum, b->offsets,
                                        dropout, b->B, b->T, H, C / H);
    rotate(s, w, t->wide, true, 1, 2 * C);
    pass_linear_backward(s, w->layer > 0 ? t->inner : dy, t->dz, k->first_x, linear_queries(&w->qkv), w->layer == 0, b->B, C, C);
    s->d->run->first_tokens_backward(s->d, dx, dy, b->offsets, b->B, b->T, C);
    if (w->layer > 0)
        s->d->run->first_tokens_backward(s->d, t->dz, t->inner, b->offsets, b->B, b->T, C);
    pass_linear_backward(s, w->layer > 0 ? t->dz : dx, t->wide, k->x, linear_keys_values(s, &w->qkv), true, b->T, C, 2 * C);
}

void pre_norm_backward(const struct pass *s, const struct attention *a, const struct feed_forward *f,
                       const struct pre_norm_saved *k, const struct scratch *t, device_memory dx, device_memory dy)
{
    size_t C = s->c->width;
    struct vectors of = queries_of(s, a);
    feed_forward_part_backward(s, a, f, k, t, dy);
    pass_linear_backward(s, t->inner, t->dz, k->mixed, a->output, false, of.N, C, C);
    struct dropout dropout = probabilities_dropout(s, a, of);
    if (a->last)
        mix_first_backward(s, a, k, t, dx, dy, &dropout);
    else
        mix_backward(s, a, k, t, dx, &dropout);
    if (a->layer > 0)
        s->d->run->residual_normalize_backward(s->d, dx, DEVICE_NOTHING, pass_gradient(s, a->norm.gamma),
                                               pass_gradient(s, a->norm.beta), t->dz, k->h, k->statistics,
                                               pass_value(s, a->norm.gamma), NULL, s->b->T, C);
}

void final_forward(const struct pass *s, const struct norm *w, const struct final_saved *k, device_memory h, device_memory z,
                   bool first_only)
{
    const struct packed *b = s->b;
    size_t C = s->c->width;
    s->d->run->normalize_forward(s->d, k->y, k->sum, k->statistics, h, z, pass_value(s, w->gamma), pass_value(s, w->beta),
                                 s->c->epsilon, NULL, first_only ? b->B : b->T, C);
    if (!first_only)
        (s->c->pools_mean ? s->d->run->mean_tokens : s->d->run->first_tokens)(s->d, k->pooled, k->y, b->offsets, b->B, C);
}

void final_backward(const struct pass *s, const struct norm *w, const struct final_saved *k, const struct scratch *t,
                    device_memory dx, device_memory dy, bool first_only)
{
    const struct packed *b = s->b;
    size_t C = s->c->width;
    if (!first_only) {
        if (s->c->pools_mean)
            s->d->run->mean_tokens_backward(s->d, t->dz, dy, b->offsets, b->B, C);
        else
            s->d->run->first_tokens_backward(s->d, t->dz, dy, b->offsets, b->B, b->T, C);
        dy = t->dz;
    }
    s->d->run->normalize_backward(s->d, dx, DEVICE_NOTHING, pass_gradient(s, w->gamma), pass_gradient(s, w->beta), dy, k->sum,
                                  k->statistics, pass_value(s, w->gamma), NULL, first_only ? b->B : b->T, C);
}

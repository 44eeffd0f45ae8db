/* SPDX-License-Identifier: Apache-2.0 */
/* Owns self-attention with its output map, residual and LayerNorm. In the last layer only first tokens have queries. */
#include "worker/nn/layer.h"

static struct dropout probabilities_dropout(const struct pass *s, const struct attention *w, struct vectors of)
{
    return pass_dropout(s, s->c->attention_dropout, w->layer * 4 + SITE_ATTENTION, of);
}

static struct dropout output_dropout(const struct pass *s, const struct attention *w, struct vectors of)
{
    float probability = model_family_of(s->c)->plain_attention_output ? 0 : s->c->hidden_dropout;
    return pass_dropout(s, probability, w->layer * 4 + SITE_ATTENTION_OUTPUT, of);
}

static struct vectors queries_of(const struct pass *s, const struct attention *w)
{
    return w->last ? first_tokens(s) : all_tokens(s);
}

static bool is_global(const struct attention *w)
{
    return w->global.weight != PARAMETER_ABSENT;
}

/* What first tokens are queries of: in the last layer these are the only ones. */
static const struct linear *of_first(const struct attention *w)
{
    return is_global(w) ? &w->global : &w->qkv;
}

/* Whether global keys and values, which only first tokens meet, are not made. Adapters want them. */
static bool is_projected(const struct attention *w)
{
    return is_global(w) && !w->global.slices;
}

static void project_first(const struct pass *s, const struct attention *w, device_memory mixed, device_memory log_sum,
                          device_memory first_q, device_memory x, const struct dropout *dropout)
{
    const struct packed *b = s->b;
    struct linear pairs = linear_keys_values(s, &w->global);
    s->d->run->projected_attention_forward(s->d, mixed, log_sum, first_q, x, pass_weight(s, pairs.weight),
                                           pass_value(s, pairs.bias), b->offsets, dropout, b->B, b->T, s->c->heads,
                                           s->c->width / s->c->heads);
}

/* From the first tokens' x, which is kept. */
static void mix_first(const struct pass *s, const struct attention *w, const struct attention_saved *k, device_memory x,
                      const struct dropout *dropout)
{
    const struct packed *b = s->b;
    size_t C = s->c->width, H = s->c->heads;
    s->d->run->first_tokens(s->d, k->first_x, x, b->offsets, b->B, C);
    pass_linear(s, k->first_q, DEVICE_NOTHING, k->first_x, linear_queries(of_first(w)), ACTIVATION_NONE, b->B, C, C);
    if (is_projected(w)) {
        project_first(s, w, k->mixed, k->log_sum, k->first_q, x, dropout);
        return;
    }
    pass_linear(s, k->qkv, DEVICE_NOTHING, x, linear_keys_values(s, of_first(w)), ACTIVATION_NONE, b->T, C, 2 * C);
    if (s->distances) {
        struct relative_bias bias = distances_project(s, w, k->distances);
        s->d->run->first_relative_attention_forward(s->d, k->mixed, k->log_sum, k->first_q, k->qkv, b->offsets, &bias, dropout,
                                                    b->B, b->T, H, C / H);
        pass_count_first(s, 2 + 2 * products_of(&bias));
        return;
    }
    pass_count_first(s, 4);
    s->d->run->first_attention_forward(s->d, k->mixed, k->log_sum, k->first_q, k->qkv, b->offsets, dropout, b->B, b->T, H, C / H);
}

/* The window, and the first tokens of rows by maps of their own: they see all, and all see them by the local maps' keys and
 * values (Beltagy et al., 2020, Longformer). */
static void mix_local(const struct pass *s, const struct attention *w, const struct attention_saved *k, device_memory x,
                      const struct dropout *dropout)
{
    const struct packed *b = s->b;
    size_t C = s->c->width, H = s->c->heads;
    const struct attention_window window = {s->c->windows[w->layer], 1};
    struct vectors first = first_tokens(s);
    struct dropout of_global = probabilities_dropout(s, w, first);
    pass_linear(s, k->qkv, DEVICE_NOTHING, x, w->qkv, ACTIVATION_NONE, b->T, C, 3 * C);
    pass_count(s, &window, 4);
    s->d->run->window_attention_forward(s->d, k->mixed, k->log_sum, k->qkv, b->offsets, &window, dropout, b->B, b->T, H, C / H);
    s->d->run->first_tokens(s->d, k->first_x, x, b->offsets, b->B, C);
    pass_linear(s, k->first_q, DEVICE_NOTHING, k->first_x, linear_queries(&w->global), ACTIVATION_NONE, b->B, C, C);
    if (is_projected(w)) {
        project_first(s, w, k->first_mixed, k->first_log_sum, k->first_q, x, &of_global);
    } else {
        pass_linear(s, k->global_kv, DEVICE_NOTHING, x, linear_keys_values(s, &w->global), ACTIVATION_NONE, b->T, C, 2 * C);
        pass_count_first(s, 4);
        s->d->run->first_attention_forward(s->d, k->first_mixed, k->first_log_sum, k->first_q, k->global_kv, b->offsets,
                                           &of_global, b->B, b->T, H, C / H);
    }
    s->d->run->replace_first_tokens(s->d, k->mixed, k->first_mixed, b->offsets, b->B, C);
}

static void mix(const struct pass *s, const struct attention *w, const struct attention_saved *k, device_memory x,
                const struct dropout *dropout)
{
    const struct packed *b = s->b;
    size_t C = s->c->width, H = s->c->heads;
    pass_linear(s, k->qkv, DEVICE_NOTHING, x, w->qkv, ACTIVATION_NONE, b->T, C, 3 * C);
    if (s->distances) {
        struct relative_bias bias = distances_project(s, w, k->distances);
        s->d->run->relative_attention_forward(s->d, k->mixed, k->log_sum, k->qkv, b->offsets, &bias, dropout, b->B, b->T, H,
                                              C / H);
        pass_count(s, NULL, 2 + 2 * products_of(&bias));
        return;
    }
    pass_count(s, NULL, 4);
    s->d->run->attention_forward(s->d, k->mixed, k->log_sum, k->qkv, b->offsets, dropout, b->B, b->T, H, C / H);
}

void attention_forward(const struct pass *s, const struct attention *w, const struct attention_saved *k, device_memory x)
{
    size_t C = s->c->width;
    struct vectors of = queries_of(s, w);
    struct dropout dropout = probabilities_dropout(s, w, of);
    if (w->last) {
        mix_first(s, w, k, x, &dropout);
        x = k->first_x;
    } else if (is_global(w)) {
        mix_local(s, w, k, x, &dropout);
    } else {
        mix(s, w, k, x, &dropout);
    }
    dropout = output_dropout(s, w, of);
    pass_linear(s, k->sum, DEVICE_NOTHING, k->mixed, w->output, ACTIVATION_NONE, of.N, C, C);
    s->d->run->normalize_forward(s->d, k->y, k->sum, k->statistics, x, k->sum, pass_value(s, w->norm.gamma),
                                 pass_value(s, w->norm.beta), s->c->epsilon, &dropout, of.N, C);
}

static void zero_gradient(const struct pass *s, size_t place, size_t count)
{
    device_memory at = pass_gradient(s, place);
    if (at.address)
        s->d->run->zero(s->d, at, count * sizeof(float));
}

/* Of a map whose outputs are q, k, v. */
static void zero_gradients(const struct pass *s, const struct linear *qkv)
{
    size_t C = s->c->width, r = parameters_lora(s->p)->rank;
    zero_gradient(s, qkv->weight, 3 * C * C);
    for (size_t i = 0; i < 3; i++)
        zero_gradient(s, qkv->bias + i * C, C);
    for (size_t i = 0; i < qkv->slices; i++) {
        zero_gradient(s, qkv->adapters[i].a, r * C);
        zero_gradient(s, qkv->adapters[i].b, C * r);
    }
}

/* dq act (B,C) =, dx += unless it is DEVICE_NOTHING. */
static void project_first_backward(const struct pass *s, const struct attention *w, device_memory dq, device_memory dx,
                                   device_memory dmixed, device_memory mixed, device_memory first_q, device_memory x,
                                   device_memory log_sum, const struct dropout *dropout)
{
    const struct packed *b = s->b;
    struct linear pairs = linear_keys_values(s, &w->global);
    s->d->run->projected_attention_backward(s->d, dq, dx, pass_gradient(s, pairs.weight), pass_gradient(s, pairs.bias), dmixed,
                                            mixed, first_q, x, pass_weight(s, pairs.weight), pass_value(s, pairs.bias), log_sum,
                                            b->offsets, dropout, b->B, b->T, s->c->heads, s->c->width / s->c->heads);
    if (s->watcher)
        s->watcher->between(s->watcher->context);
}

/* mix_first_backward's, of keys and values that are not made. dq and dy: gradients of queries, and of first tokens. */
static void project_last_backward(const struct pass *s, const struct attention *w, const struct attention_saved *k,
                                  device_memory dq, device_memory dx, device_memory dy, device_memory dmixed, device_memory x,
                                  const struct dropout *dropout)
{
    const struct packed *b = s->b;
    size_t C = s->c->width;
    if (dx.address) /* all but first tokens are 0 */
        s->d->run->first_tokens_backward(s->d, dx, dy, b->offsets, b->B, b->T, C);
    project_first_backward(s, w, dq, dx, dmixed, k->mixed, k->first_q, x, k->log_sum, dropout);
    if (dx.address)
        s->d->run->first_tokens(s->d, dy, dx, b->offsets, b->B, C);
    pass_linear_backward(s, dy, dq, k->first_x, linear_queries(&w->global), true, b->B, C, C);
    if (dx.address)
        s->d->run->replace_first_tokens(s->d, dx, dy, b->offsets, b->B, C);
    zero_gradients(s, &w->qkv); /* nothing goes through the local maps */
}

/* dy: the residual's gradient of first tokens; it and that of the queries are spread over all tokens. */
static void mix_first_backward(const struct pass *s, const struct attention *w, const struct attention_saved *k,
                               const struct scratch *t, device_memory dx, device_memory dy, device_memory dmixed, device_memory x,
                               const struct dropout *dropout)
{
    const struct packed *b = s->b;
    size_t C = s->c->width, H = s->c->heads;
    if (is_projected(w)) {
        project_last_backward(s, w, k, t->dz, dx, dy, dmixed, x, dropout);
        return;
    }
    if (s->distances) {
        struct relative_bias bias = distances_of(s, k->distances), d = distances_of(s, s->of_distances.d_projected);
        s->d->run->first_relative_attention_backward(s->d, t->dz, t->wide, d.keys, d.queries, dmixed, k->mixed, k->first_q,
                                                     k->qkv, k->log_sum, b->offsets, &bias, dropout, b->B, b->T, H, C / H);
        pass_count_first(s, 4 + 4 * products_of(&bias));
    } else {
        pass_count_first(s, 8);
        s->d->run->first_attention_backward(s->d, t->dz, t->wide, dmixed, k->mixed, k->first_q, k->qkv, k->log_sum, b->offsets,
                                            dropout, b->B, b->T, H, C / H);
    }
    pass_linear_backward(s, dy, t->dz, k->first_x, linear_queries(of_first(w)), true, b->B, C, C);
    if (dx.address)
        s->d->run->first_tokens_backward(s->d, dx, dy, b->offsets, b->B, b->T, C);
    pass_linear_backward(s, dx, t->wide, x, linear_keys_values(s, of_first(w)), true, b->T, C, 2 * C);
    if (s->distances)
        distances_project_backward(s, w);
    if (is_global(w)) /* nothing goes through the local maps */
        zero_gradients(s, &w->qkv);
}

/* dmixed act (T,C): used as scratch. */
static void mix_local_backward(const struct pass *s, const struct attention *w, const struct attention_saved *k,
                               const struct scratch *t, device_memory dx, device_memory dmixed, device_memory x,
                               const struct dropout *dropout)
{
    const struct packed *b = s->b;
    size_t C = s->c->width, H = s->c->heads;
    const struct attention_window window = {s->c->windows[w->layer], 1};
    struct dropout of_global = probabilities_dropout(s, w, first_tokens(s));
    s->d->run->first_tokens(s->d, t->d_first, dmixed, b->offsets, b->B, C);
    s->d->run->replace_first_tokens(s->d, dmixed, DEVICE_NOTHING, b->offsets, b->B, C);
    pass_count(s, &window, 8);
    s->d->run->window_attention_backward(s->d, t->wide, dmixed, k->mixed, k->qkv, k->log_sum, b->offsets, &window, dropout, b->B,
                                         b->T, H, C / H);
    pass_linear_backward(s, dx, t->wide, x, w->qkv, true, b->T, C, 3 * C);
    if (is_projected(w)) {
        project_first_backward(s, w, t->dz, dx, t->d_first, k->first_mixed, k->first_q, x, k->first_log_sum, &of_global);
    } else {
        pass_count_first(s, 8);
        s->d->run->first_attention_backward(s->d, t->dz, t->wide, t->d_first, k->first_mixed, k->first_q, k->global_kv,
                                            k->first_log_sum, b->offsets, &of_global, b->B, b->T, H, C / H);
    }
    if (dx.address)
        s->d->run->first_tokens(s->d, t->d_first, dx, b->offsets, b->B, C);
    pass_linear_backward(s, dx.address ? t->d_first : DEVICE_NOTHING, t->dz, k->first_x, linear_queries(&w->global), true, b->B,
                         C, C);
    if (dx.address)
        s->d->run->replace_first_tokens(s->d, dx, t->d_first, b->offsets, b->B, C);
    if (!is_projected(w))
        pass_linear_backward(s, dx, t->wide, x, linear_keys_values(s, &w->global), true, b->T, C, 2 * C);
}

static void mix_backward(const struct pass *s, const struct attention *w, const struct attention_saved *k,
                         const struct scratch *t, device_memory dx, device_memory dmixed, device_memory x,
                         const struct dropout *dropout)
{
    const struct packed *b = s->b;
    size_t C = s->c->width, H = s->c->heads;
    if (s->distances) {
        struct relative_bias bias = distances_of(s, k->distances), d = distances_of(s, s->of_distances.d_projected);
        s->d->run->relative_attention_backward(s->d, t->wide, d.keys, d.queries, dmixed, k->mixed, k->qkv, k->log_sum, b->offsets,
                                               &bias, dropout, b->B, b->T, H, C / H);
        pass_count(s, NULL, 4 + 4 * products_of(&bias));
    } else {
        pass_count(s, NULL, 8);
        s->d->run->attention_backward(s->d, t->wide, dmixed, k->mixed, k->qkv, k->log_sum, b->offsets, dropout, b->B, b->T, H,
                                      C / H);
    }
    pass_linear_backward(s, dx, t->wide, x, w->qkv, true, b->T, C, 3 * C);
    if (s->distances)
        distances_project_backward(s, w);
}

void attention_backward(const struct pass *s, const struct attention *w, const struct attention_saved *k, const struct scratch *t,
                        device_memory dx, device_memory dy, device_memory x)
{
    size_t C = s->c->width;
    struct vectors of = queries_of(s, w);
    struct dropout dropout = output_dropout(s, w, of);
    s->d->run->normalize_backward(s->d, dy, t->dz, pass_gradient(s, w->norm.gamma), pass_gradient(s, w->norm.beta), dy, k->sum,
                                  k->statistics, pass_value(s, w->norm.gamma), &dropout, of.N, C);
    device_memory dmixed = t->inner;
    pass_linear_backward(s, dmixed, t->dz, k->mixed, w->output, false, of.N, C, C);
    dropout = probabilities_dropout(s, w, of);
    if (w->last) {
        mix_first_backward(s, w, k, t, dx, dy, dmixed, x, &dropout);
        return;
    }
    if (is_global(w)) {
        mix_local_backward(s, w, k, t, dx, dmixed, x, &dropout);
        return;
    }
    mix_backward(s, w, k, t, dx, dmixed, x, &dropout);
}

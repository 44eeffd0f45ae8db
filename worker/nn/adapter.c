/* SPDX-License-Identifier: Apache-2.0 */
/* Owns linear maps with LoRA adapters: y = x w^T + bias, and of each adapted slice of its columns += scale dropout(x) a^T b^T. */
#include "worker/nn/layer.h"

static struct vectors vectors_of(const struct pass *s, const struct linear *w, size_t N)
{
    if (w->of_distances)
        return used_distances(s);
    return N == s->b->T ? all_tokens(s) : first_tokens(s); /* where both are as many, they are the same */
}

static struct dropout dropout_of(const struct pass *s, const struct adapter *a, struct vectors of)
{
    return pass_dropout(s, (float)parameters_lora(s->p)->dropout, a->site, of);
}

/* What the adapter works on: x, or x with dropout in a scratch. */
static device_memory input_of(const struct pass *s, device_memory x, const struct dropout *dropout, size_t N, size_t K)
{
    if (!(dropout->probability > 0))
        return x;
    s->d->run->dropout_apply(s->d, s->lora.x, x, dropout, 0, N, K);
    return s->lora.x;
}

static device_memory columns(const struct pass *s, device_memory y, size_t from)
{
    return device_at(y, from * precision_bytes(s->d->precision));
}

struct linear linear_queries(const struct linear *qkv)
{
    return (struct linear){
        .weight = qkv->weight, .bias = qkv->bias, .adapters = {qkv->adapters[0]}, .slices = qkv->slices ? 1 : 0};
}

struct linear linear_keys_values(const struct pass *s, const struct linear *qkv)
{
    size_t C = s->c->width;
    struct linear ret = {.weight = qkv->weight + C * C,
                         .bias = qkv->bias == PARAMETER_ABSENT ? PARAMETER_ABSENT : qkv->bias + C,
                         .adapters = {qkv->adapters[1], qkv->adapters[2]},
                         .slices = qkv->slices ? 2 : 0};
    if (qkv->slices == 1) {
        ret.adapters[0] = qkv->adapters[0];
        ret.adapters[0].b += C * parameters_lora(s->p)->rank;
        ret.adapters[0].adds_a = true;
        ret.slices = 1;
    }
    return ret;
}

void adapted_forward(const struct pass *s, device_memory y, device_memory pre, device_memory x, struct linear w,
                     enum activation activation, size_t N, size_t K, size_t O)
{
    const struct lora *l = parameters_lora(s->p);
    const struct device_operations *run = s->d->run;
    device_memory sum = pre.address ? pre : y;
    size_t r = l->rank, width = O / w.slices;
    run->linear_forward(s->d, sum, DEVICE_NOTHING, x, pass_weight(s, w.weight), pass_value(s, w.bias), ACTIVATION_NONE, N, K, O);
    for (size_t i = 0; i < w.slices; i++) {
        const struct adapter *a = &w.adapters[i];
        if (a->a == PARAMETER_ABSENT)
            continue;
        struct dropout dropout = dropout_of(s, a, vectors_of(s, &w, N));
        device_memory in = input_of(s, x, &dropout, N, K);
        run->linear_forward(s->d, s->lora.u, DEVICE_NOTHING, in, pass_weight(s, a->a), DEVICE_NOTHING, ACTIVATION_NONE, N, K, r);
        run->linear_forward(s->d, s->lora.t, DEVICE_NOTHING, s->lora.u, pass_weight(s, a->b), DEVICE_NOTHING, ACTIVATION_NONE, N,
                            r, width);
        run->scale_columns(s->d, columns(s, sum, i * width), O, s->lora.t, width, (float)lora_scale(l), 1, N, width);
    }
    if (activation != ACTIVATION_NONE)
        run->activation_backward(s->d, DEVICE_NOTHING, y, DEVICE_NOTHING, sum, activation, N * O);
}

static void scale_all(const struct pass *s, device_memory x, size_t n)
{
    s->d->run->scale_columns(s->d, x, n, x, n, (float)lora_scale(parameters_lora(s->p)), 0, 1, n);
}

/* dropout(x) and a's product are made again: nothing is kept for an adapter. Of y = scale u b^T, u and its gradient are scaled: they
 * are the smallest. */
static void adapter_backward(const struct pass *s, const struct adapter *a, struct vectors of, device_memory dx, device_memory dy,
                             device_memory x, size_t K, size_t O, size_t width)
{
    size_t N = of.N;
    const struct lora *l = parameters_lora(s->p);
    const struct device_operations *run = s->d->run;
    struct dropout dropout = dropout_of(s, a, of);
    device_memory in = input_of(s, x, &dropout, N, K), back = dx.address ? s->lora.dx : DEVICE_NOTHING;
    device_memory da = pass_gradient(s, a->a), db = pass_gradient(s, a->b), more = s->lora.gradient;
    if (width < O) {
        run->scale_columns(s->d, s->lora.t, width, dy, O, 1, 0, N, width);
        dy = s->lora.t;
    }
    run->linear_forward(s->d, s->lora.u, DEVICE_NOTHING, in, pass_weight(s, a->a), DEVICE_NOTHING, ACTIVATION_NONE, N, K,
                        l->rank);
    scale_all(s, s->lora.u, N * l->rank);
    run->linear_backward(s->d, s->lora.du, a->adds_b ? more : db, DEVICE_NOTHING, dy, s->lora.u, pass_weight(s, a->b), 0, N,
                         l->rank, width);
    scale_all(s, s->lora.du, N * l->rank);
    if (a->adds_b)
        run->add(s->d, db, more, width * l->rank);
    run->linear_backward(s->d, back, a->adds_a ? more : da, DEVICE_NOTHING, s->lora.du, in, pass_weight(s, a->a), 0, N, K,
                         l->rank);
    if (a->adds_a)
        run->add(s->d, da, more, l->rank * K);
    if (dx.address)
        run->dropout_apply(s->d, dx, back, &dropout, 1, N, K);
}

bool adapted_biases_apart(const struct pass *s, const struct linear *w)
{
    return w->slices > 1 && w->bias != PARAMETER_ABSENT && parameters_lora(s->p)->bias == LORA_BIAS_ADAPTED;
}

void adapted_biases_backward(const struct pass *s, const struct linear *w, size_t O)
{
    size_t width = O / w->slices;
    for (size_t i = 0; i < w->slices; i++) {
        device_memory to = pass_gradient(s, w->bias + i * width), from = device_at(s->lora.bias, i * width * sizeof(float));
        if (to.address)
            s->d->run->copy(s->d, to, from, width * sizeof(float));
    }
}

void adapted_backward(const struct pass *s, device_memory dx, device_memory dy, device_memory x, struct linear w, size_t N,
                      size_t K, size_t O)
{
    size_t width = O / w.slices;
    for (size_t i = 0; i < w.slices; i++)
        if (w.adapters[i].a != PARAMETER_ABSENT)
            adapter_backward(s, &w.adapters[i], vectors_of(s, &w, N), dx, columns(s, dy, i * width), x, K, O, width);
}

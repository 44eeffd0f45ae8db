/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what stands on the encoder: the family's steps, classifier, loss. */
#include "worker/nn/layer.h"

/* The last dropout before the classifier has the site of BERT's only one. */
static struct dropout step_dropout(const struct pass *s, const struct head_step *step)
{
    uint32_t site = SITE_POOLED;
    for (const struct head_step *next = step + 1; next->kind != HEAD_END; next++)
        if (next->kind == HEAD_DROPOUT)
            site = SITE_HEAD;
    bool own = site == SITE_HEAD && model_family_key(model_family_of(s->c), offsetof(struct model_config, pooler_dropout));
    return pass_dropout(s, own ? s->c->pooler_dropout : s->c->classifier_dropout, site, first_tokens(s));
}

void head_forward(const struct pass *s, const struct head *w, const struct head_saved *k, device_memory x)
{
    size_t B = s->b->B, C = s->c->width, L = s->c->labels;
    const struct head_step *steps = model_family_of(s->c)->steps;
    for (size_t i = 0; steps[i].kind != HEAD_END; i++) {
        if (steps[i].kind == HEAD_DROPOUT) {
            struct dropout dropout = step_dropout(s, &steps[i]);
            s->d->run->dropout_apply(s->d, k->steps[i], x, &dropout, 0, B, C);
        } else if (steps[i].kind == HEAD_NORM) {
            s->d->run->normalize_forward(s->d, k->steps[i], k->sum, k->statistics, x, DEVICE_NOTHING,
                                         pass_value(s, w->norm.gamma), pass_value(s, w->norm.beta), s->c->epsilon, NULL, B, C);
        } else {
            device_memory pre = steps[i].activation == ACTIVATION_TANH ? DEVICE_NOTHING : k->pre;
            pass_linear(s, k->steps[i], pre, x, w->linear, steps[i].activation, B, C, C);
        }
        x = k->steps[i];
    }
    s->d->run->classifier_forward(s->d, k->logits, x, pass_value(s, w->classifier.weight), pass_value(s, w->classifier.bias), B,
                                  C, L);
}

/* dy (B,C), behind step i, becomes the gradient before it: in dy, or, of a linear map, in dx. */
static void step_backward(const struct pass *s, const struct head *w, const struct head_saved *k, const struct head_step *step,
                          device_memory dx, device_memory dy, device_memory x)
{
    size_t B = s->b->B, C = s->c->width;
    if (step->kind == HEAD_DROPOUT) {
        struct dropout dropout = step_dropout(s, step);
        s->d->run->dropout_apply(s->d, dy, dy, &dropout, 0, B, C);
        return;
    }
    if (step->kind == HEAD_NORM) {
        s->d->run->normalize_backward(s->d, dy, DEVICE_NOTHING, pass_gradient(s, w->norm.gamma), pass_gradient(s, w->norm.beta),
                                      dy, k->sum, k->statistics, pass_value(s, w->norm.gamma), NULL, B, C);
        return;
    }
    device_memory pre = step->activation == ACTIVATION_TANH ? k->steps[step - model_family_of(s->c)->steps] : k->pre;
    s->d->run->activation_backward(s->d, dy, DEVICE_NOTHING, dy, pre, step->activation, B * C);
    pass_linear_backward(s, dx, dy, x, w->linear, false, B, C, C);
}

void head_backward(const struct pass *s, const struct head *w, const struct head_saved *k, const struct scratch *t,
                   device_memory dx, device_memory x)
{
    size_t B = s->b->B, C = s->c->width, L = s->c->labels, count = 0;
    const struct head_step *steps = model_family_of(s->c)->steps;
    bool linear = false;
    for (; steps[count].kind != HEAD_END; count++)
        linear |= steps[count].kind == HEAD_LINEAR;
    device_memory dy = linear ? t->dz : dx; /* a linear map takes it from one to the other */
    s->d->run->classifier_backward(s->d, dy, pass_gradient(s, w->classifier.weight), pass_gradient(s, w->classifier.bias),
                                   k->dlogits, count ? k->steps[count - 1] : x, pass_value(s, w->classifier.weight), B, C, L);
    while (count-- > 0) {
        step_backward(s, w, k, &steps[count], dx, dy, count ? k->steps[count - 1] : x);
        dy = steps[count].kind == HEAD_LINEAR ? dx : dy;
    }
}

void head_loss(const struct pass *s, const struct head_saved *k, device_memory weights, bool multi,
               const struct loss_shape *shape)
{
    size_t B = s->b->B, L = s->c->labels;
    device_memory dlogits = s->training ? k->dlogits : DEVICE_NOTHING;
    if (multi)
        s->d->run->binary_cross_entropy(s->d, k->loss, dlogits, k->logits, s->b->targets, weights, shape, B, L);
    else
        s->d->run->cross_entropy(s->d, k->loss, dlogits, k->logits, s->b->classes, weights, shape, B, L);
}

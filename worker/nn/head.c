/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what stands on the encoder: pooler, dropout, classifier, loss. */
#include "worker/nn/layer.h"

static struct dropout pooled_dropout(const struct pass *s)
{
    return pass_dropout(s, s->c->classifier_dropout, SITE_POOLED, first_tokens(s));
}

void head_forward(const struct pass *s, const struct head *w, const struct head_saved *k, device_memory x)
{
    size_t B = s->b->B, C = s->c->width, L = s->c->labels;
    struct dropout dropout = pooled_dropout(s);
    pass_linear(s, k->pooled, DEVICE_NOTHING, x, w->pooler, ACTIVATION_TANH, B, C, C);
    s->d->run->dropout_apply(s->d, k->dropped, k->pooled, &dropout, B, C);
    s->d->run->classifier_forward(s->d, k->logits, k->dropped, pass_value(s, w->classifier.weight),
                                  pass_value(s, w->classifier.bias), B, C, L);
}

void head_backward(const struct pass *s, const struct head *w, const struct head_saved *k, const struct scratch *t,
                   device_memory dx, device_memory x)
{
    size_t B = s->b->B, C = s->c->width, L = s->c->labels;
    struct dropout dropout = pooled_dropout(s);
    device_memory dpooled = t->dz;
    s->d->run->classifier_backward(s->d, dx, pass_gradient(s, w->classifier.weight), pass_gradient(s, w->classifier.bias),
                                   k->dlogits, k->dropped, pass_value(s, w->classifier.weight), B, C, L);
    s->d->run->dropout_apply(s->d, dpooled, dx, &dropout, B, C);
    s->d->run->activation_backward(s->d, dpooled, DEVICE_NOTHING, dpooled, k->pooled, ACTIVATION_TANH, B * C);
    pass_linear_backward(s, dx, dpooled, x, w->pooler, false, B, C, C);
}

void head_loss(const struct pass *s, const struct head_saved *k, device_memory weights, bool multi)
{
    size_t B = s->b->B, L = s->c->labels;
    device_memory dlogits = s->training ? k->dlogits : DEVICE_NOTHING;
    if (multi)
        s->d->run->binary_cross_entropy(s->d, k->loss, dlogits, k->logits, s->b->targets, weights, B, L);
    else
        s->d->run->cross_entropy(s->d, k->loss, dlogits, k->logits, s->b->classes, weights, B, L);
}

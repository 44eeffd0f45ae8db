/* Owns self-attention with its output map, residual and LayerNorm. */
#include "worker/nn/layer.h"

static struct dropout probabilities_dropout(const struct pass *s, const struct attention *w)
{
    return pass_dropout(s, s->c->attention_dropout, w->layer * 4 + SITE_ATTENTION, all_tokens(s));
}

static struct dropout output_dropout(const struct pass *s, const struct attention *w, struct vectors of)
{
    return pass_dropout(s, s->c->hidden_dropout, w->layer * 4 + SITE_ATTENTION_OUTPUT, of);
}

void attention_forward(const struct pass *s, const struct attention *w, const struct attention_kept *k, device_memory x)
{
    const struct packed *b = s->b;
    size_t C = s->c->width, H = s->c->heads;
    struct dropout dropout = probabilities_dropout(s, w);
    pass_linear(s, k->qkv, DEVICE_NOTHING, x, w->qkv, ACTIVATION_NONE, b->T, C, 3 * C);
    s->d->run->attention_forward(s->d, k->mixed, k->log_sum, k->qkv, b->offsets, &dropout, b->B, b->T, H, C / H);

    struct vectors of = all_tokens(s);
    device_memory mixed = k->mixed;
    if (w->last) {
        of = first_tokens(s);
        s->d->run->first_tokens(s->d, k->first_mixed, k->mixed, b->offsets, b->B, C);
        s->d->run->first_tokens(s->d, k->first_x, x, b->offsets, b->B, C);
        mixed = k->first_mixed;
        x = k->first_x;
    }
    dropout = output_dropout(s, w, of);
    pass_linear(s, k->sum, DEVICE_NOTHING, mixed, w->output, ACTIVATION_NONE, of.N, C, C);
    s->d->run->normalize_forward(s->d, k->y, k->sum, k->statistics, x, k->sum, pass_value(s, w->norm.gamma),
                                 pass_value(s, w->norm.beta), s->c->epsilon, &dropout, of.N, C);
}

void attention_backward(const struct pass *s, const struct attention *w, const struct attention_kept *k, const struct scratch *t,
                        device_memory dx, device_memory dy, device_memory x)
{
    const struct packed *b = s->b;
    size_t C = s->c->width, H = s->c->heads;
    struct vectors of = w->last ? first_tokens(s) : all_tokens(s);
    struct dropout dropout = output_dropout(s, w, of);
    s->d->run->normalize_backward(s->d, dy, t->dz, pass_gradient(s, w->norm.gamma), pass_gradient(s, w->norm.beta), dy, k->sum,
                                  k->statistics, pass_value(s, w->norm.gamma), &dropout, of.N, C);
    device_memory dmixed = t->inner;
    if (w->last) { /* dy holds the residual's gradient of first tokens: it and dmixed are spread over all tokens */
        pass_linear_backward(s, t->wide, t->dz, k->first_mixed, w->output, false, b->B, C, C);
        s->d->run->first_tokens_backward(s->d, dmixed, t->wide, b->offsets, b->B, b->T, C);
        s->d->run->first_tokens_backward(s->d, dx, dy, b->offsets, b->B, b->T, C);
    } else
        pass_linear_backward(s, dmixed, t->dz, k->mixed, w->output, false, b->T, C, C);

    dropout = probabilities_dropout(s, w);
    s->d->run->attention_backward(s->d, t->wide, dmixed, k->mixed, k->qkv, k->log_sum, b->offsets, &dropout, b->B, b->T, H,
                                  C / H);
    pass_linear_backward(s, dx, t->wide, x, w->qkv, true, b->T, C, 3 * C);
}

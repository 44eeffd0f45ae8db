/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the embeddings: words, positions and types added, LayerNorm, dropout, and a projection where they are of another width. */
#include "worker/nn/layer.h"

static struct dropout embedding_dropout(const struct pass *s)
{
    bool own = model_family_key(model_family_of(s->c), offsetof(struct model_config, embedding_dropout));
    return pass_dropout(s, own ? s->c->embedding_dropout : s->c->hidden_dropout, SITE_EMBEDDINGS, all_tokens(s));
}

void embedding_forward(const struct pass *s, const struct embedding *w, const struct embedding_saved *k)
{
    const struct packed *b = s->b;
    size_t E = model_config_embedding_width(s->c);
    struct dropout dropout = embedding_dropout(s);
    s->d->run->embedding_forward(s->d, k->y, k->sum, k->statistics, b->ids, b->places, b->types, pass_value(s, w->word),
                                 pass_value(s, w->position), pass_value(s, w->type), pass_value(s, w->norm.gamma),
                                 pass_value(s, w->norm.beta), s->c->epsilon, &dropout, b->T, E);
    if (w->projection.weight != PARAMETER_ABSENT)
        pass_linear(s, k->projected, DEVICE_NOTHING, k->y, w->projection, ACTIVATION_NONE, b->T, E, s->c->width);
}

/* The padding token is a word like others in the forward, but its rows have no gradient: torch's padding_idx. */
static void clear_padding(const struct pass *s, const struct embedding *w, size_t E)
{
    device_memory word = pass_gradient(s, w->word), position = pass_gradient(s, w->position);
    if (!s->b->padding)
        return;
    s->d->run->zero(s->d, device_at(word, (s->b->padding - 1) * E * sizeof(float)), E * sizeof(float));
    if (model_family_of(s->c)->positions == POSITIONS_AFTER_PAD)
        s->d->run->zero(s->d, device_at(position, s->c->pad * E * sizeof(float)), E * sizeof(float));
}

/* Where of the norm and what is before it the norm's bias is all that is trained. */
static void bias_backward(const struct pass *s, const struct embedding *w, const struct embedding_saved *k, device_memory dy,
                          const struct dropout *dropout, size_t E)
{
    device_memory dbeta = pass_gradient(s, w->norm.beta);
    s->d->run->dropout_apply(s->d, dy, dy, dropout, 0, s->b->T, E);
    s->d->run->normalize_backward(s->d, dy, DEVICE_NOTHING, DEVICE_NOTHING, dbeta, dy, k->sum, k->statistics,
                                  pass_value(s, w->norm.gamma), NULL, s->b->T, E);
}

void embedding_backward(const struct pass *s, const struct embedding *w, const struct embedding_saved *k, const struct scratch *t,
                        device_memory dy)
{
    const struct packed *b = s->b;
    size_t E = model_config_embedding_width(s->c);
    struct dropout dropout = embedding_dropout(s);
    if (w->projection.weight != PARAMETER_ABSENT) {
        pass_linear_backward(s, t->dz, dy, k->y, w->projection, false, b->T, E, s->c->width);
        dy = t->dz;
    }
    if (!pass_gradient(s, w->word).address) {
        bias_backward(s, w, k, dy, &dropout, E);
        return;
    }
    s->d->run->embedding_backward(s->d, pass_gradient(s, w->word), pass_gradient(s, w->position), pass_gradient(s, w->type),
                                  pass_gradient(s, w->norm.gamma), pass_gradient(s, w->norm.beta), dy, k->sum, k->statistics,
                                  b->slots, b->places, b->types, pass_value(s, w->norm.gamma), &dropout, b->T, E, b->U,
                                  s->c->positions, s->c->types);
    clear_padding(s, w, E);
}

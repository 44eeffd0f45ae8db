/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the embeddings: words, positions and types added, LayerNorm, dropout. */
#include "worker/nn/layer.h"

void embedding_forward(const struct pass *s, const struct embedding *w, const struct embedding_saved *k)
{
    const struct packed *b = s->b;
    struct dropout dropout = pass_dropout(s, s->c->hidden_dropout, SITE_EMBEDDINGS, all_tokens(s));
    s->d->run->embedding_forward(s->d, k->y, k->sum, k->statistics, b->ids, b->positions, b->types, pass_value(s, w->word),
                                 pass_value(s, w->position), pass_value(s, w->type), pass_value(s, w->norm.gamma),
                                 pass_value(s, w->norm.beta), s->c->epsilon, &dropout, b->T, s->c->width);
}

void embedding_backward(const struct pass *s, const struct embedding *w, const struct embedding_saved *k, device_memory dy)
{
    const struct packed *b = s->b;
    struct dropout dropout = pass_dropout(s, s->c->hidden_dropout, SITE_EMBEDDINGS, all_tokens(s));
    s->d->run->embedding_backward(s->d, pass_gradient(s, w->word), pass_gradient(s, w->position), pass_gradient(s, w->type),
                                  pass_gradient(s, w->norm.gamma), pass_gradient(s, w->norm.beta), dy, k->sum, k->statistics,
                                  b->slots, b->positions, b->types, pass_value(s, w->norm.gamma), &dropout, b->T, s->c->width,
                                  b->U, s->c->positions, s->c->types);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Running a pipeline: text through the steps to the model, with a cache of pieces before it. */
#include "common/text/pipeline.h"

#include "common/base/memory.h"
#include "common/text/workspace.h"

#include <stdlib.h>
#include <string.h>

static void append_ids(struct token_list *l, const int32_t *ids, size_t count)
{
    if (!count)
        return;
    if (l->count + count > l->capacity)
        l->ids = grow(l->ids, &l->capacity, l->count + count, sizeof *l->ids);
    for (size_t i = 0; i < count; i++)
        l->ids[l->count + i] = ids[i];
    l->count += count;
}

/* The last step of every pipeline: the model, and the cache in front of it. */
static void encode_piece(struct piece_sink *self, struct piece p)
{
    struct encoding *r = (struct encoding *)self;
    const struct token_model *m = &r->pipeline->model;
    if (r->is_full)
        return;
    if (p.size > CACHE_KEY) {
        m->encode(m->state, r->workspace->scratch, p.text, p.size, r->to);
    } else {
        struct cache_entry *c = &r->workspace->cache[cache_slot(p.text, p.size)];
        const struct cache_entry *found = cache_has(c, p.text, p.size) ? c : cache_has(c + 1, p.text, p.size) ? c + 1 : NULL;
        if (found) {
            append_ids(r->to, found->ids, found->count);
        } else {
            size_t before = r->to->count;
            m->encode(m->state, r->workspace->scratch, p.text, p.size, r->to);
            size_t count = r->to->count - before;
            cache_store(c, p.text, p.size, count ? r->to->ids + before : NULL, count);
        }
    }
    r->is_full = r->to->count >= r->stop;
}

/* One pre-tokeniser step; its pieces go to the next, or to the model. */
struct stage {
    struct piece_sink sink; /* first: a sink is its stage */
    const struct pre_tokenizer_step *step;
    struct buffer *memory;
    struct piece_sink *next;
};

static void run_stage(struct piece_sink *self, struct piece p)
{
    struct stage *s = (struct stage *)self;
    if (*s->sink.full)
        return;
    buffer_clear(s->memory);
    s->step->apply(s->step->state, p, s->memory, s->next);
}

void pipeline_encode(const struct pipeline *p, struct workspace *w, struct piece normalized, size_t stop, struct token_list *to)
{
    struct encoding end = {.pipeline = p, .workspace = w, .to = to, .stop = stop};
    struct stage stages[PRE_TOKENIZER_STEPS];
    struct piece_sink *next = &end.sink;
    end.sink = (struct piece_sink){encode_piece, &end.is_full};
    for (size_t i = p->pre_tokenizer_count; i--; next = &stages[i].sink)
        stages[i] = (struct stage){{run_stage, &end.is_full}, &p->pre_tokenizer[i], &w->memory[i], next};
    if (normalized.size && to->count < stop)
        next->take(next, normalized);
}

struct piece pipeline_normalize(const struct pipeline *p, struct workspace *w, const char *text, size_t size, bool first)
{
    for (size_t i = 0; i < p->normalizer_count; i++) {
        struct buffer *to = &w->normal[i % 2];
        buffer_clear(to);
        p->normalizer[i].apply(p->normalizer[i].state, text, size, to);
        text = to->data;
        size = to->size;
    }
    return (struct piece){text, size, first};
}

void pipeline_destroy(struct pipeline **pipeline)
{
    struct pipeline *p = pipeline ? *pipeline : NULL;
    if (!p)
        return;
    workspace_pool_destroy(&p->workspaces, &p->model);
    for (size_t i = 0; i < p->normalizer_count; i++)
        if (p->normalizer[i].destroy)
            p->normalizer[i].destroy(p->normalizer[i].state);
    for (size_t i = 0; i < p->pre_tokenizer_count; i++)
        if (p->pre_tokenizer[i].destroy)
            p->pre_tokenizer[i].destroy(p->pre_tokenizer[i].state);
    if (p->model.destroy)
        p->model.destroy(p->model.state);
    free(p->normalizer);
    free(p->pre_tokenizer);
    free(p);
    *pipeline = NULL;
}

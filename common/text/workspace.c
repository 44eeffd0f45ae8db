/* SPDX-License-Identifier: Apache-2.0 */
#include "common/text/workspace.h"

#include "common/base/memory.h"

#include <pthread.h>
#include <stdlib.h>

struct workspace_pool {
    pthread_mutex_t lock;
    struct workspace *free; /* those that no thread has */
};

struct workspace_pool *workspace_pool_create(void)
{
    struct workspace_pool *pool = allocate(1, sizeof *pool);
    pthread_mutex_init(&pool->lock, NULL);
    return pool;
}

struct workspace *pipeline_acquire(const struct pipeline *p)
{
    struct workspace_pool *pool = p->workspaces;
    pthread_mutex_lock(&pool->lock);
    struct workspace *w = pool->free;
    if (w)
        pool->free = w->next;
    pthread_mutex_unlock(&pool->lock);
    if (!w) {
        w = allocate(1, sizeof *w);
        if (p->model.scratch_create)
            w->scratch = p->model.scratch_create(p->model.state);
    }
    return w;
}

void pipeline_release(const struct pipeline *p, struct workspace *w)
{
    struct workspace_pool *pool = p->workspaces;
    pthread_mutex_lock(&pool->lock);
    w->next = pool->free;
    pool->free = w;
    pthread_mutex_unlock(&pool->lock);
}

void workspace_pool_destroy(struct workspace_pool **pool, const struct token_model *m)
{
    struct workspace_pool *p = *pool;
    if (!p)
        return;
    for (struct workspace *w = p->free, *next; w; w = next) {
        next = w->next;
        for (size_t i = 0; i < sizeof w->normal / sizeof *w->normal; i++)
            buffer_free(&w->normal[i]);
        for (size_t i = 0; i < PRE_TOKENIZER_STEPS; i++)
            buffer_free(&w->memory[i]);
        if (m->scratch_destroy)
            m->scratch_destroy(w->scratch);
        free(w);
    }
    pthread_mutex_destroy(&p->lock);
    free(p);
    *pool = NULL;
}

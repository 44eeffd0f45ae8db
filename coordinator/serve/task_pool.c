/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/serve/task_pool.h"

#include "common/base/memory.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

struct tasks {
    struct task *first, *last;
    unsigned count;
};

struct task_pool {
    pthread_mutex_t lock;
    pthread_cond_t came;
    struct tasks tasks[TASK_ORDERS];
    pthread_t *threads;
    int count, at_work;
    bool ends;
};

/* Under the lock. NULL: none. */
static struct task *take(struct task_pool *p)
{
    for (int i = 0; i < TASK_ORDERS; i++) {
        struct tasks *list = &p->tasks[i];
        struct task *t = list->first;
        if (!t)
            continue;
        list->first = t->following;
        if (!list->first)
            list->last = NULL;
        list->count--;
        return t;
    }
    return NULL;
}

static void *work(void *context)
{
    struct task_pool *p = context;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct task *t = take(p);
        if (t) {
            p->at_work++;
            pthread_mutex_unlock(&p->lock);
            t->run(t->context);
            pthread_mutex_lock(&p->lock);
            p->at_work--;
            continue;
        }
        if (p->ends && !p->at_work)
            break;
        pthread_cond_wait(&p->came, &p->lock);
    }
    pthread_cond_broadcast(&p->came); /* the others end too */
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

void task_pool_create(struct task_pool **ret, int threads)
{
    struct task_pool *p = allocate(1, sizeof *p);
    sigset_t all, before;
    p->threads = allocate((size_t)threads, sizeof *p->threads);
    p->count = threads;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->came, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < threads; i++)
        if (pthread_create(&p->threads[i], NULL, work, p) != 0)
            abort();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    *ret = p;
}

void task_pool_destroy(struct task_pool **pool)
{
    struct task_pool *p = pool ? *pool : NULL;
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->ends = true;
    pthread_cond_broadcast(&p->came);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->count; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->came);
    pthread_mutex_destroy(&p->lock);
    free(p->threads);
    free(p);
    *pool = NULL;
}

void task_pool_add(struct task_pool *p, struct task *t, enum task_order order)
{
    pthread_mutex_lock(&p->lock);
    struct tasks *list = &p->tasks[order];
    t->following = NULL;
    if (list->last)
        list->last->following = t;
    else
        list->first = t;
    list->last = t;
    list->count++;
    pthread_cond_signal(&p->came);
    pthread_mutex_unlock(&p->lock);
}

unsigned task_pool_waiting(struct task_pool *p, enum task_order order)
{
    pthread_mutex_lock(&p->lock);
    unsigned count = p->tasks[order].count;
    pthread_mutex_unlock(&p->lock);
    return count;
}

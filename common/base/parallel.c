/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/parallel.h"

#include "common/base/machine.h"
#include "common/base/memory.h"
#include "common/base/stop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { THREADS_MOST = 256 };

int parallel_threads(void)
{
    int cores = machine_cores();
    return cores > THREADS_MOST ? THREADS_MOST : cores;
}

/* ---- blocks ---- */

struct blocks {
    size_t count, block;
    void (*work)(void *context, size_t begin, size_t end);
    void *context;
    atomic_size_t next;
};

static void *do_blocks(void *argument)
{
    struct blocks *b = argument;
    for (size_t begin; !stop_requested() && (begin = atomic_fetch_add(&b->next, b->block)) < b->count;)
        b->work(b->context, begin, b->count - begin < b->block ? b->count : begin + b->block);
    return NULL;
}

int parallel_blocks(size_t count, size_t block, void (*work)(void *context, size_t begin, size_t end), void *context,
                    struct error *e)
{
    struct blocks b = {.count = count, .block = block, .work = work, .context = context};
    pthread_t helpers[THREADS_MOST];
    int threads = parallel_threads(), started = 0;
    while (started < threads - 1 && (size_t)(started + 1) * block < count &&
           pthread_create(&helpers[started], NULL, do_blocks, &b) == 0)
        started++;
    do_blocks(&b);
    while (started > 0)
        pthread_join(helpers[--started], NULL);
    return stop_check(e);
}

/* ---- in order ---- */

enum state { FREE, TAKEN, MADE };

struct ordered {
    struct ordered_work work;
    char *slots;
    size_t slot_count, slot_size;
    enum state *states;   /* (slot_count) */
    size_t taken, handed; /* slots taken and handed out so far: slot n is n % slot_count */
    bool ended, closing, taking;
    bool begun; /* helpers */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t helpers[THREADS_MOST];
    int helper_count;
};

void ordered_create(struct ordered **ret, const struct ordered_work *work, void *slots, size_t slot_count, size_t slot_size)
{
    struct ordered *o = allocate(1, sizeof *o);
    o->work = *work;
    o->slots = slots;
    o->slot_count = slot_count;
    o->slot_size = slot_size;
    o->states = allocate(slot_count, sizeof *o->states);
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->changed, NULL);
    *ret = o;
}

/* Under the lock, which is let go while work is done: takes and makes the next slot. False: none is free, or there is no more. */
static bool advance(struct ordered *o)
{
    size_t place = o->taken % o->slot_count;
    if (o->ended || o->closing || o->taking || o->states[place] != FREE)
        return false;
    void *slot = o->slots + place * o->slot_size;
    o->taking = true;
    o->states[place] = TAKEN;
    pthread_mutex_unlock(&o->lock);
    bool more = o->work.take(o->work.context, slot);
    pthread_mutex_lock(&o->lock);
    o->taking = false;
    o->ended = !more;
    o->taken += more;
    o->states[place] = more ? TAKEN : FREE;
    pthread_cond_broadcast(&o->changed);
    if (!more)
        return false;
    pthread_mutex_unlock(&o->lock);
    o->work.make(o->work.context, slot);
    pthread_mutex_lock(&o->lock);
    o->states[place] = MADE;
    pthread_cond_broadcast(&o->changed);
    return true;
}

size_t ordered_block(size_t *start, size_t *taken, size_t count, size_t most)
{
    size_t left = count - *taken, size = left < most ? left : most;
    *start = *taken;
    *taken += size;
    return stop_requested() ? 0 : size;
}

static void *help(void *argument)
{
    struct ordered *o = argument;
    pthread_mutex_lock(&o->lock);
    while (!o->ended && !o->closing)
        if (!advance(o) && !o->ended && !o->closing)
            pthread_cond_wait(&o->changed, &o->lock);
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

static void begin_helpers(struct ordered *o)
{
    int most = o->work.threads - 1 < THREADS_MOST ? o->work.threads - 1 : THREADS_MOST;
    o->begun = true;
    while (o->helper_count < most && (size_t)o->helper_count + 1 < o->slot_count &&
           pthread_create(&o->helpers[o->helper_count], NULL, help, o) == 0)
        o->helper_count++;
}

void *ordered_next(struct ordered *o)
{
    void *found = NULL;
    if (!o->begun)
        begin_helpers(o);
    pthread_mutex_lock(&o->lock);
    if (o->handed > 0 && o->states[(o->handed - 1) % o->slot_count] == MADE) {
        o->states[(o->handed - 1) % o->slot_count] = FREE;
        pthread_cond_broadcast(&o->changed);
    }
    size_t place = o->handed % o->slot_count;
    while (!found && !(o->ended && o->handed == o->taken)) {
        if (o->handed < o->taken && o->states[place] == MADE)
            found = o->slots + place * o->slot_size;
        else if (o->handed < o->taken || !advance(o)) /* a helper is at it */
            if (o->states[place] != MADE && !(o->ended && o->handed == o->taken))
                pthread_cond_wait(&o->changed, &o->lock);
    }
    o->handed += found != NULL;
    pthread_mutex_unlock(&o->lock);
    return found;
}

void ordered_destroy(struct ordered **ordered)
{
    struct ordered *o = ordered ? *ordered : NULL;
    if (!o)
        return;
    pthread_mutex_lock(&o->lock);
    o->closing = true;
    pthread_cond_broadcast(&o->changed);
    pthread_mutex_unlock(&o->lock);
    while (o->helper_count > 0)
        pthread_join(o->helpers[--o->helper_count], NULL);
    pthread_cond_destroy(&o->changed);
    pthread_mutex_destroy(&o->lock);
    free(o->states);
    free(o);
    *ordered = NULL;
}

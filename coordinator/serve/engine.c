/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/serve/engine.h"

#include "common/base/clock.h"
#include "common/base/memory.h"

#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Jobs of a model that have rows left to be packed: a list from `first` to `last`. */
struct queue {
    struct engine_job *first, *last;
    size_t rows, tokens;
};

/* A row of the batch. */
struct place {
    struct engine_job *job;
    uint32_t row;
};

struct engine {
    struct engine_options options;
    pthread_mutex_t lock;
    pthread_cond_t came;
    pthread_t thread;
    struct queue *queues; /* (models) */
    size_t turn;          /* the model that is asked first */
    size_t jobs;          /* that are not done */
    size_t reserved;      /* tokens of jobs that are not there yet */
    uint64_t batches;
    bool ends, joined;
    double rate; /* tokens a second, of the last batches; 0: none yet */
    /* the batch, of the thread alone */
    struct scoring_row *rows; /* (batch_rows) */
    struct place *places;     /* (batch_rows) */
    uint32_t count;
    size_t tokens;
};

/* ---- queue; under the lock ---- */

static void push(struct queue *q, struct engine_job *job)
{
    job->following = NULL;
    if (q->last)
        q->last->following = job;
    else
        q->first = job;
    q->last = job;
}

static struct engine_job *pop(struct queue *q)
{
    struct engine_job *job = q->first;
    q->first = job->following;
    if (!q->first)
        q->last = NULL;
    return job;
}

static size_t queued_tokens(const struct engine *e)
{
    size_t tokens = e->reserved;
    for (size_t i = 0; i < e->options.models; i++)
        tokens += e->queues[i].tokens;
    return tokens;
}

static struct queue *queue_with_rows(struct engine *e)
{
    for (size_t i = 0; i < e->options.models; i++) {
        struct queue *q = &e->queues[(e->turn + i) % e->options.models];
        if (q->first) {
            e->turn = (e->turn + i) % e->options.models;
            return q;
        }
    }
    return NULL;
}

static void drop_from(struct queue *q, struct engine_job *job)
{
    struct engine_job *rest = q->first;
    q->first = q->last = NULL;
    while (rest) {
        struct engine_job *following = rest->following;
        if (rest != job)
            push(q, rest);
        rest = following;
    }
    q->rows -= job->count - job->next;
    q->tokens -= job->tokens_left;
    job->tokens_left = 0;
}

/* Asked once a batch. */
static bool has_left(struct engine *e, struct engine_job *job)
{
    if (!e->options.left || job->asked == e->batches)
        return false;
    job->asked = e->batches;
    return e->options.left(e->options.context, job);
}

/* A row of each job in turn, until one does not fit. Jobs that nobody waits for go to `left`. */
static void pack(struct engine *e, struct queue *q, struct queue *left)
{
    double now = clock_seconds();
    e->batches++;
    e->count = 0;
    e->tokens = 0;
    while (q->first && e->count < e->options.batch_rows) {
        struct engine_job *job = q->first;
        if (has_left(e, job)) { /* it has no row in this batch: it is asked before its first */
            drop_from(q, job);
            push(left, job);
            continue;
        }
        uint32_t length = job->rows[job->next].length;
        if (e->count && e->tokens + length > e->options.batch_tokens)
            break;
        pop(q);
        job->started = job->next ? job->started : now;
        e->rows[e->count] = job->rows[job->next];
        e->places[e->count++] = (struct place){job, job->next++};
        e->tokens += length;
        job->tokens_left -= length;
        q->tokens -= length;
        q->rows--;
        if (job->next < job->count)
            push(q, job);
    }
}

/* ---- the thread ---- */

static void finish(struct engine *e, struct engine_job *job)
{
    job->ended = clock_seconds();
    pthread_mutex_lock(&e->lock);
    e->jobs--;
    pthread_mutex_unlock(&e->lock);
    job->done(job->context, job);
}

static void finish_left(struct engine *e, struct queue *left)
{
    while (left->first) {
        struct engine_job *job = pop(left);
        job->failed = true;
        job->why = (struct error){ERROR_STOPPED, "nobody waits for the answer"};
        finish(e, job);
    }
}

/* All rows of a failed batch: their jobs fail, and no more of them is scored. */
static void fail_batch(struct engine *e, struct queue *q, const struct error *why)
{
    for (uint32_t i = 0; i < e->count; i++) {
        struct engine_job *job = e->places[i].job;
        if (job->failed)
            continue;
        job->failed = true;
        job->why = *why;
        pthread_mutex_lock(&e->lock);
        if (job->next < job->count)
            drop_from(q, job);
        pthread_mutex_unlock(&e->lock);
    }
    for (uint32_t i = 0; i < e->count; i++) { /* a job has several rows here, and ends once */
        struct engine_job *job = e->places[i].job;
        for (uint32_t k = i + 1; k < e->count; k++)
            if (e->places[k].job == job)
                e->places[k].job = NULL;
        if (job)
            finish(e, job);
    }
}

static void hand_out(struct engine *e, const float *logits)
{
    for (uint32_t i = 0; i < e->count; i++) {
        struct place p = e->places[i];
        memcpy(p.job->logits + (size_t)p.row * p.job->labels, logits + (size_t)i * p.job->labels, p.job->labels * sizeof *logits);
        if (++p.job->scored == p.job->count)
            finish(e, p.job);
    }
}

static void note_rate(struct engine *e, double seconds)
{
    double rate = (double)e->tokens / (seconds > 1e-6 ? seconds : 1e-6);
    pthread_mutex_lock(&e->lock);
    e->rate = e->rate > 0 ? 0.8 * e->rate + 0.2 * rate : rate;
    pthread_mutex_unlock(&e->lock);
}

static void run_batch(struct engine *e, struct queue *q)
{
    const struct engine_options *o = &e->options;
    size_t model = (size_t)(q - e->queues), labels = e->places[0].job->labels;
    struct error why = {0};
    float *logits = allocate(e->count * labels, sizeof *logits);
    double start = clock_seconds();
    int result = o->score(o->context, model, e->rows, e->count, logits, &why);
    double seconds = clock_seconds() - start;
    if (!result)
        note_rate(e, seconds);
    if (o->batch)
        o->batch(o->context, model, e->count, e->tokens, seconds);
    if (result)
        fail_batch(e, q, &why);
    else
        hand_out(e, logits);
    free(logits);
}

/* Under the lock: until the batch would be full, or `wait` is over. */
static void wait_for_more(struct engine *e, const struct queue *q)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    double end = (double)until.tv_sec + (double)until.tv_nsec * 1e-9 + e->options.wait;
    until.tv_sec = (time_t)end;
    until.tv_nsec = (long)((end - floor(end)) * 1e9);
    while (!e->ends && q->tokens < e->options.batch_tokens && q->rows < e->options.batch_rows)
        if (pthread_cond_timedwait(&e->came, &e->lock, &until) != 0)
            return;
}

static void fail_all(struct engine *e)
{
    const struct error why = {ERROR_STOPPED, "the server is stopping"};
    for (size_t i = 0; i < e->options.models; i++)
        for (;;) {
            pthread_mutex_lock(&e->lock);
            struct engine_job *job = e->queues[i].first ? pop(&e->queues[i]) : NULL;
            pthread_mutex_unlock(&e->lock);
            if (!job)
                break;
            job->failed = true;
            job->why = why;
            finish(e, job);
        }
}

static void *work(void *context)
{
    struct engine *e = context;
    for (;;) {
        struct queue *q, left = {0};
        pthread_mutex_lock(&e->lock);
        while (!e->ends && !queue_with_rows(e))
            pthread_cond_wait(&e->came, &e->lock);
        q = queue_with_rows(e);
        if (q && e->options.wait > 0)
            wait_for_more(e, q);
        bool ends = e->ends;
        if (!ends) {
            pack(e, q, &left);
            e->turn = (e->turn + 1) % e->options.models;
        }
        pthread_mutex_unlock(&e->lock);
        if (ends) {
            fail_all(e);
            return NULL;
        }
        finish_left(e, &left);
        if (e->count)
            run_batch(e, q);
    }
}

/* ---- from outside ---- */

void engine_create(struct engine **ret, const struct engine_options *o)
{
    struct engine *e = allocate(1, sizeof *e);
    pthread_condattr_t monotonic;
    sigset_t all, before;
    *e = (struct engine){.options = *o};
    e->queues = allocate(o->models, sizeof *e->queues);
    e->rows = allocate(o->batch_rows, sizeof *e->rows);
    e->places = allocate(o->batch_rows, sizeof *e->places);
    pthread_mutex_init(&e->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&e->came, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&e->thread, NULL, work, e) != 0)
        abort();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    *ret = e;
}

void engine_stop(struct engine *e)
{
    pthread_mutex_lock(&e->lock);
    bool joined = e->joined;
    e->ends = e->joined = true;
    pthread_cond_broadcast(&e->came);
    pthread_mutex_unlock(&e->lock);
    if (!joined)
        pthread_join(e->thread, NULL);
}

void engine_destroy(struct engine **engine)
{
    struct engine *e = engine ? *engine : NULL;
    if (!e)
        return;
    engine_stop(e);
    pthread_cond_destroy(&e->came);
    pthread_mutex_destroy(&e->lock);
    free(e->queues);
    free(e->rows);
    free(e->places);
    free(e);
    *engine = NULL;
}

static int check_room(const struct engine *e, size_t tokens, double *after, struct error *why)
{
    size_t queued = queued_tokens(e);
    *after = 1;
    if (e->ends)
        return error_set(why, ERROR_STOPPED, "the server is stopping");
    if (queued == 0 || queued + tokens <= e->options.queue_tokens)
        return 0;
    *after = e->rate > 0 ? (double)queued / e->rate : 1;
    return error_set(why, ERROR_DATA, "%zu tokens are queued, and %zu may be; try again later", queued, e->options.queue_tokens);
}

int engine_check_room(struct engine *e, double *after, struct error *why)
{
    pthread_mutex_lock(&e->lock);
    int result = check_room(e, 1, after, why);
    pthread_mutex_unlock(&e->lock);
    return result;
}

int engine_reserve(struct engine *e, struct engine_job *job, size_t tokens, double *after, struct error *why)
{
    pthread_mutex_lock(&e->lock);
    int result = check_room(e, tokens, after, why);
    job->reserved = result ? 0 : tokens;
    e->reserved += job->reserved;
    pthread_mutex_unlock(&e->lock);
    return result;
}

/* Under the lock. */
static bool release(struct engine *e, struct engine_job *job)
{
    bool had = job->reserved > 0;
    e->reserved -= job->reserved;
    job->reserved = 0;
    return had;
}

void engine_release(struct engine *e, struct engine_job *job)
{
    pthread_mutex_lock(&e->lock);
    release(e, job);
    pthread_mutex_unlock(&e->lock);
}

static int enqueue(struct engine *e, struct engine_job *job, double *after, struct error *why)
{
    bool reserved = release(e, job);
    if ((!reserved || e->ends) && check_room(e, job->tokens_left, after, why))
        return -1;
    struct queue *q = &e->queues[job->model];
    push(q, job);
    q->rows += job->count;
    q->tokens += job->tokens_left;
    e->jobs++;
    pthread_cond_signal(&e->came);
    return 0;
}

int engine_submit(struct engine *e, struct engine_job *job, double *after, struct error *why)
{
    job->queued = job->started = job->ended = clock_seconds();
    job->tokens_left = 0;
    for (uint32_t i = 0; i < job->count; i++)
        job->tokens_left += job->rows[i].length;
    if (job->count == 0) {
        engine_release(e, job);
        job->done(job->context, job);
        return 0;
    }
    pthread_mutex_lock(&e->lock);
    int result = enqueue(e, job, after, why);
    pthread_mutex_unlock(&e->lock);
    return result;
}

struct engine_load engine_load(struct engine *e)
{
    struct engine_load ret = {0};
    pthread_mutex_lock(&e->lock);
    ret.jobs = e->jobs;
    ret.tokens = e->reserved;
    for (size_t i = 0; i < e->options.models; i++) {
        ret.rows += e->queues[i].rows;
        ret.tokens += e->queues[i].tokens;
    }
    pthread_mutex_unlock(&e->lock);
    return ret;
}

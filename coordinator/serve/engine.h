/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of rows to be scored, and the one thread that has them scored. Whenever it is free it packs what is queued for a
 * model, up to a budget of tokens: a row of each job in turn, so that a large job holds no small one up. Models take turns. */
#pragma once

#include "common/base/error.h"
#include "proto/scoring.h"

#include <stdbool.h>

struct engine;
struct engine_job;

struct engine_options {
    size_t batch_tokens; /* of a batch; a longer row goes alone */
    size_t batch_rows;
    size_t queue_tokens; /* that may wait; a job that comes to an empty queue is always taken */
    double wait;         /* seconds that a batch waits to become full; 0: none */
    size_t models;
    /* Blocks; on the engine's thread. logits (count, labels of the model). */
    int (*score)(void *context, size_t model, const struct scoring_row *rows, uint32_t count, float *logits, struct error *e);
    /* After each batch; NULL: not wanted. */
    void (*batch)(void *context, size_t model, uint32_t rows, size_t tokens, double seconds);
    /* Before a job's rows go into a batch: nobody waits for them any more, and it fails. Under the engine's lock; must not call
     * the engine or block. NULL: nobody leaves. */
    bool (*left)(void *context, const struct engine_job *job);
    void *context;
};

/* Rows of one request. Zero-initialise, fill the first part; it belongs to the engine until `done` is called. */
struct engine_job {
    size_t model;
    const struct scoring_row *rows;
    uint32_t count, labels;
    float *logits;                                       /* (count, labels) written */
    void (*done)(void *context, struct engine_job *job); /* on the engine's thread: all rows are scored, or the job has failed */
    void *context;

    bool failed;
    struct error why;
    double queued, started, ended; /* clock_seconds: handed in, first row in a batch, done */

    uint32_t next, scored; /* the engine's */
    size_t tokens_left, reserved;
    uint64_t asked; /* the batch before which it was asked whether anybody waits */
    struct engine_job *following;
};

/* Starts the thread; signals are blocked in it. */
void engine_create(struct engine **ret, const struct engine_options *o);
/* Jobs that wait are failed (ERROR_STOPPED), and so is what comes later; the batch at work ends first. Blocks until the thread
 * has ended. The other calls remain allowed, from any thread. */
void engine_stop(struct engine *e);
void engine_destroy(struct engine **e); /* engine_stop, and nobody may be in another call */

/* These three never block. ERROR_DATA: too much is queued; *after: seconds after which to try again, a guess from the rate so
 * far. ERROR_STOPPED: the engine has stopped. */
int engine_check_room(struct engine *e, double *after, struct error *why); /* for one token */
/* Room for a job whose rows are not there yet: counts as queued until it is handed in or released. tokens: about as many. */
int engine_reserve(struct engine *e, struct engine_job *job, size_t tokens, double *after, struct error *why);
/* A job that has room reserved is always taken, unless the engine has stopped. On failure nothing remains reserved. A job without
 * rows is done at once, on this thread. */
int engine_submit(struct engine *e, struct engine_job *job, double *after, struct error *why);
void engine_release(struct engine *e, struct engine_job *job); /* what it has reserved, if anything */

struct engine_load {
    size_t jobs, rows, tokens; /* that wait, with what is reserved */
};
struct engine_load engine_load(struct engine *e);

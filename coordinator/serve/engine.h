/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of rows to be scored, and the one thread that has them scored. Whenever it is free it packs what is queued for a
 * model, up to a budget of tokens: a row of each job in turn, so that a large job holds no small one up. Models take turns. */
#pragma once

#include "common/base/error.h"
#include "proto/scoring.h"

#include <stdbool.h>

struct engine;

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
    size_t tokens_left;
    struct engine_job *following;
};

/* Starts the thread; signals are blocked in it. */
void engine_create(struct engine **ret, const struct engine_options *o);
/* Rows that wait are failed (ERROR_STOPPED); the batch at work ends first. */
void engine_destroy(struct engine **e);
/* Never blocks. ERROR_STOPPED: too much is queued; *after: seconds after which to try again, a guess from the rate so far. A job
 * without rows is done at once, on this thread. */
int engine_submit(struct engine *e, struct engine_job *job, double *after, struct error *why);

struct engine_load {
    size_t jobs, rows, tokens; /* that wait */
};
struct engine_load engine_load(struct engine *e);

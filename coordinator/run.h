/* SPDX-License-Identifier: Apache-2.0 */
/* A run: the only caller of stages. Each verb runs the stages up to its own, in order; a stage whose output is there and was made
 * from the same inputs is not done again (events.jsonl says so). */
#pragma once

#include "coordinator/bundle/test_score.h"
#include "coordinator/data/check.h"
#include "coordinator/dispatch/dispatch.h"
#include "coordinator/sweep/sweep.h"

enum stage { STAGE_CHECK, STAGE_SPLIT, STAGE_TRAIN, STAGE_SWEEP, STAGE_TUNE, STAGE_PUBLISH };

/* What stages hand on to each other; owned by run_until. */
struct run {
    struct job *job;
    enum stage last;                             /* that was asked for */
    char *directory, *rows, *split_path, *model; /* absolute */
    struct event_log *log;
    struct json *check;
    struct dataset *data;
    struct split split;
    const char **label_names; /* (labels), borrowed from check */
    uint32_t labels;
    int positive; /* class index */
    enum decision_kind kind;
    struct validation *validation;
    struct dispatch_options workers;
    struct dispatch *dispatch; /* NULL until something has to be computed */
    struct trial_run *trials;
    size_t trial_count;
    size_t *order;    /* of trials, best first */
    double threshold; /* of order[0], by the job's rule; of many labels a row the one for all; NaN where classes need none */
    const double *thresholds;   /* (labels), likewise; borrowed from a trial */
    const double *temperatures; /* (labels), likewise */
    struct final final;
    char *beside;  /* how other models did: a section of Markdown, owned; NULL without */
    int exit_code; /* that the workers are told */
    bool noted;    /* that it has started */
};

/* workers: launcher and paths are filled in from the job where NULL. */
int run_until(struct job *j, enum stage last, const struct dispatch_options *workers, struct error *e);

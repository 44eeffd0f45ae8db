/* SPDX-License-Identifier: Apache-2.0 */
/* The trials of a job: the baseline, and those of "sweep": the grid that its lists span, or points drawn at random. A point with
 * the options of another, or of the baseline, is that one. With train.seeds each point is a configuration of several trials. */
#pragma once

#include "coordinator/decision/run_data.h"
#include "coordinator/decision/validation.h"
#include "coordinator/events/trial_state.h"
#include "coordinator/job/job.h"

struct trial_run {
    char *key;
    size_t configuration; /* trials of the same one differ in the seed alone; 0: the baseline's */
    char *configuration_key;
    struct json *values;         /* the sweep's values, and the seed of train.seeds; NULL: none */
    struct json *options;        /* all train options, and the seed where it is swept or one of several */
    struct job job;              /* with these options; borrows from the run's */
    const struct run_data *data; /* that it trains on; NULL: the run's */
    bool gathered;               /* not trained itself: what it has comes from the trials of its folds */
    uint32_t last_epoch;         /* above 0: no row validates, and the weights after this epoch count */
    bool baseline;

    char identity[65];         /* sha256 of options, seed, data, split, model and class weights */
    char weights_identity[65]; /* of the training that `weights` are of: with split.folds another one */
    char model_sha256[65];     /* of the pretrained weights */
    double *class_weights;
    double *head_bias; /* where a new classifier's biases begin; NULL: 0 */
    char *directory, *logits;

    enum trial_state state;
    char *why; /* it failed or was pruned */
    uint32_t epochs_done, best_epoch;
    uint64_t steps, tokens;
    double seconds;
    char *weights;              /* of the best epoch */
    struct epoch_score *epochs; /* (epochs_done) */
    double *fold_metrics; /* (folds, REPEATED_METRICS) at the configuration's thresholds; NULL: no cross-validation, or not yet */
};

/* Of a trial, or a fold: what tables tell the mean and deviation of. NaN: there is none. */
enum repeated_metric {
    REPEATED_SCORE,    /* which ranks */
    REPEATED_SELECTED, /* train.select at the best epoch */
    REPEATED_LOSS,
    REPEATED_PRECISION,
    REPEATED_RECALL,
    REPEATED_F1,
    REPEATED_MACRO_F1, /* of more than two labels */
    REPEATED_METRICS
};

struct trials {
    struct trial_run *list; /* (count) */
    size_t count;
    size_t baselines; /* trials of the baseline's configuration, the first ones */
};

/* The baseline comes first; then the grid, the sweep's first key outermost, or the random trials in the order drawn: the same at
 * each start, and a larger sweep.count adds to them; of each the seeds in their order. ERROR_USAGE for more than 10,000. */
int sweep_plan(struct trials *ret, const struct job *j, struct error *e);
void sweep_print(const struct trials *t, const struct job *j); /* how many, and their keys */
void trial_run_free(struct trial_run *t);
void sweep_free(struct trials *t);

/* SPDX-License-Identifier: Apache-2.0 */
/* The trials of a job: the baseline, and those of "sweep": the grid that its lists span, or points drawn at random. A point with
 * the options of another, or of the baseline, is that one. */
#pragma once

#include "coordinator/decision/tune.h"
#include "coordinator/job/job.h"

enum trial_state {
    TRIAL_WAITING,
    TRIAL_DONE,
    TRIAL_PRUNED, /* stopped by the scheduler before its end */
    TRIAL_FAILED
};

struct trial_run {
    char *key;
    struct json *values;  /* the sweep's values; NULL for the baseline */
    struct json *options; /* all train options, and the seed where it is swept */
    struct job job;       /* with these options; borrows from the run's */
    bool baseline;

    char identity[65]; /* sha256 of options, seed, data, split, model and class weights */
    double *class_weights;
    char *directory, *logits;

    enum trial_state state;
    char *why; /* it failed or was pruned */
    uint32_t epochs_done, best_epoch;
    uint64_t steps, tokens;
    double seconds;
    char *weights;              /* of the best epoch */
    struct epoch_score *epochs; /* (epochs_done) */

    double *temperatures;         /* (labels) that logits are divided by */
    struct temperature_fit fit;   /* temperature 0: not asked for */
    struct threshold_curve curve; /* one label of two */
    struct at_threshold own, at_baseline;
    struct label_thresholds by_label; /* thresholds for every kind of decision; the rest of many labels a row */
};

/* (*ret)[0] is the baseline; then the grid, the sweep's first key outermost, or the random trials in the order drawn: the same at
 * each start, and a larger sweep.count adds to them. ERROR_USAGE for more than 10,000. */
int sweep_plan(struct trial_run **ret, size_t *count, const struct job *j, struct error *e);
void sweep_print(const struct trial_run *trials, size_t count, const struct job *j); /* how many, and their keys */
void sweep_free(struct trial_run *trials, size_t count);

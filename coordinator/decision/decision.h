/* SPDX-License-Identifier: Apache-2.0 */
/* What tuning has found: of each trial its thresholds and temperatures, and whose decide. On validation alone. */
#pragma once

#include "coordinator/decision/tune.h"
#include "coordinator/events/trial_state.h"

/* A trial as tuning sees it; borrowed from the sweep. */
struct candidate {
    const char *key, *logits; /* logits: path */
    uint32_t best_epoch;
    bool baseline;
    enum trial_state state;
    size_t configuration; /* trials of the same one differ in the seed alone; below the number of trials */
};

struct tuned_trial {
    struct candidate of;
    double *temperatures;         /* (labels) that logits are divided by; NULL: not tuned */
    const char **temperature_why; /* (labels) as temperature_fit_each has it; owned */
    struct temperature_fit fit;   /* temperature 0: not asked for */
    struct threshold_curve curve; /* one label of two */
    struct at_threshold own, at_baseline;
    struct label_thresholds by_label; /* thresholds for every kind of decision; the rest of many labels a row */
};

struct decision {
    struct tuned_trial *trials; /* (count), trials[0] of the baseline */
    size_t count;
    size_t *order;       /* of trials, best first; NULL: nothing is decided yet */
    const char *neutral; /* threshold is 0.5 since validation supports none: static words; NULL else */
    double threshold;    /* of order[0], by the job's rule; of many labels a row the one for all; NaN where classes need none */
    const double *thresholds;   /* (labels), likewise; borrowed from a trial */
    const double *temperatures; /* (labels), likewise */
};

void decision_create(struct decision *ret, size_t trials);
void decision_free(struct decision *d);
const struct tuned_trial *decision_winner(const struct decision *d); /* once it is decided */

/* Order of the trials, best first by the job's rule: at the trial's own threshold (tune.per "trial") or at the baseline's.
 * Configurations go by the mean over their trials, the trials of one by their own score. Ties keep the order of the plan. Behind
 * the configurations whose trials all have a score come, by the mean over the others, those of which some have none; then trials
 * that the rule's condition rules out, those that were pruned, which are not tuned and so never win, and those that failed.
 * order (count). */
void decision_rank(size_t *order, const struct tuned_trial *trials, size_t count, bool per_trial);
/* The metrics that rank a trial. */
const struct at_threshold *decision_ranked_by(const struct tuned_trial *t, bool per_trial);

/* "threshold 0.4500", "141 thresholds" or "the most probable class": how rows are decided. Caller frees. A threshold
 * that could not be chosen is said to be so. */
char *decision_summary(const struct decision *d, enum decision_kind kind, uint32_t labels);
/* Why the temperature is the neutral 1: static words; NULL where it was fitted or not asked for. */
const char *decision_temperature_why(const struct decision *d);
/* Sets "temperature" of `to`, and "temperatures" by label's name where labels have their own. */
void decision_temperatures_to_json(struct json *to, const struct decision *d, const char *const *label_names, uint32_t labels);

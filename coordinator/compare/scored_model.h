/* SPDX-License-Identifier: Apache-2.0 */
/* Models side by side: each with its logits on validation and test, thresholds by the job's rule on validation, and metrics on
 * both with the thresholds frozen. Test never tunes: what chooses is handed struct validation_logits. */
#pragma once

#include "common/format/split.h"
#include "coordinator/decision/metrics.h"
#include "coordinator/decision/tune.h"

struct validation_logits {
    const float *values; /* (rows, labels) */
    const struct truth *truth;
};

struct scored_model {
    const char *name;
    enum decision_kind kind;
    uint32_t labels, positive;
    float *logits[PART_COUNT]; /* (rows, labels) of validation and test; owned */
    double *thresholds;        /* (labels) as metrics_make takes them; owned */
    bool met;                  /* false: no threshold satisfies the rule; they are 0.5 */
    double score;              /* on validation: what the rule maximises; of many classes a row macro F1 */
    struct metrics at_0_5[PART_COUNT], at_threshold[PART_COUNT]; /* of validation and test; owned */
};

/* p (rows, labels) as softmax or sigmoid of logits; and back, as far as float32 can. */
void probabilities_of(double *p, const struct truth *t, const float *logits);
void logits_of(float *logits, const struct truth *t, const double *p);

/* thresholds (labels); *score is -1 if no threshold meets the rule. p (rows, labels) of the validation part. */
int scored_model_choose(double *thresholds, double *score, const struct label_options *o, const double *p,
                        const struct truth *validation, struct error *e);
/* Sets thresholds, met and score. */
int scored_model_tune(struct scored_model *c, const struct label_options *o, struct validation_logits v, struct error *e);
/* Sets the metrics of a part, from its logits and the thresholds. */
void scored_model_score(struct scored_model *c, enum part part, const struct truth *t);
void scored_model_free(struct scored_model *c);

/* What models are compared by: F1 of the positive label of two; micro F1 of many labels a row; macro F1 of many classes. */
double scored_model_headline(const struct scored_model *c, enum part part);
extern const char *const headline_names[]; /* by kind */

struct json *scored_model_to_json(const struct scored_model *c, const char *const *label_names);

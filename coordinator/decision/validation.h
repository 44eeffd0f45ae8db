/* SPDX-License-Identifier: Apache-2.0 */
/* The validation part as tuning sees it: its labels, and what a trial's logits say on it. Everything that picks an epoch or a
 * threshold is handed this type and nothing else, so that test data cannot get there (architecture.md, rule 6). */
#pragma once

#include "common/format/results.h"
#include "common/score/calibration.h"
#include "common/score/ranking.h"

struct validation;

/* positive: class index that thresholds are for, of two. Copies the labels; *d and *s outlive it. */
void validation_create(struct validation **ret, const struct dataset *d, const struct split *s, int positive);
void validation_destroy(struct validation **v);

/* What the weights after an epoch are worth, labels decided at 0.5 or, of many classes, by the highest probability. `positive`:
 * the positive class of two; otherwise the counts of all labels together, so that its F1 is the micro F1. */
struct epoch_score {
    uint32_t epoch; /* 1-based */
    double loss;
    struct binary_metrics positive;
    struct averaged_metrics all;
    struct ranking ranking; /* of the positive class of two; of more labels of each against the rest */
};

/* Decided at `temperatures` (labels; NULL: ones). ERROR_DATA if the logits are of another split, or of other rows or labels than
 * this part has. */
int validation_score_epoch(struct epoch_score *ret, const struct validation *v, const char *logits, uint32_t epoch,
                           const double *temperatures, struct error *e);
enum decision_kind validation_kind(const struct validation *v);
uint32_t validation_rows(const struct validation *v);
/* Softmax probability of the positive class (rows), or sigmoid of each label (rows, labels); caller frees. temperatures (labels);
 * NULL: ones. */
int validation_probabilities(double **ret, const struct validation *v, const char *logits, uint32_t epoch,
                             const double *temperatures, struct error *e);
/* Reads into *l, which the view borrows and logits_free ends. */
int validation_outputs(struct validation_outputs *ret, struct logits *l, const struct validation *v, const char *logits,
                       uint32_t epoch, struct error *e);
struct validation_scores validation_scores(const struct validation *v, const double *probability);
struct validation_labels validation_labels(const struct validation *v, const double *probability);
/* How far the logits in two files are apart, at most: a check that weights are the ones that earned a trial's metrics. */
int validation_distance(double *ret, const struct validation *v, const char *logits, uint32_t epoch, const char *other,
                        uint32_t other_epoch, struct error *e);

/* Which epoch is best so far, by the job's train.select; an epoch must be strictly better to replace an earlier one. */
struct selection {
    uint32_t best;     /* 1-based */
    bool latest, stop; /* the last one is the best; `patience` (0: never) epochs went by without a better one */
};
double epoch_metric(const struct epoch_score *s, const char *select); /* what train.select names, a loss as it is */
void select_epoch(struct selection *ret, const struct epoch_score *epochs, uint32_t count, const char *select, uint32_t patience);

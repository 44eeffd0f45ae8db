/* SPDX-License-Identifier: Apache-2.0 */
/* What the winner's logits say of one part: metrics of each label, curves, reliability, confusion, worst errors. Figures on test
 * are for showing; nothing is chosen here. */
#pragma once

#include "common/score/calibration.h"
#include "coordinator/report/run_directory.h"

#define CURVE_POINTS 101 /* thresholds 0, 0.01, .. 1 */
enum report_kind {
    KIND_BINARY,      /* one threshold, on the positive label */
    KIND_MANY_LABELS, /* a threshold for each label */
    KIND_MANY_CLASSES /* the highest probability wins */
};

struct label_metrics {
    uint32_t label;
    double threshold;
    struct binary_metrics at_0_5, at_rule;
    double average_precision; /* as scikit-learn's average_precision_score; 0 without a positive row */
};

struct wrong {
    uint32_t row;              /* of the data set */
    uint32_t predicted, truth; /* single label: classes; multi-label: `label` and whether it was predicted and is true */
    uint32_t label;
    double probability; /* of what was predicted */
};

struct report_scores {
    const struct report_run *run;
    const struct logits *logits;
    enum report_kind kind;
    enum part part;
    const uint32_t *rows; /* (logits->rows) numbers in the data set */
};

/* False: this part has no logits. Borrows from r. */
bool report_scores_of(struct report_scores *ret, const struct report_run *r, enum part part);

/* Probability of a label and whether it is true (rows each); calibrated: at the rule's temperature. Caller frees both. */
void scores_column(double **probability, int32_t **truth, const struct report_scores *s, uint32_t label, bool calibrated);
/* (label_count); of a binary task only the positive label's place is meant. Caller frees. */
struct label_metrics *scores_labels(const struct report_scores *s);
/* All labels' decisions together, and the mean of the labels' F1. */
void scores_micro(struct binary_metrics *ret, double *macro_f1, const struct report_scores *s,
                  const struct label_metrics *metrics, bool at_0_5);

/* Precision, recall, F1 at CURVE_POINTS thresholds. */
struct score_curve {
    double threshold[CURVE_POINTS], precision[CURVE_POINTS], recall[CURVE_POINTS], f1[CURVE_POINTS];
};
void scores_curve(struct score_curve *ret, const struct report_scores *s, uint32_t label);
/* Precision against recall at every distinct probability, thinned to at most `most` points. Caller frees both; returns their
 * number: 0 without a positive row. */
size_t scores_precision_recall(double **precision, double **recall, const struct report_scores *s, uint32_t label, size_t most);
/* As tune.json has it: calibration_measure of the part. */
void scores_reliability(struct reliability *ret, const struct report_scores *s, bool calibrated);
/* (label_count, label_count) truth x predicted; single label only. Caller frees. */
uint64_t *scores_confusion(const struct report_scores *s);
/* The most confident errors first; caller frees. */
size_t scores_worst(struct wrong **ret, const struct report_scores *s, size_t most);

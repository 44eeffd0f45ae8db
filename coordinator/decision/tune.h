/* SPDX-License-Identifier: Apache-2.0 */
/* Thresholds of trials, by the job's rule, on validation alone. */
#pragma once

#include "coordinator/decision/validation.h"
#include "coordinator/job/job.h"

/* A trial's metrics at one threshold, or at each label's own. */
struct at_threshold {
    bool met; /* false: no threshold satisfies the rule (words in `why`); the rest is then 0 */
    double threshold, score;
    struct binary_metrics metrics; /* of the positive label; of more labels: of all together (micro) */
    double macro_f1;               /* of more than two labels */
    char why[256];
    const char *neutral; /* threshold is 0.5 since validation supports none: static words; NULL: it was chosen */
};

struct threshold_curve {
    struct threshold_point *points; /* (count), owned */
    int count, best;                /* best: -1 if no point of the grid meets the rule, or none is chosen */
};

/* Sweeps the grid; exact: then all probabilities that occur. A rule that nothing meets is not an error: own->met is false. Where
 * the rows have no positive, or no negative, or no threshold scores above 0, it is 0.5 and own->neutral says why. */
int tune_sweep(struct at_threshold *own, struct threshold_curve *curve, const struct threshold_grid *grid,
               struct validation_scores scores, struct error *e);
void tune_apply(struct at_threshold *ret, const struct threshold_grid *grid, struct validation_scores scores, double threshold);
void threshold_curve_free(struct threshold_curve *c);
void tune_print_curve(const struct threshold_grid *grid, const struct threshold_curve *c);

/* ---- many labels a row: one threshold for all of them, and one for each where that is better ---- */

struct label_options {
    const struct threshold_grid *grid;
    enum per_class per_class;
    uint32_t min_positives; /* auto: labels with fewer positive validation rows take the global threshold */
    bool macro; /* auto: what thresholds by label have to raise: the mean over labels, not the score of all together */
};

/* Thresholds by label next to one for all, on validation rows that chose neither (tune_cross.c). */
struct label_cross {
    int folds, repeats;      /* 0: not asked for, or the rule is not judged so */
    double by_label, global; /* mean score of the held-out rows */
    bool macro, better;      /* better: by_label is higher */
};

struct label_choice {
    double threshold;
    bool own;                                              /* chosen on its rows */
    bool neutral;                                          /* 0.5: asked for one of its own, which its rows do not support */
    const char *why;                                       /* it is not its own; static words, NULL else */
    uint64_t positives;                                    /* validation rows that have it */
    struct binary_metrics at_0_5, at_global, at_threshold; /* at_threshold: at its own, or the global one that it takes */
};

struct label_thresholds {
    uint32_t labels;
    double global;
    const char *why; /* global is 0.5 since validation supports none: static words; NULL: it was chosen */
    struct label_cross cross;
    double *thresholds;             /* (labels) that decide; owned */
    struct label_choice *each;      /* (labels); owned */
    struct threshold_point *points; /* (labels + 1, grid points), those of all together last; owned; NULL once trimmed */
};

/* Static words for rows that support no threshold whose best score is `score`; NULL: they do. m: of any threshold. */
const char *tune_unsupported(const struct binary_metrics *m, double score);
struct label_options label_options_of(const struct job *j);
/* W2: a label's threshold is the first of the highest score, 0.5 where none is above 0; the global one likewise. auto: with one
 * of its own only where cross-validation within v says that this raises the score. */
int tune_labels(struct label_thresholds *ret, const struct label_options *o, struct validation_labels v, struct error *e);
void tune_labels_apply(struct at_threshold *ret, const struct threshold_grid *grid, struct validation_labels v,
                       const double *thresholds, double global);
void label_thresholds_trim(struct label_thresholds *t);
void label_thresholds_free(struct label_thresholds *t);
/* The thresholds alone, without cross-validation: those of labels that may have their own, whatever is better. t->each has no
 * metrics. */
int tune_labels_fit(struct label_thresholds *ret, const struct label_options *o, struct validation_labels v, struct error *e);
/* The metrics of t->each. */
void label_thresholds_measure(struct label_thresholds *t, struct validation_labels v);
/* "cross-validated micro F1 0.5812 with thresholds by label, 0.5640 with one for all". Caller frees; NULL where none was made. */
char *label_cross_summary(const struct label_cross *c, const struct threshold_grid *grid);
/* names (labels). With the curves unless they were trimmed. */
struct json *label_thresholds_to_json(const struct label_thresholds *t, const struct threshold_grid *grid,
                                      const char *const *names);

struct json *metrics_to_json(const struct binary_metrics *m);
void averages_to_json(struct json *to, const struct averaged_metrics *m);
struct json *at_threshold_to_json(const struct at_threshold *a);
struct json *threshold_curve_to_json(const struct threshold_curve *c);
struct json *threshold_grid_to_json(const struct threshold_grid *g);

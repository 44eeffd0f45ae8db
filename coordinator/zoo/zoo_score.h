/* SPDX-License-Identifier: Apache-2.0 */
/* What a model's decisions are worth on one part, for a table of models. Chooses nothing. */
#pragma once

#include "common/json/json.h"
#include "common/score/bootstrap.h"
#include "coordinator/decision/metrics.h"

#define ZOO_DRAWS 1000

struct zoo_model {
    const struct truth *truth;
    const float *logits;        /* (rows, labels) */
    const double *temperatures; /* (labels) */
    const double *thresholds;   /* (labels) */
};

/* The metrics of a part, with their 95 % intervals: micro, macro (of two labels both are the positive one's), rows (precision and
 * recall are means over rows, as scikit-learn's "samples"; F1 is the harmonic mean of the two), subset_accuracy, map, ece, and
 * what shows a model that says nothing or all. draws (ZOO_DRAWS, BOOTSTRAP_METRICS): the same rows are drawn for every model of
 * as many rows. Caller destroys. */
struct json *zoo_score(double *draws, const struct zoo_model *m);
/* The metric that models are compared by: macro F1 of the most probable class, else micro F1. */
enum bootstrap_metric zoo_headline(bool most_probable);
/* Sets "difference", "difference_interval" and "p" of `part`: its draws against those of another model. p is two-sided: twice the
 * share of draws in which the sign of the difference is not that of most, each count raised by 1 (Davison and Hinkley, 1997). */
void zoo_compare(struct json *part, const struct json *other, const double *draws, const double *other_draws,
                 enum bootstrap_metric metric);

/* SPDX-License-Identifier: Apache-2.0 */
/* Temperature scaling (Guo, Pleiss, Sun, Weinberger: "On Calibration of Modern Neural Networks", ICML 2017): logits are divided
 * by one T > 0, or each label's by its own, found on VALIDATION; and how well probabilities match frequencies. temperatures (L);
 * NULL: ones. */
#pragma once

#include "common/score/threshold.h"

/* Logits and labels of the validation part, and nothing else. */
struct validation_outputs {
    const float *logits;    /* (rows, labels) */
    const int32_t *class;   /* (rows), one label a row; or */
    const uint8_t *targets; /* (rows, labels) 0 or 1, many labels a row */
    size_t rows, labels;
};

#define RELIABILITY_BINS 15
#define TEMPERATURE_LEAST 0.05
#define TEMPERATURE_MOST 20.0

struct reliability {
    double nll;   /* mean over rows, of many labels a row over rows and labels */
    double ece;   /* sum over bins of equal width of their share of the cases times |confidence - accuracy| */
    double brier; /* mean squared distance of probabilities and labels; of more than two classes summed over them */
    struct {
        uint64_t count;
        double confidence, accuracy; /* means; 0 in an empty bin */
    } bin[RELIABILITY_BINS];         /* bin b: p from b / 15 on, the last one with 1 */
};

/* Cases: of many labels a row every label of every row; of two classes the probability of `positive`; of more the highest one. */
int calibration_measure(struct reliability *ret, struct validation_outputs v, size_t positive, const double *temperatures,
                        struct error *e);

/* No row is decided wrongly at T = 1: by the most probable class, or labels at 0.5. */
bool outputs_have_no_error(struct validation_outputs v);

struct temperature_fit {
    double temperature; /* 1 where nothing is better */
    double nll_before, nll_after;
    bool improved;
    uint32_t own;    /* labels with a temperature of their own */
    const char *why; /* temperature is the neutral 1: static words; NULL where it was fitted */
};
/* The T that minimises the NLL, which is convex in 1 / T: Newton, kept within a bracket; T within 0.05 and 20. It stays 1 where
 * the rows do not support another: none is decided wrongly (at T = 1), or the minimum lies at a bound or beyond it. */
int temperature_fit(struct temperature_fit *ret, struct validation_outputs v, struct error *e);
/* The T of each label that together minimise the NLL, within the same bounds. Labels that fewer than `least` rows have, or that
 * fewer lack, take the one T for all; so do labels whose rows support no T of their own, and all of them where their own lower
 * the NLL no further (ret->own is 0 then). why (L; may be NULL): static words where a label's rows support none, NULL for the
 * others.
 */
int temperature_fit_each(double *temperatures, const char **why, struct temperature_fit *ret, struct validation_outputs v,
                         uint32_t least, struct error *e);
double temperature_nll(struct validation_outputs v, const double *temperatures); /* mean, as reliability has it */
/* ERROR_USAGE unless T is above 0: from 1e-6 to 1e6, as inference_config.h has it. `what` names it. */
int temperature_check(double temperature, const char *what, struct error *e);

/* W4: T 1 ... 15 by thresholds 0.2 ... 1.0, and F1 of all labels together (of two classes: of class `positive`) at each. */
#define TEMPERATURE_GRID 135
struct temperature_point {
    double temperature, threshold, f1;
};
/* *best: index of the highest F1, the first wins ties. Two labels, or many a row. */
int temperature_grid(struct temperature_point points[TEMPERATURE_GRID], int *best, struct validation_outputs v, size_t positive,
                     struct error *e);

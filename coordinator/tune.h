/* Thresholds of trials, by the job's rule, on validation alone. */
#pragma once

#include "common/format/json.h"
#include "coordinator/validation.h"

/* A trial's figures at one threshold. */
struct at_threshold {
    bool met; /* false: no threshold satisfies the rule (words in `why`); the rest is then 0 */
    double threshold, score;
    struct binary_metrics metrics;
    char why[256];
};

struct threshold_curve {
    struct threshold_point *points; /* (count), owned */
    int count, best;                /* best: -1 if the rule cannot be met */
};

/* Sweeps the grid. A rule that no point meets is not an error: own->met is false. */
int tune_sweep(struct at_threshold *own, struct threshold_curve *curve, const struct threshold_grid *grid,
               struct validation_scores scores, struct error *e);
void tune_apply(struct at_threshold *ret, const struct threshold_grid *grid, struct validation_scores scores, double threshold);
void threshold_curve_free(struct threshold_curve *c);
void tune_print_curve(const struct threshold_grid *grid, const struct threshold_curve *c);

struct json *metrics_to_json(const struct binary_metrics *m);
struct json *at_threshold_to_json(const struct at_threshold *a);
struct json *threshold_curve_to_json(const struct threshold_curve *c);
struct json *threshold_grid_to_json(const struct threshold_grid *g);

/* SPDX-License-Identifier: Apache-2.0 */
/* The last word on the chosen trial: its weights scored on validation and TEST at the run's thresholds, which are never changed
 * here. */
#pragma once

#include "common/base/error.h"
#include "common/score/metrics.h"

#include <stdint.h>

struct part_metrics {
    uint32_t rows;
    double loss;
    struct binary_metrics metrics; /* of the positive label of two; else of all labels together */
    struct averaged_metrics all;
};

struct final {
    struct part_metrics validation, test;
    char *logits; /* of both parts; owned */
    int epoch;    /* under which they stand there */
};

struct run;
struct trial_run;

/* Scores unless that was done. */
int final_score(struct final *ret, struct run *r, const struct trial_run *winner, struct error *e);
void final_free(struct final *f);
void final_print(const struct run *r);

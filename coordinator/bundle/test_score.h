/* SPDX-License-Identifier: Apache-2.0 */
/* The chosen trial on TEST, which nothing before has looked at: its weights scored on validation and test at the run's
 * thresholds, which are never changed here. */
#pragma once

#include "common/score/metrics.h"
#include "coordinator/decision/decision.h"
#include "coordinator/decision/run_data.h"
#include "coordinator/dispatch/workers.h"
#include "coordinator/job/run_place.h"
#include "coordinator/sweep/sweep.h"

struct part_metrics {
    uint32_t rows;
    double loss;
    struct binary_metrics metrics; /* of the positive label of two; else of all labels together */
    struct averaged_metrics all;
};

struct test_score {
    struct part_metrics validation, test;
    char *logits; /* of both parts: path; owned */
    int epoch;    /* under which they stand there */
};

/* Scores unless that was done. Blocks until the workers have scored. */
int test_score_make(struct test_score *ret, const struct run_place *place, const struct run_data *data,
                    const struct decision *decision, const struct trial_run *winner, struct workers *workers, struct error *e);
void test_score_free(struct test_score *s);
void test_score_print(const struct test_score *s, enum decision_kind kind);

/* The last word on the chosen trial: its weights scored on validation and TEST at the final threshold, which is given and never
 * changed here. */
#pragma once

#include "common/base/error.h"
#include "common/score/metrics.h"

struct part_figures {
    uint32_t rows;
    double loss;
    struct binary_metrics metrics;
};

struct final {
    struct part_figures validation, test;
    char *logits; /* of both parts; owned */
    int epoch;    /* under which they stand there */
};

struct run;
struct trial_run;

/* Scores unless that was done. */
int final_score(struct final *ret, struct run *r, const struct trial_run *winner, double threshold, struct error *e);
void final_free(struct final *f);
void final_print(const struct final *f);

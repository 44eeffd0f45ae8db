/* SPDX-License-Identifier: Apache-2.0 */
/* A trial's metrics.jsonl: one line a step, one line an epoch; and the same for TensorBoard (event_file.h). Written as it comes
 * and not synced: on resuming, the checkpoint decides what of it is valid. */
#pragma once

#include "proto/trial.h"

#include <stdbool.h>
#include <stdint.h>

struct metrics_file;

struct metrics_step {
    uint64_t step;
    uint32_t epoch;
    double loss, lr, grad_norm, tokens_per_second, examples_per_second;
    double gflops;     /* of matrix products, by rank 0; `muster bench` measures the machine's rate */
    double peak_share; /* of the rate measured of its device; 0 (null in the file): not measured */
};

struct metrics_epoch {
    uint64_t step;
    uint32_t epoch;
    double train_loss, validation_loss; /* the latter NaN where no row validates */
    bool best;
    const char *metrics; /* JSON of the decision, or NULL */
};

/* Drops what was written after `steps` steps and `epochs` epochs (a resumed trial repeats that), then appends. */
int metrics_file_open(struct metrics_file **ret, const struct trial *t, uint64_t steps, uint32_t epochs, struct error *e);
void metrics_file_close(struct metrics_file **f);
int metrics_file_step(struct metrics_file *f, const struct metrics_step *s, struct error *e); /* allocates nothing */
int metrics_file_epoch(struct metrics_file *f, const struct metrics_epoch *s, struct error *e);

/* SPDX-License-Identifier: Apache-2.0 */
/* The bundle: a model directory that transformers loads, with its decision rule, its metrics and where it comes from; and the
 * same as .zip. */
#pragma once

#include "coordinator/bundle/test_score.h"

/* What a bundle is made of; all borrowed. */
struct bundle_source {
    const struct run_place *place;
    const struct run_data *data;
    const struct decision *decision;
    const struct trial_run *trial;  /* the winner */
    const struct test_score *score; /* without logits: the bundle gets no evaluation.json */
    const char *comparison;         /* with other models: a section of Markdown; NULL without */
    const char *configurations;     /* over seeds or folds: likewise */
    const char *origin;             /* of a cross-validation's weights: "fold 2 of 5"; NULL without */
};

/* Writes <out>/bundle and <out>/<name>.zip, unless they are there and were made from the same things. *made: false if so. */
int publish(const struct bundle_source *s, bool *made, struct error *e);

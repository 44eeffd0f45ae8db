/* SPDX-License-Identifier: Apache-2.0 */
/* The transformer and the baseline together: the weighted mean of their probabilities. */
#pragma once

#include "coordinator/compare/scored_model.h"

#define ENSEMBLE_STEPS 20 /* weights 0, 0.05 .. 1 of the baseline */

struct ensemble {
    struct scored_model together;      /* "ensemble"; without metrics */
    double weight;                     /* of the baseline; 0: the transformer alone */
    double scores[ENSEMBLE_STEPS + 1]; /* of each weight on validation, -1 where no threshold meets the rule */
};

/* The weight whose score by the job's rule is highest on the validation part, thresholds tuned for each; the first wins ties, so
 * that the transformer needs no help that does not help. Reads the validation logits of the two alone. */
int ensemble_tune(struct ensemble *ret, const struct scored_model *transformer, const struct scored_model *baseline,
                  const struct label_options *o, const struct truth *validation, struct error *e);
/* Mixes another part's logits by the weight. */
void ensemble_mix(struct ensemble *n, const struct scored_model *transformer, const struct scored_model *baseline, enum part part,
                  const struct truth *t);
void ensemble_free(struct ensemble *n);
struct json *ensemble_to_json(const struct ensemble *n, const char *const *label_names);

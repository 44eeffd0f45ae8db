/* SPDX-License-Identifier: Apache-2.0 */
/* The validation part as a bundle's evaluation.json has it: labels and logits, and the rule of its inference_config.json. */
#pragma once

#include "common/json/json.h"
#include "coordinator/decision/metrics.h"

struct zoo_evidence {
    struct truth truth;
    float *logits;                     /* (rows, labels), of six digits; NULL: the bundle has none */
    double *temperatures, *thresholds; /* (labels) */
};

/* ERROR_DATA: what is there does not fit together. zoo_evidence_free also where there is none. */
int zoo_evidence_read(struct zoo_evidence *ret, const struct json *inference, const struct json *evaluation, struct error *e);
void zoo_evidence_free(struct zoo_evidence *v);

/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of the classifier head that a base model brings: decided once, before training, from config.json's id2label and
 * the names and shapes in the weights. Leases carry the decision to the workers. */
#pragma once

#include "common/base/error.h"

#include <stdbool.h>
#include <stdint.h>

/* Both unset: the weights' head as it is, or a new one where they have none. */
struct base_head {
    bool made_new; /* the weights have a head, and it is not used */
    double *rows;  /* (labels): for each label of the job the base's row; NULL: in the base's order */
    char *text;    /* the decision with its reason, for people */
};

/* mode: train.head. labels: (count), the job's, in order. Blocks while it reads. ERROR_USAGE: "keep", and it cannot be kept;
 * ERROR_DATA or ERROR_USAGE: config.json or the weights are missing or cannot be read. */
int base_head_decide(struct base_head *ret, const char *mode, const char *directory, const char *const *labels, uint32_t count,
                     struct error *e);
void base_head_free(struct base_head *h);

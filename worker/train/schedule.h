/* SPDX-License-Identifier: Apache-2.0 */
/* The learning rate of a step, as transformers' get_{linear,cosine,constant}_schedule_with_warmup: up from 0 in the warm-up, then
 * down to 0 in a line or in half a cosine, or unchanged. */
#pragma once

#include "common/base/schedule_kind.h"

#include <stdint.h>

struct schedule {
    enum schedule_kind kind;
    double lr;
    uint64_t warmup, steps; /* of the whole trial */
};

struct schedule schedule_create(enum schedule_kind kind, double lr, double warmup /* share of all steps; rounded up */,
                                uint64_t steps);
double schedule_at(const struct schedule *s, uint64_t step /* 0-based; from the end of the trial on: 0, or constant */);

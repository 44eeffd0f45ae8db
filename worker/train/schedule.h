/* SPDX-License-Identifier: Apache-2.0 */
/* The learning rate of a step, as transformers' get_linear_schedule_with_warmup: up from 0 in the warm-up, then linearly down to
 * 0. */
#pragma once

#include <stdint.h>

struct schedule {
    double lr;
    uint64_t warmup, steps; /* of the whole trial */
};

struct schedule schedule_create(double lr, double warmup /* share of all steps; rounded up */, uint64_t steps);
double schedule_at(const struct schedule *s, uint64_t step /* 0-based */);

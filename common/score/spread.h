/* SPDX-License-Identifier: Apache-2.0 */
/* How far a metric varies over repeated trainings. */
#pragma once

#include <stddef.h>

struct spread {
    size_t count; /* of values that are numbers: NaN is left out */
    double mean;  /* NaN of none, as least and most */
    double sd;    /* of the sample, sum of squares over count - 1; NaN of fewer than two */
    double least, most;
};

void spread_of(struct spread *ret, const double *values, size_t count);

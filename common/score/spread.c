/* SPDX-License-Identifier: Apache-2.0 */
#include "common/score/spread.h"

#include <math.h>

void spread_of(struct spread *ret, const double *values, size_t count)
{
    struct spread s = {0, NAN, NAN, NAN, NAN};
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++)
        if (!isnan(values[i])) {
            s.count++;
            sum += values[i];
            s.least = fmin(s.least, values[i]);
            s.most = fmax(s.most, values[i]);
        }
    if (s.count > 0)
        s.mean = sum / (double)s.count;
    for (size_t i = 0; i < count; i++)
        if (!isnan(values[i]))
            squares += (values[i] - s.mean) * (values[i] - s.mean);
    if (s.count > 1)
        s.sd = sqrt(squares / (double)(s.count - 1));
    *ret = s;
}

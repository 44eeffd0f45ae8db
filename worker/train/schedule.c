/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the learning rate. */
#include "worker/train/schedule.h"

#include <math.h>

struct schedule schedule_create(double lr, double warmup, uint64_t steps)
{
    return (struct schedule){lr, (uint64_t)ceil(warmup * (double)steps), steps};
}

double schedule_at(const struct schedule *s, uint64_t step)
{
    if (step < s->warmup)
        return s->lr * ((double)step / (double)s->warmup);
    if (step >= s->steps)
        return 0;
    return s->lr * ((double)(s->steps - step) / (double)(s->steps - s->warmup));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the learning rate. */
#include "worker/train/schedule.h"

#include <math.h>

struct schedule schedule_create(enum schedule_kind kind, double lr, double warmup, uint64_t steps)
{
    return (struct schedule){kind, lr, (uint64_t)ceil(warmup * (double)steps), steps};
}

double schedule_at(const struct schedule *s, uint64_t step)
{
    if (step < s->warmup)
        return s->lr * ((double)step / (double)s->warmup);
    if (s->kind == SCHEDULE_CONSTANT)
        return s->lr;
    if (step >= s->steps)
        return 0;
    if (s->kind == SCHEDULE_COSINE)
        return s->lr * (0.5 * (1 + cos(M_PI * ((double)(step - s->warmup) / (double)(s->steps - s->warmup)))));
    return s->lr * ((double)(s->steps - step) / (double)(s->steps - s->warmup));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What of attention counts as work: products with what is seen, 2 a multiply-add; nothing that a method spends on its own, as
 * scores that backward makes again. */
#pragma once

#include "worker/device/operands.h"

/* Pairs of a query and a key of a row of n tokens. w: NULL, all see all. */
static inline double pairs_seen(const struct attention_window *w, double n)
{
    double half = w ? (double)w->half : 0;
    if (!(half > 0) || n <= half + 1)
        return n * n;
    return n * (2 * half + 1) - half * (half + 1) + (w->first ? n - half - 1 : 0);
}

/* Of first tokens' queries with T keys that are not made. `each`: products of a head's vectors of a row with its tokens; both
 * maps' with queries and sums besides. */
static inline double projected_attention_flops(size_t B, size_t T, size_t H, size_t D, double each)
{
    double C = (double)H * (double)D;
    return 2 * each * ((double)T * (double)H * C + (double)B * C * C);
}

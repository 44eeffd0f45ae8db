/* SPDX-License-Identifier: Apache-2.0 */
/* Laying several arrays out in one piece of scratch, each 64-byte aligned as the piece is. */
#pragma once

#include "worker/device/kernels/vector.h"

INLINE size_t up(size_t n, size_t step)
{
    return (n + step - 1) / step * step;
}

struct cursor {
    char *base; /* NULL: only `at`, the bytes that are needed, is counted */
    size_t at;
};

INLINE void *take(struct cursor *c, size_t bytes)
{
    void *ret = c->base ? c->base + c->at : NULL;
    c->at += up(bytes, 64);
    return ret;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of a matrix, as the cpu device's threads divide it. */
#pragma once

#include "worker/device/cpu_device.h"

struct share {
    size_t from, count;
};

/* What part `i` of `parts` has of n things, by whole `grain`s. */
static inline struct share share_of(size_t n, size_t i, size_t parts, size_t grain)
{
    size_t grains = (n + grain - 1) / grain, from = grains * i / parts * grain, to = grains * (i + 1) / parts * grain;
    from = from < n ? from : n;
    return (struct share){from, (to < n ? to : n) - from};
}

struct tile {
    struct share rows, columns;
};

/* An act element of m; NULL of nothing. */
static inline char *act_at(const struct cpu *c, device_memory m, size_t element)
{
    return m.address ? (char *)host_pointer(m) + element * precision_bytes(c->base.precision) : NULL;
}

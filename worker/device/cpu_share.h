/* SPDX-License-Identifier: Apache-2.0 */
/* How the result of a linear map is divided among the cpu device's threads. */
#pragma once

#include "worker/device/cpu_device.h"

#define TILE_ROWS_MIN 256 /* with fewer, a thread spends its time on packing the other factor */

struct grid {
    size_t row_parts, column_parts;
};

/* Rows are split first; columns too where rows are too few for so many threads. */
static inline struct grid grid_of(const struct cpu *c, size_t rows)
{
    size_t threads = (size_t)c->base.threads, columns = 1;
    while (threads % (2 * columns) == 0 && rows / (threads / columns) < TILE_ROWS_MIN)
        columns *= 2;
    return (struct grid){threads / columns, columns};
}

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

static inline struct tile tile_of(struct grid g, size_t i, size_t rows, size_t columns)
{
    return (struct tile){share_of(rows, i / g.column_parts, g.row_parts, 16),
                         share_of(columns, i % g.column_parts, g.column_parts, 64)};
}

/* An act element of m; NULL of nothing. */
static inline char *act_at(const struct cpu *c, device_memory m, size_t element)
{
    return m.address ? (char *)host_pointer(m) + element * precision_bytes(c->base.precision) : NULL;
}

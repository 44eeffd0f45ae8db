/* SPDX-License-Identifier: Apache-2.0 */
/* What devices on the host share: looking into device memory, the act type, dropout's factor. */
#pragma once

#include "common/base/philox.h"
#include "worker/device/bf16.h"
#include "worker/device/device.h"
#include "worker/device/flops.h"

#include <stdbool.h>

static inline void *host_pointer(device_memory m)
{
    return (void *)m.address; /* NULL for DEVICE_NOTHING */
}

static inline float *host_f32(device_memory m)
{
    return host_pointer(m);
}

static inline int32_t *host_i32(device_memory m)
{
    return host_pointer(m);
}

static inline double *host_f64(device_memory m)
{
    return host_pointer(m);
}

static inline struct step_control *host_control(device_memory m)
{
    return host_pointer(m);
}

/* Element i of an act array. */
static inline float act_get(const struct device *d, device_memory m, size_t i)
{
    return d->precision == PRECISION_BF16 ? bf16_to_float(((const bf16 *)host_pointer(m))[i]) : host_f32(m)[i];
}

static inline void act_put(const struct device *d, device_memory m, size_t i, float x)
{
    if (d->precision == PRECISION_BF16)
        ((bf16 *)host_pointer(m))[i] = bf16_from_float(x);
    else
        host_f32(m)[i] = x;
}

static inline bool dropout_is_on(const struct dropout *p)
{
    return p && p->probability > 0;
}

/* What element `element` of vector `vector` is multiplied by: 0, or the scale of what is kept; 1 without dropout. */
static inline float dropout_factor(const struct dropout *p, size_t vector, uint32_t element)
{
    if (!dropout_is_on(p))
        return 1;
    int keeps = dropout_keeps(p->seed, p->epoch, p->site, (uint32_t)host_i32(p->rows)[vector],
                              (uint32_t)host_i32(p->positions)[vector], element, dropout_bound(p->probability));
    return keeps ? dropout_scale(p->probability) : 0;
}

/* Of the pairs that are seen; window: NULL, all. */
static inline double window_attention_flops(device_memory offsets, const struct attention_window *window, size_t B, size_t C,
                                            double each)
{
    double pairs = 0;
    for (size_t b = 0; b < B; b++)
        pairs += pairs_seen(window, host_i32(offsets)[b + 1] - host_i32(offsets)[b]);
    return each * pairs * (double)C;
}

static inline double attention_flops(device_memory offsets, size_t B, size_t C, double each)
{
    return window_attention_flops(offsets, NULL, B, C, each);
}

static inline double first_attention_flops(device_memory offsets, size_t B, size_t C, double each)
{
    return each * (double)(host_i32(offsets)[B] - host_i32(offsets)[0]) * (double)C;
}

/* How many products there are for a score. */
static inline double relative_products(const struct relative_bias *b)
{
    return 1 + (b->keys.address ? 1 : 0) + (b->queries.address ? 1 : 0);
}

/* Whether query i of a row sees key j. */
static inline bool window_sees(const struct attention_window *w, size_t i, size_t j)
{
    return !w || w->half == 0 || (i > j ? i - j : j - i) <= w->half || (w->first && j == 0);
}

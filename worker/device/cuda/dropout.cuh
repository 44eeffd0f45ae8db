/* SPDX-License-Identifier: Apache-2.0 */
/* Dropout on the GPU: the masks of common/base/philox.h, bit for bit. */
#pragma once

#include "common/base/philox.h"
#include "worker/device/cuda/kernel.cuh"

/* struct dropout of device.h, ready for a kernel. bound: 0: none. */
struct dropout_mask {
    const int *rows, *positions; /* by vector */
    uint64_t seed;
    uint32_t epoch, site, bound;
    float scale;
};

DEVICE struct philox_block dropout_block(const struct dropout_mask &m, int vector, uint32_t element)
{
    return philox(m.seed, RANDOM_DROPOUT, element / 8, (uint32_t)m.positions[vector], (uint32_t)m.rows[vector],
                  m.epoch << 16 | m.site);
}

/* Bit i: element / 8 * 8 + i is kept. */
DEVICE uint8_t dropout_byte(const struct dropout_mask &m, int vector, uint32_t element)
{
    struct philox_block b = dropout_block(m, vector, element);
    uint32_t kept = 0;
    UNROLL for (int i = 0; i < 8; i++) kept |= (uint32_t)((b.word[i / 2] >> i % 2 * 16 & 0xffff) >= m.bound) << i;
    return (uint8_t)kept;
}

/* What an element is multiplied by. */
DEVICE float dropout_factor(const struct dropout_mask &m, int vector, uint32_t element)
{
    if (!m.bound)
        return 1;
    return dropout_byte(m, vector, element) >> element % 8 & 1 ? m.scale : 0;
}

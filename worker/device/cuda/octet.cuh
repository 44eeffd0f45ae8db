/* SPDX-License-Identifier: Apache-2.0 */
/* Eight neighbours of a vector of C elements, from a multiple of 8 on: what a thread works on, and what one block of Philox is
 * for. In 16-byte accesses where all eight are there and their address allows it. */
#pragma once

#include "worker/device/cuda/dropout.cuh"

DEVICE bool octet_is_whole(const void *first, size_t c, size_t C)
{
    return c + 8 <= C && (uintptr_t)first % 16 == 0;
}

DEVICE void load_eight(float x[8], const bf16 *from)
{
    struct chunk a = load_16(from);
    UNROLL for (int i = 0; i < 8; i++) x[i] = bf16_value((bf16)(a.word[i / 2] >> i % 2 * 16));
}

DEVICE void load_eight(float x[8], const float *from)
{
    struct chunk a = load_16(from), b = load_16(from + 4);
    UNROLL for (int i = 0; i < 4; i++)
    {
        x[i] = float_of_bits(a.word[i]);
        x[i + 4] = float_of_bits(b.word[i]);
    }
}

DEVICE void store_eight(bf16 *to, const float x[8])
{
    struct chunk a;
    UNROLL for (int i = 0; i < 4; i++) a.word[i] = pack_bf16(x[2 * i], x[2 * i + 1]);
    store_16(to, a);
}

DEVICE void store_eight(float *to, const float x[8])
{
    struct chunk a, b;
    UNROLL for (int i = 0; i < 4; i++)
    {
        a.word[i] = bits_of_float(x[i]);
        b.word[i] = bits_of_float(x[i + 4]);
    }
    store_16(to, a);
    store_16(to + 4, b);
}

/* Elements c..c + 7 of a vector; 0 behind its end. */
template <typename A>
DEVICE void load_octet(float x[8], const A *vector, size_t c, size_t C)
{
    if (octet_is_whole(vector + c, c, C)) {
        load_eight(x, vector + c);
        return;
    }
    UNROLL for (int i = 0; i < 8; i++) x[i] = c + i < C ? act_load(vector, c + i) : 0;
}

template <typename A>
DEVICE void store_octet(A *vector, size_t c, size_t C, const float x[8])
{
    if (octet_is_whole(vector + c, c, C)) {
        store_eight(vector + c, x);
        return;
    }
    UNROLL for (int i = 0; i < 8; i++) if (c + i < C) act_store(vector, c + i, x[i]);
}

/* x *= what dropout multiplies elements c..c + 7 by. */
DEVICE void drop_octet(float x[8], const struct dropout_mask &m, size_t vector, size_t c)
{
    if (!m.bound)
        return;
    uint8_t kept = dropout_byte(m, (int)vector, (uint32_t)c);
    UNROLL for (int i = 0; i < 8; i++) x[i] *= kept >> i & 1 ? m.scale : 0;
}

/* A thread's octet of N vectors; false: there is none. */
struct octet {
    size_t vector, c;
};

static inline size_t octets_of(size_t N, size_t C)
{
    return N * ((C + 7) / 8);
}

DEVICE bool find_octet(struct octet *ret, size_t N, size_t C)
{
    uint32_t i = blockIdx.x * blockDim.x + threadIdx.x, each = (uint32_t)((C + 7) / 8); /* fewer than 2^32 of any array */
    ret->vector = i / each;
    ret->c = (size_t)(i % each) * 8;
    return ret->vector < N;
}

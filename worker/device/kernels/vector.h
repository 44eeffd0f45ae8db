/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors as wide as the instruction set that this file is compiled for has them. Arithmetic is the compiler's (GCC vector
 * extensions); here is what it has no operator for. A "part" is the first n < LANES elements; the rest reads as zero. */
#pragma once

#include "worker/device/bf16.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define LANES 16
#elif defined(__AVX2__)
#include <immintrin.h>
#define LANES 8
#else
#define LANES 4
#endif

#define INLINE static inline __attribute__((always_inline, unused))

typedef float vector __attribute__((vector_size(LANES * 4)));
typedef int32_t vector_int __attribute__((vector_size(LANES * 4)));
typedef uint32_t vector_bits __attribute__((vector_size(LANES * 4)));
typedef float vector_unaligned __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef uint32_t bits_unaligned __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef bf16 half_vector __attribute__((vector_size(LANES * 2)));
typedef bf16 half_unaligned __attribute__((vector_size(LANES * 2), aligned(2), may_alias));

INLINE vector splat(float x)
{
    return x - (vector){0};
}

INLINE vector load(const float *p)
{
    return *(const vector_unaligned *)p;
}

INLINE void store(float *p, vector v)
{
    *(vector_unaligned *)p = v;
}

INLINE vector load_part(const float *p, size_t n)
{
#if LANES == 16
    return _mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    vector v = {0};
    memcpy(&v, p, n * sizeof *p);
    return v;
#endif
}

INLINE void store_part(float *p, vector v, size_t n)
{
#if LANES == 16
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), v);
#else
    memcpy(p, &v, n * sizeof *p);
#endif
}

/* n elements or LANES of them, whichever is less. */
INLINE vector load_most(const float *p, size_t n)
{
    return n >= LANES ? load(p) : load_part(p, n);
}

INLINE void store_most(float *p, vector v, size_t n)
{
    if (n >= LANES)
        store(p, v);
    else
        store_part(p, v, n);
}

INLINE vector multiply_add(vector a, vector b, vector c)
{
#if LANES == 16
    return _mm512_fmadd_ps(a, b, c);
#elif LANES == 8
    return _mm256_fmadd_ps(a, b, c);
#else
    return a * b + c;
#endif
}

INLINE vector choose(vector_int where, vector yes, vector no)
{
    return (vector)(((vector_int)yes & where) | ((vector_int)no & ~where));
}

INLINE vector maximum(vector a, vector b)
{
#if LANES == 16
    return _mm512_max_ps(a, b);
#elif LANES == 8
    return _mm256_max_ps(a, b);
#else
    return choose(a > b, a, b);
#endif
}

INLINE vector minimum(vector a, vector b)
{
#if LANES == 16
    return _mm512_min_ps(a, b);
#elif LANES == 8
    return _mm256_min_ps(a, b);
#else
    return choose(a < b, a, b);
#endif
}

INLINE vector magnitude(vector a)
{
    return (vector)((vector_int)a & 0x7fffffff);
}

/* Of x >= 0 where it is, else of no. */
INLINE vector where_not_negative(vector x, vector yes, vector no)
{
#if LANES == 16
    return _mm512_mask_mov_ps(no, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GE_OQ), yes);
#else
    return choose(x >= 0, yes, no);
#endif
}

INLINE vector square_root(vector x)
{
#if LANES == 16
    return _mm512_sqrt_ps(x);
#elif LANES == 8
    return _mm256_sqrt_ps(x);
#else
    vector ret;
    for (int i = 0; i < LANES; i++)
        ret[i] = __builtin_sqrtf(x[i]);
    return ret;
#endif
}

INLINE float sum_lanes(vector v)
{
#if LANES == 16
    return _mm512_reduce_add_ps(v);
#else
    float x[LANES];
    memcpy(x, &v, sizeof x);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            x[i] += x[i + half];
    return x[0];
#endif
}

INLINE float maximum_lane(vector v)
{
#if LANES == 16
    return _mm512_reduce_max_ps(v);
#else
    float x[LANES];
    memcpy(x, &v, sizeof x);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++)
            x[i] = x[i] > x[i + half] ? x[i] : x[i + half];
    return x[0];
#endif
}

/* 2^x, relative error below 1.5e-7: minimax polynomial of degree 5 on [-0.5, 0.5]. 0 far below, infinity far above, NaN for NaN.
 */
INLINE vector exp2_of(vector x)
{
#if LANES == 16
    vector n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    x = choose(x < -127, splat(-127), x);
    x = choose(x > 128, splat(128), x);
#if LANES == 8
    vector n = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#else
    vector magic = splat(12582912); /* 1.5 * 2^23: adding it rounds to an integer */
    vector n = (x + magic) - magic;
#endif
#endif
    vector r = x - n, p = splat(0x1.5c08dcp-10f);
    p = multiply_add(p, r, splat(0x1.3d0c54p-7f));
    p = multiply_add(p, r, splat(0x1.c6b6e6p-5f));
    p = multiply_add(p, r, splat(0x1.ebf918p-3f));
    p = multiply_add(p, r, splat(0x1.62e428p-1f));
    p = multiply_add(p, r, splat(0x1.000002p+0f));
#if LANES == 16
    return _mm512_scalef_ps(p, n);
#elif LANES == 8
    return p * (vector)_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
#else
    vector_bits exponent = (vector_bits)(__builtin_convertvector(choose(n == n, n, splat(0)), vector_int) + 127);
    return p * (vector)(exponent << 23);
#endif
}

/* bf16, LANES of them. */
INLINE vector half_widen(half_vector h)
{
#if LANES == 16
    return (vector)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)h), 16);
#elif LANES == 8
    return (vector)_mm256_slli_epi32(_mm256_cvtepu16_epi32((__m128i)h), 16);
#else
    return (vector)(__builtin_convertvector(h, vector_bits) << 16);
#endif
}

INLINE half_vector half_round(vector v)
{
#if LANES == 16 && defined(__AVX512BF16__)
    return (half_vector)_mm512_cvtneps_pbh(v);
#else
    vector_bits bits = (vector_bits)v;
    vector_bits rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, quiet = bits >> 16 | 0x40;
    vector_bits nan = (vector_bits)((bits & 0x7fffffff) > 0x7f800000);
    vector_bits ret = (rounded & ~nan) | (quiet & nan);
#if LANES == 16
    return (half_vector)_mm512_cvtepi32_epi16((__m512i)ret);
#else
    return __builtin_convertvector(ret, half_vector);
#endif
#endif
}

/* Words of two bf16 that are neighbours in depth. */
INLINE vector_bits half_pairs(half_vector even, half_vector odd)
{
#if LANES == 16
    return (vector_bits)_mm512_or_si512(_mm512_cvtepu16_epi32((__m256i)even),
                                        _mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)odd), 16));
#else
    return __builtin_convertvector(even, vector_bits) | __builtin_convertvector(odd, vector_bits) << 16;
#endif
}

/* act: what activations are stored as. */
#if ACT_IS_BF16
typedef bf16 act;

INLINE vector act_load(const act *p)
{
    return half_widen(*(const half_unaligned *)p);
}

INLINE void act_store(act *p, vector v)
{
    *(half_unaligned *)p = half_round(v);
}

INLINE vector act_load_part(const act *p, size_t n)
{
#if LANES == 16
    return half_widen((half_vector)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1), p));
#else
    half_vector h = {0};
    memcpy(&h, p, n * sizeof *p);
    return half_widen(h);
#endif
}

INLINE void act_store_part(act *p, vector v, size_t n)
{
    half_vector h = half_round(v);
#if LANES == 16
    _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1), (__m256i)h);
#else
    memcpy(p, &h, n * sizeof *p);
#endif
}

/* v as it will be read again. */
INLINE vector act_round(vector v)
{
    return half_widen(half_round(v));
}
#else
typedef float act;
#define act_load load
#define act_store store
#define act_load_part load_part
#define act_store_part store_part

INLINE vector act_round(vector v)
{
    return v;
}
#endif

INLINE vector act_load_most(const act *p, size_t n)
{
    return n >= LANES ? act_load(p) : act_load_part(p, n);
}

INLINE void act_store_most(act *p, vector v, size_t n)
{
    if (n >= LANES)
        act_store(p, v);
    else
        act_store_part(p, v, n);
}

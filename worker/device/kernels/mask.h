/* SPDX-License-Identifier: Apache-2.0 */
/* Dropout masks as bits, one a vector element, bit for bit philox.h's RANDOM_DROPOUT: byte b of a mask is block b of 8 elements.
 */
#pragma once

#include "common/base/philox.h"
#include "worker/device/kernels/kernels.h"
#include "worker/device/kernels/vector.h"

#define MASK_SLACK 16                                      /* bytes that may be written behind a mask's end */
#define MASK_BYTES_MIN 32                                  /* of a mask of few elements: what is written at once */
#define MASK_BYTES_MAX (KERNEL_WIDTH_MAX / 8 + MASK_SLACK) /* of a vector whose mask is on the stack */

#if LANES == 16
#define MASK_STEP 8
typedef __m512i mask_words; /* 8 blocks: a 32-bit word each, in the low half of a 64-bit lane; the high half is ignored */

INLINE mask_words mask_product(mask_words a, uint32_t b)
{
    return _mm512_mul_epu32(a, _mm512_set1_epi64(b));
}

INLINE mask_words mask_mix(mask_words product, mask_words c, uint32_t key)
{
    __m512i high = (__m512i)_mm512_movehdup_ps((__m512)product); /* cheaper than a shift */
    return _mm512_ternarylogic_epi64(high, c, _mm512_set1_epi64(key), 0x96);
}

INLINE mask_words mask_counters(uint32_t first) /* in the order that mask_compare undoes */
{
    return _mm512_add_epi64(_mm512_set1_epi64(first), _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7));
}

INLINE void mask_compare(uint8_t *bits, const mask_words c[4], uint32_t bound)
{
    __m512i low = _mm512_mask_blend_epi32(0xaaaa, c[0], _mm512_slli_epi64(c[1], 32));
    __m512i high = _mm512_mask_blend_epi32(0xaaaa, c[2], _mm512_slli_epi64(c[3], 32)), limit = _mm512_set1_epi16((short)bound);
    uint32_t first = _mm512_cmpge_epu16_mask(_mm512_unpacklo_epi64(low, high), limit);
    uint32_t second = _mm512_cmpge_epu16_mask(_mm512_unpackhi_epi64(low, high), limit);
    memcpy(bits, &first, 4);
    memcpy(bits + 4, &second, 4);
}

#define mask_splat(x) _mm512_set1_epi64(x)
#elif LANES == 8
#define MASK_STEP 4
typedef __m256i mask_words; /* 4 blocks, likewise */

INLINE mask_words mask_product(mask_words a, uint32_t b)
{
    return _mm256_mul_epu32(a, _mm256_set1_epi64x(b));
}

INLINE mask_words mask_mix(mask_words product, mask_words c, uint32_t key)
{
    return _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(product, 32), c), _mm256_set1_epi64x(key));
}

INLINE mask_words mask_counters(uint32_t first)
{
    return _mm256_add_epi64(_mm256_set1_epi64x(first), _mm256_setr_epi64x(0, 2, 1, 3));
}

INLINE void mask_compare(uint8_t *bits, const mask_words c[4], uint32_t bound)
{
    __m256i low = _mm256_blend_epi32(c[0], _mm256_slli_epi64(c[1], 32), 0xaa);
    __m256i high = _mm256_blend_epi32(c[2], _mm256_slli_epi64(c[3], 32), 0xaa), limit = _mm256_set1_epi16((short)bound);
    __m256i x = _mm256_unpacklo_epi64(low, high), y = _mm256_unpackhi_epi64(low, high);
    x = _mm256_cmpeq_epi16(_mm256_max_epu16(x, limit), x);
    y = _mm256_cmpeq_epi16(_mm256_max_epu16(y, limit), y);
    uint32_t all = (uint32_t)_mm256_movemask_epi8(_mm256_permute4x64_epi64(_mm256_packs_epi16(x, y), 0xd8));
    memcpy(bits, &all, 4);
}

#define mask_splat(x) _mm256_set1_epi64x(x)
#endif

#ifdef MASK_STEP
#define MASK_CHAINS 4 /* steps at a time: one alone waits for its own products */

struct mask_counter {
    mask_words word[4];
};

INLINE void mask_draw(uint8_t *bits, const struct mask *m, struct mask_counter c[MASK_CHAINS])
{
    uint32_t low = (uint32_t)m->seed, high = (uint32_t)(m->seed >> 32) ^ RANDOM_DROPOUT;
#pragma GCC unroll 10
    for (uint32_t round = 0; round < 10; round++)
#pragma GCC unroll 4
        for (int i = 0; i < MASK_CHAINS; i++) {
            mask_words *w = c[i].word, a = mask_product(w[0], PHILOX_M0), b = mask_product(w[2], PHILOX_M1);
            w[0] = mask_mix(b, w[1], low + round * PHILOX_W0);
            w[1] = b;
            w[2] = mask_mix(a, w[3], high + round * PHILOX_W1);
            w[3] = a;
        }
#pragma GCC unroll 4
    for (int i = 0; i < MASK_CHAINS; i++)
        mask_compare(bits + i * MASK_STEP, c[i].word, m->bound);
}
#endif

/* Bits of blocks first..first + blocks - 1 of vector `v`. */
INLINE void mask_bits(uint8_t *bits, const struct mask *m, size_t v, uint32_t first, size_t blocks)
{
    uint32_t row = (uint32_t)m->rows[v], position = (uint32_t)m->positions[v];
#ifdef MASK_STEP
    for (size_t block = 0; block < blocks; block += MASK_CHAINS * MASK_STEP) {
        struct mask_counter c[MASK_CHAINS];
        for (size_t i = 0; i < MASK_CHAINS; i++)
            c[i] = (struct mask_counter){{mask_counters(first + (uint32_t)(block + i * MASK_STEP)), mask_splat(position),
                                          mask_splat(row), mask_splat(m->epoch_site)}};
        mask_draw(bits + block, m, c);
    }
#else
    for (size_t block = 0; block < blocks; block++) {
        struct philox_block p = philox(m->seed, RANDOM_DROPOUT, first + (uint32_t)block, position, row, m->epoch_site);
        bits[block] = 0;
        for (int i = 0; i < 8; i++)
            bits[block] |= (uint8_t)((p.word[i / 2] >> (i % 2 * 16) & 0xffff) >= m->bound) << i;
    }
#endif
}

#if LANES == 16
/* Counters of the blocks of several vectors in a row; a step may end a vector and begin the next, so that no lane is idle. */
struct mask_walk {
    const struct mask *m;
    size_t v, last;          /* vectors: now, the last one */
    size_t at, next, blocks; /* blocks: done, where the next vector begins, of a vector */
    __m512i block;
    uint32_t first;
};

INLINE struct mask_counter mask_step(struct mask_walk *w)
{
    const struct mask *m = w->m;
    size_t behind = w->v < w->last ? w->v + 1 : w->last;
    __m512i size = _mm512_set1_epi64((long long)w->blocks);
    __mmask8 over = _mm512_cmpge_epu64_mask(w->block, size);
    struct mask_counter ret = {{_mm512_add_epi64(mask_splat(w->first), _mm512_mask_sub_epi64(w->block, over, w->block, size)),
                                _mm512_mask_set1_epi64(mask_splat(m->positions[w->v]), over, m->positions[behind]),
                                _mm512_mask_set1_epi64(mask_splat(m->rows[w->v]), over, m->rows[behind]),
                                mask_splat(m->epoch_site)}};
    w->block = _mm512_add_epi64(w->block, _mm512_set1_epi64(MASK_STEP));
    w->at += MASK_STEP;
    if (w->at >= w->next) {
        w->block = _mm512_sub_epi64(w->block, size);
        w->next += w->blocks;
        w->v = behind;
    }
    return ret;
}
#endif

/* The same for `count` vectors from v, each mask right behind the one before. */
INLINE void mask_block(uint8_t *bits, const struct mask *m, size_t v, size_t count, uint32_t first, size_t blocks)
{
#if LANES == 16
    if (blocks >= MASK_STEP) {
        struct mask_walk w = {m, v, v + count - 1, 0, blocks, blocks, mask_counters(0), first};
        while (w.at < count * blocks) {
            uint8_t *to = bits + w.at;
            struct mask_counter c[MASK_CHAINS];
            for (int i = 0; i < MASK_CHAINS; i++)
                c[i] = mask_step(&w);
            mask_draw(to, m, c);
        }
        return;
    }
#endif
    for (size_t i = 0; i < count; i++)
        mask_bits(bits + i * blocks, m, v + i, first, blocks);
}

/* v where the mask has a bit, else 0; i: v's first element, a multiple of LANES. */
INLINE vector mask_keep(const uint8_t *bits, size_t i, vector v)
{
#if LANES == 16
    uint16_t keep;
    memcpy(&keep, bits + i / 8, 2);
    return _mm512_maskz_mov_ps(keep, v);
#elif LANES == 8
    __m256i one = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    __m256i keep = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(bits[i / 8]), one), one);
    return _mm256_and_ps(v, (__m256)keep);
#else
    vector_int one = {1, 2, 4, 8}, all = one - one + (bits[i / 8] >> i % 8);
    return (vector)((vector_int)v & ((all & one) == one));
#endif
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Words of 32 bits, floats or pairs of bf16, from rows to columns. */
#pragma once

#include "worker/device/kernels/vector.h"

typedef uint32_t __attribute__((may_alias)) word;

/* to[j][i] = from[i][j] for LANES x LANES words; rows are so many words apart. */
INLINE void transpose_square(void *to_words, size_t to_row, const void *from_words, size_t from_row)
{
    word *to = to_words;
    const word *from = from_words;
#if LANES == 16
    __m512i x[16], y[16];
    for (size_t i = 0; i < 16; i++)
        x[i] = _mm512_loadu_si512(from + i * from_row);
    for (int i = 0; i < 16; i += 2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < 16; i += 4)
        for (int j = 0; j < 2; j++) {
            x[i + 2 * j] = _mm512_unpacklo_epi64(y[i + j], y[i + j + 2]);
            x[i + 2 * j + 1] = _mm512_unpackhi_epi64(y[i + j], y[i + j + 2]);
        }
    for (int i = 0; i < 4; i++) { /* x[4 q + i] holds, in quarter h, column 4 h + i of rows 4 q .. 4 q + 3 */
        __m512i low = _mm512_shuffle_i32x4(x[i], x[4 + i], 0x44), low2 = _mm512_shuffle_i32x4(x[8 + i], x[12 + i], 0x44);
        __m512i high = _mm512_shuffle_i32x4(x[i], x[4 + i], 0xee), high2 = _mm512_shuffle_i32x4(x[8 + i], x[12 + i], 0xee);
        y[i] = _mm512_shuffle_i32x4(low, low2, 0x88);
        y[4 + i] = _mm512_shuffle_i32x4(low, low2, 0xdd);
        y[8 + i] = _mm512_shuffle_i32x4(high, high2, 0x88);
        y[12 + i] = _mm512_shuffle_i32x4(high, high2, 0xdd);
    }
    for (size_t i = 0; i < 16; i++)
        _mm512_storeu_si512(to + i * to_row, y[i]);
#elif LANES == 8
    vector x[8], y[8];
    for (size_t i = 0; i < 8; i++)
        x[i] = (vector) * (const bits_unaligned *)(from + i * from_row);
    for (int i = 0; i < 8; i += 2) {
        y[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = 0; j < 2; j++) { /* x[i + 2 j + ...]: in each half, two columns of rows i .. i + 3 */
            x[i + 2 * j] = _mm256_shuffle_ps(y[i + j], y[i + j + 2], 0x44);
            x[i + 2 * j + 1] = _mm256_shuffle_ps(y[i + j], y[i + j + 2], 0xee);
        }
    for (size_t i = 0; i < 4; i++) {
        *(vector_unaligned *)(to + i * to_row) = _mm256_permute2f128_ps(x[i], x[4 + i], 0x20);
        *(vector_unaligned *)(to + (4 + i) * to_row) = _mm256_permute2f128_ps(x[i], x[4 + i], 0x31);
    }
#else
    for (size_t i = 0; i < LANES; i++)
        for (size_t j = 0; j < LANES; j++)
            to[j * to_row + i] = from[i * from_row + j];
#endif
}

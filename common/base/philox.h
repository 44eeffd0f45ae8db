/* SPDX-License-Identifier: Apache-2.0 */
/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC11), the one source of
 * randomness that is a function, not a state: key and counter in, 128 bits out.
 *
 * Counters are named, not counted. Key: (seed low 32 bits, seed high 32 bits ^ purpose). Counter, by purpose:
 *   RANDOM_SHUFFLE     (row, 0, 0, epoch)                      sort key of a row in an epoch
 *   RANDOM_SPLIT       (group index, 0, 0, 0)                  sort key of a group
 *   RANDOM_INITIALIZE  (element / 4, 0, parameter index, 0)    new weights, normal by Box-Muller
 *   RANDOM_FAKE        (lr bits, lr bits, batch, epochs)      noise key of a trial on the fake device; with that as seed:
 *                      (row, label, 0, 0)                     noise of a logit
 *   RANDOM_EXAMPLES    (any)                                  rows and weights of benchmarks and tests
 *   RANDOM_SWEEP       (draw, 0, hash of the key, 0)           values of a trial
 *   RANDOM_BOOTSTRAP   (row / 4, 0, 0, draw)                   rows of a resampled part, a word each
 *   RANDOM_FOLD        (row, repeat, 0, 0)                     fold of a validation row in cross-validation
 *   RANDOM_LIMIT       (row, 0, 0, 0)                         sort key of a row of a part that is limited
 *   RANDOM_DROPOUT     (element / 8, position, row, epoch << 16 | site)
 *       position: of the token in its row; element: of the token's vector (channel), or for attention probabilities
 *       head << 19 | key position; site: which dropout of the network.
 *       The 8 elements of a block take the 16-bit halves of the four words in order, low half first; an element is
 *       KEPT if its half >= dropout_bound(p), and kept values are scaled by dropout_scale(p). */
#pragma once

#include <stdint.h>

enum random_purpose {
    RANDOM_SHUFFLE = 1,
    RANDOM_SPLIT,
    RANDOM_INITIALIZE,
    RANDOM_DROPOUT,
    RANDOM_EXAMPLES,
    RANDOM_BOOTSTRAP,
    RANDOM_FAKE,
    RANDOM_SWEEP,
    RANDOM_FOLD,
    RANDOM_LIMIT
};

struct philox_block {
    uint32_t word[4];
};

#ifdef __CUDACC__
#define PHILOX_FUNCTION static inline __host__ __device__
#else
#define PHILOX_FUNCTION static inline
#endif

#define PHILOX_M0 0xD2511F53u
#define PHILOX_M1 0xCD9E8D57u
#define PHILOX_W0 0x9E3779B9u
#define PHILOX_W1 0xBB67AE85u

PHILOX_FUNCTION struct philox_block philox(uint64_t seed, uint32_t purpose, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3)
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32) ^ purpose;
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)PHILOX_M0 * c0, b = (uint64_t)PHILOX_M1 * c2;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += PHILOX_W0;
        k1 += PHILOX_W1;
    }
    struct philox_block ret = {{c0, c1, c2, c3}};
    return ret;
}

/* Drop probability p in [0,1) as a bound on 16 random bits, and the scale of what is kept: exact for the bound used, so
 * the expectation is exact too. */
static inline uint32_t dropout_bound(float p)
{
    return (uint32_t)(p * 65536.0f + 0.5f);
}

static inline float dropout_scale(float p)
{
    return 65536.0f / (float)(65536u - dropout_bound(p));
}

/* 1 if element `element` is kept. The scalar definition that every device reproduces bit for bit. */
static inline int dropout_keeps(uint64_t seed, uint32_t epoch, uint32_t site, uint32_t row, uint32_t position, uint32_t element,
                                uint32_t bound)
{
    struct philox_block b = philox(seed, RANDOM_DROPOUT, element / 8, position, row, epoch << 16 | site);
    uint32_t half = b.word[element % 8 / 2] >> (element % 2 * 16) & 0xffff;
    return half >= bound;
}

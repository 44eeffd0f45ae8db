/* SPDX-License-Identifier: Apache-2.0 */
/* What kernels are written in: one source for nvcc and, with MUSTER_EMULATED, for a C++ compiler and tests/emu, which runs every
 * thread of a launch on the host and checks what it does. PTX is in this file alone. */
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef uint16_t bf16; /* upper half of a float */

#ifdef MUSTER_EMULATED
#include "tests/emu/emulate.h"
#else
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#define KERNEL __global__
#define DEVICE __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define ROLLED _Pragma("unroll 1")
/* An array of a block of threads, 16-byte aligned; a pointer to it is a SHARED_POINTER(type). */
#define SHARED(type, name, count) __shared__ __align__(16) type name[count]
#define LAUNCH(kernel, grid, threads, stream, ...) kernel<<<grid, threads, 0, stream>>>(__VA_ARGS__)

DEVICE void barrier(void) /* of the block of threads; also orders its shared and global memory */
{
    __syncthreads();
}

/* All 32 lanes of a warp take part in these. */
DEVICE float shuffle(float x, int lane)
{
    return __shfl_sync(0xffffffffu, x, lane);
}

DEVICE float shuffle_xor(float x, int mask)
{
    return __shfl_xor_sync(0xffffffffu, x, mask);
}

/* Lane l gives the address of row l % 8 (8 elements, 16-byte aligned) of matrix l / 8; register j gets of matrix j row l / 4,
 * columns 2 (l % 4) and the next; transposed: rows 2 (l % 4) and the next, column l / 4. */
DEVICE void load_matrix_x4(uint32_t r[4], const bf16 *row)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

DEVICE void load_matrix_x4_transposed(uint32_t r[4], const bf16 *row)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

/* c (16 x 8, f32) += a (16 x 16) b (16 x 8). With g = lane / 4, t = lane % 4: c[0], c[1] are row g, columns 2t, 2t + 1; c[2],
 * c[3] row g + 8. a[0] row g, columns 2t, 2t + 1; a[1] row g + 8; a[2], a[3] the same 8 columns on. b[0] rows 2t, 2t + 1 of
 * column g; b[1] 8 rows on. */
DEVICE void mma_bf16_16x8x16(float c[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* 16 bytes of global memory into shared memory, both 16-byte aligned; there after copy_wait and, for other threads, a barrier. */
DEVICE void copy_async_16(bf16 *to, const bf16 *from)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((uint32_t)__cvta_generic_to_shared(to)), "l"(from) : "memory");
}

DEVICE void copy_commit(void) /* what this thread copied since the last one is a group */
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

template <int N>
DEVICE void copy_wait(void) /* until only the last N groups of this thread are on their way */
{
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

DEVICE double shuffle_xor(double x, int mask)
{
    return __shfl_xor_sync(0xffffffffu, x, mask);
}

DEVICE uint32_t warp_vote(bool of_lane) /* bit l: of lane l */
{
    return __ballot_sync(0xffffffffu, of_lane);
}

/* 16 bytes of global memory, aligned. */
struct chunk {
    uint32_t word[4];
};

DEVICE struct chunk load_16(const void *from)
{
    uint4 v = *(const uint4 *)from;
    return {{v.x, v.y, v.z, v.w}};
}

DEVICE void store_16(void *to, struct chunk x)
{
    *(uint4 *)to = make_uint4(x.word[0], x.word[1], x.word[2], x.word[3]);
}

DEVICE float float_of_bits(uint32_t bits)
{
    return __uint_as_float(bits);
}

DEVICE uint32_t bits_of_float(float x)
{
    return __float_as_uint(x);
}

DEVICE int lowest_bit(uint32_t bits) /* its number; bits are not 0 */
{
    return __ffs((int)bits) - 1;
}

DEVICE void store_zero_16(bf16 *to) /* 16 bytes, aligned */
{
    *(uint4 *)to = make_uint4(0, 0, 0, 0);
}

DEVICE void store_pair(bf16 *to, uint32_t pair) /* 4-byte aligned */
{
    *(uint32_t *)to = pair;
}

DEVICE float bf16_value(bf16 x)
{
    return __uint_as_float((uint32_t)x << 16);
}

DEVICE bf16 bf16_round(float x) /* to nearest, ties to even */
{
    return __bfloat16_as_ushort(__float2bfloat16_rn(x));
}
#endif

/* --- of both --- */

DEVICE uint32_t pack_bf16(float low, float high)
{
    return bf16_round(low) | (uint32_t)bf16_round(high) << 16;
}

/* Element i of an act array. */
DEVICE float act_load(const float *from, size_t i)
{
    return from[i];
}

DEVICE float act_load(const bf16 *from, size_t i)
{
    return bf16_value(from[i]);
}

DEVICE void act_store(float *to, size_t i, float x)
{
    to[i] = x;
}

DEVICE void act_store(bf16 *to, size_t i, float x)
{
    to[i] = bf16_round(x);
}

/* Over the lanes of a warp; all lanes get it. One order. */
template <typename F>
DEVICE F warp_sum(F x)
{
    for (int mask = 16; mask; mask /= 2)
        x += shuffle_xor(x, mask);
    return x;
}

DEVICE float warp_max(float x)
{
    for (int mask = 16; mask; mask /= 2)
        x = fmaxf(x, shuffle_xor(x, mask));
    return x;
}

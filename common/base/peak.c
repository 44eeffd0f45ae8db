/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/peak.h"

#include "common/base/clock.h"
#include "common/base/machine.h"
#include "common/base/memory.h"

#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { ROUNDS = 50 };
#define ROUND_SECONDS 0.002

/* Sums in independent chains, so that no multiply-add waits for another: a latency of 4 or 5 on two units, in 16 registers. A
 * variable each, of its own start: an array would lie in memory, and equal chains are one to the compiler. */
#define CHAINS 12

/* Read once a loop: the compiler cannot know what is multiplied. */
static volatile float one = 1;
static volatile float sink;

/* ---- one loop of n rounds for each instruction; each returns its operations a round ---- */

/* n rounds; STEP(s): what follows a sum s. */
#define LOOP(TYPE, START, STEP)                                                                                                  \
    TYPE s0 = START, s1 = s0 + s0, s2 = s1 + s0, s3 = s2 + s0, s4 = s3 + s0, s5 = s4 + s0, s6 = s5 + s0, s7 = s6 + s0,           \
         s8 = s7 + s0, s9 = s8 + s0, s10 = s9 + s0, s11 = s10 + s0;                                                              \
    for (size_t i = 0; i < n; i++) {                                                                                             \
        s0 = STEP(s0), s1 = STEP(s1), s2 = STEP(s2), s3 = STEP(s3), s4 = STEP(s4), s5 = STEP(s5);                                \
        s6 = STEP(s6), s7 = STEP(s7), s8 = STEP(s8), s9 = STEP(s9), s10 = STEP(s10), s11 = STEP(s11);                            \
    }                                                                                                                            \
    TYPE sum = s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11;                                                      \
    sink = sum[0]

static double loop_baseline(size_t n)
{
    typedef float vector __attribute__((vector_size(16)));
    vector x = one - (vector){0};
#define STEP(s) ((s)*x + x)
    LOOP(vector, x, STEP);
#undef STEP
    return 2.0 * 4 * CHAINS;
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static double loop_avx2(size_t n)
{
    __m256 x = _mm256_set1_ps(one);
#define STEP(s) _mm256_fmadd_ps(x, x, s)
    LOOP(__m256, x, STEP);
#undef STEP
    return 2.0 * 8 * CHAINS;
}

__attribute__((target("avx512f"))) static double loop_avx512(size_t n)
{
    __m512 x = _mm512_set1_ps(one);
#define STEP(s) _mm512_fmadd_ps(x, x, s)
    LOOP(__m512, x, STEP);
#undef STEP
    return 2.0 * 16 * CHAINS;
}

__attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16"))) static double loop_avx512_bf16(size_t n)
{
    __m512 start = _mm512_set1_ps(one);
    __m512bh x = _mm512_cvtne2ps_pbh(start, start);
#define STEP(s) _mm512_dpbf16_ps(s, x, x)
    LOOP(__m512, start, STEP);
#undef STEP
    return 2.0 * 32 * CHAINS;
}

/* Tiles 0 to 3 are sums, 16 x 16 floats; 4 and 5 are rows, 6 and 7 columns, of 32 bf16. All are zero: tiles take as long for any
 * numbers. */
__attribute__((target("amx-tile,amx-bf16"))) static double loop_amx(size_t n)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shape __attribute__((aligned(64))) = {.palette = 1};
    for (int tile = 0; tile < 8; tile++) {
        shape.row_bytes[tile] = 64;
        shape.rows[tile] = 16;
    }
    _tile_loadconfig(&shape);
    for (size_t i = 0; i < n; i++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_release();
    return 2.0 * 16 * 16 * 32 * 4;
}

static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void)
{
    return __builtin_cpu_supports("avx512f");
}

static bool has_avx512_bf16(void)
{
    return has_avx512() && __builtin_cpu_supports("avx512bf16");
}
#endif

static bool always(void)
{
    return true;
}

static const struct instruction {
    const char *name;
    enum precision precision; /* of its factors */
    bool (*can_run)(void);
    double (*loop)(size_t n);
} instructions[] = {
#if defined(__x86_64__)
    {"AMX bf16", PRECISION_BF16, machine_has_amx, loop_amx}, {"AVX-512 bf16", PRECISION_BF16, has_avx512_bf16, loop_avx512_bf16},
    {"AVX-512 FMA", PRECISION_F32, has_avx512, loop_avx512}, {"AVX2 FMA", PRECISION_F32, has_avx2, loop_avx2},
#endif
    {"baseline", PRECISION_F32, always, loop_baseline},
};

/* ---- threads ---- */

struct team {
    const struct instruction *instruction;
    size_t n;             /* rounds of a loop */
    pthread_mutex_t gate; /* held until it is known how many threads there are */
    pthread_barrier_t barrier;
};

struct member {
    struct team *team;
    pthread_t thread;
    double seconds[ROUNDS]; /* CPU time: what other processes take of a core is not counted */
};

static void *member_main(void *data)
{
    struct member *m = data;
    pthread_mutex_lock(&m->team->gate);
    pthread_mutex_unlock(&m->team->gate);
    for (int round = 0; round < ROUNDS; round++) {
        pthread_barrier_wait(&m->team->barrier); /* all at once: threads may share a core */
        double start = clock_thread();
        m->team->instruction->loop(m->team->n);
        m->seconds[round] = clock_thread() - start;
    }
    return NULL;
}

/* Loops a second of all threads in one round. */
static double round_rate(const struct member *members, int threads, int round)
{
    double rate = 0;
    for (int t = 0; t < threads; t++)
        rate += 1 / members[t].seconds[round];
    return rate;
}

/* So many rounds that a loop takes ROUND_SECONDS; the loops that find this out warm the processor up. */
static size_t calibrate(const struct instruction *instruction)
{
    for (size_t n = 1024;; n *= 2) {
        double start = clock_thread();
        instruction->loop(n);
        double took = clock_thread() - start;
        if (took > ROUND_SECONDS / 4)
            return (size_t)((double)n * ROUND_SECONDS / took) + 1;
    }
}

static double measure(const struct instruction *instruction, int threads)
{
    struct team team = {.instruction = instruction, .n = calibrate(instruction), .gate = PTHREAD_MUTEX_INITIALIZER};
    struct member *members = allocate((size_t)threads, sizeof *members);
    int count = 1; /* this thread is the first */
    pthread_mutex_lock(&team.gate);
    for (int t = 0; t < threads; t++)
        members[t].team = &team;
    while (count < threads && !pthread_create(&members[count].thread, NULL, member_main, &members[count]))
        count++;
    pthread_barrier_init(&team.barrier, NULL, (unsigned)count);
    pthread_mutex_unlock(&team.gate);
    member_main(&members[0]);
    for (int t = 1; t < count; t++)
        pthread_join(members[t].thread, NULL);
    double best = 0;
    for (int round = 0; round < ROUNDS; round++)
        best = fmax(best, round_rate(members, count, round));
    pthread_barrier_destroy(&team.barrier);
    free(members);
    return best * (double)team.n * instruction->loop(1) / 1e9;
}

struct peak peak_measure(enum precision precision, int threads)
{
    struct peak best = {0};
    for (const struct instruction *i = instructions;; i++) {
        if (i->precision > precision || !i->can_run())
            continue;
        struct peak p = {measure(i, threads), i->name};
        best = p.gflops > best.gflops ? p : best;
        if (i->precision == PRECISION_F32) /* narrower ones are slower */
            return best;
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* LayerNorm with what is fused to it: embeddings, residual, dropout. A warp a vector; gradients of tables and of gamma and beta
 * have one order of summation. */
#include "worker/device/cuda/cuda_operations.h"

#include "worker/device/cuda/columns.cuh"

/* Vectors of a norm. behind: dropout of its output. */
struct norm {
    float *statistics;
    const float *gamma, *beta; /* beta: or NULL */
    float epsilon;
    size_t N, C;
    struct dropout_mask behind;
};

/* What is summed up before the norm: x + dropout(z). */
template <typename A>
struct residual {
    typedef A act;
    const A *x, *z;
    struct dropout_mask dropout;
    DEVICE void operator()(float sum[8], size_t n, size_t c, size_t C) const
    {
        load_octet(sum, x + n * C, c, C);
        if (!z)
            return;
        float added[8];
        load_octet(added, z + n * C, c, C);
        drop_octet(added, dropout, n, c);
        UNROLL for (int i = 0; i < 8; i++) sum[i] += added[i];
    }
};

/* Rows of three tables, of which the last two may be absent. */
template <typename A>
struct embedded {
    typedef A act;
    const float *table[3];
    const int *place[3];
    DEVICE void operator()(float sum[8], size_t n, size_t c, size_t C) const
    {
        load_octet(sum, table[0] + (size_t)place[0][n] * C, c, C);
        for (int k = 1; k < 3; k++) {
            if (!table[k])
                continue;
            float added[8];
            load_octet(added, table[k] + (size_t)place[k][n] * C, c, C);
            UNROLL for (int i = 0; i < 8; i++) sum[i] += added[i];
        }
    }
};

DEVICE float act_rounded(const float *, float x)
{
    return x;
}

DEVICE float act_rounded(const bf16 *, float x)
{
    return bf16_value(bf16_round(x));
}

/* A vector's number by the warp of this thread. */
DEVICE size_t warp_vector(void)
{
    return (size_t)blockIdx.x * 8 + threadIdx.x / 32;
}

enum { STEP = 256 /* elements a warp takes at once */ };

/* sum, and its mean and 1 / standard deviation, as stored for backward: of what was rounded. */
template <typename A, typename S>
DEVICE void moments(A *sum, const S &source, const struct norm &p, size_t n, float *mean, float *inverse)
{
    size_t first = threadIdx.x % 32 * 8;
    float total = 0, squares = 0, x[8];
    for (size_t c = first; c < p.C; c += STEP) {
        source(x, n, c, p.C);
        store_octet(sum + n * p.C, c, p.C, x);
        UNROLL for (int i = 0; i < 8; i++) total += act_rounded(sum, x[i]);
    }
    *mean = warp_sum(total) / (float)p.C;
    for (size_t c = first; c < p.C; c += STEP) {
        load_octet(x, sum + n * p.C, c, p.C);
        UNROLL for (int i = 0; i < 8; i++) squares += c + i < p.C ? (x[i] - *mean) * (x[i] - *mean) : 0;
    }
    *inverse = 1 / sqrtf(warp_sum(squares) / (float)p.C + p.epsilon);
}

template <typename S>
KERNEL void normalized(typename S::act *y, typename S::act *sum, S source, struct norm p)
{
    size_t n = warp_vector();
    float mean, inverse;
    if (n >= p.N)
        return;
    moments(sum, source, p, n, &mean, &inverse);
    if (threadIdx.x % 32 == 0) {
        p.statistics[2 * n] = mean;
        p.statistics[2 * n + 1] = inverse;
    }
    for (size_t c = threadIdx.x % 32 * 8; c < p.C; c += STEP) {
        float x[8], gamma[8], beta[8] = {0};
        load_octet(x, sum + n * p.C, c, p.C);
        load_octet(gamma, p.gamma, c, p.C);
        if (p.beta)
            load_octet(beta, p.beta, c, p.C);
        UNROLL for (int i = 0; i < 8; i++) x[i] = (x[i] - mean) * inverse * gamma[i] + beta[i];
        drop_octet(x, p.behind, n, c);
        store_octet(y + n * p.C, c, p.C, x);
    }
}

/* Gradient of what comes out of the norm, and what went into gamma. */
template <typename A>
struct norm_gradient {
    enum { SUMS = 2 };
    const A *dy, *sum;
    const float *statistics;
    size_t C;
    struct dropout_mask behind;
    DEVICE void operator()(float x[2][8], size_t n, size_t c) const /* x[0]: of beta; x[1]: of gamma */
    {
        load(x[0], x[1], n, c);
        UNROLL for (int i = 0; i < 8; i++) x[1][i] *= x[0][i];
    }
    DEVICE void load(float g[8], float unit[8], size_t n, size_t c) const
    {
        float mean = statistics[2 * n], inverse = statistics[2 * n + 1];
        load_octet(g, dy + n * C, c, C);
        drop_octet(g, behind, n, c);
        load_octet(unit, sum + n * C, c, C);
        UNROLL for (int i = 0; i < 8; i++) unit[i] = (unit[i] - mean) * inverse;
    }
};

/* Where the gradient of the sum goes. exact: f32; the others act. All but one may be NULL. */
template <typename A>
struct norm_outputs {
    float *exact;
    A *dx, *dz;
    bool add;                    /* dx += */
    struct dropout_mask dropout; /* of dz */
    DEVICE void store(float g[8], size_t n, size_t c, size_t C) const
    {
        if (exact)
            store_octet(exact + n * C, c, C, g);
        if (!dx)
            return;
        if (add) {
            float x[8];
            load_octet(x, dx + n * C, c, C);
            UNROLL for (int i = 0; i < 8; i++) g[i] += x[i];
        }
        store_octet(dx + n * C, c, C, g);
        if (!dz)
            return;
        drop_octet(g, dropout, n, c);
        store_octet(dz + n * C, c, C, g);
    }
};

/* (1/std) (g - mean(g) - xhat mean(g xhat)), g = dy gamma. dx and dz may be dy: a lane has read its octets when it writes. */
template <typename A>
KERNEL void normalized_backward(struct norm_outputs<A> to, struct norm_gradient<A> from, const float *gamma, size_t N)
{
    size_t n = warp_vector(), first = threadIdx.x % 32 * 8, C = from.C;
    float g[8], unit[8], weight[8], mean = 0, with_unit = 0;
    if (n >= N)
        return;
    for (size_t c = first; c < C; c += STEP) {
        from.load(g, unit, n, c);
        load_octet(weight, gamma, c, C);
        UNROLL for (int i = 0; i < 8; i++)
        {
            mean += g[i] * weight[i];
            with_unit += g[i] * weight[i] * unit[i];
        }
    }
    mean = warp_sum(mean) / (float)C;
    with_unit = warp_sum(with_unit) / (float)C;
    for (size_t c = first; c < C; c += STEP) {
        from.load(g, unit, n, c);
        load_octet(weight, gamma, c, C);
        UNROLL for (int i = 0; i < 8; i++) g[i] = from.statistics[2 * n + 1] * (g[i] * weight[i] - mean - unit[i] * with_unit);
        to.store(g, n, c, C);
    }
}

enum { SUMS_ROWS = 32 /* of a part */, SUMS_OCTETS = 4 /* of 32 lanes: vectors of at most 1024 */ };

/* The same, and the gradients of beta and gamma from the same reading: parts (2, gridDim.x, C) of SUMS_ROWS vectors. A warp takes
 * every eighth of them and holds a vector in registers. */
template <typename A, int OCTETS>
KERNEL void normalized_backward_sums(float *parts, struct norm_outputs<A> to, struct norm_gradient<A> from, const float *gamma,
                                     size_t N)
{
    size_t C = from.C, first = threadIdx.x % 32 * 8, end = ((size_t)blockIdx.x + 1) * SUMS_ROWS;
    float mine[OCTETS][2][8] = {};
    for (size_t n = end - SUMS_ROWS + threadIdx.x / 32; n < end && n < N; n += COLUMNS_WARPS) {
        float g[OCTETS][8], unit[OCTETS][8], weight[8], mean = 0, with_unit = 0;
        UNROLL for (int k = 0; k < OCTETS; k++)
        {
            if (first + k * STEP >= C)
                break;
            from.load(g[k], unit[k], n, first + k * STEP);
            load_octet(weight, gamma, first + k * STEP, C);
            UNROLL for (int i = 0; i < 8; i++)
            {
                mine[k][0][i] += g[k][i];
                mine[k][1][i] += unit[k][i] * g[k][i];
                g[k][i] *= weight[i];
                mean += g[k][i];
                with_unit += g[k][i] * unit[k][i];
            }
        }
        mean = warp_sum(mean) / (float)C;
        with_unit = warp_sum(with_unit) / (float)C;
        float inverse = from.statistics[2 * n + 1];
        UNROLL for (int k = 0; k < OCTETS; k++)
        {
            if (first + k * STEP >= C)
                break;
            UNROLL for (int i = 0; i < 8; i++) g[k][i] = inverse * (g[k][i] - mean - unit[k][i] * with_unit);
            to.store(g[k], n, first + k * STEP, C);
        }
    }
    UNROLL for (int k = 0; k < OCTETS; k++)
    {
        float sums[2];
        size_t c = (size_t)k * STEP + threadIdx.x;
        if ((size_t)k * STEP >= C)
            break;
        warps_sums<2>(sums, mine[k]);
        for (int s = 0; s < 2 && c < C; s++)
            parts[((size_t)s * gridDim.x + blockIdx.x) * C + c] = sums[s];
    }
}

static size_t sums_parts(size_t N)
{
    return (N + SUMS_ROWS - 1) / SUMS_ROWS;
}

/* Floats of scratch that normalize_gradients takes. */
static size_t gradients_scratch(size_t N, size_t C)
{
    return 2 * sums_parts(N) * C;
}

/* All of a norm's backward. sums: of beta and of gamma, or NULL. to may write over what from reads. */
template <typename A>
static void normalize_gradients(struct cuda *c, float *const sums[2], const struct norm_outputs<A> &to,
                                const struct norm_gradient<A> &from, const float *gamma, float *scratch, size_t N)
{
    size_t C = from.C, parts = sums_parts(N), octets = (C + STEP - 1) / STEP;
    bool wanted = sums[0] || sums[1];
    if (!N || c->failed)
        return;
    if (!wanted || octets > SUMS_OCTETS) {
        if (wanted)
            columns_sum(c, sums, from, scratch, N, C); /* before dx takes the place of dy */
        LAUNCH_WARPS(c, normalized_backward<A>, N, to, from, gamma, N);
        return;
    }
    auto with_sums = octets <= 2   ? normalized_backward_sums<A, 2>
                     : octets == 3 ? normalized_backward_sums<A, 3>
                                   : normalized_backward_sums<A, 4>;
    LAUNCH(with_sums, dim3((unsigned)parts), dim3(32 * COLUMNS_WARPS), c->stream, scratch, to, from, gamma, N);
    columns_totals(c, sums, 2, scratch, parts, C);
}

enum { GATHERED = 3 /* octets of a lane: 768 columns */, AT_ONCE = 2 };

/* Row r of `to` = the sum of vectors t of g whose place is r, in their order. A warp takes 768 columns of a row, and two vectors
 * at once: rows of frequent words are long, and their loads should not wait for each other. */
KERNEL void gathered(float *to, const float *g, const int *places, size_t rows, size_t T, size_t C)
{
    size_t r = warp_vector(), c = (size_t)blockIdx.y * STEP * GATHERED + threadIdx.x % 32 * 8;
    if (r >= rows)
        return;
    float sums[GATHERED][8] = {}, x[AT_ONCE][GATHERED][8];
    for (size_t first = 0; first < T; first += 32) {
        size_t t = first + threadIdx.x % 32;
        uint32_t found = warp_vote(t < T && (size_t)places[t] == r);
        while (found) {
            UNROLL for (int v = 0; v < AT_ONCE; v++)
            {
                const float *from = g + (found ? first + lowest_bit(found) : 0) * C;
                UNROLL for (int k = 0; k < GATHERED; k++) load_octet(x[v][k], from, c + k * STEP, found ? C : 0);
                found &= found - 1;
            }
            UNROLL for (int i = 0; i < AT_ONCE * GATHERED * 8; i++) sums[i / 8 % GATHERED][i % 8] +=
                x[i / (8 * GATHERED)][i / 8 % GATHERED][i % 8];
        }
    }
    for (int k = 0; k < GATHERED; k++)
        store_octet(to + r * C, c + k * STEP, C, sums[k]);
}

/* Vectors whose place is `row`: for tables of a few rows, each of many vectors. */
struct vectors_at {
    enum { SUMS = 1 };
    const float *g;
    const int *places;
    int row;
    size_t C;
    DEVICE void operator()(float x[1][8], size_t t, size_t c) const
    {
        if (places[t] == row)
            load_octet(x[0], g + t * C, c, C);
        else
            UNROLL for (int i = 0; i < 8; i++) x[0][i] = 0;
    }
};

static void table_gradient(struct cuda *c, float *to, const float *g, const int *places, float *scratch, size_t rows, size_t T,
                           size_t C)
{
    enum { FEW = 8 };
    if (!to || !T || c->failed)
        return;
    if (rows > FEW) {
        dim3 grid((unsigned)((rows + 7) / 8), (unsigned)((C + STEP * GATHERED - 1) / (STEP * GATHERED)));
        LAUNCH(gathered, grid, dim3(256), c->stream, to, g, places, rows, T, C);
        return;
    }
    for (size_t row = 0; row < rows; row++) {
        float *const sums[] = {to + row * C};
        columns_sum(c, sums, vectors_at{g, places, (int)row, C}, scratch, T, C);
    }
}

static struct norm norm_of(device_memory statistics, device_memory gamma, device_memory beta, float epsilon, size_t N, size_t C)
{
    return {cuda_at<float>(statistics), cuda_at<float>(gamma), cuda_at<float>(beta), epsilon, N, C, {}};
}

template <typename A>
static struct norm_gradient<A> gradient_of(device_memory dy, device_memory sum, device_memory statistics,
                                           const struct dropout *behind, size_t C) {
    return {cuda_at<A>(dy), cuda_at<A>(sum), cuda_at<float>(statistics), C, cuda_dropout(behind)};
}

template <typename A>
static void forward(struct cuda *c, device_memory y, device_memory sum, device_memory x, device_memory z,
                    const struct dropout *dropout, const struct norm &p)
{
    struct residual<A> source = {
        cuda_at<A>(x), cuda_at<A>(z), cuda_dropout(dropout)
    };
    LAUNCH_WARPS(c, normalized<residual<A>>, p.N, cuda_at<A>(y), cuda_at<A>(sum), source, p);
}

static void normalize_forward(struct device *d, device_memory y, device_memory sum, device_memory statistics, device_memory x,
                              device_memory z, device_memory gamma, device_memory beta, float epsilon,
                              const struct dropout *dropout, size_t N, size_t C)
{
    struct cuda *c = cuda_of(d);
    BY_ACT(c, forward, c, y, sum, x, z, dropout, norm_of(statistics, gamma, beta, epsilon, N, C));
}

template <typename A>
static void backward(struct cuda *c, device_memory dx, device_memory dz, bool add, const struct dropout *dropout,
                     device_memory dgamma, device_memory dbeta, const float *gamma, const struct norm_gradient<A> &from, size_t N)
{
    float *scratch = (float *)cuda_scratch(c, gradients_scratch(N, from.C) * sizeof *scratch);
    float *const sums[] = {cuda_at<float>(dbeta), cuda_at<float>(dgamma)};
    struct norm_outputs<A> to = {
        NULL, cuda_at<A>(dx), cuda_at<A>(dz), add, cuda_dropout(dropout)
    };
    if (scratch)
        normalize_gradients(c, sums, to, from, gamma, scratch, N);
}

template <typename A>
static void backward_of(struct cuda *c, device_memory dx, device_memory dz, bool add, device_memory dgamma, device_memory dbeta,
                        device_memory dy, device_memory sum, device_memory statistics, device_memory gamma,
                        const struct dropout *dropout, size_t N, size_t C)
{
    backward<A>(c, dx, dz, add, dropout, dgamma, dbeta, cuda_at<float>(gamma), gradient_of<A>(dy, sum, statistics, NULL, C), N);
}

static void normalize_backward(struct device *d, device_memory dx, device_memory dz, device_memory dgamma, device_memory dbeta,
                               device_memory dy, device_memory sum, device_memory statistics, device_memory gamma,
                               const struct dropout *dropout, size_t N, size_t C)
{
    struct cuda *c = cuda_of(d);
    BY_ACT(c, backward_of, c, dx, dz, false, dgamma, dbeta, dy, sum, statistics, gamma, dropout, N, C);
}

static void residual_normalize_backward(struct device *d, device_memory dx, device_memory dz, device_memory dgamma,
                                        device_memory dbeta, device_memory dy, device_memory sum, device_memory statistics,
                                        device_memory gamma, const struct dropout *dropout, size_t N, size_t C)
{
    struct cuda *c = cuda_of(d);
    BY_ACT(c, backward_of, c, dx, dz, true, dgamma, dbeta, dy, sum, statistics, gamma, dropout, N, C);
}

template <typename A>
static void embed(struct cuda *c, device_memory y, device_memory sum, const device_memory table[3], const device_memory place[3],
                  const struct norm &p)
{
    struct embedded<A> source = {
    };
    for (int i = 0; i < 3; i++) {
        source.table[i] = cuda_at<float>(table[i]);
        source.place[i] = cuda_at<int>(place[i]);
    }
    LAUNCH_WARPS(c, normalized<embedded<A>>, p.N, cuda_at<A>(y), cuda_at<A>(sum), source, p);
}

static void embedding_forward(struct device *d, device_memory y, device_memory sum, device_memory statistics, device_memory ids,
                              device_memory positions, device_memory types, device_memory word, device_memory position,
                              device_memory type, device_memory gamma, device_memory beta, float epsilon,
                              const struct dropout *dropout, size_t T, size_t C)
{
    struct cuda *c = cuda_of(d);
    const device_memory table[] = {word, position, type}, place[] = {ids, positions, types};
    struct norm p = norm_of(statistics, gamma, beta, epsilon, T, C);
    p.behind = cuda_dropout(dropout);
    BY_ACT(c, embed, c, y, sum, table, place, p);
}

/* The gradient of the sum, f32; and of gamma and beta. */
template <typename A>
static void sum_gradient(struct cuda *c, float *to, float *scratch, device_memory dgamma, device_memory dbeta, device_memory dy,
                         device_memory sum, device_memory statistics, device_memory gamma, const struct dropout *dropout,
                         size_t T, size_t C)
{
    float *const sums[] = {cuda_at<float>(dbeta), cuda_at<float>(dgamma)};
    const struct norm_gradient<A> from = gradient_of<A>(dy, sum, statistics, dropout, C);
    struct norm_outputs<A> outputs = {
    };
    outputs.exact = to;
    normalize_gradients(c, sums, outputs, from, cuda_at<float>(gamma), scratch, T);
}

static void embedding_backward(struct device *d, device_memory dword, device_memory dposition, device_memory dtype,
                               device_memory dgamma, device_memory dbeta, device_memory dy, device_memory sum,
                               device_memory statistics, device_memory slots, device_memory positions, device_memory types,
                               device_memory gamma, const struct dropout *dropout, size_t T, size_t C, size_t U, size_t P,
                               size_t type_count)
{
    struct cuda *c = cuda_of(d);
    float *g = (float *)cuda_scratch(c, (T * C + gradients_scratch(T, C)) * sizeof *g), *parts = g + T * C;
    if (!g)
        return; /* the device has said so */
    BY_ACT(c, sum_gradient, c, g, parts, dgamma, dbeta, dy, sum, statistics, gamma, dropout, T, C);
    table_gradient(c, cuda_at<float>(dword), g, cuda_at<int>(slots), parts, U, T, C);
    table_gradient(c, cuda_at<float>(dposition), g, cuda_at<int>(positions), parts, P, T, C);
    table_gradient(c, cuda_at<float>(dtype), g, cuda_at<int>(types), parts, type_count, T, C);
}

void cuda_normalize_operations(struct device_operations *to)
{
    to->embedding_forward = embedding_forward;
    to->embedding_backward = embedding_backward;
    to->normalize_forward = normalize_forward;
    to->normalize_backward = normalize_backward;
    to->residual_normalize_backward = residual_normalize_backward;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What runs over arenas: a thread eight neighbours. Compiled without contraction to fma: AdamW gives every device's bits. */
#include "worker/device/cuda/cuda_operations.h"

#include "worker/device/cuda/octet.cuh"

template <typename T, typename F>
DEVICE void convert(T *to, const F *from, size_t n)
{
    struct octet at;
    float x[8];
    if (!find_octet(&at, 1, n))
        return;
    load_octet(x, from, at.c, n);
    store_octet(to, at.c, n, x);
}

template <typename A>
KERNEL void rounded(A *to, const float *from, size_t n)
{
    convert(to, from, n);
}

template <typename A>
KERNEL void widened(float *to, const A *from, size_t n)
{
    convert(to, from, n);
}

KERNEL void added(float *y, const float *x, size_t n)
{
    struct octet at;
    float sum[8], v[8];
    if (!find_octet(&at, 1, n))
        return;
    load_octet(sum, y, at.c, n);
    load_octet(v, x, at.c, n);
    UNROLL for (int i = 0; i < 8; i++) sum[i] += v[i];
    store_octet(y, at.c, n, sum);
}

/* Arrays of a parameter: (n), or rows of C. */
struct arrays {
    float *p, *m, *v;
    const float *g;
};

/* In this order, as cpu_reference. */
DEVICE void adamw_octet(float p[8], float m[8], float v[8], const float gradient[8], float scale, const struct adamw &a)
{
    UNROLL for (int i = 0; i < 8; i++)
    {
        float g = gradient[i] * scale + 0.0f;
        p[i] *= 1 - a.learning_rate * a.decay;
        m[i] = a.beta1 * m[i] + (1 - a.beta1) * g;
        v[i] = a.beta2 * v[i] + (1 - a.beta2) * g * g;
        p[i] -= a.learning_rate / a.correction1 * (m[i] / (sqrtf(v[i]) / sqrtf(a.correction2) + a.epsilon));
    }
}

/* Elements c..c + 7 of p, m, v, which start at `from` of n; g is their gradient. */
DEVICE void adamw_store(const struct arrays &of, size_t from, size_t c, size_t n, float p[8], const float g[8], float scale,
                        const struct adamw &a)
{
    float m[8], v[8];
    load_octet(m, of.m + from, c, n);
    load_octet(v, of.v + from, c, n);
    adamw_octet(p, m, v, g, scale, a);
    store_octet(of.p + from, c, n, p);
    store_octet(of.m + from, c, n, m);
    store_octet(of.v + from, c, n, v);
}

template <typename A>
KERNEL void updated(struct arrays of, A *shadow, struct adamw a, const struct step_control *control, size_t n)
{
    struct octet at;
    float p[8], g[8];
    if (!find_octet(&at, 1, n) || control->bad)
        return;
    load_octet(p, of.p, at.c, n);
    load_octet(g, of.g, at.c, n);
    adamw_store(of, 0, at.c, n, p, g, control->scale, a);
    if (shadow)
        store_octet(shadow, at.c, n, p);
}

KERNEL void updated_rows(struct arrays of, const uint8_t *seen, const int *slot_of, struct adamw a,
                         const struct step_control *control, size_t V, size_t C)
{
    struct octet at;
    float p[8], g[8] = {0};
    if (!find_octet(&at, V, C) || control->bad)
        return;
    size_t from = at.vector * C;
    int slot = slot_of[at.vector];
    load_octet(p, of.p + from, at.c, C);
    if (slot >= 0)
        load_octet(g, of.g + (size_t)slot * C, at.c, C);
    if (slot >= 0 || seen[at.vector]) {
        adamw_store(of, from, at.c, C, p, g, control->scale, a);
        return;
    }
    UNROLL for (int i = 0; i < 8; i++) p[i] *= 1 - a.learning_rate * a.decay;
    store_octet(of.p + from, at.c, C, p);
}

/* After updated_rows, which many threads of a row read `seen` in. */
KERNEL void seen_marked(uint8_t *seen, const int *slot_of, const struct step_control *control, size_t V)
{
    size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < V && slot_of[i] >= 0 && !control->bad)
        seen[i] = 1;
}

enum { SQUARES_BLOCK = 16384 /* elements: parts do not follow from the GPU */ };

/* Adds up over a block of 256 threads, in one order; thread 0 gets it. */
DEVICE double block_sum(double x)
{
    SHARED(double, of_warps, 8);
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0)
        of_warps[threadIdx.x / 32] = x;
    barrier();
    double sum = 0;
    for (int w = 0; w < 8 && !threadIdx.x; w++)
        sum += of_warps[w];
    return sum;
}

KERNEL void squares(double *parts, const float *x, size_t n)
{
    size_t from = (size_t)blockIdx.x * SQUARES_BLOCK, to = from + SQUARES_BLOCK < n ? from + SQUARES_BLOCK : n;
    double sum = 0;
    float v[8];
    for (size_t c = from + threadIdx.x * 8; c < to; c += 256 * 8) {
        load_octet(v, x, c, n);
        UNROLL for (int i = 0; i < 8; i++) sum += (double)v[i] * v[i];
    }
    sum = block_sum(sum);
    if (!threadIdx.x)
        parts[blockIdx.x] = sum;
}

KERNEL void squares_total(double *to, const double *parts, size_t count)
{
    double sum = 0;
    for (size_t i = threadIdx.x; i < count; i += 256)
        sum += parts[i];
    sum = block_sum(sum);
    if (!threadIdx.x)
        *to = sum;
}

/* One block: a thread a sum, in the order of its losses. */
KERNEL void losses_summed(double *sums, float *bad, const float *losses, size_t n, size_t each)
{
    double infinite = 0;
    for (size_t i = threadIdx.x; i * each < n; i += 256) {
        double sum = 0;
        size_t end = (i + 1) * each < n ? (i + 1) * each : n;
        for (size_t k = i * each; k < end; k++) {
            float loss = losses[k];
            sum += (double)loss;
            infinite += loss - loss == 0 ? 0 : 1; /* NaN, of what is not finite */
        }
        sums[i] = sum;
    }
    infinite = block_sum(infinite);
    if (!threadIdx.x)
        *bad = infinite > 0 ? 1 : 0;
}

KERNEL void clipped(struct step_control *control, const double *sum, const float *bad, double divisor, double clip)
{
    if (threadIdx.x)
        return;
    double norm = sqrt(*sum) / divisor, coefficient = clip > 0 ? clip / (norm + 1e-6) : 1;
    control->norm = norm;
    control->scale = (float)((coefficient < 1 ? coefficient : 1) / divisor);
    if (!(norm - norm == 0) || *bad != 0)
        control->bad = 1;
}

template <typename A>
static void round_of(struct cuda *c, device_memory y, device_memory x, size_t n)
{
    LAUNCH_THREADS(c, rounded<A>, octets_of(1, n), cuda_at<A>(y), cuda_at<float>(x), n);
}

template <typename A>
static void widen_of(struct cuda *c, device_memory y, device_memory x, size_t n)
{
    LAUNCH_THREADS(c, widened<A>, octets_of(1, n), cuda_at<float>(y), cuda_at<A>(x), n);
}

template <typename A>
static void update(struct cuda *c, const struct arrays &of, device_memory shadow, const struct adamw &a, device_memory control,
                   size_t n)
{
    LAUNCH_THREADS(c, updated<A>, octets_of(1, n), of, cuda_at<A>(shadow), a, cuda_at<struct step_control>(control), n);
}

static void round_to_activation(struct device *d, device_memory y, device_memory x, size_t n)
{
    BY_ACT(cuda_of(d), round_of, cuda_of(d), y, x, n);
}

static void widen_activation(struct device *d, device_memory y, device_memory x, size_t n)
{
    BY_ACT(cuda_of(d), widen_of, cuda_of(d), y, x, n);
}

static void add(struct device *d, device_memory y, device_memory x, size_t n)
{
    LAUNCH_THREADS(cuda_of(d), added, octets_of(1, n), cuda_at<float>(y), cuda_at<float>(x), n);
}

static struct arrays arrays_of(device_memory p, device_memory g, device_memory m, device_memory v)
{
    return {cuda_at<float>(p), cuda_at<float>(m), cuda_at<float>(v), cuda_at<float>(g)};
}

static void adamw_flat(struct device *d, device_memory p, device_memory shadow, device_memory g, device_memory m, device_memory v,
                       const struct adamw *a, device_memory control, size_t n)
{
    BY_ACT(cuda_of(d), update, cuda_of(d), arrays_of(p, g, m, v), shadow, *a, control, n);
}

static void adamw_rows(struct device *d, device_memory p, device_memory g, device_memory m, device_memory v, device_memory seen,
                       device_memory slot_of, const struct adamw *a, device_memory control, size_t V, size_t C)
{
    struct cuda *c = cuda_of(d);
    LAUNCH_THREADS(c, updated_rows, octets_of(V, C), arrays_of(p, g, m, v), cuda_at<uint8_t>(seen), cuda_at<int>(slot_of), *a,
                   cuda_at<struct step_control>(control), V, C);
    LAUNCH_THREADS(c, seen_marked, V, cuda_at<uint8_t>(seen), cuda_at<int>(slot_of), cuda_at<struct step_control>(control), V);
}

static void sum_of_squares(struct device *d, device_memory sum, device_memory x, size_t n)
{
    struct cuda *c = cuda_of(d);
    size_t parts = (n + SQUARES_BLOCK - 1) / SQUARES_BLOCK;
    double *scratch = (double *)cuda_scratch(c, (parts + 1) * sizeof *scratch);
    if (!scratch)
        return; /* which sticks: nothing is launched any more */
    LAUNCH_BLOCKS(c, squares, parts, scratch, cuda_at<float>(x), n);
    LAUNCH_BLOCKS(c, squares_total, 1, cuda_at<double>(sum), scratch, parts);
}

static void loss_sums(struct device *d, device_memory sums, device_memory bad, device_memory losses, size_t n, size_t each)
{
    LAUNCH_BLOCKS(cuda_of(d), losses_summed, 1, cuda_at<double>(sums), cuda_at<float>(bad), cuda_at<float>(losses), n, each);
}

static void clip_norm(struct device *d, device_memory control, device_memory sum, device_memory bad, double divisor, double clip)
{
    LAUNCH_BLOCKS(cuda_of(d), clipped, 1, cuda_at<struct step_control>(control), cuda_at<double>(sum), cuda_at<float>(bad),
                  divisor, clip);
}

void cuda_optimizer_operations(struct device_operations *to)
{
    to->add = add;
    to->sum_of_squares = sum_of_squares;
    to->loss_sums = loss_sums;
    to->clip = clip_norm;
    to->adamw = adamw_flat;
    to->adamw_rows = adamw_rows;
    to->round_to_activation = round_to_activation;
    to->widen_activation = widen_activation;
}

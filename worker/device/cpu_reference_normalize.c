/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the reference device's LayerNorm, with what is fused to it: embeddings, residual, dropout. */
#include "worker/device/cpu_reference.h"
#include "worker/device/host.h"
#include "worker/device/host_memory.h"

#include <math.h>

/* Mean and 1 / standard deviation of vector n, as they are kept for backward. */
static void moments(const struct device *d, device_memory sum, size_t n, size_t C, float epsilon, float statistics[2])
{
    double mean = 0, variance = 0;
    for (size_t c = 0; c < C; c++)
        mean += act_get(d, sum, n * C + c);
    mean /= (double)C;
    for (size_t c = 0; c < C; c++)
        variance += (act_get(d, sum, n * C + c) - mean) * (act_get(d, sum, n * C + c) - mean);
    statistics[0] = (float)mean;
    statistics[1] = (float)(1 / sqrt(variance / (double)C + epsilon));
}

static double normalized(const struct device *d, device_memory sum, size_t i, const float statistics[2])
{
    return ((double)act_get(d, sum, i) - statistics[0]) * statistics[1];
}

static double affine(double normalized, device_memory gamma, device_memory beta, size_t c)
{
    return normalized * host_f32(gamma)[c] + (beta.address ? host_f32(beta)[c] : 0);
}

/* What token t adds to a sum from a table, which may be absent. */
static float table_at(device_memory table, device_memory places, size_t t, size_t c, size_t C)
{
    return table.address ? host_f32(table)[(size_t)host_i32(places)[t] * C + c] : 0;
}

void reference_embedding_forward(struct device *d, device_memory y, device_memory sum, device_memory statistics,
                                 device_memory ids, device_memory positions, device_memory types, device_memory word,
                                 device_memory position, device_memory type, device_memory gamma, device_memory beta,
                                 float epsilon, const struct dropout *dropout, size_t T, size_t C)
{
    for (size_t t = 0; t < T; t++) {
        const float *w = host_f32(word) + (size_t)host_i32(ids)[t] * C;
        float *s = host_f32(statistics) + 2 * t;
        for (size_t c = 0; c < C; c++)
            act_put(d, sum, t * C + c, w[c] + table_at(position, positions, t, c, C) + table_at(type, types, t, c, C));
        moments(d, sum, t, C, epsilon, s);
        for (size_t c = 0; c < C; c++) {
            double out = affine(normalized(d, sum, t * C + c, s), gamma, beta, c);
            act_put(d, y, t * C + c, (float)(out * dropout_factor(dropout, t, (uint32_t)c)));
        }
    }
}

/* dgamma, dbeta of all vectors; factor: of the gradient, by dropout behind the norm. */
static void affine_backward(const struct device *d, device_memory dgamma, device_memory dbeta, device_memory dy,
                            device_memory sum, device_memory statistics, const struct dropout *behind, size_t N, size_t C)
{
    for (size_t c = 0; c < C; c++) {
        double g = 0, b = 0;
        for (size_t n = 0; n < N; n++) {
            double out = act_get(d, dy, n * C + c) * dropout_factor(behind, n, (uint32_t)c);
            g += out * normalized(d, sum, n * C + c, host_f32(statistics) + 2 * n);
            b += out;
        }
        if (dgamma.address)
            host_f32(dgamma)[c] = (float)g;
        if (dbeta.address)
            host_f32(dbeta)[c] = (float)b;
    }
}

/* Gradient of the sum: (1/std) (g - mean(g) - xhat mean(g xhat)), g = dy gamma. */
struct sum_gradient {
    double mean, mean_with_normalized;
};

static struct sum_gradient sum_gradient(const struct device *d, device_memory dy, device_memory sum, const float statistics[2],
                                        device_memory gamma, const struct dropout *behind, size_t n, size_t C)
{
    struct sum_gradient ret = {0};
    for (size_t c = 0; c < C; c++) {
        double g = (double)act_get(d, dy, n * C + c) * dropout_factor(behind, n, (uint32_t)c) * host_f32(gamma)[c];
        ret.mean += g / (double)C;
        ret.mean_with_normalized += g * normalized(d, sum, n * C + c, statistics) / (double)C;
    }
    return ret;
}

static double sum_gradient_at(struct sum_gradient s, const struct device *d, device_memory dy, device_memory sum,
                              const float statistics[2], device_memory gamma, const struct dropout *behind, size_t n, size_t c,
                              size_t C)
{
    double g = (double)act_get(d, dy, n * C + c) * dropout_factor(behind, n, (uint32_t)c) * host_f32(gamma)[c];
    return statistics[1] * (g - s.mean - normalized(d, sum, n * C + c, statistics) * s.mean_with_normalized);
}

void reference_embedding_backward(struct device *d, device_memory dword, device_memory dposition, device_memory dtype,
                                  device_memory dgamma, device_memory dbeta, device_memory dy, device_memory sum,
                                  device_memory statistics, device_memory slots, device_memory positions, device_memory types,
                                  device_memory gamma, const struct dropout *dropout, size_t T, size_t C, size_t U, size_t P,
                                  size_t type_count)
{
    affine_backward(d, dgamma, dbeta, dy, sum, statistics, dropout, T, C);
    host_zero(d, dword, U * C * sizeof(float));
    if (dposition.address)
        host_zero(d, dposition, P * C * sizeof(float));
    if (dtype.address)
        host_zero(d, dtype, type_count * C * sizeof(float));
    for (size_t t = 0; t < T; t++) {
        const float *s = host_f32(statistics) + 2 * t;
        struct sum_gradient of = sum_gradient(d, dy, sum, s, gamma, dropout, t, C);
        for (size_t c = 0; c < C; c++) {
            float g = (float)sum_gradient_at(of, d, dy, sum, s, gamma, dropout, t, c, C);
            host_f32(dword)[(size_t)host_i32(slots)[t] * C + c] += g;
            if (dposition.address)
                host_f32(dposition)[(size_t)host_i32(positions)[t] * C + c] += g;
            if (dtype.address)
                host_f32(dtype)[(size_t)host_i32(types)[t] * C + c] += g;
        }
    }
}

void reference_normalize_forward(struct device *d, device_memory y, device_memory sum, device_memory statistics, device_memory x,
                                 device_memory z, device_memory gamma, device_memory beta, float epsilon,
                                 const struct dropout *dropout, size_t N, size_t C)
{
    for (size_t n = 0; n < N; n++) {
        float *s = host_f32(statistics) + 2 * n;
        for (size_t i = n * C; i < (n + 1) * C; i++)
            act_put(d, sum, i,
                    act_get(d, x, i) + (z.address ? act_get(d, z, i) * dropout_factor(dropout, n, (uint32_t)(i - n * C)) : 0));
        moments(d, sum, n, C, epsilon, s);
        for (size_t c = 0; c < C; c++)
            act_put(d, y, n * C + c, (float)affine(normalized(d, sum, n * C + c, s), gamma, beta, c));
    }
}

void reference_normalize_backward(struct device *d, device_memory dx, device_memory dz, device_memory dgamma, device_memory dbeta,
                                  device_memory dy, device_memory sum, device_memory statistics, device_memory gamma,
                                  const struct dropout *dropout, size_t N, size_t C)
{
    affine_backward(d, dgamma, dbeta, dy, sum, statistics, NULL, N, C);
    for (size_t n = 0; n < N; n++) {
        const float *s = host_f32(statistics) + 2 * n;
        struct sum_gradient of = sum_gradient(d, dy, sum, s, gamma, NULL, n, C);
        for (size_t c = 0; c < C; c++) { /* dx may be dy: each element is read before it is written */
            float g = (float)sum_gradient_at(of, d, dy, sum, s, gamma, NULL, n, c, C);
            act_put(d, dx, n * C + c, g);
            if (dz.address)
                act_put(d, dz, n * C + c, g * dropout_factor(dropout, n, (uint32_t)c));
        }
    }
}

void reference_residual_normalize_backward(struct device *d, device_memory dx, device_memory dz, device_memory dgamma,
                                           device_memory dbeta, device_memory dy, device_memory sum, device_memory statistics,
                                           device_memory gamma, const struct dropout *dropout, size_t N, size_t C)
{
    affine_backward(d, dgamma, dbeta, dy, sum, statistics, NULL, N, C);
    for (size_t n = 0; n < N; n++) {
        const float *s = host_f32(statistics) + 2 * n;
        struct sum_gradient of = sum_gradient(d, dy, sum, s, gamma, NULL, n, C);
        for (size_t c = 0; c < C; c++) {
            float g = act_get(d, dx, n * C + c) + (float)sum_gradient_at(of, d, dy, sum, s, gamma, NULL, n, c, C);
            act_put(d, dx, n * C + c, g);
            if (dz.address)
                act_put(d, dz, n * C + c, g * dropout_factor(dropout, n, (uint32_t)c));
        }
    }
}

void reference_dropout_apply(struct device *d, device_memory y, device_memory x, const struct dropout *dropout, int add,
                             size_t N, size_t C)
{
    for (size_t i = 0; i < N * C; i++) {
        float kept = act_get(d, x, i) * dropout_factor(dropout, i / C, (uint32_t)(i % C));
        act_put(d, y, i, add ? act_get(d, y, i) + kept : kept);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns what happens to a linear map's product on its way to memory, and activations backward. */
#include "worker/device/kernels/gelu_table.h"
#include "worker/device/kernels/names.h"
#include "worker/device/kernels/vector.h"

#include <math.h>

#define LOG2E 1.44269504088896341f

INLINE vector identity(vector x)
{
    return x;
}

INLINE vector one(vector x)
{
    (void)x;
    return splat(1);
}

#if LANES == 16
/* g(x) of gelu_table.h. */
INLINE vector piecewise(const struct gelu_table *p, vector x)
{
    vector a = minimum(splat(GELU_SEGMENTS - 0.001f),
                       magnitude(x) * splat(GELU_SEGMENTS / GELU_END)); /* in this order a NaN stays one */
    vector t = a - _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC), sum = splat(0);
    __m512i segment = _mm512_cvttps_epi32(a);
#pragma GCC unroll 5
    for (int i = GELU_TERMS - 1; i >= 0; i--) {
        vector term = _mm512_permutex2var_ps(load(p->terms[i]), segment, load(p->terms[i] + 16));
        sum = i == GELU_TERMS - 1 ? term : multiply_add(sum, t, term);
    }
    return where_not_negative(x, splat(1) - sum, sum);
}

INLINE vector gelu(vector x)
{
    return x * piecewise(&gelu_tables[0][GELU_GATE], x);
}

INLINE vector gelu_slope(vector x)
{
    return piecewise(&gelu_tables[0][GELU_SLOPE], x);
}

INLINE vector gelu_new(vector x)
{
    return x * piecewise(&gelu_tables[1][GELU_GATE], x);
}

INLINE vector gelu_new_slope(vector x)
{
    return piecewise(&gelu_tables[1][GELU_SLOPE], x);
}
#else
/* Phi(x), the normal distribution's, and with it e^(-x^2 / 2). Abramowitz and Stegun, 7.1.26: absolute error below 1e-7. */
struct normal {
    vector cumulative, exponential;
};

INLINE struct normal normal(vector x)
{
    vector z = minimum(magnitude(x) * splat(0.70710678118654752f), splat(12));
    vector e = exp2_of(z * z * splat(-LOG2E)), t = splat(1) / multiply_add(z, splat(0.3275911f), splat(1));
    vector p = multiply_add(splat(0.5f * 1.061405429f), t, splat(0.5f * -1.453152027f));
    p = multiply_add(p, t, splat(0.5f * 1.421413741f));
    p = multiply_add(p, t, splat(0.5f * -0.284496736f));
    p = multiply_add(p, t, splat(0.5f * 0.254829592f));
    vector tail = p * t * e;
    return (struct normal){where_not_negative(x, splat(1) - tail, tail), e};
}

INLINE vector gelu(vector x)
{
    return x * normal(x).cumulative;
}

INLINE vector gelu_slope(vector x)
{
    struct normal n = normal(x);
    return multiply_add(x * splat(0.39894228040143268f), n.exponential, n.cumulative);
}

/* x / (1 + e^(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3); the exponent bounded where 2^x is 0 anyway. */
INLINE vector gelu_new_gate(vector x)
{
    vector u = x * multiply_add(x * x, splat(0.044715f * 0.79788456080286536f), splat(0.79788456080286536f));
    return splat(1) / (splat(1) + exp2_of(minimum(u * splat(-2 * LOG2E), splat(126))));
}

INLINE vector gelu_new(vector x)
{
    return x * gelu_new_gate(x);
}

INLINE vector gelu_new_slope(vector x)
{
    vector gate = gelu_new_gate(x);
    vector u =
        multiply_add(minimum(x * x, splat(1e6f)), splat(3 * 0.044715f * 0.79788456080286536f), splat(0.79788456080286536f));
    return multiply_add(x * splat(2) * u, gate * (splat(1) - gate), gate);
}
#endif

INLINE vector relu(vector x)
{
    return maximum(splat(0), x); /* in this order a NaN stays one */
}

INLINE vector relu_slope(vector x)
{
    return (vector)((vector_int)splat(1) & (x > splat(0)));
}

INLINE vector hyperbolic(vector x) /* of pooled vectors only: few, and exact near 0 */
{
    float each[LANES];
    store(each, x);
    for (int i = 0; i < LANES; i++)
        each[i] = tanhf(each[i]);
    return load(each);
}

INLINE vector hyperbolic_slope(vector y)
{
    return splat(1) - y * y;
}

INLINE void epilogue_part(const struct epilogue *e, size_t row, size_t c, size_t n, vector (*activation)(vector))
{
    size_t at = row * e->stride + c;
    vector v = load_most(e->product + row * e->product_stride + c, n);
    v = act_round(e->bias ? v + load_most(e->bias + c, n) : v);
    if (e->pre)
        act_store_most((act *)e->pre + at, v, n);
    if (e->y != e->pre)
        act_store_most((act *)e->y + at, activation(v), n);
}

INLINE void epilogue(const struct epilogue *e, vector (*activation)(vector))
{
    for (size_t row = 0; row < e->rows; row++) {
        size_t c = 0;
        for (; c + LANES <= e->columns; c += LANES)
            epilogue_part(e, row, c, LANES, activation);
        if (c < e->columns)
            epilogue_part(e, row, c, e->columns - c, activation);
    }
}

struct slope {
    act *dpre, *y;
    const act *dy, *pre;
    size_t n;
};

INLINE void slope_part(const struct slope *p, size_t i, size_t n, vector (*activation)(vector), vector (*derivative)(vector))
{
    vector x = act_load_most(p->pre + i, n);
    if (p->dpre)
        act_store_most(p->dpre + i, act_load_most(p->dy + i, n) * derivative(x), n);
    if (p->y)
        act_store_most(p->y + i, activation(x), n);
}

INLINE void slope(struct slope p, vector (*activation)(vector), vector (*derivative)(vector))
{
    size_t i = 0;
    for (; i + LANES <= p.n; i += LANES)
        slope_part(&p, i, LANES, activation, derivative);
    if (i < p.n)
        slope_part(&p, i, p.n - i, activation, derivative);
}

/* One token's activated half and gate. */
INLINE void gated(act *y, const act *pre, size_t F, vector (*activation)(vector))
{
    for (size_t i = 0; i < F; i += LANES)
        act_store_most(y + i, activation(act_load_most(pre + i, F - i)) * act_load_most(pre + F + i, F - i), F - i);
}

INLINE void gated_slope(struct slope p, vector (*activation)(vector), vector (*derivative)(vector))
{
    for (size_t i = 0; i < p.n; i += LANES) {
        size_t n = p.n - i;
        vector x = act_load_most(p.pre + i, n), by = act_load_most(p.pre + p.n + i, n), out = activation(x);
        if (p.y)
            act_store_most(p.y + i, out * by, n);
        if (p.dpre) {
            vector d = act_load_most(p.dy + i, n);
            act_store_most(p.dpre + i, d * by * derivative(x), n);
            act_store_most(p.dpre + p.n + i, d * out, n);
        }
    }
}

#define ACTIVATION(name, forward, again, derivative)                                                                             \
    static void name##_epilogue(const struct epilogue *e)                                                                        \
    {                                                                                                                            \
        epilogue(e, forward);                                                                                                    \
    }                                                                                                                            \
    static void name##_backward(struct slope p)                                                                                  \
    {                                                                                                                            \
        slope(p, again, derivative);                                                                                             \
    }                                                                                                                            \
    static void name##_gated(act *y, const act *pre, size_t F)                                                                   \
    {                                                                                                                            \
        gated(y, pre, F, forward);                                                                                               \
    }                                                                                                                            \
    static void name##_gated_backward(struct slope p)                                                                            \
    {                                                                                                                            \
        gated_slope(p, forward, derivative);                                                                                     \
    }

ACTIVATION(none, identity, identity, one)
ACTIVATION(gelu, gelu, gelu, gelu_slope)
ACTIVATION(gelu_new, gelu_new, gelu_new, gelu_new_slope)
ACTIVATION(relu, relu, relu, relu_slope)
ACTIVATION(tanh, hyperbolic, identity, hyperbolic_slope) /* its backward is given the output */

static const struct {
    void (*epilogue)(const struct epilogue *e);
    void (*backward)(struct slope p);
    void (*gate)(act *y, const act *pre, size_t F);
    void (*gate_backward)(struct slope p);
} activations[] = {
    [ACTIVATION_NONE] = {none_epilogue, none_backward, none_gated, none_gated_backward},
    [ACTIVATION_GELU] = {gelu_epilogue, gelu_backward, gelu_gated, gelu_gated_backward},
    [ACTIVATION_GELU_NEW] = {gelu_new_epilogue, gelu_new_backward, gelu_new_gated, gelu_new_gated_backward},
    [ACTIVATION_RELU] = {relu_epilogue, relu_backward, relu_gated, relu_gated_backward},
    [ACTIVATION_TANH] = {tanh_epilogue, tanh_backward, tanh_gated, tanh_gated_backward},
};

void KERNEL(bias_activation)(const struct epilogue *e)
{
    activations[e->activation].epilogue(e);
}

void KERNEL(activation_backward)(void *dpre, void *y, const void *dy, const void *pre, enum activation activation, size_t n)
{
    activations[activation].backward((struct slope){dpre, y, dy, pre, n});
}

void KERNEL(gated_forward)(void *y, const void *pre, enum activation activation, size_t n, size_t F)
{
    for (size_t i = 0; i < n; i++)
        activations[activation].gate((act *)y + i * F, (const act *)pre + i * 2 * F, F);
}

void KERNEL(gated_backward)(void *dpre, void *y, const void *dy, const void *pre, enum activation activation, size_t n, size_t F)
{
    for (size_t i = 0; i < n; i++)
        activations[activation].gate_backward((struct slope){dpre ? (act *)dpre + i * 2 * F : NULL, y ? (act *)y + i * F : NULL,
                                                             dy ? (const act *)dy + i * F : NULL, (const act *)pre + i * 2 * F,
                                                             F});
}

void KERNEL(store_product)(void *y, const float *product, int add, size_t n)
{
    act *to = y;
    for (size_t i = 0; i < n; i += LANES) {
        vector v = load_most(product + i, n - i);
        act_store_most(to + i, add ? v + act_load_most(to + i, n - i) : v, n - i);
    }
}

void KERNEL(store_scaled)(void *y, const void *x, float scale, int add, size_t n)
{
    act *to = y;
    for (size_t i = 0; i < n; i += LANES) {
        vector v = splat(scale) * act_load_most((const act *)x + i, n - i);
        act_store_most(to + i, add ? v + act_load_most(to + i, n - i) : v, n - i);
    }
}

void KERNEL(widen)(float *y, const void *x, size_t n)
{
    for (size_t i = 0; i < n; i += LANES)
        store_most(y + i, act_load_most((const act *)x + i, n - i), n - i);
}

void KERNEL(round)(void *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += LANES)
        act_store_most((act *)y + i, load_most(x + i, n - i), n - i);
}

INLINE vector row_part(const act *x, size_t row, size_t columns, size_t c, size_t n)
{
    return act_load_most(x + row * columns + c, n);
}

/* Four rows at a time, for fewer passes over the sums. */
void KERNEL(column_sums)(float *sums, const void *x, size_t rows, size_t columns, size_t from, size_t to)
{
    size_t row = 0;
    memset(sums + from, 0, (to - from) * sizeof *sums);
    for (; row + 4 <= rows; row += 4)
        for (size_t c = from; c < to; c += LANES) {
            size_t n = to - c;
            vector low = row_part(x, row, columns, c, n) + row_part(x, row + 1, columns, c, n);
            vector high = row_part(x, row + 2, columns, c, n) + row_part(x, row + 3, columns, c, n);
            store_most(sums + c, load_most(sums + c, n) + (low + high), n);
        }
    for (; row < rows; row++)
        for (size_t c = from; c < to; c += LANES)
            store_most(sums + c, load_most(sums + c, to - c) + row_part(x, row, columns, c, to - c), to - c);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the tables of gelu: interpolation at Chebyshev's nodes, error below 2e-8. */
#include "worker/device/kernels/gelu_table.h"

#include <math.h>
#include <pthread.h>

struct gelu_table gelu_tables[2][GELU_FUNCTIONS];

static double normal(double x)
{
    return 0.5 * erfc(-x / M_SQRT2);
}

static double gelu_slope(double x)
{
    return normal(x) + x * exp(-0.5 * x * x) / sqrt(2 * M_PI);
}

static double tanh_gate(double x)
{
    return 1 / (1 + exp(-2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

static double gelu_new_slope(double x)
{
    double g = tanh_gate(x);
    return g + 2 * x * g * (1 - g) * sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
}

static double (*const functions[2][GELU_FUNCTIONS])(double x) = {{normal, gelu_slope}, {tanh_gate, gelu_new_slope}};

/* The polynomial through f at the nodes of segment k: divided differences, multiplied out. */
static void fit_segment(struct gelu_table *p, double (*f)(double x), int k)
{
    double nodes[GELU_TERMS], values[GELU_TERMS], terms[GELU_TERMS] = {0};
    for (int i = 0; i < GELU_TERMS; i++) {
        nodes[i] = 0.5 - 0.5 * cos(M_PI * (2 * i + 1) / (2 * GELU_TERMS));
        values[i] = f(-(k + nodes[i]) * (double)GELU_END / GELU_SEGMENTS);
    }
    for (int level = 1; level < GELU_TERMS; level++)
        for (int i = GELU_TERMS - 1; i >= level; i--)
            values[i] = (values[i] - values[i - 1]) / (nodes[i] - nodes[i - level]);
    for (int i = GELU_TERMS - 1; i >= 0; i--) {
        for (int j = GELU_TERMS - 1; j > 0; j--)
            terms[j] = terms[j - 1] - nodes[i] * terms[j];
        terms[0] = values[i] - nodes[i] * terms[0];
    }
    for (int i = 0; i < GELU_TERMS; i++)
        p->terms[i][k] = (float)terms[i];
}

static void fill(void)
{
    for (int of = 0; of < 2; of++)
        for (int kind = 0; kind < GELU_FUNCTIONS; kind++)
            for (int k = 0; k < GELU_SEGMENTS; k++)
                fit_segment(&gelu_tables[of][kind], functions[of][kind], k);
}

void gelu_tables_prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill);
}

/* Owns the tables of gelu's pieces: interpolation at Chebyshev's nodes, error below 2e-8. */
#include "worker/device/kernels/pieces.h"

#include <math.h>
#include <pthread.h>

struct pieces pieces[2][PIECES_KINDS];

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

static double (*const functions[2][PIECES_KINDS])(double x) = {{normal, gelu_slope}, {tanh_gate, gelu_new_slope}};

/* The polynomial through f at the nodes of piece k: divided differences, multiplied out. */
static void piece_fit(struct pieces *p, double (*f)(double x), int k)
{
    double nodes[PIECE_TERMS], values[PIECE_TERMS], terms[PIECE_TERMS] = {0};
    for (int i = 0; i < PIECE_TERMS; i++) {
        nodes[i] = 0.5 - 0.5 * cos(M_PI * (2 * i + 1) / (2 * PIECE_TERMS));
        values[i] = f(-(k + nodes[i]) * (double)PIECES_END / PIECES);
    }
    for (int level = 1; level < PIECE_TERMS; level++)
        for (int i = PIECE_TERMS - 1; i >= level; i--)
            values[i] = (values[i] - values[i - 1]) / (nodes[i] - nodes[i - level]);
    for (int i = PIECE_TERMS - 1; i >= 0; i--) {
        for (int j = PIECE_TERMS - 1; j > 0; j--)
            terms[j] = terms[j - 1] - nodes[i] * terms[j];
        terms[0] = values[i] - nodes[i] * terms[0];
    }
    for (int i = 0; i < PIECE_TERMS; i++)
        p->terms[i][k] = (float)terms[i];
}

static void fill(void)
{
    for (int of = 0; of < 2; of++)
        for (int kind = 0; kind < PIECES_KINDS; kind++)
            for (int k = 0; k < PIECES; k++)
                piece_fit(&pieces[of][kind], functions[of][kind], k);
}

void pieces_prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, fill);
}

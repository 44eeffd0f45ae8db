/* SPDX-License-Identifier: Apache-2.0 */
#include "common/score/calibration.h"

#include "common/base/memory.h"
#include "common/score/labels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int temperature_check(double temperature, const char *what, struct error *e)
{
    if (temperature >= 1e-6 && temperature <= 1e6) /* no float logit divided by it overflows */
        return 0;
    return error_set(e, ERROR_USAGE, "%s: a temperature divides the logits and must be above 0, from 1e-6 to 1e6, found %g", what,
                     temperature);
}

static int check(struct validation_outputs v, struct error *e)
{
    if (v.rows == 0)
        return error_set(e, ERROR_DATA, "the validation part is empty: no temperature can be fitted");
    for (size_t i = 0; i < v.rows * v.labels; i++)
        if (!isfinite(v.logits[i]))
            return error_set(e, ERROR_DATA, "validation row %zu (counted from 0): a logit is not a number; the model diverged",
                             i / v.labels);
    return 0;
}

/* Loss of a row and its first two derivatives by b = 1 / T. */
struct slope {
    double loss, first, second;
};

static void add_class(struct slope *s, const float *x, size_t labels, int32_t class, double b)
{
    double highest = x[0] * b, sum = 0, mean = 0, square = 0;
    for (size_t l = 1; l < labels; l++)
        highest = fmax(highest, x[l] * b);
    for (size_t l = 0; l < labels; l++) {
        double p = exp(x[l] * b - highest);
        sum += p;
        mean += p * x[l];
        square += p * x[l] * x[l];
    }
    mean /= sum;
    s->loss += log(sum) + highest - x[class] * b;
    s->first += mean - x[class];
    s->second += square / sum - mean * mean;
}

static void add_labels(struct slope *s, const float *x, size_t labels, const uint8_t *targets, double b)
{
    for (size_t l = 0; l < labels; l++) {
        double z = x[l] * b, against = targets[l] ? -z : z, p = sigmoid(z);
        s->loss += log1p(exp(-fabs(z))) + (against > 0 ? against : 0);
        s->first += x[l] * (p - targets[l]);
        s->second += x[l] * x[l] * p * (1 - p);
    }
}

static struct slope slope_at(struct validation_outputs v, double b)
{
    struct slope s = {0};
    for (size_t i = 0; i < v.rows; i++) {
        if (v.targets)
            add_labels(&s, v.logits + i * v.labels, v.labels, v.targets + i * v.labels, b);
        else
            add_class(&s, v.logits + i * v.labels, v.labels, v.class[i], b);
    }
    return s;
}

static double cases(struct validation_outputs v)
{
    return (double)v.rows * (v.targets ? (double)v.labels : 1);
}

bool outputs_have_no_error(struct validation_outputs v)
{
    for (size_t i = 0; i < v.rows; i++) {
        const float *x = v.logits + i * v.labels;
        if (v.class && highest_logit(x, v.labels) != (size_t)v.class[i])
            return false;
        for (size_t l = 0; v.targets && l < v.labels; l++)
            if ((x[l] >= 0) != (v.targets[i * v.labels + l] != 0))
                return false;
    }
    return true;
}

/* Static words for a minimum that the rows do not support; NULL: they do. The NLL is convex: it falls on beyond a bound, or not.
 */
static const char *unsupported(struct validation_outputs v, bool lower)
{
    if (outputs_have_no_error(v))
        return "validation has no error to fit it to";
    if (!lower)
        return "no other lowers the validation NLL";
    if (slope_at(v, 1 / TEMPERATURE_LEAST).first <= 0)
        return "the fit ran to its lower bound 0.05";
    if (slope_at(v, 1 / TEMPERATURE_MOST).first >= 0)
        return "the fit ran to its upper bound 20";
    return NULL;
}

int temperature_fit(struct temperature_fit *ret, struct validation_outputs v, struct error *e)
{
    if (check(v, e) != 0)
        return -1;
    double low = 1 / TEMPERATURE_MOST, high = 1 / TEMPERATURE_LEAST, b = 1, before = slope_at(v, 1).loss / cases(v);
    for (int turn = 0; turn < 60 && high - low > 1e-12 * b; turn++) {
        struct slope s = slope_at(v, b);
        if (s.first > 0)
            high = b;
        else
            low = b;
        double next = s.second > 0 ? b - s.first / s.second : 0;
        if (!(next > low && next < high))
            next = (low + high) / 2;
        if (fabs(next - b) <= 1e-13 * b)
            break;
        b = next;
    }
    struct temperature_fit f = {.temperature = 1 / b, .nll_before = before, .nll_after = slope_at(v, b).loss / cases(v)};
    f.why = unsupported(v, f.nll_after < before);
    f.improved = !f.why;
    if (f.why)
        f = (struct temperature_fit){.temperature = 1, .nll_before = before, .nll_after = before, .why = f.why};
    *ret = f;
    return 0;
}

double temperature_nll(struct validation_outputs v, const double *temperatures)
{
    if (v.targets)
        return label_cross_entropy(v.logits, v.targets, v.rows, v.labels, temperatures);
    double loss = 0;
    for (size_t i = 0; i < v.rows; i++) {
        double p;
        probabilities_of_class(&p, v.logits + i * v.labels, 1, v.labels, (size_t)v.class[i], temperatures);
        loss -= log(fmax(p, 1e-300));
    }
    return v.rows ? loss / (double)v.rows : 0;
}

static void add_case(struct reliability *r, double p, bool right)
{
    int b = (int)(p * RELIABILITY_BINS);
    b = b < RELIABILITY_BINS ? b : RELIABILITY_BINS - 1;
    r->bin[b].count++;
    r->bin[b].confidence += p;
    r->bin[b].accuracy += right;
}

static void measure_class(struct reliability *r, const float *x, size_t labels, int32_t class, size_t positive,
                          const double *temperatures, double *p)
{
    size_t top = highest_scaled(x, labels, temperatures);
    softmax(p, x, labels, temperatures);
    if (labels == 2) {
        bool right = (size_t) class == positive;
        add_case(r, p[positive], right);
        r->brier += (p[positive] - right) * (p[positive] - right);
        return;
    }
    add_case(r, p[top], (size_t) class == top);
    for (size_t l = 0; l < labels; l++)
        r->brier += (p[l] - ((size_t) class == l)) * (p[l] - ((size_t) class == l));
}

static void finish_bins(struct reliability *r, double all)
{
    for (int b = 0; b < RELIABILITY_BINS; b++) {
        if (r->bin[b].count == 0)
            continue;
        double count = (double)r->bin[b].count;
        r->bin[b].confidence /= count;
        r->bin[b].accuracy /= count;
        r->ece += count / all * fabs(r->bin[b].confidence - r->bin[b].accuracy);
    }
}

int calibration_measure(struct reliability *ret, struct validation_outputs v, size_t positive, const double *temperatures,
                        struct error *e)
{
    for (size_t l = 0; temperatures && l < v.labels; l++)
        if (temperature_check(temperatures[l], "calibration", e) != 0)
            return -1;
    if (check(v, e) != 0)
        return -1;
    struct reliability r = {0};
    double *p = allocate(v.labels, sizeof *p);
    for (size_t i = 0; i < v.rows; i++) {
        const float *x = v.logits + i * v.labels;
        if (v.class)
            measure_class(&r, x, v.labels, v.class[i], positive, temperatures, p);
        for (size_t l = 0; v.targets && l < v.labels; l++) {
            bool there = v.targets[i * v.labels + l];
            double q = sigmoid(temperatures ? x[l] / temperatures[l] : x[l]);
            add_case(&r, q, there);
            r.brier += (q - there) * (q - there);
        }
    }
    free(p);
    finish_bins(&r, cases(v));
    r.brier /= cases(v);
    r.nll = temperature_nll(v, temperatures);
    *ret = r;
    return 0;
}

/* ---- the grid: of each point the cases that reach it, [0] without the label and [1] with it ---- */

#define THRESHOLDS 9
struct reached {
    uint64_t cases[TEMPERATURE_GRID][2], positives;
};

static struct temperature_point grid_point(int k)
{
    return (struct temperature_point){.temperature = 1 + k / THRESHOLDS, .threshold = (2 + k % THRESHOLDS) / 10.0};
}

/* Floats in rising order, from -FLT_MAX at -FLOAT_RANKS to FLT_MAX at FLOAT_RANKS. */
#define FLOAT_RANKS 0x7f7fffff
static float float_of_rank(int64_t rank)
{
    uint32_t bits = rank < 0 ? 0x80000000u | (uint32_t)-rank : (uint32_t)rank;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

struct cutoff {
    float logit; /* the lowest that reaches the point */
    int point;
};

static struct cutoff cutoff_of(int k)
{
    struct temperature_point point = grid_point(k);
    int64_t low = -FLOAT_RANKS, high = FLOAT_RANKS; /* reaches any point: its sigmoid is 1 */
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (sigmoid(float_of_rank(middle) / point.temperature) >= point.threshold)
            high = middle;
        else
            low = middle + 1;
    }
    return (struct cutoff){float_of_rank(low), k};
}

static int by_logit(const void *a, const void *b)
{
    float x = ((const struct cutoff *)a)->logit, y = ((const struct cutoff *)b)->logit;
    return (x > y) - (x < y);
}

/* Of many labels a row, where a case has one logit: one look at each case serves all points. */
static void reach_labels(struct reached *r, struct validation_outputs v)
{
    struct cutoff cutoffs[TEMPERATURE_GRID];
    uint64_t bins[TEMPERATURE_GRID + 1][2] = {{0}}; /* by the number of cutoffs that are reached */
    for (int k = 0; k < TEMPERATURE_GRID; k++)
        cutoffs[k] = cutoff_of(k);
    qsort(cutoffs, TEMPERATURE_GRID, sizeof cutoffs[0], by_logit);
    for (size_t i = 0; i < v.rows * v.labels; i++) {
        int low = 0, high = TEMPERATURE_GRID;
        while (low < high) {
            int middle = (low + high) / 2;
            if (v.logits[i] >= cutoffs[middle].logit)
                low = middle + 1;
            else
                high = middle;
        }
        bins[low][v.targets[i] != 0]++;
        r->positives += v.targets[i] != 0;
    }
    for (int k = TEMPERATURE_GRID - 1; k >= 0; k--)
        for (int truth = 0; truth < 2; truth++) {
            bins[k][truth] += bins[k + 1][truth];
            r->cases[cutoffs[k].point][truth] = bins[k + 1][truth];
        }
}

static void reach_class(struct reached *r, struct validation_outputs v, size_t positive)
{
    double *p = allocate(v.rows, sizeof *p);
    for (int k = 0; k < TEMPERATURE_GRID; k++) {
        struct temperature_point point = grid_point(k);
        if (k % THRESHOLDS == 0)
            probabilities_of_class(p, v.logits, v.rows, v.labels, positive,
                                   (const double[]){point.temperature, point.temperature});
        for (size_t i = 0; i < v.rows; i++)
            r->cases[k][(size_t)v.class[i] == positive] += p[i] >= point.threshold;
    }
    for (size_t i = 0; i < v.rows; i++)
        r->positives += (size_t)v.class[i] == positive;
    free(p);
}

int temperature_grid(struct temperature_point points[TEMPERATURE_GRID], int *best, struct validation_outputs v, size_t positive,
                     struct error *e)
{
    if (check(v, e) != 0)
        return -1;
    if (v.class && v.labels != 2)
        return error_set(e, ERROR_USAGE, "thresholds are for two classes or multi-label models; found %zu classes", v.labels);
    struct reached r = {.positives = 0};
    int highest = 0;
    if (v.targets)
        reach_labels(&r, v);
    else
        reach_class(&r, v, positive);
    for (int k = 0; k < TEMPERATURE_GRID; k++) {
        struct binary_metrics m = {
            .true_positive = r.cases[k][1], .false_positive = r.cases[k][0], .false_negative = r.positives - r.cases[k][1]};
        binary_metrics_of_counts(&m);
        points[k] = grid_point(k);
        points[k].f1 = m.f1;
        highest = m.f1 > points[highest].f1 ? k : highest;
    }
    *best = highest;
    return 0;
}

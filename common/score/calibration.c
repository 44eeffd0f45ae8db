/* Owns the temperature and the measures of calibration. */
#include "common/score/calibration.h"

#include "common/base/memory.h"
#include "common/score/labels.h"

#include <math.h>
#include <stdlib.h>

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
        return error_set(e, ERROR_DATA, "the validation part is empty: no temperature can be found");
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
    f.improved = f.nll_after < before;
    if (!f.improved)
        f = (struct temperature_fit){.temperature = 1, .nll_before = before, .nll_after = before};
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

static double f1_at(const double *p, const uint8_t *truth, size_t count, double threshold)
{
    struct binary_metrics m = {0};
    for (size_t i = 0; i < count; i++) {
        m.true_positive += p[i] >= threshold && truth[i];
        m.false_positive += p[i] >= threshold && !truth[i];
        m.false_negative += p[i] < threshold && truth[i];
    }
    binary_metrics_of_counts(&m);
    return m.f1;
}

int temperature_grid(struct temperature_point points[TEMPERATURE_GRID], int *best, struct validation_outputs v, size_t positive,
                     struct error *e)
{
    if (check(v, e) != 0)
        return -1;
    if (v.class && v.labels != 2)
        return error_set(e, ERROR_USAGE, "thresholds are of two classes or of many labels a row; here are %zu classes", v.labels);
    size_t count = v.targets ? v.rows * v.labels : v.rows;
    double *p = allocate(count, sizeof *p);
    uint8_t *truth = allocate(count, 1);
    int highest = 0;
    for (size_t i = 0; i < count; i++)
        truth[i] = v.targets ? v.targets[i] : (size_t)v.class[i] == positive;
    for (int k = 0; k < TEMPERATURE_GRID; k++) {
        struct temperature_point point = {.temperature = 1 + k / 9, .threshold = (2 + k % 9) / 10.0};
        for (size_t i = 0; k % 9 == 0 && v.targets && i < count; i++)
            p[i] = sigmoid(v.logits[i] / point.temperature);
        if (k % 9 == 0 && v.class)
            probabilities_of_class(p, v.logits, v.rows, v.labels, positive,
                                   (const double[]){point.temperature, point.temperature});
        point.f1 = f1_at(p, truth, count, point.threshold);
        points[k] = point;
        highest = point.f1 > points[highest].f1 ? k : highest;
    }
    free(truth);
    free(p);
    *best = highest;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "common/score/threshold.h"

#include "common/base/memory.h"

#include <math.h>
#include <stdlib.h>

const char *const threshold_rule_names[] = {"f1", "f_beta", "recall_at_precision", "precision_at_recall", "cost", NULL};

struct scored {
    double probability;
    int32_t truth;
};

static int by_probability(const void *a, const void *b)
{
    double x = ((const struct scored *)a)->probability, y = ((const struct scored *)b)->probability;
    return (x > y) - (x < y);
}

/* The rows by rising probability; NULL with the error set if one is NaN. */
static struct scored *sort_scores(struct validation_scores scores, struct error *e)
{
    struct scored *sorted = allocate(scores.count, sizeof *sorted);
    for (size_t i = 0; i < scores.count; i++) {
        if (isnan(scores.probability[i])) {
            error_set(e, ERROR_DATA, "validation row %zu (counted from 0): the probability is not a number; the model diverged",
                      i);
            free(sorted);
            return NULL;
        }
        sorted[i] = (struct scored){scores.probability[i], scores.truth[i] != 0};
    }
    qsort(sorted, scores.count, sizeof *sorted, by_probability);
    return sorted;
}

/* As numpy.linspace computes it, to the last bit. */
static double linspace(const struct threshold_grid *grid, int i)
{
    if (i > 0 && i == grid->points - 1)
        return grid->to;
    return grid->points > 1 ? i * ((grid->to - grid->from) / (grid->points - 1)) + grid->from : grid->from;
}

double threshold_value(const struct threshold_grid *grid, int i)
{
    double scale = pow(10, grid->decimals), value = linspace(grid, i);
    return grid->decimals ? round(value * scale) / scale : value;
}

static double f_score(const struct threshold_grid *grid, const struct binary_metrics *m)
{
    double b2 = grid->beta * grid->beta, tp = (double)m->true_positive; /* from counts: equal results tie exactly */
    double whole = b2 * (double)(m->true_positive + m->false_negative) + (double)(m->true_positive + m->false_positive);
    return whole > 0 ? (1 + b2) * tp / whole : 0;
}

static double saved_cost(const struct threshold_grid *grid, const struct binary_metrics *m)
{
    double a = grid->false_positive_cost, b = grid->false_negative_cost;
    double most = a * (double)(m->false_positive + m->true_negative) + b * (double)(m->true_positive + m->false_negative);
    return most > 0 ? (a * (double)m->true_negative + b * (double)m->true_positive) / most : 0;
}

double threshold_score(const struct threshold_grid *grid, const struct binary_metrics *m)
{
    switch (grid->rule) {
    case RULE_F_BETA:
        return f_score(grid, m);
    case RULE_RECALL_AT_PRECISION:
        return m->precision >= grid->min_precision ? m->recall : -1;
    case RULE_PRECISION_AT_RECALL:
        return m->recall >= grid->min_recall ? m->precision : -1;
    case RULE_COST:
        return saved_cost(grid, m);
    default:
        return m->f1;
    }
}

/* Thresholds rise, so rows only ever leave the predicted: one walk over the sorted rows serves all points. */
static void fill_points(struct threshold_point *points, const struct threshold_grid *grid, const struct scored *sorted,
                        size_t count)
{
    struct binary_metrics m = {0};
    for (size_t i = 0; i < count; i++) {
        m.true_positive += sorted[i].truth != 0;
        m.false_positive += sorted[i].truth == 0;
    }
    size_t left = 0;
    for (int i = 0; i < grid->points; i++) {
        double threshold = threshold_value(grid, i);
        for (; left < count && !(sorted[left].probability >= threshold); left++) {
            m.true_positive -= sorted[left].truth != 0;
            m.false_negative += sorted[left].truth != 0;
            m.false_positive -= sorted[left].truth == 0;
            m.true_negative += sorted[left].truth == 0;
        }
        binary_metrics_of_counts(&m);
        points[i] = (struct threshold_point){threshold, m, threshold_score(grid, &m)};
    }
}

static int check_grid(const struct threshold_grid *grid, size_t count, struct error *e)
{
    if (grid->points < 1 || !isfinite(grid->from) || !isfinite(grid->to) || grid->to < grid->from)
        return error_set(e, ERROR_USAGE, "thresholds from %g to %g in %d points: at least one point, lowest first", grid->from,
                         grid->to, grid->points);
    if (grid->rule == RULE_F_BETA && !(grid->beta > 0 && isfinite(grid->beta)))
        return error_set(e, ERROR_USAGE, "beta is %g; a positive number is expected", grid->beta);
    if (grid->rule == RULE_COST && !(grid->false_positive_cost + grid->false_negative_cost > 0))
        return error_set(e, ERROR_USAGE, "false positives and false negatives both cost 0; give one of them a cost");
    if (!count)
        return error_set(e, ERROR_DATA, "the validation part is empty: no threshold can be chosen");
    return 0;
}

/* Words for a condition that nothing meets. */
static int unmet(const struct threshold_grid *grid, double highest, struct error *e)
{
    bool precision = grid->rule == RULE_RECALL_AT_PRECISION;
    return error_set(e, ERROR_FAILED, "no threshold reaches %s %g on validation; the highest is %.4f; lower tune.min_%s",
                     precision ? "precision" : "recall", precision ? grid->min_precision : grid->min_recall, highest,
                     precision ? "precision" : "recall");
}

static double conditioned(const struct threshold_grid *grid, const struct binary_metrics *m)
{
    return grid->rule == RULE_RECALL_AT_PRECISION ? m->precision : m->recall;
}

/* The first of the highest, or the middle of its plateau. */
static int break_tie(const struct threshold_point *points, const struct threshold_grid *grid, int first)
{
    int last = first;
    while (grid->middle && last + 1 < grid->points && points[last + 1].score == points[first].score)
        last++;
    return first + (last - first) / 2;
}

int threshold_sweep(struct threshold_point *points, int *best, const struct threshold_grid *grid, struct validation_scores scores,
                    struct error *e)
{
    if (check_grid(grid, scores.count, e))
        return -1;
    struct scored *sorted = sort_scores(scores, e);
    if (!sorted)
        return -1;
    fill_points(points, grid, sorted, scores.count);
    free(sorted);
    int highest = 0;
    double condition = 0;
    for (int i = 0; i < grid->points; i++) {
        highest = points[i].score > points[highest].score ? i : highest;
        condition = fmax(condition, conditioned(grid, &points[i].metrics));
    }
    if (points[highest].score < 0)
        return unmet(grid, condition, e);
    *best = break_tie(points, grid, highest);
    return 0;
}

/* From the lowest probability on: rows below it leave the predicted. */
int threshold_exact(struct threshold_point *best, const struct threshold_grid *grid, struct validation_scores scores,
                    struct error *e)
{
    if (check_grid(grid, scores.count, e))
        return -1;
    struct scored *sorted = sort_scores(scores, e);
    if (!sorted)
        return -1;
    struct threshold_point highest = {.score = -2};
    struct binary_metrics m = {0};
    double condition = 0, below = NAN;
    for (size_t i = 0; i < scores.count; i++) {
        m.true_positive += sorted[i].truth != 0;
        m.false_positive += sorted[i].truth == 0;
    }
    for (size_t i = 0; i < scores.count;) {
        double threshold = sorted[i].probability;
        binary_metrics_of_counts(&m);
        condition = fmax(condition, conditioned(grid, &m));
        if (threshold_score(grid, &m) > highest.score)
            highest = (struct threshold_point){grid->middle && below < threshold ? below + (threshold - below) / 2 : threshold, m,
                                               threshold_score(grid, &m)};
        below = threshold;
        for (; i < scores.count && sorted[i].probability == threshold; i++) {
            m.true_positive -= sorted[i].truth != 0;
            m.false_negative += sorted[i].truth != 0;
            m.false_positive -= sorted[i].truth == 0;
            m.true_negative += sorted[i].truth == 0;
        }
    }
    free(sorted);
    if (highest.score < 0)
        return unmet(grid, condition, e);
    *best = highest;
    return 0;
}

/* ---- many labels: rows are counted by the number of grid values that their probability reaches ---- */

struct histogram {
    uint32_t *counts; /* (labels, points + 1, 2): bin, truth */
    double *values;   /* (points) */
    int points;
    double from, per_step; /* where a value is likely to be */
};

static int bin_of(const struct histogram *h, double p)
{
    double guess = (p - h->from) * h->per_step + 1;
    int bin = guess < 0 ? 0 : guess > h->points ? h->points : (int)guess;
    while (bin > 0 && !(p >= h->values[bin - 1]))
        bin--;
    while (bin < h->points && p >= h->values[bin])
        bin++;
    return bin;
}

static int count_rows(struct histogram *h, struct validation_labels v, struct error *e)
{
    size_t stride = 2 * ((size_t)h->points + 1);
    for (size_t i = 0; i < v.rows; i++)
        for (size_t l = 0; l < v.labels; l++) {
            double p = v.probability[i * v.labels + l];
            if (isnan(p))
                return error_set(e, ERROR_DATA,
                                 "validation row %zu, label %zu (counted from 0): the probability is not a number; the model "
                                 "diverged",
                                 i, l);
            h->counts[l * stride + 2 * (size_t)bin_of(h, p) + (v.truth[i * v.labels + l] != 0)]++;
        }
    return 0;
}

/* Bins above i hold the rows that reach grid value i. */
static void points_of_label(struct threshold_point *points, const struct threshold_grid *grid, const struct histogram *h,
                            const uint32_t *counts)
{
    struct binary_metrics m = {0};
    for (int b = 0; b <= h->points; b++) {
        m.false_positive += counts[2 * b];
        m.true_positive += counts[2 * b + 1];
    }
    for (int i = 0; i < h->points; i++) {
        m.false_positive -= counts[2 * i];
        m.true_negative += counts[2 * i];
        m.true_positive -= counts[2 * i + 1];
        m.false_negative += counts[2 * i + 1];
        binary_metrics_of_counts(&m);
        points[i] = (struct threshold_point){h->values[i], m, threshold_score(grid, &m)};
    }
}

static void add_points(struct threshold_point *to, const struct threshold_grid *grid, const struct threshold_point *points)
{
    for (int i = 0; i < grid->points; i++) {
        to[i].threshold = points[i].threshold;
        binary_metrics_add_counts(&to[i].metrics, &points[i].metrics);
    }
}

int threshold_sweep_labels(struct threshold_point *points, const struct threshold_grid *grid, struct validation_labels v,
                           struct error *e)
{
    if (check_grid(grid, v.rows, e))
        return -1;
    size_t count = (size_t)grid->points, stride = 2 * (count + 1);
    struct histogram h = {.counts = allocate(v.labels, stride * sizeof(uint32_t)),
                          .values = allocate(count, sizeof(double)),
                          .points = grid->points,
                          .from = grid->from,
                          .per_step = grid->to > grid->from ? (grid->points - 1) / (grid->to - grid->from) : 0};
    for (int i = 0; i < grid->points; i++)
        h.values[i] = threshold_value(grid, i);
    int status = count_rows(&h, v, e);
    struct threshold_point *all = points + v.labels * count;
    for (size_t i = 0; status == 0 && i < count; i++)
        all[i] = (struct threshold_point){0};
    for (size_t l = 0; status == 0 && l < v.labels; l++) {
        points_of_label(points + l * count, grid, &h, h.counts + l * stride);
        add_points(all, grid, points + l * count);
    }
    for (size_t i = 0; status == 0 && i < count; i++) {
        binary_metrics_of_counts(&all[i].metrics);
        all[i].score = threshold_score(grid, &all[i].metrics);
    }
    free(h.counts);
    free(h.values);
    return status;
}

int threshold_best(const struct threshold_point *points, const struct threshold_grid *grid)
{
    int best = -1;
    for (int i = 0; i < grid->points; i++)
        if (points[i].score > (best < 0 ? 0 : points[best].score))
            best = i;
    return best < 0 ? -1 : break_tie(points, grid, best);
}

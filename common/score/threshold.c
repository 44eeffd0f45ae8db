/* Owns the choice of a threshold. */
#include "common/score/threshold.h"

#include "common/base/memory.h"

#include <math.h>
#include <stdlib.h>

const char *const threshold_rule_names[] = {"f1", "f_beta", "recall_at_precision", NULL};

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
static double grid_value(const struct threshold_grid *grid, int i)
{
    if (i > 0 && i == grid->points - 1)
        return grid->to;
    return grid->points > 1 ? i * ((grid->to - grid->from) / (grid->points - 1)) + grid->from : grid->from;
}

static double score_of(const struct threshold_grid *grid, const struct binary_metrics *m)
{
    if (grid->rule == RULE_RECALL_AT_PRECISION)
        return m->precision >= grid->min_precision ? m->recall : -1;
    if (grid->rule == RULE_F1)
        return m->f1;
    double b2 = grid->beta * grid->beta, tp = (double)m->true_positive; /* from counts: equal results tie exactly */
    double whole = b2 * (double)(m->true_positive + m->false_negative) + (double)(m->true_positive + m->false_positive);
    return whole > 0 ? (1 + b2) * tp / whole : 0;
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
        double threshold = grid_value(grid, i);
        for (; left < count && !(sorted[left].probability >= threshold); left++) {
            m.true_positive -= sorted[left].truth != 0;
            m.false_negative += sorted[left].truth != 0;
            m.false_positive -= sorted[left].truth == 0;
            m.true_negative += sorted[left].truth == 0;
        }
        binary_metrics_of_counts(&m);
        points[i] = (struct threshold_point){threshold, m, score_of(grid, &m)};
    }
}

static int check_grid(const struct threshold_grid *grid, size_t count, struct error *e)
{
    if (grid->points < 1 || !isfinite(grid->from) || !isfinite(grid->to) || grid->to < grid->from)
        return error_set(e, ERROR_USAGE, "thresholds from %g to %g in %d points: at least one point, lowest first", grid->from,
                         grid->to, grid->points);
    if (grid->rule == RULE_F_BETA && !(grid->beta > 0 && isfinite(grid->beta)))
        return error_set(e, ERROR_USAGE, "beta is %g; a positive number is expected", grid->beta);
    if (!count)
        return error_set(e, ERROR_DATA, "the validation part is empty: no threshold can be chosen");
    return 0;
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
    double precision = 0;
    for (int i = 0; i < grid->points; i++) {
        highest = points[i].score > points[highest].score ? i : highest;
        precision = points[i].metrics.precision > precision ? points[i].metrics.precision : precision;
    }
    if (points[highest].score < 0)
        return error_set(e, ERROR_FAILED,
                         "no threshold reaches precision %g on validation; the highest is %.4f; lower tune.min_precision",
                         grid->min_precision, precision);
    *best = highest;
    return 0;
}

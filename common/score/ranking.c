/* SPDX-License-Identifier: Apache-2.0 */
#include "common/score/ranking.h"

#include "common/base/memory.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

struct ranked {
    double probability;
    bool positive;
};

static int highest_first(const void *a, const void *b)
{
    double x = ((const struct ranked *)a)->probability, y = ((const struct ranked *)b)->probability;
    return (x < y) - (x > y);
}

struct curve {
    double best_f1, average_precision, roc_auc;
};

/* One walk down the probabilities; equal ones enter together. */
static struct curve walk(struct ranked *cases, size_t count)
{
    struct curve c = {0};
    double positives = 0, true_positive = 0, false_positive = 0, area = 0;
    qsort(cases, count, sizeof *cases, highest_first);
    for (size_t i = 0; i < count; i++)
        positives += cases[i].positive;
    for (size_t i = 0; i < count;) {
        double before = true_positive, wrong_before = false_positive, threshold = cases[i].probability;
        for (; i < count && cases[i].probability == threshold; i++) {
            true_positive += cases[i].positive;
            false_positive += !cases[i].positive;
        }
        area += (false_positive - wrong_before) * (true_positive + before) / 2;
        c.best_f1 = fmax(c.best_f1, 2 * true_positive / (true_positive + false_positive + positives));
        if (positives > 0)
            c.average_precision += (true_positive - before) / positives * true_positive / (true_positive + false_positive);
    }
    double pairs = positives * ((double)count - positives);
    c.roc_auc = pairs > 0 ? area / pairs : NAN;
    return c;
}

void ranking_metrics(struct ranking *ret, const double *probability, const uint8_t *truth, size_t rows, size_t labels)
{
    struct ranking r = {.roc_auc = NAN};
    size_t defined = 0, count = rows * labels;
    double area = 0;
    *ret = r;
    for (size_t i = 0; i < count; i++)
        if (isnan(probability[i]))
            return;
    struct ranked *cases = allocate(count, sizeof *cases);
    for (size_t l = 0; l < labels; l++) {
        for (size_t i = 0; i < rows; i++)
            cases[i] = (struct ranked){probability[i * labels + l], truth[i * labels + l] != 0};
        struct curve c = walk(cases, rows);
        r.macro_average_precision += c.average_precision / (double)labels;
        defined += !isnan(c.roc_auc);
        area += isnan(c.roc_auc) ? 0 : c.roc_auc;
    }
    for (size_t i = 0; i < count; i++)
        cases[i] = (struct ranked){probability[i], truth[i] != 0};
    struct curve all = walk(cases, count);
    free(cases);
    r.best_f1 = all.best_f1;
    r.average_precision = all.average_precision;
    r.roc_auc = defined ? area / (double)defined : NAN;
    *ret = r;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "common/score/bootstrap.h"

#include "common/base/memory.h"
#include "common/base/philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const bootstrap_metric_names[BOOTSTRAP_METRICS] = {"accuracy", "micro_precision", "micro_recall",
                                                               "micro_f1", "macro_f1",        "weighted_f1"};

/* A draw is a weight for each row: how often it is in it. Columns are lists of rows (those with a label, those a rule gives it,
 * those where both is so, those that a rule has all right), and a draw's count of a column is the sum of its rows' weights. BLOCK
 * draws are summed at once: their weights of a row lie side by side. */
#define BLOCK 32
#define SUMMED 256 /* rows whose weights, 255 at most, are summed in 16 bits */

struct columns {
    size_t *first; /* (count + 1): where a column's rows begin */
    uint32_t *rows;
    size_t count;
};

/* Columns in order: the labels there; then of each rule its right rows, the labels predicted, the labels predicted and there. */
static size_t column_of_rule(size_t rule, size_t labels)
{
    return labels + rule * (2 * labels + 1);
}

/* Counts a row of a column in the first pass, puts it down in the second. */
static void take(struct columns *c, size_t column, size_t row)
{
    if (c->rows)
        c->rows[c->first[column + 1]++] = (uint32_t)row;
    else
        c->first[column + 2]++;
}

static void take_row(struct columns *c, size_t row, const uint8_t *const *decided, size_t rules, const uint8_t *truth,
                     size_t labels)
{
    const uint8_t *there = truth + row * labels;
    for (size_t l = 0; l < labels; l++)
        if (there[l])
            take(c, l, row);
    for (size_t k = 0; k < rules; k++) {
        const uint8_t *predicted = decided[k] + row * labels;
        size_t at = column_of_rule(k, labels);
        bool right = true;
        for (size_t l = 0; l < labels; l++) {
            right = right && !predicted[l] == !there[l];
            if (predicted[l])
                take(c, at + 1 + l, row);
            if (predicted[l] && there[l])
                take(c, at + 1 + labels + l, row);
        }
        if (right)
            take(c, at, row);
    }
}

static void columns_create(struct columns *ret, const uint8_t *const *decided, size_t rules, const uint8_t *truth, size_t rows,
                           size_t labels)
{
    struct columns c = {.count = column_of_rule(rules, labels)};
    c.first = allocate(c.count + 2, sizeof *c.first);
    for (size_t i = 0; i < rows; i++)
        take_row(&c, i, decided, rules, truth, labels);
    for (size_t k = 1; k < c.count + 2; k++)
        c.first[k] += c.first[k - 1];
    c.rows = allocate(c.first[c.count + 1], sizeof *c.rows);
    for (size_t i = 0; i < rows; i++)
        take_row(&c, i, decided, rules, truth, labels);
    *ret = c;
}

static void columns_free(struct columns *c)
{
    free(c->first);
    free(c->rows);
}

/* weights (rows, BLOCK) of draws first, first + 1, ... A weight above 255 has a probability below 1 / 255!. */
static void draw_weights(uint8_t *weights, size_t rows, uint64_t seed, uint32_t first)
{
    uint32_t words[4][BLOCK];
    memset(weights, 0, rows * BLOCK);
    for (size_t i = 0; i < rows; i += 4) {
        for (uint32_t d = 0; d < BLOCK; d++) {
            struct philox_block b = philox(seed, RANDOM_BOOTSTRAP, (uint32_t)(i / 4), 0, 0, first + d);
            for (size_t k = 0; k < 4; k++)
                words[k][d] = b.word[k];
        }
        for (size_t k = 0; k < 4 && i + k < rows; k++)
            for (size_t d = 0; d < BLOCK; d++)
                weights[((uint64_t)words[k][d] * rows >> 32) * BLOCK + d]++;
    }
}

static void sum_column(uint32_t sums[BLOCK], const uint32_t *rows, size_t count, const uint8_t *weights)
{
    memset(sums, 0, BLOCK * sizeof *sums);
    for (size_t from = 0; from < count; from += SUMMED) {
        uint16_t some[BLOCK] = {0};
        size_t to = from + SUMMED < count ? from + SUMMED : count;
        for (size_t i = from; i < to; i++) {
            const uint8_t *w = weights + (size_t)rows[i] * BLOCK;
            for (size_t d = 0; d < BLOCK; d++)
                some[d] = (uint16_t)(some[d] + w[d]);
        }
        for (size_t d = 0; d < BLOCK; d++)
            sums[d] += some[d];
    }
}

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

/* Figures of draw d of a block: there, and of the rule right, predicted and both, point to columns of sums. */
static void metrics_of(double *values, const uint32_t (*there)[BLOCK], const uint32_t (*rule)[BLOCK], size_t d, size_t rows,
                       size_t labels, bool present_only)
{
    double predicted = 0, all = 0, both = 0, macro = 0, weighted = 0;
    size_t present = 0;
    for (size_t l = 0; l < labels; l++) {
        double has = there[l][d], says = rule[1 + l][d], hits = rule[1 + labels + l][d], f1 = ratio(2 * hits, says + has);
        present += says > 0 || has > 0;
        predicted += says;
        all += has;
        both += hits;
        macro += f1;
        weighted += f1 * has;
    }
    values[BOOTSTRAP_ACCURACY] = ratio(rule[0][d], (double)rows);
    values[BOOTSTRAP_MICRO_PRECISION] = ratio(both, predicted);
    values[BOOTSTRAP_MICRO_RECALL] = ratio(both, all);
    values[BOOTSTRAP_MICRO_F1] = ratio(2 * both, predicted + all);
    values[BOOTSTRAP_MACRO_F1] = ratio(macro, (double)(present_only ? present : labels));
    values[BOOTSTRAP_WEIGHTED_F1] = ratio(weighted, all);
}

void bootstrap_draw(double *const *values, const uint8_t *const *decided, size_t rules, uint32_t draws, const uint8_t *truth,
                    size_t rows, size_t labels, bool present_only, uint64_t seed)
{
    struct columns c;
    columns_create(&c, decided, rules, truth, rows, labels);
    uint8_t *weights = allocate(rows, BLOCK);
    uint32_t(*sums)[BLOCK] = allocate(c.count, sizeof *sums);
    for (uint32_t first = 0; first < draws; first += BLOCK) {
        draw_weights(weights, rows, seed, first);
        for (size_t k = 0; k < c.count; k++)
            sum_column(sums[k], c.rows + c.first[k], c.first[k + 1] - c.first[k], weights);
        for (uint32_t d = 0; d < BLOCK && first + d < draws; d++)
            for (size_t k = 0; k < rules; k++)
                metrics_of(values[k] + (size_t)(first + d) * BOOTSTRAP_METRICS, sums, sums + column_of_rule(k, labels), d, rows,
                           labels, present_only);
    }
    free(sums);
    free(weights);
    columns_free(&c);
}

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double percentile(const double *sorted, uint32_t count, double share)
{
    double at = share * (count - 1);
    uint32_t below = (uint32_t)floor(at), above = below + 1 < count ? below + 1 : below;
    return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

struct interval bootstrap_interval(const double *values, const double *minus, uint32_t draws, enum bootstrap_metric metric)
{
    if (draws == 0)
        return (struct interval){0, 0};
    double *sorted = allocate(draws, sizeof *sorted);
    for (uint32_t d = 0; d < draws; d++) {
        size_t at = (size_t)d * BOOTSTRAP_METRICS + metric;
        sorted[d] = values[at] - (minus ? minus[at] : 0);
    }
    qsort(sorted, draws, sizeof *sorted, by_value);
    struct interval i = {percentile(sorted, draws, 0.025), percentile(sorted, draws, 0.975)};
    free(sorted);
    return i;
}

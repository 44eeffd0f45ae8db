/* SPDX-License-Identifier: Apache-2.0 */
/* Tuning on stored logits at W3's size: 141 labels x 100,000 rows, 91 thresholds, one core. bench/tune.py does the same with
 * scikit-learn on fewer rows. usage: bench_tune [rows [labels]] */
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/philox.h"
#include "common/score/bootstrap.h"
#include "common/score/labels.h"
#include "common/score/threshold.h"

#include <stdio.h>
#include <stdlib.h>

static void fill(float *logits, uint8_t *truth, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct philox_block b = philox(7, RANDOM_EXAMPLES, (uint32_t)i, (uint32_t)(i >> 32), 0, 0);
        truth[i] = b.word[0] < 0x08000000u; /* one in 32 */
        logits[i] = (float)b.word[1] / 1e9f + (float)b.word[2] / 1e9f - (truth[i] ? 3.5f : 6.0f);
    }
}

int main(int argc, char **argv)
{
    size_t rows = argc > 1 ? (size_t)atol(argv[1]) : 100000, labels = argc > 2 ? (size_t)atol(argv[2]) : 141;
    const struct threshold_grid grid = {.rule = RULE_F1, .from = 0.05, .to = 0.95, .points = 91, .decimals = 2};
    float *logits = allocate(rows, labels * sizeof *logits);
    uint8_t *truth = allocate(rows, labels), *decided = allocate(rows, labels);
    double *p = allocate(rows, labels * sizeof *p);
    struct threshold_point *points = allocate((labels + 1) * 91, sizeof *points);
    struct error e = {0};
    fill(logits, truth, rows * labels);
    double start = clock_seconds();
    label_probabilities(p, logits, rows, labels, NULL);
    double probabilities = clock_seconds();
    if (threshold_sweep_labels(points, &grid, (struct validation_labels){p, truth, rows, labels}, &e) != 0) {
        fprintf(stderr, "bench_tune: %s\n", e.message);
        return 1;
    }
    double sweep = clock_seconds();
    for (size_t i = 0; i < rows * labels; i++)
        decided[i] = p[i] >= 0.5;
    double *values = allocate(1000, BOOTSTRAP_METRICS * sizeof *values), before = clock_seconds();
    bootstrap_draw(&values, (const uint8_t *const *)&decided, 1, 1000, truth, rows, labels, false, 42);
    double bootstrap = clock_seconds();
    printf("%zu rows, %zu labels: probabilities %.3f s, 91 thresholds for each label and for all %.3f s, together %.3f s; "
           "bootstrap of 1,000 draws %.3f s\n",
           rows, labels, probabilities - start, sweep - probabilities, sweep - start, bootstrap - before);
    free(values);
    free(points);
    free(p);
    free(decided);
    free(truth);
    free(logits);
    return 0;
}

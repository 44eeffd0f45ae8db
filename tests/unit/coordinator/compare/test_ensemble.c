/* SPDX-License-Identifier: Apache-2.0 */
/* Models side by side: the ensemble's weight against a search by hand, ties, test that tunes nothing, and what is automatable. */
#include "common/base/memory.h"
#include "coordinator/compare/automatable.h"
#include "coordinator/compare/ensemble.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

enum { ROWS = 60, LABELS = 3 };

static const struct threshold_grid f1_grid = {.rule = RULE_F1, .from = 0.05, .to = 0.95, .points = 19};
static const struct label_options options = {&f1_grid, PER_CLASS_TRUE, 1};

static double chance(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 8) / 16777216.0;
}

/* Labels that come from `seed`; label 2 is never true. */
static void make_truth(struct truth *t, enum decision_kind kind, uint32_t seed)
{
    *t = (struct truth){.kind = kind, .rows = ROWS, .labels = kind == DECISION_BINARY ? 2 : LABELS, .positive = 1};
    t->targets = allocate(ROWS, LABELS);
    t->class = allocate(ROWS, sizeof *t->class);
    for (int i = 0; i < ROWS; i++) {
        t->targets[i * LABELS] = chance(&seed) < 0.3;
        t->targets[i * LABELS + 1] = chance(&seed) < 0.5;
        t->class[i] = t->targets[i * LABELS + 1];
    }
}

/* Noisy logits: `signal` says how much they know. */
static float *make_logits(const struct truth *t, double signal, uint32_t seed)
{
    float *logits = allocate((size_t)ROWS * t->labels, sizeof *logits);
    for (size_t i = 0; i < ROWS; i++)
        for (size_t l = 0; l < t->labels; l++) {
            bool on = t->kind == DECISION_LABELS ? t->targets[i * LABELS + l] : t->class[i] == (int32_t)l;
            logits[i * t->labels + l] = (float)(4 * (chance(&seed) - 0.5) + (on ? signal : -signal));
        }
    return logits;
}

static struct scored_model make_scored_model(const struct truth *validation, const struct truth *test, double signal,
                                             uint32_t seed)
{
    struct scored_model c = {.name = "one"};
    struct error e;
    c.logits[PART_VALIDATION] = make_logits(validation, signal, seed);
    c.logits[PART_TEST] = make_logits(test, signal, seed + 1);
    assert_int_equal(scored_model_tune(&c, &options, (struct validation_logits){c.logits[PART_VALIDATION], validation}, &e), 0);
    return c;
}

static double sigma(double x)
{
    return 1 / (1 + exp(-x));
}

/* The best weight for two labels, one a row, by trying all weights and all thresholds. */
static double weight_by_hand(const struct truth *t, const float *a, const float *b, double *score)
{
    double best = 0;
    *score = -1;
    for (int w = 0; w <= ENSEMBLE_STEPS; w++)
        for (int k = 0; k < f1_grid.points; k++) {
            double threshold = threshold_value(&f1_grid, k), hit = 0, miss = 0;
            for (int i = 0; i < ROWS; i++) {
                double p = (1 - w / 20.0) * sigma(a[2 * i + 1] - a[2 * i]) + w / 20.0 * sigma(b[2 * i + 1] - b[2 * i]);
                hit += p >= threshold && t->class[i] == 1;
                miss += (p >= threshold) != (t->class[i] == 1);
            }
            double f1 = hit > 0 ? 2 * hit / (2 * hit + miss) : 0;
            if (f1 > *score) {
                *score = f1;
                best = w / 20.0;
            }
        }
    return best;
}

static void test_weight_is_the_best(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 5; seed++) {
        struct truth v, test;
        struct error e;
        double score;
        make_truth(&v, DECISION_BINARY, seed);
        make_truth(&test, DECISION_BINARY, seed + 100);
        struct scored_model a = make_scored_model(&v, &test, 0.4, seed * 7), b = make_scored_model(&v, &test, 0.5, seed * 11);
        double weight = weight_by_hand(&v, a.logits[PART_VALIDATION], b.logits[PART_VALIDATION], &score);
        struct ensemble n;
        assert_int_equal(ensemble_tune(&n, &a, &b, &options, &v, &e), 0);
        if (n.weight != weight || fabs(n.together.score - score) > 1e-12)
            fail_msg("seed %u: expected weight %.2f with F1 %.6f, found %.2f with %.6f", seed, weight, score, n.weight,
                     n.together.score);
        ensemble_mix(&n, &a, &b, PART_TEST, &test);
        for (int i = 0; i < ROWS; i++) {
            const float *x = a.logits[PART_TEST] + 2 * i, *y = b.logits[PART_TEST] + 2 * i,
                        *m = n.together.logits[PART_TEST] + 2 * i;
            assert_float_equal(sigma(m[1] - m[0]), (1 - weight) * sigma(x[1] - x[0]) + weight * sigma(y[1] - y[0]), 1e-6);
        }
        ensemble_free(&n);
        scored_model_free(&a);
        scored_model_free(&b);
        truth_free(&v);
        truth_free(&test);
    }
}

static void test_ties_are_the_transformers(void **state)
{
    (void)state;
    struct truth v, test;
    struct ensemble n;
    struct error e;
    make_truth(&v, DECISION_LABELS, 3);
    make_truth(&test, DECISION_LABELS, 4);
    struct scored_model a = make_scored_model(&v, &test, 9, 1), b = make_scored_model(&v, &test, 9, 2); /* both know everything */
    assert_int_equal(ensemble_tune(&n, &a, &b, &options, &v, &e), 0);
    assert_float_equal(n.weight, 0, 0);
    assert_memory_equal(n.together.logits[PART_VALIDATION], a.logits[PART_VALIDATION], ROWS * LABELS * sizeof(float));
    ensemble_free(&n);
    scored_model_free(&a);
    scored_model_free(&b);
    truth_free(&v);
    truth_free(&test);
}

static void expect_finite(const struct json *j, const char *key)
{
    if (json_type(j) == JSON_NULL) /* how JSON prints what is not a number */
        fail_msg("%s is not a number", key);
    for (size_t i = 0; i < json_size(j); i++)
        expect_finite(json_at(j, i), json_type(j) == JSON_OBJECT ? json_key(j, i) : key);
}

/* Other test labels: other metrics, and the same weight and thresholds. A label that no row has spoils nothing. */
static void check_test_never_tunes(enum decision_kind kind)
{
    const char *const names[] = {"a", "b", "c"};
    double weight = 0, thresholds[LABELS] = {0}, f1 = 0;
    for (int flipped = 0; flipped < 2; flipped++) {
        struct truth v, test;
        struct ensemble n;
        struct error e;
        make_truth(&v, kind, 21);
        make_truth(&test, kind, 22);
        struct scored_model a = make_scored_model(&v, &test, 0.3, 5), b = make_scored_model(&v, &test, 0.6, 6);
        for (int i = 0; flipped && i < ROWS; i++) {
            test.class[i] = 1 - test.class[i];
            test.targets[i * LABELS] ^= 1;
        }
        assert_int_equal(ensemble_tune(&n, &a, &b, &options, &v, &e), 0);
        ensemble_mix(&n, &a, &b, PART_TEST, &test);
        scored_model_score(&n.together, PART_VALIDATION, &v);
        scored_model_score(&n.together, PART_TEST, &test);
        struct json *whole = ensemble_to_json(&n, names);
        expect_finite(whole, "ensemble");
        json_destroy(&whole);
        if (flipped) {
            assert_float_equal(n.weight, weight, 0);
            assert_memory_equal(n.together.thresholds, thresholds, v.labels * sizeof(double));
            assert_true(n.together.at_threshold[PART_TEST].pooled.f1 != f1);
        }
        weight = n.weight;
        f1 = n.together.at_threshold[PART_TEST].pooled.f1;
        memcpy(thresholds, n.together.thresholds, v.labels * sizeof(double));
        ensemble_free(&n);
        scored_model_free(&a);
        scored_model_free(&b);
        truth_free(&v);
        truth_free(&test);
    }
}

static void test_never_tunes(void **state)
{
    (void)state;
    check_test_never_tunes(DECISION_BINARY);
    check_test_never_tunes(DECISION_CLASS);
    check_test_never_tunes(DECISION_LABELS);
}

static void test_rule_that_nothing_meets(void **state)
{
    (void)state;
    struct threshold_grid grid = {.rule = RULE_RECALL_AT_PRECISION, .from = 0.1, .to = 0.2, .points = 3, .min_precision = 0.999};
    struct label_options o = {&grid, PER_CLASS_TRUE, 1};
    struct truth v;
    struct error e;
    struct scored_model c = {.name = "one"};
    make_truth(&v, DECISION_BINARY, 9);
    c.logits[PART_VALIDATION] = make_logits(&v, 0, 4);
    assert_int_equal(scored_model_tune(&c, &o, (struct validation_logits){c.logits[PART_VALIDATION], &v}, &e), 0);
    assert_false(c.met);
    assert_float_equal(c.thresholds[1], 0.5, 0);
    scored_model_free(&c);
    truth_free(&v);
}

/* Five rows, four labels: 0 and 2 reach the agreement, 1 does not, 3 has no row. */
static void test_automatable(void **state)
{
    (void)state;
    uint8_t targets[] = {1, 0, 0, 0, /**/ 1, 1, 0, 0, /**/ 0, 1, 0, 0, /**/ 0, 0, 0, 0, /**/ 1, 0, 1, 0};
    struct truth t = {.kind = DECISION_LABELS, .rows = 5, .labels = 4, .targets = targets};
    struct binary_metrics each[4] = {{.true_positive = 3, .false_positive = 1},
                                     {.true_positive = 1, .false_negative = 1, .false_positive = 1},
                                     {.true_positive = 1, .false_positive = 1},
                                     {.false_positive = 2}};
    for (int l = 0; l < 4; l++)
        binary_metrics_of_counts(&each[l]);
    struct automatable a;
    automatable_find(&a, &t, each, each[2].f1); /* two thirds: a label at the agreement counts */
    assert_int_equal(a.count, 2);
    assert_true(a.label[0] && !a.label[1] && a.label[2] && !a.label[3]);
    assert_int_equal(a.without_example, 1);
    assert_int_equal(a.with_label, 4);
    assert_int_equal(a.all, 2);
    assert_int_equal(a.some, 3);
    automatable_free(&a);
    automatable_find(&a, &t, each, 0); /* a label without a row does not count even then */
    assert_int_equal(a.count, 3);
    automatable_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_weight_is_the_best),
                                       cmocka_unit_test(test_ties_are_the_transformers), cmocka_unit_test(test_never_tunes),
                                       cmocka_unit_test(test_rule_that_nothing_meets), cmocka_unit_test(test_automatable)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

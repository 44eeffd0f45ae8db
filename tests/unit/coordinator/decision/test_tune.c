/* SPDX-License-Identifier: Apache-2.0 */
/* Thresholds and epochs, against metrics worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/decision/tune.h"

#include <math.h>
#include <string.h>

/* Predicted at 0.1: all six; 0.2, 0.3: five; 0.4: four; 0.5, 0.6: three; 0.7, 0.8: two; 0.9: one. */
static const double probability[] = {0.95, 0.85, 0.65, 0.45, 0.35, 0.15};
static const int32_t truth[] = {1, 0, 1, 1, 0, 0};
static const struct validation_scores scores = {probability, truth, 6};

static void near(double found, double expected)
{
    if (!(fabs(found - expected) < 1e-12))
        fail_msg("expected %.17g, found %.17g", expected, found);
}

static void the_highest_score_wins(void **state)
{
    (void)state;
    static const struct {
        struct threshold_grid grid;
        int best;
        double score, precision, recall;
    } rows[] = {
        {{RULE_F1, 0.1, 0.9, 9, 1, 0}, 3, 6.0 / 7, 0.75, 1},
        {{RULE_F_BETA, 0.1, 0.9, 9, 0.5, 0}, 3, 15.0 / 19, 0.75, 1},
        {{RULE_RECALL_AT_PRECISION, 0.1, 0.9, 9, 1, 0.7}, 3, 1, 0.75, 1},
        {{RULE_RECALL_AT_PRECISION, 0.1, 0.9, 9, 1, 0.9}, 8, 1.0 / 3, 1, 1.0 / 3},
        {{RULE_F1, 0.7, 0.8, 2, 1, 0}, 0, 0.4, 0.5, 1.0 / 3}, /* a tie: the first one */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct at_threshold own;
        struct threshold_curve curve;
        struct error e = {0};
        assert_int_equal(tune_sweep(&own, &curve, &rows[i].grid, scores, &e), 0);
        assert_true(own.met);
        assert_int_equal(curve.best, rows[i].best);
        assert_int_equal(curve.count, rows[i].grid.points);
        near(own.score, rows[i].score);
        near(own.metrics.precision, rows[i].precision);
        near(own.metrics.recall, rows[i].recall);
        near(own.threshold, curve.points[curve.best].threshold);
        /* The same threshold handed over gives the same metrics. */
        struct at_threshold again;
        tune_apply(&again, &rows[i].grid, scores, own.threshold);
        assert_true(again.met);
        near(again.score, own.score);
        near(again.metrics.f1, own.metrics.f1);
        threshold_curve_free(&curve);
    }
}

static void a_rule_that_cannot_be_met_is_said(void **state)
{
    (void)state;
    static const int32_t none[6] = {0};
    struct threshold_grid grid = {RULE_RECALL_AT_PRECISION, 0.1, 0.9, 9, 1, 0.5};
    struct at_threshold own, applied;
    struct threshold_curve curve;
    struct error e = {0};
    assert_int_equal(tune_sweep(&own, &curve, &grid, (struct validation_scores){probability, none, 6}, &e), 0);
    assert_false(own.met);
    assert_int_equal(curve.best, -1);
    assert_true(own.why[0]);
    tune_apply(&applied, &grid, (struct validation_scores){probability, none, 6}, 0.3);
    assert_false(applied.met);
    assert_string_equal(applied.why, "precision 0.0000 at threshold 0.3 is below tune.min_precision 0.5");
    struct json *j = at_threshold_to_json(&own);
    assert_int_equal(json_type(json_get(j, "score")), JSON_NULL);
    json_destroy(&j);
    threshold_curve_free(&curve);
}

/* Rows without a positive or a negative, and scores of 0: 0.5, whatever the rule, and the words. */
static void what_validation_does_not_support_is_not_chosen(void **state)
{
    (void)state;
    static const int32_t none[6] = {0}, all[6] = {1, 1, 1, 1, 1, 1}, last[6] = {0, 0, 0, 0, 0, 1};
    static const struct {
        struct threshold_grid grid;
        const int32_t *truth;
        const char *why;
    } rows[] = {
        {{RULE_F1, 0.1, 0.9, 9, 1, 0}, none, "no positive row in validation"},
        {{RULE_F1, 0.1, 0.9, 9, 1, 0, .exact = true}, none, "no positive row in validation"},
        {{RULE_COST, 0.1, 0.9, 9, 1, 0, .false_positive_cost = 1}, none, "no positive row in validation"},
        {{RULE_RECALL_AT_PRECISION, 0.1, 0.9, 9, 1, 0}, none, "no positive row in validation"},
        {{RULE_F1, 0.1, 0.9, 9, 1, 0}, all, "no negative row in validation"},
        {{RULE_F_BETA, 0.2, 0.9, 8, 2, 0}, last, "no threshold scores above 0 in validation"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct at_threshold own;
        struct threshold_curve curve;
        struct error e = {0};
        assert_int_equal(tune_sweep(&own, &curve, &rows[i].grid, (struct validation_scores){probability, rows[i].truth, 6}, &e),
                         0);
        assert_true(own.met && own.threshold == 0.5 && curve.best == -1);
        assert_string_equal(own.neutral, rows[i].why);
        threshold_curve_free(&curve);
    }
}

/* Labels: a has rows, b has none, c is in all, d is below every threshold. */
static void labels_that_validation_does_not_support(void **state)
{
    (void)state;
    static const double p[12] = {0.9, 0.3, 0.8, 0.01, 0.2, 0.6, 0.7, 0.02, 0.7, 0.1, 0.9, 0.03};
    static const uint8_t labels[12] = {1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 1, 0};
    static const struct validation_labels v = {p, labels, 3, 4};
    static const char *const why[] = {NULL, "no positive row in validation", "no negative row in validation",
                                      "no threshold scores above 0 in validation"};
    const struct threshold_grid grid = {RULE_F1, 0.1, 0.9, 9, 1, 0};
    for (int per_class = 0; per_class < 2; per_class++) {
        const struct label_options o = {&grid, per_class ? PER_CLASS_TRUE : PER_CLASS_AUTO, 1};
        struct label_thresholds t;
        struct error e = {0};
        assert_int_equal(tune_labels(&t, &o, v, &e), 0);
        assert_null(t.why);
        for (int l = 0; l < 4; l++) {
            assert_true(t.each[l].own == (l == 0));
            if (l > 0) {
                assert_string_equal(t.each[l].why, why[l]);
                near(t.thresholds[l], per_class ? 0.5 : t.global);
            }
        }
        label_thresholds_free(&t);
        /* Nobody has a row. */
        assert_int_equal(tune_labels(&t, &o, (struct validation_labels){p, (uint8_t[12]){0}, 3, 4}, &e), 0);
        assert_string_equal(t.why, "no positive row in validation");
        for (int l = 0; l < 4; l++)
            near(t.thresholds[l], 0.5);
        label_thresholds_free(&t);
    }
}

static void exact_search_meets_what_the_grid_cannot(void **state)
{
    (void)state;
    struct threshold_grid grid = {RULE_RECALL_AT_PRECISION, 0.1, 0.6, 6, 1, 0.9, .exact = true};
    struct at_threshold own;
    struct threshold_curve curve;
    struct error e = {0};
    assert_int_equal(tune_sweep(&own, &curve, &grid, scores, &e), 0);
    assert_int_equal(curve.best, -1);
    assert_true(own.met);
    near(own.threshold, 0.95);
    near(own.score, 1.0 / 3);
    near(own.metrics.precision, 1);
    threshold_curve_free(&curve);
    assert_int_equal(tune_sweep(&own, &curve, &grid, (struct validation_scores){probability, (int32_t[6]){0}, 6}, &e), 0);
    assert_false(own.met);
    assert_true(own.why[0]);
    threshold_curve_free(&curve);
}

static void numbers_that_are_none_are_refused(void **state)
{
    (void)state;
    double broken[6];
    struct threshold_grid grid = {RULE_F1, 0.1, 0.9, 9, 1, 0};
    struct at_threshold own;
    struct threshold_curve curve;
    struct error e = {0};
    memcpy(broken, probability, sizeof broken);
    broken[4] = NAN;
    assert_int_equal(tune_sweep(&own, &curve, &grid, (struct validation_scores){broken, truth, 6}, &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
}

static void the_best_epoch(void **state)
{
    (void)state;
    struct epoch_score epochs[4] = {
        {.epoch = 1, .loss = 0.5, .positive.f1 = 0.1, .all = {.micro_f1 = 0.4, .macro_f1 = 0.2}, .ranking = {0.1, 0.2}},
        {.epoch = 2, .loss = 0.3, .positive.f1 = 0.2, .all = {.micro_f1 = 0.5, .macro_f1 = 0.2}, .ranking = {0.2, 0.4}},
        {.epoch = 3, .loss = 0.3, .positive.f1 = 0.4, .all = {.micro_f1 = 0.5, .macro_f1 = 0.1}, .ranking = {0.4, 0.4}},
        {.epoch = 4, .loss = 0.6, .positive.f1 = 0.3, .all = {.micro_f1 = 0.6, .macro_f1 = 0.0}, .ranking = {0.4, 0.3}}};
    static const struct {
        const char *select;
        uint32_t count, patience, best;
        bool latest, stop;
    } rows[] = {{"loss", 1, 0, 1, true, false},
                {"loss", 2, 1, 2, true, false},
                {"loss", 3, 0, 2, false, false}, /* equal is not better */
                {"loss", 3, 1, 2, false, true},
                {"loss", 4, 2, 2, false, true},
                {"loss", 4, 3, 2, false, false},
                {"f1", 4, 0, 3, false, false},
                {"f1", 3, 1, 3, true, false},
                {"micro_f1", 4, 0, 4, true, false},
                {"macro_f1", 4, 2, 1, false, true},
                {"best_f1", 4, 0, 3, false, false},
                {"average_precision", 4, 0, 2, false, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct selection s;
        select_epoch(&s, epochs, rows[i].count, rows[i].select, rows[i].patience);
        if (s.best != rows[i].best || s.latest != rows[i].latest || s.stop != rows[i].stop)
            fail_msg("row %zu: expected %u %d %d, found %u %d %d", i, rows[i].best, rows[i].latest, rows[i].stop, s.best,
                     s.latest, s.stop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_highest_score_wins),
        cmocka_unit_test(a_rule_that_cannot_be_met_is_said),
        cmocka_unit_test(what_validation_does_not_support_is_not_chosen),
        cmocka_unit_test(labels_that_validation_does_not_support),
        cmocka_unit_test(exact_search_meets_what_the_grid_cannot),
        cmocka_unit_test(numbers_that_are_none_are_refused),
        cmocka_unit_test(the_best_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

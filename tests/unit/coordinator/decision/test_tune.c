/* SPDX-License-Identifier: Apache-2.0 */
/* Thresholds, epochs and the table of trials, against metrics worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/sweep/leaderboard.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
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
    struct epoch_score epochs[4] = {{.epoch = 1, .loss = 0.5, .positive.f1 = 0.1, .all = {.micro_f1 = 0.4, .macro_f1 = 0.2}},
                                    {.epoch = 2, .loss = 0.3, .positive.f1 = 0.2, .all = {.micro_f1 = 0.5, .macro_f1 = 0.2}},
                                    {.epoch = 3, .loss = 0.3, .positive.f1 = 0.4, .all = {.micro_f1 = 0.5, .macro_f1 = 0.1}},
                                    {.epoch = 4, .loss = 0.6, .positive.f1 = 0.3, .all = {.micro_f1 = 0.6, .macro_f1 = 0.0}}};
    static const struct {
        const char *select;
        uint32_t count, patience, best;
        bool latest, stop;
    } rows[] = {{"loss", 1, 0, 1, true, false},    {"loss", 2, 1, 2, true, false},
                {"loss", 3, 0, 2, false, false}, /* equal is not better */
                {"loss", 3, 1, 2, false, true},    {"loss", 4, 2, 2, false, true},
                {"loss", 4, 3, 2, false, false},   {"f1", 4, 0, 3, false, false},
                {"f1", 3, 1, 3, true, false},      {"micro_f1", 4, 0, 4, true, false},
                {"macro_f1", 4, 2, 1, false, true}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct selection s;
        select_epoch(&s, epochs, rows[i].count, rows[i].select, rows[i].patience);
        if (s.best != rows[i].best || s.latest != rows[i].latest || s.stop != rows[i].stop)
            fail_msg("row %zu: expected %u %d %d, found %u %d %d", i, rows[i].best, rows[i].latest, rows[i].stop, s.best,
                     s.latest, s.stop);
    }
}

static struct at_threshold metrics(double threshold, double score, bool met)
{
    struct at_threshold a = {.met = met, .threshold = threshold, .score = score};
    a.metrics.precision = a.metrics.recall = a.metrics.f1 = score;
    return a;
}

static void the_table_is_sorted_and_stable(void **state)
{
    (void)state;
    struct epoch_score epochs[2] = {{.loss = 0.5}, {.loss = 0.25}};
    struct trial_run trials[5] = {
        {.key = "a",
         .baseline = true,
         .state = TRIAL_DONE,
         .epochs_done = 2,
         .best_epoch = 2,
         .epochs = epochs,
         .own = metrics(0.5, 0.5, true),
         .at_baseline = metrics(0.5, 0.5, true)},
        {.key = "b",
         .state = TRIAL_DONE,
         .epochs_done = 2,
         .best_epoch = 1,
         .epochs = epochs,
         .own = metrics(0.4, 0.75, true),
         .at_baseline = metrics(0.5, 0, false)},
        {.key = "c",
         .state = TRIAL_DONE,
         .epochs_done = 2,
         .best_epoch = 2,
         .epochs = epochs,
         .own = metrics(0.3, 0.75, true),
         .at_baseline = metrics(0.5, 0.25, true)},
        {.key = "d", .state = TRIAL_FAILED, .why = "it died"},
        {.key = "e", .state = TRIAL_PRUNED, .epochs_done = 1, .best_epoch = 1, .epochs = epochs, .why = "pruned at epoch 1"},
    };
    struct json *options = json_object();
    for (int i = 0; i < 5; i++)
        trials[i].options = options;
    size_t order[5];
    table_rank(order, trials, 5, true);
    assert_int_equal(order[0] * 10000 + order[1] * 1000 + order[2] * 100 + order[3] * 10 + order[4], 12043);
    struct job j = {.name = "n", .tune.per_trial = true};
    char *text = table_to_markdown(trials, order, 5, &j);
    assert_string_equal(
        text, "# n: trials on validation\n\nrule f1, ranked at each trial's own threshold.\n\n"
              "| trial        | best epoch |   loss | baseline's threshold | precision | recall |     F1 | own threshold | "
              "precision | recall |     F1 | note |\n"
              "| ------------ | ---------- | -----: | -------------------: | --------: | -----: | -----: | ------------: | "
              "--------: | -----: | -----: | ---- |\n"
              "| b            | 1 of 2     | 0.5000 |                    - |         - |      - |      - |        0.4000 | "
              "   0.7500 | 0.7500 | 0.7500 |      |\n"
              "| c            | 2 of 2     | 0.2500 |               0.5000 |    0.2500 | 0.2500 | 0.2500 |        0.3000 | "
              "   0.7500 | 0.7500 | 0.7500 |      |\n"
              "| a (baseline) | 2 of 2     | 0.2500 |               0.5000 |    0.5000 | 0.5000 | 0.5000 |        0.5000 | "
              "   0.5000 | 0.5000 | 0.5000 |      |\n"
              "| e            | 1 of 1     | 0.5000 |                    - |         - |      - |      - |             - | "
              "        - |      - |      - | pruned at epoch 1 |\n"
              "| d            | -          |      - |                    - |         - |      - |      - |             - | "
              "        - |      - |      - | failed: it died |\n");
    free(text);
    table_rank(order, trials, 5, false);
    assert_int_equal(order[0] * 10000 + order[1] * 1000 + order[2] * 100 + order[3] * 10 + order[4], 2143);
    struct json *table = table_to_json(trials, order, 5, &j);
    const struct json *rows = json_get(table, "trials"), *pruned = json_at(rows, 3);
    assert_string_equal(json_string(json_get(json_at(rows, 4), "failed")), "it died");
    assert_string_equal(json_string(json_get(pruned, "pruned")), "pruned at epoch 1");
    assert_true(json_number(json_get(pruned, "validation_loss")) == 0.5 && !json_get(pruned, "at_own_threshold"));
    assert_true(json_number(json_get(json_at(json_get(table, "trials"), 1), "validation_loss")) == 0.25);
    json_destroy(&table);
    json_destroy(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_highest_score_wins),
        cmocka_unit_test(a_rule_that_cannot_be_met_is_said),
        cmocka_unit_test(exact_search_meets_what_the_grid_cannot),
        cmocka_unit_test(numbers_that_are_none_are_refused),
        cmocka_unit_test(the_best_epoch),
        cmocka_unit_test(the_table_is_sorted_and_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Thresholds and epochs, against metrics worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/memory.h"
#include "common/base/philox.h"
#include "common/score/labels.h"
#include "coordinator/decision/tune.h"

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

static void of_equal_thresholds_the_middle(void **state)
{
    (void)state;
    static const double p[] = {0.95, 0.9, 0.32, 0.2};
    static const int32_t t[] = {1, 1, 0, 0};
    static const struct {
        struct threshold_grid grid;
        double first, middle;
    } rows[] = {
        {{RULE_F1, 0.1, 0.9, 9, 1, 0}, 0.4, 0.6},                 /* 0.4 to 0.9 */
        {{RULE_F1, 0.5, 0.9, 5, 1, 0}, 0.5, 0.7},                 /* all */
        {{RULE_F1, 0.2, 0.2, 1, 1, 0}, 0.2, 0.2},                 /* no tie */
        {{RULE_F1, 0.1, 0.2, 2, 1, 0, .exact = true}, 0.9, 0.61}, /* half-way from 0.32 to 0.9 */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int middle = 0; middle < 2; middle++) {
            struct threshold_grid grid = rows[i].grid;
            struct at_threshold own;
            struct threshold_curve curve;
            struct label_thresholds of_labels;
            struct error e = {0};
            const uint8_t truth_of_label[] = {1, 1, 0, 0};
            grid.middle = middle;
            assert_int_equal(tune_sweep(&own, &curve, &grid, (struct validation_scores){p, t, 4}, &e), 0);
            near(own.threshold, middle ? rows[i].middle : rows[i].first);
            near(own.score, i == 2 ? 2.0 / 3 : 1);
            threshold_curve_free(&curve);
            const struct label_options o = {&grid, PER_CLASS_TRUE, 1};
            assert_int_equal(tune_labels(&of_labels, &o, (struct validation_labels){p, truth_of_label, 4, 1}, &e), 0);
            near(of_labels.global, middle ? rows[i].middle : rows[i].first);
            near(of_labels.thresholds[0], middle ? rows[i].middle : rows[i].first);
            label_thresholds_free(&of_labels);
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
            assert_true(t.each[l].own == (l == 0 && per_class)); /* auto: three rows show no gain */
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

/* Rows of a model that tells the first `learnt` labels by `signal` standard deviations and the others not at all; label l's
 * logits are shifted by shift[l]. */
struct drawn {
    double *p;
    uint8_t *truth;
    size_t rows, labels;
};

static double uniform(uint32_t word)
{
    return (word + 0.5) / 4294967296.0;
}

static struct drawn draw(uint32_t seed, size_t rows, size_t labels, double share, size_t learnt, double signal,
                         const double *shift)
{
    struct drawn d = {allocate(rows * labels, sizeof *d.p), allocate(rows, labels), rows, labels};
    for (size_t i = 0; i < rows; i++)
        for (size_t l = 0; l < labels; l++) {
            struct philox_block b = philox(seed, RANDOM_EXAMPLES, (uint32_t)i, (uint32_t)l, 0, 0);
            double normal = sqrt(-2 * log(uniform(b.word[0]))) * cos(2 * acos(-1) * uniform(b.word[1]));
            bool there = uniform(b.word[2]) < share;
            d.truth[i * labels + l] = there;
            d.p[i * labels + l] = sigmoid(-3 + (there && l < learnt ? signal : 0) + normal + shift[l]);
        }
    return d;
}

static void drawn_free(struct drawn *d)
{
    free(d->p);
    free(d->truth);
}

/* Thresholds by validation, F1 of all labels together (or their mean) on other rows; *own: labels with their own. */
static double f1_elsewhere(const struct drawn *validation, const struct drawn *test, enum per_class per_class, bool macro,
                           uint32_t *own)
{
    const struct threshold_grid grid = {RULE_F1, 0.05, 0.95, 91, 1, 0, .decimals = 2};
    const struct label_options o = {&grid, per_class, 10, macro};
    struct label_thresholds t;
    struct averaged_metrics m;
    struct error e = {0};
    assert_int_equal(
        tune_labels(&t, &o, (struct validation_labels){validation->p, validation->truth, validation->rows, validation->labels},
                    &e),
        0);
    label_metrics(&m, NULL, NULL, test->p, test->truth, t.thresholds, test->rows, test->labels);
    *own = 0;
    for (size_t l = 0; l < t.labels; l++)
        *own += t.each[l].own;
    assert_true(per_class == PER_CLASS_AUTO ? t.cross.folds == 5 && t.cross.repeats == 5 : t.cross.folds == 0);
    assert_true(*own == 0 || per_class == PER_CLASS_TRUE || t.cross.by_label > t.cross.global);
    label_thresholds_free(&t);
    return macro ? m.macro_f1 : m.micro_f1;
}

/* A label that is not learnt has its own best threshold where it says yes to every row: rare ones together drown the others. */
static void rare_labels_take_the_threshold_for_all(void **state)
{
    (void)state;
    const double shift[40] = {0};
    for (uint32_t seed = 1; seed <= 5; seed++) {
        struct drawn validation = draw(seed, 500, 40, 0.03, 8, 3, shift), test = draw(seed + 100, 4000, 40, 0.03, 8, 3, shift);
        uint32_t own;
        double all = f1_elsewhere(&validation, &test, PER_CLASS_FALSE, false, &own);
        double each = f1_elsewhere(&validation, &test, PER_CLASS_TRUE, false, &own);
        double automatic = f1_elsewhere(&validation, &test, PER_CLASS_AUTO, false, &own);
        if (!(each < 0.6 * all)) /* else this shows nothing */
            fail_msg("seed %u: expected thresholds by label to cost micro F1, found %.4f, and %.4f with one for all", seed, each,
                     all);
        if (!(automatic >= 0.97 * all))
            fail_msg("seed %u: expected at least %.4f, found %.4f with %u labels' own", seed, 0.97 * all, automatic, own);
        drawn_free(&validation);
        drawn_free(&test);
    }
}

/* Labels whose logits lie elsewhere need their own threshold, and have rows enough to show it. */
static void labels_that_gain_have_their_own(void **state)
{
    (void)state;
    const double shift[8] = {0, 0, 0, 0, 2.5, 2.5, -2, -2};
    for (int macro = 0; macro < 2; macro++) {
        struct drawn validation = draw(7, 800, 8, 0.2, 8, 2.5, shift), test = draw(107, 4000, 8, 0.2, 8, 2.5, shift);
        uint32_t own;
        double all = f1_elsewhere(&validation, &test, PER_CLASS_FALSE, macro, &own);
        double automatic = f1_elsewhere(&validation, &test, PER_CLASS_AUTO, macro, &own);
        if (!(own >= 4 && automatic > all + 0.05))
            fail_msg("macro %d: expected more than %.4f, found %.4f with %u labels' own", macro, all, automatic, own);
        drawn_free(&validation);
        drawn_free(&test);
    }
}

/* What is said of it: the two scores, in tune.json too; nothing where it was not asked for. */
static void cross_validation_is_told(void **state)
{
    (void)state;
    const double shift[8] = {0, 0, 0, 0, 2.5, 2.5, -2, -2};
    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};
    const struct threshold_grid grid = {RULE_F1, 0.05, 0.95, 91, 1, 0, .decimals = 2},
                                bound = {RULE_RECALL_AT_PRECISION, 0.05, 0.95, 91, 1, 0.5};
    struct drawn d = draw(7, 400, 8, 0.2, 8, 2.5, shift);
    const struct validation_labels v = {d.p, d.truth, d.rows, d.labels};
    const struct label_options o = {&grid, PER_CLASS_AUTO, 10, true}, of_bound = {&bound, PER_CLASS_AUTO, 10, true};
    struct label_thresholds t;
    struct error e = {0};
    assert_int_equal(tune_labels(&t, &o, v, &e), 0);
    char *summary = label_cross_summary(&t.cross, &grid), expected[128];
    snprintf(expected, sizeof expected, "cross-validated macro F1 %.4f with thresholds by label, %.4f with one for all",
             t.cross.by_label, t.cross.global);
    assert_string_equal(summary, expected);
    struct json *j = label_thresholds_to_json(&t, &grid, names);
    const struct json *cross = json_get(j, "cross_validation");
    assert_string_equal(json_string(json_get(cross, "why")), expected);
    assert_true(json_boolean(json_get(cross, "better")) == t.cross.better && t.cross.better);
    json_destroy(&j);
    free(summary);
    label_thresholds_free(&t);
    assert_int_equal(tune_labels(&t, &of_bound, v, &e), 0); /* a bound is each label's own */
    assert_true(t.cross.folds == 0 && !label_cross_summary(&t.cross, &bound));
    assert_true(t.each[0].own);
    label_thresholds_free(&t);
    drawn_free(&d);
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
        cmocka_unit_test(of_equal_thresholds_the_middle),
        cmocka_unit_test(a_rule_that_cannot_be_met_is_said),
        cmocka_unit_test(what_validation_does_not_support_is_not_chosen),
        cmocka_unit_test(labels_that_validation_does_not_support),
        cmocka_unit_test(rare_labels_take_the_threshold_for_all),
        cmocka_unit_test(labels_that_gain_have_their_own),
        cmocka_unit_test(cross_validation_is_told),
        cmocka_unit_test(exact_search_meets_what_the_grid_cannot),
        cmocka_unit_test(numbers_that_are_none_are_refused),
        cmocka_unit_test(the_best_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

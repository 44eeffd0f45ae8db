/* SPDX-License-Identifier: Apache-2.0 */
/* The threshold sweep against scikit-learn and numpy.linspace, point by point (tests/golden/score_threshold.json). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/memory.h"
#include "common/json/json.h"
#include "common/score/threshold.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POINTS 33

struct scored_rows {
    double *probability;
    int32_t *truth;
    size_t count;
};

static struct json *golden(void)
{
    struct error e;
    struct json *j;
    if (json_read(&j, TEST_GOLDEN "/score_threshold.json", &e))
        fail_msg("%s", e.message);
    return j;
}

static struct scored_rows rows_of(const struct json *c)
{
    const struct json *p = json_get(c, "probability"), *t = json_get(c, "truth");
    struct scored_rows r = {allocate(json_size(p), sizeof(double)), allocate(json_size(p), sizeof(int32_t)), json_size(p)};
    for (size_t i = 0; i < r.count; i++) {
        r.probability[i] = json_number(json_at(p, i));
        r.truth[i] = (int32_t)json_number(json_at(t, i));
    }
    return r;
}

static void rows_free(struct scored_rows *r)
{
    free(r->probability);
    free(r->truth);
}

static void check_point(const struct threshold_point *found, const struct json *expected, double threshold, const char *kind,
                        int i)
{
    const struct binary_metrics *m = &found->metrics;
    const double values[] = {(double)m->true_positive,
                             (double)m->false_positive,
                             (double)m->true_negative,
                             (double)m->false_negative,
                             m->accuracy,
                             m->precision,
                             m->recall,
                             m->f1,
                             f_beta(m->precision, m->recall, 0.5),
                             f_beta(m->precision, m->recall, 2)};
    if (found->threshold != threshold)
        fail_msg("%s, point %d: expected threshold %.17g, found %.17g", kind, i, threshold, found->threshold);
    for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
        double wanted = json_number(json_at(expected, k));
        if (fabs(values[k] - wanted) > (k < 8 ? 0 : 1e-15))
            fail_msg("%s, point %d, metric %zu: expected %.17g, found %.17g", kind, i, k, wanted, values[k]);
    }
}

static void test_sweep(void **state)
{
    (void)state;
    struct json *root = golden();
    const struct json *cases = json_get(root, "cases");
    assert_true(json_size(cases) >= 6);
    for (size_t i = 0; i < json_size(cases); i++) {
        const struct json *c = json_at(cases, i), *points = json_get(c, "points");
        const char *kind = json_string(json_get(c, "kind"));
        struct scored_rows r = rows_of(c);
        struct threshold_grid grid = {.rule = RULE_F1, .from = 0.1, .to = 0.9, .points = POINTS};
        struct threshold_point found[POINTS];
        struct error e;
        int best = -1;
        if (threshold_sweep(found, &best, &grid, (struct validation_scores){r.probability, r.truth, r.count}, &e))
            fail_msg("%s: %s", kind, e.message);
        for (int k = 0; k < POINTS; k++) {
            const struct json *expected = json_at(points, (size_t)k);
            double threshold = json_number(json_at(json_get(c, "grid"), (size_t)k));
            struct threshold_point alone = {.threshold = threshold};
            binary_metrics(&alone.metrics, r.probability, r.truth, r.count, threshold);
            check_point(&found[k], expected, threshold, kind, k);
            check_point(&alone, expected, threshold, "one threshold alone", k);
        }
        rows_free(&r);
    }
    json_destroy(&root);
}

static void test_rules(void **state)
{
    (void)state;
    const struct {
        const char *key;
        struct threshold_grid grid;
    } rules[] = {{"f1", {.rule = RULE_F1}},
                 {"f_0.5", {.rule = RULE_F_BETA, .beta = 0.5}},
                 {"f_2", {.rule = RULE_F_BETA, .beta = 2}},
                 {"recall_at_0.6", {.rule = RULE_RECALL_AT_PRECISION, .min_precision = 0.6}}};
    struct json *root = golden();
    const struct json *cases = json_get(root, "cases");
    for (size_t i = 0; i < json_size(cases); i++) {
        const struct json *c = json_at(cases, i);
        struct scored_rows r = rows_of(c);
        for (size_t k = 0; k < sizeof rules / sizeof *rules; k++) {
            struct threshold_grid grid = rules[k].grid;
            grid.from = 0.1;
            grid.to = 0.9;
            grid.points = POINTS;
            struct threshold_point found[POINTS];
            struct error e = {0};
            int best = -1, expected = (int)json_number(json_get(json_get(c, "best"), rules[k].key));
            int result = threshold_sweep(found, &best, &grid, (struct validation_scores){r.probability, r.truth, r.count}, &e);
            if (result != (expected < 0 ? -1 : 0) || best != expected)
                fail_msg("%s by %s: expected %d, found %d (%s)", json_string(json_get(c, "kind")), rules[k].key, expected, best,
                         e.message);
            char highest[64];
            snprintf(highest, sizeof highest, "the highest is %.4f", json_number(json_get(c, "highest_precision")));
            if (expected < 0 && (e.kind != ERROR_FAILED || !strstr(e.message, highest)))
                fail_msg("expected \"%s\" in \"%s\"", highest, e.message);
        }
        rows_free(&r);
    }
    json_destroy(&root);
}

static void test_linspace(void **state)
{
    (void)state;
    struct json *root = golden();
    const struct json *grids = json_get(root, "linspace");
    for (size_t i = 0; i < json_size(grids); i++) {
        const struct json *g = json_at(grids, i), *values = json_at(g, 3);
        struct threshold_grid grid = {
            .from = json_number(json_at(g, 0)), .to = json_number(json_at(g, 1)), .points = (int)json_number(json_at(g, 2))};
        struct threshold_point *found = allocate(json_size(values), sizeof *found);
        int best;
        assert_int_equal(
            threshold_sweep(found, &best, &grid, (struct validation_scores){(double[]){0.5}, (int32_t[]){1}, 1}, NULL), 0);
        for (size_t k = 0; k < json_size(values); k++)
            if (found[k].threshold != json_number(json_at(values, k)))
                fail_msg("linspace %zu[%zu]: expected %.17g, found %.17g", i, k, json_number(json_at(values, k)),
                         found[k].threshold);
        free(found);
    }
    json_destroy(&root);
}

static void refused(struct threshold_grid grid, const double *p, size_t count, enum error_kind kind, const char *words)
{
    struct threshold_point points[POINTS];
    struct error e = {0};
    int best = 77;
    assert_int_equal(threshold_sweep(points, &best, &grid, (struct validation_scores){p, (int32_t[]){1, 0, 1}, count}, &e), -1);
    assert_int_equal(e.kind, kind);
    assert_int_equal(best, 77);
    if (!strstr(e.message, words))
        fail_msg("expected \"%s\" in \"%s\"", words, e.message);
}

static void test_refusals(void **state)
{
    (void)state;
    const struct threshold_grid good = {.from = 0.1, .to = 0.9, .points = POINTS};
    struct threshold_grid bad = good;
    refused(good, (double[]){0.1, NAN, 0.2}, 3, ERROR_DATA, "row 1 ");
    refused(good, NULL, 0, ERROR_DATA, "empty");
    bad.points = 0;
    refused(bad, (double[]){0.1}, 1, ERROR_USAGE, "0 points");
    bad = good;
    bad.from = 0.95;
    refused(bad, (double[]){0.1}, 1, ERROR_USAGE, "lowest first");
    bad = good;
    bad.rule = RULE_F_BETA;
    refused(bad, (double[]){0.1}, 1, ERROR_USAGE, "beta");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sweep), cmocka_unit_test(test_rules),
                                       cmocka_unit_test(test_linspace), cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

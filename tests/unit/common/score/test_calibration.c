/* SPDX-License-Identifier: Apache-2.0 */
/* Temperature, ECE, Brier and the grid of W4 against NumPy and SciPy (tests/golden/score_calibration.json). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/memory.h"
#include "common/json/json.h"
#include "common/score/calibration.h"
#include "common/score/labels.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct json *golden(void)
{
    struct error e;
    struct json *j;
    if (json_read(&j, TEST_GOLDEN "/score_calibration.json", &e))
        fail_msg("%s", e.message);
    assert_true(json_size(json_get(j, "cases")) >= 4);
    return j;
}

static struct validation_outputs read_rows(const struct json *c)
{
    struct validation_outputs v = {.rows = (size_t)json_number(json_get(c, "rows")),
                                   .labels = (size_t)json_number(json_get(c, "labels"))};
    bool many = strcmp(json_string(json_get(c, "kind")), "labels") == 0;
    float *logits = allocate(v.rows, v.labels * sizeof *logits);
    int32_t *class = allocate(v.rows, sizeof *class);
    uint8_t *targets = allocate(v.rows, v.labels);
    for (size_t i = 0; i < v.rows * v.labels; i++) {
        logits[i] = (float)json_number(json_at(json_get(c, "logits"), i));
        if (many)
            targets[i] = (uint8_t)json_number(json_at(json_get(c, "truth"), i));
    }
    for (size_t i = 0; !many && i < v.rows; i++)
        class[i] = (int32_t)json_number(json_at(json_get(c, "truth"), i));
    v.logits = logits;
    v.class = many ? NULL : class;
    v.targets = many ? targets : NULL;
    if (many)
        free(class);
    else
        free(targets);
    return v;
}

static void rows_free(struct validation_outputs *v)
{
    free((void *)(uintptr_t)v->logits);
    free((void *)(uintptr_t)v->class);
    free((void *)(uintptr_t)v->targets);
}

static void check(double found, double expected, double tolerance, const struct json *c, const char *what)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%s, %s: expected %.17g, found %.17g", json_string(json_get(c, "name")), what, expected, found);
}

static void check_measure(struct validation_outputs v, double temperature, const struct json *expected, const struct json *c)
{
    struct reliability r;
    struct error e = {0};
    double temperatures[8];
    for (size_t l = 0; l < v.labels; l++)
        temperatures[l] = temperature;
    if (calibration_measure(&r, v, 1, temperatures, &e))
        fail_msg("%s", e.message);
    check(r.nll, json_number(json_get(expected, "nll")), 1e-12, c, "NLL");
    check(r.ece, json_number(json_get(expected, "ece")), 1e-12, c, "ECE");
    check(r.brier, json_number(json_get(expected, "brier")), 1e-12, c, "Brier");
    for (size_t b = 0; b < RELIABILITY_BINS; b++)
        check((double)r.bin[b].count, json_number(json_at(json_get(expected, "counts"), b)), 0, c, "rows of a bin");
}

static void measures(void **state)
{
    (void)state;
    struct json *root = golden();
    for (size_t i = 0; i < json_size(json_get(root, "cases")); i++) {
        const struct json *c = json_at(json_get(root, "cases"), i);
        struct validation_outputs v = read_rows(c);
        check_measure(v, 1, json_get(c, "before"), c);
        check_measure(v, 2.5, json_get(c, "after"), c);
        rows_free(&v);
    }
    json_destroy(&root);
}

static void temperatures(void **state)
{
    (void)state;
    struct json *root = golden();
    for (size_t i = 0; i < json_size(json_get(root, "cases")); i++) {
        const struct json *c = json_at(json_get(root, "cases"), i);
        struct validation_outputs v = read_rows(c);
        struct temperature_fit f;
        struct error e = {0};
        assert_int_equal(temperature_fit(&f, v, &e), 0);
        double expected = json_number(json_get(c, "temperature"));
        check(f.temperature, expected, 1e-5 * expected, c, "temperature"); /* SciPy's, as flat as the minimum is */
        assert_true(f.improved && f.nll_after < f.nll_before);
        rows_free(&v);
    }
    json_destroy(&root);
}

/* SciPy's minimum, as flat as it is. */
static void a_temperature_for_each_label(void **state)
{
    (void)state;
    struct json *root = golden();
    for (size_t i = 0; i < json_size(json_get(root, "cases")); i++) {
        const struct json *c = json_at(json_get(root, "cases"), i), *expected = json_get(c, "each"),
                          *measure = json_get(expected, "measure");
        struct validation_outputs v = read_rows(c);
        struct temperature_fit one, f;
        struct reliability r;
        struct error e = {0};
        double found[8];
        assert_int_equal(temperature_fit(&one, v, &e), 0);
        assert_int_equal(temperature_fit_each(found, NULL, &f, v, 0, &e), 0);
        assert_int_equal(f.own, v.labels);
        assert_true(f.improved && f.temperature == one.temperature && f.nll_after < one.nll_after);
        for (size_t l = 0; l < v.labels; l++) {
            double t = json_number(json_at(json_get(expected, "temperatures"), l));
            check(found[l], t, 1e-4 * t, c, "a label's temperature");
        }
        check(f.nll_after, json_number(json_get(measure, "nll")), 1e-9, c, "NLL at the labels' temperatures");
        assert_int_equal(calibration_measure(&r, v, 1, found, &e), 0);
        check(r.nll, f.nll_after, 1e-12, c, "NLL, measured");
        check(r.ece, json_number(json_get(measure, "ece")), 1e-5, c, "ECE at the labels' temperatures");
        check(r.brier, json_number(json_get(measure, "brier")), 1e-6, c, "Brier at the labels' temperatures");
        /* Nobody has rows enough: one for all. */
        assert_int_equal(temperature_fit_each(found, NULL, &f, v, (uint32_t)v.rows, &e), 0);
        assert_true(f.own == 0 && f.nll_after == one.nll_after);
        for (size_t l = 0; l < v.labels; l++)
            assert_true(found[l] == one.temperature);
        rows_free(&v);
    }
    json_destroy(&root);
}

/* Labels without a row, of all rows, or of few, keep what all have; so do separable ones, which would run to the bound. */
static void rare_labels_take_the_one_for_all(void **state)
{
    (void)state;
    enum { ROWS = 40, LABELS = 4 };
    float logits[ROWS * LABELS];
    uint8_t targets[ROWS * LABELS];
    int32_t class[ROWS];
    struct temperature_fit f;
    struct error e = {0};
    double found[LABELS];
    const char *why[LABELS];
    for (int i = 0; i < ROWS; i++) {
        const uint8_t row[LABELS] = {i % 2, 0, 1, i < 3}; /* label 0 is always right */
        class[i] = i % 2;
        for (int l = 0; l < LABELS; l++) {
            targets[i * LABELS + l] = row[l];
            logits[i * LABELS + l] = (float)(l == 0 ? (row[0] ? 2 : -2) : (i * 7 + l) % 5 - 2);
        }
    }
    assert_int_equal(
        temperature_fit_each(found, why, &f, (struct validation_outputs){logits, NULL, targets, ROWS, LABELS}, 5, &e), 0);
    assert_int_equal(f.own, 0);
    assert_string_equal(why[0], "validation has no error to fit it to");
    for (int l = 0; l < LABELS; l++)
        assert_true(found[l] == f.temperature && (l == 0 || !why[l]));
    assert_int_equal(temperature_fit_each(found, why, &f, (struct validation_outputs){logits, class, NULL, ROWS, LABELS}, 5, &e),
                     0);
    assert_true(f.own == 0 && isfinite(f.nll_after)); /* each of the two would run to its bound */
    for (int l = 0; l < LABELS; l++)
        assert_true(found[l] >= 0.05 - 1e-12 && found[l] <= 20 + 1e-9);
}

static void the_grid_of_w4(void **state)
{
    (void)state;
    struct json *root = golden();
    for (size_t i = 0; i < json_size(json_get(root, "cases")); i++) {
        const struct json *c = json_at(json_get(root, "cases"), i), *expected = json_get(c, "grid");
        struct validation_outputs v = read_rows(c);
        struct temperature_point points[TEMPERATURE_GRID];
        struct error e = {0};
        int best = -1, first = 0;
        int status = temperature_grid(points, &best, v, 1, &e);
        assert_int_equal(status, expected ? 0 : -1);
        for (int k = 0; expected && k < TEMPERATURE_GRID; k++) {
            check(points[k].f1, json_number(json_at(expected, (size_t)k)), 1e-15, c, "F1 of a point");
            first = points[k].f1 > points[first].f1 ? k : first;
        }
        if (expected) {
            assert_int_equal(best, first);
            assert_true(points[0].temperature == 1 && points[0].threshold == 0.2 && points[134].temperature == 15 &&
                        points[134].threshold == 1);
        }
        rows_free(&v);
    }
    json_destroy(&root);
}

/* Logits that lie on the points and beside them, and extreme ones: the same cases are counted as by probability >= threshold. */
static void the_grid_counts_as_probabilities_do(void **state)
{
    (void)state;
    float logits[9 * 15 * 3 + 3] = {FLT_MAX, -FLT_MAX, 0};
    uint8_t targets[9 * 15 * 3 + 3] = {1, 1, 0};
    size_t count = 3;
    struct temperature_point points[TEMPERATURE_GRID];
    struct error e = {0};
    int best;
    for (int k = 0; k < TEMPERATURE_GRID; k++)
        for (int beside = -1; beside < 2; beside++, count++) {
            double t = (2 + k % 9) / 10.0, x = (1 + k / 9) * (t < 1 ? log(t / (1 - t)) : 36.7);
            logits[count] = beside ? nextafterf((float)x, beside * INFINITY) : (float)x;
            targets[count] = count % 3 != 1;
        }
    assert_int_equal(temperature_grid(points, &best, (struct validation_outputs){logits, NULL, targets, count, 1}, 0, &e), 0);
    for (int k = 0; k < TEMPERATURE_GRID; k++) {
        struct binary_metrics m = {0};
        for (size_t i = 0; i < count; i++) {
            bool there = sigmoid(logits[i] / points[k].temperature) >= points[k].threshold;
            m.true_positive += there && targets[i];
            m.false_positive += there && !targets[i];
            m.false_negative += !there && targets[i];
        }
        binary_metrics_of_counts(&m);
        if (points[k].f1 != m.f1)
            fail_msg("temperature %g, threshold %g: expected F1 %.17g, found %.17g", points[k].temperature, points[k].threshold,
                     m.f1, points[k].f1);
    }
}

static void what_does_not_help_is_rolled_back(void **state)
{
    (void)state;
    /* No logit says anything: every temperature is as good. */
    const float nothing[4] = {0};
    const uint8_t targets[4] = {1, 0, 0, 1};
    struct temperature_fit f;
    struct error e = {0};
    assert_int_equal(temperature_fit(&f, (struct validation_outputs){nothing, NULL, targets, 2, 2}, &e), 0);
    assert_true(!f.improved && f.temperature == 1 && f.nll_after == f.nll_before);
    assert_string_equal(f.why, "no other lowers the validation NLL");
    /* All right: the surer the better, which is no evidence. */
    const float right[4] = {3, -3, -3, 3};
    assert_int_equal(temperature_fit(&f, (struct validation_outputs){right, NULL, targets, 2, 2}, &e), 0);
    assert_true(!f.improved && f.temperature == 1 && f.nll_after == f.nll_before);
    assert_string_equal(f.why, "validation has no error to fit it to");
    /* All wrong: the less sure the better, up to the bound. */
    const float wrong[4] = {-3, 3, 3, -3};
    assert_int_equal(temperature_fit(&f, (struct validation_outputs){wrong, NULL, targets, 2, 2}, &e), 0);
    assert_true(!f.improved && f.temperature == 1 && f.nll_after == f.nll_before);
    assert_string_equal(f.why, "the fit ran to its upper bound 20");
    /* One wrong that hardly counts beside what is right: down to the bound. */
    const float sure[4] = {3, -3, -3, -1e-30F};
    assert_int_equal(temperature_fit(&f, (struct validation_outputs){sure, NULL, targets, 2, 2}, &e), 0);
    assert_true(!f.improved && f.temperature == 1);
    assert_string_equal(f.why, "the fit ran to its lower bound 0.05");
}

static void refusals(void **state)
{
    (void)state;
    const float logits[2] = {1, NAN};
    const uint8_t targets[2] = {0};
    struct temperature_fit f;
    struct reliability r;
    struct error e = {0};
    assert_int_equal(temperature_fit(&f, (struct validation_outputs){logits, NULL, targets, 2, 1}, &e), -1);
    assert_true(e.kind == ERROR_DATA && strstr(e.message, "row 1 "));
    assert_int_equal(temperature_fit(&f, (struct validation_outputs){logits, NULL, targets, 0, 1}, &e), -1);
    assert_true(e.kind == ERROR_DATA && strstr(e.message, "empty"));
    static const double bad[] = {0, -1, NAN, INFINITY};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(calibration_measure(&r, (struct validation_outputs){logits, NULL, targets, 1, 1}, 0, &bad[i], &e), -1);
        assert_true(e.kind == ERROR_USAGE && strstr(e.message, "must be above 0"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measures),
        cmocka_unit_test(temperatures),
        cmocka_unit_test(the_grid_of_w4),
        cmocka_unit_test(the_grid_counts_as_probabilities_do),
        cmocka_unit_test(a_temperature_for_each_label),
        cmocka_unit_test(rare_labels_take_the_one_for_all),
        cmocka_unit_test(what_does_not_help_is_rolled_back),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

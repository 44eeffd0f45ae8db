/* SPDX-License-Identifier: Apache-2.0 */
/* The baseline's logistic regression against scikit-learn's (tests/golden/baseline_linear.json), and labels that cannot be
 * learnt. */
#include "common/base/memory.h"
#include "common/base/stop.h"
#include "common/json/json.h"
#include "coordinator/compare/baseline_fit.h"
#include "coordinator/compare/linear.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

enum { LABELS = 3 };

struct sample {
    struct json *golden;
    const char **train, **test;
    unsigned char *truth; /* (train, LABELS) */
    size_t train_count, test_count;
};

static const char **texts_of(const struct json *list)
{
    const char **texts = allocate(json_size(list), sizeof *texts);
    for (size_t i = 0; i < json_size(list); i++)
        texts[i] = json_string(json_at(list, i));
    return texts;
}

static int setup(void **state)
{
    struct sample *s = allocate(1, sizeof *s);
    struct error e;
    if (json_read(&s->golden, TEST_GOLDEN "/baseline_linear.json", &e) != 0)
        fail_msg("%s", e.message);
    const struct json *truth = json_get(s->golden, "truth");
    s->train = texts_of(json_get(s->golden, "train"));
    s->test = texts_of(json_get(s->golden, "test"));
    s->train_count = json_size(json_get(s->golden, "train"));
    s->test_count = json_size(json_get(s->golden, "test"));
    s->truth = allocate(s->train_count, LABELS);
    for (size_t i = 0; i < s->train_count; i++)
        for (size_t k = 0; k < LABELS; k++)
            s->truth[i * LABELS + k] = json_number(json_at(json_at(truth, i), k)) != 0;
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct sample *s = *state;
    json_destroy(&s->golden);
    free(s->train);
    free(s->test);
    free(s->truth);
    free(s);
    return 0;
}

static void balance(double *positive, double *negative, const struct sample *s)
{
    for (size_t k = 0; k < LABELS; k++) {
        double ones = 0, rows = (double)s->train_count;
        for (size_t i = 0; i < s->train_count; i++)
            ones += s->truth[i * LABELS + k];
        positive[k] = rows / (2 * ones);
        negative[k] = rows / (2 * (rows - ones));
    }
}

static void check_fit(const struct sample *s, const char *weights, const double *positive, const double *negative)
{
    const struct json *expected = json_get(s->golden, weights), *decisions = json_get(expected, "decisions");
    struct baseline_rows scored = {s->test, s->test_count};
    struct baseline_task task = {.terms = {2, 200000},
                                 .train = {s->train, s->train_count},
                                 .truth = s->truth,
                                 .columns = LABELS,
                                 .positive = positive,
                                 .negative = negative,
                                 .scored = &scored,
                                 .scored_count = 1};
    struct baseline_fit fit;
    struct error e;
    if (baseline_fit(&fit, &task, &e) != 0)
        fail_msg("%s", e.message);
    assert_int_equal(fit.features, json_number(json_get(s->golden, "features")));
    for (size_t i = 0; i < s->test_count; i++)
        for (size_t k = 0; k < LABELS; k++) {
            double want = json_number(json_at(json_at(decisions, i), k)), found = fit.decisions[0][i * LABELS + k];
            if (!(fabs(found - want) <= 2e-3)) /* eps 1e-4 stops short of the optimum that the golden file has */
                fail_msg("weights %s, row %zu, label %zu: expected %.6f, found %.6f", weights, i, k, want, found);
        }
    for (size_t k = 0; k < LABELS; k++)
        assert_string_equal(fit.terms[k * BASELINE_TERMS].term, json_string(json_at(json_at(json_get(expected, "top"), k), 0)));
    baseline_fit_free(&fit);
}

static void test_scikit_learn(void **state)
{
    double positive[LABELS] = {1, 1, 1}, negative[LABELS] = {1, 1, 1};
    check_fit(*state, "none", positive, negative);
    balance(positive, negative, *state);
    check_fit(*state, "balanced", positive, negative);
}

static void test_labels_without_an_example(void **state)
{
    (void)state;
    const char *const texts[] = {"aa bb", "aa cc", "bb cc", "dd"}, *const other[] = {"aa", "", "never seen"};
    const unsigned char truth[] = {0, 1, 0, 1, 0, 1, 0, 1}; /* label 0 never, label 1 always */
    const double ones[] = {1, 1};
    struct baseline_rows scored = {other, 3};
    struct baseline_task task = {{1, 1000}, {texts, 4}, truth, 2, ones, ones, &scored, 1};
    struct baseline_fit fit;
    struct error e;
    assert_int_equal(baseline_fit(&fit, &task, &e), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_float_equal(fit.decisions[0][2 * i], -log(9), 1e-6);
        assert_float_equal(fit.decisions[0][2 * i + 1], log(9), 1e-6);
    }
    assert_null(fit.terms[0].term);
    baseline_fit_free(&fit);
}

static void test_no_words(void **state)
{
    (void)state;
    const char *const texts[] = {"", "a b", "?"};
    const unsigned char truth[] = {0, 1, 1};
    const double one = 1;
    struct baseline_task task = {{1, 1000}, {texts, 3}, truth, 1, &one, &one, NULL, 0};
    struct baseline_fit fit;
    struct error e;
    assert_int_equal(baseline_fit(&fit, &task, &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
}

/* Rows without a known word are decided by the intercept alone. */
static void test_intercept(void **state)
{
    (void)state;
    struct linear_rows *rows;
    const uint32_t columns[] = {0, 1};
    const double one = 1;
    linear_rows_create(&rows, 2);
    linear_rows_append(rows, &columns[0], &one, 1);
    linear_rows_append(rows, &columns[1], &one, 1);
    linear_rows_append(rows, NULL, NULL, 0);
    const unsigned char truth[] = {1, 0, 0};
    double weights[3];
    linear_fit(weights, rows, truth, 1, 1);
    assert_true(weights[0] > 0 && weights[1] < 0 && weights[2] < 0);
    assert_float_equal(linear_decide(rows, 2, weights), weights[2], 0);
    /* at the optimum the gradient is 0: w = sum of (truth - p) x */
    for (int c = 0; c < 3; c++) {
        double sum = 0;
        for (size_t i = 0; i < 3; i++)
            sum += (c == 2 || (size_t)c == i) * (truth[i] - 1 / (1 + exp(-linear_decide(rows, i, weights))));
        assert_float_equal(weights[c], sum, 1e-3);
    }
    linear_rows_destroy(&rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scikit_learn), cmocka_unit_test(test_labels_without_an_example),
                                       cmocka_unit_test(test_no_words), cmocka_unit_test(test_intercept)};
    return cmocka_run_group_tests(tests, setup, teardown);
}

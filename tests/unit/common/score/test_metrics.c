/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics and losses against scikit-learn and PyTorch (tests/golden/score_classes.json, score_loss.json). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/memory.h"
#include "common/json/json.h"
#include "common/score/metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static struct json *golden(const char *name)
{
    struct error e;
    struct json *j;
    char *path = format_string("%s/%s", TEST_GOLDEN, name);
    if (json_read(&j, path, &e))
        fail_msg("%s", e.message);
    free(path);
    return j;
}

static void check(double found, double expected, const char *what, size_t i)
{
    if (!(fabs(found - expected) <= 1e-14 * fmax(1, fabs(expected))))
        fail_msg("%s, case %zu: expected %.17g, found %.17g", what, i, expected, found);
}

static int32_t *indexes(const struct json *list)
{
    int32_t *values = allocate(json_size(list), sizeof *values);
    for (size_t i = 0; i < json_size(list); i++)
        values[i] = (int32_t)json_number(json_at(list, i));
    return values;
}

static double at(const struct json *object, const char *key, size_t i)
{
    return json_number(json_at(json_get(object, key), i));
}

static void test_class_metrics(void **state)
{
    (void)state;
    struct json *root = golden("score_classes.json");
    const struct json *cases = json_get(root, "cases");
    assert_true(json_size(cases) >= 4);
    for (size_t i = 0; i < json_size(cases); i++) {
        const struct json *c = json_at(cases, i), *each = json_get(c, "per_class");
        size_t labels = json_size(each), rows = json_size(json_get(c, "truth"));
        int32_t *truth = indexes(json_get(c, "truth")), *predicted = indexes(json_get(c, "predicted"));
        struct class_metrics *per_class = allocate(labels, sizeof *per_class);
        struct averaged_metrics m;
        class_metrics(&m, per_class, predicted, truth, rows, labels);
        check(m.accuracy, json_number(json_get(c, "accuracy")), "accuracy", i);
        check(m.micro_precision, at(c, "micro", 0), "micro precision", i);
        check(m.micro_recall, at(c, "micro", 1), "micro recall", i);
        check(m.micro_f1, at(c, "micro", 2), "micro F1", i);
        check(m.macro_precision, at(c, "macro", 0), "macro precision", i);
        check(m.macro_recall, at(c, "macro", 1), "macro recall", i);
        check(m.macro_f1, at(c, "macro", 2), "macro F1", i);
        check(m.weighted_f1, at(c, "weighted", 2), "weighted F1", i);
        for (size_t k = 0; k < labels; k++) {
            const struct json *expected = json_at(each, k);
            check(per_class[k].precision, json_number(json_at(expected, 0)), "precision of a class", i);
            check(per_class[k].recall, json_number(json_at(expected, 1)), "recall of a class", i);
            check(per_class[k].f1, json_number(json_at(expected, 2)), "F1 of a class", i);
            assert_int_equal(per_class[k].support, (uint64_t)json_number(json_at(expected, 3)));
        }
        free(per_class);
        free(truth);
        free(predicted);
    }
    json_destroy(&root);
}

static void test_losses(void **state)
{
    (void)state;
    struct json *root = golden("score_loss.json");
    const struct json *cases = json_get(root, "cases");
    assert_true(json_size(cases) >= 4);
    for (size_t i = 0; i < json_size(cases); i++) {
        const struct json *c = json_at(cases, i), *weights = json_get(c, "weights"), *plain = json_get(c, "sklearn_log_loss");
        size_t rows = (size_t)json_number(json_get(c, "rows")), labels = (size_t)json_number(json_get(c, "labels"));
        int32_t *truth = indexes(json_get(c, "truth"));
        float *logits = allocate(rows * labels, sizeof *logits);
        double *w = allocate(labels, sizeof *w), *p = allocate(rows + labels, sizeof *p);
        for (size_t k = 0; k < rows * labels; k++)
            logits[k] = (float)at(c, "logits", k);
        for (size_t k = 0; k < labels; k++)
            w[k] = json_type(weights) == JSON_NULL ? 1 : json_number(json_at(weights, k));
        check(cross_entropy(logits, truth, json_type(weights) == JSON_NULL ? NULL : w, rows, labels),
              json_number(json_get(c, "loss")), "weighted cross entropy", i);
        if (json_type(plain) == JSON_NUMBER)
            check(cross_entropy(logits, truth, NULL, rows, labels), json_number(plain), "log loss", i);
        softmax(p, logits, labels, NULL);
        for (size_t k = 0; k < labels; k++)
            check(p[k], at(c, "softmax_row_0", k), "softmax", i);
        double temperatures[64];
        for (size_t l = 0; l < labels; l++)
            temperatures[l] = json_number(json_get(c, "temperature"));
        probabilities_of_class(p, logits, rows, labels, 1, temperatures);
        for (size_t k = 0; k < rows; k++)
            check(p[k], at(c, "class_1_hot", k), "probability at a temperature", i);
        free(truth);
        free(logits);
        free(w);
        free(p);
    }
    json_destroy(&root);
}

static void test_extremes(void **state)
{
    (void)state;
    const float logits[] = {1e4f, -1e4f, -3.4e38f, 3.4e38f};
    const int32_t truth[] = {1, 1};
    double p[2];
    probabilities_of_class(p, logits, 2, 2, 1, NULL);
    check(p[0], 0, "a hopeless logit", 0);
    check(p[1], 1, "a certain logit", 0);
    check(cross_entropy(logits, truth, NULL, 1, 2), 2e4, "a loss beyond the range of exp", 0);
    check(cross_entropy(logits, truth, NULL, 0, 2), 0, "a loss over no rows", 0);
    struct binary_metrics none;
    binary_metrics(&none, p, truth, 0, 0.5);
    check(none.accuracy + none.precision + none.recall + none.f1, 0, "metrics over no rows", 0);
    check(f_beta(0, 0, 1), 0, "F of nothing", 0);
    check(f_beta(0.5, 0.25, 2), 0.2777777777777778, "F2", 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_class_metrics), cmocka_unit_test(test_losses),
                                       cmocka_unit_test(test_extremes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

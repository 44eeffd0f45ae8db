/* SPDX-License-Identifier: Apache-2.0 */
/* The highest F1, average precision and ROC AUC against scikit-learn (tests/golden/score_ranking.json). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/memory.h"
#include "common/json/json.h"
#include "common/score/ranking.h"

#include <math.h>
#include <stdlib.h>

static void check(const struct json *c, const char *key, double found)
{
    const struct json *expected = json_get(c, key);
    if (json_type(expected) == JSON_NULL ? !isnan(found) : !(fabs(found - json_number(expected)) < 1e-12))
        fail_msg("%s, %s: expected %.17g, found %.17g", json_string(json_get(c, "name")), key, json_number(expected), found);
}

static void as_scikit_learn(void **state)
{
    (void)state;
    struct json *root;
    struct error e;
    if (json_read(&root, TEST_GOLDEN "/score_ranking.json", &e))
        fail_msg("%s", e.message);
    const struct json *cases = json_get(root, "cases");
    assert_true(json_size(cases) >= 9);
    for (size_t k = 0; k < json_size(cases); k++) {
        const struct json *c = json_at(cases, k);
        size_t rows = (size_t)json_number(json_get(c, "rows")), labels = (size_t)json_number(json_get(c, "labels"));
        double *p = allocate(rows, labels * sizeof *p);
        uint8_t *truth = allocate(rows, labels);
        for (size_t i = 0; i < rows * labels; i++) {
            p[i] = json_number(json_at(json_get(c, "probability"), i));
            truth[i] = (uint8_t)json_number(json_at(json_get(c, "truth"), i));
        }
        struct ranking r;
        ranking_metrics(&r, p, truth, rows, labels);
        check(c, "best_f1", r.best_f1);
        check(c, "average_precision", r.average_precision);
        check(c, "macro_average_precision", r.macro_average_precision);
        check(c, "roc_auc", r.roc_auc);
        free(truth);
        free(p);
    }
    json_destroy(&root);
}

static void what_is_not_a_number(void **state)
{
    (void)state;
    struct ranking r;
    ranking_metrics(&r, (const double[]){0.5, NAN}, (const uint8_t[]){1, 0}, 2, 1);
    assert_true(r.best_f1 == 0 && r.average_precision == 0 && r.macro_average_precision == 0 && isnan(r.roc_auc));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_scikit_learn), cmocka_unit_test(what_is_not_a_number)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of models: a comparison by draws that are known, scores against counts made by hand, bundles into tables by their split
 * and labels, and the three forms for people. Whole runs: tests/system/test_zoo.sh, against figures computed in Python. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/zoo/zoo.h"
#include "coordinator/zoo/zoo_score.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char directory[] = "/tmp/test_zoo.XXXXXX";

static int enter(void **state)
{
    (void)state;
    return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    struct error e;
    return chdir("/") == 0 ? directory_remove(directory, &e) : -1;
}

static double number(const struct json *o, const char *key)
{
    if (!json_get(o, key))
        fail_msg("no %s", key);
    return json_number(json_get(o, key));
}

static void close_to(double found, double expected)
{
    if (!(fabs(found - expected) < 1e-12))
        fail_msg("expected %.17g, found %.17g", expected, found);
}

/* ---- against another model ---- */

/* The first `worse` draws are 0.2 below the other's, the rest 0.1 above. */
static struct json *compared(size_t worse)
{
    double *own = allocate(ZOO_DRAWS * BOOTSTRAP_METRICS, sizeof *own),
           *others = allocate(ZOO_DRAWS * BOOTSTRAP_METRICS, sizeof *others);
    for (size_t d = 0; d < ZOO_DRAWS; d++) {
        others[d * BOOTSTRAP_METRICS + BOOTSTRAP_MICRO_F1] = 0.5;
        own[d * BOOTSTRAP_METRICS + BOOTSTRAP_MICRO_F1] = d < worse ? 0.3 : 0.6;
    }
    struct json *part = json_object(), *other = json_object();
    json_set_number(part, "micro_f1", 0.4);
    json_set_number(other, "micro_f1", 0.5);
    zoo_compare(part, other, own, others, BOOTSTRAP_MICRO_F1);
    json_destroy(&other);
    free(own);
    free(others);
    return part;
}

static void p_is_twice_the_smaller_side(void **state)
{
    (void)state;
    const struct {
        size_t worse;
        double p;
    } cases[] = {{1000, 2.0 / 1001}, {0, 2.0 / 1001}, {990, 22.0 / 1001}, {10, 22.0 / 1001}, {500, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct json *part = compared(cases[i].worse);
        close_to(number(part, "p"), cases[i].p);
        close_to(number(part, "difference"), 0.4 - 0.5);
        const struct json *interval = json_get(part, "difference_interval");
        close_to(json_number(json_at(interval, 0)), cases[i].worse > 25 ? 0.3 - 0.5 : 0.6 - 0.5);
        close_to(json_number(json_at(interval, 1)), cases[i].worse < 975 ? 0.6 - 0.5 : 0.3 - 0.5);
        json_destroy(&part);
    }
}

/* ---- scores ---- */

/* Four rows of three labels; p = 0.5 is decided as there. Label 0: right twice, said once too often; 1: never there, never said;
 * 2: missed once. */
static void scores_are_those_counted_by_hand(void **state)
{
    (void)state;
    uint8_t targets[] = {1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0};
    const float logits[] = {1, -1, -1, 1, -1, -1, 0, -1, -1, -1, -1, -1};
    const double ones[] = {1, 1, 1}, half[] = {0.5, 0.5, 0.5};
    const struct truth t = {.kind = DECISION_LABELS, .rows = 4, .labels = 3, .targets = targets};
    double *draws = allocate(ZOO_DRAWS, BOOTSTRAP_METRICS * sizeof *draws);
    struct json *o = zoo_score(draws, &(struct zoo_model){&t, logits, ones, half});
    close_to(number(o, "rows"), 4);
    close_to(number(o, "micro_precision"), 2.0 / 3);
    close_to(number(o, "micro_recall"), 2.0 / 3);
    close_to(number(o, "macro_f1"), 0.8 / 3);
    close_to(number(o, "subset_accuracy"), 0.5);
    close_to(number(o, "rows_precision"), 0.5);
    close_to(number(o, "rows_recall"), 0.375);
    close_to(json_number(json_at(json_get(o, "label_f1"), 0)), 0.8);
    close_to(json_number(json_at(json_get(o, "label_f1"), 1)), 0);
    assert_int_equal(json_size(json_get(o, "label_f1")), 3);
    const struct json *sanity = json_get(o, "sanity");
    close_to(number(sanity, "true_labels"), 0.75);
    close_to(number(sanity, "predicted_labels"), 0.75);
    close_to(number(sanity, "share_with_any"), 0.75);
    close_to(number(sanity, "probability_max"), 1 / (1 + exp(-1)));
    json_destroy(&o);
    free(draws);
}

/* ---- bundles ---- */

/* outputs: of validation_outputs; logits of two rows and two labels. */
static void bundle(const char *name, const char *split, const char *labels, double f1, const char *outputs)
{
    struct error e = {0};
    char *inference = format_string(
             "{\"name\": \"%s\", \"model_name\": \"m\", \"split_sha256\": \"%s\", \"threshold\": 0.5, \"temperature\": 1, "
             "\"input\": {\"text_a\": [\"t\"], \"text_b\": [], \"multi\": true, \"labels\": %s}}",
             name, split, labels),
         *evaluation =
             format_string("{\"validation\": {\"rows\": 2, \"rules\": {\"tuned\": {\"micro_f1\": %g}}}, "
                           "\"test\": {\"rows\": 2, \"rules\": {\"tuned\": {\"micro_f1\": %g}}}, \"validation_outputs\": %s}",
                           f1, 1 - f1, outputs),
         *path = path_join(name, "inference_config.json"), *about = path_join(name, "evaluation.json");
    assert_int_equal(directory_create(name, &e), 0);
    assert_int_equal(file_write(path, inference, strlen(inference), &e), 0);
    assert_int_equal(file_write(about, evaluation, strlen(evaluation), &e), 0);
    free(about);
    free(path);
    free(evaluation);
    free(inference);
}

#define AB "[\"a\", \"b\"]"
#define RIGHT "{\"truth\": [[0], [1]], \"logits\": [[2, -2], [-2, 2]]}"
#define HALF "{\"truth\": [[0], [1]], \"logits\": [[2, -2], [2, -2]]}"

static const char *name_at(const struct json *table, size_t i)
{
    return json_string(json_get(json_at(json_get(table, "models"), i), "name"));
}

static void bundles_of_one_protocol_share_a_table(void **state)
{
    (void)state;
    struct error e = {0};
    struct json *zoo;
    bundle("half", "s1", AB, 0.5, HALF);
    bundle("right", "s1", AB, 1, RIGHT);
    bundle("other-split", "s2", AB, 0.9, RIGHT);
    bundle("other-labels", "s1", "[\"b\", \"a\"]", 0.9, RIGHT);
    bundle("no-logits", "s1", AB, 0.75, "null");
    const char *const paths[] = {"half", "other-split", "right", "other-labels", "no-logits"};
    assert_int_equal(zoo_read(&zoo, paths, 5, &e), 0);
    const struct json *tables = json_get(zoo, "tables"), *first = json_at(tables, 0);
    assert_int_equal(json_size(tables), 3);
    assert_int_equal(json_size(json_get(first, "models")), 3);
    assert_string_equal(name_at(first, 0), "right"); /* by validation: by test it would be the last */
    assert_string_equal(name_at(first, 1), "no-logits");
    assert_string_equal(name_at(first, 2), "half");
    assert_string_equal(name_at(json_at(tables, 1), 0), "other-split");
    assert_string_equal(json_string(json_at(json_get(first, "labels"), 1)), "b");
    const struct json *half = json_get(json_at(json_get(first, "models"), 2), "validation"),
                      *none = json_get(json_at(json_get(first, "models"), 1), "validation");
    close_to(number(half, "difference"), -0.5);
    assert_true(number(half, "p") > 0 && number(half, "p") <= 1);
    close_to(number(half, "ece"), 1 / (1 + exp(-2)) - 0.5);
    assert_null(json_get(none, "ece"));
    assert_null(json_get(none, "p"));
    assert_non_null(strstr(json_string(json_get(json_at(json_get(first, "models"), 1), "missing")), "without logits"));
    char *csv = zoo_to_csv(zoo), *markdown = zoo_to_markdown(zoo), *html = zoo_to_html(zoo);
    assert_non_null(strstr(csv, "\r\n2,other-split,m,"));
    assert_non_null(strstr(markdown, "no-logits: a bundle without logits"));
    assert_non_null(strstr(html, "no-logits: a bundle without logits"));
    free(html);
    free(markdown);
    free(csv);
    json_destroy(&zoo);
}

static void refused(const char *path, enum error_kind kind, const char *words)
{
    struct error e = {0};
    struct json *zoo;
    if (zoo_read(&zoo, &path, 1, &e) == 0)
        fail_msg("%s was taken", path);
    assert_int_equal(e.kind, kind);
    if (!strstr(e.message, words))
        fail_msg("expected '%s', found '%s'", words, e.message);
}

static void what_is_damaged_is_named(void **state)
{
    (void)state;
    struct error e = {0};
    assert_int_equal(directory_create("empty", &e), 0);
    refused("empty", ERROR_USAGE, "holds no run");
    refused("nowhere", ERROR_USAGE, "nowhere");
    bundle("one-row", "s1", AB, 1, "{\"truth\": [[0], [1]], \"logits\": [[2, -2]]}");
    refused("one-row", ERROR_DATA, "one-row/evaluation.json: validation_outputs does not fit");
    bundle("third-label", "s1", AB, 1, "{\"truth\": [[0], [2]], \"logits\": [[2, -2], [1, 1]]}");
    refused("third-label", ERROR_DATA, "does not fit the bundle's 2 labels");
    bundle("words", "s1", AB, 1, "{\"truth\": [[0], [1]], \"logits\": [[2, \"x\"], [1, 1]]}");
    refused("words", ERROR_DATA, "does not fit");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(p_is_twice_the_smaller_side),
        cmocka_unit_test(scores_are_those_counted_by_hand),
        cmocka_unit_test(bundles_of_one_protocol_share_a_table),
        cmocka_unit_test(what_is_damaged_is_named),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}

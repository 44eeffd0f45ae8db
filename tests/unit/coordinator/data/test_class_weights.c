/* SPDX-License-Identifier: Apache-2.0 */
/* Class weights: the metrics that W1's authors printed for 2,029 and 887 train rows, and a label that train lacks. Biases of a
 * new head: no other constant has a smaller loss. */
#include "common/base/memory.h"
#include "common/json/json.h"
#include "coordinator/data/split.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NEGATIVES = 2029, POSITIVES = 887, OTHERS = 1200 };

struct data {
    struct dataset *rows;
    struct split split;
    struct json *check;
};

/* Train rows first, then validation rows that are all of label 1: they must not count. */
static void make(struct data *d, uint32_t negatives, uint32_t positives)
{
    struct error e;
    struct dataset_writer *w;
    uint32_t train = negatives + positives;
    char path[] = "test_class_weights.XXXXXX";
    assert_true(close(mkstemp(path)) == 0);
    assert_int_equal(dataset_writer_create(&w, path, 2, false, &e), 0);
    for (uint32_t i = 0; i < train + OTHERS; i++) {
        char id[16];
        snprintf(id, sizeof id, "%u", i);
        struct token_row tokens = {(const int32_t[]){1, 2}, 2, 2};
        assert_int_equal(dataset_writer_append(w, id, id, i >= negatives, NULL, tokens, &e), 0);
    }
    assert_int_equal(dataset_writer_commit(&w, &e), 0);
    assert_int_equal(dataset_open(&d->rows, path, &e), 0);
    unlink(path);
    d->split = (struct split){0};
    d->split.part[PART_TRAIN].rows = allocate(train, sizeof(uint32_t));
    d->split.part[PART_TRAIN].count = train;
    for (uint32_t i = 0; i < train; i++)
        d->split.part[PART_TRAIN].rows[i] = i;
    const char *check = "{\"labels\": [{\"name\": \"NO\"}, {\"name\": \"YES\"}]}";
    assert_int_equal(json_parse(&d->check, check, strlen(check), "check", &e), 0);
}

static void clear(struct data *d)
{
    dataset_close(&d->rows);
    split_free(&d->split);
    json_destroy(&d->check);
}

static void expect_weights(const struct data *d, const char *name, double negative, double positive)
{
    struct error e = {0};
    struct job j = {.train.class_weights = name};
    double found[2] = {0};
    if (data_class_weights(found, &j, d->rows, &d->split, d->check, &e))
        fail_msg("%s: %s", name, e.message);
    if (fabs(found[0] - negative) > 5e-5 || fabs(found[1] - positive) > 5e-5)
        fail_msg("%s: expected %.4f and %.4f, found %.4f and %.4f", name, negative, positive, found[0], found[1]);
}

static void of_the_train_part(void **state)
{
    (void)state;
    struct data d;
    make(&d, NEGATIVES, POSITIVES);
    expect_weights(&d, "balanced", 0.7186, 1.6437);
    expect_weights(&d, "none", 1, 1);
    clear(&d);
}

static void a_label_that_train_lacks_is_named(void **state)
{
    (void)state;
    struct data d;
    struct error e = {0};
    struct job j = {.train.class_weights = "balanced"};
    double weights[2];
    make(&d, 10, 0);
    assert_int_equal(data_class_weights(weights, &j, d.rows, &d.split, d.check, &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
    assert_non_null(strstr(e.message, "label 'YES' has no row in the train part of 10 rows"));
    clear(&d);
}

static void a_list_needs_one_for_each_label(void **state)
{
    (void)state;
    struct data d;
    struct error e = {0};
    double weights[2], list[] = {2, 3, 4};
    struct job j = {.train = {.class_weight_list = list, .class_weight_count = 3}};
    make(&d, 10, 5);
    assert_int_equal(data_class_weights(weights, &j, d.rows, &d.split, d.check, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    j.train.class_weight_count = 2;
    assert_int_equal(data_class_weights(weights, &j, d.rows, &d.split, d.check, &e), 0);
    assert_float_equal(weights[1], 3, 0);
    clear(&d);
}

/* Rows of train with label l: one in spacing[l], none for 0; then a row that has all, which does not train. */
static void make_multi(struct data *d, uint32_t rows, const uint32_t *spacing, uint32_t labels)
{
    struct error e;
    struct dataset_writer *w;
    char path[] = "test_class_weights.XXXXXX";
    assert_true(close(mkstemp(path)) == 0);
    assert_int_equal(dataset_writer_create(&w, path, labels, true, &e), 0);
    *d = (struct data){.split.part[PART_TRAIN] = {.rows = allocate(rows, sizeof(uint32_t)), .count = rows}};
    for (uint32_t i = 0; i <= rows; i++) {
        char id[16];
        float *targets = allocate(labels, sizeof *targets);
        for (uint32_t l = 0; l < labels; l++)
            targets[l] = i == rows || (spacing[l] && i % spacing[l] == 0);
        snprintf(id, sizeof id, "%u", i);
        struct token_row tokens = {(const int32_t[]){1, 2}, 2, 2};
        assert_int_equal(dataset_writer_append(w, id, id, -1, targets, tokens, &e), 0);
        free(targets);
        if (i < rows)
            d->split.part[PART_TRAIN].rows[i] = i;
    }
    assert_int_equal(dataset_writer_commit(&w, &e), 0);
    assert_int_equal(dataset_open(&d->rows, path, &e), 0);
    unlink(path);
}

/* The slope of the loss of docs/training.md by the bias of label l, over `rows` rows of which `having` have it. */
static double slope(double bias, double having, double rows, double weight, double smoothing)
{
    double p = 1 / (1 + exp(-bias)), there = 1 - smoothing / 2, absent = smoothing / 2;
    double of_one = (1 - there) * p - there * weight * (1 - p), of_other = (1 - absent) * p - absent * weight * (1 - p);
    return having * of_one + (rows - having) * of_other;
}

static void biases_of_many_labels_a_row(void **state)
{
    (void)state;
    static const uint32_t spacing[] = {2, 20, 500, 0, 1};
    static const double having[] = {500, 50, 2, 0.5, 999.5}, weights[] = {1, 10, 10, 10, 1};
    struct data d;
    double bias[5];
    make_multi(&d, 1000, spacing, 5);
    for (int smoothed = 0; smoothed < 2; smoothed++) {
        struct job j = {.train.label_smoothing = 0.1 * smoothed};
        data_head_bias(bias, &j, d.rows, &d.split, weights);
        assert_true(fabs(bias[0]) < 1e-12 && bias[2] < bias[1] && bias[1] < bias[4]);
        for (size_t l = 0; l < 5; l++)
            if (fabs(slope(bias[l], having[l], 1000, weights[l], j.train.label_smoothing)) > 1e-9)
                fail_msg("smoothing %g: label %zu: bias %.9f has slope %g", j.train.label_smoothing, l, bias[l],
                         slope(bias[l], having[l], 1000, weights[l], j.train.label_smoothing));
    }
    clear(&d);
}

static void biases_of_one_label_a_row(void **state)
{
    (void)state;
    struct data d;
    double bias[2], none[] = {1, 1}, weights[] = {1, 3};
    struct job plain = {0}, smooth = {.train.label_smoothing = 0.2};
    make(&d, NEGATIVES, POSITIVES);
    data_head_bias(bias, &plain, d.rows, &d.split, none);
    assert_true(fabs(exp(bias[0]) - 0.69581619) < 1e-8 && fabs(exp(bias[1]) - 0.30418381) < 1e-8); /* of 2,916 */
    data_head_bias(bias, &plain, d.rows, &d.split, weights);
    assert_true(fabs(exp(bias[1] - bias[0]) - 3 * 887. / 2029) < 1e-12);
    data_head_bias(bias, &smooth, d.rows, &d.split, none);
    assert_true(fabs(exp(bias[0]) - (0.8 * 2029 / 2916 + 0.1)) < 1e-12);
    clear(&d);
    make(&d, 10, 0);
    data_head_bias(bias, &plain, d.rows, &d.split, none);
    assert_true(fabs(exp(bias[1] - bias[0]) - 0.05) < 1e-12); /* half a row */
    clear(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_the_train_part),
        cmocka_unit_test(a_label_that_train_lacks_is_named),
        cmocka_unit_test(a_list_needs_one_for_each_label),
        cmocka_unit_test(biases_of_many_labels_a_row),
        cmocka_unit_test(biases_of_one_label_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

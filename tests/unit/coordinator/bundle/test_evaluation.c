/* SPDX-License-Identifier: Apache-2.0 */
/* evaluation.json against scikit-learn 1.9.1: accuracy_score, precision_score, recall_score, f1_score (micro, macro, weighted; of
 * two classes binary) and log_loss of the logits and labels that make_logits and truth_of make, for each rule on each part. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/fault.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/bundle/evaluation.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIRECTORY "evaluation.test"
#define SPLIT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
enum { ROWS = 60, TRAIN = 17, TEST_SHIFT = 7 /* row 0 of test is made as row 7 */, METRICS = 6 };
static const char *const metric_names[METRICS] = {"accuracy", "micro_precision", "micro_recall",
                                                  "micro_f1", "macro_f1",        "weighted_f1"};

static int truth_of(enum decision_kind kind, int i, int l)
{
    if (kind == DECISION_BINARY)
        return (i * 7 + i / 3) % 5 < 2;
    if (kind == DECISION_CLASS)
        return (i * 5 + i / 4) % 3;
    return (i * (3 + 2 * l) + i / 2) % (4 + 3 * l) < 2;
}

/* 0 to 4095. */
static uint32_t chance(int i, int l, int seed)
{
    uint32_t h = (uint32_t)(i * 8191 + l * 131 + seed * 7919);
    h = (h ^ h >> 7) * 2654435761u;
    h = (h ^ h >> 15) * 2246822519u;
    return h >> 20;
}

static void add_logits(const char *path, enum decision_kind kind, int labels, enum part part)
{
    int shift = part == PART_TEST ? TEST_SHIFT : 0, seed = part == PART_TEST ? 2 : 1;
    float *values = allocate((size_t)(ROWS * labels), sizeof *values);
    struct logits l = {.part = part, .epoch = 3, .rows = ROWS, .labels = (uint32_t)labels, .values = values, .loss = 0.5};
    struct error e = {0};
    snprintf(l.split_sha256, sizeof l.split_sha256, "%s", SPLIT);
    for (int i = 0; i < ROWS; i++)
        for (int k = 0; k < labels; k++) {
            int at = i + shift;
            bool on = kind == DECISION_LABELS ? truth_of(kind, at, k) : truth_of(kind, at, 0) == k;
            values[i * labels + k] = (float)(chance(at, k, seed) / 1024.0 - 2.0 + (on ? 0.7 : -0.7));
        }
    if (logits_append(path, &l, &e))
        fail_msg("%s", e.message);
    free(values);
}

/* ---- a run that is decided ---- */

struct setting {
    struct run_data data;
    struct decision decision;
    struct job job;
    struct run_place place;
    struct test_score score;
    uint32_t rows[TRAIN + 2 * ROWS];
    size_t order[1];
};

static const char *names[] = {"zero", "one", "two"};

static void add_row(struct dataset_writer *w, struct setting *s, enum decision_kind kind, int labels, uint32_t number, int at)
{
    static const int32_t ids[] = {2, 5, 3};
    const struct token_row tokens = {ids, 3, 3};
    struct error e = {0};
    char id[16];
    float targets[3];
    snprintf(id, sizeof id, "row%u", number);
    for (int l = 0; l < labels; l++)
        targets[l] = (float)truth_of(DECISION_LABELS, at, l);
    bool multi = kind == DECISION_LABELS;
    if (dataset_writer_append(w, id, id, multi ? -1 : truth_of(kind, at, 0), multi ? targets : NULL, tokens, &e))
        fail_msg("%s", e.message);
    s->rows[number] = number;
}

static void make_data(struct setting *s, enum decision_kind kind, int labels)
{
    struct dataset_writer *w;
    struct error e = {0};
    if (dataset_writer_create(&w, DIRECTORY "/data.rows", (uint32_t)labels, kind == DECISION_LABELS, &e))
        fail_msg("%s", e.message);
    for (uint32_t n = 0; n < TRAIN + 2 * ROWS; n++)
        add_row(w, s, kind, labels, n, n < TRAIN ? 0 : n < TRAIN + ROWS ? (int)n - TRAIN : (int)n - TRAIN - ROWS + TEST_SHIFT);
    if (dataset_writer_commit(&w, &e) || dataset_open(&s->data.data, DIRECTORY "/data.rows", &e))
        fail_msg("%s", e.message);
    const uint32_t counts[] = {TRAIN, ROWS, ROWS};
    for (uint32_t part = 0, at = 0; part < PART_COUNT; at += counts[part++]) {
        s->data.split.part[part].rows = s->rows + at;
        s->data.split.part[part].count = counts[part];
    }
    snprintf(s->data.split.sha256, sizeof s->data.split.sha256, "%s", SPLIT);
    s->data.label_names = names;
    s->data.labels = (uint32_t)labels;
    s->data.positive = labels - 1;
    s->data.kind = kind;
}

static void open_setting(struct setting *s, enum decision_kind kind, int labels, double threshold, const double *thresholds,
                         const double *temperatures)
{
    struct error e;
    *s = (struct setting){.job.seed = 42};
    assert_int_equal(directory_remove(DIRECTORY, &e), 0);
    assert_int_equal(directory_create(DIRECTORY, &e), 0);
    make_data(s, kind, labels);
    decision_create(&s->decision, 1);
    s->decision.trials[0].of =
        (struct candidate){.key = "lr-1e-05_epochs-4", .best_epoch = 3, .baseline = true, .state = TRIAL_DONE};
    s->decision.order = s->order;
    s->decision.threshold = threshold;
    s->decision.thresholds = thresholds;
    s->decision.temperatures = temperatures;
    s->place = (struct run_place){.job = &s->job, .directory = DIRECTORY};
    s->score.logits = duplicate(DIRECTORY "/logits.h5");
    s->score.epoch = 3;
    add_logits(s->score.logits, kind, labels, PART_VALIDATION);
    add_logits(s->score.logits, kind, labels, PART_TEST);
}

static void close_setting(struct setting *s)
{
    s->decision.order = NULL;
    decision_free(&s->decision);
    dataset_close(&s->data.data);
    test_score_free(&s->score);
}

/* What is printed goes to a file; whole text, caller frees. */
static char *evaluate(const struct setting *s)
{
    struct error e = {0};
    char *text;
    size_t size;
    fflush(stdout);
    int kept = dup(1), to = open(DIRECTORY "/printed", O_WRONLY | O_CREAT | O_TRUNC, 0666);
    dup2(to, 1);
    int result = evaluation_write(&s->place, &s->data, &s->decision, &s->score, &e);
    fflush(stdout);
    dup2(kept, 1);
    close(kept);
    close(to);
    if (result)
        fail_msg("%s", e.message);
    assert_int_equal(file_read(&text, &size, DIRECTORY "/printed", &e), 0);
    return text;
}

static struct json *read_evaluation(void)
{
    struct json *j;
    struct error e = {0};
    if (json_read(&j, DIRECTORY "/evaluation.json", &e))
        fail_msg("%s", e.message);
    return j;
}

static void near(const char *what, double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-9))
        fail_msg("%s: expected %.12g, found %.12g", what, expected, found);
}

static void expect_rule(const struct json *evaluation, const char *part, const char *rule, const double expected[METRICS],
                        double loss)
{
    const struct json *r = json_get(json_get(json_get(evaluation, part), "rules"), rule);
    assert_non_null(r);
    for (int i = 0; i < METRICS; i++) {
        char *what = format_string("%s, %s, %s", part, rule, metric_names[i]);
        near(what, json_number(json_get(r, metric_names[i])), expected[i]);
        const struct json *interval = json_get(json_get(r, "intervals"), metric_names[i]);
        double low = json_number(json_at(interval, 0)), high = json_number(json_at(interval, 1));
        if (!(low < expected[i] && expected[i] < high && low > expected[i] - 0.3 && high < expected[i] + 0.3))
            fail_msg("%s: expected: an interval about %.4f; found: %.4f to %.4f", what, expected[i], low, high);
        free(what);
    }
    near("loss", json_number(json_get(r, "loss")), loss);
}

static void expect_difference(const struct json *evaluation, const char *part, const char *rule)
{
    const struct json *rules = json_get(json_get(evaluation, part), "rules"), *r = json_get(rules, rule),
                      *half = json_get(rules, "half");
    for (int i = 0; i < METRICS; i++)
        near(metric_names[i], json_number(json_get(json_get(r, "difference"), metric_names[i])),
             json_number(json_get(r, metric_names[i])) - json_number(json_get(half, metric_names[i])));
    assert_int_equal(json_size(json_get(r, "difference_intervals")), METRICS);
}

static void test_two_classes(void **state)
{
    (void)state;
    static const double thresholds[] = {0.35, 0.35}, temperatures[] = {1.5, 1.5};
    struct setting s;
    open_setting(&s, DECISION_BINARY, 2, 0.35, thresholds, temperatures);
    char *printed = evaluate(&s);
    struct json *j = read_evaluation();
    assert_string_equal(json_string(json_get(j, "trial")), "lr-1e-05_epochs-4");
    assert_string_equal(json_string(json_get(j, "split_sha256")), SPLIT);
    near("threshold", json_number(json_get(j, "threshold")), 0.35);
    static const double v_loss = 0.5308042407626513, t_loss = 0.4410419441270872;
    expect_rule(j, "validation", "half",
                (double[]){0.65, 0.56, 0.5833333333333334, 0.5714285714285714, 0.5714285714285714, 0.5714285714285714}, v_loss);
    expect_rule(j, "validation", "tuned",
                (double[]){0.6666666666666666, 0.5555555555555556, 0.8333333333333334, 0.6666666666666666, 0.6666666666666666,
                           0.6666666666666666},
                v_loss);
    expect_rule(
        j, "test", "half",
        (double[]){0.8, 0.7142857142857143, 0.8333333333333334, 0.7692307692307693, 0.7692307692307693, 0.7692307692307693},
        t_loss);
    expect_rule(j, "test", "tuned",
                (double[]){0.7666666666666667, 0.6388888888888888, 0.9583333333333334, 0.7666666666666667, 0.7666666666666667,
                           0.7666666666666667},
                t_loss);
    expect_difference(j, "validation", "tuned");
    expect_difference(j, "test", "tuned");
    const struct json *test = json_get(j, "test");
    assert_null(json_get(json_get(test, "rules"), "global")); /* of two classes the chosen threshold is the one for all */
    near("rows", json_number(json_get(test, "rows")), ROWS);
    assert_int_equal(json_size(json_get(test, "labels")), 2);
    assert_null(strstr(printed, "validation")); /* the comparison on test is shown */
    if (!strstr(printed, "0.7667") || !strstr(printed, "0.7692") || !strstr(printed, "-0.0026"))
        fail_msg("expected: F1 by both rules and their difference; found: %s", printed);
    free(printed);
    json_destroy(&j);
    close_setting(&s);
}

static void test_classes(void **state)
{
    (void)state;
    static const double thresholds[] = {0.5, 0.5, 0.5}, temperatures[] = {1, 2, 0.5};
    struct setting s;
    open_setting(&s, DECISION_CLASS, 3, NAN, thresholds, temperatures);
    free(evaluate(&s));
    struct json *j = read_evaluation();
    assert_int_equal(json_type(json_get(j, "threshold")), JSON_NULL);
    expect_rule(j, "validation", "tuned", (double[]){0.65, 0.65, 0.65, 0.65, 0.6111111111111112, 0.65}, 0.6970803691655117);
    expect_rule(j, "test", "tuned",
                (double[]){0.6833333333333333, 0.6833333333333333, 0.6833333333333333, 0.6833333333333333, 0.6608946608946609,
                           0.6865800865800866},
                0.6930091873114258);
    const struct json *test = json_get(j, "test");
    assert_int_equal(json_size(json_get(test, "rules")), 1); /* the most probable class: there is no other rule */
    assert_int_equal(json_type(json_get(json_at(json_get(test, "labels"), 0), "threshold")), JSON_NULL);
    json_destroy(&j);
    close_setting(&s);
}

static void test_many_labels(void **state)
{
    (void)state;
    static const double thresholds[] = {0.3, 0.6, 0.45}, temperatures[] = {1, 2, 0.5};
    struct setting s;
    open_setting(&s, DECISION_LABELS, 3, 0.4, thresholds, temperatures);
    free(evaluate(&s));
    struct json *j = read_evaluation();
    static const double v_loss = 0.5234956561288701, t_loss = 0.5353514153976876;
    expect_rule(j, "validation", "half",
                (double[]){0.31666666666666665, 0.5365853658536586, 0.7213114754098361, 0.6153846153846154, 0.611890367987929,
                           0.6163063468141438},
                v_loss);
    expect_rule(
        j, "validation", "global",
        (double[]){0.25, 0.46078431372549017, 0.7704918032786885, 0.5766871165644172, 0.5740276240561125, 0.5834179436226531},
        v_loss);
    expect_rule(
        j, "validation", "tuned",
        (double[]){0.45, 0.5925925925925926, 0.7868852459016393, 0.676056338028169, 0.6777878541994813, 0.6806240321875164},
        v_loss);
    expect_rule(j, "test", "half",
                (double[]){0.3333333333333333, 0.5465116279069767, 0.7580645161290323, 0.6351351351351351, 0.6200910872823706,
                           0.6558103011570949},
                t_loss);
    expect_rule(
        j, "test", "global",
        (double[]){0.25, 0.4854368932038835, 0.8064516129032258, 0.6060606060606061, 0.5908711171869067, 0.6279885931838394},
        t_loss);
    expect_rule(
        j, "test", "tuned",
        (double[]){0.4, 0.5833333333333334, 0.7903225806451613, 0.6712328767123288, 0.6329917443483506, 0.6703826941521694},
        t_loss);
    expect_difference(j, "test", "global");
    expect_difference(j, "test", "tuned");
    static const double support[] = {30, 17, 15}, f1[] = {0.7945205479452054, 0.5806451612903226, 0.5238095238095238};
    const struct json *labels = json_get(json_get(j, "test"), "labels");
    for (size_t l = 0; l < 3; l++) {
        const struct json *label = json_at(labels, l);
        assert_string_equal(json_string(json_get(label, "label")), names[l]);
        near("support", json_number(json_get(label, "support")), support[l]);
        near("threshold", json_number(json_get(label, "threshold")), thresholds[l]);
        near("F1", json_number(json_get(json_get(label, "tuned"), "f1")), f1[l]);
    }
    assert_int_equal(json_size(json_get(json_get(j, "test"), "labels_without_rows")), 0);
    json_destroy(&j);
    close_setting(&s);
}

/* The resampling is a function of the job's seed: the same bytes again, others with another seed. */
static void test_same_seed_same_bytes(void **state)
{
    (void)state;
    static const double thresholds[] = {0.35, 0.35}, temperatures[] = {1, 1};
    struct setting s;
    struct error e;
    char *texts[3];
    size_t size;
    open_setting(&s, DECISION_BINARY, 2, 0.35, thresholds, temperatures);
    for (int i = 0; i < 3; i++) {
        s.job.seed = i < 2 ? 42 : 43;
        free(evaluate(&s));
        assert_int_equal(file_read(&texts[i], &size, DIRECTORY "/evaluation.json", &e), 0);
    }
    assert_string_equal(texts[0], texts[1]);
    assert_string_not_equal(texts[0], texts[2]);
    for (int i = 0; i < 3; i++)
        free(texts[i]);
    close_setting(&s);
}

static void expect_failure(struct setting *s, enum error_kind kind, const char *words)
{
    struct error e = {0};
    assert_int_equal(evaluation_write(&s->place, &s->data, &s->decision, &s->score, &e), -1);
    assert_int_equal(e.kind, kind);
    if (!strstr(e.message, words))
        fail_msg("expected: '%s'; found: %s", words, e.message);
    DIR *d = opendir(DIRECTORY);
    for (struct dirent *entry; (entry = readdir(d));)
        if (strstr(entry->d_name, "evaluation.json"))
            fail_msg("expected: nothing half-written; found: %s", entry->d_name);
    closedir(d);
}

static void test_failures(void **state)
{
    (void)state;
    static const double thresholds[] = {0.35, 0.35}, temperatures[] = {1, 1};
    struct setting s;
    struct error e;
    open_setting(&s, DECISION_BINARY, 2, 0.35, thresholds, temperatures);
    s.score.epoch = 4;
    expect_failure(&s, ERROR_DATA, s.score.logits);
    s.score.epoch = 3;
    assert_int_equal(fault_plan("enospc", NULL, &e), 0);
    expect_failure(&s, ERROR_FAILED, DIRECTORY "/evaluation.json");
    assert_int_equal(fault_plan(NULL, NULL, &e), 0);
    s.place.directory = DIRECTORY "/nowhere";
    expect_failure(&s, ERROR_FAILED, DIRECTORY "/nowhere/evaluation.json");
    s.place.directory = DIRECTORY;
    assert_int_equal(file_write(s.score.logits, "cut", 3, &e), 0);
    expect_failure(&s, ERROR_DATA, s.score.logits);
    assert_int_equal(unlink(s.score.logits), 0);
    expect_failure(&s, ERROR_DATA, s.score.logits);
    close_setting(&s);
}

static int tear_down(void **state)
{
    (void)state;
    struct error e;
    return directory_remove(DIRECTORY, &e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_classes),          cmocka_unit_test(test_classes),  cmocka_unit_test(test_many_labels),
        cmocka_unit_test(test_same_seed_same_bytes), cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}

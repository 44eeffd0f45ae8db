/* SPDX-License-Identifier: Apache-2.0 */
/* Tuning of whole trials, against scikit-learn 1.9.1 and SciPy 1.17.1: each rule's numbers below are f1_score, precision_score
 * and recall_score at numpy.linspace(0.1, 0.9, 33), the first of the highest F1; temperatures are minimize_scalar of log_loss;
 * computed on the logits and labels that make_logits and truth_of make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/fault.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/decision/decide.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIRECTORY "decide.test"
#define SPLIT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
enum { ROWS = 60, OTHERS = 17 /* rows of training, before those of validation */ };

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

static char *make_logits(enum decision_kind kind, int labels, int seed, double signal)
{
    float *values = allocate((size_t)(ROWS * labels), sizeof *values);
    char *path = format_string("%s/%d-%d.h5", DIRECTORY, (int)kind, seed);
    struct logits l = {
        .part = PART_VALIDATION, .epoch = 2, .rows = ROWS, .labels = (uint32_t)labels, .values = values, .loss = 0.5};
    struct error e = {0};
    snprintf(l.split_sha256, sizeof l.split_sha256, "%s", SPLIT);
    for (int i = 0; i < ROWS; i++)
        for (int k = 0; k < labels; k++) {
            bool on = kind == DECISION_LABELS ? truth_of(kind, i, k) : truth_of(kind, i, 0) == k;
            values[i * labels + k] = (float)(chance(i, k, seed) / 1024.0 - 2.0 + (on ? signal : -signal));
        }
    if (logits_append(path, &l, &e))
        fail_msg("%s", e.message);
    free(values);
    return path;
}

/* ---- a run whose trials are these files ---- */

static const char *names[] = {"zero", "one", "two"};

struct setting {
    struct run_data data;
    struct decision decision;
    struct job job;
    uint32_t rows[OTHERS + ROWS];
    char *logits[3];
};

static void make_data(struct setting *s, enum decision_kind kind, int labels)
{
    struct dataset_writer *w;
    struct error e = {0};
    static const int32_t ids[] = {2, 5, 3};
    const struct token_row tokens = {ids, 3, 3};
    if (dataset_writer_create(&w, DIRECTORY "/data.rows", (uint32_t)labels, kind == DECISION_LABELS, &e))
        fail_msg("%s", e.message);
    for (int i = -OTHERS; i < ROWS; i++) {
        char id[16];
        float targets[3];
        snprintf(id, sizeof id, "row%d", i);
        for (int l = 0; l < labels; l++)
            targets[l] = (float)truth_of(DECISION_LABELS, i < 0 ? 0 : i, l);
        if (dataset_writer_append(w, id, id,
                                  kind == DECISION_LABELS ? -1
                                  : i < 0                 ? 0
                                                          : truth_of(kind, i, 0),
                                  kind == DECISION_LABELS ? targets : NULL, tokens, &e))
            fail_msg("%s", e.message);
        s->rows[i + OTHERS] = (uint32_t)(i + OTHERS);
    }
    if (dataset_writer_commit(&w, &e) || dataset_open(&s->data.data, DIRECTORY "/data.rows", &e))
        fail_msg("%s", e.message);
    s->data.split.part[PART_TRAIN].rows = s->rows;
    s->data.split.part[PART_TRAIN].count = OTHERS;
    s->data.split.part[PART_VALIDATION].rows = s->rows + OTHERS;
    s->data.split.part[PART_VALIDATION].count = ROWS;
    snprintf(s->data.split.sha256, sizeof s->data.split.sha256, "%s", SPLIT);
    s->data.label_names = names;
    s->data.labels = (uint32_t)labels;
    s->data.positive = 1;
    s->data.kind = kind;
    validation_create(&s->data.validation, s->data.data, &s->data.split, s->data.positive);
}

static void open_setting(struct setting *s, enum decision_kind kind, int labels, const double *signals, int trials)
{
    static const char *const keys[] = {"baseline", "second", "third"};
    struct error e;
    *s = (struct setting){0};
    assert_int_equal(directory_remove(DIRECTORY, &e), 0);
    assert_int_equal(directory_create(DIRECTORY, &e), 0);
    make_data(s, kind, labels);
    s->job.tune.grid = (struct threshold_grid){.rule = RULE_F1, .from = 0.1, .to = 0.9, .points = 33, .beta = 1};
    s->job.tune.per_trial = true;
    s->job.tune.per = "trial";
    s->job.tune.calibrate = "none";
    s->job.tune.per_class = PER_CLASS_TRUE;
    s->job.tune.min_positives = 1;
    s->job.train.select = "loss";
    decision_create(&s->decision, (size_t)trials);
    for (int i = 0; i < trials; i++) {
        s->logits[i] = make_logits(kind, labels, i + 1, signals[i]);
        s->decision.trials[i].of = (struct candidate){.key = keys[i],
                                                      .logits = s->logits[i],
                                                      .best_epoch = 2,
                                                      .baseline = i == 0,
                                                      .state = TRIAL_DONE,
                                                      .configuration = (size_t)i};
    }
}

static void close_setting(struct setting *s)
{
    for (int i = 0; i < 3; i++)
        free(s->logits[i]);
    decision_free(&s->decision);
    validation_destroy(&s->data.validation);
    dataset_close(&s->data.data);
}

static void tune_all(struct setting *s)
{
    struct error e = {0};
    for (size_t i = 0; i < s->decision.count; i++)
        if (decide_trial(&s->decision, i, &s->data, &s->job, &e))
            fail_msg("trial %zu: %s", i, e.message);
}

static void near(const char *what, double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("%s: expected %.12g, found %.12g", what, expected, found);
}

static void expect_at(const struct at_threshold *a, double threshold, double f1, double precision, double recall)
{
    assert_true(a->met);
    near("threshold", a->threshold, threshold, 1e-12);
    near("score", a->score, f1, 1e-12);
    near("F1", a->metrics.f1, f1, 1e-12);
    near("precision", a->metrics.precision, precision, 1e-12);
    near("recall", a->metrics.recall, recall, 1e-12);
}

static const double three_signals[] = {0.3, 0.7, 0.5}, two_signals[] = {0.1, 0.6};

static void expect_order(const struct setting *s, size_t first, size_t second, size_t third)
{
    const size_t expected[] = {first, second, third};
    for (size_t i = 0; i < 3; i++)
        if (s->decision.order[i] != expected[i])
            fail_msg("place %zu: expected trial %zu, found %zu", i, expected[i], s->decision.order[i]);
}

static void test_two_classes(void **state)
{
    (void)state;
    struct setting s;
    struct error e = {0};
    open_setting(&s, DECISION_BINARY, 2, three_signals, 3);
    tune_all(&s);
    const struct tuned_trial *t = s.decision.trials;
    expect_at(&t[0].own, 0.125, 0.6176470588235294, 0.4772727272727273, 0.875);
    expect_at(&t[0].at_baseline, 0.125, 0.6176470588235294, 0.4772727272727273, 0.875);
    expect_at(&t[1].own, 0.45, 0.7924528301886793, 0.7241379310344828, 0.875);
    expect_at(&t[1].at_baseline, 0.125, 0.7272727272727273, 0.5714285714285714, 1.0);
    expect_at(&t[2].own, 0.325, 0.6666666666666666, 0.5757575757575758, 0.7916666666666666);
    expect_at(&t[2].at_baseline, 0.125, 0.6301369863013698, 0.46938775510204084, 0.9583333333333334);
    assert_int_equal(decide_best(&s.decision, &s.job, &e), 0);
    expect_order(&s, 1, 2, 0);
    near("threshold", s.decision.threshold, 0.45, 1e-12);
    near("thresholds[1]", s.decision.thresholds[1], 0.45, 1e-12);
    assert_true(s.decision.temperatures[0] == 1 && s.decision.temperatures[1] == 1);
    char *summary = decision_summary(&s.decision, DECISION_BINARY, 2);
    assert_string_equal(summary, "threshold 0.4500");
    free(summary);
    close_setting(&s);
}

/* tune.per "baseline": all trials are ranked, and decide, at the baseline's threshold. */
static void test_baselines_threshold(void **state)
{
    (void)state;
    struct setting s;
    struct error e = {0};
    open_setting(&s, DECISION_BINARY, 2, three_signals, 3);
    s.job.tune.per_trial = false;
    s.job.tune.per = "baseline";
    tune_all(&s);
    assert_int_equal(decide_best(&s.decision, &s.job, &e), 0);
    expect_order(&s, 1, 2, 0);
    near("threshold", s.decision.threshold, 0.125, 1e-12);
    near("thresholds[1]", s.decision.thresholds[1], 0.125, 1e-12);
    close_setting(&s);
}

/* What was pruned or failed never wins, whatever it scored. */
static void test_unfinished_trials_never_win(void **state)
{
    (void)state;
    struct setting s;
    struct error e = {0};
    open_setting(&s, DECISION_BINARY, 2, three_signals, 3);
    tune_all(&s);
    s.decision.trials[1].of.state = TRIAL_PRUNED;
    assert_int_equal(decide_best(&s.decision, &s.job, &e), 0);
    expect_order(&s, 2, 0, 1);
    near("threshold", s.decision.threshold, 0.325, 1e-12);
    s.decision.trials[2].of.state = TRIAL_FAILED;
    assert_int_equal(decide_best(&s.decision, &s.job, &e), 0);
    expect_order(&s, 0, 1, 2);
    close_setting(&s);
}

static void test_temperature(void **state)
{
    (void)state;
    static const struct {
        double temperature, nll_before, nll_after, threshold;
    } expected[] = {{4.737026572883983, 0.8720024743348719, 0.6741331046726232, 0.4},
                    {0.8781379803961009, 0.4146272189871395, 0.41256101677328466, 0.425},
                    {1.5441745021912736, 0.5925933598557503, 0.5704024023958152, 0.4}};
    struct setting s;
    struct error e = {0};
    open_setting(&s, DECISION_BINARY, 2, three_signals, 3);
    s.job.tune.calibrate = "temperature";
    tune_all(&s);
    for (size_t i = 0; i < 3; i++) {
        const struct tuned_trial *t = &s.decision.trials[i];
        assert_true(t->fit.improved);
        near("temperature", t->fit.temperature, expected[i].temperature, 1e-4);
        near("temperature of the label", t->temperatures[1], t->fit.temperature, 0);
        near("NLL before", t->fit.nll_before, expected[i].nll_before, 1e-9);
        near("NLL after", t->fit.nll_after, expected[i].nll_after, 1e-9);
        near("threshold", t->own.threshold, expected[i].threshold, 1e-12);
    }
    assert_int_equal(decide_best(&s.decision, &s.job, &e), 0);
    near("temperature", s.decision.temperatures[1], 0.8781379803961009, 1e-4);
    assert_int_equal(decide_write(&s.decision, &s.data, &s.job, DIRECTORY, &e), 0);
    struct json *j;
    assert_int_equal(json_read(&j, DIRECTORY "/tune.json", &e), 0);
    const struct json *c = json_get(j, "calibration");
    assert_true(json_boolean(json_get(c, "asked_for")) && json_boolean(json_get(c, "improved")));
    near("written temperature", json_number(json_get(c, "temperature")), 0.8781379803961009, 1e-4);
    near("written NLL before", json_number(json_get(json_get(c, "before"), "nll")), 0.4146272189871395, 1e-9);
    near("written NLL after", json_number(json_get(json_get(c, "after"), "nll")), 0.41256101677328466, 1e-9);
    near("Brier before", json_number(json_get(json_get(c, "before"), "brier")), 0.13797868561511715, 1e-8);
    near("Brier after", json_number(json_get(json_get(c, "after"), "brier")), 0.13873900809293807, 1e-5);
    json_destroy(&j);
    close_setting(&s);
}

static void test_many_classes(void **state)
{
    (void)state;
    struct setting s;
    struct error e = {0};
    open_setting(&s, DECISION_CLASS, 3, two_signals, 2);
    tune_all(&s);
    near("macro F1", s.decision.trials[0].own.score, 0.4217024041585445, 1e-12);
    near("macro F1", s.decision.trials[1].own.score, 0.6097222222222222, 1e-12);
    near("macro F1", s.decision.trials[1].at_baseline.macro_f1, 0.6097222222222222, 1e-12);
    assert_true(isnan(s.decision.trials[1].own.threshold));
    assert_int_equal(decide_best(&s.decision, &s.job, &e), 0);
    assert_int_equal(s.decision.order[0], 1);
    assert_true(isnan(s.decision.threshold));
    char *summary = decision_summary(&s.decision, DECISION_CLASS, 3);
    assert_string_equal(summary, "the most probable class");
    free(summary);
    assert_int_equal(decide_write(&s.decision, &s.data, &s.job, DIRECTORY, &e), 0);
    struct json *j;
    assert_int_equal(json_read(&j, DIRECTORY "/tune.json", &e), 0); /* NaN is written as null */
    assert_int_equal(json_type(json_get(j, "threshold")), JSON_NULL);
    assert_string_equal(json_string(json_get(j, "decision")), "class");
    json_destroy(&j);
    close_setting(&s);
}

static void test_many_labels(void **state)
{
    (void)state;
    static const double thresholds[2][3] = {{0.125, 0.625, 0.4}, {0.275, 0.7, 0.55}}, global[] = {0.125, 0.65},
                        f1[2][3] = {{0.6590909090909091, 0.47619047619047616, 0.5106382978723404},
                                    {0.7671232876712328, 0.5333333333333333, 0.5789473684210527}};
    static const uint64_t positives[] = {29, 17, 15};
    struct setting s;
    struct error e = {0};
    open_setting(&s, DECISION_LABELS, 3, two_signals, 2);
    tune_all(&s);
    for (size_t i = 0; i < 2; i++) {
        const struct label_thresholds *t = &s.decision.trials[i].by_label;
        near("global", t->global, global[i], 1e-12);
        for (size_t l = 0; l < 3; l++) {
            near("threshold", t->thresholds[l], thresholds[i][l], 1e-12);
            near("F1", t->each[l].at_threshold.f1, f1[i][l], 1e-12);
            assert_true(t->each[l].positives == positives[l]);
        }
    }
    const struct tuned_trial *t = s.decision.trials;
    near("micro F1", t[0].own.metrics.f1, 0.576271186440678, 1e-12);
    near("macro F1", t[0].own.macro_f1, 0.5486398943845753, 1e-12);
    near("micro F1", t[1].own.metrics.f1, 0.6666666666666666, 1e-12);
    near("macro F1", t[1].own.macro_f1, 0.6264679964752062, 1e-12);
    near("micro F1 at the baseline's", t[1].at_baseline.metrics.f1, 0.6012269938650306, 1e-12);
    near("macro F1 at the baseline's", t[1].at_baseline.macro_f1, 0.5682539682539682, 1e-12);
    assert_int_equal(decide_best(&s.decision, &s.job, &e), 0);
    assert_int_equal(s.decision.order[0], 1);
    near("one for all", s.decision.threshold, 0.65, 1e-12);
    for (size_t l = 0; l < 3; l++)
        near("label's", s.decision.thresholds[l], thresholds[1][l], 1e-12);
    assert_int_equal(decide_write(&s.decision, &s.data, &s.job, DIRECTORY, &e), 0);
    close_setting(&s);
}

/* Labels with fewer than 20 positive rows take the one for all. */
static void test_rare_labels(void **state)
{
    (void)state;
    struct setting s;
    open_setting(&s, DECISION_LABELS, 3, two_signals, 2);
    s.job.tune.per_class = PER_CLASS_AUTO;
    s.job.tune.min_positives = 20;
    tune_all(&s);
    const struct tuned_trial *t = &s.decision.trials[1];
    near("label 0", t->by_label.thresholds[0], 0.275, 1e-12);
    near("label 1", t->by_label.thresholds[1], 0.65, 1e-12);
    near("label 2", t->by_label.thresholds[2], 0.65, 1e-12);
    assert_true(t->by_label.each[0].own && !t->by_label.each[1].own && !t->by_label.each[2].own);
    near("micro F1", t->own.metrics.f1, 0.6524822695035462, 1e-12);
    near("macro F1", t->own.macro_f1, 0.6089545158038309, 1e-12);
    close_setting(&s);
}

/* A precision that no threshold of the grid reaches is no error of a trial; that none of them meets the rule is one. */
static void test_rule_that_nothing_meets(void **state)
{
    (void)state;
    struct setting s;
    struct error e = {0};
    open_setting(&s, DECISION_BINARY, 2, three_signals, 3);
    s.job.tune.grid.rule = RULE_RECALL_AT_PRECISION;
    s.job.tune.grid.to = 0.2;
    s.job.tune.grid.min_precision = 0.99;
    tune_all(&s);
    for (size_t i = 0; i < 3; i++)
        assert_true(!s.decision.trials[i].own.met && !s.decision.trials[i].at_baseline.met);
    assert_int_equal(decide_best(&s.decision, &s.job, &e), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
    if (!strstr(e.message, "recall_at_precision") || !strstr(e.message, "tune.rule"))
        fail_msg("expected: the rule and what to change; found: %s", e.message);
    close_setting(&s);
}

/* Where the baseline meets no threshold, nobody can be measured at its threshold; at their own they can. */
static void test_rule_that_the_baseline_does_not_meet(void **state)
{
    (void)state;
    struct setting s;
    struct error e = {0};
    open_setting(&s, DECISION_BINARY, 2, three_signals, 3);
    s.job.tune.grid.rule = RULE_RECALL_AT_PRECISION;
    s.job.tune.grid.min_precision = 0.9; /* the baseline reaches 5 of 6 */
    tune_all(&s);
    const struct tuned_trial *t = s.decision.trials;
    assert_true(!t[0].own.met && t[1].own.met && !t[1].at_baseline.met);
    assert_true(t[1].own.metrics.precision >= 0.9);
    assert_int_equal(decide_best(&s.decision, &s.job, &e), 0);
    assert_int_equal(s.decision.order[0], 1);
    s.job.tune.per_trial = false;
    assert_int_equal(decide_best(&s.decision, &s.job, &e), -1);
    close_setting(&s);
}

static void test_tune_json(void **state)
{
    (void)state;
    struct setting s;
    struct error e = {0};
    open_setting(&s, DECISION_BINARY, 2, three_signals, 3);
    tune_all(&s);
    s.decision.trials[2].of.state = TRIAL_PRUNED;
    assert_int_equal(decide_best(&s.decision, &s.job, &e), 0);
    assert_int_equal(decide_write(&s.decision, &s.data, &s.job, DIRECTORY, &e), 0);
    struct json *j;
    assert_int_equal(json_read(&j, DIRECTORY "/tune.json", &e), 0);
    static const char *const words[][2] = {
        {"decision", "binary"}, {"per", "trial"}, {"part", "validation"}, {"split_sha256", SPLIT}, {"chosen", "second"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_string_equal(json_string(json_get(j, words[i][0])), words[i][1]);
    near("threshold", json_number(json_get(j, "threshold")), 0.45, 1e-12);
    const struct json *trials = json_get(j, "trials");
    assert_int_equal(json_size(trials), 2); /* the pruned one is not tuned */
    assert_true(json_boolean(json_get(json_at(trials, 0), "baseline")));
    assert_string_equal(json_string(json_get(json_at(trials, 1), "trial")), "second");
    assert_int_equal(json_size(json_get(json_at(trials, 1), "points")), 33);
    near("score", json_number(json_get(json_get(json_at(trials, 1), "at_own_threshold"), "score")), 0.7924528301886793, 1e-12);
    near("score", json_number(json_get(json_get(json_at(trials, 1), "at_baseline_threshold"), "score")), 0.7272727272727273,
         1e-12);
    const struct json *c = json_get(j, "calibration"); /* measured, though no temperature was asked for */
    assert_false(json_boolean(json_get(c, "asked_for")));
    near("temperature", json_number(json_get(c, "temperature")), 1, 0);
    near("NLL before", json_number(json_get(json_get(c, "before"), "nll")), 0.4146272189871395, 1e-9);
    near("NLL after", json_number(json_get(json_get(c, "after"), "nll")), 0.4146272189871395, 1e-9);
    json_destroy(&j);
    close_setting(&s);
}

/* ---- what goes wrong ---- */

static void expect_refusal(struct setting *s, const char *logits, uint32_t epoch, const char *words)
{
    struct error e = {0};
    struct at_threshold before = s->decision.trials[1].own;
    s->decision.trials[1].of.logits = logits;
    s->decision.trials[1].of.best_epoch = epoch;
    if (!decide_trial(&s->decision, 1, &s->data, &s->job, &e))
        fail_msg("expected: refused with '%s'; found: tuned", words);
    assert_int_equal(e.kind, ERROR_DATA);
    if (!strstr(e.message, words) || !strstr(e.message, logits))
        fail_msg("expected a message with '%s' and the file; found: %s", words, e.message);
    near("what was tuned before", s->decision.trials[1].own.score, before.score, 0);
}

static void test_failures(void **state)
{
    (void)state;
    struct setting s;
    struct error e = {0};
    open_setting(&s, DECISION_BINARY, 2, three_signals, 3);
    tune_all(&s);
    expect_refusal(&s, DIRECTORY "/none.h5", 2, "none.h5");
    expect_refusal(&s, s.logits[2], 7, "epoch");
    char *wide = make_logits(DECISION_CLASS, 3, 1, 1);
    expect_refusal(&s, wide, 2, "3");
    free(wide);
    struct logits l;
    assert_int_equal(logits_read(&l, s.logits[1], PART_VALIDATION, 2, NULL, &e), 0);
    l.split_sha256[0] = 'f';
    assert_int_equal(logits_append(DIRECTORY "/other.h5", &l, &e), 0);
    expect_refusal(&s, DIRECTORY "/other.h5", 2, "split");
    logits_free(&l);
    s.decision.trials[1].of.logits = s.logits[1];
    s.decision.trials[1].of.best_epoch = 2;
    tune_all(&s);
    assert_int_equal(decide_best(&s.decision, &s.job, &e), 0);
    assert_int_equal(fault_plan("enospc", NULL, &e), 0);
    assert_int_equal(decide_write(&s.decision, &s.data, &s.job, DIRECTORY, &e), -1);
    assert_int_equal(fault_plan(NULL, NULL, &e), 0);
    if (!strstr(e.message, DIRECTORY "/tune.json"))
        fail_msg("expected: the file; found: %s", e.message);
    DIR *d = opendir(DIRECTORY);
    for (struct dirent *entry; (entry = readdir(d));)
        if (strstr(entry->d_name, "tune.json"))
            fail_msg("expected: nothing half-written; found: %s", entry->d_name);
    closedir(d);
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
        cmocka_unit_test(test_two_classes),
        cmocka_unit_test(test_baselines_threshold),
        cmocka_unit_test(test_unfinished_trials_never_win),
        cmocka_unit_test(test_temperature),
        cmocka_unit_test(test_many_classes),
        cmocka_unit_test(test_many_labels),
        cmocka_unit_test(test_rare_labels),
        cmocka_unit_test(test_rule_that_nothing_meets),
        cmocka_unit_test(test_rule_that_the_baseline_does_not_meet),
        cmocka_unit_test(test_tune_json),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}

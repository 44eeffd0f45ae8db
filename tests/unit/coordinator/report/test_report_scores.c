/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of a report against scikit-learn and NumPy (tools/golden_report.py). */
#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/report/report_plots.h"
#include "coordinator/report/report_scores.h"

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

static void near(const char *what, double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-6))
        fail_msg("%s: found %.9g, expected %.9g", what, found, expected);
}

/* A run with nothing but a validation part, from golden logits and labels. */
struct fixture {
    struct json *golden;
    const struct json *task;
    struct report_run run;
    struct report_scores scores;
    char path[64];
};

static void write_data(struct fixture *f, uint32_t labels, bool multi)
{
    const struct json *truth = json_get(f->task, "truth");
    struct dataset_writer *w;
    struct error e;
    int32_t ids[3] = {1, 2, 3};
    assert_int_equal(dataset_writer_create(&w, f->path, labels, multi, &e), 0);
    for (size_t i = 0; i < json_size(truth); i++) {
        char id[24];
        float targets[8] = {0};
        snprintf(id, sizeof id, "%zu", i);
        for (uint32_t c = 0; multi && c < labels; c++)
            targets[c] = (float)json_number(json_at(json_at(truth, i), c));
        assert_int_equal(dataset_writer_append(w, id, id, multi ? -1 : (int32_t)json_number(json_at(truth, i)),
                                               multi ? targets : NULL, (struct token_row){ids, 3, 3}, &e),
                         0);
    }
    assert_int_equal(dataset_writer_commit(&w, &e), 0);
    assert_int_equal(dataset_open(&f->run.data, f->path, &e), 0);
}

static void open_fixture(struct fixture *f, const char *task, uint32_t labels, bool multi)
{
    static const char *names[] = {"a", "b", "c"};
    struct error e;
    *f = (struct fixture){.path = "/tmp/test_report_scores_XXXXXX"};
    close(mkstemp(f->path));
    if (json_read(&f->golden, TEST_GOLDEN "/report_scores.json", &e) != 0)
        fail_msg("%s", e.message);
    f->task = json_get(f->golden, task);
    const struct json *logits = json_get(f->task, "logits"), *thresholds = json_get(f->task, "thresholds");
    uint32_t rows = (uint32_t)json_size(logits);
    write_data(f, labels, multi);
    struct report_run *r = &f->run;
    r->multi = multi;
    r->labels = names;
    r->label_count = labels;
    r->positive = labels - 1;
    r->decided = true;
    r->thresholds = allocate(labels, sizeof *r->thresholds);
    r->temperatures = allocate(labels, sizeof *r->temperatures);
    for (uint32_t c = 0; c < labels; c++) {
        r->thresholds[c] = json_number(thresholds ? json_at(thresholds, c) : json_get(f->task, "threshold"));
        const struct json *own = json_get(f->task, "temperatures");
        r->temperatures[c] = own                                ? json_number(json_at(own, c))
                             : json_get(f->task, "temperature") ? json_number(json_get(f->task, "temperature"))
                                                                : 1;
    }
    r->split.part[PART_VALIDATION].rows = allocate(rows, sizeof(uint32_t));
    r->split.part[PART_VALIDATION].count = rows;
    r->validation = (struct logits){.rows = rows, .labels = labels, .values = allocate((size_t)rows * labels, sizeof(float))};
    for (uint32_t i = 0; i < rows; i++) {
        r->split.part[PART_VALIDATION].rows[i] = i;
        for (uint32_t c = 0; c < labels; c++)
            r->validation.values[i * labels + c] = (float)json_number(json_at(json_at(logits, i), c));
    }
    assert_true(report_scores_of(&f->scores, r, PART_VALIDATION));
}

static void close_fixture(struct fixture *f)
{
    free(f->run.thresholds);
    free(f->run.temperatures);
    free(f->run.split.part[PART_VALIDATION].rows);
    logits_free(&f->run.validation);
    dataset_close(&f->run.data);
    json_destroy(&f->golden);
    unlink(f->path);
}

static double golden(const struct fixture *f, const char *key)
{
    const struct json *value = json_get(f->task, key);
    assert_int_equal(json_type(value), JSON_NUMBER);
    return json_number(value);
}

static void check_reliability(const struct fixture *f, const char *key, bool calibrated)
{
    const struct json *expected = json_get(f->task, key);
    struct reliability r;
    scores_reliability(&r, &f->scores, calibrated);
    near("ece", r.ece, json_number(json_get(expected, "ece")));
    near("brier", r.brier, json_number(json_get(expected, "brier")));
    near("nll", r.nll, json_number(json_get(expected, "nll")));
    for (int b = 0; b < RELIABILITY_BINS; b++)
        assert_int_equal(r.bin[b].count, json_number(json_at(json_get(expected, "count"), (size_t)b)));
}

static void binary(void **state)
{
    struct fixture f;
    (void)state;
    open_fixture(&f, "binary", 2, false);
    assert_int_equal(f.scores.kind, KIND_BINARY);
    struct label_metrics *metrics = scores_labels(&f.scores);
    near("average precision", metrics[1].average_precision, golden(&f, "average_precision"));
    near("f1", metrics[1].at_rule.f1, golden(&f, "f1"));
    near("f1 at 0.5", metrics[1].at_0_5.f1, golden(&f, "f1_at_half"));
    uint64_t *confusion = scores_confusion(&f.scores);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(confusion[i], json_number(json_at(json_at(json_get(f.task, "confusion"), i / 2), i % 2)));
    struct score_curve curve;
    scores_curve(&curve, &f.scores, 1);
    for (size_t i = 0; i < CURVE_POINTS; i++)
        near("curve", curve.f1[i], json_number(json_at(json_get(f.task, "curve_f1"), i)));
    check_reliability(&f, "before", false);
    check_reliability(&f, "after", true);
    free(confusion);
    free(metrics);
    close_fixture(&f);
}

static void surest_errors_come_first(void **state)
{
    struct fixture f;
    struct wrong *wrong;
    (void)state;
    open_fixture(&f, "binary", 2, false);
    const struct json *expected = json_get(f.task, "worst");
    size_t count = scores_worst(&wrong, &f.scores, 8);
    assert_int_equal(count, json_size(expected));
    for (size_t i = 0; i < count; i++) {
        near("probability", wrong[i].probability, json_number(json_at(expected, i)));
        assert_int_equal(wrong[i].truth, dataset_class(f.run.data, wrong[i].row));
        assert_int_not_equal(wrong[i].truth, wrong[i].predicted);
    }
    free(wrong);
    assert_int_equal(scores_worst(&wrong, &f.scores, 0), 0);
    free(wrong);
    close_fixture(&f);
}

static void many_labels(void **state)
{
    struct fixture f;
    struct binary_metrics micro;
    double macro;
    uint32_t order[3];
    (void)state;
    open_fixture(&f, "many", 3, true);
    assert_int_equal(f.scores.kind, KIND_MANY_LABELS);
    struct label_metrics *metrics = scores_labels(&f.scores);
    for (size_t c = 0; c < 3; c++) {
        near("f1", metrics[c].at_rule.f1, json_number(json_at(json_get(f.task, "f1"), c)));
        near("average precision", metrics[c].average_precision, json_number(json_at(json_get(f.task, "average_precision"), c)));
    }
    scores_micro(&micro, &macro, &f.scores, metrics, false);
    near("micro f1", micro.f1, golden(&f, "micro_f1"));
    near("macro f1", macro, golden(&f, "macro_f1"));
    check_reliability(&f, "before", false);
    /* The label that no row has is not among the worst. */
    assert_int_equal(report_worst_labels(order, metrics, 3), 2);
    assert_true(metrics[order[0]].at_0_5.f1 <= metrics[order[1]].at_0_5.f1);
    double *precision, *recall;
    assert_int_equal(scores_precision_recall(&precision, &recall, &f.scores, 2, 200), 0);
    free(precision);
    free(recall);
    size_t count = scores_precision_recall(&precision, &recall, &f.scores, 0, 5);
    assert_in_range(count, 3, 7);
    near("all are found in the end", recall[count - 1], 1);
    free(precision);
    free(recall);
    free(metrics);
    close_fixture(&f);
}

/* By the most probable class, not by 0.5. */
static void many_classes(void **state)
{
    struct fixture f;
    struct binary_metrics micro;
    double macro;
    (void)state;
    open_fixture(&f, "classes", 3, false);
    assert_int_equal(f.scores.kind, KIND_MANY_CLASSES);
    struct label_metrics *metrics = scores_labels(&f.scores);
    for (size_t c = 0; c < 3; c++) {
        near("precision", metrics[c].at_rule.precision, json_number(json_at(json_get(f.task, "precision"), c)));
        near("recall", metrics[c].at_rule.recall, json_number(json_at(json_get(f.task, "recall"), c)));
        near("f1", metrics[c].at_rule.f1, json_number(json_at(json_get(f.task, "f1"), c)));
    }
    scores_micro(&micro, &macro, &f.scores, metrics, false);
    near("micro f1", micro.f1, golden(&f, "micro_f1"));
    near("macro f1", macro, golden(&f, "macro_f1"));
    uint64_t *confusion = scores_confusion(&f.scores);
    for (size_t i = 0; i < 9; i++)
        assert_int_equal(confusion[i], json_number(json_at(json_at(json_get(f.task, "confusion"), i / 3), i % 3)));
    free(confusion);
    free(metrics);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(binary), cmocka_unit_test(surest_errors_come_first),
                                       cmocka_unit_test(many_labels), cmocka_unit_test(many_classes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The grid of a sweep: order, keys, and that no configuration is trained twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/job/sweep_points.h"
#include "coordinator/sweep/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOB "{\"model\": \"m\", \"data\": {\"path\": \"p\", \"text_a\": [\"a\"]}}"

/* Keys in order, each followed by a space, of the job with this sweep. */
static void expect_keys(const char *sweep, const char *override, const char *keys)
{
    struct job j;
    struct error e = {0};
    struct trials trials;
    char found[4096] = "";
    assert_int_equal(file_write("test_sweep.json", JOB, strlen(JOB), &e), 0);
    if (job_read(&j, "test_sweep.json", (const char *const[]){sweep, override}, override ? 2 : 1, &e) != 0 ||
        sweep_plan(&trials, &j, &e) != 0)
        fail_msg("%s", e.message);
    for (size_t i = 0; i < trials.count; i++) {
        assert_true(trials.list[i].baseline == (i == 0));
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s ", trials.list[i].key);
    }
    assert_string_equal(found, keys);
    sweep_free(&trials);
    job_free(&j);
    remove("test_sweep.json");
}

static void grids(void **state)
{
    (void)state;
    /* W1: three rates by two numbers of epochs, and a baseline that is none of them. */
    expect_keys("sweep={\"lr\": [1e-5, 2e-5, 3e-5], \"epochs\": [3, 4]}", NULL,
                "lr-2e-05_epochs-5 lr-1e-05_epochs-3 lr-1e-05_epochs-4 lr-2e-05_epochs-3 lr-2e-05_epochs-4 lr-3e-05_epochs-3 "
                "lr-3e-05_epochs-4 ");
    /* A point of the grid that has the baseline's options is the baseline, and says so by absence. */
    expect_keys("sweep={\"lr\": [1e-5, 2e-5], \"epochs\": [4, 5]}", NULL,
                "lr-2e-05_epochs-5 lr-1e-05_epochs-4 lr-1e-05_epochs-5 lr-2e-05_epochs-4 ");
    expect_keys("sweep={\"precision\": [\"f32\", \"bf16\"], \"batch\": [8, 16]}", NULL,
                "lr-2e-05_epochs-5 lr-2e-05_epochs-5_batch-16_precision-f32 lr-2e-05_epochs-5_batch-8_precision-bf16 "
                "lr-2e-05_epochs-5_batch-16_precision-bf16 ");
    expect_keys("sweep={\"micro_batch\": [null, 4, 8]}", NULL, "lr-2e-05_epochs-5 lr-2e-05_epochs-5_micro_batch-4 ");
    expect_keys("sweep={\"clip\": [0, null, 0.5]}", NULL,
                "lr-2e-05_epochs-5 lr-2e-05_epochs-5_clip-0 lr-2e-05_epochs-5_clip-0.5 ");
    /* What people sweep; a key's place in the file does not change a trial's name. */
    expect_keys("sweep={\"dropout\": [0.1, null], \"warmup\": [0.06], \"weight_decay\": [0], \"clip\": [null]}", NULL,
                "lr-2e-05_epochs-5 lr-2e-05_epochs-5_weight_decay-0_clip-null_warmup-0.06_dropout-0.1 "
                "lr-2e-05_epochs-5_weight_decay-0_clip-null_warmup-0.06_dropout-null ");
    expect_keys("sweep={\"patience\": [2], \"select\": [\"f1\"], \"class_weights\": [\"none\"], \"seed\": [42, 43]}", NULL,
                "lr-2e-05_epochs-5 lr-2e-05_epochs-5_seed-42_class_weights-none_select-f1_patience-2 "
                "lr-2e-05_epochs-5_seed-43_class_weights-none_select-f1_patience-2 ");
    expect_keys("sweep={\"seed\": [42, 43, 44]}", NULL,
                "lr-2e-05_epochs-5 lr-2e-05_epochs-5_seed-43 lr-2e-05_epochs-5_seed-44 "); /* 42 is the baseline */
    expect_keys("sweep={\"pos_weight\": [null, [1, 50], [1, 12.5]]}", "task=multi_label_classification",
                "lr-2e-05_epochs-5 lr-2e-05_epochs-5_pos_weight-1-50 lr-2e-05_epochs-5_pos_weight-1-12.5 ");
    expect_keys("sweep={\"schedule\": [\"linear\", \"cosine\"], \"label_smoothing\": [0, 0.1]}", NULL,
                "lr-2e-05_epochs-5 lr-2e-05_epochs-5_schedule-linear_label_smoothing-0.1 "
                "lr-2e-05_epochs-5_schedule-cosine_label_smoothing-0 lr-2e-05_epochs-5_schedule-cosine_label_smoothing-0.1 ");
    expect_keys("sweep={\"focal_gamma\": [1, 2]}", "train.loss=focal", "lr-2e-05_epochs-5 lr-2e-05_epochs-5_focal_gamma-1 ");
    expect_keys("sweep=null", NULL, "lr-2e-05_epochs-5 ");
    expect_keys("sweep={}", NULL, "lr-2e-05_epochs-5 ");
}

static void seeds(void **state)
{
    (void)state;
    static const char *const keys[] = {"lr-2e-05_epochs-5_seed-7", "lr-2e-05_epochs-5_seed-42", "lr-1e-05_epochs-5_seed-7",
                                       "lr-1e-05_epochs-5_seed-42"};
    struct job j;
    struct error e = {0};
    struct trials trials;
    assert_int_equal(file_write("test_sweep.json", JOB, strlen(JOB), &e), 0);
    /* 2e-5 is the baseline: its configuration is not there twice. */
    const char *const overrides[] = {"train.seeds=[7, 42]", "sweep={\"lr\": [1e-5, 2e-5]}"};
    if (job_read(&j, "test_sweep.json", overrides, 2, &e) != 0 || sweep_plan(&trials, &j, &e) != 0)
        fail_msg("%s", e.message);
    assert_int_equal(trials.count, 4);
    assert_int_equal(trials.baselines, 2);
    for (size_t i = 0; i < 4; i++) {
        const struct trial_run *t = &trials.list[i];
        assert_string_equal(t->key, keys[i]);
        assert_string_equal(t->configuration_key, i < 2 ? "lr-2e-05_epochs-5" : "lr-1e-05_epochs-5");
        assert_int_equal(t->configuration, i / 2);
        assert_true(t->baseline == (i < 2));
        assert_int_equal(t->job.seed, i % 2 ? 42 : 7);
        assert_true(json_number(json_get(t->options, "seed")) == (i % 2 ? 42 : 7));
        assert_null(json_get(t->options, "seeds"));
    }
    sweep_free(&trials);
    job_free(&j);
    remove("test_sweep.json");
}

static void a_grid_has_a_limit(void **state)
{
    (void)state;
    char lists[8192] = "sweep={\"lr\": [";
    struct error e = {0};
    struct job j;
    struct trials trials;
    for (int i = 1; i <= 101; i++)
        snprintf(lists + strlen(lists), sizeof lists - strlen(lists), "%s%de-6", i > 1 ? "," : "", i);
    strcat(lists, "], \"epochs\": [");
    for (int i = 1; i <= 100; i++)
        snprintf(lists + strlen(lists), sizeof lists - strlen(lists), "%s%d", i > 1 ? "," : "", i);
    strcat(lists, "]}");
    assert_int_equal(file_write("test_sweep.json", JOB, strlen(JOB), &e), 0);
    assert_int_equal(job_read(&j, "test_sweep.json", (const char *const[]){lists}, 1, &e), 0);
    assert_int_equal(sweep_plan(&trials, &j, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_string_equal(e.message, "sweep: the lists span more than 10000 trials");
    job_free(&j);
    remove("test_sweep.json");
}

/* The draws of another implementation (tools/golden_sample.py). */
static void draws(void **state)
{
    (void)state;
    struct json *j;
    struct error e = {0};
    char *path = format_string("%s/tests/golden/sample.json", getenv("MUSTER_SOURCE"));
    if (json_read(&j, path, &e) != 0)
        fail_msg("%s", e.message);
    const struct json *list = json_get(j, "draws");
    assert_int_equal(json_size(list), 100);
    for (size_t i = 0; i < json_size(list); i++) {
        const struct json *draw = json_at(list, i);
        struct json *values = sweep_random_point(json_get(j, "sweep"), (uint64_t)json_number(json_get(draw, "seed")),
                                                 (uint32_t)json_number(json_get(draw, "n")));
        char *found = json_print(values, false), *expected = json_print(json_get(draw, "values"), false);
        assert_string_equal(found, expected);
        free(found);
        free(expected);
        json_destroy(&values);
    }
    json_destroy(&j);
    free(path);
}

static char *keys_of(const char *sweep, const char *override, size_t *count)
{
    struct job j;
    struct error e = {0};
    struct trials trials;
    char *keys = duplicate("");
    assert_int_equal(file_write("test_sweep.json", JOB, strlen(JOB), &e), 0);
    if (job_read(&j, "test_sweep.json", (const char *const[]){sweep, override}, 2, &e) != 0 || sweep_plan(&trials, &j, &e) != 0)
        fail_msg("%s", e.message);
    for (size_t i = 0; i < trials.count; i++) {
        char *longer = format_string("%s%s ", keys, trials.list[i].key);
        free(keys);
        keys = longer;
    }
    *count = trials.count;
    sweep_free(&trials);
    job_free(&j);
    remove("test_sweep.json");
    return keys;
}

static void random_trials(void **state)
{
    (void)state;
    static const char *const wide = "sweep={\"lr\": {\"from\": 1e-6, \"to\": 1e-4}, \"epochs\": [2, 3], \"sample\": \"random\"}";
    size_t count;
    char *ten = keys_of(wide, "sweep.count=10", &count);
    assert_int_equal(count, 11);
    char *twenty = keys_of(wide, "sweep.count=20", &count);
    assert_int_equal(count, 21);
    assert_memory_equal(ten, twenty, strlen(ten)); /* more trials are more, not others */
    free(twenty);
    char *again = keys_of("sweep={\"sample\": \"random\", \"epochs\": [2, 3], \"lr\": {\"to\": 1e-4, \"from\": 1e-6}}",
                          "sweep.count=10", &count);
    assert_string_equal(ten, again); /* the same whatever the order of keys */
    free(again);
    free(ten);
    /* Six combinations, one of which is the baseline: no trial is there twice. */
    free(keys_of("sweep={\"lr\": [1e-5, 2e-5, 3e-5], \"epochs\": {\"from\": 4, \"to\": 5}, \"sample\": \"random\"}",
                 "sweep.count=50", &count));
    assert_int_equal(count, 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(grids), cmocka_unit_test(seeds), cmocka_unit_test(a_grid_has_a_limit),
                                       cmocka_unit_test(draws), cmocka_unit_test(random_trials)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The grid of a sweep: order, keys, and that no configuration is trained twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "coordinator/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOB "{\"model\": \"m\", \"data\": {\"path\": \"p\", \"text_a\": [\"a\"]}}"

/* Keys in order, each followed by a space, of the job with this sweep. */
static void expect_keys(const char *sweep, const char *override, const char *keys)
{
    struct job j;
    struct error e = {0};
    struct trial_run *trials;
    size_t count;
    char found[4096] = "";
    assert_int_equal(file_write("test_sweep.json", JOB, strlen(JOB), &e), 0);
    if (job_read(&j, "test_sweep.json", (const char *const[]){sweep, override}, override ? 2 : 1, &e) != 0 ||
        sweep_plan(&trials, &count, &j, &e) != 0)
        fail_msg("%s", e.text);
    for (size_t i = 0; i < count; i++) {
        assert_true(trials[i].baseline == (i == 0));
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s ", trials[i].key);
    }
    assert_string_equal(found, keys);
    sweep_free(trials, count);
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
                "lr-2e-05_epochs-5 lr-2e-05_epochs-5_precision-f32_batch-16 lr-2e-05_epochs-5_precision-bf16_batch-8 "
                "lr-2e-05_epochs-5_precision-bf16_batch-16 ");
    expect_keys("sweep={\"micro_batch\": [null, 4, 8]}", NULL, "lr-2e-05_epochs-5 lr-2e-05_epochs-5_micro_batch-4 ");
    expect_keys("sweep=null", NULL, "lr-2e-05_epochs-5 ");
    expect_keys("sweep={}", NULL, "lr-2e-05_epochs-5 ");
}

static void a_grid_has_a_limit(void **state)
{
    (void)state;
    char lists[8192] = "sweep={\"lr\": [";
    struct error e = {0};
    struct job j;
    struct trial_run *trials;
    size_t count;
    for (int i = 1; i <= 101; i++)
        snprintf(lists + strlen(lists), sizeof lists - strlen(lists), "%s%de-6", i > 1 ? "," : "", i);
    strcat(lists, "], \"epochs\": [");
    for (int i = 1; i <= 100; i++)
        snprintf(lists + strlen(lists), sizeof lists - strlen(lists), "%s%d", i > 1 ? "," : "", i);
    strcat(lists, "]}");
    assert_int_equal(file_write("test_sweep.json", JOB, strlen(JOB), &e), 0);
    assert_int_equal(job_read(&j, "test_sweep.json", (const char *const[]){lists}, 1, &e), 0);
    assert_int_equal(sweep_plan(&trials, &count, &j, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_string_equal(e.text, "sweep: the lists span more than 10000 trials");
    job_free(&j);
    remove("test_sweep.json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(grids), cmocka_unit_test(a_grid_has_a_limit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The table of trials, against metrics worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/sweep/configurations.h"
#include "coordinator/sweep/leaderboard.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct at_threshold metrics(double threshold, double score, bool met)
{
    struct at_threshold a = {.met = met, .threshold = threshold, .score = score};
    a.metrics.precision = a.metrics.recall = a.metrics.f1 = score;
    return a;
}

static void the_table_is_sorted_and_stable(void **state)
{
    (void)state;
    struct epoch_score epochs[2] = {{.loss = 0.5}, {.loss = 0.25}};
    struct trial_run trials[5] = {
        {.key = "a", .baseline = true, .state = TRIAL_DONE, .epochs_done = 2, .best_epoch = 2, .epochs = epochs},
        {.key = "b", .state = TRIAL_DONE, .epochs_done = 2, .best_epoch = 1, .epochs = epochs},
        {.key = "c", .state = TRIAL_DONE, .epochs_done = 2, .best_epoch = 2, .epochs = epochs},
        {.key = "d", .state = TRIAL_FAILED, .why = "it died"},
        {.key = "e", .state = TRIAL_PRUNED, .epochs_done = 1, .best_epoch = 1, .epochs = epochs, .why = "pruned at epoch 1"},
    };
    struct tuned_trial tuned[5] = {
        {.own = metrics(0.5, 0.5, true), .at_baseline = metrics(0.5, 0.5, true)},
        {.own = metrics(0.4, 0.75, true), .at_baseline = metrics(0.5, 0, false)},
        {.own = metrics(0.3, 0.75, true), .at_baseline = metrics(0.5, 0.25, true)},
    };
    struct json *options = json_object();
    for (int i = 0; i < 5; i++)
        trials[i].options = options;
    for (int i = 0; i < 5; i++)
        tuned[i].of = (struct candidate){
            .key = trials[i].key, .state = trials[i].state, .baseline = trials[i].baseline, .configuration = (size_t)i};
    size_t order[5];
    struct trials all = {trials, 5};
    struct decision decision = {.trials = tuned, .count = 5, .order = order};
    decision_rank(order, tuned, 5, true);
    assert_int_equal(order[0] * 10000 + order[1] * 1000 + order[2] * 100 + order[3] * 10 + order[4], 12043);
    struct job j = {.name = "n", .tune.per_trial = true};
    char *text = leaderboard_to_markdown(&all, &decision, &j);
    assert_string_equal(
        text, "# n: trials on validation\n\nrule f1, ranked at each trial's own threshold.\n\n"
              "| trial        | best epoch |   loss | baseline's threshold | precision | recall |     F1 | own threshold | "
              "precision | recall |     F1 | note |\n"
              "| ------------ | ---------- | -----: | -------------------: | --------: | -----: | -----: | ------------: | "
              "--------: | -----: | -----: | ---- |\n"
              "| b            | 1 of 2     | 0.5000 |                    - |         - |      - |      - |        0.4000 | "
              "   0.7500 | 0.7500 | 0.7500 |      |\n"
              "| c            | 2 of 2     | 0.2500 |               0.5000 |    0.2500 | 0.2500 | 0.2500 |        0.3000 | "
              "   0.7500 | 0.7500 | 0.7500 |      |\n"
              "| a (baseline) | 2 of 2     | 0.2500 |               0.5000 |    0.5000 | 0.5000 | 0.5000 |        0.5000 | "
              "   0.5000 | 0.5000 | 0.5000 |      |\n"
              "| e            | 1 of 1     | 0.5000 |                    - |         - |      - |      - |             - | "
              "        - |      - |      - | pruned at epoch 1 |\n"
              "| d            | -          |      - |                    - |         - |      - |      - |             - | "
              "        - |      - |      - | failed: it died |\n");
    free(text);
    decision_rank(order, tuned, 5, false);
    assert_int_equal(order[0] * 10000 + order[1] * 1000 + order[2] * 100 + order[3] * 10 + order[4], 2143);
    struct json *table = leaderboard_to_json(&all, &decision, &j);
    const struct json *rows = json_get(table, "trials"), *pruned = json_at(rows, 3);
    assert_string_equal(json_string(json_get(json_at(rows, 4), "failed")), "it died");
    assert_string_equal(json_string(json_get(pruned, "pruned")), "pruned at epoch 1");
    assert_true(json_number(json_get(pruned, "validation_loss")) == 0.5 && !json_get(pruned, "at_own_threshold"));
    assert_true(json_number(json_get(json_at(json_get(table, "trials"), 1), "validation_loss")) == 0.25);
    json_destroy(&table);
    json_destroy(&options);
}

/* Six trials of three configurations: their means and deviations are numpy.mean and numpy.std(ddof=1) of the scores. */
static void a_configuration_goes_by_its_mean(void **state)
{
    (void)state;
    static const double scores[6] = {0.9, 0.5, 0.75, 0.7, 0.95, 0};
    static char *const keys[6] = {"a_seed-1", "a_seed-2", "b_seed-1", "b_seed-2", "c_seed-1", "c_seed-2"};
    struct epoch_score epoch = {.loss = 0.25};
    struct trial_run trials[6];
    struct tuned_trial tuned[6];
    uint64_t list[2] = {1, 2};
    memset(tuned, 0, sizeof tuned);
    for (size_t i = 0; i < 6; i++) {
        enum trial_state state_of = i == 5 ? TRIAL_FAILED : TRIAL_DONE;
        char *configuration = (char *[]){"a", "b", "c"}[i / 2];
        trials[i] = (struct trial_run){.key = keys[i],
                                       .configuration_key = configuration,
                                       .configuration = i / 2,
                                       .state = state_of,
                                       .epochs_done = 1,
                                       .best_epoch = 1,
                                       .epochs = &epoch,
                                       .baseline = i < 2,
                                       .job.train.select = "loss"};
        tuned[i].own = metrics(0.5, scores[i], true);
        tuned[i].of = (struct candidate){.key = keys[i], .state = state_of, .configuration = i / 2, .baseline = i < 2};
    }
    size_t order[6];
    static const size_t expected[6] = {2, 3, 0,
                                       1, 4, 5}; /* b's mean is higher than a's, though a has the better trial; c lacks one */
    struct trials all = {trials, 6, 2};
    struct decision decision = {.trials = tuned, .count = 6, .order = order};
    struct job j = {.name = "n", .tune.per_trial = true, .train.seeds = {list, 2}};
    decision_rank(order, tuned, 6, true);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(order[i], expected[i]);
    struct json *table = configurations_to_json(&all, &decision, &j);
    const struct json *b = json_at(table, 0), *a = json_at(table, 1), *c = json_at(table, 2);
    const struct json *f1 = json_get(json_get(a, "metrics"), "f1");
    assert_string_equal(json_string(json_get(b, "configuration")), "b");
    assert_string_equal(json_string(json_get(b, "best_trial")), "b_seed-1");
    assert_true(fabs(json_number(json_get(f1, "mean")) - 0.7) < 1e-15);
    assert_true(fabs(json_number(json_get(f1, "sd")) - 0.28284271247461906) < 1e-15);
    assert_true(json_number(json_get(f1, "min")) == 0.5 && json_number(json_get(f1, "max")) == 0.9);
    assert_int_equal(json_size(json_get(f1, "values")), 2);
    assert_int_equal(json_number(json_get(c, "done")), 1);
    assert_int_equal(json_type(json_get(json_get(json_get(c, "metrics"), "f1"), "sd")), JSON_NULL);
    char *text = configurations_to_markdown(&all, &decision, &j);
    assert_non_null(strstr(text,
                           "| b             | 2 of 2 | 0.2500 ± 0.0000 | 0.7250 ± 0.0354 | 0.7250 ± 0.0354 | 0.7250 ± 0.0354 |  "
                           "0.7000 to 0.7500 | b_seed-1   |\n"));
    assert_non_null(strstr(text, "| c             | 1 of 2 |          0.2500 |"));
    free(text);
    json_destroy(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_sorted_and_stable),
        cmocka_unit_test(a_configuration_goes_by_its_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

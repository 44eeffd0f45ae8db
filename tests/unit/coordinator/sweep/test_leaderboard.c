/* SPDX-License-Identifier: Apache-2.0 */
/* The table of trials, against metrics worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/sweep/leaderboard.h"

#include <stdlib.h>

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
        tuned[i].of = (struct candidate){.key = trials[i].key, .state = trials[i].state, .baseline = trials[i].baseline};
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_sorted_and_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Pruning: every decision of Optuna's pruners on scripted trials (tests/golden/scheduler.json, tools/golden_scheduler.py), the
 * words that go with one, and that the past can be told again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/memory.h"
#include "common/json/json.h"
#include "coordinator/job/scheduler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static struct json *golden(void)
{
    struct json *j;
    struct error e = {0};
    char *path = format_string("%s/tests/golden/scheduler.json", getenv("MUSTER_SOURCE"));
    if (json_read(&j, path, &e) != 0)
        fail_msg("%s", e.message);
    free(path);
    return j;
}

static struct scheduler_options options_of(const struct json *c)
{
    bool asha = strcmp(json_string(json_get(c, "scheduler")), "asha") == 0;
    return (struct scheduler_options){.kind = asha ? SCHEDULER_ASHA : SCHEDULER_MEDIAN,
                                      .grace = (uint32_t)json_number(json_get(c, "grace")),
                                      .reduction = (uint32_t)json_number(json_get(c, "reduction")),
                                      .startup = (uint32_t)json_number(json_get(c, "startup")),
                                      .metric = "f1"};
}

/* Counts the decisions, and those that stop. */
static void follow(const struct json *c, size_t number, int counts[2])
{
    struct scheduler *s;
    struct scheduler_options o = options_of(c);
    const struct json *reports = json_get(c, "reports");
    scheduler_create(&s, &o, (size_t)json_number(json_get(c, "trials")));
    for (size_t i = 0; i < json_size(reports); i++) {
        const struct json *r = json_at(reports, i);
        size_t trial = (size_t)json_number(json_at(r, 0));
        uint32_t epoch = (uint32_t)json_number(json_at(r, 1));
        const char *expected = json_string(json_at(r, 3));
        char why[SCHEDULER_WORDS];
        scheduler_report(s, trial, epoch, json_type(json_at(r, 2)) == JSON_NUMBER ? json_number(json_at(r, 2)) : NAN);
        if (strcmp(expected, "last") == 0) {
            scheduler_complete(s, trial);
            continue;
        }
        enum scheduler_decision decision = scheduler_decide(why, s, trial, epoch);
        if ((decision == SCHEDULER_STOP) != (strcmp(expected, "stop") == 0))
            fail_msg("case %zu (%s), report %zu, trial %zu epoch %u: expected %s, found %s (%s)", number, scheduler_names[o.kind],
                     i, trial, epoch, expected, decision == SCHEDULER_STOP ? "stop" : "go on", why);
        assert_true((decision == SCHEDULER_UNDECIDED) == !why[0]);
        counts[0] += decision != SCHEDULER_UNDECIDED;
        counts[1] += decision == SCHEDULER_STOP;
    }
    scheduler_destroy(&s);
}

static void as_optuna_decides(void **state)
{
    (void)state;
    struct json *j = golden();
    const struct json *cases = json_get(j, "cases");
    int counts[2] = {0};
    for (size_t i = 0; i < json_size(cases); i++)
        follow(json_at(cases, i), i, counts);
    assert_true(json_size(cases) == 30 && counts[0] > 1000 && counts[1] > 600);
    json_destroy(&j);
}

static void expect(const struct scheduler *s, size_t trial, uint32_t epoch, enum scheduler_decision decision, const char *words)
{
    char why[SCHEDULER_WORDS];
    assert_int_equal(scheduler_decide(why, s, trial, epoch), decision);
    assert_string_equal(why, words);
}

static void words(void **state)
{
    (void)state;
    struct scheduler *s;
    struct scheduler_options o = {SCHEDULER_ASHA, 1, 2, 0, "loss", true};
    scheduler_create(&s, &o, 4);
    scheduler_report(s, 0, 1, -0.5);
    expect(s, 0, 1, SCHEDULER_CONTINUE, "asha: loss 0.5000 has rank 1 of 1 at epoch 1, the best 1 continues");
    scheduler_report(s, 1, 1, -0.75);
    expect(s, 1, 1, SCHEDULER_STOP, "asha: loss 0.7500 has rank 2 of 2 at epoch 1, the best 1 continues");
    scheduler_report(s, 0, 3, -0.25);
    expect(s, 0, 3, SCHEDULER_UNDECIDED, ""); /* no rung */
    expect(s, 0, 2, SCHEDULER_UNDECIDED, ""); /* not reported */
    scheduler_destroy(&s);

    o = (struct scheduler_options){SCHEDULER_MEDIAN, 2, 4, 2, "f1", false};
    scheduler_create(&s, &o, 4);
    for (uint32_t epoch = 1; epoch <= 2; epoch++)
        for (size_t t = 0; t < 3; t++)
            scheduler_report(s, t, epoch, 0.25 * (double)t + 0.125 * epoch);
    scheduler_complete(s, 2);
    expect(s, 0, 2, SCHEDULER_UNDECIDED, ""); /* one is not enough */
    scheduler_complete(s, 1);
    expect(s, 0, 1, SCHEDULER_UNDECIDED, ""); /* its grace */
    expect(s, 0, 2, SCHEDULER_STOP, "median: best f1 0.2500 so far, median at epoch 2 0.6250 of 2 trials");
    scheduler_destroy(&s);

    o.kind = SCHEDULER_NONE;
    scheduler_create(&s, &o, 1);
    scheduler_report(s, 0, 1, NAN);
    expect(s, 0, 1, SCHEDULER_UNDECIDED, "");
    scheduler_destroy(&s);
}

static void told_again(void **state)
{
    (void)state;
    struct scheduler *s;
    struct scheduler_options o = {SCHEDULER_ASHA, 1, 2, 0, "f1", false};
    scheduler_create(&s, &o, 3);
    for (int times = 0; times < 2; times++) {
        scheduler_report(s, 0, 1, 0.5);
        scheduler_report(s, 1, 1, 0.25);
    }
    expect(s, 1, 1, SCHEDULER_STOP, "asha: f1 0.2500 has rank 2 of 2 at epoch 1, the best 1 continues");
    scheduler_forget(s, 0); /* begun anew: its old metrics count for nothing */
    expect(s, 1, 1, SCHEDULER_CONTINUE, "asha: f1 0.2500 has rank 1 of 1 at epoch 1, the best 1 continues");
    scheduler_destroy(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_optuna_decides), cmocka_unit_test(words),
                                       cmocka_unit_test(told_again)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The line that a person reads while a group trains. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "coordinator/dispatch/progress.h"

#include <math.h>

static void expect_line(struct message_beat beat, double seconds, uint64_t first, int bar, const char *expected)
{
    char text[512];
    struct progress_row row = {"lr-1", "g", &beat, 1};
    progress_line(text, sizeof text, &row, seconds, first, bar);
    assert_string_equal(text, expected);
}

static void test_lines(void **state)
{
    (void)state;
    struct message_beat b = {.step = 30,
                             .steps = 120,
                             .epoch = 1,
                             .epochs = 4,
                             .loss = 0.5,
                             .tokens_per_second = 812.4,
                             .operation = (char *)"all_reduce"};
    /* 20 steps in 10 s leave 90 steps, 45 s; the 10 of an earlier run do not count */
    expect_line(b, 10, 10, 0, "lr-1: epoch 1/4, step 30/120, loss 0.5000, 812 tokens/s, ETA 45 s");
    expect_line(b, 10, 10, 8, "lr-1: [##......] epoch 1/4, step 30/120, loss 0.5000, 812 tokens/s, ETA 45 s");
    expect_line(b, 40, 10, 0, "lr-1: epoch 1/4, step 30/120, loss 0.5000, 812 tokens/s, ETA 3 min 00 s");
    expect_line(b, 4000, 10, 0, "lr-1: epoch 1/4, step 30/120, loss 0.5000, 812 tokens/s, ETA 5 h 00 min");
    expect_line(b, 10, 30, 0, "lr-1: epoch 1/4, step 30/120, loss 0.5000, 812 tokens/s, ETA ?");
    b.peak_share = 0.714;
    expect_line(b, 10, 10, 0, "lr-1: epoch 1/4, step 30/120, loss 0.5000, 812 tokens/s (71 % of peak), ETA 45 s");
    b.loss = NAN;
    b.operation = (char *)"evaluate";
    b.tokens_per_second = 0;
    expect_line(b, 10, 10, 0, "lr-1: evaluate, epoch 1/4, step 30/120, ETA 45 s");
    b.step = 500; /* a peer's nonsense is shown, not divided by */
    expect_line(b, 10, 10, 4, "lr-1: [####] evaluate, epoch 1/4, step 500/120, ETA ?");
    expect_line((struct message_beat){0}, 0, 0, 0, "lr-1: starting");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

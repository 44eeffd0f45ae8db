/* SPDX-License-Identifier: Apache-2.0 */
/* What a stage tells of its progress. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/meter.h"

static void a_line_has_rate_and_time_left(void **state)
{
    (void)state;
    struct meter m;
    char text[256];
    meter_begin(&m, "tokenizing", "rows", 5000);
    meter_line(text, sizeof text, &m, 1200, 12);
    assert_string_equal(text, "tokenizing: 1200 of 5000 rows, 100 a second, 38 s left");
    meter_line(text, sizeof text, &m, 6000, 12); /* a file that has grown */
    assert_string_equal(text, "tokenizing: 6000 of 5000 rows, 500 a second, 0 s left");
    meter_add(&m, 3);
    meter_add(&m, 4);
    assert_int_equal(m.done, 7);
    meter_set(&m, 5);
    assert_int_equal(m.done, 5);
    assert_int_equal(m.shown, 0); /* not in the first seconds */
    m.start -= 25;
    meter_add(&m, 1);
    assert_int_equal(m.shown, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_line_has_rate_and_time_left)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

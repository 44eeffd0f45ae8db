/* SPDX-License-Identifier: Apache-2.0 */
/* Mean and standard deviation as numpy.mean and numpy.std(ddof=1) of NumPy 2.4.6 have them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/score/spread.h"

#include <math.h>

static void as_numpy(void **state)
{
    (void)state;
    struct spread s;
    spread_of(&s, (const double[]){0.7407407407, 0.7058823529, 0.6451612903}, 3);
    assert_int_equal(s.count, 3);
    assert_true(fabs(s.mean - 0.6972614613) < 1e-15 && fabs(s.sd - 0.04836938767108516) < 1e-15);
    assert_true(s.least == 0.6451612903 && s.most == 0.7407407407);
    spread_of(&s, (const double[]){0.1, NAN, 0.1, 0.1, 0.1, 0.1, 0.3}, 7);
    assert_int_equal(s.count, 6);
    assert_true(fabs(s.mean - 0.13333333333333333) < 1e-15 && fabs(s.sd - 0.0816496580927726) < 1e-15);
}

static void few_values(void **state)
{
    (void)state;
    struct spread s;
    spread_of(&s, (const double[]){NAN, 0.25}, 2);
    assert_int_equal(s.count, 1);
    assert_true(s.mean == 0.25 && isnan(s.sd) && s.least == 0.25 && s.most == 0.25);
    spread_of(&s, NULL, 0);
    assert_true(s.count == 0 && isnan(s.mean) && isnan(s.sd) && isnan(s.least) && isnan(s.most));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_numpy), cmocka_unit_test(few_values)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The peak of the processor: measured in each precision, on one thread and on several threads, by an instruction that is
 * named. */
#include "common/base/peak.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

static void test_measured(void **state)
{
    (void)state;
    for (int p = 0; p < PRECISIONS; p++)
        for (int threads = 1; threads <= 3; threads += 2) {
            struct peak peak = peak_measure((enum precision)p, threads);
            assert_non_null(peak.instructions);
            if (!(peak.gflops > 0.1 && peak.gflops < 1e6))
                fail_msg("%s on %d threads: expected some GFLOPS, found %g", precision_names[p], threads, peak.gflops);
            if (p == PRECISION_F32)
                assert_null(strstr(peak.instructions, "bf16"));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_measured)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

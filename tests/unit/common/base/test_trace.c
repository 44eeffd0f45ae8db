/* SPDX-License-Identifier: Apache-2.0 */
/* Spans: off costs nothing and keeps nothing; what is printed nests as it was; a full ring keeps the newest. That the file as a
 * whole opens and has its phases is tests/system/test_trace.sh's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Begin and end in nanoseconds of the only span of that name. */
static void times_of(long long *begin, long long *end, const char *text, const char *name)
{
    char quoted[64];
    long long whole, part, size, size_part;
    snprintf(quoted, sizeof quoted, "{\"name\":\"%s\"", name);
    const char *at = strstr(text, quoted);
    assert_non_null(at);
    assert_null(strstr(at + 1, quoted));
    assert_int_equal(sscanf(strstr(at, "\"ts\":"), "\"ts\":%lld.%lld,\"dur\":%lld.%lld", &whole, &part, &size, &size_part), 4);
    *begin = whole * 1000 + part;
    *end = *begin + size * 1000 + size_part;
}

static void off_keeps_nothing(void **state)
{
    (void)state;
    trace_begin("lost", 1);
    trace_end();
    trace_start();
    char *text = trace_print(3, "host");
    assert_null(strstr(text, "lost"));
    assert_non_null(strstr(text, "rank 3 on host"));
    free(text);
    trace_stop();
    assert_false(trace_on);
}

static void spans_nest(void **state)
{
    (void)state;
    long long begin[4], end[4];
    trace_start();
    trace_begin("step", 7);
    trace_begin("first", -1);
    clock_sleep(0.002);
    trace_end();
    trace_begin("second", -1);
    trace_begin("within", -1);
    trace_end();
    trace_end();
    trace_end();
    trace_end(); /* one too many does no harm */
    trace_begin("not ended", -1);
    char *text = trace_print(0, "host");
    static const char *const names[] = {"step 7", "first", "second", "within"};
    for (int i = 0; i < 4; i++)
        times_of(&begin[i], &end[i], text, names[i]);
    assert_true(end[1] - begin[1] >= 2000000);
    assert_true(begin[0] <= begin[1] && end[1] <= begin[2] && begin[2] <= begin[3]);
    assert_true(end[3] <= end[2] && end[2] <= end[0]);
    assert_null(strstr(text, "not ended"));
    free(text);
    trace_stop();
}

static void deep_spans_keep_the_outer_ones(void **state)
{
    (void)state;
    trace_start();
    for (int i = 0; i < TRACE_DEPTH + 3; i++)
        trace_begin("depth", i);
    for (int i = 0; i < TRACE_DEPTH + 3; i++)
        trace_end();
    char *text = trace_print(0, "host");
    assert_non_null(strstr(text, "\"depth 0\""));
    assert_non_null(strstr(text, "\"depth 15\""));
    assert_null(strstr(text, "\"depth 16\""));
    free(text);
    trace_stop();
}

static void the_newest_are_kept(void **state)
{
    (void)state;
    trace_start();
    for (int i = 0; i < TRACE_SPANS + 10; i++) {
        trace_begin("span", i);
        trace_end();
    }
    char *text = trace_print(0, "host");
    assert_null(strstr(text, "\"span 9\""));
    assert_non_null(strstr(text, "\"span 10\""));
    assert_non_null(strstr(text, "\"span 65545\""));
    assert_non_null(strstr(text, "the first 10 spans are omitted"));
    free(text);
    trace_stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(off_keeps_nothing), cmocka_unit_test(spans_nest),
                                       cmocka_unit_test(deep_spans_keep_the_outer_ones), cmocka_unit_test(the_newest_are_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

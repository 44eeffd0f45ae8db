/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/date.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Seconds by Python: datetime.fromisoformat(text).replace(tzinfo=utc).timestamp(). */
static void reads_iso_8601(void **state)
{
    static const struct {
        const char *text;
        double seconds;
    } cases[] = {{"1970-01-01", 0},
                 {"1970-01", 0},
                 {"2026-11-22", 1795305600},
                 {" 2026-11-22T04:01:48Z ", 1795320108},
                 {"2026-11-22 04:01:48", 1795320108},
                 {"2026-11-22T04:01", 1795320060},
                 {"2026-11-22T04:01:48.250+02:30", 1795311108.25},
                 {"2026-11-22T04:01:48-0800", 1795348908},
                 {"2026-11-22T04:01:48-08", 1795348908},
                 {"2026-11-22T24:00:00", 1795392000},
                 {"2000-02-29", 951782400},
                 {"1900-03-01", -2203891200},
                 {"0001-01-01", -62135596800},
                 {"9999-12-31", 253402214400},
                 {"2016-12-31T23:59:60Z", 1483228800}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double found = -1;
        if (!date_read(&found, cases[i].text) || found != cases[i].seconds)
            fail_msg("'%s' is read as %.17g, expected %.17g", cases[i].text, found, cases[i].seconds);
    }
}

static void refuses_what_is_no_date(void **state)
{
    static const char *const cases[] = {"",
                                        "2026",
                                        "22.11.2026",
                                        "2026-13-01",
                                        "2026-02-29",
                                        "1900-02-29",
                                        "2026-11-22T",
                                        "2026-11-22T4:01",
                                        "2026-11-31",
                                        "2026-11-22T25:00",
                                        "2026-11-22T24:01",
                                        "2026-11-22T04:01:48.",
                                        "0000-01-01",
                                        "2026-11-22x",
                                        "2026-11-22T04:61",
                                        "2026-11-22T04:01+1",
                                        "2026-W47",
                                        "2026-11-22T04:01+24:00"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double found;
        if (date_read(&found, cases[i]))
            fail_msg("'%s' is read as %.17g", cases[i], found);
    }
}

static void writes_what_it_reads(void **state)
{
    static const char *const cases[] = {"1970-01-01",           "2026-11-22", "2026-11-22T04:01:48Z",     "2000-02-29",
                                        "1969-12-31T23:59:59Z", "1600-12-31", "2026-11-22T00:00:00.500Z", "0001-01-01",
                                        "9999-12-31T23:59:59Z"};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[DATE_TEXT];
        double seconds;
        assert_true(date_read(&seconds, cases[i]));
        date_text(text, seconds);
        assert_string_equal(text, cases[i]);
    }
    for (double days = -719162; days < 2932896; days += 1) {
        char text[DATE_TEXT];
        double again = 0;
        date_text(text, days * 86400);
        if (!date_read(&again, text) || again != days * 86400)
            fail_msg("day %.0f is written as %s", days, text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_iso_8601), cmocka_unit_test(refuses_what_is_no_date),
                                       cmocka_unit_test(writes_what_it_reads)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

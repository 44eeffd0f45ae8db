/* SPDX-License-Identifier: Apache-2.0 */
/* What comes from data stays text, in the page and in gnuplot's script. */
#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/report/plot.h"
#include "coordinator/report/report_html.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void escapes(void **state)
{
    struct buffer b = {0};
    (void)state;
    html_text(&b, "<a href=\"x\" b='&'>\x01 \xC3\xA9");
    assert_string_equal(b.data, "&#60;a href=&#34;x&#34; b=&#39;&#38;&#39;&#62;  \xC3\xA9");
    buffer_clear(&b);
    html_text(&b, NULL);
    assert_string_equal(b.data, "\xE2\x80\x93");
    buffer_clear(&b);
    html_table(&b, "<c>", "A<|#B", true);
    assert_null(strstr(b.data, "<c>"));
    assert_non_null(strstr(b.data, "<th scope=\"col\">A&#60;</th><th scope=\"col\" class=\"n\">B</th>"));
    buffer_free(&b);
}

static void shortens_between_characters(void **state)
{
    struct buffer b = {0};
    (void)state;
    html_short(&b, "a\xC3\xA9z", 2);
    assert_string_equal(b.data, "a\xE2\x80\xA6");
    buffer_clear(&b);
    html_short(&b, "a\xC3\xA9z", 4);
    assert_string_equal(b.data, "a\xC3\xA9z");
    buffer_free(&b);
}

static void writes_numbers(void **state)
{
    struct buffer b = {0};
    (void)state;
    html_count(&b, 1234567);
    buffer_text(&b, " ");
    html_count(&b, 12);
    buffer_text(&b, " ");
    html_count(&b, 123456);
    assert_string_equal(b.data, "1,234,567 12 123,456");
    buffer_clear(&b);
    html_metric(&b, 0.62921348);
    html_metric(&b, NAN);
    assert_string_equal(b.data, "0.6292\xE2\x80\x93");
    buffer_clear(&b);
    html_number_cell(&b, NAN, "%.4g");
    assert_string_equal(b.data, "<td class=\"n\">\xE2\x80\x93</td>");
    buffer_free(&b);
}

/* Skipped without gnuplot. */
static void draws(void **state)
{
    char directory[] = "/tmp/test_report_XXXXXX", *svg;
    struct error e = {0};
    (void)state;
    assert_non_null(mkdtemp(directory));
    struct plot *p = plot_create("one", "it's `touch owned`", "a \"line\"", "x", "y<z");
    plot_add(p, "<b>'`touch owned`\n$(touch owned)", (double[]){0, 1, 2, 3}, (double[]){1, NAN, 2, 3}, 4, MARK_LINE_POINTS, 1);
    plot_write(p, 1, 1, -1, "'; system('touch owned'); '");
    if (plots_draw(directory, &p, 1, &e) != 0) {
        bool missing = strstr(e.message, "apt-get install gnuplot-nox") != NULL;
        plot_destroy(&p);
        directory_remove(directory, NULL);
        if (missing) {
            print_message("skipped: gnuplot is not installed: no plot is drawn\n");
            skip();
        }
        fail_msg("%s", e.message);
    }
    assert_int_equal(plot_inline(&svg, directory, p, &e), 0);
    assert_non_null(strstr(svg, "aria-label=\"a &#34;line&#34;\""));
    assert_non_null(strstr(svg, "currentColor"));
    assert_non_null(strstr(svg, "var(--s1)"));
    assert_null(strstr(svg, "rgb("));
    assert_null(strstr(svg, "xlink"));
    assert_null(strstr(svg, "<b>"));
    assert_null(strstr(svg, "color=\"black\""));
    char *owned = path_join(directory, "owned");
    assert_false(file_exists(owned));
    assert_false(file_exists("owned"));
    free(owned);
    free(svg);
    plot_destroy(&p);
    /* gnuplot's own words come back. */
    p = plot_create("none", "t", "d", NULL, NULL);
    assert_int_equal(plots_draw(directory, &p, 1, &e), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
    assert_non_null(strstr(e.message, "gnuplot refuses"));
    plot_destroy(&p);
    directory_remove(directory, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(escapes), cmocka_unit_test(shortens_between_characters),
                                       cmocka_unit_test(writes_numbers), cmocka_unit_test(draws)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

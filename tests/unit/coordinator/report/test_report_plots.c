/* SPDX-License-Identifier: Apache-2.0 */
/* The plot of all trials: what gnuplot is given for it does not grow with them but in points. */
#include "coordinator/report/report_plots.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Trial i: lr i + 1, batch 8 or 16, score i; the last one is chosen and, as in table.json, the first. */
static void make_run(struct report_run *r, size_t trials)
{
    *r = (struct report_run){.table = json_object(), .chosen = "chosen"};
    json_set_string(r->table, "ranked_by", "at_own_threshold");
    struct json *rows = json_set(r->table, "trials", json_array());
    for (size_t i = trials; i-- > 0;) {
        char key[32];
        snprintf(key, sizeof key, "trial-%zu", i);
        struct json *row = json_object(), *options = json_set(row, "options", json_object());
        json_set_string(row, "trial", i + 1 == trials ? r->chosen : key);
        json_set_number(options, "lr", (double)(i + 1));
        json_set_number(options, "batch", i % 2 ? 16 : 8);
        json_set_number(options, "epochs", 3);
        json_set_number(json_set(row, "at_own_threshold", json_object()), "score", (double)i);
        json_append(rows, row);
    }
}

static const struct plot *trials_plot(const struct report_plots *p)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->items[i]->id, "trials") == 0)
            return p->items[i];
    fail_msg("no plot of trials among %zu", p->count);
    return NULL;
}

static void check_point(const struct plot_series *s, size_t i, double x, double y)
{
    if (s->x[i] != x || !(fabs(s->y[i] - y) < 1e-9))
        fail_msg("point %zu at %g, %g, expected %g, %g", i, s->x[i], s->y[i], x, y);
}

static void a_plot_of_many_trials_has_few_series(void **state)
{
    (void)state;
    enum { TRIALS = 2000 };
    struct report_run r;
    struct report_plots p;
    make_run(&r, TRIALS);
    report_plots_make(&p, &r, NULL, NULL, NULL);
    const struct plot *plot = trials_plot(&p);
    assert_int_equal(plot->series_count, 2 + 3); /* the others and the chosen one; lr, batch, score */
    assert_true(plot->text_count <= 3 + 12 + 2 + 5);
    const struct plot_series *others = &plot->series[0], *chosen = &plot->series[1];
    assert_int_equal(others->count, (TRIALS - 1) * 4 - 1);
    assert_int_equal(chosen->count, 3);
    assert_string_equal(chosen->name, "chosen");
    check_point(chosen, 0, 0, 1);
    check_point(chosen, 1, 1, 1); /* batch 16 */
    check_point(chosen, 2, 2, 1);
    size_t last = others->count - 3; /* trial 0 */
    assert_true(isnan(others->y[last - 1]));
    check_point(others, last, 0, 0);
    check_point(others, last + 1, 1, 0);
    check_point(others, last + 2, 2, 0);
    report_plots_free(&p);
    json_destroy(&r.table);
}

static void an_axis_names_its_values_or_twelve_of_them(void **state)
{
    (void)state;
    for (size_t trials = 3; trials < 100; trials += 60) {
        struct report_run r;
        struct report_plots p;
        size_t written = 0;
        make_run(&r, trials);
        report_plots_make(&p, &r, NULL, NULL, NULL);
        const struct plot *plot = trials_plot(&p);
        for (size_t i = 0; i < plot->text_count; i++) {
            const struct plot_text *t = &plot->texts[i];
            if (t->x >= 0 || t->y > 1)
                continue;
            double lr = strtod(t->text, NULL), expected = (lr - 1) / (double)(trials - 1);
            if (!(fabs(t->y - expected) < 1e-9))
                fail_msg("%s is written at %g, expected %g", t->text, t->y, expected);
            written++;
        }
        assert_int_equal(written, trials < 12 ? trials : 12);
        report_plots_free(&p);
        json_destroy(&r.table);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plot_of_many_trials_has_few_series),
        cmocka_unit_test(an_axis_names_its_values_or_twelve_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

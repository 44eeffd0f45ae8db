/* SPDX-License-Identifier: Apache-2.0 */
/* Cleaning of the user's rows: what is kept, dropped and refused, and with which words. */
#include "common/base/buffer.h"
#include "common/base/file.h"
#include "coordinator/data/records.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#define PATH "test_records.jsonl"

static char *text_a[] = {"a"}, *text_b[] = {"title", "b"}, *required[] = {"a", "b"}, *names[] = {"NO", "YES"};

static struct input pairs(void)
{
    return (struct input){.id = "id",
                          .group = "group",
                          .label = "label",
                          .text_a = {text_a, 1},
                          .text_b = {text_b, 2},
                          .required = {required, 2},
                          .labels = {names, 2},
                          .joiner = ". "};
}

static int read_text(struct records *r, const char *text, const struct input *in, bool keep_all, struct error *e)
{
    const char *path = PATH;
    assert_int_equal(file_write(PATH, text, strlen(text), e), 0);
    return records_read(r, &path, 1, in, keep_all, e);
}

/* "0 2": the row's labels, or its class. */
static void assert_labels(const struct record *row, const char *expected)
{
    struct buffer found = {0};
    buffer_text(&found, "");
    if (row->class >= 0)
        buffer_printf(&found, "%d", row->class);
    for (uint32_t k = 0; k < row->label_count; k++)
        buffer_printf(&found, "%s%u", k ? " " : "", row->labels[k]);
    assert_string_equal(found.data, expected);
    buffer_free(&found);
}

static void rows_are_cleaned_as_W1_says(void **state)
{
    (void)state;
    struct records r;
    struct error e;
    struct input in = pairs();
    int result =
        read_text(&r,
                  "{\"id\":\"x1\",\"group\":\"g\",\"a\":\" one\\t two \",\"title\":null,\"b\":\"three\",\"label\":1}\n"
                  "\n"
                  "{\"id\":\"x2\",\"group\":7,\"a\":\"one\",\"title\":\" T \",\"b\":\"three\\u00a0four\",\"label\":\"NO\"}\n"
                  "{\"id\":\"x3\",\"group\":\"g\",\"a\":\" \\n \",\"title\":\"t\",\"b\":\"three\",\"label\":1}\n"
                  "{\"id\":\"x4\",\"group\":\"g\",\"a\":\"one\",\"title\":\"t\",\"b\":NaN,\"label\":1}\n"
                  "{\"id\":\"x5\",\"group\":\"g\",\"a\":\"one\",\"title\":\"t\",\"label\":1}\n"
                  "{\"id\":\"x6\",\"group\":\"g\",\"a\":\"one\",\"title\":\"t\",\"b\":\"c\",\"label\":null}\n",
                  &in, false, &e);
    if (result)
        print_error("%s\n", e.message);
    assert_int_equal(result, 0);
    assert_int_equal(r.read, 6);
    assert_int_equal(r.count, 2);
    assert_string_equal(r.rows[0].a, "one two");
    assert_string_equal(r.rows[0].b, "three");
    assert_string_equal(r.rows[1].b, "T. three four");
    assert_string_equal(r.rows[1].group, "7");
    assert_string_equal(r.rows[1].id, "x2");
    assert_int_equal(r.rows[0].class, 1);
    assert_int_equal(r.rows[1].class, 0);
    assert_int_equal(r.rows[1].line, 3);
    assert_int_equal(r.without_label, 1);
    for (size_t i = 0; i < r.field_count; i++) {
        int missing = !strcmp(r.fields[i].name, "a") ? 1 : !strcmp(r.fields[i].name, "b") ? 2 : 1;
        assert_int_equal(r.fields[i].missing, missing);
        assert_int_equal(r.dropped[i], !strcmp(r.fields[i].name, "title") ? 0 : missing);
    }
    records_free(&r);
}

static char *columns[] = {"war", "law", "tax"}, *pattern[] = {"t_*"};

static void label_columns_are_read(void **state)
{
    (void)state;
    struct records r;
    struct error e;
    struct input in = {
        .text_a = {text_a, 1}, .label_columns = {columns, 3}, .labels = {columns, 3}, .joiner = " ", .multi = true};
    if (read_text(&r,
                  "{\"a\":\"x\",\"war\":1,\"law\":0,\"tax\":true}\n{\"a\":\"y\",\"war\":null,\"law\":\"1.0\"}\n"
                  "{\"a\":\"z\",\"tax\":false,\"other\":7}\n",
                  &in, false, &e))
        fail_msg("%s", e.message);
    assert_int_equal(r.count, 3); /* a row without any label is a row */
    assert_labels(&r.rows[0], "0 2");
    assert_labels(&r.rows[1], "1");
    assert_labels(&r.rows[2], "");
    records_free(&r);
    in.label_columns = (struct text_fields){pattern, 1};
    in.labels = (struct text_fields){NULL, 0};
    if (read_text(&r, "{\"a\":\"x\",\"t_b\":1,\"t_a\":0,\"u\":5}\n", &in, false, &e))
        fail_msg("%s", e.message);
    assert_int_equal(r.label_count, 2); /* also that no row has, sorted */
    assert_string_equal(r.labels[0], "t_a");
    assert_labels(&r.rows[0], "1");
    records_free(&r);
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"{\"a\":\"x\",\"t_b\":1}\n{\"a\":\"x\",\"t_b\":2}\n", PATH ":2: field 't_b' is 2; a label column must be 0, 1 or empty"},
        {"{\"a\":\"x\",\"t_b\":\"yes\"}\n", PATH ":1: field 't_b' is \"yes\"; a label column"},
        {"{\"a\":\"x\",\"t_b\":[1]}\n", PATH ":1: field 't_b' is [1]; a label column"},
        {"{\"a\":\"x\",\"tb\":1}\n", "no row has a field 't_*', which the job names"},
        {"{\"a\":\"x\",\"t_b\":NaN}\n{\"a\":\"x\",\"t_b\":-1}\n", PATH ":2: field 't_b' is -1"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(read_text(&r, bad[i].text, &in, false, &e), -1);
        if (e.kind != ERROR_DATA || !strstr(e.message, bad[i].words))
            fail_msg("expected '%s', found '%s'", bad[i].words, e.message);
    }
}

static void labels_without_names_are_numbered_by_value(void **state)
{
    (void)state;
    struct records r;
    struct error e;
    struct input in = pairs();
    in.labels = (struct text_fields){0};
    in.id = in.group = NULL;
    assert_int_equal(read_text(&r,
                               "{\"a\":\"1\",\"title\":\"\",\"b\":\"2\",\"label\":\"zoo\"}\n{\"a\":\"1\",\"title\":\"\",\"b\":"
                               "\"2\",\"label\":\"ant\"}\n",
                               &in, false, &e),
                     0);
    assert_int_equal(r.label_count, 2);
    assert_string_equal(r.labels[0], "ant");
    assert_int_equal(r.rows[0].class, 1);
    assert_string_equal(r.rows[1].id, "2");
    records_free(&r);
    static const char two[] = "{\"a\":\"1\",\"title\":\"\",\"b\":\"2\",\"label\":2}\n";
    assert_int_equal(read_text(&r, two, &in, false, &e), 0); /* without 0 and 1: a name */
    assert_int_equal(r.label_count, 1);
    assert_string_equal(r.labels[0], "2");
    records_free(&r);
    in.label_form = "index";
    assert_int_equal(read_text(&r, two, &in, false, &e), 0);
    assert_int_equal(r.label_count, 3);
    assert_string_equal(r.labels[2], "2");
    records_free(&r);
}

static void many_labels_come_as_lists_or_objects(void **state)
{
    (void)state;
    struct records r;
    struct error e;
    struct input in = pairs();
    in.multi = true;
    assert_int_equal(read_text(&r,
                               "{\"id\":1,\"group\":1,\"a\":\"1\",\"title\":\"\",\"b\":\"2\",\"label\":[\"YES\"]}\n"
                               "{\"id\":2,\"group\":1,\"a\":\"1\",\"title\":\"\",\"b\":\"2\",\"label\":{\"YES\":null,\"NO\":1}}\n"
                               "{\"id\":3,\"group\":1,\"a\":\"1\",\"title\":\"\",\"b\":\"2\",\"label\":[]}\n",
                               &in, false, &e),
                     0);
    assert_int_equal(r.label_count, 2);
    assert_labels(&r.rows[0], "1");
    assert_labels(&r.rows[1], "0");
    assert_labels(&r.rows[2], "");
    records_free(&r);
}

/* In cells everything is text: numbers are labels by name or index, lists are separated or JSON. */
static void labels_of_cells(void **state)
{
    (void)state;
    static char *stars[] = {"1", "2", "10"}, *ac[] = {"a", "c"};
    static const struct {
        const char *text, *separator, *labels, *rows[3];
        struct text_fields names;
        bool multi;
    } cases[] = {
        {"a,label\nx,1\ny,0\nz, 1 \n", NULL, "NO YES", {"1", "0", "1"}, {names, 2}, false},
        {"a,label\nx,YES\ny,NO\nz,1\n", NULL, "NO YES", {"1", "0", "1"}, {names, 2}, false},
        {"a,label\nx,1\ny,0\nz,1\n", NULL, "0 1", {"1", "0", "1"}, {0}, false},
        {"a,label\nx,10\ny,2\nz,1\n", NULL, "1 2 10", {"2", "1", "0"}, {0}, false},
        {"a,label\nx,10\ny,2\nz,1\n", NULL, "1 2 10", {"2", "1", "0"}, {stars, 3}, false},
        {"a,label\nx,c;a\ny,\"[]\"\nz,b\n", NULL, "a b c", {"0 2", "", "1"}, {0}, true},
        {"a,label\nx,c | a;b\ny,c\nz,c|c\n", "|", "a;b c", {"0 1", "1", "1"}, {0}, true},
        {"a,label\nx,\"[\"\"c\"\", \"\"a\"\"]\"\ny,\"{\"\"a\"\": 1, \"\"c\"\": 0}\"\nz,1;0\n",
         NULL,
         "a c",
         {"0 1", "0", "0 1"},
         {ac, 2},
         true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct records r;
        struct error e;
        struct input in = {.label = "label",
                           .text_a = {text_a, 1},
                           .joiner = " ",
                           .labels = cases[i].names,
                           .multi = cases[i].multi,
                           .label_separator = cases[i].separator};
        const char *path = "test_records.csv";
        assert_int_equal(file_write(path, cases[i].text, strlen(cases[i].text), &e), 0);
        if (records_read(&r, &path, 1, &in, false, &e))
            fail_msg("case %zu: %s", i, e.message);
        struct buffer joined = {0};
        for (size_t k = 0; k < r.label_count; k++)
            buffer_printf(&joined, "%s%s", k ? " " : "", r.labels[k]);
        assert_string_equal(joined.data, cases[i].labels);
        buffer_free(&joined);
        for (size_t k = 0; k < 3; k++)
            assert_labels(&r.rows[k], cases[i].rows[k]);
        records_free(&r);
    }
}

/* As W5 counts: rare labels, then rows that have none left, then short rows; a row that never had one stays. */
static void rare_labels_and_short_rows_are_dropped(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a\":\"one two\",\"label\":[\"x\",\"rare\",\"y\"]}\n{\"a\":\"one two\",\"label\":[\"y\",\"x\"]}\n"
        "{\"a\":\"one two\",\"label\":[\"also rare\"]}\n{\"a\":\"one\",\"label\":[\"y\"]}\n"
        "{\"a\":\"one two\",\"label\":[]}\n";
    struct records r;
    struct error e;
    struct input in = {.label = "label", .text_a = {text_a, 1}, .joiner = " ", .multi = true};
    assert_int_equal(read_text(&r, text, &in, false, &e), 0);
    assert_int_equal(records_prune(&r, 2, 2, &e), 0);
    assert_int_equal(r.label_count, 2);
    assert_string_equal(r.labels[0], "x");
    assert_string_equal(r.labels[1], "y");
    assert_int_equal(r.dropped_label_count, 2);
    assert_string_equal(r.dropped_labels[0], "also rare");
    assert_int_equal(r.rare_only, 1);
    assert_int_equal(r.too_short, 1);
    assert_int_equal(r.count, 3);
    assert_labels(&r.rows[0], "0 1");
    assert_labels(&r.rows[1], "0 1");
    assert_labels(&r.rows[2], "");
    assert_int_equal(r.rows[2].line, 5);
    assert_int_equal(records_prune(&r, 4, 0, &e), -1);
    assert_non_null(strstr(e.message, "no label has 4 rows"));
    records_free(&r);
    in.ignored = (struct text_fields){(char *[]){"rare", "also rare"}, 2};
    in.labels = (struct text_fields){(char *[]){"x", "y"}, 2};
    assert_int_equal(read_text(&r, text, &in, false, &e), 0);
    assert_int_equal(r.count, 4); /* the third row had ignored labels only */
    assert_int_equal(r.without_label, 1);
    assert_labels(&r.rows[0], "0 1");
    assert_labels(&r.rows[3], "");
    records_free(&r);
    in.multi = false;
    in.labels = in.ignored = (struct text_fields){0};
    assert_int_equal(read_text(&r,
                               "{\"a\":\"1\",\"label\":\"p\"}\n{\"a\":\"2\",\"label\":\"a\"}\n{\"a\":\"3\",\"label\":\"p\"}\n",
                               &in, false, &e),
                     0);
    assert_int_equal(records_prune(&r, 2, 0, &e), 0);
    assert_int_equal(r.count, 2);
    assert_int_equal(r.rows[1].class, 0);
    assert_int_equal(r.rows[1].line, 3);
    records_free(&r);
}

/* The label is the last of more columns than are remembered for "did you mean". */
static void a_wide_row_has_its_label(void **state)
{
    (void)state;
    struct records r;
    struct error e = {0};
    struct input in = pairs();
    struct buffer row = {0};
    buffer_text(&row, "{\"id\":1,\"group\":1,");
    for (int i = 0; i < 12000; i++)
        buffer_printf(&row, "\"c%d\":%d,", i, i);
    buffer_text(&row, "\"a\":\"1\",\"title\":\"\",\"b\":\"2\",\"label\":1}\n");
    if (read_text(&r, row.data, &in, false, &e))
        fail_msg("%s", e.message);
    assert_int_equal(r.count, 1);
    assert_int_equal(r.rows[0].class, 1);
    records_free(&r);
    buffer_free(&row);
}

static void each_wrong_row_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
        bool keep_all;
    } cases[] = {
        {"{\"id\":1,\"group\":1,\"a\":\"1\",\"title\":\"\",\"b\":\"2\",\"label\":2}\n",
         PATH ":1: field 'label': label '2' is out of range; an index is a whole number from 0 to 1", false},
        {"{\"id\":1,\"group\":1,\"a\":\"1\",\"title\":\"\",\"b\":\"2\",\"label\":-1}\n", "label '-1' is out of range", false},
        {"{\"id\":1,\"group\":1,\"a\":\"1\",\"title\":\"\",\"b\":\"2\",\"label\":0.5}\n", "label '0.5' is out of range", false},
        {"{\"id\":1,\"group\":1,\"a\":\"1\",\"title\":\"\",\"b\":\"2\",\"label\":\"yes\"}\n",
         "label 'yes' is not one of data.labels; did you mean 'YES'?", false},
        {"{\"id\":1,\"group\":1,\"a\":\"1\",\"title\":\"\",\"b\":\"2\",\"label\":[1]}\n", "field 'label' is a list", false},
        {"{\"id\":1,\"group\":1,\"a\":{},\"title\":\"\",\"b\":\"2\",\"label\":1}\n", PATH ":1: field 'a' is", false},
        {"{\"id\":1,\"a\":\"1\",\"title\":\"\",\"b\":\"2\",\"label\":1}\n", PATH ":1: field 'group' (data.group) is missing",
         false},
        {"{\"id\":1,\"group\":1,\"A\":\"1\",\"title\":\"\",\"b\":\"2\",\"label\":1}\n",
         "no row has a field 'a', which the job names; did you mean 'A'?", false},
        {"{\"id\":1,\"group\":1,\"a\":\"1\",\"title\":\"\",\"b\":\"2\"}\n", "no row has a field 'label'", false},
        {"{\"id\":1,\"group\":1,\"a\":\"\",\"title\":\"\",\"b\":\"2\",\"label\":1}\n", "none of the 1", false},
        {"{\"id\":1,\"group\":1,\"a\":\"\",\"title\":\"\",\"b\":\"2\",\"label\":1}\n", PATH ":1: field 'a' is missing or blank",
         true},
        {"{\"id\":1,\"group\":1,\"a\":\"1\",\"title\":\"\",\"b\":\"2\",\"label\":1}\n{\"id\":1", PATH ":2:", false},
        {"", PATH, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct records r;
        struct error e = {0};
        struct input in = pairs();
        assert_int_equal(read_text(&r, cases[i].text, &in, cases[i].keep_all, &e), -1);
        assert_int_equal(e.kind, ERROR_DATA);
        if (!strstr(e.message, cases[i].words))
            print_error("expected: %s\nfound:    %s\n", cases[i].words, e.message);
        assert_non_null(strstr(e.message, cases[i].words));
    }
}

/* As predict and evaluate read: {a, title, b} of which title is optional. */
static void rows_to_predict_may_lack_ids_and_optional_fields(void **state)
{
    (void)state;
    struct records r;
    struct error e;
    struct input in = pairs();
    in.label = in.group = NULL;
    in.fields_optional = in.id_optional = true;
    if (read_text(&r,
                  "{\"a\":\"1\",\"b\":\"2\"}\n{\"id\":\"x\",\"a\":\"3\",\"b\":\"4\"}\n{\"id\":\" \",\"a\":\"5\",\"b\":\"6\"}\n",
                  &in, true, &e))
        fail_msg("%s", e.message);
    assert_int_equal(r.count, 3);
    assert_string_equal(r.rows[0].id, "1");
    assert_string_equal(r.rows[0].b, "2");
    assert_string_equal(r.rows[1].id, "x");
    assert_string_equal(r.rows[2].id, "3");
    records_free(&r);
    in.required = (struct text_fields){0};
    assert_int_equal(read_text(&r, "{\"other\":\"1\",\"b\":\"2\"}\n", &in, true, &e), -1); /* nothing of text A */
    if (!strstr(e.message, "no row has a field 'a', which the bundle names"))
        fail_msg("expected: no field 'a'; found: %s", e.message);
}

static void bad_rows_are_skipped_and_counted(void **state)
{
    (void)state;
    struct records r;
    struct error e;
    struct input in = pairs();
    in.label = in.group = NULL;
    in.skip_bad = true;
    static const char rows[] =
        "{\"id\":1,\"a\":\"1\",\"title\":\"\",\"b\":\"2\"}\n{\"id\":2,\n{\"id\":3,\"a\":\"\",\"b\":\"2\"}\n[4]\n"
        "{\"a\":\"1\",\"b\":\"2\"}\n{\"id\":6,\"a\":[1],\"b\":\"2\"}\n{\"id\":7,\"a\":\"1\",\"b\":\"2\"}\n";
    if (read_text(&r, rows, &in, true, &e))
        fail_msg("%s", e.message);
    assert_int_equal(r.count, 2);
    assert_string_equal(r.rows[1].id, "7");
    assert_int_equal(r.bad.count, 5);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(r.bad.lines[i], i + 2);
    assert_non_null(strstr(r.bad.first.message, PATH ":2:"));
    records_free(&r);
    in.skip_bad = false;
    assert_int_equal(read_text(&r, rows, &in, true, &e), -1);
    in.skip_bad = true; /* an error of the file is none of a row */
    const char *path = "test_records.csv", *open = "id,a,title,b\n1,x,,y\n2,\"x,,y\n3,x,,y\n";
    assert_int_equal(file_write(path, open, strlen(open), &e), 0);
    assert_int_equal(records_read(&r, &path, 1, &in, true, &e), -1);
    if (!strstr(e.message, "never closed"))
        fail_msg("expected: never closed; found: %s", e.message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(label_columns_are_read),
                                       cmocka_unit_test(rows_are_cleaned_as_W1_says),
                                       cmocka_unit_test(labels_without_names_are_numbered_by_value),
                                       cmocka_unit_test(many_labels_come_as_lists_or_objects),
                                       cmocka_unit_test(labels_of_cells),
                                       cmocka_unit_test(rare_labels_and_short_rows_are_dropped),
                                       cmocka_unit_test(a_wide_row_has_its_label),
                                       cmocka_unit_test(each_wrong_row_is_named),
                                       cmocka_unit_test(rows_to_predict_may_lack_ids_and_optional_fields),
                                       cmocka_unit_test(bad_rows_are_skipped_and_counted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Labels as people's files have them: the same rows give the same classes in every format, and what can be read in two ways is
 * asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/data/records.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *text_a[] = {"text"};

/* ---- every form in every format ---- */

#define ROWS 40
#define LABELS 5

enum form { FORM_WORDS, FORM_INDEXES, FORM_GAPS, FORM_FLOATS, FORM_BOOLEANS, FORM_SIGNED, FORMS };
static const char *const form_names[] = {"words", "indexes", "numbers with gaps", "floats", "booleans", "signed numbers"};

/* How value k of a form is written: as JSON writes it, and as a cell of a table (or a text in JSON). */
static const struct {
    const char *json[LABELS], *cell[LABELS], *name[LABELS];
    size_t count;
} spelled[FORMS] = {
    [FORM_WORDS] = {{"\"ant\"", "\" bee \"", "\"cat, dog\"", "\"d'or\"", "\"\xc3\xa9\""},
                    {"ant", "bee ", "cat, dog", "d'or", "\xc3\xa9"},
                    {"ant", "bee", "cat, dog", "d'or", "\xc3\xa9"},
                    5},
    [FORM_INDEXES] = {{"0", "1", "2", "3", "4"}, {"0", "1", "2", "3.0", " 4"}, {"0", "1", "2", "3", "4"}, 5},
    [FORM_GAPS] = {{"2", "10", "200", "404", "1000"}, {"2", "10", "200", "404", "1000.0"}, {"2", "10", "200", "404", "1000"}, 5},
    [FORM_FLOATS] = {{"0.0", "0.5", "1.0", "1.5", "2.0"}, {"0", "0.5", "1.0", "1.50", "2"}, {"0", "0.5", "1", "1.5", "2"}, 5},
    [FORM_BOOLEANS] = {{"false", "true"}, {"False", "TRUE"}, {"false", "true"}, 2},
    [FORM_SIGNED] = {{"-1", "0", "1"}, {"-1.0", "0", "+1"}, {"-1", "0", "1"}, 3},
};

static void csv_cell(struct buffer *b, const char *text)
{
    buffer_text(b, "\"");
    for (; *text; text++)
        buffer_printf(b, *text == '"' ? "\"\"" : "%c", *text);
    buffer_text(b, "\"");
}

static void json_text(struct buffer *b, const char *text)
{
    struct json *j = json_of_string(text);
    char *printed = json_print(j, false);
    buffer_text(b, printed);
    free(printed);
    json_destroy(&j);
}

enum format { JSON_VALUES, JSON_TEXTS, CSV, TSV, JSON_LIST, FORMATS };
static const char *const paths[FORMATS] = {"labels_values.jsonl", "labels_texts.jsonl", "labels.csv", "labels.tsv",
                                           "labels_list.json"};

/* value: the label as JSON; cell: as a text. */
static void write_row(struct buffer *b, enum format f, size_t row, const char *value, const char *cell)
{
    if (f == CSV || f == TSV) {
        buffer_printf(b, "row %zu%c", row, f == CSV ? ',' : '\t');
        csv_cell(b, cell);
        buffer_text(b, "\n");
        return;
    }
    buffer_printf(b, "%s{\"text\": \"row %zu\", \"label\": ", f == JSON_LIST && row ? ",\n" : "", row);
    if (f == JSON_TEXTS)
        json_text(b, cell);
    else
        buffer_text(b, value);
    buffer_text(b, f == JSON_LIST ? "}" : "}\n");
}

static void begin_file(struct buffer *b, enum format f)
{
    buffer_text(b, f == CSV ? "text,label\n" : f == TSV ? "text\tlabel\n" : f == JSON_LIST ? "[" : "");
}

static void read_file(struct records *r, struct buffer *b, enum format f, bool multi)
{
    struct error e;
    const struct input in = {.label = "label", .text_a = {text_a, 1}, .joiner = " ", .multi = multi};
    if (f == JSON_LIST)
        buffer_text(b, "]");
    if (file_write(paths[f], b->data, b->size, &e) || records_read(r, &paths[f], 1, &in, false, &e))
        fail_msg("%s", e.message);
    buffer_free(b);
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static void the_same_rows_are_the_same_classes(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= 20; seed++)
        for (int form = 0; form < FORMS; form++)
            for (int f = 0; f < FORMATS; f++) {
                uint32_t random = seed;
                size_t expected[ROWS];
                struct buffer b = {0};
                struct records r;
                begin_file(&b, (enum format)f);
                for (size_t i = 0; i < ROWS; i++) {
                    expected[i] = i < spelled[form].count ? i : next_random(&random) % spelled[form].count;
                    write_row(&b, (enum format)f, i, spelled[form].json[expected[i]], spelled[form].cell[expected[i]]);
                }
                read_file(&r, &b, (enum format)f, false);
                if (r.label_count != spelled[form].count)
                    fail_msg("%s in %s: expected %zu labels, found %zu", form_names[form], paths[f], spelled[form].count,
                             r.label_count);
                for (size_t i = 0; i < ROWS; i++)
                    if (strcmp(r.labels[r.rows[i].class], spelled[form].name[expected[i]]))
                        fail_msg("%s in %s, row %zu: expected '%s', found '%s'", form_names[form], paths[f], i,
                                 spelled[form].name[expected[i]], r.labels[r.rows[i].class]);
                records_free(&r);
            }
}

/* ---- many labels a row ---- */

enum list_form {
    LIST_JSON,
    LIST_PYTHON,
    LIST_TUPLE,
    LIST_SET,
    LIST_SEPARATED,
    LIST_OBJECT,
    VECTOR_NUMBERS,
    VECTOR_NUMPY,
    VECTOR_BOOLEANS,
    LIST_FORMS
};

static const char *const words[] = {"ant", "bee", "cow", "d or", "elk"}, *const indexes[] = {"0", "1", "2", "3", "4"};

/* The row's labels (a bit each) as a text of this form. */
static void write_list(struct buffer *b, enum list_form form, unsigned bits)
{
    static const char *const open[] = {"[", "[", "(", "{", "", "{", "[", "[", "["}, *const close[] = {"]", "]", ")", "}", "",
                                                                                                      "}", "]", "]", "]"};
    bool vector = form >= VECTOR_NUMBERS || form == LIST_OBJECT, first = true;
    buffer_text(b, open[form]);
    for (unsigned k = 0; k < LABELS; k++) {
        bool on = bits >> k & 1;
        if (!on && !vector)
            continue;
        buffer_text(b, first ? "" : form == LIST_SEPARATED ? "; " : form == VECTOR_NUMPY ? " " : ", ");
        first = false;
        switch (form) {
        case LIST_JSON:
            buffer_printf(b, "\"%s\"", words[k]);
            break;
        case LIST_SEPARATED:
            buffer_text(b, words[k]);
            break;
        case LIST_OBJECT:
            buffer_printf(b, "\"%s\": %d", words[k], on);
            break;
        case VECTOR_NUMBERS:
            buffer_text(b, on ? "1.0" : "0");
            break;
        case VECTOR_NUMPY:
            buffer_text(b, on ? "1." : "0.");
            break;
        case VECTOR_BOOLEANS:
            buffer_text(b, on ? "True" : "False");
            break;
        default:
            buffer_printf(b, "'%s'", words[k]);
            break;
        }
    }
    buffer_text(b, close[form]);
}

static void lists_are_read_alike(void **state)
{
    (void)state;
    for (int form = 0; form < LIST_FORMS; form++)
        for (int f = 0; f < FORMATS; f++) {
            uint32_t random = 7 + (uint32_t)form;
            unsigned bits[ROWS];
            struct buffer b = {0};
            struct records r;
            bool native = form == LIST_JSON || form == LIST_OBJECT || form == VECTOR_NUMBERS;
            begin_file(&b, (enum format)f);
            for (size_t i = 0; i < ROWS; i++) {
                struct buffer list = {0}, quoted = {0};
                bits[i] = i < LABELS ? 1u << i : 1 + next_random(&random) % 31;
                write_list(&list, (enum list_form)form, bits[i]);
                json_text(&quoted, list.data);
                write_row(&b, (enum format)f, i, native ? list.data : quoted.data, list.data);
                buffer_free(&quoted);
                buffer_free(&list);
            }
            read_file(&r, &b, (enum format)f, true);
            assert_int_equal(r.label_count, LABELS);
            for (size_t i = 0; i < ROWS; i++) {
                unsigned found = 0;
                for (uint32_t k = 0; k < r.rows[i].label_count; k++)
                    found |= 1u << r.rows[i].labels[k];
                if (found != bits[i])
                    fail_msg("form %d in %s, row %zu: expected labels %x, found %x", form, paths[f], i, bits[i], found);
            }
            for (size_t k = 0; k < LABELS; k++)
                assert_string_equal(r.labels[k], form >= VECTOR_NUMBERS ? indexes[k] : words[k]);
            records_free(&r);
        }
}

/* ---- questions, notes and refusals ---- */

static void what_is_ambiguous_is_asked(void **state)
{
    (void)state;
    static char *stars[] = {"1", "2", "3"}, *five[] = {"a", "b", "c", "d", "e"}, *yes_no[] = {"yes", "no"},
                *truth[] = {"True", "False"}, *blanks[] = {" yes", "no "};
    static const struct {
        const char *rows[4]; /* label values as JSON */
        struct text_fields names;
        bool multi;
        const char *form, *classes, *words; /* classes: of the rows; words: of the error, or of the notes */
    } cases[] = {
        {{"0", "1", "2"},
         {stars, 3},
         false,
         "auto",
         NULL,
         "field 'label': is 0 an index into data.labels? then 2 would be one too"},
        {{"0", "1", "2"}, {stars, 3}, false, "index", "0 1 2 ", NULL},
        {{"1", "2", "3"}, {stars, 3}, false, "auto", "0 1 2 ", NULL},
        {{"0", "2"}, {stars, 3}, false, "name", NULL, "label '0' is not one of data.labels"},
        {{"1", "0", "true"}, {yes_no, 2}, false, "auto", "1 0 1 ", NULL},
        {{"\"yes \"", "\"no\""}, {blanks, 2}, false, "auto", "0 1 ", "1 labels had blanks around them"},
        {{"true", "false"}, {truth, 2}, false, "auto", "0 1 ", NULL},
        {{"\"No\""},
         {yes_no, 2},
         false,
         "auto",
         NULL,
         "test_label_form.jsonl:1: field 'label': label 'No' is not one of data.labels; did you mean 'no'?"},
        {{"[0, 1]", "[1, 0]"},
         {five, 5},
         true,
         "auto",
         NULL,
         "every row is a list of 2 values of 0 and 1, data.labels names 5 labels"},
        {{"[0, 1]", "[1, 0]"}, {five, 5}, true, "index", "01 01 ", NULL},
        {{"[0, 1]", "[1, 1]"}, {yes_no, 2}, true, "auto", "1 01 ", NULL},
        {{"[0, 1]", "[2]"}, {five, 5}, true, "auto", "01 2 ", NULL},
        {{"[0, 1]", "[1]"}, {five, 5}, true, "vector", NULL, "data.label_form is \"vector\", but the rows are not lists"},
        {{"[\"a\", 1]"}, {five, 5}, true, "auto", "01 ", NULL},
        {{"3", "7"}, {0}, false, "auto", "0 1 ", "the numbers 3 .. 7 are read as 2 names"},
        {{"3", "0"}, {0}, false, "index", "3 0 ", NULL},
        {{"\"pos \"", "\"pos\"", "\"Pos\""}, {0}, false, "auto", "1 1 0 ", "1 labels had blanks around them"},
        {{"\"pos\"", "\"Pos\""}, {0}, false, "auto", "1 0 ", "1 pair of labels differ only in case, blanks or how their characters are written, as \"Pos\" and \"pos\""},
        {{"\"\\u00c4rger\"", "\"\\u00e4rger\""}, {0}, false, "auto", "0 1 ", "1 pair of labels differ only in case"},
        {{"\"caf\\u00e9\"", "\"cafe\\u0301\"", "\"tea\""}, {0}, false, "auto", "1 0 2 ", "1 pair of labels differ only in case"},
        {{"\"pos\"", "\"pos\\u00a0\"", "\"pos\\u200b\""}, {0}, false, "auto", "0 1 2 ", "3 pairs of labels differ only in case"},
        {{"\"card lost\"", "\"card  lost\""}, {0}, false, "auto", "1 0 ", "1 pair of labels differ only in case"},
        {{"\"card lost\"", "\"cardlost\"", "\"c\\u00e4rd\""}, {0}, false, "auto", "0 1 2 ", NULL},
        {{"\"007\"", "\"7\"", "\"08\"", "\"0.5\""}, {0}, false, "auto", "1 3 2 0 ", NULL},
        {{"\"01\"", "\"02\""}, {0}, false, "auto", "0 1 ", NULL},
        {{"1", "\"1\"", "0"}, {0}, false, "auto", "1 1 0 ", NULL},
        {{"\"1.0\"", "\"beta\""}, {0}, false, "auto", "0 1 ", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer b = {0};
        struct records r;
        struct error e = {0};
        const char *path = "test_label_form.jsonl";
        const struct input in = {.label = "label",
                                 .text_a = {text_a, 1},
                                 .joiner = " ",
                                 .multi = cases[i].multi,
                                 .labels = cases[i].names,
                                 .label_form = cases[i].form};
        for (size_t k = 0; k < 4 && cases[i].rows[k]; k++)
            buffer_printf(&b, "{\"text\": \"x\", \"label\": %s}\n", cases[i].rows[k]);
        assert_int_equal(file_write(path, b.data, b.size, &e), 0);
        if (records_read(&r, &path, 1, &in, false, &e)) {
            if (cases[i].classes || e.kind != ERROR_DATA || !strstr(e.message, cases[i].words))
                fail_msg("case %zu: expected %s, found '%s'", i, cases[i].classes ? cases[i].classes : cases[i].words, e.message);
            buffer_free(&b);
            continue;
        }
        buffer_clear(&b);
        for (size_t k = 0; k < r.count; k++) {
            if (!cases[i].multi)
                buffer_printf(&b, "%d", r.rows[k].class);
            for (uint32_t l = 0; l < r.rows[k].label_count; l++)
                buffer_printf(&b, "%u", r.rows[k].labels[l]);
            buffer_text(&b, " ");
        }
        if (!cases[i].classes || strcmp(b.data, cases[i].classes))
            fail_msg("case %zu: expected '%s', found classes %s", i, cases[i].classes ? cases[i].classes : cases[i].words,
                     b.data);
        char *notes = json_print(json_get(r.label_reading, "notes"), false);
        struct json *quoted = cases[i].words ? json_of_string(cases[i].words) : NULL;
        char *wanted = quoted ? json_print(quoted, false) : duplicate("\"\"");
        wanted[strlen(wanted) - 1] = 0;
        if (cases[i].words ? !strstr(notes, wanted + 1) : strcmp(notes, "[]") != 0)
            fail_msg("case %zu: expected a note '%s', found %s", i, wanted + 1, notes);
        free(wanted);
        json_destroy(&quoted);
        free(notes);
        records_free(&r);
        buffer_free(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_same_rows_are_the_same_classes),
                                       cmocka_unit_test(lists_are_read_alike), cmocka_unit_test(what_is_ambiguous_is_asked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

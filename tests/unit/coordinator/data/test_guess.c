/* SPDX-License-Identifier: Apache-2.0 */
/* What `muster init` takes fields for. */
#include "common/base/buffer.h"
#include "common/base/file.h"
#include "coordinator/data/guess.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS 60

static const struct {
    const char *path, *header, *row; /* %d: number of the row; %g: of its group; %l: 0 or 1; %w: words of its own */
    const char *label;               /* told by the user */
    const char *expected;            /* label, task, id, group, texts */
} cases[] = {
    {"g.jsonl", "",
     "{\"paper_id\": \"p%g\", \"sentence\": \"%w\", \"ref_paper_id\": \"r%g\", \"ref_paper_title\": \"t%d\", \"ref_paper_text\": "
     "\"%w\", \"label\": %l}\n",
     NULL, "label=label single id=- group=paper_id a=sentence b=ref_paper_title,ref_paper_text"},
    {"g.jsonl", "", "{\"id\": %d, \"source\": \"s%g\", \"text\": \"%w\", \"tags\": [\"x\", \"y%l\"]}\n", NULL,
     "label=tags multi id=id group=source a=text b="},
    {"g.csv", "id,source,title,text,tags\n", "%d,s%g,title %d,\"%w, too\",x;y%l\n", NULL,
     "label=tags multi(;) id=id group=source a=title,text b="},
    {"g.csv", "text,tags\n", "%w,\"[\"\"x\"\", \"\"y%l\"\"]\"\n", NULL, "label=tags multi id=- group=- a=text b="},
    {"g.tsv", "question1\tquestion2\tis_same\n", "%w\t%w\t%l\n", NULL,
     "label=is_same single id=- group=- a=question1 b=question2"},
    {"g.csv", "review,country,verdict\n", "%w,c%l,v%l\n", "country", "label=country single id=- group=- a=review b="},
    {"g.csv", "id,text,politics,war,sports\n", "%d,%w,%l,0,1\n", NULL, "label=politics,war,sports multi id=id group=- a=text b="},
    {"g.jsonl", "", "{\"text\": \"%w\", \"topic_war\": %l, \"topic_law\": null, \"topic_tax\": true, \"long\": %d}\n", NULL,
     "label=topic_war,topic_tax multi id=- group=- a=text b="},
    {"g.tsv", "text\tx_war\tx_law\n", "%w\t%l\t1.0\n", NULL, "label=x_* multi id=- group=- a=text b="},
    {"g.csv", "text,is_long,is_new,label\n", "%w,%l,%l,v%l\n", NULL, "label=label single id=- group=- a=text b="},
    {"g.jsonl", "", "{\"text\": \"%w\", \"topics\": {\"war\": %l, \"law\": 1}, \"url\": \"http://x.org/%d some words here\"}\n",
     NULL, "label=topics multi id=- group=- a=text b="},
};

static void write_rows(const char *path, const char *header, const char *row)
{
    struct buffer text = {0};
    struct error e;
    buffer_text(&text, header);
    for (int i = 0; i < ROWS; i++)
        for (const char *c = row; *c; c++) {
            if (*c != '%')
                buffer_append(&text, c, 1);
            else if (*++c == 'w')
                buffer_printf(&text, "these are words of row %d and some more", i);
            else
                buffer_printf(&text, "%d", *c == 'd' ? i : *c == 'g' ? i / 3 : i * 7 % 5 % 2);
        }
    assert_int_equal(file_write(path, text.data, text.size, &e), 0);
    buffer_free(&text);
}

static void add_list(struct buffer *to, const struct guess *g, const char *key, const size_t *list, size_t count)
{
    buffer_printf(to, " %s=", key);
    for (size_t i = 0; i < count; i++)
        buffer_printf(to, "%s%s", i ? "," : "", guess_name(g, list[i]));
}

static void fields_are_told_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct guess g;
        struct error e;
        struct buffer found = {0};
        write_rows(cases[i].path, cases[i].header, cases[i].row);
        if (guess_fields(&g, cases[i].path, cases[i].label, &e))
            fail_msg("case %zu: %s", i, e.message);
        const char *id = guess_name(&g, g.id), *group = guess_name(&g, g.group);
        const char *label = g.pattern ? g.pattern : guess_name(&g, g.label);
        buffer_text(&found, "label=");
        for (size_t k = 0; !label && k < g.column_count; k++)
            buffer_printf(&found, "%s%s", k ? "," : "", guess_name(&g, g.columns[k]));
        buffer_printf(&found, "%s %s", label ? label : "", g.multi ? "multi" : "single");
        if (g.separator)
            buffer_printf(&found, "(%s)", g.separator);
        buffer_printf(&found, " id=%s group=%s", id ? id : "-", group ? group : "-");
        add_list(&found, &g, "a", g.text_a, g.a_count);
        add_list(&found, &g, "b", g.text_b, g.b_count);
        if (strcmp(found.data, cases[i].expected))
            fail_msg("case %zu: expected %s\n      found %s", i, cases[i].expected, found.data);
        assert_int_equal(g.rows, ROWS);
        buffer_free(&found);
        guess_free(&g);
    }
}

static void what_cannot_be_guessed_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *header, *row, *label, *words;
    } wrong[] = {{"text\n", "%w\n", NULL, "no field looks like a label; name it: --label FIELD (fields: text)"},
                 {"label,date\n", "%l,2020\n", NULL, "no field holds text;"},
                 {"text,label\n", "%w,%l\n", "labels", "has no field 'labels'; did you mean 'label'?"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct guess g;
        struct error e;
        write_rows("g.csv", wrong[i].header, wrong[i].row);
        assert_int_equal(guess_fields(&g, "g.csv", wrong[i].label, &e), -1);
        if (!strstr(e.message, wrong[i].words))
            fail_msg("expected: %s\nfound:    %s", wrong[i].words, e.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fields_are_told_apart), cmocka_unit_test(what_cannot_be_guessed_is_said)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

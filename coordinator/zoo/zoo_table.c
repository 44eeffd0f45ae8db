/* SPDX-License-Identifier: Apache-2.0 */
/* The table for people. One list of columns; what a model has not is a dash, in CSV an empty cell. */
#include "common/base/buffer.h"
#include "common/base/memory.h"
#include "common/format/markdown.h"
#include "coordinator/report/report_html.h"
#include "coordinator/zoo/zoo.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum form { FORM_TEXT, FORM_COUNT, FORM_METRIC, FORM_DIFFERENCE, FORM_SHORT, FORM_PERCENT, FORM_HASH, FORM_MEGABYTES };
enum group { GROUP_MODEL, GROUP_VALIDATION, GROUP_TEST, GROUP_TRAINING, GROUP_SANITY, GROUPS };

static const char *const group_names[GROUPS] = {"Models", "Validation", "Test", "Training", "Sanity"};

struct column {
    const char *title, *key; /* key: dotted; of a list the two ends of an interval */
    enum form form;
    enum group group;
};

#define THREE(part, name, group)                                                                                                 \
    {#name " F1", #part "." #name "_f1", FORM_METRIC, group}, {#name " P", #part "." #name "_precision", FORM_METRIC, group},    \
    {                                                                                                                            \
#name " R", #part "." #name "_recall", FORM_METRIC, group                                                                \
    }
#define SANE(part, group, name, title, form)                                                                                     \
    {                                                                                                                            \
#part " " title, #part ".sanity." name, form, group                                                                      \
    }
#define PART(part, group)                                                                                                        \
    THREE(part, micro, group), {"micro F1 95 %", #part ".intervals.micro_f1", FORM_METRIC, group}, THREE(part, macro, group),    \
        {"macro F1 95 %", #part ".intervals.macro_f1", FORM_METRIC, group}, THREE(part, rows, group),                            \
        {"subset accuracy", #part ".subset_accuracy", FORM_METRIC, group}, {"mAP", #part ".map", FORM_METRIC, group},            \
        {"ECE", #part ".ece", FORM_METRIC, group}, {"to the best", #part ".difference", FORM_DIFFERENCE, group},                 \
        {"to the best 95 %", #part ".difference_interval", FORM_DIFFERENCE, group},                                              \
    {                                                                                                                            \
        "p", #part ".p", FORM_METRIC, group                                                                                      \
    }
#define SANITY(part)                                                                                                             \
    SANE(part, GROUP_SANITY, "true_labels", "true labels a row", FORM_SHORT),                                                    \
        SANE(part, GROUP_SANITY, "predicted_labels", "predicted", FORM_SHORT),                                                   \
        SANE(part, GROUP_SANITY, "share_with_any", "rows with any", FORM_PERCENT),                                               \
        SANE(part, GROUP_SANITY, "probability_min", "p min", FORM_SHORT),                                                        \
        SANE(part, GROUP_SANITY, "probability_mean", "p mean", FORM_SHORT),                                                      \
        SANE(part, GROUP_SANITY, "probability_max", "p max", FORM_SHORT)

static const struct column columns[] = {{"backbone", "backbone", FORM_TEXT, GROUP_MODEL},
                                        {"sha256", "backbone_sha256", FORM_HASH, GROUP_MODEL},
                                        {"parameters", "parameters", FORM_COUNT, GROUP_MODEL},
                                        {"trained", "parameters_trained", FORM_COUNT, GROUP_MODEL},
                                        {"method", "method", FORM_TEXT, GROUP_MODEL},
                                        {"fields", "fields", FORM_TEXT, GROUP_MODEL},
                                        {"max_length", "max_length", FORM_COUNT, GROUP_MODEL},
                                        {"truncated", "truncated_share", FORM_PERCENT, GROUP_MODEL},
                                        {"protocol", "protocol", FORM_HASH, GROUP_MODEL},
                                        {"rule", "rule", FORM_TEXT, GROUP_MODEL},
                                        {"threshold", "threshold", FORM_SHORT, GROUP_MODEL},
                                        {"thresholds", "thresholds", FORM_SHORT, GROUP_MODEL},
                                        {"status", "status", FORM_TEXT, GROUP_MODEL},
                                        PART(validation, GROUP_VALIDATION),
                                        PART(test, GROUP_TEST),
                                        {"seeds", "seeds.count", FORM_COUNT, GROUP_TRAINING},
                                        {"seeds mean", "seeds.mean", FORM_METRIC, GROUP_TRAINING},
                                        {"seeds sd", "seeds.sd", FORM_METRIC, GROUP_TRAINING},
                                        {"train s", "train_seconds", FORM_SHORT, GROUP_TRAINING},
                                        {"device", "device", FORM_TEXT, GROUP_TRAINING},
                                        {"train rows/s", "train_rows_per_second", FORM_SHORT, GROUP_TRAINING},
                                        {"MB", "bytes", FORM_MEGABYTES, GROUP_TRAINING},
                                        {"version", "version", FORM_TEXT, GROUP_TRAINING},
                                        SANITY(validation),
                                        SANITY(test)};
#define COLUMNS (sizeof columns / sizeof columns[0])

/* ---- a cell ---- */

static const struct json *value_of(const struct json *model, const char *key)
{
    char *words = duplicate(key), *rest = words;
    const struct json *at = model;
    for (char *word; (word = strsep(&rest, "."));)
        at = json_get(at, word);
    free(words);
    return at;
}

static void add_number(struct buffer *b, double x, enum form form)
{
    if (form == FORM_COUNT)
        html_count(b, x);
    else if (form == FORM_PERCENT)
        buffer_printf(b, "%.1f %%", 100 * x);
    else if (form == FORM_MEGABYTES)
        buffer_printf(b, "%.1f", 1e-6 * x);
    else
        buffer_printf(b, form == FORM_METRIC ? "%.4f" : form == FORM_DIFFERENCE ? "%+.4f" : "%.4g", x);
}

/* False: there is none. */
static bool add_value(struct buffer *b, const struct json *v, enum form form)
{
    if (json_type(v) == JSON_NUMBER)
        add_number(b, json_number(v), form);
    else if (json_size(v) == 2) {
        add_number(b, json_number(json_at(v, 0)), form);
        buffer_text(b, " to ");
        add_number(b, json_number(json_at(v, 1)), form);
    } else if (json_string(v))
        buffer_printf(b, form == FORM_HASH ? "%.12s" : "%s", json_string(v));
    else
        return false;
    return true;
}

static bool is_number(const struct column *c)
{
    return c->form != FORM_TEXT && c->form != FORM_HASH;
}

/* A column that no model of the table has a value of, stays: its dashes say so. */
static char *cell(const struct json *model, const struct column *c)
{
    struct buffer b = {0};
    if (!add_value(&b, value_of(model, c->key), c->form))
        buffer_text(&b, "-");
    return b.data;
}

static const char *name_of(const struct json *model)
{
    const char *name = json_string(json_get(model, "name"));
    return name ? name : "-";
}

/* ---- Markdown ---- */

static void add_markdown(struct buffer *b, const struct json *models, enum group group)
{
    struct markdown_table *t;
    struct buffer titles = {0};
    buffer_text(&titles, "model");
    for (size_t c = 0; c < COLUMNS; c++)
        if (columns[c].group == group)
            buffer_printf(&titles, "|%s%s", is_number(&columns[c]) ? "#" : "", columns[c].title);
    markdown_create(&t, titles.data);
    for (size_t i = 0; i < json_size(models); i++) {
        markdown_cell(t, "%s", name_of(json_at(models, i)));
        for (size_t c = 0; c < COLUMNS; c++)
            if (columns[c].group == group) {
                char *text = cell(json_at(models, i), &columns[c]);
                markdown_cell(t, "%s", text);
                free(text);
            }
    }
    buffer_printf(b, "\n### %s\n\n", group_names[group]);
    markdown_finish(&t, b);
    buffer_free(&titles);
}

static void add_heading(struct buffer *b, const struct json *table)
{
    const char *protocol = json_string(json_get(table, "protocol")), *by = json_string(json_get(table, "compared_by"));
    if (protocol)
        buffer_printf(b, "Protocol %.12s: by %s on validation", protocol, by);
    else
        buffer_text(b, "Not split yet");
}

/* Why there are several tables. */
static void add_note(struct buffer *b, const struct json *tables)
{
    if (json_size(tables) > 1)
        buffer_printf(b, "%zu tables: models with other rows, another split or other labels are not compared.\n",
                      json_size(tables));
}

/* What no column can say. */
static void add_missing(struct buffer *b, const struct json *models)
{
    for (size_t i = 0; i < json_size(models); i++) {
        const char *missing = json_string(json_get(json_at(models, i), "missing"));
        if (missing)
            buffer_printf(b, "%s%s: %s.", b->size ? " " : "", name_of(json_at(models, i)), missing);
    }
}

char *zoo_to_markdown(const struct json *zoo)
{
    struct buffer b = {0};
    const struct json *tables = json_get(zoo, "tables");
    buffer_text(&b, "# Models\n\n");
    add_note(&b, tables);
    for (size_t i = 0; i < json_size(tables); i++) {
        buffer_text(&b, i || json_size(tables) > 1 ? "\n## " : "## ");
        struct buffer missing = {0};
        add_missing(&missing, json_get(json_at(tables, i), "models"));
        add_heading(&b, json_at(tables, i));
        buffer_printf(&b, "\n%s%s%s", missing.size ? "\n" : "", missing.size ? missing.data : "", missing.size ? "\n" : "");
        buffer_free(&missing);
        for (int group = 0; group < GROUPS; group++)
            add_markdown(&b, json_get(json_at(tables, i), "models"), (enum group)group);
    }
    return b.data;
}

/* ---- HTML ---- */

static void add_html_cell(struct buffer *b, const struct json *model, const struct column *c)
{
    const struct json *v = value_of(model, c->key);
    char *text = cell(model, c);
    if (!is_number(c))
        html_cell(b, text);
    else {
        const struct json *by = json_size(v) == 2 ? json_at(v, 0) : v;
        buffer_text(b, "<td class=\"n\"");
        if (json_type(by) == JSON_NUMBER)
            buffer_printf(b, " data-v=\"%.17g\"", json_number(by));
        buffer_text(b, ">");
        html_text(b, text);
        buffer_text(b, "</td>");
    }
    free(text);
}

static void add_html(struct buffer *b, const struct json *models, enum group group)
{
    struct buffer titles = {0};
    buffer_text(&titles, "model");
    for (size_t c = 0; c < COLUMNS; c++)
        if (columns[c].group == group)
            buffer_printf(&titles, "|%s%s", is_number(&columns[c]) ? "#" : "", columns[c].title);
    html_table(b, group_names[group], titles.data, true);
    for (size_t i = 0; i < json_size(models); i++) {
        html_row(b, i == 0);
        html_head_cell(b, name_of(json_at(models, i)));
        for (size_t c = 0; c < COLUMNS; c++)
            if (columns[c].group == group)
                add_html_cell(b, json_at(models, i), &columns[c]);
        html_row_end(b);
    }
    html_table_end(b);
    buffer_free(&titles);
}

char *zoo_to_html(const struct json *zoo)
{
    struct buffer b = {0}, title = {0};
    const struct json *tables = json_get(zoo, "tables");
    buffer_text(&b, "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><meta name=\"viewport\" "
                    "content=\"width=device-width, initial-scale=1\"><title>Models</title>\n<style>");
    buffer_text(&b, report_style);
    buffer_text(&b, "</style></head>\n<body>\n<header><h1>Models</h1>\n<p>");
    add_note(&title, tables);
    html_text(&b, title.data ? title.data : "Sorted by validation; the first is the best.");
    buffer_text(&b, "</p></header>\n<main>\n");
    for (size_t i = 0; i < json_size(tables); i++) {
        char id[32];
        buffer_clear(&title);
        add_heading(&title, json_at(tables, i));
        snprintf(id, sizeof id, "table-%zu", i + 1);
        html_section(&b, id, title.data);
        buffer_clear(&title);
        add_missing(&title, json_get(json_at(tables, i), "models"));
        buffer_text(&b, "<p>");
        html_text(&b, title.size ? title.data : "");
        buffer_text(&b, "</p>\n");
        for (int group = 0; group < GROUPS; group++)
            add_html(&b, json_get(json_at(tables, i), "models"), (enum group)group);
        html_section_end(&b);
    }
    buffer_free(&title);
    buffer_text(&b, "</main>\n<script>");
    buffer_text(&b, report_script);
    buffer_text(&b, "</script>\n</body>\n</html>\n");
    return b.data;
}

/* ---- CSV ---- */

static void add_csv(struct buffer *b, const char *text)
{
    bool quoted = strpbrk(text, ",\"\r\n") != NULL;
    buffer_text(b, quoted ? "\"" : "");
    for (const char *at = text; *at; at++)
        buffer_printf(b, *at == '"' ? "\"\"" : "%c", *at);
    buffer_text(b, quoted ? "\"" : "");
}

/* Numbers whole, without a form. */
static void add_csv_value(struct buffer *b, const struct json *v)
{
    char *number = json_type(v) == JSON_NUMBER ? json_print(v, false) : NULL;
    if (json_size(v) == 2) {
        add_csv_value(b, json_at(v, 0));
        buffer_text(b, " to ");
        add_csv_value(b, json_at(v, 1));
    } else if (number || json_string(v))
        add_csv(b, number ? number : json_string(v));
    free(number);
}

static void add_csv_line(struct buffer *b, const struct json *model)
{
    add_csv(b, name_of(model));
    for (size_t c = 0; c < COLUMNS; c++) {
        buffer_text(b, ",");
        add_csv_value(b, value_of(model, columns[c].key));
    }
    buffer_text(b, "\r\n");
}

char *zoo_to_csv(const struct json *zoo)
{
    struct buffer b = {0};
    const struct json *tables = json_get(zoo, "tables");
    buffer_text(&b, "table,name");
    for (size_t c = 0; c < COLUMNS; c++)
        buffer_printf(&b, ",%s", columns[c].key);
    buffer_text(&b, "\r\n");
    for (size_t i = 0; i < json_size(tables); i++) {
        const struct json *models = json_get(json_at(tables, i), "models");
        for (size_t k = 0; k < json_size(models); k++) {
            buffer_printf(&b, "%zu,", i + 1);
            add_csv_line(&b, json_at(models, k));
        }
    }
    return b.data;
}

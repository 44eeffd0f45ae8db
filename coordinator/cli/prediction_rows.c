/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/cli/prediction_rows.h"

#include "common/base/buffer.h"
#include "common/base/memory.h"

#include <stdlib.h>
#include <string.h>

static uint32_t class_of(const struct prediction_rows *s, uint32_t i)
{
    uint32_t class = 0;
    while (!s->decided[(size_t)i * s->labels->count + class])
        class ++;
    return class;
}

static struct json *row_to_json(const struct prediction_rows *s, uint32_t i)
{
    const struct label_set *labels = s->labels;
    struct json *row = json_object();
    json_set_string(row, "id", s->ids[i]);
    if (labels->multi) {
        struct json *list = json_set(row, "labels", json_array());
        for (uint32_t c = 0; c < labels->count; c++)
            if (s->decided[(size_t)i * labels->count + c])
                json_append(list, json_of_string(labels->names[c]));
    } else {
        json_set_string(row, "label", labels->names[class_of(s, i)]);
    }
    struct json *p = json_set(row, "probabilities", json_object()), *logits = json_set(row, "logits", json_array());
    for (uint32_t c = 0; c < labels->count; c++) {
        json_set_number(p, labels->names[c], s->probability[(size_t)i * labels->count + c]);
        json_append(logits, json_of_number(s->logits[(size_t)i * labels->count + c]));
    }
    return row;
}

static void print_json_lines(FILE *to, const struct prediction_rows *s)
{
    for (uint32_t i = 0; i < s->rows; i++) {
        struct json *row = row_to_json(s, i);
        char *text = json_print(row, false);
        fprintf(to, "%s\n", text);
        free(text);
        json_destroy(&row);
    }
}

/* ---- tables ---- */

static void print_cell(FILE *to, const char *text, char separator)
{
    if (!strchr(text, separator) && !strpbrk(text, "\"\r\n")) {
        fputs(text, to);
        return;
    }
    fputc('"', to);
    for (; *text; text++)
        fprintf(to, *text == '"' ? "\"%c" : "%c", *text);
    fputc('"', to);
}

static void print_header(FILE *to, const struct prediction_rows *s, char separator)
{
    const struct label_set *labels = s->labels;
    fprintf(to, "id%c%s", separator, labels->multi ? "labels" : "label");
    for (uint32_t c = 0; c < labels->count; c++) {
        char *name = format_string("probability_%s", labels->names[c]);
        fputc(separator, to);
        print_cell(to, name, separator);
        free(name);
    }
    fputc('\n', to);
}

/* NULL: no text separates these labels. */
static const char *label_separator(const struct prediction_rows *s)
{
    const struct label_set *labels = s->labels;
    const char *separator = s->separator && *s->separator ? s->separator : ";";
    for (uint32_t c = 0; c < labels->count; c++)
        if (strstr(labels->names[c], separator) || labels->names[c][0] == '[')
            return NULL;
    return separator;
}

static char *labels_text(const struct prediction_rows *s, uint32_t i, const char *separator)
{
    const struct label_set *labels = s->labels;
    struct json *list = json_array();
    struct buffer joined = {0};
    buffer_text(&joined, "");
    for (uint32_t c = 0; c < labels->count; c++)
        if (s->decided[(size_t)i * labels->count + c]) {
            buffer_printf(&joined, "%s%s", joined.size ? separator ? separator : "" : "", labels->names[c]);
            json_append(list, json_of_string(labels->names[c]));
        }
    char *text = separator ? joined.data : json_print(list, false);
    if (!separator)
        buffer_free(&joined);
    json_destroy(&list);
    return text;
}

static void print_table(FILE *to, const struct prediction_rows *s, char separator, bool header)
{
    const struct label_set *labels = s->labels;
    const char *between = labels->multi ? label_separator(s) : NULL;
    if (header)
        print_header(to, s, separator);
    for (uint32_t i = 0; i < s->rows; i++) {
        print_cell(to, s->ids[i], separator);
        fputc(separator, to);
        char *text = labels->multi ? labels_text(s, i, between) : NULL;
        print_cell(to, text ? text : labels->names[class_of(s, i)], separator);
        free(text);
        for (uint32_t c = 0; c < labels->count; c++) {
            struct json *number = json_of_number(s->probability[(size_t)i * labels->count + c]);
            char *digits = json_print(number, false);
            fprintf(to, "%c%s", separator, digits);
            free(digits);
            json_destroy(&number);
        }
        fputc('\n', to);
    }
}

void prediction_rows_print(FILE *to, const struct prediction_rows *s, enum rows_form form, bool header)
{
    if (form == ROWS_JSON_LINES)
        print_json_lines(to, s);
    else
        print_table(to, s, form == ROWS_CSV ? ',' : '\t', header);
}

void bundle_score_print(FILE *to, const struct bundle_score *s, enum rows_form form, bool header)
{
    const char **ids = allocate(s->rows, sizeof *ids);
    for (uint32_t i = 0; i < s->rows; i++)
        ids[i] = dataset_id(s->data, i);
    const struct prediction_rows p = {
        .labels = bundle_labels(s->bundle),
        .separator = json_string(json_get(json_get(bundle_inference(s->bundle), "input"), "label_separator")),
        .ids = ids,
        .logits = s->logits,
        .probability = s->probability,
        .decided = s->decided,
        .rows = s->rows};
    prediction_rows_print(to, &p, form, header);
    free(ids);
}

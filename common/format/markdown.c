/* SPDX-License-Identifier: Apache-2.0 */
#include "common/format/markdown.h"

#include "common/base/memory.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COLUMNS_MOST 32

struct markdown_table {
    char **cells; /* (rows, columns); the first row holds the titles */
    size_t count, capacity, columns;
    bool number[COLUMNS_MOST];
};

static void add(struct markdown_table *t, char *text)
{
    t->cells = grow(t->cells, &t->capacity, t->count + 1, sizeof *t->cells);
    t->cells[t->count++] = text;
}

void markdown_create(struct markdown_table **ret, const char *titles)
{
    struct markdown_table *t = allocate(1, sizeof *t);
    for (const char *at = titles; at && t->columns < COLUMNS_MOST; t->columns++) {
        size_t size = strcspn(at, "|");
        t->number[t->columns] = *at == '#';
        add(t, *at == '#' ? format_string("%.*s", (int)size - 1, at + 1) : format_string("%.*s", (int)size, at));
        at = at[size] ? at + size + 1 : NULL;
    }
    *ret = t;
}

/* What would end a cell or a row is written so that it does not. */
static void escape(struct buffer *b, const char *text)
{
    for (; *text; text++)
        buffer_printf(b, *text == '|' ? "\\%c" : "%c", *text == '\n' ? ' ' : *text);
}

void markdown_cell(struct markdown_table *t, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = format_string_list(format, arguments);
    va_end(arguments);
    struct buffer b = {0};
    buffer_text(&b, "");
    escape(&b, text);
    free(text);
    add(t, b.data);
}

void markdown_row_end(struct markdown_table *t)
{
    while (t->count % t->columns)
        add(t, duplicate(""));
}

/* Characters, not bytes. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void find_widths(size_t widths[COLUMNS_MOST], const struct markdown_table *t)
{
    for (size_t c = 0; c < t->columns; c++)
        widths[c] = 3; /* of the line under the titles */
    for (size_t i = 0; i < t->count; i++) {
        size_t c = i % t->columns, width = width_of(t->cells[i]);
        bool ragged = c + 1 == t->columns && !t->number[c] && i >= t->columns; /* words at the end of a row */
        if (width > widths[c] && !ragged)
            widths[c] = width;
    }
}

static void add_padded(struct buffer *b, const char *text, size_t width, bool right)
{
    size_t own = width_of(text);
    int blank = width > own ? (int)(width - own) : 0;
    buffer_printf(b, "| %*s%s%*s ", right ? blank : 0, "", text, right ? 0 : blank, "");
}

static void add_line(struct buffer *b, const struct markdown_table *t, const size_t *widths)
{
    for (size_t c = 0; c < t->columns; c++) {
        buffer_text(b, "| ");
        for (size_t i = 0; i + t->number[c] < widths[c]; i++)
            buffer_text(b, "-");
        buffer_text(b, t->number[c] ? ": " : " ");
    }
    buffer_text(b, "|\n");
}

void markdown_finish(struct markdown_table **table, struct buffer *b)
{
    struct markdown_table *t = *table;
    size_t widths[COLUMNS_MOST];
    find_widths(widths, t);
    for (size_t i = 0; i < t->count; i++) {
        size_t c = i % t->columns;
        add_padded(b, t->cells[i], widths[c], t->number[c]);
        buffer_text(b, c + 1 == t->columns ? "|\n" : "");
        if (i + 1 == t->columns)
            add_line(b, t, widths);
        free(t->cells[i]);
    }
    free(t->cells);
    free(t);
    *table = NULL;
}

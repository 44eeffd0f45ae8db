/* SPDX-License-Identifier: Apache-2.0 */
/* How pieces of a page are written. */
#include "coordinator/report/report_html.h"

#include "common/base/memory.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DASH "\xE2\x80\x93"

static void add_escaped(struct buffer *b, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '<' || c == '>' || c == '&' || c == '"' || c == '\'')
            buffer_printf(b, "&#%d;", c);
        else
            buffer_append(b, (c < 0x20 && c != '\n' && c != '\t') || c == 0x7F ? " " : text + i, 1);
    }
}

void html_text(struct buffer *b, const char *text)
{
    if (!text)
        buffer_text(b, DASH);
    else
        add_escaped(b, text, strlen(text));
}

void html_short(struct buffer *b, const char *text, size_t most)
{
    size_t size = strlen(text);
    if (size <= most) {
        add_escaped(b, text, size);
        return;
    }
    while (most > 0 && ((unsigned char)text[most] & 0xC0) == 0x80)
        most--;
    add_escaped(b, text, most);
    buffer_text(b, "\xE2\x80\xA6");
}

void html_printf(struct buffer *b, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    char *text = format_string_list(format, arguments);
    va_end(arguments);
    add_escaped(b, text, strlen(text));
    free(text);
}

void html_count(struct buffer *b, double count)
{
    char digits[32];
    int size = snprintf(digits, sizeof digits, "%.0f", count);
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0 && digits[i - 1] != '-')
            buffer_text(b, ",");
        buffer_append(b, digits + i, 1);
    }
}

void html_metric(struct buffer *b, double value)
{
    if (isfinite(value))
        buffer_printf(b, "%.4f", value);
    else
        buffer_text(b, DASH);
}

void html_section(struct buffer *b, const char *id, const char *title)
{
    buffer_printf(b, "<section id=\"%s\" aria-labelledby=\"%s-heading\">\n<h2 id=\"%s-heading\">%s</h2>\n", id, id, id, title);
}

void html_section_end(struct buffer *b)
{
    buffer_text(b, "</section>\n");
}

void html_table(struct buffer *b, const char *caption, const char *columns, bool sortable)
{
    buffer_text(b, "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"");
    html_text(b, caption);
    buffer_printf(b, "\"><table%s>\n<caption><span>", sortable ? " class=\"sortable\"" : "");
    html_text(b, caption);
    buffer_text(b, "</span></caption>\n<thead><tr>");
    for (const char *at = columns; at;) {
        const char *end = strchr(at, '|');
        bool number = *at == '#';
        buffer_printf(b, "<th scope=\"col\"%s>", number ? " class=\"n\"" : "");
        add_escaped(b, at + number, (end ? (size_t)(end - at) : strlen(at)) - number);
        buffer_text(b, "</th>");
        at = end ? end + 1 : NULL;
    }
    buffer_text(b, "</tr></thead>\n<tbody>\n");
}

void html_table_end(struct buffer *b)
{
    buffer_text(b, "</tbody></table></div>\n");
}

void html_row(struct buffer *b, bool marked)
{
    buffer_text(b, marked ? "<tr class=\"marked\">" : "<tr>");
}

void html_row_end(struct buffer *b)
{
    buffer_text(b, "</tr>\n");
}

void html_head_cell(struct buffer *b, const char *text)
{
    buffer_text(b, "<th scope=\"row\">");
    html_text(b, text);
    buffer_text(b, "</th>");
}

void html_cell(struct buffer *b, const char *text)
{
    buffer_text(b, "<td>");
    html_text(b, text);
    buffer_text(b, "</td>");
}

/* What sorting goes by; without it a dash is last. */
static void open_number(struct buffer *b, double value)
{
    if (isfinite(value))
        buffer_printf(b, "<td class=\"n\" data-v=\"%.9g\">", value);
    else
        buffer_text(b, "<td class=\"n\">");
}

void html_count_cell(struct buffer *b, double count)
{
    open_number(b, count);
    if (isfinite(count))
        html_count(b, count);
    else
        buffer_text(b, DASH);
    buffer_text(b, "</td>");
}

void html_metric_cell(struct buffer *b, double value)
{
    open_number(b, value);
    html_metric(b, value);
    buffer_text(b, "</td>");
}

void html_spread_cell(struct buffer *b, double mean, double sd)
{
    open_number(b, mean);
    html_metric(b, mean);
    if (isfinite(sd))
        buffer_printf(b, " ± %.4f", sd);
    buffer_text(b, "</td>");
}

void html_number_cell(struct buffer *b, double value, const char *format)
{
    char text[64];
    open_number(b, value);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof text, format, value);
#pragma GCC diagnostic pop
    html_text(b, isfinite(value) ? text : NULL);
    buffer_text(b, "</td>");
}

void html_details(struct buffer *b, const char *summary)
{
    buffer_text(b, "<details><summary>");
    html_text(b, summary);
    buffer_text(b, "</summary>\n");
}

void html_details_end(struct buffer *b)
{
    buffer_text(b, "</details>\n");
}

void html_terms(struct buffer *b)
{
    buffer_text(b, "<dl class=\"terms\">\n");
}

void html_term(struct buffer *b, const char *term, const char *text)
{
    buffer_text(b, "<dt>");
    html_text(b, term);
    buffer_text(b, "</dt><dd>");
    html_text(b, text);
    buffer_text(b, "</dd>\n");
}

void html_terms_end(struct buffer *b)
{
    buffer_text(b, "</dl>\n");
}

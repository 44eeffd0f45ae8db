/* SPDX-License-Identifier: Apache-2.0 */
/* Pieces of a page. Whatever comes from data goes through html_text. */
#pragma once

#include "common/base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

void html_text(struct buffer *b, const char *text);               /* escaped; NULL: a dash */
void html_short(struct buffer *b, const char *text, size_t most); /* at most so many bytes, cut between characters */
void html_printf(struct buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3))); /* the result is escaped */
void html_count(struct buffer *b, double count);                                                   /* 12,345 */
void html_metric(struct buffer *b, double value);                                                  /* 0.1234; NaN: a dash */

/* A section with its heading; `id` is its anchor. */
void html_section(struct buffer *b, const char *id, const char *title);
void html_section_end(struct buffer *b);

/* A table in a box of its own that scrolls where the screen is narrow. columns: headings parted by '|'; a heading that begins
 * with '#' is of numbers. sortable: a click on a heading sorts. */
void html_table(struct buffer *b, const char *caption, const char *columns, bool sortable);
void html_table_end(struct buffer *b);
void html_row(struct buffer *b, bool marked);
void html_row_end(struct buffer *b);
void html_head_cell(struct buffer *b, const char *text); /* names the row */
void html_cell(struct buffer *b, const char *text);
void html_count_cell(struct buffer *b, double count);
void html_spread_cell(struct buffer *b, double mean, double sd); /* "0.4567 ± 0.0123"; sorted by the mean */
void html_metric_cell(struct buffer *b, double value);           /* 4 decimals; NaN: a dash, sorted last */
void html_number_cell(struct buffer *b, double value, const char *format /* of a double */);

void html_details(struct buffer *b, const char *summary); /* folded */
void html_details_end(struct buffer *b);
/* A list of terms and what they are. */
void html_terms(struct buffer *b);
void html_term(struct buffer *b, const char *term, const char *text);
void html_terms_end(struct buffer *b);

extern const char report_style[], report_script[];

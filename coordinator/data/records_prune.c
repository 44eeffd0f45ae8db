/* SPDX-License-Identifier: Apache-2.0 */
/* What a job drops of cleaned rows: rare labels, rows that have none left, short rows. */
#include "common/base/memory.h"
#include "coordinator/data/records.h"

#include <stdlib.h>
#include <string.h>

#define DROPPED UINT32_MAX

uint32_t text_words(const char *composed) /* white space is collapsed: one space between two words */
{
    size_t size = composed ? strlen(composed) : 0;
    uint32_t n = size > 0;
    for (size_t i = 0; i < size; i++) /* by a number known before, so that the compiler takes many at a time */
        n += composed[i] == ' ';
    return n;
}

static uint64_t *count_labels(const struct records *r)
{
    uint64_t *counts = allocate(r->label_count, sizeof *counts);
    for (size_t i = 0; i < r->count; i++) {
        if (r->rows[i].class >= 0)
            counts[r->rows[i].class]++;
        for (uint32_t k = 0; k < r->rows[i].label_count; k++)
            counts[r->rows[i].labels[k]]++;
    }
    return counts;
}

/* Moves the names of rare labels away; number[old] is the new number of a label, or DROPPED. */
static void drop_labels(struct records *r, uint32_t *number, const uint64_t *counts, uint32_t min_count)
{
    size_t kept = 0;
    r->dropped_labels = reallocate(r->dropped_labels, r->dropped_label_count + r->label_count + 1, sizeof *r->dropped_labels);
    for (size_t c = 0; c < r->label_count; c++) {
        bool keep = counts[c] >= min_count;
        number[c] = keep ? (uint32_t)kept : DROPPED;
        if (keep)
            r->labels[kept++] = r->labels[c];
        else
            r->dropped_labels[r->dropped_label_count++] = r->labels[c];
    }
    r->label_count = kept;
}

/* Whether the row keeps a label, or never had one. Its labels are renumbered where they lie. */
static bool renumber(struct record *row, uint32_t *labels, const uint32_t *number)
{
    uint32_t had = row->label_count, kept = 0;
    if (row->class >= 0) {
        row->class = number[row->class] == DROPPED ? -1 : (int32_t)number[row->class];
        return row->class >= 0;
    }
    for (uint32_t k = 0; k < had; k++)
        if (number[labels[k]] != DROPPED)
            labels[kept++] = number[labels[k]];
    row->label_count = kept;
    return kept > 0 || had == 0;
}

static void drop_rare(struct records *r, uint32_t min_count)
{
    uint64_t *counts = count_labels(r);
    uint32_t *number = allocate(r->label_count, sizeof *number);
    size_t kept = 0;
    drop_labels(r, number, counts, min_count);
    for (size_t i = 0; i < r->count; i++) {
        uint32_t *labels = r->rows[i].labels ? r->label_numbers + (r->rows[i].labels - r->label_numbers) : NULL;
        if (renumber(&r->rows[i], labels, number))
            r->rows[kept++] = r->rows[i];
        records_walked(r, i + 1);
    }
    r->rare_only += r->count - kept;
    r->count = kept;
    free(number);
    free(counts);
}

int records_prune(struct records *r, uint32_t min_count, uint32_t min_words, struct error *e)
{
    size_t kept = 0;
    if (min_count > 0)
        drop_rare(r, min_count);
    if (!r->label_count || !r->count)
        return error_set(e, ERROR_DATA, "no label has %u rows (data.min_label_count); lower it, or give more data", min_count);
    for (size_t i = 0; i < r->count; i++) {
        if (min_words == 0 || text_words(r->rows[i].a) + text_words(r->rows[i].b) >= min_words)
            r->rows[kept++] = r->rows[i];
        records_walked(r, i + 1);
    }
    r->too_short += r->count - kept;
    r->count = kept;
    return kept ? 0 : error_set(e, ERROR_DATA, "no row has %u words (data.min_words); lower it", min_words);
}

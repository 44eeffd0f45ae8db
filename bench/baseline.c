/* SPDX-License-Identifier: Apache-2.0 */
/* Time and quality of the TF-IDF baseline: bench_baseline FILE ROWS MIN: the first ROWS rows of FILE (JSON Lines with `text` and
 * a list `tags`), labels with at least MIN of them; four fifths train. tools/golden_baseline.py --compare does the same. */
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/table.h"
#include "common/format/jsonl.h"
#include "coordinator/compare/baseline_fit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tags {
    uint32_t *numbers;
    size_t count;
};

struct rows {
    char **texts, **names;
    struct tags *tags;
    uint32_t *totals;
    size_t count, names_count, names_capacity, totals_capacity;
    struct table *table;
};

static void add_row(struct rows *r, const struct json *row)
{
    const struct json *tags = json_get(row, "tags");
    struct tags *to = &r->tags[r->count];
    r->texts[r->count++] = duplicate(json_string(json_get(row, "text")));
    to->numbers = allocate(json_size(tags), sizeof *to->numbers);
    for (size_t i = 0; i < json_size(tags); i++) {
        uint32_t number = table_find(r->table, json_string(json_at(tags, i)));
        if (number == TABLE_ABSENT) {
            r->names = grow(r->names, &r->names_capacity, r->names_count + 1, sizeof *r->names);
            r->totals = grow(r->totals, &r->totals_capacity, r->names_count + 1, sizeof *r->totals);
            r->totals[r->names_count] = 0;
            r->names[r->names_count] = duplicate(json_string(json_at(tags, i)));
            number = table_add(r->table, r->names[r->names_count++]);
        }
        r->totals[number]++;
        to->numbers[to->count++] = number;
    }
}

static double f1(double hit, double other)
{
    return hit > 0 ? 2 * hit / (2 * hit + other) : 0;
}

static void score(const struct rows *r, uint32_t columns, size_t edge, const unsigned char *truth, const float *decisions)
{
    double all_hits = 0, all_misses = 0, macro = 0;
    for (uint32_t c = 0; c < columns; c++) {
        double hits = 0, misses = 0;
        for (size_t i = edge; i < r->count; i++) {
            bool on = truth[i * columns + c], said = decisions[(i - edge) * columns + c] >= 0;
            hits += on && said;
            misses += on != said;
        }
        all_hits += hits;
        all_misses += misses;
        macro += f1(hits, misses);
    }
    printf("micro F1 %.4f  macro F1 %.4f\n", f1(all_hits, all_misses), macro / columns);
}

int main(int count, char **arguments)
{
    struct error e = {0};
    struct jsonl *lines;
    const struct json *row;
    size_t line, limit = count == 4 ? strtoul(arguments[2], NULL, 10) : 0;
    if (count != 4 || jsonl_open(&lines, arguments[1], NULL, &e) != 0) {
        fprintf(stderr, "bench_baseline FILE ROWS MIN: %s\n", e.message);
        return 2;
    }
    struct rows r = {.texts = allocate(limit, sizeof(char *)), .tags = allocate(limit, sizeof *r.tags)};
    table_create(&r.table);
    while (r.count < limit && jsonl_next(lines, &row, &line, &e) > 0)
        add_row(&r, row);
    jsonl_close(&lines);
    uint32_t columns = 0, *column = allocate(r.names_count, sizeof *column);
    for (size_t i = 0; i < r.names_count; i++)
        column[i] = r.totals[i] >= strtoul(arguments[3], NULL, 10) ? columns++ : TABLE_ABSENT;
    unsigned char *truth = allocate(r.count * columns, 1);
    double *ones = allocate(columns, sizeof *ones);
    for (size_t i = 0; i < r.count; i++)
        for (size_t k = 0; k < r.tags[i].count; k++)
            if (column[r.tags[i].numbers[k]] != TABLE_ABSENT)
                truth[i * columns + column[r.tags[i].numbers[k]]] = 1;
    for (uint32_t c = 0; c < columns; c++)
        ones[c] = 1;
    size_t edge = r.count * 4 / 5;
    struct baseline_rows scored = {(const char *const *)r.texts + edge, r.count - edge};
    struct baseline_task task = {{2, 200000}, {(const char *const *)r.texts, edge}, truth, columns, ones, ones, &scored, 1};
    struct baseline_fit fit;
    double start = clock_seconds();
    if (baseline_fit(&fit, &task, &e) != 0) {
        fprintf(stderr, "%s\n", e.message);
        return 1;
    }
    printf("%zu rows, %u labels, %u features, %.1f s: ", r.count, columns, fit.features, clock_seconds() - start);
    score(&r, columns, edge, truth, fit.decisions[0]);
    return 0;
}

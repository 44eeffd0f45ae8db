/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/cli/init_draft.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/data/row_facts.h"
#include "coordinator/job/job_paths.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void init_because(const char *key, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("  %-22s ", key);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

/* As the job file has to call it. */
void init_set_path(const struct init_draft *d, struct json *to, const char *key, const char *path, bool is_path)
{
    char *directory = path_directory(d->output);
    char *name = strchr(d->output, '/') && is_path && path[0] != '/' ? path_from(directory, path) : duplicate(path);
    json_set_string(to, key, name);
    free(name);
    free(directory);
}

/* ---- rows ---- */

static struct text_fields names_of(const struct guess *g, const size_t *list, size_t count)
{
    struct text_fields names = {.names = allocate(count, sizeof(char *)), .count = count};
    for (size_t i = 0; i < count; i++)
        names.names[i] = duplicate(guess_name(g, list[i]));
    return names;
}

static void names_free(struct text_fields *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->names[i]);
    free(names->names);
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Word pieces of a text, roughly: 1.35 a word, and no fewer than its letters make. */
static double pieces(const char *text)
{
    double plain = 0, foreign = 0;
    for (const char *c = text; text && *c; c++) {
        plain += ((unsigned char)*c & 0x80) == 0;
        foreign += ((unsigned char)*c & 0xc0) == 0xc0;
    }
    return fmax(1.35 * text_words(text), plain / 5 + foreign / 2);
}

static void measure_lengths(struct init_draft *d)
{
    size_t count = d->records.count;
    uint32_t *sizes = allocate(count, sizeof *sizes);
    for (size_t i = 0; i < count; i++)
        sizes[i] = (uint32_t)(3 + pieces(d->records.rows[i].a) + pieces(d->records.rows[i].b));
    qsort(sizes, count, sizeof *sizes, by_size);
    d->p50 = sizes[count / 2];
    d->p95 = sizes[(size_t)(0.95 * (double)(count - 1))];
    d->longest = sizes[count - 1];
    free(sizes);
}

static void count_labels(struct init_draft *d)
{
    d->label_rows = allocate(d->records.label_count, sizeof *d->label_rows);
    for (size_t i = 0; i < d->records.count; i++) {
        const struct record *row = &d->records.rows[i];
        if (row->class >= 0)
            d->label_rows[row->class]++;
        for (uint32_t k = 0; k < row->label_count; k++)
            d->label_rows[row->labels[k]]++;
    }
}

static int find_parts(struct init_draft *d, struct error *e)
{
    d->part = allocate(d->records.count, sizeof *d->part);
    for (size_t i = 0; i < d->records.count; i++) {
        uint32_t file = d->records.rows[i].file;
        d->part[i] = (uint8_t)(file && !d->files.paths[PART_VALIDATION] ? PART_TEST : file);
    }
    return d->g.part != SIZE_MAX ? init_read_parts(d->part, d->drawn, &d->records, e) : 0;
}

int init_read_rows(struct init_draft *d, struct error *e)
{
    struct guess *g = &d->g;
    size_t required[2] = {g->main_a, g->main_b};
    struct input in = {.id = guess_name(g, g->id),
                       .group = guess_name(g, g->part != SIZE_MAX ? g->part : g->group),
                       .label = guess_name(g, g->label),
                       .label_columns = names_of(g, g->columns, g->column_count),
                       .text_a = names_of(g, g->text_a, g->a_count),
                       .text_b = names_of(g, g->text_b, g->b_count),
                       .required = names_of(g, required, g->b_count ? 2 : 1),
                       .joiner = ". ",
                       .label_separator = g->separator,
                       .multi = g->multi,
                       .table = g->table};
    const char *paths[PART_COUNT];
    size_t files = 0;
    for (int p = 0; p < PART_COUNT; p++)
        if (d->files.paths[p])
            paths[files++] = d->files.paths[p];
    int result = records_read(&d->records, files ? paths : &d->data, files ? files : 1, &in, false, e);
    names_free(&in.label_columns);
    names_free(&in.text_a);
    names_free(&in.text_b);
    names_free(&in.required);
    if (result)
        return -1;
    count_labels(d);
    measure_lengths(d);
    return find_parts(d, e);
}

/* ---- labels ---- */

uint64_t init_rarest(const struct init_draft *d, size_t *label)
{
    *label = 0;
    for (size_t c = 1; c < d->records.label_count; c++)
        if (d->label_rows[c] < d->label_rows[*label])
            *label = c;
    return d->records.label_count ? d->label_rows[*label] : 0;
}

size_t init_rarer_than(const struct init_draft *d, uint64_t rows)
{
    size_t count = 0;
    for (size_t c = 0; c < d->records.label_count; c++)
        count += d->label_rows[c] < rows;
    return count;
}

bool init_parts_given(const struct init_draft *d)
{
    return d->g.part != SIZE_MAX || d->files.paths[0];
}

size_t init_part_rows(const struct init_draft *d, enum part part)
{
    size_t rows = 0;
    for (size_t i = 0; i < d->records.count; i++)
        rows += d->part[i] == part;
    return rows;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/row_facts.h"

#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"
#include "common/base/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The second kind is followed by an enum time_form in 8 bytes, and a double a row. */
static const char marks[2][8] = {"facts 1\n", "facts 2\n"};

uint32_t *exact_duplicates(const struct records *r)
{
    struct table *seen;
    struct arena *keys;
    table_create(&seen);
    arena_create(&keys);
    uint32_t *exact = allocate(r->count, sizeof *exact), *first = allocate(r->count, sizeof *first);
    struct buffer key = {0};
    for (size_t i = 0; i < r->count; i++) {
        buffer_clear(&key);
        buffer_printf(&key, "%s\x1f%s", r->rows[i].a, r->rows[i].b ? r->rows[i].b : "");
        uint32_t number = table_find(seen, key.data);
        if (number == TABLE_ABSENT) {
            number = table_add(seen, arena_string(keys, key.data, key.size));
            first[number] = (uint32_t)i;
        }
        exact[i] = first[number];
    }
    buffer_free(&key);
    free(first);
    arena_destroy(&keys);
    table_destroy(&seen);
    return exact;
}

bool records_agree(const struct record *a, const struct record *b)
{
    return a->class == b->class && a->label_count == b->label_count &&
           (!a->label_count || !memcmp(a->labels, b->labels, a->label_count * sizeof *a->labels));
}

static void add_name(struct sha256 *h, const struct records *r, size_t label)
{
    sha256_update(h, r->labels[label], strlen(r->labels[label]) + 1);
}

static void fingerprint(char text[FINGERPRINT_HEX], const struct records *r, const struct record *row)
{
    struct sha256 *h;
    sha256_create(&h);
    sha256_update(h, row->a, strlen(row->a) + 1);
    if (row->b)
        sha256_update(h, row->b, strlen(row->b) + 1);
    if (row->class >= 0)
        add_name(h, r, (size_t)row->class);
    for (uint32_t k = 0; k < row->label_count; k++)
        add_name(h, r, row->labels[k]);
    sha256_finish(&h, text);
}

void row_facts_make(struct row_facts *ret, const struct records *r, const uint32_t *exact, const struct near_duplicates *n)
{
    struct row_facts f = {.rows = allocate(r->count, sizeof *f.rows), .count = (uint32_t)r->count};
    for (uint32_t i = 0; i < f.count; i++) {
        f.rows[i].exact = exact[i];
        f.rows[i].near = n ? n->root[i] : exact[i];
        fingerprint(f.rows[i].fingerprint, r, &r->rows[i]);
    }
    f.time_form = r->time_form;
    f.times = f.time_form != TIME_NONE ? allocate(r->count, sizeof *f.times) : NULL;
    for (uint32_t i = 0; f.times && i < f.count; i++)
        f.times[i] = r->rows[i].time;
    *ret = f;
}

int row_facts_write(const char *path, const struct row_facts *f, struct error *e)
{
    struct buffer bytes = {0};
    uint64_t form = f->time_form;
    buffer_append(&bytes, marks[f->times != NULL], sizeof marks[0]);
    buffer_append(&bytes, f->rows, f->count * sizeof *f->rows);
    if (f->times) {
        buffer_append(&bytes, &form, sizeof form);
        buffer_append(&bytes, f->times, f->count * sizeof *f->times);
    }
    int result = file_write(path, bytes.data, bytes.size, e);
    buffer_free(&bytes);
    return result;
}

static bool read_times(struct row_facts *f, const char *bytes)
{
    uint64_t form;
    memcpy(&form, bytes, sizeof form);
    f->time_form = form == TIME_DATES ? TIME_DATES : TIME_NUMBERS;
    f->times = allocate(f->count, sizeof *f->times);
    memcpy(f->times, bytes + sizeof form, f->count * sizeof *f->times);
    for (uint32_t i = 0; i < f->count; i++)
        if (!isfinite(f->times[i]))
            return false;
    return form == TIME_DATES || form == TIME_NUMBERS;
}

int row_facts_read(struct row_facts *ret, const char *path, uint32_t rows, struct error *e)
{
    char *bytes;
    size_t size;
    if (file_read(&bytes, &size, path, e))
        return -1;
    struct row_facts f = {.rows = allocate(rows, sizeof *f.rows), .count = rows};
    size_t start = sizeof marks[0], times = start + rows * sizeof *f.rows;
    bool timed = size >= start && !memcmp(bytes, marks[1], start);
    bool right = size == times + (timed ? (rows + 1) * sizeof(double) : 0) && !memcmp(bytes, marks[timed], start);
    if (right)
        memcpy(f.rows, bytes + start, rows * sizeof *f.rows);
    if (right && timed)
        right = read_times(&f, bytes + times);
    for (uint32_t i = 0; i < rows && right; i++)
        right = f.rows[i].exact < rows && f.rows[i].near < rows && !f.rows[i].fingerprint[FINGERPRINT_HEX - 1];
    free(bytes);
    if (!right) {
        row_facts_free(&f);
        return error_set(e, ERROR_DATA, "%s: is damaged; delete it and run again: it is rebuilt", path);
    }
    *ret = f;
    return 0;
}

void row_facts_free(struct row_facts *f)
{
    free(f->rows);
    free(f->times);
    *f = (struct row_facts){0};
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void row_facts_fingerprint(char text[FINGERPRINT_HEX], const struct row_facts *f, const uint32_t *rows, size_t count)
{
    const char **digits = allocate(count, sizeof *digits);
    struct sha256 *h;
    for (size_t i = 0; i < count; i++)
        digits[i] = f->rows[rows ? rows[i] : i].fingerprint;
    qsort(digits, count, sizeof *digits, by_text);
    sha256_create(&h);
    for (size_t i = 0; i < count; i++)
        sha256_update(h, digits[i], FINGERPRINT_HEX);
    sha256_finish(&h, text);
    free(digits);
}

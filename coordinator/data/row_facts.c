/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/row_facts.h"

#include "common/base/file.h"
#include "common/base/key_sort.h"
#include "common/base/memory.h"
#include "common/base/parallel.h"
#include "common/base/sha256.h"
#include "common/base/stop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_AT_ONCE 4096
#define WALKED_AT_ONCE 65536

/* The second kind is followed by an enum time_form in 8 bytes, and a double a row. */
static const char marks[2][8] = {"facts 1\n", "facts 2\n"};

struct hashing {
    const struct records *records;
    struct key_row *entries; /* (rows) */
};

static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (const char *p = text ? text : ""; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 0x100000001b3u; /* FNV-1a */
    return (hash ^ hash >> 29) * 0x9e3779b97f4a7c15u;
}

static void hash_rows(void *context, size_t begin, size_t end)
{
    const struct hashing *h = context;
    for (size_t i = begin; i < end; i++) {
        const struct record *row = &h->records->rows[i];
        h->entries[i] = (struct key_row){hash_text(hash_text(0xcbf29ce484222325u, row->a), row->b), (uint32_t)i};
    }
    records_walked(h->records, end);
}

static bool same_texts(const struct record *x, const struct record *y)
{
    return strcmp(x->a, y->a) == 0 && strcmp(x->b ? x->b : "", y->b ? y->b : "") == 0;
}

/* Rows of one hash, ascending: each gets the first with its texts. */
static void find_first(uint32_t *exact, const struct records *r, const struct key_row *bucket, size_t size, size_t *looks)
{
    for (size_t i = 0; i < size; i++) {
        uint32_t row = bucket[i].row;
        exact[row] = row;
        if (i > 0)
            records_looked_at(r, looks);
        for (size_t k = 0; k < i && exact[row] == row; k++)
            if (exact[bucket[k].row] == bucket[k].row && same_texts(&r->rows[bucket[k].row], &r->rows[row]))
                exact[row] = bucket[k].row;
    }
}

int exact_duplicates(uint32_t **ret, const struct records *r, struct error *e)
{
    struct hashing h = {.records = r, .entries = allocate(r->count, sizeof *h.entries)};
    uint32_t *exact = allocate(r->count, sizeof *exact);
    size_t looks = 0;
    int result = parallel_blocks(r->count, ROWS_AT_ONCE, hash_rows, &h, e);
    if (result == 0)
        result = key_rows_sort(h.entries, r->count, e);
    for (size_t start = 0, end; start < r->count && result == 0; start = end) {
        for (end = start + 1; end < r->count && h.entries[end].key == h.entries[start].key;)
            end++;
        find_first(exact, r, h.entries + start, end - start, &looks);
        if (start / ROWS_AT_ONCE != end / ROWS_AT_ONCE)
            result = stop_check(e);
    }
    records_rest(r);
    free(h.entries);
    if (result == 0)
        *ret = exact;
    else
        free(exact);
    return result;
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

struct facts_made {
    struct scratch *facts;
    const struct records *records;
    const uint32_t *exact;
    const struct near_duplicates *near;
};

static void make_facts(void *context, size_t begin, size_t end)
{
    const struct facts_made *m = context;
    for (size_t i = begin; i < end; i++) {
        struct row_fact *f = (struct row_fact *)m->facts->data + i;
        f->exact = m->exact[i];
        f->near = m->near ? m->near->root[i] : m->exact[i];
        fingerprint(f->fingerprint, m->records, &m->records->rows[i]);
    }
    records_walked(m->records, end);
    if (end % WALKED_AT_ONCE == 0)
        scratch_rest(m->facts);
}

int row_facts_make(struct row_facts *ret, const struct records *r, const uint32_t *exact, const struct near_duplicates *n,
                   struct error *e)
{
    struct row_facts f = {.count = (uint32_t)r->count};
    struct facts_made m = {&f.memory, r, exact, n};
    scratch_resize(&f.memory, r->count * sizeof *f.rows);
    f.rows = f.memory.data;
    if (parallel_blocks(r->count, ROWS_AT_ONCE, make_facts, &m, e)) {
        row_facts_free(&f);
        return -1;
    }
    f.time_form = r->time_form;
    f.times = f.time_form != TIME_NONE ? allocate(r->count, sizeof *f.times) : NULL;
    for (uint32_t i = 0; f.times && i < f.count; i++)
        f.times[i] = r->rows[i].time;
    *ret = f;
    return 0;
}

int row_facts_write(const char *path, const struct row_facts *f, struct error *e)
{
    struct file_writer *writer;
    uint64_t form = f->time_form;
    if (file_writer_create(&writer, path, e))
        return -1;
    FILE *to = file_writer_stream(writer);
    file_writer_polls(writer);
    fwrite(marks[f->times != NULL], sizeof marks[0], 1, to);
    for (size_t i = 0; i < f->count && !stop_requested(); i += WALKED_AT_ONCE) { /* commit says so */
        fwrite(f->rows + i, sizeof *f->rows, f->count - i < WALKED_AT_ONCE ? f->count - i : WALKED_AT_ONCE, to);
        row_facts_walked(f, i + WALKED_AT_ONCE);
    }
    if (f->times) {
        fwrite(&form, sizeof form, 1, to);
        fwrite(f->times, sizeof *f->times, f->count, to);
    }
    return file_writer_commit(&writer, e);
}

void row_facts_walked(const struct row_facts *f, size_t end)
{
    if (end % WALKED_AT_ONCE != 0)
        return;
    scratch_rest(&f->memory);
    file_map_rest(&f->file);
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
    struct row_facts f = {.count = rows};
    if (file_map(&f.file, path, e))
        return -1;
    const char *bytes = f.file.data;
    size_t size = f.file.size;
    size_t start = sizeof marks[0], times = start + rows * sizeof *f.rows;
    bool timed = size >= start && !memcmp(bytes, marks[1], start);
    bool right = size == times + (timed ? (rows + 1) * sizeof(double) : 0) && !memcmp(bytes, marks[timed], start);
    if (right)
        f.rows = (const struct row_fact *)(const void *)(bytes + start);
    if (right && timed)
        right = read_times(&f, bytes + times);
    for (uint32_t i = 0; i < rows && right && !(i % WALKED_AT_ONCE == 0 && stop_requested()); i++) {
        right = f.rows[i].exact < rows && f.rows[i].near < rows && !f.rows[i].fingerprint[FINGERPRINT_HEX - 1];
        row_facts_walked(&f, i + 1);
    }
    if (right && stop_check(e)) {
        row_facts_free(&f);
        return -1;
    }
    if (!right) {
        row_facts_free(&f);
        return error_set(e, ERROR_DATA, "%s: is damaged; delete it and run again: it is rebuilt", path);
    }
    *ret = f;
    return 0;
}

void row_facts_free(struct row_facts *f)
{
    scratch_free(&f->memory);
    file_unmap(&f->file);
    free(f->times);
    *f = (struct row_facts){0};
}

/* ---- the fingerprint of a set ---- */

#define SORTED_AT_ONCE ((size_t)1 << 20) /* fingerprints: of more, those that begin alike are taken in turn, lowest first */
#define TURNS_MOST 256

static unsigned digit_value(char digit)
{
    return (unsigned)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

/* The first 64 bits of a fingerprint's digits, so that their order is that of the digits. */
static uint64_t first_digits(const char *digits)
{
    uint64_t value = 0;
    for (int i = 0; i < 16; i++)
        value = value << 4 | digit_value(digits[i]);
    return value;
}

struct turn {
    char (*fingerprints)[FINGERPRINT_HEX]; /* (count), as they were met */
    struct key_row *order;                 /* (count) */
    size_t count, fingerprint_capacity, order_capacity;
};

static int by_text(const void *a, const void *b, void *context)
{
    const struct key_row *x = a, *y = b;
    const struct turn *t = context;
    return strcmp(t->fingerprints[x->row], t->fingerprints[y->row]);
}

static void take_fingerprint(struct turn *t, const char *digits)
{
    t->fingerprints = grow(t->fingerprints, &t->fingerprint_capacity, t->count + 1, sizeof *t->fingerprints);
    t->order = grow(t->order, &t->order_capacity, t->count + 1, sizeof *t->order);
    memcpy(t->fingerprints[t->count], digits, FINGERPRINT_HEX);
    t->order[t->count] = (struct key_row){first_digits(digits), (uint32_t)t->count};
    t->count++;
}

/* Those whose first eight bits, of `turns` equal ranges, are in range `number`. */
static void take_turn(struct turn *t, const struct row_facts *f, const uint32_t *rows, size_t count, unsigned number,
                      unsigned turns)
{
    t->count = 0;
    for (size_t i = 0; i < count; i++) {
        const char *digits = f->rows[rows ? rows[i] : i].fingerprint;
        if ((digit_value(digits[0]) << 4 | digit_value(digits[1])) / (TURNS_MOST / turns) == number)
            take_fingerprint(t, digits);
        row_facts_walked(f, i + 1);
    }
}

static int hash_turn(struct sha256 *h, struct turn *t, struct error *e)
{
    if (key_rows_sort(t->order, t->count, e))
        return -1;
    for (size_t start = 0, end; start < t->count; start = end) {
        for (end = start + 1; end < t->count && t->order[end].key == t->order[start].key;)
            end++;
        if (end - start > 1)
            qsort_r(t->order + start, end - start, sizeof *t->order, by_text, t);
    }
    for (size_t i = 0; i < t->count; i++)
        sha256_update(h, t->fingerprints[t->order[i].row], FINGERPRINT_HEX);
    return stop_check(e);
}

int row_facts_fingerprint(char text[FINGERPRINT_HEX], const struct row_facts *f, const uint32_t *rows, size_t count,
                          struct error *e)
{
    struct turn turn = {0};
    struct sha256 *h;
    unsigned turns = 1;
    int result = 0;
    while (turns < TURNS_MOST && count / turns > SORTED_AT_ONCE)
        turns *= 2;
    sha256_create(&h);
    for (unsigned i = 0; i < turns && !result; i++) {
        take_turn(&turn, f, rows, count, i, turns);
        result = hash_turn(h, &turn, e);
    }
    sha256_finish(&h, text);
    free(turn.fingerprints);
    free(turn.order);
    return result;
}

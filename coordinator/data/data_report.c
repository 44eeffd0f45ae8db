/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/data_report.h"

#include "common/base/buffer.h"
#include "common/base/memory.h"
#include "common/base/parallel.h"
#include "coordinator/data/check.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TINY_WORDS 10
#define BINS 24
#define ROWS_AT_ONCE 4096

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* By counting, as most are small: sizes of SMALL and more are moved behind the others and sorted alone. */
static void sort_sizes(uint32_t *sizes, size_t count)
{
    enum { SMALL = 65536 };
    size_t *found = allocate(SMALL, sizeof *found), large = 0, at = 0;
    uint32_t *rest = NULL;
    size_t capacity = 0;
    for (size_t i = 0; i < count; i++) {
        if (sizes[i] < SMALL) {
            found[sizes[i]]++;
            continue;
        }
        rest = grow(rest, &capacity, large + 1, sizeof *rest);
        rest[large++] = sizes[i];
    }
    for (uint32_t size = 0; size < SMALL; size++)
        for (size_t k = found[size]; k > 0; k--)
            sizes[at++] = size;
    if (large) {
        qsort(rest, large, sizeof *rest, by_size);
        memcpy(sizes + at, rest, large * sizeof *rest);
    }
    free(rest);
    free(found);
}

/* 1, 2 or 5 times a power of ten, the least that is no less than x. */
static uint32_t round_width(double x)
{
    double power = 1;
    while (power * 10 <= x)
        power *= 10;
    return (uint32_t)(x <= power ? power : x <= 2 * power ? 2 * power : x <= 5 * power ? 5 * power : 10 * power);
}

/* Bins of one width up to the 99th percentile, and one for what is above: [from, to, count], to excluded. */
static struct json *histogram(const uint32_t *sorted, size_t count)
{
    struct json *bins = json_array();
    if (!count)
        return bins;
    uint32_t width = round_width((sorted[(size_t)(0.99 * (double)(count - 1))] + 1.0) / BINS), last = sorted[count - 1];
    size_t i = 0;
    for (uint32_t k = 0; k <= BINS && i < count; k++) {
        uint64_t from = (uint64_t)k * width, to = k < BINS ? from + width : (uint64_t)last + 1;
        size_t start = i;
        while (i < count && sorted[i] < to)
            i++;
        struct json *bin = json_append(bins, json_array());
        json_append(bin, json_of_number((double)from));
        json_append(bin, json_of_number((double)to));
        json_append(bin, json_of_number((double)(i - start)));
    }
    return bins;
}

/* Of a list of sizes, which is sorted here. */
static struct json *distribution(uint32_t *sizes, size_t count)
{
    static const int shares[] = {90, 95, 99};
    struct json *j = json_object();
    double sum = 0;
    sort_sizes(sizes, count);
    for (size_t i = 0; i < count; i++)
        sum += sizes[i];
    json_set_number(j, "mean", count ? round(sum / (double)count * 10) / 10 : 0);
    json_set_number(j, "median", count ? (sizes[(count - 1) / 2] + sizes[count / 2]) / 2.0 : 0);
    for (size_t k = 0; k < sizeof shares / sizeof *shares; k++) {
        char name[8];
        snprintf(name, sizeof name, "p%d", shares[k]);
        json_set_number(j, name, count ? sizes[(size_t)(shares[k] / 100.0 * (double)(count - 1))] : 0);
    }
    json_set_number(j, "max", count ? sizes[count - 1] : 0);
    json_set(j, "bins", histogram(sizes, count));
    return j;
}

static uint32_t characters(const char *text)
{
    uint32_t n = 0;
    for (size_t i = 0, size = strlen(text); i < size; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

struct measuring {
    const struct records *records;
    bool second; /* text */
    uint32_t *words, *characters;
};

static void measure(void *context, size_t begin, size_t end)
{
    const struct measuring *m = context;
    for (size_t i = begin; i < end; i++) {
        const char *text = m->second ? m->records->rows[i].b : m->records->rows[i].a;
        m->words[i] = text_words(text);
        m->characters[i] = characters(text);
    }
    records_walked(m->records, end);
}

static struct json *text_lengths(const struct records *r, bool second)
{
    struct measuring m = {r, second, allocate(r->count, sizeof *m.words), allocate(r->count, sizeof *m.characters)};
    struct json *j = json_object();
    struct error stopped; /* which the caller asks for */
    (void)parallel_blocks(r->count, ROWS_AT_ONCE, measure, &m, &stopped);
    json_set(j, "words", distribution(m.words, r->count));
    json_set(j, "characters", distribution(m.characters, r->count));
    free(m.characters);
    free(m.words);
    return j;
}

static struct json *describe_tokens(const struct token_lengths *lengths, size_t rows, uint32_t max_length)
{
    static const uint32_t limits[] = {512, 1024, 2048, 4096};
    struct json *j = distribution(lengths->tokens, rows); /* sorted from here on */
    struct json *fits = json_set(j, "fits", json_object());
    for (size_t k = 0; k < sizeof limits / sizeof *limits; k++) {
        size_t n = 0;
        char name[16];
        while (n < rows && lengths->tokens[n] <= limits[k])
            n++;
        snprintf(name, sizeof name, "%u", limits[k]);
        json_set_number(fits, name, (double)n / (double)rows);
    }
    json_set_number(j, "max_length", max_length);
    json_set_number(j, "truncated", (double)lengths->truncated);
    json_set_number(j, "first_too_long", (double)lengths->first_too_long);
    return j;
}

/* ---- labels ---- */

static const struct {
    const char *name;
    uint64_t least;
} bands[] = {{"0", 0}, {"1", 1}, {"2-9", 2}, {"10-49", 10}, {"50-99", 50}, {"100-999", 100}, {"1000+", 1000}};
#define BANDS (sizeof bands / sizeof *bands)

static struct json *describe_bands(const uint64_t *counts, size_t labels)
{
    uint64_t found[BANDS] = {0};
    for (size_t c = 0; c < labels; c++) {
        size_t band = BANDS - 1;
        while (counts[c] < bands[band].least)
            band--;
        found[band]++;
    }
    struct json *j = json_object();
    for (size_t k = 0; k < BANDS; k++)
        json_set_number(j, bands[k].name, (double)found[k]);
    return j;
}

static void describe_labels(struct json *check, const struct records *r)
{
    uint64_t *counts = allocate(r->label_count, sizeof *counts);
    for (size_t i = 0; i < r->count; i++) {
        if (r->rows[i].class >= 0)
            counts[r->rows[i].class]++;
        for (uint32_t k = 0; k < r->rows[i].label_count; k++)
            counts[r->rows[i].labels[k]]++;
        records_walked(r, i + 1);
    }
    struct json *list = json_set(check, "labels", json_array());
    for (size_t c = 0; c < r->label_count; c++) {
        struct json *j = json_append(list, json_object());
        json_set_string(j, "name", r->labels[c]);
        json_set_number(j, "count", (double)counts[c]);
        json_set_number(j, "share", r->count ? (double)counts[c] / (double)r->count : 0);
    }
    json_set(check, "label_bands", describe_bands(counts, r->label_count));
    free(counts);
    list = json_set(check, "dropped_labels", json_array());
    for (size_t c = 0; c < r->dropped_label_count; c++)
        json_append(list, json_of_string(r->dropped_labels[c]));
}

/* How many rows have how many labels, from none on; multi-label only. */
static struct json *labels_per_row(const struct records *r)
{
    uint32_t most = 0;
    for (size_t i = 0; i < r->count; i++)
        most = r->rows[i].label_count > most ? r->rows[i].label_count : most;
    uint64_t *rows = allocate(most + 1u, sizeof *rows), sum = 0;
    for (size_t i = 0; i < r->count; i++) {
        rows[r->rows[i].label_count]++;
        sum += r->rows[i].label_count;
        records_walked(r, i + 1);
    }
    struct json *j = json_object(), *list = json_array();
    for (uint32_t k = 0; k <= most; k++)
        json_append(list, json_of_number((double)rows[k]));
    json_set_number(j, "mean", (double)sum / (double)r->count);
    json_set_number(j, "max", most);
    json_set(j, "rows", list);
    free(rows);
    return j;
}

/* ---- rows ---- */

static struct json *field_counts(const struct records *r)
{
    struct json *fields = json_object();
    for (size_t i = 0; i < r->field_count; i++) {
        struct json *j = json_set(fields, r->fields[i].name, json_object());
        json_set_number(j, "missing", (double)r->fields[i].missing);
        json_set_number(j, "dropped", (double)r->dropped[i]);
    }
    return fields;
}

/* Rows that are not the first of those with their root, and among them those whose labels disagree with the first's. */
static struct json *repeats(const struct records *r, const uint32_t *root)
{
    double same = 0, conflicts = 0;
    for (size_t i = 0; i < r->count; i++) {
        same += root[i] != i;
        conflicts += !records_agree(&r->rows[i], &r->rows[root[i]]);
        records_walked(r, i + 1);
    }
    struct json *j = json_object();
    json_set_number(j, "rows", same);
    json_set_number(j, "with_other_label", conflicts);
    return j;
}

static void list_conflicts(struct json *to, const struct records *r, const uint32_t *exact)
{
    struct json *list = json_set(to, "conflicts", json_array());
    for (size_t i = 0; i < r->count && json_size(list) < NEAR_LISTED; i++) {
        records_walked(r, i);
        if (!records_agree(&r->rows[i], &r->rows[exact[i]])) {
            struct json *pair = json_append(list, json_array());
            json_append(pair, json_of_string(r->rows[exact[i]].id));
            json_append(pair, json_of_string(r->rows[i].id));
        }
    }
}

static void list_pairs(struct json *to, const struct records *r, const struct near_duplicates *n)
{
    struct json *list = json_set(to, "pairs", json_array());
    for (size_t i = 0; i < n->listed; i++) {
        struct json *pair = json_append(list, json_object());
        json_set_string(pair, "a", r->rows[n->pairs[i].a].id);
        json_set_string(pair, "b", r->rows[n->pairs[i].b].id);
        json_set_number(pair, "jaccard", round(n->pairs[i].jaccard * 1e4) / 1e4);
    }
}

struct counting {
    const struct records *records;
    atomic_size_t tiny;
};

static void count_tiny(void *context, size_t begin, size_t end)
{
    struct counting *c = context;
    size_t tiny = 0;
    for (size_t i = begin; i < end; i++)
        tiny += text_words(c->records->rows[i].a) + text_words(c->records->rows[i].b) < TINY_WORDS;
    atomic_fetch_add(&c->tiny, tiny);
    records_walked(c->records, end);
}

static double tiny_rows(const struct records *r)
{
    struct counting c = {.records = r};
    struct error stopped; /* which the caller asks for */
    (void)parallel_blocks(r->count, ROWS_AT_ONCE, count_tiny, &c, &stopped);
    return (double)c.tiny;
}

struct json *data_report(const struct job *j, const struct records *r, struct token_lengths *lengths, const uint32_t *exact,
                         const struct near_duplicates *n)
{
    struct json *check = json_object();
    json_set_number(check, "read", (double)r->read);
    json_set_number(check, "kept", (double)r->count);
    json_set(check, "sources", json_copy(r->files));
    json_set_number(check, "without_label", (double)r->without_label);
    json_set_number(check, "rare_only", (double)r->rare_only);
    json_set_number(check, "too_short", (double)r->too_short);
    if (r->by_protocol)
        json_set_number(check, "protocol_left_out", (double)r->protocol_left_out);
    json_set_number(check, "tiny", tiny_rows(r));
    json_set(check, "fields", field_counts(r));
    json_set_number(check, "groups", lengths->groups);
    describe_labels(check, r);
    if (r->label_reading)
        json_set(check, "label_reading", json_copy(r->label_reading));
    if (j->multi)
        json_set(check, "labels_per_row", labels_per_row(r));
    struct json *texts = json_set(check, "lengths", json_object());
    json_set(texts, "text_a", text_lengths(r, false));
    if (j->data.text_b.count)
        json_set(texts, "text_b", text_lengths(r, true));
    json_set(check, "tokens", describe_tokens(lengths, r->count, j->train.max_length));
    list_conflicts(json_set(check, "duplicates", repeats(r, exact)), r, exact);
    list_pairs(json_set(check, "near_duplicates", repeats(r, n->root)), r, n);
    return check;
}

/* ---- for people ---- */

static double number(const struct json *j, const char *key)
{
    return json_number(json_get(j, key));
}

/* One character a bin, by height. */
static void print_bins(const struct json *bins)
{
    static const char *const heights[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    double most = 1;
    for (size_t i = 0; i < json_size(bins); i++)
        most = fmax(most, json_number(json_at(json_at(bins, i), 2)));
    printf("  |");
    for (size_t i = 0; i < json_size(bins); i++)
        printf("%s", heights[(int)ceil(json_number(json_at(json_at(bins, i), 2)) / most * 8)]);
    printf("| by %.0f\n", json_number(json_at(json_at(bins, 0), 1)));
}

static void print_distribution(const char *name, const struct json *j)
{
    printf("  %-22s mean %8.1f   median %8.1f   p95 %6.0f   max %8.0f", name, number(j, "mean"), number(j, "median"),
           number(j, "p95"), number(j, "max"));
    print_bins(json_get(j, "bins"));
}

static void print_lengths(const struct json *check)
{
    const struct json *lengths = json_get(check, "lengths"), *tokens = json_get(check, "tokens"),
                      *fits = json_get(tokens, "fits");
    for (size_t i = 0; i < json_size(lengths); i++) {
        char name[64];
        snprintf(name, sizeof name, "%s, words", json_key(lengths, i));
        print_distribution(name, json_get(json_at(lengths, i), "words"));
        snprintf(name, sizeof name, "%s, characters", json_key(lengths, i));
        print_distribution(name, json_get(json_at(lengths, i), "characters"));
    }
    print_distribution("tokens", tokens);
    printf("  tokens that fit       ");
    for (size_t i = 0; i < json_size(fits); i++)
        printf(" %s: %.1f %% ", json_key(fits, i), 100 * json_number(json_at(fits, i)));
    printf("\n  truncated to %.0f tokens: %.0f rows", number(tokens, "max_length"), number(tokens, "truncated"));
    if (number(tokens, "first_too_long") > 0)
        printf("; in %.0f of them text A alone is too long (text B is dropped and A is truncated)",
               number(tokens, "first_too_long"));
    printf("\n");
}

static void print_per_row(const struct json *per_row)
{
    const struct json *rows = json_get(per_row, "rows");
    size_t count = json_size(rows), shown = count > 8 ? 8 : count;
    if (!per_row)
        return;
    double more = 0;
    printf("  labels per row: mean %.2f, max %.0f; rows with", number(per_row, "mean"), number(per_row, "max"));
    for (size_t k = 0; k < count; k++) {
        if (k < shown)
            printf("%s %zu: %.0f", k ? "," : "", k, json_number(json_at(rows, k)));
        else
            more += json_number(json_at(rows, k));
    }
    if (count > shown)
        printf(", more: %.0f", more);
    printf("\n");
}

static void print_absent(const struct json *labels)
{
    size_t absent = 0, first = 0;
    for (size_t i = 0; i < json_size(labels); i++)
        if (number(json_at(labels, i), "count") == 0 && absent++ == 0)
            first = i;
    if (absent)
        printf("  no row has label '%s'%s: is it spelled otherwise in the data?\n",
               json_string(json_get(json_at(labels, first), "name")),
               absent > 1 ? ", nor some others (check.json has a count of 0)" : "");
}

static void print_reading(const struct json *reading)
{
    const struct json *notes = json_get(reading, "notes");
    if (!reading)
        return;
    printf("  labels read as: %s (%s)\n", json_string(json_get(reading, "form")), json_string(json_get(reading, "values")));
    for (size_t i = 0; i < json_size(notes); i++)
        printf("    note: %s\n", json_string(json_at(notes, i)));
}

static void print_labels(const struct json *check)
{
    const struct json *labels = json_get(check, "labels"), *found = json_get(check, "label_bands");
    size_t count = json_size(labels), shown = count > 12 ? 12 : count;
    print_reading(json_get(check, "label_reading"));
    print_absent(labels);
    for (size_t i = 0; i < shown; i++)
        printf("  label %-16s %8.0f  (%.2f %%)\n", json_string(json_get(json_at(labels, i), "name")),
               number(json_at(labels, i), "count"), 100 * number(json_at(labels, i), "share"));
    if (count > shown) {
        printf("  and %zu more labels (check.json); labels by number of rows:", count - shown);
        for (size_t k = 0; k < json_size(found); k++)
            if (json_number(json_at(found, k)) > 0)
                printf("  %s: %.0f", json_key(found, k), json_number(json_at(found, k)));
        printf("\n");
    }
    print_per_row(json_get(check, "labels_per_row"));
}

static void print_count(const struct json *j, const char *key, const char *words)
{
    if (number(j, key) > 0)
        printf("  %s: %.0f\n", words, number(j, key));
}

static void print_repeats(const struct json *j, const char *words)
{
    if (number(j, "rows") > 0)
        printf("  %s: %.0f rows, with a different label: %.0f\n", words, number(j, "rows"), number(j, "with_other_label"));
}

/* How a file was read, where that can be doubted. */
static void print_source(const struct json *file)
{
    const char *format = json_string(json_get(file, "format"));
    printf("  %s: %s\n", json_string(json_get(file, "path")), format);
    if (number(file, "swallowed_lines") > 0)
        printf("    %.0f quoted cells span lines that would be rows by themselves, first at line %.0f; if quotes are plain "
               "characters there, set data.quotes to \"none\"\n",
               number(file, "swallowed_lines"), number(file, "first_swallowed_line"));
    if (number(file, "repeated_keys") > 0)
        printf("    %.0f repeated keys in objects: the last value of each was taken\n", number(file, "repeated_keys"));
    if (number(file, "nul_characters") > 0 || number(file, "lone_surrogates") > 0)
        printf("    %.0f \\u0000 and %.0f unpaired surrogates in texts: read as U+FFFD\n", number(file, "nul_characters"),
               number(file, "lone_surrogates"));
    if (number(file, "nan_values") > 0)
        printf("    %.0f values NaN, Infinity or -Infinity: read as null\n", number(file, "nan_values"));
}

void data_print_check(const struct json *check)
{
    const struct json *fields = json_get(check, "fields"), *sources = json_get(check, "sources");
    for (size_t i = 0; i < json_size(sources); i++)
        print_source(json_at(sources, i));
    if (json_get(check, "tokenizer"))
        printf("tokenizer: %s\n", json_string(json_get(check, "tokenizer")));
    printf("rows: %.0f read, %.0f kept, in %.0f groups\n", number(check, "read"), number(check, "kept"), number(check, "groups"));
    print_count(check, "without_label", "dropped, without a label");
    if (json_size(json_get(check, "dropped_labels")) > 0)
        printf("  labels dropped as rare (data.min_label_count): %zu, and %.0f rows that had no other\n",
               json_size(json_get(check, "dropped_labels")), number(check, "rare_only"));
    print_count(check, "too_short", "dropped, too few words (data.min_words)");
    print_count(check, "protocol_left_out", "left out by the protocol (split.file)");
    print_count(check, "repeats_dropped", "dropped, repeat another row (data.repeats)");
    print_count(check, "repeats_grouped", "put into the group of a row that they repeat (data.repeats)");
    print_count(check, "tiny", "rows of fewer than 10 words");
    for (size_t i = 0; i < json_size(fields); i++)
        if (number(json_at(fields, i), "missing") > 0)
            printf("  field %s: missing in %.0f rows, %.0f dropped for it\n", json_key(fields, i),
                   number(json_at(fields, i), "missing"), number(json_at(fields, i), "dropped"));
    print_labels(check);
    print_lengths(check);
    print_repeats(json_get(check, "duplicates"), "same text as another row");
    print_repeats(json_get(check, "near_duplicates"), "near duplicate of another row (Jaccard 0.8)");
}

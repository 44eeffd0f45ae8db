/* Owns the check stage: rows file, check.json and its report. */
#include "common/base/buffer.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"
#include "common/base/table.h"
#include "common/format/model_config.h"
#include "coordinator/data.h"
#include "coordinator/tokenize.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT_VERSION "rows 1"

/* Mean, median, max of a list of sizes; the list is sorted. */
static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static struct json *distribution(uint32_t *sizes, size_t count)
{
    struct json *j = json_object();
    double sum = 0;
    qsort(sizes, count, sizeof *sizes, by_size);
    for (size_t i = 0; i < count; i++)
        sum += sizes[i];
    json_set_number(j, "mean", count ? round(sum / (double)count * 10) / 10 : 0);
    json_set_number(j, "median", count ? (sizes[(count - 1) / 2] + sizes[count / 2]) / 2.0 : 0);
    json_set_number(j, "max", count ? sizes[count - 1] : 0);
    return j;
}

static uint32_t characters(const char *text)
{
    uint32_t n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static uint32_t words(const char *composed) /* white space is collapsed: one space between two words */
{
    uint32_t n = *composed != 0;
    for (; *composed; composed++)
        n += *composed == ' ';
    return n;
}

static struct json *text_lengths(const struct records *r, bool second)
{
    uint32_t *sizes = allocate(r->count, sizeof *sizes);
    struct json *j = json_object();
    for (size_t i = 0; i < r->count; i++)
        sizes[i] = words(second ? r->rows[i].b : r->rows[i].a);
    json_set(j, "words", distribution(sizes, r->count));
    for (size_t i = 0; i < r->count; i++)
        sizes[i] = characters(second ? r->rows[i].b : r->rows[i].a);
    json_set(j, "characters", distribution(sizes, r->count));
    free(sizes);
    return j;
}

static struct json *label_counts(const struct records *r)
{
    uint64_t *counts = allocate(r->label_count, sizeof *counts);
    for (size_t i = 0; i < r->count; i++)
        for (size_t c = 0; c < r->label_count; c++)
            counts[c] += r->rows[i].targets ? r->rows[i].targets[c] != 0 : r->rows[i].class == (int32_t)c;
    struct json *list = json_array();
    for (size_t c = 0; c < r->label_count; c++) {
        struct json *j = json_append(list, json_object());
        json_set_text(j, "name", r->labels[c]);
        json_set_number(j, "count", (double)counts[c]);
        json_set_number(j, "share", r->count ? (double)counts[c] / (double)r->count : 0);
    }
    free(counts);
    return list;
}

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

/* Rows whose composed texts are the same, and among them those whose labels disagree with the first's. */
static struct json *duplicates(const struct records *r)
{
    struct table *seen;
    struct arena *keys;
    table_create(&seen);
    arena_create(&keys);
    uint32_t *first = allocate(r->count, sizeof *first);
    struct buffer key = {0};
    double same = 0, conflicts = 0;
    for (size_t i = 0; i < r->count; i++) {
        const struct record *row = &r->rows[i];
        buffer_clear(&key);
        buffer_printf(&key, "%s\x1f%s", row->a, row->b ? row->b : "");
        size_t known = table_count(seen);
        uint32_t number = table_find(seen, key.data);
        if (number == TABLE_ABSENT) {
            table_add(seen, arena_text(keys, key.data, key.size));
            first[known] = (uint32_t)i;
            continue;
        }
        const struct record *other = &r->rows[first[number]];
        same++;
        conflicts += row->targets ? memcmp(row->targets, other->targets, r->label_count * sizeof *row->targets) != 0
                                  : row->class != other->class;
    }
    buffer_free(&key);
    free(first);
    arena_destroy(&keys);
    table_destroy(&seen);
    struct json *j = json_object();
    json_set_number(j, "rows", same);
    json_set_number(j, "with_other_label", conflicts);
    return j;
}

static size_t group_count(const struct records *r)
{
    struct table *groups;
    table_create(&groups);
    for (size_t i = 0; i < r->count; i++)
        table_add(groups, r->rows[i].group);
    size_t count = table_count(groups);
    table_destroy(&groups);
    return count;
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

/* The input files; where the data comes already split, its files are its parts. */
struct inputs {
    size_t count;
    const char *path[PART_COUNT];
    char sha256[PART_COUNT][SHA256_TEXT];
    uint32_t rows[PART_COUNT]; /* kept */
};

static struct inputs inputs_of_job(const struct job *j)
{
    if (j->data.path)
        return (struct inputs){.count = 1, .path = {j->data.path}};
    return (struct inputs){.count = PART_COUNT, .path = {j->data.train_path, j->data.validation_path, j->data.test_path}};
}

static struct json *describe_inputs(const struct inputs *in)
{
    struct json *files = json_array();
    for (size_t i = 0; i < in->count; i++) {
        struct json *file = json_append(files, json_object());
        json_set_text(file, "path", in->path[i]);
        json_set_text(file, "sha256", in->sha256[i]);
        json_set_number(file, "rows", in->rows[i]);
    }
    return files;
}

/* What rows are made of: the files' content, the part of the job that shapes rows, and the tokenizer. */
static int hash_inputs(char hash[SHA256_TEXT], struct inputs *in, const struct job *j, const struct tokenizer *t, struct error *e)
{
    static const char *const places[] = {"path", "train_path", "validation_path", "test_path"};
    for (size_t i = 0; i < in->count; i++)
        if (sha256_file(in->path[i], in->sha256[i], e))
            return -1;
    struct json *data = json_copy(json_get(j->resolved, "data"));
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (json_get(data, places[i]))
            json_set(data, places[i], json_null()); /* the content counts, not where it lies */
    char *spec = json_print(data, false);
    struct buffer all = {0};
    buffer_printf(&all, FORMAT_VERSION " %s %d %u %d %s", spec, j->multi, j->train.max_length, (int)j->train.truncation,
                  tokenizer_sha256(t));
    for (size_t i = 0; i < in->count; i++)
        buffer_printf(&all, " %s", in->sha256[i]);
    sha256_bytes(all.data, all.size, hash);
    buffer_free(&all);
    free(spec);
    json_destroy(&data);
    return 0;
}

static struct input input_of_job(const struct job *j)
{
    return (struct input){.id = j->data.id,
                          .group = j->data.group,
                          .label = j->data.label,
                          .text_a = j->data.text_a,
                          .text_b = j->data.text_b,
                          .required = j->data.required,
                          .labels = j->data.labels,
                          .joiner = j->data.joiner,
                          .multi = j->multi};
}

static struct json *report(const struct job *j, const struct records *r, const struct token_lengths *lengths)
{
    struct json *check = json_object();
    json_set_number(check, "read", (double)r->read);
    json_set_number(check, "kept", (double)r->count);
    json_set_number(check, "without_label", (double)r->without_label);
    json_set(check, "fields", field_counts(r));
    json_set_number(check, "groups", (double)group_count(r));
    json_set(check, "labels", label_counts(r));
    struct json *texts = json_set(check, "lengths", json_object());
    json_set(texts, "text_a", text_lengths(r, false));
    if (j->data.text_b.count)
        json_set(texts, "text_b", text_lengths(r, true));
    json_set(check, "tokens", describe_tokens(lengths, r->count, j->train.max_length));
    json_set(check, "duplicates", duplicates(r));
    return check;
}

/* One class is no classification; a blank report would hide it until the first F1 of 0. */
static int check_labels(const struct job *j, const struct records *r, struct error *e)
{
    if (!j->multi && r->label_count < 2)
        return error_set(e, ERROR_DATA, "%s: field '%s' has one label only, '%s'; a classifier needs two",
                         j->data.path ? j->data.path : j->data.train_path, j->data.label, r->labels[0]);
    return 0;
}

static char *rows_path(const struct job *j, const char *hash)
{
    return format_text("%s/tokens/%.16s.rows", j->out, hash);
}

/* Cleans, tokenises, reports; *ret is the new check.json. */
static int make_rows(struct json **ret, const struct job *j, const struct tokenizer *t, struct inputs *in, const char *path,
                     struct error *e)
{
    struct records records;
    struct input input = input_of_job(j);
    if (records_read(&records, in->path, in->count, &input, false, e))
        return -1;
    struct token_lengths lengths = {.tokens = allocate(records.count, sizeof *lengths.tokens)};
    int result = check_labels(j, &records, e);
    if (!result)
        result = tokenize_records(path, &records, t, j->train.max_length, j->train.truncation, (uint32_t)records.label_count,
                                  j->multi, &lengths, e);
    if (!result) {
        for (size_t i = 0; i < records.count; i++)
            in->rows[records.rows[i].file]++;
        *ret = report(j, &records, &lengths);
    }
    free(lengths.tokens);
    records_free(&records);
    return result;
}

/* *check is the report that is there and still true, or NULL. */
static void load_check(struct json **check, const char *path, const char *hash, const char *rows)
{
    struct error ignored;
    *check = NULL;
    if (!file_exists(path) || !file_exists(rows) || json_read(check, path, &ignored))
        return;
    const char *made_from = json_text(json_get(*check, "made_from"));
    if (!made_from || strcmp(made_from, hash))
        json_destroy(check);
}

/* The report and the place of the rows file, made unless they are there. */
static int provide(struct json **check, char **rows, const struct job *j, struct error *e)
{
    char hash[SHA256_TEXT], *path = path_join(j->out, "check.json"), *folder = path_join(j->out, "tokens"), *model = NULL;
    struct tokenizer *tokenizer = NULL;
    struct inputs in = inputs_of_job(j);
    int result = -1;
    *rows = NULL;
    if (model_folder_find(&model, j->model, e) || tokenizer_open(&tokenizer, model, e) ||
        hash_inputs(hash, &in, j, tokenizer, e) || folder_create(folder, e))
        goto done;
    *rows = rows_path(j, hash);
    load_check(check, path, hash, *rows);
    if (*check) {
        result = 0;
        goto done;
    }
    if (make_rows(check, j, tokenizer, &in, *rows, e))
        goto done;
    json_set_text(*check, "made_from", hash);
    json_set(*check, "files", describe_inputs(&in));
    result = json_write(path, *check, e);
    if (result)
        json_destroy(check);
done:
    if (result) {
        free(*rows);
        *rows = NULL;
    }
    tokenizer_close(&tokenizer);
    free(model);
    free(folder);
    free(path);
    return result;
}

int data_check(const struct job *j, struct error *e)
{
    struct json *check;
    char *rows;
    if (provide(&check, &rows, j, e))
        return -1;
    json_destroy(&check);
    free(rows);
    return 0;
}

int data_open(struct dataset **ret, struct json **check, const struct job *j, struct error *e)
{
    char *rows;
    struct json *found;
    if (provide(&found, &rows, j, e))
        return -1;
    int result = dataset_open(ret, rows, e);
    free(rows);
    if (result)
        json_destroy(&found);
    else
        *check = found;
    return result;
}

static double number(const struct json *j, const char *key)
{
    return json_number(json_get(j, key));
}

static void print_distribution(const char *name, const struct json *j)
{
    printf("  %-22s mean %8.1f   median %8.1f   max %8.0f\n", name, number(j, "mean"), number(j, "median"), number(j, "max"));
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
    printf("\n  cut to %.0f tokens: %.0f rows", number(tokens, "max_length"), number(tokens, "truncated"));
    if (number(tokens, "first_too_long") > 0)
        printf("; text A alone is too long in %.0f (text B is dropped there and A is cut)", number(tokens, "first_too_long"));
    printf("\n");
}

static void print_labels(const struct json *labels)
{
    size_t count = json_size(labels), shown = count > 12 ? 12 : count;
    for (size_t i = 0; i < shown; i++)
        printf("  label %-16s %8.0f  (%.2f %%)\n", json_text(json_get(json_at(labels, i), "name")),
               number(json_at(labels, i), "count"), 100 * number(json_at(labels, i), "share"));
    if (count > shown)
        printf("  and %zu more labels (check.json)\n", count - shown);
}

void data_print_check(const struct json *check)
{
    const struct json *fields = json_get(check, "fields"), *same = json_get(check, "duplicates");
    printf("rows: %.0f read, %.0f kept, in %.0f groups\n", number(check, "read"), number(check, "kept"), number(check, "groups"));
    if (number(check, "without_label") > 0)
        printf("  dropped: %.0f without a label\n", number(check, "without_label"));
    for (size_t i = 0; i < json_size(fields); i++)
        if (number(json_at(fields, i), "missing") > 0)
            printf("  field %s: missing in %.0f, dropped for it %.0f\n", json_key(fields, i),
                   number(json_at(fields, i), "missing"), number(json_at(fields, i), "dropped"));
    print_labels(json_get(check, "labels"));
    print_lengths(check);
    if (number(same, "rows") > 0)
        printf("  rows that repeat the text of another: %.0f, with another label: %.0f\n", number(same, "rows"),
               number(same, "with_other_label"));
}

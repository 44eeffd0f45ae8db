/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/tokenize.h"

#include "common/base/memory.h"
#include "common/format/dataset.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ROWS_AT_ONCE 4096

struct tokenizing {
    const struct records *records;
    const struct tokenizer *tokenizer;
    uint32_t max_length;
    enum truncation truncation;
    struct dataset_writer *writer;
    struct token_lengths *lengths; /* NULL: not wanted */
    float *targets;                /* (labels) of one row; NULL unless multi-label */
};

static const float *targets_of(const struct tokenizing *t, const struct record *row)
{
    if (!t->targets)
        return NULL;
    memset(t->targets, 0, t->records->label_count * sizeof *t->targets);
    for (uint32_t k = 0; k < row->label_count; k++)
        t->targets[row->labels[k]] = 1;
    return t->targets;
}

static int write_row(const struct tokenizing *t, size_t i, const struct pair *p, struct error *e)
{
    const struct record *row = &t->records->rows[i];
    struct token_row tokens = {p->tokens.ids, (uint32_t)p->tokens.count, p->first};
    if (dataset_writer_append(t->writer, row->id, row->group, row->class, targets_of(t, row), tokens, e))
        return -1;
    if (!t->lengths)
        return 0;
    t->lengths->truncated += p->truncated;
    t->lengths->first_too_long += p->first_too_long;
    t->lengths->tokens[i] = (uint32_t)p->tokens.count;
    if (p->truncated) {
        struct pair whole = {0};
        pair_encode(&whole, t->tokenizer, row->a, strlen(row->a), row->b, row->b ? strlen(row->b) : 0, UINT32_MAX,
                    TRUNCATE_LONGEST_FIRST);
        t->lengths->tokens[i] = (uint32_t)whole.tokens.count;
        token_list_free(&whole.tokens);
    }
    return 0;
}

static int tokenize_some(const struct tokenizing *t, size_t start, size_t count, int threads, struct error *e)
{
    const char **a = allocate(count, sizeof *a), **b = allocate(count, sizeof *b);
    struct pair *pairs = allocate(count, sizeof *pairs);
    for (size_t i = 0; i < count; i++) {
        a[i] = t->records->rows[start + i].a;
        b[i] = t->records->rows[start + i].b;
    }
    int result = pair_encode_all(pairs, t->tokenizer, a, b[0] ? b : NULL, count, t->max_length, t->truncation, threads, e);
    for (size_t i = 0; i < count; i++) {
        if (!result)
            result = write_row(t, start + i, &pairs[i], e);
        token_list_free(&pairs[i].tokens);
    }
    free(pairs);
    free(b);
    free(a);
    return result;
}

int tokenize_records(const char *path, const struct records *r, const struct tokenizer *tokenizer, uint32_t max_length,
                     enum truncation truncation, uint32_t labels, bool multi, struct token_lengths *lengths, struct error *e)
{
    struct tokenizing t = {r, tokenizer, max_length, truncation, NULL, lengths, NULL};
    int threads = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (dataset_writer_create(&t.writer, path, labels, multi, e))
        return -1;
    if (multi && labels)
        t.targets = allocate(r->label_count, sizeof *t.targets);
    int result = 0;
    for (size_t start = 0; start < r->count && !result; start += ROWS_AT_ONCE) {
        size_t left = r->count - start;
        result = tokenize_some(&t, start, left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE, threads, e);
    }
    free(t.targets);
    if (!result)
        return dataset_writer_commit(&t.writer, e);
    dataset_writer_destroy(&t.writer);
    return -1;
}

/* ---- rows of any file, by a bundle's input composition ---- */

static struct text_fields names_of(const struct json *list)
{
    struct text_fields fields = {.names = allocate(json_size(list), sizeof(char *)), .count = json_size(list)};
    for (size_t i = 0; i < fields.count; i++)
        fields.names[i] = duplicate(json_string(json_at(list, i)));
    return fields;
}

static void names_free(struct text_fields *fields)
{
    for (size_t i = 0; i < fields->count; i++)
        free(fields->names[i]);
    free(fields->names);
}

int data_tokenize_file(const char *path_in, const struct json *inference_config, const struct tokenizer *t, const char *path,
                       bool need_labels, struct error *e)
{
    const struct json *spec = json_get(inference_config, "input");
    const char *truncation = json_string(json_get(inference_config, "truncation"));
    double max_length = json_number(json_get(inference_config, "max_length"));
    if (json_type(spec) != JSON_OBJECT || !truncation || !(max_length >= 4 && max_length <= 1e6))
        return error_set(e, ERROR_DATA,
                         "inference_config.json: has no input, truncation or max_length; publish the bundle again");
    struct input in = {.id = json_string(json_get(spec, "id")),
                       .label = need_labels ? json_string(json_get(spec, "label")) : NULL,
                       .label_columns = names_of(need_labels ? json_get(spec, "label") : NULL),
                       .text_a = names_of(json_get(spec, "text_a")),
                       .text_b = names_of(json_get(spec, "text_b")),
                       .required = names_of(json_get(spec, "required")),
                       .labels = names_of(json_get(spec, "labels")),
                       .ignored = names_of(json_get(spec, "dropped_labels")),
                       .label_separator = json_string(json_get(spec, "label_separator")),
                       .label_form = json_string(json_get(spec, "label_form")),
                       .word_limits = json_get(spec, "word_limits"),
                       .joiner = json_string(json_get(spec, "joiner")),
                       .multi = json_boolean(json_get(spec, "multi"))};
    struct records records = {0};
    enum truncation how = TRUNCATE_ONLY_SECOND;
    for (int k = 0; truncation_names[k]; k++)
        if (!strcmp(truncation, truncation_names[k]))
            how = (enum truncation)k;
    const char *paths[1] = {path_in};
    int result = records_read(&records, paths, 1, &in, !need_labels, e);
    if (!result)
        result = tokenize_records(path, &records, t, (uint32_t)max_length, how, need_labels ? (uint32_t)records.label_count : 0,
                                  in.multi, NULL, e);
    records_free(&records);
    names_free(&in.text_a);
    names_free(&in.text_b);
    names_free(&in.required);
    names_free(&in.label_columns);
    names_free(&in.labels);
    names_free(&in.ignored);
    return result;
}

char *data_rows_path(const char *directory, const char *made_from)
{
    return format_string("%s/tokens/%.16s.rows", directory, made_from);
}

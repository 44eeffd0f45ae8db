/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/data/tokenize.h"

#include "common/base/buffer.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/meter.h"
#include "common/base/parallel.h"
#include "common/base/stop.h"
#include "common/format/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_AT_ONCE 1024
#define SLOTS_A_THREAD 4

struct tokenizing {
    const struct records *records;
    const struct tokenizer *tokenizer;
    uint32_t max_length;
    enum truncation truncation;
    size_t taken; /* rows */
    struct dataset_writer *writer;
    struct token_lengths *lengths; /* NULL: not wanted */
    float *targets;                /* (labels) of one row; NULL unless multi-label */
};

struct encoded_row {
    size_t end; /* of its tokens among those of the slot */
    uint32_t first, whole;
    bool truncated, first_too_long;
};

/* Rows that are encoded while those before them are written. */
struct encoded {
    size_t start, count;
    struct encoded_row rows[ROWS_AT_ONCE];
    struct token_list tokens;
    struct pair scratch;
};

static bool take_rows(void *context, void *slot)
{
    struct tokenizing *t = context;
    struct encoded *block = slot;
    block->count = ordered_block(&block->start, &t->taken, t->records->count, ROWS_AT_ONCE);
    return block->count > 0;
}

static void encode_row(const struct tokenizing *t, struct encoded *block, size_t i)
{
    const struct record *row = &t->records->rows[block->start + i];
    struct pair *p = &block->scratch;
    size_t a = strlen(row->a), b = row->b ? strlen(row->b) : 0, before = block->tokens.count;
    pair_encode(p, t->tokenizer, row->a, a, row->b, b, t->max_length, t->truncation);
    token_list_reserve(&block->tokens, before + p->tokens.count);
    if (p->tokens.count)
        memcpy(block->tokens.ids + before, p->tokens.ids, p->tokens.count * sizeof *p->tokens.ids);
    block->tokens.count = before + p->tokens.count;
    block->rows[i] = (struct encoded_row){.end = block->tokens.count,
                                          .first = p->first,
                                          .whole = (uint32_t)p->tokens.count,
                                          .truncated = p->truncated,
                                          .first_too_long = p->first_too_long};
    if (!p->truncated || !t->lengths)
        return;
    pair_encode(p, t->tokenizer, row->a, a, row->b, b, UINT32_MAX, TRUNCATE_LONGEST_FIRST);
    block->rows[i].whole = (uint32_t)p->tokens.count;
}

static void encode_rows(void *context, void *slot)
{
    struct encoded *block = slot;
    block->tokens.count = 0;
    for (size_t i = 0; i < block->count; i++)
        encode_row(context, block, i);
    records_walked(((const struct tokenizing *)context)->records, block->start + block->count);
}

static const float *targets_of(const struct tokenizing *t, const struct record *row)
{
    if (!t->targets)
        return NULL;
    memset(t->targets, 0, t->records->label_count * sizeof *t->targets);
    for (uint32_t k = 0; k < row->label_count; k++)
        t->targets[row->labels[k]] = 1;
    return t->targets;
}

static int write_rows(const struct tokenizing *t, const struct encoded *block, struct error *e)
{
    size_t start = 0;
    for (size_t i = 0; i < block->count; i++) {
        const struct record *row = &t->records->rows[block->start + i];
        const struct encoded_row *found = &block->rows[i];
        const struct token_row tokens = {block->tokens.ids + start, (uint32_t)(found->end - start), found->first};
        if (dataset_writer_append(t->writer, row->id, row->group, row->class, targets_of(t, row), tokens, e))
            return -1;
        start = found->end;
        if (!t->lengths)
            continue;
        t->lengths->truncated += found->truncated;
        t->lengths->first_too_long += found->first_too_long;
        t->lengths->tokens[block->start + i] = found->whole;
    }
    return 0;
}

static int tokenize_all(struct tokenizing *t, struct error *e)
{
    int threads = parallel_threads(), result = 0;
    size_t slot_count = SLOTS_A_THREAD * (size_t)threads;
    struct encoded *slots = allocate(slot_count, sizeof *slots);
    const struct encoded *block;
    struct ordered *ahead;
    struct meter meter;
    meter_begin(&meter, "tokenizing", "rows", t->records->count);
    ordered_create(&ahead, &(struct ordered_work){take_rows, encode_rows, t, threads}, slots, slot_count, sizeof *slots);
    while (result == 0 && (block = ordered_next(ahead)) != NULL) {
        result = stop_check(e) ? -1 : write_rows(t, block, e);
        meter_add(&meter, block->count);
    }
    ordered_destroy(&ahead);
    for (size_t i = 0; i < slot_count; i++) {
        token_list_free(&slots[i].tokens);
        token_list_free(&slots[i].scratch.tokens);
    }
    free(slots);
    return result == 0 ? stop_check(e) : result;
}

int tokenize_records(const char *path, const struct records *r, const struct tokenizer *tokenizer, uint32_t max_length,
                     enum truncation truncation, uint32_t labels, bool multi, struct token_lengths *lengths, struct error *e)
{
    struct tokenizing t = {
        .records = r, .tokenizer = tokenizer, .max_length = max_length, .truncation = truncation, .lengths = lengths};
    if (dataset_writer_create(&t.writer, path, labels, multi, e))
        return -1;
    if (multi && labels)
        t.targets = allocate(r->label_count, sizeof *t.targets);
    int result = tokenize_all(&t, e);
    free(t.targets);
    if (lengths)
        lengths->groups = dataset_writer_groups(t.writer);
    if (!result)
        return dataset_writer_commit(&t.writer, e);
    dataset_writer_destroy(&t.writer);
    return -1;
}

/* ---- rows of any file, by a bundle's input composition ---- */

/* What a field of the bundle is called in the file. */
static const char *column_of(const char *field, const struct input_options *o)
{
    const char *column = field;
    for (size_t i = 0; field && i < o->name_count; i++)
        if (!strcmp(o->names[i].field, field))
            column = o->names[i].column;
    return column;
}

static struct text_fields names_of(const struct json *list, const struct input_options *o)
{
    struct text_fields fields = {.names = allocate(json_size(list), sizeof(char *)), .count = json_size(list)};
    for (size_t i = 0; i < fields.count; i++)
        fields.names[i] = duplicate(column_of(json_string(json_at(list, i)), o));
    return fields;
}

static void names_free(struct text_fields *fields)
{
    for (size_t i = 0; i < fields->count; i++)
        free(fields->names[i]);
    free(fields->names);
}

static struct json *limits_of(const struct json *limits, const struct input_options *o)
{
    struct json *renamed = json_object();
    for (size_t i = 0; i < json_size(limits); i++)
        json_set(renamed, column_of(json_key(limits, i), o), json_copy(json_at(limits, i)));
    return renamed;
}

static bool holds(const struct json *list, const char *name)
{
    for (size_t i = 0; i < json_size(list); i++)
        if (json_string(json_at(list, i)) && !strcmp(json_string(json_at(list, i)), name))
            return true;
    return false;
}

/* A renamed field has to be one that the bundle reads. */
static int check_names(const struct json *spec, const struct input_options *o, struct error *e)
{
    static const char *const lists[] = {"text_a", "text_b", "required"}, *const single[] = {"id", "label"};
    for (size_t k = 0; k < o->name_count; k++) {
        bool found = false;
        struct buffer all = {0};
        for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
            const struct json *list = json_get(spec, lists[i]);
            found = found || holds(list, o->names[k].field);
            for (size_t n = 0; i < 2 && n < json_size(list); n++)
                buffer_printf(&all, "%s, ", json_string(json_at(list, n)));
        }
        for (size_t i = 0; i < sizeof single / sizeof *single; i++) {
            const char *name = json_string(json_get(spec, single[i]));
            found = found || (name && !strcmp(name, o->names[k].field));
            buffer_printf(&all, "%s%s", name ? name : "", name && i == 0 ? ", " : "");
        }
        if (!found)
            error_set(e, ERROR_USAGE, "--field: the bundle reads no field '%s'; it reads: %s", o->names[k].field, all.data);
        buffer_free(&all);
        if (!found)
            return -1;
    }
    return 0;
}

/* A job's keys are the options of the verbs that read a file. */
static void name_options(struct error *e)
{
    static const char *const words[][2] = {{"set data.quotes to \"none\"", "give --quotes none"},
                                           {"set data.encoding to \"utf-16le\"", "give --encoding utf-16le"},
                                           {"set data.encoding to \"utf-16\"", "give --encoding utf-16"},
                                           {"set data.encoding to the file's own", "give --encoding with the file's own"},
                                           {"set data.encoding to what it is", "give --encoding with what it is"},
                                           {"data.encoding: ", "--encoding: "},
                                           {"check data.required and data.label", "--field reads a field from another column"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char *at = strstr(e->message, words[i][0]);
        if (!at)
            continue;
        char *changed = format_string("%.*s%s%s", (int)(at - e->message), e->message, words[i][1], at + strlen(words[i][0]));
        snprintf(e->message, sizeof e->message, "%s", changed);
        free(changed);
    }
}

static void tell_bad_rows(const char *path, struct bad_rows *bad)
{
    name_options(&bad->first);
    struct buffer lines = {0};
    size_t shown = bad->count < BAD_LINES_MOST ? bad->count : BAD_LINES_MOST;
    for (size_t i = 0; i < shown; i++)
        buffer_printf(&lines, "%s%u", i ? ", " : "", bad->lines[i]);
    log_warn("%s: %llu bad row%s skipped (line%s %s%s); the first: %s", path, (unsigned long long)bad->count,
             bad->count == 1 ? " was" : "s were", bad->count == 1 ? "" : "s", lines.data, bad->count > shown ? ", ..." : "",
             bad->first.message);
    buffer_free(&lines);
}

static void tell_left_out(const char *path, const struct records *r)
{
    uint64_t count = r->without_label;
    for (size_t i = 0; i < r->field_count; i++)
        count += r->dropped[i];
    if (count)
        log_warn("%s: %llu of %llu rows are left out: they lack a label or a required field", path, (unsigned long long)count,
                 (unsigned long long)r->read);
}

/* A field that is not in the file counts as empty; it may also be a field of another name. */
static void tell_absent(const char *path, const struct records *r)
{
    for (size_t i = 0; i < r->field_count; i++)
        if (!r->fields[i].present)
            log_warn("%s: no row has the optional field '%s': it is taken as empty", path, r->fields[i].name);
}

static bool has_label(const struct input *in)
{
    return in->label || in->label_columns.count;
}

int data_read_rows(struct records *ret, const char *path, const struct bundle_input *b, struct error *e)
{
    const struct input *in = &b->input;
    if (records_read(ret, &path, 1, in, !has_label(in), e)) {
        name_options(e);
        return -1;
    }
    if (!in->table.lines_before)
        tell_absent(path, ret);
    tell_left_out(path, ret);
    if (ret->bad.count)
        tell_bad_rows(path, &ret->bad);
    return 0;
}

int bundle_input_read(struct bundle_input *ret, const struct json *inference_config, bool need_labels,
                      const struct input_options *o, struct error *e)
{
    static const struct input_options as_they_are;
    const struct json *spec = json_get(inference_config, "input");
    const char *truncation = json_string(json_get(inference_config, "truncation"));
    double max_length = json_number(json_get(inference_config, "max_length"));
    if (json_type(spec) != JSON_OBJECT || !truncation || !(max_length >= 4 && max_length <= 1e6))
        return error_set(e, ERROR_DATA,
                         "inference_config.json: has no input, truncation or max_length; publish the bundle again");
    if (check_names(spec, o, e))
        return -1;
    struct bundle_input b = {.max_length = (uint32_t)max_length, .truncation = TRUNCATE_ONLY_SECOND};
    b.limits = limits_of(json_get(spec, "word_limits"), o);
    b.input = (struct input){.id = column_of(json_string(json_get(spec, "id")), o),
                             .label = need_labels ? column_of(json_string(json_get(spec, "label")), o) : NULL,
                             .label_columns = names_of(need_labels ? json_get(spec, "label") : NULL, &as_they_are),
                             .text_a = names_of(json_get(spec, "text_a"), o),
                             .text_b = names_of(json_get(spec, "text_b"), o),
                             .required = names_of(json_get(spec, "required"), o),
                             .labels = names_of(json_get(spec, "labels"), &as_they_are),
                             .ignored = names_of(json_get(spec, "dropped_labels"), &as_they_are),
                             .label_separator = json_string(json_get(spec, "label_separator")),
                             .label_form = json_string(json_get(spec, "label_form")),
                             .word_limits = b.limits,
                             .joiner = json_string(json_get(spec, "joiner")),
                             .multi = json_boolean(json_get(spec, "multi")),
                             .table = o->table,
                             .id_optional = true,
                             .fields_optional = true,
                             .skip_bad = o->skip_bad};
    for (int k = 0; truncation_names[k]; k++)
        if (!strcmp(truncation, truncation_names[k]))
            b.truncation = (enum truncation)k;
    *ret = b;
    return 0;
}

void bundle_input_free(struct bundle_input *b)
{
    json_destroy(&b->limits);
    names_free(&b->input.text_a);
    names_free(&b->input.text_b);
    names_free(&b->input.required);
    names_free(&b->input.label_columns);
    names_free(&b->input.labels);
    names_free(&b->input.ignored);
    *b = (struct bundle_input){0};
}

int data_tokenize_file(const char *path_in, const struct json *inference_config, const struct tokenizer *t, const char *path,
                       bool need_labels, const struct input_options *o, struct error *e)
{
    struct bundle_input b;
    if (bundle_input_read(&b, inference_config, need_labels, o, e))
        return -1;
    struct records records = {0};
    int result = data_read_rows(&records, path_in, &b, e);
    if (!result)
        result = tokenize_records(path, &records, t, b.max_length, b.truncation,
                                  has_label(&b.input) ? (uint32_t)records.label_count : 0, b.input.multi, NULL, e);
    records_free(&records);
    bundle_input_free(&b);
    return result;
}

char *data_rows_path(const char *directory, const char *made_from)
{
    return format_string("%s/tokens/%.16s.rows", directory, made_from);
}

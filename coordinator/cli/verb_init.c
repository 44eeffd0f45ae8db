/* SPDX-License-Identifier: Apache-2.0 */
/* muster init: looks at somebody's data and writes a job that runs on it, with the reason for each choice on the screen. */
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/format/model_config.h"
#include "common/format/stream.h"
#include "coordinator/cli/init_memory.h"
#include "coordinator/cli/init_split.h"
#include "coordinator/cli/verbs.h"
#include "coordinator/data/data_problems.h"
#include "coordinator/data/guess.h"
#include "coordinator/data/records.h"
#include "coordinator/data/row_facts.h"
#include "coordinator/job/job_paths.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LABELS_WRITTEN 64

const struct option init_options[] = {
    {"output", 'o', "FILE", "job.json", "job file to write"},
    {"model", 0, "NAME", NULL, "directory of a Hugging Face model, or a Hub name; default: a placeholder"},
    {"label", 0, "FIELD", NULL, "field with the label; default: the most likely one"},
    {"force", 0, NULL, NULL, "overwrite an existing file"},
    {NULL},
};

/* What goes into the job: the guesses, and what reading the rows by them shows. */
struct draft {
    const char *data, *model;
    struct init_files files; /* of data that comes already split */
    struct init_parts parts; /* where there is a column of parts */
    const char *output;      /* job file, whose directory paths are relative to */
    struct guess g;
    struct records records;
    uint64_t *label_rows; /* (labels) */
    uint32_t least;       /* data.min_label_count */
    uint32_t p50, p95, longest /* tokens of a row, estimated */, limit /* of the model; 0: not known */;
    char *directory;            /* of the model; NULL: it is not here */
    uint32_t width, vocabulary; /* of the model; 0: not known */
    struct json *job, *section;
};

static void because(const char *key, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void because(const char *key, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("  %-22s ", key);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

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

static void measure_lengths(struct draft *d)
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

static void count_labels(struct draft *d)
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

/* Reads the rows as a run will. */
static int read_rows(struct draft *d, struct error *e)
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
    const char *const paths[PART_COUNT] = {d->files.paths[0], d->files.paths[1], d->files.paths[2]};
    int result = d->files.paths[0] ? records_read(&d->records, paths, PART_COUNT, &in, false, e)
                                   : records_read(&d->records, &d->data, 1, &in, false, e);
    names_free(&in.label_columns);
    names_free(&in.text_a);
    names_free(&in.text_b);
    names_free(&in.required);
    if (result)
        return -1;
    count_labels(d);
    measure_lengths(d);
    return 0;
}

static struct json *list_of(const struct guess *g, const size_t *list, size_t count)
{
    struct json *names = json_array();
    for (size_t i = 0; i < count; i++)
        json_append(names, json_of_string(guess_name(g, list[i])));
    return names;
}

static void print_list(const char *key, const struct guess *g, const size_t *list, size_t count, const char *why)
{
    printf("  %-22s ", key);
    for (size_t i = 0; i < count; i++)
        printf("%s%s (%.0f words)", i ? ", " : "", guess_name(g, list[i]), guess_words(g, list[i]));
    printf("%s%s\n", why ? ": " : "", why ? why : "");
}

/* ---- name, model, task ---- */

static char *job_name(const char *data)
{
    const char *slash = strrchr(data, '/'), *from = slash ? slash + 1 : data;
    size_t size = stream_name_size(from);
    for (size_t i = size; i > 0; i--)
        if (from[i - 1] == '.') {
            size = i - 1;
            break;
        }
    char *name = format_string("%.*s", (int)size, from);
    for (char *c = name; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *c))
            *c = '_';
    if (name[0] == '.' || name[0] == '-' || !name[0]) {
        free(name);
        name = duplicate("job");
    }
    return name;
}

/* As the job file has to call it. */
static void set_path(const struct draft *d, struct json *to, const char *key, const char *path, bool is_path)
{
    char *directory = path_directory(d->output);
    char *name = strchr(d->output, '/') && is_path && path[0] != '/' ? path_from(directory, path) : duplicate(path);
    json_set_string(to, key, name);
    free(name);
    free(directory);
}

static int choose_model(struct draft *d, struct error *e)
{
    char *directory = NULL;
    struct model_config config;
    struct error absent;
    if (!d->model) {
        d->model = d->g.foreign > 0.05 ? "google-bert/bert-base-multilingual-cased" : "google-bert/bert-base-uncased";
        because("model", "%s: a placeholder for %s; --model accepts any BERT", d->model,
                d->g.foreign > 0.05 ? "texts not only in English" : "English");
    } else {
        because("model", "%s: as given by --model", d->model);
    }
    if (model_directory_find(&directory, d->model, &absent) == 0) {
        d->directory = directory;
        if (model_config_read(&config, directory, e))
            return -1;
        d->limit = model_config_max_length(&config);
        d->width = config.width;
        d->vocabulary = config.vocabulary;
    }
    set_path(d, d->job, "model", d->model, directory_exists(d->model));
    return 0;
}

static void choose_task(struct draft *d)
{
    json_set_string(d->job, "task", d->g.multi ? "multi_label_classification" : "single_label_classification");
    if (d->g.column_count > 0) {
        because("task", "multi-label: %zu fields contain only 0 and 1", d->g.column_count);
        return;
    }
    because("task", "%s: field '%s' holds %s", d->g.multi ? "multi-label" : "single label", guess_name(&d->g, d->g.label),
            d->g.sets        ? "strings that are sets of others"
            : d->g.separator ? "strings with a separator"
            : d->g.multi     ? "lists"
                             : "one value per row");
}

/* ---- data ---- */

static uint64_t rarest(const struct draft *d, size_t *label)
{
    *label = 0;
    for (size_t c = 1; c < d->records.label_count; c++)
        if (d->label_rows[c] < d->label_rows[*label])
            *label = c;
    return d->records.label_count ? d->label_rows[*label] : 0;
}

static size_t rarer_than(const struct draft *d, uint64_t rows)
{
    size_t count = 0;
    for (size_t c = 0; c < d->records.label_count; c++)
        count += d->label_rows[c] < rows;
    return count;
}

/* Names are written where they are few, so that every part of the data means the same by an index; numbers with gaps (stars from
 * 1 to 5) become names. */
static void choose_labels(struct draft *d)
{
    size_t count = d->records.label_count, used = count - rarer_than(d, 1), rare;
    uint64_t least = rarest(d, &rare);
    because("data.label", "%s: %s, %zu labels in %zu rows, the rarest '%s' in %llu",
            d->g.pattern        ? d->g.pattern
            : d->g.column_count ? "columns"
                                : guess_name(&d->g, d->g.label),
            d->g.column_count  ? "one column per label, 1 where a row has it (--label FIELD to choose another)"
            : d->g.label_named ? "recognized by its name and values"
                               : "few distinct values (--label FIELD to choose another)",
            used, d->records.count, d->records.labels[rare], (unsigned long long)least);
    if (d->g.separator) {
        json_set_string(d->section, "label_separator", d->g.separator);
        because("data.label_separator", "'%s': %s", d->g.separator,
                d->g.sets ? "what stands on both sides of it are labels of other rows" : "found in many cells");
    }
    if (count > LABELS_WRITTEN || (d->g.column_count && !d->g.pattern))
        return;
    struct json *names = json_set(d->section, "labels", json_array());
    for (size_t c = 0; c < count; c++)
        if (d->label_rows[c])
            json_append(names, json_of_string(d->records.labels[c]));
}

static void choose_positive(struct draft *d)
{
    static const char *const words[] = {"1",    "yes",    "true",     "positive",  "pos",
                                        "spam", "linked", "relevant", "duplicate", "entailment"};
    size_t rare, found = SIZE_MAX;
    if (d->g.multi || d->records.label_count != 2)
        return;
    rarest(d, &rare);
    for (size_t k = 0; k < sizeof words / sizeof *words && found == SIZE_MAX; k++)
        for (size_t c = 0; c < 2; c++)
            if (!strcasecmp(d->records.labels[c], words[k]))
                found = c;
    json_set_string(d->section, "positive", d->records.labels[found == SIZE_MAX ? rare : found]);
    because("data.positive", "%s: %s", d->records.labels[found == SIZE_MAX ? rare : found],
            found == SIZE_MAX ? "the rarer of the two labels" : "by its name");
}

static void choose_rare(struct draft *d)
{
    uint32_t least = d->records.count >= 5000 && d->g.multi ? 50 : 10;
    size_t rare = rarer_than(d, least);
    if (!rare || d->g.part != SIZE_MAX || (!d->g.multi && d->records.label_count <= 2) || d->records.label_count - rare < 2)
        return;
    d->least = least;
    json_set_number(d->section, "min_label_count", least);
    because("data.min_label_count", "%u: %zu labels have fewer rows, too few to learn or to measure", least, rare);
}

/* What `check` would stop at is settled here: repeats with other labels go, other repeats stay in one part. */
static void choose_repeats(struct draft *d)
{
    if (d->g.part != SIZE_MAX || d->files.paths[0]) /* the parts are given */
        return;
    uint32_t *exact;
    struct error stopped;
    if (exact_duplicates(&exact, &d->records, &stopped))
        return;
    size_t repeats = 0, conflicts = 0;
    for (uint32_t i = 0; i < d->records.count; i++) {
        repeats += exact[i] != i;
        conflicts += exact[i] != i && !records_agree(&d->records.rows[i], &d->records.rows[exact[i]]);
    }
    free(exact);
    if ((double)repeats <= PROBLEM_SHARE * (double)d->records.count)
        return;
    bool drop = (double)conflicts > PROBLEM_SHARE * (double)d->records.count;
    json_set_string(d->section, "repeats", drop ? "drop" : "group");
    if (drop)
        because("data.repeats", "drop: %zu rows repeat another's text, %zu of them with another label; the first of each stays",
                repeats, conflicts);
    else
        because("data.repeats", "group: %zu rows repeat another's text; they stay in one part with it", repeats);
}

static void set_data_paths(struct draft *d)
{
    static const char *const keys[PART_COUNT] = {"train_path", "validation_path", "test_path"};
    for (int p = 0; p < PART_COUNT && d->files.paths[0]; p++)
        set_path(d, d->section, keys[p], d->files.paths[p], true);
    if (d->files.paths[0]) {
        because("data.train_path", "%s, and %s and %s next to it: files named for their parts are the split", d->files.paths[0],
                d->files.paths[1], d->files.paths[2]);
        return;
    }
    set_path(d, d->section, "path", d->data, true);
    if (d->files.unused)
        because("data.path", "%s alone: %s is not used, as there is no file for %s; with all three they would be the split",
                d->data, d->files.unused, d->files.missing);
}

static void choose_data(struct draft *d)
{
    const struct guess *g = &d->g;
    d->section = json_set(d->job, "data", json_object());
    set_data_paths(d);
    if (g->table.encoding) {
        json_set_string(d->section, "encoding", g->table.encoding);
        because("data.encoding", "%s: the file is not UTF-8, and can be read so; look at letters with accents",
                g->table.encoding);
    }
    if (g->id != SIZE_MAX) {
        json_set_string(d->section, "id", guess_name(g, g->id));
        because("data.id", "%s: recognized by its name; unique in every row", guess_name(g, g->id));
    }
    if (g->part != SIZE_MAX) {
        because("data.group", "none: the column '%s' decides about parts", guess_name(g, g->part));
    } else if (g->group != SIZE_MAX) {
        json_set_string(d->section, "group", guess_name(g, g->group));
        because("data.group", "%s: %zu repeated values; a group stays in one part", guess_name(g, g->group),
                guess_distinct(g, g->group));
    } else {
        because("data.group", "none: no field with repeated values is named like a group");
    }
    json_set(d->section, "label",
             g->pattern        ? json_of_string(g->pattern)
             : g->column_count ? list_of(g, g->columns, g->column_count)
                               : json_of_string(guess_name(g, g->label)));
    json_set(d->section, "text_a", list_of(g, g->text_a, g->a_count));
    print_list("data.text_a", g, g->text_a, g->a_count, g->pair_reason);
    if (g->b_count) {
        json_set(d->section, "text_b", list_of(g, g->text_b, g->b_count));
        print_list("data.text_b", g, g->text_b, g->b_count, NULL);
    }
    const size_t required[2] = {g->main_a, g->main_b};
    json_set(d->section, "required", list_of(g, required, g->b_count ? 2 : 1));
    because("data.required", "%s%s%s: a row without it cannot be classified", guess_name(g, g->main_a), g->b_count ? ", " : "",
            g->b_count ? guess_name(g, g->main_b) : "");
    choose_labels(d);
    choose_positive(d);
    choose_rare(d);
    choose_repeats(d);
}

/* ---- split, train ---- */

/* "job.json": "job.split.json". Caller frees. */
static char *split_path(const char *output)
{
    size_t size = strlen(output);
    if (size > 5 && strcmp(output + size - 5, ".json") == 0)
        size -= 5;
    return format_string("%.*s.split.json", (int)size, output);
}

/* Parts that a column gives become a split file next to the job file. */
static int write_parts(struct draft *d, struct error *e)
{
    char *path = split_path(d->output);
    int status = init_write_split(&d->parts, path, &d->records, e);
    if (status == 0) {
        const char *slash = strrchr(path, '/');
        json_set_string(json_set(d->job, "split", json_object()), "file", slash ? slash + 1 : path);
        because("split.file", "%s: by the column '%s', %zu rows to train, %zu to validate, %zu to test%s", path,
                guess_name(&d->g, d->g.part), d->parts.rows[PART_TRAIN], d->parts.rows[PART_VALIDATION], d->parts.rows[PART_TEST],
                d->parts.drawn ? "; there is no validation part, so 15 % of the training rows, at random" : "");
    }
    if (status == 0 && (double)d->parts.repeats > PROBLEM_SHARE * (double)d->parts.rows[PART_TEST]) {
        json_append(json_set(d->section, "accept", json_array()), json_of_string("leaks"));
        because("data.accept",
                "leaks: %zu rows repeat a text of another part; test scores flatter by them, but the parts are given",
                d->parts.repeats);
    }
    free(path);
    return status;
}

static void choose_split(struct draft *d)
{
    size_t rare;
    if (d->g.part != SIZE_MAX || d->files.paths[0])
        return;
    double share = (double)rarest(d, &rare) / (double)d->records.count;
    if (!d->g.multi && d->records.label_count <= 2 && share >= 0.1)
        return;
    json_set_string(json_set(d->job, "split", json_object()), "method", "stratified");
    because("split.method", "stratified: every part needs rows of the rare labels");
}

static uint32_t choose_length(struct draft *d)
{
    uint32_t most = d->limit && d->limit < 512 ? d->limit : 512, length = (d->p95 + 31) / 32 * 32;
    if (length > most)
        length = most;
    because("train.max_length", "%u: rows have %u tokens (median), %u (95th percentile), %u (longest)%s", length, d->p50, d->p95,
            d->longest, d->p95 > length ? "; longer rows are truncated" : "");
    return length;
}

/* Small encoders learn at higher rates than wide ones. */
static void choose_rate(struct draft *d)
{
    double lr = d->width && d->width <= 400 ? 3e-4 : d->width <= 800 ? 5e-5 : 2e-5;
    json_set_number(d->section, "lr", lr);
    json_set_number(d->section, "warmup", 0.1);
    if (d->width)
        because("train.lr", "%g: for an encoder %u wide", lr, d->width);
    else
        because("train.lr", "%g: for an encoder 768 wide; the model is not here to look at", lr);
    because("train.warmup", "0.1: the first tenth of the steps; new classifier weights make the first gradients large");
}

/* Whether the row has a label left when rare ones are dropped. */
static bool is_kept(const struct draft *d, const struct record *row)
{
    if (row->class >= 0 || !row->label_count)
        return row->class < 0 || d->label_rows[row->class] >= d->least;
    for (uint32_t k = 0; k < row->label_count; k++)
        if (d->label_rows[row->labels[k]] >= d->least)
            return true;
    return false;
}

static double training_rows(const struct draft *d)
{
    double rows = 0;
    for (size_t i = 0; i < d->records.count; i++)
        rows += is_kept(d, &d->records.rows[i]) && (!d->files.paths[0] || d->records.rows[i].file == PART_TRAIN);
    return d->files.paths[0] ? rows : d->g.part != SIZE_MAX ? (double)d->parts.rows[PART_TRAIN] : 0.7 * rows;
}

/* So many epochs that the optimizer takes enough steps to tell the labels apart: bench/LOG.md has the figures. */
static void choose_epochs(struct draft *d)
{
    size_t labels = d->records.label_count - rarer_than(d, d->least ? d->least : 1);
    double rows = training_rows(d), wanted = fmax(d->g.multi ? 900 : 200, 10.0 * (double)labels);
    uint32_t batch = rows < 3000 && !d->g.multi ? 8 : rows < 10000 ? 16 : 32;
    double steps = ceil(rows / batch);
    uint32_t epochs = (uint32_t)fmin(fmax(ceil(wanted / steps), 3), d->g.multi ? 20 : 10);
    json_set_number(d->section, "epochs", epochs);
    json_set_number(d->section, "batch", batch);
    because("train.batch", "%u: %.0f rows to train; %s", batch, rows,
            batch == 8   ? "small batches make more steps of few rows"
            : d->g.multi ? "rare labels need more rows a step"
                         : "enough for larger batches");
    because("train.epochs", "%u: %.0f steps each, %.0f are wanted for %zu labels; the best epoch by train.select is kept", epochs,
            steps, wanted, labels);
}

/* Weights pay where the rule cannot make up for a rare label: of two labels the threshold can, of many classes they cost the
 * others. */
static void choose_weights(struct draft *d)
{
    size_t rare;
    if (!d->g.multi) {
        double share = (double)rarest(d, &rare) / (double)d->records.count;
        if (d->records.label_count == 2 && share < 0.1) {
            json_set_string(d->section, "select", "best_f1");
            because("train.select", "best_f1: with %.1f %% positive rows the loss hardly shows whether they are found",
                    100 * share);
        }
        json_set_string(d->section, "class_weights", "none");
        because("train.class_weights", "none: %s",
                d->records.label_count == 2 ? "the threshold is tuned on validation"
                                            : "weights for rare labels cost more errors on the others than they save");
        return;
    }
    struct json *weights = json_set(d->section, "pos_weight", json_array());
    json_append(weights, json_of_number(1));
    json_append(weights, json_of_number(50));
    json_set_string(d->section, "select", "best_f1");
    because("train.pos_weight", "[1, 50]: most labels are absent from most rows");
    because("train.select", "best_f1: F1 at the best threshold shows what is learnt before any label reaches 0.5");
}

static void choose_precision(struct draft *d)
{
    bool bf16 = __builtin_cpu_supports("avx512bf16");
    json_set_string(d->section, "precision", bf16 ? "bf16" : "f32");
    because("train.precision", "%s",
            bf16 ? "bf16: this CPU multiplies it faster than f32" : "f32: this CPU has no instructions for bf16");
}

/* So many rows at once as fit beside what else the machine has to do. */
static void choose_micro_batch(struct draft *d)
{
    const struct json *batch = json_get(d->section, "batch"), *length = json_get(d->section, "max_length");
    struct init_memory m;
    struct init_training t = {.model = d->directory,
                              .precision = json_string(json_get(d->section, "precision")),
                              .multi = d->g.multi,
                              .vocabulary = d->vocabulary,
                              .labels = (uint32_t)d->records.label_count,
                              .batch = (uint32_t)json_number(batch),
                              .max_length = (uint32_t)json_number(length)};
    if (!d->directory || !init_fit_memory(&m, &t))
        return;
    double needed = 1e-9 * (double)m.needed, available = 1e-9 * (double)m.available;
    if (m.needed > m.allowed)
        because("train.micro_batch",
                "1: takes up to %.2f GB, more than half of the %.2f GB that are available; train.freeze or a "
                "shorter train.max_length need less",
                needed, available);
    else if (m.micro_batch < t.batch)
        because("train.micro_batch",
                "%u rows of the batch at once: up to %.2f GB, the most that is at most half of the %.2f GB "
                "available",
                m.micro_batch, needed, available);
    else
        because("train.micro_batch", "the whole batch: up to %.2f GB of the %.2f GB available", needed, available);
    if (m.micro_batch < t.batch)
        json_set_number(d->section, "micro_batch", m.micro_batch);
}

static void choose_training(struct draft *d)
{
    d->section = json_set(d->job, "train", json_object());
    choose_rate(d);
    choose_epochs(d);
    json_set_number(d->section, "max_length", choose_length(d));
    json_set_string(d->section, "truncation",
                    d->g.b_count && guess_words(&d->g, d->g.main_b) > guess_words(&d->g, d->g.main_a) ? "only_second"
                                                                                                      : "longest_first");
    choose_weights(d);
    choose_precision(d);
    choose_micro_batch(d);
}

static void choose_tuning(struct draft *d)
{
    d->section = json_set(d->job, "tune", json_object());
    json_set_string(d->section, "ties", "middle");
    because("tune.ties", "middle: of thresholds with the same score the one that is farthest from any other");
    if (!d->g.multi)
        return;
    json_set_string(d->section, "per_class", "auto");
    because("tune.per_class", "auto: labels have their own threshold where cross-validation within validation shows a gain");
}

static int make_job(struct draft *d, struct error *e)
{
    char *name = job_name(d->data);
    d->job = json_object();
    json_set_string(d->job, "name", name);
    free(name);
    printf("%s: %s, %llu rows%s\n", d->data, d->g.format, (unsigned long long)d->records.read,
           d->records.read > GUESS_ROWS ? " (fields are inferred from the first 50000)" : "");
    if (choose_model(d, e))
        return -1;
    choose_task(d);
    choose_data(d);
    choose_split(d);
    if (d->g.part != SIZE_MAX && write_parts(d, e) != 0)
        return -1;
    choose_training(d);
    choose_tuning(d);
    return 0;
}

/* A file without a header line gives its first row as names. */
static void doubt_header(const struct draft *d)
{
    if (d->g.cells && text_words(guess_name(&d->g, d->g.main_a)) >= 5)
        log_warn("%s: its first line, read as the header, looks like a data row: is the header line missing?", d->data);
}

int verb_init(const struct arguments *a, struct error *e)
{
    struct draft d = {.data = a->positional[0], .model = argument(a, "model"), .output = argument(a, "output")};
    const char *path = d.output;
    int result = guess_fields(&d.g, d.data, argument(a, "label"), e);
    if (!result && file_exists(path) && !argument_given(a, "force"))
        result = error_set(e, ERROR_USAGE, "%s: exists already; choose another with -o, or overwrite it with --force", path);
    if (!result && d.g.part == SIZE_MAX)
        init_sibling_files(&d.files, d.data);
    if (!result)
        result = read_rows(&d, e) || make_job(&d, e) ? -1 : 0;
    if (!result)
        doubt_header(&d);
    if (!result)
        result = json_write(path, d.job, e);
    if (!result)
        printf("wrote %s\nnext: muster check %s\n", path, path);
    json_destroy(&d.job);
    free(d.label_rows);
    free(d.directory);
    init_files_free(&d.files);
    records_free(&d.records);
    guess_free(&d.g);
    return result;
}

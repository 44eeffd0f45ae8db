/* SPDX-License-Identifier: Apache-2.0 */
/* The job: file and overrides into one checked set of values, and the claim of a run directory by it. */
#include "coordinator/job/job.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"
#include "coordinator/job/job_combinations.h"
#include "coordinator/job/job_fields.h"
#include "coordinator/job/job_lines.h"
#include "coordinator/job/job_paths.h"
#include "coordinator/job/job_sweep.h"
#include "coordinator/job/job_variant.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What the user gave: dotted keys with values, and which of them came from the command line. */
struct given {
    struct json *values, *overridden;
    const char *path;
    char *text;
};

static void given_free(struct given *g)
{
    json_destroy(&g->values);
    json_destroy(&g->overridden);
    free(g->text);
}

/* Puts the place of `key` in front of the message. */
static int at_key(const struct given *g, const char *key, struct error *e)
{
    if (json_get(g->overridden, key))
        return error_prefix(e, "command line: ");
    int line = g->text ? job_line_of(g->text, key) : 0;
    return line ? error_prefix(e, "%s:%d: ", g->path, line) : error_prefix(e, "%s: ", g->path);
}

static bool is_section(const char *key)
{
    size_t size = strlen(key);
    for (size_t i = 0; i < job_field_count; i++)
        if (strncmp(job_fields[i].key, key, size) == 0 && job_fields[i].key[size] == '.')
            return true;
    return false;
}

static int add_key(struct given *g, const char *key, const struct json *value, struct error *e)
{
    if (!job_field_find(key)) {
        job_unknown_key(key, e);
        return at_key(g, key, e);
    }
    json_set(g->values, key, json_copy(value));
    return 0;
}

/* {"lora": {"r": 8}} is {"lora_r": 8}. */
static int add_lora(struct given *g, const struct json *object, struct error *e)
{
    for (size_t i = 0; i < json_size(object); i++) {
        char *key = format_string("train.lora_%s", json_key(object, i));
        int status = add_key(g, key, json_at(object, i), e);
        free(key);
        if (status != 0)
            return -1;
    }
    return 0;
}

static int add_section(struct given *g, const char *section, const struct json *object, struct error *e)
{
    if (json_type(object) != JSON_OBJECT) {
        error_set(e, ERROR_USAGE, "%s: expected an object with keys such as \"%s\", found %s", section,
                  strcmp(section, "data") == 0    ? "path"
                  : strcmp(section, "split") == 0 ? "train"
                                                  : "...",
                  json_type_name(json_type(object)));
        return at_key(g, section, e);
    }
    for (size_t i = 0; i < json_size(object); i++) {
        char *key = format_string("%s.%s", section, json_key(object, i));
        bool lora = strcmp(key, "train.lora") == 0 && json_type(json_at(object, i)) == JSON_OBJECT;
        int status = lora ? add_lora(g, json_at(object, i), e) : add_key(g, key, json_at(object, i), e);
        free(key);
        if (status != 0)
            return -1;
    }
    return 0;
}

/* Swept keys and settings stand side by side in the file. */
static void add_sweep(struct given *g, const struct json *sweep)
{
    struct json *swept = json_object();
    bool object = json_type(sweep) == JSON_OBJECT;
    for (size_t i = 0; object && i < json_size(sweep); i++) {
        char *key = format_string("sweep.%s", json_key(sweep, i));
        if (job_field_find(key))
            json_set(g->values, key, json_copy(json_at(sweep, i)));
        else
            json_set(swept, json_key(sweep, i), json_copy(json_at(sweep, i)));
        free(key);
    }
    json_set(g->values, "sweep", json_copy(object ? swept : sweep)); /* what is no object, the table refuses */
    json_destroy(&swept);
}

/* Data where a job is expected. */
static bool looks_like_data(const char *path)
{
    static const char *const endings[] = {".jsonl", ".ndjson", ".csv", ".tsv", ".tab", ".gz", ".zst"};
    const char *ending = strrchr(path, '.');
    for (size_t i = 0; ending && i < sizeof endings / sizeof *endings; i++)
        if (strcmp(ending, endings[i]) == 0)
            return file_exists(path);
    return false;
}

static int read_file(struct given *g, struct error *e)
{
    size_t size;
    struct json *file = NULL;
    int status = -1;
    if (looks_like_data(g->path))
        return error_set(e, ERROR_USAGE, "%s: is data; a job file is expected, which `muster init %s` writes", g->path, g->path);
    if (file_read(&g->text, &size, g->path, e) != 0 || json_parse(&file, g->text, size, g->path, e) != 0)
        goto done;
    if (json_type(file) != JSON_OBJECT) {
        error_set(e, ERROR_USAGE, "%s: expected a job, a JSON object, found %s", g->path, json_type_name(json_type(file)));
        goto done;
    }
    for (size_t i = 0; i < json_size(file); i++) {
        const char *key = json_key(file, i);
        if (strcmp(key, JOB_SCHEMA_KEY) == 0 && json_string(json_at(file, i)))
            continue;
        if (strcmp(key, "sweep") == 0)
            add_sweep(g, json_at(file, i));
        else if ((is_section(key) ? add_section(g, key, json_at(file, i), e) : add_key(g, key, json_at(file, i), e)) != 0)
            goto done;
    }
    status = 0;
done:
    if (status != 0 && e && e->kind == ERROR_DATA)
        e->kind = ERROR_USAGE; /* a bad job file is the command line's fault, not the data's */
    json_destroy(&file);
    return status;
}

/* A shell has no types. Where the key wants a string, the value is one as it stands (name=2024), unless it is JSON that the key
 * also takes: a quoted string, null, or the list of data.label. Elsewhere it is JSON, or a bare word. */
static struct json *override_value(const struct job_field *f, const char *text)
{
    struct json *value;
    struct error ignored;
    if (json_parse(&value, text, strlen(text), "", &ignored) != 0)
        return json_of_string(text);
    enum json_type type = json_type(value);
    bool string = f && (f->type == JOB_STRING || f->type == JOB_LABEL || f->type == JOB_INTERVAL);
    if (!string || type == JSON_STRING || type == JSON_NULL || (f->type == JOB_LABEL && type == JSON_ARRAY))
        return value;
    json_destroy(&value);
    return json_of_string(text);
}

/* "sweep.lr=[..]" changes one list of the sweep; anything else replaces the key's value. */
static void set_override(struct given *g, const char *key, struct json *value)
{
    if (strncmp(key, "sweep.", 6) == 0 && !job_field_find(key)) {
        const struct json *old = json_get(g->values, "sweep");
        struct json *sweep = old && json_type(old) == JSON_OBJECT ? json_copy(old) : json_object();
        json_set(sweep, key + 6, value);
        json_set(g->values, "sweep", sweep);
        json_set_boolean(g->overridden, "sweep", true);
        return;
    }
    if (strcmp(key, "sweep") == 0) {
        add_sweep(g, value);
        json_destroy(&value);
    } else {
        json_set(g->values, key, value);
    }
    json_set_boolean(g->overridden, key, true);
}

static int apply_override(struct given *g, const char *text, struct error *e)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return error_set(e, ERROR_USAGE, "command line: \"%s\": expected key=value, such as train.lr=1e-5", text);
    char *key = format_string("%.*s", (int)(equals - text), text);
    int status = 0;
    if (!job_field_find(key) && strncmp(key, "sweep.", 6) != 0) {
        job_unknown_key(key, e);
        status = error_prefix(e, "command line: ");
    } else {
        set_override(g, key, override_value(job_field_find(key), equals + 1));
    }
    free(key);
    return status;
}

/* Models to be compared stand in the model's place. */
static bool is_swept(const struct given *g, const struct job_field *f)
{
    return strcmp(f->key, "model") == 0 && json_size(json_get(g->values, "sweep.model")) > 0;
}

static int store_all(struct job *j, const struct given *g, struct error *e)
{
    for (size_t i = 0; i < job_field_count; i++) {
        const struct job_field *f = &job_fields[i];
        const struct json *value = json_get(g->values, f->key);
        struct json *fallback = NULL;
        if (is_swept(g, f) && (!value || json_type(value) == JSON_NULL))
            continue;
        if (!value && json_parse(&fallback, f->fallback, strlen(f->fallback), f->key, e) != 0)
            return -1;
        int status = job_field_store(f, j, value ? value : fallback, e);
        if (status == 0 && f->type == JOB_SWEEP)
            status = job_sweep_check(j->sweep, e);
        json_destroy(&fallback);
        if (status != 0)
            return at_key(g, f->key, e);
    }
    return 0;
}

/* The grids of W1 and W2, where the job names none. */
static void derive_tune(struct job *j)
{
    struct threshold_grid *g = &j->tune.grid;
    j->multi = strcmp(j->task, "multi_label_classification") == 0;
    j->tune.per_trial = strcmp(j->tune.per, "trial") == 0;
    j->tune.per_class = strcmp(j->tune.per_class_word, "true") == 0    ? PER_CLASS_TRUE
                        : strcmp(j->tune.per_class_word, "false") == 0 ? PER_CLASS_FALSE
                                                                       : PER_CLASS_AUTO;
    g->middle = strcmp(j->tune.ties, "middle") == 0;
    g->exact = strcmp(j->tune.kind, "exact") == 0;
    g->from = g->from >= 0 ? g->from : j->multi ? 0.05 : 0.1;
    g->to = g->to >= 0 ? g->to : j->multi ? 0.95 : 0.9;
    g->points = g->points > 0 ? g->points : j->multi ? 91 : 33;
    double hundredths = 100 * (g->to - g->from) / (g->points - 1);
    if (j->multi && fabs(hundredths - round(hundredths)) < 1e-6)
        g->decimals = 2; /* as W2 writes thresholds */
}

/* Columns named one by one are the labels, in that order. */
static void derive_labels(struct job *j)
{
    const struct text_fields *columns = &j->data.label_columns;
    for (size_t i = 0; i < columns->count; i++)
        if (strchr(columns->names[i], '*'))
            return;
    if (columns->count < 2 || j->data.labels.count > 0)
        return;
    free(j->data.labels.names); /* an empty list has room too */
    j->data.labels = (struct text_fields){.names = allocate(columns->count, sizeof(char *)), .count = columns->count};
    for (size_t i = 0; i < columns->count; i++)
        j->data.labels.names[i] = duplicate(columns->names[i]);
}

/* What follows from other values: names, the micro-batch. */
static void derive(struct job *j, const char *path)
{
    if (!j->name) {
        const char *slash = strrchr(path, '/');
        j->name = duplicate(slash ? slash + 1 : path);
        char *suffix = strstr(j->name, ".json");
        if (suffix && suffix != j->name && suffix[5] == 0)
            *suffix = 0;
    }
    if (!j->out)
        j->out = format_string("runs/%s", j->name);
    derive_tune(j);
    derive_labels(j);
    j->train.micro_batch_follows = j->train.micro_batch == 0;
}

static int check_sources(const struct job *j, struct error *e)
{
    int parts = !!j->data.train_path + !!j->data.validation_path + !!j->data.test_path;
    if (!j->data.path && parts == 0)
        return error_set(e, ERROR_USAGE, "\"data.path\" is missing: the file with the data (JSON Lines, CSV or TSV)");
    if (j->data.path && parts > 0)
        return error_set(e, ERROR_USAGE, "data.path and data.%s are mutually exclusive: remove one",
                         j->data.train_path        ? "train_path"
                         : j->data.validation_path ? "validation_path"
                                                   : "test_path");
    if (!j->data.path && (!j->data.train_path || !j->data.test_path))
        return error_set(e, ERROR_USAGE,
                         "\"data.%s\" is missing: data that comes already split needs train_path and test_path; without "
                         "validation_path validation rows are drawn from train",
                         !j->data.train_path ? "train_path" : "test_path");
    return 0;
}

static int check_limits(const struct job *j, struct error *e)
{
    for (size_t i = 0; i < json_size(j->data.word_limits); i++) {
        const char *field = json_key(j->data.word_limits, i);
        if (!text_fields_have(&j->data.text_a, field) && !text_fields_have(&j->data.text_b, field))
            return error_set(e, ERROR_USAGE, "data.word_limits: \"%s\" is in neither data.text_a nor data.text_b", field);
    }
    return 0;
}

#define NAME_MOST 200 /* <name>.zip, while it is written <name>.zip.<pid>.tmp, in the 255 of file systems */

static int check_names(const struct job *j, struct error *e)
{
    if (j->name[0] == '.' || j->name[0] == '-' ||
        j->name[strspn(j->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")])
        return error_set(
            e, ERROR_USAGE,
            "name: \"%s\" is used as a file name: expected letters, digits, '-', '_' and '.', starting with a letter or digit",
            j->name);
    if (strlen(j->name) > NAME_MOST)
        return error_set(e, ERROR_USAGE, "name: has %zu characters; it is used as a file name: at most %d are expected",
                         strlen(j->name), NAME_MOST);
    if (j->data.label_columns.count > 0 && !j->multi)
        return error_set(e, ERROR_USAGE, "data.label: a list of label columns needs \"task\": \"multi_label_classification\"");
    if (j->data.labels.count == 1)
        return error_set(e, ERROR_USAGE, "data.labels: expected at least two names, found one");
    if (j->data.positive && j->data.labels.count && !text_fields_have(&j->data.labels, j->data.positive))
        return error_set(e, ERROR_USAGE, "data.positive: \"%s\" is not in data.labels", j->data.positive);
    if (!j->train.class_weights && j->data.labels.count && j->train.class_weight_count != j->data.labels.count)
        return error_set(e, ERROR_USAGE, "train.class_weights: expected %zu numbers, one for each of data.labels, found %zu",
                         j->data.labels.count, j->train.class_weight_count);
    return 0;
}

static int check_task(const struct job *j, struct error *e)
{
    if (j->multi && strcmp(j->train.select, "f1") == 0)
        return error_set(e, ERROR_USAGE, "train.select: f1 is for single-label tasks; for multi-label use micro_f1 or macro_f1");
    if (j->multi && j->train.class_weight_count > 0)
        return error_set(e, ERROR_USAGE, "train.class_weights is for single-label tasks; for multi-label use train.pos_weight");
    if (!j->multi && j->train.pos_weight_low > 0)
        return error_set(e, ERROR_USAGE, "train.pos_weight is for multi-label tasks; for single-label use train.class_weights");
    if (j->tune.grid.rule == RULE_COST && j->tune.grid.false_positive_cost + j->tune.grid.false_negative_cost <= 0)
        return error_set(e, ERROR_USAGE,
                         "tune.rule cost: tune.false_positive_cost and tune.false_negative_cost are both 0; set one above 0");
    return 0;
}

static int check_shares(const struct job *j, struct error *e)
{
    if (j->split.train + j->split.validation >= 1)
        return error_set(e, ERROR_USAGE,
                         "split.train %g and split.validation %g leave no rows for the test part: their sum must be below 1",
                         j->split.train, j->split.validation);
    if (strcmp(j->split.method, "time") == 0 && !j->data.time)
        return error_set(e, ERROR_USAGE, "split.method \"time\" needs data.time, the field with each row's date or number");
    if (strcmp(j->split.method, "numpy") == 0 && j->seed > UINT32_MAX)
        return error_set(e, ERROR_USAGE, "seed: NumPy's RandomState takes 0 to 4294967295, found %.0f", (double)j->seed);
    if (j->tune.grid.from >= j->tune.grid.to)
        return error_set(e, ERROR_USAGE, "tune.from %g must be below tune.to %g", j->tune.grid.from, j->tune.grid.to);
    return 0;
}

#define DEFAULT_GAMMA 2

static bool sweeps(const struct job *j, const char *key, const char *word)
{
    const struct json *values = json_get(j->sweep, key);
    for (size_t i = 0; i < json_size(values); i++)
        if (strcmp(json_string(json_at(values, i)), word) == 0)
            return true;
    return false;
}

static int check_lora(const struct job *j, struct error *e)
{
    static const char *const keys[] = {"lora_r", "lora_alpha", "lora_dropout"};
    bool lora = job_is_lora(j) || sweeps(j, "method", "lora");
    for (size_t i = 0; i < sizeof keys / sizeof *keys && !lora; i++)
        if (json_get(j->sweep, keys[i]))
            return error_set(e, ERROR_USAGE, "sweep.%s has no effect on train.method \"full\"; set train.method \"lora\"",
                             keys[i]);
    if (!lora && j->train.lora_targets.count > 0)
        return error_set(e, ERROR_USAGE, "train.lora_targets has no effect on train.method \"full\"; set train.method \"lora\"");
    if (!lora && strcmp(j->train.lora_bias, "none") != 0)
        return error_set(e, ERROR_USAGE, "train.lora_bias has no effect on train.method \"full\"; set train.method \"lora\"");
    if (lora && j->train.freeze.count > 0)
        return error_set(
            e, ERROR_USAGE,
            "train.freeze and train.method \"lora\" are mutually exclusive: with LoRA the whole base is frozen; remove "
            "one");
    return 0;
}

static int check_loss(const struct job *j, struct error *e)
{
    bool swept = json_get(j->sweep, "focal_gamma") != NULL;
    if (job_is_focal(j) || sweeps(j, "loss", "focal") || (!swept && j->train.focal_gamma == DEFAULT_GAMMA))
        return 0;
    return error_set(e, ERROR_USAGE, "%s has no effect on train.loss \"%s\"; set train.loss \"focal\", or remove it",
                     swept ? "sweep.focal_gamma" : "train.focal_gamma", j->train.loss);
}

static const char *swept_loss(const struct job *j)
{
    static const char *const keys[] = {"class_weights", "pos_weight", "loss", "focal_gamma", "label_smoothing"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (json_get(j->sweep, keys[i]))
            return keys[i];
    return NULL;
}

/* What changes the loss itself: trials that differ in it cannot be told apart by it. */
static int check_search(const struct job *j, struct error *e)
{
    bool random = strcmp(j->search.sample, "random") == 0;
    const char *weights = swept_loss(j);
    for (size_t i = 0; i < json_size(j->sweep) && !random; i++)
        if (job_sweep_is_range(json_at(j->sweep, i)))
            return error_set(e, ERROR_USAGE, "sweep.%s: a range needs sweep.sample \"random\": set it, or give a list",
                             json_key(j->sweep, i));
    if (random && j->search.count == 0)
        return error_set(e, ERROR_USAGE, "sweep.count is missing: the number of trials that sweep.sample \"random\" draws");
    if (random && !j->sweep)
        return error_set(e, ERROR_USAGE,
                         "sweep.sample \"random\" has nothing to draw from: give keys such as sweep.lr a list or a range");
    if (!random && j->search.count > 0)
        return error_set(e, ERROR_USAGE, "sweep.count needs sweep.sample \"random\"; a grid has all combinations");
    if (j->search.scheduler != SCHEDULER_NONE && weights && strcmp(j->train.select, "loss") == 0)
        return error_set(e, ERROR_USAGE,
                         "sweep.scheduler compares trials by train.select \"loss\", which sweep.%s changes; use another "
                         "train.select, such as \"macro_f1\"",
                         weights);
    return 0;
}

static int check_seeds(const struct job *j, struct error *e)
{
    if (j->train.seeds.count == 0)
        return 0;
    if (json_get(j->sweep, "seed"))
        return error_set(e, ERROR_USAGE, "train.seeds and sweep.seed are mutually exclusive: both vary the seed; remove one");
    if (j->search.scheduler != SCHEDULER_NONE)
        return error_set(e, ERROR_USAGE,
                         "train.seeds and sweep.scheduler \"%s\" are mutually exclusive: a seed that is pruned would be missing "
                         "from the mean of its configuration; remove one",
                         scheduler_names[j->search.scheduler]);
    return 0;
}

static int check_folds(const struct job *j, struct error *e)
{
    if (j->split.folds == 0)
        return strcmp(j->publish.of, "whole") == 0
                   ? 0
                   : error_set(e, ERROR_USAGE,
                               "publish.of \"%s\" has no effect without split.folds; set it, or remove publish.of",
                               j->publish.of);
    if (j->split.file)
        return error_set(e, ERROR_USAGE,
                         "split.folds and split.file are mutually exclusive: folds are dealt anew from the rows of train and "
                         "validation, which a frozen file fixes; remove one");
    if (strcmp(j->split.method, "time") == 0)
        return error_set(
            e, ERROR_USAGE,
            "split.folds and split.method \"time\" are mutually exclusive: a fold would be validated by a model that has "
            "seen later rows; remove one");
    if (j->search.scheduler != SCHEDULER_NONE)
        return error_set(e, ERROR_USAGE,
                         "split.folds and sweep.scheduler \"%s\" are mutually exclusive: a fold that is pruned would have no "
                         "predictions; remove one",
                         scheduler_names[j->search.scheduler]);
    return 0;
}

/* What no single key can say. */
static int check_together(const struct job *j, const char *path, struct error *e)
{
    if (check_sources(j, e) != 0 || check_limits(j, e) != 0 || check_names(j, e) != 0 || check_task(j, e) != 0 ||
        check_shares(j, e) != 0 || check_loss(j, e) != 0 || check_lora(j, e) != 0 || job_check_ranks(j, e) != 0 ||
        check_search(j, e) != 0 || check_seeds(j, e) != 0 || check_folds(j, e) != 0 || job_combinations_check(j, e) != 0)
        return error_prefix(e, "%s: ", path);
    return 0;
}

/* Values under their sections, in table order. all: with the keys that may change in a run directory. */
static struct json *nested(const struct job *j, bool all)
{
    struct json *root = json_object(), *section = NULL;
    char name[32] = "";
    for (size_t i = 0; i < job_field_count; i++) {
        const struct job_field *f = &job_fields[i];
        const char *dot = strchr(f->key, '.');
        if (!all && f->flags & JOB_FREE)
            continue;
        if (!dot && f->type != JOB_SWEEP) {
            json_set(root, f->key, job_field_value(f, j));
            continue;
        }
        if (!dot) { /* a section of which some keys are in no table */
            snprintf(name, sizeof name, "%s", f->key);
            section = json_set(root, name, j->sweep ? json_copy(j->sweep) : json_object());
            continue;
        }
        size_t size = (size_t)(dot - f->key);
        if (strncmp(name, f->key, size) != 0 || name[size]) {
            snprintf(name, sizeof name, "%.*s", (int)size, f->key);
            section = json_set(root, name, json_object());
        }
        json_set(section, dot + 1, job_field_value(f, j));
    }
    return root;
}

size_t job_data_files(const char *files[3], const struct job *j)
{
    const char *const given[] = {j->data.path, j->data.train_path, j->data.validation_path, j->data.test_path};
    size_t count = 0;
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        if (given[i])
            files[count++] = given[i];
    return count;
}

struct json *job_data_options(const struct job *j)
{
    const struct json *data = json_get(j->resolved, "data");
    struct json *options = json_object();
    for (size_t i = 0; i < job_field_count; i++) {
        const struct json *value = strncmp(job_fields[i].key, "data.", 5) == 0 ? json_get(data, job_fields[i].key + 5) : NULL;
        if (value && !job_field_is_implied(&job_fields[i], value))
            json_set(options, job_fields[i].key + 5, json_copy(value));
    }
    return options;
}

static void resolve(struct job *j)
{
    struct json *lasting = nested(j, false);
    char *text = json_print(lasting, false);
    sha256_bytes(text, strlen(text), j->hash);
    free(text);
    json_destroy(&lasting);
    json_destroy(&j->resolved);
    j->resolved = nested(j, true);
}

/* Every trial of the sweep must be able to run, before the first one does. */
static int check_sweep_ranks(const struct job *j, struct error *e)
{
    static const char *const sizes[] = {"batch", "micro_batch"};
    const struct json *batches = json_get(j->sweep, sizes[0]), *micros = json_get(j->sweep, sizes[1]);
    if (job_sweep_is_range(batches) || job_sweep_is_range(micros))
        return 0; /* those that are drawn are looked at then */
    for (size_t b = 0; b < (batches ? json_size(batches) : 1); b++)
        for (size_t m = 0; m < (micros ? json_size(micros) : 1); m++) {
            struct json *values = json_object();
            if (batches)
                json_set(values, sizes[0], json_copy(json_at(batches, b)));
            if (micros)
                json_set(values, sizes[1], json_copy(json_at(micros, m)));
            struct job trial;
            int status = job_variant(&trial, j, values, e);
            json_destroy(&values);
            if (status != 0)
                return error_prefix(e, "sweep: ");
        }
    return 0;
}

/* job_file: by whose directory paths are resolved; NULL: they stay. */
static int make(struct job *ret, const struct given *g, const char *job_file, struct error *e)
{
    struct job j = {0};
    if (store_all(&j, g, e) != 0)
        goto fail;
    derive(&j, g->path);
    if (job_file)
        job_paths_resolve(&j, job_file, g->overridden);
    job_derive_micro_batch(&j);
    if (check_together(&j, g->path, e) != 0)
        goto fail;
    if (check_sweep_ranks(&j, e) != 0) {
        error_prefix(e, "%s: ", g->path);
        goto fail;
    }
    resolve(&j);
    *ret = j;
    return 0;
fail:
    job_free(&j);
    return -1;
}

int job_read(struct job *ret, const char *path, const char *const *overrides, size_t count, struct error *e)
{
    struct given g = {.values = json_object(), .overridden = json_object(), .path = path};
    int status = read_file(&g, e);
    for (size_t i = 0; i < count && status == 0; i++)
        status = apply_override(&g, overrides[i], e);
    if (status == 0)
        status = make(ret, &g, path, e);
    given_free(&g);
    return status;
}

int job_of_values(struct job *ret, const struct json *values, const char *name, struct error *e)
{
    struct given g = {.values = json_copy(values), .overridden = json_object(), .path = name};
    int status = make(ret, &g, NULL, e);
    given_free(&g);
    return status;
}

void job_free(struct job *j)
{
    for (size_t i = 0; i < job_field_count; i++)
        job_field_free(&job_fields[i], j);
    json_destroy(&j->resolved);
    free(j->paths_note);
    memset(j, 0, sizeof *j);
}

static const struct json *nested_value(const struct json *root, const char *key)
{
    const char *dot = strchr(key, '.');
    if (!dot)
        return json_get(root, key);
    char section[32];
    snprintf(section, sizeof section, "%.*s", (int)(dot - key), key);
    return json_get(json_get(root, section), dot + 1);
}

/* A stored job without a key was written before the key existed: its default counts. */
static char *stored_value(const struct json *stored, const struct job_field *f)
{
    const struct json *value = nested_value(stored, f->key);
    struct json *fallback = NULL;
    struct error ignored;
    if (!value && json_parse(&fallback, f->fallback, strlen(f->fallback), f->key, &ignored) != 0)
        return duplicate("null");
    char *text = json_print(value ? value : fallback, false);
    json_destroy(&fallback);
    return text;
}

static int compare(const struct job *j, const struct json *stored, struct error *e)
{
    for (size_t i = 0; i < job_field_count; i++) {
        const struct job_field *f = &job_fields[i];
        if (f->flags & JOB_FREE)
            continue;
        struct json *value = job_field_value(f, j);
        char *here = json_print(value, false), *there = stored_value(stored, f);
        const char *path = f->flags & JOB_PATH ? json_string(nested_value(stored, f->key)) : NULL;
        bool same = strcmp(here, there) == 0 || (path && json_string(value) && job_paths_same(j, path, json_string(value)));
        if (!same)
            error_set(e, ERROR_USAGE,
                      "%s holds the run of another job: %s is %.200s there and %.200s here; use another out=DIRECTORY, or the "
                      "same value",
                      j->out, f->key, there, here);
        free(here);
        free(there);
        json_destroy(&value);
        if (!same)
            return -1;
    }
    return 0;
}

static void follow_stored_micro_batch(struct job *j, const struct json *stored)
{
    double micro = json_number(nested_value(stored, "train.micro_batch"));
    if (!j->train.micro_batch_follows || micro < 1 || micro > j->train.batch)
        return;
    j->train.micro_batch = (uint32_t)micro;
    resolve(j);
}

/* A directory in which no stage has ended yet (the data was refused, say) binds nobody. */
static bool has_work(const char *directory)
{
    struct stat about;
    char *path = path_join(directory, "events.jsonl");
    bool work = stat(path, &about) == 0 && about.st_size > 0;
    free(path);
    return work;
}

int job_claim_directory(struct job *j, struct error *e)
{
    struct json *stored = NULL;
    char *path = path_join(j->out, "job.json");
    int status = -1;
    if (directory_create(j->out, e) != 0)
        goto done;
    if (file_exists(path) && has_work(j->out)) {
        if (json_read(&stored, path, e) != 0)
            goto done;
        follow_stored_micro_batch(j, stored);
        if (compare(j, stored, e) != 0 || job_check_ranks(j, e) != 0)
            goto done;
    }
    struct json *now = job_paths_stored(j);
    status = json_write(path, now, e);
    json_destroy(&now);
done:
    json_destroy(&stored);
    free(path);
    return status;
}

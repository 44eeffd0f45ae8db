/* SPDX-License-Identifier: Apache-2.0 */
/* The TF-IDF baseline from a run's data. */
#include "coordinator/compare/baseline.h"

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"
#include "common/base/table.h"
#include "common/score/labels.h"
#include "coordinator/compare/baseline_fit.h"
#include "coordinator/data/records.h"
#include "coordinator/decision/metrics.h"
#include "coordinator/events/event_log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct tfidf_options term_options = {.min_df = 2, .max_features = 200000};

/* ---- texts of the parts ---- */

struct part_texts {
    struct records records;
    struct arena *joined;
    const char **texts[PART_COUNT];
};

/* Rows are found again by their ids, so labels need no reading. */
static int read_records(struct records *ret, const struct job *j, struct error *e)
{
    const char *paths[PART_COUNT];
    size_t count = job_data_files(paths, j);
    struct input in = input_of_job(j);
    in.group = in.label = NULL;
    in.label_columns.count = in.labels.count = 0;
    return records_read(ret, paths, count, &in, false, e);
}

static const char *join(struct part_texts *t, const struct record *r, struct buffer *scratch)
{
    if (!r->b || !*r->b)
        return r->a;
    buffer_clear(scratch);
    buffer_printf(scratch, "%s %s", r->a, r->b);
    return arena_string(t->joined, scratch->data, scratch->size);
}

/* What a run gives to its baseline. */
struct source {
    const struct run_place *place;
    const struct run_data *data;
    const struct trial_run *trial; /* the first */
};

static int find_texts(struct part_texts *t, const struct table *ids, const struct source *s, enum part part, struct error *e)
{
    uint32_t count = s->data->split.part[part].count;
    struct buffer scratch = {0};
    int status = 0;
    t->texts[part] = allocate(count, sizeof(char *));
    for (uint32_t i = 0; status == 0 && i < count; i++) {
        const char *id = dataset_id(s->data->data, s->data->split.part[part].rows[i]);
        uint32_t row = table_find(ids, id);
        if (row == TABLE_ABSENT)
            status = error_set(e, ERROR_DATA, "row \"%s\" is not in the data any more", id);
        else
            t->texts[part][i] = join(t, &t->records.rows[row], &scratch);
    }
    buffer_free(&scratch);
    return status;
}

static void part_texts_free(struct part_texts *t)
{
    for (int part = 0; part < PART_COUNT; part++)
        free(t->texts[part]);
    arena_destroy(&t->joined);
    records_free(&t->records);
}

static int read_texts(struct part_texts *ret, const struct source *s, struct error *e)
{
    struct part_texts t = {0};
    struct table *ids;
    int status = 0;
    if (read_records(&t.records, s->place->job, e) != 0)
        return -1;
    arena_create(&t.joined);
    table_create(&ids);
    for (size_t i = 0; i < t.records.count && status == 0; i++)
        if (table_add(ids, t.records.rows[i].id) != i)
            status = error_set(e, ERROR_DATA, "the id \"%s\" is in the data twice", t.records.rows[i].id);
    for (int part = 0; status == 0 && part < PART_COUNT; part++)
        status = find_texts(&t, ids, s, (enum part)part, e);
    table_destroy(&ids);
    if (status == 0)
        *ret = t;
    else
        part_texts_free(&t);
    return status;
}

/* ---- what is learnt: a column for the positive label of two, else one for each label ---- */

struct targets {
    uint32_t columns;
    unsigned char *truth;        /* (train rows, columns) */
    double *positive, *negative; /* (columns) */
};

static bool has(const struct source *s, const struct truth *t, size_t row, uint32_t column)
{
    if (s->data->kind == DECISION_LABELS)
        return t->targets[row * t->labels + column];
    return t->class[row] == (s->data->kind == DECISION_BINARY ? s->data->positive : (int32_t)column);
}

/* The weights of the job's loss as one label against the rest has them. */
static void weigh(struct targets *to, const struct source *s, const struct truth *t, uint32_t column)
{
    const struct trial_run *base = s->trial;
    uint32_t label = s->data->kind == DECISION_BINARY ? (uint32_t)s->data->positive : column;
    double ones = 0, rest = 0, rows = t->rows;
    to->positive[column] = base->class_weights[label];
    to->negative[column] = 1;
    if (s->data->kind == DECISION_LABELS)
        return;
    for (size_t i = 0; i < t->rows; i++) {
        bool one = has(s, t, i, column);
        ones += one;
        rest += one ? 0 : base->class_weights[t->class[i]];
    }
    if (ones == 0 || ones == rows) /* nothing to weigh */
        return;
    bool balanced = base->job.train.class_weights && strcmp(base->job.train.class_weights, "balanced") == 0;
    to->positive[column] = balanced ? rows / (2 * ones) : to->positive[column];
    to->negative[column] = balanced ? rows / (2 * (rows - ones)) : rest / (rows - ones);
}

static void make_targets(struct targets *ret, const struct source *s)
{
    struct truth t;
    struct targets to = {.columns = s->data->kind == DECISION_BINARY ? 1 : s->data->labels};
    truth_read(&t, s->data->data, s->data->split.part[PART_TRAIN].rows, s->data->split.part[PART_TRAIN].count,
               (uint32_t)s->data->positive);
    to.truth = allocate(t.rows, to.columns);
    to.positive = allocate(to.columns, sizeof(double));
    to.negative = allocate(to.columns, sizeof(double));
    for (uint32_t c = 0; c < to.columns; c++) {
        for (size_t i = 0; i < t.rows; i++)
            to.truth[i * to.columns + c] = has(s, &t, i, c);
        weigh(&to, s, &t, c);
    }
    truth_free(&t);
    *ret = to;
}

static void targets_free(struct targets *t)
{
    free(t->truth);
    free(t->positive);
    free(t->negative);
}

/* ---- logits ---- */

/* Log odds as logits that softmax or sigmoid turns into the baseline's probabilities; classes share 1 among them. */
static void fill_logits(struct logits *l, const struct source *s, const float *decisions)
{
    size_t count = (size_t)l->rows * l->labels;
    if (s->data->kind == DECISION_LABELS)
        memcpy(l->values, decisions, count * sizeof *decisions);
    else if (s->data->kind == DECISION_BINARY)
        for (size_t i = 0; i < l->rows; i++)
            l->values[i * 2 + (size_t)s->data->positive] = decisions[i];
    else
        for (size_t i = 0; i < count; i++)
            l->values[i] = (float)-log1p(exp(-fmax(decisions[i], -700)));
}

static double loss_of(const struct logits *l, const struct truth *t)
{
    if (t->kind == DECISION_LABELS)
        return label_cross_entropy(l->values, t->targets, l->rows, l->labels, NULL);
    return cross_entropy(l->values, t->class, NULL, l->rows, l->labels);
}

static int write_part(const char *path, const struct source *s, enum part part, const float *decisions, struct error *e)
{
    struct truth t;
    struct logits l = {.part = part, .epoch = BASELINE_EPOCH, .rows = s->data->split.part[part].count, .labels = s->data->labels};
    l.values = allocate((size_t)l.rows * l.labels, sizeof *l.values);
    memcpy(l.split_sha256, s->data->split.sha256, sizeof l.split_sha256);
    fill_logits(&l, s, decisions);
    truth_read(&t, s->data->data, s->data->split.part[part].rows, l.rows, (uint32_t)s->data->positive);
    l.loss = loss_of(&l, &t);
    truth_free(&t);
    int status = logits_append(path, &l, e);
    logits_free(&l);
    return status;
}

char *baseline_path(const struct run_place *place)
{
    return path_join(place->directory, "baseline.h5");
}

static int write_logits(const struct source *s, const struct baseline_fit *fit, struct error *e)
{
    char *path = baseline_path(s->place);
    unlink(path); /* one made from other things is not added to */
    int status = write_part(path, s, PART_VALIDATION, fit->decisions[0], e) == 0 &&
                         write_part(path, s, PART_TEST, fit->decisions[1], e) == 0
                     ? 0
                     : -1;
    free(path);
    return status;
}

/* ---- baseline.json's part about the model ---- */

static struct json *settings_of(const struct source *s)
{
    struct json *o = json_object(), *weights = json_array();
    json_set_string(o, "words", "lower case, runs of two or more of \\w; words and pairs of neighbours");
    json_set_string(o, "values", "(1 + ln count) * (ln((1 + n) / (1 + df)) + 1), L2");
    json_set_number(o, "min_df", term_options.min_df);
    json_set_number(o, "max_features", term_options.max_features);
    json_set_string(o, "classifier", "L2-regularised logistic regression, one label against the rest, C = 1 (liblinear)");
    for (uint32_t l = 0; l < s->data->labels; l++)
        json_append(weights, json_of_number(s->trial->class_weights[l]));
    json_set(o, "class_weights", weights);
    json_set(o, "class_weights_option", json_copy(json_get(s->trial->options, "class_weights")));
    return o;
}

static void hash_of(char hash[SHA256_HEX], const struct source *s)
{
    struct json *o = settings_of(s);
    json_set_string(o, "data", json_string(json_get(s->data->check, "made_from")));
    json_set_string(o, "split", s->data->split.sha256);
    json_set_string(o, "positive", s->data->label_names[s->data->positive]);
    char *text = json_print(o, false);
    sha256_bytes(text, strlen(text), hash);
    free(text);
    json_destroy(&o);
}

static struct json *terms_of(const struct source *s, const struct baseline_fit *fit)
{
    struct json *list = json_array();
    for (uint32_t c = 0; c < fit->columns; c++) {
        struct json *one = json_append(list, json_object());
        json_set_string(one, "label", s->data->label_names[s->data->kind == DECISION_BINARY ? (uint32_t)s->data->positive : c]);
        struct json *terms = json_set(one, "terms", json_object());
        for (const struct baseline_term *t = &fit->terms[(size_t)c * BASELINE_TERMS], *end = t + BASELINE_TERMS;
             t < end && t->term; t++)
            json_set_number(terms, t->term, t->weight);
    }
    return list;
}

/* What is there, if it was made from the same things. */
static struct json *made_before(const struct source *s, const char *hash)
{
    char *path = path_join(s->place->directory, "baseline.json"), *logits = baseline_path(s->place);
    struct json *whole = NULL, *about = NULL;
    struct logits l;
    struct error ignored;
    if (file_exists(path) && json_read(&whole, path, &ignored) == 0) {
        const struct json *model = json_get(whole, "model");
        const char *before = json_string(json_get(model, "made_from"));
        if (before && strcmp(before, hash) == 0 && json_get(model, "terms") &&
            logits_read(&l, logits, PART_TEST, BASELINE_EPOCH, NULL, &ignored) == 0) {
            about = json_copy(model);
            logits_free(&l);
        }
    }
    json_destroy(&whole);
    free(logits);
    free(path);
    return about;
}

/* Fits on the other folds and decides the rows of fold f. decisions (rows of train, columns). */
static int fit_fold(float *decisions, const struct source *s, const struct baseline_task *whole, uint32_t f, struct error *e)
{
    const uint32_t *rows = s->data->split.part[PART_TRAIN].rows;
    size_t count = whole->train.count, columns = whole->columns, next = 0;
    const char **texts = allocate(count, sizeof *texts), **held = allocate(count, sizeof *held);
    unsigned char *truth = allocate(count, columns);
    struct baseline_rows scored = {held, 0};
    struct baseline_task task = *whole;
    struct baseline_fit fit;
    task.train = (struct baseline_rows){texts, 0};
    for (size_t i = 0; i < count; i++)
        if (s->data->fold_of[rows[i]] == f) {
            held[scored.count++] = whole->train.texts[i];
        } else {
            memcpy(truth + task.train.count * columns, whole->truth + i * columns, columns);
            texts[task.train.count++] = whole->train.texts[i];
        }
    task.truth = truth;
    task.scored = &scored;
    task.scored_count = 1;
    int status = baseline_fit(&fit, &task, e);
    for (size_t i = 0; i < count && status == 0; i++)
        if (s->data->fold_of[rows[i]] == f)
            memcpy(decisions + i * columns, fit.decisions[0] + next++ * columns, columns * sizeof *decisions);
    if (status == 0)
        baseline_fit_free(&fit);
    free(truth);
    free(held);
    free(texts);
    return status;
}

/* With split.folds the rows that validate are those that train: they are decided by models that have not seen them. */
static int decide_out_of_fold(struct baseline_fit *fit, const struct source *s, const struct baseline_task *whole,
                              struct error *e)
{
    for (uint32_t f = 0; f < s->data->fold_count; f++)
        if (fit_fold(fit->decisions[0], s, whole, f, e) != 0) {
            baseline_fit_free(fit);
            return -1;
        }
    return 0;
}

static int fit_and_write(struct json *about, const struct source *s, struct error *e)
{
    struct part_texts texts;
    struct targets targets;
    struct baseline_fit fit;
    double start = clock_seconds();
    if (read_texts(&texts, s, e) != 0)
        return -1;
    make_targets(&targets, s);
    struct baseline_rows scored[] = {{texts.texts[PART_VALIDATION], s->data->split.part[PART_VALIDATION].count},
                                     {texts.texts[PART_TEST], s->data->split.part[PART_TEST].count}};
    struct baseline_task task = {.terms = term_options,
                                 .train = {texts.texts[PART_TRAIN], s->data->split.part[PART_TRAIN].count},
                                 .truth = targets.truth,
                                 .columns = targets.columns,
                                 .positive = targets.positive,
                                 .negative = targets.negative,
                                 .scored = scored,
                                 .scored_count = 2};
    int status = baseline_fit(&fit, &task, e);
    if (status == 0)
        status = decide_out_of_fold(&fit, s, &task, e);
    if (status == 0) {
        status = write_logits(s, &fit, e);
        json_set_number(about, "features", fit.features);
        json_set_number(about, "rows", s->data->split.part[PART_TRAIN].count);
        json_set_number(about, "seconds", clock_seconds() - start);
        json_set(about, "terms", terms_of(s, &fit));
        baseline_fit_free(&fit);
    }
    targets_free(&targets);
    part_texts_free(&texts);
    return status;
}

static int remember(const struct source *s, const char *hash, struct error *e)
{
    struct json *event = json_object();
    json_set_string(event, "stage", "baseline");
    json_set_string(event, "made_from", hash);
    return event_log_append(s->place->log, "stage_done", event, e);
}

int baseline_make(struct json **ret, bool *made, const struct run_place *place, const struct run_data *data,
                  const struct trial_run *trial, struct error *e)
{
    const struct source source = {place, data, trial}, *s = &source;
    char hash[SHA256_HEX];
    hash_of(hash, s);
    struct json *about = made_before(s, hash);
    *made = !about;
    if (about) {
        *ret = about;
        return 0;
    }
    about = json_object();
    json_set_string(about, "made_from", hash);
    json_set(about, "settings", settings_of(s));
    struct error why = {0};
    int status = fit_and_write(about, s, &why);
    if (status != 0 && why.kind == ERROR_DATA) { /* a run is worth more than what it is compared with */
        json_set_string(about, "skipped", why.message);
        status = 0;
    } else if (status != 0) {
        *e = why;
    } else {
        status = remember(s, hash, e);
    }
    if (status == 0)
        *ret = about;
    else
        json_destroy(&about);
    return status;
}

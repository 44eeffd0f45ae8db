/* SPDX-License-Identifier: Apache-2.0 */
/* From a job to its rows. */
#include "coordinator/decision/run_data.h"

#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/data/base_adapter.h"
#include "coordinator/data/check.h"
#include "coordinator/data/folds.h"
#include "coordinator/data/split.h"
#include "coordinator/data/tokenize.h"
#include "coordinator/decision/metrics.h"

#include <stdlib.h>
#include <string.h>

int run_data_open(struct run_data *d, const struct job *j, const char *directory, struct error *e)
{
    if (data_open(&d->data, &d->check, j, e) != 0)
        return -1;
    char *path = data_rows_path(directory, json_string(json_get(d->check, "made_from")));
    d->rows_path = path_resolve(path, e);
    free(path);
    return d->rows_path ? 0 : -1;
}

int run_data_head(struct run_data *d, const struct job *j, const char *model, struct error *e)
{
    const struct json *labels = json_get(d->check, "labels");
    uint32_t count = (uint32_t)json_size(labels);
    if (j->adapter)
        return base_adapter_head(&d->head, j, model, count, e);
    const char **names = allocate(count, sizeof *names);
    for (uint32_t c = 0; c < count; c++)
        names[c] = json_string(json_get(json_at(labels, c), "name"));
    int result = base_head_decide(&d->head, j->train.head, model, names, count, e);
    free(names);
    return result;
}

/* Keys of the job that not all kinds of labels know. */
static int check_job(const struct run_data *d, const struct job *j, struct error *e)
{
    const char *positive = j->data.positive;
    if (positive && d->kind != DECISION_BINARY)
        return error_set(e, ERROR_USAGE, "data.positive is for two labels, one of them a row; leave it out");
    if (d->kind != DECISION_BINARY && strcmp(j->train.select, "f1") == 0)
        return error_set(e, ERROR_USAGE, "train.select: f1 is of two labels, the data has %u; use micro_f1 or macro_f1",
                         d->labels);
    if (positive && strcmp(positive, d->label_names[d->positive]) != 0)
        return error_set(e, ERROR_USAGE, "data.positive: the data has no label \"%s\"; it has \"%s\" and \"%s\"", positive,
                         d->label_names[0], d->label_names[1]);
    return 0;
}

static int read_labels(struct run_data *d, const struct job *j, struct error *e)
{
    const struct json *labels = json_get(d->check, "labels");
    const char *positive = j->data.positive;
    d->labels = dataset_labels(d->data);
    d->kind = decision_kind_of(j->multi, d->labels);
    if (json_size(labels) != d->labels)
        return error_set(e, ERROR_DATA, "check.json names %zu labels, the rows have %u; remove it and run again",
                         json_size(labels), d->labels);
    d->label_names = allocate(d->labels, sizeof(char *));
    d->positive = (int)d->labels - 1;
    for (uint32_t c = 0; c < d->labels; c++) {
        d->label_names[c] = json_string(json_get(json_at(labels, c), "name"));
        if (positive && strcmp(positive, d->label_names[c]) == 0)
            d->positive = (int)c;
    }
    return check_job(d, j, e);
}

static char *fold_path(const char *directory, uint32_t f)
{
    return format_string("%s/folds/fold-%u.json", directory, f + 1);
}

static int make_fold(struct run_data *fold, const struct run_data *d, uint32_t f, const char *directory, struct error *e)
{
    *fold = *d;
    fold->fold_of = NULL;
    fold->folds = NULL;
    fold->fold_count = 0;
    fold->validation = NULL;
    fold->split_path = fold_path(directory, f);
    folds_split(&fold->split, d->fold_of, f, d->data);
    if (split_write(fold->split_path, &fold->split, d->data, e) != 0)
        return -1;
    validation_create(&fold->validation, d->data, &fold->split, d->positive);
    return 0;
}

/* The split by parts becomes one by folds. */
static int make_folds(struct run_data *d, const struct job *j, const char *directory, struct error *e)
{
    char *path = path_join(directory, "folds");
    int status = directory_create(path, e);
    free(path);
    if (status != 0 || data_folds(&d->fold_of, j, d->data, &d->split, e) != 0)
        return -1;
    char test[65];
    memcpy(test, d->split.fingerprint[PART_TEST], sizeof test);
    split_free(&d->split);
    free(d->split_path);
    d->split_path = format_string("%s/folds/whole.json", directory);
    folds_whole(&d->split, d->fold_of, d->data);
    memcpy(d->split.fingerprint[PART_TEST], test, sizeof test);
    if (split_write(d->split_path, &d->split, d->data, e) != 0)
        return -1;
    folds_validate_out_of_fold(&d->split);
    d->folds = allocate(j->split.folds, sizeof *d->folds);
    for (; d->fold_count < j->split.folds; d->fold_count++)
        if (make_fold(&d->folds[d->fold_count], d, d->fold_count, directory, e) != 0) {
            d->fold_count++;
            return -1;
        }
    return 0;
}

int run_data_split(struct run_data *d, const struct job *j, const char *directory, struct error *e)
{
    if (data_split(&d->split, j, d->data, d->check, e) != 0)
        return -1;
    char *path = path_join(directory, "split.json");
    d->split_path = path_resolve(path, e);
    free(path);
    if (!d->split_path || read_labels(d, j, e) != 0 || (j->split.folds > 0 && make_folds(d, j, directory, e) != 0))
        return -1;
    validation_create(&d->validation, d->data, &d->split, d->positive);
    return 0;
}

void run_data_free(struct run_data *d)
{
    for (uint32_t f = 0; f < d->fold_count; f++) {
        validation_destroy(&d->folds[f].validation);
        split_free(&d->folds[f].split);
        free(d->folds[f].split_path);
    }
    free(d->folds);
    free(d->fold_of);
    validation_destroy(&d->validation);
    split_free(&d->split);
    free(d->label_names);
    base_head_free(&d->head);
    dataset_close(&d->data);
    json_destroy(&d->check);
    free(d->split_path);
    free(d->rows_path);
    *d = (struct run_data){0};
}

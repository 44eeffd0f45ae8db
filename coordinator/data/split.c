/* SPDX-License-Identifier: Apache-2.0 */
/* The split stage: which group goes to which part, and the class weights and biases that the train part gives. */
#include "coordinator/data/split.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/numpy_random.h"
#include "coordinator/data/check.h"
#include "coordinator/data/protocol.h"
#include "coordinator/data/shuffle.h"
#include "coordinator/data/split_check.h"
#include "coordinator/data/split_time.h"
#include "coordinator/data/stratify.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void shuffle_by_numpy(uint32_t *order, uint32_t count, uint64_t seed)
{
    struct numpy_random random;
    numpy_random_seed(&random, (uint32_t)seed);
    numpy_random_shuffle(&random, order, count);
}

static void give_row(struct split *s, enum part part, uint32_t row)
{
    s->part[part].rows[s->part[part].count++] = row;
}

static void make_parts(struct split *s, const struct dataset *d)
{
    for (int p = 0; p < PART_COUNT; p++)
        s->part[p].rows = allocate(dataset_rows(d), sizeof(uint32_t));
}

static int refuse_empty_part(const struct split *s, const struct job *j, uint32_t groups, struct error *e)
{
    for (int p = 0; p < PART_COUNT; p++)
        if (!s->part[p].count)
            return error_set(e, ERROR_DATA,
                             "the %s part would be empty: %u groups (data.group: %s) at train %g, validation %g; give more data, "
                             "or change split.train and split.validation",
                             part_names[p], groups, j->data.group ? j->data.group : "each row on its own", j->split.train,
                             j->split.validation);
    return 0;
}

/* Shares are of rows, as near as whole groups allow. */
static void deal_evenly(uint32_t *part_of, const struct job *j, const struct dataset *d, const uint32_t *group_of,
                        uint32_t groups)
{
    const double share[PART_COUNT] = {j->split.train, j->split.validation, 1 - j->split.train - j->split.validation};
    uint32_t *rank = shuffle_ranks(groups, j->seed, RANDOM_SPLIT, 0);
    stratify(part_of, d, group_of, groups, rank, share, PART_COUNT);
    free(rank);
}

static void deal_by_shuffle(uint32_t *part_of, const struct job *j, uint32_t groups)
{
    uint32_t *order = allocate(groups, sizeof *order);
    for (uint32_t i = 0; i < groups; i++)
        order[i] = i;
    if (!strcmp(j->split.method, "numpy"))
        shuffle_by_numpy(order, groups, j->seed);
    else
        shuffle_numbers(order, groups, j->seed, RANDOM_SPLIT, 0);
    uint32_t train = (uint32_t)(j->split.train * groups), validation = (uint32_t)(j->split.validation * groups);
    for (uint32_t i = 0; i < groups; i++)
        part_of[order[i]] = i < train ? PART_TRAIN : i < train + validation ? PART_VALIDATION : PART_TEST;
    free(order);
}

static int split_by_group(struct split *s, const struct job *j, const struct dataset *d, struct error *e)
{
    uint32_t rows = dataset_rows(d), *group_of = allocate(rows, sizeof *group_of), count = dataset_groups(d);
    for (uint32_t i = 0; i < rows; i++)
        group_of[i] = dataset_group_number(d, i);
    uint32_t *part_of = allocate(count, sizeof *part_of);
    if (!strcmp(j->split.method, "stratified"))
        deal_evenly(part_of, j, d, group_of, count);
    else
        deal_by_shuffle(part_of, j, count);
    for (uint32_t i = 0; i < rows; i++)
        give_row(s, (enum part)part_of[group_of[i]], i);
    int result =
        count < 3 ? error_set(e, ERROR_DATA,
                              "%u groups (data.group: %s) cannot be split into train, validation and test; at least 3 are needed",
                              count, j->data.group ? j->data.group : "each row on its own")
                  : refuse_empty_part(s, j, count, e);
    free(part_of);
    free(group_of);
    return result;
}

static int split_rows_by_time(struct split *s, const struct job *j, const struct dataset *d, const struct row_facts *f,
                              struct error *e)
{
    uint32_t rows = dataset_rows(d);
    enum part *part_of = allocate(rows, sizeof *part_of);
    int result = split_by_time(part_of, j, d, f, e);
    for (uint32_t i = 0; i < rows && !result; i++)
        give_row(s, part_of[i], i);
    free(part_of);
    return result;
}

/* The first `count` rows become train and validation: whole groups, each label in the same proportions. */
static void draw_validation(struct split *s, const struct job *j, const struct dataset *d, uint32_t count)
{
    const double both = j->split.train + j->split.validation, share[] = {j->split.train / both, j->split.validation / both};
    uint32_t rows = dataset_rows(d), *group_of = allocate(rows, sizeof *group_of), number = 0;
    for (uint32_t i = 0; i < rows; i++) {
        group_of[i] = i < count ? dataset_group_number(d, i) : UINT32_MAX;
        number = i < count && group_of[i] >= number ? group_of[i] + 1 : number;
    }
    uint32_t *part_of = allocate(number, sizeof *part_of);
    uint32_t *rank = shuffle_ranks(number, j->seed, RANDOM_SPLIT, 0);
    stratify(part_of, d, group_of, number, rank, share, 2);
    for (uint32_t i = 0; i < count; i++)
        give_row(s, (enum part)part_of[group_of[i]], i);
    free(rank);
    free(part_of);
    free(group_of);
}

/* The data came already split: each file's rows are a part. */
static int split_by_file(struct split *s, const struct job *j, const struct dataset *d, const struct json *check, struct error *e)
{
    const struct json *files = json_get(check, "files");
    uint32_t row = 0;
    for (size_t f = 0; f < json_size(files) && f < PART_COUNT; f++) {
        uint32_t end = row + (uint32_t)json_number(json_get(json_at(files, f), "rows"));
        end = end < dataset_rows(d) ? end : dataset_rows(d);
        if (f == 0 && !j->data.validation_path) {
            draw_validation(s, j, d, end);
            row = end;
        }
        for (; row < end; row++)
            give_row(s, f + 1 == json_size(files) ? PART_TEST : (enum part)f, row);
    }
    return refuse_empty_part(s, j, dataset_rows(d), e);
}

static int read_frozen(struct split *s, const struct job *j, const struct dataset *d, struct error *e)
{
    if (split_read(s, j->split.file, d, e))
        return -1;
    return s->part[PART_VALIDATION].count
               ? 0
               : error_set(e, ERROR_DATA,
                           "%s: the validation part has no rows: no epoch could be evaluated; use another split file",
                           j->split.file);
}

static int make_split(struct split *s, const struct job *j, const struct dataset *d, const struct row_facts *f,
                      const struct json *check, struct error *e)
{
    if (j->split.file)
        return read_frozen(s, j, d, e);
    make_parts(s, d);
    strcpy(s->method, j->data.path ? j->split.method : "files");
    if (!j->data.path)
        return split_by_file(s, j, d, check, e);
    return strcmp(j->split.method, "time") ? split_by_group(s, j, d, e) : split_rows_by_time(s, j, d, f, e);
}

/* The texts of a frozen protocol's parts have to be those it was made from. */
static int check_protocol(const struct split *s, const struct job *j, struct error *e)
{
    struct protocol p;
    if (protocol_open(&p, j, e))
        return -1;
    int result = protocol_check_texts(&p, s, j, e);
    protocol_close(&p);
    return result;
}

int data_split(struct split *ret, const struct job *j, const struct dataset *d, const struct json *check, struct error *e)
{
    struct split s = {0};
    struct row_facts facts;
    if (data_facts(&facts, j, check, dataset_rows(d), e))
        return -1;
    char *path = path_join(j->out, "split.json");
    int result = make_split(&s, j, d, &facts, check, e);
    if (!result)
        result = split_check(&s, j, d, &facts, check, e);
    if (!result)
        result = check_protocol(&s, j, e);
    if (!result)
        result = split_write(path, &s, d, e);
    row_facts_free(&facts);
    free(path);
    if (result)
        split_free(&s);
    else
        *ret = s;
    return result;
}

static const char *label_name(const struct json *check, size_t c)
{
    return json_string(json_get(json_at(json_get(check, "labels"), c), "name"));
}

void data_label_counts(double *counts, const struct dataset *d, const struct split *s)
{
    uint32_t labels = dataset_labels(d);
    memset(counts, 0, labels * sizeof *counts);
    for (uint32_t i = 0; i < s->part[PART_TRAIN].count; i++) {
        uint32_t row = s->part[PART_TRAIN].rows[i];
        for (uint32_t l = 0; dataset_is_multi(d) && l < labels; l++)
            counts[l] += dataset_targets(d, row)[l] > 0;
        if (!dataset_is_multi(d))
            counts[dataset_class(d, row)]++;
    }
}

int data_class_weights(double *weights, const struct job *j, const struct dataset *d, const struct split *s,
                       const struct json *check, struct error *e)
{
    uint32_t labels = dataset_labels(d), rows = s->part[PART_TRAIN].count;
    double *counts = allocate(labels, sizeof *counts);
    int result = 0;
    data_label_counts(counts, d, s);
    for (uint32_t c = 0; c < labels && !result; c++) {
        if (counts[c] == 0)
            result = error_set(e, ERROR_DATA,
                               "label '%s' has no row in the train part of %u rows; give more data, use another seed, or set "
                               "data.min_label_count",
                               label_name(check, c), rows);
        else if (j->train.class_weights)
            weights[c] = !strcmp(j->train.class_weights, "balanced") ? (double)rows / ((double)labels * counts[c]) : 1;
    }
    if (!result && !j->train.class_weights && j->train.class_weight_count != labels)
        result = error_set(e, ERROR_USAGE, "train.class_weights has %zu values, the data has %u labels",
                           j->train.class_weight_count, labels);
    if (!result && !j->train.class_weights)
        memcpy(weights, j->train.class_weight_list, labels * sizeof *weights);
    free(counts);
    return result;
}

void data_head_bias(double *bias, const struct job *j, const struct dataset *d, const struct split *s, const double *weights)
{
    uint32_t labels = dataset_labels(d);
    double rows = s->part[PART_TRAIN].count, smoothing = j->train.label_smoothing, sum = 0;
    double *shares = allocate(labels, sizeof *shares);
    bool multi = dataset_is_multi(d);
    data_label_counts(shares, d, s);
    for (uint32_t l = 0; l < labels; l++) {
        double share = fmin(fmax(shares[l], 0.5), multi ? rows - 0.5 : rows) / rows;
        shares[l] = share * (1 - smoothing) + smoothing / (multi ? 2 : labels);
        sum += weights[l] * shares[l];
    }
    for (uint32_t l = 0; l < labels; l++)
        bias[l] = log(weights[l] * shares[l] / (multi ? 1 - shares[l] : sum));
    free(shares);
}

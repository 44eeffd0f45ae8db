/* SPDX-License-Identifier: Apache-2.0 */
/* The rows of a run: checked, split, and with the validation part as tuning sees it. */
#pragma once

#include "common/json/json.h"
#include "coordinator/data/base_head.h"
#include "coordinator/decision/validation.h"
#include "coordinator/job/job.h"

struct run_data {
    struct json *check; /* check.json */
    struct dataset *data;
    char *rows_path, *split_path; /* absolute */
    struct base_head head;        /* of the model, once run_data_head has decided */
    struct split split;           /* from here on known once the rows are split */
    const char **label_names;     /* (labels), borrowed from check */
    uint32_t labels;
    int positive; /* class index; thresholds are for it where a row has one label of two */
    enum decision_kind kind;
    struct validation *validation;
    /* With split.folds `split` and `validation` are of the out-of-fold predictions (folds_validate_out_of_fold). */
    uint32_t *fold_of;      /* (rows) as data_folds has it; NULL: no cross-validation */
    struct run_data *folds; /* (split.folds) each with split, split_path and validation of its own, the rest borrowed */
    uint32_t fold_count;
};

/* Reads, checks and tokenises the job's data unless that was done (data_open). directory: the run's, absolute. */
int run_data_open(struct run_data *d, const struct job *j, const char *directory, struct error *e);
/* After run_data_open: what becomes of the classifier of the model (its directory). ERROR_USAGE where the job forbids it,
 * ERROR_DATA for weights that cannot be read. */
int run_data_head(struct run_data *d, const struct job *j, const char *model, struct error *e);
/* After run_data_open. ERROR_USAGE where the job asks for what the labels do not allow. */
int run_data_split(struct run_data *d, const struct job *j, const char *directory, struct error *e);
void run_data_free(struct run_data *d); /* also after a failure, and of zeros */

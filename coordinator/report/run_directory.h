/* SPDX-License-Identifier: Apache-2.0 */
/* What a run's directory holds, as far as it goes: the input of a report. Anything may be absent (NULL, 0) in a run that is not
 * finished; what is there but damaged is an error. */
#pragma once

#include "common/format/results.h"
#include "coordinator/job/job.h"

struct report_metrics {
    const char *trial;   /* key; borrowed from the run */
    struct json **epoch; /* (epochs), lines of metrics.jsonl that carry a validation */
    size_t epochs;
    double *step, *loss; /* (steps) of training */
    size_t steps;
};

struct report_run {
    char *directory;
    struct json *job_file, *check, *split_file, *tune, *table, *events;
    struct json *inference;                         /* of the bundle */
    struct json *baseline, *ensemble, *automatable; /* text baseline and what is made with it */
    struct json *evaluation;                        /* intervals */
    struct job job;                                 /* of job_file */
    struct dataset *data;                           /* NULL: not made yet, or removed */
    struct split split;                             /* only with data */
    bool has_split;
    const char **labels; /* (label_count) names; borrowed from check */
    uint32_t label_count, positive;
    bool multi;
    struct report_metrics *metrics; /* of each trial, in the order of the table, or as they were started */
    size_t metrics_count;
    const char *chosen;             /* key of the winner; NULL: not chosen yet */
    int best_epoch;                 /* of the winner */
    struct logits validation, test; /* of the winner; values NULL: absent */
    double *temperatures;           /* (label_count) of the decision rule; 1 without */
    double *thresholds;             /* (label_count) of the decision rule; 0.5 without */
    bool decided;                   /* there is a rule */
};

/* ERROR_USAGE: no run directory. ERROR_DATA: a file of it is damaged. */
int report_run_read(struct report_run *ret, const char *directory, struct error *e);
bool report_is_calibrated(const struct report_run *r); /* a temperature is not 1 */
void report_run_free(struct report_run *r);

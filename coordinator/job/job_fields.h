/* SPDX-License-Identifier: Apache-2.0 */
/* The table of job keys and what can be done with a row of it. Seen by job*.c, what documents the keys, and tests. */
#pragma once

#include "coordinator/job/job.h"

enum job_type {
    JOB_STRING,
    JOB_WORD, /* one of `words` */
    JOB_TRUNCATION,
    JOB_RULE,
    JOB_SCHEDULER,
    JOB_NUMBER,
    JOB_COUNT,  /* uint32_t */
    JOB_POINTS, /* int */
    JOB_SEED,   /* uint64_t */
    JOB_SEEDS,  /* a list of them, none twice */
    JOB_BOOLEAN,
    JOB_STRINGS,
    JOB_LABEL, /* a field, or a list of columns: data.label and data.label_columns */
    JOB_CLASS_WEIGHTS,
    JOB_INTERVAL, /* "epoch", "N steps", "N minutes" */
    JOB_BOUNDS,   /* null or [low, high]; two doubles */
    JOB_LIMITS,   /* object of whole numbers */
    JOB_LISTS,    /* a list of lists of strings */
    JOB_SWEEP
};

enum job_flag {
    JOB_NULL = 1,  /* null is allowed and is stored as the row's `none` */
    JOB_ABOVE = 2, /* the lower bound itself is excluded */
    JOB_BELOW = 4, /* the upper bound itself is excluded */
    JOB_SWEPT = 8, /* may stand in "sweep" */
    JOB_FREE = 16, /* may change from run to run in one directory */
    JOB_REQUIRED = 32,
    JOB_FILLED = 64, /* a list that may not be empty */
    JOB_LATER = 128, /* newer than the identities that runs have stored: not part of them while it has its default */
    JOB_EMPTY = 256, /* a string that may be empty */
    JOB_PATH = 512   /* a path: relative to the job file */
};

struct job_field {
    const char *key; /* dotted */
    enum job_type type;
    unsigned flags;
    const char *fallback; /* JSON */
    double low, high, none;
    const char *const *words;
    size_t offset;    /* in struct job */
    const char *also; /* what people call it elsewhere, for "did you mean" */
    const char *help;
};

#define JOB_SCHEMA_KEY "$schema" /* may stand in a job file, for editors; it is no key of the job */

extern const struct job_field job_fields[];
extern const size_t job_field_count;

const struct job_field *job_field_find(const char *key);
bool job_field_takes_null(const struct job_field *f); /* as a value; for a required key it is the same as leaving it out */
/* Checks `value` and stores it; texts are duplicated (the caller freed what was there). */
int job_field_store(const struct job_field *f, struct job *j, const struct json *value, struct error *e);
struct json *job_field_value(const struct job_field *f, const struct job *j);
/* A JOB_LATER key at its default: identities do without it, so that they stay what older runs have stored. */
bool job_field_is_implied(const struct job_field *f, const struct json *value);
void job_field_free(const struct job_field *f, struct job *j);
/* ERROR_USAGE "unknown key ..., did you mean". */
int job_unknown_key(const char *key, struct error *e);
/* The same of a key in "sweep": one of "train" as likely as one of the sweep's settings. */
int job_unknown_swept_key(const char *key, struct error *e);

/* The job file: strict JSON, one table of keys (job_fields in job.c: dotted name, type, default, bounds, help) that the reader, `key=value`
 * overrides, job.json, --help and the docs walk. An unknown key is ERROR_USAGE with "did you mean"; an ill-typed or out-of-bounds value
 * says what was expected and found. Paths in a job file are taken from the current folder. */
#pragma once

#include "common/format/json.h"
#include "common/score/threshold.h"
#include "common/text/pair.h"

struct text_fields {
    char **names;
    size_t count;
};

struct job {
    char *name, *out, *model;
    uint64_t seed;
    bool multi; /* task */
    struct {
        char *path;                                  /* or the three below */
        char *train_path, *validation_path, *test_path;
        char *id, *group, *label;                    /* fields; id and group may be NULL */
        struct text_fields text_a, text_b, required, labels; /* text_b may be empty; labels: names, empty = as found */
        char *joiner;
        char *positive; /* label name of the positive class; NULL: the last of two */
    } data;
    struct {
        double train, validation;
        char *method; /* "muster", "numpy" */
        char *file;   /* a frozen split.json, or NULL */
    } split;
    struct {
        double lr, weight_decay, clip, warmup, dropout /* < 0: model's */;
        uint32_t epochs, batch, micro_batch /* 0 = batch */, max_length;
        enum truncation truncation;
        char *class_weights;       /* "balanced", "none" or NULL when a list is given */
        double *class_weight_list; /* as many as class_weight_count */
        size_t class_weight_count;
        char *precision, *select;
        int patience;             /* 0: none */
        char *checkpoint_every;   /* "epoch" */
    } train;
    struct json *sweep; /* object: train key -> list of values; NULL: no sweep */
    struct {
        struct threshold_grid grid;
        bool per_trial; /* "per": "trial" (re-tune each) or "baseline" (apply the baseline's) */
    } tune;
    struct {
        char *launcher, *device, *hostfile;
        int groups, ranks_per_group, threads, restarts;
        double heartbeat_timeout;
    } cluster;
    struct json *resolved; /* everything above with defaults, as written to job.json; its sha256 in hash */
    char hash[65];
};

/* path: the job file; overrides: "train.lr=1e-5" (value: JSON, or a bare word taken as text). */
int job_read(struct job *ret, const char *path, const char *const *overrides, size_t count, struct error *e);
void job_free(struct job *j);
void job_print_help(void); /* every key with default and meaning */

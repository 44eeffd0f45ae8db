/* SPDX-License-Identifier: Apache-2.0 */
/* The job file: strict JSON, one table of keys (job_fields.c: dotted name, type, default, bounds, help) that the reader,
 * `key=value` overrides, job.json, trial options and --help walk. An unknown key is ERROR_USAGE with "did you mean"; an ill-typed
 * or out-of-bounds value says what was expected and found. Paths: job_paths.h. */
#pragma once

#include "common/json/json.h"
#include "common/score/threshold.h"
#include "common/text/pair.h"
#include "coordinator/job/scheduler.h"

/* true: each label its own threshold; auto: those with rows enough; false: one for all. */
enum per_class { PER_CLASS_AUTO, PER_CLASS_TRUE, PER_CLASS_FALSE };

struct text_fields {
    char **names;
    size_t count;
};

bool text_fields_have(const struct text_fields *f, const char *name);

struct seed_list {
    uint64_t *values;
    size_t count;
};

#define NO_METRICS_PORT 65536u

/* `const char *` members with a fixed set of values point into the table; the others are owned. */
struct job {
    char *name, *out, *model; /* model: NULL where sweep.model has several */
    char *adapter;            /* directory of PEFT's adapter of the model, from which training goes on; NULL: none */
    uint64_t seed;
    const char *task;
    bool multi; /* task */
    struct {
        char *path; /* or the three below */
        char *train_path, *validation_path, *test_path;
        char *id, *group, *label;                            /* fields; id and group may be NULL; label: or */
        char *time;                                          /* field, or NULL */
        struct text_fields label_columns;                    /* fields of 0 and 1, each a label; "*" stands for anything */
        struct text_fields text_a, text_b, required, labels; /* text_b may be empty; labels: names, empty = as found */
        struct json *word_limits; /* object: text field -> its first words that count; NULL: all of all */
        char *joiner;
        char *positive;         /* label name of the positive class; NULL: the last of two */
        char *label_separator;  /* of the labels in a cell of CSV or TSV, multi-label */
        const char *label_form; /* "auto", "index", "name", "vector" */
        const char *quotes;     /* "auto", "none" */
        char *encoding;         /* of the files, as iconv names it; NULL: UTF-8 */
        const char *repeats;    /* "keep", "drop", "group" */
        uint32_t min_label_count, min_words;
        struct text_fields accept; /* problems by name, see data_problems.h */
    } data;
    struct {
        double train, validation;
        const char *method; /* "muster", "numpy", "stratified", "time" */
        char *file;         /* a frozen split.json, or NULL */
        uint32_t folds;     /* of cross-validation over train and validation; 0: none */
    } split;
    struct {
        double lr, weight_decay, clip /* 0: none */, warmup, dropout /* < 0: model's */;
        const char *schedule; /* of schedule_names */
        const char *loss;     /* "cross_entropy", "focal" */
        const char *method;   /* "full", "lora" */
        uint32_t lora_r;
        double lora_alpha, lora_dropout;
        bool lora_rslora, lora_train_head;
        const char *lora_bias;               /* "none", "all", "lora_only": base/lora_bias.h */
        struct text_fields lora_targets;     /* empty: all linear maps; format/lora.h */
        double layer_decay;                  /* 1: none */
        struct text_fields freeze;           /* format/freeze.h */
        double label_smoothing, focal_gamma; /* the latter of the focal loss alone */
        bool checkpointing;
        uint32_t epochs, batch, micro_batch, max_length;
        enum truncation truncation;
        const char *class_weights; /* "balanced", "none" or NULL when a list is given */
        double *class_weight_list; /* as many as class_weight_count */
        size_t class_weight_count;
        const char *precision, *select;
        const char *head;                       /* "auto", "keep", "new" */
        const char *head_bias;                  /* "zero", "shares" */
        double pos_weight_low, pos_weight_high; /* bounds of neg / pos, many labels a row; 0, 0: no weights */
        uint32_t patience;                      /* 0: none */
        char *checkpoint_every;                 /* "epoch", "500 steps", "10 minutes" */
        uint32_t checkpoint_steps;              /* what it says; 0: not so */
        double checkpoint_minutes;
        bool micro_batch_follows; /* micro_batch is not in the file: batch / ranks_per_group */
        struct seed_list seeds;   /* each configuration is trained with each of them; empty: with `seed` */
    } train;
    struct json *sweep; /* object: train key -> list of values or range (job_sweep.h); NULL: no sweep */
    struct {
        const char *sample; /* "grid", "random" */
        uint32_t count;     /* of random trials; 0: not given */
        enum scheduler_kind scheduler;
        uint32_t grace_epochs, reduction, startup_trials;
        struct text_fields models; /* instead of `model`; job_combinations.h */
        struct json *fields;       /* lists of text fields; NULL: one run, with all of them */
    } search;                      /* how the sweep goes about it: the other keys of "sweep" in the file */
    struct {
        struct threshold_grid grid;
        const char *per;
        bool per_trial; /* "per": "trial" (re-tune each) or "baseline" (apply the baseline's) */
        const char *kind, *ties, *per_class_word, *calibrate; /* calibrate: "none", "temperature", "vector" */
        enum per_class per_class; /* many labels a row: a threshold for each of them, or one for all */
        uint32_t min_positives;
    } tune;
    struct {
        const char *adapter; /* "merged", "both", "separate" */
        const char *of;      /* "whole", "best"; of a cross-validation */
    } publish;
    struct {
        bool baseline; /* TF-IDF and logistic regression beside the transformer */
        double agreement;
    } report;
    struct {
        const char *launcher, *device, *reduction; /* of gradients: "ordered", "fast" */
        char *hostfile, *interface;
        uint32_t groups, ranks_per_group, threads, restarts;
        uint32_t metrics_port; /* or NO_METRICS_PORT */
        double heartbeat_timeout;
    } cluster;
    uint32_t absolute_paths;  /* bit k: the k-th of the path keys was given as an absolute path */
    uint64_t absolute_models; /* likewise of sweep.model */
    char *paths_note;         /* "key path, ..." that are not where the job file says, but in the current directory; NULL: none */
    struct json *resolved;    /* everything above with defaults, as written to job.json */
    char hash[65];            /* sha256 of `resolved` without the keys that may change in a run directory */
};

/* path: the job file; overrides: "train.lr=1e-5" (value: JSON or a bare word; where the key is a string, the string as it
 * stands). ERROR_USAGE. */
int job_read(struct job *ret, const char *path, const char *const *overrides, size_t count, struct error *e);
/* Likewise of dotted keys with values and of nothing else; paths stay as they are. name: of the job, for messages. */
int job_of_values(struct job *ret, const struct json *values, const char *name, struct error *e);
void job_free(struct job *j);
void job_print_help(void); /* every key with default and meaning */

/* Makes <out> this job's directory and writes <out>/job.json. A directory that holds another job is refused (ERROR_USAGE, naming
 * the first key that differs and both values); out, cluster.*, tune.* and sweep may change from run to run: what depends on them
 * is made again. A micro_batch that j's file leaves open is taken from the directory, so that a run can be resumed on other
 * ranks. */
int job_claim_directory(struct job *j, struct error *e);

/* Number of the job's data files: one, or those of train, validation (unless it is drawn from train) and test, in that order;
 * borrowed from j. */
size_t job_data_files(const char *files[3], const struct job *j);

/* The data keys and values of j, in table order, without keys that came later than the identities that runs have stored
 * (JOB_LATER) while they have their defaults. Caller destroys. */
struct json *job_data_options(const struct job *j);

/* SPDX-License-Identifier: Apache-2.0 */
/* What `muster init` knows of somebody's data and has chosen so far, each choice printed with its reason. */
#pragma once

#include "common/json/json.h"
#include "coordinator/cli/init_split.h"
#include "coordinator/data/guess.h"
#include "coordinator/data/records.h"

/* What goes into the job: the guesses, and what reading the rows by them shows. */
struct init_draft {
    const char *data, *model;
    struct init_files files; /* of data that comes already split */
    uint8_t *part;           /* (rows) where the data says it, else PART_TRAIN; PART_COUNT: left out, its labels are too rare */
    bool drawn[PART_COUNT];  /* parts that a column of parts does not have */
    const char *output;      /* job file, whose directory paths are relative to */
    struct guess g;
    struct records records;
    uint64_t *label_rows; /* (labels) */
    uint32_t least;       /* data.min_label_count */
    uint32_t p50, p95, longest /* tokens of a row, estimated */, limit /* of the model; 0: not known */;
    char *directory;                     /* of the model; NULL: it is not here */
    uint32_t width, vocabulary;          /* of the model; 0: not known */
    struct json *job, *section, *accept; /* section, accept: borrowed from the job; accept: data.accept, NULL: nothing yet */
};

/* "  KEY   REASON" on standard output. */
void init_because(const char *key, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Sets `key` to a path as the job file has to call it. */
void init_set_path(const struct init_draft *d, struct json *to, const char *key, const char *path, bool is_path);

/* Reads the rows as a run will, and their parts; counts labels, measures lengths. */
int init_read_rows(struct init_draft *d, struct error *e);

/* Rows of the rarest label; *label: which. */
uint64_t init_rarest(const struct init_draft *d, size_t *label);
/* Labels with fewer rows. */
size_t init_rarer_than(const struct init_draft *d, uint64_t rows);
/* Whether a column or files say the parts. */
bool init_parts_given(const struct init_draft *d);
/* Rows of a part that are not left out. */
size_t init_part_rows(const struct init_draft *d, enum part part);

/* The parts of the job: "data" and "split" (writes the split file where a column says the parts), "train" and "tune". */
int init_choose_data(struct init_draft *d, struct error *e);
void init_choose_training(struct init_draft *d);
void init_choose_tuning(struct init_draft *d);

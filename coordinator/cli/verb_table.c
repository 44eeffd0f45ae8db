/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of muster: the command line, --help, the manual pages and the shell's completion walk this table. */
#include "coordinator/cli/verbs.h"

#define MANY 1000

#define JOB_VERB(verb, words)                                                                                                    \
    {                                                                                                                            \
        verb, "JOB [key=value ...]", words, 1, MANY, job_options, .takes_job = true, .run = verb_job                             \
    }

const struct verb verbs[] = {
    {"init", "DATA", "looks at a JSON Lines, CSV or TSV file and writes a job for it, with reasons", 1, 1, init_options,
     .run = verb_init},
    JOB_VERB("run", "the whole way from data to bundle; resumes what is there"),
    JOB_VERB("check", "reads, cleans and tokenises the data and reports on it"),
    JOB_VERB("split", "and splits it into train, validation and test"),
    JOB_VERB("train", "and trains the baseline"),
    JOB_VERB("sweep", "and trains the grid"),
    JOB_VERB("tune", "and picks thresholds and the best trial on validation"),
    JOB_VERB("publish", "and scores it on test and makes the bundle"),
    {"predict", "BUNDLE DATA", "labels, probabilities and logits of new rows, in one pass", 2, 2, predict_options,
     .run = verb_predict},
    {"evaluate", "BUNDLE DATA", "metrics of a bundle on labelled rows", 2, 2, evaluate_options, .run = verb_evaluate},
    {"calibrate", "RUN|BUNDLE [DATA]", "fits temperatures: a run's on its stored logits, a bundle's on labelled rows", 1, 2,
     calibrate_options, .run = verb_calibrate},
    {"rule", "BUNDLE [threshold=X ...]", "shows or changes a bundle's threshold, threshold.LABEL, temperature", 1, MANY,
     .run = verb_rule},
    {"status", "RUN", "how far the run in a directory is", 1, 1, status_options, .run = verb_status},
    {"report", "RUN", "the page of a run: metrics, plots, errors, provenance", 1, 1, report_options, .run = verb_report},
    {"schema", "", "prints the JSON Schema of the job file, for editors and other programs", 0, 0, .run = verb_schema},
    {"doctor", "", "what this build and this machine have, and what is missing", 0, 0, .run = verb_doctor},
    {"bench", "[option ...]", "tokens/s of this machine, and the share of its measured GEMM rate", 0, MANY, .passes_on = true,
     .run = verb_bench},
    {NULL},
};

/* SPDX-License-Identifier: Apache-2.0 */
/* The verbs of muster: the command line, --help, the manual pages and the shell's completion walk this table. */
#include "coordinator/cli/verbs.h"

#define MANY 1000

#define JOB_VERB(verb, words)                                                                                                    \
    {                                                                                                                            \
        verb, "JOB [key=value ...]", words, 1, MANY, job_options, .takes_job = true, .run = verb_job                             \
    }

const struct verb verbs[] = {
    {"init", "DATA", "inspects a JSON Lines, CSV or TSV file and writes a job file for it, with reasons", 1, 1, init_options,
     .run = verb_init},
    JOB_VERB("run", "runs all stages, from data to bundle; resumes an earlier run"),
    JOB_VERB("check", "reads, cleans and tokenizes the data, and reports on it"),
    JOB_VERB("split", "... then splits it into train, validation and test parts"),
    JOB_VERB("train", "... then trains the baseline configuration"),
    JOB_VERB("sweep", "... then trains the trials of the sweep"),
    JOB_VERB("tune", "... then tunes thresholds and selects the best trial on validation"),
    JOB_VERB("publish", "... then scores it on the test part and makes the bundle"),
    {"protocol", "JOB [key=value ...]", "freezes a job's rows, labels and split, for jobs that name the file in split.file", 1,
     MANY, protocol_options, .takes_job = true, .run = verb_protocol},
    {"predict", "BUNDLE DATA", "predicts labels, probabilities and logits of new rows", 1, 2, predict_options,
     .run = verb_predict},
    {"serve", "BUNDLE ...", "serves bundles over HTTP, with metrics; stops and drains at SIGTERM", 1, MANY, serve_options,
     .run = verb_serve},
    {"evaluate", "BUNDLE DATA", "computes the metrics of a bundle on labeled rows", 2, 2, evaluate_options, .run = verb_evaluate},
    {"calibrate", "RUN|BUNDLE [DATA]", "fits temperatures: of a run on its stored logits, of a bundle on labeled rows", 1, 2,
     calibrate_options, .run = verb_calibrate},
    {"rule", "BUNDLE [threshold=X ...]", "shows or changes a bundle's threshold, threshold.LABEL, temperature", 1, MANY,
     .run = verb_rule},
    {"status", "RUN", "shows the progress of the run in a directory", 1, 1, status_options, .run = verb_status},
    {"report", "RUN", "writes a run's report: metrics, plots, errors, provenance", 1, 1, report_options, .run = verb_report},
    {"zoo", "RUN|BUNDLE|DIR ...", "compares models of the same split: a row each, best on validation first", 1, MANY, zoo_options,
     .run = verb_zoo},
    {"schema", "", "prints the JSON Schema of the job file, for editors and other programs", 0, 0, .run = verb_schema},
    {"doctor", "", "shows what this build and machine provide, and what is missing", 0, 0, .run = verb_doctor},
    {"bench", "[option ...]", "measures training tokens/s on this machine, and the share of the processor's peak", 0, MANY,
     .passes_on = true, .run = verb_bench},
    {NULL},
};

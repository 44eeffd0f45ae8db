/* muster: the coordinator and the command line. The verb table, and the one place where errors are printed. */
#include "common/base/fault.h"
#include "common/base/log.h"
#include "common/base/stop.h"
#include "common/base/version.h"
#include "coordinator/cli/verbs.h"
#include "coordinator/job/job.h"
#include "proto/message.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANY 1000

#define JOB_VERB(verb, words)                                                                                                    \
    {                                                                                                                            \
        verb, "JOB [key=value ...]", words, 1, MANY, job_options, .takes_job = true, .run = verb_job                             \
    }

static const struct verb verbs[] = {
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
    {"doctor", "", "what this build and this machine have, and what is missing", 0, 0, .run = verb_doctor},
    {"bench", "[option ...]", "tokens/s of this machine, and the share of its measured GEMM rate", 0, MANY, .passes_on = true,
     .run = verb_bench},
    {NULL},
};

static void print_help(void)
{
    printf("muster " MUSTER_VERSION ": fine-tunes BERT-like text classifiers and publishes them with their decision rule\n\n");
    for (const struct verb *v = verbs; v->name; v++)
        printf("  muster %-9s %-20s %s\n", v->name, v->arguments, v->summary);
    printf("\n`muster VERB --help` says more. Exit: 0 done, 1 failed, 2 usage or job file, 3 data refused, 4 gate not met, 75 "
           "stopped "
           "(the same command resumes).\n");
}

static int run_verb(const struct verb *v, int argc, char **argv, struct error *e)
{
    struct arguments a;
    if (arguments_read(&a, v, argc, argv, e) != 0)
        return -1;
    int status = 0;
    if (a.help) {
        verb_print_help(v);
        if (v->takes_job) {
            printf("\n");
            job_print_help();
        }
    } else {
        log_setup("muster", a.verbose ? LOG_DEBUG : LOG_INFO);
        status = fault_plan(getenv("MUSTER_FAULT"), message_known, e);
        if (status == 0)
            status = v->run(&a, e);
    }
    arguments_free(&a);
    return status;
}

/* What was printed has to have got somewhere: a full disk under `muster predict > FILE` is a failure. */
static int finish_output(struct error *e)
{
    errno = 0;
    bool failed = fflush(stdout) != 0 || ferror(stdout);
    if (failed && errno != EPIPE) /* who reads may have seen enough: muster run --help | head */
        return error_set(e, ERROR_FAILED, "standard output cannot be written (disk full, or closed)");
    return 0;
}

int main(int argc, char **argv)
{
    struct error e = {0};
    const char *name = argc > 1 ? argv[1] : "--help";
    stop_install();
    signal(SIGPIPE, SIG_IGN);
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help();
        return argc > 1 ? 0 : ERROR_USAGE;
    }
    if (strcmp(name, "--version") == 0) {
        printf("muster " MUSTER_VERSION "\n");
        return 0;
    }
    const struct verb *v = verb_find(verbs, name, &e);
    int status = v ? run_verb(v, argc - 2, argv + 2, &e) : -1;
    if (status == 0)
        status = finish_output(&e);
    if (status == 0)
        return 0;
    fflush(stdout);
    log_status_line(NULL);
    fprintf(stderr, "muster: %s\n", e.message);
    return e.kind ? (int)e.kind : ERROR_FAILED;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* muster: the coordinator and the command line; the one place where errors are printed. */
#include "common/base/fault.h"
#include "common/base/log.h"
#include "common/base/standard_files.h"
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

static void print_help(void)
{
    printf("muster " MUSTER_VERSION ": fine-tunes BERT-like text classifiers and publishes them with their decision rule\n\n");
    for (const struct verb *v = verbs; v->name; v++)
        printf("  muster %-9s %-20s %s\n", v->name, v->arguments, v->summary);
    printf("\nSee `muster VERB --help`. Exit: 0 done, 1 failed, 2 usage or job file, 3 data refused, 4 gate not met, 75 stopped "
           "(run the same command again to resume).\n");
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

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
}

int main(int argc, char **argv)
{
    standard_files_prepare();
    struct error e = {0};
    const char *name = argc > 1 ? argv[1] : "--help";
    stop_install();
    signal(SIGPIPE, SIG_IGN);
    if (is_help(name) && argc < 3) {
        print_help();
        return argc > 1 ? 0 : ERROR_USAGE;
    }
    if (strcmp(name, "--version") == 0) {
        printf("muster " MUSTER_VERSION "%s\n", git_version);
        return 0;
    }
    bool of_verb = is_help(name); /* muster help run */
    const struct verb *v = verb_find(verbs, of_verb ? argv[2] : name, &e);
    int status = !v ? -1 : of_verb ? run_verb(v, 1, (char *[]){"--help"}, &e) : run_verb(v, argc - 2, argv + 2, &e);
    if (status == 0)
        status = finish_output(&e);
    if (status == 0)
        return 0;
    fflush(stdout);
    log_status_line(NULL);
    fprintf(stderr, "muster: %s\n", e.message);
    return e.kind ? (int)e.kind : ERROR_FAILED;
}

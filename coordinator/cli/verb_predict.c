/* SPDX-License-Identifier: Apache-2.0 */
/* muster predict: labels, probabilities and logits of a file's rows, in one pass. */
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/format/results.h"
#include "coordinator/bundle/bundle_score.h"
#include "coordinator/cli/input_arguments.h"
#include "coordinator/cli/prediction_rows.h"
#include "coordinator/cli/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct option predict_options[] = {
    {"output", 'o', "FILE", NULL,
     "output file: .jsonl, .csv, .tsv, or .h5 with id, logits, probabilities and decided; default: JSON Lines on standard "
     "output"},
    INPUT_OPTIONS,
    {"device", 0, "NAME", "auto", "compute device: auto, cpu, cpu_reference"},
    {"threads", 0, "N", "0", "threads; 0: all cores"},
    {NULL},
};

static int write_rows(const char *path, const struct bundle_score *s, enum rows_form form, struct error *e)
{
    struct file_writer *w;
    if (file_writer_create(&w, path, e) != 0)
        return -1;
    prediction_rows_print(file_writer_stream(w), s, form);
    return file_writer_commit(&w, e);
}

static int write_h5(const char *path, const struct bundle_score *s, struct error *e)
{
    struct predictions p = {.data = s->data,
                            .label_names = (const char *const *)bundle_labels(s->bundle)->names,
                            .labels = s->labels,
                            .logits = s->logits,
                            .probabilities = s->probability,
                            .decided = s->decided};
    return predictions_write(path, &p, e);
}

static bool is_standard_output(const char *path)
{
    return !path || strcmp(path, "-") == 0;
}

/* Before the work, not after it. */
static int check_writable(const char *path, struct error *e)
{
    return is_standard_output(path) ? 0 : file_check_writable(path, e);
}

static bool ends_with(const char *path, const char *suffix)
{
    const char *own = strrchr(path, '.');
    return own && strcmp(own, suffix) == 0;
}

static int write_output(const char *path, const struct bundle_score *s, struct error *e)
{
    if (is_standard_output(path)) {
        prediction_rows_print(stdout, s, ROWS_JSON_LINES);
        return 0;
    }
    enum rows_form form = ends_with(path, ".csv") ? ROWS_CSV : ends_with(path, ".tsv") ? ROWS_TSV : ROWS_JSON_LINES;
    if ((ends_with(path, ".h5") ? write_h5(path, s, e) : write_rows(path, s, form, e)) != 0)
        return -1;
    log_info("%s: %u row%s", path, s->rows, s->rows == 1 ? "" : "s");
    return 0;
}

int verb_predict(const struct arguments *a, struct error *e)
{
    struct bundle_score s;
    struct bundle_score_options o = {.device = argument(a, "device")};
    if (argument_whole(&o.threads, a, "threads", 0, 4096, e) != 0 || check_writable(argument(a, "output"), e) != 0 ||
        input_arguments_read(&o.input, a, e) != 0)
        return -1;
    int status = bundle_score_run(&s, a->positional[0], a->positional[1], false, &o, e);
    input_arguments_free(&o.input);
    if (status != 0)
        return -1;
    status = write_output(argument(a, "output"), &s, e);
    bundle_score_free(&s);
    return status;
}

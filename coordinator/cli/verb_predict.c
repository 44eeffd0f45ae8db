/* SPDX-License-Identifier: Apache-2.0 */
/* muster predict: labels, probabilities and logits of a file's rows, in one pass. */
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/format/results.h"
#include "common/format/stream.h"
#include "coordinator/bundle/bundle_score.h"
#include "coordinator/cli/input_arguments.h"
#include "coordinator/cli/prediction_rows.h"
#include "coordinator/cli/remote_predict.h"
#include "coordinator/cli/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct option predict_options[] = {
    {"output", 'o', "FILE", NULL,
     "output file: .jsonl, .csv, .tsv, or .h5 with id, logits, probabilities and decided; default: JSON Lines on standard "
     "output"},
    {"url", 0, "URL", NULL, "ask the muster serve at this address, in place of a bundle: muster predict --url URL DATA"},
    {"api-key-file", 0, "FILE", NULL, "of --url: the file whose first line is the key to send"},
    INPUT_OPTIONS,
    {"device", 0, "NAME", "auto", "compute device: auto, cpu, cuda, cpu_reference"},
    {"threads", 0, "N", "0", "threads; 0: all cores"},
    {NULL},
};

static int write_rows(const char *path, const struct bundle_score *s, enum rows_form form, struct error *e)
{
    struct file_writer *w;
    if (file_writer_create(&w, path, e) != 0)
        return -1;
    bundle_score_print(file_writer_stream(w), s, form, true);
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

static const struct {
    const char *ending;
    bool h5;
    enum rows_form form;
} endings[] = {{".jsonl", .form = ROWS_JSON_LINES}, {".ndjson", .form = ROWS_JSON_LINES}, {".json", .form = ROWS_JSON_LINES},
               {".csv", .form = ROWS_CSV},          {".tsv", .form = ROWS_TSV},           {".h5", .h5 = true}};

/* Index into endings; without an ending, and on standard output, JSON Lines. -1: ERROR_USAGE. */
static int find_ending(const char *path, struct error *e)
{
    const char *slash = path ? strrchr(path, '/') : NULL, *own = path ? strrchr(slash ? slash : path, '.') : NULL;
    if (!own || is_standard_output(path))
        return 0;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strcmp(own, endings[i].ending) == 0)
            return (int)i;
    return error_set(e, ERROR_USAGE, "%s: %s is no format that predict writes; use .jsonl, .csv, .tsv or .h5", path, own);
}

static int write_output(const char *path, int ending, const struct bundle_score *s, struct error *e)
{
    if (is_standard_output(path)) {
        bundle_score_print(stdout, s, ROWS_JSON_LINES, true);
        return 0;
    }
    if ((endings[ending].h5 ? write_h5(path, s, e) : write_rows(path, s, endings[ending].form, e)) != 0)
        return -1;
    log_info("%s: %u row%s", path, s->rows, s->rows == 1 ? "" : "s");
    return 0;
}

/* ---- standard input, row by row ---- */

struct sink {
    FILE *to;
    enum rows_form form;
    uint64_t rows;
};

static int take_chunk(void *context, const struct bundle_score *s, bool first, struct error *e)
{
    struct sink *k = context;
    bundle_score_print(k->to, s, k->form, first);
    k->rows += s->rows;
    return fflush(k->to) == 0 ? 0 : error_errno(e, errno, "predictions cannot be written");
}

static int predict_stream(const char *bundle, const char *path, int ending, const struct bundle_score_options *o, struct error *e)
{
    struct sink k = {.to = stdout, .form = endings[ending].form};
    struct file_writer *w = NULL;
    if (is_standard_output(path))
        return bundle_score_stream(bundle, o, take_chunk, &k, e);
    if (file_writer_create(&w, path, e) != 0)
        return -1;
    k.to = file_writer_stream(w);
    if (bundle_score_stream(bundle, o, take_chunk, &k, e) != 0) {
        file_writer_destroy(&w);
        return -1;
    }
    if (file_writer_commit(&w, e) != 0)
        return -1;
    log_info("%s: %llu row%s", path, (unsigned long long)k.rows, k.rows == 1 ? "" : "s");
    return 0;
}

static int predict_file(const char *bundle, const char *input, const char *path, int ending, const struct bundle_score_options *o,
                        struct error *e)
{
    struct bundle_score s;
    if (bundle_score_run(&s, bundle, input, false, o, e) != 0)
        return -1;
    int status = write_output(path, ending, &s, e);
    bundle_score_free(&s);
    return status;
}

/* ---- by a server ---- */

static int predict_remote(const struct arguments *a, const char *input, const char *path, int ending,
                          const struct input_options *rows, struct error *e)
{
    const struct remote_options o = {argument(a, "url"), argument(a, "api-key-file"), *rows};
    struct file_writer *w = NULL;
    uint64_t count;
    if (endings[ending].h5)
        return error_set(e, ERROR_USAGE, "%s: --url writes .jsonl, .csv and .tsv", path);
    if (!is_standard_output(path) && file_writer_create(&w, path, e) != 0)
        return -1;
    if (remote_predict(&count, w ? file_writer_stream(w) : stdout, endings[ending].form, input, &o, e) != 0) {
        file_writer_destroy(&w);
        return -1;
    }
    if (!w)
        return 0;
    if (file_writer_commit(&w, e) != 0)
        return -1;
    log_info("%s: %llu row%s", path, (unsigned long long)count, count == 1 ? "" : "s");
    return 0;
}

/* BUNDLE DATA, or DATA with --url. */
static int check_arguments(const struct arguments *a, struct error *e)
{
    size_t wanted = argument_given(a, "url") ? 1 : 2;
    if (a->count < wanted)
        return error_set(e, ERROR_USAGE, "predict: DATA is missing; usage: muster predict %s", a->verb->arguments);
    if (a->count > wanted)
        return error_set(e, ERROR_USAGE, "predict: with --url there is no BUNDLE: muster predict --url URL DATA");
    if (argument_given(a, "api-key-file") && wanted == 2)
        return error_set(e, ERROR_USAGE, "--api-key-file: is for a server: --url");
    return 0;
}

static int predict_local(const char *bundle, const char *input, const char *path, int ending,
                         const struct bundle_score_options *o, struct error *e)
{
    if (strcmp(input, STREAM_STANDARD_INPUT) == 0 && !endings[ending].h5)
        return predict_stream(bundle, path, ending, o, e);
    return predict_file(bundle, input, path, ending, o, e);
}

int verb_predict(const struct arguments *a, struct error *e)
{
    struct bundle_score_options o = {.device = argument(a, "device")};
    if (check_arguments(a, e) != 0)
        return -1;
    bool remote = argument_given(a, "url");
    const char *bundle = a->positional[0], *input = a->positional[remote ? 0 : 1], *path = argument(a, "output");
    int ending = find_ending(path, e);
    if (ending < 0 || argument_whole(&o.threads, a, "threads", 0, 4096, e) != 0 || check_writable(path, e) != 0 ||
        input_arguments_read(&o.input, a, e) != 0)
        return -1;
    int status = remote ? predict_remote(a, input, path, ending, &o.input, e) : predict_local(bundle, input, path, ending, &o, e);
    input_arguments_free(&o.input);
    return status;
}

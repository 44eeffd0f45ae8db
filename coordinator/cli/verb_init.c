/* SPDX-License-Identifier: Apache-2.0 */
/* muster init: looks at somebody's data and writes a job that runs on it, with the reason for each choice on the screen. */
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/format/model_config.h"
#include "common/format/stream.h"
#include "coordinator/cli/init_draft.h"
#include "coordinator/cli/verbs.h"
#include "coordinator/job/job_paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct option init_options[] = {
    {"output", 'o', "FILE", "job.json", "job file to write"},
    {"model", 0, "NAME", NULL, "directory of a Hugging Face model, or a Hub name; default: a placeholder"},
    {"label", 0, "FIELD", NULL, "field with the label; default: the most likely one"},
    {"force", 0, NULL, NULL, "overwrite an existing file"},
    {NULL},
};

/* ---- name, model, task ---- */

static char *job_name(const char *data)
{
    const char *slash = strrchr(data, '/'), *from = slash ? slash + 1 : data;
    size_t size = stream_name_size(from);
    for (size_t i = size; i > 0; i--)
        if (from[i - 1] == '.') {
            size = i - 1;
            break;
        }
    char *name = format_string("%.*s", (int)size, from);
    for (char *c = name; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", *c))
            *c = '_';
    if (name[0] == '.' || name[0] == '-' || !name[0]) {
        free(name);
        name = duplicate("job");
    }
    return name;
}

static int choose_model(struct init_draft *d, struct error *e)
{
    char *directory = NULL;
    struct model_config config;
    struct error absent;
    if (!d->model) {
        d->model = d->g.foreign > 0.05 ? "google-bert/bert-base-multilingual-cased" : "google-bert/bert-base-uncased";
        init_because("model", "%s: a placeholder for %s; --model names another", d->model,
                     d->g.foreign > 0.05 ? "texts not only in English" : "English");
    } else {
        init_because("model", "%s: as given by --model", d->model);
    }
    if (model_directory_find(&directory, d->model, &absent) == 0) {
        d->directory = directory;
        if (model_config_read(&config, directory, e))
            return -1;
        d->limit = model_config_max_length(&config);
        d->width = config.width;
        d->vocabulary = config.vocabulary;
    }
    init_set_path(d, d->job, "model", d->model, directory_exists(d->model));
    return 0;
}

static void choose_task(struct init_draft *d)
{
    json_set_string(d->job, "task", d->g.multi ? "multi_label_classification" : "single_label_classification");
    if (d->g.column_count > 0) {
        init_because("task", "multi-label: %zu fields contain only 0 and 1", d->g.column_count);
        return;
    }
    init_because("task", "%s: field '%s' holds %s", d->g.multi ? "multi-label" : "single label", guess_name(&d->g, d->g.label),
                 d->g.sets        ? "strings that are sets of others"
                 : d->g.separator ? "strings with a separator"
                 : d->g.multi     ? "lists"
                                  : "one value per row");
}

static int make_job(struct init_draft *d, struct error *e)
{
    char *name = job_name(d->data);
    d->job = json_object();
    json_set_string(d->job, "name", name);
    free(name);
    printf("%s: %s, %llu rows%s\n", d->data, d->g.format, (unsigned long long)d->records.read,
           d->records.read > GUESS_ROWS ? " (fields are inferred from the first 50000)" : "");
    if (choose_model(d, e))
        return -1;
    choose_task(d);
    if (init_choose_data(d, e))
        return -1;
    init_choose_training(d);
    init_choose_tuning(d);
    return 0;
}

/* A file without a header line gives its first row as names. */
static void doubt_header(const struct init_draft *d)
{
    if (d->g.cells && text_words(guess_name(&d->g, d->g.main_a)) >= 5)
        log_warn("%s: its first line, read as the header, looks like a data row: is the header line missing?", d->data);
}

int verb_init(const struct arguments *a, struct error *e)
{
    struct init_draft d = {.data = a->positional[0], .model = argument(a, "model"), .output = argument(a, "output")};
    const char *path = d.output;
    int result = guess_fields(&d.g, d.data, argument(a, "label"), e);
    if (!result && file_exists(path) && !argument_given(a, "force"))
        result = error_set(e, ERROR_USAGE, "%s: exists already; choose another with -o, or overwrite it with --force", path);
    if (!result && d.g.part == SIZE_MAX)
        init_sibling_files(&d.files, d.data);
    if (!result)
        result = init_read_rows(&d, e) || make_job(&d, e) ? -1 : 0;
    if (!result)
        doubt_header(&d);
    if (!result)
        result = json_write(path, d.job, e);
    if (!result)
        printf("wrote %s\nnext: muster check %s\n", path, path);
    json_destroy(&d.job);
    free(d.part);
    free(d.label_rows);
    free(d.directory);
    init_files_free(&d.files);
    records_free(&d.records);
    guess_free(&d.g);
    return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the order of the stages of a run. */
#include "coordinator/run.h"

#include "common/base/buffer.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/machine.h"
#include "common/base/memory.h"
#include "common/base/operation.h"
#include "common/base/stop.h"
#include "common/base/version.h"
#include "common/format/model_config.h"
#include "coordinator/bundle/evaluation.h"
#include "coordinator/bundle/publish.h"
#include "coordinator/bundle/results_merge.h"
#include "coordinator/compare/comparison.h"
#include "coordinator/decision/decide.h"
#include "coordinator/decision/metrics.h"
#include "coordinator/dispatch/mpi_attach.h"
#include "coordinator/memory_estimate.h"
#include "coordinator/report/report.h"
#include "coordinator/sweep/leaderboard.h"
#include "coordinator/sweep/scheduler_replay.h"
#include "coordinator/sweep/trials.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void heading(const char *stage, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void heading(const char *stage, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("\n== %s: ", stage);
    vprintf(format, arguments);
    printf("\n");
    fflush(stdout);
    va_end(arguments);
}

static bool was_done(const struct run *r, const char *stage, const char *made_from)
{
    const struct json *done = event_log_last(r->log, "stage_done", "stage", stage);
    const char *before = json_string(json_get(done, "made_from"));
    return before && strcmp(before, made_from) == 0;
}

static int remember(struct run *r, const char *stage, const char *made_from, struct error *e)
{
    if (was_done(r, stage, made_from))
        return 0;
    struct json *event = json_object();
    json_set_string(event, "stage", stage);
    json_set_string(event, "made_from", made_from);
    return event_log_append(r->log, "stage_done", event, e);
}

static char *absolute(const char *path, struct error *e)
{
    char *full = realpath(path, NULL);
    if (!full)
        error_errno(e, errno, "%s: cannot be found", path);
    return full;
}

/* ---- check ---- */

static int read_labels(struct run *r, struct error *e)
{
    const struct json *labels = json_get(r->check, "labels");
    const char *positive = r->job->data.positive;
    r->labels = dataset_labels(r->data);
    r->kind = decision_kind_of(r->job->multi, r->labels);
    if (json_size(labels) != r->labels)
        return error_set(e, ERROR_DATA, "check.json names %zu labels, the rows have %u; remove it and run again",
                         json_size(labels), r->labels);
    r->label_names = allocate(r->labels, sizeof(char *));
    r->positive = (int)r->labels - 1;
    for (uint32_t c = 0; c < r->labels; c++) {
        r->label_names[c] = json_string(json_get(json_at(labels, c), "name"));
        if (positive && strcmp(positive, r->label_names[c]) == 0)
            r->positive = (int)c;
    }
    if (positive && r->kind != DECISION_BINARY)
        return error_set(e, ERROR_USAGE, "data.positive is for two labels, one of them a row; leave it out");
    if (r->kind != DECISION_BINARY && strcmp(r->job->train.select, "f1") == 0)
        return error_set(e, ERROR_USAGE, "train.select: f1 is of two labels, the data has %u; use micro_f1 or macro_f1",
                         r->labels);
    if (positive && strcmp(positive, r->label_names[r->positive]) != 0)
        return error_set(e, ERROR_USAGE, "data.positive: the data has no label \"%s\"; it has \"%s\" and \"%s\"", positive,
                         r->label_names[0], r->label_names[1]);
    return 0;
}

static int check_length(const struct run *r, struct error *e)
{
    struct model_config model;
    if (model_config_read(&model, r->model, e) != 0)
        return -1;
    if (r->job->train.max_length > model.positions)
        return error_set(e, ERROR_USAGE, "train.max_length: %u tokens are more than the %u that %s takes",
                         r->job->train.max_length, model.positions, r->job->model);
    return 0;
}

static int find_rows(struct run *r, struct error *e)
{
    char *path = data_rows_path(r->directory, json_string(json_get(r->check, "made_from")));
    r->rows = absolute(path, e);
    free(path);
    return r->rows ? 0 : -1;
}

static int stage_check(struct run *r, struct error *e)
{
    char *found = NULL;
    heading("check", "%s", r->job->data.path ? r->job->data.path : r->job->data.train_path);
    if (sweep_plan(&r->trials, &r->trial_count, r->job, e) != 0)
        return -1;
    if (model_directory_find(&found, r->job->model, e) != 0)
        return -1;
    r->model = absolute(found, e);
    free(found);
    if (!r->model || check_length(r, e) != 0 || data_open(&r->data, &r->check, r->job, e) != 0 || find_rows(r, e) != 0)
        return -1;
    if (r->last == STAGE_CHECK || !was_done(r, "check", dataset_sha256(r->data)))
        data_print_check(r->check);
    else
        printf("  done before: %u rows\n", dataset_rows(r->data));
    memory_print(r);
    if (r->last == STAGE_CHECK && r->trial_count > 1)
        sweep_print(r->trials, r->trial_count, r->job);
    return remember(r, "check", dataset_sha256(r->data), e);
}

/* ---- split ---- */

/* Of more than two labels, how many the part has rows of: one without is worth knowing before training. */
static void print_labels_of_part(const struct run *r, const uint32_t *rows, uint32_t count)
{
    uint64_t *of_label = allocate(r->labels, sizeof *of_label), all = 0;
    uint32_t absent = 0, first = 0;
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t l = 0; l < r->labels; l++)
            of_label[l] += r->job->multi ? dataset_targets(r->data, rows[i])[l] > 0 : dataset_class(r->data, rows[i]) == (int)l;
    for (uint32_t l = r->labels; l-- > 0;) {
        all += of_label[l];
        absent += of_label[l] == 0;
        first = of_label[l] == 0 ? l : first;
    }
    printf("   %.2f labels a row", count ? (double)all / count : 0);
    if (absent > 0)
        printf("; no row of %u of them, the first is %s", absent, r->label_names[first]);
    printf("\n");
    free(of_label);
}

static void print_part(const struct run *r, enum part part)
{
    uint32_t rows = r->split.part[part].count, positive = 0;
    printf("  %-12s %8u rows  %5.1f %%", part_names[part], rows, 100.0 * rows / dataset_rows(r->data));
    if (r->kind != DECISION_BINARY) {
        print_labels_of_part(r, r->split.part[part].rows, rows);
        return;
    }
    for (uint32_t i = 0; i < rows; i++)
        positive += dataset_class(r->data, r->split.part[part].rows[i]) == r->positive;
    printf("   %s %8u  (%.2f %%)\n", r->label_names[r->positive], positive, rows ? 100.0 * positive / rows : 0);
}

static int stage_split(struct run *r, struct error *e)
{
    if (data_split(&r->split, r->job, r->data, r->check, e) != 0)
        return -1;
    char *path = path_join(r->directory, "split.json");
    r->split_path = absolute(path, e);
    free(path);
    if (!r->split_path || read_labels(r, e) != 0)
        return -1;
    heading("split", "method %s, seed %.0f, by %s", r->split.method, (double)r->job->seed,
            r->job->data.group ? r->job->data.group : "row");
    for (int p = 0; p < PART_COUNT; p++)
        print_part(r, (enum part)p);
    if (data_print_split(r->job, r->check, e) != 0)
        return -1;
    validation_create(&r->validation, r->data, &r->split, r->positive);
    return remember(r, "split", r->split.sha256, e);
}

/* ---- train: the baseline ---- */

static void print_class_weights(const struct run *r)
{
    const double *weights = r->trials[0].class_weights;
    uint32_t shown = r->labels < 6 ? r->labels : 6;
    if (r->job->multi && !(r->job->train.pos_weight_low > 0))
        return;
    printf("  %s weights", r->job->multi ? "positive" : "class");
    for (uint32_t c = 0; c < shown; c++)
        printf("%s %s %.4f", c ? "," : "", r->label_names[c], weights[c]);
    printf(shown < r->labels ? ", and %u more\n" : "\n", r->labels - shown);
}

static void print_taken_up(const struct trial_run *t)
{
    const struct epoch_score *s = t->epochs ? &t->epochs[t->best_epoch - 1] : NULL;
    if (t->state == TRIAL_PRUNED)
        printf("  %s  %s; done before (to train it to its end, remove its directory)\n", t->key, t->why);
    else if (s)
        printf("  %s  done before: best epoch %u of %u  loss %.4f  F1 %.4f  macro F1 %.4f\n", t->key, t->best_epoch,
               t->epochs_done, s->loss, s->positive.f1, s->all.macro_f1);
}

/* Several groups train the grid beside the baseline: none of them waits for it. */
static bool baseline_has_company(const struct run *r)
{
    return r->last > STAGE_TRAIN && r->trial_count > 1 && r->workers.groups > 1;
}

static int decide_baseline(struct run *r, bool print, struct error *e)
{
    struct trial_run *t = &r->trials[0];
    if (t->state == TRIAL_FAILED)
        return error_set(e, ERROR_FAILED, "the baseline %s failed: %s", t->key, t->why);
    if (decide_trial(r, t, e) != 0)
        return -1;
    if (print)
        decide_print(r, t);
    if (!t->own.met)
        printf("  no threshold: %s\n", t->own.why);
    return 0;
}

static int stage_train(struct run *r, struct error *e)
{
    if (trials_prepare(r, e) != 0)
        return -1;
    const struct trial_run *t = &r->trials[0];
    const struct job *j = r->job;
    heading("train", "baseline %s on %u rows, batch %u, %s, best epoch by %s", t->key, r->split.part[PART_TRAIN].count,
            j->train.batch, j->train.precision, j->train.select);
    print_class_weights(r);
    bool before = t->state == TRIAL_DONE;
    print_taken_up(t);
    if (baseline_has_company(r))
        return 0;
    return trials_train(r, 0, 1, e) == 0 ? decide_baseline(r, !before || r->last == STAGE_TRAIN, e) : -1;
}

/* ---- sweep: the grid ---- */

static int stage_sweep(struct run *r, struct error *e)
{
    size_t done = 0;
    if (r->trial_count == 1)
        return 0;
    for (size_t i = 1; i < r->trial_count; i++)
        done += r->trials[i].state == TRIAL_DONE || r->trials[i].state == TRIAL_PRUNED;
    char *about = pruning_description(r->job);
    heading("sweep", "%zu trials besides the baseline, %zu done before%s", r->trial_count - 1, done, about);
    free(about);
    for (size_t i = 1; i < r->trial_count; i++)
        print_taken_up(&r->trials[i]);
    if (!baseline_has_company(r))
        return trials_train(r, 1, r->trial_count - 1, e);
    bool before = r->trials[0].state == TRIAL_DONE;
    return trials_train(r, 0, r->trial_count, e) == 0 ? decide_baseline(r, !before, e) : -1;
}

/* ---- tune: thresholds, table, winner ---- */

/* beside: what the table said of other models, if that is still true; else NULL. */
static int write_table(const struct run *r, const char *beside, struct error *e)
{
    struct json *table = table_to_json(r->trials, r->order, r->trial_count, r->job);
    char *trials = table_to_markdown(r->trials, r->order, r->trial_count, r->job);
    char *text = beside ? format_string("%s\n%s", trials, beside) : duplicate(trials);
    char *json_path = path_join(r->directory, "table.json"), *path = path_join(r->directory, "table.md");
    int status = json_write(json_path, table, e) == 0 ? file_write(path, text, strlen(text), e) : -1;
    free(path);
    free(json_path);
    free(text);
    free(trials);
    json_destroy(&table);
    return status;
}

/* NULL if it is not there. Caller frees. */
static char *read_tuned(const struct run *r)
{
    char *path = path_join(r->directory, "tune.json"), *text = NULL;
    struct error ignored;
    size_t size;
    if (file_exists(path) && file_read(&text, &size, path, &ignored) != 0)
        text = NULL;
    free(path);
    return text;
}

/* tune.json, and the table. What publish said there of other models on test stays as long as the decision is the same. */
static int write_tuned(struct run *r, struct error *e)
{
    char *before = read_tuned(r);
    int status = decide_write(r, e);
    char *after = read_tuned(r);
    bool same = before && after && strcmp(before, after) == 0;
    char *beside = same && r->job->report.baseline ? beside_section(r->directory) : NULL;
    if (status == 0)
        status = write_table(r, beside, e);
    free(beside);
    free(after);
    free(before);
    return status;
}

static int stage_tune(struct run *r, struct error *e)
{
    for (size_t i = 1; i < r->trial_count; i++)
        if (r->trials[i].state == TRIAL_DONE && decide_trial(r, &r->trials[i], e) != 0)
            return -1;
    if (decide_best(r, e) != 0)
        return -1;
    heading("tune", "%zu trial%s on validation", r->trial_count, r->trial_count == 1 ? "" : "s");
    table_print(r->trials, r->order, r->trial_count, r->job);
    char *words = decision_summary(r);
    printf("  chosen: %s, %s\n", r->trials[r->order[0]].key, words);
    free(words);
    decide_print_temperature(r);
    return write_tuned(r, e) == 0 ? gather(r, e) : -1;
}

/* ---- publish: test metrics, bundle ---- */

static int stage_publish(struct run *r, struct error *e)
{
    bool made;
    const struct trial_run *winner = &r->trials[r->order[0]];
    char *words = decision_summary(r);
    heading("final", "%s, epoch %u, %s", winner->key, winner->best_epoch, words);
    free(words);
    if (final_score(&r->final, r, winner, e) != 0 || gather(r, e) != 0)
        return -1;
    final_print(r);
    if (evaluation_write(r, e) != 0)
        return -1;
    if (beside_transformer(r, e) != 0)
        return -1;
    if (publish(r, &made, e) != 0)
        return -1;
    if (report_write(r->job->out, NULL, false, e) != 0)
        return -1;
    heading("publish", "%s", made ? "done" : "done before");
    printf("  bundle  %s/bundle\n  zip     %s/%s.zip\n  table   %s/table.md\n  report  %s/report.html\n"
           "  next    muster predict %s/bundle FILE.jsonl\n",
           r->job->out, r->job->out, r->job->name, r->job->out, r->job->out, r->job->out);
    return 0;
}

static const char *const stage_names[] = {"check", "split", "train", "sweep", "tune", "publish"};
static int (*const stages[])(struct run *r, struct error *e) = {stage_check, stage_split, stage_train,
                                                                stage_sweep, stage_tune,  stage_publish};

static void fill_workers(struct run *r, const struct dispatch_options *given)
{
    const struct job *j = r->job;
    r->workers = *given;
    r->workers.device = (enum device_kind)device_kind_find(j->cluster.device);
    r->workers.hostfile = j->cluster.hostfile;
    r->workers.interface = j->cluster.interface;
    r->workers.threads = (int)j->cluster.threads;
    r->workers.serve_metrics = j->cluster.metrics_port != NO_METRICS_PORT;
    r->workers.metrics_port = (int)j->cluster.metrics_port;
    r->workers.heartbeat_timeout = j->cluster.heartbeat_timeout;
    r->workers.restarts = (int)j->cluster.restarts;
    if (r->workers.device == DEVICE_FAKE)
        log_warn("cluster.device is fake: losses and logits are simulated, nothing is learned");
    if (r->workers.launcher != LAUNCHER_UNSET)
        return;
    r->workers.launcher = launcher_kind_find(j->cluster.launcher);
    r->workers.groups = (int)j->cluster.groups;
    r->workers.ranks_per_group = (int)j->cluster.ranks_per_group;
}

static void run_free(struct run *r)
{
    dispatch_destroy(&r->dispatch, r->exit_code);
    final_free(&r->final);
    free(r->beside);
    free(r->order);
    sweep_free(r->trials, r->trial_count);
    validation_destroy(&r->validation);
    split_free(&r->split);
    free(r->label_names);
    dataset_close(&r->data);
    json_destroy(&r->check);
    event_log_close(&r->log);
    free(r->model);
    free(r->split_path);
    free(r->rows);
    free(r->directory);
}

/* The last line names them; of many, the first few. */
static void warn_of_failures(const struct run *r)
{
    struct buffer names = {0};
    size_t failed = 0;
    for (size_t i = 0; i < r->trial_count; i++)
        if (r->trials[i].state == TRIAL_FAILED && failed++ < 5)
            buffer_printf(&names, "%s%s", failed > 1 ? ", " : "", r->trials[i].key);
    if (failed > 0)
        log_warn("%zu of %zu trials failed (%s%s); the same command tries them again", failed, r->trial_count, names.data,
                 failed > 5 ? ", ..." : "");
    buffer_free(&names);
}

/* For who watches: that a coordinator is at work, and how it ended. A new directory hears of it once its data is checked: a job
 * that fails there can be mended, and does not claim the directory. */
static int note_start(struct run *r, struct error *e)
{
    if (r->noted)
        return 0;
    r->noted = true;
    char host[MACHINE_NAME], pids[MACHINE_PIDS];
    machine_name(host, sizeof host);
    machine_pids(pids);
    struct json *event = json_object();
    json_set_string(event, "host", host);
    json_set_number(event, "pid", getpid());
    json_set_string(event, "pid_namespace", pids);
    json_set_string(event, "version", MUSTER_VERSION);
    return event_log_append(r->log, "run_started", event, e);
}

static void note_end(const struct run *r, int status, const struct error *why)
{
    struct error ignored;
    struct json *event = json_object();
    json_set_number(event, "exit_code", r->exit_code);
    json_set_string(event, "why", status == 0 || !why ? NULL : why->message);
    if (event_log_append(r->log, "run_ended", event, &ignored) != 0)
        log_debug("%s", ignored.message);
}

int run_until(struct job *j, enum stage last, const struct dispatch_options *workers, struct error *e)
{
    struct run r = {.job = j, .last = last};
    double start = clock_seconds();
    fill_workers(&r, workers);
    int status = last >= STAGE_TRAIN ? dispatch_check(&r.workers, e) : 0;
    if (status == 0)
        status = job_claim_directory(j, e);
    if (status == 0 && !(r.directory = absolute(j->out, e)))
        status = -1;
    r.workers.directory = r.directory;
    if (status == 0)
        status = event_log_open(&r.log, r.directory, e);
    if (status == 0 && event_log_count(r.log) > 0)
        status = note_start(&r, e);
    if (status == 0 && r.workers.launcher == LAUNCHER_ATTACHED)
        attach_announce(r.directory);
    for (int stage = 0; status == 0 && stage <= (int)last; stage++) {
        status = stop_check(e);
        operation_begin(stage_names[stage]);
        if (status == 0)
            status = stages[stage](&r, e);
        if (status == 0)
            status = note_start(&r, e);
    }
    warn_of_failures(&r);
    if (status == 0)
        printf("\n%.1f s\n", clock_seconds() - start);
    else if (e)
        r.exit_code = (int)e->kind;
    if (r.noted)
        note_end(&r, status, e);
    run_free(&r);
    return status;
}

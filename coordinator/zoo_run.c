/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/zoo_run.h"

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"
#include "common/format/model_config.h"
#include "coordinator/data/protocol_freeze.h"
#include "coordinator/job/job_combination.h"
#include "coordinator/job/job_combinations.h"
#include "coordinator/sweep/sweep.h"
#include "coordinator/zoo/zoo.h"
#include "coordinator/zoo/zoo_row.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct zoo_run {
    struct job *job;
    struct run_claim *claim;
    struct workers *workers;
    char *split_file;
    struct job *runs; /* (count) */
    size_t count;
};

static void zoo_run_free(struct zoo_run *z)
{
    for (size_t i = 0; i < z->count; i++)
        job_free(&z->runs[i]);
    free(z->runs);
    free(z->split_file);
}

/* ---- what they have in common ---- */

static int freeze(struct zoo_run *z, struct error *e)
{
    static const uint32_t all[PART_COUNT] = {0};
    const struct job *j = z->job;
    struct protocol_summary s;
    char sha256[SHA256_HEX];
    if (j->split.file) {
        z->split_file = duplicate(j->split.file);
        return 0;
    }
    z->split_file = path_join(j->out, "protocol.json");
    bool there = file_exists(z->split_file);
    printf("\n== protocol: %s%s\n", z->split_file, there ? ", done before" : "");
    if (!there && protocol_freeze(&s, j, j->out, all, e) != 0)
        return -1;
    if (!there)
        printf("  rows: train %u, validation %u, test %u; %u left out\n  labels: %u, and %u dropped\n", s.rows[PART_TRAIN],
               s.rows[PART_VALIDATION], s.rows[PART_TEST], s.left_out, s.labels, s.dropped_labels);
    if (sha256_file(z->split_file, sha256, e) != 0 || run_claim_remember(z->claim, "protocol", sha256, e) != 0)
        return -1;
    return run_claim_note_start(z->claim, e);
}

/* A model that is missing is found out before the rows are read. */
static int find_models(const struct job *j, struct error *e)
{
    for (size_t i = 0; i < j->search.models.count; i++) {
        char *found = NULL;
        if (model_directory_find(&found, j->search.models.names[i], e) != 0)
            return error_prefix(e, "sweep.model: ");
        free(found);
    }
    return 0;
}

static int plan(struct zoo_run *z, struct error *e)
{
    size_t count = job_combinations(z->job);
    z->runs = allocate(count, sizeof *z->runs);
    for (; z->count < count; z->count++)
        if (job_combination(&z->runs[z->count], z->job, z->count, z->split_file, e) != 0)
            return -1;
    return 0;
}

/* ---- each of them ---- */

static int run_one(struct zoo_run *z, size_t i, enum stage last, struct error *e)
{
    struct job *j = &z->runs[i];
    struct run_claim claim = {0};
    char *fields = zoo_fields_of(j);
    printf("\n==== %zu of %zu: %s, model %s, fields %s\n", i + 1, z->count, j->name, j->model, fields);
    fflush(stdout);
    free(fields);
    int status = run_claim_open(&claim, j, e);
    if (status == 0)
        status = run_on(j, last, &claim, z->workers, e);
    if (status != 0)
        error_prefix(e, "%s: ", j->name);
    run_claim_note_end(&claim, status == 0 ? 0 : (int)e->kind, status == 0 ? NULL : e);
    run_claim_close(&claim);
    return status;
}

static int check_all(struct zoo_run *z, enum stage last, struct error *e)
{
    for (size_t i = 0; i < z->count; i++)
        if (run_one(z, i, last, e) != 0)
            return -1;
    return 0;
}

/* After a stop none begins; a failure is told at the end, too. */
static int train_all(struct zoo_run *z, enum stage last, struct error *e)
{
    struct error first = {0};
    size_t failed = 0;
    for (size_t i = 0; i < z->count; i++) {
        struct error why = {0};
        if (run_one(z, i, last, &why) == 0)
            continue;
        if (why.kind == ERROR_STOPPED) {
            *e = why;
            return -1;
        }
        log_warn("%s", why.message);
        if (failed++ == 0)
            first = why;
    }
    if (failed == 0)
        return 0;
    return error_set(e, first.kind, "%zu of %zu combinations failed, the first: %.700s; the same command tries them again",
                     failed, z->count, first.message);
}

/* ---- what they cost ---- */

struct cost {
    size_t trials;
    double steps, tokens; /* tokens: rows of the mean length */
};

static int cost_of(struct cost *ret, const struct job *j, double rows, struct error *e)
{
    struct trials trials;
    struct json *check = NULL;
    char *path = path_join(j->out, "check.json");
    int status = sweep_plan(&trials, j, e);
    if (status == 0 && json_read(&check, path, e) != 0) {
        sweep_free(&trials);
        status = -1;
    }
    free(path);
    if (status != 0)
        return -1;
    double length = fmin(json_number(json_get(json_get(check, "tokens"), "mean")), j->train.max_length);
    *ret = (struct cost){.trials = trials.count};
    for (size_t i = 0; i < trials.count; i++) {
        const struct job *t = &trials.list[i].job;
        ret->steps += ceil(rows / t->train.batch) * t->train.epochs;
        ret->tokens += rows * length * t->train.epochs;
    }
    json_destroy(&check);
    sweep_free(&trials);
    return 0;
}

static int print_costs(const struct zoo_run *z, struct error *e)
{
    struct json *split;
    struct cost all = {0};
    if (json_read(&split, z->split_file, e) != 0)
        return -1;
    const struct json *counted = json_get(json_get(split, "counts"), "train"); /* not in a file made by other hands */
    double rows = counted ? json_number(counted) : (double)json_size(json_get(json_get(split, "parts"), "train"));
    json_destroy(&split);
    printf("\n== sweep: %zu combination%s on the same %.0f rows of train\n", z->count, z->count == 1 ? "" : "s", rows);
    for (size_t i = 0; i < z->count; i++) {
        struct cost c;
        if (cost_of(&c, &z->runs[i], rows, e) != 0)
            return -1;
        printf("  %-40s %4zu trial%s %8.0f steps  %8.3f M tokens\n", z->runs[i].name, c.trials, c.trials == 1 ? " " : "s",
               c.steps, 1e-6 * c.tokens);
        all.trials += c.trials;
        all.steps += c.steps;
        all.tokens += c.tokens;
    }
    printf("  %-40s %4zu trial%s %8.0f steps  %8.3f M tokens, at most\n", "all", all.trials, all.trials == 1 ? " " : "s",
           all.steps, 1e-6 * all.tokens);
    return 0;
}

/* ---- the table, and what is published ---- */

static int write_text(const struct job *j, const char *name, char *text, struct error *e)
{
    char *path = path_join(j->out, name);
    int status = file_write(path, text, strlen(text), e);
    free(path);
    free(text);
    return status;
}

/* The link at `path`, whatever it has pointed to. */
static int link_to(const char *target, const char *path, struct error *e)
{
    char *temporary = format_string("%s.%d.tmp", path, (int)getpid());
    unlink(temporary);
    int status = 0;
    if (symlink(target, temporary) != 0 || rename(temporary, path) != 0)
        status = error_errno(e, errno, "%s: cannot be made a link to %s", path, target);
    unlink(temporary);
    free(temporary);
    return status;
}

static int publish(const struct job *j, const char *best, struct error *e)
{
    char *bundle = format_string("models/%s/bundle", best), *zip = format_string("models/%s/%s.zip", best, best),
         *bundle_path = path_join(j->out, "bundle"), *zip_path = format_string("%s/%s.zip", j->out, j->name);
    int status = link_to(bundle, bundle_path, e) != 0 ? -1 : link_to(zip, zip_path, e);
    free(zip_path);
    free(bundle_path);
    free(zip);
    free(bundle);
    return status;
}

static void print_table(const struct json *models, const char *metric)
{
    printf("  %-40s %10s  validation %s\n", "", "", metric);
    for (size_t i = 0; i < json_size(models); i++) {
        const struct json *m = json_at(models, i), *v = json_get(m, "validation"),
                          *range = json_get(json_get(v, "intervals"), metric);
        printf("  %-40s %10.4f  %.4f to %.4f  %s\n", json_string(json_get(m, "name")), json_number(json_get(v, metric)),
               json_number(json_at(range, 0)), json_number(json_at(range, 1)), json_string(json_get(m, "fields")));
    }
}

/* The first that was trained: rows are sorted by validation. */
static const char *best_of(const struct json *models)
{
    for (size_t i = 0; i < json_size(models); i++)
        if (!json_get(json_at(models, i), "baseline"))
            return json_string(json_get(json_at(models, i), "name"));
    return NULL;
}

static int finish_with(const struct zoo_run *z, const struct json *zoo, struct error *e)
{
    const struct job *j = z->job;
    const struct json *tables = json_get(zoo, "tables"), *table = json_at(tables, 0), *models = json_get(table, "models");
    const char *best = best_of(models);
    char sha256[SHA256_HEX], *text = json_print(zoo, true);
    sha256_bytes(text, strlen(text), sha256);
    if (write_text(j, "zoo.json", text, e) != 0)
        return -1;
    if (json_size(tables) != 1 || !best)
        return error_set(e, ERROR_FAILED,
                         "%s/zoo.json: has %zu tables, for the combinations were not scored on the same rows; "
                         "remove %s/models and run again",
                         j->out, json_size(tables), j->out);
    if (write_text(j, "zoo.md", zoo_to_markdown(zoo), e) != 0 || write_text(j, "zoo.html", zoo_to_html(zoo), e) != 0 ||
        publish(j, best, e) != 0 || run_claim_remember(z->claim, "publish", sha256, e) != 0)
        return -1;
    printf("\n==== %zu combinations, best on validation first\n", z->count);
    print_table(models, json_string(json_get(table, "compared_by")));
    printf("  chosen  %s\n  bundle  %s/bundle\n  table   %s/zoo.md, %s/zoo.html\n  next    muster serve %s/bundle\n", best,
           j->out, j->out, j->out, j->out);
    return 0;
}

static int finish(const struct zoo_run *z, struct error *e)
{
    struct json *zoo;
    const char **paths = allocate(z->count, sizeof *paths);
    for (size_t i = 0; i < z->count; i++)
        paths[i] = z->runs[i].out;
    int status = zoo_read(&zoo, paths, z->count, e);
    free(paths);
    if (status != 0)
        return -1;
    status = finish_with(z, zoo, e);
    json_destroy(&zoo);
    return status;
}

static int run_all(struct zoo_run *z, enum stage last, struct error *e)
{
    if (find_models(z->job, e) != 0 || freeze(z, e) != 0 || plan(z, e) != 0)
        return -1;
    if (check_all(z, last < STAGE_SPLIT ? last : STAGE_SPLIT, e) != 0 || print_costs(z, e) != 0)
        return -1;
    if (last <= STAGE_SPLIT)
        return 0;
    if (train_all(z, last, e) != 0)
        return -1;
    return last == STAGE_PUBLISH ? finish(z, e) : 0;
}

int zoo_run(struct job *j, enum stage last, struct run_claim *claim, struct workers *workers, struct error *e)
{
    struct zoo_run z = {.job = j, .claim = claim, .workers = workers};
    int status = run_all(&z, last, e);
    zoo_run_free(&z);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the test part's one appearance in a run. */
#include "coordinator/bundle/test_score.h"

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "coordinator/decision/metrics.h"
#include "coordinator/sweep/trials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCORE_EPOCH 1 /* under which a score's logits are written */

static int read_part(struct part_metrics *ret, const struct run *r, const char *path, enum part part, struct error *e)
{
    struct logits l;
    const struct logits_rows whose = {r->data, r->split.part[part].rows};
    if (logits_read(&l, path, part, SCORE_EPOCH, &whose, e) != 0)
        return -1;
    uint32_t rows = r->split.part[part].count;
    if (l.rows != rows || l.labels != r->labels || strcmp(l.split_sha256, r->split.sha256) != 0) {
        logits_free(&l);
        return error_set(e, ERROR_DATA, "%s: does not belong to this run's split; remove its directory and run again", path);
    }
    struct truth truth;
    struct metrics f;
    truth_read(&truth, r->data, r->split.part[part].rows, rows, (uint32_t)r->positive);
    metrics_make(&f, &truth, l.values, r->temperatures, r->thresholds);
    *ret = (struct part_metrics){.rows = rows, .loss = l.loss, .metrics = f.pooled, .all = f.all};
    metrics_free(&f);
    truth_free(&truth);
    logits_free(&l);
    return 0;
}

static int read_parts(struct final *f, const struct run *r, struct error *e)
{
    return read_part(&f->validation, r, f->logits, PART_VALIDATION, e) == 0 &&
                   read_part(&f->test, r, f->logits, PART_TEST, e) == 0
               ? 0
               : -1;
}

static int score(struct run *r, const struct trial_run *t, struct error *e)
{
    struct trial lease;
    trials_lease(&lease, r, t, true);
    int status = directory_remove(lease.directory, e) == 0 ? directory_create(lease.directory, e) : -1;
    if (status == 0)
        status = trials_need_dispatch(r, e);
    if (status == 0)
        status = dispatch_run(r->dispatch, &lease, 1, NULL, e);
    if (status == 0) {
        struct json *event = json_object();
        json_set_string(event, "trial", t->key);
        json_set_string(event, "identity", t->identity);
        status = event_log_append(r->log, "scored", event, e);
    }
    trial_free(&lease);
    return status;
}

static bool was_scored(const struct run *r, const struct trial_run *t, const char *logits)
{
    const struct json *event = event_log_last(r->log, "scored", "trial", t->key);
    const char *identity = json_string(json_get(event, "identity"));
    return identity && strcmp(identity, t->identity) == 0 && file_exists(logits);
}

/* The weights must give the logits that the trial was chosen for. */
static int check_weights(const struct final *f, const struct run *r, const struct trial_run *t, struct error *e)
{
    double distance, most = strcmp(t->job.train.precision, "f32") == 0 ? 1e-3 : 0.1;
    if (validation_distance(&distance, r->validation, t->logits, t->best_epoch, f->logits, SCORE_EPOCH, e) != 0)
        return -1;
    if (distance > most)
        return error_set(e, ERROR_FAILED,
                         "%s: its validation logits are up to %.3g away from those of epoch %u in training; remove the trial's "
                         "directory and run again",
                         t->weights, distance, t->best_epoch);
    return 0;
}

int final_score(struct final *ret, struct run *r, const struct trial_run *winner, struct error *e)
{
    char *key = format_string("score-%s", winner->key), *directory = trials_path(r, key);
    struct final f = {.logits = path_join(directory, "logits.h5"), .epoch = SCORE_EPOCH};
    struct error words = {0};
    free(key);
    free(directory);
    bool there = was_scored(r, winner, f.logits);
    if (there && read_parts(&f, r, &words) != 0) {
        log_warn("scored again: %s", words.message);
        there = false;
    }
    if ((!there && (score(r, winner, e) != 0 || read_parts(&f, r, e) != 0)) || check_weights(&f, r, winner, e) != 0) {
        final_free(&f);
        return -1;
    }
    *ret = f;
    return 0;
}

void final_free(struct final *f)
{
    free(f->logits);
    memset(f, 0, sizeof *f);
}

static void print_binary(const char *name, const struct part_metrics *p)
{
    const struct binary_metrics *m = &p->metrics;
    printf("  %-12s %7u  %7.4f  %8.4f  %9.4f  %6.4f  %6.4f\n", name, p->rows, p->loss, m->accuracy, m->precision, m->recall,
           m->f1);
}

static void print_many(const char *name, const struct part_metrics *p)
{
    const struct averaged_metrics *m = &p->all;
    printf("  %-12s %7u  %7.4f  %8.4f  %9.4f  %6.4f  %8.4f  %8.4f  %11.4f\n", name, p->rows, p->loss, m->accuracy,
           m->micro_precision, m->micro_recall, m->micro_f1, m->macro_f1, m->weighted_f1);
}

void final_print(const struct run *r)
{
    const struct final *f = &r->final;
    bool binary = r->kind == DECISION_BINARY;
    void (*print)(const char *name, const struct part_metrics *p) = binary ? print_binary : print_many;
    printf(binary ? "  part            rows     loss  accuracy  precision  recall      F1\n"
                  : "  part            rows     loss  accuracy  precision  recall  micro F1  macro F1  weighted F1\n");
    print("validation", &f->validation);
    print("test", &f->test);
}

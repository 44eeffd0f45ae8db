/* SPDX-License-Identifier: Apache-2.0 */
/* The test part's one appearance in a run. */
#include "coordinator/bundle/test_score.h"

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "coordinator/decision/metrics.h"
#include "coordinator/events/event_log.h"
#include "coordinator/job/job_variant.h"
#include "coordinator/sweep/trials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCORE_EPOCH 1 /* under which a score's logits are written */

static int read_part(struct part_metrics *ret, const struct run_data *d, const struct decision *decision, const char *path,
                     enum part part, struct error *e)
{
    struct logits l;
    const struct logits_rows whose = {d->data, d->split.part[part].rows};
    if (logits_read(&l, path, part, SCORE_EPOCH, &whose, e) != 0)
        return -1;
    uint32_t rows = d->split.part[part].count;
    if (l.rows != rows || l.labels != d->labels || strcmp(l.split_sha256, d->split.sha256) != 0) {
        logits_free(&l);
        return error_set(e, ERROR_DATA, "%s: does not belong to this run's split; remove its directory and run again", path);
    }
    struct truth truth;
    struct metrics f;
    truth_read(&truth, d->data, d->split.part[part].rows, rows, (uint32_t)d->positive);
    metrics_make(&f, &truth, l.values, decision->temperatures, decision->thresholds);
    *ret = (struct part_metrics){.rows = rows, .loss = l.loss, .metrics = f.pooled, .all = f.all};
    metrics_free(&f);
    truth_free(&truth);
    logits_free(&l);
    return 0;
}

static int read_parts(struct test_score *s, const struct run_data *d, const struct decision *decision, struct error *e)
{
    return read_part(&s->validation, d, decision, s->logits, PART_VALIDATION, e) == 0 &&
                   read_part(&s->test, d, decision, s->logits, PART_TEST, e) == 0
               ? 0
               : -1;
}

static int log_scored(const struct run_place *place, const struct trial_run *t, struct error *e)
{
    struct json *event = json_object();
    json_set_string(event, "trial", t->key);
    json_set_string(event, "identity", t->weights_identity);
    return event_log_append(place->log, "scored", event, e);
}

/* With split.folds the bundle's weights have seen the rows that validate: what stands for these is out of fold. */
static int add_out_of_fold(const char *to, const struct run_data *d, const struct trial_run *t, struct error *e)
{
    const struct logits_rows whose = {d->data, d->split.part[PART_VALIDATION].rows};
    struct logits l;
    if (logits_read(&l, t->logits, PART_VALIDATION, (int)t->best_epoch, &whose, e) != 0)
        return -1;
    l.epoch = SCORE_EPOCH;
    int status = logits_append(to, &l, e);
    logits_free(&l);
    return status;
}

static int score(const struct run_place *place, const struct run_data *d, const struct trial_run *t, const char *logits,
                 struct workers *workers, struct error *e)
{
    struct trial lease;
    trials_lease(&lease, place, d, t, true);
    int status = directory_remove(lease.directory, e) == 0 ? directory_create(lease.directory, e) : -1;
    if (status == 0)
        status = workers_need(workers, place->log, e);
    if (status == 0)
        status = dispatch_run(workers->dispatch, &lease, 1, NULL, e);
    if (status == 0 && d->fold_of)
        status = add_out_of_fold(logits, d, t, e);
    if (status == 0)
        status = log_scored(place, t, e);
    trial_free(&lease);
    return status;
}

static bool was_scored(const struct run_place *place, const struct trial_run *t, const char *logits)
{
    const char *identity = json_string(json_get(event_log_last(place->log, "scored", "trial", t->key), "identity"));
    return identity && strcmp(identity, t->weights_identity) == 0 && file_exists(logits);
}

/* Adapters are merged into weights that bf16 rounds once more: up to 0.13 was seen with few, random weights. */
static double tolerated(const struct job *j)
{
    if (strcmp(j->train.precision, "f32") == 0)
        return 1e-3;
    return job_is_lora(j) ? 0.2 : 0.1;
}

/* The weights must give the logits that the trial was chosen for. */
static int check_weights(const struct test_score *s, const struct run_data *d, const struct trial_run *t, struct error *e)
{
    double distance;
    if (validation_distance(&distance, d->validation, t->logits, t->best_epoch, s->logits, SCORE_EPOCH, e) != 0)
        return -1;
    if (distance > tolerated(&t->job))
        return error_set(e, ERROR_FAILED,
                         "%s: its validation logits are up to %.3g away from those of epoch %u in training; remove the trial's "
                         "directory and run again",
                         t->weights, distance, t->best_epoch);
    return 0;
}

int test_score_make(struct test_score *ret, const struct run_place *place, const struct run_data *data,
                    const struct decision *decision, const struct trial_run *winner, struct workers *workers, struct error *e)
{
    char *key = format_string("score-%s", winner->key), *directory = trials_path(place, key);
    struct test_score s = {.logits = path_join(directory, "logits.h5"), .epoch = SCORE_EPOCH};
    struct error why = {0};
    free(key);
    free(directory);
    bool there = was_scored(place, winner, s.logits);
    if (there && read_parts(&s, data, decision, &why) != 0) {
        log_warn("scored again: %s", why.message);
        there = false;
    }
    if ((!there && (score(place, data, winner, s.logits, workers, e) != 0 || read_parts(&s, data, decision, e) != 0)) ||
        check_weights(&s, data, winner, e) != 0) {
        test_score_free(&s);
        return -1;
    }
    *ret = s;
    return 0;
}

void test_score_free(struct test_score *s)
{
    free(s->logits);
    memset(s, 0, sizeof *s);
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

void test_score_print(const struct test_score *s, enum decision_kind kind)
{
    bool binary = kind == DECISION_BINARY;
    void (*print)(const char *name, const struct part_metrics *p) = binary ? print_binary : print_many;
    printf(binary ? "  part            rows     loss  accuracy  precision  recall      F1\n"
                  : "  part            rows     loss  accuracy  precision  recall  micro F1  macro F1  weighted F1\n");
    print("validation", &s->validation);
    print("test", &s->test);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The training of trials: leases out, decisions after epochs, and what is remembered of them in events.jsonl. */
#include "coordinator/sweep/training.h"

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/operation.h"
#include "coordinator/events/event_log.h"
#include "coordinator/sweep/scheduler_replay.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct training {
    struct trials *trials;
    const struct run_place *place;
    const struct run_data *data;
    size_t *index; /* of dispatch's trials in `trials` */
    struct scheduler_replay *scheduler;
};

static void add_metrics(struct json *to, const struct epoch_score *s, double train_loss)
{
    json_set_number(to, "epoch", s->epoch);
    json_set_number(to, "train_loss", train_loss);
    json_set_number(to, "validation_loss", s->loss);
    json_set_number(to, "accuracy", s->positive.accuracy);
    json_set_number(to, "precision", s->positive.precision);
    json_set_number(to, "recall", s->positive.recall);
    json_set_number(to, "f1", s->positive.f1);
    json_set_number(to, "micro_f1", s->all.micro_f1);
    json_set_number(to, "macro_f1", s->all.macro_f1);
    json_set_number(to, "best_f1", s->ranking.best_f1);
    json_set_number(to, "average_precision", s->ranking.average_precision);
    json_set_number(to, "macro_average_precision", s->ranking.macro_average_precision);
    if (!isnan(s->ranking.roc_auc))
        json_set_number(to, "roc_auc", s->ranking.roc_auc);
}

/* Fewer than one validation row in ten: decided at 0.5 they may be missed long after the model ranks them first. */
static bool rare_positives(const struct epoch_score *s)
{
    const struct binary_metrics *m = &s->positive;
    uint64_t positives = m->true_positive + m->false_negative;
    return 10 * positives < positives + m->false_positive + m->true_negative;
}

static void print_epoch(enum decision_kind kind, const struct trial_run *t, const struct epoch_score *s, double train_loss,
                        const struct selection *chosen)
{
    log_status_line(NULL);
    printf("  %s  epoch %u/%u  loss %.4f train, %.4f validation  acc. %.4f  ", t->key, s->epoch, t->job.train.epochs, train_loss,
           s->loss, s->all.accuracy);
    if (kind == DECISION_BINARY)
        printf("prec. %.4f  recall %.4f  F1 %.4f", s->positive.precision, s->positive.recall, s->positive.f1);
    else
        printf("micro F1 %.4f", s->all.micro_f1);
    if (kind == DECISION_LABELS || (kind == DECISION_BINARY && rare_positives(s)))
        printf("  best F1 %.4f", s->ranking.best_f1);
    printf("  macro F1 %.4f%s%s\n", s->all.macro_f1, chosen->latest ? "  best" : "", chosen->stop ? "  patience is over" : "");
    fflush(stdout);
}

static const struct run_data *data_of(const struct training *training, const struct trial_run *t)
{
    return t->data ? t->data : training->data;
}

/* Trained on the whole: no logits say what the epoch is worth. */
static void end_whole_epoch(const struct trial_run *t, uint32_t epoch, double train_loss, struct dispatch_decision *ret)
{
    log_status_line(NULL);
    printf("  %s  epoch %u/%u  loss %.4f train%s\n", t->key, epoch, t->last_epoch, train_loss,
           epoch == t->last_epoch ? "  last" : "");
    fflush(stdout);
    *ret = (struct dispatch_decision){.best = epoch == t->last_epoch, .stop = epoch >= t->last_epoch, .metrics = json_object()};
    json_set_number(ret->metrics, "epoch", epoch);
    json_set_number(ret->metrics, "train_loss", train_loss);
}

/* Decides by the logits of all epochs so far, so that the decision is the same after a restart. */
static int handle_epoch(void *context, size_t i, uint32_t epoch, double train_loss, struct dispatch_decision *ret,
                        struct error *e)
{
    struct training *training = context;
    struct trial_run *t = &training->trials->list[training->index[i]];
    struct selection chosen;
    operation_begin("epoch_end");
    if (t->last_epoch > 0) {
        end_whole_epoch(t, epoch, train_loss, ret);
        return 0;
    }
    if (trials_score_epochs(t, data_of(training, t), epoch, e) != 0)
        return -1;
    select_epoch(&chosen, t->epochs, epoch, t->job.train.select, t->job.train.patience);
    const struct epoch_score *latest = &t->epochs[epoch - 1];
    print_epoch(training->data->kind, t, latest, train_loss, &chosen);
    *ret = (struct dispatch_decision){.best = chosen.latest, .stop = chosen.stop, .metrics = json_object()};
    add_metrics(ret->metrics, latest, train_loss);
    scheduler_replay_epoch(ret, training->scheduler, training->index[i], epoch);
    return 0;
}

/* A path in the run directory relative to it. */
static const char *relative(const char *directory, const char *path)
{
    size_t size = strlen(directory);
    return strncmp(path, directory, size) == 0 && path[size] == '/' ? path + size + 1 : path;
}

static void take_failure(struct trial_run *t, const struct error *why)
{
    free(t->why);
    t->why = duplicate(why && why->message[0] ? why->message : "no reason given");
    t->state = TRIAL_FAILED;
    log_warn("trial %s failed: %s", t->key, t->why);
}

/* The worker has to have kept the epoch that is best by the logits. */
static int check_result(struct trial_run *t, const struct run_data *data, const struct dispatch_result *result, struct error *e)
{
    struct selection chosen;
    if (result->epochs_done == 0 || !result->best_weights)
        return error_set(e, ERROR_FAILED, "trial %s: its worker reports %u epochs and %s weights", t->key, result->epochs_done,
                         result->best_weights ? "some" : "no");
    if (trials_score_epochs(t, data, result->epochs_done, e) != 0)
        return -1;
    if (t->last_epoch > 0)
        chosen.best = t->last_epoch;
    else
        select_epoch(&chosen, t->epochs, result->epochs_done, t->job.train.select, t->job.train.patience);
    if (chosen.best != result->best_epoch)
        return error_set(e, ERROR_FAILED, "trial %s: its worker kept epoch %u, the best one is %u; remove %s and run again",
                         t->key, result->best_epoch, chosen.best, t->directory);
    return 0;
}

/* pruned: why, or NULL. */
static int log_end(const struct run_place *place, const struct trial_run *t, const struct dispatch_result *result,
                   const char *pruned, struct error *e)
{
    struct json *event = json_object();
    json_set_string(event, "trial", t->key);
    json_set_string(event, "identity", t->identity);
    if (pruned)
        json_set_string(event, "why", pruned);
    json_set_number(event, "epochs_done", result->epochs_done);
    json_set_number(event, "best_epoch", result->best_epoch);
    json_set_number(event, "steps", (double)result->steps);
    json_set_number(event, "tokens", (double)result->tokens);
    json_set_number(event, "seconds", result->seconds);
    json_set_string(event, "weights", relative(place->directory, result->best_weights));
    return event_log_append(place->log, pruned ? "trial_pruned" : "trial_finished", event, e);
}

static int take_result(struct training *training, struct trial_run *t, const struct dispatch_result *result, struct error *e)
{
    if (check_result(t, data_of(training, t), result, e) != 0)
        return -1;
    char *pruned = scheduler_replay_summary(training->place, t, result->epochs_done);
    if (log_end(training->place, t, result, pruned, e) != 0) {
        free(pruned);
        return -1;
    }
    t->state = pruned ? TRIAL_PRUNED : TRIAL_DONE;
    free(t->why);
    t->why = pruned;
    t->epochs_done = result->epochs_done;
    t->best_epoch = result->best_epoch;
    t->steps = result->steps;
    t->tokens = result->tokens;
    t->seconds = result->seconds;
    free(t->weights);
    t->weights = duplicate(result->best_weights);
    return 0;
}

static int handle_end(void *context, size_t i, const struct dispatch_result *result, const struct error *why, struct error *e)
{
    struct training *training = context;
    struct trial_run *t = &training->trials->list[training->index[i]];
    if (!result) {
        take_failure(t, why);
        return 0;
    }
    if (take_result(training, t, result, e) != 0)
        return -1;
    log_status_line(NULL);
    if (t->state == TRIAL_PRUNED)
        printf("  %s  %s\n", t->key, t->why);
    else
        scheduler_replay_complete(training->scheduler, training->index[i]);
    if (t->state == TRIAL_DONE)
        printf("  %s  done: best epoch %u of %u, %.1f s, %.0f tokens/s\n", t->key, t->best_epoch, t->epochs_done, t->seconds,
               t->seconds > 0 ? (double)t->tokens / t->seconds : 0);
    fflush(stdout);
    return 0;
}

static struct json *announcement(const struct run_data *data, const struct trial_run *t)
{
    struct json *event = json_object();
    json_set_string(event, "trial", t->key);
    json_set_string(event, "identity", t->identity);
    uint64_t rows = data->split.part[PART_TRAIN].count, batch = t->job.train.batch;
    json_set_number(event, "steps", (double)((rows + batch - 1) / batch * t->job.train.epochs));
    json_set(event, "options", json_copy(t->options));
    json_set_string(event, "model", t->job.model);
    json_set_string(event, "model_sha256", t->model_sha256);
    return event;
}

/* A trial whose directory is gone begins anew, and its former epochs count for nothing. */
static int announce_all(const struct training *training, size_t queued, struct error *e)
{
    struct json *events = json_array();
    bool *begins = allocate(queued, sizeof *begins);
    for (size_t i = 0; i < queued; i++) {
        const struct trial_run *t = &training->trials->list[training->index[i]];
        begins[i] = !trials_event(training->place, t, "trial_started") || !directory_exists(t->directory);
        if (begins[i])
            json_append(events, announcement(data_of(training, t), t));
    }
    int status = event_log_append_all(training->place->log, "trial_started", events, e);
    for (size_t i = 0; i < queued && status == 0; i++)
        if (begins[i])
            status = directory_create(training->trials->list[training->index[i]].directory, e);
    free(begins);
    return status;
}

/* If none of them is done, the error of the first. The baseline does not count where a grid was asked for. */
static int some_done(const struct trials *t, size_t first, size_t count, const struct error *failure, struct error *e)
{
    const struct trial_run *failed = NULL;
    bool grid = !t->list[first + count - 1].baseline;
    for (size_t i = first; i < first + count; i++) {
        const struct trial_run *trial = &t->list[i];
        bool counts = !(trial->baseline && grid);
        if ((trial->state == TRIAL_DONE && counts) || trial->state == TRIAL_PRUNED)
            return 0;
        if (!failed && trial->state == TRIAL_FAILED && counts)
            failed = trial;
    }
    if (failed)
        return error_set(e, failure->kind ? failure->kind : ERROR_FAILED, "trial %s failed: %s", failed->key, failed->why);
    *e = *failure;
    return -1;
}

static bool any_queued(const struct trials *t, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++)
        if (t->list[i].state == TRIAL_QUEUED)
            return true;
    return false;
}

/* Trials that failed do not fail the others; a stop does, and an end before all trials had theirs. */
static int check_outcome(const struct trials *t, size_t first, size_t count, int status, const struct error *failure,
                         struct error *e)
{
    if (status == 0 || (failure->kind != ERROR_STOPPED && !any_queued(t, first, count)))
        return some_done(t, first, count, failure, e);
    *e = *failure;
    return -1;
}

static bool goes_before(const struct trial_run *a, const struct trial_run *b)
{
    const struct job *x = &a->job, *y = &b->job;
    if (a->baseline != b->baseline)
        return a->baseline;
    return x->train.epochs != y->train.epochs ? x->train.epochs > y->train.epochs : x->train.batch < y->train.batch;
}

/* Those that are not done, in the order of leases; trials alike stay in the order of the plan. */
static size_t queue(size_t *index, const struct trials *t, size_t first, size_t count)
{
    size_t wanted = 0;
    for (size_t i = first; i < first + count; i++) {
        if (t->list[i].state == TRIAL_DONE || t->list[i].state == TRIAL_PRUNED)
            continue;
        size_t at = wanted++;
        for (; at > 0 && goes_before(&t->list[i], &t->list[index[at - 1]]); at--)
            index[at] = index[at - 1];
        index[at] = i;
    }
    return wanted;
}

int trials_train(struct trials *t, size_t first, size_t count, const struct run_place *place, const struct run_data *data,
                 struct workers *workers, struct error *e)
{
    struct training training = {.trials = t, .place = place, .data = data, .index = allocate(count, sizeof(size_t))};
    struct trial *leases = allocate(count, sizeof *leases);
    struct dispatch_observer observer = {.context = &training, .epoch = handle_epoch, .ended = handle_end};
    struct error failure = {0};
    size_t queued = queue(training.index, t, first, count);
    scheduler_replay_create(&training.scheduler, t, place);
    int status = announce_all(&training, queued, e);
    for (size_t i = 0; i < queued && status == 0; i++) {
        const struct trial_run *trial = &t->list[training.index[i]];
        trials_lease(&leases[i], place, data_of(&training, trial), trial, false);
    }
    if (status == 0 && queued > 0)
        status = workers_need(workers, place->log, e);
    if (status == 0 && queued > 0)
        status =
            check_outcome(t, first, count, dispatch_run(workers->dispatch, leases, queued, &observer, &failure), &failure, e);
    for (size_t i = 0; i < queued; i++)
        trial_free(&leases[i]);
    free(leases);
    free(training.index);
    scheduler_replay_destroy(&training.scheduler);
    return status;
}

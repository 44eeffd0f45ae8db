/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the training of trials: leases out, verdicts, and what is remembered of them in events.jsonl. */
#include "coordinator/sweep/trials.h"

#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/operation.h"
#include "common/base/sha256.h"
#include "common/format/model_config.h"
#include "coordinator/job/job_variant.h"
#include "coordinator/sweep/scheduler_replay.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *trials_path(const struct run *r, const char *key)
{
    return format_string("%s/trials/%s", r->directory, key);
}

/* ---- identity: a trial made from other things is another trial ---- */

static int hash_model(char text[SHA256_HEX], const struct run *r, struct error *e)
{
    char config[SHA256_HEX], weights[SHA256_HEX], *path = path_join(r->model, "config.json"), *weights_path = NULL;
    int status = sha256_file(path, config, e);
    if (status == 0)
        status = model_directory_weights(&weights_path, r->model, e);
    if (status == 0)
        status = sha256_file(weights_path, weights, e);
    if (status == 0) {
        char both[2 * SHA256_HEX];
        snprintf(both, sizeof both, "%s %s", config, weights);
        sha256_bytes(both, strlen(both), text);
    }
    free(path);
    free(weights_path);
    return status;
}

static void identify(struct trial_run *t, const struct run *r, const char *model)
{
    struct json *made_from = json_object();
    json_set(made_from, "options", job_train_options(&t->job));
    json_set_number(made_from, "seed", (double)t->job.seed);
    json_set_string(made_from, "data", dataset_sha256(r->data));
    json_set_string(made_from, "split", r->split.sha256);
    json_set_string(made_from, "model", model);
    struct json *weights = json_set(made_from, "class_weights", json_array());
    for (uint32_t c = 0; c < r->labels; c++)
        json_append(weights, json_of_number(t->class_weights[c]));
    if (r->workers.device == DEVICE_FAKE) /* of the others each may take up what another left */
        json_set_string(made_from, "device", "fake");
    char *text = json_print(made_from, false);
    sha256_bytes(text, strlen(text), t->identity);
    free(text);
    json_destroy(&made_from);
}

/* ---- what events.jsonl knows: trial_started and trial_finished are ours, the rest of a trial's life is dispatch's ---- */

/* Last event of this name about the trial; NULL if it speaks of a trial made from other things. */
static const struct json *event_of(const struct run *r, const struct trial_run *t, const char *event)
{
    const struct json *found = event_log_last(r->log, event, "trial", t->key);
    const char *identity = json_string(json_get(found, "identity"));
    return identity && strcmp(identity, t->identity) == 0 ? found : NULL;
}

static int score_epochs(struct trial_run *t, const struct run *r, uint32_t count, struct error *e)
{
    struct epoch_score *epochs = allocate(count, sizeof *epochs);
    for (uint32_t i = 0; i < count; i++)
        if (validation_score_epoch(&epochs[i], r->validation, t->logits, i + 1, NULL, e) != 0) {
            free(epochs);
            return -1;
        }
    free(t->epochs);
    t->epochs = epochs;
    return 0;
}

/* The last end of the trial, trial_finished or trial_pruned; NULL: it has not ended, or was made from other things. */
static const struct json *end_of(const struct run *r, const struct trial_run *t)
{
    static const char *const ends[] = {"trial_finished", "trial_pruned", NULL};
    const struct json *event = event_log_last_of(r->log, ends, "trial", t->key);
    const char *identity = json_string(json_get(event, "identity"));
    return identity && strcmp(identity, t->identity) == 0 ? event : NULL;
}

/* A trial whose end is in the log is done, if its logits and weights are still what was left. Otherwise its directory goes: the
 * checkpoint in it would go on behind what is spoilt. */
static int take_up(struct trial_run *t, const struct run *r, struct error *e)
{
    const struct json *done = end_of(r, t);
    struct error why = {0};
    if (!done)
        return 0;
    const char *pruned = json_string(json_get(done, "why"));
    char *weights = path_join(r->directory, json_string(json_get(done, "weights")) ? json_string(json_get(done, "weights")) : "");
    uint32_t epochs = (uint32_t)json_number(json_get(done, "epochs_done")),
             best = (uint32_t)json_number(json_get(done, "best_epoch"));
    if (!pruned && !file_exists(weights))
        error_set(&why, ERROR_DATA, "%s: is gone", weights);
    if (why.kind || epochs == 0 || best == 0 || best > epochs || score_epochs(t, r, epochs, &why) != 0) {
        log_warn("trial %s is trained again: %s", t->key, why.kind ? why.message : "its record is damaged");
        free(weights);
        return directory_remove(t->directory, e);
    }
    t->state = pruned ? TRIAL_PRUNED : TRIAL_DONE;
    t->why = duplicate(pruned);
    t->epochs_done = epochs;
    t->best_epoch = best;
    t->weights = weights;
    t->steps = (uint64_t)json_number(json_get(done, "steps"));
    t->tokens = (uint64_t)json_number(json_get(done, "tokens"));
    t->seconds = json_number(json_get(done, "seconds"));
    return 0;
}

/* A directory that another trial of this name left (another model, another split) is not resumed from; nor is it thrown away. */
static int check_directory(const struct trial_run *t, const struct run *r, struct error *e)
{
    if (!directory_exists(t->directory) || event_of(r, t, "trial_started"))
        return 0;
    return error_set(e, ERROR_USAGE,
                     "%s: was made from another model, split or kind of device than this run's, or by another version of muster; "
                     "use another out=DIRECTORY, or remove that directory to train the trial anew",
                     t->directory);
}

/* W5: clip(negative / positive, low, high) of the train part. */
static void positive_weights(double *weights, const struct run *r, const struct job *j)
{
    uint32_t rows = r->split.part[PART_TRAIN].count;
    double low = j->train.pos_weight_low, high = j->train.pos_weight_high;
    for (uint32_t l = 0; l < r->labels; l++) {
        double positive = 0;
        for (uint32_t i = 0; i < rows && low > 0; i++)
            positive += dataset_targets(r->data, r->split.part[PART_TRAIN].rows[i])[l] > 0;
        double weight = positive > 0 ? ((double)rows - positive) / positive : high;
        weights[l] = low > 0 ? fmin(fmax(weight, low), high) : 1;
    }
}

int trials_prepare(struct run *r, struct error *e)
{
    char model[SHA256_HEX];
    if (hash_model(model, r, e) != 0)
        return -1;
    for (size_t i = 0; i < r->trial_count; i++) {
        struct trial_run *t = &r->trials[i];
        t->class_weights = allocate(r->labels, sizeof(double));
        if (r->job->multi)
            positive_weights(t->class_weights, r, &t->job);
        else if (data_class_weights(t->class_weights, &t->job, r->data, &r->split, r->check, e) != 0)
            return -1;
        t->directory = trials_path(r, t->key);
        t->logits = path_join(t->directory, "logits.h5");
        identify(t, r, model);
        if (check_directory(t, r, e) != 0 || take_up(t, r, e) != 0)
            return -1;
    }
    return 0;
}

/* ---- leases ---- */

void trials_lease(struct trial *ret, const struct run *r, const struct trial_run *t, bool score)
{
    const struct job *j = &t->job;
    char *score_key = format_string("score-%s", t->key);
    *ret = (struct trial){.kind = score ? TRIAL_SCORE : TRIAL_TRAIN,
                          .key = duplicate(score ? score_key : t->key),
                          .directory = score ? trials_path(r, score_key) : duplicate(t->directory),
                          .dataset = duplicate(r->rows),
                          .split = duplicate(r->split_path),
                          .model = duplicate(r->model),
                          .weights = score ? duplicate(t->weights) : NULL,
                          .score_validation = score,
                          .score_test = score,
                          .multi = r->job->multi,
                          .labels = r->labels,
                          .seed = j->seed,
                          .lr = j->train.lr,
                          .weight_decay = j->train.weight_decay,
                          .clip = j->train.clip,
                          .warmup = j->train.warmup,
                          .dropout = j->train.dropout,
                          .epochs = j->train.epochs,
                          .batch = j->train.batch,
                          .micro_batch = j->train.micro_batch,
                          .max_length = j->train.max_length,
                          .resume = !score,
                          .checkpoint_steps = j->train.checkpoint_steps,
                          .checkpoint_minutes = j->train.checkpoint_minutes};
    ret->weights_by_class = allocate(r->labels, sizeof(double));
    memcpy(ret->weights_by_class, t->class_weights, r->labels * sizeof(double));
    snprintf(ret->precision, sizeof ret->precision, "%s", j->train.precision);
    free(score_key);
}

int trials_need_dispatch(struct run *r, struct error *e)
{
    return r->dispatch ? 0 : dispatch_create(&r->dispatch, &r->workers, r->log, e);
}

/* ---- the observer ---- */

struct training {
    struct run *run;
    size_t *index; /* of dispatch's trials in run->trials */
    struct pruning *pruning;
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
}

static void print_epoch(const struct run *r, const struct trial_run *t, const struct epoch_score *s, double train_loss,
                        const struct selection *chosen)
{
    log_status_line(NULL);
    printf("  %s  epoch %u/%u  loss %.4f train, %.4f validation  acc. %.4f  ", t->key, s->epoch, t->job.train.epochs, train_loss,
           s->loss, s->all.accuracy);
    if (r->kind == DECISION_BINARY)
        printf("prec. %.4f  recall %.4f  F1 %.4f", s->positive.precision, s->positive.recall, s->positive.f1);
    else
        printf("micro F1 %.4f", s->all.micro_f1);
    printf("  macro F1 %.4f%s%s\n", s->all.macro_f1, chosen->latest ? "  best" : "", chosen->stop ? "  patience is over" : "");
    fflush(stdout);
}

/* The verdict is a function of the logits of all epochs so far, so that it is the same after a restart. */
static int on_epoch(void *context, size_t i, uint32_t epoch, double train_loss, struct dispatch_decision *ret, struct error *e)
{
    struct training *training = context;
    struct run *r = training->run;
    struct trial_run *t = &r->trials[training->index[i]];
    struct selection chosen;
    operation_begin("epoch_end");
    if (score_epochs(t, r, epoch, e) != 0)
        return -1;
    select_epoch(&chosen, t->epochs, epoch, t->job.train.select, t->job.train.patience);
    const struct epoch_score *latest = &t->epochs[epoch - 1];
    print_epoch(r, t, latest, train_loss, &chosen);
    *ret = (struct dispatch_decision){.best = chosen.latest, .stop = chosen.stop, .metrics = json_object()};
    add_metrics(ret->metrics, latest, train_loss);
    pruning_judge(ret, training->pruning, training->index[i], epoch);
    return 0;
}

static const char *inside(const struct run *r, const char *path)
{
    size_t size = strlen(r->directory);
    return strncmp(path, r->directory, size) == 0 && path[size] == '/' ? path + size + 1 : path;
}

static void take_failure(struct trial_run *t, const struct error *why)
{
    free(t->why);
    t->why = duplicate(why && why->message[0] ? why->message : "no reason given");
    t->state = TRIAL_FAILED;
    log_warn("trial %s failed: %s", t->key, t->why);
}

static int remember_success(struct run *r, struct trial_run *t, const struct dispatch_result *result, struct error *e)
{
    struct selection chosen;
    if (result->epochs_done == 0 || !result->best_weights)
        return error_set(e, ERROR_FAILED, "trial %s: its worker reports %u epochs and %s weights", t->key, result->epochs_done,
                         result->best_weights ? "some" : "no");
    if (score_epochs(t, r, result->epochs_done, e) != 0)
        return -1;
    select_epoch(&chosen, t->epochs, result->epochs_done, t->job.train.select, t->job.train.patience);
    if (chosen.best != result->best_epoch)
        return error_set(e, ERROR_FAILED, "trial %s: its worker kept epoch %u, the best one is %u; remove %s and run again",
                         t->key, result->best_epoch, chosen.best, t->directory);
    char *pruned = pruning_summary(r, t, result->epochs_done);
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
    json_set_string(event, "weights", inside(r, result->best_weights));
    if (event_log_append(r->log, pruned ? "trial_pruned" : "trial_finished", event, e) != 0) {
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

static int on_end(void *context, size_t i, const struct dispatch_result *result, const struct error *why, struct error *e)
{
    struct training *training = context;
    struct trial_run *t = &training->run->trials[training->index[i]];
    if (!result) {
        take_failure(t, why);
        return 0;
    }
    if (remember_success(training->run, t, result, e) != 0)
        return -1;
    log_status_line(NULL);
    if (t->state == TRIAL_PRUNED)
        printf("  %s  %s\n", t->key, t->why);
    else
        pruning_complete(training->pruning, training->index[i]);
    if (t->state == TRIAL_DONE)
        printf("  %s  done: best epoch %u of %u, %.1f s, %.0f tokens/s\n", t->key, t->best_epoch, t->epochs_done, t->seconds,
               t->seconds > 0 ? (double)t->tokens / t->seconds : 0);
    fflush(stdout);
    return 0;
}

/* A trial whose directory is gone begins anew, and its former epochs count for nothing. */
static int announce(struct run *r, const struct trial_run *t, struct error *e)
{
    if (event_of(r, t, "trial_started") && directory_exists(t->directory))
        return 0;
    struct json *event = json_object();
    json_set_string(event, "trial", t->key);
    json_set_string(event, "identity", t->identity);
    uint64_t rows = r->split.part[PART_TRAIN].count, batch = t->job.train.batch;
    json_set_number(event, "steps", (double)((rows + batch - 1) / batch * t->job.train.epochs));
    json_set(event, "options", json_copy(t->options));
    return event_log_append(r->log, "trial_started", event, e) == 0 ? directory_create(t->directory, e) : -1;
}

/* If nothing came of any of them, the words of the first. The baseline is no comfort where a grid was asked for. */
static int some_done(const struct run *r, size_t first, size_t count, const struct error *words, struct error *e)
{
    const struct trial_run *failed = NULL;
    for (size_t i = first; i < first + count; i++) {
        const struct trial_run *t = &r->trials[i];
        if ((t->state == TRIAL_DONE && !(t->baseline && count > 1)) || t->state == TRIAL_PRUNED)
            return 0;
        if (!failed && t->state == TRIAL_FAILED && !(t->baseline && count > 1))
            failed = t;
    }
    if (failed)
        return error_set(e, words->kind ? words->kind : ERROR_FAILED, "trial %s failed: %s", failed->key, failed->why);
    *e = *words;
    return -1;
}

static bool any_waiting(const struct run *r, size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++)
        if (r->trials[i].state == TRIAL_WAITING)
            return true;
    return false;
}

/* Trials that failed are no reason to lose the others; a stop, or an end before all had theirs, is. */
static int judge_end(const struct run *r, size_t first, size_t count, int status, const struct error *words, struct error *e)
{
    if (status == 0 || (words->kind != ERROR_STOPPED && !any_waiting(r, first, count)))
        return some_done(r, first, count, words, e);
    *e = *words;
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
static size_t queue(size_t *index, const struct run *r, size_t first, size_t count)
{
    size_t wanted = 0;
    for (size_t i = first; i < first + count; i++) {
        if (r->trials[i].state == TRIAL_DONE || r->trials[i].state == TRIAL_PRUNED)
            continue;
        size_t at = wanted++;
        for (; at > 0 && goes_before(&r->trials[i], &r->trials[index[at - 1]]); at--)
            index[at] = index[at - 1];
        index[at] = i;
    }
    return wanted;
}

int trials_train(struct run *r, size_t first, size_t count, struct error *e)
{
    struct training training = {.run = r, .index = allocate(count, sizeof(size_t))};
    struct trial *leases = allocate(count, sizeof *leases);
    struct dispatch_observer observer = {.context = &training, .epoch = on_epoch, .ended = on_end};
    struct error words = {0};
    size_t wanted = queue(training.index, r, first, count);
    int status = 0;
    pruning_create(&training.pruning, r);
    for (size_t i = 0; i < wanted && status == 0; i++) {
        status = announce(r, &r->trials[training.index[i]], e);
        trials_lease(&leases[i], r, &r->trials[training.index[i]], false);
    }
    if (status == 0 && wanted > 0)
        status = trials_need_dispatch(r, e);
    if (status == 0 && wanted > 0)
        status = judge_end(r, first, count, dispatch_run(r->dispatch, leases, wanted, &observer, &words), &words, e);
    for (size_t i = 0; i < wanted; i++)
        trial_free(&leases[i]);
    free(leases);
    free(training.index);
    pruning_destroy(&training.pruning);
    return status;
}

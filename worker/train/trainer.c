/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the course of a trial: load or resume, epochs of steps, validation, decision, checkpoint. */
#include "worker/train/trainer.h"

#include "common/base/clock.h"
#include "common/base/fault.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/operation.h"
#include "common/base/sha256.h"
#include "common/base/trace.h"
#include "common/format/results.h"
#include "worker/nn/parameters_adapter.h"
#include "worker/train/agree.h"
#include "worker/train/checkpoint.h"
#include "worker/train/evaluate.h"
#include "worker/train/memory.h"
#include "worker/train/metrics_file.h"
#include "worker/train/plan.h"
#include "worker/train/schedule.h"
#include "worker/train/step.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct trainer {
    const struct trial *trial;
    struct device *device;
    struct communicator *communicator;
    const struct observer *observer;
    struct source source;
    struct parameters *parameters;
    struct model *model;
    struct plan *plan;
    struct schedule schedule;
    struct stepper *stepper;
    struct evaluator *evaluator;
    struct metrics_file *metrics; /* rank 0 */
    struct progress progress;
    uint64_t steps_per_epoch;
    double started, seconds_before; /* clock at the start; seconds of earlier runs of this trial */
    double saved_at, saving;        /* clock of the last checkpoint; seconds that all of this run took */
    uint64_t saved_step;
    uint32_t saves;
    struct checkpoint_rest *saving_on; /* rank 0: what is left of the last checkpoint */
    char hash[SHA256_HEX];
    char *best, *logits;  /* paths */
    float *values;        /* rank 0: validation logits */
    struct error failure; /* of rank 0's metrics.jsonl: sent to the others in the next step */
};

/* ---- what the trial is ---- */

static void hash_text(struct sha256 *digest, const char *name, const char *value)
{
    char *text = format_string(" %s %s", name, value);
    sha256_update(digest, text, strlen(text));
    free(text);
}

static void hash_number(struct sha256 *digest, const char *name, double value)
{
    char text[32];
    snprintf(text, sizeof text, "%.17g", value);
    hash_text(digest, name, text);
}

/* What came later counts where it is not what it was before it came: checkpoints of older versions are still resumed from. */
static void hash_later(struct sha256 *digest, const struct trial *t)
{
    if (t->schedule != SCHEDULE_LINEAR)
        hash_text(digest, "schedule", schedule_names[t->schedule]);
    if (t->layer_decay > 0 && t->layer_decay < 1)
        hash_number(digest, "layer decay", t->layer_decay);
    if (t->lora_rank) {
        hash_number(digest, "lora", t->lora_rank);
        hash_number(digest, "alpha", t->lora_alpha);
        hash_number(digest, "dropout", t->lora_dropout);
        hash_text(digest, t->lora_rslora ? "rslora" : "", t->lora_targets ? t->lora_targets : LORA_ALL);
        hash_text(digest, "head", t->lora_freeze_head ? "frozen" : "trained");
        if (t->lora_bias != LORA_BIAS_NONE)
            hash_text(digest, "bias", lora_bias_names[t->lora_bias]);
    }
    if (t->adapter)
        hash_text(digest, "from", "adapter");
    if (t->freeze)
        hash_text(digest, "freeze", t->freeze);
    if (t->label_smoothing > 0)
        hash_number(digest, "label smoothing", t->label_smoothing);
    if (t->focal_gamma > 0)
        hash_number(digest, "focal", t->focal_gamma);
}

static void hash_distances(struct sha256 *digest, const struct model_config *c)
{
    if (c->distances == 0)
        return;
    char *text = format_string("distances %u %u %u of %d %d shared %d norm %d positions %d pooler %.9g", c->distances, c->buckets,
                               c->farthest, c->distance_keys, c->distance_queries, c->distances_shared, c->distances_normalized,
                               c->position_table, (double)c->pooler_dropout);
    sha256_update(digest, text, strlen(text));
    free(text);
}

/* Everything that the result depends on, and nothing else: no paths, so that a run directory can be moved. */
static void hash_trial(char hash[SHA256_HEX], const struct trial *t, const struct source *s)
{
    const struct model_config *c = &s->config;
    char *text = format_string(
        "%s %s seed %llu lr %.17g decay %.17g clip %.17g warmup %.17g epochs %u batch %u micro %u %s multi %d labels %u "
        "model %u %u %u %u %u %u %u dropout %.9g %.9g %.9g weights",
        dataset_sha256(s->data), s->split.sha256, (unsigned long long)t->seed, t->lr, t->weight_decay, t->clip, t->warmup,
        t->epochs, t->batch, t->micro_batch, t->precision, t->multi, t->labels, c->layers, c->width, c->heads, c->inner,
        c->vocabulary, c->positions, c->types, (double)c->hidden_dropout, (double)c->attention_dropout,
        (double)c->classifier_dropout);
    struct sha256 *digest;
    sha256_create(&digest);
    sha256_update(digest, text, strlen(text));
    if (t->weights_by_class)
        sha256_update(digest, t->weights_by_class, t->labels * sizeof *t->weights_by_class);
    if (c->family) { /* BERT's digests are those of before there were others */
        char *family = format_string("family %s embeddings %u pad %u", model_family_of(c)->model_type,
                                     model_config_embedding_width(c), c->pad);
        sha256_update(digest, family, strlen(family));
        free(family);
    }
    hash_distances(digest, c);
    if (t->new_head)
        sha256_update(digest, "new head", strlen("new head"));
    if (t->head_rows)
        sha256_update(digest, t->head_rows, t->labels * sizeof *t->head_rows);
    if (t->head_bias)
        sha256_update(digest, t->head_bias, t->labels * sizeof *t->head_bias);
    hash_later(digest, t);
    sha256_finish(&digest, hash);
    free(text);
}

static int check_trial(const struct trial *t, const struct device *d, struct error *e)
{
    if (strcmp(t->precision, precision_names[d->precision]))
        return error_set(e, ERROR_FAILED, "the trial has precision %s, but the device was created with %s", t->precision,
                         precision_names[d->precision]);
    if (!t->epochs || !t->labels || !(t->lr >= 0) || !(t->warmup >= 0 && t->warmup <= 1) || t->dropout >= 1)
        return error_set(e, ERROR_USAGE, "trial %s: epochs %u, labels %u, lr %g, warmup %g, dropout %g: out of range", t->key,
                         t->epochs, t->labels, t->lr, t->warmup, t->dropout);
    return 0;
}

/* ---- start ---- */

static void report(const struct trainer *r)
{
    if (!r->observer || !r->observer->step)
        return;
    const struct progress *s = &r->progress;
    uint32_t epoch = s->epoch < r->trial->epochs ? s->epoch : r->trial->epochs; /* past the end after the last one */
    struct step_report progress = {.step = s->steps,
                                   .steps = r->steps_per_epoch * r->trial->epochs,
                                   .epoch = epoch,
                                   .epochs = r->trial->epochs,
                                   .loss = s->weight_sum > 0 ? s->loss_sum / s->weight_sum : NAN,
                                   .lr = schedule_at(&r->schedule, s->steps)};
    r->observer->step(r->observer->context, &progress);
}

static void log_start(const struct trainer *r, const struct memory_need *m)
{
    if (r->communicator->rank)
        return;
    char device[256];
    device_describe(r->device, device, sizeof device);
    log_info("%s: training in %s on %s", r->trial->key, r->trial->precision, device);
    log_info("%s: memory per rank %.0f MB: weights, moments and gradients %.0f MB, activations %.0f MB (train.micro_batch %u)",
             r->trial->key, 1e-6 * (double)(m->weights + m->activations), 1e-6 * (double)m->weights,
             1e-6 * (double)m->activations, r->trial->micro_batch);
}

/* Everything that holds memory, sized before step 1. One model serves steps and evaluation. */
static int create_all(struct trainer *r, struct error *e)
{
    const struct trial *t = r->trial;
    const struct model_config *c = &r->source.config;
    const struct split *s = &r->source.split;
    struct batch_limits limits = memory_batches(t, &r->source, s->part[PART_TRAIN].rows, s->part[PART_TRAIN].count);
    struct model_limits sizes = memory_sizes(t, &r->source, &limits);
    struct memory_need need = memory_of(t, &r->source, r->communicator, r->device->precision, &limits);
    if (memory_check(&need, r->device, device_memory_left(r->device), " free", e))
        return error_prefix(e, "%s: ", t->key);
    if (parameters_create_tuned(&r->parameters, r->device, c, &r->source.tuning, e))
        return -1;
    log_start(r, &need);
    if (model_create(&r->model, r->parameters, c, &sizes, e))
        return -1;
    if (stepper_create(&r->stepper, t, &r->source, r->device, r->communicator, r->parameters, r->model, &limits, e))
        return -1;
    return evaluator_create(&r->evaluator, r->device, r->communicator, r->model, &r->source, e);
}

/* What this rank can find out alone. */
static int open_all(struct trainer *r, struct error *e)
{
    const struct trial *t = r->trial;
    if (check_trial(t, r->device, e) || source_open(&r->source, t, e))
        return -1;
    const struct split *s = &r->source.split;
    if (source_plan(&r->plan, &r->source, t, e))
        return -1;
    r->steps_per_epoch = plan_steps_per_epoch(r->plan);
    r->schedule = schedule_create(t->schedule, t->lr, t->warmup, r->steps_per_epoch * t->epochs);
    hash_trial(r->hash, t, &r->source);
    r->best = path_join(t->directory, "best.safetensors");
    r->logits = path_join(t->directory, "logits.h5");
    if (create_all(r, e))
        return -1;
    if (r->communicator->rank)
        return 0;
    r->values = allocate((size_t)s->part[PART_VALIDATION].count * t->labels, sizeof *r->values);
    int size = r->communicator->size;
    if (size & (size - 1))
        log_info("%s: %d ranks is not a power of two: sums are right, but their last bits differ from those on 1, 2 or 4 ranks",
                 t->key, size);
    return directory_create(t->directory, e);
}

static int load_pretrained(struct trainer *r, struct error *e)
{
    char *report = NULL;
    const char *adapter = r->trial->adapter; /* its head takes the place of the base's */
    const struct head_source head = {r->trial->new_head || adapter, r->trial->head_rows, r->trial->head_bias};
    int result = parameters_load_model(r->parameters, r->trial->model, &head, r->trial->seed, &report, e);
    if (!result && adapter)
        result = parameters_take_adapter(r->parameters, adapter, r->trial->new_head, false, e);
    if (!result && !r->communicator->rank)
        log_info("%s: %s", r->trial->key, report);
    free(report);
    return result;
}

/* From the pretrained weights, with nothing of an earlier run left over. */
static int start_from_pretrained(struct trainer *r, struct error *e)
{
    const struct model_config *c = &r->source.config;
    size_t bytes = parameters_moments(r->parameters) * sizeof(float);
    r->device->run->zero(r->device, parameters_first_moment(r->parameters), bytes);
    r->device->run->zero(r->device, parameters_second_moment(r->parameters), bytes);
    if (parameters_gradient_words(r->parameters))
        r->device->run->zero(r->device, parameters_seen(r->parameters), c->vocabulary);
    r->progress = (struct progress){.epoch = 1};
    if (load_pretrained(r, e))
        return -1;
    if (r->communicator->rank)
        return 0;
    unlink(r->best);
    unlink(r->logits);
    return checkpoint_remove(r->trial->directory, e);
}

/* A state that this trial cannot be in, or whose best weights are gone, is of no use. */
static bool usable(const struct trainer *r, const struct progress *s)
{
    bool possible = s->epoch >= 1 && s->epoch <= r->trial->epochs + 1 && s->step <= r->steps_per_epoch &&
                    s->best_epoch <= s->epochs_done && s->epochs_done <= r->trial->epochs;
    if (possible && (!s->best_epoch || file_exists(r->best)))
        return true;
    log_warn("%s: ignoring the checkpoint: %s", r->trial->directory,
             possible ? "best.safetensors is missing" : "its state.json is damaged");
    return false;
}

/* Rank 0 decides where the trial resumes; every rank reads the same files for itself. */
static int load_or_resume(struct trainer *r, struct error *e)
{
    struct communicator *c = r->communicator;
    struct {
        struct progress progress;
        bool found;
    } mine, first;
    memset(&mine, 0, sizeof mine);
    int result = 0;
    report(r);
    if (r->trial->resume && parameters_frozen(r->parameters) && checkpoint_exists(r->trial->directory))
        result = load_pretrained(r, e); /* a checkpoint has only what is trained */
    if (r->trial->resume && !result)
        result = checkpoint_load(r->trial->directory, r->parameters, &mine.progress, &mine.found, r->hash, e);
    if (!result && mine.found && !c->rank)
        mine.found = usable(r, &mine.progress);
    if (agree(c, result, e))
        return -1;
    first = mine;
    if (c->run->broadcast(c, &first, sizeof first, 0, e))
        return -1;
    bool same = !first.found ||
                (mine.found && mine.progress.steps == first.progress.steps && mine.progress.epoch == first.progress.epoch);
    if (!same)
        error_set(e, ERROR_FAILED,
                  "%s: this rank sees another checkpoint than rank 0; the run directory must be on a shared file system",
                  r->trial->directory);
    if (agree(c, !same, e))
        return -1;
    r->progress = first.progress;
    result = first.found ? 0 : start_from_pretrained(r, e);
    r->seconds_before = r->progress.seconds;
    r->saved_at = clock_seconds();
    r->saved_step = r->progress.steps;
    if (!result && !c->rank)
        result = metrics_file_open(&r->metrics, r->trial, r->progress.steps, r->progress.epochs_done, e);
    if (!result && !c->rank && first.found)
        log_info("%s: resuming at step %llu of epoch %u", r->trial->key, (unsigned long long)r->progress.step, r->progress.epoch);
    return agree(c, result, e);
}

/* ---- steps ---- */

/* What a step has come to, which may be known some steps after it was asked for. */
static void after_step(struct trainer *r, const struct step_output *out)
{
    struct progress *s = &r->progress;
    s->step++;
    s->steps++;
    s->tokens += out->tokens;
    s->loss_sum += out->loss_sum;
    s->weight_sum += out->weight_sum;
    s->seconds = r->seconds_before + clock_seconds() - r->started;
    double gflops = out->flops / out->seconds * 1e-9;
    struct metrics_step line = {.step = s->steps,
                                .epoch = s->epoch,
                                .loss = out->loss_sum / out->weight_sum,
                                .lr = out->lr,
                                .grad_norm = out->grad_norm,
                                .tokens_per_second = (double)out->tokens / out->seconds,
                                .examples_per_second = out->rows / out->seconds,
                                .gflops = gflops,
                                .peak_share = device_peak_share(r->device, gflops)};
    if (!r->communicator->rank)
        metrics_file_step(r->metrics, &line, &r->failure);
    if (!r->observer || !r->observer->step)
        return;
    struct step_report progress = {.step = line.step,
                                   .steps = r->steps_per_epoch * r->trial->epochs,
                                   .epoch = line.epoch,
                                   .epochs = r->trial->epochs,
                                   .loss = line.loss,
                                   .lr = line.lr,
                                   .grad_norm = line.grad_norm,
                                   .tokens_per_second = line.tokens_per_second,
                                   .examples_per_second = line.examples_per_second,
                                   .peak_share = line.peak_share};
    r->observer->step(r->observer->context, &progress);
}

/* Rank 0: the one before is on the disk by the time that the next begins. last: nothing follows that it could be left beside. */
static int save_checkpoint(struct trainer *r, bool last, struct error *e)
{
    if (checkpoint_wait(&r->saving_on, e))
        return -1;
    return checkpoint_save(r->trial->directory, r->parameters, &r->progress, r->hash, last ? NULL : &r->saving_on, e);
}

static int save(struct trainer *r, bool last, struct error *e)
{
    double start = clock_seconds();
    operation_begin("checkpoint");
    report(r);
    trace_begin("save", -1);
    int result = r->communicator->rank ? 0 : save_checkpoint(r, last, e);
    trace_end();
    result = agree(r->communicator, result, e);
    r->saved_at = clock_seconds();
    r->saved_step = r->progress.steps;
    r->saving += r->saved_at - start;
    r->saves++;
    return result;
}

/* After step t. Rank 0 decides when; the others learn it in the step. */
static bool save_is_due(const struct trainer *r, uint64_t t)
{
    const struct trial *trial = r->trial;
    if (r->communicator->rank)
        return false;
    if (trial->checkpoint_steps && t - r->saved_step >= trial->checkpoint_steps)
        return true;
    return trial->checkpoint_minutes > 0 && clock_seconds() - r->saved_at >= 60 * trial->checkpoint_minutes;
}

static void log_checkpoints(const struct trainer *r)
{
    double all = clock_seconds() - r->started;
    if (!r->communicator->rank && r->saves)
        log_info("%s: %u checkpoint%s took %.2f s, %.2f %% of the training time", r->trial->key, r->saves,
                 r->saves == 1 ? "" : "s", r->saving, 100 * r->saving / all);
}

static int save_and_stop(struct trainer *r, struct error *e)
{
    if (save(r, true, e))
        return -1;
    return error_set(e, ERROR_STOPPED, "%s: stopped on request at step %llu of epoch %u, saved; the same command resumes",
                     r->trial->key, (unsigned long long)r->progress.step, r->progress.epoch);
}

/* Until the device has done all that was asked: before anything that looks at the weights. */
static int drain(struct trainer *r, struct error *e)
{
    struct step_output out;
    while (!stepper_next(r->stepper, &out, e)) {
        if (!out.t)
            return 0;
        after_step(r, &out);
    }
    return -1;
}

/* The last checkpoint reads the weights beside forward and backward. */
static void await_copy(void *context)
{
    struct trainer *r = context;
    double start = clock_seconds();
    if (!r->saving_on)
        return;
    trace_begin("save", -1);
    checkpoint_await_copy(r->saving_on);
    trace_end();
    r->saving += clock_seconds() - start;
}

/* number: 0-based within the epoch. */
static int ask_step(struct trainer *r, uint64_t number, struct step_output *out, struct error *e)
{
    const struct progress *s = &r->progress;
    uint64_t t = s->steps - s->step + number + 1;
    struct step_input in = {.epoch = s->epoch,
                            .t = t,
                            .lr = schedule_at(&r->schedule, t - 1),
                            .save = save_is_due(r, t),
                            .before_update = await_copy,
                            .context = r,
                            .failure = &r->failure};
    fault_set_step(t);
    in.rows = plan_step(r->plan, s->epoch, number, &in.count);
    return stepper_run(r->stepper, &in, out, e);
}

static int train_epoch(struct trainer *r, struct error *e)
{
    for (uint64_t number = r->progress.step; number < r->steps_per_epoch; number++) {
        struct step_output out;
        if (ask_step(r, number, &out, e))
            return -1;
        if (out.t)
            after_step(r, &out);
        bool saves = out.save && number + 1 < r->steps_per_epoch; /* after the last step the epoch's end saves */
        if ((out.stop || saves) && drain(r, e))
            return -1;
        if (out.stop)
            return save_and_stop(r, e);
        if (saves && save(r, false, e))
            return -1;
    }
    return drain(r, e);
}

/* ---- the end of an epoch ---- */

static void on_batch(void *context, uint64_t done, uint64_t all)
{
    (void)done, (void)all;
    report(context);
}

static int write_logits(struct trainer *r, double *loss, struct error *e)
{
    const struct trial *t = r->trial;
    const struct split *s = &r->source.split;
    const uint32_t *rows = s->part[PART_VALIDATION].rows;
    uint32_t count = s->part[PART_VALIDATION].count;
    *loss = NAN;
    if (count == 0) /* trained on the whole of the rows: what counts is decided elsewhere */
        return 0;
    struct logits l = {
        .part = PART_VALIDATION, .epoch = (int)r->progress.epoch, .rows = count, .labels = t->labels, .values = r->values};
    l.loss = *loss = evaluate_loss(&r->source, t, rows, count, r->values);
    memcpy(l.split_sha256, s->sha256, sizeof l.split_sha256);
    if (!isfinite(l.loss))
        return error_set(e, ERROR_FAILED,
                         "epoch %u: the validation loss is %g: training has diverged; lower train.lr (now %g) or set train.clip",
                         r->progress.epoch, l.loss, t->lr);
    return logits_append(r->logits, &l, e);
}

/* The whole model, adapters merged into it; and the adapter by itself. */
static int save_best(struct trainer *r, struct error *e)
{
    if (parameters_save(r->parameters, r->best, e))
        return -1;
    if (!r->trial->lora_rank)
        return 0;
    char *path = path_join(r->trial->directory, "adapter.safetensors");
    int result = parameters_save_adapter(r->parameters, path, e);
    free(path);
    return result;
}

/* Rank 0: logits, decision, best weights and the epoch's line, in this order. */
static int end_epoch(struct trainer *r, struct epoch_decision *v, struct error *e)
{
    struct progress *s = &r->progress;
    double validation_loss;
    if (r->failure.kind) {
        *e = r->failure;
        return -1;
    }
    if (write_logits(r, &validation_loss, e))
        return -1;
    struct epoch_report report = {.epoch = s->epoch, .train_loss = s->loss_sum / s->weight_sum, .logits = r->logits};
    if (r->observer->epoch(r->observer->context, &report, v, e))
        return -1;
    if (v->best && save_best(r, e))
        return -1;
    struct metrics_epoch line = {.step = s->steps,
                                 .epoch = s->epoch,
                                 .train_loss = report.train_loss,
                                 .validation_loss = validation_loss,
                                 .best = v->best,
                                 .metrics = v->metrics};
    return metrics_file_epoch(r->metrics, &line, e);
}

static int finish_epoch(struct trainer *r, struct error *e)
{
    struct communicator *c = r->communicator;
    struct progress *s = &r->progress;
    const struct split *parts = &r->source.split;
    struct epoch_decision v = {0};
    operation_begin("evaluate");
    if (parts->part[PART_VALIDATION].count > 0 && evaluator_run(r->evaluator, parts->part[PART_VALIDATION].rows,
                                                                parts->part[PART_VALIDATION].count, r->values, on_batch, r, e))
        return e->kind == ERROR_STOPPED ? save_and_stop(r, e) : -1;
    operation_begin("epoch_decision");
    int result = agree(c, c->rank ? 0 : end_epoch(r, &v, e), e);
    free(v.metrics);
    if (result && e->kind == ERROR_STOPPED) /* no answer from the coordinator: the epoch is evaluated again next time */
        return save_and_stop(r, e);
    bool decision[2] = {v.best, v.stop};
    if (result || c->run->broadcast(c, decision, sizeof decision, 0, e))
        return -1;
    s->epochs_done = s->epoch;
    if (decision[0])
        s->best_epoch = s->epoch;
    s->finished = decision[1] || s->epoch == r->trial->epochs;
    s->epoch++;
    s->step = 0;
    s->loss_sum = s->weight_sum = 0;
    s->seconds = r->seconds_before + clock_seconds() - r->started;
    return save(r, s->finished, e);
}

static void close_all(struct trainer *r)
{
    struct error ignored; /* an earlier one is why training ends with something left */
    checkpoint_wait(&r->saving_on, &ignored);
    metrics_file_close(&r->metrics);
    evaluator_destroy(&r->evaluator);
    stepper_destroy(&r->stepper);
    model_destroy(&r->model);
    parameters_destroy(&r->parameters);
    plan_destroy(&r->plan);
    source_close(&r->source);
    free(r->best);
    free(r->logits);
    free(r->values);
}

int trainer_run(struct trainer_result *ret, const struct trial *t, struct device *d, struct communicator *c,
                const struct observer *o, struct error *e)
{
    struct trainer r = {.trial = t, .device = d, .communicator = c, .observer = o, .started = clock_seconds()};
    struct progress *s = &r.progress;
    int result = agree(c, open_all(&r, e), e) || load_or_resume(&r, e) ? -1 : 0;
    while (!result && !s->finished)
        result = train_epoch(&r, e) || finish_epoch(&r, e) ? -1 : 0;
    if (!result)
        *ret = (struct trainer_result){.epochs_done = s->epochs_done,
                                       .best_epoch = s->best_epoch,
                                       .steps = s->steps,
                                       .tokens = s->tokens,
                                       .seconds = s->seconds,
                                       .best_weights = s->best_epoch ? duplicate(r.best) : NULL};
    log_checkpoints(&r);
    close_all(&r);
    return result;
}

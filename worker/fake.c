/* SPDX-License-Identifier: Apache-2.0 */
/* The fake device: trials that follow a script in place of a network, to try sweeps, pruning, failures and the control plane
 * in seconds. Everything around it is real: data, split, logits.h5, metrics, TensorBoard, checkpoint, decisions, bundle.
 *
 * The script is a function of hyper-parameters, epoch and row alone: a trial has a skill, which grows with the epochs and is
 * largest near lr 3e-5; a row's logits are noise, with the skill added to what is right. best.safetensors is a classifier.weight
 * that holds skill and noise key, so that scoring gives the logits that the trial was selected for. Rows without labels get
 * noise. MUSTER_FAKE_STEP in the environment: seconds that a step takes, for whoever wants to see one under way (default 0). */
#include "common/base/clock.h"
#include "common/base/device_kind.h"
#include "common/base/fault.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/operation.h"
#include "common/base/philox.h"
#include "common/base/stop.h"
#include "common/format/results.h"
#include "common/format/tensor_file.h"
#include "common/json/json.h"
#include "worker/agent.h"
#include "worker/train/agree.h"
#include "worker/train/evaluate.h"
#include "worker/train/metrics_file.h"
#include "worker/train/schedule.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WEIGHTS "classifier.weight" /* (labels, width): skill, then noise key, then zeros */

struct script {
    float skill;
    float key; /* a whole number below 2^24: of the noise */
};

struct fake_trial {
    const struct trial *trial;
    struct communicator *communicator;
    const struct observer *observer;
    struct source source;
    struct metrics_file *metrics; /* rank 0 */
    uint64_t steps_per_epoch, steps, tokens;
    uint32_t epochs_done, best_epoch;
    bool finished; /* by a decision, or after the last epoch */
    double pause, started;
    char *best, *logits, *state; /* paths */
};

/* ---- the script ---- */

static uint32_t noise(const struct script *s, uint32_t a, uint32_t b)
{
    return philox((uint64_t)s->key, RANDOM_FAKE, a, b, 0, 0).word[0];
}

static double uniform(uint32_t word) /* -1 .. 1 */
{
    return word / 2147483648.0 - 1;
}

/* Epochs may be a fraction: within one. */
static double skill_after(const struct trial *t, double epochs)
{
    double away = log(fmax(t->lr, 1e-12) / 3e-5) / 2, decay = 10 * fmax(t->dropout, 0) * t->weight_decay;
    double learnt = 3 / (1 + away * away) * (1 - exp(-epochs / 1.5)), forgotten = 0.06 * fmax(epochs - 4, 0);
    return fmax(learnt - forgotten - decay, 0);
}

static struct script script_of(const struct trial *t, uint32_t epoch)
{
    union {
        double value;
        uint32_t half[2];
    } lr = {t->lr};
    struct philox_block b = philox(t->seed, RANDOM_FAKE, lr.half[0], lr.half[1], t->batch, t->epochs);
    return (struct script){(float)skill_after(t, epoch), (float)(b.word[0] >> 8)};
}

static bool is_right(const struct source *s, const struct trial *t, uint32_t row, uint32_t label)
{
    if (!dataset_labels(s->data))
        return false;
    return t->multi ? dataset_targets(s->data, row)[label] > 0 : dataset_class(s->data, row) == (int32_t)label;
}

static void fill_logits(float *to, const struct source *s, const struct trial *t, const struct script *script,
                        const uint32_t *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t l = 0; l < t->labels; l++) {
            double base = is_right(s, t, rows[i], l) ? script->skill : t->multi ? -script->skill : 0;
            to[(size_t)i * t->labels + l] = (float)(base + 1.5 * uniform(noise(script, rows[i], l)));
        }
}

/* Decreases with the skill, with noise. */
static double loss_of(const struct trial *t, double epochs, uint64_t step)
{
    double classes = t->multi || t->labels < 2 ? 2 : t->labels;
    struct script s = script_of(t, 0);
    return log(classes) / (1 + skill_after(t, epochs)) * (1 + 0.1 * uniform(noise(&s, (uint32_t)step, (uint32_t)(step >> 32))));
}

/* ---- files ---- */

static int write_weights(const char *path, const struct fake_trial *f, const struct script *s, struct error *e)
{
    static const char *const metadata[] = {"format", "pt", "device", "fake", NULL};
    uint32_t width = f->source.config.width;
    size_t count = (size_t)f->trial->labels * width;
    float *values = allocate(count + 1, sizeof *values);
    values[0] = s->skill;
    values[1] = s->key;
    struct tensor t = {.name = WEIGHTS,
                       .type = TENSOR_F32,
                       .dimensions = 2,
                       .shape = {f->trial->labels, width},
                       .count = count,
                       .data = values,
                       .size = count * sizeof *values};
    int result = safetensors_write(path, &t, 1, metadata, e);
    free(values);
    return result;
}

static int read_weights(struct script *ret, const char *path, struct error *e)
{
    struct tensor_file *f;
    if (tensor_file_open(&f, path, e))
        return -1;
    const struct tensor *t = tensor_file_find(f, WEIGHTS);
    const char *device = tensor_file_metadata(f, "device");
    int result = 0;
    if (!t || t->count < 2 || t->type != TENSOR_F32 || !device || device_kind_find(device) != DEVICE_FAKE)
        result = error_set(e, ERROR_DATA, "%s: was not made by the fake device, which scores only its own weights", path);
    else
        memcpy(ret, t->data, sizeof *ret);
    tensor_file_close(&f);
    return result;
}

static int append_logits(const char *path, const struct source *s, const struct trial *t, const struct script *script,
                         enum part part, uint32_t epoch, double *loss, struct error *e)
{
    const uint32_t *rows = s->split.part[part].rows;
    uint32_t count = s->split.part[part].count;
    if (loss)
        *loss = NAN;
    if (count == 0)
        return 0;
    struct logits l = {.part = part, .epoch = (int)epoch, .rows = count, .labels = t->labels};
    l.values = allocate((size_t)count * t->labels, sizeof *l.values);
    fill_logits(l.values, s, t, script, rows, count);
    l.loss = evaluate_loss(s, t, rows, count, l.values);
    memcpy(l.split_sha256, s->split.sha256, sizeof l.split_sha256);
    int result = logits_append(path, &l, e);
    if (loss)
        *loss = l.loss;
    free(l.values);
    return result;
}

/* Where the trial stands, written at each epoch's end and when asked to stop. */
static int save(struct fake_trial *f, struct error *e)
{
    struct json *j = json_object();
    json_set_number(j, "steps", (double)f->steps);
    json_set_number(j, "tokens", (double)f->tokens);
    json_set_number(j, "epochs_done", f->epochs_done);
    json_set_number(j, "best_epoch", f->best_epoch);
    json_set_boolean(j, "finished", f->finished);
    int result = json_write(f->state, j, e);
    json_destroy(&j);
    return result;
}

static void load(struct fake_trial *f)
{
    struct json *j;
    struct error why = {0};
    if (!f->trial->resume || !file_exists(f->state))
        return;
    if (json_read(&j, f->state, &why)) {
        log_warn("%s; starting from scratch", why.message);
        return;
    }
    f->steps = (uint64_t)json_number(json_get(j, "steps"));
    f->tokens = (uint64_t)json_number(json_get(j, "tokens"));
    f->epochs_done = (uint32_t)json_number(json_get(j, "epochs_done"));
    f->best_epoch = (uint32_t)json_number(json_get(j, "best_epoch"));
    f->finished = json_boolean(json_get(j, "finished"));
    json_destroy(&j);
}

/* ---- training ---- */

static int report_step(struct fake_trial *f, struct error *e)
{
    const struct trial *t = f->trial;
    uint64_t all = f->steps_per_epoch * t->epochs;
    struct schedule schedule = schedule_create(t->schedule, t->lr, t->warmup, all);
    double epochs = (double)f->steps / (double)f->steps_per_epoch, seconds = fmax(f->pause, 1e-3);
    struct metrics_step line = {.step = f->steps,
                                .epoch = f->epochs_done + 1,
                                .loss = loss_of(t, epochs, f->steps),
                                .lr = schedule_at(&schedule, f->steps - 1),
                                .grad_norm = 1 / (1 + epochs),
                                .tokens_per_second = t->batch * (double)t->max_length / seconds,
                                .examples_per_second = t->batch / seconds};
    struct step_report report = {.step = line.step,
                                 .steps = all,
                                 .epoch = line.epoch,
                                 .epochs = t->epochs,
                                 .loss = line.loss,
                                 .lr = line.lr,
                                 .grad_norm = line.grad_norm,
                                 .tokens_per_second = line.tokens_per_second,
                                 .examples_per_second = line.examples_per_second};
    if (f->observer->step)
        f->observer->step(f->observer->context, &report);
    return metrics_file_step(f->metrics, &line, e);
}

static int stop_here(struct fake_trial *f, struct error *e)
{
    if (save(f, e))
        return -1;
    return error_set(e, ERROR_STOPPED, "%s: stopped on request at step %llu, saved; the same command resumes", f->trial->key,
                     (unsigned long long)f->steps);
}

static int run_steps(struct fake_trial *f, struct error *e)
{
    uint64_t end = (f->epochs_done + 1) * f->steps_per_epoch;
    while (f->steps < end) {
        fault_set_step(f->steps + 1);
        operation_begin("forward");
        if (f->pause > 0)
            clock_sleep(f->pause);
        f->steps++;
        f->tokens += (uint64_t)f->trial->batch * f->trial->max_length;
        if (report_step(f, e))
            return -1;
        if (stop_requested())
            return stop_here(f, e);
    }
    return 0;
}

static int end_epoch(struct fake_trial *f, struct error *e)
{
    uint32_t epoch = f->epochs_done + 1;
    struct script script = script_of(f->trial, epoch);
    struct epoch_report report = {.epoch = epoch, .train_loss = loss_of(f->trial, epoch, 0), .logits = f->logits};
    struct epoch_decision v = {0};
    double loss;
    if (append_logits(f->logits, &f->source, f->trial, &script, PART_VALIDATION, epoch, &loss, e) ||
        f->observer->epoch(f->observer->context, &report, &v, e))
        return -1;
    struct metrics_epoch line = {.step = f->steps,
                                 .epoch = epoch,
                                 .train_loss = report.train_loss,
                                 .validation_loss = loss,
                                 .best = v.best,
                                 .metrics = v.metrics};
    int result = (v.best && write_weights(f->best, f, &script, e)) || metrics_file_epoch(f->metrics, &line, e) ? -1 : 0;
    free(v.metrics);
    f->epochs_done = epoch;
    f->best_epoch = v.best ? epoch : f->best_epoch;
    f->finished = v.stop || epoch >= f->trial->epochs;
    return result ? -1 : save(f, e);
}

/* Rank 0 computes for the group; the others wait for it after each epoch. */
static int run_epochs(struct fake_trial *f, struct error *e)
{
    struct communicator *c = f->communicator;
    while (!c->run->broadcast(c, &f->finished, sizeof f->finished, 0, e)) {
        if (f->finished)
            return 0;
        if (agree(c, c->rank ? 0 : run_steps(f, e) || end_epoch(f, e), e))
            return -1;
    }
    return -1;
}

static int read_pause(double *ret, struct error *e)
{
    const char *text = getenv("MUSTER_FAKE_STEP");
    char *end = NULL;
    *ret = text ? strtod(text, &end) : 0;
    if (text && (end == text || *end || !(*ret >= 0 && *ret <= 3600)))
        return error_set(e, ERROR_USAGE, "MUSTER_FAKE_STEP: expected seconds from 0 to 3600, found \"%s\"", text);
    return 0;
}

static int open_trial(struct fake_trial *f, struct error *e)
{
    const struct trial *t = f->trial;
    struct plan *plan;
    char *directory = path_join(t->directory, "checkpoint");
    f->best = path_join(t->directory, "best.safetensors");
    f->logits = path_join(t->directory, "logits.h5");
    f->state = path_join(directory, "state.json");
    int result = read_pause(&f->pause, e) || source_open(&f->source, t, e) ? -1 : 0;
    if (!result)
        result = source_plan(&plan, &f->source, t, e);
    if (!result) {
        f->steps_per_epoch = plan_steps_per_epoch(plan);
        plan_destroy(&plan);
    }
    if (!result && !f->communicator->rank)
        result = directory_create(directory, e);
    free(directory);
    if (result || f->communicator->rank)
        return result;
    load(f);
    return metrics_file_open(&f->metrics, t, f->steps, f->epochs_done, e);
}

static void close_trial(struct fake_trial *f)
{
    metrics_file_close(&f->metrics);
    source_close(&f->source);
    free(f->best);
    free(f->logits);
    free(f->state);
}

static int train(struct trainer_result *ret, const struct trial *t, struct device *d, struct communicator *c,
                 const struct observer *o, struct error *e)
{
    (void)d;
    struct fake_trial f = {.trial = t, .communicator = c, .observer = o, .started = clock_seconds()};
    int result = agree(c, open_trial(&f, e), e) || run_epochs(&f, e) ? -1 : 0;
    if (!result)
        *ret = (struct trainer_result){.epochs_done = f.epochs_done,
                                       .best_epoch = f.best_epoch,
                                       .steps = f.steps,
                                       .tokens = f.tokens,
                                       .seconds = clock_seconds() - f.started,
                                       .best_weights = f.best_epoch ? duplicate(f.best) : NULL};
    close_trial(&f);
    return result;
}

/* ---- scoring ---- */

static int score_parts(const struct trial *t, const struct source *s, struct error *e)
{
    bool wanted[PART_COUNT];
    struct script script;
    char *path = path_join(t->directory, "logits.h5"), *weights = duplicate(t->weights);
    int result = (!weights && model_directory_weights(&weights, t->model, e)) || read_weights(&script, weights, e) ||
                         directory_create(t->directory, e)
                     ? -1
                     : 0;
    source_wanted(wanted, t);
    for (int part = 0; part < PART_COUNT && !result; part++)
        if (wanted[part])
            result = append_logits(path, s, t, &script, (enum part)part, 1, NULL, e);
    free(weights);
    free(path);
    return result;
}

static int score(const struct trial *t, struct device *d, struct communicator *c, const struct observer *o, struct error *e)
{
    (void)d, (void)o;
    struct source s = {0};
    int result = source_open(&s, t, e);
    if (!result && !c->rank)
        result = score_parts(t, &s, e);
    source_close(&s);
    return agree(c, result, e);
}

/* ---- the device ---- */

static void destroy_device(struct device *d)
{
    free(d);
}

static const struct device_operations operations = {.kind = DEVICE_FAKE, .destroy = destroy_device};

static int open_device(struct device **ret, const char *name, enum precision precision, int threads, struct error *e)
{
    (void)name, (void)e;
    *ret = allocate(1, sizeof **ret);
    **ret = (struct device){.run = &operations, .precision = precision, .threads = threads};
    return 0;
}

static void describe(const struct device *d, char *text, size_t size)
{
    (void)d;
    snprintf(text, size, "fake: simulated losses, nothing is learned");
}

const struct agent_work agent_fake = {train, score, open_device, describe, NULL};

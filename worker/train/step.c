/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the gradient arenas and the order of work in a step. */
#include "worker/train/step.h"

#include "common/base/memory.h"
#include "common/base/operation.h"
#include "common/base/stop.h"
#include "common/base/trace.h"
#include "worker/train/agree.h"
#include "worker/train/balance.h"
#include "worker/train/optimizer.h"
#include "worker/train/plan.h"

#include <math.h>
#include <stdlib.h>

enum { ARENAS = 33 };

/* A bucket's gradient while the communicator has it. */
struct span {
    device_memory at;
    size_t bytes;
    void *host; /* NULL: not on its way */
};

struct stepper {
    const struct trial *trial;
    const struct source *source;
    struct device *device;
    struct communicator *communicator;
    struct parameters *parameters;
    struct model *model;
    struct batch *batch;
    struct optimizer *optimizer;
    device_memory gradient[ARENAS];
    device_memory weights; /* f32 (L): by class */
    device_memory losses;  /* f32 (batch): of each row, those of this rank */
    float *host_losses;
    double *shared; /* per micro-batch its loss; then stop, failures, save */
    struct span *spans;
    uint32_t *rows; /* of the step, by micro-batch */
    struct row_length *lengths;
    struct assignment *assignments;
    uint32_t *order;         /* scratch of balance_micro_batches */
    struct plan_turn *turns; /* of the step */
    size_t width, U;         /* of the words, 0: frozen; distinct words of this step */
    struct plan_turn turn;   /* under way */
    bool last;               /* of this rank's micro-batches */
    int lost;                /* the communicator failed during backward; message in `why` */
    struct error why;
};

/* Buckets and, after them, the words: place and size in a gradient arena, in elements. */
static void bucket_range(const struct stepper *s, int bucket, size_t *offset, size_t *count)
{
    if (bucket < parameters_buckets(s->parameters)) {
        parameters_bucket_range(s->parameters, bucket, offset, count);
    } else {
        *offset = parameters_gradients(s->parameters);
        *count = s->U * s->width;
    }
}

/* The bucket's sum over this rank's micro-batches is complete: on its way to the other ranks. */
static void start_reduction(struct stepper *s, int bucket)
{
    size_t offset, count;
    bucket_range(s, bucket, &offset, &count);
    struct span *span = &s->spans[bucket];
    struct communicator *c = s->communicator;
    if (c->size == 1 || s->lost || !count) /* nothing: frozen */
        return;
    trace_begin("all-reduce bucket", bucket);
    span->at = device_at(s->gradient[0], offset * sizeof(float));
    span->bytes = count * sizeof(float);
    span->host = s->device->run->host_begin(s->device, span->at, span->bytes);
    s->lost = c->run->all_reduce_start(c, span->host, count, &s->why) || c->run->progress(c, &s->why);
    trace_end();
}

/* Backward has completed a bucket of the micro-batch under way: the sums that it completes in turn are added, newest first. */
static void on_ready(void *context, int bucket)
{
    struct stepper *s = context;
    size_t offset, count;
    bucket_range(s, bucket, &offset, &count);
    for (uint32_t i = 0; i < s->turn.additions && count; i++) {
        uint32_t from = s->turn.arena - i;
        s->device->run->add(s->device, device_at(s->gradient[from - 1], offset * sizeof(float)),
                            device_at(s->gradient[from], offset * sizeof(float)), count);
    }
    if (s->last)
        start_reduction(s, bucket);
}

/* Messages progress only in calls of MPI, which cost next to nothing. Calls at the end of a layer alone leave most of a sum for
 * when backward is over. */
static void on_progress(void *context)
{
    struct stepper *s = context;
    struct communicator *c = s->communicator;
    if (c->size == 1 || s->lost || !s->last)
        return;
    trace_begin("all-reduce progress", -1);
    s->lost = c->run->progress(c, &s->why);
    trace_end();
}

static void run_micro_batch(struct stepper *s, const struct step_input *in)
{
    const struct trial *t = s->trial;
    const struct model_config *c = &s->source->config;
    uint32_t first = s->turn.micro_batch * t->micro_batch, left = in->count - first;
    uint32_t count = left < t->micro_batch ? left : t->micro_batch;
    trace_begin("input", -1);
    const struct packed *b = batch_pack(s->batch, s->rows + first, count);
    trace_end();
    bool drops = c->hidden_dropout > 0 || c->attention_dropout > 0 || c->classifier_dropout > 0 || t->lora_dropout > 0;
    operation_begin("forward");
    model_forward(s->model, b, (struct model_dropout){.on = drops, .seed = t->seed, .epoch = in->epoch});
    device_memory loss = model_loss(s->model, b, s->weights, t->multi, &(struct loss_shape){t->label_smoothing, t->focal_gamma});
    s->device->run->copy(s->device, device_at(s->losses, first * sizeof(float)), loss, count * sizeof(float));
    const struct model_watcher watcher = {on_ready, on_progress, s};
    operation_begin("backward");
    model_backward(s->model, b, s->gradient[s->turn.arena], &watcher);
}

/* A step shorter than the ranks are many: this rank adds zero. */
static void add_nothing(struct stepper *s)
{
    size_t count = parameters_gradients(s->parameters) + s->U * s->width;
    s->device->run->zero(s->device, s->gradient[0], count * sizeof(float));
    int words = parameters_buckets(s->parameters);
    for (int bucket = words - 1; bucket >= 0; bucket--)
        start_reduction(s, bucket);
    start_reduction(s, words);
}

static int finish_reductions(struct stepper *s, struct error *e)
{
    trace_begin("all-reduce wait", -1);
    operation_begin("all_reduce");
    if (!s->lost)
        s->lost = s->communicator->run->wait(s->communicator, &s->why);
    trace_end();
    for (int bucket = 0; bucket <= parameters_buckets(s->parameters); bucket++) {
        struct span *span = &s->spans[bucket];
        if (span->host)
            s->device->run->host_end(s->device, span->host, span->at, span->bytes);
        span->host = NULL;
    }
    if (s->lost)
        *e = s->why;
    return s->lost ? -1 : 0;
}

/* Sums of micro-batches and signals to all ranks. Every micro-batch has a place of its own, so the sums do not depend on who
 * computed which. */
static int share(struct stepper *s, const struct step_input *in, uint32_t micro_batches, struct step_output *ret, struct error *e)
{
    struct communicator *c = s->communicator;
    struct error own = {0};
    s->device->run->download(s->device, s->host_losses, s->losses, in->count * sizeof(float));
    int failed = s->device->run->finish(s->device, &own);
    if (in->failure->kind) {
        own = *in->failure;
        failed = -1;
    }
    for (uint32_t j = 0; j < micro_batches; j++) {
        s->shared[j] = 0;
        uint32_t end = (j + 1) * s->trial->micro_batch;
        for (uint32_t i = j * s->trial->micro_batch; i < end && i < in->count; i++)
            s->shared[j] += j % (uint32_t)c->size == (uint32_t)c->rank ? (double)s->host_losses[i] : 0;
    }
    s->shared[micro_batches] = stop_requested();
    s->shared[micro_batches + 1] = failed != 0;
    s->shared[micro_batches + 2] = in->save;
    if (c->run->all_reduce_doubles(c, s->shared, micro_batches + 3, e))
        return -1;
    if (s->shared[micro_batches + 1] > 0) {
        *e = own;
        return agree(c, failed, e);
    }
    for (uint32_t j = 0; j < micro_batches; j++)
        ret->loss_sum += s->shared[j];
    ret->stop = s->shared[micro_batches] > 0;
    ret->save = s->shared[micro_batches + 2] > 0;
    return 0;
}

static int diverged(const struct step_input *in, const char *what, double value, struct error *e)
{
    return error_set(e, ERROR_FAILED,
                     "step %llu of epoch %u: the %s is %g: training has diverged; lower train.lr (now %g) or set train.clip",
                     (unsigned long long)in->t, in->epoch, what, value, in->lr);
}

static int update(struct stepper *s, const struct step_input *in, struct step_output *out, struct error *e)
{
    out->grad_norm = optimizer_norm(s->optimizer, s->gradient[0], s->U, out->weight_sum);
    if (!isfinite(out->grad_norm))
        return diverged(in, "norm of the gradient", out->grad_norm, e);
    optimizer_apply(s->optimizer, s->gradient[0], batch_slot_of(s->batch), in->lr, in->t, out->weight_sum, out->grad_norm);
    return 0;
}

/* Which rows and which sums: before anything is computed. Returns how many micro-batches are this rank's. */
static uint32_t plan(struct stepper *s, const struct step_input *in, uint32_t micro_batches)
{
    const struct communicator *c = s->communicator;
    trace_begin("input", -1);
    for (uint32_t i = 0; i < in->count; i++)
        s->lengths[i] = (struct row_length){in->rows[i], dataset_tokens(s->source->data, in->rows[i]).length};
    balance_micro_batches(s->rows, s->lengths, in->count, s->trial->micro_batch, s->assignments, s->order);
    plan_turns(s->turns, micro_batches, c->rank, c->size);
    s->U = batch_words(s->batch, in->rows, in->count);
    trace_end();
    return plan_turn_count(micro_batches, c->rank, c->size);
}

/* Gradients of this rank's micro-batches, summed over all ranks, in arena 0. */
static int run_micro_batches(struct stepper *s, const struct step_input *in, uint32_t micro_batches, struct error *e)
{
    uint32_t count = plan(s, in, micro_batches);
    s->lost = 0;
    for (uint32_t i = 0; i < count; i++) {
        s->turn = s->turns[i];
        s->last = i + 1 == count;
        run_micro_batch(s, in);
    }
    if (!count)
        add_nothing(s);
    return finish_reductions(s, e);
}

static int run_step(struct stepper *s, const struct step_input *in, struct step_output *ret, struct error *e)
{
    uint32_t micro_batches = (in->count + s->trial->micro_batch - 1) / s->trial->micro_batch;
    struct step_output out = {0};
    if (run_micro_batches(s, in, micro_batches, e))
        return -1;
    trace_begin("all-reduce loss", -1);
    int shared = share(s, in, micro_batches, &out, e);
    trace_end();
    if (shared)
        return -1;
    for (uint32_t i = 0; i < in->count; i++) {
        out.weight_sum += source_weight(s->source, s->trial, in->rows[i]);
        out.tokens += dataset_tokens(s->source->data, in->rows[i]).length;
    }
    if (!isfinite(out.loss_sum))
        return diverged(in, "loss", out.loss_sum / out.weight_sum, e);
    trace_begin("optimiser", -1);
    operation_begin("optimizer");
    int result = update(s, in, &out, e);
    trace_end();
    if (!result)
        *ret = out;
    return result;
}

int stepper_run(struct stepper *s, const struct step_input *in, struct step_output *ret, struct error *e)
{
    trace_begin("step", (int)in->t);
    int result = run_step(s, in, ret, e);
    trace_end();
    return result;
}

static int check_ranks(const struct trial *t, const struct communicator *c, struct error *e)
{
    uint32_t micro_batches = t->batch / t->micro_batch;
    if ((uint32_t)c->size <= micro_batches)
        return 0;
    return error_set(e, ERROR_USAGE,
                     "%d ranks, but a step has only %u micro-batches (train.batch %u / train.micro_batch %u); set "
                     "train.micro_batch to %u or less, "
                     "or cluster.ranks_per_group to %u",
                     c->size, micro_batches, t->batch, t->micro_batch,
                     t->batch / (uint32_t)c->size ? t->batch / (uint32_t)c->size : 1, micro_batches);
}

uint32_t stepper_arenas(const struct trial *t, const struct communicator *c)
{
    return plan_arenas(t->batch / t->micro_batch, c->rank, c->size);
}

static int allocate_device(struct stepper *s, const struct batch_limits *limits, struct error *e)
{
    const struct device_operations *run = s->device->run;
    size_t bytes = (parameters_gradients(s->parameters) + limits->words * s->width) * sizeof(float);
    uint32_t arenas = stepper_arenas(s->trial, s->communicator);
    for (uint32_t i = 0; i < arenas; i++) {
        if (run->allocate(s->device, &s->gradient[i], bytes, e))
            return -1;
        run->zero(s->device, s->gradient[i], bytes);
    }
    if (run->allocate(s->device, &s->losses, s->trial->batch * sizeof(float), e))
        return -1;
    run->zero(s->device, s->losses, s->trial->batch * sizeof(float));
    if (s->trial->multi && !s->trial->weights_by_class)
        return 0;
    if (run->allocate(s->device, &s->weights, s->trial->labels * sizeof(float), e))
        return -1;
    float *weights = allocate(s->trial->labels, sizeof *weights);
    for (uint32_t l = 0; l < s->trial->labels; l++)
        weights[l] = s->trial->weights_by_class ? (float)s->trial->weights_by_class[l] : 1;
    run->upload(s->device, s->weights, weights, s->trial->labels * sizeof(float));
    free(weights);
    return 0;
}

int stepper_create(struct stepper **ret, const struct trial *t, const struct source *source, struct device *d,
                   struct communicator *c, struct parameters *p, struct model *m, const struct batch_limits *limits,
                   struct error *e)
{
    if (check_ranks(t, c, e))
        return -1;
    struct stepper *s = allocate(1, sizeof *s);
    *s = (struct stepper){.trial = t, .source = source, .device = d, .communicator = c, .parameters = p, .model = m};
    s->width = parameters_gradient_words(p);
    s->host_losses = allocate(t->batch, sizeof *s->host_losses);
    s->shared = allocate((size_t)t->batch + 3, sizeof *s->shared);
    s->rows = allocate(t->batch, sizeof *s->rows);
    s->lengths = allocate(t->batch, sizeof *s->lengths);
    s->assignments = allocate(t->batch / t->micro_batch, sizeof *s->assignments);
    s->order = allocate(t->batch / t->micro_batch, sizeof *s->order);
    s->turns = allocate(t->batch / t->micro_batch, sizeof *s->turns);
    s->spans = allocate((size_t)parameters_buckets(p) + 1, sizeof *s->spans);
    optimizer_create(&s->optimizer, p, d, t->weight_decay, t->clip);
    if (t->layer_decay > 0)
        optimizer_decay_layers(s->optimizer, t->layer_decay);
    if (batch_create(&s->batch, d, source->data, &source->config, limits, e) || allocate_device(s, limits, e)) {
        stepper_destroy(&s);
        return -1;
    }
    *ret = s;
    return 0;
}

static void release(struct device *d, device_memory m)
{
    if (m.address)
        d->run->release(d, m);
}

void stepper_destroy(struct stepper **stepper)
{
    struct stepper *s = stepper ? *stepper : NULL;
    if (!s)
        return;
    optimizer_destroy(&s->optimizer);
    batch_destroy(&s->batch);
    for (uint32_t i = 0; i < ARENAS; i++)
        release(s->device, s->gradient[i]);
    release(s->device, s->weights);
    release(s->device, s->losses);
    free(s->host_losses);
    free(s->shared);
    free(s->spans);
    free(s->rows);
    free(s->lengths);
    free(s->assignments);
    free(s->order);
    free(s->turns);
    free(s);
    *stepper = NULL;
}

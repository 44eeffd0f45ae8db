/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the gradient arenas and the order of work in a step. */
#include "worker/train/step.h"

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/operation.h"
#include "common/base/stop.h"
#include "common/base/trace.h"
#include "worker/train/agree.h"
#include "worker/train/await.h"
#include "worker/train/balance.h"
#include "worker/train/optimizer.h"
#include "worker/train/plan.h"

#include <math.h>
#include <stdlib.h>

enum { ARENAS = 33 };

/* What a step tells, as it lies in device memory. */
struct told {
    struct step_control control;
    double sums[]; /* losses of this rank's micro-batches, in their order */
};

/* A step that was asked for and has not been told yet. */
struct flight {
    struct step_output known; /* what needs no device */
    uint32_t micro_batches;
    uint64_t mark;
    double asked, done; /* clock; when its mark was seen to have passed */
    struct told *told;
};

static size_t told_bytes(const struct trial *t)
{
    return sizeof(struct told) + t->batch / t->micro_batch * sizeof(double);
}

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
    device_memory weights;      /* f32 (L): by class */
    device_memory losses;       /* f32 (batch): of this rank's rows, micro-batch after micro-batch */
    uint32_t filled;            /* of them, in this step */
    device_memory bad;          /* f32 (1): whether a loss of the step is not finite */
    device_memory squares;      /* f64 (1) */
    device_memory on_device;    /* struct told */
    struct flight *flights;     /* (device->ahead + 1), step after step, around */
    uint64_t asked, done, told; /* steps so far; done: their marks were seen to have passed */
    double told_done;           /* clock: when the last one told was done */
    struct error failure;       /* of the device, found when looking at marks; kind ERROR_NONE: none */
    double *shared;             /* per micro-batch its loss; then stop, save, failures */
    uint32_t *rows;             /* of the step, by micro-batch */
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

/* On its way to the other ranks. */
static void start_sum(struct stepper *s, int place, device_memory data, size_t count)
{
    struct communicator *c = s->communicator;
    if (c->size == 1 || s->lost || !count) /* nothing: frozen */
        return;
    trace_begin("all-reduce bucket", place);
    s->lost = c->run->all_reduce(c, data, count, &s->why) || c->run->watch(c, &s->why);
    trace_end();
}

/* The bucket's sum over this rank's micro-batches is complete. */
static void start_reduction(struct stepper *s, int bucket)
{
    size_t offset, count;
    bucket_range(s, bucket, &offset, &count);
    start_sum(s, bucket, device_at(s->gradient[0], offset * sizeof(float)), count);
}

/* Of this rank's losses, for all ranks to know whether they may update. */
static void sum_losses(struct stepper *s)
{
    device_memory sums = device_at(s->on_device, offsetof(struct told, sums));
    s->device->run->loss_sums(s->device, sums, s->bad, s->losses, s->filled, s->trial->micro_batch);
    start_sum(s, parameters_buckets(s->parameters) + 1, s->bad, 1);
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

static struct flight *flight_at(const struct stepper *s, uint64_t number)
{
    return &s->flights[number % ((uint64_t)s->device->ahead + 1)];
}

/* Steps that the device has done while the host was busy with later ones: that is what they took, whenever they are told. */
static void look_at_marks(struct stepper *s)
{
    for (; s->done < s->asked && !s->failure.kind; s->done++) {
        struct flight *f = flight_at(s, s->done);
        if (s->device->run->passed(s->device, f->mark, &s->failure) != 1)
            break;
        f->done = clock_seconds();
    }
}

/* Messages progress only in calls of MPI, which cost next to nothing. Calls at the end of a layer alone leave most of a sum for
 * when backward is over. */
static void on_progress(void *context)
{
    struct stepper *s = context;
    struct communicator *c = s->communicator;
    look_at_marks(s);
    if (c->size == 1 || s->lost || !s->last)
        return;
    trace_begin("all-reduce progress", -1);
    s->lost = c->run->watch(c, &s->why);
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
    size_t place = s->turn.micro_batch / (uint32_t)s->communicator->size * t->micro_batch;
    s->device->run->copy(s->device, device_at(s->losses, place * sizeof(float)), loss, count * sizeof(float));
    s->filled += count;
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

/* What the device is asked next comes after the sums. */
static int join_sums(struct stepper *s, struct error *e)
{
    trace_begin("all-reduce wait", -1);
    operation_begin("all_reduce");
    struct error last;
    int joined = s->communicator->run->join(s->communicator, &last); /* after a failure, too: memory comes back */
    trace_end();
    if (joined || s->lost)
        *e = s->lost ? s->why : last;
    return joined || s->lost ? -1 : 0;
}

/* Sums of micro-batches and signals to all ranks. Every micro-batch has a place of its own, so the sums do not depend on who
 * computed which. f: NULL, no step is told. in: NULL, no signals. own: this rank's failure, kind ERROR_NONE if there is none. */
static int share(struct stepper *s, const struct flight *f, const struct step_input *in, const struct error *own,
                 struct step_output *ret, struct error *e)
{
    struct communicator *c = s->communicator;
    uint32_t micro_batches = f ? f->micro_batches : 0, mine = plan_turn_count(micro_batches, c->rank, c->size);
    for (uint32_t j = 0; j < micro_batches; j++)
        s->shared[j] = 0;
    for (uint32_t i = 0; i < mine; i++)
        s->shared[i * (uint32_t)c->size + (uint32_t)c->rank] = f->told->sums[i];
    s->shared[micro_batches] = in && stop_requested();
    s->shared[micro_batches + 1] = in && in->save;
    if (agree_on(c, s->shared, micro_batches + 2, own, e))
        return -1;
    for (uint32_t j = 0; j < micro_batches; j++)
        ret->loss_sum += s->shared[j];
    ret->stop = s->shared[micro_batches] > 0;
    ret->save = s->shared[micro_batches + 1] > 0;
    return 0;
}

static int diverged(const struct step_output *of, const char *what, double value, struct error *e)
{
    return error_set(e, ERROR_FAILED,
                     "step %llu of epoch %u: the %s is %g: training has diverged; lower train.lr (now %g) or set train.clip",
                     (unsigned long long)of->t, of->epoch, what, value, of->lr);
}

/* Asked of the device, which does nothing where the step is bad. */
static void update(struct stepper *s, const struct step_input *in, double weight_sum)
{
    trace_begin("optimiser", -1);
    operation_begin("optimizer");
    optimizer_clip(s->optimizer, s->on_device, s->squares, s->bad, s->gradient[0], s->U, weight_sum);
    optimizer_apply(s->optimizer, s->on_device, s->gradient[0], batch_slot_of(s->batch), in->lr, in->t);
    trace_end();
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
    s->filled = 0;
    for (uint32_t i = 0; i < count; i++) {
        s->turn = s->turns[i];
        s->last = i + 1 == count;
        run_micro_batch(s, in);
    }
    if (!count)
        add_nothing(s);
    sum_losses(s);
    return join_sums(s, e);
}

/* What is known of a step before the device has done it. */
static struct step_output foresee(const struct stepper *s, const struct step_input *in)
{
    struct step_output ret = {.t = in->t, .epoch = in->epoch, .lr = in->lr, .rows = in->count};
    for (uint32_t i = 0; i < in->count; i++) {
        ret.weight_sum += source_weight(s->source, s->trial, in->rows[i]);
        ret.tokens += dataset_tokens(s->source->data, in->rows[i]).length;
    }
    return ret;
}

/* In front of a failure's words: the first step that is not told yet. It is the same on all ranks. */
static int name_step(const struct stepper *s, struct error *e)
{
    const struct step_output *first = &flight_at(s, s->told)->known;
    return error_prefix(e, "step %llu of epoch %u: ", (unsigned long long)first->t, first->epoch);
}

/* All of the step, asked of the device. */
static int ask(struct stepper *s, const struct step_input *in, struct error *e)
{
    struct flight *f = flight_at(s, s->asked);
    double flops = device_flops(s->device);
    f->asked = clock_seconds();
    f->known = foresee(s, in);
    f->micro_batches = (in->count + s->trial->micro_batch - 1) / s->trial->micro_batch;
    if (run_micro_batches(s, in, f->micro_batches, e))
        return name_step(s, e);
    if (in->before_update)
        in->before_update(in->context);
    update(s, in, f->known.weight_sum);
    s->device->run->download_later(s->device, f->told, s->on_device, told_bytes(s->trial));
    f->mark = s->device->run->mark(s->device);
    f->known.flops = device_flops(s->device) - flops;
    s->asked++;
    look_at_marks(s);
    return 0;
}

/* Until the device has done f, the oldest step that was not told; NULL: only whether it has failed. */
static int await_step(struct stepper *s, struct flight *f, struct error *e)
{
    if (s->done > s->told)
        return 0;
    if (s->failure.kind) {
        *e = s->failure;
        return await_failed(s->communicator, e);
    }
    if (!f)
        return 0;
    if (await_mark(s->device, s->communicator, f->mark, e))
        return -1;
    f->done = clock_seconds();
    s->done++;
    return 0;
}

/* The oldest step under way, or where f is NULL the signals alone. */
static int tell(struct stepper *s, struct flight *f, const struct step_input *in, struct step_output *ret, struct error *e)
{
    struct step_output out = f ? f->known : (struct step_output){0};
    struct error own = {0};
    if (!await_step(s, f, &own) && in)
        own = *in->failure;
    if (share(s, f, in, &own, &out, e))
        return name_step(s, e);
    if (f) {
        out.grad_norm = f->told->control.norm;
        out.seconds = f->done - (f->asked > s->told_done ? f->asked : s->told_done);
        s->told_done = f->done;
        s->told++;
    }
    if (!isfinite(out.loss_sum))
        return diverged(&out, "loss", out.loss_sum / out.weight_sum, e);
    if (!isfinite(out.grad_norm))
        return diverged(&out, "norm of the gradient", out.grad_norm, e);
    if (f && f->told->control.bad)
        return error_set(
            e, ERROR_FAILED,
            "step %llu of epoch %u was not applied, although its loss and gradient are finite: the device is at fault; "
            "run again: it resumes",
            (unsigned long long)out.t, out.epoch);
    *ret = out;
    return 0;
}

int stepper_run(struct stepper *s, const struct step_input *in, struct step_output *ret, struct error *e)
{
    trace_begin("step", (int)in->t);
    int result = ask(s, in, e);
    if (!result) {
        bool full = s->asked - s->told > (uint64_t)s->device->ahead;
        trace_begin("all-reduce loss", -1);
        result = tell(s, full ? flight_at(s, s->told) : NULL, in, ret, e);
        trace_end();
    }
    trace_end();
    return result;
}

int stepper_next(struct stepper *s, struct step_output *ret, struct error *e)
{
    *ret = (struct step_output){0};
    return s->told < s->asked ? tell(s, flight_at(s, s->told), NULL, ret, e) : 0;
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
    size_t told = told_bytes(s->trial);
    if (run->allocate(s->device, &s->losses, s->trial->batch * sizeof(float), e) ||
        run->allocate(s->device, &s->bad, sizeof(float), e) || run->allocate(s->device, &s->squares, sizeof(double), e) ||
        run->allocate(s->device, &s->on_device, told, e))
        return -1;
    run->zero(s->device, s->on_device, told);
    s->flights = allocate((size_t)s->device->ahead + 1, sizeof *s->flights);
    for (int i = 0; i <= s->device->ahead; i++)
        s->flights[i].told = allocate(1, told);
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
    if (check_ranks(t, c, e) || c->run->attach(c, d, e))
        return -1;
    struct stepper *s = allocate(1, sizeof *s);
    *s = (struct stepper){.trial = t, .source = source, .device = d, .communicator = c, .parameters = p, .model = m};
    s->width = parameters_gradient_words(p);
    s->shared = allocate((size_t)t->batch + 3, sizeof *s->shared);
    s->rows = allocate(t->batch, sizeof *s->rows);
    s->lengths = allocate(t->batch, sizeof *s->lengths);
    s->assignments = allocate(t->batch / t->micro_batch, sizeof *s->assignments);
    s->order = allocate(t->batch / t->micro_batch, sizeof *s->order);
    s->turns = allocate(t->batch / t->micro_batch, sizeof *s->turns);
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

/* Not while the device may still write into them. */
static void free_flights(struct stepper *s)
{
    bool idle = s->asked == s->told || await_end(s->device, s->communicator, flight_at(s, s->asked - 1)->mark);
    for (int i = 0; s->flights && i <= s->device->ahead && idle; i++)
        free(s->flights[i].told);
    if (idle)
        free(s->flights);
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
    free_flights(s);
    optimizer_destroy(&s->optimizer);
    batch_destroy(&s->batch);
    for (uint32_t i = 0; i < ARENAS; i++)
        release(s->device, s->gradient[i]);
    release(s->device, s->weights);
    release(s->device, s->losses);
    release(s->device, s->bad);
    release(s->device, s->squares);
    release(s->device, s->on_device);
    free(s->shared);
    free(s->rows);
    free(s->lengths);
    free(s->assignments);
    free(s->order);
    free(s->turns);
    free(s);
    *stepper = NULL;
}

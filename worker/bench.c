/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the measuring of whole steps and of inference, on rows of given lengths or of a data set. */
#include "worker/bench.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/machine.h"
#include "common/base/memory.h"
#include "common/base/philox.h"
#include "common/format/freeze.h"
#include "worker/device/gpu.h"
#include "worker/train/evaluate.h"
#include "worker/train/step.h"
#include "worker/train/trace_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

const struct option bench_options[] = {
    {"mode", 0, "MODE", "train", "train or infer"},
    {"shape", 0, "SHAPE", "minilm", "minilm (6 layers, 384 wide) or base (12 layers, 768 wide), with random weights"},
    {"model", 0, "DIRECTORY", NULL, "take this model instead, shape and weights"},
    {"rows", 0, "FILE", NULL, "take the rows of this file (tokens/*.rows of a run directory), in its order"},
    {"length", 0, "TOKENS", "0", "tokens of every row; 0: lengths as of real pairs, mean near 180, at most 256"},
    {"batch", 0, "ROWS", "8", "rows of a step, over all ranks; infer: not used"},
    {"micro-batch", 0, "ROWS", "0", "rows of a micro-batch; 0: batch / ranks"},
    {"lora", 0, "RANK", "0", "train LoRA adapters of this rank on all linear maps, and the head; 0: all weights"},
    {"freeze", 0, "PARTS", NULL, "parts that are not trained, as train.freeze: \"embeddings layers.0-5\""},
    {"checkpointing", 0, NULL, NULL, "train.checkpointing: activations are computed again in the backward pass"},
    {"steps", 0, "N", "20", "steps (infer: 32 rows each) that are timed"},
    {"warm", 0, "N", "4", "warm-up steps before the clock starts"},
    {"precision", 0, "P", "f32", "f32, bf16 or, on a GPU, tf32"},
    {"threads", 0, "N", "0", "threads per rank; 0: cores / ranks"},
    {"device", 0, "NAME", "auto", "auto, cpu, cuda, cpu_reference or guarded"},
    {"comm", 0, "self|mpi", "self", "self, or mpi under mpirun"},
    {"trace", 0, "FILE", NULL, "write a trace of each rank to this file, in Chrome's trace format, for Perfetto"},
    {NULL},
};

static const struct {
    const char *name;
    struct model_config config;
} shapes[] = {
    {"minilm", {.layers = 6, .width = 384, .heads = 12, .inner = 1536}},
    {"base", {.layers = 12, .width = 768, .heads = 12, .inner = 3072}},
};

#define MEBIBYTE 1048576.0

struct bench {
    const struct arguments *arguments;
    char *directory; /* of the model; NULL: a shape */
    struct trial trial;
    struct source source;
    struct device *device;
    struct communicator *communicator;
    struct parameters *parameters;
    struct model *model;
    uint32_t *rows; /* of all steps, one after the other */
    uint32_t rows_a_step, steps, warm;
    double seconds, user, system, flops; /* user, system: CPU seconds of this process, whatever else runs */
    uint64_t tokens;                     /* over all ranks */
    double told;                         /* memory, in MB as the next, as it is estimated before training; infer: 0 */
    double peak;   /* resident memory of this process, MB, before anything but the work itself has been done */
    double on_gpu; /* memory of the GPU that is taken then, by whomever, MB; 0: none computes */
    double asking; /* seconds until a step has been asked for, of a device that is ahead: the host's side of it; 0: of others */
};

/* A number of rows, tokens or steps; from: 0 or 1. */
static int read_count(uint32_t *ret, const struct bench *b, const char *option, int from, struct error *e)
{
    int value;
    if (argument_whole(&value, b->arguments, option, from, 1000000, e))
        return -1;
    *ret = (uint32_t)value;
    return 0;
}

/* ---- rows ---- */

/* Lengths like those of real pairs: two thirds of the rows spread around the middle, a third cut at the limit. */
static uint32_t random_length(uint32_t row)
{
    struct philox_block r = philox(7, RANDOM_EXAMPLES, row, 0, 0, 0);
    if (r.word[0] % 3 == 0)
        return 256;
    return 60 + r.word[1] % 98 + r.word[2] % 98;
}

static int write_random_rows(const char *path, uint32_t count, uint32_t length, const struct model_config *c, struct error *e)
{
    struct dataset_writer *w;
    if (dataset_writer_create(&w, path, 2, false, e))
        return -1;
    const uint32_t special = c->vocabulary > 2000 ? 1000 : 0, words = c->vocabulary - special,
                   frequent = words < 2000 ? words : 2000;
    int32_t *ids = allocate(length > 256 ? length : 256, sizeof *ids);
    int result = 0;
    for (uint32_t row = 0; row < count && !result; row++) {
        uint32_t tokens = length ? length : random_length(row);
        tokens = tokens < c->positions ? tokens : c->positions;
        char id[16];
        snprintf(id, sizeof id, "%u", row);
        for (uint32_t i = 0; i < tokens; i++) { /* half of a text is made of some 2000 frequent words */
            struct philox_block r = philox(7, RANDOM_EXAMPLES, row, i, 1, 0);
            ids[i] = (int32_t)(special + r.word[0] % (r.word[1] % 2 ? frequent : words));
        }
        struct token_row tokens_of = {ids, tokens, (tokens + 1) / 2};
        result = dataset_writer_append(w, id, id, (int32_t)(row % 2), NULL, tokens_of, e);
    }
    free(ids);
    if (!result)
        return dataset_writer_commit(&w, e);
    dataset_writer_destroy(&w);
    return -1;
}

static int open_rows(struct bench *b, struct error *e)
{
    uint32_t length = 0, needed = (b->steps + b->warm) * b->rows_a_step;
    if (read_count(&length, b, "length", 0, e))
        return -1;
    if (length > model_config_max_length(&b->source.config))
        return error_set(e, ERROR_USAGE, "bench: --length is %u; the model takes at most %u tokens", length,
                         model_config_max_length(&b->source.config));
    if (argument(b->arguments, "rows")) {
        if (dataset_open(&b->source.data, argument(b->arguments, "rows"), e))
            return -1;
    } else {
        const char *directory = getenv("TMPDIR");
        char *path = format_string("%s/muster-bench.%d", directory && *directory ? directory : "/tmp", (int)getpid());
        int result = write_random_rows(path, needed < 4096 ? needed : 4096, length, &b->source.config, e);
        if (!result)
            result = dataset_open(&b->source.data, path, e);
        unlink(path);
        free(path);
        if (result)
            return -1;
    }
    if (!dataset_rows(b->source.data))
        return error_set(e, ERROR_DATA, "%s: has no rows", argument(b->arguments, "rows"));
    b->rows = allocate(needed, sizeof *b->rows);
    for (uint32_t i = 0; i < needed; i++)
        b->rows[i] = i % dataset_rows(b->source.data);
    for (int part = 0; part < PART_COUNT; part++) {
        struct split *s = &b->source.split;
        s->part[part].count = dataset_rows(b->source.data) < needed ? dataset_rows(b->source.data) : needed;
        s->part[part].rows = allocate(needed, sizeof *b->rows);
        memcpy(s->part[part].rows, b->rows, s->part[part].count * sizeof *b->rows);
    }
    return 0;
}

/* Labels are the rows' own. */
static int fit_rows(struct bench *b, struct error *e)
{
    struct trial *t = &b->trial;
    const char *model = b->directory ? b->directory : argument(b->arguments, "shape");
    t->labels = b->source.config.labels = dataset_labels(b->source.data) ? dataset_labels(b->source.data) : 2;
    t->multi = dataset_is_multi(b->source.data);
    t->dataset = (char *)(uintptr_t)(argument(b->arguments, "rows") ? argument(b->arguments, "rows") : "--length");
    t->model = (char *)(uintptr_t)model;
    return source_check(&b->source, t, e);
}

/* ---- the engine ---- */

static int choose_config(struct bench *b, struct error *e)
{
    static const char *const names[] = {"minilm", "base", NULL};
    struct model_config *c = &b->source.config;
    int shape = 0;
    if (argument(b->arguments, "model")) {
        if (model_directory_find(&b->directory, argument(b->arguments, "model"), e))
            return -1;
        return model_config_read(c, b->directory, e);
    }
    if (argument_choice(&shape, b->arguments, "shape", names, e))
        return -1;
    *c = shapes[shape].config;
    c->vocabulary = 30522;
    c->positions = 512;
    c->types = c->labels = 2;
    c->activation = ACTIVATION_GELU;
    c->epsilon = 1e-12f;
    c->hidden_dropout = c->attention_dropout = c->classifier_dropout = 0.1f;
    c->initializer_range = 0.02f;
    return 0;
}

static int choose_engine(struct bench *b, struct error *e)
{
    int precision = 0;
    uint32_t threads = 0;
    if (argument_choice(&precision, b->arguments, "precision", precision_names, e) || read_count(&threads, b, "threads", 0, e) ||
        communicator_create(&b->communicator, argument(b->arguments, "comm"), 0, 60, e))
        return -1;
    gpu_use(b->communicator->local_rank);
    int cores = machine_cores();
    if (!threads)
        threads = cores > b->communicator->size ? (uint32_t)(cores / b->communicator->size) : 1;
    strcpy(b->trial.precision, precision_names[precision]);
    return device_create(&b->device, argument(b->arguments, "device"), (enum precision)precision, (int)threads, e);
}

static int load_parameters(struct bench *b, struct error *e)
{
    char *report = NULL;
    int result = parameters_load_model(b->parameters, b->directory, &(struct head_source){0}, b->trial.seed, &report, e);
    free(report);
    return result;
}

static bool is_scale(const struct parameter *p)
{
    return p->dimensions == 1 && !p->is_bias;
}

/* As new weights are: small, LayerNorm's scales 1. */
static void fill_parameters(struct bench *b)
{
    size_t count = parameters_elements(b->parameters);
    device_memory value = parameters_value(b->parameters);
    float *p = b->device->run->host_begin(b->device, value, count * sizeof *p);
    for (size_t i = 0; p && i < count; i++) {
        struct philox_block r = philox(7, RANDOM_EXAMPLES, (uint32_t)i, (uint32_t)(i >> 32), 2, 0);
        p[i] = 0.04f * ((float)r.word[0] / 4294967296.0f - 0.5f);
    }
    for (size_t i = 0; p && i < parameters_count(b->parameters); i++) {
        const struct parameter *one = parameters_at(b->parameters, i);
        for (size_t k = 0; is_scale(one) && k < one->count; k++)
            p[one->offset + k] = 1;
    }
    b->device->run->host_end(b->device, p, value, count * sizeof *p);
    parameters_refresh(b->parameters);
}

static int make_model(struct bench *b, const struct batch_limits *limits, struct error *e)
{
    const struct model_config *c = &b->source.config;
    struct model_limits sizes = {.max_tokens = limits->tokens, .max_rows = limits->rows};
    if (b->trial.kind == TRIAL_TRAIN) {
        if (parameters_create_tuned(&b->parameters, b->device, c, &b->source.tuning, e))
            return -1;
        sizes.training = true;
        sizes.lora_rank = b->source.tuning.lora.rank;
        sizes.lowest_trained = parameters_lowest_trained(b->parameters);
        sizes.checkpointing = b->trial.checkpointing;
        b->told = (double)parameters_bytes_tuned(c, &b->source.tuning, stepper_arenas(&b->trial, b->communicator),
                                                 b->device->precision, limits->words) /
                      MEBIBYTE +
                  (double)model_bytes(c, &sizes, b->device->precision) / MEBIBYTE;
    } else {
        evaluator_limits(&b->source, &sizes.max_tokens, &sizes.max_rows);
        if (parameters_create(&b->parameters, b->device, c, false, e))
            return -1;
    }
    if (model_create(&b->model, b->parameters, c, &sizes, e))
        return -1;
    if (b->directory)
        return load_parameters(b, e);
    fill_parameters(b);
    return 0;
}

/* What is trained. */
static int choose_tuning(struct bench *b, struct error *e)
{
    struct trial *t = &b->trial;
    struct tuning *tuning = &b->source.tuning;
    uint32_t layers = b->source.config.layers;
    tuning->lora = (struct lora){.rank = t->lora_rank, .alpha = 16, .dropout = 0.05, .train_head = true};
    t->checkpointing = argument_given(b->arguments, "checkpointing");
    bool *frozen = allocate(layers + 2, sizeof *frozen);
    tuning->frozen = frozen;
    if (freeze_read(frozen, argument(b->arguments, "freeze"), layers, e))
        return -1;
    return t->lora_rank ? lora_read_targets(tuning->lora.adapted, LORA_ALL, &b->source.config, e) : 0;
}

static uint64_t tokens_of(const struct bench *b, const uint32_t *rows, uint32_t count)
{
    uint64_t tokens = 0;
    for (uint32_t i = 0; i < count; i++)
        tokens += dataset_tokens(b->source.data, rows[i]).length;
    return tokens;
}

static double seconds_of(const struct timeval *t)
{
    return (double)t->tv_sec + 1e-6 * (double)t->tv_usec;
}

/* What is timed lies between the two. */
static void start_clocks(struct bench *b)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    b->user = -seconds_of(&usage.ru_utime);
    b->system = -seconds_of(&usage.ru_stime);
    b->flops = -device_flops(b->device);
    b->seconds = -clock_seconds();
}

static void stop_clocks(struct bench *b)
{
    struct rusage usage;
    b->seconds += clock_seconds();
    b->flops += device_flops(b->device);
    if (gpu_opened())
        b->on_gpu = (double)(gpu_opened()->memory - gpu_memory_left()) / MEBIBYTE;
    getrusage(RUSAGE_SELF, &usage);
    b->user += seconds_of(&usage.ru_utime);
    b->system += seconds_of(&usage.ru_stime);
}

static int drain(struct stepper *s, struct error *e)
{
    struct step_output out;
    do {
        if (stepper_next(s, &out, e))
            return -1;
    } while (out.t);
    return 0;
}

static int train(struct bench *b, struct error *e)
{
    struct batch_limits limits = batch_limits(b->source.data, b->source.config.vocabulary, b->source.split.part[PART_TRAIN].rows,
                                              b->source.split.part[PART_TRAIN].count, b->trial.batch, b->trial.micro_batch);
    struct stepper *stepper = NULL;
    int result = -1;
    if (make_model(b, &limits, e) ||
        stepper_create(&stepper, &b->trial, &b->source, b->device, b->communicator, b->parameters, b->model, &limits, e))
        goto done;
    const struct error well = {0};
    for (uint32_t s = 0; s < b->warm + b->steps; s++) {
        struct step_input in = {.rows = b->rows + (size_t)s * b->rows_a_step,
                                .count = b->rows_a_step,
                                .epoch = 1,
                                .t = s + 1,
                                .lr = 1e-5,
                                .failure = &well};
        struct step_output out;
        if (s == b->warm) {
            if (drain(stepper, e))
                goto done;
            start_clocks(b);
        }
        double asked = clock_seconds();
        if (stepper_run(stepper, &in, &out, e))
            goto done;
        if (b->device->ahead && s == b->warm) /* nothing is under way that it would wait for */
            b->asking = clock_seconds() - asked;
    }
    if (drain(stepper, e))
        goto done;
    stop_clocks(b);
    b->tokens = tokens_of(b, b->rows + (size_t)b->warm * b->rows_a_step, b->steps * b->rows_a_step);
    result = 0;
done:
    stepper_destroy(&stepper);
    return result;
}

static int infer(struct bench *b, struct error *e)
{
    struct evaluator *evaluator = NULL;
    const struct batch_limits none = {0};
    const uint32_t *timed = b->rows + (size_t)b->warm * b->rows_a_step, count = b->steps * b->rows_a_step;
    float *logits = allocate((size_t)b->source.config.labels * (count + b->warm * b->rows_a_step), sizeof *logits);
    int result = -1;
    if (make_model(b, &none, e) || evaluator_create(&evaluator, b->device, b->communicator, b->model, &b->source, e) ||
        (b->warm && evaluator_run(evaluator, b->rows, b->warm * b->rows_a_step, logits, NULL, NULL, e)))
        goto done;
    start_clocks(b);
    if (evaluator_run(evaluator, timed, count, logits, NULL, NULL, e))
        goto done;
    stop_clocks(b);
    b->tokens = tokens_of(b, timed, count);
    result = 0;
done:
    evaluator_destroy(&evaluator);
    free(logits);
    return result;
}

static void print_result(struct bench *b)
{
    char device[128];
    double achieved = b->flops / b->seconds / 1e9, share = device_peak_share(b->device, achieved), rate = b->device->peak;
    double memory = b->on_gpu > 0 ? b->on_gpu : b->peak;
    device_describe(b->device, device, sizeof device);
    log_info(
        "%s %s: %.0f tokens/s on %d rank(s), %.1f ms a step, %.0f of %.0f GFLOPS per rank (%.0f %% of peak), memory %.0f MB, %s",
        argument(b->arguments, "mode"), b->trial.precision, (double)b->tokens / b->seconds, b->communicator->size,
        1e3 * b->seconds / b->steps, achieved, rate, 100 * share, memory, device);
    printf("{\"mode\": \"%s\", \"precision\": \"%s\", \"ranks\": %d, \"threads\": %d, \"tokens_per_second\": %.1f, \"gflops\": "
           "%.1f, "
           "\"peak_gflops\": %.1f, \"peak_share\": %.3f, \"mean_length\": %.1f, \"step_ms\": %.3f, \"asking_ms\": %.3f, "
           "\"peak_MB\": %.0f, \"told_MB\": %.0f, \"user_seconds\": %.2f, \"system_seconds\": %.2f, \"device\": \"%s\"}\n",
           argument(b->arguments, "mode"), b->trial.precision, b->communicator->size, b->device->threads,
           (double)b->tokens / b->seconds, achieved, rate, share, (double)b->tokens / (b->steps * (double)b->rows_a_step),
           1e3 * b->seconds / b->steps, 1e3 * b->asking, memory, b->told, b->user, b->system, device);
}

static int prepare(struct bench *b, struct error *e)
{
    static const char *const modes[] = {"train", "infer", NULL};
    int mode = 0;
    struct trial *t = &b->trial;
    if (argument_choice(&mode, b->arguments, "mode", modes, e) || read_count(&t->batch, b, "batch", 1, e) ||
        read_count(&t->micro_batch, b, "micro-batch", 0, e) || read_count(&t->lora_rank, b, "lora", 0, e) ||
        read_count(&b->steps, b, "steps", 1, e) || read_count(&b->warm, b, "warm", 0, e) || choose_config(b, e) ||
        choose_tuning(b, e) || choose_engine(b, e))
        return -1;
    t->kind = mode ? TRIAL_SCORE : TRIAL_TRAIN;
    t->seed = 42;
    t->lr = 1e-5;
    t->weight_decay = 0.01;
    t->clip = 1;
    t->epochs = 1;
    if (!t->micro_batch)
        t->micro_batch = t->batch / (uint32_t)b->communicator->size;
    if (!t->micro_batch)
        return error_set(e, ERROR_USAGE, "bench: %d ranks cannot share a batch of %u rows; raise --batch", b->communicator->size,
                         t->batch);
    b->rows_a_step = mode ? 32 : t->batch;
    return open_rows(b, e) || fit_rows(b, e) ? -1 : 0;
}

static int measure(struct bench *b, struct error *e)
{
    struct rusage usage;
    const char *trace = argument(b->arguments, "trace");
    if (trace && trace_file_begin(b->communicator, e))
        return -1;
    if (b->trial.kind == TRIAL_SCORE ? infer(b, e) : train(b, e))
        return -1;
    getrusage(RUSAGE_SELF, &usage);
    b->peak = (double)usage.ru_maxrss / 1024;
    if (b->communicator->run->barrier(b->communicator, e))
        return -1;
    b->device->peak = device_peak(b->device); /* all ranks at once: they share what cores share */
    return trace ? trace_file_write(trace, b->communicator, e) : 0;
}

int bench_run(const struct arguments *a, struct error *e)
{
    struct bench b = {.arguments = a};
    int result = -1;
    if (prepare(&b, e) || measure(&b, e))
        goto done;
    if (!b.communicator->rank)
        print_result(&b);
    result = 0;
done:
    model_destroy(&b.model);
    parameters_destroy(&b.parameters);
    source_close(&b.source);
    free(b.rows);
    free(b.directory);
    if (b.device)
        b.device->run->destroy(b.device);
    if (b.communicator)
        b.communicator->run->destroy(b.communicator);
    return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Each operation of a device at the shapes of an encoder layer: time, GFLOPS or GB/s, its share of what the machine's matrix
 * products or memory reach, and the share of products in a whole layer. Best of several runs; run it on a quiet machine:
 *     cmake --build build --target bench_kernels && build/bench/bench_kernels [f32|bf16 [threads]]
 *     build/cuda/bench/bench_kernels --device cuda [f32|bf16]    on the first GPU: 20 of an operation are asked for at once and
 *                                                                timed together; its peak is the data sheet's */
#include "common/base/clock.h"
#include "worker/device/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct shape {
    const char *name;
    size_t B, n, C, F, H;
};

/* Of the CPU, and of a GPU. */
static const struct shape shapes[2][2] = {
    {{"MiniLM-L6, 8 rows of 200", 8, 200, 384, 1536, 12}, {"BERT-base, 4 rows of 512", 4, 512, 768, 3072, 12}},
    {{"MiniLM-L6, 64 rows of 256", 64, 256, 384, 1536, 12}, {"BERT-base, 64 rows of 256", 64, 256, 768, 3072, 12}},
};

struct bench {
    struct device *d;
    const struct shape *s;
    size_t T, C, F, act, arena; /* arena: floats, of the optimiser's arrays */
    int at_once;                /* how many of an operation are timed together */
    double rate, bandwidth;     /* of the machine: GFLOPS, GB/s */
    device_memory x, h, pre, dh, dx, qkv, dqkv, w, dw, bias, statistics, log_sum, offsets, rows, positions, slots, p, g, m, v,
        control;
    struct dropout dropout;
    double layer_seconds, layer_flops;
};

static void die(const struct error *e)
{
    fprintf(stderr, "bench_kernels: %s\n", e->message);
    exit(e->kind);
}

static device_memory room(struct bench *b, size_t bytes)
{
    device_memory ret;
    struct error e;
    if (b->d->run->allocate(b->d, &ret, bytes, &e) != 0)
        die(&e);
    b->d->run->zero(b->d, ret, bytes);
    return ret;
}

/* n values of about 1, as act or float. */
static device_memory values(struct bench *b, size_t n, bool act)
{
    device_memory ret = room(b, n * sizeof(float));
    float *host = malloc(n * sizeof *host);
    for (size_t i = 0; i < n; i++)
        host[i] = (float)(i * 2654435761u % 1000) / 500 - 1;
    if (act) {
        device_memory wide = room(b, n * sizeof(float));
        b->d->run->upload(b->d, wide, host, n * sizeof *host);
        b->d->run->round_to_activation(b->d, ret, wide, n);
        b->d->run->release(b->d, wide);
    } else {
        b->d->run->upload(b->d, ret, host, n * sizeof *host);
    }
    free(host);
    return ret;
}

static device_memory integers(struct bench *b, size_t n, int32_t (*of)(const struct bench *b, size_t i))
{
    device_memory ret = room(b, n * sizeof(int32_t));
    int32_t *host = malloc(n * sizeof *host);
    for (size_t i = 0; i < n; i++)
        host[i] = of(b, i);
    b->d->run->upload(b->d, ret, host, n * sizeof *host);
    free(host);
    return ret;
}

static int32_t offset_of(const struct bench *b, size_t i)
{
    return (int32_t)(i * b->s->n);
}

static int32_t row_of(const struct bench *b, size_t i)
{
    return (int32_t)(i / b->s->n);
}

static int32_t position_of(const struct bench *b, size_t i)
{
    return (int32_t)(i % b->s->n);
}

static void set_up(struct bench *b)
{
    size_t T = b->T = b->s->B * b->s->n, C = b->C = b->s->C, F = b->F = b->s->F;
    b->act = precision_bytes(b->d->precision);
    b->arena = b->d->ahead ? 110 << 20 : 10 << 20;
    b->at_once = b->d->ahead ? 20 : 1;
    b->x = values(b, T * C, true);
    b->dx = values(b, T * C, true);
    b->h = values(b, T * F, true);
    b->pre = values(b, T * F, true);
    b->dh = values(b, T * F, true);
    b->qkv = values(b, T * 3 * C, true);
    b->dqkv = values(b, T * 3 * C, true);
    b->w = values(b, C * F, true);
    b->dw = values(b, C * F, false);
    b->bias = values(b, F, false);
    b->statistics = values(b, 2 * T, false);
    b->log_sum = values(b, b->s->H * T, false);
    b->offsets = integers(b, b->s->B + 1, offset_of);
    b->rows = integers(b, T, row_of);
    b->positions = integers(b, T, position_of);
    b->p = values(b, b->arena, false);
    b->g = values(b, b->arena, false);
    b->m = values(b, b->arena, false);
    b->v = room(b, b->arena * sizeof(float));
    b->control = room(b, sizeof(struct step_control));
    b->d->run->upload(b->d, b->control, &(struct step_control){.scale = 0.5f}, sizeof(struct step_control));
    b->dropout = (struct dropout){0.1f, 42, 0, 1, b->rows, b->positions};
}

static void tear_down(struct bench *b)
{
    device_memory all[] = {b->control, b->x,          b->dx,      b->h,       b->pre,  b->dh,        b->qkv, b->dqkv, b->w, b->dw,
                           b->bias,    b->statistics, b->log_sum, b->offsets, b->rows, b->positions, b->p,   b->g,    b->m, b->v};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        b->d->run->release(b->d, all[i]);
}

static void forward(struct bench *b, device_memory y, device_memory pre, device_memory x, enum activation activation, size_t K,
                    size_t O)
{
    b->d->run->linear_forward(b->d, y, pre, x, b->w, b->bias, activation, b->T, K, O);
}

static void qkv_forward(struct bench *b)
{
    forward(b, b->dqkv, b->dqkv, b->x, ACTIVATION_NONE, b->C, 3 * b->C);
}

static void attention_forward(struct bench *b)
{
    b->d->run->attention_forward(b->d, b->x, b->log_sum, b->qkv, b->offsets, &b->dropout, b->s->B, b->T, b->s->H, b->C / b->s->H);
}

static void output_forward(struct bench *b)
{
    forward(b, b->dx, b->dx, b->x, ACTIVATION_NONE, b->C, b->C);
}

static void normalize_forward(struct bench *b)
{
    b->d->run->normalize_forward(b->d, b->x, b->dx, b->statistics, b->x, b->dx, b->bias, b->bias, 1e-12f, &b->dropout, b->T,
                                 b->C);
}

static void inner_forward(struct bench *b)
{
    forward(b, b->h, b->pre, b->x, ACTIVATION_GELU, b->C, b->F);
}

static void outer_forward(struct bench *b)
{
    forward(b, b->dx, b->dx, b->h, ACTIVATION_NONE, b->F, b->C);
}

static void normalize_backward(struct bench *b)
{
    b->d->run->normalize_backward(b->d, b->dx, b->h, b->bias, device_at(b->bias, b->C * 4), b->dx, b->x, b->statistics, b->bias,
                                  &b->dropout, b->T, b->C);
}

static void outer_backward(struct bench *b)
{
    b->d->run->linear_backward(b->d, b->dh, b->dw, b->bias, b->dx, b->h, b->w, 0, b->T, b->F, b->C);
}

static void gelu_backward(struct bench *b)
{
    b->d->run->activation_backward(b->d, b->dh, DEVICE_NOTHING, b->dh, b->pre, ACTIVATION_GELU, b->T * b->F);
}

static void inner_backward(struct bench *b)
{
    b->d->run->linear_backward(b->d, b->dx, b->dw, b->bias, b->dh, b->x, b->w, 1, b->T, b->C, b->F);
}

static void output_backward(struct bench *b)
{
    b->d->run->linear_backward(b->d, b->h, b->dw, b->bias, b->dx, b->x, b->w, 0, b->T, b->C, b->C);
}

static void attention_backward(struct bench *b)
{
    b->d->run->attention_backward(b->d, b->dqkv, b->dx, b->x, b->qkv, b->log_sum, b->offsets, &b->dropout, b->s->B, b->T, b->s->H,
                                  b->C / b->s->H);
}

static void qkv_backward(struct bench *b)
{
    b->d->run->linear_backward(b->d, b->dx, b->dw, b->bias, b->dqkv, b->x, b->w, 1, b->T, b->C, 3 * b->C);
}

/* Parameters of which there are rounded ones, too. */
static size_t optimized(const struct bench *b)
{
    return b->T * b->F < b->arena ? b->T * b->F : b->arena;
}

static void adamw(struct bench *b)
{
    const struct adamw a = {1e-5f, 0.9f, 0.999f, 1e-8f, 0.01f, 0.1f, 0.001f};
    b->d->run->adamw(b->d, b->p, b->d->precision == PRECISION_BF16 ? b->h : DEVICE_NOTHING, b->g, b->m, b->v, &a, b->control,
                     optimized(b));
}

static void sum_of_squares(struct bench *b)
{
    b->d->run->sum_of_squares(b->d, b->control, b->g, b->arena); /* where the norm is */
}

static void add(struct bench *b)
{
    b->d->run->add(b->d, b->p, b->g, b->arena);
}

/* bytes of act and of float that must be moved, a token (0: the operation is counted in FLOP). */
static const struct operation {
    const char *name;
    void (*run)(struct bench *b);
    bool in_layer;
    int times;                             /* in a layer */
    double act_per_channel, act_per_inner; /* elements a token */
    double pairs_uncounted;                /* products a pair of tokens and channel that a GPU does not count */
    double f32_of_arena;                   /* elements, of the arena */
} operations[] = {
    {"qkv forward", qkv_forward, true, 1, 0, 0, 0, 0},
    {"attention forward", attention_forward, true, 1, 0, 0, 4, 0},
    {"output forward", output_forward, true, 1, 0, 0, 0, 0},
    {"normalize forward", normalize_forward, true, 2, 4, 0, 0, 0},
    {"inner forward + gelu", inner_forward, true, 1, 0, 0, 0, 0},
    {"outer forward", outer_forward, true, 1, 0, 0, 0, 0},
    {"normalize backward", normalize_backward, true, 2, 4, 0, 0, 0},
    {"outer backward", outer_backward, true, 1, 0, 0, 0, 0},
    {"gelu backward", gelu_backward, true, 1, 0, 3, 0, 0},
    {"inner backward", inner_backward, true, 1, 0, 0, 0, 0},
    {"output backward", output_backward, true, 1, 0, 0, 0, 0},
    {"attention backward", attention_backward, true, 1, 0, 0, 8, 0},
    {"qkv backward", qkv_backward, true, 1, 0, 0, 0, 0},
    {"adamw", adamw, false, 0, 0, 0, 0, 0},
    {"sum of squares", sum_of_squares, false, 0, 0, 0, 0, 1},
};

static void finish(struct bench *b)
{
    struct error e;
    if (b->d->run->finish(b->d, &e) != 0)
        die(&e);
}

static double time_best(struct bench *b, void (*run)(struct bench *b), double seconds)
{
    double best = 1e9, until = clock_seconds() + seconds;
    run(b);
    finish(b);
    do {
        double start = clock_seconds();
        for (int i = 0; i < b->at_once; i++)
            run(b);
        finish(b);
        double took = (clock_seconds() - start) / b->at_once;
        best = took < best ? took : best;
    } while (clock_seconds() < until);
    return best;
}

static void measure(struct bench *b, const struct operation *o)
{
    double flops = b->d->flops;
    o->run(b);
    flops = b->d->flops - flops + (b->d->ahead ? o->pairs_uncounted * (double)b->s->n * (double)(b->T * b->C) : 0);
    double seconds = time_best(b, o->run, 0.06);
    if (flops > 0) {
        printf("  %-22s %8.3f ms %8.0f GFLOPS   %3.0f %% of peak\n", o->name, seconds * 1e3, flops / seconds / 1e9,
               100 * device_peak_share(b->d, flops / seconds / 1e9));
    } else {
        double bytes = (o->act_per_channel * (double)b->C + o->act_per_inner * (double)b->F) * (double)b->T * (double)b->act;
        bytes += o->f32_of_arena * (double)b->arena * 4;
        if (o->run == adamw)
            bytes = (double)optimized(b) * (7 * 4 + (b->act == 2 ? 2 : 0));
        printf("  %-22s %8.3f ms %8.1f GB/s     %3.0f %% of memory\n", o->name, seconds * 1e3, bytes / seconds / 1e9,
               bytes / seconds / 1e7 / b->bandwidth);
    }
    b->layer_seconds += seconds * o->times;
    b->layer_flops += flops * o->times;
}

static void bench_shape(const char *device, enum precision precision, int threads, const struct shape *s)
{
    struct error e;
    struct bench b = {.s = s};
    char words[256];
    if (device_create(&b.d, device, precision, threads, &e) != 0)
        die(&e);
    device_describe(b.d, words, sizeof words);
    set_up(&b);
    b.d->peak = device_peak(b.d);
    b.bandwidth = 3.0 * (double)b.arena * 4 / time_best(&b, add, 0.2) / 1e9;
    printf("%s; %s: peak %.0f GFLOPS, memory %.0f GB/s\n", words, s->name, b.d->peak, b.bandwidth);
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        measure(&b, &operations[i]);
    printf("  %-22s %8.3f ms %8.0f GFLOPS   %3.0f %% of peak: a layer, forward and backward\n", "layer", b.layer_seconds * 1e3,
           b.layer_flops / b.layer_seconds / 1e9, 100 * device_peak_share(b.d, b.layer_flops / b.layer_seconds / 1e9));
    tear_down(&b);
    b.d->run->destroy(b.d);
}

int main(int count, char **arguments)
{
    const char *device = "cpu";
    if (count > 2 && strcmp(arguments[1], "--device") == 0) {
        device = arguments[2];
        count -= 2;
        arguments += 2;
    }
    bool gpu = strcmp(device, "cuda") == 0;
    int only = -1, threads = count > 2 ? atoi(arguments[2]) : 0;
    for (int i = 0; count > 1 && precision_names[i]; i++)
        if (strcmp(arguments[1], precision_names[i]) == 0)
            only = i;
    for (int precision = 0; precision < (gpu ? PRECISIONS : PRECISION_TF32); precision++)
        for (int t = 1; t <= (gpu ? 1 : 2); t++)
            for (size_t s = 0; s < sizeof shapes[gpu] / sizeof *shapes[gpu]; s++)
                if ((only < 0 || only == precision) && (threads == 0 || threads == t))
                    bench_shape(device, (enum precision)precision, t, &shapes[gpu][s]);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Ten steps of AdamW without dropout (clip, linear decay, no weight decay on biases and LayerNorm): losses, gradient norms and
 * weights as PyTorch has them, with the device's own operations. */
#include "tests/unit/worker/nn/pack.h"

#define STEPS 10

static void step_parameters(struct bench *n, const struct adamw *with_decay, device_memory control, device_memory slot_of)
{
    const struct device_operations *run = n->d->run;
    for (size_t i = 0; i < parameters_count(n->p); i++) {
        const struct parameter *of = parameters_at(n->p, i);
        struct adamw a = *with_decay;
        a.decay = of->decays ? a.decay : 0;
        size_t at = of->offset * sizeof(float);
        device_memory value = device_at(parameters_value(n->p), at), g = device_at(n->gradient, at);
        device_memory m = device_at(parameters_first_moment(n->p), at), v = device_at(parameters_second_moment(n->p), at);
        device_memory shadow = DEVICE_NOTHING;
        if (n->d->precision == PRECISION_BF16)
            shadow = device_at(parameters_shadow(n->p), of->offset * 2);
        if (of->is_words)
            run->adamw_rows(n->d, value, g, m, v, parameters_seen(n->p), slot_of, &a, control, of->shape[0], of->shape[1]);
        else
            run->adamw(n->d, value, shadow, g, m, v, &a, control, of->count);
    }
}

/* The network stays, the batch of the step comes in. */
static double take_step(struct bench *n, const struct rows *r, int step, double *norm)
{
    size_t chosen[3];
    double total = 0;
    float weights[2];
    n->d->run->download(n->d, weights, n->weights, sizeof weights);
    for (size_t i = 0; i < 3; i++) {
        chosen[i] = (3 * (size_t)step + i) % r->B;
        total += weights[r->classes[chosen[i]]];
    }
    struct rows of_step = rows_choose(r, chosen, 3);
    struct pack whole = n->batch;
    n->batch = pack_create(n->d, &of_step, &n->c, true);
    device_memory slot_of = device_array(n->d, n->batch.slot_of, n->c.vocabulary * sizeof(int32_t));
    double loss = bench_loss(n, (struct model_dropout){.on = false}, false) / total;
    model_backward(n->m, &n->batch.view, n->gradient, NULL);
    size_t count = parameters_dense(n->p) + n->batch.view.U * model_config_embedding_width(&n->c);
    const struct step_control none = {0};
    const float well = 0;
    device_memory control = device_array(n->d, &none, sizeof none), bad = device_array(n->d, &well, sizeof well);
    n->d->run->sum_of_squares(n->d, control, n->gradient, count); /* the norm takes its place */
    n->d->run->clip(n->d, control, control, bad, total, 1);
    n->d->run->download(n->d, norm, control, sizeof *norm);
    struct adamw a = {.learning_rate = 5e-3f * (float)(STEPS - step) / STEPS,
                      .beta1 = 0.9f,
                      .beta2 = 0.999f,
                      .epsilon = 1e-8f,
                      .decay = 0.01f,
                      .correction1 = (float)(1 - pow(0.9, step + 1)),
                      .correction2 = (float)(1 - pow(0.999, step + 1))};
    step_parameters(n, &a, control, slot_of);
    finish(n->d);
    n->d->run->release(n->d, control);
    n->d->run->release(n->d, bad);
    n->d->run->release(n->d, slot_of);
    pack_free(&n->batch);
    n->batch = whole;
    rows_free(&of_step);
    return loss;
}

static void check_final(const struct bench *n, const struct tensor_file *f, const char *where)
{
    for (size_t i = 0; i < parameters_count(n->p); i++) {
        const struct parameter *of = parameters_at(n->p, i);
        char *name = format_string("final.%s", of->name);
        if (tensor_file_find(f, name)) {
            float *expected = golden_array(f, name, NULL);
            float *found = host_array(n->d, device_at(parameters_value(n->p), of->offset * sizeof(float)), of->count);
            check_close(where, name, found, expected, of->count, 1e-4, 0);
            free(found);
            free(expected);
        }
        free(name);
    }
}

static const char *const models[] = {"steps",
                                     "distilbert_steps",
                                     "roberta_steps",
                                     "electra_steps",
                                     "modernbert_steps",
                                     "modernbert_local_steps",
                                     "longformer_steps",
                                     "deberta_steps",
                                     "deberta_v2_steps"};

#ifdef MUSTER_EMULATED
/* In whatever order threads run: the same bits, of losses and norms, which all weights of the steps before have gone into. */
static void check_orders(const struct device_case *of, const char *where, const float losses[STEPS], const float norms[STEPS])
{
    static float first[PRECISIONS][2][2]; /* of two steps */
    float(*known)[2] = first[of->precision];
    if (of->threads == 1) {
        memcpy(known[0], losses, sizeof known[0]);
        memcpy(known[1], norms, sizeof known[1]);
    }
    if (memcmp(known[0], losses, sizeof known[0]) || memcmp(known[1], norms, sizeof known[1]))
        fail_msg("%s, order %d: losses or norms have other bits than in order 1", where, of->threads);
}
#endif

/* How many models a device takes, and how many steps of one. Emulated, at a thousandth of a processor's speed: of one family all
 * steps, of the others two, and a few in other orders and in bf16. */
static int steps_of(const struct device_case *of, size_t model)
{
#ifdef MUSTER_EMULATED
    if (model || of->precision != PRECISION_F32 || of->threads != 1)
        return 2;
#endif
    (void)of;
    (void)model;
    return STEPS;
}

#ifdef TEST_GPU
/* A GPU is said to have worked as much as the CPU counts. */
static void check_flops(const char *where, const struct model_config *c, const struct rows *r, double found)
{
    struct device *cpu = open_device(&(struct device_case){"cpu_reference", NULL, PRECISION_F32});
    struct bench n;
    double norm;
    float weights[16] = {1, 1, 1};
    bench_create(&n, cpu, c, r, true);
    make_weights(n.p, 1);
    n.weights = device_array(cpu, weights, sizeof weights);
    cpu->flops = 0;
    take_step(&n, r, 0, &norm);
    if (cpu->flops != found)
        fail_msg("%s: the first step: expected %.0f floating-point operations, found %.0f", where, cpu->flops, found);
    bench_destroy(&n);
    cpu->run->destroy(cpu);
}
#endif

static void check_steps(struct device *d, const struct device_case *of, size_t k)
{
    struct tensor_file *f = golden_open(models[k]);
    struct model_config c = golden_config(f);
    struct rows r = golden_rows(f, c.labels);
    struct bench n;
    bench_create(&n, d, &c, &r, true);
    make_weights(n.p, golden_number(f, "seed"));
    float *weights = golden_array(f, "class_weights", NULL), losses[STEPS], norms[STEPS];
    n.weights = device_array(d, weights, c.labels * sizeof *weights);
    int steps = steps_of(of, k);
    double of_first = -d->flops;
    for (int i = 0; i < steps; i++) {
        double norm;
        losses[i] = (float)take_step(&n, &r, i, &norm);
        norms[i] = (float)norm;
        of_first += i ? 0 : d->flops;
    }
    float *expected_losses = golden_array(f, "losses", NULL), *expected_norms = golden_array(f, "norms", NULL);
    char *where = case_name(of, models[k]);
    static const double tolerances[] = {[PRECISION_F32] = 1e-4, [PRECISION_BF16] = 5e-2, [PRECISION_TF32] = 5e-3};
    bool exact = of->precision == PRECISION_F32;
    double off = check_close(where, "losses", losses, expected_losses, (size_t)steps, tolerances[of->precision], 0);
    check_close(where, "gradient norms", norms, expected_norms, (size_t)steps, tolerances[of->precision] * (exact ? 1 : 2), 0);
#ifdef TEST_GPU
    check_flops(where, &c, &r, of_first);
#else
    (void)of_first;
#endif
#ifdef MUSTER_EMULATED
    if (k == 0)
        check_orders(of, where, losses, norms);
#endif
    if (exact && steps == STEPS)
        check_final(&n, f, where);
    print_message("%s: losses of %d steps off by %.2g of the largest\n", where, steps, off);
    free(where);
    free(weights);
    free(expected_losses);
    free(expected_norms);
    bench_destroy(&n);
    rows_free(&r);
    tensor_file_close(&f);
}

static size_t models_of(const struct device_case *of)
{
#ifdef MUSTER_EMULATED
    if (of->precision != PRECISION_F32 || of->threads != 1)
        return 1;
#endif
    (void)of;
    return sizeof models / sizeof *models;
}

static void test_steps(void **state)
{
    (void)state;
    for (size_t i = 0; i < DEVICE_CASES; i++) {
        struct device *d = open_device(&device_cases[i]);
        if (!d)
            continue;
        for (size_t k = 0; k < models_of(&device_cases[i]); k++)
            check_steps(d, &device_cases[i], k);
        d->run->destroy(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_steps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

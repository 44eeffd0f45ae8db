/* SPDX-License-Identifier: Apache-2.0 */
/* Tiny random models of every family against transformers: logits, hidden states, losses, the gradient of every parameter, on
 * every device. */
#include "tests/unit/worker/nn/pack.h"

static const char *const models[] = {"gelu",
                                     "gelu_new",
                                     "relu",
                                     "distilbert",
                                     "distilbert_relu",
                                     "roberta",
                                     "xlm_roberta",
                                     "electra",
                                     "electra_wide",
                                     "electra_equal",
                                     "modernbert",
                                     "modernbert_mean",
                                     "modernbert_local",
                                     "modernbert_one",
                                     "longformer",
                                     "longformer_one",
                                     "deberta",
                                     "deberta_long",
                                     "deberta_v2",
                                     "deberta_keys",
                                     "deberta_queries",
                                     "deberta_shared_queries",
                                     "deberta_shared_keys",
                                     "padded",
                                     "roberta_padded"};
static const char *const dropped[] = {"dropout",
                                      "distilbert_dropout",
                                      "roberta_dropout",
                                      "electra_dropout",
                                      "modernbert_dropout",
                                      "modernbert_mean_dropout",
                                      "modernbert_local_dropout",
                                      "deberta_dropout",
                                      "deberta_v2_dropout",
                                      "deberta_queries_dropout"};
#define DROPPED (sizeof dropped / sizeof *dropped)
#define MODELS (sizeof models / sizeof *models)
static const struct model_dropout no_dropout = {.on = false};
static const struct model_dropout some_dropout = {.on = true, .seed = 0x123456789abcdefull, .epoch = 3};

/* Of the largest element of a tensor; whole: of the gradient as one vector, in Euclidean norm. In bf16 single elements of so
 * small a network scatter (PyTorch's own autocast: 0.027 of the largest, 0.009 as a whole), so there the whole is what counts. */
struct tolerance {
    double forward, gradient, whole;
};

static struct tolerance tolerance_of(const struct device_case *of)
{
    if (of->precision == PRECISION_TF32)
        return (struct tolerance){5e-3, 2e-2, 5e-3};
    return of->precision == PRECISION_F32 ? (struct tolerance){1e-5, 1e-4, 1e-5} : (struct tolerance){2e-2, 8e-2, 2e-2};
}

static double worst_forward, worst_gradient, worst_whole; /* of the case at hand, for its line */

static double check_golden(const char *where, const char *name, const struct tensor_file *f, const float *found, double tolerance,
                           double floor)
{
    size_t count;
    float *expected = golden_array(f, name, &count);
    double ret = check_close(where, name, found, expected, count, tolerance, floor);
    free(expected);
    return ret;
}

static void check_forward(struct bench *n, const struct tensor_file *f, const char *where, double tolerance)
{
    float *logits = host_array(n->d, model_forward(n->m, &n->batch.view, no_dropout), n->batch.view.B * n->c.labels);
    worst_forward = fmax(worst_forward, check_golden(where, "logits", f, logits, tolerance, 0));
    free(logits);
    for (uint32_t i = 0; i < n->c.layers; i++) {
        size_t N = i + 1 == n->c.layers ? n->batch.view.B : n->batch.view.T;
        float *hidden = host_act(n->d, model_hidden(n->m, i), N * n->c.width);
        char *name = format_string("hidden.%u", i);
        if (tensor_file_find(f, name)) /* behind a family's last layer there is a norm more */
            check_golden(where, name, f, hidden, tolerance, 0);
        free(hidden);
        free(name);
    }
}

struct norm {
    double difference, expected; /* sums of squares */
};

static void norm_add(struct norm *to, const struct tensor_file *f, const char *name, const float *found)
{
    size_t count;
    float *expected = golden_array(f, name, &count);
    for (size_t i = 0; i < count; i++) {
        to->difference += ((double)found[i] - expected[i]) * ((double)found[i] - expected[i]);
        to->expected += (double)expected[i] * expected[i];
    }
    free(expected);
}

static int buckets_ready[16], buckets_count, looks, looks_before[16];

static void note_ready(void *context, int bucket)
{
    assert_ptr_equal(context, buckets_ready);
    looks_before[buckets_count] = looks;
    buckets_ready[buckets_count++] = bucket;
}

static void note_look(void *context)
{
    assert_ptr_equal(context, buckets_ready);
    looks++;
}

static void check_ready(const struct bench *n)
{
    int buckets = parameters_buckets(n->p);
    assert_int_equal(buckets_count, buckets + 1);
    for (int i = 0; i < buckets; i++)
        assert_int_equal(buckets_ready[i], buckets - 1 - i);
    assert_int_equal(buckets_ready[buckets], buckets);
    for (int i = 1; i + 1 < buckets; i++) /* a layer is looked into at least four times: a look a linear map */
        assert_true(looks_before[i] - looks_before[i - 1] >= 4);
}

/* The key bias has no gradient but noise (softmax does not see it), hence the floor: a hundredth of the largest of all. */
static double gradient_floor(const struct tensor_file *f, const char *kind)
{
    double ret = 0;
    for (size_t i = 0; i < tensor_file_count(f); i++) {
        const struct tensor *t = tensor_file_at(f, i);
        if (strncmp(t->name, kind, strlen(kind)) != 0 || t->name[strlen(kind)] != '.')
            continue;
        float *values = golden_array(f, t->name, NULL);
        for (size_t k = 0; k < t->count; k++)
            ret = fmax(ret, fabs(values[k]));
        free(values);
    }
    return ret / 100;
}

static void check_backward(struct bench *n, const struct tensor_file *f, struct model_dropout dropout, bool multi,
                           const char *where, struct tolerance allowed)
{
    const char *kind = multi ? "bce" : "ce";
    size_t L = n->c.labels;
    float *weights = golden_array(f, multi ? "positive_weights" : "class_weights", NULL);
    n->weights = device_array(n->d, weights, L * sizeof *weights);
    free(weights);
    model_forward(n->m, &n->batch.view, dropout);
    float *loss = host_array(n->d, model_loss(n->m, &n->batch.view, n->weights, multi, NULL), n->batch.view.B);
    check_golden(where, multi ? "bce_loss" : "ce_loss", f, loss, allowed.forward, 0);
    free(loss);
    buckets_count = looks = 0;
    model_backward(n->m, &n->batch.view, n->gradient, &(struct model_watcher){note_ready, note_look, buckets_ready});
    check_ready(n);
    double floor = gradient_floor(f, kind);
    struct norm whole = {0};
    for (size_t i = 0; i < parameters_count(n->p); i++) {
        float *found = bench_gradient(n, parameters_at(n->p, i));
        char *name = format_string("%s.%s", kind, parameters_at(n->p, i)->name);
        worst_gradient = fmax(worst_gradient, check_golden(where, name, f, found, allowed.gradient, floor));
        norm_add(&whole, f, name, found);
        free(name);
        free(found);
    }
    double off = sqrt(whole.difference / whole.expected);
    worst_whole = fmax(worst_whole, off);
    if (!(off <= allowed.whole))
        fail_msg("%s: %s gradient as a whole is off by %.3g, allowed %.3g", where, kind, off, allowed.whole);
    n->d->run->release(n->d, n->weights);
    n->weights = DEVICE_NOTHING;
}

/* Gaps between parameters are never written: they are zero in every arena, so they stay zero in sums and moments. */
static void check_gaps(const struct bench *n)
{
    float *all = host_array(n->d, n->gradient, parameters_dense(n->p));
    for (size_t i = 0; i + 1 < parameters_count(n->p); i++) {
        const struct parameter *of = parameters_at(n->p, i);
        for (size_t k = of->offset + of->count; k < parameters_at(n->p, i + 1)->offset; k++)
            if (all[k] != 0)
                fail_msg("gap behind %s is written", of->name);
    }
    free(all);
}

static void check_training(struct device *d, const struct device_case *of, const char *model)
{
    struct tensor_file *f = golden_open(model);
    struct model_config c = golden_config(f);
    struct rows r = golden_rows(f, c.labels);
    char *where = case_name(of, model);
    worst_forward = worst_gradient = worst_whole = 0;
    struct bench n;
    bench_create(&n, d, &c, &r, true);
    make_weights(n.p, golden_number(f, "seed"));
    check_forward(&n, f, where, tolerance_of(of).forward);
    check_backward(&n, f, no_dropout, false, where, tolerance_of(of));
    check_backward(&n, f, no_dropout, true, where, tolerance_of(of));
    print_message("%s: logits off by %.2g, gradients by %.2g of the largest, as a whole by %.2g\n", where, worst_forward,
                  worst_gradient, worst_whole);
    check_gaps(&n);
    finish(d);
    bench_destroy(&n);
    free(where);
    rows_free(&r);
    tensor_file_close(&f);
}

static void test_training(void **state)
{
    (void)state;
    for (size_t i = 0; i < DEVICE_CASES; i++)
        for (size_t k = 0; k < MODELS; k++) {
            struct device *d = open_device(&device_cases[i]);
            if (!d)
                continue;
            check_training(d, &device_cases[i], models[k]);
            d->run->destroy(d);
        }
}

/* With the masks of philox.h at the sites of model.h: PyTorch was given the same. */
static void check_dropout(struct device *d, const struct device_case *of, const char *model)
{
    struct tensor_file *f = golden_open(model);
    struct model_config c = golden_config(f);
    c.hidden_dropout = c.embedding_dropout = 0.2f;
    c.attention_dropout = 0.3f;
    c.classifier_dropout = 0.4f;
    c.pooler_dropout = 0.35f;
    struct rows r = golden_rows(f, c.labels);
    char *where = case_name(of, model);
    worst_forward = worst_gradient = worst_whole = 0;
    struct bench n;
    bench_create(&n, d, &c, &r, true);
    make_weights(n.p, golden_number(f, "seed"));
    float *logits = host_array(d, model_forward(n.m, &n.batch.view, some_dropout), r.B * c.labels);
    worst_forward = check_golden(where, "logits", f, logits, tolerance_of(of).forward, 0);
    check_backward(&n, f, some_dropout, false, where, tolerance_of(of));
    print_message("%s: logits off by %.2g, gradients by %.2g of the largest, as a whole by %.2g\n", where, worst_forward,
                  worst_gradient, worst_whole);
    finish(d);
    free(logits);
    bench_destroy(&n);
    free(where);
    rows_free(&r);
    tensor_file_close(&f);
}

static void test_dropout(void **state)
{
    (void)state;
    for (size_t i = 0; i < DEVICE_CASES; i++)
        for (size_t k = 0; k < DROPPED; k++) {
            struct device *d = open_device(&device_cases[i]);
            if (!d)
                continue;
            check_dropout(d, &device_cases[i], dropped[k]);
            d->run->destroy(d);
        }
}

/* Nothing kept, layers sharing their memory: the same logits, from a model made for evaluation and from one made for training. */
static void check_evaluation(struct device *d, const struct device_case *of, const char *model, bool training)
{
    struct error e = {0};
    struct tensor_file *f = golden_open(model);
    struct model_config c = golden_config(f);
    struct rows r = golden_rows(f, c.labels);
    struct pack batch = pack_create(d, &r, &c, false);
    struct model_limits limits = {.max_tokens = batch.view.T, .max_rows = r.B, .training = training};
    if (training) /* far smaller steps of training */
        limits = (struct model_limits){3, 2, true, batch.view.T, r.B};
    struct parameters *p;
    struct model *m = NULL;
    if (parameters_create(&p, d, &c, training, &e) < 0 || model_create(&m, p, &c, &limits, &e) < 0)
        fail_msg("%s", e.message);
    make_weights(p, golden_number(f, "seed"));
    char *where = case_name(of, model);
    float *logits = host_array(d, model_forward(m, &batch.view, no_dropout), r.B * c.labels);
    check_golden(where, "logits", f, logits, tolerance_of(of).forward, 0);
    float *weights = golden_array(f, "class_weights", NULL);
    device_memory on_device = device_array(d, weights, c.labels * sizeof *weights);
    float *loss = host_array(d, model_loss(m, &batch.view, on_device, false, NULL), r.B);
    check_golden(where, "ce_loss", f, loss, tolerance_of(of).forward, 0);
    finish(d);
    d->run->release(d, on_device);
    free(weights);
    free(loss);
    free(logits);
    free(where);
    model_destroy(&m);
    parameters_destroy(&p);
    pack_free(&batch);
    rows_free(&r);
    tensor_file_close(&f);
}

static void test_evaluation(void **state)
{
    (void)state;
    for (size_t i = 0; i < DEVICE_CASES; i++)
        for (size_t k = 0; k < MODELS; k++) {
            struct device *d = open_device(&device_cases[i]);
            if (!d)
                continue;
            check_evaluation(d, &device_cases[i], models[k], false);
            check_evaluation(d, &device_cases[i], models[k], true);
            d->run->destroy(d);
        }
}

/* All gradients of two steps, the second of which finds what the first left; *bytes: theirs. Caller frees. */
static char *two_gradients(struct device *d, const struct model_config *c, const struct rows *r, const struct tuning *t,
                           enum keeping keeping, size_t *bytes)
{
    struct bench n;
    bench_create_with(&n, d, c, r, t, keeping);
    make_weights(n.p, 11);
    size_t count = parameters_gradients(n.p) + n.batch.view.U * parameters_gradient_words(n.p);
    *bytes = count * sizeof(float);
    char *ret = allocate(2, *bytes);
    for (size_t step = 0; step < 2; step++) {
        struct model_dropout dropout = some_dropout;
        dropout.epoch += (uint32_t)step;
        bench_loss(&n, dropout, true);
        model_backward(n.m, &n.batch.view, n.gradient, NULL);
        d->run->download(d, ret + step * *bytes, n.gradient, *bytes);
    }
    *bytes *= 2;
    finish(d);
    bench_destroy(&n);
    return ret;
}

static void check_keeping(struct device *d, const struct device_case *of, const char *model, const struct tuning *t,
                          const char *trained)
{
    struct tensor_file *f = golden_open(model);
    struct model_config c = golden_config(f);
    c.hidden_dropout = c.embedding_dropout = c.attention_dropout = c.classifier_dropout = 0.3f;
    struct rows r = golden_rows(f, c.labels);
    char *where = case_name(of, model);
    size_t bytes = 0, others = 0;
    char *all = two_gradients(d, &c, &r, t, KEEP_ALL, &bytes);
    for (enum keeping keeping = KEEP_NEEDED; keeping <= KEEP_SUMS; keeping++) {
        char *found = two_gradients(d, &c, &r, t, keeping, &others);
        assert_int_equal(others, bytes);
        for (size_t i = 0; i < bytes; i++)
            if (found[i] != all[i])
                fail_msg("%s, %s, %s: byte %zu of %zu of the gradients is another", where, trained,
                         keeping == KEEP_SUMS ? "checkpointing" : "frozen layers keep nothing", i, bytes);
        free(found);
    }
    free(all);
    free(where);
    rows_free(&r);
    tensor_file_close(&f);
}

/* Gradients do not depend on what is kept of which layer: the same bits. Parts are frozen on the reference, whose bits would show
 * what is missing. */
static void test_keeping(void **state)
{
    (void)state;
    static const bool frozen[3][16] = {{true}, {true, true}, {true, true, true}};
    const struct tuning tunings[] = {{{0}, NULL}, {{0}, frozen[0]}, {{0}, frozen[1]}, {{0}, frozen[2]}};
    static const char *const names[] = {"all trained", "embeddings frozen", "layer 0 frozen", "layers 0 and 1 frozen"};
    for (size_t i = 0; i < DEVICE_CASES; i++)
        for (size_t k = 0; k < MODELS; k++) {
            struct device *d = open_device(&device_cases[i]);
            if (!d)
                continue;
            for (size_t t = 0; t < (i ? 1 : sizeof tunings / sizeof *tunings); t++)
                check_keeping(d, &device_cases[i], models[k], &tunings[t], names[t]);
            d->run->destroy(d);
        }
}

static size_t bytes_of(const char *family, uint32_t layers, const struct model_limits *m)
{
    struct model_config c = {
        .family = family_named(family), .layers = layers, .width = 64, .heads = 4, .inner = 256, .labels = 2};
    return model_bytes(&c, m, PRECISION_F32);
}

/* What a layer more costs: with checkpointing one vector a token, with post-norm two numbers more; without a backward nothing. */
static void test_memory_of_a_layer(void **state)
{
    (void)state;
    static const char *const families[] = {"bert", "longformer", "modernbert"};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        struct model_limits all = {.max_tokens = 4096, .max_rows = 1, .training = true}, sums = all, frozen = all;
        sums.checkpointing = true;
        frozen.lowest_trained = 9;
        size_t layer = (strcmp(families[i], "modernbert") ? 64 + 2 : 64) * 4096 * sizeof(float);
        assert_true(bytes_of(families[i], 9, &all) - bytes_of(families[i], 8, &all) > 9 * layer);
        assert_int_equal(bytes_of(families[i], 9, &sums) - bytes_of(families[i], 8, &sums), layer);
        size_t with_8 = bytes_of(families[i], 12, &frozen);
        frozen.lowest_trained = 5;
        assert_int_equal(bytes_of(families[i], 8, &frozen), with_8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_training), cmocka_unit_test(test_dropout),
                                       cmocka_unit_test(test_evaluation), cmocka_unit_test(test_keeping),
                                       cmocka_unit_test(test_memory_of_a_layer)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

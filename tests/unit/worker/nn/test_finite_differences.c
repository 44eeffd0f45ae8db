/* SPDX-License-Identifier: Apache-2.0 */
/* With dropout ON, which a golden file cannot hold: the mask is a function, so the loss is one too, and its finite differences
 * must be what backward says. And that function: same bits twice, of rows and not of their places. */
#include "tests/unit/worker/nn/pack.h"

static const struct model_config config = {.layers = 2,
                                           .width = 20,
                                           .heads = 5,
                                           .inner = 27,
                                           .vocabulary = 31,
                                           .positions = 23,
                                           .types = 2,
                                           .labels = 3,
                                           .activation = ACTIVATION_GELU,
                                           .epsilon = 1e-12f,
                                           .hidden_dropout = 0.2f,
                                           .attention_dropout = 0.3f,
                                           .classifier_dropout = 0.4f,
                                           .initializer_range = 0.02f};
static const struct model_dropout dropout = {.on = true, .seed = 0x123456789abcdefull, .epoch = 3};

static struct rows some_rows(void)
{
    static const int32_t lengths[] = {9, 1, 17, 4};
    int32_t *ids = allocate(31, 4), *types = allocate(31, 4), *classes = allocate(4, 4);
    for (int32_t t = 0; t < 31; t++) {
        ids[t] = t * 7 % 29 + 1;
        types[t] = t % 9 > 4;
    }
    for (int32_t b = 0; b < 4; b++)
        classes[b] = (b + 1) % 3;
    float *targets = allocate(12, 4);
    for (int i = 0; i < 12; i += 2)
        targets[i] = 1;
    int32_t *copy = allocate(4, 4);
    memcpy(copy, lengths, sizeof lengths);
    return (struct rows){4, 3, ids, types, copy, classes, targets, NULL};
}

/* The families that differ in their network; of the others the names. */
static const char *const families[] = {"bert", "distilbert", "roberta", "electra", "deberta-v2"};

static const char *const tuned_families[] = {"bert",       "distilbert", "roberta",   "electra",
                                             "modernbert", "longformer", "deberta-v2"};

static struct model_config config_of(const char *family)
{
    struct model_config c = config;
    c.family = family_named(family);
    if (strcmp(family, "distilbert") == 0)
        c.types = 0;
    if (strcmp(family, "deberta-v2") == 0) {
        c.position_table = c.distance_keys = c.distance_queries = c.distances_shared = c.distances_normalized = true;
        c.distances = c.buckets = 6;
        c.farthest = 11;
        c.pooler_dropout = 0.35f;
    }
    if (strcmp(family, "electra") == 0)
        c.embedding_width = 11;
    if (model_family_of(&c)->pre_norm) { /* the last layer is global */
        c.windows[0] = 3;
        c.theta = c.local_theta = 100;
    }
    if (model_family_of(&c)->global_first)
        c.windows[0] = c.windows[1] = 2;
    return c;
}

static void create(struct bench *n, struct device *d, const struct rows *r, const struct model_config *c)
{
    static const float weights[] = {0.7f, 1.3f, 2.1f};
    bench_create(n, d, c, r, true);
    make_weights(n->p, 11);
    n->weights = device_array(d, weights, sizeof weights);
}

static double loss_with(struct bench *n, const struct parameter *of, float *values, size_t i, float by, bool multi)
{
    float kept = values[i];
    values[i] = kept + by;
    set_parameter(n->p, of, values);
    double ret = bench_loss(n, dropout, multi);
    values[i] = kept;
    set_parameter(n->p, of, values);
    return ret;
}

/* Richardson: central differences with h and 2h, error of h^4. */
static double slope(struct bench *n, const struct parameter *of, float *values, size_t i, bool multi, float h)
{
    double near = loss_with(n, of, values, i, h, multi) - loss_with(n, of, values, i, -h, multi);
    double far = loss_with(n, of, values, i, 2 * h, multi) - loss_with(n, of, values, i, -2 * h, multi);
    return (8 * near - far) / (12 * h);
}

static size_t largest(const float *values, size_t count)
{
    size_t ret = 0;
    for (size_t i = 0; i < count; i++)
        if (fabsf(values[i]) > fabsf(values[ret]))
            ret = i;
    return ret;
}

static void check_differences(struct bench *n, bool multi)
{
    bench_loss(n, dropout, multi);
    model_backward(n->m, &n->batch.view, n->gradient, NULL);
    for (size_t k = 0; k < parameters_count(n->p); k++) {
        const struct parameter *of = parameters_at(n->p, k);
        if (of->gradient == PARAMETER_ABSENT)
            continue;
        float *gradient = bench_gradient(n, of);
        float *values = host_array(n->d, device_at(parameters_value(n->p), of->offset * sizeof(float)), of->count);
        const size_t sample[] = {largest(gradient, of->count), of->count / 3, of->count - 1};
        double scale = fmax(0.05, fabsf(gradient[sample[0]]));
        for (size_t i = 0; i < 3; i++) {
            /* The error of f32 losses over h is what counts, at 2^-8 seven times that of 2^-5; but a ReLU may turn within h. */
            double expected = NAN;
            for (float h = 0x1p-6f; h >= 0x1p-10f && !(fabs(gradient[sample[i]] - expected) <= 2e-3 * scale); h /= 4)
                expected = slope(n, of, values, sample[i], multi, h);
            if (!(fabs(gradient[sample[i]] - expected) <= 2e-3 * scale))
                fail_msg("%s, %s: element %zu: finite difference %.6g, gradient %.6g", of->name, multi ? "bce" : "ce", sample[i],
                         expected, gradient[sample[i]]);
        }
        free(values);
        free(gradient);
    }
}

static struct device *open_named(const char *name)
{
    return open_device(&(struct device_case){name, NULL, PRECISION_F32});
}

#ifdef TEST_GPU
static const char *const names[] = {"cpu_reference", TEST_GPU};
#else
static const char *const names[] = {"cpu_reference", "cpu"};
#endif

static void check_family(struct device *d, const char *family, bool both)
{
    struct model_config c = config_of(family);
    struct rows r = some_rows();
    struct bench n;
    create(&n, d, &r, &c);
    check_differences(&n, false);
    if (both)
        check_differences(&n, true);
    bench_destroy(&n);
    rows_free(&r);
}

static void test_finite_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++)
        for (size_t k = 0; k < sizeof families / sizeof *families; k++) {
            struct device *d = open_named(names[i]);
            check_family(d, families[k], i == 1);
            d->run->destroy(d);
        }
}

/* Adapters on all linear maps, or on some, with dropout before them; and a frozen bottom, whose gradients nobody asks for. */
static void test_tuned_differences(void **state)
{
    (void)state;
    static const bool bottom[] = {true, true, false, false}, middle[] = {false, true, false, false};
    struct lora all = {.rank = 3, .alpha = 5, .dropout = 0.3, .train_head = true}, some = {.rank = 2, .alpha = 1, .rslora = true};
    for (int role = 0; role < ROLE_COUNT; role++)
        all.adapted[role] = lora_takes((enum tensor_role)role);
    some.adapted[ROLE_KEY] = some.adapted[ROLE_GLOBAL_KEY] = some.adapted[ROLE_OUTPUT] = true;
    struct lora biased = all, some_biased = some;
    biased.bias = LORA_BIAS_ALL;
    some_biased.bias = LORA_BIAS_ADAPTED;
    const struct tuning tunings[] = {{.lora = all},         {.lora = some},     {.lora = biased},
                                     {.lora = some_biased}, {.frozen = bottom}, {.frozen = middle}};
    for (size_t i = 0; i < 2; i++)
        for (size_t t = 0; t < sizeof tunings / sizeof *tunings; t++)
            for (size_t k = 0; k < sizeof tuned_families / sizeof *tuned_families; k++) {
                struct model_config c = config_of(tuned_families[k]);
                struct device *d = open_named(names[i]);
                struct rows r = some_rows();
                static const float weights[] = {0.7f, 1.3f, 2.1f};
                struct bench n;
                bench_create_tuned(&n, d, &c, &r, &tunings[t]);
                make_weights(n.p, 11);
                n.weights = device_array(d, weights, sizeof weights);
                check_differences(&n, false);
                bench_destroy(&n);
                rows_free(&r);
                d->run->destroy(d);
            }
}

static void check_same_bits(const char *what, const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0)
            fail_msg("%s: element %zu: %.9g and %.9g", what, i, a[i], b[i]);
}

static void test_repeatable(void **state)
{
    (void)state;
    for (size_t i = 0; i < DEVICE_CASES; i++) {
        struct device *d = open_device(&device_cases[i]);
        if (!d)
            continue;
        struct rows r = some_rows();
        struct bench n;
        create(&n, d, &r, &config);
        size_t count = parameters_dense(n.p) + n.batch.view.U * config.width;
        float *found[4];
        for (int pass = 0; pass < 2; pass++) {
            found[2 * pass] = host_array(d, model_forward(n.m, &n.batch.view, dropout), 12);
            bench_loss(&n, dropout, false);
            model_backward(n.m, &n.batch.view, n.gradient, NULL);
            found[2 * pass + 1] = host_array(d, n.gradient, count);
        }
        check_same_bits("logits", found[0], found[2], 12);
        check_same_bits("gradient", found[1], found[3], count);
        for (int k = 0; k < 4; k++)
            free(found[k]);
        finish(d);
        bench_destroy(&n);
        rows_free(&r);
        d->run->destroy(d);
    }
}

static float *logits_of(struct device *d, const struct rows *r, struct model_dropout with)
{
    struct bench n;
    create(&n, d, r, &config);
    float *ret = host_array(d, model_forward(n.m, &n.batch.view, with), r->B * 3);
    bench_destroy(&n);
    return ret;
}

/* A row drops the same elements wherever it stands and whatever stands with it; another epoch, seed or row number: others. */
static void test_dropout_is_of_the_row(void **state)
{
    (void)state;
    struct device *d = open_named("cpu_reference");
    struct rows all = some_rows(), moved = rows_choose(&all, (const size_t[]){3, 2, 0}, 3);
    struct rows renamed = rows_choose(&all, (const size_t[]){0, 1, 2, 3}, 4);
    for (int b = 0; b < 4; b++)
        ((int32_t *)(uintptr_t)renamed.numbers)[b] += 100;
    float *first = logits_of(d, &all, dropout), *second = logits_of(d, &moved, dropout);
    check_same_bits("row 3", first + 9, second, 3);
    check_same_bits("row 2", first + 6, second + 3, 3);
    check_same_bits("row 0", first, second + 6, 3);
    float *others[] = {logits_of(d, &renamed, dropout), logits_of(d, &all, (struct model_dropout){true, dropout.seed, 4}),
                       logits_of(d, &all, (struct model_dropout){true, dropout.seed + (1ull << 32), 3}),
                       logits_of(d, &all, (struct model_dropout){.on = false})};
    for (size_t i = 0; i < 4; i++) {
        for (size_t b = 0; b < 4; b++)
            if (memcmp(others[i] + 3 * b, first + 3 * b, 12) == 0)
                fail_msg("case %zu: row %zu drops the same", i, b);
        free(others[i]);
    }
    free(first);
    free(second);
    rows_free(&all);
    rows_free(&moved);
    rows_free(&renamed);
    d->run->destroy(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_finite_differences), cmocka_unit_test(test_tuned_differences),
                                       cmocka_unit_test(test_repeatable), cmocka_unit_test(test_dropout_is_of_the_row)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

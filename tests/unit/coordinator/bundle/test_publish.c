/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing: the bundle and its .zip hold what the run decided, are made once, again when something they are made of changes,
 * and whole or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/fault.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"
#include "common/format/bundle.h"
#include "common/format/tensor_file.h"
#include "coordinator/bundle/publish.h"
#include "coordinator/events/event_log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIRECTORY "publish.test"
#define SPLIT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
enum { ROWS = 6, WIDTH = 24 };

static const char config_text[] =
    "{\"model_type\":\"bert\",\"architectures\":[\"BertModel\"],\"hidden_size\":24,\"num_hidden_layers\":2,\"num_attention_"
    "heads\":3,"
    "\"intermediate_size\":40,\"max_position_embeddings\":64,\"vocab_size\":12,\"type_vocab_size\":2,\"pad_token_id\":0}";
static const char vocabulary[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##c\ncat\nsat\n.\nthe\n";
static const char tokenizer_config[] = "{\"do_lower_case\":true,\"tokenizer_class\":\"BertTokenizer\"}";
static const char job_text[] = "{\"name\":\"tiny\",\"out\":\"publish.test/run\",\"model\":\"publish.test/model\",\"seed\":7,"
                               "\"data\":{\"path\":\"rows.jsonl\",\"text_a\":[\"sentence\"],\"text_b\":[\"title\",\"body\"],"
                               "\"joiner\":\" | \",\"label\":\"label\"},\"train\":{\"max_length\":32}}";

struct setting {
    struct job job;
    struct run_data data;
    struct decision decision;
    struct test_score score;
    struct trial_run trial;
    struct run_place place;
    struct bundle_source source;
    uint32_t rows[ROWS];
    size_t order[1];
    double thresholds[2], temperatures[2];
};

static const char *names[] = {"NO", "YES"};

static void put(const char *path, const char *text)
{
    struct error e = {0};
    if (file_write(path, text, strlen(text), &e))
        fail_msg("%s", e.message);
}

static void make_model(void)
{
    static float weights[2 * WIDTH];
    static const char *const metadata[] = {"format", "pt", NULL};
    struct error e = {0};
    for (int i = 0; i < 2 * WIDTH; i++)
        weights[i] = (float)i / 7;
    const struct tensor t = {.name = "classifier.weight",
                             .dimensions = 2,
                             .shape = {2, WIDTH},
                             .count = 2 * WIDTH,
                             .data = weights,
                             .size = sizeof weights};
    if (directory_create(DIRECTORY "/model", &e) || directory_create(DIRECTORY "/run", &e) ||
        safetensors_write(DIRECTORY "/trained.safetensors", &t, 1, metadata, &e))
        fail_msg("%s", e.message);
    put(DIRECTORY "/model/config.json", config_text);
    put(DIRECTORY "/model/vocab.txt", vocabulary);
    put(DIRECTORY "/model/tokenizer_config.json", tokenizer_config);
    put(DIRECTORY "/job.json", job_text);
}

static void make_data(struct setting *s)
{
    struct dataset_writer *w;
    struct error e = {0};
    if (dataset_writer_create(&w, DIRECTORY "/data.rows", 2, false, &e))
        fail_msg("%s", e.message);
    for (int i = 0; i < ROWS; i++) {
        char id[16];
        const int32_t ids[] = {2, 5 + i, 3}; /* rows are known by their tokens */
        const struct token_row tokens = {ids, 3, 3};
        snprintf(id, sizeof id, "row%d", i);
        assert_int_equal(dataset_writer_append(w, id, id, i % 2, NULL, tokens, &e), 0);
        s->rows[i] = (uint32_t)i;
    }
    if (dataset_writer_commit(&w, &e) || dataset_open(&s->data.data, DIRECTORY "/data.rows", &e))
        fail_msg("%s", e.message);
    for (int part = 0; part < PART_COUNT; part++) {
        s->data.split.part[part].rows = s->rows + 2 * part;
        s->data.split.part[part].count = 2;
    }
    snprintf(s->data.split.sha256, sizeof s->data.split.sha256, "%s", SPLIT);
    snprintf(s->data.split.method, sizeof s->data.split.method, "muster");
    s->data.check = json_object();
    json_set(s->data.check, "dropped_labels", json_array());
    s->data.label_names = names;
    s->data.labels = 2;
    s->data.positive = 1;
    s->data.kind = DECISION_BINARY;
}

static void make_decision(struct setting *s)
{
    decision_create(&s->decision, 1);
    s->decision.trials[0].of = (struct candidate){.key = "baseline", .best_epoch = 2, .baseline = true, .state = TRIAL_DONE};
    s->decision.trials[0].fit = (struct temperature_fit){.temperature = 1.25, .improved = true};
    s->decision.order = s->order;
    s->decision.threshold = s->thresholds[0] = s->thresholds[1] = 0.375;
    s->temperatures[0] = s->temperatures[1] = 1.25;
    s->decision.thresholds = s->thresholds;
    s->decision.temperatures = s->temperatures;
}

static void open_setting(struct setting *s)
{
    struct error e = {0};
    *s = (struct setting){0};
    assert_int_equal(directory_remove(DIRECTORY, &e), 0);
    make_model();
    make_data(s);
    make_decision(s);
    if (job_read(&s->job, DIRECTORY "/job.json", NULL, 0, &e) || event_log_open(&s->place.log, DIRECTORY "/run", &e))
        fail_msg("%s", e.message);
    s->place.job = &s->job;
    s->place.directory = DIRECTORY "/run";
    s->place.model = DIRECTORY "/model";
    s->trial = (struct trial_run){.key = (char *)"baseline",
                                  .job = s->job,
                                  .baseline = true,
                                  .best_epoch = 2,
                                  .weights = (char *)DIRECTORY "/trained.safetensors",
                                  .options = json_object()};
    snprintf(s->trial.weights_identity, sizeof s->trial.weights_identity, "%s", "identity");
    s->score.validation = (struct part_metrics){.rows = 2, .loss = 0.5, .metrics = {.f1 = 0.75, .precision = 0.6, .recall = 1}};
    s->score.test = (struct part_metrics){.rows = 2, .loss = 0.625, .metrics = {.f1 = 0.875, .precision = 0.8, .recall = 0.9}};
    s->source = (struct bundle_source){&s->place, &s->data, &s->decision, &s->trial, &s->score, NULL};
}

static void close_setting(struct setting *s)
{
    s->decision.order = NULL;
    decision_free(&s->decision);
    dataset_close(&s->data.data);
    json_destroy(&s->data.check);
    json_destroy(&s->trial.options);
    event_log_close(&s->place.log);
    job_free(&s->job);
}

static void expect_published(const struct setting *s, bool expected)
{
    struct error e = {0};
    bool made = !expected;
    if (publish(&s->source, &made, &e))
        fail_msg("%s", e.message);
    if (made != expected)
        fail_msg("expected: %s; found: %s", expected ? "made" : "there already", made ? "made" : "there already");
}

static void expect_digest(const char *path, const char *same_as)
{
    char found[SHA256_HEX], expected[SHA256_HEX];
    struct error e = {0};
    if (sha256_file(path, found, &e) || sha256_file(same_as, expected, &e))
        fail_msg("%s", e.message);
    assert_string_equal(found, expected);
}

static struct json *read_inference(void)
{
    struct json *j;
    struct error e = {0};
    if (json_read(&j, DIRECTORY "/run/bundle/" BUNDLE_INFERENCE, &e))
        fail_msg("%s", e.message);
    return j;
}

static void run(const char *command)
{
    if (system(command))
        fail_msg("expected: succeeds: %s", command);
}

static void test_what_is_in_it(void **state)
{
    (void)state;
    struct setting s;
    struct error e = {0};
    open_setting(&s);
    expect_published(&s, true);
    expect_digest(DIRECTORY "/run/bundle/" BUNDLE_WEIGHTS, DIRECTORY "/trained.safetensors");
    struct json *j = read_inference();
    static const char *const words[][2] = {{"name", "tiny"},
                                           {"task", "single_label_classification"},
                                           {"positive", "YES"},
                                           {"model_name", "publish.test/model"},
                                           {"trial", "baseline"},
                                           {"split_sha256", SPLIT},
                                           {"split_method", "muster"},
                                           {"trial_sha256", "identity"},
                                           {"truncation", "only_second"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_string_equal(json_string(json_get(j, words[i][0])), words[i][1]);
    static const struct {
        const char *key;
        double value;
    } numbers[] = {{"threshold", 0.375}, {"temperature", 1.25}, {"max_length", 32}, {"best_epoch", 2}, {"seed", 7}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (json_number(json_get(j, numbers[i].key)) != numbers[i].value)
            fail_msg("%s: expected %g, found %g", numbers[i].key, numbers[i].value, json_number(json_get(j, numbers[i].key)));
    assert_string_equal(json_string(json_get(j, "data_sha256")), dataset_sha256(s.data.data));
    const struct json *test = json_get(json_get(j, "metrics"), "test"), *input = json_get(j, "input");
    assert_true(json_number(json_get(test, "f1")) == 0.875 && json_number(json_get(test, "loss")) == 0.625);
    assert_string_equal(json_string(json_get(input, "joiner")), " | ");
    assert_string_equal(json_string(json_at(json_get(input, "text_b"), 1)), "body");
    const struct json *entry = json_at(json_get(j, "history"), 0);
    assert_string_equal(json_string(json_get(entry, "event")), "published");
    assert_true(json_number(json_get(entry, "threshold")) == 0.375);
    json_destroy(&j);
    struct bundle *b; /* it opens, with this rule */
    if (bundle_open(&b, DIRECTORY "/run/bundle", &e))
        fail_msg("%s", e.message);
    assert_int_equal(bundle_labels(b)->count, 2);
    assert_string_equal(bundle_labels(b)->names[1], "YES");
    assert_true(bundle_decision(b)->thresholds[1] == 0.375 && bundle_decision(b)->temperatures[1] == 1.25);
    bundle_close(&b);
    struct training_rows *k; /* and knows its rows */
    assert_int_equal(training_rows_read(&k, DIRECTORY "/run/bundle/" TRAINING_ROWS_FILE, &e), 0);
    for (uint32_t i = 0; i < ROWS; i++)
        assert_int_equal(training_rows_find(k, s.data.data, i), i / 2);
    training_rows_destroy(&k);
    /* Python's zipfile unpacks the same files. */
    run("cd " DIRECTORY " && python3 -m zipfile -t run/tiny.zip > /dev/null && python3 -m zipfile -e run/tiny.zip unpacked && "
        "diff -r run/bundle unpacked/tiny");
    close_setting(&s);
}

static ino_t inode_of(const char *path)
{
    struct stat facts;
    assert_int_equal(stat(path, &facts), 0);
    return facts.st_ino;
}

static void test_made_once(void **state)
{
    (void)state;
    struct setting s;
    struct error e = {0};
    open_setting(&s);
    expect_published(&s, true);
    ino_t before = inode_of(DIRECTORY "/run/bundle"), zip = inode_of(DIRECTORY "/run/tiny.zip");
    size_t events = event_log_count(s.place.log);
    expect_published(&s, false);
    assert_true(inode_of(DIRECTORY "/run/bundle") == before && inode_of(DIRECTORY "/run/tiny.zip") == zip);
    assert_int_equal(event_log_count(s.place.log), events);
    const struct json *event = event_log_last(s.place.log, "stage_done", "stage", "publish");
    assert_string_equal(json_string(json_get(event, "trial")), "baseline");
    assert_true(json_number(json_get(event, "threshold")) == 0.375);
    /* What it is made of changes. */
    s.decision.threshold = s.thresholds[0] = s.thresholds[1] = 0.5;
    expect_published(&s, true);
    struct json *j = read_inference();
    assert_true(json_number(json_get(j, "threshold")) == 0.5);
    json_destroy(&j);
    expect_published(&s, false);
    s.source.comparison = "## Comparison\n\nwith others\n";
    expect_published(&s, true);
    run("grep -q '^with others' " DIRECTORY "/run/bundle/README.md");
    expect_published(&s, false);
    /* What was made is gone, or damaged. */
    assert_int_equal(unlink(DIRECTORY "/run/tiny.zip"), 0);
    expect_published(&s, true);
    put(DIRECTORY "/run/bundle/config.json", "{");
    expect_published(&s, true);
    assert_int_equal(directory_remove(DIRECTORY "/run/bundle", &e), 0);
    expect_published(&s, true);
    expect_published(&s, false);
    close_setting(&s);
}

static void expect_failure(const struct setting *s, enum error_kind kind, const char *words)
{
    struct error e = {0};
    bool made = false;
    if (!publish(&s->source, &made, &e))
        fail_msg("expected: '%s'; found: published", words);
    assert_false(made);
    assert_int_equal(e.kind, kind);
    if (!strstr(e.message, words))
        fail_msg("expected a message with '%s'; found: %s", words, e.message);
    run("test -z \"$(find " DIRECTORY "/run -name '*tmp*' -o -name '*.old-*')\""); /* nothing half-written */
}

static void test_failures(void **state)
{
    (void)state;
    struct setting s;
    struct error e;
    open_setting(&s);
    s.trial.weights = (char *)DIRECTORY "/none.safetensors";
    expect_failure(&s, ERROR_DATA, DIRECTORY "/none.safetensors");
    s.trial.weights = (char *)DIRECTORY "/trained.safetensors";
    s.data.labels = 3; /* of another trial */
    static const char *three[] = {"a", "b", "c"};
    s.data.label_names = three;
    s.data.kind = DECISION_CLASS;
    expect_failure(&s, ERROR_DATA, "classifier.weight");
    s.data.labels = 2;
    s.data.label_names = names;
    s.data.kind = DECISION_BINARY;
    assert_false(directory_exists(DIRECTORY "/run/bundle"));
    assert_int_equal(fault_plan("enospc", NULL, &e), 0);
    expect_failure(&s, ERROR_FAILED, strerror(28 /* ENOSPC */));
    assert_int_equal(fault_plan(NULL, NULL, &e), 0);
    assert_false(directory_exists(DIRECTORY "/run/bundle"));
    assert_false(file_exists(DIRECTORY "/run/tiny.zip"));
    assert_null(event_log_last(s.place.log, "stage_done", "stage", "publish"));
    expect_published(&s, true);
    /* The old bundle stays whole when a new one cannot be made. */
    run("cp -r " DIRECTORY "/run/bundle " DIRECTORY "/before");
    s.decision.threshold = s.thresholds[1] = 0.7;
    assert_int_equal(fault_plan("read_only", NULL, &e), 0);
    expect_failure(&s, ERROR_FAILED, strerror(30 /* EROFS */));
    assert_int_equal(fault_plan(NULL, NULL, &e), 0);
    run("diff -r " DIRECTORY "/before " DIRECTORY "/run/bundle");
    expect_published(&s, true);
    close_setting(&s);
}

/* Somebody's own directory of that name is not replaced. */
static void test_something_else_is_there(void **state)
{
    (void)state;
    struct setting s;
    struct error e;
    open_setting(&s);
    assert_int_equal(directory_create(DIRECTORY "/run/bundle", &e), 0);
    put(DIRECTORY "/run/bundle/thesis.txt", "years of work");
    expect_failure(&s, ERROR_USAGE, DIRECTORY "/run/bundle");
    assert_true(file_exists(DIRECTORY "/run/bundle/thesis.txt"));
    close_setting(&s);
}

static int tear_down(void **state)
{
    (void)state;
    struct error e;
    return directory_remove(DIRECTORY, &e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_in_it),
        cmocka_unit_test(test_made_once),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_something_else_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}

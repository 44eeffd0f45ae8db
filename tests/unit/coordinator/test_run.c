/* SPDX-License-Identifier: Apache-2.0 */
/* The stages of a run on real files and a scripted dispatch: what is trained, what is not trained twice, what a failure and a
 * stop leave behind, who wins, and that the labels of the test part choose nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"
#include "common/format/results.h"
#include "common/format/tensor_file.h"
#include "coordinator/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- a dispatch that follows a script in place of the one with workers ---- */

struct script {
    const char *key;
    double loss[4]; /* of each epoch on validation */
    double shift;   /* of all logits: moves the best threshold */
    double noise;   /* how much a row's own number blurs its label */
    bool fails, stops;
    bool dies; /* its group, after the first epoch: the trial comes again when the others are done */
};

static const struct script *script;
static char leased[4096]; /* keys in order, each followed by a space */

static const struct script *script_of(const char *key)
{
    const char *name = strncmp(key, "score-", 6) == 0 ? key + 6 : key;
    for (const struct script *s = script; s->key; s++)
        if (strcmp(s->key, name) == 0)
            return s;
    fail_msg("no script for trial %s", key);
    return NULL;
}

/* A number in -1..1 that belongs to a row. */
static double blur(const char *id)
{
    unsigned x = 2166136261u;
    for (; *id; id++)
        x = (x ^ (unsigned char)*id) * 16777619u;
    return (double)(x >> 8 & 0xffff) / 32768 - 1;
}

/* The test part's logits do not look at its labels: what the labels say there may change, the model does not. */
static void write_part(const struct trial *t, const struct script *s, enum part part, int epoch, int written)
{
    struct error e = {0};
    struct dataset *d;
    struct split split;
    assert_int_equal(dataset_open(&d, t->dataset, &e), 0);
    assert_int_equal(split_read(&split, t->split, d, &e), 0);
    uint32_t rows = split.part[part].count;
    struct logits l = {.part = part, .epoch = written, .rows = rows, .labels = 2, .loss = s->loss[epoch - 1]};
    l.values = allocate(rows, 2 * sizeof(float));
    for (uint32_t i = 0; i < rows; i++) {
        uint32_t row = split.part[part].rows[i];
        double truth = part == PART_TEST ? (i % 3 == 0) : dataset_class(d, row);
        l.values[2 * i + 1] = (float)(2 * truth - 1 + s->shift + s->noise * blur(dataset_id(d, row)));
    }
    memcpy(l.split_sha256, split.sha256, sizeof l.split_sha256);
    char *path = path_join(t->directory, "logits.h5");
    if (logits_append(path, &l, &e) != 0)
        fail_msg("%s", e.message);
    free(path);
    logits_free(&l);
    split_free(&split);
    dataset_close(&d);
}

static void write_weights(const struct trial *t)
{
    struct error e = {0};
    float values[2 * 20] = {0};
    values[0] = (float)t->lr;
    struct tensor classifier = {.name = "classifier.weight",
                                .type = TENSOR_F32,
                                .dimensions = 2,
                                .shape = {2, 20},
                                .count = 2 * 20,
                                .data = values,
                                .size = sizeof values};
    char *path = path_join(t->directory, "best.safetensors");
    assert_int_equal(safetensors_write(path, &classifier, 1, (const char *const[]){"format", "pt", NULL}, &e), 0);
    free(path);
}

struct dispatch {
    struct event_log *log;
};

int dispatch_check(const struct dispatch_options *options, struct error *e)
{
    (void)options, (void)e;
    return 0;
}

int dispatch_follow(struct dispatch *d, struct event_log *log, struct error *e)
{
    (void)e;
    d->log = log;
    return 0;
}

int dispatch_create(struct dispatch **ret, const struct dispatch_options *options, struct event_log *log, struct error *e)
{
    (void)options, (void)e;
    *ret = allocate(1, sizeof(struct dispatch));
    (*ret)->log = log;
    return 0;
}

void dispatch_destroy(struct dispatch **d, int exit_code)
{
    (void)exit_code;
    free(*d);
    *d = NULL;
}

/* As dispatch does. */
static int note_epoch(struct dispatch *d, const struct trial *t, uint32_t epoch, struct dispatch_decision *v, struct error *e)
{
    struct json *event = json_object();
    json_set_string(event, "trial", t->key);
    json_set_number(event, "epoch", epoch);
    json_set(event, "metrics", v->metrics);
    if (v->decision)
        json_set(event, "decision", v->decision);
    return event_log_append(d->log, "epoch", event, e);
}

static int train(struct dispatch *d, const struct trial *t, size_t i, const struct script *s, const struct dispatch_observer *o,
                 bool dies, struct error *e)
{
    struct dispatch_result result = {.steps = 10, .tokens = 1000, .seconds = 2};
    struct dispatch_decision v = {0};
    for (uint32_t epoch = 1; epoch <= t->epochs && !v.stop; epoch++) {
        write_part(t, s, PART_VALIDATION, (int)epoch, (int)epoch);
        if (o->epoch(o->context, i, epoch, 0.5, &v, e) != 0)
            return -1;
        assert_non_null(json_get(v.metrics, "f1"));
        if (note_epoch(d, t, epoch, &v, e) != 0)
            return -1;
        if (dies)
            return 0;
        result.epochs_done = epoch;
        if (v.best)
            result.best_epoch = epoch;
    }
    write_weights(t);
    result.best_weights = path_join(t->directory, "best.safetensors");
    int status = o->ended(o->context, i, &result, NULL, e);
    free(result.best_weights);
    return status;
}

static void score(const struct trial *t, const struct script *s)
{
    assert_true(t->score_validation && t->score_test && !t->score_train);
    assert_true(file_exists(t->weights));
    write_part(t, s, PART_VALIDATION, 1, 1);
    write_part(t, s, PART_TEST, 1, 1);
}

int dispatch_run(struct dispatch *d, const struct trial *trials, size_t count, const struct dispatch_observer *o, struct error *e)
{
    size_t failed = 0;
    struct error why = {0};
    for (size_t k = 0; k < 2 * count; k++) {
        size_t i = k % count;
        const struct trial *t = &trials[i];
        const struct script *s = script_of(t->key);
        if (k >= count && !(s->dies && o))
            continue;
        snprintf(leased + strlen(leased), sizeof leased - strlen(leased), "%s ", t->key);
        if (s->stops)
            return error_set(e, ERROR_STOPPED, "stopped on request; run the same command again to resume");
        if (s->fails) {
            failed++;
            error_set(&why, ERROR_FAILED, "rank 1 on host h died at step 7");
            if (o && o->ended(o->context, i, NULL, &why, e) != 0)
                return -1;
        } else if (t->kind == TRIAL_SCORE) {
            assert_null(o);
            score(t, s);
        } else if (train(d, t, i, s, o, s->dies && k < count, e) != 0) {
            return -1;
        }
    }
    if (failed == count) {
        *e = why;
        return -1;
    }
    return 0;
}

/* ---- the place of a test: a model directory, rows, a job ---- */

static char directory[64];

static void write_text(const char *path, const char *text)
{
    struct error e = {0};
    if (file_write(path, text, strlen(text), &e) != 0)
        fail_msg("%s", e.message);
}

/* flip: rows whose id stands in this list (" row3 ") get the other label. */
static void write_rows(const char *flip)
{
    FILE *f = fopen("rows.jsonl", "w");
    for (int i = 0; i < 120; i++) {
        char name[16];
        snprintf(name, sizeof name, " row%d ", i);
        int label = (i * 7 % 10 < 4) ^ (flip && strstr(flip, name));
        fprintf(f, "{\"id\": \"row%d\", \"g\": %d, \"a\": \"one two\", \"b\": \"two %d\", \"label\": %d}\n", i, i / 2, i, label);
    }
    fclose(f);
}

/* All that transformers' BertModel of the configuration in set_up has: columns 0 is a vector. */
static const struct {
    const char *name;
    int64_t rows, columns;
} encoder[] = {
    {"embeddings.word_embeddings.weight", 7, 20},
    {"embeddings.position_embeddings.weight", 32, 20},
    {"embeddings.token_type_embeddings.weight", 2, 20},
    {"embeddings.LayerNorm.weight", 20, 0},
    {"embeddings.LayerNorm.bias", 20, 0},
    {"encoder.layer.0.attention.self.query.weight", 20, 20},
    {"encoder.layer.0.attention.self.query.bias", 20, 0},
    {"encoder.layer.0.attention.self.key.weight", 20, 20},
    {"encoder.layer.0.attention.self.key.bias", 20, 0},
    {"encoder.layer.0.attention.self.value.weight", 20, 20},
    {"encoder.layer.0.attention.self.value.bias", 20, 0},
    {"encoder.layer.0.attention.output.dense.weight", 20, 20},
    {"encoder.layer.0.attention.output.dense.bias", 20, 0},
    {"encoder.layer.0.attention.output.LayerNorm.weight", 20, 0},
    {"encoder.layer.0.attention.output.LayerNorm.bias", 20, 0},
    {"encoder.layer.0.intermediate.dense.weight", 12, 20},
    {"encoder.layer.0.intermediate.dense.bias", 12, 0},
    {"encoder.layer.0.output.dense.weight", 20, 12},
    {"encoder.layer.0.output.dense.bias", 20, 0},
    {"encoder.layer.0.output.LayerNorm.weight", 20, 0},
    {"encoder.layer.0.output.LayerNorm.bias", 20, 0},
    {"pooler.dense.weight", 20, 20},
    {"pooler.dense.bias", 20, 0},
};

#define ENCODER_TENSORS (sizeof encoder / sizeof *encoder)

/* first: of each tensor's values; the others are 0. */
static int write_model(float first, struct error *e)
{
    const float values[32 * 20] = {first};
    struct tensor all[ENCODER_TENSORS];
    for (size_t i = 0; i < ENCODER_TENSORS; i++) {
        bool vector = encoder[i].columns == 0;
        size_t count = (size_t)(encoder[i].rows * (vector ? 1 : encoder[i].columns));
        assert_true(count <= sizeof values / sizeof *values);
        all[i] = (struct tensor){.name = encoder[i].name,
                                 .type = TENSOR_F32,
                                 .dimensions = vector ? 1 : 2,
                                 .shape = {encoder[i].rows, encoder[i].columns},
                                 .count = count,
                                 .data = values,
                                 .size = count * sizeof *values};
    }
    return safetensors_write("model/model.safetensors", all, ENCODER_TENSORS, (const char *const[]){"format", "pt", NULL}, e);
}

static int set_up(void **state)
{
    (void)state;
    struct error e = {0};
    strcpy(directory, "/tmp/test_run.XXXXXX");
    if (!mkdtemp(directory) || chdir(directory) != 0 || directory_create("model", &e) != 0)
        return -1;
    write_text("model/vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\none\ntwo\n");
    write_text("model/tokenizer_config.json", "{\"do_lower_case\": true, \"tokenizer_class\": \"BertTokenizer\"}");
    write_text("model/config.json",
               "{\"architectures\": [\"BertModel\"], \"model_type\": \"bert\", \"vocab_size\": 7, \"hidden_size\": 20, "
               "\"num_hidden_layers\": 1,"
               " \"num_attention_heads\": 5, \"intermediate_size\": 12, \"hidden_act\": \"gelu\", \"hidden_dropout_prob\": 0.1,"
               " \"attention_probs_dropout_prob\": 0.1, \"max_position_embeddings\": 32, \"type_vocab_size\": 2,"
               " \"initializer_range\": 0.02, \"layer_norm_eps\": 1e-12, \"pad_token_id\": 0}");
    write_rows(NULL);
    write_text("job.json",
               "{\"name\": \"t\", \"out\": \"run\", \"model\": \"model\","
               " \"data\": {\"path\": \"rows.jsonl\", \"id\": \"id\", \"group\": \"g\", \"text_a\": [\"a\"], \"text_b\": [\"b\"],"
               "           \"labels\": [\"NO\", \"YES\"]},"
               " \"cluster\": {\"device\": \"cpu\"},"
               " \"train\": {\"lr\": 1e-3, \"epochs\": 3, \"max_length\": 16},"
               " \"sweep\": {\"lr\": [1e-3, 2e-3], \"epochs\": [2, 3]}}");
    leased[0] = 0;
    return write_model(0, &e);
}

static int tear_down(void **state)
{
    (void)state;
    struct error e;
    return chdir("/") == 0 ? directory_remove(directory, &e) : -1;
}

/* Runs with standard output in said.txt. overrides: NULL-terminated or NULL. */
static int run_with(enum stage last, const char *const *overrides, struct error *e)
{
    struct job j;
    struct dispatch_options o = {.worker = "none"};
    size_t count = 0;
    while (overrides && overrides[count])
        count++;
    if (job_read(&j, "job.json", overrides, count, e) != 0)
        fail_msg("%s", e->message);
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    assert_non_null(freopen("said.txt", "a", stdout));
    int status = run_until(&j, last, &o, e);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    job_free(&j);
    return status;
}

static void succeeds(enum stage last, const char *const *overrides)
{
    struct error e = {0};
    if (run_with(last, overrides, &e) != 0)
        fail_msg("expected success, found: %s", e.message);
}

static struct json *read_json(const char *path)
{
    struct json *j;
    struct error e = {0};
    if (json_read(&j, path, &e) != 0)
        fail_msg("%s", e.message);
    return j;
}

/* Three trials and the baseline; the second one separates the labels best. */
static const struct script good[] = {{"lr-0.001_epochs-3", {0.6, 0.5, 0.55}, 0.4, 4, false, false, false},
                                     {"lr-0.001_epochs-2", {0.6, 0.7}, 0.4, 3.5, false, false, false},
                                     {"lr-0.002_epochs-2", {0.6, 0.3}, -0.5, 0.4, false, false, false},
                                     {"lr-0.002_epochs-3", {0.4, 0.6, 0.7}, 0, 5, false, false, false},
                                     {NULL}};

static void from_data_to_bundle(void **state)
{
    (void)state;
    script = good;
    succeeds(STAGE_PUBLISH, NULL);
    /* The grid point with the baseline's options is the baseline. */
    assert_string_equal(leased,
                        "lr-0.001_epochs-3 lr-0.002_epochs-3 lr-0.001_epochs-2 lr-0.002_epochs-2 score-lr-0.002_epochs-2 ");
    struct json *table = read_json("run/table.json");
    const struct json *rows = json_get(table, "trials"), *first = json_at(rows, 0);
    assert_int_equal(json_size(rows), 4);
    assert_string_equal(json_string(json_get(first, "trial")), "lr-0.002_epochs-2");
    assert_int_equal((int)json_number(json_get(first, "best_epoch")), 2);
    assert_true(json_number(json_get(json_get(json_get(first, "at_own_threshold"), "metrics"), "f1")) == 1);
    /* 2e-3 / 2 is shifted down: at the baseline's threshold it does worse than at its own. Both are reported. */
    assert_true(json_number(json_get(json_get(json_get(first, "at_baseline_threshold"), "metrics"), "f1")) < 1);
    static const struct {
        const char *trial;
        int best;
    } epochs[] = {{"lr-0.001_epochs-3", 2}, {"lr-0.001_epochs-2", 1}, {"lr-0.002_epochs-3", 1}};
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < 4; k++)
            if (strcmp(json_string(json_get(json_at(rows, k), "trial")), epochs[i].trial) == 0)
                assert_int_equal((int)json_number(json_get(json_at(rows, k), "best_epoch")), epochs[i].best);
    json_destroy(&table);

    struct json *rule = read_json("run/bundle/inference_config.json"), *tune = read_json("run/tune.json");
    assert_true(json_number(json_get(rule, "threshold")) == json_number(json_get(tune, "threshold")));
    assert_string_equal(json_string(json_get(rule, "trial")), "lr-0.002_epochs-2");
    assert_true(json_number(json_get(rule, "learning_rate")) == 2e-3 && json_number(json_get(rule, "num_epochs")) == 2);
    assert_int_equal(json_size(json_get(rule, "history")), 1);
    assert_true(json_number(json_get(json_get(json_get(rule, "metrics"), "test"), "rows")) > 0);
    json_destroy(&rule);
    json_destroy(&tune);
    assert_true(file_exists("run/t.zip") && file_exists("run/results.h5") && file_exists("run/table.md"));
}

static void nothing_is_done_twice(void **state)
{
    (void)state;
    script = good;
    char before[65], after[65];
    struct error e = {0};
    succeeds(STAGE_PUBLISH, NULL);
    assert_int_equal(sha256_file("run/bundle/inference_config.json", before, &e), 0);
    leased[0] = 0;
    succeeds(STAGE_PUBLISH, NULL);
    assert_string_equal(leased, "");
    assert_int_equal(sha256_file("run/bundle/inference_config.json", after, &e), 0);
    assert_string_equal(before, after);
    /* A wider grid and another rule need only what is new. */
    static const struct script wider[] = {{"lr-0.003_epochs-2", {0.9, 0.8}, 0, 3, false, false, false}, {NULL}};
    script = wider;
    succeeds(STAGE_TUNE,
             (const char *const[]){"sweep.lr=[1e-3,2e-3,3e-3]", "sweep.epochs=[2]", "tune.rule=f_beta", "tune.beta=2", NULL});
    assert_string_equal(leased, "lr-0.003_epochs-2 ");
}

static void stages_build_on_each_other(void **state)
{
    (void)state;
    script = good;
    succeeds(STAGE_CHECK, NULL);
    assert_false(file_exists("run/split.json"));
    succeeds(STAGE_SPLIT, NULL);
    assert_string_equal(leased, "");
    succeeds(STAGE_TRAIN, NULL);
    assert_string_equal(leased, "lr-0.001_epochs-3 ");
    succeeds(STAGE_TUNE, NULL);
    assert_string_equal(leased, "lr-0.001_epochs-3 lr-0.002_epochs-3 lr-0.001_epochs-2 lr-0.002_epochs-2 ");
    assert_false(directory_exists("run/bundle"));
}

static void a_failed_trial_loses_nothing_of_the_others(void **state)
{
    (void)state;
    struct script some[5];
    memcpy(some, good, sizeof some);
    some[2].fails = true;
    script = some;
    succeeds(STAGE_PUBLISH, NULL);
    struct json *table = read_json("run/table.json");
    const struct json *last = json_at(json_get(table, "trials"), 3);
    assert_string_equal(json_string(json_get(last, "trial")), "lr-0.002_epochs-2");
    assert_string_equal(json_string(json_get(last, "failed")), "rank 1 on host h died at step 7");
    json_destroy(&table);
    assert_true(file_exists("run/bundle/config.json"));
    /* The same command tries it again, and it alone. */
    leased[0] = 0;
    script = good;
    succeeds(STAGE_PUBLISH, NULL);
    assert_string_equal(leased, "lr-0.002_epochs-2 score-lr-0.002_epochs-2 ");
}

static void if_all_of_the_grid_fails_so_does_the_run(void **state)
{
    (void)state;
    struct script some[5];
    struct error e = {0};
    memcpy(some, good, sizeof some);
    some[1].fails = some[2].fails = some[3].fails = true;
    script = some;
    assert_int_equal(run_with(STAGE_PUBLISH, NULL, &e), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
    assert_string_equal(e.message, "trial lr-0.001_epochs-2 failed: rank 1 on host h died at step 7");
    memset(&e, 0, sizeof e);
    /* Nor is the baseline enough where several groups train it among the others. */
    assert_int_equal(run_with(STAGE_PUBLISH, (const char *const[]){"out=beside", "cluster.groups=2", NULL}, &e), -1);
    assert_string_equal(e.message, "trial lr-0.001_epochs-2 failed: rank 1 on host h died at step 7");
    memset(&e, 0, sizeof e);
    some[0].fails = true;
    assert_int_equal(run_with(STAGE_TRAIN, (const char *const[]){"out=other", NULL}, &e), -1);
    assert_string_equal(e.message, "trial lr-0.001_epochs-3 failed: rank 1 on host h died at step 7");
}

static void a_stopped_run_goes_on(void **state)
{
    (void)state;
    struct script some[5];
    struct error e = {0};
    memcpy(some, good, sizeof some);
    some[1].stops = true;
    script = some;
    assert_int_equal(run_with(STAGE_PUBLISH, NULL, &e), -1);
    assert_int_equal(e.kind, ERROR_STOPPED);
    leased[0] = 0;
    script = good;
    succeeds(STAGE_PUBLISH, NULL);
    assert_string_equal(leased, "lr-0.001_epochs-2 lr-0.002_epochs-2 score-lr-0.002_epochs-2 ");
}

static void a_trial_whose_weights_are_gone_is_trained_again(void **state)
{
    (void)state;
    script = good;
    succeeds(STAGE_TUNE, NULL);
    leased[0] = 0;
    assert_int_equal(unlink("run/trials/lr-0.001_epochs-2/best.safetensors"), 0);
    succeeds(STAGE_TUNE, NULL);
    assert_string_equal(leased, "lr-0.001_epochs-2 ");
}

static void patience_stops_a_trial(void **state)
{
    (void)state;
    static const struct script slow[] = {{"lr-0.001_epochs-4", {0.5, 0.6, 0.7, 0.1}, 0, 1, false, false, false}, {NULL}};
    script = slow;
    succeeds(STAGE_TRAIN, (const char *const[]){"train.epochs=4", "train.patience=2", "sweep=null", NULL});
    struct json *events = NULL;
    struct error e = {0};
    assert_int_equal(event_log_read(&events, "run", &e), 0);
    for (size_t i = 0; i < json_size(events); i++)
        if (strcmp(json_string(json_get(json_at(events, i), "event")), "trial_finished") == 0) {
            assert_int_equal((int)json_number(json_get(json_at(events, i), "epochs_done")), 3);
            assert_int_equal((int)json_number(json_get(json_at(events, i), "best_epoch")), 1);
        }
    json_destroy(&events);
}

/* Ids of the test part as " row3 row7 ". Caller frees. */
static char *ids_of(enum part part)
{
    struct json *split = read_json("run/split.json"), *check = read_json("run/check.json");
    struct error e = {0};
    struct dataset *d;
    struct split s;
    char *path = format_string("run/tokens/%.16s.rows", json_string(json_get(check, "made_from"))), *ids = duplicate(" ");
    assert_int_equal(dataset_open(&d, path, &e), 0);
    assert_int_equal(split_read(&s, "run/split.json", d, &e), 0);
    for (uint32_t i = 0; i < s.part[part].count; i++) {
        char *longer = format_string("%s%s ", ids, dataset_id(d, s.part[part].rows[i]));
        free(ids);
        ids = longer;
    }
    split_free(&s);
    dataset_close(&d);
    free(path);
    json_destroy(&split);
    json_destroy(&check);
    return ids;
}

/* The choice that a run made: trial, epochs, thresholds; without what names the data. */
static char *choice(void)
{
    struct json *tune = read_json("run/tune.json");
    json_set_string(tune, "split_sha256", "");
    char *text = json_print(tune, true);
    json_destroy(&tune);
    return text;
}

static double test_f1(void)
{
    struct json *rule = read_json("run/bundle/inference_config.json");
    double f1 = json_number(json_get(json_get(json_get(rule, "metrics"), "test"), "f1"));
    json_destroy(&rule);
    return f1;
}

static void test_labels_choose_nothing(void **state)
{
    (void)state;
    struct error e = {0};
    script = good;
    succeeds(STAGE_PUBLISH, NULL);
    char *before = choice(), *ids = ids_of(PART_TEST);
    double f1 = test_f1();
    write_rows(ids);
    assert_int_equal(directory_remove("run", &e), 0);
    succeeds(STAGE_PUBLISH, NULL);
    char *after = choice();
    assert_string_equal(before, after);
    assert_true(f1 != test_f1()); /* the flip was seen where it should be */
    free(after);

    /* And the other way round: validation labels do choose. */
    free(ids);
    write_rows(NULL);
    ids = ids_of(PART_VALIDATION);
    ids[strlen(ids) / 2] = 0; /* half of them */
    write_rows(ids);
    assert_int_equal(directory_remove("run", &e), 0);
    static struct script blind[5];
    memcpy(blind, good, sizeof blind);
    for (int i = 0; i < 4; i++)
        blind[i].noise += 1;
    script = blind;
    succeeds(STAGE_PUBLISH, NULL);
    after = choice();
    assert_string_not_equal(before, after);
    free(after);
    free(before);
    free(ids);
}

static void refused(enum stage last, const char *words)
{
    struct error e = {0};
    assert_int_equal(run_with(last, NULL, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_string_equal(e.message, words);
}

static void other_data_is_another_run(void **state)
{
    (void)state;
    struct error e = {0};
    script = good;
    succeeds(STAGE_SPLIT, NULL);
    write_rows(" row0 "); /* nothing was learned from the old ones */
    succeeds(STAGE_TRAIN, NULL);
    leased[0] = 0;
    char before[SHA256_HEX], after[SHA256_HEX];
    assert_int_equal(sha256_file("run/check.json", before, &e), 0);
    write_rows(" row1 ");
    refused(STAGE_CHECK, "run holds trials trained on other rows: rows.jsonl has changed since; use another out=DIRECTORY, "
                         "restore the old file, or remove run/trials to train again");
    assert_int_equal(sha256_file("run/check.json", after, &e), 0);
    assert_string_equal(before, after);
    write_rows(" row0 ");
    succeeds(STAGE_TRAIN, NULL);
    assert_string_equal(leased, "");
    /* So are other weights under the model's name. */
    assert_int_equal(write_model(1, &e), 0);
    assert_int_equal(run_with(STAGE_TRAIN, NULL, &e), -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_non_null(
        strstr(e.message, "run/trials/lr-0.001_epochs-3: was made from another model, split or kind of device than this run's"));
    assert_int_equal(directory_remove("run/trials/lr-0.001_epochs-3", &e), 0);
    succeeds(STAGE_TRAIN, NULL);
    assert_string_equal(leased, "lr-0.001_epochs-3 ");
}

/* Losses of the grid, epoch by epoch; the first trial of each rung goes on, then only who is the best so far (reduction 4). */
static const struct script uneven[] = {{"lr-0.001_epochs-3", {0.9, 0.8, 0.7}, 0.4, 4, false, false, false},
                                       {"lr-0.002_epochs-3", {0.4, 0.3, 0.2}, -0.5, 0.4, false, false, false},
                                       {"lr-0.001_epochs-2", {0.6, 0.5}, 0.4, 3.5, false, false, false},
                                       {"lr-0.002_epochs-2", {0.3, 0.25}, 0, 5, false, false, false},
                                       {NULL}};

static void pruned_trials(void **state)
{
    (void)state;
    struct error e = {0};
    script = uneven;
    succeeds(STAGE_PUBLISH, (const char *const[]){"sweep.scheduler=asha", NULL});
    struct json *table = read_json("run/table.json");
    const struct json *rows = json_get(table, "trials"), *last = json_at(rows, 3);
    assert_string_equal(json_string(json_get(last, "trial")), "lr-0.001_epochs-2");
    assert_string_equal(json_string(json_get(last, "pruned")),
                        "pruned at epoch 1: asha: loss 0.6000 has rank 2 of 3 at epoch 1, the best 1 continues");
    assert_true(json_number(json_get(last, "epochs_done")) == 1 && json_number(json_get(last, "validation_loss")) == 0.6);
    assert_null(json_get(last, "at_own_threshold"));
    for (size_t i = 0; i < 3; i++)
        assert_null(json_get(json_at(rows, i), "pruned")); /* nor is the baseline, which is the worst of all */
    json_destroy(&table);
    char *text;
    size_t size;
    assert_int_equal(file_read(&text, &size, "run/table.md", &e), 0);
    assert_non_null(strstr(text, "pruned at epoch 1: asha"));
    free(text);
    struct event_log *log;
    assert_int_equal(event_log_open(&log, "run", &e), 0);
    size_t decisions = 0;
    for (size_t i = 0; i < event_log_count(log); i++)
        decisions += json_get(event_log_at(log, i), "decision") != NULL;
    assert_int_equal(decisions, 3); /* of the grid, at epoch 1 */
    event_log_close(&log);
    leased[0] = 0;
    succeeds(STAGE_PUBLISH, (const char *const[]){"sweep.scheduler=asha", NULL});
    succeeds(STAGE_PUBLISH, NULL);
    assert_string_equal(leased, ""); /* not again, with or without a scheduler */
    assert_int_equal(directory_remove("run/trials/lr-0.001_epochs-2", &e), 0);
    succeeds(STAGE_PUBLISH, NULL);
    assert_string_equal(leased, "lr-0.001_epochs-2 ");
    table = read_json("run/table.json");
    for (size_t i = 0; i < 4; i++)
        assert_null(json_get(json_at(json_get(table, "trials"), i), "pruned"));
    json_destroy(&table);
}

/* A trial that was judged and then lost its group is told the same again, whatever the others have done since. */
static void a_decision_stands(void **state)
{
    (void)state;
    struct script some[5];
    memcpy(some, uneven, sizeof some);
    some[1].dies = true; /* of two trials alike at epoch 1, this one goes on ... */
    some[1].loss[0] = 0.6;
    some[3].loss[0] = some[3].loss[1] = 0.1;
    script = some;
    succeeds(STAGE_TUNE, (const char *const[]){"sweep.scheduler=asha", NULL});
    assert_non_null(strstr(leased, "lr-0.002_epochs-3 lr-0.001_epochs-2 lr-0.002_epochs-2 lr-0.002_epochs-3 "));
    struct json *table = read_json("run/table.json");
    const struct json *rows = json_get(table, "trials");
    for (size_t i = 0; i < 4; i++) /* ... and does so when better ones have come and gone */
        if (strcmp(json_string(json_get(json_at(rows, i), "trial")), "lr-0.002_epochs-3") == 0)
            assert_int_equal((int)json_number(json_get(json_at(rows, i), "epochs_done")), 3);
    json_destroy(&table);
}

static void the_baselines_threshold_may_rank(void **state)
{
    (void)state;
    script = good;
    succeeds(STAGE_TUNE, (const char *const[]){"tune.per=baseline", NULL});
    struct json *table = read_json("run/table.json"), *tune = read_json("run/tune.json");
    assert_string_equal(json_string(json_get(table, "ranked_by")), "at_baseline_threshold");
    const struct json *rows = json_get(table, "trials");
    double before = 2, threshold = json_number(json_get(tune, "threshold"));
    for (size_t i = 0; i < json_size(rows); i++) {
        const struct json *metrics = json_get(json_at(rows, i), "at_baseline_threshold");
        assert_true(json_number(json_get(metrics, "threshold")) == threshold);
        assert_true(json_number(json_get(metrics, "score")) <= before);
        before = json_number(json_get(metrics, "score"));
    }
    json_destroy(&table);
    json_destroy(&tune);
}

static void a_rule_that_nobody_meets(void **state)
{
    (void)state;
    static const struct script poor[] = {{"lr-0.001_epochs-3", {0.6, 0.5, 0.55}, 20, 0, false, false, false}, {NULL}};
    struct error e = {0};
    script = poor;
    assert_int_equal(run_with(STAGE_TUNE,
                              (const char *const[]){"sweep=null", "tune.rule=recall_at_precision", "tune.min_precision=1", NULL},
                              &e),
                     -1);
    assert_int_equal(e.kind, ERROR_FAILED);
    assert_non_null(strstr(e.message, "no trial meets the rule recall_at_precision"));
}

static void wrong_inputs(void **state)
{
    (void)state;
    static const struct {
        const char *override, *words;
        enum error_kind kind;
    } rows[] = {
        {"train.max_length=64", "train.max_length: 64 tokens are more than the 32 that model takes", ERROR_USAGE},
        {"model=nowhere/here", "nowhere/here", ERROR_USAGE},
        {"data.path=absent.jsonl", "absent.jsonl", ERROR_DATA},
        {"data.labels=[\"A\",\"B\",\"C\"]", "label 'C' has no row in the train part", ERROR_DATA},
        {"out=rows.jsonl", "rows.jsonl", ERROR_FAILED},
    };
    script = good;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct error e = {0};
        int status = run_with(STAGE_TRAIN, (const char *const[]){rows[i].override, NULL}, &e);
        if (status != -1 || e.kind != rows[i].kind || !strstr(e.message, rows[i].words))
            fail_msg("%s: expected (%d) %s, found (%d) %s", rows[i].override, (int)rows[i].kind, rows[i].words, (int)e.kind,
                     e.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(from_data_to_bundle, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_done_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stages_build_on_each_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_trial_loses_nothing_of_the_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(if_all_of_the_grid_fails_so_does_the_run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stopped_run_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_trial_whose_weights_are_gone_is_trained_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(patience_stops_a_trial, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_labels_choose_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_data_is_another_run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pruned_trials, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_decision_stands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_baselines_threshold_may_rank, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_rule_that_nobody_meets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_inputs, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Messages and trials: what goes out comes back, and nothing else is let in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/memory.h"
#include "common/base/version.h"
#include "proto/connection.h"
#include "proto/message.h"
#include "proto/state.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct trial make_trial(void)
{
    double *weights = allocate(2, sizeof *weights);
    weights[0] = 0.71857541899441346; /* 17 digits: comes back exactly or not at all */
    weights[1] = 1.0 / 3.0;
    double *rows = allocate(2, sizeof *rows);
    rows[0] = 1;
    double *bias = allocate(2, sizeof *bias);
    bias[0] = -2.9957322735539909;
    return (struct trial){.kind = TRIAL_SCORE,
                          .key = duplicate("lr-2e-05_\"quoted\"_\xd0\xb6"),
                          .directory = duplicate("/runs/trials/a b"),
                          .dataset = duplicate("/runs/x.rows"),
                          .model = duplicate("/models/m"),
                          .weights = duplicate("/runs/w.safetensors"),
                          .score_test = true,
                          .labels = 2,
                          .weights_by_class = weights,
                          .new_head = true,
                          .head_rows = rows,
                          .head_bias = bias,
                          .seed = UINT64_MAX - 1,
                          .lr = 2e-5,
                          .weight_decay = 0.01,
                          .clip = 1,
                          .warmup = 0.1,
                          .schedule = SCHEDULE_COSINE,
                          .layer_decay = 0.9,
                          .freeze = duplicate("embeddings layers.0-1"),
                          .lora_rank = 8,
                          .lora_alpha = 16,
                          .lora_dropout = 0.05,
                          .lora_rslora = true,
                          .lora_freeze_head = true,
                          .checkpointing = true,
                          .lora_targets = duplicate("query value"),
                          .label_smoothing = 0.1,
                          .focal_gamma = 1.5,
                          .dropout = -1,
                          .epochs = 5,
                          .batch = 8,
                          .micro_batch = 4,
                          .max_length = 512,
                          .precision = "bf16",
                          .resume = 1};
}

static void test_trial_round_trip(void **state)
{
    (void)state;
    struct trial t = make_trial(), back;
    struct error e = {0};
    struct json *j = trial_to_json(&t);
    assert_int_equal(trial_from_json(&back, j, &e), 0);
    assert_int_equal(back.kind, TRIAL_SCORE);
    assert_string_equal(back.key, t.key);
    assert_null(back.split);
    assert_string_equal(back.weights, t.weights);
    assert_true(back.score_test && !back.score_train && !back.score_validation && !back.multi);
    assert_memory_equal(back.weights_by_class, t.weights_by_class, 2 * sizeof(double));
    assert_true(back.new_head && back.head_rows[0] == 1 && back.head_rows[1] == 0);
    assert_true(back.head_bias[0] == -2.9957322735539909 && back.head_bias[1] == 0);
    assert_true(back.seed == UINT64_MAX - 1);
    assert_true(back.lr == 2e-5 && back.weight_decay == 0.01 && back.warmup == 0.1 && back.schedule == SCHEDULE_COSINE &&
                back.label_smoothing == 0.1 && back.focal_gamma == 1.5 && back.layer_decay == 0.9 &&
                !strcmp(back.freeze, t.freeze) && back.lora_rank == 8 && back.lora_alpha == 16 && back.lora_dropout == 0.05 &&
                back.lora_rslora && back.lora_freeze_head && back.checkpointing && !strcmp(back.lora_targets, t.lora_targets) &&
                back.dropout == -1);
    assert_int_equal(back.epochs, 5);
    assert_int_equal(back.micro_batch, 4);
    assert_string_equal(back.precision, "bf16");
    assert_int_equal(back.resume, 1);
    struct json *again = trial_to_json(&back);
    char *a = json_print(j, false), *b = json_print(again, false);
    assert_string_equal(a, b);
    free(a);
    free(b);
    json_destroy(&j);
    json_destroy(&again);
    trial_free(&t);
    trial_free(&back);
}

/* A coordinator that says nothing of heads: as the weights have them. */
static void test_trial_without_head(void **state)
{
    (void)state;
    struct trial t = make_trial(), back;
    struct error e = {0};
    struct json *all = trial_to_json(&t), *j = json_object();
    for (size_t i = 0; i < json_size(all); i++)
        if (!strstr(json_key(all, i), "head"))
            json_set(j, json_key(all, i), json_copy(json_at(all, i)));
    json_destroy(&all);
    assert_int_equal(trial_from_json(&back, j, &e), 0);
    assert_true(!back.new_head && !back.head_rows && !back.head_bias);
    json_destroy(&j);
    trial_free(&t);
    trial_free(&back);
}

static void expect_trial_error(struct json *j, const char *words)
{
    struct trial t;
    struct error e = {0};
    assert_int_equal(trial_from_json(&t, j, &e), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
    if (!strstr(e.message, words))
        fail_msg("expected words: %s; found: %s", words, e.message);
    json_destroy(&j);
}

static void test_trial_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *field, *value, *words;
    } rows[] = {
        {"colour", "1", "unknown field \"colour\""},
        {"epochs", "\"5\"", "\"epochs\": a number expected, a string found"},
        {"epochs", "2.5", "\"epochs\": a whole number"},
        {"epochs", "-1", "\"epochs\": a number from 0 to 65535"},
        {"labels", "0", "\"labels\": a number from 1"},
        {"labels", "3", "\"weights_by_class\": 3 numbers expected, 2 found"},
        {"weights_by_class", "[1,\"x\"]", "\"weights_by_class\""},
        {"head_rows", "[0]", "\"head_rows\": 2 numbers expected, 1 found"},
        {"head_bias", "[0, -2000]", "\"head_bias\""},
        {"kind", "\"fly\"", "\"kind\": unknown value \"fly\""},
        {"kind", "null", "\"kind\": a name expected, null found"},
        {"precision", "\"float128\"", "\"precision\": a string of 1 to 7 bytes expected, 8 found"},
        {"multi", "1", "\"multi\": true or false expected"},
        {"key", "\"\"", "\"key\": a string of 1 to 255"},
        {"seed", "\"12\"", "\"seed\": not a whole number"},
        {"seed", "\"99999999999999999999999\"", "\"seed\": not a whole number"},
        {"lr", "-1", "\"lr\": a number from 0"},
    };
    struct trial t = make_trial();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error e = {0};
        struct json *j = trial_to_json(&t), *value;
        assert_int_equal(json_parse(&value, rows[i].value, strlen(rows[i].value), "test", &e), 0);
        json_set(j, rows[i].field, value);
        expect_trial_error(j, rows[i].words);
    }
    struct error e = {0};
    struct json *empty;
    assert_int_equal(json_parse(&empty, "{}", 2, "test", &e), 0);
    expect_trial_error(empty, "\"kind\" is missing");
    trial_free(&t);
}

static struct message round_trip(const struct message *m, enum message_side from)
{
    struct error e = {0};
    struct message back;
    char *text;
    assert_int_equal(message_encode(&text, m, &e), 0);
    if (message_decode(&back, text, strlen(text), from, &e))
        fail_msg("%s: %s", text, e.message);
    assert_int_equal(back.kind, m->kind);
    free(text);
    return back;
}

static void test_round_trips(void **state)
{
    (void)state;
    struct message m = {.kind = MESSAGE_BEAT,
                        .beat = {.lease = 7,
                                 .step = 3,
                                 .steps = 9,
                                 .epoch = 1,
                                 .epochs = 2,
                                 .loss = NAN,
                                 .lr = 1e-5,
                                 .peak_share = 0.7,
                                 .operation = (char *)"train"}};
    struct message back = round_trip(&m, SIDE_WORKER);
    assert_true(isnan(back.beat.loss) && back.beat.lr == 1e-5 && back.beat.lease == 7 && back.beat.steps == 9);
    assert_true(back.beat.peak_share == 0.7);
    assert_string_equal(back.beat.operation, "train");
    message_free(&back);

    m = (struct message){.kind = MESSAGE_LEASE, .lease = {.lease = 1, .attempt = 2, .trial = make_trial()}};
    back = round_trip(&m, SIDE_COORDINATOR);
    assert_int_equal(back.lease.attempt, 2);
    assert_string_equal(back.lease.trial.key, m.lease.trial.key);
    message_free(&back);
    message_free(&m);

    m = (struct message){.kind = MESSAGE_EPOCH_DECISION,
                         .epoch_decision = {.lease = 1, .epoch = 2, .best = true, .metrics = json_object()}};
    json_set_number(m.epoch_decision.metrics, "f1", 0.1);
    back = round_trip(&m, SIDE_COORDINATOR);
    assert_true(back.epoch_decision.best && !back.epoch_decision.stop);
    assert_true(json_number(json_get(back.epoch_decision.metrics, "f1")) == 0.1);
    message_free(&back);
    message_free(&m);

    m = (struct message){.kind = MESSAGE_RESULT,
                         .result = {.lease = 1, .epochs_done = 3, .best_epoch = 2, .tokens = 1ull << 40, .seconds = 0.5}};
    back = round_trip(&m, SIDE_WORKER);
    assert_true(back.result.tokens == 1ull << 40 && !back.result.best_weights);
    message_free(&back);

    m = (struct message){.kind = MESSAGE_STOP};
    back = round_trip(&m, SIDE_COORDINATOR);
    message_free(&back);
}

static void expect_refused(const char *text, size_t size, enum message_side from, const char *words)
{
    struct message m;
    struct error e = {0};
    assert_int_equal(message_decode(&m, text, size, from, &e), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
    if (!strstr(e.message, words))
        fail_msg("%.80s: expected words: %s; found: %s", text, words, e.message);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum message_side from;
        const char *words;
    } rows[] = {
        {"", SIDE_WORKER, "message:"},
        {"\x01\xff\x00", SIDE_WORKER, "message:"},
        {"[]", SIDE_WORKER, "expected an object with its name"},
        {"{\"message\":3}", SIDE_WORKER, "expected an object with its name"},
        {"{\"message\":\"dance\"}", SIDE_WORKER, "message \"dance\": unknown"},
        {"{\"message\":\"stop\"}", SIDE_WORKER, "message \"stop\": is never sent by a worker"},
        {"{\"message\":\"stopped\",\"lease\":0,\"leaving\":false}", SIDE_COORDINATOR, "is never sent by the coordinator"},
        {"{\"message\":\"stop\",\"now\":true}", SIDE_COORDINATOR, "message \"stop\": unknown field \"now\""},
        {"{\"message\":\"goodbye\"}", SIDE_COORDINATOR, "message \"goodbye\": field \"exit_code\" is missing"},
        {"{\"message\":\"goodbye\",\"exit_code\":256}", SIDE_COORDINATOR, "\"exit_code\": a number from 0 to 255"},
        {"{\"message\":\"goodbye\",\"exit_code\":1e999}", SIDE_COORDINATOR, "message"},
        {"{\"message\":\"failed\",\"lease\":0,\"kind\":1,\"reason\":\"\",\"healthy\":true}", SIDE_WORKER,
         "\"lease\": a number from 1"},
        {"{\"message\":\"lease\",\"lease\":1,\"attempt\":1,\"trial\":{\"kind\":\"train\"}}", SIDE_COORDINATOR,
         "message \"lease\": trial: field \"key\" is missing"},
        {"{\"message\":\"welcome\",\"protocol\":77,\"version\":\"9.9.9\",\"shape\":\"new\"}", SIDE_COORDINATOR,
         "muster 9.9.9 uses protocol 77, but this program (" MUSTER_VERSION ") uses protocol 1;"},
        {"{\"message\":\"hello\",\"version\":\"0.0.1\"}", SIDE_WORKER,
         "muster-worker 0.0.1 uses protocol 0, but this program (" MUSTER_VERSION ") uses protocol 1;"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_refused(rows[i].text, strlen(rows[i].text), rows[i].from, rows[i].words);
    char *large = allocate(MESSAGE_LIMIT + 2, 1);
    memset(large, ' ', MESSAGE_LIMIT + 1);
    expect_refused(large, MESSAGE_LIMIT + 1, SIDE_WORKER, "too large: 4194305 bytes");
    free(large);
}

static void test_too_large_to_send(void **state)
{
    (void)state;
    struct error e = {0};
    char *large = allocate(MESSAGE_LIMIT + 1, 1), *text;
    memset(large, 'x', MESSAGE_LIMIT);
    struct message m = {.kind = MESSAGE_EPOCH_DECISION, .epoch_decision = {.lease = 1, .epoch = 1, .metrics = json_object()}};
    json_set_string(m.epoch_decision.metrics, "curve", large);
    assert_int_equal(message_encode(&text, &m, &e), -1);
    assert_non_null(strstr(e.message, "\"epoch_decision\": too large"));
    message_free(&m);
    free(large);
}

static void test_states(void **state)
{
    (void)state;
    struct error e = {0};
    int s = GROUP_STARTING;
    assert_int_equal(state_move(&group_states, &s, GROUP_IDLE, &e), 0);
    assert_int_equal(state_move(&group_states, &s, GROUP_BUSY, &e), 0);
    assert_int_equal(state_move(&group_states, &s, GROUP_STARTING, &e), -1);
    assert_string_equal(e.message, "a group cannot go from busy to starting");
    assert_int_equal(s, GROUP_BUSY);
    s = LEASE_DONE;
    for (int next = LEASE_QUEUED; next <= LEASE_FAILED; next++)
        assert_false(state_may(&lease_states, s, next));
}

static void test_connection_file(void **state)
{
    (void)state;
    struct error e = {0};
    char path[] = "connection.test.json";
    char key[] = "0123456789012345678901234567890123456789";
    struct connection c = {PROTOCOL_VERSION, (char *)"0.0.7", NULL, (char *)"tcp://127.0.0.1:1", key, key, key}, back;
    assert_int_equal(connection_write(&c, path, &e), 0);
    struct stat facts;
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
    assert_int_equal(connection_read(&back, path, &e), 0);
    assert_string_equal(back.endpoint, c.endpoint);
    assert_null(back.session);
    connection_free(&back);
    c.protocol = 2;
    assert_int_equal(connection_write(&c, path, &e), 0);
    assert_int_equal(connection_read(&back, path, &e), -1);
    assert_non_null(strstr(e.message, "muster 0.0.7 uses protocol 2, but this program (" MUSTER_VERSION ") uses protocol 1;"));
    c.protocol = PROTOCOL_VERSION;
    c.secret_key = NULL;
    assert_int_equal(connection_write(&c, path, &e), 0);
    assert_int_equal(connection_read(&back, path, &e), -1);
    assert_non_null(strstr(e.message, "a key is missing"));
    unlink(path);
    assert_int_equal(connection_read(&back, path, &e), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trial_round_trip), cmocka_unit_test(test_trial_without_head),
        cmocka_unit_test(test_trial_refusals),   cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_refusals),         cmocka_unit_test(test_too_large_to_send),
        cmocka_unit_test(test_states),           cmocka_unit_test(test_connection_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

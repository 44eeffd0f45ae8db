/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of a bundle's rule: each assignment does what it says and nothing else, what is wrong is refused naming it, and a
 * commit is whole or none, with what was before kept in the history. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/fault.h"
#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/json/json.h"
#include "coordinator/bundle/rule.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIRECTORY "rule.test"
#define INFERENCE DIRECTORY "/" BUNDLE_INFERENCE

#define MODEL                                                                                                                    \
    "\"model_type\":\"bert\",\"hidden_size\":24,\"num_hidden_layers\":2,\"num_attention_heads\":3,\"intermediate_size\":40,"     \
    "\"max_position_embeddings\":64,\"vocab_size\":12,\"type_vocab_size\":2,\"pad_token_id\":0"

struct kind {
    const char *config, *inference;
};

static const struct kind binary = {
    "{" MODEL ",\"id2label\":{\"0\":\"NO\",\"1\":\"YES\"},\"label2id\":{\"NO\":0,\"YES\":1},"
    "\"problem_type\":\"single_label_classification\"}",
    "{\"id2label\":{\"0\":\"NO\",\"1\":\"YES\"},\"label2id\":{\"NO\":0,\"YES\":1},\"threshold\":0.35,\"temperature\":1.5,"
    "\"positive\":\"YES\",\"max_length\":32,\"rule\":\"f1\",\"of_somebody\":[1,{\"else\":null}]}"};

static const struct kind three = {
    "{" MODEL ",\"id2label\":{\"0\":\"a\",\"1\":\"b\",\"2\":\"c\"},\"label2id\":{\"a\":0,\"b\":1,\"c\":2},"
    "\"problem_type\":\"single_label_classification\"}",
    "{\"id2label\":{\"0\":\"a\",\"1\":\"b\",\"2\":\"c\"},\"label2id\":{\"a\":0,\"b\":1,\"c\":2},\"max_length\":32}"};

static const struct kind multi = {
    "{" MODEL
    ",\"id2label\":{\"0\":\"x=1\",\"1\":\"two words\",\"2\":\"plain\"},\"label2id\":{\"x=1\":0,\"two words\":1,\"plain\":2},"
    "\"problem_type\":\"multi_label_classification\"}",
    "{\"id2label\":{\"0\":\"x=1\",\"1\":\"two words\",\"2\":\"plain\"},\"label2id\":{\"x=1\":0,\"two words\":1,\"plain\":2},"
    "\"threshold\":0.5,\"thresholds\":{\"x=1\":0.1,\"two words\":0.2,\"plain\":0.3},\"max_length\":32,\"temperature\":2}"};

static void write_text(const char *path, const char *text)
{
    struct error e = {0};
    if (file_write(path, text, strlen(text), &e))
        fail_msg("%s", e.message);
}

static struct bundle *open_bundle(void)
{
    struct bundle *b;
    struct error e = {0};
    if (bundle_open(&b, DIRECTORY, &e))
        fail_msg("%s", e.message);
    return b;
}

static struct bundle *make_bundle(const struct kind *k)
{
    struct error e;
    assert_int_equal(directory_remove(DIRECTORY, &e), 0);
    assert_int_equal(directory_create(DIRECTORY, &e), 0);
    write_text(DIRECTORY "/config.json", k->config);
    write_text(DIRECTORY "/" BUNDLE_WEIGHTS, "not looked at");
    write_text(INFERENCE, k->inference);
    return open_bundle();
}

static char *print_and_destroy(struct json *j)
{
    char *text = json_print(j, false);
    json_destroy(&j);
    return text;
}

/* The rule after `assignments` (NULL at the end), as text. */
static void expect_rule(const struct kind *k, const char *const *assignments, const char *expected)
{
    struct bundle *b = make_bundle(k);
    struct json *changed = rule_copy(b), *rule = json_object();
    struct error e = {0};
    static const char *const keys[] = {"threshold", "thresholds", "temperature", "temperatures"};
    for (; *assignments; assignments++)
        if (rule_set(changed, b, *assignments, &e))
            fail_msg("%s: expected: set; found: %s", *assignments, e.message);
    for (size_t i = 0; i < 4; i++)
        if (json_get(changed, keys[i]))
            json_set(rule, keys[i], json_copy(json_get(changed, keys[i])));
    char *found = print_and_destroy(rule);
    assert_string_equal(found, expected);
    free(found);
    json_destroy(&changed);
    bundle_close(&b);
}

#define SET(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_assignments(void **state)
{
    (void)state;
    expect_rule(&binary, SET("threshold=0.4"), "{\"threshold\": 0.4, \"temperature\": 1.5}");
    expect_rule(&binary, SET("threshold=0", "threshold=1", "threshold=1e-3"), "{\"threshold\": 0.001, \"temperature\": 1.5}");
    expect_rule(&binary, SET("temperature=0.25"), "{\"threshold\": 0.35, \"temperature\": 0.25}");
    expect_rule(&binary, SET("temperature.YES=3"),
                "{\"threshold\": 0.35, \"temperature\": 1.5, \"temperatures\": {\"NO\": 1.5, \"YES\": 3}}");
    expect_rule(&binary, SET("temperature.YES=3", "temperature=1"),
                "{\"threshold\": 0.35, \"temperature\": 1, \"temperatures\": null}");
    expect_rule(&three, SET("temperature=2"), "{\"temperature\": 2}");
    expect_rule(&three, SET("temperature.b=2", "temperature.a=1e6"), "{\"temperatures\": {\"a\": 1000000, \"b\": 2, \"c\": 1}}");
    expect_rule(&multi, SET("threshold=0.9"),
                "{\"threshold\": 0.9, \"thresholds\": {\"x=1\": 0.9, \"two words\": 0.9, \"plain\": 0.9}, \"temperature\": 2}");
    expect_rule(&multi, SET("threshold.x=1=0.7", "threshold.two words=0.8"),
                "{\"threshold\": 0.5, \"thresholds\": {\"x=1\": 0.7, \"two words\": 0.8, \"plain\": 0.3}, \"temperature\": 2}");
    expect_rule(&multi, SET("threshold=0.9", "threshold.plain=0.05"),
                "{\"threshold\": 0.9, \"thresholds\": {\"x=1\": 0.9, \"two words\": 0.9, \"plain\": 0.05}, \"temperature\": 2}");
}

static void expect_refusal(const struct kind *k, const char *assignment, const char *words)
{
    struct bundle *b = make_bundle(k);
    struct json *changed = rule_copy(b);
    struct error e = {0};
    char *before = json_print(changed, false);
    if (!rule_set(changed, b, assignment, &e))
        fail_msg("%s: expected: refused with '%s'; found: set", assignment, words);
    assert_int_equal(e.kind, ERROR_USAGE);
    if (!strstr(e.message, words))
        fail_msg("%s: expected a message with '%s'; found: %s", assignment, words, e.message);
    char *after = print_and_destroy(changed);
    assert_string_equal(after, before); /* nothing is half set */
    free(before);
    free(after);
    bundle_close(&b);
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        const struct kind *kind;
        const char *assignment, *words;
    } rows[] = {
        {&binary, "", "threshold=X"},
        {&binary, "threshold", "threshold=X"},
        {&binary, "=0.5", "threshold=X"},
        {&binary, "threshold=", "a number"},
        {&binary, "threshold=high", "threshold=high"},
        {&binary, "threshold=0.5x", "a number"},
        {&binary, "threshold=0,5", "a number"},
        {&binary, "threshold=-0.1", "0 to 1"},
        {&binary, "threshold=1.0001", "0 to 1"},
        {&binary, "threshold=nan", "0 to 1"},
        {&binary, "threshold=inf", "0 to 1"},
        {&binary, "threshold.YES=0.5", "threshold.YES"},
        {&binary, "thresholds=0.5", "\"thresholds\""},
        {&binary, "Threshold=0.5", "\"Threshold\""},
        {&binary, "temperature=0", "1e-6"},
        {&binary, "temperature=-1", "1e-6"},
        {&binary, "temperature=1e7", "1e+07"},
        {&binary, "temperature=nan", "nan"},
        {&binary, "temperature.yes=1", "YES"},
        {&binary, "temperature.=1", "no such label"},
        {&binary, "temperatures=1", "\"temperatures\""},
        {&binary, "max_length=64", "\"max_length\""},
        {&three, "threshold=0.5", "3 classes"},
        {&three, "threshold.a=0.5", "threshold.a"},
        {&multi, "threshold.plai=0.5", "plain"},
        {&multi, "threshold.x=0.5", "no such label"},
        {&multi, "threshold.plain=2", "0 to 1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_refusal(rows[i].kind, rows[i].assignment, rows[i].words);
}

static void expect_values(const struct bundle *b, double threshold, double temperature)
{
    uint32_t positive = bundle_decision(b)->positive;
    double found[] = {bundle_decision(b)->thresholds[positive], bundle_decision(b)->temperatures[positive]};
    if (found[0] != threshold || found[1] != temperature)
        fail_msg("expected: threshold %g, temperature %g; found: %g, %g", threshold, temperature, found[0], found[1]);
}

static void commit(const char *assignment, const char *event)
{
    struct bundle *b = open_bundle();
    struct json *changed = rule_copy(b);
    struct error e = {0};
    if (rule_set(changed, b, assignment, &e) || rule_commit(DIRECTORY, b, changed, event, &e))
        fail_msg("%s: %s", assignment, e.message);
    json_destroy(&changed);
    bundle_close(&b);
}

static void expect_text(const struct json *j, const char *expected)
{
    char *found = json_print(j, false);
    assert_string_equal(found, expected);
    free(found);
}

static void test_commit_and_history(void **state)
{
    (void)state;
    struct bundle *b = make_bundle(&binary);
    bundle_close(&b);
    commit("threshold=0.6", "by hand");
    commit("temperature=0.5", "again \"by\" hand");
    b = open_bundle();
    expect_values(b, 0.6, 0.5);
    const struct json *j = bundle_inference(b), *history = json_get(j, "history");
    assert_int_equal(json_size(history), 2);
    const struct json *first = json_at(history, 0), *second = json_at(history, 1);
    assert_string_equal(json_string(json_get(first, "event")), "by hand");
    assert_string_equal(json_string(json_get(second, "event")), "again \"by\" hand");
    const char *time = json_string(json_get(first, "time"));
    int year, month, day;
    assert_int_equal(sscanf(time, "%d-%d-%dT", &year, &month, &day), 3);
    assert_true(year >= 2024 && time[strlen(time) - 1] == 'Z');
    expect_text(json_get(first, "before"), "{\"threshold\": 0.35, \"temperature\": 1.5}");
    assert_true(json_number(json_get(first, "threshold")) == 0.6 && json_number(json_get(first, "temperature")) == 1.5);
    expect_text(json_get(second, "before"), "{\"threshold\": 0.6, \"temperature\": 1.5}");
    assert_true(json_number(json_get(second, "threshold")) == 0.6 && json_number(json_get(second, "temperature")) == 0.5);
    expect_text(json_get(j, "of_somebody"), "[1, {\"else\": null}]"); /* the rest stays as it is */
    expect_text(json_get(j, "rule"), "\"f1\"");
    assert_true(json_number(json_get(j, "max_length")) == 32);
    bundle_close(&b);
}

/* A history that is none (older bundles, an edit by hand) is begun. */
static void test_history_that_is_none(void **state)
{
    (void)state;
    struct kind k = {binary.config,
                     "{\"id2label\":{\"0\":\"NO\",\"1\":\"YES\"},\"label2id\":{\"NO\":0,\"YES\":1},\"max_length\":32,"
                     "\"history\":\"long\"}"};
    struct bundle *b = make_bundle(&k);
    bundle_close(&b);
    commit("threshold=0.25", "set");
    b = open_bundle();
    assert_int_equal(json_size(json_get(bundle_inference(b), "history")), 1);
    expect_text(json_get(json_at(json_get(bundle_inference(b), "history"), 0), "before"), "{}");
    expect_values(b, 0.25, 1);
    bundle_close(&b);
}

static void expect_unchanged(const char *before)
{
    char *after;
    size_t size;
    struct error e;
    assert_int_equal(file_read(&after, &size, INFERENCE, &e), 0);
    assert_string_equal(after, before);
    free(after);
}

static void test_commits_that_fail(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
    } bad[] = {{"threshold", "2"},
               {"threshold", "\"0.5\""},
               {"temperature", "0"},
               {"temperature", "[]"},
               {"max_length", "100"},
               {"max_length", "2"},
               {"positive", "\"MAYBE\""},
               {"thresholds", "{\"NO\":0.5}"},
               {"id2label", "{\"0\":\"NO\",\"1\":\"PERHAPS\"}"},
               {"temperatures", "{\"NO\":1}"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bundle *b = make_bundle(&binary);
        struct json *changed = rule_copy(b), *value;
        struct error e = {0};
        assert_int_equal(json_parse(&value, bad[i].value, strlen(bad[i].value), "test", &e), 0);
        json_set(changed, bad[i].key, value);
        if (!rule_commit(DIRECTORY, b, changed, "set", &e))
            fail_msg("%s = %s: expected: refused; found: committed", bad[i].key, bad[i].value);
        assert_int_equal(e.kind, ERROR_DATA);
        if (!strstr(e.message, bad[i].key) || !strstr(e.message, INFERENCE))
            fail_msg("expected: the file and \"%s\"; found: %s", bad[i].key, e.message);
        expect_unchanged(binary.inference);
        json_destroy(&changed);
        bundle_close(&b);
    }
    struct bundle *b = make_bundle(&binary);
    struct json *changed = rule_copy(b);
    struct error e = {0};
    assert_int_equal(rule_set(changed, b, "threshold=0.9", &e), 0);
    assert_int_equal(fault_plan("enospc", NULL, &e), 0);
    assert_int_equal(rule_commit(DIRECTORY, b, changed, "set", &e), -1);
    assert_int_equal(fault_plan(NULL, NULL, &e), 0);
    assert_int_equal(e.kind, ERROR_FAILED);
    if (!strstr(e.message, INFERENCE) || !strstr(e.message, strerror(28 /* ENOSPC */)))
        fail_msg("expected: the file and the reason; found: %s", e.message);
    expect_unchanged(binary.inference);
    json_destroy(&changed);
    changed = rule_copy(b);
    assert_int_equal(rule_commit("no such bundle", b, changed, "set", &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
    assert_non_null(strstr(e.message, "no such bundle"));
    json_destroy(&changed);
    bundle_close(&b);
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
        cmocka_unit_test(test_assignments),        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_commit_and_history), cmocka_unit_test(test_history_that_is_none),
        cmocka_unit_test(test_commits_that_fail),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}

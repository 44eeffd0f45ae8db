/* SPDX-License-Identifier: Apache-2.0 */
/* One job for several models and choices of fields: which jobs come of it, what they are called, where their paths point to, and
 * what is refused. A combination is the job that a person would write by hand: read from a file, it has the same hash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/job/job_combination.h"
#include "coordinator/job/job_combinations.h"
#include "coordinator/job/job_paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char directory[] = "/tmp/test_job_combinations.XXXXXX";

static int enter(void **state)
{
    (void)state;
    return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    (void)state;
    struct error e;
    return chdir("/") == 0 ? directory_remove(directory, &e) : -1;
}

#define DATA                                                                                                                     \
    "\"out\": \"o\", \"data\": {\"path\": \"p.jsonl\", \"text_a\": [\"title\", \"body\"], \"text_b\": [\"note\"], "              \
    "\"word_limits\": {\"body\": 9, \"note\": 3}}, "

static int read_job(struct job *j, const char *rest, struct error *e)
{
    char *text = format_string("{%s%s}", DATA, rest);
    assert_int_equal(file_write("j.json", text, strlen(text), e), 0);
    free(text);
    return job_read(j, "j.json", NULL, 0, e);
}

static void accepted(struct job *j, const char *rest)
{
    struct error e = {0};
    if (read_job(j, rest, &e) != 0)
        fail_msg("expected a job, found: %s", e.message);
}

static void refused(const char *rest, const char *words)
{
    struct error e = {0};
    struct job j;
    if (read_job(&j, rest, &e) == 0)
        fail_msg("expected a refusal, %s, of %s", words, rest);
    assert_int_equal(e.kind, ERROR_USAGE);
    if (!strstr(e.message, words))
        fail_msg("expected '%s', found '%s'", words, e.message);
}

static void check_name(const struct job *j, size_t n, const char *expected)
{
    char *name = job_combination_name(j, n);
    assert_string_equal(name, expected);
    free(name);
}

static void a_plain_job_has_none(void **state)
{
    (void)state;
    struct job j;
    accepted(&j, "\"model\": \"m\", \"sweep\": {\"lr\": [1e-5], \"model\": [], \"fields\": []}");
    assert_int_equal(job_combinations(&j), 0);
    job_free(&j);
}

static void fields_go_fastest(void **state)
{
    (void)state;
    struct job j;
    accepted(&j, "\"sweep\": {\"model\": [\"hub/a\", \"b/\"], \"fields\": [[\"note\", \"title\"], [\"body\"]]}");
    assert_null(j.model);
    assert_int_equal(job_combinations(&j), 4);
    check_name(&j, 0, "a_title-note");
    check_name(&j, 1, "a_body");
    check_name(&j, 2, "b_title-note");
    check_name(&j, 3, "b_body");
    job_free(&j);
}

static void models_of_one_name_are_told_apart(void **state)
{
    (void)state;
    struct job j;
    accepted(&j, "\"sweep\": {\"model\": [\"x/a/model\", \"x/b/model\", \"../c\"]}");
    check_name(&j, 0, "a_model");
    check_name(&j, 1, "b_model");
    check_name(&j, 2, "_._c");
    job_free(&j);
}

static void a_name_is_a_file_name(void **state)
{
    (void)state;
    struct error e = {0};
    struct job j;
    const char text[] = "{\"model\": \".m m\", \"data\": {\"path\": \"p\", \"text_a\": [\"<b>\\\"|,\"]}, \"sweep\": {\"fields\": "
                        "[[\"<b>\\\"|,\"]]}}";
    assert_int_equal(file_write("j.json", text, strlen(text), &e), 0);
    assert_int_equal(job_read(&j, "j.json", NULL, 0, &e), 0);
    check_name(&j, 0, "_m_m__b____");
    job_free(&j);
}

/* The same job, written by hand. */
static void a_combination_is_a_job(void **state)
{
    (void)state;
    struct error e = {0};
    struct job j, made, own;
    accepted(&j,
             "\"train\": {\"batch\": 6}, \"cluster\": {\"ranks_per_group\": 2}, \"sweep\": {\"model\": [\"hub/a\", \"/abs/b\"], "
             "\"fields\": [[\"title\"], [\"note\", \"body\"]], \"lr\": [1e-4]}");
    assert_int_equal(job_combination(&made, &j, 3, "o/protocol.json", &e), 0);
    const char hand[] = "{\"name\": \"b_body-note\", \"out\": \"o/models/b_body-note\", \"model\": \"/abs/b\", \"split\": "
                        "{\"file\": \"o/protocol.json\"}, "
                        "\"data\": {\"path\": \"p.jsonl\", \"text_a\": [\"body\"], \"text_b\": [\"note\"], \"word_limits\": "
                        "{\"body\": 9, \"note\": 3}}, "
                        "\"train\": {\"batch\": 6}, \"cluster\": {\"ranks_per_group\": 2}, \"sweep\": {\"lr\": [1e-4]}}";
    assert_int_equal(file_write("hand.json", hand, strlen(hand), &e), 0);
    assert_int_equal(job_read(&own, "hand.json", NULL, 0, &e), 0);
    char *a = json_print(made.resolved, true), *b = json_print(own.resolved, true);
    assert_string_equal(a, b);
    assert_string_equal(made.hash, own.hash);
    assert_int_equal(made.train.micro_batch, 3);
    assert_true(made.train.micro_batch_follows);
    assert_int_equal(made.absolute_paths, own.absolute_paths);
    free(a);
    free(b);
    job_free(&own);
    job_free(&made);
    assert_int_equal(job_combination(&made, &j, 0, "o/protocol.json", &e), 0);
    assert_int_equal(made.data.text_b.count, 0);
    assert_null(made.data.word_limits);
    assert_int_equal(made.absolute_paths, 0);
    job_free(&made);
    job_free(&j);
}

/* Models lie where the job file says, from whatever directory it is read. */
static void models_are_relative_to_the_job_file(void **state)
{
    (void)state;
    struct error e = {0};
    struct job j, again;
    assert_int_equal(directory_create("jobs/m", &e) | directory_create("out", &e), 0);
    const char text[] = "{\"out\": \"../out\", \"data\": {\"path\": \"p\", \"text_a\": [\"t\"]}, \"sweep\": {\"model\": [\"m\", "
                        "\"hub/name\", \"/abs/b\"]}}";
    assert_int_equal(file_write("jobs/j.json", text, strlen(text), &e), 0);
    assert_int_equal(job_read(&j, "jobs/j.json", NULL, 0, &e), 0);
    assert_string_equal(j.search.models.names[0], "jobs/m");
    assert_string_equal(j.search.models.names[1], "hub/name");
    assert_int_equal(j.absolute_models, 4);
    struct json *stored = job_paths_stored(&j);
    assert_string_equal(json_string(json_at(json_get(json_get(stored, "sweep"), "model"), 0)), "../jobs/m");
    assert_string_equal(json_string(json_at(json_get(json_get(stored, "sweep"), "model"), 2)), "/abs/b");
    assert_int_equal(json_write("out/job.json", stored, &e), 0);
    assert_int_equal(job_read(&again, "out/job.json", NULL, 0, &e), 0);
    assert_string_equal(again.search.models.names[0], "jobs/m");
    char *a = job_combination_name(&j, 0), *b = job_combination_name(&again, 0);
    assert_string_equal(a, b);
    free(a);
    free(b);
    json_destroy(&stored);
    job_free(&again);
    job_free(&j);
}

static void what_cannot_be(void **state)
{
    (void)state;
    refused("\"sweep\": {\"fields\": [[\"title\"]]}", "\"model\" is missing");
    refused("\"model\": \"m\", \"sweep\": {\"model\": [\"a\"]}", "model and sweep.model are mutually exclusive");
    refused("\"sweep\": {\"model\": [\"a\", \"a\"]}", "sweep.model: \"a\" is in the list twice");
    refused("\"sweep\": {\"model\": [\"a\", 1]}", "sweep.model: expected a list of non-empty strings");
    refused("\"adapter\": \"x\", \"sweep\": {\"model\": [\"a\"]}", "adapter and sweep.model are mutually exclusive");
    refused("\"split\": {\"folds\": 3}, \"model\": \"m\", \"sweep\": {\"fields\": [[\"title\"]]}",
            "split.folds and sweep.fields are mutually exclusive");
    refused("\"model\": \"m\", \"sweep\": {\"fields\": [\"title\"]}", "sweep.fields: expected a list of strings");
    refused("\"model\": \"m\", \"sweep\": {\"fields\": [[]]}", "sweep.fields: expected a list of strings");
    refused("\"model\": \"m\", \"sweep\": {\"fields\": [[\"titel\"]]}", "\"titel\" is in neither data.text_a nor data.text_b");
    refused("\"model\": \"m\", \"sweep\": {\"fields\": [[\"note\"]]}", "has no field of data.text_a");
    refused("\"model\": \"m\", \"sweep\": {\"fields\": [[\"title\", \"note\"], [\"note\", \"title\"]]}",
            "would both be called \"m_title-note\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_job_has_none),
        cmocka_unit_test(fields_go_fastest),
        cmocka_unit_test(models_of_one_name_are_told_apart),
        cmocka_unit_test(a_name_is_a_file_name),
        cmocka_unit_test(a_combination_is_a_job),
        cmocka_unit_test(models_are_relative_to_the_job_file),
        cmocka_unit_test(what_cannot_be),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}

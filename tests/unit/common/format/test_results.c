/* SPDX-License-Identifier: Apache-2.0 */
/* Logits and results in HDF5: what is written comes back, here and in h5py; damage is refused in one line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "common/base/sha256.h"
#include "common/format/results.h"
#include "common/json/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIRECTORY "test_results.d"
#define LOGITS DIRECTORY "/logits.h5"
#define RESULTS DIRECTORY "/results.h5"

static float value_of(enum part part, int epoch, size_t i)
{
    return (float)(sin((double)(i + 1)) * epoch - 3 * (int)part);
}

static struct logits make_logits(enum part part, int epoch, uint32_t rows, uint32_t labels, const char *split_sha256)
{
    struct logits l = {.part = part, .epoch = epoch, .rows = rows, .labels = labels, .loss = 0.1 * epoch + (double)part};
    l.values = allocate((size_t)rows * labels, sizeof *l.values);
    for (size_t i = 0; i < (size_t)rows * labels; i++)
        l.values[i] = value_of(part, epoch, i);
    snprintf(l.split_sha256, sizeof l.split_sha256, "%s", split_sha256);
    return l;
}

static void append(enum part part, int epoch, uint32_t rows, uint32_t labels, const char *split_sha256)
{
    struct error e;
    struct logits l = make_logits(part, epoch, rows, labels, split_sha256);
    if (logits_append(LOGITS, &l, &e))
        fail_msg("%s", e.message);
    logits_free(&l);
}

static void check(enum part part, int epoch, uint32_t rows, uint32_t labels)
{
    struct error e;
    struct logits l, expected = make_logits(part, epoch, rows, labels, "abc");
    if (logits_read(&l, LOGITS, part, epoch, NULL, &e))
        fail_msg("%s", e.message);
    assert_int_equal(l.part, part);
    assert_int_equal(l.epoch, epoch);
    assert_int_equal(l.rows, rows);
    assert_int_equal(l.labels, labels);
    assert_true(l.loss == expected.loss);
    assert_string_equal(l.split_sha256, "abc");
    assert_memory_equal(l.values, expected.values, (size_t)rows * labels * sizeof *l.values);
    logits_free(&l);
    logits_free(&expected);
}

static int fresh_directory(void **state)
{
    (void)state;
    return directory_remove(DIRECTORY, NULL) || directory_create(DIRECTORY, NULL);
}

static void test_round_trip(void **state)
{
    (void)state;
    append(PART_VALIDATION, 1, 687, 2, "abc");
    append(PART_VALIDATION, 2, 687, 2, "abc");
    append(PART_TEST, 2, 1, 2, "abc");
    append(PART_TRAIN, 1, 40000, 2, "abc"); /* more than a chunk */
    check(PART_VALIDATION, 1, 687, 2);
    check(PART_VALIDATION, 2, 687, 2);
    check(PART_TEST, 2, 1, 2);
    check(PART_TRAIN, 1, 40000, 2);
}

static void test_wide_rows(void **state)
{
    (void)state;
    append(PART_VALIDATION, 1, 3, 20000, "abc"); /* a row wider than a chunk */
    check(PART_VALIDATION, 1, 3, 20000);
}

static void the_same_logits_again_leave_the_file(void **state)
{
    (void)state;
    struct error e;
    char before[SHA256_HEX], after[SHA256_HEX];
    append(PART_VALIDATION, 1, 48, 3, "abc");
    assert_int_equal(sha256_file(LOGITS, before, &e), 0);
    append(PART_VALIDATION, 1, 48, 3, "abc");
    assert_int_equal(sha256_file(LOGITS, after, &e), 0);
    assert_string_equal(after, before);
}

/* An epoch that is trained again replaces the old one, and does so in its room. */
static void test_replacement(void **state)
{
    (void)state;
    struct error e;
    append(PART_VALIDATION, 1, 5000, 2, "abc");
    append(PART_VALIDATION, 2, 5000, 2, "abc");
    struct file_map first, last;
    assert_int_equal(file_map(&first, LOGITS, &e), 0);
    for (int i = 0; i < 10; i++) {
        struct logits l = make_logits(PART_VALIDATION, 2, 5000, 2, "abc");
        l.values[7] = 1234;
        l.values[8] = (float)i;
        assert_int_equal(logits_append(LOGITS, &l, &e), 0);
        logits_free(&l);
    }
    struct logits l;
    assert_int_equal(logits_read(&l, LOGITS, PART_VALIDATION, 2, NULL, &e), 0);
    assert_true(l.values[7] == 1234 && l.values[8] == 9);
    logits_free(&l);
    check(PART_VALIDATION, 1, 5000, 2);
    assert_int_equal(file_map(&last, LOGITS, &e), 0);
    if (last.size > first.size + 8 * 40000)
        fail_msg("the file grew from %zu to %zu bytes by replacing", first.size, last.size);
    file_unmap(&first);
    file_unmap(&last);
}

static void refused(enum part part, int epoch, const char *words)
{
    struct error e = {0};
    struct logits l = {.rows = 77};
    assert_int_equal(logits_read(&l, LOGITS, part, epoch, NULL, &e), -1);
    assert_int_equal(l.rows, 77);
    assert_int_equal(e.kind, ERROR_DATA);
    if (!strstr(e.message, words) || strncmp(e.message, LOGITS, strlen(LOGITS)) != 0)
        fail_msg("expected \"%s\", found \"%s\"", words, e.message);
}

static void test_refused(void **state)
{
    (void)state;
    struct error e;
    char *bytes;
    size_t size;
    refused(PART_TEST, 1, "cannot be read");
    append(PART_VALIDATION, 1, 687, 2, "abc");
    refused(PART_TEST, 1, "has no /test/epoch-1/logits");
    refused(PART_VALIDATION, 2, "has no /validation/epoch-2/logits");
    struct logits l = make_logits(PART_VALIDATION, 2, 687, 2, "abc");
    l.values[2 * 345 + 1] = NAN;
    assert_int_equal(logits_append(LOGITS, &l, &e), 0);
    logits_free(&l);
    refused(PART_VALIDATION, 2, "row 345, label 1 is not finite");
    check(PART_VALIDATION, 1, 687, 2);

    assert_int_equal(file_read(&bytes, &size, LOGITS, &e), 0);
    const size_t cuts[] = {0, 10, 511, 512, 600, size / 2, size - 1};
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        assert_int_equal(file_write(LOGITS, bytes, cuts[i], &e), 0);
        refused(PART_VALIDATION, 1, cuts[i] < 512 ? "is not a logits file" : "is damaged or cut");
    }
    for (size_t i = 21; i < size; i += 97) { /* from the hash on: every byte counts */
        bytes[i] ^= 0x10;
        assert_int_equal(file_write(LOGITS, bytes, size, &e), 0);
        if (i < 85 || i >= 512)
            refused(PART_VALIDATION, 1, "is damaged or cut");
        bytes[i] ^= 0x10;
    }
    assert_int_equal(file_write(LOGITS, "no HDF5 at all", 14, &e), 0);
    refused(PART_VALIDATION, 1, "is not a logits file");
    l = make_logits(PART_VALIDATION, 2, 3, 2, "abc");
    assert_int_equal(logits_append(LOGITS, &l, &e), -1); /* and nothing is added to it, or lost */
    assert_int_equal(e.kind, ERROR_DATA);
    logits_free(&l);
    free(bytes);
    assert_int_equal(file_read(&bytes, &size, LOGITS, &e), 0);
    assert_string_equal(bytes, "no HDF5 at all");
    free(bytes);
}

/* ---- results.h5 ---- */

static const char *const label_names[] = {"NOT_CITATION", "Za\xc3\xbc"
                                                          "ber"};
#define ROWS 9000 /* more than are written at once */

static struct dataset *make_rows(bool multi)
{
    struct error e;
    struct dataset_writer *w;
    struct dataset *d;
    assert_int_equal(dataset_writer_create(&w, DIRECTORY "/rows", 2, multi, &e), 0);
    for (int i = 0; i < ROWS; i++) {
        char id[32], group[32];
        const int32_t ids[] = {i};
        const float targets[] = {(float)(i % 2), (float)(i % 3 == 0)};
        snprintf(id, sizeof id, "\xe8\xa1\x8c-%d", i);
        snprintf(group, sizeof group, "g%d", i / 10);
        assert_int_equal(dataset_writer_append(w, id, group, multi ? -1 : i % 2, targets, (struct token_row){ids, 1, 1}, &e), 0);
    }
    assert_int_equal(dataset_writer_commit(&w, &e), 0);
    assert_int_equal(dataset_open(&d, DIRECTORY "/rows", &e), 0);
    return d;
}

static void test_rows_are_named(void **state)
{
    (void)state;
    struct error e;
    struct dataset *d = make_rows(false);
    const uint32_t rows[] = {5, 100, 8999};
    const struct logits_rows whose = {d, rows}, all = {d, NULL};
    struct logits l = make_logits(PART_VALIDATION, 1, 3, 2, "abc"), read;
    l.values[2 * 2] = -INFINITY;
    assert_int_equal(logits_append(LOGITS, &l, &e), 0);
    logits_free(&l);
    assert_int_equal(logits_read(&read, LOGITS, PART_VALIDATION, 1, &whose, &e), -1);
    if (!strstr(e.message, "row 2 (id \xe8\xa1\x8c-8999), label 0 is not finite"))
        fail_msg("%s", e.message);
    assert_int_equal(logits_read(&read, LOGITS, PART_VALIDATION, 1, &all, &e), -1);
    if (!strstr(e.message, "row 2 (id \xe8\xa1\x8c-2), label 0 is not finite"))
        fail_msg("%s", e.message);
    dataset_close(&d);
}

/* Every seventh row to validation, none to test: an empty part is written too. */
static struct split make_split(const struct dataset *d)
{
    struct error e;
    struct split s = {.method = "muster"};
    for (int p = 0; p < PART_COUNT; p++)
        s.part[p].rows = allocate(ROWS, sizeof(uint32_t));
    for (uint32_t i = 0; i < ROWS; i++) {
        enum part p = i % 7 ? PART_TRAIN : PART_VALIDATION;
        s.part[p].rows[s.part[p].count++] = i;
    }
    assert_int_equal(split_write(DIRECTORY "/split.json", &s, d, &e), 0);
    return s;
}

static const struct results_trial trial = {.key = "lr-1e-05_epochs-2",
                                           .logits_path = LOGITS,
                                           .options = "{\"lr\": 1e-05, \"epochs\": 2}",
                                           .epoch_metrics = (const char *const[]){"{\"f1\": 0.5}", NULL},
                                           .epochs = 2};

static struct json *expected_epoch(enum part part, int epoch, uint32_t rows)
{
    struct logits l = make_logits(part, epoch, rows, 2, "");
    struct json *j = json_object(), *logits = json_set(j, "logits", json_array()), *options;
    for (uint32_t i = 0; i < rows; i++) {
        struct json *row = json_append(logits, json_array());
        for (uint32_t k = 0; k < 2; k++)
            json_append(row, json_of_number(l.values[i * 2 + k]));
    }
    json_set_number(j, "loss", l.loss);
    options = json_set(j, "options", json_object());
    json_set_number(options, "lr", 1e-5);
    json_set_number(options, "epochs", 2);
    if (part == PART_VALIDATION && epoch == 1)
        json_set_number(json_set(j, "metrics", json_object()), "f1", 0.5);
    else
        json_set(j, "metrics", json_null());
    logits_free(&l);
    return j;
}

static struct json *expected_rows(const struct dataset *d, const struct split *s, enum part part)
{
    struct json *j = json_object(), *ids = json_set(j, "id", json_array()), *groups = json_set(j, "group", json_array());
    struct json *labels = json_set(j, "label", json_array());
    for (uint32_t i = 0; i < s->part[part].count; i++) {
        uint32_t row = s->part[part].rows[i];
        json_append(ids, json_of_string(dataset_id(d, row)));
        json_append(groups, json_of_string(dataset_group(d, row)));
        if (!dataset_is_multi(d)) {
            json_append(labels, json_of_number(dataset_class(d, row)));
            continue;
        }
        struct json *targets = json_append(labels, json_array());
        for (uint32_t k = 0; k < 2; k++)
            json_append(targets, json_of_number(dataset_targets(d, row)[k]));
    }
    return j;
}

static void write_expected(const struct dataset *d, const struct split *s)
{
    struct error e;
    struct json *j = json_object(), *rows = json_set(j, "rows", json_object());
    struct json *parts = json_set(json_set(j, "trials", json_object()), trial.key, json_object());
    json_set_string(j, "split_sha256", s->sha256);
    struct json *names = json_set(j, "labels", json_array());
    for (int k = 0; k < 2; k++)
        json_append(names, json_of_string(label_names[k]));
    for (int p = 0; p < PART_COUNT; p++)
        json_set(rows, part_names[p], expected_rows(d, s, (enum part)p));
    struct json *validation = json_set(parts, "validation", json_object()), *train = json_set(parts, "train", json_object());
    json_set(validation, "1", expected_epoch(PART_VALIDATION, 1, s->part[PART_VALIDATION].count));
    json_set(validation, "2", expected_epoch(PART_VALIDATION, 2, s->part[PART_VALIDATION].count));
    json_set(train, "2", expected_epoch(PART_TRAIN, 2, s->part[PART_TRAIN].count));
    assert_int_equal(json_write(DIRECTORY "/expected.json", j, &e), 0);
    json_destroy(&j);
}

/* The first Python at hand that has h5py, or NULL. */
static const char *python_with_h5py(void)
{
    const char *candidates[] = {getenv("PYTHON"), "/usr/bin/python3", "python3"};
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        char *command = format_string("%s -c 'import h5py, numpy' 2>/dev/null", candidates[i] ? candidates[i] : "false");
        int status = system(command);
        free(command);
        if (status == 0)
            return candidates[i];
    }
    return NULL;
}

static void check_with_h5py(bool multi)
{
    struct error e;
    const char *python = python_with_h5py();
    if (!python) {
        print_message("skipped: no Python with h5py (set PYTHON)\n");
        skip();
    }
    struct dataset *d = make_rows(multi);
    struct split s = make_split(d);
    append(PART_VALIDATION, 1, s.part[PART_VALIDATION].count, 2, s.sha256);
    append(PART_VALIDATION, 2, s.part[PART_VALIDATION].count, 2, s.sha256);
    append(PART_TRAIN, 2, s.part[PART_TRAIN].count, 2, s.sha256);
    if (results_write(RESULTS, d, &s, label_names, &trial, 1, &e))
        fail_msg("%s", e.message);
    write_expected(d, &s);
    char *command =
        format_string("%s %s/../system/results_check.py %s %s/expected.json", python, TEST_GOLDEN, RESULTS, DIRECTORY);
    int status = system(command);
    free(command);
    split_free(&s);
    dataset_close(&d);
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void test_results_single(void **state)
{
    (void)state;
    check_with_h5py(false);
}

static void test_results_multi(void **state)
{
    (void)state;
    check_with_h5py(true);
}

/* More than a dimension scale can be attached to. */
static void a_large_sweep_is_merged(void **state)
{
    (void)state;
    enum { TRIALS = 4200 };
    struct error e;
    struct dataset *d = make_rows(false);
    struct split s = make_split(d);
    struct results_trial *trials = calloc(TRIALS, sizeof *trials);
    append(PART_VALIDATION, 1, s.part[PART_VALIDATION].count, 2, s.sha256);
    for (int i = 0; i < TRIALS; i++) {
        trials[i] = trial;
        trials[i].key = format_string("trial-%d", i);
        trials[i].epochs = 1;
    }
    if (results_write(RESULTS, d, &s, label_names, trials, TRIALS, &e))
        fail_msg("%s", e.message);
    for (int i = 0; i < TRIALS; i++)
        free((void *)(uintptr_t)trials[i].key);
    free(trials);
    split_free(&s);
    dataset_close(&d);
}

static void test_results_refused(void **state)
{
    (void)state;
    struct error e;
    struct dataset *d = make_rows(false);
    struct split s = make_split(d);
    append(PART_VALIDATION, 1, s.part[PART_VALIDATION].count, 2, s.sha256);
    assert_int_equal(results_write(RESULTS, d, &s, label_names, &trial, 1, &e), 0);
    append(PART_VALIDATION, 2, 5, 2, s.sha256);
    assert_int_equal(results_write(RESULTS, d, &s, label_names, &trial, 1, &e), -1);
    assert_int_equal(e.kind, ERROR_DATA);
    assert_non_null(strstr(e.message, "validation has 5 rows and 2 labels; the split has 1286 and 2"));
    append(PART_VALIDATION, 2, s.part[PART_VALIDATION].count, 2, "0123456789abcdef");
    assert_int_equal(results_write(RESULTS, d, &s, label_names, &trial, 1, &e), -1);
    assert_non_null(strstr(e.message, "another split (0123456789ab"));
    assert_true(file_exists(RESULTS)); /* the old results are still there */
    split_free(&s);
    dataset_close(&d);
}

/* HDF5 never frees what it could not write. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libhdf5";
}

/* A disk that is full in the middle: one line, no crash, the old file as it was. */
static void test_full_disk(void **state)
{
    (void)state;
    struct error e = {0};
    if (mount("none", DIRECTORY, "tmpfs", 0, "size=256k")) {
        print_message("skipped: a tmpfs cannot be mounted here\n");
        skip();
    }
    append(PART_VALIDATION, 1, 1000, 2, "abc");
    struct logits l = make_logits(PART_VALIDATION, 2, 100000, 2, "abc");
    int result = logits_append(LOGITS, &l, &e);
    logits_free(&l);
    struct logits kept = {0};
    int read = logits_read(&kept, LOGITS, PART_VALIDATION, 1, NULL, NULL);
    logits_free(&kept);
    int files = system("test \"$(ls " DIRECTORY ")\" = logits.h5");
    assert_int_equal(umount(DIRECTORY), 0); /* nothing in it is left open */
    assert_int_equal(result, -1);
    assert_int_equal(e.kind, ERROR_FAILED);
    if (!strstr(e.message, "No space left on device"))
        fail_msg("the cause is missing in: %s", e.message);
    assert_int_equal(read, 0);
    assert_int_equal(files, 0);
}

static int remove_directory(void **state)
{
    (void)state;
    return directory_remove(DIRECTORY, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, fresh_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_wide_rows, fresh_directory, remove_directory),
        cmocka_unit_test_setup_teardown(the_same_logits_again_leave_the_file, fresh_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_replacement, fresh_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_refused, fresh_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_rows_are_named, fresh_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_results_single, fresh_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_results_multi, fresh_directory, remove_directory),
        cmocka_unit_test_setup_teardown(a_large_sweep_is_merged, fresh_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_results_refused, fresh_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_full_disk, fresh_directory, remove_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

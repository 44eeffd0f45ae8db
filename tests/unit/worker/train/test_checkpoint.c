/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints: what comes back is what was saved, bit for bit; a save that fails, is killed at any moment or is damaged later
 * leaves one that can be used, and what cannot be used is refused with words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/clock.h"
#include "common/base/fault.h"
#include "common/base/file.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/operation.h"
#include "common/json/json.h"
#include "worker/train/checkpoint.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIRECTORY "checkpoint.test"
#define TRIAL "0123abcd"

static const struct model_config config = {.layers = 1,
                                           .width = 8,
                                           .heads = 2,
                                           .inner = 16,
                                           .vocabulary = 29,
                                           .positions = 8,
                                           .types = 2,
                                           .labels = 3,
                                           .activation = ACTIVATION_GELU,
                                           .epsilon = 1e-12f,
                                           .initializer_range = 0.02f};

static struct device *device;

static struct parameters *open_parameters(const struct model_config *c)
{
    struct parameters *p;
    struct error e = {0};
    if (parameters_create(&p, device, c, true, &e))
        fail_msg("%s", e.message);
    return p;
}

/* Every number of the state says which step it is of, and where it stands. */
static float value_at(uint64_t step, int arena, size_t at)
{
    return (float)step + (float)arena / 4 + (float)(at % 1009) / 8192;
}

static device_memory arena_at(const struct parameters *p, int arena, size_t offset)
{
    device_memory of[] = {parameters_value(p), parameters_first_moment(p), parameters_second_moment(p)};
    return device_at(of[arena], offset * sizeof(float));
}

static void fill(struct parameters *p, uint64_t step)
{
    for (size_t i = 0; i < parameters_count(p); i++) {
        const struct parameter *of = parameters_at(p, i);
        float *values = allocate(of->count, sizeof *values);
        for (int arena = 0; arena < 3; arena++) {
            for (size_t k = 0; k < of->count; k++)
                values[k] = value_at(step, arena, of->offset + k);
            device->run->upload(device, arena_at(p, arena, of->offset), values, of->count * sizeof *values);
        }
        free(values);
    }
    uint8_t seen[29];
    for (size_t i = 0; i < sizeof seen; i++)
        seen[i] = (uint8_t)((step + i) % 3 == 0);
    device->run->upload(device, parameters_seen(p), seen, sizeof seen);
}

/* The step whose numbers these all are; fails on a mixture. */
static void expect_filled(const struct parameters *p, uint64_t step)
{
    for (size_t i = 0; i < parameters_count(p); i++) {
        const struct parameter *of = parameters_at(p, i);
        float *found = allocate(of->count, sizeof *found);
        for (int arena = 0; arena < 3; arena++) {
            device->run->download(device, found, arena_at(p, arena, of->offset), of->count * sizeof *found);
            for (size_t k = 0; k < of->count; k++)
                if (found[k] != value_at(step, arena, of->offset + k))
                    fail_msg("%s[%zu] of arena %d: expected %.9g, found %.9g", of->name, k, arena,
                             value_at(step, arena, of->offset + k), found[k]);
        }
        free(found);
    }
    uint8_t seen[29];
    device->run->download(device, seen, parameters_seen(p), sizeof seen);
    for (size_t i = 0; i < sizeof seen; i++)
        assert_int_equal(seen[i], (step + i) % 3 == 0);
}

static struct progress progress_at(uint64_t step)
{
    return (struct progress){.epoch = 2,
                             .step = step,
                             .epochs_done = 1,
                             .best_epoch = 1,
                             .steps = step,
                             .tokens = step * 1000,
                             .loss_sum = 0.1 + (double)step,
                             .weight_sum = 1.0 / 3.0,
                             .seconds = 12.345678901234567};
}

static void save(struct parameters *p, uint64_t step)
{
    struct progress s = progress_at(step);
    struct error e = {0};
    fill(p, step);
    if (checkpoint_save(DIRECTORY, p, &s, TRIAL, NULL, &e))
        fail_msg("step %d: %s", (int)step, e.message);
}

/* step 0: there must be none. */
static void expect_load(uint64_t step)
{
    struct parameters *p = open_parameters(&config);
    struct progress s = {.step = 77};
    struct error e = {0};
    bool found = step == 0;
    fill(p, 1000);
    if (checkpoint_load(DIRECTORY, p, &s, &found, TRIAL, &e))
        fail_msg("expected: step %d is loaded; found: %s", (int)step, e.message);
    if (found != (step > 0) || s.step != (step ? step : 77))
        fail_msg("expected: step %d; found: %s, step %d", (int)step, found ? "one" : "none", (int)s.step);
    expect_filled(p, step ? step : 1000);
    parameters_destroy(&p);
}

static void clear(void)
{
    struct error e;
    assert_int_equal(directory_remove(DIRECTORY, &e), 0);
    assert_int_equal(directory_create(DIRECTORY, &e), 0);
}

/* Names in a directory, sorted, as one text. */
static void expect_names(const char *directory, const char *expected)
{
    struct dirent **entries;
    char found[512] = "";
    int count = scandir(directory, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.')
            snprintf(found + strlen(found), sizeof found - strlen(found), "%s ", entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    if (strcmp(found, expected))
        fail_msg("%s: expected: %s; found: %s", directory, expected, found);
}

/* ---- what is whole ---- */

static void test_comes_back(void **state)
{
    (void)state;
    clear();
    expect_load(0);
    struct parameters *p = open_parameters(&config);
    struct progress s = {.epoch = UINT32_MAX,
                         .step = 999999999999999,
                         .epochs_done = 3,
                         .best_epoch = 2,
                         .steps = 123456789012345,
                         .tokens = 999999999999999,
                         .loss_sum = 0.1 + 0.2,
                         .weight_sum = 4.9406564584124654e-324,
                         .seconds = 1e14 / 3};
    struct progress back = {0};
    struct error e = {0};
    bool found;
    fill(p, 5);
    assert_int_equal(checkpoint_save(DIRECTORY, p, &s, TRIAL, NULL, &e), 0);
    fill(p, 6);
    assert_int_equal(checkpoint_load(DIRECTORY, p, &back, &found, TRIAL, &e), 0);
    assert_true(found);
    expect_filled(p, 5);
    assert_true(back.epoch == s.epoch && back.step == s.step && back.epochs_done == 3 && back.best_epoch == 2);
    assert_true(back.steps == s.steps && back.tokens == s.tokens && !back.finished);
    assert_true(back.loss_sum == s.loss_sum && back.weight_sum == s.weight_sum && back.seconds == s.seconds);
    expect_names(DIRECTORY, "checkpoint ");
    expect_names(DIRECTORY "/checkpoint", "model.safetensors optimizer.safetensors state.json ");
    parameters_destroy(&p);
}

/* The digests in state.json are what sha256sum (coreutils) finds. */
static void test_digests(void **state)
{
    (void)state;
    clear();
    struct parameters *p = open_parameters(&config);
    save(p, 3);
    struct json *j;
    struct error e = {0};
    assert_int_equal(json_read(&j, DIRECTORY "/checkpoint/state.json", &e), 0);
    static const char *const names[] = {"model.safetensors", "optimizer.safetensors"};
    for (size_t i = 0; i < 2; i++) {
        char command[256], digest[65] = "";
        snprintf(command, sizeof command, "sha256sum %s/checkpoint/%s", DIRECTORY, names[i]);
        FILE *f = popen(command, "r");
        assert_int_equal(fread(digest, 1, 64, f), 64);
        pclose(f);
        assert_string_equal(json_string(json_get(j, names[i])), digest);
    }
    assert_string_equal(json_string(json_get(j, "trial")), TRIAL);
    assert_true(json_number(json_get(j, "version")) == 1);
    json_destroy(&j);
    parameters_destroy(&p);
}

static void test_one_before_is_kept(void **state)
{
    (void)state;
    clear();
    struct parameters *p = open_parameters(&config);
    for (uint64_t step = 1; step <= 3; step++)
        save(p, step);
    expect_names(DIRECTORY, "checkpoint checkpoint.old ");
    expect_load(3);
    struct error e = {0};
    assert_int_equal(directory_remove(DIRECTORY "/checkpoint", &e), 0);
    expect_load(2);
    struct progress s = progress_at(4);
    s.finished = true;
    fill(p, 4);
    assert_int_equal(checkpoint_save(DIRECTORY, p, &s, TRIAL, NULL, &e), 0);
    expect_names(DIRECTORY, "checkpoint "); /* a finished trial needs no other */
    bool found;
    assert_int_equal(checkpoint_load(DIRECTORY, p, &s, &found, TRIAL, &e), 0);
    assert_true(found && s.finished);
    parameters_destroy(&p);
}

static void test_remove(void **state)
{
    (void)state;
    clear();
    struct parameters *p = open_parameters(&config);
    struct error e = {0};
    assert_int_equal(checkpoint_remove(DIRECTORY, &e), 0);
    save(p, 1);
    save(p, 2);
    assert_int_equal(directory_create(DIRECTORY "/checkpoint.new", &e), 0);
    assert_int_equal(file_write(DIRECTORY "/metrics.jsonl", "{}\n", 3, &e), 0);
    assert_int_equal(checkpoint_remove(DIRECTORY, &e), 0);
    expect_names(DIRECTORY, "metrics.jsonl ");
    expect_load(0);
    parameters_destroy(&p);
}

/* ---- what is damaged ---- */

static void flip_bit(const char *path)
{
    int fd = open(path, O_RDWR);
    struct stat facts;
    unsigned char byte;
    assert_int_equal(fstat(fd, &facts), 0);
    assert_int_equal(pread(fd, &byte, 1, facts.st_size - 2), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, facts.st_size - 2), 1);
    close(fd);
}

static void cut(const char *path)
{
    struct stat facts;
    assert_int_equal(stat(path, &facts), 0);
    assert_int_equal(truncate(path, facts.st_size - 1), 0);
}

static void empty(const char *path)
{
    assert_int_equal(truncate(path, 0), 0);
}

static void take_away(const char *path)
{
    assert_int_equal(unlink(path), 0);
}

static void make_directory(const char *path)
{
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0777), 0);
}

/* Any damage of any file: the checkpoint before is used; if that is damaged too, none, and training starts anew. */
static void test_damaged(void **state)
{
    (void)state;
    static const char *const files[] = {"model.safetensors", "optimizer.safetensors", "state.json"};
    static const struct {
        const char *name;
        void (*damage)(const char *path);
    } damages[] = {
        {"a bit", flip_bit}, {"cut", cut}, {"empty", empty}, {"missing", take_away}, {"a directory", make_directory},
    };
    struct parameters *p = open_parameters(&config);
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < sizeof damages / sizeof *damages; k++) {
            if (i == 2 && damages[k].damage == cut)
                continue; /* only its newline at the end */
            char last[128], before[128];
            print_message("%s: %s\n", files[i], damages[k].name);
            clear();
            save(p, 1);
            save(p, 2);
            snprintf(last, sizeof last, DIRECTORY "/checkpoint/%s", files[i]);
            snprintf(before, sizeof before, DIRECTORY "/checkpoint.old/%s", files[i]);
            damages[k].damage(last);
            expect_load(1);
            damages[k].damage(before);
            expect_load(0);
            save(p, 3); /* and it can go on from there */
            expect_load(3);
        }
    parameters_destroy(&p);
}

static void change_state(const char *key, const char *value)
{
    struct json *j, *v = NULL;
    struct error e = {0};
    assert_int_equal(json_read(&j, DIRECTORY "/checkpoint/state.json", &e), 0);
    assert_int_equal(json_parse(&v, value, strlen(value), "test", &e), 0);
    json_set(j, key, v);
    assert_int_equal(json_write(DIRECTORY "/checkpoint/state.json", j, &e), 0);
    json_destroy(&j);
}

static void test_states_that_are_none(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
    } rows[] = {
        {"version", "2"},
        {"version", "\"1\""},
        {"trial", "5"},
        {"step", "-1"},
        {"step", "\"3\""},
        {"steps", "1e15"},
        {"loss_sum", "null"},
        {"seconds", "[1]"},
        {"tokens", "{}"},
        {"epoch", "true"},
        {"weight_sum", "-0.5"},
        {"model.safetensors", "null"},
        {"optimizer.safetensors", "\"00\""},
    };
    struct parameters *p = open_parameters(&config);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        print_message("%s: %s\n", rows[i].key, rows[i].value);
        clear();
        save(p, 1);
        save(p, 2);
        change_state(rows[i].key, rows[i].value);
        expect_load(1);
    }
    parameters_destroy(&p);
}

static void expect_refusal(const struct model_config *c, const char *trial, enum error_kind kind, const char *words)
{
    struct parameters *p = open_parameters(c);
    struct progress s = {.step = 77};
    struct error e = {0};
    bool found = true;
    if (!checkpoint_load(DIRECTORY, p, &s, &found, trial, &e))
        fail_msg("expected: refused with '%s'; found: loaded", words);
    assert_false(found);
    assert_int_equal(s.step, 77);
    assert_int_equal(e.kind, kind);
    if (!strstr(e.message, words) || !strstr(e.message, DIRECTORY))
        fail_msg("expected a message with '%s' and the directory; found: %s", words, e.message);
    parameters_destroy(&p);
}

static void test_of_another_trial_or_model(void **state)
{
    (void)state;
    clear();
    struct parameters *p = open_parameters(&config);
    save(p, 1);
    save(p, 2);
    expect_refusal(&config, "another", ERROR_USAGE, "remove that directory");
    struct model_config wide = config, deep = config;
    wide.inner = 20;
    deep.layers = 2;
    expect_refusal(&wide, TRIAL, ERROR_DATA, "intermediate.dense.weight");
    expect_refusal(&deep, TRIAL, ERROR_DATA, "layer.1");
    expect_load(2); /* refusing harms nothing */
    parameters_destroy(&p);
}

/* ---- saves that fail ---- */

static void expect_save_fails(struct parameters *p, uint64_t step, const char *words)
{
    struct progress s = progress_at(step);
    struct error e = {0};
    fill(p, step);
    if (!checkpoint_save(DIRECTORY, p, &s, TRIAL, NULL, &e))
        fail_msg("expected: the save fails with '%s'; found: saved", words);
    assert_int_equal(e.kind, ERROR_FAILED);
    if (!strstr(e.message, words) || !strstr(e.message, DIRECTORY))
        fail_msg("expected a message with '%s' and the path; found: %s", words, e.message);
    expect_names(DIRECTORY, "checkpoint checkpoint.old "); /* nothing half-written, no room taken */
}

static void plan(const char *text)
{
    struct error e = {0};
    if (fault_plan(text, NULL, &e))
        fail_msg("%s", e.message);
}

/* ---- saves whose rest another thread does ---- */

static struct checkpoint_rest *save_ahead(struct parameters *p, uint64_t step)
{
    struct checkpoint_rest *rest = NULL;
    struct progress s = progress_at(step);
    struct error e = {0};
    fill(p, step);
    if (checkpoint_save(DIRECTORY, p, &s, TRIAL, &rest, &e))
        fail_msg("step %d: %s", (int)step, e.message);
    assert_non_null(rest);
    return rest;
}

static void test_rest_by_another_thread(void **state)
{
    (void)state;
    clear();
    struct parameters *p = open_parameters(&config);
    struct error e = {0};
    for (uint64_t step = 1; step <= 3; step++) {
        struct checkpoint_rest *rest = save_ahead(p, step);
        checkpoint_await_copy(rest);
        fill(p, step + 10); /* training continues at once */
        checkpoint_await_copy(rest);
        assert_int_equal(checkpoint_wait(&rest, &e), 0);
        assert_null(rest);
        expect_load(step);
    }
    expect_names(DIRECTORY, "checkpoint checkpoint.old ");
    parameters_destroy(&p);
}

/* What goes wrong behind the training thread's back is told when it waits. */
static void test_rest_that_fails(void **state)
{
    (void)state;
    clear();
    struct parameters *p = open_parameters(&config);
    struct error e = {0};
    save(p, 1);
    assert_int_equal(file_write(DIRECTORY "/checkpoint.old", "x", 1, &e), 0); /* where a directory goes */
    struct checkpoint_rest *rest = save_ahead(p, 2);
    assert_int_equal(checkpoint_wait(&rest, &e), -1);
    assert_null(rest);
    if (!strstr(e.message, DIRECTORY "/checkpoint.old"))
        fail_msg("expected: the path; found: %s", e.message);
    expect_names(DIRECTORY, "checkpoint checkpoint.old ");
    expect_load(1);
    parameters_destroy(&p);
}

static void test_planned_faults(void **state)
{
    (void)state;
    clear();
    struct parameters *p = open_parameters(&config);
    save(p, 1);
    save(p, 2);
    plan("enospc op=checkpoint; read_only op=checkpoint");
    operation_begin("forward");
    save(p, 3); /* not here */
    operation_begin("checkpoint");
    expect_save_fails(p, 4, strerror(28 /* ENOSPC */));
    expect_load(3);
    expect_save_fails(p, 4, strerror(30 /* EROFS */));
    expect_load(3);
    save(p, 4);
    expect_load(4);
    plan("flip op=checkpoint");
    save(p, 5);
    expect_load(4);
    plan("cut op=checkpoint");
    save(p, 6); /* the one before it, 5, is damaged as well */
    expect_load(0);
    plan(NULL);
    operation_begin("forward");
    parameters_destroy(&p);
}

/* A file size limit between the two files' sizes: the second cannot be written. In a child, whose limit it is. */
static void test_no_room_for_the_second_file(void **state)
{
    (void)state;
    clear();
    struct parameters *p = open_parameters(&config);
    save(p, 1);
    save(p, 2);
    struct stat model, optimizer;
    assert_int_equal(stat(DIRECTORY "/checkpoint/model.safetensors", &model), 0);
    assert_int_equal(stat(DIRECTORY "/checkpoint/optimizer.safetensors", &optimizer), 0);
    assert_true(model.st_size < optimizer.st_size);
    pid_t pid = fork();
    if (!pid) {
        struct rlimit limit = {(rlim_t)model.st_size + 16, RLIM_INFINITY};
        struct progress s = progress_at(3);
        struct error e = {0};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        fill(p, 3);
        int result = checkpoint_save(DIRECTORY, p, &s, TRIAL, NULL, &e);
        _exit(result == -1 && strstr(e.message, "optimizer.safetensors") ? 41 : 42);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 41);
    expect_names(DIRECTORY, "checkpoint checkpoint.old ");
    expect_load(2);
    parameters_destroy(&p);
}

static void test_directory_that_is_none(void **state)
{
    (void)state;
    clear();
    struct parameters *p = open_parameters(&config);
    struct progress s = progress_at(1);
    struct error e = {0};
    assert_int_equal(file_write(DIRECTORY "/file", "x", 1, &e), 0);
    assert_int_equal(checkpoint_save(DIRECTORY "/file", p, &s, TRIAL, NULL, &e), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
    if (!strstr(e.message, DIRECTORY "/file"))
        fail_msg("expected: the path; found: %s", e.message);
    parameters_destroy(&p);
}

/* ---- kills ---- */

/* A crash between the renames: the new one is whole, and not yet in place. The next save must not lose it before it has a better
 * one. */
static void test_killed_between_the_renames(void **state)
{
    (void)state;
    clear();
    struct parameters *p = open_parameters(&config);
    save(p, 1);
    save(p, 2);
    assert_int_equal(rename(DIRECTORY "/checkpoint", DIRECTORY "/checkpoint.new"), 0);
    expect_load(2);
    plan("enospc op=checkpoint");
    operation_begin("checkpoint");
    struct progress s = progress_at(3);
    struct error e = {0};
    fill(p, 3);
    assert_int_equal(checkpoint_save(DIRECTORY, p, &s, TRIAL, NULL, &e), -1);
    plan(NULL);
    operation_begin("forward");
    expect_load(2);
    save(p, 3);
    expect_load(3);
    clear(); /* half of one, from a crash in the first save of all */
    save(p, 1);
    assert_int_equal(rename(DIRECTORY "/checkpoint", DIRECTORY "/checkpoint.new"), 0);
    cut(DIRECTORY "/checkpoint.new/optimizer.safetensors");
    expect_load(0);
    save(p, 2);
    expect_names(DIRECTORY, "checkpoint ");
    expect_load(2);
    parameters_destroy(&p);
}

/* The rest by another thread, while the parameters change. */
static void save_beside(struct parameters *p, uint64_t step)
{
    struct error e = {0};
    struct checkpoint_rest *rest = save_ahead(p, step);
    checkpoint_await_copy(rest);
    fill(p, step + 1000);
    assert_int_equal(checkpoint_wait(&rest, &e), 0);
}

typedef void save_step(struct parameters *p, uint64_t step);

/* The child saves step after step and says each that is saved; it is killed at some moment. */
static uint64_t save_until_killed(uint64_t step, save_step *save_one, double seconds)
{
    int report[2];
    assert_int_equal(pipe(report), 0);
    pid_t pid = fork();
    if (!pid) {
        struct parameters *p = open_parameters(&config);
        for (;;) {
            save_one(p, ++step);
            if (write(report[1], &step, sizeof step) != sizeof step)
                _exit(1);
        }
    }
    close(report[1]);
    uint64_t saved = step;
    assert_int_equal(read(report[0], &saved, sizeof saved), sizeof saved); /* it is at work */
    clock_sleep(seconds);
    kill(pid, SIGKILL);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    while (read(report[0], &saved, sizeof saved) == sizeof saved)
        ;
    close(report[0]);
    return saved;
}

/* Whatever the moment, the last step that was saved is there, or the next one, and no mixture. */
static void kill_anywhere(save_step *save_one)
{
    clear();
    uint64_t step = 0;
    for (int i = 0; i < 40; i++) {
        uint64_t said = save_until_killed(step, save_one, 0.0007 * ((i * 17) % 40));
        struct parameters *p = open_parameters(&config);
        struct progress s = {0};
        struct error e = {0};
        bool found;
        assert_int_equal(checkpoint_load(DIRECTORY, p, &s, &found, TRIAL, &e), 0);
        if (!found || (s.step != said && s.step != said + 1))
            fail_msg("kill %d: expected: step %d or the next; found: %s, step %d", i, (int)said, found ? "one" : "none",
                     (int)s.step);
        expect_filled(p, s.step);
        step = s.step;
        parameters_destroy(&p);
    }
    print_message("%d saves in 40 processes\n", (int)step);
    struct parameters *p = open_parameters(&config);
    save_one(p, step + 1); /* what the kills left behind is gone */
    expect_names(DIRECTORY, "checkpoint checkpoint.old ");
    expect_names(DIRECTORY "/checkpoint", "model.safetensors optimizer.safetensors state.json ");
    parameters_destroy(&p);
}

static void test_killed_anywhere(void **state)
{
    (void)state;
    kill_anywhere(save);
}

static void test_killed_while_another_thread_writes(void **state)
{
    (void)state;
    kill_anywhere(save_beside);
}

static int set_up(void **state)
{
    (void)state;
    struct error e = {0};
    if (device_create(&device, "cpu_reference", PRECISION_F32, 1, &e))
        return print_error("%s\n", e.message), -1;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    struct error e;
    directory_remove(DIRECTORY, &e);
    device->run->destroy(device);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comes_back),
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_one_before_is_kept),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_states_that_are_none),
        cmocka_unit_test(test_of_another_trial_or_model),
        cmocka_unit_test(test_rest_by_another_thread),
        cmocka_unit_test(test_rest_that_fails),
        cmocka_unit_test(test_planned_faults),
        cmocka_unit_test(test_no_room_for_the_second_file),
        cmocka_unit_test(test_directory_that_is_none),
        cmocka_unit_test(test_killed_between_the_renames),
        cmocka_unit_test(test_killed_anywhere),
        cmocka_unit_test(test_killed_while_another_thread_writes),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

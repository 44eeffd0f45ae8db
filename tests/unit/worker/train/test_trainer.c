/* SPDX-License-Identifier: Apache-2.0 */
/* How whole trials go: on several ranks, stopped, killed, resumed, damaged, refused. */
#include "tests/unit/worker/train/trial.h"

/* The last step of an epoch has 5 rows: 3 micro-batches of 2, fewer than 4 ranks. */
static void ranks_do_not_change_a_bit(void **state)
{
    (void)state;
    static const char *const kinds[] = {"micro=2",
                                        "micro=2 dropout=0.1",
                                        "micro=1 dropout=-1",
                                        "micro=2 multi=1 dropout=0.2",
                                        "micro=2 dropout=0.1 device=cpu",
                                        "micro=2 dropout=0.1 schedule=cosine smoothing=0.1 gamma=2"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char *names[3] = {format_string("ranks1.%zu", i), format_string("ranks2.%zu", i), format_string("ranks4.%zu", i)};
        run_well(1, names[0], kinds[i]);
        run_well(2, names[1], kinds[i]);
        run_well(4, names[2], kinds[i]);
        assert_same_result(names[0], names[1]);
        assert_same_result(names[0], names[2]);
        for (int n = 0; n < 3; n++)
            free(names[n]);
    }
    struct metrics without = read_metrics("ranks1.0"), with = read_metrics("ranks1.1");
    assert_true(without.loss[0] != with.loss[0]); /* dropout does something */
    run_well(3, "ranks3", "micro=2");
    struct metrics three = read_metrics("ranks3");
    for (int s = 0; s < STEPS; s++)
        if (!(fabs(without.loss[s] - three.loss[s]) < 2e-5))
            fail_msg("3 ranks, step %d: expected loss %.9g, found %.9g", s + 1, without.loss[s], three.loss[s]);
}

static void too_many_ranks_are_refused(void **state)
{
    (void)state;
    int code = run(4, "crowd", "micro=4");
    assert_int_not_equal(code, 0);
    assert_said("4 ranks, but a step has only 2 micro-batches (train.batch 8 / train.micro_batch 4); set train.micro_batch to 2 "
                "or less, or "
                "cluster.ranks_per_group to 2");
    assert_said("kind 2");
}

/* Stopped anywhere, resumed: the same bytes as never stopped. */
static void a_stopped_trial_resumes_to_the_same_bytes(void **state)
{
    (void)state;
    run_well(1, "whole_way", "micro=2 dropout=0.1");
    static const char *const stops[] = {"stop=1", "stop=3", "stop=6", "stop=7", "stop_validation=1", "stop=12"};
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        char *name = format_string("stopped.%zu", i), *words = format_string("micro=2 dropout=0.1 %s", stops[i]);
        int code = run(1, name, words);
        if (code != ERROR_STOPPED)
            fail_msg("%s: expected exit code 75, found %d: %s", words, code, said);
        run_well(i % 2 ? 2 : 1, name, "micro=2 dropout=0.1"); /* on another number of ranks, for once */
        assert_same_result("whole_way", name);
        free(name);
        free(words);
    }
}

/* Another schedule or loss is another trial; the same one resumes to the same bytes. */
static void schedule_and_loss_are_part_of_a_trial(void **state)
{
    (void)state;
    static const char *const others[] = {"", "smoothing=0.1", "schedule=cosine smoothing=0.1 gamma=1",
                                         "schedule=cosine smoothing=0.2 gamma=2"};
    const char *words = "micro=2 dropout=0.1 schedule=cosine smoothing=0.1 gamma=2";
    run_well(1, "shaped_whole", words);
    char *stopped = format_string("%s stop=7", words);
    assert_int_equal(run(1, "shaped_stopped", stopped), ERROR_STOPPED);
    free(stopped);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        char *other = format_string("micro=2 dropout=0.1 %s", others[i]);
        assert_int_equal(run(1, "shaped_stopped", other), ERROR_USAGE);
        assert_said("is a checkpoint of a trial with other options or data");
        free(other);
    }
    run_well(2, "shaped_stopped", words);
    assert_same_result("shaped_whole", "shaped_stopped");
}

static void a_stop_on_any_rank_stops_all(void **state)
{
    (void)state;
    int code = run(2, "other_rank", "micro=2 dropout=0.1 stop_call=9");
    assert_int_not_equal(code, 0);
    assert_said("rank 0: kind 75");
    assert_said("rank 1: kind 75");
    run_well(1, "other_rank", "micro=2 dropout=0.1");
    assert_same_result("whole_way", "other_rank");
}

/* Epochs have 6 steps: saved after steps 4 and 8 of 12 besides. */
static void a_killed_trial_goes_on_from_its_last_steps(void **state)
{
    (void)state;
    assert_int_not_equal(run(2, "steps", "micro=2 dropout=0.1 checkpoint_steps=4 kill=11"), 0);
    run_well(2, "steps", "micro=2 dropout=0.1 checkpoint_steps=4");
    assert_said("resuming at step 4 of epoch 2");
    assert_same_result("whole_way", "steps");
    run_well(2, "minutes", "micro=2 dropout=0.1 checkpoint_minutes=1e-9"); /* after every step */
    assert_said("12 checkpoints took");
    assert_same_result("whole_way", "minutes");
}

static void a_killed_trial_goes_on_from_its_last_epoch(void **state)
{
    (void)state;
    assert_int_not_equal(run(1, "killed", "micro=2 dropout=0.1 kill=9"), 0);
    run_well(1, "killed", "micro=2 dropout=0.1");
    assert_said("resuming at step 0 of epoch 2");
    assert_same_result("whole_way", "killed");
    run_well(1, "killed", "micro=2 dropout=0.1"); /* a finished trial: nothing to do, the same answer */
    assert_said("epochs 2 best");
    assert_same_result("whole_way", "killed");
}

/* expected, found: directories of checkpoints below `work`. */
static void assert_same_tensors(const char *expected, const char *found)
{
    static const char *const files[] = {"model.safetensors", "optimizer.safetensors"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct error e = {0};
        char digest[2][SHA256_HEX];
        for (int k = 0; k < 2; k++) {
            char *path = format_string("%s/%s/%s", work, k ? found : expected, files[i]);
            if (sha256_file(path, digest[k], &e))
                fail_msg("%s", e.message);
            free(path);
        }
        if (strcmp(digest[0], digest[1]))
            fail_msg("%s: other bytes than %s's of %s", found, expected, files[i]);
    }
}

/* Stopped after step 5, the trial has step 4 as its checkpoint.old, written beside step 5. */
static void a_checkpoint_beside_training_is_of_its_step_alone(void **state)
{
    (void)state;
    assert_int_equal(run(1, "at_step_4", "micro=2 dropout=0.1 stop=3"), ERROR_STOPPED);
    assert_said("stopped on request at step 4 of epoch 1");
    assert_int_equal(run(1, "beside_5", "micro=2 dropout=0.1 checkpoint_steps=4 delay_save=4 stop=4"), ERROR_STOPPED);
    assert_said("stopped on request at step 5 of epoch 1");
    assert_same_tensors("at_step_4/checkpoint", "beside_5/checkpoint.old");
    run_well(1, "beside_5", "micro=2 dropout=0.1");
    assert_same_result("whole_way", "beside_5");
}

/* Steps are told two behind, and yet all is as on a device that does at once what it is asked. */
static void a_device_that_is_behind_changes_nothing(void **state)
{
    (void)state;
    run_well(1, "behind", "micro=2 dropout=0.1 late=1");
    assert_said("at most 3 marks behind; 12 updates, bad since 0");
    assert_same_result("whole_way", "behind");
    run_well(2, "behind2", "micro=2 dropout=0.1 late=1");
    assert_same_result("whole_way", "behind2");
    static const char *const stops[] = {"stop=1", "stop=3", "stop=5", "stop_validation=1"};
    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++) {
        char *name = format_string("behind.%zu", i), *words = format_string("micro=2 dropout=0.1 late=1 %s", stops[i]);
        if (run((int)i % 2 + 1, name, words) != ERROR_STOPPED && i % 2 == 0)
            fail_msg("%s: not stopped: %s", words, said);
        run_well(1, name, "micro=2 dropout=0.1 late=1");
        assert_same_result("whole_way", name);
        free(name);
        free(words);
    }
}

/* Saved after the steps that are due, not after those that are told. */
static void checkpoints_of_a_device_behind_have_the_same_bytes(void **state)
{
    (void)state;
    assert_int_not_equal(run(1, "kept_at_once", "micro=2 dropout=0.1 checkpoint_steps=4 kill=11"), 0);
    assert_int_not_equal(run(1, "kept_behind", "micro=2 dropout=0.1 checkpoint_steps=4 kill=11 late=1"), 0);
    assert_same_tensors("kept_at_once/checkpoint", "kept_behind/checkpoint");
    run_well(1, "kept_behind", "micro=2 dropout=0.1 checkpoint_steps=4 late=1");
    assert_said("resuming at step 4 of epoch 2");
    assert_same_result("whole_way", "kept_behind");
}

/* The loss of a row of the third step is not a number, on one rank, and its gradient is well: that step and the two that are
 * asked for until it is told update nothing, on no rank. */
static void a_bad_step_told_late_has_updated_nothing(void **state)
{
    (void)state;
    assert_int_not_equal(run(1, "bad1", "micro=2 late=1 bad_loss=9"), 0);
    assert_said("step 3 of epoch 1: the loss is nan: training has diverged");
    assert_said("5 updates, bad since 3\n");
    assert_int_not_equal(run(2, "bad2", "micro=2 late=1 bad_loss=5"), 0); /* of rank 1 */
    assert_said("rank 0: kind 1: step 3 of epoch 1: the loss is nan");
    const char *first = strstr(said, "5 updates, bad since 3\n");
    if (!first || !strstr(first + 1, "5 updates, bad since 3\n"))
        fail_msg("expected both ranks bad since step 3 of 5, found: %s", said);
}

static void a_device_that_fails_or_falls_silent_is_told(void **state)
{
    (void)state;
    assert_int_equal(run(1, "fails", "micro=2 late=1 fails_at=4"), ERROR_FAILED);
    assert_said("step 4 of epoch 1: rank 0 (");
    assert_said("): device late: it failed as planned");
    assert_int_not_equal(run(2, "fails2", "micro=2 late=1 fails_at=4"), 0);
    assert_said("rank 0: kind 1: step 4 of epoch 1: rank 1 (");
    assert_said("rank 1: kind 1: step 4 of epoch 1: rank 1 (");
    assert_int_equal(run(1, "left_out", "micro=2 late=1 left_out=2"), ERROR_FAILED);
    assert_said("step 2 of epoch 1 was not applied, although its loss and gradient are finite");
    assert_int_not_equal(run(2, "silent", "micro=2 late=1 silent=1 timeout=1"), 0);
    assert_said("has not done what it was asked for 1 s; look at that host");
}

/* Of 6 steps an epoch the last two are told when there are no more to ask for: what they took is not how soon they are told. */
static void steps_told_at_the_end_took_as_long_as_others(void **state)
{
    (void)state;
    double fastest = 0;
    run_well(1, "prompt", "micro=2 late=1 prompt=1");
    struct metrics m = read_metrics("prompt");
    assert_int_equal(m.steps, 12);
    for (int s = 0; s < m.steps; s++)
        fastest = s % 6 < 4 && m.speed[s] > fastest ? m.speed[s] : fastest;
    for (int s = 0; s < m.steps; s++)
        if (!(m.speed[s] < 10 * fastest))
            fail_msg("step %d: expected at most some %.3g tokens/s as of others, found %.3g", s + 1, fastest, m.speed[s]);
}

static void an_early_stop_ends_the_trial(void **state)
{
    (void)state;
    run_well(2, "early", "micro=2 epochs=4 last_epoch=2");
    assert_said("epochs 2 best");
    assert_int_equal(read_metrics("early").epochs, 2);
}

static void flip_byte(const char *name, const char *file)
{
    char *path = format_string("%s/%s/checkpoint/%s", work, name, file);
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    fseek(f, -9, SEEK_END);
    int byte = fgetc(f);
    fseek(f, -1, SEEK_CUR);
    fputc(byte ^ 1, f);
    fclose(f);
    free(path);
}

static void rename_inside(const char *name, const char *from, const char *to)
{
    char *a = format_string("%s/%s/%s", work, name, from), *b = format_string("%s/%s/%s", work, name, to);
    struct error e;
    assert_int_equal(directory_remove(b, &e), 0);
    assert_int_equal(rename(a, b), 0);
    free(a);
    free(b);
}

static void damaged_checkpoints_are_said_and_not_used(void **state)
{
    (void)state;
    static const char *const files[] = {"model.safetensors", "optimizer.safetensors", "state.json"};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(run(1, "damaged", "micro=2 dropout=0.1 stop=8 resume=0"), ERROR_STOPPED);
        flip_byte("damaged", files[i]);
        run_well(1, "damaged", "micro=2 dropout=0.1");
        assert_said("falling back to the previous checkpoint");
        assert_said("resuming at step 0 of epoch 2"); /* the one before it is there */
        assert_same_result("whole_way", "damaged");
    }
    assert_int_equal(run(1, "damaged", "micro=2 dropout=0.1 stop=8 resume=0"), ERROR_STOPPED);
    rename_inside("damaged", "best.safetensors", "lost");
    run_well(1, "damaged", "micro=2 dropout=0.1");
    assert_said("best.safetensors is missing");
    assert_same_result("whole_way", "damaged");
}

/* The two places where a crash between the renames leaves the whole set. */
static void half_swapped_checkpoints_are_found(void **state)
{
    (void)state;
    static const char *const places[] = {"checkpoint.new", "checkpoint.old"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(run(1, "swapped", "micro=2 dropout=0.1 stop=8 resume=0"), ERROR_STOPPED);
        rename_inside("swapped", "checkpoint", places[i]);
        run_well(1, "swapped", "micro=2 dropout=0.1");
        assert_said("resuming at step 3 of epoch 2");
        assert_same_result("whole_way", "swapped");
    }
}

/* A disk that is full in the middle of a checkpoint: said, and the checkpoint before it still counts. */
static void a_failed_save_loses_nothing(void **state)
{
    (void)state;
    assert_int_equal(run(1, "full", "micro=2 dropout=0.1 stop=8"), ERROR_STOPPED);
    assert_int_equal(run(1, "full", "micro=2 dropout=0.1 stop=10 limit=60000"), ERROR_FAILED);
    assert_said("optimizer.safetensors");
    run_well(1, "full", "micro=2 dropout=0.1");
    assert_said("resuming at step 3 of epoch 2");
    assert_same_result("whole_way", "full");
    int code = run(2, "full2", "micro=2 dropout=0.1 limit=60000"); /* every rank hears of it */
    assert_int_not_equal(code, 0);
    assert_said("rank 1: kind 1: rank 0: ");
}

static void a_checkpoint_of_another_trial_is_refused(void **state)
{
    (void)state;
    assert_int_equal(run(1, "other", "micro=2 stop=2"), ERROR_STOPPED);
    assert_int_equal(run(1, "other", "micro=2 lr=1e-3"), ERROR_USAGE);
    assert_said("is a checkpoint of a trial with other options or data");
    run_well(1, "other", "micro=2"); /* and is still there */
    assert_said("resuming at step 3 of epoch 1");
}

static void device_memory_is_touched_by_the_device_alone(void **state)
{
    (void)state;
    run_well(1, "guarded", "micro=2 dropout=0.1 device=guarded");
    run_well(1, "not_guarded", "micro=2 dropout=0.1 device=cpu");
    assert_same_result("not_guarded", "guarded");
    run_well(2, "guarded2", "micro=2 dropout=0.1 device=guarded");
    assert_same_result("not_guarded", "guarded2");
}

static void every_row_is_scored_once(void **state)
{
    (void)state;
    char *best = directory_of("whole_way/best.safetensors"), *words = format_string("score=1 weights='%s'", best);
    run_well(1, "scored1", words);
    run_well(3, "scored3", words);
    char *all = format_string("%s split=0", words);
    run_well(2, "scored_all", all);
    struct logits everything = read_logits("scored_all", PART_TEST, 1);
    assert_int_equal(everything.rows, json_size(json_get(golden, "rows")));
    uint32_t rows = 0;
    for (int part = 0; part < PART_COUNT; part++) {
        struct logits a = read_logits("scored1", (enum part)part, 1), b = read_logits("scored3", (enum part)part, 1);
        const struct json *numbers = json_get(golden, part_names[part]);
        assert_int_equal(a.rows, json_size(numbers));
        assert_int_equal(a.rows, b.rows);
        assert_memory_equal(a.values, b.values, a.rows * LABELS * sizeof(float));
        for (uint32_t i = 0; i < a.rows; i++) {
            size_t row = (size_t)json_number(json_at(numbers, i));
            for (int l = 0; l < LABELS; l++) {
                double expected = (double)everything.values[row * LABELS + (size_t)l],
                       found = (double)a.values[i * LABELS + (uint32_t)l];
                if (!(fabs(expected - found) < 1e-5))
                    fail_msg("%s, row %zu: expected %.7g, found %.7g", part_names[part], row, expected, found);
            }
        }
        rows += a.rows;
        logits_free(&a);
        logits_free(&b);
    }
    assert_int_equal(rows, everything.rows);
    logits_free(&everything);
    free(all);
    free(words);
    free(best);
}

static void divergence_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(run(1, "diverged", "lr=1e30 warmup=0"), ERROR_FAILED);
    assert_said("training has diverged; lower train.lr");
}

static void a_model_of_other_words_is_refused(void **state)
{
    (void)state;
    char *directory = directory_of("small_model"), *path = path_join(directory, "config.json"), *text;
    size_t size;
    struct error e = {0};
    assert_int_equal(directory_create(directory, &e), 0);
    assert_int_equal(file_read(&text, &size, TEST_GOLDEN "/train_model/config.json", &e), 0);
    char *place = strstr(text, "\"max_position_embeddings\": 40");
    assert_non_null(place);
    memcpy(place, "\"max_position_embeddings\": 12", 29);
    assert_int_equal(file_write(path, text, size, &e), 0);
    char *words = format_string("model='%s'", directory);
    assert_int_equal(run(1, "refused", words), ERROR_DATA);
    assert_said("tokens; the model takes 1 to 12: set train.max_length to that");
    free(words);
    free(text);
    free(path);
    free(directory);
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    if (!__sanitizer_install_malloc_and_free_hooks) {
        print_message("skipped: allocations are counted by the address sanitizer's hooks, which this build does not have\n");
        skip();
    }
    static const char *const ways[] = {"", "trace=1", "precision=bf16"};
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        char *words = format_string("count=1 batch=4 micro=2 dropout=0.1 epochs=1 device=cpu %s", ways[i]);
        char *name = format_string("counted%zu", i);
        run_well(1, name, words);
        assert_said("allocations 0, kept 0\n");
        free(name);
        free(words);
    }
}

int main(int count, char **arguments)
{
    int code;
    if (trial_is_child(&code, count, arguments))
        return code;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedule_and_loss_are_part_of_a_trial),
        cmocka_unit_test(ranks_do_not_change_a_bit),
        cmocka_unit_test(too_many_ranks_are_refused),
        cmocka_unit_test(a_stopped_trial_resumes_to_the_same_bytes),
        cmocka_unit_test(a_killed_trial_goes_on_from_its_last_steps),
        cmocka_unit_test(a_stop_on_any_rank_stops_all),
        cmocka_unit_test(a_killed_trial_goes_on_from_its_last_epoch),
        cmocka_unit_test(a_checkpoint_beside_training_is_of_its_step_alone),
        cmocka_unit_test(a_device_that_is_behind_changes_nothing),
        cmocka_unit_test(checkpoints_of_a_device_behind_have_the_same_bytes),
        cmocka_unit_test(a_bad_step_told_late_has_updated_nothing),
        cmocka_unit_test(a_device_that_fails_or_falls_silent_is_told),
        cmocka_unit_test(steps_told_at_the_end_took_as_long_as_others),
        cmocka_unit_test(an_early_stop_ends_the_trial),
        cmocka_unit_test(damaged_checkpoints_are_said_and_not_used),
        cmocka_unit_test(half_swapped_checkpoints_are_found),
        cmocka_unit_test(a_failed_save_loses_nothing),
        cmocka_unit_test(a_checkpoint_of_another_trial_is_refused),
        cmocka_unit_test(device_memory_is_touched_by_the_device_alone),
        cmocka_unit_test(every_row_is_scored_once),
        cmocka_unit_test(divergence_is_an_error),
        cmocka_unit_test(a_model_of_other_words_is_refused),
        cmocka_unit_test(a_step_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, trial_set_up, trial_tear_down);
}

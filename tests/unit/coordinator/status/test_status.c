/* SPDX-License-Identifier: Apache-2.0 */
/* muster status on logs as runs leave them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/json/json.h"
#include "coordinator/cli/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct verb status_verb = {"status", "RUN", "", 1, 1, status_options, .run = verb_status};
static char directory[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/test_status.XXXXXX");
    return mkdtemp(directory) && chdir(directory) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    struct error e;
    return chdir("/") == 0 ? directory_remove(directory, &e) : -1;
}

/* Standard output of `muster status ...`; status in *ret. Caller frees. */
static char *status_of(int *ret, const char *argument, bool json, struct error *e)
{
    char *text;
    size_t size;
    struct error ignored;
    const char *positional[] = {argument};
    struct arguments a = {.verb = &status_verb, .positional = positional, .count = 1, .values = {json ? "" : NULL}};
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    assert_non_null(freopen("said.txt", "w", stdout));
    *ret = verb_status(&a, e);
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    assert_int_equal(file_read(&text, &size, "said.txt", &ignored), 0);
    return text;
}

static void write_events(const char *text)
{
    struct error e = {0};
    assert_int_equal(directory_create("run/trials/b", &e), 0);
    assert_int_equal(file_write("run/events.jsonl", text, strlen(text), &e), 0);
}

static const char events[] =
    "{\"time\": \"T0\", \"event\": \"run_started\", \"host\": \"elsewhere\", \"pid\": 7}\n"
    "{\"time\": \"T1\", \"event\": \"stage_done\", \"stage\": \"check\"}\n"
    "{\"time\": \"T2\", \"event\": \"trial_started\", \"trial\": \"a\", \"steps\": 20, \"options\": {\"epochs\": 2, \"batch\": "
    "4}}\n"
    "{\"time\": \"T2\", \"event\": \"group_started\", \"group\": \"1-x\", \"host\": \"n1\", \"pid\": 5, \"ranks\": 2, "
    "\"threads\": 3, "
    "\"device\": \"cpu\"}\n"
    "{\"time\": \"T2\", \"event\": \"group_started\", \"group\": \"2-x\", \"host\": \"n2\", \"pid\": 6, \"ranks\": 2, "
    "\"threads\": 3, "
    "\"device\": \"cpu\"}\n"
    "{\"time\": \"T3\", \"event\": \"lease\", \"trial\": \"a\", \"group\": \"1-x\", \"attempt\": 1}\n"
    "{\"time\": \"T4\", \"event\": \"epoch\", \"trial\": \"a\", \"metrics\": {\"epoch\": 1, \"validation_loss\": 0.5, \"f1\": "
    "0.25, \"micro_f1\": 0.75}}\n"
    "{\"time\": \"T5\", \"event\": \"trial_done\", \"trial\": \"a\", \"best_epoch\": 1, \"epochs_done\": 2, \"seconds\": 3.5}\n"
    "{\"time\": \"T6\", \"event\": \"something new\"}\n"
    "{\"time\": \"T7\", \"event\": \"trial_started\", \"trial\": \"b\", \"steps\": 20, \"options\": {\"epochs\": 2, \"batch\": "
    "4}}\n"
    "{\"time\": \"T7\", \"event\": \"trial_started\", \"trial\": \"d\", \"steps\": 30, \"options\": {\"epochs\": 3, \"batch\": "
    "4}}\n"
    "{\"time\": \"T8\", \"event\": \"lease\", \"trial\": \"b\", \"group\": \"1-x\", \"attempt\": 2}\n"
    "{\"time\": \"T8\", \"event\": \"lease\", \"trial\": \"d\", \"group\": \"2-x\", \"attempt\": 1}\n"
    "{\"time\": \"T8\", \"event\": \"group_died\", \"group\": \"2-x\", \"host\": \"n2\", \"rank\": 1, \"step\": 9, "
    "\"operation\": "
    "\"train\", \"trial\": \"d\", \"why\": \"signal 9\"}\n"
    "{\"time\": \"T9\", \"event\": \"trial_failed\", \"trial\": \"c\", \"why\": \"rank 1 died\"}\n";

static void what_a_person_sees(void **state)
{
    (void)state;
    int status;
    struct error e = {0};
    write_events(events);
    static const char metrics[] =
        "{\"step\": 1}\n{\"step\": 12, \"epoch\": 2, \"loss\": 0.75, \"tokens_per_second\": 900, \"examples_per_second\": 8, "
        "\"peak_share\": 0.625}\n{\"st";
    assert_int_equal(file_write("run/trials/b/metrics.jsonl", metrics, sizeof metrics - 1, &e), 0);
    char *text = status_of(&status, "run", false, &e);
    assert_int_equal(status, 0);
    /* b has 8 steps of 4 rows left, d 30 of 4; the one group that is left does 8 rows a second. */
    assert_string_equal(text,
                        "run: running; coordinator on host elsewhere, process 7, started T0\n"
                        "stages done: check\n"
                        "groups: 1\n"
                        "  1-x              b  host n1, process 5, 2 x 3 threads, cpu\n"
                        "deaths: 1\n"
                        "  T8  group 2-x: host n2, rank 1, step 9, train, trial d: signal 9\n"
                        "trials: 4: 1 queued, 1 running, 1 done, 1 failed; ETA 19 s\n"
                        "  b                                running  epoch 2 of 2  step 12 of 20  loss 0.7500  900 tokens/s (62 "
                        "% of peak)"
                        "  ETA 4 s  attempt 2\n"
                        "  c                                failed   rank 1 died\n"
                        "  a                                done     best epoch 1  validation loss 0.5000  F1 0.2500  3.5 s\n"
                        "  d                                queued   3 epochs  30 steps\n"
                        "last event: trial_failed at T9\n");
    free(text);
}

/* The epoch's line stands last: loss and rates are those of the step before. */
static void behind_an_epoch(void **state)
{
    (void)state;
    int status;
    struct error e = {0};
    write_events(events);
    static const char metrics[] = "{\"step\": 12, \"epoch\": 1, \"loss\": 0.75, \"tokens_per_second\": 900}\n"
                                  "{\"step\": 12, \"epoch\": 1, \"train_loss\": 0.5, \"validation_loss\": 1}\n";
    assert_int_equal(file_write("run/trials/b/metrics.jsonl", metrics, sizeof metrics - 1, &e), 0);
    char *text = status_of(&status, "run", false, &e);
    assert_non_null(
        strstr(text, "  b                                running  epoch 1 of 2  step 12 of 20  loss 0.7500  900 tokens/s"));
    free(text);
}

static void how_runs_end(void **state)
{
    (void)state;
    static const struct {
        const char *events, *word;
    } cases[] = {
        {"{\"time\": \"T\", \"event\": \"run_ended\", \"exit_code\": 0, \"why\": null}\n", "run: done"},
        {"{\"time\": \"T\", \"event\": \"run_ended\", \"exit_code\": 75, \"why\": \"stopped on request\"}\n", "run: stopped"},
        {"{\"time\": \"T\", \"event\": \"run_ended\", \"exit_code\": 3, \"why\": \"row 3 is torn\"}\n", "row 3 is torn\n"},
        {"{\"time\": \"T\", \"event\": \"run_ended\", \"exit_code\": 1, \"why\": \"no\"}\n", "run: failed"},
        {"{\"time\": \"T\", \"event\": \"run_en", "run: running"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status;
        struct error e = {0};
        char all[sizeof events + 200];
        snprintf(all, sizeof all, "%s%s", events, cases[i].events);
        write_events(all);
        char *text = status_of(&status, "run", false, &e);
        if (status || !strstr(text, cases[i].word))
            fail_msg("expected \"%s\" after %s, found:\n%s", cases[i].word, cases[i].events, text);
        free(text);
    }
}

/* A coordinator of this host that is not there any more. */
static void a_dead_coordinator(void **state)
{
    (void)state;
    int status;
    struct error e = {0};
    char host[256] = "", all[sizeof events + 500];
    gethostname(host, sizeof host - 1);
    pid_t child = fork();
    if (!child)
        _exit(0);
    waitpid(child, &status, 0);
    snprintf(all, sizeof all, "%s{\"time\": \"T\", \"event\": \"run_started\", \"host\": \"%s\", \"pid\": %d}\n", events, host,
             (int)child);
    write_events(all);
    char *text = status_of(&status, "run", false, &e);
    assert_non_null(strstr(text, "run: dead"));
    assert_null(strstr(text, "groups:"));
    assert_non_null(strstr(text, "trials: 4: 2 queued, 1 done, 1 failed\n"));
    free(text);
}

static void what_a_program_sees(void **state)
{
    (void)state;
    int status;
    struct error e = {0};
    struct json *j;
    write_events(events);
    char *text = status_of(&status, "run", true, &e);
    assert_int_equal(status, 0);
    assert_int_equal(json_parse(&j, text, strlen(text), "status", &e), 0);
    assert_string_equal(json_string(json_get(json_get(json_get(j, "trials"), "a"), "state")), "done");
    assert_string_equal(json_string(json_get(json_get(j, "last"), "time")), "T9");
    assert_string_equal(json_string(json_get(j, "state")), "running");
    assert_true(json_number(json_get(json_get(j, "counts"), "queued")) == 1);
    assert_true(json_number(json_get(json_at(json_get(j, "deaths"), 0), "step")) == 9);
    assert_true(json_number(json_get(json_get(json_get(j, "trials"), "d"), "steps")) == 30);
    assert_int_equal(json_type(json_get(json_get(json_get(j, "trials"), "d"), "loss")), JSON_NULL);
    json_destroy(&j);
    free(text);
}

static void no_run_there(void **state)
{
    (void)state;
    int status;
    struct error e = {0};
    free(status_of(&status, "nowhere", false, &e));
    assert_int_equal(status, -1);
    assert_int_equal(e.kind, ERROR_USAGE);
    assert_string_equal(e.message, "nowhere: no such run directory");
    write_events("");
    free(status_of(&status, "run", false, &e));
    assert_int_equal(status, -1);
    assert_non_null(strstr(e.message, "run: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(what_a_person_sees, set_up, tear_down),
                                       cmocka_unit_test_setup_teardown(behind_an_epoch, set_up, tear_down),
                                       cmocka_unit_test_setup_teardown(how_runs_end, set_up, tear_down),
                                       cmocka_unit_test_setup_teardown(a_dead_coordinator, set_up, tear_down),
                                       cmocka_unit_test_setup_teardown(what_a_program_sees, set_up, tear_down),
                                       cmocka_unit_test_setup_teardown(no_run_there, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

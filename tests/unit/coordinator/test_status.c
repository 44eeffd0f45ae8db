/* muster status on logs as runs leave them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/format/json.h"
#include "coordinator/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct verb status_verb = {"status", "RUN", "", 1, 1, status_options, .run = verb_status};
static char folder[64];

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/test_status.XXXXXX");
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    struct error e;
    return chdir("/") == 0 ? folder_remove(folder, &e) : -1;
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
    assert_int_equal(folder_create("run/trials/b", &e), 0);
    assert_int_equal(file_write("run/events.jsonl", text, strlen(text), &e), 0);
}

static const char events[] =
    "{\"time\": \"T1\", \"event\": \"stage_done\", \"stage\": \"check\"}\n"
    "{\"time\": \"T2\", \"event\": \"trial_started\", \"trial\": \"a\", \"options\": {\"epochs\": 2}}\n"
    "{\"time\": \"T3\", \"event\": \"lease\", \"trial\": \"a\", \"attempt\": 1}\n"
    "{\"time\": \"T4\", \"event\": \"epoch\", \"trial\": \"a\", \"metrics\": {\"epoch\": 1, \"validation_loss\": 0.5, \"f1\": "
    "0.25}}\n"
    "{\"time\": \"T5\", \"event\": \"trial_done\", \"trial\": \"a\", \"best_epoch\": 1, \"epochs_done\": 2, \"seconds\": 3.5}\n"
    "{\"time\": \"T6\", \"event\": \"something new\"}\n"
    "{\"time\": \"T7\", \"event\": \"trial_started\", \"trial\": \"b\", \"options\": {\"epochs\": 2}}\n"
    "{\"time\": \"T8\", \"event\": \"lease\", \"trial\": \"b\", \"attempt\": 1}\n"
    "{\"time\": \"T9\", \"event\": \"trial_failed\", \"trial\": \"c\", \"why\": \"rank 1 died\"}\n";

static void what_a_person_sees(void **state)
{
    (void)state;
    int status;
    struct error e = {0};
    write_events(events);
    static const char metrics[] = "{\"step\": 1}\n{\"step\": 12, \"epoch\": 2, \"loss\": 0.75, \"tokens_per_second\": 900, "
                                  "\"gemm_share\": 0.625}\n{\"st";
    assert_int_equal(file_write("run/trials/b/metrics.jsonl", metrics, sizeof metrics - 1, &e), 0);
    char *text = status_of(&status, "run", false, &e);
    assert_int_equal(status, 0);
    assert_string_equal(
        text,
        "stages done: check\n"
        "trials:\n"
        "  a                                done     best epoch 1  validation loss 0.5000  F1 0.2500  3.5 s\n"
        "  b                                at work  epoch 2 of 2  step 12  loss 0.7500  900 tokens/s (62 % of the GEMM rate)\n"
        "  c                                failed   rank 1 died\n"
        "last event: trial_failed at T9\n");
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
    assert_string_equal(json_text(json_get(json_get(json_get(j, "trials"), "a"), "state")), "done");
    assert_string_equal(json_text(json_get(json_get(j, "last"), "time")), "T9");
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
    assert_string_equal(e.text, "nowhere: no such run folder");
    write_events("");
    free(status_of(&status, "run", false, &e));
    assert_int_equal(status, -1);
    assert_non_null(strstr(e.text, "run: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(what_a_person_sees, set_up, tear_down),
                                       cmocka_unit_test_setup_teardown(what_a_program_sees, set_up, tear_down),
                                       cmocka_unit_test_setup_teardown(no_run_there, set_up, tear_down)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

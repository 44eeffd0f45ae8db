/* SPDX-License-Identifier: Apache-2.0 */
/* The event log: what was appended comes back, a cut end is dropped, damage is said, two never write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/file.h"
#include "common/base/memory.h"
#include "coordinator/events/event_log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIRECTORY "event_log.test"
#define EVENTS DIRECTORY "/events.jsonl"

/* Network file systems: flock may fail, and a signal may interrupt flock, write and fsync. */
static int lock_errno, interrupts, syncs;

int flock(int fd, int operation)
{
    if (interrupts > 0 || lock_errno) {
        errno = interrupts-- > 0 ? EINTR : lock_errno;
        return -1;
    }
    return (int)syscall(SYS_flock, fd, operation);
}

int fsync(int fd)
{
    if (interrupts-- > 0) {
        errno = EINTR;
        return -1;
    }
    syncs++;
    return (int)syscall(SYS_fsync, fd);
}

static int set_up(void **state)
{
    (void)state;
    struct error e;
    return directory_remove(DIRECTORY, &e) || directory_create(DIRECTORY, &e);
}

static int tear_down(void **state)
{
    (void)state;
    struct error e;
    return directory_remove(DIRECTORY, &e);
}

static struct event_log *open_log(void)
{
    struct event_log *l;
    struct error e = {0};
    if (event_log_open(&l, DIRECTORY, &e))
        fail_msg("%s", e.message);
    return l;
}

static void append(struct event_log *l, const char *event, const char *trial, double epoch)
{
    struct error e = {0};
    struct json *fields = json_object();
    json_set_string(fields, "trial", trial);
    json_set_number(fields, "epoch", epoch);
    if (event_log_append(l, event, fields, &e))
        fail_msg("%s", e.message);
}

static char *read_text(size_t *size)
{
    char *text;
    struct error e = {0};
    if (file_read(&text, size, EVENTS, &e))
        fail_msg("%s", e.message);
    return text;
}

static void write_text(const char *text, size_t size)
{
    FILE *f = fopen(EVENTS, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, size, f), size);
    assert_int_equal(fclose(f), 0);
}

static void make_three(void)
{
    struct event_log *l = open_log();
    append(l, "lease", "a", 1);
    append(l, "epoch", "a", 1);
    append(l, "epoch", "b", 2);
    event_log_close(&l);
    assert_null(l);
}

static void test_replay(void **state)
{
    (void)state;
    make_three();
    size_t before, after;
    char *first = read_text(&before);
    for (int again = 0; again < 3; again++) { /* opening changes nothing */
        struct event_log *l = open_log();
        assert_int_equal(event_log_count(l), 3);
        assert_string_equal(json_string(json_get(event_log_at(l, 0), "event")), "lease");
        assert_null(event_log_at(l, 3));
        assert_true(json_number(json_get(event_log_last(l, "epoch", NULL, NULL), "epoch")) == 2);
        assert_true(json_number(json_get(event_log_last(l, "epoch", "trial", "a"), "epoch")) == 1);
        assert_null(event_log_last(l, "epoch", "trial", "c"));
        assert_null(event_log_last(l, "lease", "trial", "b"));
        event_log_close(&l);
    }
    char *second = read_text(&after);
    assert_int_equal(before, after);
    assert_memory_equal(first, second, before);
    free(first);
    free(second);
}

/* Without a lock the end of a live log would be taken for a cut line, and removed. */
static void test_no_locks(void **state)
{
    (void)state;
    make_three();
    size_t before, after;
    char *text = read_text(&before);
    write_text(text, before - 5); /* another coordinator is writing the last line */
    free(text);
    static const int numbers[] = {ENOLCK, ENOSYS, EOPNOTSUPP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct event_log *l = NULL;
        struct error e = {0};
        lock_errno = numbers[i];
        int result = event_log_open(&l, DIRECTORY, &e);
        lock_errno = 0;
        assert_int_equal(result, -1);
        assert_int_equal(e.kind, ERROR_FAILED);
        if (!strstr(e.message, "cannot be locked (") || !strstr(e.message, "another file system"))
            fail_msg("expected what to do about locks; found: %s", e.message);
    }
    free(read_text(&after));
    assert_int_equal(after, before - 5);
}

static void test_interrupted(void **state)
{
    (void)state;
    interrupts = 2;
    struct event_log *l = open_log();
    assert_true(interrupts < 2);
    interrupts = 3;
    append(l, "epoch", "a", 1);
    assert_true(interrupts <= 0);
    interrupts = 0;
    assert_int_equal(event_log_count(l), 1);
    event_log_close(&l);
}

/* What is asked for by name and value, over events from the file and events appended since. */
static void test_last(void **state)
{
    (void)state;
    static const char *const ends[] = {"finished", "pruned", NULL};
    char trial[16];
    make_three();
    struct event_log *l = open_log();
    assert_null(event_log_last_of(l, ends, "trial", "t7"));
    for (int i = 0; i < 500; i++) {
        snprintf(trial, sizeof trial, "t%d", i % 50);
        append(l, i % 3 ? "finished" : "pruned", trial, i);
    }
    for (int i = 0; i < 50; i++) {
        snprintf(trial, sizeof trial, "t%d", i);
        const struct json *last = event_log_last_of(l, ends, "trial", trial);
        assert_true(json_number(json_get(last, "epoch")) == 450 + i);
        int pruned = 450 + i;
        while (pruned % 3)
            pruned -= 50;
        assert_true(json_number(json_get(event_log_last(l, "pruned", "trial", trial), "epoch")) == pruned);
    }
    assert_true(json_number(json_get(event_log_last(l, "epoch", "trial", "b"), "epoch")) == 2);
    assert_null(event_log_last(l, "epoch", "trial", NULL));
    assert_null(event_log_last(l, "epoch", "elsewhere", "b"));
    assert_true(json_number(json_get(event_log_last(l, "finished", NULL, NULL), "epoch")) == 499);
    event_log_close(&l);
}

/* A crash at any byte of the last line loses that line and nothing else, and the log goes on. */
static void test_cut_anywhere(void **state)
{
    (void)state;
    make_three();
    size_t size;
    char *text = read_text(&size);
    size_t last = size - 1;
    while (text[last - 1] != '\n')
        last--;
    for (size_t cut = last; cut < size; cut++) {
        write_text(text, cut);
        struct event_log *l = open_log();
        assert_int_equal(event_log_count(l), 2);
        append(l, "again", "z", 9);
        event_log_close(&l);
        l = open_log();
        assert_int_equal(event_log_count(l), 3);
        assert_string_equal(json_string(json_get(event_log_at(l, 2), "event")), "again");
        event_log_close(&l);
    }
    free(text);
}

static void expect_damage(const char *text, const char *words)
{
    struct event_log *l;
    struct json *events;
    struct error e = {0};
    write_text(text, strlen(text));
    assert_int_equal(event_log_open(&l, DIRECTORY, &e), -1);
    assert_int_equal(e.kind, ERROR_FAILED);
    if (!strstr(e.message, words))
        fail_msg("expected words: %s; found: %s", words, e.message);
    assert_int_equal(event_log_read(&events, DIRECTORY, &e), -1);
    size_t size;
    char *after = read_text(&size);
    assert_string_equal(after, text); /* and it is left alone */
    free(after);
}

static void test_damage(void **state)
{
    (void)state;
    expect_damage("{\"time\":\"t\",\"event\":\"a\"}\n{\"time\":\"t\",\"eve\n{\"time\":\"t\",\"event\":\"c\"}\n", EVENTS ":2:");
    expect_damage("{\"time\":\"t\",\"event\":\"a\"}\n[]\n", "not an event");
    expect_damage("\n", EVENTS ":1:");
}

static void test_lock(void **state)
{
    (void)state;
    struct event_log *l = open_log();
    append(l, "lease", "a", 1);
    fflush(NULL);
    pid_t child = fork();
    if (!child) {
        struct event_log *second;
        struct error e = {0};
        char holder[32];
        snprintf(holder, sizeof holder, "process %d, since 20", (int)getppid());
        int refused = event_log_open(&second, DIRECTORY, &e) == -1 && e.kind == ERROR_USAGE && strstr(e.message, holder);
        struct json *events = NULL;
        int readable = !event_log_read(&events, DIRECTORY, &e) && json_size(events) == 1;
        json_destroy(&events);
        _exit(!refused + 2 * !readable);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    event_log_close(&l);
    l = open_log(); /* free again */
    event_log_close(&l);
}

static void test_unwritable(void **state)
{
    (void)state;
    struct event_log *l;
    struct error e = {0};
    assert_int_equal(event_log_open(&l, DIRECTORY "/none", &e), -1);
    assert_non_null(strstr(e.message, DIRECTORY "/none"));
}

/* A full disk: the append fails, says so, and leaves no half line (the device /dev/full stands for the disk). */
/* Ten thousand trials are announced with one wait for the disk. */
static void many_are_appended_at_once(void **state)
{
    (void)state;
    struct error e;
    struct event_log *l = open_log();
    struct json *list = json_array();
    for (int i = 0; i < 50; i++) {
        char key[16];
        snprintf(key, sizeof key, "trial-%d", i);
        json_set_string(json_append(list, json_object()), "trial", key);
    }
    append(l, "before", "x", 1);
    syncs = 0;
    assert_int_equal(event_log_append_all(l, "trial_started", list, &e), 0);
    assert_int_equal(syncs, 1);
    assert_int_equal(event_log_append_all(l, "trial_started", json_array(), &e), 0);
    assert_int_equal(event_log_count(l), 51);
    event_log_close(&l);
    l = open_log();
    assert_int_equal(event_log_count(l), 51);
    const struct json *event = event_log_last(l, "trial_started", "trial", "trial-49");
    assert_non_null(event);
    assert_non_null(json_get(event, "time"));
    assert_ptr_equal(event, event_log_at(l, 50));
    event_log_close(&l);
}

static void test_full_disk(void **state)
{
    (void)state;
    struct event_log *l;
    struct error e = {0};
    assert_int_equal(symlink("/dev/full", EVENTS), 0);
    int result = event_log_open(&l, DIRECTORY, &e);
    if (!result) {
        assert_int_equal(event_log_append(l, "a", NULL, &e), -1);
        assert_non_null(strstr(e.message, "No space left"));
        assert_int_equal(event_log_count(l), 0);
        event_log_close(&l);
    } else {
        assert_non_null(strstr(e.message, EVENTS));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_replay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_last, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_locks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_interrupted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cut_anywhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lock, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unwritable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_are_appended_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full_disk, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
